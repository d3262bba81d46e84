"""The way through the loss is scikit-learn's: same start, same shuffles, same steps, same end, to rounding.

How far two such ways can be compared was measured by scikit-learn against itself with each number of X changed by one
unit in its last place: the losses of 100 epochs then agree to 1e-10 in every case here but those in `SHORT`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler
from sklearn_side_by_side import (
    BESIDE_1_9,
    EPOCHS,
    SAME,
    TABLES,
    Both,
    assert_same_curves,
    assert_same_fit,
    assert_same_scores,
    assert_same_structure,
    both,
    first_weights,
    fit_both,
    kind_for,
    our,
    quietly,
    table,
)

pytestmark = BESIDE_1_9


# Epochs that scikit-learn itself repeats to 1e-6 when X moves by one unit in the last place. The columns of the raw
# table go up to 4254: units saturate and come back, and the losses of two such runs are 15 % apart after 100 epochs.
SHORT = {
    ("breast_cancer", "logistic", "adam"): 40,  # 1e-6 apart after 62
    ("breast_cancer", "tanh", "adam"): 40,  # after 82
    ("breast_cancer", "tanh", "sgd"): 8,  # after 12
}

GLOBAL = np.random.mtrand._rand  # what np.random.seed seeds


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("activation", ["relu", "logistic", "tanh", "identity"])
@pytest.mark.parametrize("standardized", [True, False], ids=["standardized", "raw"])
@pytest.mark.parametrize("name", TABLES)
def test_a_hundred_epochs(name: str, standardized: bool, activation: str, solver: str) -> None:
    X, y = table(name, standardized)
    epochs = EPOCHS if standardized else SHORT.get((name, activation, solver), EPOCHS)
    pair = fit_both(kind_for(name), X, y, activation=activation, solver=solver, max_iter=epochs, random_state=0)
    assert_same_fit(pair, X, y)


@pytest.mark.parametrize("name", TABLES)
def test_to_the_end(name: str) -> None:
    """Hundreds of epochs, until the loss does not fall any more."""
    X, y = table(name)
    settings: dict[str, Any] = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.01, "tol": 1e-3, "alpha": 0.01}
    pair = fit_both(kind_for(name), X, y, random_state=3, max_iter=1000, **settings)
    assert EPOCHS / 4 < pair.theirs.n_iter_ < 1000
    assert pair.ours.n_iter_ == pair.theirs.n_iter_
    assert_same_structure(pair)
    assert_same_curves(pair, epochs=1000)
    assert_same_scores(pair)


@pytest.mark.parametrize("hidden", [(), (1,), 5, np.int64(5), [7], (3, 4, 5), np.array([30, 2]), (100,)], ids=repr)
def test_hidden_layers(hidden: Any) -> None:
    X, y = table("iris")
    pair = fit_both("MLPClassifier", X, y, hidden_layer_sizes=hidden, max_iter=60, random_state=1)
    assert_same_fit(pair, X, y)


class TestFirstWeights:
    """A step of 1e-30 changes no bit of a weight: what is there after one epoch was there before it."""

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("activation", ["relu", "logistic", "tanh", "identity"])
    @pytest.mark.parametrize("seed", [0, 42, np.random.RandomState(7)], ids=repr)
    def test_to_the_bit(self, seed: Any, activation: str, dtype: str) -> None:
        X, y = table("iris")
        pair = fit_both(
            "MLPClassifier",
            X.astype(dtype),
            y,
            hidden_layer_sizes=(17, 9, 1),
            activation=activation,
            random_state=seed,
            learning_rate_init=1e-30,
            max_iter=1,
        )
        for ours, theirs in first_weights(pair):
            assert ours.dtype == dtype
            np.testing.assert_array_equal(ours, theirs, strict=True)

    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    def test_of_a_regressor(self, solver: str) -> None:
        X, y = table("diabetes")
        settings: dict[str, Any] = {"solver": solver, "learning_rate_init": 1e-30, "max_iter": 2, "random_state": 5}
        pair = fit_both("MLPRegressor", X, np.stack([y, -y], axis=1), **settings)
        for ours, theirs in first_weights(pair):
            np.testing.assert_array_equal(ours, theirs, strict=True)


class TestRandomState:
    """Ours draws from it what scikit-learn draws, no more and no less, so that whoever draws next gets the same."""

    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize("early_stopping", [True, False])
    def test_an_instance_is_left_in_the_same_state(self, early_stopping: bool, shuffle: bool) -> None:
        X, y = table("wine")
        settings = {"early_stopping": early_stopping, "shuffle": shuffle, "max_iter": 13}
        pair = fit_both("MLPClassifier", X, y, random_state=np.random.RandomState(11), **settings)
        assert_same_fit(pair, X, y)
        self.assert_same_state(*(one.random_state.get_state() for one in pair))

    def test_one_instance_after_several_fits(self) -> None:
        X, y = table("diabetes")
        pair = both("MLPRegressor", random_state=np.random.RandomState(11), max_iter=7, batch_size=50)
        for _ in range(3):
            for one in pair:
                quietly(one.fit, X, y)
            assert_same_fit(pair, X, y)
        for _ in range(3):
            for one in pair:
                one.partial_fit(X, y)
            assert_same_fit(pair, X, y)
        self.assert_same_state(*(one.random_state.get_state() for one in pair))

    @pytest.mark.parametrize("seed", [None, GLOBAL], ids=["None", "the global one"])
    def test_numpys_global_one(self, seed: Any) -> None:
        X, y = table("iris")
        pair = Both(*(type(one)(random_state=seed, max_iter=9) for one in both("MLPClassifier")))
        before, after = GLOBAL.get_state(), []
        try:
            for one in pair:
                GLOBAL.seed(3)
                quietly(one.fit, X, y)
                after.append(GLOBAL.get_state())
        finally:
            GLOBAL.set_state(before)
        assert_same_fit(pair, X, y)
        self.assert_same_state(*after)

    def test_two_seeds_are_two_ways(self) -> None:
        X, y = table("iris")
        first, second = (quietly(our("MLPClassifier", random_state=seed, max_iter=3).fit, X, y) for seed in (0, 1))
        assert first.loss_curve_ != second.loss_curve_

    @staticmethod
    def assert_same_state(ours: Any, theirs: Any) -> None:
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, other)


class TestPublishedFigures:
    """Numbers in scikit-learn's own documentation."""

    def test_the_docstring_of_the_classifier(self) -> None:
        X, y = make_classification(n_samples=100, random_state=1)
        X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=1)
        classifier = quietly(our("MLPClassifier", random_state=1, max_iter=300).fit, X_train, y_train)
        np.testing.assert_allclose(classifier.predict_proba(X_test[:1]), [[0.0383, 0.961]], rtol=1e-2)
        assert list(classifier.predict(X_test[:5])) == [1, 0, 1, 0, 1]
        assert classifier.score(X_test, y_test) == 0.88
        assert classifier.n_iter_ == 275
        assert classifier.loss_ == pytest.approx(0.0111867, abs=5e-8)

    def test_the_docstring_of_the_regressor(self) -> None:
        from sklearn.datasets import make_regression

        X, y = make_regression(n_samples=200, n_features=20, random_state=1)
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
        regressor = our("MLPRegressor", random_state=1, max_iter=2000, tol=0.1).fit(X_train, y_train)
        np.testing.assert_allclose(regressor.predict(X_test[:2]), [28.98, -291], rtol=2e-3)
        assert regressor.score(X_test, y_test) == pytest.approx(0.98, abs=0.005)

    def test_the_learning_curves_on_iris(self) -> None:
        X, y = table("iris", standardized=False)
        X = MinMaxScaler().fit_transform(X)
        classifier = our("MLPClassifier", solver="adam", learning_rate_init=0.01, random_state=0, max_iter=400)
        quietly(classifier.fit, X, y)
        assert classifier.score(X, y) == pytest.approx(0.98, abs=0.0005)
        assert classifier.loss_ == pytest.approx(0.045311, abs=5e-7)

    def test_all_the_learning_curves(self) -> None:
        """The other settings of that example: beside scikit-learn, over the first hundred epochs."""
        X, y = table("iris", standardized=False)
        X = MinMaxScaler().fit_transform(X)
        shared: dict[str, Any] = {"solver": "sgd", "learning_rate_init": 0.2, "max_iter": 400, "random_state": 0}
        for settings in (
            {"learning_rate": "constant", "momentum": 0},
            {"learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": False},
            {"learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": True},
            {"learning_rate": "invscaling", "momentum": 0},
            {"learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": False},
            {"learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": True},
        ):
            pair = fit_both("MLPClassifier", X, y, **shared, **settings)
            assert_same_curves(pair, rtol=SAME)
            assert_same_structure(pair)
