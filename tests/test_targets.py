"""Targets of every kind, and a table of what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule.data import as_targets

DTYPES = [np.float32, np.float64]


def same(actual: np.ndarray, expected: Any, dtype: Any) -> None:
    assert type(actual) is np.ndarray
    assert actual.dtype == dtype
    assert actual.dtype.isnative
    assert actual.flags.c_contiguous
    assert actual.flags.aligned
    np.testing.assert_array_equal(actual, np.asarray(expected, dtype))


class TestTargets:
    @pytest.mark.parametrize("source", ["?", "i1", "u1", "i4", ">i4", "i8", "u8", "f2", "f4", "f8", ">f8", "g"])
    @pytest.mark.parametrize("shape", [(3,), (3, 1)])
    def test_class_indices(self, source: str, shape: tuple[int, ...]) -> None:
        y = np.array([1, 0, 1], source).reshape(shape)
        same(as_targets(y, 3, kind="classes", outputs=2, dtype=np.float32), [1, 0, 1], np.int32)

    def test_strided_class_indices(self) -> None:
        y = np.array([0, 9, 1, 9, 2, 9], np.int32)[::2]
        same(as_targets(y, 3, kind="classes", outputs=3, dtype=np.float32), [0, 1, 2], np.int32)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("source", [np.float32, np.float64, np.int64, bool])
    def test_probability_rows(self, dtype: Any, source: Any) -> None:
        rows = np.eye(3)[[2, 0]].astype(source)
        same(as_targets(rows, 2, kind="classes", outputs=3, dtype=dtype), rows, dtype)

    def test_probability_rows_may_be_rounded(self) -> None:
        rows = np.array([[0.333, 0.333, 0.333]])
        same(as_targets(rows, 1, kind="classes", outputs=3, dtype=np.float64), rows, np.float64)

    @pytest.mark.parametrize(
        ("y", "expected"),
        [
            ([0, 1, 1], [-1, 1, 1]),
            ([False, True, True], [-1, 1, 1]),
            ([-1, 1, 1], [-1, 1, 1]),
            ([1, 1, 1], [1, 1, 1]),
            ([0, 0, 0], [-1, -1, -1]),
        ],
    )
    def test_signs(self, y: list[int], expected: list[int]) -> None:
        source = np.array(y, np.float32) if not isinstance(y[0], bool) else np.array(y)
        before = source.copy()
        result = as_targets(source, 3, kind="signs", outputs=1, dtype=np.float32)
        same(result, np.reshape(expected, (3, 1)), np.float32)
        np.testing.assert_array_equal(source, before)

    @pytest.mark.parametrize("kind", ["values", "probabilities", "signs", "counts"])
    @pytest.mark.parametrize("outputs", [1, 3])
    @pytest.mark.parametrize("n", [1, 4])
    def test_shapes(self, kind: str, outputs: int, n: int) -> None:
        y = np.ones((n, outputs), np.int64)
        same(as_targets(y, n, kind=kind, outputs=outputs, dtype=np.float32), y, np.float32)
        if outputs == 1:
            same(as_targets(y.ravel(), n, kind=kind, outputs=1, dtype=np.float32), y, np.float32)

    @given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), st.integers(1, 5))
    def test_no_index_outside_the_range_passes(self, labels: list[int], outputs: int) -> None:
        y = np.array(labels, np.int64)
        if all(0 <= label < outputs for label in labels):
            same(as_targets(y, len(y), kind="classes", outputs=outputs, dtype=np.float32), y, np.int32)
        else:
            first = next(i for i, label in enumerate(labels) if not 0 <= label < outputs)
            with pytest.raises(ValueError, match=re.escape(f"y[{first}] is {labels[first]} ")):
                as_targets(y, len(y), kind="classes", outputs=outputs, dtype=np.float32)


BAD_TARGETS = [
    ("classes", 3, ["a", "b"], TypeError, r"np\.unique\(labels, return_inverse=True\)\[1\]"),
    ("classes", 3, np.array(["a", "b"], object), TypeError, r"holds 'a'.*np\.unique"),
    ("classes", 3, np.array([0, 1], object), TypeError, r"y\.astype\(float\)"),
    ("classes", 3, [0, 3], ValueError, r"y\[1\] is 3 but the last layer has 3 units, so classes are .*0 to 2"),
    ("classes", 3, np.array([0, -1], np.int32), ValueError, r"y\[1\] is -1 but the last layer has 3 units"),
    ("classes", 3, np.array([-1, 7], np.int8), ValueError, r"y\[0\] is -1"),
    ("classes", 300, np.array([0, 400], np.float16), ValueError, r"y\[1\] is 400"),
    ("classes", 3, np.array([0, 2**64 - 1], np.uint64), ValueError, r"y\[1\] is 18446744073709551615"),
    ("classes", 3, [0.0, 1e300], ValueError, r"y\[1\] is 1"),
    ("classes", 1, [0, 1], ValueError, r"has 1 unit,.*binary_cross_entropy"),
    ("classes", 1, [False, True], ValueError, r"binary_cross_entropy"),
    ("classes", 3, [0.0, 1.5], ValueError, r"y\[1\] is 1\.5: class indices are whole numbers"),
    ("classes", 3, [0.0, np.nan], ValueError, r"y\[1\] is nan"),
    ("classes", 3, [0, 1, 2], ValueError, r"y has 3 rows but X has 2: each sample needs one target; check how"),
    ("classes", 3, [], ValueError, r"y has 0 rows but X has 2"),
    ("classes", 3, 1, ValueError, r"single number"),
    ("classes", 3, [[0, 1], [1, 0]], ValueError, r"shape \(2, 2\): expected 2 class indices, or rows of 3"),
    ("classes", 3, np.zeros((2, 3, 1)), ValueError, r"shape \(2, 3, 1\)"),
    ("classes", 3, [[0.5, 0.5, 0.0], [0.5, 0.0, 0.0]], ValueError, r"y\[1\] sums to 0\.5"),
    ("classes", 3, [[1.5, -0.5, 0.0], [1.0, 0.0, 0.0]], ValueError, r"y\[0, 1\] is -0\.5"),
    ("classes", 3, [[1.0, 0.0, 0.0], [1.0, np.nan, 0.0]], ValueError, r"y\[1, 1\] is nan"),
    ("probabilities", 1, [0, 2], ValueError, r"y\[1, 0\] is 2\.0: expected numbers in \[0, 1\]; .*cross_entropy"),
    ("probabilities", 1, [0, -1], ValueError, r"y\[1, 0\] is -1\.0"),
    ("probabilities", 3, [0, 1], ValueError, r"y has shape \(2,\) but the last layer has 3 units.*one_hot\(y, 3\)"),
    ("probabilities", 1, ["no", "yes"], TypeError, r"np\.unique"),
    ("signs", 1, [0, 2], ValueError, r"y\[1, 0\] is 2\.0: hinge losses take"),
    ("signs", 1, [-1, 0], ValueError, r"mixes -1 and 0"),
    ("signs", 1, [-1, 0.5], ValueError, r"y\[1, 0\] is 0\.5"),
    ("counts", 1, [1, -2], ValueError, r"y\[1, 0\] is -2\.0: expected numbers not negative"),
    ("values", 1, [1, np.inf], ValueError, r"y\[1\] is inf"),
    ("values", 1, [1, 1e39], ValueError, r"y\[1\] is 1e\+39, which is too large for float32"),
    ("values", 2, [1.0, 2.0], ValueError, r"shape \(2,\) but the last layer has 2 units"),
    ("values", 1, np.zeros((2, 3)), ValueError, r"y has 3 columns but the last layer has 1 unit: .*Dense\(3\)"),
    ("values", 1, np.zeros((2, 1, 1)), ValueError, r"shape \(2, 1, 1\)"),
    ("values", 1, np.zeros((3, 1)), ValueError, r"y has 3 rows but X has 2"),
    ("values", 1, None, TypeError, r"y is None"),
    ("value", 1, [1.0, 2.0], ValueError, r"kind is 'value'.*did you mean 'values'"),
]


@pytest.mark.parametrize(("kind", "outputs", "y", "error", "message"), BAD_TARGETS)
def test_refused_targets(kind: str, outputs: int, y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        as_targets(y, 2, kind=kind, outputs=outputs, dtype=np.float32)
    assert type(caught.value) is error
