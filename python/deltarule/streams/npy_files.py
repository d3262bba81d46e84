"""Arrays in .npy files, read piece by piece; nothing is unpickled, no header is believed before it was checked.

The rows wanted are read into memory of their own, not mapped: what was read long ago takes no memory, and a file that
is cut off meanwhile is an error, where a mapped one would end the process. Format: see numpy.lib.format.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from .chunk import Array, Chunk, require_finite, require_same_rows, require_shapes
from .columns import target_column
from .source import FileSource

__all__ = ["NpyFile", "NpyFiles"]

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class NpyFile:
    """What the header of a file says.

    Attributes
    ----------
    path : str
    shape : tuple of int
    dtype : dtype
        Of real numbers, or of records of them.
    by_column : bool
        Whether the first index changes fastest ("Fortran order").
    offset : int
        Where the numbers begin, in bytes.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_column: bool
    offset: int

    @classmethod
    def look(cls, path: str) -> NpyFile:
        """Read the header and compare it with the size of the file.

        Raises
        ------
        OSError
            The file cannot be opened.
        ValueError
            It is no .npy file, is damaged, or holds anything but real numbers.
        """
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            try:
                version = np.lib.format.read_magic(file)
                if version not in _HEADERS:
                    raise ValueError(f"its format {version} is unknown; save it again, with names of ASCII letters")
                shape, by_column, dtype = _HEADERS[version](file)
            except OSError:
                raise
            except Exception as error:  # of all kinds: NumPy parses the header as Python does a program
                said = str(error).splitlines() or [type(error).__name__]
                raise ValueError(f"{path} is not a NumPy array: {said[0]}") from None
            offset = file.tell()
        if dtype.hasobject:
            raise ValueError(
                f"{path} holds Python objects, which are never unpickled because that can run code: save it with a "
                "numeric dtype"
            )
        of_numbers = [dtype] if dtype.names is None else [dtype[name] for name in dtype.names]
        for column in of_numbers:
            if column.kind not in "biuf":
                raise ValueError(
                    f"{path} has dtype {dtype}: expected real numbers, or records of them; convert it first"
                )
        n_bytes = math.prod(shape) * dtype.itemsize
        if not shape or min(shape) < 0 or offset + n_bytes != size:
            raise ValueError(
                f"{path} says that its shape is {shape} and its dtype {dtype}, which takes {offset + n_bytes} bytes, "
                f"but it has {size}: it is damaged or was cut off"
                if shape
                else f"{path} holds a single number: expected rows"
            )
        return cls(path, shape, dtype, by_column and len(shape) > 1, offset)

    def read(self, file: BinaryIO, start: int, stop: int) -> Array:
        """Rows `start` to `stop` of the open file."""
        rows, inner = stop - start, self.shape[1:]
        if not self.by_column:
            array = np.empty((rows, *inner), self.dtype)
            self._fill(file, start * math.prod(inner), array)
            return array
        columns = np.empty((math.prod(inner), rows), self.dtype)
        for number, column in enumerate(columns):
            self._fill(file, number * self.shape[0] + start, column)
        return columns.reshape(*inner[::-1], rows).T

    def _fill(self, file: BinaryIO, first: int, array: Array) -> None:
        if array.size == 0:
            return
        file.seek(self.offset + first * self.dtype.itemsize)
        if file.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:  # type: ignore[attr-defined]
            raise ValueError(f"{self.path} became shorter while it was read: write the files first, then train")


class NpyFiles(FileSource):
    """Files that hold X and y together, or pairs (X, y) of files, or triples with the weights.

    Parameters
    ----------
    groups : sequence of tuple of str
        All of one size: 1 for arrays with the target among their columns, 2 for pairs, 3 for triples.
    target : str or int or None
        The column of the target in arrays that hold both: a position, or a name where they hold records.
    """

    kind = ".npy"

    def __init__(self, groups: Sequence[tuple[str, ...]], target: str | int | None) -> None:
        super().__init__([path for group in groups for path in group])
        self._groups = [tuple(NpyFile.look(path) for path in group) for group in groups]
        self._target = target
        if len(groups[0]) > 1 and target is not None:
            raise ValueError(f"target is {target!r}, but y has a file of its own, {groups[0][1]}: leave target out")
        first = self._empty(self._groups[0])
        for group in self._groups:
            require_same_rows(self._empty(group), group[0].path, first, self._groups[0][0].path)
        self.n_samples: int = sum(group[0].shape[0] for group in self._groups)
        if self.n_samples == 0:
            raise ValueError(f"{self} has no rows: expected at least one")

    def _empty(self, group: tuple[NpyFile, ...]) -> Chunk:
        """No row of the files, in the shapes that the others have."""
        shapes = [file.shape for file in group]
        if len(group) > 1:
            try:
                require_shapes(*shapes)
            except ValueError as error:
                raise ValueError(f"{' and '.join(file.path for file in group)}: {error}") from None
        return self._chunk(group, [np.empty((0, *file.shape[1:]), file.dtype) for file in group])

    def _chunk(self, group: Sequence[NpyFile], arrays: list[Array]) -> Chunk:
        if len(arrays) > 1:
            return Chunk(*arrays)
        array, path = arrays[0], group[0].path
        names = array.dtype.names
        if names is not None and array.ndim == 1:
            position = target_column(self._target, names, True, path)
            others = [name for number, name in enumerate(names) if number != position]
            return Chunk(_unstructured(array, others), array[names[position]])
        if array.ndim != 2:
            raise ValueError(
                f"{path} has shape {group[0].shape}: expected rows of columns, with the target among them; for "
                'anything else pass the files of X and y as a pair ("X.npy", "y.npy")'
            )
        if isinstance(self._target, str):
            raise ValueError(
                f"target is {self._target!r}, but the columns of {path} have no names: pass the position, such as "
                "target=-1 for the last"
            )
        pair = ', or the files of X and y as a pair ("X.npy", "y.npy")'
        position = target_column(self._target, [""] * array.shape[1], False, path, pair)
        return Chunk(np.delete(array, position, axis=1), array[:, position].copy())

    def batches(self, rows: int) -> Iterator[Chunk]:
        """Pieces of at most `rows`; none goes over the end of a file."""
        for group in self._groups:
            with ExitStack() as stack:
                files: list[tuple[BinaryIO, NpyFile]] = [
                    (stack.enter_context(open(about.path, "rb")), about) for about in group
                ]
                for _, about in files:
                    if NpyFile.look(about.path) != about:
                        raise ValueError(f"{about.path} has changed since the stream was made: make it anew")
                for start in range(0, group[0].shape[0], rows):
                    yield self._piece(files, start, min(start + rows, group[0].shape[0]))

    def _piece(self, files: list[tuple[BinaryIO, NpyFile]], start: int, stop: int) -> Chunk:
        arrays = [about.read(file, start, stop) for file, about in files]
        for (_, about), array in zip(files, arrays, strict=True):
            for name in array.dtype.names or [""]:
                require_finite(array[name] if name else array, f"{about.path}{f'[{name!r}]' if name else ''}", start)
        return self._chunk([about for _, about in files], arrays)

    def identity(self) -> dict[str, Any]:
        """The files, what is in them, and which column is the target."""
        shapes = [[[file.dtype.str, list(file.shape)] for file in group] for group in self._groups]
        return {**super().identity(), "arrays": shapes, "target": str(self._target)}


def _unstructured(records: Array, names: list[str]) -> Array:
    table = np.empty((len(records), len(names)), np.result_type(*(records.dtype[name] for name in names)))
    for position, name in enumerate(names):
        table[:, position] = records[name]
    return table
