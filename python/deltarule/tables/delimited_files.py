"""Tables in text files: cells between commas, tabs or what else; a column of nothing but numbers is one of numbers.

The file is read once, so that it may be a pipe, and gone through again for the columns that turn out to hold text.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from .table import BOOLEANS, Column, Numbers, Table, Texts, number_in, numbered

__all__ = ["DelimitedTable", "read_content"]

_BLOCK = 4096  # rows at a time
_DELIMITERS = ";\t|,"


def read_content(path: str) -> bytes:
    """What is in a file, or for "-" on the standard input."""
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


class DelimitedTable(Table):
    """A table in a text file.

    Parameters
    ----------
    source : str
    content : bytes
        UTF-8, with or without a byte order mark.
    delimiter : str
        One character.
    expected : collection of str
        The first line holds names if no cell of it is a number, or if it holds all of these.
    """

    def __init__(self, source: str, content: bytes, delimiter: str, expected: Collection[str] = ()) -> None:
        self.source = source
        self._content = content
        self._delimiter = delimiter
        self._lines = array("q")  # where each row begins
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ValueError(f"line {line} of {source} is not utf-8 text ({error.reason}): save it as UTF-8") from None
        first = next(self._rows(), None)
        if first is None:
            raise ValueError(f"{source} is empty: expected lines of cells")
        self._first_line, cells = first
        stripped = [cell.strip() for cell in cells]
        all_expected = bool(expected) and set(expected) <= set(stripped)
        self.named = all_expected or not any(_is_number(cell) for cell in stripped)
        generic = numbered(len(cells))
        self.names = tuple(name or generic[i] for i, name in enumerate(stripped)) if self.named else generic
        self._require_more_than_one_column(stripped[0])

    def place(self, row: int) -> str:
        return f"line {self._lines[row]} of {self.source}"

    def read(self, positions: Sequence[int], as_text: Collection[int] = ()) -> dict[int, Column]:
        self._lines = array("q")
        numbers = {position: _NumberCells() for position in positions if position not in as_text}
        for rows in self._blocks(self._lines):
            for position, cells in numbers.items():
                cells.extend([row[position] for row in rows])
        if not self._lines:
            raise ValueError(f"{self.source} has a header but no data: expected lines of cells below it")
        texts = {p: _TextCells() for p in positions if p not in numbers or numbers[p].are_text}
        if texts:
            for rows in self._blocks(array("q")):
                for position, words in texts.items():
                    words.extend([row[position] for row in rows])
        return {p: texts[p].column() if p in texts else numbers[p].column() for p in positions}

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """All lines that are not blank, as cells, with their numbers."""
        file = io.TextIOWrapper(io.BytesIO(self._content), encoding="utf-8-sig", newline="")
        reader = csv.reader(file, delimiter=self._delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise ValueError(f"line {line} of {self.source} cannot be read: {error}; is a quote missing?") from None
            if cells is None:
                return
            if len(cells) > 1 or cells == [""] or (cells and cells[0].strip()):  # [""] was written ""
                yield line, cells

    def _blocks(self, lines: array[int]) -> Iterator[list[list[str]]]:
        """Rows of data in blocks, after their lines were noted."""
        rows = self._rows()
        if self.named:
            next(rows)
        block: list[list[str]] = []
        for line, cells in rows:
            if len(cells) != len(self.names):
                raise ValueError(
                    f"line {line} of {self.source} has {len(cells)} cells but line {self._first_line} has "
                    f"{len(self.names)}: each line needs as many; check the delimiter and quotes"
                )
            lines.append(line)
            block.append(cells)
            if len(block) == _BLOCK:
                yield block
                block = []
        if block:
            yield block

    def _require_more_than_one_column(self, cell: str) -> None:
        if len(self.names) > 1:
            return
        other = next((mark for mark in _DELIMITERS if mark != self._delimiter and mark in cell), None)
        if other is not None:
            shown = "'\\t'" if other == "\t" else repr(other)
            raise ValueError(f"{self.source} has one column, {cell[:60]!r}: try --delimiter {shown}")


def _is_number(cell: str) -> bool:
    number = number_in(cell)
    return number is not None and not math.isnan(number)  # NA may be a name


class _NumberCells:
    """Numbers, or truth values, for as long as the cells hold nothing else."""

    def __init__(self) -> None:
        self.are_text = False
        self._values = array("d")
        self._has_numbers = self._has_truths = False

    def extend(self, cells: list[str]) -> None:
        if self.are_text:
            return
        try:
            if "_" not in "".join(cells):
                self._values.extend(list(map(float, cells)))
                self._has_numbers = True
                self.are_text = self._has_truths
                return
        except ValueError:
            pass
        for cell in cells:
            truth = BOOLEANS.get(cell.strip().casefold())
            number = number_in(cell) if truth is None else truth
            self._has_truths |= truth is not None
            self._has_numbers |= truth is None and _is_number(cell)
            if number is None or (self._has_truths and self._has_numbers):
                self.are_text = True
                self._values = array("d")
                return
            self._values.append(number)

    def column(self) -> Numbers:
        return Numbers(np.frombuffer(self._values, np.float64), self._has_truths)


class _TextCells:
    """Texts, without the spaces around them, each kept once."""

    def __init__(self) -> None:
        self._codes = array("q")
        self._numbers: dict[str, int] = {}

    def extend(self, cells: list[str]) -> None:
        known: Any = self._numbers
        self._codes.extend([known.setdefault(cell.strip(), len(known)) for cell in cells])

    def column(self) -> Texts:
        return Texts(np.frombuffer(self._codes, np.int64), tuple(self._numbers))
