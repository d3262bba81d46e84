"""Read tables of numbers from text files, line by line, naming line and column of whatever is wrong."""

from __future__ import annotations

import codecs
import csv
import difflib
import math
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Table", "load_csv"]


@dataclass(frozen=True, eq=False)
class Table:
    """What `load_csv` read.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features), float64
        All columns but the target.
    y : ndarray of shape (n_samples,) or None
        The target: float64 if it is a number, int64 class indices if it is text, None if no target was named.
    feature_names : tuple of str
        From the header; "column_0", "column_1", … where there is none.
    target_name : str or None
    classes : tuple of str or None
        The labels of a text target, sorted: `classes[y[s]]` is the label of sample s.
    """

    X: npt.NDArray[np.float64]
    y: npt.NDArray[Any] | None
    feature_names: tuple[str, ...]
    target_name: str | None
    classes: tuple[str, ...] | None


def load_csv(
    path: str | os.PathLike[str],
    target: str | int | None = None,
    *,
    delimiter: str = ",",
    header: bool | Literal["auto"] = "auto",
    encoding: str = "utf-8",
) -> Table:
    r"""Read a table of numbers; the target may be text and then becomes class indices.

    Parameters
    ----------
    path : path-like
    target : str or int, optional
        The column to predict: its name in the header, or its position, where -1 is the last column.
    delimiter : str, default=","
        The character between cells. Cells may be quoted with ".
    header : bool or "auto", default="auto"
        Whether the first line holds names; "auto" takes it for names if none of its cells is a number.
    encoding : str, default="utf-8"
        A byte order mark is skipped.

    Returns
    -------
    Table
        With `X`, `y`, `feature_names`, `target_name` and `classes`.

    Raises
    ------
    OSError
        The file cannot be opened.
    TypeError
        An argument of the wrong type.
    ValueError
        No data, lines of different lengths, a cell that is not a finite number, a target that is not there or mixes
        numbers and text, wrong encoding or quoting. The message names line and column.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = path.write_text("length,width,kind\n5.1,3.5,setosa\n6.2,2.9,virginica\n")
    >>> table = load_csv(path, target="kind")
    >>> table.X
    array([[5.1, 3.5],
           [6.2, 2.9]])
    >>> table.y, table.classes
    (array([0, 1]), ('setosa', 'virginica'))
    """
    _check_arguments(target, delimiter, header)
    name = os.fspath(path)
    # Only a header mark of UTF-8 needs a codec of its own, which reads files without the mark just as well.
    codec = "utf-8-sig" if _codec_name(encoding) == "utf-8" else encoding
    try:
        with open(path, encoding=codec, newline="") as file:
            return _read(_Lines(file, name, delimiter), target, header)
    except UnicodeError as error:
        line = _undecodable_line(name, codec)
        where = f"line {line} of {name}" if line else name
        raise ValueError(
            f"{where} is not {encoding} text ({error}): save the file as UTF-8 or pass its encoding, for instance "
            "encoding='latin-1'"
        ) from None


class _Lines:
    """The rows of a file, each with the line it begins on; blank lines are skipped."""

    def __init__(self, file: Iterable[str], name: str, delimiter: str) -> None:
        self.name = name
        self.number = 0
        self._reader = csv.reader(file, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        while True:
            self.number = self._reader.line_num + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                raise self.error(f"cannot be read: {error}; is a quote missing?") from None
            if cells is None:
                return
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield cells

    def error(self, message: str) -> ValueError:
        return ValueError(f"line {self.number} of {self.name} {message}")


def _read(lines: _Lines, target: str | int | None, header: bool | Literal["auto"]) -> Table:
    rows = iter(lines)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{lines.name} is empty: expected lines of numbers")
    has_names = not any(_is_number(cell) for cell in first) if header == "auto" else header
    names = [cell.strip() for cell in first] if has_names else []
    names = [label or f"column_{i}" for i, label in enumerate(names or [""] * len(first))]
    position = _target_position(target, names, has_names, lines.name)
    first_line = lines.number
    values, target_values, labels = (
        array("d"),
        array("d"),
        _Labels(lines, names[position] if position is not None else ""),
    )
    feature_names = [label for i, label in enumerate(names) if i != position]
    if not feature_names:
        raise ValueError(f"{lines.name} has no column beside the target {names[0]!r}: expected features to learn from")
    n_rows = 0
    for cells in rows if has_names else _chain(first, rows):
        if len(cells) != len(names):
            raise lines.error(
                f"has {len(cells)} cells but line {first_line} has {len(names)}: each line needs as many; "
                "check the delimiter and quotes"
            )
        if position is not None:
            cell = cells.pop(position)
            if n_rows == 0:
                labels.text = not _is_number(cell) and bool(cell.strip())
            if labels.text:
                labels.add(cell)
            else:
                target_values.append(_number(cell, lines, labels.name))
        values.extend(_numbers(cells, lines, feature_names))
        n_rows += 1
    if n_rows == 0:
        raise ValueError(f"{lines.name} has a header but no data: expected lines of numbers below it")
    X = np.frombuffer(values, np.float64).reshape(n_rows, len(feature_names))
    if position is None:
        return Table(X, None, tuple(feature_names), None, None)
    if labels.text:
        return Table(X, labels.indices(), tuple(feature_names), labels.name, labels.classes())
    return Table(X, np.frombuffer(target_values, np.float64), tuple(feature_names), labels.name, None)


def _chain(first: list[str], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rest


class _Labels:
    """A text target: each label is stored once, each row as its number."""

    def __init__(self, lines: _Lines, name: str) -> None:
        self.name = name
        self.text = False
        self._lines = lines
        self._first_line = 0
        self._numbers: dict[str, int] = {}
        self._rows = array("q")

    def add(self, cell: str) -> None:
        label = cell.strip()
        if not label:
            raise _missing(self._lines, self.name)
        if _is_number(label):
            raise self._lines.error(
                f"has the number {label!r} in the target column {self.name!r}, which holds text from line "
                f"{self._first_line} on: expected all numbers or all labels"
            )
        self._first_line = self._first_line or self._lines.number
        self._rows.append(self._numbers.setdefault(label, len(self._numbers)))

    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(self._numbers))

    def indices(self) -> npt.NDArray[np.int64]:
        rank = {label: index for index, label in enumerate(self.classes())}
        by_appearance = np.array([rank[label] for label in self._numbers], np.int64)
        return by_appearance[np.frombuffer(self._rows, np.int64)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_000 as a number, tables do not


def _numbers(cells: list[str], lines: _Lines, names: list[str]) -> list[float]:
    try:
        numbers = [float(cell) for cell in cells]
        # One NaN or infinity makes the sum one; a sum that merely overflows goes the slow way and passes there.
        if math.isfinite(sum(numbers)) and not any("_" in cell for cell in cells):
            return numbers
    except ValueError:
        pass
    return [_number(cell, lines, name) for cell, name in zip(cells, names, strict=True)]


def _number(cell: str, lines: _Lines, name: str) -> float:
    if not cell.strip():
        raise _missing(lines, name)
    if not _is_number(cell):
        hint = "encode text as numbers first"
        if _is_number(cell.replace(",", ".")):
            hint = "write decimal points, not commas"
        elif lines.number == 1:
            hint = "pass header=True if the line holds names"
        raise lines.error(f"has {_shortened(cell)} in column {name!r}: expected a number; {hint}")
    number = float(cell)
    if not math.isfinite(number):
        raise lines.error(
            f"has {_shortened(cell)} in column {name!r}: expected a finite number; fill it in or drop the line"
        )
    return number


def _shortened(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "…")


def _missing(lines: _Lines, name: str) -> ValueError:
    return lines.error(f"has an empty cell in column {name!r}: fill it in or drop the line")


def _target_position(target: str | int | None, names: list[str], has_names: bool, path: str) -> int | None:
    if target is None:
        return None
    if isinstance(target, str):
        if not has_names:
            raise ValueError(f"target is {target!r} but {path} has no line of names: give its position, or header=True")
        if names.count(target) > 1:
            raise ValueError(
                f"target is {target!r} but {path} has {names.count(target)} such columns: give its position"
            )
        if target not in names:
            close = difflib.get_close_matches(target, names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"the columns are {', '.join(map(repr, names[:20]))}"
            raise ValueError(f"target is {target!r} but {path} has no such column: {hint}")
        return names.index(target)
    if not -len(names) <= target < len(names):
        raise ValueError(
            f"target is {target} but {path} has {len(names)} columns: expected {-len(names)} to {len(names) - 1}"
        )
    return int(target) % len(names)


def _check_arguments(target: object, delimiter: object, header: object) -> None:
    if target is not None and (isinstance(target, bool) or not isinstance(target, (str, int, np.integer))):
        raise TypeError(f"target is {target!r}: expected the name or the position of a column")
    if not isinstance(delimiter, str):
        raise TypeError(f"delimiter is {delimiter!r}: expected a character such as ',' or ';'")
    if len(delimiter) != 1 or delimiter in '"\r\n ':
        raise ValueError(f"delimiter is {delimiter!r}: expected one character such as ',', ';' or '\\t'")
    if not isinstance(header, bool) and header != "auto":
        raise ValueError(f'header is {header!r}: expected True, False or "auto"')


def _codec_name(encoding: str) -> str:
    if not isinstance(encoding, str):
        raise TypeError(f"encoding is {encoding!r}: expected a name such as 'utf-8' or 'latin-1'")
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(f"encoding is {encoding!r}: Python knows no such encoding; try 'utf-8' or 'latin-1'") from None


def _undecodable_line(path: str, encoding: str) -> int:
    """The first line with bytes that the encoding does not have, or 0 where that cannot be told."""
    try:
        with open(path, encoding=encoding, errors="surrogateescape", newline="") as file:
            for number, line in enumerate(file, 1):
                if any("\udc80" <= character <= "\udcff" for character in line):
                    return number
    except UnicodeError:
        pass
    return 0
