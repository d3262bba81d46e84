"""Tables in .npy files, as `numpy.save` writes them: numbers, without names. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from .table import Column, Numbers, Table, as_texts, numbered

__all__ = ["NpyTable"]


class NpyTable(Table):
    """A matrix in an .npy file.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        try:
            # A mapped file is as long as its header says, or refused; an array of objects is refused.
            self._matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OverflowError, RecursionError, SyntaxError, TypeError) as error:
            raise ValueError(f"{path} is no readable .npy array: {' '.join(str(error).split())}") from None
        shape = getattr(self._matrix, "shape", None)
        if shape is None:
            raise ValueError(f"{path} is an .npz archive: save the one array with numpy.save, as .npy")
        if len(shape) != 2:
            raise ValueError(f"{path} has shape {shape}: expected two dimensions, rows and columns")
        if self._matrix.dtype.kind not in "biuf":
            raise ValueError(f"{path} has dtype {self._matrix.dtype}: expected real numbers; write text as CSV")
        if 0 in shape:
            raise ValueError(f"{path} has shape {shape}: there is no data in it")
        self.source = path
        self.named = False
        self.names = numbered(shape[1])

    def read(self, positions: Sequence[int], as_text: Collection[int] = ()) -> dict[int, Column]:
        boolean = self._matrix.dtype.kind == "b"
        with np.errstate(over="ignore"):
            columns = {p: Numbers(np.array(self._matrix[:, p], np.float64), boolean) for p in positions}
        return {p: as_texts(column) if p in as_text else column for p, column in columns.items()}
