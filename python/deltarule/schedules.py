"""Schedules of the learning rate, with torch's names, defaults and numbers; OneCycleLR, LinearWarmup and
ReduceLROnPlateau have files of their own.

To add one: a frozen dataclass whose `_over` gives its course, mostly a function of the epochs or steps before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise

from .names import require_integer
from .one_cycle import OneCycleLR
from .plateau import ReduceLROnPlateau
from .schedule import PerEpoch, PerStep, Schedule, ScheduleRun, Span, power
from .warmup import LinearWarmup

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LinearWarmup",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "Schedule",
    "StepLR",
]


@dataclass(frozen=True)
class StepLR(Schedule):
    r"""Multiplies the rate by gamma every step_size epochs.

    .. math:: \text{lr}_t = \text{lr} \cdot \gamma^{\lfloor t / \text{step\_size} \rfloor}

    in epoch t = 0, 1, ….

    Parameters
    ----------
    lr : float
        The rate at the beginning, at least 0.
    step_size : int
        In epochs, at least 1.
    gamma : float, default=0.1
        At least 0.

    Examples
    --------
    >>> from deltarule import SGD
    >>> SGD(lr=StepLR(0.1, step_size=30), momentum=0.9).lr
    StepLR(lr=0.1, step_size=30, gamma=0.1)
    >>> StepLR(1.0, step_size=2, gamma=0.5).rates(epochs=5)
    array([1.  , 1.  , 0.5 , 0.5 , 0.25])
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        self._check("lr", "gamma", least=0.0)
        self._check_integer("step_size", least=1)

    def _over(self, span: Span) -> ScheduleRun:
        return PerEpoch(lambda epoch: self.lr * power(self.gamma, epoch // self.step_size))


@dataclass(frozen=True)
class MultiStepLR(Schedule):
    r"""Multiplies the rate by gamma when an epoch of the milestones begins.

    .. math:: \text{lr}_t = \text{lr} \cdot \gamma^{|\{m \in \text{milestones} : m \le t\}|}

    in epoch t = 0, 1, ….

    Parameters
    ----------
    lr : float
        The rate at the beginning, at least 0.
    milestones : sequence of int
        Epochs, each later than the one before, the first at least 1.
    gamma : float, default=0.1
        At least 0.

    Examples
    --------
    >>> MultiStepLR(1.0, milestones=[2, 3], gamma=0.5).rates(epochs=5)
    array([1.  , 1.  , 0.5 , 0.25, 0.25])
    """

    lr: float
    milestones: Sequence[int]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        self._check("lr", "gamma", least=0.0)
        if isinstance(self.milestones, str) or not hasattr(self.milestones, "__iter__"):
            raise TypeError(f"milestones={self.milestones!r}: expected a list of epochs, such as [30, 80]")
        epochs = tuple(
            require_integer(f"milestones[{place}]", epoch, least=1) for place, epoch in enumerate(self.milestones)
        )
        if any(later <= earlier for earlier, later in pairwise(epochs)):
            raise ValueError(f"milestones={self.milestones!r}: expected each epoch to be later than the one before")
        object.__setattr__(self, "milestones", epochs)

    def _over(self, span: Span) -> ScheduleRun:
        return PerEpoch(lambda epoch: self.lr * power(self.gamma, bisect_right(self.milestones, epoch)))


@dataclass(frozen=True)
class ExponentialLR(Schedule):
    r"""Multiplies the rate by gamma after each epoch.

    .. math:: \text{lr}_t = \text{lr} \cdot \gamma^t

    in epoch t = 0, 1, ….

    Parameters
    ----------
    lr : float
        The rate at the beginning, at least 0.
    gamma : float
        At least 0.

    Examples
    --------
    >>> ExponentialLR(1.0, gamma=0.5).rates(epochs=4)
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    lr: float
    gamma: float

    def __post_init__(self) -> None:
        self._check("lr", "gamma", least=0.0)

    def _over(self, span: Span) -> ScheduleRun:
        return PerEpoch(lambda epoch: self.lr * power(self.gamma, epoch))


@dataclass(frozen=True)
class CosineAnnealingLR(Schedule):
    r"""Lets the rate fall along half a cosine.

    .. math:: \text{lr}_t = \eta_\text{min} + (\text{lr} - \eta_\text{min}) \, \frac{1 + \cos(\pi t / T)}{2}

    for t = 0, 1, …, which counts epochs where T is total_epochs, and steps where it is total_steps.

    Parameters
    ----------
    lr : float
        The rate at the beginning, at least 0.
    total_epochs : int, optional
        T, torch's T_max; at least 1. None without total_steps: the epochs of the training.
    total_steps : int, optional
        In its place T in steps, at least 1: the rate then changes from batch to batch.
    eta_min : float, default=0.0
        Where it leads, at least 0.

    Notes
    -----
    The last epoch is t = T - 1, so eta_min itself is reached only by a training that goes on. It then rises again, as
    the formula says and as torch does. torch computes each rate from the one before, which rounds a little otherwise.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5; without
    restarts.

    Examples
    --------
    >>> CosineAnnealingLR(1.0).rates(epochs=4).round(3)
    array([1.   , 0.854, 0.5  , 0.146])
    >>> CosineAnnealingLR(1.0, total_steps=6).rates(epochs=2, steps_per_epoch=3).round(3)
    array([1.   , 0.933, 0.75 , 0.5  , 0.25 , 0.067])
    """

    lr: float
    total_epochs: int | None = None
    _: KW_ONLY
    total_steps: int | None = None
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        self._check("lr", "eta_min", least=0.0)
        given = [argument for argument in ("total_epochs", "total_steps") if getattr(self, argument) is not None]
        if len(given) == 2:
            raise ValueError(
                f"total_epochs={self.total_epochs!r} and total_steps={self.total_steps!r} are both given: choose one"
            )
        self._check_integer(*given, least=1)

    def _over(self, span: Span) -> ScheduleRun:
        if self.total_steps is not None:
            steps = self.total_steps
            return PerStep(lambda step: self._rate(step, steps))
        epochs = span.epochs if self.total_epochs is None else self.total_epochs
        if epochs is None:
            raise ValueError(f"{self!r}: how many epochs there will be is not known; give total_epochs or total_steps")
        return PerEpoch(lambda epoch: self._rate(epoch, max(epochs, 1)))

    def _rate(self, count: int, total: int) -> float:
        # Written as torch has it: near its zero, 1 + cos keeps so few digits that another form would differ in them.
        return self.eta_min + (self.lr - self.eta_min) * (1 + math.cos(math.pi * count / total)) / 2
