"""Where the loop over sequences begins and ends: chunks without outputs, steps given up, failed passes, streams."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import deltarule as dr

RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(6, 7, 3))
LENGTHS = [1, 2, 3, 4, 5, 6]


def bits(network: dr.Network) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in network.parameters.items()}


def test_threads_agree_about_chunks_without_outputs() -> None:
    """One that ran on to the next chunk while others still looked at the last once left them waiting for ever."""
    code = (
        "import numpy as np, deltarule as dr\n"
        "X = np.random.default_rng(0).normal(size=(64, 10, 2)).astype('f4')\n"
        "network = dr.Network([dr.GRU(8), dr.Dense(1)], input_shape=(None, 2))\n"
        "for _ in range(20):\n"
        "    network.fit(X, X[:, 0, :1], loss='mse', epochs=50, bptt_steps=1, n_threads=4)\n"
        "print(len(network.parameters))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert result.stdout == "6\n"


@pytest.mark.parametrize("optimizer", [dr.SGD(lr=0.1, momentum=0.9), dr.Adam(lr=0.1), dr.NAdam(lr=0.1)])
def test_a_truncated_step_that_diverges_has_not_happened(optimizer: Any) -> None:
    def new() -> tuple[dr.Network, dr.Trainer]:
        layers = [dr.RNN(4, "relu", return_sequences=True), dr.Dense(1)]
        network = dr.Network(layers, input_shape=(None, 1))
        return network, dr.Trainer(network, "mse", optimizer, bptt_steps=2)

    rising, high = np.ones((2, 6, 1), np.float32), np.zeros((2, 6, 1), np.float32)
    rising[:, 2:], high[:, 2:] = 1e30, 3e38  # the first chunk has its update, the second one diverges
    network, trainer = new()
    before = bits(network)
    with pytest.raises(dr.DivergenceError, match="as it was before the step"):
        trainer.step(rising, high)
    assert bits(network) == before
    assert trainer.steps == 0
    other, fresh = new()
    for each in (trainer, fresh):
        each.step(X[:2, :6, :1], X[:2, :6, 1:2])
    assert bits(network) == bits(other)  # the optimizer has forgotten it, too


def test_backward_takes_what_forward_has_kept() -> None:
    network = dr.Network([dr.GRU(5), dr.Dense(2)], input_shape=(None, 3), dtype="float64")
    gradient = network.forward(X)
    network.backward(gradient)
    with pytest.raises(ValueError, match="once for each forward"):
        network.backward(gradient)
    network.forward(X)
    network.backward(gradient)


def test_lengths_that_change_under_way_change_nothing() -> None:
    lengths = np.full(6, 5)

    class Changes:
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            lengths[:] = 10**8

    def trained(callbacks: list[Any], asked: Any) -> dict[str, bytes]:
        network = dr.Network([dr.GRU(5), dr.Dense(1)], input_shape=(None, 3))
        network.fit(X, X[:, 0, :1], loss="mse", lengths=asked, epochs=3, callbacks=callbacks)
        return bits(network)

    assert trained([Changes()], lengths) == trained([], np.full(6, 5))
    assert lengths[0] == 10**8


def test_a_forward_without_memory_leaves_nothing_to_go_back_from() -> None:
    network = dr.Network([dr.LSTM(1000), dr.Dense(2)], input_shape=(None, 1))
    network.forward(X[:2, :3, :1])
    with pytest.raises(MemoryError):
        network.forward(np.broadcast_to(np.float32(1), (1000, 100_000, 1)))
    assert network.forward(X[:2, :3, :1]).shape == (2, 2)


class TestStreams:
    @pytest.mark.parametrize(
        ("layers", "why"),
        [([dr.GRU(3, bidirectional=True), dr.Dense(1)], "bidirectional"), ([dr.Dense(1)], "no recurrent layer")],
    )
    def test_that_cannot_be(self, layers: list[Any], why: str) -> None:
        with pytest.raises(ValueError, match=why):
            dr.Network(layers).stream()

    def test_of_a_network_with_a_fixed_number_of_steps(self) -> None:
        network = dr.Network([dr.LSTM(3), dr.Dense(1)], input_shape=(7, 3))
        stream = network.stream()
        outputs = [stream(X[:, step]) for step in range(7)]
        assert np.array_equal(outputs[-1], network.predict(X))
        with pytest.raises(ValueError, match="X has 6 steps, the network takes 7"):
            network.predict(X[:, :6])

    def test_one_step_has_one_shape(self) -> None:
        stream = dr.Network([dr.LSTM(3), dr.Dense(1)], input_shape=(None, 3)).stream()
        with pytest.raises(ValueError, match=r"pass x\[None\]"):
            stream(X[0, 0])
        stream(X[:4, 0])
        with pytest.raises(ValueError, match="x has 2 rows, the stream began with 4"):
            stream(X[:2, 1])
        stream.reset()
        stream(X[:2, 0])


class TestPadding:
    @pytest.mark.parametrize("low", [-1, 0])
    def test_of_signs(self, low: int) -> None:
        network = dr.Network([dr.GRU(4, return_sequences=True), dr.Dense(1)], input_shape=(None, 3))
        y = np.where(RANDOM.random((6, 7)) < 0.5, low, 1)
        history = network.fit(X, y, loss="hinge", lengths=LENGTHS)
        assert np.isfinite(history["loss"]).all()

    def test_of_probabilities(self) -> None:
        network = dr.Network([dr.GRU(4, return_sequences=True), dr.Dense(3)], input_shape=(None, 3), dtype="float64")
        y = RANDOM.dirichlet(np.ones(3), size=(6, 7))
        damaged = y.copy()
        for sample, length in enumerate(LENGTHS):
            damaged[sample, length:] = np.nan
        values = [
            network.loss_and_gradients(X, each, loss="cross_entropy", lengths=LENGTHS)[0] for each in (y, damaged)
        ]
        assert values[0] == values[1]

    def test_of_the_gradient_that_goes_back(self) -> None:
        network = dr.Network([dr.GRU(4, return_sequences=True), dr.Dense(1)], input_shape=(None, 3))
        gradient = np.full(network.forward(X, lengths=LENGTHS).shape, np.nan)
        for sample, length in enumerate(LENGTHS):
            gradient[sample, :length] = 1
        back = network.backward(gradient)
        assert np.isfinite(back).all()
        assert all((back[sample, length:] == 0).all() for sample, length in enumerate(LENGTHS))

    def test_of_lists_up_to_a_fixed_number_of_steps(self) -> None:
        network = dr.Network([dr.LSTM(3), dr.Dense(1)], input_shape=(7, 3))
        ragged: list[Any] = [X[0, :3], X[1, :2], X[2, :6]]
        expected = network.predict(X[:3], lengths=[3, 2, 6])
        assert np.array_equal(network.predict(ragged), expected)
        assert np.array_equal(network.predict([array.tolist() for array in ragged]), expected)
        objects = np.empty(3, object)
        objects[:] = ragged
        assert np.array_equal(network.predict(objects), expected)


def test_memory_is_looked_for_before_a_single_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from deltarule.network import recurrence

    network = dr.Network([dr.LSTM(64), dr.Dense(1)], input_shape=(None, 1))
    monkeypatch.setattr(recurrence, "_available", lambda: 1 << 20)
    long, y = np.zeros((10, 20_000, 1), np.float32), np.zeros((10, 1))
    before = bits(network)
    for call in (
        lambda: network.loss_and_gradients(long, y, loss="mse"),
        lambda: network.forward(long),
        lambda: dr.Trainer(network, "mse").step(long, y),
        lambda: network.fit(long, y, loss="mse"),
    ):
        with pytest.raises(MemoryError, match=r"GiB .*Network.memory"):
            call()
    assert bits(network) == before


@pytest.mark.parametrize("argument", ["bptt_steps", "checkpoint_steps"])
def test_more_steps_than_can_be(argument: str) -> None:
    network = dr.Network([dr.GRU(4), dr.Dense(1)], input_shape=(None, 3))
    with pytest.raises(ValueError, match=f"{argument}={2**70}: expected an integer of at least 1 and at most"):
        network.fit(X, X[:, 0, :1], loss="mse", **{argument: 2**70})


def test_a_trainer_keeps_checkpoints_of_a_number_of_steps() -> None:
    network = dr.Network([dr.GRU(4), dr.Dense(1)], input_shape=(None, 3))
    with pytest.raises(TypeError, match="checkpoint_steps='auto': a Trainer needs a number"):
        dr.Trainer(network, "mse", checkpoint_steps="auto")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reads no sequences"):
        dr.Trainer(dr.Network([dr.Dense(1)]), "mse", bptt_steps=3)


def test_a_loss_of_ones_own_sees_the_samples_in_their_order() -> None:
    network = dr.Network([dr.GRU(4), dr.Dense(1)], input_shape=(None, 3), dtype="float64")
    y = np.arange(6.0)[:, None]
    seen = []

    def squares(output: Any, target: Any) -> tuple[float, Any]:
        seen.append(target.ravel().tolist())
        return float(np.mean((output - target) ** 2)), 2 * (output - target) / output.size

    lengths = [3, 1, 7, 2, 7, 5]
    value, gradients = network.loss_and_gradients(X, y, loss=squares, lengths=lengths)
    expected, others = network.loss_and_gradients(X, y, loss="mse", lengths=lengths)
    assert seen == [[0, 1, 2, 3, 4, 5]]
    assert value == pytest.approx(expected, rel=1e-12)
    for name, gradient in gradients.items():
        assert gradient == pytest.approx(others[name], rel=1e-9, abs=1e-14)


def test_places_in_messages_are_those_of_an_array_the_user_has() -> None:
    network = dr.Network([dr.GRU(4, return_sequences=True), dr.Dense(2)], input_shape=(None, 3))
    y = np.zeros((6, 7, 2))
    y[1, 2, 1] = np.nan
    with pytest.raises(ValueError, match=r"y.reshape\(-1, 2\)\[9, 1\] is nan"):
        network.fit(X, y, loss="mse")
    labels = np.zeros((6, 7), int)
    labels[2, 1] = 5
    with pytest.raises(ValueError, match=r"y.ravel\(\)\[15\] is 5"):
        network.fit(X, labels, loss="cross_entropy")
    last = dr.Network([dr.GRU(4), dr.Dense(2)], input_shape=(None, 3))
    with pytest.raises(ValueError, match="return_sequences=True"):
        last.fit(X, y, loss="mse")
