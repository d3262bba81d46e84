"""The one exception of deltarule's own; all else is a TypeError, ValueError or RuntimeError that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .history import History

__all__ = ["DivergenceError"]


class DivergenceError(FloatingPointError):
    """Training came to a loss or a weight that is not finite.

    The network has been given back the weights from the end of the last finite epoch.

    Attributes
    ----------
    epoch, step : int
        Where, counted from 0; step counts the updates within the epoch.
    layer : int
        The first layer, counted from 0, whose weights or outputs were not finite; -1 when only the loss was not.
    history : History or None
        The epochs before.
    """

    def __init__(self, message: str, *, epoch: int, step: int, layer: int, history: History | None = None) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.layer = layer
        self.history = history
