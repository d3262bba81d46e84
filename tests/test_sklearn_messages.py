"""What ours says is what scikit-learn says, word for word: progress, warnings, interruptions, numbers that overflow."""

from __future__ import annotations

import signal
import time
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn_side_by_side import BESIDE_1_9, KINDS, assert_same_fit, both, our, quietly, table

pytestmark = BESIDE_1_9


X, Y = table("iris")
SMALL: dict[str, Any] = {"hidden_layer_sizes": (5,), "random_state": 0}

STOPPED = "Training loss did not improve more than tol=0.050000 for 10 consecutive epochs. Stopping."


def printed(pair: Any, capsys: pytest.CaptureFixture[str], method: str = "fit") -> list[list[str]]:
    texts = []
    for one in pair:
        capsys.readouterr()
        quietly(getattr(one, method), X, Y)
        captured = capsys.readouterr()
        assert captured.err == ""
        texts.append(captured.out.splitlines())
    return texts


def warned(function: Any, *arguments: Any, **named: Any) -> list[tuple[Any, str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, **named)
    return [(warning.category, str(warning.message)) for warning in caught]


@pytest.mark.parametrize("kind", KINDS)
class TestVerbose:
    @pytest.mark.parametrize(
        "settings",
        [
            {"max_iter": 12},
            {"max_iter": 300, "tol": 0.05},
            {"max_iter": 300, "tol": 0.05, "n_iter_no_change": 2, "solver": "sgd"},
            {"max_iter": 400, "tol": 0.05, "n_iter_no_change": 1, "solver": "sgd", "learning_rate": "adaptive"},
            {"max_iter": 40, "early_stopping": True, "n_iter_no_change": 3},
            {"max_iter": 9, "verbose": 10},
            {"max_iter": 9, "verbose": False},
            {"max_iter": 9, "verbose": 0},
        ],
        ids=str,
    )
    def test_line_by_line(self, kind: str, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
        ours, theirs = printed(both(kind, **{"verbose": True, **SMALL, **settings}), capsys)
        assert ours == theirs
        assert bool(ours) is bool(settings.get("verbose", True))

    def test_partial_fit(self, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
        pair = quietly_fitted(both(kind, max_iter=3, **SMALL))
        for one in pair:
            one.set_params(verbose=True)
        for _ in range(3):
            ours, theirs = printed(pair, capsys, "partial_fit")
            assert ours == theirs
            assert len(ours) == 1

    def test_the_last_line_says_why(self, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
        lines, _ = printed(both(kind, max_iter=300, tol=0.05, verbose=True, **SMALL), capsys)
        assert lines[0].startswith("Iteration 1, loss = ")
        assert lines[-1] == STOPPED

    def test_lines_come_while_it_runs(self, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
        seen = []

        class Watcher:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                seen.append(len(capsys.readouterr().out.splitlines()))

        quietly(our(kind, max_iter=6, verbose=True, callbacks=[Watcher()], **SMALL).fit, X, Y)
        assert max(seen) == 1


def quietly_fitted(pair: Any) -> Any:
    for one in pair:
        quietly(one.fit, X, Y)
    return pair


@pytest.mark.parametrize("kind", KINDS)
class TestWarnings:
    CASES: list[dict[str, Any]] = [  # noqa: RUF012
        {"max_iter": 3},
        {"max_iter": 1, "solver": "sgd"},
        {"max_iter": 2, "solver": "lbfgs"},
        {"max_iter": 300, "tol": 0.05},
        {"max_iter": 5, "batch_size": 151},
        {"max_iter": 5, "batch_size": 150},
        {"max_iter": 5, "batch_size": 140, "early_stopping": True},
        {"max_iter": 11, "tol": 1e9},
        {"max_iter": 12, "tol": 1e9},
    ]

    @pytest.mark.parametrize("settings", CASES, ids=str)
    def test_of_fit(self, kind: str, settings: dict[str, Any]) -> None:
        ours, theirs = (warned(one.fit, X, Y) for one in both(kind, **SMALL, **settings))
        assert ours == theirs

    def test_partial_fit_says_nothing_of_convergence(self, kind: str) -> None:
        ours, theirs = (warned(one.partial_fit, X, Y, **classes(kind)) for one in both(kind, **SMALL))
        assert ours == theirs == []

    def test_as_errors(self, kind: str) -> None:
        """An error filter for ConvergenceWarning ends the fit, as there, and what was learned is there."""
        for one in both(kind, max_iter=4, **SMALL):
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                with pytest.raises(ConvergenceWarning, match=r"Maximum iterations \(4\) reached"):
                    one.fit(X, Y)
            assert one.n_iter_ == 4
            assert len(one.loss_curve_) == 4


def classes(kind: str) -> dict[str, Any]:
    return {"classes": [0, 1, 2]} if kind == "MLPClassifier" else {}


class Stopper:
    def __init__(self, epoch: int, error: type[BaseException]) -> None:
        self.epoch, self.error = epoch, error

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch:
            raise self.error


@pytest.mark.parametrize("kind", KINDS)
class TestInterrupted:
    def test_by_a_callback(self, kind: str) -> None:
        estimator = our(kind, max_iter=50, callbacks=[Stopper(6, KeyboardInterrupt)], **SMALL)
        with pytest.warns(UserWarning, match=r"Training interrupted by user\."):
            assert estimator.fit(X, Y) is estimator
        assert estimator.n_iter_ == len(estimator.loss_curve_) == 7
        shorter = quietly(our(kind, max_iter=7, **SMALL).fit, X, Y)
        np.testing.assert_array_equal(estimator.predict(X), shorter.predict(X))

    @pytest.mark.parametrize("early_stopping", [False, True])
    def test_by_control_c(self, kind: str, early_stopping: bool) -> None:
        """Soon, also in the middle of a long epoch; the estimator can predict, and go on."""
        rows = np.random.default_rng(0).normal(size=(20_000, 50))
        y = (rows[:, 0] > 0).astype(int)
        settings: dict[str, Any] = {"early_stopping": early_stopping, "tol": 0, "n_iter_no_change": np.inf}
        estimator = our(kind, hidden_layer_sizes=(64,), max_iter=10**6, random_state=0, **settings)

        def interrupt(*arguments: Any) -> None:
            raise KeyboardInterrupt

        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            start = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, 0.4)
            with pytest.warns(UserWarning, match=r"^Training interrupted by user\.$"):
                estimator.fit(rows, y)
            assert 0.3 < time.perf_counter() - start < 2
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert np.isfinite(estimator.predict(rows)).all()
        assert len(estimator.loss_curve_) == estimator.n_iter_
        if not early_stopping:
            estimator.partial_fit(rows, y)

    def test_other_errors_pass_through(self, kind: str) -> None:
        estimator = our(kind, max_iter=50, callbacks=[Stopper(2, ZeroDivisionError)], **SMALL)
        with pytest.raises(ZeroDivisionError):
            estimator.fit(X, Y)


class TestNotFinite:
    SAID = "Solver produced non-finite parameter weights. The input data may contain large values and need to be"

    @pytest.mark.parametrize(
        ("kind", "solver"), [("MLPRegressor", "adam"), ("MLPRegressor", "sgd"), ("MLPClassifier", "sgd")]
    )
    def test_input_too_large(self, kind: str, solver: str) -> None:
        rows = np.finfo(float).max * np.random.default_rng(0).uniform(size=(10, 2))
        for one in both(kind, solver=solver, activation="identity", max_iter=5, random_state=0):
            with np.errstate(all="ignore"), pytest.raises(ValueError, match=self.SAID):
                quietly(one.fit, rows, np.arange(10) % 2)

    def test_rate_too_large(self) -> None:
        for one in both("MLPRegressor", solver="sgd", learning_rate_init=1e6, activation="identity", random_state=0):
            with np.errstate(all="ignore"), pytest.raises(ValueError, match=self.SAID):
                quietly(one.fit, X, Y)

    def test_early_stopping_keeps_the_best(self) -> None:
        """The last weights are not finite, those it returns are; the validation scores say when it went wrong."""
        settings: dict[str, Any] = {"solver": "sgd", "learning_rate_init": 1, "activation": "identity", "max_iter": 20}
        pair = both("MLPRegressor", early_stopping=True, random_state=0, **settings)
        for one in pair:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore", RuntimeWarning)
                quietly(one.fit, X, Y)
        ours, theirs = pair
        assert ours.n_iter_ == theirs.n_iter_
        assert np.isnan(ours.validation_scores_[-1])
        assert np.isnan(theirs.validation_scores_[-1])
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)

    @pytest.mark.parametrize("kind", KINDS)
    def test_not_fitted(self, kind: str) -> None:
        for one in both(kind):
            for method in ("predict", "predict_proba", "predict_log_proba"):
                if hasattr(one, method):
                    with pytest.raises(NotFittedError):
                        getattr(one, method)(X)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_refused_fit_changes_nothing(self, kind: str) -> None:
        pair = quietly_fitted(both(kind, max_iter=4, **SMALL))
        for one in pair:
            with pytest.raises(ValueError, match="NaN"):
                one.partial_fit(np.full((3, 4), np.nan), [0, 1, 2])
        assert_same_fit(pair, X, Y)
