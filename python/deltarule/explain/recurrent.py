"""What there is to say of a recurrent layer: its cell, step by step forward, and back through time.

The mathematics is in reference/layers/recurrent.py, the formulas of the cells are in cells.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import reference
from .batch import Array, Batch, Derivative, penalty_rule, penalty_slope
from .cells import CELLS, RNN, Gate, Lines, Moment
from .expressions import Expression, Quantity, total
from .steps import Equation, Group, Row, Rule, Signals, index

__all__ = ["RecurrentSteps"]


class RecurrentSteps:
    """A recurrent layer of one direction in one step of training.

    Parameters
    ----------
    layer : reference.Recurrent
        After its way forward and back.
    number : int
        Of the layer, from 1.
    name : str
        What its parameters are called by.
    batch : Batch
    grad_output : ndarray
        dL/dh of what the layer gave: of every step, or of each sample's last one.
    """

    def __init__(self, layer: reference.Recurrent, number: int, name: str, batch: Batch, grad_output: Array) -> None:
        self._layer, self.number, self._name, self._batch = layer, number, name, batch
        self._grad_output = grad_output
        kind = CELLS[layer.cell.name]
        self._cell = RNN(layer.cell.activation.name) if kind is RNN else kind()
        self._units = layer.units
        self._gates = {gate: self._gate(gate, place) for place, gate in enumerate(self._cell.gates)}
        shown = "every step" if layer.return_sequences else "the last step"
        activation = f", {layer.cell.activation.name}" if kind is RNN else ""
        self.title = f"Layer {number}: {layer.cell.name}, {self._units} units{activation}, gives h of {shown}"
        self._moments: dict[Row, Moment] = {}

    def _gate(self, gate: str, place: int) -> Gate:
        """The gate's columns of the parameters."""
        own = slice(place * self._units, (place + 1) * self._units)

        def matrix(letter: str, array: Array) -> list[list[Quantity]]:
            return [
                [Quantity(letter + gate, index(i, j), float(value), self.number) for j, value in enumerate(row[own])]
                for i, row in enumerate(array)
            ]

        arrays = self._layer.parameters
        return Gate(
            matrix("w", arrays["weight_ih"]),
            matrix("u", arrays["weight_hh"]),
            *(self._vector(letter + gate, arrays[key][own]) for letter, key in (("b", "bias_ih"), ("d", "bias_hh"))),
        )

    def _vector(self, letter: str, array: Array) -> list[Quantity]:
        return [Quantity(letter, index(j), float(value), self.number) for j, value in enumerate(array)]

    def forward(self, inputs: Signals) -> tuple[Group, Signals]:
        """Gates and states of each unit, step by step."""
        equations: list[Equation] = []
        layer = self._layer
        for t, going_on, (_, state, a, b) in layer._moments[""]:
            values = self._cell.values(layer.cell, a, b, state)
            for place, sample in enumerate(going_on):
                row = Row(int(sample), t)
                moment = self._moments[row] = self._moment(row, inputs[row])
                for letter, array in values.items():
                    moment.found[letter] = [self._of(row, letter, j, array[place, j]) for j in range(self._units)]
                for unit in range(self._units):
                    equations += self._written(row, moment, unit, self._cell.forward(moment, self._gates, unit))
        rules = (
            *self._cell.rules,
            Rule(f"w, u, b, d are {self._name}.weight_ih, weight_hh, bias_ih, bias_hh; before the first step h is 0"),
        )
        outputs: Signals = {}
        for row, moment in self._moments.items():
            if layer.return_sequences:
                outputs[row] = list(moment["h"])
            elif self._next(row) not in self._moments:
                outputs[Row(row.sample)] = list(moment["h"])
        return Group(self.title, rules, tuple(equations)), dict(sorted(outputs.items()))

    def _moment(self, row: Row, x: list[Expression]) -> Moment:
        assert row.step is not None
        before = self._moments.get(Row(row.sample, row.step - 1))
        zero = [self._of(row, "h", j, 0.0) for j in range(self._units)]
        if before is None:
            return Moment(x, zero, zero, is_first=True)
        return Moment(x, before["h"], before.found.get("c", zero), is_first=False)

    @staticmethod
    def _next(row: Row) -> Row:
        assert row.step is not None
        return Row(row.sample, row.step + 1)

    def backward(self, above: Signals) -> tuple[Group, Signals]:
        """dL/dh and the deltas of each unit, from the last step to the first, and dL/dx for the layer below."""
        equations: list[Equation] = []
        below: Signals = {}
        for t, going_on, grad, values in self._values_back():
            for place, sample in enumerate(going_on):
                row = Row(int(sample), t)
                moment, after = self._moments[row], self._moments.get(self._next(row))
                moment.found["dL/dh"] = [moment["h"][j].gradient(grad[place, j]) for j in range(self._units)]
                for letter, array in values.items():
                    moment.found[letter] = [
                        self._back(row, moment, letter, j, array[place, j]) for j in range(self._units)
                    ]
                told = (
                    above.get(row if self._layer.return_sequences else Row(row.sample))
                    if (self._layer.return_sequences or after is None)
                    else None
                )
                for unit in range(self._units):
                    parts = [*([told[unit]] if told else []), *self._from_after(after, unit)]
                    lines: Lines = [("dL/dh", total(parts)), *self._cell.backward(moment, after, unit)]
                    equations += self._written(row, moment, unit, lines)
                below[row] = [self._of_input(moment, i) for i in range(self._layer.inputs)]
        return Group(self.title, self._cell.rules_back, tuple(equations)), dict(sorted(below.items()))

    def _from_after(self, after: Moment | None, unit: int) -> list[Expression]:
        return [] if after is None else self._cell.passed(after, self._gates, unit)

    def _of_input(self, moment: Moment, i: int) -> Expression:
        return total(
            weight * moment[f"delta{gate}"][j] for gate, of in self._gates.items() for j, weight in enumerate(of.w[i])
        )

    def _values_back(self) -> list[tuple[int, Any, Array, dict[str, Array]]]:
        """Step, samples, dL/dh and the numbers of the way back, from the last step to the first."""
        layer, cell, found = self._layer, self._layer.cell, []
        grads = [np.zeros((self._batch.n_samples, self._units)) for _ in cell.states]
        if not layer.return_sequences:
            grads[0] += self._grad_output
        weights = layer._weights("")
        for t, going_on, kept in reversed(layer._moments[""]):
            grad = [array[going_on] for array in grads]
            if layer.return_sequences:
                grad[0] = grad[0] + self._grad_output[going_on, t]
            _, state, a, b = kept
            of_sums, _, _ = cell.step_back(a, b, state, tuple(grad))
            values = dict(
                zip(
                    (f"delta{gate}" for gate in self._cell.gates),
                    np.split(of_sums, len(cell.gates), axis=1),
                    strict=True,
                )
            )
            values |= self._cell.values_back(cell, self._cell.values(cell, a, b, state), tuple(grad))
            found.append((t, going_on, grad[0], values))
            _, before, _ = cell.backward(tuple(grad), kept, weights)
            for array, part in zip(grads, before, strict=True):
                array[going_on] = part
        return found

    def rule_below(self, letter: str) -> Rule:
        """What `backward` tells the layer below, whose outputs are called by this letter."""
        return Rule(
            f"dL/d{letter}_j of a step = Σ w_jk·delta_k over all gates and units of layer {self.number} at this step"
        )

    @property
    def weights(self) -> list[Quantity]:
        """What a penalty is about."""
        return [w for of in self._gates.values() for matrix in (of.w, of.u) for weights in matrix for w in weights]

    @property
    def rules_of_gradients(self) -> tuple[Rule, ...]:
        """How the gradients follow."""
        of_n = "; of gate n deltan_j·r_j" if "n" in self._gates else ""
        return (
            Rule(f"dL/dw_ij = (input i)·delta_j, dL/db_j = delta_j{self._batch.added}{penalty_rule(self._layer)}"),
            Rule(f"dL/du_kj = (h_k of the step before)·delta_j, dL/dd_j = delta_j, in the same way{of_n}"),
        )

    def derivatives(self) -> list[Derivative]:
        """Input times delta, and state before times delta, added up over samples and steps."""
        found = []
        l1, l2 = self._layer.l1, self._layer.l2
        for unit in range(self._units):
            for place, (gate, of) in enumerate(self._gates.items()):
                column = place * self._units + unit
                moments = list(self._moments.values())
                deltas: list[Expression] = [moment[f"delta{gate}"][unit] for moment in moments]
                of_h = [self._cell.of_h(moment, gate, unit) for moment in moments]
                for i, weights in enumerate(of.w):
                    terms = [moment.x[i] * delta for moment, delta in zip(moments, deltas, strict=True)]
                    how = total([*terms, *penalty_slope(weights[unit], l1, l2)])
                    found.append(Derivative(unit, "weight_ih", (i, column), weights[unit], how))
                for k, weights in enumerate(of.u):
                    terms = [
                        moment.h[k] * delta for moment, delta in zip(moments, of_h, strict=True) if not moment.is_first
                    ]
                    how = total([*terms, *penalty_slope(weights[unit], l1, l2)])
                    found.append(Derivative(unit, "weight_hh", (k, column), weights[unit], how))
                found.append(Derivative(unit, "bias_ih", (column,), of.b[unit], total(deltas)))
                found.append(Derivative(unit, "bias_hh", (column,), of.d[unit], total(of_h)))
        return found

    def _written(self, row: Row, moment: Moment, unit: int, lines: Lines) -> list[Equation]:
        return [self._batch.equation(self.number, row, unit, moment[letter][unit], how) for letter, how in lines]

    def _of(self, row: Row, letter: str, unit: int, value: float) -> Quantity:
        return self._batch.quantity(letter, index(unit), value, row, self.number)

    def _back(self, row: Row, moment: Moment, letter: str, unit: int, value: float) -> Quantity:
        """A number of the way back: a delta, or the derivative by a number of the way forward."""
        if letter.startswith("dL/d"):
            return moment[letter.removeprefix("dL/d")][unit].gradient(value)
        return self._of(row, letter, unit, value)
