"""The sections of an explanation, put together from what loss, layers and optimizer have to say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .. import reference
from ..twin import Twin
from .batch import Batch, Derivative, LayerSteps, at
from .explanation import StepExplanation
from .expressions import Expression, Quantity, Sum
from .latex import LaTeX
from .output import LossSteps, penalty_of
from .steps import Equation, Group, Row, Rule, Section, Signals, index, letter_of
from .text import Text
from .trace import Trace
from .updates import UPDATES, Notes

__all__ = ["with_sections"]

_FOLLOWED = 1e-4  # relative to the greatest term; of rounding in the terms themselves there is less
_LOST = Rule("so much cancels here that the network's precision loses digits: its numbers differ from these sums")
_DROPOUT = (Rule("hands on what it is given: nothing drops out here, only in the steps of a training"),)


def with_sections(
    explanation: StepExplanation,
    twin: Twin,
    found: Trace,
    layers: list[LayerSteps | None],
    lr_factors: list[float | None],
) -> StepExplanation:
    """The explanation and its sections, in the order of the chain rule; a layer without lr_factor is frozen."""
    batch = found.batch
    signals: Signals = {
        row: [batch.quantity("x", index(i), value, row) for i, value in enumerate(at(twin.X, row))]
        for row in batch.rows()
    }
    forward = [Group("Inputs", tuple(_of_inputs(batch, signals, found)))]
    letters = []
    for number, (layer, steps) in enumerate(zip(twin.network.layers, layers, strict=True), start=1):
        if steps is None:
            rate = getattr(layer, "rate", 0.0)
            forward.append(Group(f"Layer {number}: dropout, rate {rate:g}", _DROPOUT))
            continue
        letters.append(letter_of(signals))
        group, signals = steps.forward(signals)
        forward.append(group)
    loss = LossSteps(twin._loss, batch, found.seen, found.y, found.shares, found.gradient, found.is_fused)
    of_loss = loss.forward(signals, _penalties(twin.network, layers), explanation.loss)
    above, backward, told = loss.backward(), [], loss.rules_back()
    for steps in reversed([steps for steps in layers if steps is not None]):
        group, above = steps.backward(above)
        backward.append(replace(group, rules=(*told, *group.rules)))
        told = (steps.rule_below(letters.pop()),)
    names = [layer.name or str(place) for place, layer in enumerate(twin.network.layers)]
    gradients, updates = [], []
    for steps, name, lr_factor in zip(layers, names, lr_factors, strict=True):
        if steps is not None:
            derivatives = steps.derivatives()
            gradients.append(_gradients(steps, name, derivatives, explanation))
            updates.append(_updates(steps, name, derivatives, explanation, lr_factor))
    return replace(
        explanation,
        sections=(
            Section("forward", "1. Forward: from the inputs to the output, layer by layer", tuple(forward)),
            Section("loss", "2. Loss: how wrong the output is", (of_loss,)),
            Section("backward", "3. Backward: delta = dL/dz, from the last layer to the first", tuple(backward)),
            Section("gradients", "4. Gradients: what comes in, times delta", tuple(gradients)),
            Section("update", "5. Update: a step downhill", (_rules_of_update(explanation), *updates)),
            Section("after", "6. After the update", tuple(_after(explanation, batch, list(signals)))),
        ),
    )


def _of_inputs(batch: Batch, signals: Signals, found: Trace) -> Iterator[Rule]:
    def listed(numbers: Iterable[float]) -> str:
        return ", ".join(Text(6).number(number) for number in numbers)

    for row, x in signals.items():
        where = batch.where(row)
        targets = found.y[row.sample].ravel() if row.step is None and found.y.dtype.kind in "biuf" else np.array([])
        wanted = f", wanted: y = ({listed(targets)})" if targets.size else ""
        yield Rule(f"{where}{': ' if where else ''}x = ({listed(each.value for each in x)}){wanted}")


def _penalties(network: reference.Network, layers: list[LayerSteps | None]) -> list[list[Equation]]:
    """The penalty of each layer that has one."""
    found = []
    for layer, steps in zip(network.layers, layers, strict=True):
        if steps is not None and layer.penalty():
            found.append(penalty_of(layer, steps.number, steps.weights))
    return found


def _equation(steps: LayerSteps, name: str, of: Derivative, symbol: Quantity, how: Expression) -> Equation:
    unit = f"unit {of.unit + 1}"
    return Equation(f"layer {steps.number}, {unit}", unit, symbol, how, parameter=(f"{name}.{of.key}", *of.place))


def _gradients(steps: LayerSteps, name: str, derivatives: list[Derivative], explanation: StepExplanation) -> Group:
    equations = []
    for of in derivatives:
        symbol = of.parameter.gradient(explanation.gradients[f"{name}.{of.key}"][of.place])
        equations.append(_equation(steps, name, of, symbol, of.expression))
    lost = (_LOST,) if any(map(_has_lost_digits, equations)) else ()
    return Group(steps.title, (*steps.rules_of_gradients, *lost), tuple(equations))


def _has_lost_digits(equation: Equation) -> bool:
    """Whether the core's number is not what a hand gets that follows the reference's."""
    how = equation.expression
    parts = how.parts if isinstance(how, Sum) else (how,)
    greatest = max(abs(part.value) for part in parts)
    return abs(how.value - equation.symbol.value) > _FOLLOWED * greatest


def _updates(
    steps: LayerSteps,
    name: str,
    derivatives: list[Derivative],
    explanation: StepExplanation,
    lr_factor: float | None,
) -> Group:
    if lr_factor is None:
        return Group(steps.title, (Rule("frozen (trainable=False): its parameters stay as they are"),))
    rules = () if lr_factor == 1 else (Rule(f"lr is multiplied by the layer's lr_factor, {lr_factor:g}"),)
    equations = []
    for of in derivatives:
        key = f"{name}.{of.key}"
        notes, settings = Notes(of.parameter), _settings(explanation.settings, lr_factor)
        gradient = of.parameter.gradient(explanation.gradients[key][of.place])
        new = UPDATES[explanation.settings["name"]](notes, of.parameter, gradient, settings)
        for symbol, how in notes.taken:
            equations.append(_equation(steps, name, of, symbol, how))
        symbol = replace(of.parameter, number=float(explanation.updated[key][of.place]))
        equations.append(replace(_equation(steps, name, of, symbol, new), becomes=True))
    return Group(steps.title, rules, tuple(equations))


def _settings(settings: dict[str, Any], lr_factor: float = 1.0) -> dict[str, Quantity]:
    numbers = {name: value for name, value in settings.items() if name != "name"}
    numbers["lr"] *= lr_factor
    return {name: Quantity(name, number=value) for name, value in numbers.items()}


def _rules_of_update(explanation: StepExplanation) -> Group:
    """The optimizer's formulas, for any parameter p."""
    text, latex = Text(6), LaTeX(6)
    p = Quantity("p", number=1.0)
    notes, settings = Notes(p), _settings(explanation.settings)
    new = UPDATES[explanation.settings["name"]](notes, p, p.gradient(1.0), settings)
    rules = [
        Rule(f"{text.symbol(symbol)} = {text.symbols(how)}", f"{symbol.letter} = {latex.symbols(how)}")
        for symbol, how in notes.taken
    ]
    rules.append(Rule(f"p ← {text.symbols(new)}", rf"p \leftarrow {latex.symbols(new)}"))
    used = {each.letter: each for _, how in (*notes.taken, (p, new)) for each in how.quantities}
    known = [name for name in used if name in settings or name in ("mu1", "mu2", "size")]
    rules.append(Rule(", ".join(f"{name} = {text.number(used[name].value)}" for name in known)))
    name = explanation.settings["name"]
    first = "" if name == "sgd" else ", in the first step, from the state that it starts from"
    return Group(f"{name}, for every parameter p{first}", tuple(rules))


def _after(explanation: StepExplanation, batch: Batch, rows: list[Row]) -> Iterator[Group]:
    equations = []
    before, after = (array.astype(np.float64) for array in (explanation.output, explanation.output_after))
    for row in rows:
        for k, (old, new) in enumerate(zip(at(before, row), at(after, row), strict=True)):
            symbol = batch.quantity("a", index(k), new, row)
            how = replace(symbol, number=float(old)) + Quantity("change", number=float(new - old))
            label = ", ".join(part for part in (batch.where(row), f"output {k + 1}") if part)
            equations.append(Equation(f"output {k + 1}", label, symbol, how, becomes=True))
    yield Group("Outputs", (), tuple(equations))
    change = explanation.loss_after - explanation.loss
    loss = Quantity("L", number=explanation.loss_after)
    how = replace(loss, number=explanation.loss) + Quantity("change", number=change)
    promised = Quantity("promised", number=explanation.promised)
    yield Group(
        "Loss",
        (Rule("promised by the gradient is the change Σ dL/dp·(change of p); the longer the step, the less it holds"),),
        (Equation("loss", "", loss, how, becomes=True), Equation("loss", "", promised, promised)),
    )
