"""The callbacks of a fit: checked, told what happens, asked whether to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..names import require_integer

__all__ = ["after_epoch", "call", "check_callbacks", "tell_plan", "watchers_of"]


def watchers_of(
    callbacks: Sequence[Any], epochs: int, verbose: int, steps_per_epoch: int | None = None, columns: Sequence[str] = ()
) -> list[Any]:
    """The callbacks, and a progress bar where one is asked for, told how much there will be to do."""
    watchers = check_callbacks(callbacks)
    if require_integer("verbose", int(verbose) if isinstance(verbose, bool) else verbose, least=0):
        from ..callbacks import ProgressBar

        if not any(isinstance(watcher, ProgressBar) for watcher in watchers):
            watchers.append(ProgressBar())
    tell_plan(watchers, epochs, steps_per_epoch, columns)
    return watchers


def tell_plan(watchers: Sequence[Any], epochs: int, steps_per_epoch: int | None, columns: Sequence[str] = ()) -> None:
    """What is planned, before on_fit_begin, and what the logs will have; None where nobody knows how many steps."""
    for watcher in watchers if epochs else ():
        call(watcher, "on_plan", epochs, steps_per_epoch, columns)


def check_callbacks(callbacks: Sequence[Any]) -> list[Any]:
    """A list of them, or TypeError where one is none."""
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks is {type(callbacks).__name__}: expected a list of callbacks")
    for callback in callbacks:
        known = any(hasattr(callback, name) for name in ("on_fit_begin", "on_epoch_end", "on_fit_end"))
        if not known or isinstance(callback, type):
            raise TypeError(
                f"callbacks holds {callback!r}: expected an object with on_fit_begin, on_epoch_end or on_fit_end"
            )
    return list(callbacks)


def call(watcher: Any, name: str, *arguments: Any) -> Any:
    """What the watcher answers; None where it has no such method."""
    method = getattr(watcher, name, None)
    return None if method is None else method(*arguments)


def after_epoch(watchers: list[Any]) -> Callable[..., bool]:
    """What the core calls at the end of an epoch: True where a watcher asks for the end."""

    def tell_all(epoch: int, loss: float, validation_loss: float | None, lr: float, seconds: float) -> bool:
        logs = {"loss": loss, "lr": lr, "seconds": seconds}
        if validation_loss is not None:
            logs["val_loss"] = validation_loss
        answers = [call(watcher, "on_epoch_end", epoch, dict(logs)) for watcher in watchers]
        return any(isinstance(answer, (bool, np.bool_)) and bool(answer) for answer in answers)

    return tell_all
