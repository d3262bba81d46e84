"""Generated problems."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deltarule.datasets import blobs, two_spirals, xor


class TestGenerators:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_xor(self, dtype: str) -> None:
        X, y = xor(dtype)
        assert X.dtype == y.dtype == dtype
        assert X.flags.c_contiguous
        assert (X.shape, y.shape) == ((4, 2), (4, 1))
        assert len({tuple(row) for row in X.tolist()}) == 4
        np.testing.assert_array_equal(y[:, 0], X[:, 0] != X[:, 1])

    @pytest.mark.parametrize("n", [2, 3, 100, 401])
    def test_spirals(self, n: int) -> None:
        X, y = two_spirals(n)
        assert (X.shape, X.dtype, y.shape, y.dtype.kind) == ((n, 2), np.float32, (n,), "i")
        assert (y == 0).sum() == (n + 1) // 2
        radius = np.hypot(*X.T.astype(np.float64))
        assert radius.max() == pytest.approx(1)
        assert radius.min() >= 1 / 13 - 1e-6

    def test_spirals_mirror_each_other_and_stay_apart(self) -> None:
        X, y = two_spirals(2000, dtype="float64")
        zero, one = X[y == 0], X[y == 1]
        np.testing.assert_allclose(np.sort(zero, axis=0), np.sort(-one, axis=0), atol=1e-12)
        gap = np.linalg.norm(zero[:, None] - one[None], axis=2).min()
        assert 0.1 < gap < 0.16

    def test_noise_and_seeds(self) -> None:
        clean, noisy = two_spirals(200, seed=1)[0], two_spirals(200, noise=0.1, seed=1)[0]
        assert 0.05 < (noisy - clean).std() < 0.2
        for make in (lambda seed: two_spirals(50, 0.1, seed), lambda seed: blobs(50, 3, 4, seed)):
            for one, two in zip(make(5), make(5), strict=True):
                np.testing.assert_array_equal(one, two)
            assert not np.array_equal(make(5)[0], make(6)[0])

    def test_every_part_holds_every_class(self) -> None:
        for y in (two_spirals(200)[1], blobs(200)[1]):
            assert len(set(y[-40:].tolist())) == len(set(y.tolist()))

    @pytest.mark.parametrize(("n", "features", "classes"), [(1, 1, 1), (2, 5, 4), (300, 2, 3), (1000, 20, 10)])
    def test_blobs(self, n: int, features: int, classes: int) -> None:
        X, y = blobs(n, features, classes)
        assert (X.shape, X.dtype, y.shape) == ((n, features), np.float32, (n,))
        counts = np.bincount(y, minlength=classes)
        assert counts.max() - counts.min() <= 1
        assert len(counts) == classes

    def test_blobs_can_be_told_apart(self) -> None:
        X, y = blobs(600, 2, 3)
        centres = np.array([X[y == c].mean(axis=0) for c in range(3)])
        nearest = np.linalg.norm(X[:, None] - centres[None], axis=2).argmin(axis=1)
        assert (nearest == y).mean() > 0.97
        assert X[y == 0].std(axis=0) == pytest.approx([0.15, 0.15], rel=0.25)

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (lambda: two_spirals(1), ValueError, r"n_samples is 1: expected at least 2"),
            (lambda: two_spirals(10.0), TypeError, r"n_samples is 10\.0"),
            (lambda: two_spirals(True), TypeError, r"n_samples is True"),
            (lambda: two_spirals(10, -1.0), ValueError, r"noise is -1"),
            (lambda: two_spirals(10, float("nan")), ValueError, r"noise is nan"),
            (lambda: two_spirals(10, "much"), TypeError, r"noise is 'much'"),
            (lambda: blobs(0), ValueError, r"n_samples is 0"),
            (lambda: blobs(5, 0), ValueError, r"n_features is 0"),
            (lambda: blobs(5, 2, 0), ValueError, r"n_classes is 0"),
            (lambda: blobs(5, spread=float("inf")), ValueError, r"spread is inf"),
        ],
    )
    def test_refused(self, call: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            call()
