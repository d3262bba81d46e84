"""What there is to say of a dense layer: z = x W + b, a = f(z), and the chain rule back.

The mathematics is in reference/layers/dense.py.
"""

from __future__ import annotations

import numpy as np

from .. import reference
from .activations import ACTIVATIONS, Formula, Lines, softmax, softmax_back
from .batch import Array, Batch, Derivative, at, named, penalty_rule, penalty_slope
from .expressions import Expression, Quantity, total
from .latex import LaTeX
from .steps import Equation, Group, Row, Rule, Signals, index, letter_of
from .text import Text

__all__ = ["DenseSteps"]


class DenseSteps:
    """A dense layer in one step.

    Parameters
    ----------
    layer : reference.Dense
        After its way forward and back.
    number : int
        Of the layer, from 1.
    name : str
        What its parameters are called by.
    batch : Batch
    grad_output, delta : ndarray
        dL/da and dL/dz, of the shape of the output.
    gives_delta : bool
        Whether what comes from above is dL/dz already, as in the pairs of reference/fused.py.
    """

    def __init__(
        self,
        layer: reference.Dense,
        number: int,
        name: str,
        batch: Batch,
        grad_output: Array,
        delta: Array,
        gives_delta: bool = False,
    ) -> None:
        self._layer, self.number, self._name, self._batch = layer, number, name, batch
        self._grad_output, self._delta, self._gives_delta = grad_output, delta, gives_delta
        self._weight = named("w", layer.weight, number)
        self._bias = [] if layer.bias is None else named("b", layer.bias, number)
        self._units = layer.weight.shape[1]
        activation = layer.activation.name
        self.title = f"Layer {number}: dense, {self._units} unit{'s' if self._units > 1 else ''}, {activation}"
        self._formula: Formula | None = ACTIVATIONS.get(activation)  # softmax has none: it looks at all units
        self._inputs: Signals = {}
        self._z: dict[Row, list[Quantity]] = {}
        self._a: dict[Row, list[Quantity]] = {}
        self._deltas: dict[Row, list[Quantity]] = {}

    def forward(self, inputs: Signals) -> tuple[Group, Signals]:
        """z and a of each unit."""
        self._inputs = inputs
        equations: list[Equation] = []
        assert self._layer.z is not None
        activations = self._layer.activation.value(self._layer.z)
        for row, x in inputs.items():
            sums, outputs = at(self._layer.z, row), at(activations, row)
            z = self._z[row] = [self._of(row, "z", unit, sums[unit]) for unit in range(self._units)]
            a = self._a[row] = [self._of(row, "a", unit, outputs[unit]) for unit in range(self._units)]
            of_sums = [self._equation(row, unit, z[unit], self._sum(x, unit)) for unit in range(self._units)]
            if self._formula is None:
                equations += of_sums + self._over_units(row, softmax(z, a))
                continue
            for unit, of_sum in enumerate(of_sums):
                equations += [of_sum, self._equation(row, unit, a[unit], self._formula.value(z[unit]))]
        letter = letter_of(inputs)
        bias = (" + b_j", " + b_j") if self._bias else ("", "")
        rules = (
            Rule(f"z_j = Σ_i {letter}_i·w_ij{bias[0]}", rf"z_j = \sum_i {letter}_i \cdot w_{{ij}}{bias[1]}"),
            self._rule(),
            Rule(self._where()),
        )
        return Group(self.title, rules, tuple(equations)), {row: list(a) for row, a in self._a.items()}

    def backward(self, above: Signals) -> tuple[Group, Signals]:
        """dL/da, the slope and delta of each unit, and dL/dx as a formula for the layer below."""
        equations: list[Equation] = []
        assert self._layer.z is not None
        for row, from_above in above.items():
            deltas = at(self._delta, row)
            delta = self._deltas[row] = [self._of(row, "delta", unit, deltas[unit]) for unit in range(self._units)]
            if self._gives_delta:
                equations += [self._equation(row, unit, delta[unit], from_above[unit]) for unit in range(self._units)]
            else:
                equations += self._through_activation(row, from_above, delta)
        below: Signals = {
            row: [
                total(weight * delta for weight, delta in zip(weights, self._deltas[row], strict=True))
                for weights in self._weight
            ]
            for row in above
        }
        return Group(self.title, self._rules_back(), tuple(equations)), below

    def _through_activation(self, row: Row, above: list[Expression], delta: list[Quantity]) -> list[Equation]:
        assert self._layer.z is not None
        z, a, told = self._z[row], self._a[row], at(self._grad_output, row)
        grads = [a[unit].gradient(told[unit]) for unit in range(self._units)]
        of_grads = [self._equation(row, unit, grads[unit], above[unit]) for unit in range(self._units)]
        if self._formula is None:
            return of_grads + self._over_units(row, softmax_back(a, grads, delta))
        equations = []
        for unit in range(self._units):
            equations.append(of_grads[unit])
            if self._layer.activation.name == "identity":
                equations.append(self._equation(row, unit, delta[unit], grads[unit]))
                continue
            slope = z[unit].slope(float(self._layer.activation.slope(np.asarray(z[unit].value))))
            equations.append(self._equation(row, unit, slope, self._formula.slope(z[unit], a[unit])))
            equations.append(self._equation(row, unit, delta[unit], grads[unit] * slope))
        return equations

    def rule_below(self, letter: str) -> Rule:
        """What `backward` tells the layer below, whose outputs are called by this letter."""
        layer = f"[{self.number}]"
        return Rule(
            f"dL/d{letter}_j = Σ_k w_jk·delta_k, with w and delta of layer {self.number}",
            rf"\frac{{\partial L}}{{\partial {letter}_j}} = \sum_k w^{{{layer}}}_{{jk}} \cdot \delta^{{{layer}}}_k",
        )

    @property
    def weights(self) -> list[Quantity]:
        """What a penalty is about."""
        return [weight for weights in self._weight for weight in weights]

    @property
    def rules_of_gradients(self) -> tuple[Rule, ...]:
        """How the gradients follow."""
        rules = (
            Rule(f"dL/dw_ij = (input i)·delta_j{self._batch.added}{penalty_rule(self._layer)}"),
            Rule(f"dL/db_j = delta_j{self._batch.added}"),
        )
        return rules if self._bias else rules[:1]

    def derivatives(self) -> list[Derivative]:
        """Input times delta, added up over the rows, and the penalty's share."""
        found = []
        for unit in range(self._units):
            for i, weights in enumerate(self._weight):
                terms = [self._inputs[row][i] * delta[unit] for row, delta in self._deltas.items()]
                penalty = penalty_slope(weights[unit], self._layer.l1, self._layer.l2)
                found.append(Derivative(unit, "weight", (i, unit), weights[unit], total([*terms, *penalty])))
            if self._bias:
                deltas = (delta[unit] for delta in self._deltas.values())
                found.append(Derivative(unit, "bias", (unit,), self._bias[unit], total(deltas)))
        return found

    def _sum(self, x: list[Expression], unit: int) -> Expression:
        products = [each * weights[unit] for each, weights in zip(x, self._weight, strict=True)]
        return total([*products, self._bias[unit]] if self._bias else products)

    def _over_units(self, row: Row, lines: Lines) -> list[Equation]:
        """What softmax adds up over all units, and what becomes of each."""
        (together, how), *each = lines
        of_units = [self._equation(row, unit, symbol, of_unit) for unit, (symbol, of_unit) in enumerate(each)]
        return [self._batch.equation(self.number, row, None, together, how), *of_units]

    def _of(self, row: Row, letter: str, unit: int, value: float) -> Quantity:
        return self._batch.quantity(letter, index(unit), value, row, self.number)

    def _equation(self, row: Row, unit: int, symbol: Quantity, how: Expression) -> Equation:
        return self._batch.equation(self.number, row, unit, symbol, how)

    def _where(self) -> str:
        bias = f", b_j is {self._name}.bias[j-1]" if self._bias else ""
        return f"w_ij, from input i to unit j, is {self._name}.weight[i-1, j-1]{bias}"

    def _rule(self) -> Rule:
        name, z = self._layer.activation.name, Quantity("z", "j")
        if self._formula is None:
            return Rule(
                "a_j = softmax(z)_j = exp(z_j) / S, with S = Σ_k exp(z_k)", r"a_j = \frac{e^{z_j}}{\sum_k e^{z_k}}"
            )
        text, latex = Text(6).symbols(self._formula.value(z)), LaTeX(6).symbols(self._formula.value(z))
        shown = "" if text == f"{name}(z_j)" or name == "identity" else f"{name}(z_j) = "
        return Rule(f"a_j = {shown}{text}", f"a_j = f(z_j) = {latex}")

    def _rules_back(self) -> tuple[Rule, ...]:
        if self._gives_delta:
            return ()
        if self._layer.activation.name == "identity":
            return (
                Rule(
                    "delta_j = dL/dz_j = dL/da_j, as the slope of a_j = z_j is 1",
                    r"\delta_j = \frac{\partial L}{\partial z_j} = \frac{\partial L}{\partial a_j}",
                ),
            )
        if self._formula is None:
            return (
                Rule(
                    "delta_j = dL/dz_j = a_j·(dL/da_j - T), with T = Σ_k dL/da_k·a_k",
                    r"\delta_j = \frac{\partial L}{\partial z_j} = a_j \left("
                    r"\frac{\partial L}{\partial a_j} - \sum_k \frac{\partial L}{\partial a_k} a_k\right)",
                ),
            )
        z, a = Quantity("z", "j"), Quantity("a", "j")
        slope = self._formula.slope(z, a)
        return (
            Rule(
                "delta_j = dL/dz_j = dL/da_j·f'(z_j)",
                r"\delta_j = \frac{\partial L}{\partial z_j} = \frac{\partial L}{\partial a_j} \cdot f'(z_j)",
            ),
            Rule(f"f'(z_j) = {Text(6).symbols(slope)}", f"f'(z_j) = {LaTeX(6).symbols(slope)}"),
        )
