"""Some rows of a stream with their targets: what sources give and trainings take; checked, hashed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arrays import to_array

__all__ = ["Chunk", "checked_chunk", "hash_chunk", "require_finite", "require_same_rows", "require_shapes"]

Array = npt.NDArray[Any]

_ROWS_AT_ONCE = 4096  # of a search for NaN, so that it takes next to no memory


class Chunk(NamedTuple):
    """Rows of features, their targets and, where the source has them, their weights; arrays as the source has them."""

    X: Array  # (rows, n_features) or (rows, n_steps, n_features)
    y: Array  # (rows,), (rows, n_outputs) or (rows, n_steps, n_outputs)
    sample_weight: Array | None = None  # (rows,)

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.X)

    def part(self, start: int, stop: int) -> Chunk:
        """Rows `start` to `stop` as views."""
        weight = self.sample_weight
        return Chunk(self.X[start:stop], self.y[start:stop], None if weight is None else weight[start:stop])


def hash_chunk(hasher: Any, chunk: Chunk) -> None:
    """Add all of a chunk to a hash: the dtypes, the shapes and the bytes, whatever the order in memory.

    Parameters
    ----------
    hasher : object of hashlib
        For instance `hashlib.blake2b()`, which is the fastest there.
    chunk : Chunk

    Examples
    --------
    >>> import hashlib
    >>> import numpy as np
    >>> hasher = hashlib.blake2b(digest_size=4)
    >>> hash_chunk(hasher, Chunk(np.eye(2), np.array([0, 1])))
    >>> hasher.hexdigest()
    '197f4973'
    """
    for array in chunk:
        if array is None:
            hasher.update(b"none")
            continue
        hasher.update(f"{array.dtype.str}{array.shape}".encode())
        hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def require_finite(array: Array, name: str, first_row: int = 0) -> None:
    """Raise ValueError with the place of the first NaN or infinity; `first_row` is the number of the array's first."""
    if array.dtype.kind != "f":
        return
    # A finite sum means finite numbers, whatever the order in memory; one that is not may only be too large.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return
    for start in range(0, len(array), _ROWS_AT_ONCE):
        wrong = ~np.isfinite(array[start : start + _ROWS_AT_ONCE])
        if wrong.any():
            row, *place = (int(index) for index in np.argwhere(wrong)[0])
            raise ValueError(
                f"{name}{[first_row + start + row, *place]} is {array[(start + row, *place)]}: every number must be "
                "finite; fill in or drop such rows first"
            )


def require_shapes(X: tuple[int, ...], y: tuple[int, ...], sample_weight: tuple[int, ...] | None = None) -> None:
    """Raise ValueError where these are no shapes of rows, their targets and their weights."""
    if len(X) not in (2, 3):
        step = "; X.reshape(-1, 1) makes rows of single features" if len(X) == 1 else ""
        raise ValueError(f"X has shape {X}: expected (rows, n_features), or (rows, n_steps, n_features){step}")
    if 0 in X[1:]:
        raise ValueError(f"X has shape {X}: expected at least one feature")
    if not 1 <= len(y) <= 3:
        raise ValueError(f"y has shape {y}: expected (rows,), (rows, n_outputs) or (rows, n_steps, n_outputs)")
    if y[0] != X[0]:
        raise ValueError(f"X has {X[0]} rows but y has {y[0]}: each row needs its target")
    if sample_weight is not None and sample_weight != X[:1]:
        raise ValueError(f"sample_weight has shape {sample_weight}: expected ({X[0]},), one weight for each row of X")


def checked_chunk(X: Any, y: Any, sample_weight: Any = None, *, first_row: int = 0) -> Chunk:
    """Array-likes as arrays of as many rows, all finite; messages count rows from `first_row`."""
    weight = None if sample_weight is None else to_array(sample_weight, "sample_weight")
    chunk = Chunk(to_array(X, "X"), to_array(y, "y"), weight)
    require_shapes(chunk.X.shape, chunk.y.shape, None if weight is None else weight.shape)
    for name, array in zip(Chunk._fields, chunk, strict=True):
        if array is not None:
            require_finite(array, name, first_row)
    return chunk


def require_same_rows(chunk: Chunk, name: str, first: Chunk, first_name: str) -> None:
    """Raise ValueError where the rows of two chunks have not the same shape."""
    for key, array, before in zip(Chunk._fields, chunk, first, strict=True):
        if array is None or before is None:
            if array is not before:
                has, has_not = (name, first_name) if before is None else (first_name, name)
                raise ValueError(f"{has} has a {key} but {has_not} has none: expected one in all of them, or in none")
        elif array.shape[1:] != before.shape[1:]:
            raise ValueError(
                f"{name}: {key} has {_width(array)} but that of {first_name} has {_width(before)}: expected the same "
                "everywhere"
            )


def _width(array: Array) -> str:
    if array.ndim == 2:
        return f"{array.shape[1]} columns"
    return f"shape ({', '.join(['rows', *map(str, array.shape[1:])])}{',' if array.ndim == 1 else ''})"
