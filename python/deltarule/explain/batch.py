"""Which rows a batch has, and how a row and what belongs to it are called; all that the layers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import reference
from .expressions import Expression, Quantity, call
from .steps import Equation, Group, Row, Rule, Signals, index

__all__ = ["Array", "Batch", "Derivative", "LayerSteps", "at", "named", "penalty_rule", "penalty_slope"]

Array = NDArray[np.float64]


class Derivative(NamedTuple):
    """dL/d one parameter: where it stands in the layer's array `key`, and how it is computed."""

    unit: int
    key: str
    place: tuple[int, ...]
    parameter: Quantity
    expression: Expression


class LayerSteps(Protocol):
    """What a kind of layer knows to say of one step."""

    number: int
    title: str

    def forward(self, inputs: Signals) -> tuple[Group, Signals]:
        """The way forward: its equations, and what the units give."""

    def backward(self, above: Signals) -> tuple[Group, Signals]:
        """The way back from dL/d(what the units gave): its equations, and the same for what the layer was given."""

    def rule_below(self, letter: str) -> Rule:
        """What `backward` tells the layer below, whose outputs are called by this letter."""

    @property
    def weights(self) -> list[Quantity]:
        """What a penalty would be about."""

    @property
    def rules_of_gradients(self) -> tuple[Rule, ...]:
        """How the gradients follow."""

    def derivatives(self) -> list[Derivative]:
        """The gradient of each parameter, unit by unit; after `backward`."""


@dataclass(frozen=True)
class Batch:
    """The rows of a batch: samples and, of sequences, those of their steps that exist.

    Attributes
    ----------
    n_samples : int
    exists : ndarray of bool of shape (n_samples, n_steps), optional
        None where the network reads no sequences.
    """

    n_samples: int
    exists: NDArray[np.bool_] | None = None

    def rows(self) -> list[Row]:
        """All rows: of sequences the steps of each sample."""
        if self.exists is None:
            return [Row(sample) for sample in range(self.n_samples)]
        return [Row(int(sample), int(step)) for sample, step in np.argwhere(self.exists)]

    @property
    def added(self) -> str:
        """What a gradient is added up over, as the end of a rule."""
        over = [*(["samples"] if self.n_samples > 1 else []), *(["steps"] if self.exists is not None else [])]
        return f", added up over the {' and '.join(over)}" if over else ""

    def where(self, row: Row) -> str:
        """What a row is called; nothing where there is only one."""
        sample = f"sample {row.sample + 1}" if self.n_samples > 1 else ""
        step = "" if row.step is None else f"step {row.step + 1}"
        return ", ".join(part for part in (sample, step) if part)

    def quantity(self, letter: str, number: str, value: Any, row: Row, layer: int | None = None) -> Quantity:
        """A number that belongs to a row."""
        sample = row.sample + 1 if self.n_samples > 1 else None
        return Quantity(letter, number, float(value), layer, sample, None if row.step is None else row.step + 1)

    def equation(self, layer: int | None, row: Row, unit: int | None, symbol: Quantity, how: Expression) -> Equation:
        """An equation of a unit of a layer, for one row."""
        of_unit = "" if unit is None else f"unit {unit + 1}"
        of_layer = "" if layer is None else f"layer {layer}"
        label = ", ".join(part for part in (self.where(row), of_unit) if part)
        return Equation(", ".join(part for part in (of_layer, of_unit) if part), label, symbol, how)


def at(array: Array, row: Row) -> Array:
    """The row of an array (n_samples, …) or (n_samples, n_steps, …)."""
    return np.asarray(array[row.sample] if row.step is None else array[row.sample, row.step])


def named(letter: str, array: Array, layer: int) -> Sequence[Any]:
    """The numbers of a vector or matrix as quantities, in nested lists."""
    if array.ndim == 1:
        return [Quantity(letter, index(i), float(value), layer) for i, value in enumerate(array)]
    return [
        [Quantity(letter, index(i, j), float(value), layer) for j, value in enumerate(row)]
        for i, row in enumerate(array)
    ]


def penalty_rule(layer: reference.Dense | reference.Recurrent) -> str:
    """The same in words, as the end of a rule."""
    terms = [*(["l1·sign(w)"] if layer.l1 else []), *(["l2·w"] if layer.l2 else [])]
    return f"; and from the penalty {' + '.join(terms)}" if terms else ""


def penalty_slope(weight: Quantity, l1: float, l2: float) -> list[Expression]:
    """What the penalty l1 Σ|W| + ½ l2 ΣW² adds to the gradient of a weight: nothing, one or two terms."""
    found: list[Expression] = []
    if l1:
        found.append(Quantity("l1", number=l1) * call("sign", weight))
    if l2:
        found.append(Quantity("l2", number=l2) * weight)
    return found
