"""Weights of samples and of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deltarule.data import as_sample_weight, class_weights

DTYPES = [np.float32, np.float64]


def same(actual: np.ndarray, expected: Any, dtype: Any) -> None:
    assert type(actual) is np.ndarray
    assert actual.dtype == dtype
    assert actual.dtype.isnative
    assert actual.flags.c_contiguous
    assert actual.flags.aligned
    np.testing.assert_array_equal(actual, np.asarray(expected, dtype))


class TestSampleWeight:
    def test_none_stands_for_equal_weights(self) -> None:
        assert as_sample_weight(None, 3, np.float32) is None

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_converted(self, dtype: Any) -> None:
        same(as_sample_weight([0, 1, 2], 3, dtype), [0, 1, 2], dtype)  # type: ignore[arg-type]
        same(as_sample_weight(np.array([True, False]), 2, dtype), [1, 0], dtype)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("weights", "error", "message"),
        [
            ([1, -1], ValueError, r"sample_weight\[1\] is -1"),
            ([1, np.nan], ValueError, r"sample_weight\[1\] is nan"),
            ([1, np.inf], ValueError, r"sample_weight\[1\] is inf"),
            ([0, 0], ValueError, r"0 for every sample"),
            ([3e38, 3e38], ValueError, r"sums to more than float32 holds"),
            ([1, 2, 3], ValueError, r"sample_weight has 3 entries but X has 2 rows"),
            ([[1], [2]], ValueError, r"shape \(2, 1\): expected \(2,\).*ravel"),
            (1.0, ValueError, r"shape \(\)"),
            (["a", "b"], TypeError, r"sample_weight has dtype <U1"),
            ("balanced", TypeError, r"sample_weight is of type str"),
        ],
    )
    def test_refused(self, weights: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            as_sample_weight(weights, 2, np.float32)


class TestClassWeights:
    y = np.array([0, 0, 2, 0, 2], np.int32)

    def test_dict(self) -> None:
        same(class_weights({0: 2, 2: 0.5}, self.y, 3, np.float32, "classes"), [2, 2, 0.5, 2, 0.5], np.float32)
        same(class_weights({2: 3}, self.y, 3, np.float64, "classes"), [1, 1, 3, 1, 3], np.float64)
        same(class_weights({np.int64(0): np.float32(2), 1: 9}, self.y, 3, np.float32, "classes"), [2, 2, 1, 2, 1],
             np.float32)  # fmt: skip

    def test_balanced_is_scikit_learns(self) -> None:
        weights = class_weights("balanced", self.y, 3, np.float64, "classes")
        np.testing.assert_allclose(weights, [5 / 6, 5 / 6, 5 / 4, 5 / 6, 5 / 4], rtol=1e-15)
        utils = pytest.importorskip("sklearn.utils.class_weight")
        np.testing.assert_allclose(weights, utils.compute_sample_weight("balanced", self.y), rtol=1e-15)

    @pytest.mark.parametrize(("kind", "low"), [("probabilities", 0.0), ("signs", -1.0)])
    def test_one_output(self, kind: str, low: float) -> None:
        y = np.array([[low], [1], [1], [1]], np.float32)
        same(class_weights({low: 3, 1: 2}, y, 1, np.float32, kind), [3, 2, 2, 2], np.float32)
        np.testing.assert_allclose(class_weights("balanced", y, 1, np.float64, kind), [2, 2 / 3, 2 / 3, 2 / 3])

    def test_signs_take_the_label_0(self) -> None:
        y = np.array([[-1], [1]], np.float32)
        same(class_weights({0: 3, 1: 2}, y, 1, np.float32, "signs"), [3, 2], np.float32)

    @pytest.mark.parametrize(
        ("weight", "y", "outputs", "kind", "error", "message"),
        [
            ({3: 1.0}, y, 3, "classes", ValueError, r"label 3: the classes are 0, 1, 2"),
            ({"a": 1.0}, y, 3, "classes", ValueError, r"label 'a'"),
            ({0: -1.0}, y, 3, "classes", ValueError, r"class_weight\[0\] is -1\.0"),
            ({0: np.nan}, y, 3, "classes", ValueError, r"class_weight\[0\] is nan"),
            ({0: np.inf}, y, 3, "classes", ValueError, r"class_weight\[0\] is inf"),
            ({0: 10**400}, y, 3, "classes", ValueError, r"expected a finite number"),
            ({0: "2"}, y, 3, "classes", TypeError, r"class_weight\[0\] is '2'"),
            ({0: 1j}, y, 3, "classes", TypeError, r"expected a number"),
            ({0: 0, 2: 0}, y, 3, "classes", ValueError, r"0 for every sample"),
            ({0: 1e300}, y, 3, "classes", ValueError, r"too large for float32"),
            ("balance", y, 3, "classes", ValueError, r"did you mean 'balanced'"),
            ([1.0, 2.0], y, 3, "classes", TypeError, r"of type list.*sample_weight"),
            ({0: 1}, np.eye(3), 3, "classes", ValueError, r"classes of shape \(3, 3\)"),
            ({0: 1}, np.zeros((3, 2)), 2, "probabilities", ValueError, r"probabilities of shape \(3, 2\)"),
            ({0: 1}, np.array([[0.5]]), 1, "probabilities", ValueError, r"y\[0\] is 0\.5"),
            ({0: 1}, np.zeros((3, 1)), 1, "values", ValueError, r"values of shape \(3, 1\)"),
            ({0: 1, -1: 2}, np.array([[-1.0], [1.0]]), 1, "signs", ValueError, r"label 0: the classes are -1, 1"),
        ],
    )
    def test_refused(
        self, weight: Any, y: np.ndarray, outputs: int, kind: str, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            class_weights(weight, y, outputs, np.float32, kind)
