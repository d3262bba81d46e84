"""Splitting arrays into a part to train on and a part to test on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule.preprocessing import train_test_split


class TestSplit:
    @given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5))
    def test_every_row_is_in_one_part(self, n: int, test_size: float, seed: int) -> None:
        y = np.arange(n)
        n_test = int(np.ceil(test_size * n))
        if n_test == n:
            with pytest.raises(ValueError, match="none of the"):
                train_test_split(y, test_size=test_size, seed=seed)
            return
        train, test = train_test_split(y, test_size=test_size, seed=seed)
        assert (len(train), len(test)) == (n - n_test, n_test)
        assert sorted([*train, *test]) == list(range(n))

    def test_order_seed_and_rows_stay_together(self) -> None:
        X = np.arange(40).reshape(20, 2)
        y = X[:, 0] * 10
        parts = train_test_split(X, y, seed=3)
        X_train, X_test, y_train, y_test = parts
        assert [len(part) for part in parts] == [15, 5, 15, 5]
        np.testing.assert_array_equal(X_train[:, 0] * 10, y_train)
        np.testing.assert_array_equal(X_test[:, 0] * 10, y_test)
        for again, part in zip(train_test_split(X, y, seed=3), parts, strict=True):
            np.testing.assert_array_equal(again, part)
        assert not np.array_equal(train_test_split(X, seed=4)[1], X_test)

    def test_without_shuffling_the_last_rows_are_views(self) -> None:
        X = np.arange(10)
        train, test = train_test_split(X, test_size=3, shuffle=False)
        assert train.tolist() == list(range(7))
        assert test.tolist() == [7, 8, 9]
        assert np.shares_memory(train, X)
        assert np.shares_memory(test, X)

    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize(
        ("library", "make"),
        [
            ("numpy", lambda np, values: values),
            ("numpy", lambda np, values: values.tolist()),
            ("numpy", lambda np, values: tuple(values.tolist())),
            ("pandas", lambda pd, values: pd.Series(values, index=values[::-1])),
            ("pandas", lambda pd, values: pd.DataFrame({"a": values}, index=list("abcdefgh"))),
            ("polars", lambda pl, values: pl.Series(values)),
            ("polars", lambda pl, values: pl.DataFrame({"a": values})),
            ("scipy.sparse", lambda sparse, values: sparse.csr_array(values.reshape(-1, 1))),
            ("torch", lambda torch, values: torch.as_tensor(values)),
        ],
    )
    def test_containers(self, library: str, make: Callable[[Any, Any], Any], shuffle: bool) -> None:
        values = np.arange(8)
        array = make(pytest.importorskip(library), values)
        plain_train, plain_test, train, test = train_test_split(values, array, shuffle=shuffle)
        for part, expected in ((train, plain_train), (test, plain_test)):
            assert type(part) is (list if isinstance(array, tuple) else type(array))
            dense = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
            np.testing.assert_array_equal(dense.ravel(), expected)

    @given(st.lists(st.integers(2, 30), min_size=1, max_size=4), st.floats(0.2, 0.8))
    def test_stratified(self, counts: list[int], test_size: float) -> None:
        labels = np.repeat(np.array(list("abcd"))[: len(counts)], counts)
        n_test = int(np.ceil(test_size * len(labels)))
        if n_test < len(counts) or len(labels) - n_test < len(counts):
            with pytest.raises(ValueError, match=r"leaves none|at least as many rows as there are classes"):
                train_test_split(labels, test_size=test_size, stratify=labels)
            return
        train, test = train_test_split(labels, test_size=test_size, stratify=labels)
        assert len(test) == n_test
        assert sorted([*train, *test]) == labels.tolist()
        for label, count in zip("abcd", counts, strict=False):
            assert abs((test == label).sum() - count * n_test / len(labels)) < 1

    def test_stratified_rows_are_shuffled_and_seeded(self) -> None:
        y = np.repeat([0, 1], 50)
        train, test = train_test_split(np.arange(100), stratify=y, seed=1)
        assert sorted([*train, *test]) == list(range(100))
        assert test.tolist() != sorted(test)
        np.testing.assert_array_equal(train_test_split(np.arange(100), stratify=y, seed=1)[0], train)

    @pytest.mark.parametrize(
        ("arrays", "arguments", "error", "message"),
        [
            ((), {}, ValueError, r"without arrays"),
            (([1, 2], [1, 2, 3]), {}, ValueError, r"2, 3 rows"),
            (([1],), {}, ValueError, r"1 rows: at least 2"),
            (([],), {}, ValueError, r"0 rows"),
            ((3,), {}, TypeError, r"array 0 is of type int"),
            ((np.float64(3),), {}, TypeError, r"array 0"),
            (("abc",), {}, TypeError, r"of type str"),
            (([1, 2],), {"test_size": 0.0}, ValueError, r"test_size is 0\.0"),
            (([1, 2],), {"test_size": 1.0}, ValueError, r"between 0 and 1"),
            (([1, 2],), {"test_size": float("nan")}, ValueError, r"test_size is nan"),
            (([1, 2],), {"test_size": 0}, ValueError, r"expected 1 to 1"),
            (([1, 2],), {"test_size": 2}, ValueError, r"expected 1 to 1"),
            (([1, 2],), {"test_size": 0.9}, ValueError, r"leaves none"),
            (([1, 2],), {"test_size": "half"}, TypeError, r"test_size is 'half'"),
            (([1, 2],), {"test_size": True}, TypeError, r"test_size is True"),
            (([1, 2, 3],), {"stratify": [0, 0, 1]}, ValueError, r"class 1 of stratify has a single"),
            (([1, 2, 3],), {"stratify": [0, 0]}, ValueError, r"stratify has shape \(2,\) but there are 3 rows"),
            (([1, 2],), {"stratify": [0, 0], "shuffle": False}, ValueError, r"shuffle=True"),
        ],
    )
    def test_refused(
        self, arrays: tuple[Any, ...], arguments: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            train_test_split(*arrays, **arguments)
