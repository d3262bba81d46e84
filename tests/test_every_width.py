"""Every tail is right: all widths and all batches from 1 to 100, on every instruction set, in both dtypes.

Whole networks are held against the reference; a layer alone and the products against NumPy in float64, element by
element, where a sum of n terms may be off by n + 2 eps of the sum of their sizes: half an eps for each rounding, by the
core and by NumPy. A term too many or too few is some 1 / n of that size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference

Array = NDArray[Any]

LIMITS = {"float64": 1e-12, "float32": 1e-5}  # greatest difference over greatest value of a tensor
ALL = range(1, 101)
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 81, 100]  # around the tiles
BATCHES = [1, 3, 31, 32, 33, 100]

MULTIPLY: dict[str, Any] = {name: getattr(_core, f"multiply_{name}") for name in LIMITS}
TRANSPOSED: dict[str, Any] = {name: getattr(_core, f"multiply_transposed_{name}") for name in LIMITS}

RANDOM = np.random.default_rng(0)
POOL = {name: RANDOM.normal(size=1 << 16).astype(name) for name in LIMITS}  # drawn once: random numbers take their time


def some(dtype: str, *shape: int, seed: int = 0) -> Array:
    """Random numbers, others for another seed."""
    first, size = seed * 7919 % 30_000, int(np.prod(shape))
    return POOL[dtype][first : first + size].reshape(shape)


@pytest.fixture(params=_core.isas(), autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.isa()
    _core.select_isa(request.param)
    yield str(request.param)
    _core.select_isa(before)


def assert_sums(actual: Array, left: Array, right: Array, start: Array | float, dtype: str, what: object) -> None:
    """Compare with left @ right + start, element by element."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    expected, size = left @ right + start, np.abs(left) @ np.abs(right) + np.abs(start)
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    allowed = (left.shape[1] + 2) * float(np.finfo(dtype).eps) * size
    assert (np.abs(actual - expected) <= allowed).all(), what


def check_products(rows: int, depth: int, columns: int, dtype: str) -> None:
    left, right, bias = some(dtype, rows, depth), some(dtype, depth, columns, seed=1), some(dtype, columns, seed=2)
    shape = rows, depth, columns
    assert_sums(MULTIPLY[dtype](left, right, bias), left, right, bias.astype(np.float64), dtype, shape)
    assert_sums(MULTIPLY[dtype](left, right, None), left, right, 0.0, dtype, shape)
    assert_sums(TRANSPOSED[dtype](left.T.copy(), right), left, right, 0.0, dtype, shape)


@pytest.mark.parametrize("dtype", LIMITS)
def test_products_of_every_width(dtype: str) -> None:
    for width in ALL:
        for other in (1, 16, 37):
            for shape in {(width, other, 20), (other, width, 20), (other, 20, width), (width, width, width)}:
                check_products(*shape, dtype)


@pytest.mark.parametrize("dtype", LIMITS)
def test_products_around_the_tiles(dtype: str) -> None:
    for rows, depth, columns in itertools.product(BATCHES, WIDTHS, WIDTHS):
        check_products(rows, depth, columns, dtype)
        # The sums over a batch: rows are columns of the input there
        left, right = some(dtype, rows, depth, seed=3), some(dtype, rows, columns, seed=4)
        assert_sums(TRANSPOSED[dtype](left, right), left.T, right, 0.0, dtype, (rows, depth, columns))


def layer(inputs: int, units: int, dtype: str) -> dr.Network:
    """One linear layer, with a bias that is not zero."""
    network = dr.Network([dr.Dense(units)], inputs, dtype)
    network.load_state_dict({"0.weight": some(dtype, inputs, units, seed=5), "0.bias": some(dtype, units, seed=6)})
    return network


def check_layer(network: dr.Network, batch: int) -> None:
    """Compare output, gradient of the input and gradients of the parameters of one linear layer."""
    inputs, units = network.state_dict()["0.weight"].shape
    dtype, what = network.dtype.name, (inputs, units, batch)
    weight, bias = some(dtype, inputs, units, seed=5), some(dtype, units, seed=6).astype(np.float64)
    X, delta = some(dtype, batch, inputs, seed=7), some(dtype, batch, units, seed=8)
    assert_sums(network.forward(X), X, weight, bias, dtype, what)
    assert_sums(network.backward(delta), delta, weight.T, 0.0, dtype, what)
    gradients = network.gradients
    assert_sums(gradients["0.weight"], X.T, delta, 0.0, dtype, what)
    assert_sums(gradients["0.bias"][None], np.ones((1, batch)), delta, 0.0, dtype, what)


@pytest.mark.parametrize("dtype", LIMITS)
def test_layers_around_the_tiles(dtype: str) -> None:
    """From the small batch to the large and back: what the large one has left behind must not count in the small."""
    for inputs, units in itertools.product(WIDTHS, WIDTHS):
        network = layer(inputs, units, dtype)
        for batch in (*BATCHES, 3):
            check_layer(network, batch)


@pytest.mark.parametrize("dtype", LIMITS)
def test_layers_of_every_width(dtype: str) -> None:
    for width in ALL:
        for inputs, units in ((width, 20), (20, width), (width, width)):
            network = layer(inputs, units, dtype)
            for batch in (101 - width, width, 1):
                check_layer(network, batch)


@pytest.mark.parametrize("dtype", LIMITS)
def test_few_units_with_every_number_of_inputs(dtype: str) -> None:
    """Up to four units, fewer than inputs, have a kernel of their own, and their weight lies transposed."""
    for units, inputs in itertools.product([1, 2, 3, 4], ALL):
        network = layer(inputs, units, dtype)
        for batch in BATCHES:
            check_layer(network, batch)


@pytest.mark.parametrize("dtype", LIMITS)
def test_few_units_in_every_batch(dtype: str) -> None:
    for units, inputs in itertools.product([1, 2, 3, 4], [5, 16, 33]):
        network = layer(inputs, units, dtype)
        for batch in ALL[::-1]:
            check_layer(network, batch)


def relative_error(actual: Array, expected: Array) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def check_network(sizes: tuple[int, ...], activation: str, batch: int, dtype: str) -> None:
    """Compare loss, gradients and one step with the reference, through hidden layers with activations."""
    layers = [dr.Dense(units, activation) for units in sizes[1:-1]]
    network = dr.Network([*layers, dr.Dense(sizes[-1])], sizes[0], dtype, seed=batch)
    biases = {name: array + 0.1 if array.ndim == 1 else array for name, array in network.state_dict().items()}
    network.load_state_dict(biases)
    start = network.state_dict()
    twin = reference.Network.from_spec(network.spec(), start)
    # Far from the outputs: where the errors of the samples cancelled in a sum, little but rounding would be left.
    X, y = some(dtype, batch, sizes[0], seed=9), some(dtype, batch, sizes[-1], seed=10) + 5
    n_threads = 1 + batch % 3  # the rows in one, two or three shares
    value, gradients = network.loss_and_gradients(X, y, loss="mse", n_threads=n_threads)
    expected_value, expected = twin.loss_and_gradients(X, y, "mse")
    assert value == pytest.approx(expected_value, rel=LIMITS[dtype])
    errors = {name: relative_error(gradients[name], array) for name, array in expected.items()}
    assert max(errors.values()) <= LIMITS[dtype], (sizes, batch, errors)
    # A step uses each tile's gradient up where it was computed, without an array of them all.
    dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=1.0), n_threads=n_threads).step(X, y)
    for name, array in network.state_dict().items():
        rounding = float(np.finfo(dtype).eps) * np.abs(start[name]).max()
        moved = start[name].astype(np.float64) - array
        assert np.abs(moved - expected[name]).max() <= LIMITS[dtype] * np.abs(expected[name]).max() + rounding, name


@pytest.mark.parametrize("activation", ["tanh", "gelu"])  # whose slopes come from the output and from the input
@pytest.mark.parametrize("dtype", LIMITS)
def test_networks_of_every_width_in_every_batch(dtype: str, activation: str) -> None:
    """Every width as inputs, hidden units and outputs, each in another batch: 37, 53 and 71 go through all of 101."""
    for i in ALL:
        check_network((i, i, i), activation, i, dtype)
        check_network((i, 37 * i % 101, 53 * i % 101), activation, 71 * i % 101, dtype)
        check_network((53 * i % 101, i, 71 * i % 101), activation, 37 * i % 101, dtype)


@pytest.mark.parametrize("dtype", LIMITS)
def test_few_units_within_a_network(dtype: str) -> None:
    """A narrow layer below others and above them, with an activation at its end."""
    for units, inputs in itertools.product([1, 2, 3, 4], ALL):
        check_network((inputs, units, 7, units, 6), "gelu" if inputs % 2 else "tanh", 71 * inputs % 101, dtype)
