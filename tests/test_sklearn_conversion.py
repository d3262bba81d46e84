"""Fitted models go to scikit-learn and come from it; and coefs_ and intercepts_ are what predictions are made of."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import sklearn.neural_network as scikit_learn
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn_side_by_side import (
    BESIDE_1_9,
    KINDS,
    Both,
    assert_same_predictions,
    assert_same_structure,
    our,
    quietly,
    table,
    their,
)

import deltarule as dr
import deltarule.sklearn as deltarule_sklearn

pytestmark = BESIDE_1_9


X, Y = table("iris")
XM, YM = make_multilabel_classification(n_samples=90, n_classes=4, random_state=1)
SMALL: dict[str, Any] = {"hidden_layer_sizes": (9, 6), "max_iter": 25, "random_state": 0, "learning_rate_init": 0.01}

PROBLEMS: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "three classes": ("MLPClassifier", X, np.array(["a", "b", "c"])[Y], {}),
    "two classes": ("MLPClassifier", X, Y > 0, {"activation": "tanh"}),
    "several labels": ("MLPClassifier", XM, YM, {"activation": "logistic"}),
    "regression": ("MLPRegressor", X, Y.astype(float), {"activation": "identity"}),
    "several outputs": ("MLPRegressor", X, np.stack([Y, X[:, 0]], axis=1), {}),
    "counts": ("MLPRegressor", X, Y, {"loss": "poisson"}),
    "single precision": ("MLPRegressor", X.astype(np.float32), Y.astype(np.float32), {}),
    "early stopping": ("MLPClassifier", X, Y, {"early_stopping": True}),
    "lbfgs": ("MLPClassifier", X, Y, {"solver": "lbfgs"}),
}
SOLVERS: list[dict[str, Any]] = [
    {"solver": "adam"},
    {"solver": "sgd", "nesterovs_momentum": True},
    {"solver": "sgd", "nesterovs_momentum": False, "learning_rate": "invscaling"},
]


def converted(direction: str, kind: str, features: Any, y: Any, **parameters: Any) -> tuple[Any, Any]:
    """A fitted model and what it became; it goes to scikit-learn or comes from there."""
    if direction == "to":
        before = quietly(our(kind, **parameters).fit, features, y)
        return before, before.to_sklearn()
    before = quietly(their(kind, **parameters).fit, features, y)
    return before, getattr(deltarule_sklearn, kind).from_sklearn(before)


@pytest.mark.parametrize("direction", ["to", "from"])
class TestConversion:
    @pytest.mark.parametrize("problem", PROBLEMS)
    def test_predictions(self, direction: str, problem: str) -> None:
        kind, features, y, more = PROBLEMS[problem]
        before, after = converted(direction, kind, features, y, **SMALL, **more)
        expected = scikit_learn if direction == "to" else deltarule_sklearn
        assert type(after) is getattr(expected, kind)
        rtol = 1e-12 if features.dtype == np.float64 else 1e-5
        assert_same_predictions(Both(after, before), features, y, rtol=rtol)
        pair = Both(before, after) if direction == "to" else Both(after, before)
        assert_same_structure(pair)
        for name in ("loss_", "n_iter_", "loss_curve_", "t_", "best_loss_", "validation_scores_"):
            assert getattr(before, name, None) == getattr(after, name, None), name

    @pytest.mark.parametrize("settings", SOLVERS, ids=str)
    @pytest.mark.parametrize("kind", KINDS)
    def test_training_goes_on(self, direction: str, kind: str, settings: dict[str, Any]) -> None:
        """With the optimizer's memory: both take the same steps as if they had always been the same model."""
        before, after = converted(direction, kind, X, Y, **SMALL, **settings)
        for _ in range(5):
            for one in (before, after):
                one.partial_fit(X, Y)
            assert_same_predictions(Both(after, before), X, Y, rtol=1e-9)
        np.testing.assert_allclose(after.loss_curve_, before.loss_curve_, rtol=1e-9)

    @pytest.mark.parametrize("kind", KINDS)
    def test_fit_begins_anew_or_warm(self, direction: str, kind: str) -> None:
        before, after = converted(direction, kind, X, Y, **SMALL)
        for warm in (False, True):
            for one in (before, after):
                quietly(one.set_params(warm_start=warm, max_iter=6).fit, X, Y)
            assert_same_predictions(Both(after, before), X, Y)

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_is_shared(self, direction: str, kind: str) -> None:
        before, after = converted(direction, kind, X, Y, **SMALL)
        kept = before.predict(X)
        after.partial_fit(X, Y)
        after.coefs_[0][:] = 0
        after.loss_curve_.append(3.0)
        np.testing.assert_array_equal(before.predict(X), kept)
        assert before.loss_curve_[-1] != 3.0

    @pytest.mark.parametrize("kind", KINDS)
    def test_not_fitted(self, direction: str, kind: str) -> None:
        to, taken_from = our(kind).to_sklearn, getattr(deltarule_sklearn, kind).from_sklearn
        with pytest.raises(NotFittedError):
            to() if direction == "to" else taken_from(their(kind))

    def test_there_and_back(self, direction: str) -> None:
        before, after = converted(direction, "MLPClassifier", X, Y, **SMALL)
        back = deltarule_sklearn.MLPClassifier.from_sklearn(after) if direction == "to" else after.to_sklearn()
        np.testing.assert_array_equal(back.predict_proba(X), before.predict_proba(X))
        assert back.get_params() == before.get_params()


class TestOneWayOnly:
    def test_more_parameters(self) -> None:
        theirs = quietly(their("MLPClassifier", **SMALL).fit, X, Y)
        model = deltarule_sklearn.MLPClassifier.from_sklearn(theirs, n_threads=1, clip_norm=1.0)
        assert model.clip_norm == 1.0
        assert model.n_threads == 1
        np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), rtol=1e-12)

    def test_what_scikit_learn_does_not_have(self) -> None:
        for settings in ({"activation": "gelu"}, {"activation": ["tanh", "relu"]}):
            model = quietly(our("MLPClassifier", **SMALL, **settings).fit, X, Y)
            with pytest.raises(ValueError, match="activation"):
                model.to_sklearn()
        same = quietly(our("MLPClassifier", activation=["tanh", "tanh"], dropout=0.1, **SMALL).fit, X, Y)
        np.testing.assert_allclose(same.to_sklearn().predict_proba(X), same.predict_proba(X), rtol=1e-12)

    @pytest.mark.parametrize("other", [None, "MLPClassifier", dr.Dense(1)], ids=repr)
    def test_no_model(self, other: Any) -> None:
        for kind in KINDS:
            with pytest.raises(TypeError):
                getattr(deltarule_sklearn, kind).from_sklearn(other)

    def test_of_the_other_kind(self) -> None:
        with pytest.raises(TypeError, match="MLPRegressor"):
            deltarule_sklearn.MLPRegressor.from_sklearn(quietly(their("MLPClassifier", **SMALL).fit, X, Y))

    def test_scikit_learn_needs_nothing_of_us(self) -> None:
        stored = pickle.dumps(quietly(our("MLPClassifier", **SMALL).fit, X, Y).to_sklearn())
        assert b"deltarule" not in stored


@pytest.mark.parametrize("kind", KINDS)
class TestLiveWeights:
    """Whatever is done to the lists and arrays in scikit-learn's model counts here too."""

    def pair(self, kind: str) -> Both:
        return Both(*(quietly(make(kind, **SMALL).fit, X, Y) for make in (our, their)))

    def assert_same(self, pair: Both) -> None:
        for mine, other in zip(pair.ours.coefs_, pair.theirs.coefs_, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-9)
        assert_same_predictions(pair, X, Y)

    def test_a_new_list(self, kind: str) -> None:
        pair = self.pair(kind)
        for one in pair:
            before = one.predict(X)
            one.coefs_ = [np.flip(coef).copy() for coef in one.coefs_]
            one.intercepts_ = [intercept + 0.5 for intercept in one.intercepts_]
            assert not np.array_equal(one.predict(X), before)
        self.assert_same(pair)

    def test_a_new_item(self, kind: str) -> None:
        pair = self.pair(kind)
        for one in pair:
            one.coefs_[1] = -one.coefs_[1]
            one.intercepts_[0] = np.linspace(-1, 1, 9)
        self.assert_same(pair)

    def test_written_into(self, kind: str) -> None:
        pair = self.pair(kind)
        for one in pair:
            one.coefs_[0][:, 3] *= 2
            one.coefs_[-1][2, 0] = 5.0
            one.intercepts_[1][:] = 0
        self.assert_same(pair)

    def test_training_goes_on_from_there(self, kind: str) -> None:
        pair = self.pair(kind)
        for _ in range(3):
            for one in pair:
                one.coefs_[0][0] += 0.25
                one.partial_fit(X, Y)
            self.assert_same(pair)

    def test_an_array_kept_is_written_by_training(self, kind: str) -> None:
        for one in self.pair(kind):
            kept = one.coefs_[0]
            before = kept.copy()
            one.partial_fit(X, Y)
            assert not np.array_equal(one.coefs_[0], before)
            assert np.array_equal(kept, one.coefs_[0])

    def test_another_dtype(self, kind: str) -> None:
        """Predictions are of the common type of X and the weights."""
        pair = self.pair(kind)
        for one in pair:
            one.coefs_ = [coef.astype(np.float32) for coef in one.coefs_]
            one.intercepts_ = [intercept.astype(np.float32) for intercept in one.intercepts_]
        for features in (X, X.astype(np.float32)):
            assert_same_predictions(pair, features, Y, rtol=1e-5)

    def test_fewer_units(self, kind: str) -> None:
        """Pruned by hand: the unit with the smallest weights is taken out."""
        pair = self.pair(kind)
        for one in pair:
            one.coefs_ = [np.delete(one.coefs_[0], 4, axis=1), np.delete(one.coefs_[1], 4, axis=0), one.coefs_[2]]
            one.intercepts_ = [np.delete(one.intercepts_[0], 4), *one.intercepts_[1:]]
        self.assert_same(pair)

    def test_a_copy_of_the_weights(self, kind: str) -> None:
        first, second = (quietly(our(kind, **{**SMALL, "random_state": seed}).fit, X, Y) for seed in (0, 1))
        second.coefs_, second.intercepts_ = first.coefs_, first.intercepts_
        np.testing.assert_array_equal(first.predict(X), second.predict(X))
