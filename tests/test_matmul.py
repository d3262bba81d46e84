"""The two matrix products: against NumPy in float64, and bit by bit against one fused multiply-add after the other.

The promise is one accumulator for each element, k ascending, on every instruction set with FMA.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from deltarule import _core

MULTIPLY = {np.float32: _core.multiply_float32, np.float64: _core.multiply_float64}
NARROW = {np.float32: _core.multiply_narrow_float32, np.float64: _core.multiply_narrow_float64}
TRANSPOSED = {np.float32: _core.multiply_transposed_float32, np.float64: _core.multiply_transposed_float64}
DTYPES = [np.float32, np.float64]
EDGES = [1, 2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 24, 25, 31, 32, 33, 40]
LARGE = [(100, 130, 70), (1, 300, 1), (257, 1, 65), (3, 70, 129), (64, 64, 64)]


def shapes(count: int, seed: int) -> list[tuple[int, int, int]]:
    random = np.random.default_rng(seed)
    sampled = random.integers(1, 41, (count, 3)).tolist() + random.choice(EDGES, (count, 3)).tolist()
    return [(1, 1, 1), *(tuple(shape) for shape in sampled)]


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest, same_isa_after: None) -> str:
    _core.select_isa(request.param)
    return str(request.param)


def factors(shape: tuple[int, int, int], dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """left (rows, depth), right (depth, columns), bias (columns,)"""
    rows, depth, columns = shape
    random = np.random.default_rng(shape)
    return (
        random.normal(size=(rows, depth)).astype(dtype),
        random.normal(size=(depth, columns)).astype(dtype),
        random.normal(size=columns).astype(dtype),
    )


def check(result: np.ndarray, left: np.ndarray, right: np.ndarray, bias: np.ndarray | float, dtype: Any) -> None:
    """Each of depth + 1 roundings is at most half an eps of the sum of the terms' sizes."""
    left, right, bias = left.astype(np.longdouble), right.astype(np.longdouble), np.asarray(bias, np.longdouble)
    size = np.abs(left) @ np.abs(right) + np.abs(bias)
    assert result.dtype == dtype
    assert result.shape == size.shape
    assert (np.abs(result - (left @ right + bias)) <= (left.shape[1] + 1) * np.finfo(dtype).eps * size).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_multiply_is_numpys(dtype: Any, isa: str) -> None:
    for shape in shapes(150, 0) + LARGE:
        left, right, bias = factors(shape, dtype)
        check(MULTIPLY[dtype](left, right, bias), left, right, bias, dtype)
        check(MULTIPLY[dtype](left, right, None), left, right, 0.0, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_multiply_narrow_is_numpys(dtype: Any, isa: str) -> None:
    for columns in (1, 2, 3, 4):
        for rows, depth, _ in shapes(80, 2) + LARGE:
            left, right, bias = factors((rows, depth, columns), dtype)
            check(NARROW[dtype](left, right, bias), left, right, bias, dtype)


def test_multiply_narrow_refuses_what_it_does_not_take() -> None:
    for columns in (0, 5):
        left, right, bias = factors((3, 7, columns), np.float32)
        with pytest.raises(ValueError, match="right"):
            NARROW[np.float32](left, right, bias)


@pytest.mark.parametrize("dtype", DTYPES)
def test_multiply_transposed_is_numpys(dtype: Any, isa: str) -> None:
    for shape in shapes(150, 1) + LARGE:
        left, right, _ = factors(shape, dtype)
        check(TRANSPOSED[dtype](left.T.copy(), right), left, right, 0.0, dtype)


def fma_float32(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c rounded once, for float32.

    a * b is exact in float64. The sum is rounded there to odd: its last bit is set where anything was cut off, so that
    the second rounding, to float32, never takes for a tie what was none (S. Boldo and G. Melquiond, 2008).
    """
    product, c = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    bits = total.view(np.int64)
    towards = np.where(np.sign(error) == np.sign(total), 1, -1)
    odd = np.where((error != 0) & (bits & 1 == 0), bits + towards, bits)
    return odd.view(np.float64).astype(np.float32)


def fma_float64(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c rounded once, in exact fractions."""
    exact = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in np.broadcast(a, b, c)]
    return np.reshape(exact, np.broadcast_shapes(a.shape, b.shape, c.shape))


def one_after_the_other(left: np.ndarray, right: np.ndarray, start: np.ndarray, fused: bool) -> np.ndarray:
    fma = fma_float32 if left.dtype == np.float32 else fma_float64
    total = np.broadcast_to(start, (len(left), right.shape[1])).copy()
    for k in range(left.shape[1]):
        a, b = left[:, k, None], right[None, k]
        total = fma(a, b, total) if fused else a * b + total
    return total


def test_the_emulated_fma_is_right() -> None:
    # (1 + 2⁻¹²)² = 1 + 2⁻¹¹ + 2⁻²⁴ lies halfway between two floats; 2⁻⁸⁰ more or less decides.
    a, tie = np.float32(1 + 2.0**-12), 1 + 2.0**-11
    c = np.array([2.0**-80, -(2.0**-80), 0], np.float32)
    expected = np.array([tie + 2.0**-23, tie, tie], np.float32)
    np.testing.assert_array_equal(fma_float32(np.full(3, a), np.full(3, a), c), expected)
    random = np.random.default_rng(5)
    a, b, c = (random.normal(size=3000).astype(np.float32) * 2.0 ** random.integers(-20, 20, 3000) for _ in "abc")
    a, b, c = a.astype(np.float32), b.astype(np.float32), c.astype(np.float32)
    for got, x, y, z in zip(fma_float32(a, b, c), a, b, c, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(got)) - exact)
        for other in (np.nextafter(got, np.float32(np.inf)), np.nextafter(got, np.float32(-np.inf))):
            assert error <= abs(Fraction(float(other)) - exact)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_are_those_of_a_plain_loop(dtype: Any, isa: str) -> None:
    fused = _core.has_same_bits(isa)
    few = [(1, 1, 1), (3, 9, 5), (9, 17, 2), (2, 3, 17), (7, 2, 9)]  # fractions take their time
    cases = shapes(100, 2) if dtype == np.float32 else few
    for shape in cases:
        left, right, bias = factors(shape, dtype)
        with_bias = one_after_the_other(left, right, bias, fused)
        without = one_after_the_other(left, right, np.zeros(shape[2], dtype), fused)
        np.testing.assert_array_equal(MULTIPLY[dtype](left, right, bias), with_bias)
        np.testing.assert_array_equal(MULTIPLY[dtype](left, right, None), without)
        np.testing.assert_array_equal(TRANSPOSED[dtype](left.T.copy(), right), without)


@pytest.mark.usefixtures("same_isa_after")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_on_every_instruction_set(dtype: Any) -> None:
    cases = [factors(shape, dtype) for shape in shapes(150, 3) + LARGE]
    results = []
    for isa in filter(_core.has_same_bits, _core.isas()):
        _core.select_isa(isa)
        products = [MULTIPLY[dtype](left, right, bias) for left, right, bias in cases]
        products += [TRANSPOSED[dtype](left.T.copy(), right) for left, right, _ in cases]
        results.append([product.tobytes() for product in products])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row_and_column(dtype: Any, bad: float, isa: str) -> None:
    for shape in [(1, 1, 1), (9, 5, 17), (17, 33, 9), (6, 16, 16)]:
        rows, depth, columns = shape
        left, right, bias = factors(shape, dtype)
        clean = MULTIPLY[dtype](left, right, bias)
        for row in {0, rows - 1}:
            spoiled = left.copy()
            spoiled[row, depth // 2] = bad
            product, transposed = MULTIPLY[dtype](spoiled, right, bias), TRANSPOSED[dtype](spoiled.T.copy(), right)
            assert not np.isfinite(product[row]).any()
            assert not np.isfinite(transposed[row]).any()
            np.testing.assert_array_equal(np.delete(product, row, axis=0), np.delete(clean, row, axis=0))
            assert np.isfinite(np.delete(transposed, row, axis=0)).all()
        for column in {0, columns - 1}:
            spoiled = right.copy()
            spoiled[depth - 1, column] = bad
            product = MULTIPLY[dtype](left, spoiled, bias)
            assert not np.isfinite(product[:, column]).any()
            np.testing.assert_array_equal(np.delete(product, column, axis=1), np.delete(clean, column, axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_and_tiny_numbers(dtype: Any, isa: str) -> None:
    info = np.finfo(dtype)
    left = np.array([[info.max, -info.max], [info.tiny, info.tiny], [info.smallest_subnormal, 0]], dtype)
    one = np.ones((2, 1), dtype)
    np.testing.assert_array_equal(MULTIPLY[dtype](left, one, None).ravel(), [0, 2 * info.tiny, info.smallest_subnormal])
    assert np.isposinf(MULTIPLY[dtype](np.abs(left[:1]), one, None)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_shapes_that_do_not_match_are_refused(dtype: Any) -> None:
    left, right, bias = factors((3, 4, 5), dtype)
    with pytest.raises(ValueError, match=r"left has 4 columns, right 3 rows"):
        MULTIPLY[dtype](left, right[:3].copy(), None)
    with pytest.raises(ValueError, match=r"bias has 4 elements, right 5 columns"):
        MULTIPLY[dtype](left, right, bias[:4].copy())
    with pytest.raises(ValueError, match=r"C-contiguous"):
        MULTIPLY[dtype](left.T, left, None)
    with pytest.raises(TypeError, match=r"left has dtype int64"):
        MULTIPLY[dtype](np.ones((2, 2), np.int64), right, None)
