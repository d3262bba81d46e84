"""Tables of numbers and text as a network takes them: read, encoded, kept with the network in one file.

A format is a class of `Table` (table.py) and a branch of `open_table` (reading.py); a kind of column is a class in
columns.py with its row in description.py. The command line is what people see of it.
"""

from __future__ import annotations

from .learning import Lesson, learn
from .model import TableModel
from .reading import open_table
from .table import Numbers, Table, Texts

__all__ = ["Lesson", "Numbers", "Table", "TableModel", "Texts", "learn", "open_table"]
