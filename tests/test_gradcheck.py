"""gradcheck: it holds where gradients are right, near corners and minima too, and names a tensor that is wrong."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core

Array = NDArray[Any]

X, Y = np.random.default_rng(1).normal(size=(6, 5)), np.random.default_rng(2).normal(size=(6, 3))
TENSORS = ["0.weight", "0.bias", "1.weight", "1.bias"]


def make(activation: str = "tanh", dtype: str = "float64", **settings: Any) -> dr.Network:
    return dr.Network([dr.Dense(7, activation, **settings), dr.Dense(3)], input_shape=5, dtype=dtype, seed=3)


def sabotage(monkeypatch: pytest.MonkeyPatch, network: dr.Network, name: str, factor: float) -> None:
    """Let the network's core give one tensor of gradients times a factor."""
    right = network.loss_and_gradients

    def wrong(*arguments: Any, **settings: Any) -> tuple[float, dict[str, Array]]:
        value, gradients = right(*arguments, **settings)
        return value, gradients | {name: gradients[name] * factor}

    monkeypatch.setattr(network, "loss_and_gradients", wrong)


def squares(output: Array, y: Array) -> tuple[float, Array]:
    return float(((output - y) ** 2).mean()), 2 * (output - y) / y.size


@pytest.mark.parametrize("isa", _core.isas())
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", ["mse", "mae", dr.Huber(0.5), "hinge", "cross_entropy", squares])
@pytest.mark.parametrize("activation", ["tanh", "relu", "hard_swish"])
def test_it_holds(activation: str, loss: Any, dtype: str, isa: str) -> None:
    before = _core.isa()
    _core.select_isa(isa)
    try:
        network = make(activation, dtype)
    finally:
        _core.select_isa(before)
    targets = {"cross_entropy": Y.argmax(axis=1), "hinge": np.sign(Y)}
    check = dr.gradcheck(network, X, targets.get(loss, Y) if isinstance(loss, str) else Y, loss=loss)
    assert check, str(check)
    assert [tensor.name for tensor in check.tensors] == TENSORS
    assert all(tensor.compared == tensor.elements for tensor in check.tensors)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_penalties_names_and_no_bias(dtype: str) -> None:
    layers = [dr.Dense(7, "gelu", l1=0.1, name="below"), dr.Dense(3, "softmax", use_bias=False, l2=0.5)]
    network = dr.Network(layers, input_shape=5, dtype=dtype)
    check = dr.gradcheck(network, X, Y.argmax(axis=1), loss="cross_entropy", sample_weight=[1, 2, 0, 0.5, 1, 3])
    assert check, str(check)
    assert [tensor.name for tensor in check.tensors] == ["below.weight", "below.bias", "1.weight"]


def test_it_can_be_called_whatever_was_asked_for_first() -> None:
    code = "import deltarule as dr; dr.GradientCheck; assert callable(dr.gradcheck), dr.gradcheck"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_network_stays_as_it_is() -> None:
    network = make()
    before = network.state_dict()
    dr.gradcheck(network, X, Y, loss="mse")
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert network.loss is None


def test_a_network_without_input_shape_takes_it_from_the_data() -> None:
    network = dr.Network([dr.Dense(3)], dtype="float64")
    assert dr.gradcheck(network, X, Y, loss="mse")
    assert network.input_shape == 5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("loss", ["mse", squares])
def test_a_wrong_gradient_of_the_core_is_found_and_named(
    monkeypatch: pytest.MonkeyPatch, loss: Any, name: str, dtype: str
) -> None:
    network = make(dtype=dtype)
    sabotage(monkeypatch, network, name, 1.001)
    check = dr.gradcheck(network, X, Y, loss=loss)
    assert not check
    assert check.worst.name == name
    assert check.worst.reference_error == pytest.approx(1e-3, rel=0.01)
    assert check.worst.core_difference_error == pytest.approx(1e-3, rel=0.01)
    assert check.worst.difference_error < 1e-6
    assert check.verdict.startswith(f"{name} fails: the core is 1.0e-03 from the reference")
    assert "the core is wrong" in check.verdict
    others = [tensor for tensor in check.tensors if tensor.name != name]
    assert all(tensor.reference_error < check.limits["reference_error"] for tensor in others)


@pytest.mark.parametrize(("dtype", "factor"), [("float64", 1 + 2e-12), ("float32", 1 + 2e-5)])
@pytest.mark.parametrize("name", TENSORS)
def test_the_limits_are_not_loose(monkeypatch: pytest.MonkeyPatch, name: str, dtype: str, factor: float) -> None:
    network = make(dtype=dtype)
    sabotage(monkeypatch, network, name, factor)
    check = dr.gradcheck(network, X, Y, loss="mse")
    assert not check
    assert check.worst.name == name


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_fails(monkeypatch: pytest.MonkeyPatch, number: float) -> None:
    network = make()
    sabotage(monkeypatch, network, "1.bias", number)
    check = dr.gradcheck(network, X, Y, loss="mse")
    assert not check
    assert (check.worst.name, check.worst.reference_error) == ("1.bias", math.inf)
    assert "1.bias fails" in str(check)


def test_a_single_wrong_number_is_found_in_a_tensor_too_large_for_all_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = dr.Network([dr.Dense(200, "tanh"), dr.Dense(1)], input_shape=5, dtype="float64")
    right = network.loss_and_gradients

    def wrong(*arguments: Any, **settings: Any) -> tuple[float, dict[str, Array]]:
        value, gradients = right(*arguments, **settings)
        gradients["0.weight"][3, 77] += 1e-6
        return value, gradients

    assert dr.gradcheck(network, X, Y[:, :1], loss="mse")
    monkeypatch.setattr(network, "loss_and_gradients", wrong)
    check = dr.gradcheck(network, X, Y[:, :1], loss="mse")
    assert check.worst.name == "0.weight"
    assert not check
    assert check.worst.compared == 128
    assert check.worst.elements == 1000


def test_a_wrong_loss_of_the_core_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make()
    right = network.loss_and_gradients(X, Y, loss="mse")
    monkeypatch.setattr(network, "loss_and_gradients", lambda *_, **__: (right[0] * 1.01, right[1]))
    check = dr.gradcheck(network, X, Y, loss="mse")
    assert not check
    assert check.verdict.startswith("The loss fails: the core's is 1.0e-02 from the reference's")


def test_a_wrong_formula_in_both_is_found_by_the_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make("tanh")
    tanh = dr.reference.ACTIVATIONS["tanh"]
    monkeypatch.setattr(tanh, "slope", staticmethod(lambda z: 0.99 / np.cosh(z) ** 2))
    twin = dr.reference.Network.from_spec(network.spec(), network.state_dict())
    monkeypatch.setattr(network, "loss_and_gradients", lambda *_, **__: twin.loss_and_gradients(X, Y, "mse"))
    check = dr.gradcheck(network, X, Y, loss="mse")
    assert not check
    assert check.worst.name.startswith("0.")
    assert check.worst.reference_error == 0
    assert check.worst.difference_error == pytest.approx(0.01, rel=0.1)
    assert "core and reference agree, but are" in check.verdict
    assert "a way back is not the derivative of its way forward" in check.verdict


class TestOwnLoss:
    """A function of the caller's in the place of a loss."""

    def test_a_wrong_gradient_is_put_down_to_the_function(self) -> None:
        def wrong(output: Array, y: Array) -> tuple[float, Array]:
            return float(((output - y) ** 2).mean()), (output - y) / y.size

        check = dr.gradcheck(make(), X, Y, loss=wrong)
        assert not check
        assert check.worst.difference_error == pytest.approx(1, rel=1e-6)  # half a gradient is wrong by itself
        assert "check that the gradient which the loss returns is the derivative of its value" in check.verdict

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_penalties_come_on_top(self, dtype: str) -> None:
        assert dr.gradcheck(make("gelu", dtype, l1=0.1, l2=0.3), X, Y, loss=squares)

    def test_targets_may_be_anything_with_a_row_for_each_sample(self) -> None:
        def of_words(output: Array, y: Array) -> tuple[float, Array]:
            return squares(output, np.where(y == "high", 1.0, -1.0)[:, None] * np.ones(3))

        assert dr.gradcheck(make(), X, np.array(["high", "low"] * 3), loss=of_words)

    def test_a_last_softmax_is_not_fused_with_it(self) -> None:
        network = dr.Network([dr.Dense(3, "softmax")], input_shape=5, dtype="float64")
        assert dr.gradcheck(network, X, Y, loss=squares)

    def test_it_does_not_enter_the_list_of_losses(self) -> None:
        before = dict(dr.reference.LOSSES)
        dr.gradcheck(make(), X, Y, loss=squares)
        assert before == dr.reference.LOSSES


class TestCorners:
    """Where a loss has two slopes."""

    @pytest.mark.parametrize("distance", [1e-4, 2e-5, 2e-6])
    def test_a_step_across_a_corner_is_tried_again(self, distance: float) -> None:
        network = dr.Network([dr.Dense(1, "relu")], input_shape=1, dtype="float64")
        network.load_state_dict({"0.weight": [[1.0]], "0.bias": [0.0]})
        check = dr.gradcheck(network, [[distance], [-distance], [1.0]], [1.0, 1.0, 0.0], loss="mse")
        assert check, str(check)
        assert [tensor.corners for tensor in check.tensors] == [0, 0]

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("activation", ["relu", "leaky_relu", "selu"])
    def test_parameters_in_a_corner_are_left_out_and_counted(self, activation: str, dtype: str) -> None:
        features, y = dr.datasets.xor(dtype)  # its sample (0, 0) meets biases of 0
        network = dr.Network([dr.Dense(4, activation), dr.Dense(1)], input_shape=2, dtype=dtype)
        check = dr.gradcheck(network, features, y, loss="binary_cross_entropy")
        assert check, str(check)
        corners = {tensor.name: tensor.corners for tensor in check.tensors}
        assert corners == {"0.weight": 0, "0.bias": 4, "1.weight": 0, "1.bias": 0}
        assert check.tensors[1].compared == 0
        assert check.verdict.endswith("Left out: 4 in a corner of the loss, where there is no derivative.")

    def test_a_wrong_gradient_beside_a_corner_is_still_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features, y = dr.datasets.xor("float64")
        network = dr.Network([dr.Dense(4, "relu"), dr.Dense(1)], input_shape=2, dtype="float64")
        sabotage(monkeypatch, network, "0.bias", 1.001)
        check = dr.gradcheck(network, features, y, loss="binary_cross_entropy")
        assert not check
        assert check.worst.name == "0.bias"

    def test_a_smooth_loss_with_a_strong_bend_is_no_corner(self) -> None:
        def wrong(output: Array, y: Array) -> tuple[float, Array]:
            return float((1e4 * (output - y) ** 2).mean()), 2.1e4 * (output - y) / y.size

        check = dr.gradcheck(make(), X, Y, loss=wrong)
        assert not check
        assert all(tensor.corners == 0 for tensor in check.tensors)


class TestSmallGradients:
    """Rounding is all there is of a gradient at a minimum, and no error of the core."""

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("activation", ["tanh", "relu"])
    def test_a_trained_network(self, activation: str, dtype: str) -> None:
        features, y = dr.datasets.xor(dtype)
        network = dr.Network([dr.Dense(8, activation), dr.Dense(1)], input_shape=2, dtype=dtype, seed=1)
        network.fit(features, y, loss="mse", optimizer=dr.Adam(lr=0.03), epochs=3000, batch_size=4)
        check = dr.gradcheck(network, features, y, loss="mse")
        assert check, str(check)

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_saturated_units(self, dtype: str) -> None:
        check = dr.gradcheck(make("tanh", dtype), 30 * X, Y, loss="mse")
        assert check, str(check)

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_no_gradient_at_all(self, dtype: str) -> None:
        network = dr.Network([dr.Dense(3, "relu", init="zeros")], input_shape=5, dtype=dtype)
        network.load_state_dict({"0.weight": np.zeros((5, 3)), "0.bias": [-1.0, -1.0, -1.0]})
        check = dr.gradcheck(network, X, np.zeros((6, 3)), loss="mse")
        assert check, str(check)
        assert check.loss_error == 0
        assert all(tensor.reference_error == tensor.difference_error == 0 for tensor in check.tensors)

    def test_what_should_be_zero_must_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        network = dr.Network([dr.Dense(3, "relu")], input_shape=5, dtype="float64")
        network.load_state_dict({"0.weight": np.zeros((5, 3)), "0.bias": [-1.0, -1.0, -1.0]})
        value, gradients = network.loss_and_gradients(X, np.zeros((6, 3)), loss="mse")
        gradients["0.bias"][1] = 1e-12
        monkeypatch.setattr(network, "loss_and_gradients", lambda *_, **__: (value, gradients))
        check = dr.gradcheck(network, X, np.zeros((6, 3)), loss="mse")
        assert not check
        assert check.worst.name == "0.bias"

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e-3, 1e3, 1e6])
    def test_any_unit_of_the_targets(self, scale: float, dtype: str) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=5, dtype=dtype)
        network.load_state_dict({"0.weight": np.full((5, 1), scale), "0.bias": [scale]})
        check = dr.gradcheck(network, X, scale * Y[:, :1], loss="mae")
        assert check, str(check)


class TestResult:
    """What a result says of itself."""

    def test_print(self) -> None:
        check = dr.gradcheck(make(dtype="float32"), X, Y, loss="mse")
        lines = str(check).splitlines()
        assert repr(check) == str(check)
        assert lines[0].split("  ")[0] == "tensor"
        assert [line.split()[0] for line in lines] == ["tensor", "loss", *TENSORS, "limit", "The"]
        assert lines[-2].split() == ["limit", "1e-05", "1e-06", "1e-05"]
        assert lines[-1] == check.verdict
        columns = {line.rindex(" of ") for line in lines[2:6]}
        assert len(columns) <= 2  # aligned on the right; "35 of 35" and "7 of 7" part one place from each other

    def test_to_dict_is_what_json_can_hold(self) -> None:
        check = dr.gradcheck(make(), X, Y, loss="mse")
        found = json.loads(json.dumps(check.to_dict()))
        assert found == check.to_dict()
        assert found["ok"] is True
        assert found["verdict"] == check.verdict
        assert [tensor["name"] for tensor in found["tensors"]] == TENSORS
        assert found["limits"].keys() <= found["tensors"][0].keys()

    def test_the_same_twice(self) -> None:
        network = dr.Network([dr.Dense(200, "tanh"), dr.Dense(3)], input_shape=5)
        first, second = (dr.gradcheck(network, X, Y, loss="mse") for _ in range(2))
        assert first == second


class TestRefusals:
    """What cannot be checked is said."""

    def test_no_network(self) -> None:
        with pytest.raises(TypeError, match=r"network is ndarray: expected a deltarule.Network; check the order"):
            dr.gradcheck(X, make(), Y, loss="mse")  # type: ignore[arg-type]

    def test_bad_data_as_in_fit(self) -> None:
        with pytest.raises(ValueError, match="y has 5 rows but X has 6"):
            dr.gradcheck(make(), X, Y[:5], loss="mse")
        with pytest.raises(ValueError, match="did you mean 'mse'"):
            dr.gradcheck(make(), X, Y, loss="mze")

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_a_loss_that_is_not_finite(self, dtype: str) -> None:
        network = dr.Network([dr.Dense(3, "exp")], input_shape=5, dtype=dtype)
        with pytest.raises(ValueError, match="the loss of the reference is inf"):
            dr.gradcheck(network, 1e4 * X, Y, loss="mse")

    def test_a_float32_core_that_overflows_where_float64_does_not(self) -> None:
        network = dr.Network([dr.Dense(1, "exp", init="zeros")], input_shape=5)
        network.load_state_dict({"0.weight": np.zeros((5, 1)), "0.bias": [60.0]})
        check = dr.gradcheck(network, X, np.zeros(6), loss="mse")
        assert not check
        assert check.loss_error == math.inf
