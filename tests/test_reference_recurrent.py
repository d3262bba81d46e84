"""Recurrent layers of the reference: numbers worked by hand, central differences, PyTorch, and what padding may do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from small_sequences import (
    CELL_KINDS,
    INPUTS,
    LENGTHS,
    N_STEPS,
    OUTPUTS,
    UNITS,
    Array,
    assert_close,
    data,
    layer,
    stacked,
    summing,
)

from deltarule.reference import Dense, Network, Recurrent

LOG3 = math.log(3)  # σ(ln 3) = ¾, σ(-ln 3) = ¼, tanh(½ ln 3) = ½


class TestWorkedByHand:
    """One unit, and weights for which the numbers come out even."""

    def test_a_simple_cell_over_two_steps(self) -> None:
        """h₁ = tanh(wx₁), h₂ = tanh(wx₂ + uh₁), and dh₂/du = h₁ (1 - h₂²), dh₂/dw = (x₂ + u x₁ (1 - h₁²))(1 - h₂²)."""
        w, u, x1, x2 = 0.5, -0.8, 1.5, 0.7
        one = {"weight_ih": [[w]], "weight_hh": [[u]], "bias_ih": [0.0], "bias_hh": [0.0]}
        simple = Recurrent("rnn", one)
        h1 = math.tanh(w * x1)
        h2 = math.tanh(w * x2 + u * h1)
        assert simple.forward([[[x1], [x2]]]).item() == pytest.approx(h2, rel=1e-15)
        grad_x = simple.backward([[1.0]])
        assert grad_x[0, 0, 0] == pytest.approx(w * u * (1 - h1**2) * (1 - h2**2), rel=1e-14)
        assert simple.gradients["weight_hh"].item() == pytest.approx(h1 * (1 - h2**2), rel=1e-14)
        slope = (x2 + u * x1 * (1 - h1**2)) * (1 - h2**2)
        assert simple.gradients["weight_ih"].item() == pytest.approx(slope, rel=1e-14)

    def test_an_lstm_cell(self) -> None:
        """i = o = ¾, f = ¼, g = ½: from c = 1 to c' = ¼ + ¾ ½ = ⅝."""
        zero = {"weight_ih": np.zeros((1, 4)), "weight_hh": np.zeros((1, 4)), "bias_hh": np.zeros(4)}
        lstm = Recurrent("lstm", zero | {"bias_ih": [LOG3, -LOG3, LOG3 / 2, LOG3]})
        h = lstm.forward([[[9.0]]], initial_state={"cell": [[1.0]], "hidden": [[7.0]]}).item()
        assert lstm.final_state["cell"].item() == pytest.approx(0.625, rel=1e-15)
        assert h == lstm.final_state["hidden"].item() == pytest.approx(0.75 * math.tanh(0.625), rel=1e-15)
        lstm.backward([[1.0]])
        through_c = 0.75 / math.cosh(0.625) ** 2
        expected = [
            through_c * 0.5 * 3 / 16,
            through_c * 1.0 * 3 / 16,
            through_c * 0.75 * 3 / 4,
            math.tanh(0.625) * 3 / 16,
        ]
        np.testing.assert_allclose(lstm.gradients["bias_ih"], expected, rtol=1e-13)
        np.testing.assert_allclose(lstm.gradients["weight_hh"], [np.multiply(7, expected)], rtol=1e-13)

    def test_a_gru_cell_resets_after_the_product(self) -> None:
        """r = ¾, z = ¼ and n = tanh(¾ ⅔ ln 3) = ½: from h = 2 to h' = ¾ ½ + ¼ 2 = ⅞."""
        zero = {"weight_ih": np.zeros((1, 3)), "weight_hh": np.zeros((1, 3))}
        gru = Recurrent("gru", zero | {"bias_ih": [LOG3, -LOG3, 0.0], "bias_hh": [0.0, 0.0, LOG3 * 2 / 3]})
        h = gru.forward([[[9.0]]], initial_state={"hidden": [[2.0]]}).item()
        assert h == pytest.approx(0.875, rel=1e-15)
        gru.backward([[1.0]])
        delta_n = 0.75 * 0.75
        expected = [delta_n * LOG3 * 2 / 3 * 3 / 16, (2 - 0.5) * 3 / 16, delta_n]
        np.testing.assert_allclose(gru.gradients["bias_ih"], expected, rtol=1e-13)
        np.testing.assert_allclose(gru.gradients["bias_hh"], [*expected[:2], 0.75 * delta_n], rtol=1e-13)

    def test_the_reverse_direction_begins_at_each_samples_last_step(self) -> None:
        X = np.array([[1.0, 2.0, 4.0], [8.0, 16.0, math.nan]])[:, :, None]
        both = summing(bidirectional=True, return_sequences=True).forward(X, lengths=[3, 2])
        np.testing.assert_array_equal(both[0], [[1, 7], [3, 6], [7, 4]])
        np.testing.assert_array_equal(both[1], [[8, 24], [24, 16], [0, 0]])
        last = summing(bidirectional=True).forward(X, lengths=[3, 2])
        np.testing.assert_array_equal(last, [[7, 7], [24, 24]])

    def test_truncation_stops_the_gradient_and_not_the_state(self) -> None:
        """h₃ = x₃ + 2x₂ + 4x₁ + 8x₀; of chunks of 2 the last one knows only that h₃ = x₃ + 2x₂ + 4h₁."""
        memory = summing(2.0)
        X = np.array([[1.0, 1.0, 1.0, 1.0]])[:, :, None]
        assert memory.forward(X).item() == 15
        np.testing.assert_array_equal(memory.backward([[1.0]]).ravel(), [8, 4, 2, 1])
        np.testing.assert_array_equal(memory.gradients["weight_hh"], [[7 + 2 * 3 + 4 * 1]])
        np.testing.assert_array_equal(memory.backward([[1.0]], bptt_steps=2).ravel(), [0, 0, 2, 1])
        np.testing.assert_array_equal(memory.gradients["weight_hh"], [[7 + 2 * 3]])

    def test_the_loss_is_the_mean_over_steps_that_exist(self) -> None:
        network = Network([summing(return_sequences=True), Dense([[1.0]])])
        X = np.array([[1.0, 2.0, 3.0], [5.0, math.nan, math.inf]])[:, :, None]
        errors = [1 - 0, 3 - 1, 6 - 2, 5 - 8]
        y, squares = np.array([[0.0, 1.0, 2.0], [8.0, math.nan, 1.0]]), np.square(errors)
        assert network.loss(X, y, "mse", lengths=[3, 1]) == pytest.approx(squares.mean())
        expected = (squares[:3].sum() + 10 * squares[3]) / (3 + 10)
        assert network.loss(X, y, "mse", [1.0, 10.0], lengths=[3, 1]) == pytest.approx(expected)
        last = Network([summing(), Dense([[1.0]])])
        assert last.loss(X, [[7.0], [5.5]], "mse", [1.0, 3.0], lengths=[3, 1]) == pytest.approx((1 + 3 * 0.25) / 4)


@pytest.mark.parametrize("by_step", [False, True], ids=["last", "each"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("how", ["forward", "bidirectional", "truncated"])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kind", CELL_KINDS, ids="-".join)
def test_gradients_agree_with_central_differences(
    kind: tuple[str, str], depth: int, how: str, lengths: Any, by_step: bool
) -> None:
    network = stacked(kind, depth, bidirectional=how == "bidirectional", by_step=by_step, l1=0.01, l2=0.1)
    X, y = data(by_step)
    random, weight = np.random.default_rng(2), [1.0, 0.5, 0.0, 2.0]
    start = {name: random.normal(size=(len(X), UNITS)) for name in network.forward(X, return_state=True)[1]}
    options: dict[str, Any] = {"lengths": lengths, "initial_state": start}
    if how == "truncated":
        options["bptt_steps"] = 2
    value, gradients = network.loss_and_gradients(X, y, "mse", weight, **options)
    assert value == network.loss(X, y, "mse", weight, lengths=lengths, initial_state=start)
    assert value == pytest.approx(network.loss(X, y, "mse", weight, **options), rel=1e-14)
    assert_close(gradients, network.numerical_gradients(X, y, "mse", sample_weight=weight, **options), 1e-7)
    if how == "truncated" and (by_step or lengths is None):
        _, whole = network.loss_and_gradients(X, y, "mse", weight, lengths=lengths, initial_state=start)
        assert np.abs(whole["0.weight_hh"] - gradients["0.weight_hh"]).max() > 1e-3


@pytest.mark.parametrize("by_step", [False, True])
def test_logits_labels_and_layers_around_agree_with_central_differences(by_step: bool) -> None:
    """A dense layer before, dense layers after, and a softmax that is computed with its loss; NaN and no labels pad."""
    random = np.random.default_rng(3)
    network = Network(
        [
            Dense(random.normal(size=(INPUTS, 3)), random.normal(size=3), "tanh"),
            layer(("gru", "tanh"), 3, 2, random, return_sequences=by_step, name="memory"),
            Dense(random.normal(size=(2, 3)), None, "gelu"),
            Dense(random.normal(size=(3, 3)), None, "softmax"),
        ]
    )
    X, _ = data(by_step)
    y = random.integers(0, 3, size=X.shape[: 1 + by_step])
    nothing = np.arange(N_STEPS) >= np.array(LENGTHS)[:, None]
    X[nothing] = math.nan
    if by_step:
        y[nothing] = -7
    for bptt_steps in (None, 3):
        options: dict[str, Any] = {"lengths": LENGTHS, "bptt_steps": bptt_steps}
        _, gradients = network.loss_and_gradients(X, y, "cross_entropy", **options)
        assert_close(gradients, network.numerical_gradients(X, y, "cross_entropy", **options), 1e-7)


def test_chunks_at_least_as_long_as_the_sequences_truncate_nothing() -> None:
    network, (X, y) = stacked(("lstm", "tanh"), 2), data(False)
    expected = network.loss_and_gradients(X, y, "mse", lengths=LENGTHS)[1]
    for bptt_steps in (N_STEPS, 100):
        assert_close(
            network.loss_and_gradients(X, y, "mse", lengths=LENGTHS, bptt_steps=bptt_steps)[1], expected, 1e-15
        )


@pytest.mark.parametrize("by_step", [False, True])
@pytest.mark.parametrize("kind", CELL_KINDS, ids="-".join)
class TestPadding:
    """What stands where there is no step."""

    @pytest.mark.parametrize("how", ["forward", "bidirectional", "truncated"])
    def test_changes_nothing(self, kind: tuple[str, str], by_step: bool, how: str) -> None:
        network = stacked(kind, 2, by_step=by_step, bidirectional=how == "bidirectional")
        X, y = data(by_step)
        nothing = np.arange(N_STEPS) >= np.array(LENGTHS)[:, None]
        options: dict[str, Any] = {"lengths": LENGTHS, "bptt_steps": 2 if how == "truncated" else None}
        results = []
        for padding in (0.0, 1e300, math.nan, math.inf):
            X[nothing] = padding
            if by_step:
                y[nothing] = padding
            value, gradients = network.loss_and_gradients(X, y, "mse", **options)
            output, states = network.forward(X, lengths=LENGTHS, return_state=True)
            if by_step:
                np.testing.assert_array_equal(output[nothing], 0)
            grad = np.ones_like(output)
            if by_step:
                grad[nothing] = padding
            grad_X = network.backward(grad, bptt_steps=options["bptt_steps"])
            np.testing.assert_array_equal(grad_X[nothing], 0)
            results.append([value, output, grad_X, *gradients.values(), *network.gradients.values(), *states.values()])
        for result in results[1:]:
            for actual, expected in zip(result, results[0], strict=True):
                np.testing.assert_array_equal(actual, expected)

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_a_padded_sample_is_the_sample_alone(
        self, kind: tuple[str, str], by_step: bool, bidirectional: bool
    ) -> None:
        network = stacked(kind, 2, by_step=by_step, bidirectional=bidirectional)
        X, _ = data(by_step)
        output, states = network.forward(X, lengths=LENGTHS, return_state=True)
        for number, length in enumerate(LENGTHS):
            alone, state = network.forward(X[number : number + 1, :length], return_state=True)
            np.testing.assert_allclose(output[number, :length] if by_step else output[number], alone[0], rtol=1e-13)
            for name, array in state.items():
                np.testing.assert_allclose(states[name][number], array[0], rtol=1e-13)


@pytest.mark.parametrize("kind", CELL_KINDS, ids="-".join)
def test_a_stream_step_by_step_is_the_whole_sequence(kind: tuple[str, str]) -> None:
    network, (X, _) = stacked(kind, 2, by_step=True), data(True)
    whole, expected = network.forward(X, return_state=True)
    state: dict[str, Array] = {}
    for t in range(N_STEPS):
        output, state = network.forward(X[:, t : t + 1], initial_state=state, return_state=True)
        np.testing.assert_allclose(output[:, 0], whole[:, t], rtol=1e-13)
    assert_close(state, expected, 1e-14)
    assert network.states.keys() == expected.keys()


@pytest.mark.parametrize("with_state", [False, True], ids=["from-zero", "from-a-state"])
@pytest.mark.parametrize("by_step", [False, True], ids=["last", "each"])
@pytest.mark.parametrize("lengths", [[N_STEPS] * 4, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("kind", CELL_KINDS, ids="-".join)
def test_outputs_states_and_gradients_are_those_of_torch(
    kind: tuple[str, str], depth: int, bidirectional: bool, lengths: list[int], by_step: bool, with_state: bool
) -> None:
    torch = pytest.importorskip("torch")
    network = stacked(kind, depth, bidirectional=bidirectional, by_step=by_step)
    X, y = data(by_step)
    maker = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind[0]]
    own = {"nonlinearity": kind[1]} if kind[0] == "rnn" else {}
    options = {"batch_first": True, "bidirectional": bidirectional, "dtype": torch.float64}
    module = maker(INPUTS, UNITS, depth, **options, **own)
    suffixes = ("", "_reverse") if bidirectional else ("",)
    theirs = {
        f"{place}.{part}{suffix}": getattr(module, f"{part}_l{place}{suffix}")
        for place in range(depth)
        for suffix in suffixes
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    with torch.no_grad():
        for name, tensor in theirs.items():
            tensor.copy_(torch.tensor(network.parameters[name].T))
    head = {
        name: torch.tensor(network.parameters[f"{depth}.{name}"], requires_grad=True) for name in ("weight", "bias")
    }

    states = ("hidden", "cell") if kind[0] == "lstm" else ("hidden",)
    random = np.random.default_rng(7)
    names = {state: [f"{place}.{state}{suffix}" for place in range(depth) for suffix in suffixes] for state in states}
    start = {name: with_state * random.normal(size=(len(X), UNITS)) for state in states for name in names[state]}
    before = [torch.tensor(np.stack([start[name] for name in names[state]])) for state in states]

    inputs = torch.tensor(X, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    packed_output, after = module(packed, tuple(before) if len(states) == 2 else before[0])
    after = after if len(states) == 2 else (after,)
    hidden, _ = torch.nn.utils.rnn.pad_packed_sequence(packed_output, batch_first=True, total_length=N_STEPS)
    if not by_step:
        hidden = torch.cat(list(after[0][-len(suffixes) :]), dim=1)
    output = hidden @ head["weight"] + head["bias"]
    exists = torch.tensor(np.arange(N_STEPS) < np.array(lengths)[:, None])
    squares = (output - torch.tensor(y)) ** 2
    loss = (squares[exists] if by_step else squares).mean()
    loss.backward()

    actual, final = network.forward(X, lengths=lengths, initial_state=start, return_state=True)
    expected = torch.where(exists[:, :, None], output, 0.0) if by_step else output
    np.testing.assert_allclose(actual, expected.detach().numpy(), rtol=0, atol=1e-14)
    for state, tensor in zip(states, after, strict=True):
        for name, array in zip(names[state], tensor.detach().numpy(), strict=True):
            np.testing.assert_allclose(final[name], array, rtol=0, atol=1e-14)
    value, gradients = network.loss_and_gradients(X, y, "mse", lengths=lengths, initial_state=start)
    assert value == pytest.approx(loss.item(), rel=1e-13)
    of_torch = {name: tensor.grad.numpy().T for name, tensor in theirs.items()}
    of_torch |= {f"{depth}.{name}": tensor.grad.numpy() for name, tensor in head.items()}
    assert_close(gradients, of_torch, 1e-12)

    network.forward(X, lengths=lengths, initial_state=start)
    error = 2 * (actual - y)
    grad = error / (sum(lengths) * OUTPUTS) if by_step else error / error.size
    np.testing.assert_allclose(network.backward(grad), inputs.grad.numpy(), rtol=0, atol=1e-14)
