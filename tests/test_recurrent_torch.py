"""Recurrent networks beside torch's, in float64: outputs, states, gradients, and fifty steps of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from recurrent_oracle import KINDS, OUTPUTS, Case, Oracle, make_data, network_of, oracle_loss

import deltarule as dr
from deltarule.torch_layout import from_torch_state_dict, to_torch_state_dict

SHAPES = [
    {},
    {"layers": 3},
    {"bidirectional": True},
    {"layers": 2, "bidirectional": True},
    {"layers": 2, "norm": True},
    {"layers": 2, "norm": True, "bidirectional": True},
]
CASES = [Case(kind, **shape, sequences=each) for kind in KINDS for shape in SHAPES for each in (False, True)]

EXACT = {"rtol": 1e-12, "atol": 1e-12}
TRAJECTORY = {"rtol": 1e-9, "atol": 1e-9}

OPTIMIZERS: dict[str, tuple[Any, Any]] = {
    "momentum": (
        lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        lambda: dr.SGD(lr=0.05, momentum=0.9),
    ),
    "adam": (lambda parameters: torch.optim.Adam(parameters, lr=1e-2), lambda: dr.Adam(lr=1e-2)),
    "rmsprop": (lambda parameters: torch.optim.RMSprop(parameters, lr=1e-3), lambda: dr.RMSprop(lr=1e-3)),
}


def oracle_of(case: Case, seed: int = 0) -> Oracle:
    torch.manual_seed(seed)
    return Oracle(case)


def our_gradients(oracle: Oracle, case: Case) -> dict[str, Any]:
    """torch's, by our names."""
    gradients = {name: parameter.grad for name, parameter in oracle.named_parameters()}
    return from_torch_state_dict(gradients, case.modules)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
class TestOneCall:
    def test_output_and_states(self, case: Case, ragged: bool) -> None:
        oracle, data = oracle_of(case), make_data(case, ragged=ragged)
        network = network_of(case, oracle)
        with torch.no_grad():
            expected, states = oracle(torch.from_numpy(data.X), data.lengths)
        output, ours = network.predict(data.X, lengths=data.lengths, return_state=True)
        assert output.shape == expected.shape
        np.testing.assert_allclose(output, expected, **EXACT)
        if case.sequences:
            assert (output[~data.exists] == 0).all()
        assert set(ours) == {name for name, _, _ in case.state_names()}
        for name, kind, place in case.state_names():
            np.testing.assert_allclose(ours[name], states[kind][place], err_msg=name, **EXACT)
        np.testing.assert_array_equal(network.predict(data.X, lengths=data.lengths), output)

    def test_initial_state(self, case: Case, ragged: bool) -> None:
        oracle, data = oracle_of(case), make_data(case, ragged=ragged)
        network, random = network_of(case, oracle), np.random.default_rng(5)
        names = case.state_names()
        given = {name: random.uniform(-1, 1, (len(data.X), 4)) for name, _, _ in names}
        initial = {
            kind: torch.stack([torch.from_numpy(given[name]) for name, its, _ in names if its == kind])
            for kind in {kind for _, kind, _ in names}
        }
        with torch.no_grad():
            expected, states = oracle(torch.from_numpy(data.X), data.lengths, initial)
        output, ours = network.predict(data.X, lengths=data.lengths, initial_state=given, return_state=True)
        np.testing.assert_allclose(output, expected, **EXACT)
        for name, kind, place in names:
            np.testing.assert_allclose(ours[name], states[kind][place], err_msg=name, **EXACT)
        assert not np.allclose(output, network.predict(data.X, lengths=data.lengths))

    @pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
    def test_loss_and_gradients(self, case: Case, ragged: bool, loss: str) -> None:
        oracle, data = oracle_of(case), make_data(case, ragged=ragged)
        expected = oracle_loss(oracle, data, loss)
        expected.backward()
        value, gradients = network_of(case, oracle).loss_and_gradients(
            data.X, data.targets(loss), loss=loss, lengths=data.lengths
        )
        assert value == pytest.approx(expected.item(), rel=1e-13)
        theirs = our_gradients(oracle, case)
        assert set(gradients) == set(theirs)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, theirs[name], err_msg=name, **EXACT)


@pytest.mark.parametrize("case", [Case("lstm", 2), Case("gru", sequences=True)], ids=str)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_weights_of_samples(case: Case, loss: str) -> None:
    """A sample of weight w and k steps counts w k: Σ w Σ ℓ / Σ w k. Without sequence output it counts w."""
    oracle, data = oracle_of(case), make_data(case, ragged=True)
    weight = np.random.default_rng(3).uniform(0, 2, len(data.X))
    weight[2] = 0
    expected = oracle_loss(oracle, data, loss, weight=weight)
    expected.backward()
    value, gradients = network_of(case, oracle).loss_and_gradients(
        data.X, data.targets(loss), loss=loss, lengths=data.lengths, sample_weight=weight
    )
    assert value == pytest.approx(expected.item(), rel=1e-13)
    theirs = our_gradients(oracle, case)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, theirs[name], err_msg=name, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_stream_step_by_step(kind: str, layers: int) -> None:
    """One step a call, the state handed on, is torch's whole sequence."""
    case = Case(kind, layers, sequences=True)
    oracle, data = oracle_of(case), make_data(case, n_samples=2, n_steps=9)
    network = network_of(case, oracle)
    with torch.no_grad():
        expected, _ = oracle(torch.from_numpy(data.X))
    state: dict[str, Any] | None = None
    for step in range(9):
        output, state = network.predict(data.X[:, step : step + 1], initial_state=state, return_state=True)
        np.testing.assert_allclose(output[:, 0], expected[:, step], **EXACT)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fifty_steps(case: Case, optimizer: str) -> None:
    """Ten epochs of five batches, the last of them smaller; ragged where the layers are stacked."""
    loss = "cross_entropy" if case.sequences == (optimizer == "adam") else "mse"
    make_theirs, make_ours = OPTIMIZERS[optimizer]
    oracle, data = oracle_of(case), make_data(case, 18, 6, ragged=case.layers > 1)
    network = network_of(case, oracle)
    start = network.state_dict()
    theirs = make_theirs(oracle.parameters())
    for _ in range(10):
        for first in range(0, 18, 4):
            theirs.zero_grad()
            oracle_loss(oracle, data, loss, slice(first, first + 4)).backward()
            theirs.step()
    network.fit(
        data.X,
        data.targets(loss),
        loss=loss,
        optimizer=make_ours(),
        epochs=10,
        batch_size=4,
        shuffle=False,
        lengths=data.lengths,
    )
    expected, ours = from_torch_state_dict(oracle.state_dict(), case.modules), network.state_dict()
    assert set(ours) == set(expected)
    for name, array in ours.items():
        np.testing.assert_allclose(array, expected[name], err_msg=name, **TRAJECTORY)
        assert np.abs(array - start[name]).max() > 1e-4, name  # it has gone somewhere


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_was_learned_here_goes_on_in_torch(case: Case) -> None:
    oracle, data = oracle_of(case), make_data(case, ragged=True)
    network = network_of(case, oracle)
    network.fit(data.X, data.classes, loss="cross_entropy", lengths=data.lengths, epochs=3, batch_size=4)
    module = oracle_of(case, seed=1)
    arrays = to_torch_state_dict(network.state_dict(), case.modules)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    with torch.no_grad():
        output, _ = module(torch.from_numpy(data.X), data.lengths)
    np.testing.assert_allclose(network.predict(data.X, lengths=data.lengths), output, **EXACT)


@pytest.mark.parametrize("bias", [True, False])
def test_modules_as_torch_makes_them(bias: bool) -> None:
    """The tensors of a state_dict are taken as they are, whether they have biases or not."""
    lstm = torch.nn.LSTM(3, 4, num_layers=2, bias=bias, batch_first=True, dtype=torch.float64)
    head = torch.nn.Linear(4, OUTPUTS, bias=bias, dtype=torch.float64)
    state = torch.nn.ModuleDict({"lstm": lstm, "head": head}).state_dict()
    network = dr.Network(
        [dr.LSTM(4, return_sequences=True), dr.LSTM(4), dr.Dense(OUTPUTS, use_bias=bias)],
        input_shape=(None, 3),
        dtype="float64",
    )
    network.load_state_dict(from_torch_state_dict(state, {"lstm": [0, 1], "head": 2}))
    X = np.random.default_rng(0).standard_normal((5, 6, 3))
    with torch.no_grad():
        expected = head(lstm(torch.from_numpy(X))[0][:, -1])
    np.testing.assert_allclose(network.predict(X), expected, **EXACT)
