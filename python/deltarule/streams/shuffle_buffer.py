"""Batches of any sizes as chunks of whole batches of the training: in the source's order, or through a shuffle buffer.

The order is a function of seed, epoch and the number of the refill, on any machine and with any NumPy. Random numbers:
Philox4x64-10, J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .chunk import Chunk

__all__ = ["in_order", "order_of", "shuffled"]

_STREAM = 4  # a number of our own among the uses of random numbers; the core has those from 1 on


def order_of(rows: int, seed: int, epoch: int, refill: int) -> npt.NDArray[np.int64]:
    """A random order of 0 … rows-1.

    Examples
    --------
    >>> order_of(8, seed=0, epoch=0, refill=0).tolist()
    [5, 4, 2, 7, 0, 3, 1, 6]
    """
    bits = max(rows - 1, 0).bit_length()
    random = np.random.Philox(
        key=np.array([seed, epoch], np.uint64), counter=np.array([0, 0, refill, _STREAM], np.uint64)
    )
    # Sorted by their upper bits, which are random; the lower ones are the numbers themselves. No two are equal, so that
    # any way of sorting gives the same order, and the fastest will do.
    keys = (random.random_raw(rows) >> np.uint64(bits) << np.uint64(bits)) | np.arange(rows, dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64((1 << bits) - 1)).astype(np.int64)


class _Rows:
    """Memory for rows like those of a first batch, taken once."""

    def __init__(self, first: Chunk, rows: int) -> None:
        n_bytes = rows * sum(array.dtype.itemsize * math.prod(array.shape[1:]) for array in first if array is not None)
        try:
            self._arrays = [
                None if array is None else np.empty((rows, *array.shape[1:]), array.dtype) for array in first
            ]
        except (MemoryError, ValueError):
            raise MemoryError(
                f"a buffer of {rows} rows takes {n_bytes:,} bytes, which this machine does not have: choose a smaller "
                "buffer="
            ) from None

    def put(self, places: Any, chunk: Chunk) -> None:
        """Write rows to their places: a slice, or as many numbers."""
        for number, (array, new) in enumerate(zip(self._arrays, chunk, strict=True)):
            if array is None or new is None:
                continue
            if not np.can_cast(new.dtype, array.dtype, "safe"):  # whole numbers first, fractions later: rare
                array = array.astype(np.result_type(array, new))
                self._arrays[number] = array
            array[places] = new

    def take(self, places: npt.NDArray[np.int64]) -> Chunk:
        """Copies of rows."""
        return Chunk(*(None if array is None else array.take(places, axis=0) for array in self._arrays))  # type: ignore[arg-type]

    def first(self, rows: int) -> Chunk:
        """Views of the first rows."""
        return Chunk(*(None if array is None else array[:rows] for array in self._arrays))  # type: ignore[arg-type]


def in_order(
    batches: Iterator[Chunk], rows: int, batch_size: int, *, copy: bool, n_samples: int | None
) -> Iterator[Chunk]:
    """Chunks in the order of the source.

    Parameters
    ----------
    batches : iterator of Chunk
        Of rows that are alike.
    rows : int
        The most that a chunk has, unless a single batch of the training has more.
    batch_size : int
        Each chunk but the last has a multiple of it.
    copy : bool
        Whether the arrays of a batch change when the next is read.
    n_samples : int or None
        How many rows there will be, where that is known.
    """
    size = max(batch_size, rows // batch_size * batch_size)
    table: _Rows | None = None
    filled = given = 0
    for batch in batches:
        start = 0
        while True:  # a batch has rows
            count = min(size - filled, batch.rows - start)
            part = batch.part(start, start + count)
            start, filled = start + count, filled + count
            if count == size and not copy:
                ready = [part]
            else:
                if table is None:
                    table = _Rows(batch, size if n_samples is None else min(size, n_samples - given))
                table.put(slice(filled - count, filled), part)
                ready = [table.first(size)] if filled == size else []
            is_used_up = start == batch.rows
            # Nobody here holds on to what is given away: it would be memory for one more chunk.
            del part
            if is_used_up:
                del batch
            if ready:
                table, filled, given = None, 0, given + size
                yield ready.pop()
            if is_used_up:
                break
    if table is not None:
        ready, table = [table.first(filled)], None
        yield ready.pop()


def shuffled(
    batches: Iterator[Chunk], rows: int, batch_size: int, *, seed: int, epoch: int, n_samples: int | None
) -> Iterator[Chunk]:
    """Chunks of rows drawn at random from a buffer, in which those that were not drawn mix with the next ones.

    Parameters
    ----------
    batches : iterator of Chunk
        Of rows that are alike. How they are cut makes no difference.
    rows : int
        Of the buffer, unless a single batch of the training has more.
    batch_size : int
        Each chunk but the last has a multiple of it; about half of the buffer.
    seed, epoch : int
        Decide the order.
    n_samples : int or None
        How many rows there will be, where that is known.
    """
    rows = max(rows, batch_size)
    size = max(batch_size, rows // 2 // batch_size * batch_size)
    table: _Rows | None = None
    filled = refill = 0
    free = np.empty(0, np.int64)  # places of the full buffer whose rows were given away
    for batch in batches:
        if table is None:
            table = _Rows(batch, rows if n_samples is None else min(rows, n_samples))
        start = 0
        while start < batch.rows:
            if filled < rows:
                count = min(rows - filled, batch.rows - start)
                table.put(slice(filled, filled + count), batch.part(start, start + count))
                filled += count
            else:
                count = min(len(free), batch.rows - start)
                table.put(free[:count], batch.part(start, start + count))
                free = free[count:]
            start += count
            if filled == rows and len(free) == 0:
                free, refill = order_of(rows, seed, epoch, refill)[:size], refill + 1
                yield table.take(free)
    if table is not None:
        left = np.delete(np.arange(filled), free)
        left = left[order_of(len(left), seed, epoch, refill)]
        for start in range(0, len(left), size):
            yield table.take(left[start : start + size])
