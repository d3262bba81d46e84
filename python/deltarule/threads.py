"""How many threads a fit may use. Results never depend on it, to the last bit."""

from __future__ import annotations

import os
import sys

from .names import require_integer

__all__ = ["available_threads", "resolve_threads", "set_num_threads"]

_set: int | None = None


def set_num_threads(n: int | None) -> None:
    """Let every later call use n threads where its own `n_threads` is None.

    Parameters
    ----------
    n : int or None
        At least 1. None goes back to the environment's DELTARULE_NUM_THREADS or, without it, to a choice by the work
        there is in a step.

    Examples
    --------
    >>> set_num_threads(2)
    >>> set_num_threads(None)
    """
    global _set
    _set = None if n is None else require_integer("n", n, least=1, most=1024)


def available_threads() -> int:
    """How many threads a fit may take of its own accord: the CPUs this process may run on.

    One in a worker process of joblib or multiprocessing, where the other workers have the other CPUs.
    """
    process = sys.modules.get("multiprocessing.process")  # a worker has it: nobody else pays for the import
    if process is not None and process.parent_process() is not None:
        return 1
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def resolve_threads(n_threads: int | None) -> int:
    """The number asked for: by the argument, by set_num_threads, by the environment; 0 when nobody asked."""
    if n_threads is not None:
        return require_integer("n_threads", n_threads, least=1, most=1024)
    if _set is not None:
        return _set
    wanted = os.environ.get("DELTARULE_NUM_THREADS")
    if not wanted:
        return 0
    if not wanted.isdigit() or not 1 <= int(wanted) <= 1024:
        raise ValueError(
            f"DELTARULE_NUM_THREADS={wanted!r} in the environment: expected a number from 1 to 1024, or unset it"
        )
    return int(wanted)
