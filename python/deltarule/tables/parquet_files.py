"""Tables in Parquet files, read by pyarrow: columns have the types that the file says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from .table import Column, Numbers, Table, Texts, as_texts

__all__ = ["ParquetTable"]


class ParquetTable(Table):
    """A table in a Parquet file.

    Parameters
    ----------
    path : str

    Raises
    ------
    ImportError
        pyarrow is not installed.
    """

    def __init__(self, path: str) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise ImportError(
                f"reading {path} needs pyarrow: pip install pyarrow, or write the table as CSV"
            ) from error
        with open(path, "rb"):  # what the system says about a missing file is clearer
            pass
        try:
            self._file = parquet.ParquetFile(path)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"{path} is no readable Parquet file: {error}") from None
        self.source = path
        self.named = True
        self.names = tuple(self._file.schema_arrow.names)
        if not self.names or not self._file.metadata.num_rows:
            raise ValueError(f"{path} has no {'rows' if self.names else 'columns'}: expected data to learn from")
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"{path} has {self.names.count(twice)} columns called {twice!r}: rename one of them")

    def read(self, positions: Sequence[int], as_text: Collection[int] = ()) -> dict[int, Column]:
        import pyarrow

        found: dict[int, Column] = {}
        for position in positions:
            name = self.names[position]
            try:
                # "a" also brings along "a.b", which may be a part of it or a column of its own.
                column = self._column(self._file.read(columns=[name]).column(name), name)
            except (pyarrow.ArrowException, OSError) as error:
                raise ValueError(f"column {name!r} of {self.source} cannot be read: {error}") from None
            found[position] = as_texts(column) if position in as_text else column
        return found

    def _column(self, values: Any, name: str) -> Column:
        from pyarrow import compute, types

        kind = values.type
        if types.is_boolean(kind):
            return Numbers(_floats(values), boolean=True)
        if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
            return Numbers(_floats(values))
        if types.is_dictionary(kind):
            return self._column(values.cast(kind.value_type), name)
        if str(kind) in ("string", "large_string", "string_view") or types.is_temporal(kind):
            # "large": offsets of 64 bits, so that all chunks can become one.
            words = compute.fill_null(values.cast("large_string"), "").combine_chunks().dictionary_encode()
            codes = words.indices.to_numpy(zero_copy_only=False).astype(np.int64)
            return _stripped(codes, words.dictionary.to_pylist())
        raise ValueError(
            f"column {name!r} of {self.source} holds {kind}: expected numbers or text; leave it out with --drop"
        )


def _floats(values: Any) -> Any:
    floats = values.cast("float64", safe=False)
    return np.array(floats.to_numpy(), np.float64)  # nulls are NaN


def _stripped(codes: Any, words: list[str]) -> Texts:
    """Without the spaces around them words may coincide."""
    known: dict[str, int] = {}
    again = np.array([known.setdefault(word.strip(), len(known)) for word in words], np.int64)
    return Texts(again[codes], tuple(known))
