"""What scikit-learn refuses, ours refuses with the same exception; and what is new is refused in the same style."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError
from sklearn_side_by_side import BESIDE_1_9, KINDS, both, our, quietly, table

import deltarule as dr

pytestmark = BESIDE_1_9


X, Y = table("iris")
SMALL: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
NAN, INF = float("nan"), float("inf")


def changed(array: Any, value: Any) -> Any:
    array = array.copy()
    array[4, 1] = value
    return array


def fit(features: Any = X, y: Any = Y, *more: Any, **parameters: Any) -> Callable[[Any], Any]:
    return lambda one: one.set_params(**parameters).fit(features, y, *more)


def after(method: str, *arguments: Any, **parameters: Any) -> Callable[[Any], Any]:
    """A call of a fitted one."""
    return lambda one: getattr(quietly(one.fit, X, Y).set_params(**parameters), method)(*arguments)


def call(method: str, *arguments: Any, **named: Any) -> Callable[[Any], Any]:
    return lambda one: getattr(one, method)(*arguments, **named)


CASES: dict[str, Callable[[Any], Any]] = {
    "NaN": fit(changed(X, NAN)),
    "infinity": fit(changed(X, INF)),
    "too large for float64": fit(changed(X.astype(np.longdouble), np.finfo(np.longdouble).max)),
    "strings": fit(np.full((150, 4), "a")),
    "objects": fit(np.full((150, 4), object())),
    "one dimension": fit(X[:, 0]),
    "three dimensions": fit(X[None], Y[:1]),
    "a number": fit(3.0),
    "nothing": fit(None),
    "no rows": fit(X[:0], Y[:0]),
    "no columns": fit(X[:, :0]),
    "empty list": fit([], []),
    "ragged": fit([[1.0, 2.0], [1.0]], [0, 1]),
    "complex": fit(X + 1j),
    "dates": fit(np.zeros((150, 4), "M8[s]")),
    "missing values of pandas": fit(pd.DataFrame({"a": pd.array([1, None] * 75, dtype="Int64")})),
    "sparse NaN": fit(sp.csr_matrix(changed(X, NAN))),
    "sparse complex": fit(sp.csr_matrix(X + 1j)),
    "names of two kinds": fit(pd.DataFrame(X, columns=["a", "b", 3, 4])),
    "y too short": fit(X, Y[:-1]),
    "y empty": fit(X, Y[:0]),
    "y None": fit(X, None),
    "y NaN": fit(X, np.where(Y == 0, NAN, Y)),
    "y infinite": fit(X, np.where(Y == 0, INF, Y)),
    "y of three dimensions": fit(X, Y.reshape(-1, 1, 1)),
    "y a number": fit(X, 3),
    "y continuous": fit(X, X[:, 0]),
    "y strings": fit(X, np.array(["a", "b", "c"])[Y]),
    "y mixed": fit(X, [0, "b"] * 75),
    "y multiclass and multioutput": fit(X, np.stack([Y, Y], axis=1)),
    "y sparse": fit(X, sp.csr_matrix(Y)),
    "y complex": fit(X, Y + 1j),
    "y with one column too few rows": fit(X, np.zeros((149, 1))),
    "weights too short": fit(X, Y, np.ones(149)),
    "weights NaN": fit(X, Y, np.full(150, NAN)),
    "weights of two dimensions": fit(X, Y, np.ones((150, 1))),
    "weights strings": fit(X, Y, ["a"] * 150),
    "weights of nothing": fit(X, Y, np.zeros(150)),
    "counts below zero": fit(X, X[:, 0], loss="poisson"),
    "validation set too small": fit(X[:4], Y[:4], early_stopping=True),
    "rare class in a stratified split": fit(X[40:60], np.r_[np.zeros(19, int), 1], early_stopping=True),
    "one row with early stopping": fit(X[:1], Y[:1], early_stopping=True),
    "zero units": fit(hidden_layer_sizes=(0,)),
    "negative units": fit(hidden_layer_sizes=-1),
    "negative units in a list": fit(hidden_layer_sizes=(5, -1)),
    "units in words": fit(hidden_layer_sizes="five"),
    "half a unit": fit(hidden_layer_sizes=(2.5,)),
    "predict: other columns": after("predict", X[:, :3]),
    "predict: NaN": after("predict", changed(X, NAN)),
    "predict: no rows": after("predict", X[:0]),
    "predict: one sample": after("predict", X[0]),
    "predict: strings": after("predict", [["a", "b", "c", "d"]]),
    "predict: nothing": after("predict", None),
    "predict: sparse of other columns": after("predict", sp.csr_matrix((2, 9))),
    "predict: not fitted": call("predict", X),
    "score: not fitted": call("score", X, Y),
    "score: too short": after("score", X, Y[:-1]),
    "predict_proba: NaN": after("predict_proba", changed(X, NAN)),
    "partial_fit: no classes": call("partial_fit", X, Y),
    "partial_fit: too few classes": call("partial_fit", X, Y, [0, 1]),
    "partial_fit: classes unsorted strings": call("partial_fit", X, Y, ["b", "a"]),
    "partial_fit: other classes": after("partial_fit", X, Y + 7),
    "partial_fit: other columns": after("partial_fit", X[:, :3], Y),
    "partial_fit: early stopping": lambda one: one.set_params(early_stopping=True).partial_fit(X[:, 1:], Y),
    "partial_fit: other classes than before": after("partial_fit", X, Y, [5, 6, 7]),
    "warm start: other classes": after("fit", X, Y + 7, warm_start=True),
    "warm start: fewer columns": after("fit", X[:, :3], Y, warm_start=True),
    "warm start: other layers": after("fit", X, Y, warm_start=True, hidden_layer_sizes=(7,)),
}

WRONG: dict[str, tuple[Any, ...]] = {
    "activation": ("rellu", None, 3),
    "solver": ("newton", None),
    "alpha": (-1e-9, "small", None, NAN),
    "batch_size": (0, -3, 2.5, "all", None),
    "learning_rate": ("fast", None),
    "learning_rate_init": (0, -0.1, "0.1", None),
    "power_t": (-1, None),
    "max_iter": (0, -1, 2.5, None, "many"),
    "shuffle": ("yes", 2, None),
    "random_state": (-1, "seed", np.random.default_rng(0), 2.5),
    "tol": (-1.0, None),
    "verbose": (-1, "loud", None),
    "warm_start": ("no", 2),
    "momentum": (-0.1, 1.1, None),
    "nesterovs_momentum": ("no", None),
    "early_stopping": ("no", None),
    "validation_fraction": (-0.1, 1.0, None),
    "beta_1": (-0.1, 1.0),
    "beta_2": (-0.1, 1.0),
    "epsilon": (0.0, -1e-8),
    "n_iter_no_change": (0, -1, 2.5, None),
    "max_fun": (0, None),
}

NEW: dict[str, tuple[Any, ...]] = {
    "activation": (["relu", "relu"], ["rellu"], [3], []),
    "optimizer": ("admm", 3, dr.RMSprop, "lbfgs"),
    "dropout": (-0.1, 1.0, 2, NAN, "half", None, [0.1, 0.1], [1.0], ["a"], []),
    "l1": (-1e-9, NAN, "small", None),
    "clip_norm": (0, -1.0, NAN, "one"),
    "scoring": (3, "acuracy"),
    "callbacks": (3, "progress"),
    "dtype": ("float16", "double", np.int64, 3, np.dtype("f2")),
    "n_threads": (0, -1, 2.5, "all", 10**6),
    "time_limit": (0, -1.0, NAN, "long"),
}


def refusal(one: Any, action: Callable[[Any], Any]) -> type[BaseException] | None:
    """The class of the exception; the public one where NumPy's is private."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            action(one)
        except Exception as error:
            kinds = type(error).__mro__ if str(error) else [AssertionError]  # it must say something
            return next(kind for kind in kinds if not kind.__module__.startswith("numpy._core"))
    return None


@pytest.mark.parametrize("kind", KINDS)
class TestSameException:
    @pytest.mark.parametrize("name", CASES)
    def test_data(self, kind: str, name: str) -> None:
        ours, theirs = (refusal(one, CASES[name]) for one in both(kind, **SMALL))
        assert ours is theirs

    @pytest.mark.parametrize("name", WRONG)
    def test_parameters(self, kind: str, name: str) -> None:
        for value in WRONG[name]:
            ours, theirs = (refusal(one, fit(**{name: value})) for one in both(kind, **SMALL))
            assert ours is theirs is InvalidParameterError, value

    def test_the_words_are_the_same(self, kind: str) -> None:
        """Where the values that are allowed are the same."""
        for name, value in {"alpha": -1, "max_iter": 0, "learning_rate": "fast", "solver": "newton"}.items():
            said = []
            for one in both(kind, **{name: value}):
                with pytest.raises(InvalidParameterError) as caught:
                    one.fit(X, Y)
                said.append({*str(caught.value).replace("{", " ").replace("}", " ").replace(",", " ").split()})
            assert said[0] == said[1]


@pytest.mark.parametrize("kind", KINDS)
class TestNewParameters:
    @pytest.mark.parametrize("name", NEW)
    def test_invalid(self, kind: str, name: str) -> None:
        for value in NEW[name]:
            one = our(kind, early_stopping=name == "scoring", **{**SMALL, name: value})
            with pytest.raises(InvalidParameterError, match=name) as caught:
                quietly(one.fit, X, Y)
            assert kind in str(caught.value)
            assert not hasattr(one, "coefs_"), value
            assert clone(one).get_params().keys() == one.get_params().keys()

    def test_optimizer_with_lbfgs(self, kind: str) -> None:
        with pytest.raises(ValueError, match="lbfgs"):
            our(kind, solver="lbfgs", optimizer="adam").fit(X, Y)

    def test_a_callback_that_is_none(self, kind: str) -> None:
        for callback in (3, object(), "progress"):
            with pytest.raises((TypeError, ValueError), match="callback"):
                our(kind, callbacks=[callback], **SMALL).fit(X, Y)

    def test_refused_before_anything_is_learned(self, kind: str) -> None:
        """A refused fit leaves a fitted one as it was."""
        one = quietly(our(kind, **SMALL).fit, X, Y)
        before, kept = one.predict(X), one.n_iter_
        for change in ({"dropout": 2.0}, {"alpha": -1.0}):
            with pytest.raises(InvalidParameterError):
                clone(one).set_params(**change).fit(X, Y)
            with pytest.raises(InvalidParameterError):
                one.set_params(**change).fit(X, Y)
        np.testing.assert_array_equal(one.predict(X), before)
        assert one.n_iter_ == kept


class TestOfOneKind:
    @pytest.mark.parametrize("value", ["even", 3, "Balanced", [1, 2]])
    def test_class_weight(self, value: Any) -> None:
        with pytest.raises(InvalidParameterError, match="class_weight"):
            our("MLPClassifier", class_weight=value, **SMALL).fit(X, Y)

    def test_class_weight_is_no_parameter_of_a_regressor(self) -> None:
        with pytest.raises(TypeError, match="class_weight"):
            our("MLPRegressor", class_weight="balanced")

    @pytest.mark.parametrize("value", ["msee", 3, dr.Huber, dr.CrossEntropy(), "cross_entropy", "hinge"], ids=repr)
    def test_loss(self, value: Any) -> None:
        with pytest.raises(InvalidParameterError, match="loss"):
            our("MLPRegressor", loss=value, **SMALL).fit(X, Y)
