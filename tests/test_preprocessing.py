"""Scaling and one-hot encoding."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule.preprocessing import Standardizer, one_hot


class TestStandardizer:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("shape", [(2, 1), (1, 3), (7, 3), (3000, 100)])
    def test_mean_0_and_deviation_1(self, dtype: Any, shape: tuple[int, int]) -> None:
        X = (np.random.default_rng(0).normal(3.0, 5.0, shape)).astype(dtype)
        before = X.copy()
        scaler = Standardizer()
        Z = scaler.fit_transform(X)
        assert Z.dtype == dtype
        assert scaler.mean_.dtype == scaler.scale_.dtype == np.float64
        np.testing.assert_array_equal(X, before)
        np.testing.assert_allclose(scaler.mean_, X.astype(np.float64).mean(axis=0), rtol=1e-13)
        tolerance = 1e-6 if dtype is np.float32 else 1e-12
        if shape[0] > 1:
            np.testing.assert_allclose(scaler.scale_, X.astype(np.float64).std(axis=0), rtol=1e-12)
            np.testing.assert_allclose(Z.mean(axis=0, dtype=np.float64), 0, atol=tolerance)
            np.testing.assert_allclose(Z.std(axis=0, dtype=np.float64), 1, rtol=tolerance)
        else:
            np.testing.assert_array_equal(Z, 0)
        np.testing.assert_allclose(scaler.inverse(Z), X, rtol=10 * tolerance, atol=10 * tolerance)
        np.testing.assert_array_equal(scaler.transform(X), Z)

    def test_inverse_is_inverse_transform(self) -> None:
        assert Standardizer.inverse is Standardizer.inverse_transform

    @pytest.mark.parametrize(
        ("source", "expected"),
        [(np.float16, np.float32), (np.float32, np.float32), (np.int64, np.float64), (bool, np.float64)],
    )
    def test_dtype_of_the_result(self, source: Any, expected: Any) -> None:
        assert Standardizer().fit_transform(np.array([[0], [1]], source)).dtype == expected
        assert Standardizer().fit_transform([[0], [1]]).dtype == np.float64

    @pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e300, 5e-324, 1e-310])
    def test_constant_columns(self, value: float) -> None:
        X = np.full((1001, 1), value)
        scaler = Standardizer()
        np.testing.assert_array_equal(scaler.fit_transform(X), 0)
        assert scaler.scale_[0] == 1
        assert scaler.mean_[0] == value
        np.testing.assert_array_equal(scaler.inverse(np.zeros((1, 1))), value)

    @pytest.mark.parametrize("unit", [1e300, 1e-300, 1e160, 1e-200])
    def test_huge_and_tiny_units(self, unit: float) -> None:
        X = np.array([[1.0], [2.0], [6.0]])
        np.testing.assert_allclose(Standardizer().fit_transform(X * unit), Standardizer().fit_transform(X), rtol=1e-12)

    def test_float32_statistics_are_float64(self) -> None:
        X = (1e4 + np.random.default_rng(0).normal(size=(20000, 1))).astype(np.float32)
        scaler = Standardizer().fit(X)
        np.testing.assert_allclose(scaler.scale_, X.astype(np.float64).std(axis=0), rtol=1e-10)

    def test_agrees_with_scikit_learn(self) -> None:
        preprocessing = pytest.importorskip("sklearn.preprocessing")
        X = np.random.default_rng(1).normal(2.0, 3.0, (50, 4))
        X[:, 2] = 5.0
        np.testing.assert_allclose(
            Standardizer().fit_transform(X), preprocessing.StandardScaler().fit_transform(X), rtol=1e-12, atol=1e-14
        )

    def test_frames_and_sparse(self) -> None:
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({"a": [1.0, 3.0], "b": [1, 5]})
        np.testing.assert_array_equal(Standardizer().fit_transform(frame), [[-1, -1], [1, 1]])
        sparse = pytest.importorskip("scipy.sparse")
        Z = Standardizer().fit_transform(sparse.csr_array(np.array([[0, 2.0], [2, 0]], np.float32)))
        assert Z.dtype == np.float32
        np.testing.assert_array_equal(Z, [[-1, 1], [1, -1]])

    def test_pickle_and_printed_form(self) -> None:
        scaler = Standardizer()
        assert repr(scaler) == "Standardizer()"
        scaler.fit([[1.0, 2.0], [2.0, 4.0]])
        assert "2 features" in repr(scaler)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(scaler)).scale_, scaler.scale_)

    @pytest.mark.parametrize(
        ("X", "error", "message"),
        [
            ([[1.0], [np.nan]], ValueError, r"X\[1, 0\] is nan"),
            ([[np.inf]], ValueError, r"X\[0, 0\] is inf"),
            ([1.0, 2.0], ValueError, r"reshape\(-1, 1\)"),
            (np.zeros((0, 2)), ValueError, r"empty"),
            ([["a"]], TypeError, r"dtype <U1"),
        ],
    )
    def test_refused(self, X: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            Standardizer().fit(X)

    def test_a_refused_fit_leaves_the_old_one(self) -> None:
        scaler = Standardizer().fit([[1.0], [3.0]])
        with pytest.raises(ValueError, match="nan"):
            scaler.fit([[np.nan]])
        assert scaler.mean_.tolist() == [2.0]

    def test_not_fitted_and_other_features(self) -> None:
        for method in ("transform", "inverse_transform"):
            with pytest.raises(ValueError, match=r"call fit\(X\)"):
                getattr(Standardizer(), method)([[1.0]])
        with pytest.raises(ValueError, match=r"X has 1 columns but the Standardizer was fitted on 2"):
            Standardizer().fit([[1.0, 2.0]]).transform([[1.0]])


class TestOneHot:
    @pytest.mark.parametrize("source", ["?", "u1", "i4", "i8", "f2", "f4", "f8"])
    @pytest.mark.parametrize("shape", [(3,), (3, 1)])
    def test_number_types(self, source: str, shape: tuple[int, ...]) -> None:
        rows = one_hot(np.array([1, 0, 1], source).reshape(shape))
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, [[0, 1], [1, 0], [0, 1]])

    @given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(0, 3))
    def test_round_trip(self, labels: list[int], extra: int) -> None:
        rows = one_hot(labels, max(labels) + 1 + extra, dtype="float64")
        assert rows.dtype == np.float64
        assert rows.shape == (len(labels), max(labels) + 1 + extra)
        assert rows.argmax(axis=1).tolist() == labels
        np.testing.assert_array_equal(rows.sum(axis=1), 1)

    def test_edges(self) -> None:
        assert one_hot([0]).tolist() == [[1]]
        assert one_hot([], 3).shape == (0, 3)

    @pytest.mark.parametrize(
        ("labels", "n_classes", "error", "message"),
        [
            ([0, 3], 3, ValueError, r"labels\[1\] is 3 but there are 3 classes: labels are 0 to 2"),
            ([0, -1], None, ValueError, r"labels\[1\] is -1"),
            ([-1, -1], None, ValueError, r"labels\[0\] is -1"),
            ([0.5], None, ValueError, r"labels\[0\] is 0\.5"),
            ([np.nan], None, ValueError, r"labels\[0\] is nan"),
            ([2**40], None, ValueError, r"that many columns"),
            ([1e300], None, ValueError, r"that many columns"),
            ([], None, ValueError, r"pass n_classes"),
            ([[0, 1]], None, ValueError, r"shape \(1, 2\)"),
            (3, None, ValueError, r"shape \(\)"),
            (["a"], None, TypeError, r"np\.unique\(labels, return_inverse=True\)\[1\]"),
            ([0], 0, ValueError, r"n_classes is 0"),
            ([0], 1.5, TypeError, r"n_classes is 1\.5"),
            ([0], True, TypeError, r"n_classes is True"),
        ],
    )
    def test_refused(self, labels: Any, n_classes: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            one_hot(labels, n_classes)
