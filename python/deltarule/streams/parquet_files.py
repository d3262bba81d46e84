"""Parquet files, read piece by piece by pyarrow, which is imported when the first such file is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .chunk import Array, Chunk
from .columns import label_numbers, target_column, unknown_label
from .source import FileSource

__all__ = ["ParquetFiles"]

_READ_SIZE = 1 << 16  # bytes of a column at a time, so that a large row group is not in memory as a whole


class ParquetFiles(FileSource):
    """Tables of numbers, one after the other; the target is a number or a label. Columns are found by their names.

    Parameters
    ----------
    paths : sequence of str
        All with the columns of the first.
    target : str or int or None
        The column of y.
    classes : sequence of str or None
        Labels of a target that is text.
    """

    kind = "Parquet"

    def __init__(self, paths: Sequence[str], target: str | int | None, classes: Sequence[str] | None) -> None:
        super().__init__(paths)
        _pyarrow()
        self._labels = label_numbers(classes)
        self._names: list[str] = []
        self._rows: dict[str, int] = {}
        for path in paths:
            with _opened(path) as file:
                schema = file.schema_arrow
                if path == paths[0]:
                    self._names = list(schema.names)
                    self._target = self._names[target_column(target, self._names, True, path)]
                self._check(path, schema)
                self._rows[path] = file.metadata.num_rows
        self.n_samples: int = sum(self._rows[path] for path in paths)
        self._features = [name for name in self._names if name != self._target]
        if self.n_samples == 0:
            raise ValueError(f"{self} has no rows: expected at least one")

    def _check(self, path: str, schema: Any) -> None:
        if len(schema.names) != len(self._names):
            raise ValueError(
                f"{path} has {len(schema.names)} columns but {self.paths[0]} has {len(self._names)}: expected the same "
                "in all files"
            )
        for name in self._names:
            if schema.names.count(name) != 1:
                has = "two columns" if name in schema.names else "no column"
                raise ValueError(f"{path} has {has} {name!r}: expected one, as in {self.paths[0]}")
            self._check_type(path, name, schema.field(name).type)

    def _check_type(self, path: str, name: str, kind: Any) -> None:
        types = _pyarrow().types
        is_text = any(check(kind) for check in (types.is_string, types.is_large_string, types.is_dictionary))
        if name == self._target and self._labels is not None:
            if not is_text:
                raise ValueError(f"column {name!r} of {path} is {kind}, no text: leave classes out")
        elif not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            step = "convert it first"
            if is_text:
                step = (
                    "pass all labels as classes=[...]" if name == self._target else "encode the text as numbers first"
                )
            raise ValueError(f"column {name!r} of {path} is {kind}: expected numbers; {step}")

    def batches(self, rows: int) -> Iterator[Chunk]:
        """Batches of at most `rows`."""
        for path in self.paths:
            start = 0
            with _opened(path) as file:
                self._check(path, file.schema_arrow)
                if file.metadata.num_rows != self._rows[path]:
                    raise ValueError(f"{path} has changed since the stream was made: make it anew")
                pieces = file.iter_batches(batch_size=rows, columns=self._names, use_threads=False)
                while (piece := next(pieces, None)) is not None:
                    if piece.num_rows:
                        count = piece.num_rows
                        ready = [self._chunk(piece, path, start)]
                        del piece
                        start += count
                        yield ready.pop()  # not kept here while the next one is read

    def _chunk(self, piece: Any, path: str, start: int) -> Chunk:
        columns = [_numbers(piece.column(name), f"column {name!r} of {path}", start) for name in self._features]
        X = np.empty((piece.num_rows, len(columns)), np.result_type(*columns))
        for position, column in enumerate(columns):
            X[:, position] = column
        target, name = piece.column(self._target), f"column {self._target!r} of {path}"
        y = _numbers(target, name, start) if self._labels is None else _indices(target, self._labels, name, start)
        return Chunk(X, y)

    def identity(self) -> dict[str, Any]:
        """The files, and how they are read."""
        classes = None if self._labels is None else list(self._labels)
        return {**super().identity(), "columns": self._names, "target": self._target, "classes": classes}


def _numbers(column: Any, name: str, start: int) -> Array:
    _require_no_nulls(column, name, start)
    values = np.asarray(column.to_numpy(zero_copy_only=False))
    if not (finite := np.isfinite(values)).all():
        row = int(finite.argmin())
        raise ValueError(
            f"row {start + row} of {name} is {values[row]}: every number must be finite; fill in or drop such rows "
            "first"
        )
    return values


def _indices(column: Any, labels: dict[str, int], name: str, start: int) -> Array:
    arrow, compute = _pyarrow(), _pyarrow().compute
    _require_no_nulls(column, name, start)
    text = compute.utf8_trim_whitespace(column.cast(arrow.string()))
    found = compute.index_in(text, value_set=arrow.array(list(labels), arrow.string()))
    if found.null_count:
        row = int(np.argmax(found.is_null().to_numpy(zero_copy_only=False)))
        raise ValueError(f"row {start + row} of {name} {unknown_label(text[row].as_py(), labels)}")
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.int64)


def _require_no_nulls(column: Any, name: str, start: int) -> None:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise ValueError(f"row {start + row} of {name} is missing: fill in or drop such rows first")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The file; what pyarrow says of damaged ones is a ValueError that names it."""
    arrow = _pyarrow()
    with open(path, "rb"):  # where it cannot be opened, the system's own error
        pass
    try:
        with arrow.parquet.ParquetFile(path, buffer_size=_READ_SIZE, pre_buffer=False) as file:
            yield file
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}") from None


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("reading Parquet files needs pyarrow: pip install pyarrow") from error
    return pyarrow
