"""Gradients of the core against the reference: every activation, loss, dtype and instruction set, found by name.

The errors here are plain, greatest difference over greatest value of a tensor, without the allowance for rounding that
gradcheck makes: 1e-12 in float64, 1e-5 in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference
from deltarule.losses import LOSSES

Array = NDArray[Any]

WORDS = _core.vocabulary()
ISAS = _core.isas()
LIMITS = {"float64": 1e-12, "float32": 1e-5}
LINKS = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


@pytest.fixture(autouse=True)
def _restore_instruction_set() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


def make(
    sizes: list[int], activations: list[str], dtype: str, seed: int = 0, size: float = 0.5, **settings: Any
) -> dr.Network:
    """Return a network on the selected instruction set whose weights and biases are all random."""
    layers = [dr.Dense(units, activation, **settings) for units, activation in zip(sizes[1:], activations, strict=True)]
    network = dr.Network(layers, input_shape=sizes[0], dtype=dtype)
    random = np.random.default_rng(seed)
    network.load_state_dict(
        {name: random.normal(scale=size, size=array.shape) for name, array in network.state_dict().items()}
    )
    return network


def data(loss: str, n_samples: int, inputs: int, outputs: int, dtype: str, seed: int = 1) -> tuple[Array, Array]:
    """Return inputs, and targets of the kind that the loss takes, in the network's dtype."""
    random = np.random.default_rng(seed)
    X, shape = random.normal(size=(n_samples, inputs)).astype(dtype), (n_samples, outputs)
    kind = LOSSES[loss].targets
    if kind == "classes":
        return X, random.integers(0, outputs, size=n_samples)
    if kind == "probabilities":
        return X, random.integers(0, 2, size=shape).astype(dtype)
    if kind == "signs":
        return X, random.choice([-1.0, 1.0], size=shape).astype(dtype)
    return X, (random.poisson(2.0, size=shape) if kind == "counts" else random.normal(size=shape)).astype(dtype)


def in_reference(network: dr.Network) -> reference.Network:
    return reference.Network.from_spec(network.spec(), network.state_dict())


def relative_error(actual: Array, expected: Array) -> float:
    """Return max |actual - expected| / max |expected|; what is expected to be zero must be zero."""
    assert actual.shape == expected.shape
    greatest = float(np.abs(expected).max())
    difference = float(np.abs(actual.astype(np.float64) - expected).max())
    return difference / greatest if greatest else difference


def assert_close(actual: dict[str, Array], expected: dict[str, Array], dtype: str) -> None:
    """Compare tensor by tensor, and name those that differ."""
    assert list(actual) == list(expected)
    assert all(array.dtype == dtype for array in actual.values())
    errors = {name: relative_error(actual[name], array) for name, array in expected.items()}
    wrong = {name: error for name, error in errors.items() if not error <= LIMITS[dtype]}
    assert not wrong, f"relative errors above {LIMITS[dtype]}: {wrong}"


def check(network: dr.Network, X: Array, y: Array, loss: str | dr.losses.Loss, weight: Array | None = None) -> None:
    """Compare loss and gradients of the core with the reference's."""
    dtype, spec = network.dtype.name, loss if isinstance(loss, str) else loss.to_spec()
    value, gradients = network.loss_and_gradients(X, y, loss=loss, sample_weight=weight)
    expected_value, expected = in_reference(network).loss_and_gradients(X, y, spec, weight)
    assert value == pytest.approx(expected_value, rel=LIMITS[dtype])
    assert_close(gradients, expected, dtype)


# Where the formula is: in the hidden layers, below a linear one, or on top, where loss and activation meet.
def cases() -> list[tuple[str, str, str]]:
    found = []
    for loss in WORDS["losses"]:
        for activation in WORDS["activations"]:
            if activation != "softmax":
                found.append(("hidden", activation, loss))
            if activation == "exp" and loss in ("poisson", "poisson_deviance"):
                continue  # refused: the loss takes the log of the rate
            if LINKS.get(loss, activation) == activation or activation not in LINKS.values():
                found.append(("last", activation, loss))
    return found


def build(place: str, activation: str, dtype: str) -> dr.Network:
    # exp upon exp would leave the range in which gradients are of moderate size
    activations = [activation, activation, "identity"] if place == "hidden" else ["tanh", "softsign", activation]
    return make([5, 7, 4, 3], activations, dtype, seed=3, size=0.4)


WEIGHT = np.array([1.0, 0.25, 0.0, 3.0, 0.5, 1.5])


@functools.cache
def expected(place: str, activation: str, loss: str, dtype: str, weighted: bool) -> tuple[float, dict[str, Array]]:
    network = build(place, activation, dtype)
    X, y = data(loss, 6, 5, 3, dtype)
    return in_reference(network).loss_and_gradients(X, y, loss, WEIGHT if weighted else None)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("place", "activation", "loss"), cases())
def test_core_agrees_with_the_reference(place: str, activation: str, loss: str, dtype: str, isa: str) -> None:
    _core.select_isa(isa)
    network = build(place, activation, dtype)
    X, y = data(loss, 6, 5, 3, dtype)
    for weighted in (False, True):
        weight = WEIGHT if weighted else None
        value, gradients = network.loss_and_gradients(X, y, loss=loss, sample_weight=weight)
        expected_value, expected_gradients = expected(place, activation, loss, dtype, weighted)
        assert value == pytest.approx(expected_value, rel=LIMITS[dtype])
        assert_close(gradients, expected_gradients, dtype)


def differences_cases() -> list[tuple[str, str, str]]:
    """Every activation with two losses, and every loss with two activations."""
    few = ("mse", "cross_entropy", "tanh", "relu")
    return [case for case in cases() if case[0] == "hidden" and (case[1] in few or case[2] in few)] + [
        ("last", link, loss) for loss, link in LINKS.items()
    ]


@pytest.mark.parametrize(("place", "activation", "loss"), differences_cases())
def test_core_agrees_with_central_differences(place: str, activation: str, loss: str) -> None:
    network = build(place, activation, "float64")
    X, y = data(loss, 6, 5, 3, "float64")
    _, gradients = network.loss_and_gradients(X, y, loss=loss, sample_weight=WEIGHT)
    by_differences = in_reference(network).numerical_gradients(X, y, loss, sample_weight=WEIGHT)
    for name, difference in by_differences.items():
        assert relative_error(gradients[name], difference) <= 1e-6, name


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
class TestShapes:
    """Networks and batches around the width of a register and of a panel of columns."""

    @pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 33])
    def test_widths(self, width: int, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        for sizes in ([width, 5, 3], [4, width, 3], [4, 5, width], [width, width, width]):
            network = make(sizes, ["tanh", "identity"], dtype, seed=width, size=0.3)
            check(network, *data("mse", 7, sizes[0], sizes[-1], dtype), "mse")
            if sizes[-1] > 1:
                check(network, *data("cross_entropy", 7, sizes[0], sizes[-1], dtype), "cross_entropy")

    def test_width_one_everywhere(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        for loss in ("mse", "binary_cross_entropy", "hinge"):
            check(make([1, 1, 1], ["tanh", "identity"], dtype), *data(loss, 1, 1, 1, dtype), loss)

    def test_batches_of_every_size(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([5, 9, 3], ["gelu", "identity"], dtype)
        X, y = data("cross_entropy", 20, 5, 3, dtype)
        weight = np.random.default_rng(2).uniform(0.1, 2, 20)
        for n_samples in range(1, 21):
            check(network, X[:n_samples], y[:n_samples], "cross_entropy")
            check(network, X[:n_samples], y[:n_samples], "cross_entropy", weight[:n_samples])

    def test_a_large_batch(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([5, 9, 3], ["sigmoid", "identity"], dtype)
        check(network, *data("mse", 3001, 5, 3, dtype), "mse")

    @pytest.mark.parametrize("activation", ["tanh", "gelu", "leaky_relu"])
    def test_five_layers(self, activation: str, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([6, 20, 17, 9, 5, 3], [activation] * 4 + ["softmax"], dtype, seed=4)
        check(network, *data("cross_entropy", 11, 6, 3, dtype), "cross_entropy")

    def test_a_linear_layer_alone(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        check(make([3, 2], ["identity"], dtype), *data("mse", 4, 3, 2, dtype), "mse")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
class TestSettings:
    """Penalties, layers without bias, and the kinds of targets."""

    @pytest.mark.parametrize("settings", [{"l1": 0.02}, {"l2": 0.3}, {"l1": 0.01, "l2": 0.5}])
    @pytest.mark.parametrize("use_bias", [True, False])
    def test_penalties(self, settings: dict[str, float], use_bias: bool, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([5, 17, 3], ["tanh", "identity"], dtype, use_bias=use_bias, **settings)
        X, y = data("mse", 6, 5, 3, dtype)
        check(network, X, y, "mse")
        check(network, X, y, "mse", WEIGHT)

    def test_the_absolute_value_has_slope_zero_at_zero(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = dr.Network([dr.Dense(3, init="zeros", l1=1.0)], input_shape=2, dtype=dtype)
        _, gradients = network.loss_and_gradients(np.zeros((4, 2)), np.zeros((4, 3)), loss="mse")
        assert not gradients["0.weight"].any()

    def test_no_bias(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([5, 7, 3], ["relu", "identity"], dtype, use_bias=False)
        assert list(network.state_dict()) == ["0.weight", "1.weight"]
        check(network, *data("mse", 6, 5, 3, dtype), "mse")

    @pytest.mark.parametrize("last", ["identity", "softmax"])
    def test_rows_of_probabilities(self, last: str, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([5, 7, 4], ["tanh", last], dtype)
        X = data("mse", 6, 5, 4, dtype)[0]
        y = np.random.default_rng(5).dirichlet(np.ones(4), size=6).astype(dtype)
        y[0] = [0, 1, 0, 0]
        check(network, X, y, "cross_entropy")
        check(network, X, y, "cross_entropy", WEIGHT)

    @pytest.mark.parametrize("last", ["identity", "sigmoid"])
    def test_several_labels_with_soft_targets(self, last: str, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([5, 7, 18], ["tanh", last], dtype)
        X = data("mse", 6, 5, 18, dtype)[0]
        y = np.random.default_rng(5).uniform(size=(6, 18)).astype(dtype)
        y[0], y[1] = 0, 1
        check(network, X, y, "binary_cross_entropy")
        check(network, X, y, "binary_cross_entropy", WEIGHT)

    @pytest.mark.parametrize("loss", [dr.Huber(0.3), dr.Huber(5.0), dr.Quantile(0.1), dr.Quantile(0.95)], ids=repr)
    def test_losses_with_a_parameter(self, loss: dr.losses.Loss, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        check(make([5, 7, 3], ["tanh", "identity"], dtype), *data(loss.name, 6, 5, 3, dtype), loss)

    def test_samples_of_weight_zero_do_not_count(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([5, 7, 3], ["tanh", "identity"], dtype)
        X, y = data("mse", 6, 5, 3, dtype)
        kept = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0])
        value, gradients = network.loss_and_gradients(X, y, loss="mse", sample_weight=kept)
        fewer_value, fewer = in_reference(network).loss_and_gradients(X[kept > 0], y[kept > 0], "mse")
        assert value == pytest.approx(fewer_value, rel=LIMITS[dtype])
        assert_close(gradients, fewer, dtype)


class TestSureNetwork:
    """Nearly right, its gradients are small, and all their digits count: no 1 - tiny on the way."""

    X = np.array([[1.0, 0.5], [1.0, -0.25], [1.25, 1.0]])
    ROWS = np.array([[25.0, 0.0, -20.0], [0.5, 0.25, 0.0]])
    COLUMN = np.array([[25.0], [0.5]])

    def exact(self, weight: Array) -> dict[str, Array]:
        """The gradients, with the first class right everywhere: -(1 - p) from the other probabilities."""
        z = self.X @ (weight if weight.shape[1] > 1 else np.hstack([weight, np.zeros((2, 1))]))
        e = np.exp(z - z[:, :1])
        delta = e / e.sum(axis=1, keepdims=True)
        delta[:, 0] = -delta[:, 1:].sum(axis=1)
        delta = delta[:, : weight.shape[1]] / len(self.X)
        return {"0.weight": self.X.T @ delta, "0.bias": delta.sum(axis=0)}

    def targets(self, kind: str) -> tuple[str, Array, Array]:
        if kind == "binary":
            return "binary_cross_entropy", self.COLUMN, np.ones((3, 1))
        return "cross_entropy", self.ROWS, np.zeros(3, np.int32) if kind == "indices" else np.eye(3)[[0, 0, 0]]

    @pytest.mark.parametrize("isa", ISAS)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("kind", ["indices", "rows", "binary"])
    def test_core(self, kind: str, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        loss, weight, y = self.targets(kind)
        network = dr.Network([dr.Dense(weight.shape[1])], input_shape=2, dtype=dtype)
        network.load_state_dict({"0.weight": weight, "0.bias": np.zeros(weight.shape[1])})
        _, gradients = network.loss_and_gradients(self.X, y, loss=loss)
        assert_close(gradients, self.exact(weight), dtype)

    @pytest.mark.parametrize("kind", ["indices", "rows", "binary"])
    def test_reference(self, kind: str) -> None:
        loss, weight, y = self.targets(kind)
        network = reference.Network([reference.Dense(weight, np.zeros(weight.shape[1]))])
        assert_close(network.loss_and_gradients(self.X, y, loss)[1], self.exact(weight), "float64")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
class TestForwardAndBackward:
    """The two halves on their own, for callers with their own loss."""

    @pytest.mark.parametrize("last", WORDS["activations"])
    def test_output_input_gradient_and_parameter_gradients(self, last: str, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        random = np.random.default_rng(6)
        for n_samples in (1, 6, 17):
            network = make([5, 7, 19], ["tanh", last], dtype, size=0.3)
            X, grad = (
                random.normal(size=(n_samples, 5)).astype(dtype),
                random.normal(size=(n_samples, 19)).astype(dtype),
            )
            twin = in_reference(network)
            results = {"output": network.forward(X), "dX": network.backward(grad), **network.gradients}
            assert_close(results, {"output": twin.forward(X), "dX": twin.backward(grad), **twin.gradients}, dtype)

    def test_a_smaller_batch_after_a_larger_one(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network, random = make([5, 7, 3], ["gelu", "softmax"], dtype), np.random.default_rng(7)
        for n_samples in (20, 3, 1, 33, 2):
            X, grad = random.normal(size=(n_samples, 5)).astype(dtype), random.normal(size=(n_samples, 3)).astype(dtype)
            twin = in_reference(network)
            results = {"output": network.forward(X), "dX": network.backward(grad), **network.gradients}
            assert_close(results, {"output": twin.forward(X), "dX": twin.backward(grad), **twin.gradients}, dtype)

    def test_penalties_are_not_in_it(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        network = make([5, 3], ["tanh"], dtype, l1=0.1, l2=1.0)
        network.forward(np.ones((2, 5)))
        network.backward(np.zeros((2, 3)))
        assert not any(gradient.any() for gradient in network.gradients.values())


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(n_threads: int) -> None:
    network = make([5, 33, 3], ["tanh", "identity"], "float32")
    X, y = data("cross_entropy", 257, 5, 3, "float32")
    value, gradients = network.loss_and_gradients(X, y, loss="cross_entropy", n_threads=1)
    other_value, other = network.loss_and_gradients(X, y, loss="cross_entropy", n_threads=n_threads)
    assert value == other_value
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, other[name])
