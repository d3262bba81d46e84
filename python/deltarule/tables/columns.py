"""What columns become: a number is shifted and scaled, a text is a 1 among zeros. Learned from rows, then fixed.

To add a kind: a class with `width` and `encode`, its branch of `learn_column`, and its row in description.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ..preprocessing import Standardizer
from .table import WITHOUT_COMMAS, Column, Numbers, Table, Texts, as_numbers, as_texts, number_in, shortened

__all__ = ["MOST_CATEGORIES", "InputColumn", "NumberColumn", "TextColumn", "encode", "learn_column"]

MOST_CATEGORIES = 100
_ALWAYS_FINE = 10  # categories, however few rows there are

Matrix: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers: (x - mean) / scale, and 0, which is the mean, where a cell is empty.

    Attributes
    ----------
    name : str
    position : int
        Where it stood in the file that it was learned from.
    mean, scale : float
        Over the cells that are not empty; the scale is the standard deviation, or 1 for a constant column.
    """

    kind: ClassVar[str] = "number"
    width: ClassVar[int] = 1

    name: str
    position: int
    mean: float
    scale: float

    def encode(self, column: Column, inputs: Matrix, table: Table, notes: list[str]) -> None:
        """Write the one input of each row."""
        values = as_numbers(column, self.name, table)
        missing = np.isnan(values)
        with np.errstate(over="ignore"):
            scaled = (values - self.mean) / self.scale
        if np.isinf(scaled).any():
            row = int(np.isinf(scaled).argmax())
            raise ValueError(
                f"{table.place(row)} has {values[row]:g} in column {self.name!r}, too far from the mean of training, "
                f"{self.mean:g}, to be computed with: mend it, or leave the cell empty"
            )
        inputs[:, 0] = np.where(missing, 0.0, scaled)
        if missing.any():
            notes.append(f"{_cells(missing, 'empty')} in column {self.name!r}: its mean, {self.mean:g}, in their place")


@dataclass(frozen=True)
class TextColumn:
    """A column of text: one input for each category, 1 where the cell is that one; all 0 for one never seen.

    Attributes
    ----------
    name : str
    position : int
        Where it stood in the file that it was learned from.
    categories : tuple of str
        Sorted; an empty cell is the category "".
    """

    kind: ClassVar[str] = "text"

    name: str
    position: int
    categories: tuple[str, ...]

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return len(self.categories)

    def encode(self, column: Column, inputs: Matrix, table: Table, notes: list[str]) -> None:
        """Write the inputs of each row."""
        texts = as_texts(column)
        index = {word: number for number, word in enumerate(self.categories)}
        category = np.array([index.get(word, -1) for word in texts.words], np.int64)[texts.codes]
        known = np.flatnonzero(category >= 0)
        inputs[:] = 0.0
        inputs[known, category[known]] = 1.0
        unknown = category < 0
        if unknown.any():
            example = shortened(texts.words[texts.codes[int(unknown.argmax())]])
            notes.append(
                f"{_cells(unknown, 'unknown')} in column {self.name!r}, such as {example}: none of its categories is 1"
            )


InputColumn: TypeAlias = NumberColumn | TextColumn


def learn_column(name: str, position: int, column: Column, rows: npt.NDArray[np.intp], table: Table) -> InputColumn:
    """Learn from some rows of a column what it becomes.

    Raises
    ------
    ValueError
        The column is empty, holds infinite numbers, or text of too many kinds.
    """
    if isinstance(column, Numbers):
        values = as_numbers(column, name, table)[rows]
        present = values[~np.isnan(values)]
        if not present.size:
            raise ValueError(f"column {name!r} of {table.source} is empty: leave it out with {_drop(name)}")
        scaler = Standardizer().fit(present.reshape(-1, 1))
        return NumberColumn(name, position, float(scaler.mean_[0]), float(scaler.scale_[0]))
    _refuse_decimal_commas(name, column, table)
    categories = sorted({column.words[code] for code in np.unique(column.codes[rows])})
    if len(categories) > min(MOST_CATEGORIES, max(_ALWAYS_FINE, len(rows) // 2)):
        raise ValueError(_too_many(name, column, len(categories), len(rows), table))
    return TextColumn(name, position, tuple(categories))


def encode(columns: Sequence[InputColumn], data: Sequence[Column], table: Table) -> tuple[Matrix, list[str]]:
    """The inputs of a network for each row, and notes about what could not be taken as it is.

    Parameters
    ----------
    columns : sequence of NumberColumn or TextColumn
    data : sequence of Numbers or Texts
        What a table has for each of them.
    table : Table
        Where it is from, for messages.
    """
    inputs = np.zeros((len(data[0]), sum(column.width for column in columns)))
    notes: list[str] = []
    start = 0
    for column, found in zip(columns, data, strict=True):
        column.encode(found, inputs[:, start : start + column.width], table, notes)
        start += column.width
    return inputs, notes


def _refuse_decimal_commas(name: str, column: Texts, table: Table) -> None:
    """A column of 1,5 and 2,5, or of 1,000 and 2,500, holds numbers, whoever takes it for text."""
    odd = [word for word in column.words if number_in(word) is None]
    if odd and all(number_in(word.replace(",", "")) is not None for word in odd):
        raise ValueError(
            f"{table.place(column.first_row(odd[0]))} has {shortened(odd[0])} in column {name!r}: {WITHOUT_COMMAS}"
        )


def _too_many(name: str, column: Texts, count: int, n_rows: int, table: Table) -> str:
    odd = [word for word in column.words if number_in(word) is None]
    if odd and len(odd) * 2 <= len(column.words):  # a column of numbers, but for some cells
        return (
            f"{table.place(column.first_row(odd[0]))} has {shortened(odd[0])} in column {name!r}, which else holds "
            f"numbers: mend such cells, or leave the column out with {_drop(name)}"
        )
    return (
        f"column {name!r} of {table.source} holds {count} different texts in {n_rows} rows, such as "
        f"{shortened(column.words[0])}, too many for an input each: leave it out with {_drop(name)}, or turn it into "
        "numbers"
    )


def _drop(name: str) -> str:
    """What to type."""
    from shlex import quote

    return f"--drop {quote(name)}"


def _cells(which: npt.NDArray[np.bool_], kind: str) -> str:
    count = int(which.sum())
    return f"{count} {kind} cell{'s' if count > 1 else ''}"
