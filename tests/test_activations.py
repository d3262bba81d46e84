"""The activations of the core, value by value, on every instruction set: the worst error in units in the last place.

A new activation is found by its name; one that computes with care near a zero of its own gets a row in EXACT.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core
from deltarule.reference.activations import ACTIVATIONS

NAMES = [name for name in _core.vocabulary()["activations"] if name != "softmax"]
KERNELS = {np.float32: _core.activation_float32, np.float64: _core.activation_float64}
FLOAT32 = np.finfo(np.float32)
STRIDE = 4093  # between the bit patterns that are tried: a prime, for about a million numbers of all exponents
SINE_ENDS = 2.0**30

# Where the reference itself would cancel: these are exact, because z + 3 is.
EXACT: dict[str, Callable[[Any], Any]] = {
    "hard_sigmoid": lambda z: np.clip((z + 3) / 6, 0, 1),
    "hard_swish": lambda z: np.where(z <= -3, 0.0, np.where(z >= 3, z, z * ((z + 3) / 6))),
}

# f(-inf), f(inf)
LIMITS = {
    "identity": (-math.inf, math.inf),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "relu": (0, math.inf),
    "leaky_relu": (-math.inf, math.inf),
    "elu": (-1, math.inf),
    "selu": (-1.0507009873554805 * 1.6732632423543772, math.inf),
    "gelu": (0, math.inf),
    "gelu_tanh": (0, math.inf),
    "silu": (0, math.inf),
    "mish": (0, math.inf),
    "softplus": (0, math.inf),
    "hard_sigmoid": (0, 1),
    "hard_tanh": (-1, 1),
    "hard_swish": (0, math.inf),
    "exp": (0, math.inf),
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


def specials(dtype: Any) -> np.ndarray:
    """Zeros, corners and their neighbours, ends of the range, denormals; with both signs."""
    info = np.finfo(dtype)
    corners = np.array([0, 1, 3, 0.5, math.pi / 2, math.pi, 10, 88.72, 709.78, 1e4, 2**23, 2**29], dtype)
    sizes = np.concatenate([
        corners,
        np.nextafter(corners, dtype(np.inf)),
        np.nextafter(corners, dtype(-np.inf)),
        np.array([info.tiny, info.tiny / 2, info.smallest_subnormal, info.eps, info.max, info.max / 2], dtype),
    ])  # fmt: skip
    return np.concatenate([sizes, -sizes])


@cache
def inputs_float32(name: str) -> np.ndarray:
    z = np.arange(0, 2**32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)
    # Half of the patterns are smaller than 1e-19 or larger than 1e19: as many again where it is interesting.
    middle = np.random.default_rng(0).uniform(-110, 110, 200_000).astype(np.float32)
    z = np.concatenate([z[np.isfinite(z)], middle, specials(np.float32)])
    return z[np.abs(z) < SINE_ENDS] if name == "sine" else z


@cache
def inputs_float64(name: str) -> np.ndarray:
    random = np.random.default_rng(1)
    signs = random.choice([-1.0, 1.0], 60_000)
    scaled = signs * random.uniform(1, 2, 60_000) * 2.0 ** random.integers(-1022, 1024, 60_000)
    z = np.concatenate([scaled, random.uniform(-750, 750, 60_000), random.uniform(-9, 9, 60_000), specials(np.float64)])
    return z[np.abs(z) < SINE_ENDS] if name == "sine" else z


@cache
def values(name: str, dtype: Any) -> np.ndarray:
    """What is right, in float64."""
    z = (inputs_float32 if dtype is np.float32 else inputs_float64)(name).astype(np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(EXACT.get(name, ACTIVATIONS[name].value)(z))


@cache
def slopes(name: str, dtype: Any) -> np.ndarray:
    z = (inputs_float32 if dtype is np.float32 else inputs_float64)(name).astype(np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(ACTIVATIONS[name].slope(z))


def errors_in_ulp(result: np.ndarray, true: np.ndarray) -> np.ndarray:
    """|result - true| in units in the last place of float32 at the true value.

    Below the smallest normal number a result may be flushed, and counts as right within that number. Past the greatest
    one infinity is right.
    """
    largest = float(FLOAT32.max)
    result = np.clip(result.astype(np.float64), -largest, largest)
    true = np.clip(true, -largest, largest)
    unit = np.ldexp(1.0, np.maximum(np.frexp(np.abs(true))[1] - 24, -149))
    difference = np.abs(result - true)
    denormal = np.abs(true) < FLOAT32.tiny
    return np.where(denormal, np.where(difference <= FLOAT32.tiny, 0, np.inf), difference / unit)


def require_4_ulp(z: np.ndarray, result: np.ndarray, true: np.ndarray) -> None:
    assert result.dtype == np.float32
    assert not np.isnan(result).any()
    errors = errors_in_ulp(result, true)
    worst = int(errors.argmax())
    assert errors[worst] <= 4, f"{errors[worst]:.2f} ulp at z = {z[worst]!r}: {result[worst]!r}, not {true[worst]!r}"


@pytest.mark.parametrize("name", NAMES)
def test_float32_values_are_within_4_ulp(name: str, isa: str) -> None:
    z = inputs_float32(name)
    assert z.size > 500_000
    require_4_ulp(z, _core.activation_float32(name, z, False), values(name, np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_float32_values_in_a_network_where_denormals_are_flushed(name: str, isa: str) -> None:
    network = dr.Network([dr.Dense(1, name, use_bias=False)], input_shape=1)
    network.load_state_dict({"0.weight": [[1.0]]})
    z, true = inputs_float32(name), values(name, np.float32)
    normal = np.flatnonzero((np.abs(z) >= FLOAT32.tiny) | (z == 0))[::7]
    require_4_ulp(z[normal], network.predict(z[normal, None])[:, 0], true[normal])


@pytest.mark.parametrize("name", NAMES)
def test_float64_values(name: str, isa: str) -> None:
    z, true = inputs_float64(name), values(name, np.float64)
    result = _core.activation_float64(name, z, False)
    assert not np.isnan(result).any()
    # The reference rounds z²/2 or z³ before it takes the exponential: its own error is z² rounding units in the tails.
    own = 4e-16 * np.minimum(np.abs(z), 40) ** 2 if name in ("gelu", "gelu_tanh") else 0.0
    largest = np.finfo(np.float64).max
    result, true = np.clip(result, -largest, largest), np.clip(true, -largest, largest)
    wrong = np.abs(result / 2 - true / 2) > (1e-13 + own) * np.abs(true / 2) + np.finfo(np.float64).tiny
    assert not wrong.any(), (z[wrong][:3], result[wrong][:3], true[wrong][:3])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("name", NAMES)
def test_slopes(name: str, dtype: Any, tolerance: float, isa: str) -> None:
    """Absolute below 1: a slope from the output keeps no relative accuracy where the output saturates, as in torch."""
    z = (inputs_float32 if dtype is np.float32 else inputs_float64)(name)
    true = slopes(name, dtype)
    result = KERNELS[dtype](name, z, True)
    assert not np.isnan(result).any()
    if name == "hard_sigmoid":  # next to the corners the output has rounded to 0 or 1, and its slope is theirs
        between = np.abs(np.abs(z) - 3) > 4 * np.finfo(dtype).eps
        z, true, result = z[between], true[between], result[between]
    largest = float(np.finfo(dtype).max)
    result, true = np.clip(result.astype(np.float64), -largest, largest), np.clip(true, -largest, largest)
    wrong = np.abs(result / 2 - true / 2) > tolerance * np.maximum(0.5, np.abs(true / 2))
    assert not wrong.any(), (z[wrong][:3], result[wrong][:3], true[wrong][:3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_nan_zero_and_infinity(name: str, dtype: Any, isa: str) -> None:
    z = np.array([np.nan, -0.0, 0.0, -np.inf, np.inf], dtype)
    of_nan, of_minus_zero, of_zero, *of_infinity = KERNELS[dtype](name, z, False)
    assert np.isnan(of_nan)
    close = 4 * float(np.finfo(dtype).eps)
    assert of_zero == of_minus_zero == pytest.approx(float(ACTIVATIONS[name].value(0.0)), rel=close, abs=0)
    if name in LIMITS:
        np.testing.assert_allclose(of_infinity, LIMITS[name], rtol=close, atol=0)


def test_every_activation_with_limits_has_them_in_the_table() -> None:
    # softsign is ∞/∞ there, sine has none; neither meets an infinity in a network whose weights are finite
    assert set(NAMES) - set(LIMITS) == {"softsign", "sine"}


@pytest.mark.parametrize("slope", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_no_number_looks_at_its_neighbours(name: str, dtype: Any, slope: bool, isa: str) -> None:
    """Any length, empty too; a NaN or an infinity in the same register changes nothing."""
    z = np.linspace(-5, 5, 67).astype(dtype)
    whole = KERNELS[dtype](name, z, slope)
    for size in (0, 1, 2, 7, 8, 9, 15, 16, 17, 33):
        np.testing.assert_array_equal(KERNELS[dtype](name, z[:size].copy(), slope), whole[:size])
    z[::2] = [np.nan, np.inf] * 17
    np.testing.assert_array_equal(KERNELS[dtype](name, z, slope)[1::2], whole[1::2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("same_isa_after")
def test_the_same_bits_on_every_instruction_set(name: str, dtype: Any) -> None:
    z = (inputs_float32 if dtype is np.float32 else inputs_float64)(name)[::11].copy()
    results = []
    for isa in filter(_core.has_same_bits, _core.isas()):
        _core.select_isa(isa)
        results.append((KERNELS[dtype](name, z, False).tobytes(), KERNELS[dtype](name, z, True).tobytes()))
    assert len(set(results)) <= 1


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 17, 40])
@pytest.mark.parametrize("scale", [0.1, 5.0, 30.0, 1e4])
def test_softmax_rows(classes: int, scale: float, isa: str) -> None:
    random = np.random.default_rng(classes)
    z = np.clip(random.normal(size=(2000, classes)) * scale, -1e4, 1e4).astype(np.float32)
    for row in range(0, len(z), 7):
        z[row, random.integers(classes)] = z[row].max()  # ties
    network = dr.Network([dr.Dense(classes, "softmax", use_bias=False)], input_shape=classes)
    network.load_state_dict({"0.weight": np.eye(classes)})
    result = network.predict(z)
    require_4_ulp(z.ravel(), result.ravel(), ACTIVATIONS["softmax"].value(z).ravel())
    np.testing.assert_allclose(result.sum(axis=1, dtype=np.float64), 1, atol=1e-6)
