"""CSV files read line by line, some thousand rows at a time; cells are judged as `csv_files.load_csv` judges them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TextIO

import numpy as np

from ..csv_files import (
    _check_arguments,
    _codec_name,
    _is_number,
    _Lines,
    _missing,
    _number,
    _numbers,
    _undecodable_line,
)
from .chunk import Chunk
from .columns import label_numbers, target_column, unknown_label
from .source import FileSource

__all__ = ["CsvFiles"]

_LONGEST_LINE = 1 << 26  # characters: a file without line ends is not to fill the memory


class _Head(NamedTuple):
    """What the first line of a file says."""

    names: list[str]
    has_names: bool


class CsvFiles(FileSource):
    """Tables of numbers, one after the other; the target is a number or a label.

    Parameters
    ----------
    paths : sequence of str
        All with the same columns.
    target : str or int or None
        The column of y.
    classes : sequence of str or None
        Labels of a target that is text.
    delimiter, header, encoding
        As `load_csv` takes them.
    """

    kind = "CSV"

    def __init__(
        self,
        paths: Sequence[str],
        target: str | int | None,
        classes: Sequence[str] | None,
        *,
        delimiter: str,
        header: bool | Literal["auto"],
        encoding: str,
    ) -> None:
        super().__init__(paths)
        _check_arguments(target, delimiter, header)
        self._codec = "utf-8-sig" if _codec_name(encoding) == "utf-8" else encoding
        self._encoding, self._delimiter, self._header = encoding, delimiter, header
        self._labels = label_numbers(classes)
        self._heads = {path: self._head(path) for path in paths}
        names, has_names = self._heads[paths[0]]
        self._position = target_column(target, names, has_names, paths[0])
        self._target = names[self._position]
        self._features = [name for position, name in enumerate(names) if position != self._position]
        for path, head in self._heads.items():
            self._require_alike(path, head, paths[0], names, has_names)

    def _head(self, path: str) -> _Head:
        with self._lines(path) as lines:
            first = next(iter(lines), None)
        if first is None:
            raise ValueError(f"{path} is empty: expected lines of numbers")
        has_names = not any(_is_number(cell) for cell in first) if self._header == "auto" else bool(self._header)
        names = [cell.strip() for cell in first] if has_names else [""] * len(first)
        return _Head([name or f"column_{position}" for position, name in enumerate(names)], has_names)

    def _require_alike(self, path: str, head: _Head, first_path: str, names: list[str], has_names: bool) -> None:
        if len(head.names) != len(names):
            raise ValueError(
                f"{path} has {len(head.names)} columns but {first_path} has {len(names)}: expected as many in all files"
            )
        if head.has_names and has_names and head.names != names:
            position = next(i for i, name in enumerate(names) if head.names[i] != name)
            raise ValueError(
                f"column {position} of {path} is {head.names[position]!r} but that of {first_path} is "
                f"{names[position]!r}: expected the same columns in the same order"
            )

    @contextmanager
    def _lines(self, path: str) -> Iterator[_Lines]:
        try:
            with open(path, encoding=self._codec, newline="") as file:
                yield _Lines(_bounded(file, path), path, self._delimiter)
        except UnicodeError as error:
            line = _undecodable_line(path, self._codec)
            raise ValueError(
                f"{f'line {line} of {path}' if line else path} is not {self._encoding} text ({error}): save the file "
                "as UTF-8 or pass its encoding, for instance encoding='latin-1'"
            ) from None

    def batches(self, rows: int) -> Iterator[Chunk]:
        """Batches of `rows` lines; none goes over the end of a file."""
        for path in self.paths:
            with self._lines(path) as lines:
                cells = iter(lines)
                if self._heads[path].has_names:
                    next(cells, None)
                ready = [self._chunk(lines, cells, rows)]
                while ready[0].rows:
                    yield ready.pop()  # not kept here while the next one is read
                    ready.append(self._chunk(lines, cells, rows))

    def _chunk(self, lines: _Lines, rows: Iterator[list[str]], most: int) -> Chunk:
        width, position, labels = len(self._features) + 1, self._position, self._labels
        values, count = array("d"), 0
        targets: Any = array("d" if labels is None else "q")
        while count < most and (cells := next(rows, None)) is not None:
            if len(cells) != width:
                raise lines.error(
                    f"has {len(cells)} cells but {self.paths[0]} has {width} columns: each line needs as many; check "
                    "the delimiter and quotes"
                )
            cell = cells.pop(position)
            targets.append(self._number(cell, lines) if labels is None else self._label(cell, labels, lines))
            values.extend(_numbers(cells, lines, self._features))
            count += 1
        X = np.frombuffer(values, np.float64) if count else np.empty(0)
        y = np.frombuffer(targets, np.float64 if labels is None else np.int64) if count else np.empty(0)
        return Chunk(X.reshape(count, width - 1), y)

    def _number(self, cell: str, lines: _Lines) -> float:
        if cell.strip() and not _is_number(cell):
            raise lines.error(
                f"has {cell[:40]!r} in the target column {self._target!r}: expected a number; where it is a label, "
                "pass all labels as classes=[...], since a stream does not read everything before it begins"
            )
        return _number(cell, lines, self._target)

    def _label(self, cell: str, labels: dict[str, int], lines: _Lines) -> int:
        label = cell.strip()
        if not label:
            raise _missing(lines, self._target)
        if label not in labels:
            raise lines.error(f"{unknown_label(label, labels)} (column {self._target!r})")
        return labels[label]

    def identity(self) -> dict[str, Any]:
        """The files, and how they are read."""
        how = [self._position, self._delimiter, self._header, self._encoding]
        return {**super().identity(), "how": how, "classes": None if self._labels is None else list(self._labels)}


def _bounded(file: TextIO, path: str) -> Iterator[str]:
    """The lines of a file; ValueError where one has no end."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise ValueError(f"{path} has a line of more than {_LONGEST_LINE:,} characters: is it a CSV file?")
        yield line
