"""LambdaCallback: functions as a callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["LambdaCallback"]


class LambdaCallback:
    """A callback made of functions.

    Parameters
    ----------
    on_fit_begin : callable, optional
        Called with the network.
    on_epoch_end : callable, optional
        Called with the epoch, from 0, and a dict of its numbers; where it returns True the fit stops.
    on_fit_end : callable, optional
        Called with the network, after an error too.

    Examples
    --------
    >>> import deltarule as dr
    >>> from deltarule.callbacks import LambdaCallback
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)])
    >>> enough = LambdaCallback(on_epoch_end=lambda epoch, logs: logs["loss"] < 0.1)
    >>> history = network.fit(X, y, loss="mse", optimizer=dr.Adam(0.02), epochs=1000, callbacks=[enough])
    >>> history["loss"][-1] < 0.1 <= history["loss"][-2]
    True
    """

    def __init__(
        self,
        on_fit_begin: Callable[[Any], object] | None = None,
        on_epoch_end: Callable[[int, dict[str, float]], object] | None = None,
        on_fit_end: Callable[[Any], object] | None = None,
    ) -> None:
        self._functions = {"on_fit_begin": on_fit_begin, "on_epoch_end": on_epoch_end, "on_fit_end": on_fit_end}
        for name, function in self._functions.items():
            if function is not None and not callable(function):
                raise TypeError(f"{name}={function!r} is {type(function).__name__}: expected a function")
        self._begin, self._epoch, self._end = on_fit_begin, on_epoch_end, on_fit_end

    def on_fit_begin(self, network: Any) -> None:
        """Call the function, if there is one."""
        if self._begin is not None:
            self._begin(network)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> object:
        """Call the function, if there is one, and say what it says."""
        return None if self._epoch is None else self._epoch(epoch, logs)

    def on_fit_end(self, network: Any) -> None:
        """Call the function, if there is one."""
        if self._end is not None:
            self._end(network)

    def __repr__(self) -> str:
        given = [f"{name}={function!r}" for name, function in self._functions.items() if function is not None]
        return f"LambdaCallback({', '.join(given)})"
