"""Small problems to learn on, made from a seed, and readers of data files.

A generator is a function of sizes and a seed that returns X and y; it goes into the module of its kind, points or
sequences, and into the list below. Each file format has a module of its own in the folder above.
"""

from __future__ import annotations

from ..csv_files import Table, load_csv
from ..idx_files import load_idx
from ..npz_files import load_npz
from .classification import blobs, two_spirals, xor
from .sequence_tasks import adding_problem, copy_memory, digits_by_rows, parity

__all__ = [
    "Table",
    "adding_problem",
    "blobs",
    "copy_memory",
    "digits_by_rows",
    "load_csv",
    "load_idx",
    "load_npz",
    "parity",
    "two_spirals",
    "xor",
]


def __dir__() -> list[str]:
    return sorted(__all__)
