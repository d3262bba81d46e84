"""A number of the logs to look at, and which of two is the better one."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..metrics import higher_is_better
from ..names import did_you_mean, require_number

__all__ = ["Monitor"]

_MODES = ("auto", "min", "max")


class Monitor:
    """What a callback watches; ``better = value + min_delta < best``, or the other way round, as in Keras.

    Parameters
    ----------
    owner : str
        The callback, for messages.
    name : str
        As in the logs.
    mode : {"auto", "min", "max"}
    min_delta : float, default=0.0
    """

    def __init__(self, owner: str, name: str, mode: str, min_delta: float = 0.0) -> None:
        if not isinstance(name, str):
            raise TypeError(
                f"monitor={name!r} is {type(name).__name__}: expected a name in the logs, such as 'val_loss'"
            )
        if not isinstance(mode, str):
            raise TypeError(f"mode={mode!r} is {type(mode).__name__}: expected 'auto', 'min' or 'max'")
        if mode not in _MODES:
            raise ValueError(f"mode={mode!r} is unknown: {did_you_mean(mode, _MODES)}")
        higher = higher_is_better(name) if mode == "auto" else mode == "max"
        if higher is None:
            raise ValueError(
                f"monitor={name!r}: whether more of it is better is not known; pass mode='min' where less is better, "
                "mode='max' where more is"
            )
        self.owner, self.name, self.mode = owner, name, mode
        self.min_delta = require_number("min_delta", min_delta, least=0.0)
        self._sign = -1.0 if higher else 1.0

    def value(self, logs: Mapping[str, float]) -> float:
        """Its number in the logs of an epoch, or ValueError with what they have."""
        if self.name in logs:
            return float(logs[self.name])
        metric = self.name.removeprefix("val_")
        steps = ["validation_data or validation_split"] if metric != self.name else []
        if metric not in ("loss", "score") and metric not in logs:
            steps.append(f"metrics=[{metric!r}]")
        step = f"pass {' and '.join(steps)} to fit, or " if steps else ""
        raise ValueError(
            f"{self.owner} watches monitor={self.name!r}, but this fit logs {', '.join(logs)}; {step}choose another "
            "monitor"
        )

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether the value is better than the best one before; NaN and the worse infinity never are."""
        before = math.inf if best is None else self._sign * best
        return self._sign * value + self.min_delta < before
