"""gradient_flow: the core's numbers against the reference's, the verdicts, the plot, what it costs in words."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core, reference

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(6, 9, 3))
LENGTHS = np.array([9, 4, 1, 7, 7, 2])
CELLS: list[Any] = [dr.RNN, dr.LSTM, dr.GRU]


def root_mean_square(array: Any) -> float:
    return math.sqrt(float(np.mean(np.square(array))))


def shifted_states(network: dr.Network, layer: int, step: int, y: Any, lengths: Any) -> np.ndarray:
    """dL/dh after a step: what a small change of the state that the rest begins with does to the loss."""
    n_samples, units = X.shape[0], network.layers[layer].units  # type: ignore[union-attr]
    _, state = network.predict(X[:, :step], return_state=True)
    gradient = np.zeros((n_samples, units))
    name, h = f"{layer}.hidden", 1e-5
    for sample in range(n_samples):
        for unit in range(units):
            losses = []
            for sign in (1, -1):
                moved = {key: value.copy() for key, value in state.items()}
                moved[name][sample, unit] += sign * h
                losses.append(network.loss_and_gradients(X[:, step:], y, loss="mse", initial_state=moved)[0])
            gradient[sample, unit] = (losses[0] - losses[1]) / (2 * h)
    return gradient


class TestNumbers:
    @pytest.mark.parametrize("cell", CELLS)
    @pytest.mark.parametrize("step", [1, 4, 8])
    def test_of_a_step_are_the_derivative_by_its_state(self, cell: Any, step: int) -> None:
        network = dr.Network([cell(5), dr.Dense(2)], input_shape=(None, 3), dtype="float64", seed=1)
        y = RANDOM.normal(size=(6, 2))
        flow = dr.gradient_flow(network, X, y, loss="mse")
        expected = root_mean_square(shifted_states(network, 0, step, y, None))
        assert flow.layers[0].by_step[0][step - 1] == pytest.approx(expected, rel=1e-6)

    def test_of_a_dense_layer_are_its_delta(self) -> None:
        network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(3)], input_shape=3, dtype="float64", seed=2)
        rows, y = X[:, 0], RANDOM.normal(size=(6, 3))
        flow = dr.gradient_flow(network, rows, y, loss="mse")
        twin = reference.Network.from_spec(network.spec(), network.state_dict())
        output = twin.forward(rows)
        delta = 2 * (output - y) / output.size
        hidden = twin.layers[0].forward(rows)
        below = delta @ network.parameters["1.weight"].T * (1 - hidden**2)
        assert [layer.gradient for layer in flow.layers] == pytest.approx(
            [root_mean_square(below), root_mean_square(delta)], rel=1e-12
        )
        assert flow.loss == pytest.approx(twin.loss(rows, y, "mse"), rel=1e-12)

    def test_of_weights_are_those_of_loss_and_gradients(self) -> None:
        network = dr.Network([dr.LSTM(5), dr.Dense(2)], input_shape=(None, 3), dtype="float64")
        y = RANDOM.normal(size=(6, 2))
        flow = dr.gradient_flow(network, X, y, loss="mse", lengths=LENGTHS, lr=0.5)
        _, gradients = network.loss_and_gradients(X, y, loss="mse", lengths=LENGTHS)
        for layer in flow.layers:
            for name, (weight, gradient, ratio) in layer.weights.items():
                assert weight == pytest.approx(np.linalg.norm(network.parameters[name]))
                assert gradient == pytest.approx(np.linalg.norm(gradients[name]))
                assert ratio == pytest.approx(0.5 * gradient / weight)
        assert set(flow.layers[0].weights) == {"0.weight_ih", "0.weight_hh"}

    def test_padding_has_no_part_in_them(self) -> None:
        network = dr.Network([dr.GRU(5, return_sequences=True), dr.Dense(2)], input_shape=(None, 3), dtype="float64")
        y = RANDOM.normal(size=(6, 9, 2))
        longer, more = np.full((6, 12, 3), np.nan), np.zeros((6, 12, 2))
        longer[:, :9], more[:, :9] = X, y
        one = dr.gradient_flow(network, X, y, loss="mse", lengths=LENGTHS)
        other = dr.gradient_flow(network, longer, more, loss="mse", lengths=LENGTHS)
        assert one.to_dict() == other.to_dict()
        assert len(one.layers[0].by_step[0]) == len(one.layers[1].by_step[0]) == 9

    def test_of_both_directions_side_by_side(self) -> None:
        """Read backwards, the reverse direction's weights give what the forward one's give of the reversed sequence."""
        y = RANDOM.normal(size=(6, 2))
        network = dr.Network([dr.RNN(4, bidirectional=True), dr.Dense(2)], input_shape=(None, 3), dtype="float64")
        flow = dr.gradient_flow(network, X, y, loss="mse")
        state = network.state_dict()
        swapped = dict(state)
        for name in ("0.weight_ih", "0.weight_hh", "0.bias_ih", "0.bias_hh"):
            swapped[name], swapped[f"{name}_reverse"] = state[f"{name}_reverse"], state[name]
        swapped["1.weight"] = np.roll(state["1.weight"], 4, axis=0)
        network.load_state_dict(swapped)
        turned = dr.gradient_flow(network, X[:, ::-1], y, loss="mse")
        ahead, back = flow.layers[0].by_step
        assert turned.layers[0].by_step[0] == pytest.approx(back[::-1], rel=1e-12)
        assert turned.layers[0].by_step[1] == pytest.approx(ahead[::-1], rel=1e-12)

    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_are_the_same_bits(self, threads: int) -> None:
        before = _core.isa()
        found = []
        try:
            for isa in [name for name in _core.isas() if _core.has_same_bits(name)]:
                _core.select_isa(isa)
                network = dr.Network([dr.LSTM(17), dr.Dense(2)], input_shape=(None, 3))
                y = np.ones((6, 2))
                found.append(dr.gradient_flow(network, X, y, loss="mse", lengths=LENGTHS, n_threads=threads).to_dict())
        finally:
            _core.select_isa(before)
        assert all(json.dumps(each) == json.dumps(found[0]) for each in found)

    def test_change_nothing(self) -> None:
        network = dr.Network([dr.GRU(4), dr.Dense(2)], input_shape=(None, 3))
        before = {name: array.tobytes() for name, array in network.parameters.items()}
        dr.gradient_flow(network, X, np.ones((6, 2)), loss="mse")
        assert {name: array.tobytes() for name, array in network.parameters.items()} == before
        assert network.epochs_trained == 0


class TestVerdict:
    def test_vanishing_in_time(self) -> None:
        network = dr.Network([dr.RNN(8, recurrent_init="normal"), dr.Dense(1)], input_shape=(None, 3))
        flow = dr.gradient_flow(network, np.tile(X, (1, 3, 1)), np.ones((6, 1)), loss="mse")
        assert "vanishing in time: the gradient shrinks 10^" in flow.verdict
        assert "in layer 0 from step 27 to step 1" in flow.verdict
        assert "forget_bias" in flow.verdict

    def test_exploding_in_time(self) -> None:
        network = dr.Network([dr.RNN(8, "relu"), dr.Dense(1)], input_shape=(None, 3))
        state = network.state_dict()
        state["0.weight_hh"] = 2 * np.eye(8)
        network.load_state_dict(state)
        flow = dr.gradient_flow(network, np.tile(np.abs(X), (1, 3, 1)), np.ones((6, 1)), loss="mse")
        assert "exploding in time: the gradient grows 10^" in flow.verdict
        assert "clip_norm" in flow.verdict

    def test_vanishing_from_layer_to_layer(self) -> None:
        layers = [dr.Dense(10, "sigmoid", init="normal") for _ in range(6)]
        network = dr.Network([*layers, dr.Dense(1)], input_shape=3)
        flow = dr.gradient_flow(network, X[:, 0], np.ones((6, 1)), loss="mse")
        kind, sentence = flow.findings[0]
        assert kind == "vanishing"
        assert sentence.endswith("from layer 6 to layer 0")

    def test_dead_units(self) -> None:
        network = dr.Network([dr.Dense(5, "relu", name="first"), dr.Dense(1)], input_shape=3)
        state = network.state_dict()
        state["first.bias"] = np.array([-100.0, 0, -100, 0, 100])
        network.load_state_dict(state)
        flow = dr.gradient_flow(network, X[:, 0], np.ones((6, 1)), loss="mse")
        assert flow.layers[0].dead_units >= 2
        assert f"dead: {flow.layers[0].dead_units} of 5 units of layer first" in flow.verdict

    def test_healthy(self) -> None:
        network = dr.Network([dr.LSTM(8), dr.Dense(1)], input_shape=(None, 3))
        flow = dr.gradient_flow(network, X[:, :3], np.ones((6, 1)), loss="mse")
        assert flow.findings == ()
        assert flow.verdict.startswith("healthy")

    def test_not_finite(self) -> None:
        network = dr.Network([dr.Dense(2, "exp"), dr.Dense(1)], input_shape=1)
        network.load_state_dict({**network.state_dict(), "0.weight": np.ones((1, 2))})
        flow = dr.gradient_flow(network, np.full((2, 1), 1e4), np.ones((2, 1)), loss="mse")
        assert "not finite" in flow.verdict

    def test_nothing_arrives(self) -> None:
        network = dr.Network([dr.GRU(2), dr.Dense(1)], input_shape=(None, 3))
        state = network.state_dict()
        state["1.weight"] = np.zeros((2, 1))
        network.load_state_dict(state)
        flow = dr.gradient_flow(network, X, np.ones((6, 1)), loss="mse")
        assert "nothing of the gradient arrives, from layer 1 to layer 0" in flow.verdict


class TestReport:
    def test_printed(self) -> None:
        network = dr.Network([dr.LSTM(4), dr.Dropout(0.5), dr.LayerNorm(), dr.Dense(1)], input_shape=(None, 3))
        text = str(dr.gradient_flow(network, X, np.ones((6, 1)), loss="mse"))
        assert "0        lstm" in text
        assert "0.weight_hh" in text
        assert "dropout" not in text  # it has no units of its own
        assert text == repr(dr.gradient_flow(network, X, np.ones((6, 1)), loss="mse"))

    def test_as_a_dict_goes_into_json(self) -> None:
        network = dr.Network([dr.RNN(4), dr.Dense(1)], input_shape=(None, 3))
        report = dr.gradient_flow(network, X, np.ones((6, 1)), loss="mse").to_dict()
        assert json.loads(json.dumps(report))["layers"][0]["layer"] == "0"
        assert report["verdict"]

    def test_plot(self) -> None:
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot

        network = dr.Network([dr.RNN(4, bidirectional=True), dr.Dense(1)], input_shape=(None, 3))
        figure = dr.gradient_flow(network, X, np.ones((6, 1)), loss="mse").plot()
        layers, steps = figure.axes
        assert len(layers.patches) == 2
        assert [line.get_label() for line in steps.lines] == ["0 rnn", "0 rnn reverse"]
        rows = dr.Network([dr.Dense(4, "relu"), dr.Dense(1)], input_shape=3)
        assert len(dr.gradient_flow(rows, X[:, 0], np.ones((6, 1)), loss="mse").plot().axes) == 1
        pyplot.close("all")

    def test_the_loss_of_the_last_fit(self) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=3)
        with pytest.raises(ValueError, match="gradient_flow needs a loss"):
            dr.gradient_flow(network, X[:, 0], np.ones((6, 1)))
        network.fit(X[:, 0], np.ones((6, 1)), loss="mae")
        assert dr.gradient_flow(network, X[:, 0], np.ones((6, 1))).loss == pytest.approx(
            network.evaluate(X[:, 0], np.ones((6, 1)))["loss"]
        )

    def test_a_loss_of_ones_own(self) -> None:
        network = dr.Network([dr.GRU(3, return_sequences=True), dr.Dense(2)], input_shape=(None, 3), dtype="float64")
        y = RANDOM.normal(size=(6, 9, 2))

        def squares(output: Any, target: Any) -> tuple[float, Any]:
            return float(np.mean((output - target) ** 2)), 2 * (output - target) / output.size

        own, named = (dr.gradient_flow(network, X, y, loss=loss) for loss in (squares, "mse"))
        assert own.layers[0].by_step[0] == pytest.approx(named.layers[0].by_step[0], rel=1e-12)

    @pytest.mark.parametrize("lr", [0, -1, math.nan])
    def test_a_learning_rate_that_is_none(self, lr: float) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=3)
        with pytest.raises(ValueError, match="lr="):
            dr.gradient_flow(network, X[:, 0], np.ones((6, 1)), loss="mse", lr=lr)


class TestPlot:
    @pytest.fixture(autouse=True)
    def _closed(self) -> Any:
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot

        yield
        pyplot.close("all")

    def test_a_gradient_of_0_does_not_stretch_the_axis(self) -> None:
        network = dr.Network([dr.Dense(4, "relu"), dr.Dense(4, "relu"), dr.Dense(1)], input_shape=3)
        state = network.state_dict()
        network.load_state_dict({**state, "1.weight": 0 * state["1.weight"], "1.bias": state["1.bias"] - 1})
        flow = dr.gradient_flow(network, X[:, 0], np.ones((6, 1)), loss="mse")
        assert flow.layers[1].weights["1.weight"] == (0.0, 0.0, 0.0)  # nothing changes nothing
        (axes,) = flow.plot().axes
        low, high = axes.get_ylim()
        assert axes.get_yscale() == "log"
        assert low > 1e-3 * high

    def test_names_and_title_are_inside_and_apart(self) -> None:
        layers = [dr.Dense(4, "sigmoid") for _ in range(12)]
        flow = dr.gradient_flow(dr.Network([*layers, dr.Dense(1)], input_shape=3), X[:, 0], np.ones((6, 1)), loss="mse")
        figure = flow.plot()
        figure.canvas.draw()
        title = figure._suptitle.get_window_extent()
        assert 0 <= title.x0 < title.x1 <= figure.bbox.x1
        boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
        assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
