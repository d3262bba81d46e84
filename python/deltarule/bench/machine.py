"""Where and with what it was measured: a figure without that says nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Bystanders", "describe_machine"]


class Bystanders:
    """How busy others keep the processors meanwhile; peers with several spinning threads suffer most from it.

    Examples
    --------
    >>> share = Bystanders().share()
    >>> share is None or 0 <= share <= 1
    True
    """

    def __init__(self) -> None:
        self._start = self._read()

    def _read(self) -> tuple[float, float, float] | None:
        """Seconds of all processors together, those of them idle, and those of this process and its children."""
        try:
            with open("/proc/stat") as file:
                ticks = [int(number) for number in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return None
        in_a_second = os.sysconf("SC_CLK_TCK")
        return sum(ticks) / in_a_second, (ticks[3] + ticks[4]) / in_a_second, sum(os.times()[:4])

    def share(self) -> float | None:
        """Of the time of all processors since this was made, what other processes used; None where it is not known."""
        end = self._read()
        if self._start is None or end is None or end[0] <= self._start[0]:
            return None
        everything, idle, own = (after - before for after, before in zip(end, self._start, strict=True))
        return min(1.0, max(0.0, (everything - idle - own) / everything))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def describe_machine(libraries: Iterable[str]) -> dict[str, str]:
    """Name the machine, the moment and the versions.

    Parameters
    ----------
    libraries : iterable of str
        As pip knows them; those that are not installed are left out.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> "numpy" in describe_machine(["numpy", "no-such-library"])["versions"]
    True
    """
    from .. import __version__, isa
    from ..threads import available_threads

    versions = [f"deltarule {__version__}", f"Python {platform.python_version()}"]
    for library in dict.fromkeys(["numpy", *libraries]):
        try:
            versions.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {available_threads()} cores",
        "instruction set": isa(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": ", ".join(versions),
    }
