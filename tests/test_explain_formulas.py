"""Formulas of explanations: there is one for every name of the reference, and each gives the number beside it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from explained_networks import CASES, OPTIMIZERS, Case

import deltarule as dr
from deltarule import reference
from deltarule.explain import StepExplanation, explain_step
from deltarule.explain.activations import ACTIVATIONS
from deltarule.explain.cells import CELLS
from deltarule.explain.expressions import Quantity
from deltarule.explain.losses import LOSSES
from deltarule.explain.steps import Equation
from deltarule.explain.updates import UPDATES

POINTS = [-7.0, -3.0, -2.9, -1.0, -0.3, 0.0, 0.2, 0.9, 1.0, 1.7, 3.0, 8.0]


def explained(case: Case, **settings: Any) -> StepExplanation:
    return explain_step(case.network(), case.X, case.y, loss=case.loss, **case.settings, **settings)


def equations(explanation: StepExplanation) -> list[Equation]:
    return [equation for section in explanation.sections for group in section.groups for equation in group.equations]


def test_there_is_one_for_every_name() -> None:
    assert set(ACTIVATIONS) | {"softmax"} == set(reference.ACTIVATIONS)
    assert set(LOSSES) == set(reference.LOSSES)
    assert set(UPDATES) == set(reference.OPTIMIZERS)
    assert set(CELLS) == set(reference.CELLS)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("number", POINTS)
def test_of_activations(name: str, number: float) -> None:
    formula, activation = ACTIVATIONS[name], reference.activations.get(name)
    z = np.array(number)
    value, slope = float(activation.value(z)), float(activation.slope(z))
    of_z = Quantity("z", "1", number)
    assert formula.value(of_z).value == pytest.approx(value, rel=1e-12, abs=1e-15)
    assert formula.slope(of_z, Quantity("a", "1", value)).value == pytest.approx(slope, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", [name for name, formula in LOSSES.items() if not formula.link])
@pytest.mark.parametrize("target", [-1.0, 0.0, 1.0, 2.5])
@pytest.mark.parametrize("number", POINTS)
def test_of_losses(name: str, number: float, target: float) -> None:
    if name == "poisson_deviance" and target < 0:
        target = -target
    loss, formula = reference.losses.get(name), LOSSES[name]
    assert isinstance(loss, reference.losses.ElementwiseLoss)
    o, y = Quantity("a", "1", number), Quantity("y", "1", target)
    own = Quantity("own", number=getattr(loss, formula.parameter) if formula.parameter else math.nan)
    z, wanted = np.array([[number]]), np.array([[target]])
    assert formula.value(o, y, own).value == pytest.approx(loss.per_sample(z, wanted).item(), rel=1e-9, abs=1e-12)
    assert formula.slope(o, y, own).value == pytest.approx(loss.gradient(z, wanted).item(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_each_line_gives_its_number(name: str) -> None:
    for equation in equations(explained(CASES[name])):
        if equation.expression != equation.symbol:
            assert equation.expression.value == pytest.approx(equation.symbol.value, rel=1e-8, abs=1e-13), equation


@pytest.mark.parametrize("scale", [1e4, -1e4])
@pytest.mark.parametrize("last", ["softmax", "identity"])
def test_probabilities_of_logits_far_out(last: str, scale: float) -> None:
    network = dr.Network([dr.Dense(2, last)], input_shape=1, dtype="float64")
    network.load_state_dict({"0.weight": [[1.0, 1.0001]], "0.bias": [0.0, 0.0]})
    explanation = explain_step(network, [scale], 0, loss="cross_entropy")
    found = [line for line in equations(explanation) if line.symbol.letter in ("S", "p", "E", "a")]
    for line in found:
        assert line.expression.value == pytest.approx(line.symbol.value, rel=1e-9)
    assert json.dumps(explanation.to_dict(), allow_nan=False)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_each_line_of_an_optimizer_gives_its_number(optimizer: Any) -> None:
    explanation = explained(CASES["penalties"], optimizer=optimizer)
    (section,) = (section for section in explanation.sections if section.name == "update")
    found = [equation for group in section.groups for equation in group.equations]
    assert sum(equation.becomes for equation in found) == sum(array.size for array in explanation.updated.values())
    for equation in found:
        assert equation.expression.value == pytest.approx(equation.symbol.value, rel=1e-10, abs=1e-15), equation
    trained = CASES["penalties"].network()
    dr.Trainer(trained, loss="mse", optimizer=optimizer).step(CASES["penalties"].X, CASES["penalties"].y)
    for key, array in trained.parameters.items():
        np.testing.assert_array_equal(explanation.updated[key], array)


@pytest.mark.parametrize("name", CASES)
def test_gradients_and_update_are_the_cores(name: str) -> None:
    case = CASES[name]
    explanation = explained(case, lr=0.25)
    value, gradients = case.network().loss_and_gradients(case.X, case.y, loss=case.loss, **case.settings)
    assert explanation.loss == value
    found = {(equation.parameter): equation for equation in equations(explanation) if equation.parameter}
    for key, gradient in gradients.items():
        np.testing.assert_array_equal(explanation.gradients[key], gradient)
        for place in np.ndindex(gradient.shape):
            update = found[(key, *place)]  # the last one of a parameter is its update
            assert update.becomes
            assert update.symbol.value == explanation.updated[key][place]
            assert explanation.updated[key][place] == pytest.approx(
                explanation.parameters[key][place] - 0.25 * gradient[place], rel=1e-12, abs=1e-15
            )


@pytest.mark.parametrize("name", CASES)
def test_float32_is_explained_too(name: str) -> None:
    case = CASES[name]
    explanation = explain_step(case.network("float32"), case.X, case.y, loss=case.loss, **case.settings)
    assert {array.dtype for array in explanation.updated.values()} == {np.dtype("float32")}
    for equation in equations(explanation):
        if equation.expression != equation.symbol:
            assert equation.expression.value == pytest.approx(equation.symbol.value, rel=1e-3, abs=1e-5), equation
