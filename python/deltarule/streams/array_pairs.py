"""Arrays that are in memory already or mapped from a file: taken slice by slice, never as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .chunk import Chunk, checked_chunk
from .source import Source

__all__ = ["ArrayPair"]


class ArrayPair(Source):
    """X and y, perhaps weights: anything array-like that has a length and can be sliced.

    Parameters
    ----------
    arrays : tuple
        (X, y) or (X, y, sample_weight).
    """

    kind = "arrays"

    def __init__(self, arrays: tuple[Any, ...]) -> None:
        if not 2 <= len(arrays) <= 3:
            raise ValueError(f"source is a tuple of {len(arrays)}: expected (X, y) or (X, y, sample_weight)")
        lengths = [_length(array, name) for array, name in zip(arrays, Chunk._fields, strict=False)]
        for name, length in zip(Chunk._fields[1:], lengths[1:], strict=False):
            if length != lengths[0]:
                raise ValueError(f"X has {lengths[0]} rows but {name} has {length}: each row needs its own")
        if lengths[0] == 0:
            raise ValueError("source has no rows: X is empty")
        self.n_samples: int = lengths[0]
        self._arrays = arrays
        self._first = self._slice(0, 1)  # what is wrong with the types is said at once

    def batches(self, rows: int) -> Iterator[Chunk]:
        """Slices of `rows`, views where the arrays are NumPy's."""
        for start in range(0, self.n_samples, rows):
            yield self._slice(start, min(start + rows, self.n_samples))

    def _slice(self, start: int, stop: int) -> Chunk:
        parts = (array.iloc[start:stop] if hasattr(array, "iloc") else array[start:stop] for array in self._arrays)
        return checked_chunk(*parts, first_row=start)

    def identity(self) -> dict[str, Any]:
        """Dtypes and shapes."""
        return {
            "n_samples": self.n_samples,
            "arrays": [None if array is None else [array.dtype.str, list(array.shape[1:])] for array in self._first],
        }

    def __str__(self) -> str:
        return "the arrays"


def _length(array: Any, name: str) -> int:
    shape = getattr(array, "shape", None)
    if isinstance(shape, tuple) and shape:
        return int(shape[0])
    if isinstance(array, (list, tuple)):
        return len(array)
    what = "None" if array is None else f"of type {type(array).__name__}"
    raise TypeError(f"{name} is {what}: expected an array with rows")
