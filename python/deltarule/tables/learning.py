"""From a table to what a network learns from: which rows, which inputs, which targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..splitting import train_test_split
from .columns import InputColumn, encode, learn_column
from .table import Table, as_numbers
from .target import ClassTarget, NumberTarget, Target, learn_target, scaled_to

__all__ = ["Lesson", "learn"]

_TOO_FEW_TO_HOLD_OUT = 10
_ENOUGH_OF_A_CLASS = 5


class Lesson(NamedTuple):
    """Encoded rows, those to learn from and those held out, and what was learned about the columns."""

    columns: tuple[InputColumn, ...]
    target: Target
    X: npt.NDArray[np.float64]
    y: npt.NDArray[Any]
    X_held_out: npt.NDArray[np.float64]
    y_held_out: npt.NDArray[Any]
    notes: list[str]


def learn(
    table: Table,
    target: str,
    *,
    task: str | None = None,
    drop: Sequence[str] = (),
    held_out: float = 0.0,
    seed: int = 0,
) -> Lesson:
    """Learn from a part of a table what its columns become, and encode all of it.

    Parameters
    ----------
    table : Table
    target : str
        The name of a column, or its position.
    task : {"classify", "regress"}, optional
        By default decided by what the target holds.
    drop : sequence of str
        Columns to leave out, by name or position.
    held_out : float, default=0.0
        The share of rows not to learn from, in [0, 1); none of fewer than ten rows.
    seed : int, default=0
        Of the choice of these rows.

    Returns
    -------
    Lesson

    Raises
    ------
    ValueError
        There is no such column, nothing to learn from or nothing to learn, an empty target, or a column of text that
        has too many categories.
    """
    position = table.find(target)
    dropped = {table.find(name) for name in drop}
    if position in dropped:
        raise ValueError(f"the target {target!r} is among the columns to drop: leave it out of --drop")
    inputs = [place for place in range(len(table.names)) if place not in {position, *dropped}]
    if not inputs:
        raise ValueError(f"{table.source} has no column beside the target {target!r}: expected some to learn from")
    if table.named:
        for place in inputs:
            table.find(table.names[place])  # names that stand there twice are refused
    data = table.read([position, *inputs])
    wanted = learn_target(table.names[position], position, data[position], task, table)
    classes = wanted.encode(data[position], table) if isinstance(wanted, ClassTarget) else None
    train, test = _split(len(data[position]), classes, held_out, seed)
    if isinstance(wanted, NumberTarget):  # its scale is learned from the same rows as all else
        wanted = scaled_to(as_numbers(data[position], wanted.name, table)[train], wanted.name, position)
    y = wanted.encode(data[position], table)
    columns = tuple(learn_column(table.names[place], place, data[place], train, table) for place in inputs)
    X, notes = encode(columns, [data[place] for place in inputs], table)
    return Lesson(columns, wanted, X[train], y[train], X[test], y[test], notes)


def _split(
    n_rows: int, classes: npt.NDArray[Any] | None, held_out: float, seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows = np.arange(n_rows)
    if not held_out or n_rows < _TOO_FEW_TO_HOLD_OUT:
        return rows, rows[:0]
    n_test = math.ceil(held_out * n_rows)
    if n_test >= n_rows:
        raise ValueError(f"holding out {held_out:g} leaves none of {n_rows} rows to learn from: choose a smaller share")
    labels = None
    if classes is not None:
        counts = np.bincount(classes)
        # Every class on both sides, in the same proportion, where there are enough of each.
        if counts.min() >= _ENOUGH_OF_A_CLASS and min(n_test, n_rows - n_test) >= len(counts):
            labels = classes
    train, test = train_test_split(rows, test_size=n_test, seed=seed, stratify=labels)
    return train, test
