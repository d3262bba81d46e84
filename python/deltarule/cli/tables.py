"""Tables as the commands read them: the target by name or position, features by their names, classes as text."""

from __future__ import annotations

import csv
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..csv_files import load_csv
from ..names import did_you_mean
from .table_model import Columns

__all__ = ["Training", "read_features", "read_training"]

# Numbers of no more than this many kinds are taken for classes without being told: 0 and 1, mostly.
_FEW = 2


class Training(NamedTuple):
    """What there is to learn from: features, targets as the loss takes them, and what the columns mean."""

    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64] | npt.NDArray[np.int64]
    columns: Columns


def read_training(path: str, target: str, delimiter: str, task: str | None) -> Training:
    """Read a table with its target.

    Parameters
    ----------
    path : str
    target : str
        A name in the header, or else a position such as "-1".
    delimiter : str
    task : {"classify", "regress"} or None
        None: classify text and numbers of two kinds, else regress.
    """
    first, has_names = _first_line(path, delimiter)
    by_name = has_names and target in first
    position = first.index(target) if by_name else _whole(target)
    table = load_csv(path, target if by_name or position is None else position, delimiter=delimiter)
    assert table.y is not None
    assert table.target_name is not None
    assert position is not None
    chosen = task or ("classify" if table.classes is not None or len(np.unique(table.y)) <= _FEW else "regress")
    y, classes = table.y, table.classes or ()
    if chosen == "regress" and table.classes is not None:
        raise ValueError(
            f"column {table.target_name!r} of {path} holds text, such as {classes[0]!r}: use --task classify"
        )
    if chosen == "classify" and table.classes is None:
        values, y = np.unique(table.y, return_inverse=True)
        classes = tuple(f"{value:.17g}" if value % 1 else f"{value:.0f}" for value in values)
    if chosen == "classify":
        _check_classes(classes, len(y), table.target_name, path)
    columns = Columns(chosen, table.feature_names, table.target_name, position % len(first), tuple(classes))
    return Training(table.X, y, columns)


def read_features(path: str, columns: Columns, delimiter: str) -> npt.NDArray[np.float64]:
    """Read the columns that a model takes, in its order; by name where there is a header, else by position.

    The target's own column may be there or not; other columns are left out.
    """
    first, has_names = _first_line(path, delimiter)
    if has_names:
        for name in columns.features:
            if name not in first and not name.startswith("column_"):
                raise ValueError(f"{path} has no column {name!r}, which the model takes: {did_you_mean(name, first)}")
        table = load_csv(path, columns.target if columns.target in first else None, delimiter=delimiter)
        position = {name: index for index, name in enumerate(table.feature_names)}
        if all(name in position for name in columns.features):
            return table.X[:, [position[name] for name in columns.features]]
    n_features = len(columns.features)
    if len(first) not in (n_features, n_features + 1):
        raise ValueError(
            f"{path} has {len(first)} columns but the model takes {n_features}: {', '.join(columns.features[:20])}"
        )
    return load_csv(path, columns.target_position if len(first) > n_features else None, delimiter=delimiter).X


def _check_classes(classes: tuple[str, ...], n_samples: int, target: str, path: str) -> None:
    if len(classes) < 2:
        raise ValueError(f"column {target!r} of {path} is {classes[0]!r} in every line: there is nothing to tell apart")
    if len(classes) > max(10, n_samples // 2):
        raise ValueError(
            f"column {target!r} of {path} has {len(classes)} different values in {n_samples} lines, too many to be "
            "classes: use --task regress, or another target"
        )


def _first_line(path: str, delimiter: str) -> tuple[list[str], bool]:
    """The cells of the first line that is not blank, and whether they are names: no cell is a number."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        for cells in csv.reader(file, delimiter=delimiter):
            if any(cell.strip() for cell in cells):
                stripped = [cell.strip() for cell in cells]
                return stripped, not any(_is_number(cell) for cell in stripped)
    return [], False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _whole(text: str) -> int | None:
    return int(text) if text.removeprefix("-").isdecimal() else None
