"""What all schedules of the learning rate have in common: frozen values, and their course through one training.

To add one: a frozen dataclass in schedules.py, or in a file beside it, that says what its rate is a function of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .names import require_integer, require_number

__all__ = ["PerEpoch", "PerStep", "Schedule", "ScheduleRun", "Span", "State", "power"]

Rates = npt.NDArray[np.float64]
State = dict[str, float | int | None]


class Span(NamedTuple):
    """How much of a training a schedule has before it; None where nobody knows."""

    epochs: int | None
    steps: int | None
    steps_per_epoch: int | None


class ScheduleRun:
    """A schedule in the course of one training: asked for the rates of steps, told how epochs ended."""

    def rates(self, epoch: int, first_step: int, count: int) -> Rates:
        """The rates of steps one after the other within an epoch.

        Parameters
        ----------
        epoch : int
            Of this training, counted from 0.
        first_step : int
            The number of the first of them, counted from 0 over all epochs of this training.
        count : int
            How many there are.

        Returns
        -------
        ndarray of shape (1,) or (count,)
            One rate for all of them, or one for each.
        """
        raise NotImplementedError

    def see(self, logs: Mapping[str, float]) -> None:
        """After each epoch: its loss and what else was measured."""

    def state(self) -> State:
        """What the next rates depend on beside their numbers, for `restore`."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was asked for."""
        if set(state) != set(self.state()):
            raise ValueError(f"the state of the schedule has {sorted(state)}: expected {sorted(self.state())}")


class PerEpoch(ScheduleRun):
    """The rate is a function of how many epochs were before."""

    def __init__(self, rate: Callable[[int], float]) -> None:
        self._rate = rate

    def rates(self, epoch: int, first_step: int, count: int) -> Rates:
        return np.array([self._rate(epoch)])


class PerStep(ScheduleRun):
    """The rate is a function of how many steps were before."""

    def __init__(self, rate: Callable[[int], float]) -> None:
        self._rate = rate

    def rates(self, epoch: int, first_step: int, count: int) -> Rates:
        return np.array([self._rate(step) for step in range(first_step, first_step + count)])


@dataclass(frozen=True)
class Schedule:
    """A learning rate that changes in the course of a training: it takes the place of the number, ``Adam(lr=…)``.

    Each training begins it anew. Schedules are functions of the epoch, as torch's are where ``scheduler.step()`` is
    called once an epoch, or of the step, where it is called after each batch; each says which.

    Attributes
    ----------
    lr : float
        The base rate, which the optimizer would have without the schedule.
    """

    if TYPE_CHECKING:

        @property
        def lr(self) -> float: ...

    @property
    def first_lr(self) -> float:
        """The rate of the first step, or the base rate where that depends on how long the training is."""
        return self.lr

    def begin(self, epochs: int | None = None, steps_per_epoch: int | None = None) -> ScheduleRun:
        """The schedule at the beginning of a training.

        Parameters
        ----------
        epochs, steps_per_epoch : int, optional
            How long the training is planned to be; None where that is not known.

        Returns
        -------
        ScheduleRun

        Raises
        ------
        ValueError
            The schedule needs to know how long the training is, or is shorter than it.
        """
        if epochs is not None:
            epochs = require_integer("epochs", epochs, least=0)
        if steps_per_epoch is not None:
            steps_per_epoch = require_integer("steps_per_epoch", steps_per_epoch, least=0)
        steps = None if epochs is None or steps_per_epoch is None else epochs * steps_per_epoch
        return self._over(Span(epochs, steps, steps_per_epoch))

    def rates(self, epochs: int, steps_per_epoch: int = 1) -> Rates:
        """The rates of all steps of a training, to look at or to plot.

        Parameters
        ----------
        epochs : int
        steps_per_epoch : int, default=1
            The number of batches, ``ceil(n_samples / batch_size)``.

        Returns
        -------
        ndarray of shape (epochs * steps_per_epoch,)

        Examples
        --------
        >>> from deltarule.schedules import StepLR
        >>> StepLR(1.0, step_size=2, gamma=0.5).rates(epochs=5)
        array([1.  , 1.  , 0.5 , 0.5 , 0.25])
        """
        run, rates = self.begin(epochs, steps_per_epoch), np.empty((epochs, steps_per_epoch))
        for epoch in range(epochs):
            rates[epoch] = run.rates(epoch, epoch * steps_per_epoch, steps_per_epoch)
        return rates.ravel()

    def _over(self, span: Span) -> ScheduleRun:
        """Its course over so many epochs and steps."""
        raise NotImplementedError

    def _check(self, *arguments: str, **bounds: float) -> None:
        for argument in arguments:
            object.__setattr__(self, argument, require_number(argument, getattr(self, argument), **bounds))

    def _check_integer(self, *arguments: str, least: int) -> None:
        for argument in arguments:
            object.__setattr__(self, argument, require_integer(argument, getattr(self, argument), least=least))

    def _check_choice(self, argument: str, *choices: str) -> None:
        if getattr(self, argument) not in choices:
            expected = " or ".join(repr(choice) for choice in choices)
            raise ValueError(f"{argument}={getattr(self, argument)!r}: expected {expected}")


def power(base: float, exponent: int) -> float:
    """base**exponent, infinite where it is too large for a float: the training then diverges, and says so.

    Examples
    --------
    >>> power(0.5, 2), power(2.0, 5000)
    (0.25, inf)
    """
    try:
        return base**exponent
    except OverflowError:
        return math.inf
