"""Ours are estimators like any other: scikit-learn's own checks, its tools, copies, files, names, metadata, frames."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.neural_network as scikit_learn
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier, is_regressor
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn_side_by_side import BESIDE_1_9, KINDS, both, fit_both, our, quietly, table

import deltarule as dr
from deltarule.sklearn import MLPClassifier, MLPRegressor

X, Y = table("iris")
SMALL: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 15, "random_state": 0}

CHECKED = [
    MLPClassifier(),
    MLPRegressor(),
    MLPClassifier(solver="lbfgs", max_iter=40),
    MLPClassifier(hidden_layer_sizes=(9, 7), activation=["tanh", "gelu"], optimizer="rmsprop", l1=1e-5, n_threads=2),
    MLPRegressor(loss="huber", activation="silu", clip_norm=10.0, optimizer=dr.Adam(lr=3e-3)),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix:UserWarning")
@parametrize_with_checks(CHECKED)
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@BESIDE_1_9
@pytest.mark.parametrize("kind", KINDS)
class TestNames:
    def test_parameters_stand_as_there(self, kind: str) -> None:
        """Same names, order, defaults, and which may be given by position; what is more comes last, by name alone."""
        ours, theirs = (inspect.signature(getattr(module, kind)).parameters for module in (dr.sklearn, scikit_learn))
        assert [name for name in ours if name in theirs] == list(theirs)
        for name, parameter in theirs.items():
            assert ours[name].default == parameter.default, name
            assert ours[name].kind is parameter.kind, name
        more = list(ours)[len(theirs) :]
        assert not set(more) & set(theirs)
        assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in more)
        assert more[:4] == ["optimizer", "dropout", "l1", "clip_norm"]

    @pytest.mark.parametrize("method", ["fit", "partial_fit", "predict", "score", "predict_proba", "set_params"])
    def test_methods_take_the_same(self, kind: str, method: str) -> None:
        if not hasattr(getattr(scikit_learn, kind), method):
            assert not hasattr(our(kind), method)
            return
        ours, theirs = (
            inspect.signature(getattr(getattr(module, kind)(), method)).parameters
            for module in (dr.sklearn, scikit_learn)
        )
        assert list(ours)[: len(theirs)] == list(theirs)
        assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in list(ours)[len(theirs) :])

    def test_get_and_set(self, kind: str) -> None:
        estimator = our(kind, alpha=0.5, dropout=0.25)
        assert estimator.get_params()["alpha"] == 0.5
        assert estimator.get_params()["dropout"] == 0.25
        assert estimator.set_params(l1=1e-3, activation=["relu"]) is estimator
        assert estimator.get_params()["activation"] == ["relu"]
        assert set(getattr(scikit_learn, kind)().get_params()) <= set(estimator.get_params())
        with pytest.raises(ValueError, match="Invalid parameter 'droput'"):
            estimator.set_params(droput=0.5)

    def test_parents(self, kind: str) -> None:
        estimator = our(kind)
        assert isinstance(estimator, BaseEstimator)
        assert isinstance(estimator, ClassifierMixin if kind == "MLPClassifier" else RegressorMixin)
        assert isinstance(estimator, getattr(scikit_learn, kind))
        assert is_classifier(estimator) is (kind == "MLPClassifier")
        assert is_regressor(estimator) is (kind == "MLPRegressor")
        theirs = get_tags(getattr(scikit_learn, kind)())
        assert get_tags(estimator).input_tags == theirs.input_tags
        assert get_tags(estimator).target_tags == theirs.target_tags

    def test_shown(self, kind: str) -> None:
        assert repr(our(kind)) == f"{kind}()"
        assert repr(our(kind, alpha=0.1, dropout=0.2)) == f"{kind}(alpha=0.1, dropout=0.2)"
        for estimator in (our(kind, l1=0.125), quietly(our(kind, l1=0.125, **SMALL).fit, X, Y)):
            page = estimator_html_repr(estimator)
            assert kind in page
            assert "0.125" in page
            assert "scikit-learn.org/stable/modules/generated/deltarule" not in page

    @pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
    def test_partial_fit_is_there_when_it_is_there(self, kind: str, solver: str) -> None:
        ours, theirs = (hasattr(one, "partial_fit") for one in both(kind, solver=solver))
        assert ours is theirs


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda fitted: pickle.loads(pickle.dumps(fitted)),
    "the oldest pickle": lambda fitted: pickle.loads(pickle.dumps(fitted, protocol=2)),
    "deepcopy": copy.deepcopy,
    "joblib": lambda fitted: _through_a_file(fitted),
}


def _through_a_file(fitted: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("kind", KINDS)
class TestCopies:
    @pytest.mark.parametrize("how", COPIES)
    @pytest.mark.parametrize(
        "more", [{}, {"solver": "sgd", "learning_rate": "adaptive"}, {"optimizer": dr.RMSprop(lr=0.01)}], ids=str
    )
    def test_they_go_on_alike(self, kind: str, how: str, more: dict[str, Any]) -> None:
        fitted = quietly(our(kind, **SMALL, **more).fit, X, Y)
        twin = COPIES[how](fitted)
        assert type(twin) is type(fitted)
        for _ in range(3):
            np.testing.assert_array_equal(twin.predict(X), fitted.predict(X))
            for one in (twin, fitted):
                one.partial_fit(X, Y)
        assert twin.loss_curve_ == fitted.loss_curve_
        for mine, other in zip(twin.coefs_, fitted.coefs_, strict=True):
            np.testing.assert_array_equal(mine, other)

    def test_memory_mapped(self, kind: str, tmp_path: Path) -> None:
        fitted = quietly(our(kind, **SMALL).fit, X, Y)
        joblib.dump(fitted, tmp_path / "model.joblib")
        mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
        np.testing.assert_array_equal(mapped.predict(X), fitted.predict(X))

    def test_clone_is_not_fitted(self, kind: str) -> None:
        fitted = quietly(our(kind, dropout=[0.1], callbacks=None, **SMALL).fit, X, Y)
        fresh = clone(fitted)
        assert fresh.get_params() == fitted.get_params()
        assert not hasattr(fresh, "coefs_")
        np.testing.assert_array_equal(quietly(fresh.fit, X, Y).predict(X), fitted.predict(X))

    def test_copies_share_nothing(self, kind: str) -> None:
        fitted = quietly(our(kind, **SMALL).fit, X, Y)
        twin, before = copy.deepcopy(fitted), fitted.predict(X)
        twin.partial_fit(X, Y)
        np.testing.assert_array_equal(fitted.predict(X), before)


class TestTools:
    def test_pipeline(self) -> None:
        raw, _ = table("iris", standardized=False)
        model = make_pipeline(StandardScaler(), MLPClassifier(learning_rate_init=0.1, **SMALL))
        quietly(model.fit, raw, Y)
        assert model.score(raw, Y) > 0.9
        by_hand = quietly(MLPClassifier(learning_rate_init=0.1, **SMALL).fit, StandardScaler().fit_transform(raw), Y)
        np.testing.assert_array_equal(model.predict(raw), by_hand.predict(StandardScaler().fit_transform(raw)))

    def test_frames_keep_their_names(self) -> None:
        frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
        model = Pipeline([("scale", StandardScaler()), ("mlp", MLPClassifier(**SMALL))]).set_output(transform="pandas")
        quietly(model.fit, frame, Y)
        assert list(model["mlp"].feature_names_in_) == ["a", "b", "c", "d"]
        pair = fit_both("MLPClassifier", frame, Y, **SMALL)
        for one in pair:
            with pytest.raises(ValueError, match="feature names should match"):
                one.predict(frame[["b", "a", "c", "d"]])
            with pytest.warns(UserWarning, match="X does not have valid feature names"):
                one.predict(X)

    def test_grid_search_on_two_processes(self) -> None:
        grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(3,), (5, 5)], "activation": ["relu", "gelu"]}
        alone, together = (
            GridSearchCV(MLPClassifier(max_iter=10, random_state=0), grid, cv=3, n_jobs=jobs) for jobs in (1, 2)
        )
        with joblib.parallel_config("loky"):
            for search in (alone, together):
                quietly_everywhere(search.fit, X, Y)
        np.testing.assert_array_equal(alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"])
        np.testing.assert_array_equal(alone.predict(X), together.predict(X))

    def test_cross_validation(self) -> None:
        pair = both("MLPClassifier", **SMALL)
        ours, theirs = (quietly(cross_val_score, one, X, Y, cv=3) for one in pair)
        np.testing.assert_allclose(ours, theirs)
        ours, theirs = (quietly(cross_val_predict, one, X, Y, cv=3, method="predict_proba") for one in pair)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)

    def test_ensembles(self) -> None:
        for ensemble in (
            BaggingClassifier(MLPClassifier(**SMALL), 3),
            VotingClassifier([("a", MLPClassifier(**SMALL))]),
        ):
            assert quietly(ensemble.fit, X, Y).predict(X).shape == (150,)


def quietly_everywhere(function: Any, *arguments: Any) -> Any:
    """Warnings of worker processes are switched off by the environment that they inherit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONWARNINGS", "ignore")
        return quietly(function, *arguments)


class TestMetadata:
    def test_weights_find_their_way(self) -> None:
        weights = np.linspace(0, 2, 150)
        expected = quietly(MLPClassifier(**SMALL).fit, X, Y, weights)
        with sklearn.config_context(enable_metadata_routing=True):
            estimator = MLPClassifier(**SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            scaler = StandardScaler().set_fit_request(sample_weight=False)
            model = quietly(make_pipeline(scaler, estimator).fit, X, Y, sample_weight=weights)
            np.testing.assert_allclose(model[-1].coefs_[0], expected.coefs_[0])
            requested = estimator.get_metadata_routing()
        assert requested.fit.requests["sample_weight"] is True
        assert "classes" in requested.partial_fit.requests

    def test_nothing_is_asked_for_by_default(self) -> None:
        weights = np.ones(150)
        with sklearn.config_context(enable_metadata_routing=True):
            pair = [make_pipeline(StandardScaler(), one) for one in both("MLPClassifier", **SMALL)]
            for model in pair:
                with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set as requested"):
                    model.fit(X, Y, sample_weight=weights)
