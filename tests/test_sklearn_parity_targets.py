"""Whatever scikit-learn takes as X and y: labels of all kinds, several outputs, counts, float32, frames; and L-BFGS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn_side_by_side import (
    BESIDE_1_9,
    SAME,
    TABLES,
    Both,
    assert_same_curves,
    assert_same_fit,
    assert_same_predictions,
    assert_same_structure,
    both,
    fit_both,
    kind_for,
    quietly,
    table,
)

pytestmark = BESIDE_1_9


X, Y = table("iris")
BINARY = Y[Y < 2]
XD, YD = table("diabetes")
COUNTS = np.random.default_rng(0).poisson(np.exp(0.5 * XD[:, 0] - XD[:, 1] + 1))
NAMES = np.array(["setosa", "versicolor", "virginica"])
SMALL: dict[str, Any] = {"hidden_layer_sizes": (9, 6), "max_iter": 40, "random_state": 0}

LABELS = {
    "strings": NAMES[Y],
    "objects": NAMES.astype(object)[Y],
    "list of strings": NAMES[Y].tolist(),
    "negative": np.array([-7, 0, 7])[Y],
    "small integers": Y.astype(np.int8),
    "unsigned": Y.astype(np.uint16),
    "floats": Y.astype(float),
    "booleans": Y > 1,
    "two of them": (Y > 1).astype(int),
    "two strings": np.array(["no", "yes"])[(Y > 1).astype(int)],
    "one of them": np.zeros(150, int),
    "series": pd.Series(NAMES[Y], name="kind"),
    "categories": pd.Series(pd.Categorical(NAMES[Y])),
}


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("name", LABELS)
def test_labels(name: str, early_stopping: bool) -> None:
    pair = fit_both("MLPClassifier", X, LABELS[name], early_stopping=early_stopping, **SMALL)
    assert_same_fit(pair, X, LABELS[name])
    again = [quietly(one.partial_fit, X, LABELS[name]) if not early_stopping else one for one in pair]
    assert_same_predictions(Both(*again), X, LABELS[name])


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_several_labels_at_once(early_stopping: bool, solver: str) -> None:
    features, labels = make_multilabel_classification(n_samples=120, n_classes=4, random_state=1)
    pair = fit_both("MLPClassifier", features, labels, early_stopping=early_stopping, solver=solver, **SMALL)
    assert pair.ours.out_activation_ == "logistic"
    assert_same_fit(pair, features, labels)
    weighted = fit_both("MLPClassifier", features, labels, np.linspace(0.1, 2, 120), solver=solver, **SMALL)
    assert_same_fit(weighted, features, labels)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_several_outputs(early_stopping: bool, solver: str) -> None:
    """Its loss is the mean over the outputs, the gradient that of their sum."""
    y = np.stack([YD, XD[:, 3] * YD, np.abs(YD)], axis=1)
    pair = fit_both("MLPRegressor", XD, y, early_stopping=early_stopping, solver=solver, **SMALL)
    assert_same_fit(pair, XD, y)
    weights = np.linspace(0.1, 2, len(y))
    assert_same_fit(fit_both("MLPRegressor", XD, y, weights, solver=solver, **SMALL), XD, y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("y", [COUNTS, np.stack([COUNTS, COUNTS[::-1] / 2], axis=1)], ids=["one", "two"])
def test_poisson(y: Any, early_stopping: bool, weighted: bool) -> None:
    weights = np.linspace(0.1, 2, len(y)) if weighted else None
    pair = fit_both("MLPRegressor", XD, y, weights, loss="poisson", early_stopping=early_stopping, **SMALL)
    assert pair.ours.out_activation_ == "exp"
    assert_same_fit(pair, XD, y)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_a_column_is_taken_with_the_same_warning(kind: str) -> None:
    pair = both(kind, **SMALL)
    for one in pair:
        with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
            quietly(one.fit, X, Y.reshape(-1, 1))
    assert_same_fit(pair, X, Y)


FORMS = {
    "Fortran order": np.asfortranarray(X),
    "every other column": np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": X[::-1][::-1],
    "big-endian": X.astype(">f8"),
    "integers": np.round(10 * X).astype(np.int16),
    "booleans": X > 0,
    "half precision": X.astype(np.float16),
    "lists": X.tolist(),
    "frame": pd.DataFrame(X, columns=["a", "b", "c", "d"]),
    "frame of several types": pd.DataFrame({"a": X[:, 0].astype(np.float32), "b": np.arange(150), "c": X[:, 1] > 0}),
}


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("name", FORMS)
def test_features(name: str, kind: str) -> None:
    assert_same_fit(fit_both(kind, FORMS[name], Y, **SMALL), FORMS[name], Y)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_long_double_is_computed_in_double(kind: str) -> None:
    pair = fit_both(kind, X.astype(np.longdouble), Y, **SMALL)
    assert_same_fit(pair, X, Y)
    assert pair.ours.score(X.astype(np.longdouble), Y) == pytest.approx(pair.ours.score(X, Y), rel=1e-12)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("y_dtype", [np.int64, np.float32, np.float64])
def test_single_precision(kind: str, order: Any, y_dtype: Any) -> None:
    """Weights and predictions are float32 too; rounding there is 1e-7, and grows from epoch to epoch."""
    features, y = np.array(X, np.float32, order=order), Y.astype(y_dtype)
    pair = fit_both(kind, features, y, **SMALL)
    assert_same_structure(pair)
    assert_same_curves(pair, rtol=1e-4)
    assert_same_predictions(pair, features, y, rtol=1e-3)
    assert_same_predictions(pair, X, y, rtol=1e-3)  # asked in float64, it answers so


class TestLBFGS:
    """SciPy's optimizer over our loss and gradient: the same way for as long as rounding is small beside the steps."""

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    @pytest.mark.parametrize("name", TABLES)
    def test_the_first_iterations(self, name: str, activation: str) -> None:
        features, y = table(name)
        settings: dict[str, Any] = {"hidden_layer_sizes": (10,), "activation": activation, "max_iter": 20}
        pair = fit_both(kind_for(name), features, y, solver="lbfgs", random_state=0, **settings)
        self.assert_same(pair, features, y)

    def test_to_the_end(self) -> None:
        pair = fit_both("MLPRegressor", XD, YD, solver="lbfgs", activation="identity", random_state=0, tol=1e-6)
        assert pair.ours.loss_ == pytest.approx(pair.theirs.loss_, rel=SAME)
        np.testing.assert_allclose(pair.ours.predict(XD), pair.theirs.predict(XD), atol=1e-3)
        assert pair.ours.n_iter_ == pytest.approx(pair.theirs.n_iter_, rel=0.3)

    def test_other_losses(self) -> None:
        features, labels = make_multilabel_classification(n_samples=120, n_classes=4, random_state=1)
        settings: dict[str, Any] = {"solver": "lbfgs", "max_iter": 15, "random_state": 1, "hidden_layer_sizes": (8,)}
        weights = np.linspace(0.1, 2, 120)
        several = np.stack([YD, np.abs(YD)], axis=1)
        self.assert_same(fit_both("MLPClassifier", features, labels, weights, **settings), features, labels)
        self.assert_same(fit_both("MLPClassifier", X[:100], BINARY, alpha=1.0, **settings), X[:100], BINARY)
        self.assert_same(fit_both("MLPRegressor", XD, several, **settings), XD, several)
        self.assert_same(fit_both("MLPRegressor", XD, COUNTS, loss="poisson", **settings), XD, COUNTS)

    def test_warm_start(self) -> None:
        pair = both("MLPClassifier", solver="lbfgs", warm_start=True, max_iter=5, random_state=0)
        for _ in range(3):
            for one in pair:
                quietly(one.fit, X, Y)
            self.assert_same(pair, X, Y)

    @pytest.mark.parametrize("limit", [{"max_iter": 3}, {"max_fun": 4}], ids=str)
    def test_limits(self, limit: dict[str, int]) -> None:
        said = []
        pair = both("MLPRegressor", solver="lbfgs", random_state=0, **limit)
        for one in pair:
            with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge") as caught:
                one.fit(XD, YD)
            said.append([str(warning.message) for warning in caught])
        assert said[0] == said[1]
        self.assert_same(pair, XD, YD)

    @staticmethod
    def assert_same(pair: Both, features: Any, y: Any) -> None:
        ours, theirs = pair
        assert ours.n_iter_ == theirs.n_iter_
        assert ours.loss_ == pytest.approx(theirs.loss_, rel=SAME)
        assert_same_structure(pair)
        assert_same_predictions(pair, features, y, rtol=1e-4)
