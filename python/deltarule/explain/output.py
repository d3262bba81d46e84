"""The loss and where the way back begins: dL/d(output), or in the fused pairs dL/dz of the last layer.

The mean is taken here, once: each loss is divided by how many there are, and so is every derivative that follows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import reference
from .activations import Lines, sigmoid, softmax
from .batch import Array, Batch, at
from .expressions import Expression, Number, Quantity, call, total
from .latex import LaTeX
from .losses import LOSSES, LossFormula, parameter_of
from .steps import Equation, Group, Row, Rule, Signals, index
from .text import Text

__all__ = ["LossSteps"]


class LossSteps:
    """The loss in one step.

    Parameters
    ----------
    loss : reference.losses.Loss
    name : str
        What it is called; "" for a function of the caller's.
    batch : Batch
    seen : ndarray
        What the loss looks at: the outputs, or in the fused pairs the logits.
    y : ndarray
        The targets.
    shares : ndarray, optional
        Of sample weights: how much of the mean each sample, or each of its steps, is. None: all the same.
    gradient : ndarray
        dL/d(what the loss looks at).
    is_fused : bool
        Whether the last activation gives the probabilities that the loss is about.
    """

    def __init__(
        self,
        loss: reference.losses.Loss,
        batch: Batch,
        seen: Array,
        y: NDArray[np.generic],
        shares: Array | None,
        gradient: Array,
        is_fused: bool,
    ) -> None:
        self._loss, self._batch, self._seen, self._shares = loss, batch, seen, shares
        self._gradient, self._is_fused = gradient, is_fused
        self._formula: LossFormula | None = LOSSES.get(loss.name)
        self._outputs = seen.shape[-1]
        self._is_one = loss.name == "cross_entropy"  # one loss for all outputs of a row
        self._y = np.zeros(seen.shape) if self._formula is None else self._as_rows(y)
        self._compared: dict[Row, list[Quantity]] = {}  # what is compared with y: outputs or probabilities
        self._rows: list[Row] = []

    def _as_rows(self, y: NDArray[np.generic]) -> Array:
        """The targets in the shape of the output; a class as a row of 0 and one 1."""
        if self._is_one and y.shape == self._seen.shape[:-1]:
            return np.eye(self._outputs)[y.astype(np.intp)]
        return y.astype(np.float64).reshape(self._seen.shape)

    def forward(self, outputs: Signals, penalties: list[list[Equation]], value: float) -> Group:
        """What each output adds to the loss, and the loss."""
        self._rows = list(outputs)
        equations: list[Equation] = []
        parts: list[Expression] = []
        for row, given in outputs.items():
            if self._formula is None:
                continue
            quantities = [each for each in given if isinstance(each, Quantity)]
            compared = self._compared[row] = quantities
            if self._formula.link and not self._is_fused:
                compared, of_probabilities = self._probabilities(row, quantities)
                self._compared[row] = compared
                equations += of_probabilities
            of_losses = self._losses(row, compared)
            equations += of_losses
            parts += [equation.symbol for equation in of_losses]
        for of_layer in penalties:
            equations += of_layer
            parts.append(of_layer[-1].symbol)
        loss = Quantity("L", number=value)
        how = total(parts) if self._formula is not None else loss
        equations.append(Equation("loss", "" if len(parts) == 1 else "together", loss, how))
        return Group(self._title(), self._rules(), tuple(equations))

    def _probabilities(self, row: Row, outputs: list[Quantity]) -> tuple[list[Quantity], list[Equation]]:
        assert self._formula is not None
        values = reference.activations.get(self._formula.link).value(at(self._seen, row))
        found = [self._batch.quantity("p", index(k), values[k], row) for k in range(self._outputs)]
        if self._formula.link == "sigmoid":
            return found, [self._equation(row, k, p, sigmoid(outputs[k])) for k, p in enumerate(found)]
        (together, how), *each = softmax(outputs, found)
        of_outputs = [self._equation(row, k, p, of_output) for k, (p, of_output) in enumerate(each)]
        return found, [self._equation(row, None, together, how), *of_outputs]

    def _losses(self, row: Row, compared: list[Quantity]) -> list[Equation]:
        assert self._formula is not None
        y, parameter = self._targets(row), self._parameter()
        each = [self._formula.value(o, target, parameter) for o, target in zip(compared, y, strict=True)]
        if self._is_one:
            there = [loss for loss, target in zip(each, y, strict=True) if target.value]
            if len(there) == 1 and y[0].value in (0, 1):
                there = [-call("log", compared[next(k for k, target in enumerate(y) if target.value)])]
            each = [total(there)]
        values = self._values(row)
        found = []
        for k, (loss, value) in enumerate(zip(each, values, strict=True)):
            symbol = self._batch.quantity("E", "" if self._is_one else index(k), value, row)
            found.append(self._equation(row, None if self._is_one else k, symbol, self._share(row, loss)))
        return found

    def _equation(self, row: Row, output: int | None, symbol: Quantity, how: Expression) -> Equation:
        place = "loss" if output is None else f"output {output + 1}"
        label = ", ".join(part for part in (self._batch.where(row), "" if output is None else place) if part)
        return Equation(place, label, symbol, how)

    def _values(self, row: Row) -> list[float]:
        """What each output of the row adds to the loss, as the reference computes it."""
        z, y = at(self._seen, row), at(self._y, row)
        if self._is_one:
            return [float(self._loss.per_sample(z[None], y[None])[0]) * self._factor(row)]
        losses = self._loss.per_sample(z[:, None], y[:, None])  # each output as a sample of its own
        return [float(loss) * self._factor(row) for loss in losses]

    def backward(self) -> Signals:
        """dL/d(output) as a formula, or in the fused pairs dL/dz."""
        found: Signals = {}
        for row in self._rows:
            if self._formula is None:
                told = at(self._gradient, row)
                found[row] = [Number(float(value)) for value in told]
                continue
            y, parameter = self._targets(row), self._parameter()
            found[row] = [
                self._share(row, self._formula.slope(o, target, parameter))
                for o, target in zip(self._compared[row], y, strict=True)
            ]
        return found

    def rules_back(self) -> tuple[Rule, ...]:
        """The derivative where the way back begins."""
        if self._formula is None:
            return ()
        o = Quantity("p" if self._formula.link and not self._is_fused else "a", "j")
        slope = self._formula.slope(o, Quantity("y", "j"), self._parameter())
        share = Quantity("share")
        how = share * slope if self._shares is not None else slope if self._count == 1 else slope / self._count
        text, latex = ("delta_j = dL/dz_j", r"\frac{\partial L}{\partial z_j}")
        if not self._is_fused:
            text, latex = ("dL/da_j", r"\frac{\partial L}{\partial a_j}")
        return (Rule(f"{text} = {Text(6).symbols(how)}", f"{latex} = {LaTeX(6).symbols(how)}"),)

    def _targets(self, row: Row) -> list[Quantity]:
        return [self._batch.quantity("y", index(k), value, row) for k, value in enumerate(at(self._y, row))]

    def _parameter(self) -> Quantity:
        assert self._formula is not None
        name = self._formula.parameter
        return parameter_of(self._formula, getattr(self._loss, name) if name else 0.0)

    @property
    def _count(self) -> int:
        return len(self._rows) * (1 if self._is_one else self._outputs)

    def _factor(self, row: Row) -> float:
        """Which part of the mean one loss of the row is."""
        if self._shares is None:
            return 1 / self._count
        return float(at(self._shares, row)) / (1 if self._is_one else self._outputs)

    def _share(self, row: Row, loss: Expression) -> Expression:
        if self._shares is not None:
            return self._batch.quantity("share", "", self._factor(row), row) * loss
        return loss if self._count == 1 else loss / self._count

    def _title(self) -> str:
        return f"Loss: {self._loss.name or 'a function of your own'}"

    def _rules(self) -> tuple[Rule, ...]:
        if self._formula is None:
            return (Rule("its value, and dL/d(output), are what the function has returned"),)
        o = Quantity("p" if self._formula.link and not self._is_fused else "a", "" if self._is_one else "k")
        y = Quantity("y", "" if self._is_one else "k")
        parameter = self._parameter()
        if self._is_one:
            letter = o.letter
            rules = [Rule(f"loss of a sample: -Σ_k y_k·log({letter}_k)", rf"-\sum_k y_k \cdot \log {letter}_k")]
        else:
            formula = self._formula.value(o, y, parameter)
            rules = [Rule(f"loss of an output: {Text(6).symbols(formula)}", LaTeX(6).symbols(formula))]
        if self._formula.link and not self._is_fused:
            rules.insert(
                0,
                Rule(
                    "p_k = exp(a_k) / S, with S = Σ_k exp(a_k)" if self._is_one else "p_k = 1 / (1 + exp(-a_k))",
                    r"p_k = \frac{e^{a_k}}{\sum_k e^{a_k}}" if self._is_one else r"p_k = \frac{1}{1 + e^{-a_k}}",
                ),
            )
        if self._formula.parameter:
            rules.append(Rule(f"{self._formula.parameter} = {parameter.value:g}"))
        rules.append(Rule(self._of_the_mean()))
        return tuple(rules)

    def _of_the_mean(self) -> str:
        samples = "samples" if self._batch.exists is None or self._seen.ndim == 2 else "steps of the samples"
        if self._shares is not None:
            of = f", of each of {self._outputs} outputs" if not self._is_one and self._outputs > 1 else ""
            return (
                f"E = share·loss, where share is the sample's weight over the sum of the weights of all {samples}{of}"
            )
        if self._count == 1:
            return "there is one, so that it is L"
        kinds = [(len(self._rows), samples), (1 if self._is_one else self._outputs, "outputs")]
        of = " · ".join(f"{count} {kind}" for count, kind in kinds if count > 1)
        return f"E is the loss / {self._count} ({of}), so that L, the sum of all E, is the mean"


def penalty_of(layer: reference.layers.Layer, number: int, weights: list[Quantity]) -> list[Equation]:
    """l1 Σ|W| + ½ l2 ΣW² of a layer: first the sums, at last the penalty."""
    terms: list[Expression] = []
    lines: Lines = []
    for letter, share, each in (
        ("l1", Quantity("l1", number=float(getattr(layer, "l1", 0.0))), [call("abs", w) for w in weights]),
        ("l2", Quantity("l2", number=float(getattr(layer, "l2", 0.0))), [w**2 for w in weights]),
    ):
        if share.value:
            how = total(each)
            together = Quantity("absolute" if letter == "l1" else "squares", number=how.value, layer=number)
            lines.append((together, how))
            terms.append(share * together if letter == "l1" else share * together / 2)
    lines.append((Quantity("penalty", number=layer.penalty(), layer=number), total(terms)))
    return [Equation(f"layer {number}", f"penalty of layer {number}", symbol, how) for symbol, how in lines]
