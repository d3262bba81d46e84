"""TimeLimit: the end of a fit that has taken long enough."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..names import require_number
from .state import read_state

__all__ = ["TimeLimit"]


class TimeLimit:
    """A callback that lets no epoch begin after some time; the one under way is finished.

    Parameters
    ----------
    seconds : float
        Above 0, by a clock that nobody sets. A resumed fit counts the time before it was interrupted, up to its last
        checkpoint.

    Examples
    --------
    >>> import deltarule as dr
    >>> from deltarule.callbacks import TimeLimit
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)])
    >>> history = network.fit(X, y, loss="mse", epochs=10**9, callbacks=[TimeLimit(0.1)])
    >>> 0.05 < history["seconds"][-1] < 10
    True
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = require_number("seconds", seconds, above=0.0)
        self._began = time.monotonic()
        self._before = 0.0  # seconds, in fits that this one goes on with

    def on_fit_begin(self, network: Any) -> None:
        """Start the clock."""
        self._began, self._before = time.monotonic(), 0.0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> bool:
        """True where the time is over."""
        return self._elapsed() >= self.seconds

    def _elapsed(self) -> float:
        return self._before + time.monotonic() - self._began

    def is_over(self) -> bool:
        """Whether it would still end a fit that is resumed, with the seconds that it has now."""
        return self._elapsed() >= self.seconds

    def state_dict(self) -> dict[str, Any]:
        """The time that is over."""
        return {"elapsed": self._elapsed()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state that a fit kept, after on_fit_begin.

        Parameters
        ----------
        state : mapping of str to float
            What state_dict returned.
        """
        (elapsed,) = read_state("TimeLimit", state, {"elapsed": (int, float)})
        self._before = require_number("elapsed", elapsed, least=0.0)

    def __repr__(self) -> str:
        return f"TimeLimit({self.seconds:g})"
