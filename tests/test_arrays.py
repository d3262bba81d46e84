"""The search for NaN, and every kind of container in an array of the network's dtype."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltarule.arrays import first_not_finite
from deltarule.data import as_matrix, as_targets

DTYPES = [np.float32, np.float64]
BIG = 3 * (1 << 18) + 17  # several chunks of the search for NaN


def same(actual: np.ndarray, expected: Any, dtype: Any) -> None:
    assert type(actual) is np.ndarray
    assert actual.dtype == dtype
    assert actual.dtype.isnative
    assert actual.flags.c_contiguous
    assert actual.flags.aligned
    np.testing.assert_array_equal(actual, np.asarray(expected, dtype))


class TestFirstNotFinite:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("size", [1, 7, 4096, 4097, 1 << 18, (1 << 18) + 1, BIG])
    def test_finds_the_first(self, dtype: Any, bad: float, size: int) -> None:
        for place in {0, size // 2, size - 1}:
            array = np.ones(size, dtype)
            array[place:] = bad
            assert first_not_finite(array) == place

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("size", [0, 1, 4096, BIG])
    def test_huge_and_denormal_numbers_are_finite(self, dtype: Any, size: int) -> None:
        info = np.finfo(dtype)
        for value in (info.max, info.min, info.smallest_subnormal, 0.0, -0.0):
            assert first_not_finite(np.full(size, value, dtype)) == -1

    def test_opposite_infinities_do_not_cancel(self) -> None:
        assert first_not_finite(np.array([1.0, np.inf, -np.inf])) == 1

    @given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3), elements=st.floats(width=64)))
    def test_against_numpy(self, array: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(array))
        assert first_not_finite(array) == (bad[0] if bad.size else -1)

    def test_makes_no_temporary_of_full_size(self) -> None:
        array = np.ones(8 << 20, np.float32)
        tracemalloc.start()
        first_not_finite(array)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 1 << 20


class TestPandas:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        self.pd = pytest.importorskip("pandas")

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_mixed_columns(self, dtype: Any) -> None:
        frame = self.pd.DataFrame({"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]})
        frame["d"] = self.pd.array([3, 4], dtype="Int64")
        frame["e"] = self.pd.array([True, False], dtype="boolean")
        same(as_matrix(frame, dtype), [[1, 1, 0.5, 3, 1], [2, 0, 1.5, 4, 0]], dtype)

    def test_columns_of_the_same_name(self) -> None:
        frame = self.pd.DataFrame([[1, 2.5]], columns=["a", "a"])
        same(as_matrix(frame, np.float64), [[1, 2.5]], np.float64)

    def test_sparse_columns(self) -> None:
        frame = self.pd.DataFrame({"a": self.pd.arrays.SparseArray([0.0, 1.0]), "b": [1, 2]})
        same(as_matrix(frame, np.float32), [[0, 1], [1, 2]], np.float32)

    def test_targets(self) -> None:
        series = self.pd.Series([2, 0, 1], index=[7, 8, 9])
        same(as_targets(series, 3, kind="classes", outputs=3, dtype=np.float32), [2, 0, 1], np.int32)
        same(as_targets(series.astype("Int64"), 3, kind="classes", outputs=3, dtype=np.float32), [2, 0, 1], np.int32)
        same(as_targets(series.to_frame(), 3, kind="values", outputs=1, dtype=np.float32), [[2], [0], [1]], np.float32)

    def test_refused(self) -> None:
        pd = self.pd
        table = [
            (pd.DataFrame({"a": [1], "city": ["Rome"]}), TypeError, r"X column 'city' has dtype .*np\.unique"),
            (pd.DataFrame({"a": [1], "c": pd.Categorical(["u"])}), TypeError, r"column 'c' has dtype category"),
            (pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}), TypeError, r"column 't' has dtype datetime.*days"),
            (pd.DataFrame({"o": pd.Series([1, 2], dtype=object)}), TypeError, r"dtype object.*astype\(float\)"),
            (pd.DataFrame({"z": [1 + 2j]}), TypeError, r"complex.*\.real"),
            (pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, np.nan]}), ValueError, r"X\[1, 1\] \(column 'b'\) is nan"),
            (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), ValueError, r"X\[1, 0\] \(column 'a'\) is nan"),
            (pd.DataFrame({"a": [1, 2], "b": [1.0, 1e300]}), ValueError, r"X\[1, 1\] .*1e\+300.*too large for float32"),
            (pd.DataFrame({"a": []}), ValueError, r"\(0, 1\): it is empty"),
            (pd.DataFrame(index=[1, 2]), ValueError, r"\(2, 0\): it is empty"),
            (pd.Series([1.0, 2.0]), ValueError, r"shape \(2,\).*reshape\(-1, 1\)"),
            (pd.DataFrame({"a": [1]}).groupby("a"), TypeError, r"DataFrameGroupBy"),
        ]
        for frame, error, message in table:
            with pytest.raises(error, match=message):
                as_matrix(frame, np.float32)


class TestPolars:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        self.pl = pytest.importorskip("polars")

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_frames_and_series(self, dtype: Any) -> None:
        pl = self.pl
        same(as_matrix(pl.DataFrame({"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]}), dtype),
             [[1, 1, 0.5], [2, 0, 1.5]], dtype)  # fmt: skip
        same(as_matrix(pl.DataFrame({"a": [1.5], "b": [2.5]}), dtype), [[1.5, 2.5]], dtype)
        same(as_targets(pl.Series([1, 0]), 2, kind="classes", outputs=2, dtype=dtype), [1, 0], np.int32)

    def test_refused(self) -> None:
        pl = self.pl
        table = [
            (pl.DataFrame({"a": [1], "city": ["Rome"]}), TypeError, r"column 'city' has dtype object and holds 'Rome'"),
            (pl.DataFrame({"a": [1, None]}), ValueError, r"column 'a' has 1 missing values, the first in row 1"),
            (pl.DataFrame({"a": [True, None]}), ValueError, r"missing"),
            (pl.DataFrame({"a": [1.0, float("nan")]}), ValueError, r"X\[1, 0\] \(column 'a'\) is nan"),
            (pl.DataFrame({"a": [[1, 2]]}), TypeError, r"column 'a' has dtype"),
            (pl.DataFrame({"a": [1]}).lazy(), TypeError, r"collect\(\)"),
            (pl.DataFrame(), ValueError, r"empty"),
        ]
        for frame, error, message in table:
            with pytest.raises(error, match=message):
                as_matrix(frame, np.float32)


class TestScipy:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        self.sparse = pytest.importorskip("scipy.sparse")

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", ["csr_matrix", "csr_array"])
    @pytest.mark.parametrize("source", [np.float32, np.float64, np.int64, bool])
    def test_csr(self, dtype: Any, kind: str, source: Any) -> None:
        dense = np.array([[0, 1, 0], [2, 0, 3]]).astype(source)
        same(as_matrix(getattr(self.sparse, kind)(dense), dtype), dense, dtype)

    @pytest.mark.parametrize("kind", ["csc", "coo", "lil", "dok", "bsr", "dia"])
    def test_other_formats_are_refused(self, kind: str) -> None:
        with pytest.raises(TypeError, match=r"only CSR is taken; pass X\.tocsr\(\)"):
            as_matrix(self.sparse.csr_matrix(np.eye(2)).asformat(kind), np.float32)

    def test_refused(self) -> None:
        sparse = self.sparse
        table = [
            (sparse.csr_array(np.array([[0, np.nan]])), ValueError, r"X\[0, 1\] is nan"),
            (sparse.csr_array(np.array([[0, 1e300]])), ValueError, r"X\[0, 1\] is 1e\+300, which is too large"),
            (sparse.csr_array(np.array([[0, 1j]])), TypeError, r"complex"),
            (sparse.csr_array((10**9, 10**9)), ValueError, r"has 1000000000 features but the network takes 2"),
        ]
        for X, error, message in table:
            with pytest.raises(error, match=message):
                as_matrix(X, np.float32, columns=2)


class TestTorch:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        self.torch = pytest.importorskip("torch")

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("source", ["float32", "float64", "float16", "bfloat16", "int64", "bool", "uint8"])
    def test_number_types(self, dtype: Any, source: str) -> None:
        same(as_matrix(self.torch.eye(3).to(getattr(self.torch, source)), dtype), np.eye(3), dtype)

    def test_gradients_parameters_and_strides(self) -> None:
        torch = self.torch
        same(as_matrix(torch.ones(2, 3, requires_grad=True) * 2, np.float32), np.full((2, 3), 2), np.float32)
        same(as_matrix(torch.nn.Parameter(torch.ones(2, 3)), np.float32), np.ones((2, 3)), np.float32)
        same(as_matrix(torch.arange(6.0).reshape(2, 3).T, np.float32), [[0, 3], [1, 4], [2, 5]], np.float32)

    def test_refused(self) -> None:
        torch = self.torch
        table = [
            (torch.ones(2, 2, device="meta"), TypeError, r"device meta.*X\.cpu\(\)"),
            (torch.eye(2).to_sparse(), TypeError, r"X\.to_dense\(\)"),
            (torch.ones(2, 2, dtype=torch.complex64), TypeError, r"complex"),
            (torch.ones(3), ValueError, r"reshape\(-1, 1\)"),
            (torch.tensor([[1.0, float("nan")]]), ValueError, r"X\[0, 1\] is nan"),
        ]
        for X, error, message in table:
            with pytest.raises(error, match=message):
                as_matrix(X, np.float32)
