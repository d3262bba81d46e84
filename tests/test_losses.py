"""The losses of the core, row by row, on every instruction set: values in units in the last place, and gradients.

A new loss is found by its name in the vocabulary; targets of its own kind go into TARGETS, parameters into PARAMETERS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from deltarule import _core
from deltarule.reference import losses

ELEMENTWISE = [name for name in _core.vocabulary()["losses"] if name != "cross_entropy"]
KERNELS = {np.float32: _core.loss_float32, np.float64: _core.loss_float64}
TINY = float(np.finfo(np.float32).tiny)
SIZE = 60_000
COUNTS = ("poisson", "poisson_deviance")
LABELS = np.int32

# name of the parameter, its values
PARAMETERS: dict[str, tuple[str, tuple[float, ...]]] = {
    "huber": ("delta", (1.0, 0.3, 50.0)),
    "quantile": ("q", (0.5, 0.1, 0.95)),
}
CASES = [(name, value) for name in ELEMENTWISE for value in PARAMETERS.get(name, ("", (0.0,)))[1]]

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]
TARGETS: dict[str, Draw] = {
    "poisson": lambda random, z: random.poisson(random.exponential(20, z.size)).astype(float),
    "poisson_deviance": lambda random, z: random.poisson(random.exponential(20, z.size)).astype(float),
    "binary_cross_entropy": lambda random, z: np.where(
        random.random(z.size) < 0.6, random.integers(0, 2, z.size), random.random(z.size)
    ),
    "hinge": lambda random, z: random.choice([-1.0, 1.0], z.size),
    "squared_hinge": lambda random, z: random.choice([-1.0, 1.0], z.size),
}


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest, same_isa_after: None) -> str:
    _core.select_isa(request.param)
    return str(request.param)


def errors_in_ulp(result: np.ndarray, true: np.ndarray, size: np.ndarray, terms: int = 1) -> np.ndarray:
    """|result - true| in units in the last place of float32 at `size`; within a flushed denormal per term it is 0."""
    unit = np.ldexp(1.0, np.maximum(np.frexp(np.abs(size))[1] - 24, -149))
    difference = np.abs(result.astype(np.float64) - true)
    return np.where(difference <= terms * TINY, 0, difference / unit)


def require_4_ulp(result: np.ndarray, true: np.ndarray, size: np.ndarray, terms: int = 1) -> None:
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    errors = errors_in_ulp(result, true, size, terms)
    worst = int(errors.argmax())
    assert errors[worst] <= 4, f"{errors[worst]:.2f} ulp in row {worst}: {result[worst]!r}, not {true[worst]!r}"


def outputs_and_targets(name: str, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Near and far, equal, tiny differences, and logits of ±10,000."""
    random = np.random.default_rng(2)
    scale = 10.0 ** random.uniform(-6, 4, SIZE)
    z = np.clip(random.normal(size=SIZE) * scale, -1e4, 1e4)
    z[:6] = [0, -0.0, 1e4, -1e4, 1, -1]
    if name in COUNTS:
        z = np.clip(z, -1e4, 80)
    if name in TARGETS:
        y = TARGETS[name](random, z)
    else:
        y = np.where(random.random(SIZE) < 0.5, z + random.normal(size=SIZE) * 10.0 ** random.uniform(-4, 3, SIZE), -z)
        y[::97] = z[::97]
    return z.astype(dtype), y.astype(dtype)


def reference(name: str, parameter: float) -> losses.Loss:
    return losses.get({"name": name, PARAMETERS[name][0]: parameter} if name in PARAMETERS else name)


def row_values(name: str, parameter: float, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What is right, in float64."""
    if name == "binary_cross_entropy":  # the reference writes z (1 - y) as z - y z, which cancels where y is nearly 1
        z, y = z.astype(np.float64), y.astype(np.float64)
        return np.asarray((np.where(z < 0, -y * z, (1 - y) * z) + np.log1p(np.exp(-np.abs(z)))).mean(axis=1))
    return reference(name, parameter).per_sample(z, y)


def size_of_terms(name: str, z: np.ndarray, y: np.ndarray, true: np.ndarray) -> np.ndarray:
    """What an error is measured against. Poisson's exp(z) - y z cancels: there it is the largest of the terms."""
    if name not in COUNTS:
        return true
    z, y = z.astype(np.float64), y.astype(np.float64)
    if name == "poisson":
        return np.maximum(np.exp(z), np.abs(y * z))
    information = y * (np.log(np.maximum(y, 1)) - z)
    return np.max([np.exp(z), y, np.abs(information), y * np.log(np.maximum(y, 1))], axis=0)


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_float32_values_are_within_4_ulp(name: str, parameter: float, isa: str) -> None:
    z, y = outputs_and_targets(name, np.float32)
    values, _ = _core.loss_float32(name, parameter, z[:, None], y[:, None])
    true = row_values(name, float(np.float32(parameter)), z[:, None], y[:, None])
    require_4_ulp(values, true, size_of_terms(name, z, y, true))


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_float64_values(name: str, parameter: float, isa: str) -> None:
    z, y = outputs_and_targets(name, np.float64)
    values, _ = _core.loss_float64(name, parameter, z[:, None], y[:, None])
    true = row_values(name, parameter, z[:, None], y[:, None])
    size = np.abs(size_of_terms(name, z, y, true))
    wrong = np.abs(values - true) > 1e-13 * size + np.finfo(np.float64).tiny
    assert not wrong.any(), (z[wrong][:3], y[wrong][:3], values[wrong][:3], true[wrong][:3])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_gradients(name: str, parameter: float, dtype: Any, tolerance: float, isa: str) -> None:
    z, y = outputs_and_targets(name, dtype)
    _, gradient = KERNELS[dtype](name, parameter, z[:, None], y[:, None])
    true = reference(name, float(dtype(parameter))).gradient(z[:, None], y[:, None])
    assert gradient.shape == (SIZE, 1)
    assert gradient.dtype == dtype
    size = np.maximum(1, np.abs(true))
    if name in COUNTS:
        size = np.maximum(size, np.abs(y[:, None]))
    wrong = np.abs(gradient - true) > tolerance * size
    assert not wrong.any(), (z[wrong[:, 0]][:3], y[wrong[:, 0]][:3], gradient[wrong][:3], true[wrong][:3])


@pytest.mark.parametrize(
    ("name", "parameter", "z", "y", "slope"),
    [
        ("mae", 0, 2.0, 2.0, 0),
        ("quantile", 0.25, 2.0, 2.0, 0),
        ("huber", 1.0, 3.0, 2.0, 1),
        ("hinge", 0, 1.0, 1.0, 0),
        ("hinge", 0, -1.0, -1.0, 0),
        ("squared_hinge", 0, 1.0, 1.0, 0),
    ],
)
def test_slopes_at_corners(name: str, parameter: float, z: float, y: float, slope: float, isa: str) -> None:
    for dtype, kernel in KERNELS.items():
        assert kernel(name, parameter, np.full((1, 1), z, dtype), np.full((1, 1), y, dtype))[1] == slope


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8, 9, 15, 16, 17, 40])
@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_rows_are_means_over_columns(name: str, parameter: float, columns: int, dtype: Any, isa: str) -> None:
    z, y = (array[: 30 * columns].reshape(30, columns) for array in outputs_and_targets(name, dtype))
    values, gradient = KERNELS[dtype](name, parameter, z.copy(), y.copy())
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    of_elements = row_values(name, float(dtype(parameter)), z.reshape(-1, 1), y.reshape(-1, 1)).reshape(z.shape)
    size = np.abs(size_of_terms(name, z, y, of_elements)).mean(axis=1)
    assert (np.abs(values - of_elements.mean(axis=1)) <= 16 * eps * size + tiny).all()
    elements = KERNELS[dtype](name, parameter, z.reshape(-1, 1).copy(), y.reshape(-1, 1).copy())[1]
    np.testing.assert_allclose(gradient, elements.reshape(z.shape) / columns, rtol=4 * eps, atol=tiny)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_nan_stays_in_its_row(dtype: Any, isa: str) -> None:
    for name in _core.vocabulary()["losses"]:
        z = np.linspace(-1, 1, 15).reshape(5, 3).astype(dtype)
        y = np.ones((5, 3), dtype) / 3 if name == "cross_entropy" else np.ones((5, 3), dtype)
        clean = KERNELS[dtype](name, 0.5, z, y)
        z[2, 1] = np.nan
        values, gradient = KERNELS[dtype](name, 0.5, z, y)
        assert np.isnan(values[2]), name
        others = [0, 1, 3, 4]
        np.testing.assert_array_equal(values[others], clean[0][others])
        np.testing.assert_array_equal(gradient[others], clean[1][others])


def logits(classes: int, scale: float, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Half of the rows are sure and right; some have ties, some are ±10,000."""
    random = np.random.default_rng(classes)
    z = np.clip(random.normal(size=(6000, classes)) * scale, -1e4, 1e4)
    labels = random.integers(0, classes, len(z))
    labels[::2] = z[::2].argmax(axis=1)
    z[:50] = random.choice([-1e4, 0.0, 1e4], (50, classes))
    z[50:100] = 3.0
    return z.astype(dtype), labels.astype(LABELS)


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 17, 40])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 30.0, 1e4])
@pytest.mark.parametrize("rows", [False, True])
def test_cross_entropy_in_float32_is_within_4_ulp(classes: int, scale: float, rows: bool, isa: str) -> None:
    z, y = logits(classes, scale, np.float32)
    if rows:  # of probabilities, of which some are 0 or 1
        random = np.random.default_rng(3)
        y = random.dirichlet(np.full(classes, 0.5), len(z)).astype(np.float32)
        y[::5] = np.eye(classes)[random.integers(0, classes, len(y[::5]))]
    values, gradient = _core.loss_float32("cross_entropy", 0.0, z, y)
    of_reference = losses.get("cross_entropy")
    true = of_reference.per_sample(z, y)
    require_4_ulp(values, true, true, terms=classes)
    assert np.abs(gradient - of_reference.gradient(z, y)).max() <= 1e-6


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 17, 40])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_cross_entropy_in_float64(classes: int, scale: float, isa: str) -> None:
    z, labels = logits(classes, scale, np.float64)
    of_reference = losses.get("cross_entropy")
    for y in (labels, np.random.default_rng(3).dirichlet(np.full(classes, 0.5), len(z))):
        values, gradient = _core.loss_float64("cross_entropy", 0.0, z, y)
        np.testing.assert_allclose(values, of_reference.per_sample(z, y), rtol=2e-13, atol=1e-300)
        np.testing.assert_allclose(gradient, of_reference.gradient(z, y), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sure_classifier_keeps_a_gradient(dtype: Any, isa: str) -> None:
    """p - 1 for p = 1 - 1e-9 is -1e-9: computed as a difference in float32 it would be 0."""
    z = np.array([[0, -20.7], [20.7, 0], [-20.7, 0]], dtype)
    _, gradient = KERNELS[dtype]("cross_entropy", 0.0, z, np.array([0, 0, 1], LABELS))
    true = np.exp(-z.astype(np.float64).max(axis=1) + z.astype(np.float64).min(axis=1))
    np.testing.assert_allclose(-gradient[[0, 1, 2], [0, 0, 1]], true, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probability_rows_agree_with_labels(dtype: Any, isa: str) -> None:
    z, labels = logits(10, 5.0, dtype)
    of_labels = KERNELS[dtype]("cross_entropy", 0.0, z, labels)
    of_rows = KERNELS[dtype]("cross_entropy", 0.0, z, np.eye(10, dtype=dtype)[labels])
    for one, other in zip(of_labels, of_rows, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=float(4 * np.finfo(dtype).eps) * 50)


@pytest.mark.usefixtures("same_isa_after")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", _core.vocabulary()["losses"])
def test_the_same_bits_on_every_instruction_set(name: str, dtype: Any) -> None:
    results = []
    for isa in filter(_core.has_same_bits, _core.isas()):
        _core.select_isa(isa)
        if name == "cross_entropy":
            z, labels = logits(37, 5.0, dtype)
            answers = [KERNELS[dtype](name, 0.0, z, y) for y in (labels, np.eye(37, dtype=dtype)[labels])]
        else:
            z, y = outputs_and_targets(name, dtype)
            answers = [KERNELS[dtype](name, 0.7, z[:37_000].reshape(-1, 37).copy(), y[:37_000].reshape(-1, 37).copy())]
        results.append([array.tobytes() for answer in answers for array in answer])
    assert all(result == results[0] for result in results)
