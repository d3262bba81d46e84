"""Generated sequences: shapes, what they ask for, and the bars that their docstrings name."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.datasets import adding_problem, copy_memory, digits_by_rows, parity

GENERATORS = {
    "adding_problem": lambda n, seed=0, **options: adding_problem(n, 6, seed, **options),
    "copy_memory": lambda n, seed=0, **options: copy_memory(n, 4, seed, **options),
    "parity": lambda n, seed=0, **options: parity(n, 7, seed, **options),
}


@pytest.mark.parametrize("name", GENERATORS)
class TestEveryGenerator:
    def test_a_seed_makes_the_same_again(self, name: str) -> None:
        make = GENERATORS[name]
        for one, two in zip(make(30, 5), make(30, 5), strict=True):
            np.testing.assert_array_equal(one, two)
        assert not np.array_equal(make(30, 5)[0], make(30, 6)[0])
        assert not np.array_equal(make(30, None)[0], make(30, None)[0])

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_arrays_are_ready_to_be_trained_on(self, name: str, dtype: str) -> None:
        X, y = GENERATORS[name](30, dtype=dtype)
        assert X.dtype == dtype
        assert y.dtype == ("int64" if name == "copy_memory" else dtype)
        for array in (X, y):
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert len(array) == 30

    def test_one_sample(self, name: str) -> None:
        X, y = GENERATORS[name](1)
        assert (len(X), len(y)) == (1, 1)

    def test_both_dtypes_tell_the_same(self, name: str) -> None:
        for single, double in zip(GENERATORS[name](9), GENERATORS[name](9, dtype="float64"), strict=True):
            np.testing.assert_allclose(single, double, rtol=1e-6)

    @pytest.mark.parametrize(
        ("n", "error", "message"),
        [
            (0, ValueError, r"n_samples is 0: expected at least 1"),
            (-3, ValueError, r"n_samples is -3"),
            (2.0, TypeError, r"n_samples is 2\.0: expected a whole number"),
            (True, TypeError, r"n_samples is True"),
            ("9", TypeError, r"n_samples is '9'"),
        ],
    )
    def test_refused(self, name: str, n: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            getattr(dr.datasets, name)(n)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adding_problem(5, 1), ValueError, r"n_steps is 1: expected at least 2"),
        (lambda: adding_problem(5, 50.0), TypeError, r"n_steps is 50\.0"),
        (lambda: copy_memory(5, 0), ValueError, r"delay is 0: expected at least 1"),
        (lambda: copy_memory(5, "long"), TypeError, r"delay is 'long'"),
        (lambda: parity(5, 0), ValueError, r"n_bits is 0: expected at least 1"),
        (lambda: parity(5, None), TypeError, r"n_bits is None"),
    ],
)
def test_wrong_lengths_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


class TestAddingProblem:
    @pytest.mark.parametrize("n_steps", [2, 3, 50, 51])
    def test_one_mark_in_each_half(self, n_steps: int) -> None:
        X, y = adding_problem(2000, n_steps, dtype="float64")
        values, marks = X[:, :, 0], X[:, :, 1]
        assert (X.shape, y.shape) == ((2000, n_steps, 2), (2000, 1))
        assert set(np.unique(marks)) <= {0, 1}
        for half in (marks[:, : n_steps // 2], marks[:, n_steps // 2 :]):
            assert (half.sum(axis=1) == 1).all()
            assert (half.sum(axis=0) > 0).all()  # any step of it may be marked
        assert ((values >= 0) & (values < 1)).all()
        np.testing.assert_allclose(y[:, 0], (values * marks).sum(axis=1), rtol=1e-15)

    def test_the_sum_is_of_the_values_as_they_are_given(self) -> None:
        X, y = adding_problem(500)
        np.testing.assert_array_equal(y[:, 0], (X[:, :, 0] * X[:, :, 1]).sum(axis=1, dtype=np.float32))

    def test_the_bar_is_one_sixth(self) -> None:
        """Within five standard errors: the square of the distance to 1 has the variance 1/15 - 1/36."""
        n = 40_000
        _, y = adding_problem(n, dtype="float64")
        allowed = 5 * math.sqrt((1 / 15 - 1 / 36) / n)
        assert ((y - 1) ** 2).mean() == pytest.approx(1 / 6, abs=allowed)

    def test_values_without_marks_tell_next_to_nothing(self) -> None:
        """The best linear answer from the sum of all values explains 2 parts of T."""
        X, y = adding_problem(20_000, 50, dtype="float64")
        correlation = np.corrcoef(X[:, :, 0].sum(axis=1), y[:, 0])[0, 1]
        assert correlation**2 == pytest.approx(2 / 50, abs=0.01)


class TestCopyMemory:
    @pytest.mark.parametrize("delay", [1, 2, 100])
    def test_layout(self, delay: int) -> None:
        X, y = copy_memory(50, delay)
        assert (X.shape, y.shape) == ((50, delay + 20, 10), (50, delay + 20))
        assert set(np.unique(X)) == {0, 1}
        assert (X.sum(axis=2) == 1).all()
        seen = X.argmax(axis=2)
        symbols = seen[:, :10]
        assert set(np.unique(symbols)) == set(range(8))
        np.testing.assert_array_equal(np.flatnonzero(seen[0] == 9), [delay + 9])
        assert (seen[:, 10 : delay + 9] == 8).all()
        assert (seen[:, delay + 10 :] == 8).all()
        assert (y[:, : delay + 10] == 8).all()
        np.testing.assert_array_equal(y[:, delay + 10 :], symbols)

    @pytest.mark.parametrize("delay", [1, 20, 100])
    def test_the_bar_is_what_a_predictor_without_memory_reaches(self, delay: int) -> None:
        _, y = copy_memory(30, delay)
        probability = np.zeros((delay + 20, 9))
        probability[: delay + 10, 8] = 1
        probability[delay + 10 :, :8] = 1 / 8
        of_each = -np.log(probability[np.arange(delay + 20)[None, :], y])
        assert of_each.mean() == pytest.approx(10 * math.log(8) / (delay + 20), rel=1e-12)

    def test_nothing_better_can_be_said_without_memory(self) -> None:
        """All symbols are as frequent in every place, and places do not tell of each other."""
        n = 20_000
        _, y = copy_memory(n, 1)
        symbols = y[:, -10:]
        for place in range(10):
            share = np.bincount(symbols[:, place], minlength=8) / n
            assert share == pytest.approx(np.full(8, 1 / 8), abs=5 * math.sqrt(7 / 64 / n))
        together = np.bincount(8 * symbols[:, 0] + symbols[:, 1], minlength=64) / n
        assert together == pytest.approx(np.full(64, 1 / 64), abs=5 * math.sqrt(63 / 4096 / n))


class TestParity:
    @pytest.mark.parametrize("n_bits", [1, 2, 20, 300])
    def test_answers_are_right(self, n_bits: int) -> None:
        X, y = parity(200, n_bits)
        assert X.shape == y.shape == (200, n_bits, 1)
        for bits, answers in zip(X[:, :, 0].astype(int).tolist(), y[:, :, 0].astype(int).tolist(), strict=True):
            state = 0
            for bit, answer in zip(bits, answers, strict=True):
                assert bit in (0, 1)
                state ^= bit
                assert answer == state

    def test_as_a_product(self) -> None:
        X, y = parity(40)
        np.testing.assert_array_equal(1 - 2 * y, np.cumprod(1 - 2 * X, axis=1))

    def test_half_of_all_answers_are_odd_whatever_is_known_of_the_other_bits(self) -> None:
        n = 20_000
        X, y = parity(n, 8)
        allowed = 5 * 0.5 / math.sqrt(n / 2)
        assert y[:, -1].mean() == pytest.approx(0.5, abs=allowed)
        for bit in range(8):
            for value in (0, 1):
                assert y[X[:, bit, 0] == value, -1].mean() == pytest.approx(0.5, abs=allowed)


class TestDigitsByRows:
    def test_they_are_those_of_scikit_learn(self) -> None:
        datasets = pytest.importorskip("sklearn.datasets")
        features, labels = datasets.load_digits(return_X_y=True)
        X, y = digits_by_rows()
        assert (X.shape, X.dtype, y.dtype) == ((1797, 8, 8), np.float32, np.int64)
        assert (X.min(), X.max()) == (0, 1)
        assert X.flags.c_contiguous
        np.testing.assert_array_equal(X.reshape(1797, 64) * 16, features)
        np.testing.assert_array_equal(y, labels)
        assert digits_by_rows("float64")[0].dtype == np.float64
        assert np.bincount(y).max() / len(y) == pytest.approx(0.102, abs=5e-4)  # the bar

    def test_without_scikit_learn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "sklearn", None)
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(ImportError, match=r"digits_by_rows\(\) takes its images from scikit-learn.*pip install"):
            digits_by_rows()


def test_the_others_need_no_scikit_learn() -> None:
    program = (
        "import sys, deltarule as dr\n"
        "for make in (dr.datasets.parity, dr.datasets.copy_memory, dr.datasets.adding_problem): make(3)\n"
        "print('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False"
