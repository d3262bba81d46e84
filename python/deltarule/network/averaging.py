"""The average of the weights that `EMA` asks for: kept by the core, shown to everybody but the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .structure import Array, Structure

__all__ = ["Average", "average_of"]


class Average:
    """Beside the network's parameters their average, in the same layout."""

    def __init__(self, network: Structure, decay: float) -> None:
        self._network, self.decay = network, decay
        self.flat: Array = network._native.allocate()
        self.flat[...] = network._flat
        self.steps = np.zeros(1, np.int64)  # that it is of; the core counts in it

    def for_core(self) -> tuple[float, Array, Array]:
        return self.decay, self.flat, self.steps

    def settle(self) -> None:
        """From now on the network has the average."""
        self._network._flat[...] = self.flat

    @contextmanager
    def shown(self) -> Iterator[None]:
        """For a moment the network has the average: between two steps of a fit, while all of its threads wait."""
        weights = np.array(self._network._flat)
        self.settle()
        try:
            yield
        finally:
            self._network._flat[...] = weights


def average_of(callbacks: Sequence[Any]) -> tuple[float | None, Sequence[Any]]:
    """The decay of the `EMA` among the callbacks, and the others, which are told of epochs."""
    if not isinstance(callbacks, (list, tuple)) or not callbacks:
        return None, callbacks  # what is no list will be refused
    from ..callbacks import EMA

    found = [callback for callback in callbacks if isinstance(callback, EMA)]
    if len(found) > 1:
        raise ValueError(f"callbacks holds {len(found)} EMA: a fit keeps one average")
    others = [callback for callback in callbacks if not isinstance(callback, EMA)]
    return (found[0].decay if found else None), others
