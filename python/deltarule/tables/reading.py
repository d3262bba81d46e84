"""The door to tables in files: which format it is, by the ending of the name."""

from __future__ import annotations

import os
from collections.abc import Collection

from .delimited_files import DelimitedTable, read_content
from .npy_files import NpyTable
from .parquet_files import ParquetTable
from .table import Table

__all__ = ["open_table"]


def open_table(path: str, *, delimiter: str | None = None, expected: Collection[str] = ()) -> Table:
    """Open a table, by the ending of its name: .parquet, .npy, .tsv; anything else is CSV.

    Parameters
    ----------
    path : str
        "-" is the standard input, as CSV.
    delimiter : str, optional
        Between the cells of a text file; by default a tab for .tsv and else a comma.
    expected : collection of str
        Names by which the first line of a text file is known to be a line of names.

    Returns
    -------
    Table

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is damaged, empty, or no table.
    ImportError
        A Parquet file, and pyarrow is not installed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = path.write_text("length,kind\\n5.1,rose\\n,lily\\n")
    >>> table = open_table(str(path))
    >>> table.names
    ('length', 'kind')
    >>> columns = table.read([0, 1])
    >>> columns[0].values, columns[1].words
    (array([5.1, nan]), ('rose', 'lily'))
    """
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder: give the path of a table")
    ending = os.path.splitext(path)[1].lower()
    if ending in (".parquet", ".pq"):
        return ParquetTable(path)
    if ending == ".npy":
        return NpyTable(path)
    between = delimiter or ("\t" if ending == ".tsv" else ",")
    return DelimitedTable("the standard input" if path == "-" else path, read_content(path), between, expected)
