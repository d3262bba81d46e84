"""What there is to say of layer normalization: the statistics of each row, and the chain rule back through them.

The mathematics is in reference/layers/layer_norm.py; x are the inputs, u the normalized ones.
"""

from __future__ import annotations

import numpy as np

from .. import reference
from .batch import Array, Batch, Derivative, at, named
from .expressions import Expression, Number, Quantity, call, total
from .steps import Equation, Group, Row, Rule, Signals, index, letter_of

__all__ = ["LayerNormSteps"]


class LayerNormSteps:
    """A LayerNorm in one step.

    Parameters
    ----------
    layer : reference.LayerNorm
        After its way forward and back.
    number : int
        Of the layer, from 1.
    name : str
        What its parameters are called by.
    batch : Batch
    grad_output : ndarray
        dL/da.
    """

    def __init__(self, layer: reference.LayerNorm, number: int, name: str, batch: Batch, grad_output: Array) -> None:
        self._layer, self.number, self._name, self._batch = layer, number, name, batch
        self._grad_output = grad_output
        self._weight, self._bias = named("w", layer.weight, number), named("b", layer.bias, number)
        self.title = f"Layer {number}: layer normalization over {layer.weight.size} units"
        self._normalized: dict[Row, list[Quantity]] = {}
        self._deviation: dict[Row, Quantity] = {}
        self._grads: dict[Row, list[Quantity]] = {}
        self._a: dict[Row, list[Quantity]] = {}

    def forward(self, inputs: Signals) -> tuple[Group, Signals]:
        """Mean, variance and deviation of each row, u and a of each unit."""
        equations: list[Equation] = []
        assert self._layer.normalized is not None
        assert self._layer.deviation is not None
        for row, x in inputs.items():
            u, s = at(self._layer.normalized, row), float(at(self._layer.deviation, row)[0])
            n, values = len(x), np.array([each.value for each in x])
            mean = self._of(row, "m", values.mean())
            variance = self._of(row, "v", np.square(values - values.mean()).mean())
            deviation = self._deviation[row] = self._of(row, "s", s)
            equations.append(self._equation(row, None, mean, total(x) / n))
            equations.append(self._equation(row, None, variance, total((each - mean) ** 2 for each in x) / n))
            equations.append(self._equation(row, None, deviation, call("sqrt", variance + Number(self._layer.eps))))
            normalized = self._normalized[row] = [self._of(row, "u", u[i], i) for i in range(n)]
            outputs = self._a[row] = []
            for i in range(n):
                weight, bias = self._weight[i], self._bias[i]
                a = self._of(row, "a", u[i] * weight.value + bias.value, i)
                equations.append(self._equation(row, i, normalized[i], (x[i] - mean) / deviation))
                equations.append(self._equation(row, i, a, normalized[i] * weight + bias))
                outputs.append(a)
        x_name = letter_of(inputs)
        rules = (
            Rule("m = mean, v = variance, s = sqrt(v + eps) of the inputs of a row", r"s = \sqrt{v + \varepsilon}"),
            Rule(f"u_j = ({x_name}_j - m) / s", rf"u_j = \frac{{{x_name}_j - m}}{{s}}"),
            Rule("a_j = u_j·w_j + b_j", r"a_j = u_j \cdot w_j + b_j"),
            Rule(f"w_j is {self._name}.weight[j-1], b_j is {self._name}.bias[j-1]"),
        )
        return Group(self.title, rules, tuple(equations)), {row: list(a) for row, a in self._a.items()}

    def backward(self, above: Signals) -> tuple[Group, Signals]:
        """dL/da and dL/du of each unit, their means, and dL/dx as a formula for the layer below."""
        equations: list[Equation] = []
        below: Signals = {}
        for row, from_above in above.items():
            told, u, n = at(self._grad_output, row), self._normalized[row], len(from_above)
            grads = self._grads[row] = [self._a[row][i].gradient(told[i]) for i in range(n)]
            of_u = [u[i].gradient(told[i] * self._weight[i].value) for i in range(n)]
            for i in range(n):
                equations.append(self._equation(row, i, grads[i], from_above[i]))
                equations.append(self._equation(row, i, of_u[i], grads[i] * self._weight[i]))
            products = [of_u[i] * u[i] for i in range(n)]
            shift = self._of(row, "G", float(np.mean([each.value for each in of_u])))
            scale = self._of(row, "H", float(np.mean([each.value for each in products])))
            equations.append(self._equation(row, None, shift, total(of_u) / n))
            equations.append(self._equation(row, None, scale, total(products) / n))
            s = self._deviation[row]
            below[row] = [(of_u[i] - shift - u[i] * scale) / s for i in range(n)]
        rules = (
            Rule(
                "dL/du_j = dL/da_j·w_j", r"\frac{\partial L}{\partial u_j} = \frac{\partial L}{\partial a_j} \cdot w_j"
            ),
            Rule("G = mean of dL/du, H = mean of dL/du·u: what a common shift and a common scale would do"),
        )
        return Group(self.title, rules, tuple(equations)), below

    def rule_below(self, letter: str) -> Rule:
        """What `backward` tells the layer below, whose outputs are called by this letter."""
        return Rule(
            f"dL/d{letter}_j = (dL/du_j - G - u_j·H) / s, with all of them of layer {self.number}",
            rf"\frac{{\partial L}}{{\partial {letter}_j}} = \frac{{\partial L / \partial u_j - G - u_j H}}{{s}}",
        )

    @property
    def weights(self) -> list[Quantity]:
        """What a penalty is about."""
        return []

    @property
    def rules_of_gradients(self) -> tuple[Rule, ...]:
        """How the gradients follow."""
        return (Rule(f"dL/dw_j = dL/da_j·u_j and dL/db_j = dL/da_j{self._batch.added}"),)

    def derivatives(self) -> list[Derivative]:
        """dL/da times u for the weight, dL/da for the bias, added up over the rows."""
        found = []
        for i, (weight, bias) in enumerate(zip(self._weight, self._bias, strict=True)):
            terms: list[Expression] = [grads[i] * self._normalized[row][i] for row, grads in self._grads.items()]
            found.append(Derivative(i, "weight", (i,), weight, total(terms)))
            found.append(Derivative(i, "bias", (i,), bias, total(grads[i] for grads in self._grads.values())))
        return found

    def _of(self, row: Row, letter: str, value: float, unit: int | None = None) -> Quantity:
        return self._batch.quantity(letter, "" if unit is None else index(unit), value, row, self.number)

    def _equation(self, row: Row, unit: int | None, symbol: Quantity, how: Expression) -> Equation:
        return self._batch.equation(self.number, row, unit, symbol, how)
