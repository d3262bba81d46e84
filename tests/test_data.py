"""Features: no copies, every layout, and a table of what is refused."""

from __future__ import annotations

import gc
import timeit
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltarule.data import as_matrix, as_sample_weight, as_targets

DTYPES = [np.float32, np.float64]


class TestNoCopy:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (6, 4)])
    def test_right_arrays_are_returned_as_they_are(self, dtype: Any, shape: tuple[int, int]) -> None:
        X = np.ones(shape, dtype)
        assert as_matrix(X, dtype) is X
        X.flags.writeable = False
        assert as_matrix(X, dtype) is X

    def test_memmap(self, tmp_path: Path) -> None:
        path = tmp_path / "x.npy"
        np.save(path, np.arange(12.0, dtype=np.float32).reshape(4, 3))
        X = np.load(path, mmap_mode="r")
        assert isinstance(X, np.memmap)
        array = as_matrix(X, np.float32)
        assert type(array) is np.ndarray
        assert np.shares_memory(array, X)

    def test_right_targets(self) -> None:
        indices = np.array([0, 2, 1], np.int32)
        assert as_targets(indices, 3, kind="classes", outputs=3, dtype=np.float32) is indices
        column = indices.reshape(-1, 1)
        assert np.shares_memory(as_targets(column, 3, kind="classes", outputs=3, dtype=np.float32), column)
        rows = np.eye(3, dtype=np.float32)
        assert as_targets(rows, 3, kind="classes", outputs=3, dtype=np.float32) is rows
        for kind in ("values", "probabilities", "counts", "signs"):
            y = np.ones(4, np.float64)
            target = as_targets(y, 4, kind=kind, outputs=1, dtype=np.float64)
            assert target.shape == (4, 1)
            assert np.shares_memory(target, y)
            y2 = np.ones((4, 3), np.float64)
            assert as_targets(y2, 4, kind=kind, outputs=3, dtype=np.float64) is y2

    def test_right_sample_weight(self) -> None:
        w = np.ones(3, np.float32)
        assert as_sample_weight(w, 3, np.float32) is w

    def test_a_pandas_frame_of_one_float_array(self) -> None:
        pd = pytest.importorskip("pandas")
        X = np.ones((5, 3), np.float32)
        frame = pd.DataFrame(X, copy=False)
        assert np.shares_memory(as_matrix(frame, np.float32), X)

    def test_torch(self) -> None:
        torch = pytest.importorskip("torch")
        X = torch.ones(4, 3, requires_grad=True)
        assert as_matrix(X, np.float32).ctypes.data == X.data_ptr()


def same(actual: np.ndarray, expected: Any, dtype: Any) -> None:
    assert type(actual) is np.ndarray
    assert actual.dtype == dtype
    assert actual.dtype.isnative
    assert actual.flags.c_contiguous
    assert actual.flags.aligned
    np.testing.assert_array_equal(actual, np.asarray(expected, dtype))


def reversed_bytes(X: np.ndarray) -> np.ndarray:
    return X.astype(X.dtype.newbyteorder())


def unaligned(X: np.ndarray) -> np.ndarray:
    raw = np.zeros(X.nbytes + 1, np.uint8)
    view = raw[1:].view(X.dtype).reshape(X.shape)
    view[...] = X
    assert not view.flags.aligned
    return view


class TestMatrix:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("source", ["?", "i1", "u1", "i4", "u8", "i8", "f2", "f4", "f8", "g"])
    def test_number_types(self, dtype: Any, source: str) -> None:
        X = np.array([[0, 1], [1, 0], [1, 1]], source)
        before = X.copy()
        same(as_matrix(X, dtype), X, dtype)
        np.testing.assert_array_equal(X, before)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(
        "change",
        [
            np.asfortranarray,
            reversed_bytes,
            unaligned,
            lambda X: np.repeat(X, 2, axis=0)[::2],
            lambda X: X[::-1, ::-1][::-1, ::-1],
            lambda X: np.broadcast_to(X[:1], X.shape),
            np.ndarray.tolist,
            lambda X: tuple(map(tuple, X)),
            lambda X: list(X),
            lambda X: X.view(np.matrix),
            np.ma.masked_array,
            lambda X: memoryview(X),
        ],
    )
    def test_layouts(self, dtype: Any, change: Callable[[np.ndarray], Any]) -> None:
        X = np.arange(12, dtype=dtype).reshape(4, 3)
        value = change(X)
        same(as_matrix(value, dtype), np.asarray(value), dtype)

    def test_denormals_and_extremes_survive(self) -> None:
        info = np.finfo(np.float32)
        X = np.array([[info.smallest_subnormal, info.max, info.min, -0.0]], np.float32)
        assert as_matrix(X.astype(np.float64), np.float32).tobytes() == X.tobytes()

    def test_dtype_may_be_a_name(self) -> None:
        X = np.ones((2, 2), np.float32)
        assert as_matrix(X, "float32") is X

    def test_the_common_path_is_short(self) -> None:
        X = np.ones((4, 2), np.float32)
        seconds = min(timeit.repeat(lambda: as_matrix(X, np.float32, columns=2), number=2000, repeat=7)) / 2000
        assert seconds < 15e-6  # about 2 µs on a quiet machine


NAN_AT_END = np.ones((300, 5))
NAN_AT_END[299, 3] = np.nan

BAD_MATRICES = [
    (
        [1.0, 2.0],
        ValueError,
        r"X has shape \(2,\): .*X\.reshape\(-1, 1\).*one feature.*X\.reshape\(1, -1\).*one sample",
    ),
    (np.float64(3), ValueError, r"X has shape \(\).*pass \[\[X\]\]"),
    (3, ValueError, r"X has shape \(\)"),
    (np.zeros((2, 3, 4)), ValueError, r"X has shape \(2, 3, 4\).*reshape\(len\(X\), -1\)"),
    ([[1, 2], [3]], ValueError, r"ragged"),
    ([], ValueError, r"shape \(0,\)"),
    (np.zeros((0, 3)), ValueError, r"\(0, 3\): it is empty.*samples are missing"),
    (np.zeros((3, 0)), ValueError, r"\(3, 0\): it is empty.*features are missing"),
    (NAN_AT_END, ValueError, r"X\[299, 3\] is nan: every number must be finite"),
    ([[1.0, -np.inf]], ValueError, r"X\[0, 1\] is -inf"),
    (np.asfortranarray(NAN_AT_END), ValueError, r"X\[299, 3\] is nan"),
    (np.array([[1.0, 1e39]]), ValueError, r'X\[0, 1\] is 1e\+39, which is too large for float32: use dtype="float64"'),
    (np.array([[1, "a"]], object), TypeError, r"dtype object and holds 'a'.*np\.unique"),
    (np.array([[1, 2.5]], object), TypeError, r"dtype object: .*X\.astype\(float\)"),
    (np.array([[1, None]], object), TypeError, r"holds None.*fill in"),
    ([[10**400, 1]], TypeError, r"object"),
    ([["a", "b"]], TypeError, r"dtype <U1.*np\.unique"),
    ([[b"a"]], TypeError, r"dtype \|S1"),
    (np.array([[1j]]), TypeError, r"complex128.*\.real"),
    (np.array([["2020-01-01"]], "M8[D]"), TypeError, r"datetime64.*days"),
    (np.array([[1]], "m8[s]"), TypeError, r"timedelta64.*days"),
    (np.zeros((2, 2), [("a", "f4")]), TypeError, r"structured_to_unstructured"),
    (np.ma.masked_array([[1.0, 2.0]], [[False, True]]), ValueError, r"1 masked entries"),
    (None, TypeError, r"X is None"),
    ("data.csv", TypeError, r"X is of type str"),
    ({"a": [1]}, TypeError, r"X is of type dict"),
    ((row for row in [[1]]), TypeError, r"X is of type generator"),
    (object(), TypeError, r"X is of type object"),
    (np.zeros((2, 3)), ValueError, r"X has 3 features but the network takes 4"),
    (np.zeros((2, 1)), ValueError, r"X has 1 feature but the network takes 4"),
]


@pytest.mark.parametrize(("X", "error", "message"), BAD_MATRICES)
def test_refused_matrices(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        as_matrix(X, np.float32, columns=4 if "takes 4" in message else None)
    assert type(caught.value) is error


def test_the_name_is_the_one_given() -> None:
    with pytest.raises(ValueError, match=r"^validation X\[0, 0\] is nan"):
        as_matrix([[np.nan]], np.float32, name="validation X")


def test_an_extended_number_too_large_for_float64() -> None:
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("long double is double here")
    with pytest.raises(ValueError, match=r"too large for float64: divide"):
        as_matrix(np.array([[np.longdouble("1e4000")]]), np.float64)


def test_conversion_leaves_no_memory_behind() -> None:
    X = np.ones((1000, 100))
    as_matrix(X, np.float32)
    gc.collect()
    tracemalloc.start()
    for _ in range(20):
        as_matrix(X, np.float32)
    gc.collect()
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert left < 100_000  # one result alone would be 400,000 bytes
