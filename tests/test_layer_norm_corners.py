"""`LayerNorm` where numbers are huge, tiny, all the same or none at all; and what it and its twin refuse."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference

Array = NDArray[Any]

DTYPES = ["float32", "float64"]
RANDOM = np.random.default_rng(0)


@pytest.fixture(params=_core.isas(), autouse=True)
def _isa(request: pytest.FixtureRequest) -> Iterator[None]:
    before = _core.isa()
    _core.select_isa(request.param)
    yield
    _core.select_isa(before)


def alone(width: int, dtype: str, **settings: Any) -> dr.Network:
    """A normalization whose output can be seen: the layer after it is the identity, bit for bit."""
    network = dr.Network([dr.LayerNorm(**settings), dr.Dense(width, use_bias=False)], width, dtype)
    network.load_state_dict({**network.state_dict(), "0.bias": np.linspace(1, 2, width), "1.weight": np.eye(width)})
    return network


def normalized(rows: Array, eps: float = 1e-5) -> Array:
    """By NumPy in twice the digits, with a range that holds all squares."""
    x = rows.astype(np.longdouble)
    x = x - x.mean(axis=1, keepdims=True)
    return np.asarray(x / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + eps))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [0.0, 0.1, -7.3, 1e30, 3.4e38, 1e-30, 1e-45])
def test_rows_of_one_number_give_the_bias_exactly(number: float, dtype: str) -> None:
    for width, rows in itertools.product((1, 2, 3, 7, 16, 17, 50, 99), (1, 6)):
        for eps in (1e-5, 2e-38, 10.0):
            network = alone(width, dtype, eps=eps)
            x = np.full((rows, width), number, dtype)
            bias = network.state_dict()["0.bias"]
            np.testing.assert_array_equal(network.forward(x), np.tile(bias, (rows, 1)))
            np.testing.assert_array_equal(network.predict(x), np.tile(bias, (rows, 1)))
            g = RANDOM.normal(size=(rows, width)).astype(dtype)
            g -= g.mean(axis=1, keepdims=True)
            expected = g.astype(np.float64) / math.sqrt(eps)
            limit = (1e-5 if dtype == "float32" else 1e-13) / math.sqrt(eps)
            np.testing.assert_allclose(network.backward(g), expected, rtol=1e-5, atol=limit)
            np.testing.assert_array_equal(network.gradients["0.weight"], np.zeros(width))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_feature_is_its_bias_and_learns_nothing_of_the_input(dtype: str) -> None:
    network = alone(1, dtype)
    x = RANDOM.normal(size=(9, 1)).astype(dtype) * 1e3
    np.testing.assert_array_equal(network.forward(x), np.ones((9, 1)))
    np.testing.assert_array_equal(network.backward(x), np.zeros((9, 1)))


@pytest.mark.parametrize(
    ("dtype", "scales"),
    [
        ("float32", [1e-20, 1e-3, 1e10, 1e18, 1e19, 1e20, 1e25, 1e30, 1e37, 5e37]),
        ("float64", [1e-100, 1e-3, 1e100, 1e150, 1e153, 1e154, 1e155, 1e200, 1e300, 2e307]),
    ],
)
def test_rows_of_any_size(dtype: str, scales: list[float]) -> None:
    """Squares that no float holds, and sums; among rows of usual size, which they leave alone."""
    limit = 4e-6 if dtype == "float32" else 1e-14
    for width, scale in itertools.product((2, 5, 16, 33, 300), scales):
        network = alone(width, dtype)
        x = RANDOM.uniform(-1, 1, (7, width)).astype(dtype)
        before = network.forward(x)
        x[[1, 2, 6]] *= np.asarray(scale, dtype)
        bias = network.state_dict()["0.bias"]
        output = network.forward(x)
        np.testing.assert_allclose(output - bias, normalized(x).astype(np.float64), rtol=0, atol=30 * limit)
        np.testing.assert_array_equal(output[[0, 3, 4, 5]], before[[0, 3, 4, 5]])
        g = RANDOM.normal(size=(7, width)).astype(dtype)
        gradient = network.backward(g)
        assert np.isfinite(gradient).all()
        norm = normalized(x)
        wide = g.astype(np.longdouble)
        deviation = np.sqrt(np.square(x - x.astype(np.longdouble).mean(axis=1, keepdims=True)).mean(axis=1) + 1e-5)
        expected = wide - wide.mean(axis=1, keepdims=True) - norm * (wide * norm).mean(axis=1, keepdims=True)
        error = np.abs(gradient - expected / deviation[:, None]) * deviation[:, None]
        tiny = deviation[:, None] * np.finfo(dtype).tiny  # smaller results are flushed
        assert (error <= 30 * limit + tiny).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_mean_costs_no_digits(dtype: str) -> None:
    """Whole numbers beside a large one are held exactly, and so their variance must be."""
    limit = 2e-6 if dtype == "float32" else 4e-15
    for width in (2, 3, 10, 16, 31, 100):
        x = RANDOM.integers(-8, 8, (20, width))
        network = alone(width, dtype)
        output = network.predict(x + (2**23 if dtype == "float32" else 2**52)) - network.state_dict()["0.bias"]
        np.testing.assert_allclose(output, normalized(x).astype(np.float64), rtol=0, atol=4 * limit)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_below_the_normal_ones_count_as_none(dtype: str) -> None:
    x = np.full((2, 5), np.finfo(dtype).tiny / 8, dtype)
    x[:, 0] = -x[:, 0]
    network = alone(5, dtype)
    np.testing.assert_allclose(network.forward(x), np.tile(network.state_dict()["0.bias"], (2, 1)), rtol=1e-6)
    assert np.isfinite(network.backward(x)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_makes_its_own_row_none(number: float, dtype: str) -> None:
    """Made on the way, by e^x and by the sine of infinity: a NaN among the inputs is refused before it comes here."""
    hidden = dr.Dense(6, "exp" if math.isinf(number) else "sine", use_bias=False)
    network = dr.Network([hidden, dr.LayerNorm(), dr.Dense(2)], 4, dtype)
    x = RANDOM.uniform(0, 1, (10, 4)).astype(dtype)
    sign = math.copysign(1, number) if math.isinf(number) else 1.0
    state = network.state_dict()
    network.load_state_dict({**state, "0.weight": sign * np.abs(state["0.weight"])})
    before = network.forward(x)
    x[5] = np.finfo(dtype).max
    output = network.forward(x)
    if number == -math.inf:  # e^x is 0 in the whole row: a row of one number
        np.testing.assert_array_equal(output[5], network.state_dict()["2.bias"])
    else:
        assert np.isnan(output[5]).all()
    others = np.arange(10) != 5
    np.testing.assert_array_equal(output[others], before[others])


def test_a_fit_that_diverges_through_it_says_so() -> None:
    network = dr.Network([dr.Dense(6, "exp"), dr.LayerNorm(), dr.Dense(1)], 4, "float64")
    state = network.state_dict()
    x = RANDOM.uniform(0.5, 1, (10, 4)) * 1e6
    with pytest.raises(dr.DivergenceError):
        network.fit(x, x[:, :1], loss="mse", epochs=1)
    assert all(np.array_equal(array, state[name]) for name, array in network.state_dict().items())


class TestBadInput:
    @pytest.mark.parametrize("eps", [0, -1e-5, math.nan, math.inf])
    def test_eps_out_of_range(self, eps: float) -> None:
        with pytest.raises(ValueError, match=rf"eps={eps!r}: expected a finite number above 0"):
            dr.LayerNorm(eps)

    @pytest.mark.parametrize("eps", ["1e-5", None, True, [1e-5]])
    def test_eps_that_is_no_number(self, eps: Any) -> None:
        with pytest.raises(TypeError, match=r"eps=.*expected a number"):
            dr.LayerNorm(eps)

    def test_eps_that_the_dtype_does_not_hold(self) -> None:
        for eps in (1e-40, 1e39):
            layers = [dr.LayerNorm(eps), dr.Dense(1)]
            with pytest.raises(ValueError, match=r"LayerNorm\(eps=.*eps must be at least 1.17549e-38 and at most 3.4"):
                dr.Network(layers, 2, "float32")
            dr.Network(layers, 2, "float64").predict([[1.0, 2.0]])

    @pytest.mark.parametrize("name", ["", "1", "a.b"])
    def test_names(self, name: str) -> None:
        with pytest.raises(ValueError, match="expected a name without dots"):
            dr.LayerNorm(name=name)
        with pytest.raises(TypeError):
            dr.LayerNorm(1e-5, "name")  # type: ignore[misc]

    @pytest.mark.parametrize("layers", [[dr.LayerNorm()], [dr.Dense(3), dr.LayerNorm()]])
    def test_the_last_layer(self, layers: list[Any]) -> None:
        with pytest.raises(ValueError, match=r"LayerNorm\(eps=1e-05.*is the last layer.*end in Dense"):
            dr.Network(layers)
        native = {"inputs": 2, "sequences": False, "layers": [layer.to_spec() for layer in layers]}
        with pytest.raises(ValueError, match=r"the last layer is of type \"layer_norm\".*end in Dense"):
            _core.NetworkFloat32(native)
        with pytest.raises(ValueError, match="last layer is LayerNorm"):
            reference.Network([reference.LayerNorm([1.0], [0.0])])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"eps": 0.0}, "at least 2.2"),
            ({"eps": -1.0}, "at least 0"),
            ({"eps": "0.5"}, "must be a number"),
            ({"rate": 0.5}, "unknown key"),
        ],
    )
    def test_the_core_refuses_what_python_would_have(self, change: dict[str, Any], message: str) -> None:
        layers = [{**dr.LayerNorm().to_spec(), **change}, dr.Dense(1).to_spec()]
        with pytest.raises(ValueError, match=message):
            _core.NetworkFloat64({"inputs": 2, "sequences": False, "layers": layers})
        with pytest.raises((ValueError, TypeError)):
            dr.Network.from_spec({"layers": layers, "input_shape": [2], "dtype": "float64", "seed": 0})

    def test_arrays_of_another_shape(self) -> None:
        network = alone(3, "float64")
        with pytest.raises(ValueError, match=r"state\['0.weight'\] has shape \(1, 3\): expected \(3,\)"):
            network.load_state_dict({**network.state_dict(), "0.weight": np.ones((1, 3))})


class TestReference:
    """The twin works on rows and on sequences."""

    def test_sequences_are_rows_side_by_side(self) -> None:
        x, g = RANDOM.normal(size=(2, 4, 5, 6))
        weight, bias = RANDOM.normal(size=(2, 6))
        steps, rows = (reference.LayerNorm(weight, bias) for _ in range(2))
        np.testing.assert_array_equal(steps.forward(x).reshape(20, 6), rows.forward(x.reshape(20, 6)))
        np.testing.assert_array_equal(steps.backward(g).reshape(20, 6), rows.backward(g.reshape(20, 6)))
        for name, gradient in rows.gradients.items():
            np.testing.assert_allclose(steps.gradients[name], gradient, rtol=1e-13, atol=1e-14)

    def test_its_way_back_is_the_derivative(self) -> None:
        layers = [
            reference.LayerNorm(*RANDOM.normal(size=(2, 5)), eps=0.1),
            reference.Dense(RANDOM.normal(size=(5, 2))),
        ]
        network = reference.Network(layers)
        X, y = RANDOM.normal(size=(6, 5)), RANDOM.normal(size=(6, 2))
        _, gradients = network.loss_and_gradients(X, y, "mse")
        for name, numerical in network.numerical_gradients(X, y, "mse").items():
            np.testing.assert_allclose(gradients[name], numerical, rtol=1e-7, atol=1e-9)

    def test_errors(self) -> None:
        layer = reference.LayerNorm([1.0, 1.0], [0.0, 0.0])
        with pytest.raises(RuntimeError, match="before forward"):
            layer.backward([[1.0, 1.0]])
        with pytest.raises(ValueError, match=r"x has shape \(1, 3\) but the layer has 2 features"):
            layer.forward([[1.0, 2.0, 3.0]])
        layer.forward([[1.0, 2.0]])
        with pytest.raises(ValueError, match="expected the same shape"):
            layer.backward([[1.0], [2.0]])
        with pytest.raises(ValueError, match=r"expected \(features,\)"):
            reference.LayerNorm([[1.0]], [0.0])
        with pytest.raises(ValueError, match="above 0"):
            reference.LayerNorm([1.0], [0.0], eps=0.0)
        with pytest.raises(ValueError, match="no bias for the layer"):
            reference.LayerNorm.from_spec({"eps": 1e-5}, {"weight": [1.0]})
