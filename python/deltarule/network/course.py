"""The course of a fit: what happens between its epochs, and what it has to remember to go on another day."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .watchers import call

if TYPE_CHECKING:
    from ..schedule import ScheduleRun
    from .averaging import Average
    from .loop import Result

__all__ = ["Course"]

# Adds what it measures to the logs of an epoch
Measure = Callable[[dict[str, float]], None]


class Course:
    """A fit between its epochs.

    Parameters
    ----------
    epochs : int
        How many there will be in all.
    watchers : list
        Callbacks.
    schedule : ScheduleRun, optional
        Of the learning rate.
    average : Average, optional
        Of the weights.
    measure : callable, optional
        Adds metrics to the logs.
    """

    def __init__(
        self,
        epochs: int,
        watchers: list[Any],
        *,
        schedule: ScheduleRun | None = None,
        average: Average | None = None,
        measure: Measure | None = None,
    ) -> None:
        self.epochs, self.watchers = epochs, watchers
        self.schedule, self.average, self.measure = schedule, average, measure
        self.save: Callable[[bool], None] | None = None  # called after each epoch: whether the fit ends with it
        self.undo: Callable[[], None] | None = None  # of a resumed fit: the network as it was before
        self.columns: dict[str, list[float]] = {}
        self.epochs_done = 0  # in this fit, with those before it was resumed
        self.epochs_resumed = 0  # of them, those before
        self.seconds_before = 0.0
        self.first_step = 0  # of the epoch under way, counted over all epochs
        self._next_step = 0
        self._latest: tuple[int, npt.NDArray[np.float64]] | None = None  # a step of the epoch, the rates from it on
        self.began: Callable[[], None] | None = None  # called when all have been told of the beginning
        self.stopped_by: list[int] = []  # who has asked for the end: places in who_remember, -1 for another
        self._start = time.monotonic()

    @property
    def is_eventful(self) -> bool:
        """Whether anybody has to be asked or told anything between epochs."""
        parts = (self.watchers, self.schedule, self.average, self.measure, self.save)
        return any(part is not None and part != [] for part in parts)

    def rates(self, epoch: int, step: int, count: int) -> npt.NDArray[np.float64]:
        """The learning rates of steps of an epoch, as the core asks for them."""
        assert self.schedule is not None
        self._next_step = self.first_step + step + count
        rates = self.schedule.rates(self.epochs_resumed + epoch, self.first_step + step, count)
        self._latest = step, rates
        return rates

    def rate_of(self, step: int, without: float) -> float:
        """The learning rate of a step of the last epoch; where there is no schedule, the one given."""
        if self._latest is None:
            return without
        first, rates = self._latest
        return float(rates[min(max(step - first, 0), len(rates) - 1)])

    def after_epoch(self, epoch: int, loss: float, val_loss: float | None, lr: float, seconds: float) -> bool:
        """What the core calls at the end of an epoch: True where the fit shall end."""
        logs = {"loss": loss} if val_loss is None else {"loss": loss, "val_loss": val_loss}
        number = self.epochs_done
        with self.average.shown() if self.average else nullcontext():
            if self.measure is not None:
                self.measure(logs)
            logs |= {"lr": lr, "seconds": self.seconds_before + seconds}
            self._note(logs)
            if self.schedule is not None:
                self.schedule.see(logs)
                self.first_step = self._next_step
            answers = [call(watcher, "on_epoch_end", number, dict(logs)) for watcher in self.watchers]
        who_stop = [
            watcher
            for watcher, answer in zip(self.watchers, answers, strict=True)
            if isinstance(answer, (bool, np.bool_)) and bool(answer)
        ]
        self.stopped_by = [self.who_remember.index(one) if one in self.who_remember else -1 for one in who_stop]
        if self.save is not None:
            self.save(bool(self.stopped_by) or self.epochs_done == self.epochs)
        return bool(self.stopped_by)

    @property
    def seconds_so_far(self) -> float:
        """Since the fit began, without the time between its end and being resumed."""
        return self.seconds_before + time.monotonic() - self._start

    def resume(
        self, epochs: int, columns: dict[str, list[float]], seconds: float, first_step: int, stopped_by: list[int]
    ) -> None:
        """Go on where another run of this fit has ended."""
        self.epochs_done = self.epochs_resumed = epochs
        self.columns = {name: list(column) for name, column in columns.items()}
        self.seconds_before, self.first_step, self.stopped_by = seconds, first_step, stopped_by
        self._start = time.monotonic()

    def epochs_left(self) -> int:
        """How many are still to come: none where one who asked for the end before would do so again."""
        # Whoever cannot be asked whether it is still over has said so once and for all.
        who_stopped = [
            getattr(self.who_remember[place], "is_over", None) if place >= 0 else None for place in self.stopped_by
        ]
        is_over = any(ask is None or ask() for ask in who_stopped)
        return 0 if is_over else self.epochs - self.epochs_done

    def _note(self, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            self.columns.setdefault(name, []).append(value)
        self.epochs_done += 1

    def history(self, result: Result, validates: bool) -> dict[str, list[float]]:
        """The columns of the history, of a fit in which nothing happened those of its result."""
        if self.is_eventful and self.columns:
            return self.columns
        val_loss = {"val_loss": result.val_loss} if validates else {}
        return {"loss": result.loss, **val_loss, "lr": result.lr, "seconds": result.seconds}

    @property
    def who_remember(self) -> list[Any]:
        """The watchers whose state a checkpoint keeps."""
        return [watcher for watcher in self.watchers if hasattr(watcher, "state_dict")]

    def tell_of_fit(self, network: Any, endings: ExitStack, states: list[dict[str, Any]] | None) -> None:
        """Tell the watchers that it begins, and give back the states with which they left it."""
        going_back = endings.enter_context(ExitStack())  # after the watchers have been told of the end
        if self.undo is not None:
            going_back.callback(self.undo)
        for watcher in self.watchers:
            call(watcher, "on_fit_begin", network)
            # Whoever was told of the beginning is told of the end.
            endings.callback(call, watcher, "on_fit_end", network)
        for watcher, state in zip(self.who_remember if states else [], states or [], strict=True):
            call(watcher, "load_state_dict", state)
        if self.began is not None:
            self.began()
        going_back.pop_all()
