"""What is predicted: a class, told by its label, or a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ..preprocessing import Standardizer
from .table import Column, Numbers, Table, Texts, as_numbers, as_texts, shortened

__all__ = ["ClassTarget", "NumberTarget", "Target", "learn_target"]

# Numbers of no more than this many kinds are taken for classes without being told: 0 and 1, mostly.
_FEW = 2


@dataclass(frozen=True)
class ClassTarget:
    """A class for each row.

    Attributes
    ----------
    name : str
    position : int
        Where the column stood in the file that it was learned from.
    labels : tuple of str
        In the order of the network's outputs.
    numbers : bool
        Whether the labels are numbers, so that 1 and 1.0 are one class.
    """

    task: ClassVar[str] = "classify"
    loss: ClassVar[str] = "cross_entropy"

    name: str
    position: int
    labels: tuple[str, ...]
    numbers: bool

    @property
    def outputs(self) -> int:
        """How many a network needs."""
        return len(self.labels)

    def encode(self, column: Column, table: Table) -> npt.NDArray[np.int64]:
        """The class of each row; ValueError where a cell is empty or holds another label."""
        if self.numbers:
            values = as_numbers(column, self.name, table)
            known = np.array([float(label) for label in self.labels])
            classes = np.searchsorted(known, values).clip(0, len(known) - 1)
            wrong = known[classes] != values
        else:
            texts = as_texts(column)
            index = {label: number for number, label in enumerate(self.labels)}
            if set(index) == {"false", "true"}:  # however a file writes them
                texts = Texts(texts.codes, tuple(word.casefold() for word in texts.words))
            classes = np.array([index.get(word, -1) for word in texts.words], np.int64)[texts.codes]
            wrong = classes < 0
        if wrong.any():
            row = int(wrong.argmax())
            found = as_texts(column).words[as_texts(column).codes[row]]
            if not found:
                raise _empty(self.name, table, row)
            labels = ", ".join(map(shortened, self.labels[:10]))
            raise ValueError(
                f"{table.place(row)} has {shortened(found)} in the target column {self.name!r}, which the model has "
                f"not learned: its classes are {labels}{', …' if len(self.labels) > 10 else ''}"
            )
        return classes.astype(np.int64)

    def decode(self, output: npt.NDArray[Any]) -> list[str]:
        """The label of each row of outputs."""
        return [self.labels[number] for number in output.argmax(axis=1)]


@dataclass(frozen=True)
class NumberTarget:
    """A number for each row; a network gives it in standard deviations from the mean.

    Attributes
    ----------
    name : str
    position : int
        Where the column stood in the file that it was learned from.
    mean, scale : float
        Of the rows that were learned from.
    """

    task: ClassVar[str] = "regress"
    loss: ClassVar[str] = "mse"
    outputs: ClassVar[int] = 1

    name: str
    position: int
    mean: float
    scale: float

    def encode(self, column: Column, table: Table) -> npt.NDArray[np.float64]:
        """The numbers as a network gives them, of shape (n, 1); ValueError where a cell is empty."""
        values = as_numbers(column, self.name, table)
        if np.isnan(values).any():
            raise _empty(self.name, table, int(np.isnan(values).argmax()))
        with np.errstate(over="ignore"):
            scaled = (values.reshape(-1, 1) - self.mean) / self.scale
        if not np.isfinite(scaled).all():
            row = int(np.isinf(scaled[:, 0]).argmax())
            raise ValueError(
                f"{table.place(row)} has {values[row]:g} in the target column {self.name!r}, too far from the mean of "
                f"training, {self.mean:g}, to be computed with: mend it, or leave out the row"
            )
        return scaled

    def decode(self, output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The number for each row of outputs, as the column has it; infinite where it is too large to be one."""
        with np.errstate(over="ignore"):
            numbers: npt.NDArray[np.float64] = output[:, 0].astype(np.float64) * self.scale + self.mean
        return numbers


Target: TypeAlias = ClassTarget | NumberTarget


def learn_target(name: str, position: int, column: Column, task: str | None, table: Table) -> Target:
    """Learn from all rows what there is to predict.

    Parameters
    ----------
    name, position, column, table
    task : {"classify", "regress"} or None
        None: classify text, truth values and numbers of no more than two kinds, else regress.
    """
    if isinstance(column, Texts) or column.boolean:
        if task == "regress" and isinstance(column, Texts):
            raise ValueError(
                f"column {name!r} of {table.source} holds text, such as {shortened(column.words[0])}: use --task "
                "classify"
            )
        if task != "regress":
            texts = as_texts(column)
            if "" in texts.words:
                raise _empty(name, table, texts.first_row(""))
            return _checked(ClassTarget(name, position, tuple(sorted(texts.words)), False), len(column), table)
    values = as_numbers(column, name, table)
    if np.isnan(values).any():
        raise _empty(name, table, int(np.isnan(values).argmax()))
    kinds = np.unique(values)
    if task == "classify" or (task is None and len(kinds) <= _FEW):
        return _checked(ClassTarget(name, position, as_texts(Numbers(kinds)).words, True), len(column), table)
    return scaled_to(values, name, position)


def scaled_to(values: npt.NDArray[np.float64], name: str, position: int) -> NumberTarget:
    """A target of numbers with the mean and the standard deviation of these."""
    scaler = Standardizer().fit(values.reshape(-1, 1))
    return NumberTarget(name, position, float(scaler.mean_[0]), float(scaler.scale_[0]))


def _checked(target: ClassTarget, n_rows: int, table: Table) -> ClassTarget:
    labels = target.labels
    if len(labels) < 2:
        raise ValueError(
            f"column {target.name!r} of {table.source} is {shortened(labels[0])} in every row: there is nothing to "
            "tell apart; choose another target"
        )
    if len(labels) > max(10, n_rows // 2):
        step = "use --task regress, or choose another target" if target.numbers else "choose another target"
        raise ValueError(
            f"column {target.name!r} of {table.source} has {len(labels)} different values in {n_rows} rows, such as "
            f"{shortened(labels[0])}, too many to be classes: {step}"
        )
    return target


def _empty(name: str, table: Table, row: int) -> ValueError:
    return ValueError(f"{table.place(row)} has no value in the target column {name!r}: fill it in or drop the line")
