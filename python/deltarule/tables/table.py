"""A table as its file has it, before anything is learned from it: columns of numbers, or of texts, by position."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..names import did_you_mean

__all__ = [
    "BOOLEANS",
    "WITHOUT_COMMAS",
    "Column",
    "Numbers",
    "Table",
    "Texts",
    "as_numbers",
    "as_texts",
    "number_in",
    "numbered",
    "shortened",
    "whole_number",
]

# How tables of numbers write that there is none; in columns of text these are words like any other.
_MISSING = frozenset({"", "na", "n/a", "nan", "null"})
BOOLEANS = {"false": 0.0, "true": 1.0}
WITHOUT_COMMAS = "write decimal points, not commas, and nothing between thousands: 1234.5"


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers: NaN where the cell is empty; `boolean` if the file has truth values, here 0 and 1."""

    values: npt.NDArray[np.float64]
    boolean: bool = False

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of texts, each kept once: row r holds ``words[codes[r]]``; an empty cell is the word ""."""

    codes: npt.NDArray[np.int64]
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def first_row(self, word: str) -> int:
        """The first row that holds a word."""
        return int((self.codes == self.words.index(word)).argmax())


Column: TypeAlias = Numbers | Texts


class Table:
    """What a file holds; a format derives from it.

    Attributes
    ----------
    source : str
        What messages call it.
    names : tuple of str
        Of the columns; "column_0", "column_1", … where the file has none.
    named : bool
        Whether the file has names.
    """

    source: str
    names: tuple[str, ...]
    named: bool

    def read(self, positions: Sequence[int], as_text: Collection[int] = ()) -> dict[int, Column]:
        """The columns at some positions, all of one length; those `as_text` word for word, whatever they hold."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """Where a row stands, in words."""
        return f"row {row + 1} of {self.source}"

    def find(self, wanted: str) -> int:
        """The position of a column by its name, or else by its number, where -1 is the last."""
        if self.named and wanted in self.names:
            if self.names.count(wanted) > 1:
                raise ValueError(
                    f"{self.source} has {self.names.count(wanted)} columns called {wanted!r}: rename one of them"
                )
            return self.names.index(wanted)
        position = whole_number(wanted)
        if position is None:
            if not self.named:
                raise ValueError(
                    f"{self.source} has no line of names, so there is no column {wanted!r}: give a position from 0 to "
                    f"{len(self.names) - 1}"
                )
            hint = did_you_mean(wanted, self.names[:50]).replace("choose one of", "its columns are")
            raise ValueError(f"{self.source} has no column {wanted!r}: {hint}")
        if not -len(self.names) <= position < len(self.names):
            raise ValueError(
                f"there is no column {position} in {self.source}, which has {len(self.names)}: expected "
                f"{-len(self.names)} to {len(self.names) - 1}"
            )
        return position % len(self.names)


def numbered(count: int) -> tuple[str, ...]:
    """What columns without names are called.

    Examples
    --------
    >>> numbered(2)
    ('column_0', 'column_1')
    """
    return tuple(f"column_{position}" for position in range(count))


def number_in(cell: str) -> float | None:
    """The number in a cell, NaN where it says that there is none, and None where it holds anything else.

    Examples
    --------
    >>> [number_in(cell) for cell in (" 1.5", "NA", "1_000", "red")]
    [1.5, nan, None, None]
    """
    try:
        return None if "_" in cell else float(cell)  # Python reads 1_000 as a number, tables do not
    except ValueError:
        return math.nan if cell.strip().casefold() in _MISSING else None


def whole_number(text: str) -> int | None:
    """The position that a word may be meant as: "3" or "-1"."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None


def as_numbers(column: Column, name: str, table: Table) -> npt.NDArray[np.float64]:
    """The column's numbers, NaN where a cell is empty; ValueError with the place of what is no finite number."""
    if isinstance(column, Texts):
        found = [_number_or_truth(word) for word in column.words]
        for word, number in zip(column.words, found, strict=True):
            if number is None:
                without = number_in(word.replace(",", ""))
                hint = "mend it, or leave the cell empty" if without is None else WITHOUT_COMMAS
                raise ValueError(
                    f"{table.place(column.first_row(word))} has {shortened(word)} in column {name!r}: expected a "
                    f"number; {hint}"
                )
        values = np.array(found, np.float64)[column.codes]
    else:
        values = column.values
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(
            f"{table.place(row)} has {values[row]:g} in column {name!r}: expected a finite number; mend it, or leave "
            "the cell empty"
        )
    return values


def as_texts(column: Column) -> Texts:
    """The column as words: numbers as they are usually written, true and false, and "" where there is nothing."""
    if isinstance(column, Texts):
        return column
    values, codes = np.unique(column.values, return_inverse=True)
    return Texts(codes.astype(np.int64).reshape(-1), tuple(_words(values.tolist(), column.boolean)))


def shortened(text: str) -> str:
    """A word as messages quote it.

    Examples
    --------
    >>> shortened("x" * 50)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'"
    """
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _number_or_truth(word: str) -> float | None:
    return BOOLEANS.get(word.strip().casefold(), number_in(word))


def _words(values: Iterable[float], boolean: bool) -> list[str]:
    names = {0.0: "false", 1.0: "true"} if boolean else {}
    return [
        ""
        if math.isnan(value)
        else names.get(value, f"{value + 0.0:.0f}" if value.is_integer() and abs(value) < 2**53 else repr(value))
        for value in values
    ]
