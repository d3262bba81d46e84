"""Data as the core takes it: dense rows, compressed sparse rows, targets, and the orders that a RandomState draws."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from ..network.structure import Array

__all__ = ["Samples", "Shuffler", "for_core"]


@dataclass(frozen=True)
class Samples:
    """What a fit learns from, or what it is scored on."""

    X: Any  # a matrix or CSR, of the network's dtype
    y: Array  # class indices, or columns of targets, of the network's dtype
    sample_weight: Array | None
    of_class: Array | None = None  # the weight of each one's class, in training alone

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def inputs(self) -> Any:
        """X for the core."""
        return for_core(self.X)

    def weights(self) -> Array | None:
        """What each counts in training."""
        if self.of_class is None or self.sample_weight is None:
            return self.of_class if self.sample_weight is None else self.sample_weight
        return self.of_class * self.sample_weight

    def part(self, first: int, last: int) -> Samples:
        """Some of them, in a row."""
        weights = self.weights()
        rows = self.X.tocsr() if scipy.sparse.issparse(self.X) else self.X
        return Samples(rows[first:last], self.y[first:last], None if weights is None else weights[first:last])

    def stored_per_row(self) -> int:
        """How many numbers a row of X has in memory, on the average."""
        return int(self.X.nnz // len(self)) if scipy.sparse.issparse(self.X) else int(self.X.shape[1])

    def total_weight(self) -> float:
        """How much they count together."""
        weights = self.weights()
        return float(len(self) if weights is None else weights.sum(dtype=np.float64))


def for_core(X: Any) -> Any:
    """A matrix in C order, or (indptr, indices, data, n_features) of a sparse one."""
    if not scipy.sparse.issparse(X):
        return np.require(X, requirements=["C", "A"])
    rows = X.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return (
        np.ascontiguousarray(rows.indptr, np.int64),
        np.ascontiguousarray(rows.indices, np.int32),
        np.ascontiguousarray(rows.data),
        int(rows.shape[1]),
    )


class Shuffler:
    """Draws the orders of the samples from where a RandomState stands.

    A RandomState that others may use meanwhile, such as NumPy's global one, is copied, and told in the end.

    Parameters
    ----------
    random_state : RandomState
    n_samples : int
    is_shared : bool
        Whether anybody else knows the RandomState.
    """

    def __init__(self, random_state: np.random.RandomState, n_samples: int, is_shared: bool) -> None:
        self._random_state = random_state
        self._copy = copy.deepcopy(random_state) if is_shared else random_state
        self._generator: Any = self._copy._bit_generator
        self.order = np.arange(n_samples, dtype=np.int64)

    def for_core(self) -> tuple[Any, Array]:
        """The generator, and the order so far."""
        return self._generator, self.order

    def once(self) -> tuple[Any, Array]:
        """The order of a single epoch, drawn now."""
        self._random_state.shuffle(self.order)
        return None, self.order

    def place(self) -> dict[str, Any]:
        """Where the generator stands now."""
        return dict(self._generator.state)

    def go_to(self, place: dict[str, Any], order: Array) -> None:
        """Go on from a place that `place` told, with the order that was reached there."""
        self._generator.state = place
        self.order[:] = order

    def finish(self) -> None:
        """Let the RandomState go on from here."""
        if self._copy is not self._random_state:
            self._random_state.set_state(self._copy.get_state(legacy=False))
