"""LinearWarmup: the learning rate rises in a line, to where it stays or where another schedule begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from .names import require_integer
from .schedule import PerEpoch, Rates, Schedule, ScheduleRun, Span, State

__all__ = ["LinearWarmup"]


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    r"""Raises the rate in a line, from step to step or from epoch to epoch, and then follows another schedule.

    .. math:: \text{lr}_t = \text{lr} \left(f + (1 - f) \, \frac{t}{T}\right), \qquad t = 0, \ldots, T - 1

    with f = start_factor and T = steps, or T = epochs. From t = T on the rate is lr itself, or that of the schedule.

    Parameters
    ----------
    schedule : float or Schedule
        What follows: a rate, at least 0, or a schedule, whose base rate is the lr of the formula.
    steps : int, optional
        How long it takes, at least 1: the rate changes from batch to batch.
    epochs : int, optional
        In its place the length in epochs, at least 1: the rate changes from epoch to epoch.
    start_factor : float, default=1/3
        Above 0, at most 1.

    Notes
    -----
    It is torch's ``SequentialLR([LinearLR(…, total_iters=T), schedule], milestones=[T])``: the schedule begins when
    the warmup is over. Its own steps count from there. So do its epochs: after a warmup in epochs the next one is its
    epoch 0, and after one in steps the epoch in which the first step after it lies, which may have begun with
    the warmup. Where the schedule takes its length from the training, it gets what the warmup leaves of it. It sees
    (as `ReduceLROnPlateau` does) the epochs at whose end the warmup is over.

    References
    ----------
    P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv:1706.02677, section 2.2.

    Examples
    --------
    >>> LinearWarmup(1.0, steps=4, start_factor=0.2).rates(epochs=1, steps_per_epoch=6)
    array([0.2, 0.4, 0.6, 0.8, 1. , 1. ])
    >>> from deltarule.schedules import CosineAnnealingLR
    >>> LinearWarmup(CosineAnnealingLR(1.0), epochs=2, start_factor=0.5).rates(epochs=6).round(3)
    array([0.5  , 0.75 , 1.   , 0.854, 0.5  , 0.146])
    """

    schedule: float | Schedule
    steps: int | None = None
    _: KW_ONLY
    epochs: int | None = None
    start_factor: float = 1 / 3

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, Schedule):
            self._check("schedule", least=0.0)
        given = [argument for argument in ("steps", "epochs") if getattr(self, argument) is not None]
        if len(given) != 1:
            raise ValueError(f"steps={self.steps!r} and epochs={self.epochs!r}: give one of them")
        self._check_integer(*given, least=1)
        self._check("start_factor", above=0.0, most=1.0)

    @property
    def lr(self) -> float:
        """The rate it leads to: the base rate of what follows."""
        return self.schedule.lr if isinstance(self.schedule, Schedule) else self.schedule

    @property
    def first_lr(self) -> float:
        """The rate of the first step, start_factor · lr."""
        return self.factor(0) * self.lr

    def factor(self, count: int) -> float:
        """What the rate is multiplied by after so many steps, or epochs."""
        length = self.epochs if self.steps is None else self.steps
        assert length is not None
        return self.start_factor + (1.0 - self.start_factor) * count / length

    def _over(self, span: Span) -> ScheduleRun:
        if self.steps is not None:
            return _StepsFirst(self, self.steps, span)
        assert self.epochs is not None
        return _EpochsFirst(self, self.epochs, span)

    def _follow(self, span: Span) -> ScheduleRun:
        """What comes after the warmup, over what is left to it."""
        lr = self.lr
        return self.schedule._over(span) if isinstance(self.schedule, Schedule) else PerEpoch(lambda epoch: lr)


class _WarmupRun(ScheduleRun):
    """A warmup, then the course of what follows."""

    start: int | None  # where what follows has begun, in the unit that the warmup does not count in
    is_over: bool = False  # at the end of the steps last asked for
    then: ScheduleRun

    def see(self, logs: Mapping[str, float]) -> None:
        if self.is_over:
            self.then.see(logs)

    def state(self) -> State:
        return {"start": self.start, **{f"then.{name}": value for name, value in self.then.state().items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        start = None if state["start"] is None else require_integer("start", state["start"], least=0)
        self.then.restore({name.removeprefix("then."): state[name] for name in state if name.startswith("then.")})
        self.start = start


class _StepsFirst(_WarmupRun):
    start: int  # an epoch

    def __init__(self, warmup: LinearWarmup, steps: int, span: Span) -> None:
        self.warmup, self.steps = warmup, steps
        self.start = steps // span.steps_per_epoch if span.steps_per_epoch else 0
        self.then = warmup._follow(
            Span(
                None if span.epochs is None or span.steps is None else max(span.epochs - self.start, 0),
                None if span.steps is None else max(span.steps - steps, 0),
                span.steps_per_epoch,
            )
        )

    def rates(self, epoch: int, first_step: int, count: int) -> Rates:
        self.is_over = first_step + count >= self.steps
        if first_step <= self.steps:  # the last such epoch is the one that holds the first step after the warmup
            self.start = max(self.start, epoch)
        warm = min(max(self.steps - first_step, 0), count)
        if warm == 0:
            return self.then.rates(epoch - self.start, first_step - self.steps, count)
        rates = np.empty(count)
        rates[:warm] = [self.warmup.lr * self.warmup.factor(step) for step in range(first_step, first_step + warm)]
        if warm < count:
            rates[warm:] = self.then.rates(epoch - self.start, 0, count - warm)
        return rates


class _EpochsFirst(_WarmupRun):
    def __init__(self, warmup: LinearWarmup, epochs: int, span: Span) -> None:
        self.warmup, self.epochs = warmup, epochs
        self.start = None if span.steps_per_epoch is None else epochs * span.steps_per_epoch
        self.then = warmup._follow(
            Span(
                None if span.epochs is None else max(span.epochs - epochs, 0),
                None if span.steps is None or self.start is None else max(span.steps - self.start, 0),
                span.steps_per_epoch,
            )
        )

    def rates(self, epoch: int, first_step: int, count: int) -> Rates:
        self.is_over = epoch + 1 >= self.epochs
        if epoch < self.epochs:
            return np.array([self.warmup.lr * self.warmup.factor(epoch)])
        if self.start is None:
            self.start = first_step
        return self.then.rates(epoch - self.epochs, first_step - self.start, count)
