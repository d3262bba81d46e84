"""Every parameter of scikit-learn's two classes changes the way through the loss exactly as there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn_side_by_side import (
    BESIDE_1_9,
    SAME,
    assert_same_fit,
    assert_same_structure,
    both,
    fit_both,
    quietly,
    table,
)

pytestmark = BESIDE_1_9


SMALL = {"hidden_layer_sizes": (9, 6), "max_iter": 60, "random_state": 0}


def compare(kind: str, **parameters: Any) -> None:
    X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
    assert_same_fit(fit_both(kind, X, y, **{**SMALL, **parameters}), X, y)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
class TestSteps:
    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    @pytest.mark.parametrize("alpha", [0, 1e-4, 1, 300.0])
    def test_alpha(self, kind: str, alpha: float, solver: str) -> None:
        compare(kind, alpha=alpha, solver=solver)

    @pytest.mark.parametrize("momentum", [0, 0.5, 0.9, 1])
    @pytest.mark.parametrize("nesterov", [True, False])
    @pytest.mark.parametrize("schedule", ["constant", "invscaling", "adaptive"])
    def test_sgd(self, kind: str, schedule: str, nesterov: bool, momentum: float) -> None:
        settings = {"learning_rate": schedule, "nesterovs_momentum": nesterov, "momentum": momentum}
        compare(kind, solver="sgd", learning_rate_init=0.01, max_iter=30, **settings)

    @pytest.mark.parametrize("power_t", [0, 0.25, 1.0])
    def test_power_t(self, kind: str, power_t: float) -> None:
        compare(kind, solver="sgd", learning_rate="invscaling", learning_rate_init=0.2, power_t=power_t, batch_size=64)

    def test_adaptive_to_its_end(self, kind: str) -> None:
        """It divides the rate by 5 until that is below 1e-6, and each time the count starts anew."""
        settings = {"tol": 0.02, "n_iter_no_change": 1, "learning_rate_init": 0.05, "max_iter": 200}
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        pair = fit_both(kind, X, y, solver="sgd", learning_rate="adaptive", random_state=0, **settings)
        assert pair.theirs.n_iter_ < 200
        assert_same_fit(pair, X, y)

    @pytest.mark.parametrize("numbers", [(0.0, 0.999), (0.5, 0.9), (0.9, 0.3), (0.99, 0.5)])
    @pytest.mark.parametrize("epsilon", [1e-12, 1e-8, 0.1])
    def test_adam(self, kind: str, epsilon: float, numbers: tuple[float, float]) -> None:
        """The large epsilon tells where it stands in the formula. With beta_2 = 0 steps are signs, even of rounding."""
        compare(kind, beta_1=numbers[0], beta_2=numbers[1], epsilon=epsilon, max_iter=30)

    @pytest.mark.parametrize("rate", [1e-5, 0.03])
    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    def test_learning_rate(self, kind: str, solver: str, rate: float) -> None:
        compare(kind, solver=solver, learning_rate_init=rate)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
class TestBatches:
    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize("size", ["auto", 7, 149, np.int32(64)], ids=repr)  # 150 rows: the last batch has one
    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    def test_size(self, kind: str, solver: str, size: Any, shuffle: bool) -> None:
        compare(kind, solver=solver, batch_size=size, shuffle=shuffle, max_iter=15)

    def test_of_one_row(self, kind: str) -> None:
        compare(kind, solver="sgd", batch_size=1, max_iter=3)

    @pytest.mark.parametrize("size", [443, 10**9])
    def test_clipped(self, kind: str, size: int) -> None:
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        pair = both(kind, batch_size=size, max_iter=5, random_state=1)
        for one in pair:
            with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger than sample size"):
                quietly(one.fit, X, y)
        assert_same_fit(pair, X, y)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
class TestStopping:
    @pytest.mark.parametrize("patience", [1, 3, np.inf], ids=repr)
    @pytest.mark.parametrize("tol", [0, 1e-2, 1e9])
    def test_no_change(self, kind: str, tol: float, patience: float) -> None:
        compare(kind, tol=tol, n_iter_no_change=patience, learning_rate_init=0.05)

    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    @pytest.mark.parametrize("fraction", [0.1, 0.3])
    def test_early(self, kind: str, fraction: float, solver: str) -> None:
        """The split, the scores and the best weights."""
        settings: dict[str, Any] = {"validation_fraction": fraction, "solver": solver, "n_iter_no_change": 4}
        compare(kind, early_stopping=True, learning_rate_init=0.02, **settings)

    def test_early_and_adaptive(self, kind: str) -> None:
        settings = {"early_stopping": True, "n_iter_no_change": 2, "learning_rate_init": 0.1}
        compare(kind, solver="sgd", learning_rate="adaptive", **settings)

    def test_early_with_weights(self, kind: str) -> None:
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        weights = np.random.default_rng(0).uniform(0.1, 3, len(y))
        assert_same_fit(fit_both(kind, X, y, weights, early_stopping=True, **SMALL), X, y)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
class TestSampleWeight:
    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    @pytest.mark.parametrize("batch_size", ["auto", 30])
    def test_weights(self, kind: str, batch_size: Any, solver: str) -> None:
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        weights = np.random.default_rng(0).exponential(size=len(y))
        weights[::5] = 0
        pair = fit_both(kind, X, y, weights, batch_size=batch_size, solver=solver, **SMALL)
        assert_same_fit(pair, X, y)
        np.testing.assert_allclose(pair.ours.score(X, y, weights), pair.theirs.score(X, y, weights), rtol=SAME)

    @pytest.mark.parametrize("weights", [2.5, [3] * 150, np.ones(150, np.float32), np.full(150, 1e-6)], ids=type)
    def test_forms(self, kind: str, weights: Any) -> None:
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        assert_same_fit(fit_both(kind, X[:150], y[:150], weights, **SMALL), X[:150], y[:150])


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
class TestGoingOn:
    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    @pytest.mark.parametrize("early_stopping", [True, False])
    def test_warm_start(self, kind: str, early_stopping: bool, solver: str) -> None:
        """Weights, losses and counts of samples go on; the optimizer and the shuffles begin anew."""
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        settings = {**SMALL, "max_iter": 12, "early_stopping": early_stopping, "solver": solver}
        pair = both(kind, warm_start=True, **settings)
        for epochs in (12, 20, 1):
            for one in pair:
                quietly(one.set_params(max_iter=epochs).fit, X, y)
            assert_same_fit(pair, X, y)
        assert len(pair.ours.loss_curve_) > 20

    @pytest.mark.parametrize(
        "settings", [{"solver": "adam"}, {"solver": "sgd", "learning_rate": "invscaling"}], ids=str
    )
    @pytest.mark.parametrize("batch_size", ["auto", 11])
    def test_partial_fit(self, kind: str, batch_size: Any, settings: dict[str, Any]) -> None:
        """The optimizer goes on too; what it is given changes from call to call."""
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        pair = both(kind, batch_size=batch_size, hidden_layer_sizes=(8,), random_state=2, **settings)
        classes = {"classes": np.unique(y)} if kind == "MLPClassifier" else {}
        for start in [*range(0, 120, 10), *range(0, 120, 15)]:
            for one in pair:
                assert one.partial_fit(X[start : start + 30], y[start : start + 30], **classes) is one
            classes = {}
            assert_same_fit(pair, X, y)

    def test_fit_and_partial_fit_in_turn(self, kind: str) -> None:
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        pair = both(kind, **{**SMALL, "max_iter": 4})
        for step in ("fit", "partial_fit", "partial_fit", "fit", "partial_fit"):
            for one in pair:
                quietly(getattr(one, step), X, y)
            assert_same_fit(pair, X, y)

    def test_a_second_fit_begins_anew(self, kind: str) -> None:
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        pair = fit_both(kind, X, y, **{**SMALL, "max_iter": 5})
        for one in pair:
            quietly(one.fit, X[:100, :3], y[:100])
        assert_same_fit(pair, X[:100, :3], y[:100])
        assert len(pair.ours.loss_curve_) == 5

    def test_parameters_changed_in_between(self, kind: str) -> None:
        X, y = table("iris" if kind == "MLPClassifier" else "diabetes")
        pair = both(kind, warm_start=True, **{**SMALL, "max_iter": 4})
        for change in ({}, {"solver": "sgd"}, {"learning_rate_init": 0.1}, {"alpha": 1.0, "batch_size": 40}):
            for one in pair:
                quietly(one.set_params(**change).fit, X, y)
            assert_same_structure(pair)
            assert_same_fit(pair, X, y)
