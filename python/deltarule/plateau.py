"""ReduceLROnPlateau: the learning rate is lowered when nothing gets better any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .metrics import higher_is_better
from .names import require_integer, require_number
from .schedule import PerEpoch, Schedule, ScheduleRun, Span, State

__all__ = ["ReduceLROnPlateau"]


@dataclass(frozen=True)
class ReduceLROnPlateau(Schedule):
    r"""Multiplies the rate by factor when more than patience epochs one after the other were no better than the best.

    .. math:: \text{lr} \leftarrow \max(\text{factor} \cdot \text{lr}, \text{min\_lr})

    Parameters
    ----------
    lr : float
        The rate at the beginning, at least 0.
    monitor : str, default="val_loss"
        What is looked at: "loss", "val_loss" or a metric of the fit. Where there is no validation, "loss" stands in
        for "val_loss".
    mode : {"min", "max"}, default="min"
        Whether better is lower or higher; of a metric such as "accuracy", of which more is better, it has to be "max".
    factor : float, default=0.1
        From 0, below 1.
    patience : int, default=10
        How many epochs that are no better are let pass, at least 0.
    threshold : float, default=1e-4
        At least 0. Better is below best · (1 - threshold) with mode "min", above best · (1 + threshold) with "max".
    threshold_mode : {"rel", "abs"}, default="rel"
        "abs": below best - threshold, or above best + threshold.
    cooldown : int, default=0
        For how many epochs nothing is counted after the rate was lowered, at least 0.
    min_lr : float, default=0.0
        No rate is lowered below it; at least 0.
    eps : float, default=1e-8
        At least 0; the rate stays where it is if it would be lowered by no more than this.

    Notes
    -----
    An epoch whose value is NaN is no better than any other. What is monitored and how are torch's `step(metrics)`; the
    names of the values are those of the history.

    Examples
    --------
    >>> course = ReduceLROnPlateau(1.0, "loss", factor=0.5, patience=1).begin()
    >>> for epoch, loss in enumerate([0.9, 0.8, 0.8, 0.8, 0.7]):
    ...     print(f"epoch {epoch}: lr={course.rates(epoch, epoch, 1)[0]}, loss={loss}")
    ...     course.see({"loss": loss})
    epoch 0: lr=1.0, loss=0.9
    epoch 1: lr=1.0, loss=0.8
    epoch 2: lr=1.0, loss=0.8
    epoch 3: lr=1.0, loss=0.8
    epoch 4: lr=0.5, loss=0.7
    """

    lr: float
    monitor: str = "val_loss"
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        self._check("lr", "threshold", "min_lr", "eps", least=0.0)
        if not isinstance(self.monitor, str):
            raise TypeError(f"monitor={self.monitor!r}: expected the name of a number in the history, such as 'loss'")
        self._check_choice("mode", "min", "max")
        if higher_is_better(self.monitor) not in (None, self.mode == "max"):  # it would be lowered where all is well
            better, mode = ("less", "min") if self.mode == "max" else ("more", "max")
            raise ValueError(
                f"mode={self.mode!r} with monitor={self.monitor!r}, of which {better} is better: pass mode={mode!r}"
            )
        self._check_choice("threshold_mode", "rel", "abs")
        self._check("factor", least=0.0, below=1.0)
        self._check_integer("patience", "cooldown", least=0)

    def is_better(self, value: float, best: float) -> bool:
        """Whether a value is better than the best so far by more than the threshold."""
        sign = 1 if self.mode == "max" else -1
        margin = best + sign * self.threshold if self.threshold_mode == "abs" else best * (1 + sign * self.threshold)
        return value > margin if self.mode == "max" else value < margin

    def _over(self, span: Span) -> ScheduleRun:
        return PlateauRun(self)


class PlateauRun(PerEpoch):
    """The rate so far, and since when nothing was better."""

    def __init__(self, schedule: ReduceLROnPlateau) -> None:
        super().__init__(lambda epoch: self.lr)
        self.schedule = schedule
        self.lr = schedule.lr
        self.best: float | None = None
        self.bad_epochs = 0
        self.cooldown = 0

    def see(self, logs: Mapping[str, float]) -> None:
        schedule, value = self.schedule, self._monitored(logs)
        worst = -math.inf if schedule.mode == "max" else math.inf
        if schedule.is_better(value, worst if self.best is None else self.best):
            self.best, self.bad_epochs = value, 0
        else:
            self.bad_epochs += 1
        if self.cooldown > 0:
            self.cooldown -= 1
            self.bad_epochs = 0
        if self.bad_epochs > schedule.patience:
            lower = max(self.lr * schedule.factor, schedule.min_lr)
            if self.lr - lower > schedule.eps:
                self.lr = lower
            self.cooldown, self.bad_epochs = schedule.cooldown, 0

    def _monitored(self, logs: Mapping[str, float]) -> float:
        monitor = self.schedule.monitor
        if monitor == "val_loss" and monitor not in logs:
            monitor = "loss"
        if monitor not in logs:
            raise ValueError(
                f"ReduceLROnPlateau has monitor={self.schedule.monitor!r}, and the epoch has no such number: it has "
                f"{', '.join(logs) or 'none'}"
            )
        return float(logs[monitor])

    def state(self) -> State:
        return {"lr": self.lr, "best": self.best, "bad_epochs": self.bad_epochs, "cooldown": self.cooldown}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        lr = require_number("lr", state["lr"], least=0.0)
        best = None if state["best"] is None else require_number("best", state["best"])
        bad_epochs = require_integer("bad_epochs", state["bad_epochs"], least=0)
        cooldown = require_integer("cooldown", state["cooldown"], least=0)
        self.lr, self.best, self.bad_epochs, self.cooldown = lr, best, bad_epochs, cooldown
