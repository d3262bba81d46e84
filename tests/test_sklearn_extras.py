"""What ours can more than scikit-learn's: activations, dropout, penalties, class weights, dtype, a time limit."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight
from sklearn_side_by_side import KINDS, our, quietly, table

from deltarule.reference import ACTIVATIONS, activations

X, Y = table("iris")
XD, YD = table("diabetes")
LABELS = np.array(["setosa", "versicolor", "virginica"])[Y]
SMALL: dict[str, Any] = {"hidden_layer_sizes": (8, 5), "max_iter": 20, "random_state": 0}
STEP: dict[str, Any] = {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.5, "batch_size": 150, "max_iter": 1}
ELEMENTWISE = [name for name in ACTIVATIONS if name != "softmax"]


def fitted(kind: str = "MLPClassifier", y: Any = Y, sample_weight: Any = None, **parameters: Any) -> Any:
    rows = X if len(y) == len(X) else XD
    return quietly(our(kind, **{**SMALL, **parameters}).fit, rows, y, sample_weight)


def bits(model: Any) -> bytes:
    return b"".join(array.tobytes() for array in (*model.coefs_, *model.intercepts_))


def start(**parameters: Any) -> Any:
    """With the weights that a fit begins with."""
    return fitted(**{**STEP, **parameters, "learning_rate_init": 1e-30})


class TestActivations:
    @pytest.mark.parametrize("name", [*ELEMENTWISE, "logistic", "linear", "swish"])
    def test_each(self, name: str) -> None:
        """Predictions are those of the formula, and the loss falls."""
        model = fitted("MLPRegressor", XD @ np.ones(10), activation=name, learning_rate_init=0.01)
        assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]
        a = XD
        for coef, intercept in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
            a = activations.get(name).value(a @ coef + intercept)
        np.testing.assert_allclose(model.predict(XD), (a @ model.coefs_[-1] + model.intercepts_[-1]).ravel(), rtol=1e-9)

    def test_one_for_each_layer(self) -> None:
        model = fitted(activation=["tanh", "gelu"])
        hidden = activations.get("tanh").value(X @ model.coefs_[0] + model.intercepts_[0])
        hidden = activations.get("gelu").value(hidden @ model.coefs_[1] + model.intercepts_[1])
        logits = hidden @ model.coefs_[2] + model.intercepts_[2]
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-9)
        assert bits(model) != bits(fitted(activation=["gelu", "tanh"]))

    @pytest.mark.parametrize("solver", ["adam", "lbfgs"])
    def test_the_same_for_each_is_one_for_all(self, solver: str) -> None:
        assert bits(fitted(activation=("relu", "relu"), solver=solver)) == bits(
            fitted(activation="relu", solver=solver)
        )


class TestDropout:
    def test_none(self) -> None:
        assert bits(fitted(dropout=0.0)) == bits(fitted(dropout=[0, 0])) == bits(fitted())

    def test_a_rate_for_each_layer(self) -> None:
        models = [fitted(dropout=rates) for rates in (0.4, [0.4, 0.4], [0.4, 0.0], (0.0, 0.4), 0.0)]
        assert bits(models[0]) == bits(models[1])
        assert len({bits(model) for model in models}) == 4

    def test_is_repeated_by_the_seed(self) -> None:
        assert bits(fitted(dropout=0.3)) == bits(fitted(dropout=0.3)) != bits(fitted(dropout=0.3, random_state=1))

    def test_only_while_it_trains(self) -> None:
        model = fitted(dropout=0.9, hidden_layer_sizes=(50,), max_iter=100, learning_rate_init=0.02)
        assert np.array_equal(model.predict_proba(X), model.predict_proba(X))
        sure = model.predict_proba(X)[np.arange(150), Y]
        assert -np.log(sure).mean() < 0.8 * model.loss_  # the loss was that of the thinned networks
        assert model.score(X, Y) > 0.9


class TestPenaltiesAndBounds:
    def test_l1_is_in_the_loss(self) -> None:
        """As alpha is: divided by the number of samples, and of the coefs alone."""
        plain, penalized = fitted(**STEP, alpha=0), fitted(**STEP, alpha=0, l1=3.0)
        size = sum(np.abs(coef).sum() for coef in start().coefs_)
        assert penalized.loss_ == pytest.approx(plain.loss_ + 3.0 * size / 150, rel=1e-9)

    def test_l1_is_in_the_step(self) -> None:
        plain, penalized = fitted(**STEP), fitted(**STEP, l1=3.0)
        for before, without, with_it in zip(start().coefs_, plain.coefs_, penalized.coefs_, strict=True):
            np.testing.assert_allclose(with_it, without - 0.5 * 3.0 / 150 * np.sign(before), atol=1e-12)
        for without, with_it in zip(plain.intercepts_, penalized.intercepts_, strict=True):
            np.testing.assert_allclose(with_it, without, atol=1e-12)

    @pytest.mark.parametrize("solver", ["adam", "lbfgs"])
    def test_l1_shrinks(self, solver: str) -> None:
        models = [fitted(l1=l1, solver=solver, max_iter=200, learning_rate_init=0.01) for l1 in (0, 0.3, 3.0)]
        sizes = [sum(np.abs(coef).sum() for coef in model.coefs_) for model in models]
        assert sizes[0] > 1.2 * sizes[1] > 1.5 * sizes[2]

    def test_l1_with_weights_is_divided_by_their_sum(self) -> None:
        heavy = fitted(**STEP, alpha=0, l1=3.0, sample_weight=np.full(150, 4.0))
        light = fitted(**STEP, alpha=0, l1=0.75)
        assert heavy.loss_ == pytest.approx(light.loss_, rel=1e-9)
        np.testing.assert_allclose(heavy.coefs_[0], light.coefs_[0], rtol=1e-9)

    @pytest.mark.parametrize("bound", [1e-3, 0.05])
    def test_clip_norm(self, bound: float) -> None:
        arguments = {**STEP, "learning_rate_init": 1.0}
        moved, free = (
            np.concatenate(
                [
                    (after - before).ravel()
                    for name in ("coefs_", "intercepts_")
                    for after, before in zip(getattr(model, name), getattr(start(), name), strict=True)
                ]
            )
            for model in (fitted(**arguments, clip_norm=bound), fitted(**arguments))
        )
        assert np.linalg.norm(free) > bound
        assert np.linalg.norm(moved) == pytest.approx(bound, rel=1e-4)
        np.testing.assert_allclose(moved / np.linalg.norm(moved), free / np.linalg.norm(free), atol=1e-7)

    def test_a_bound_that_does_not_bind(self) -> None:
        np.testing.assert_allclose(fitted(clip_norm=1e9).coefs_[0], fitted().coefs_[0], rtol=1e-12)


class TestClassWeight:
    UNEVEN = np.r_[0:50, 50:70, 100:110]

    @pytest.mark.parametrize("weights", ["balanced", {"setosa": 3.0, "versicolor": 0.25, "virginica": 1.0}], ids=str)
    @pytest.mark.parametrize("solver", ["adam", "lbfgs"])
    @pytest.mark.parametrize("given", [False, True])
    def test_is_a_sample_weight(self, weights: Any, solver: str, given: bool) -> None:
        rows, labels = X[self.UNEVEN], LABELS[self.UNEVEN]
        own = np.linspace(0.5, 2, len(labels)) if given else None
        by_class = quietly(our("MLPClassifier", class_weight=weights, solver=solver, **SMALL).fit, rows, labels, own)
        product = compute_sample_weight(weights, labels) * (1 if own is None else own)
        by_sample = quietly(our("MLPClassifier", solver=solver, **SMALL).fit, rows, labels, product)
        np.testing.assert_allclose(by_class.predict_proba(X), by_sample.predict_proba(X), rtol=1e-6)
        assert by_class.loss_ == pytest.approx(by_sample.loss_, rel=1e-9)

    def test_two_classes(self) -> None:
        rows, labels = X[30:70], Y[30:70]
        first, second = (
            quietly(our("MLPClassifier", class_weight=weights, learning_rate_init=0.01, **SMALL).fit, rows, labels)
            for weights in ({0: 10.0, 1: 1.0}, {0: 1.0, 1: 10.0})
        )
        assert first.predict_proba(rows)[:, 0].mean() > second.predict_proba(rows)[:, 0].mean() + 0.1


@pytest.mark.parametrize("kind", KINDS)
class TestDtypeAndTime:
    @pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32")], ids=repr)
    def test_single_precision_of_double_data(self, kind: str, dtype: Any) -> None:
        model = fitted(kind, dtype=dtype)
        assert {array.dtype.name for array in (*model.coefs_, *model.intercepts_)} == {"float32"}
        same = quietly(our(kind, **SMALL).fit, X.astype(np.float32), Y)
        assert bits(model) == bits(same)
        if kind == "MLPRegressor":
            assert model.predict(X).dtype == np.float64
            assert model.predict(X.astype(np.float32)).dtype == np.float32

    def test_double_precision_of_single_data(self, kind: str) -> None:
        model = quietly(our(kind, dtype="float64", **SMALL).fit, X.astype(np.float32), Y)
        assert {array.dtype.name for array in (*model.coefs_, *model.intercepts_)} == {"float64"}
        wide = quietly(our(kind, **SMALL).fit, X.astype(np.float32).astype(float), Y)
        assert bits(model) == bits(wide)

    @pytest.mark.parametrize("solver", ["adam", "lbfgs"])
    def test_time_limit(self, kind: str, solver: str) -> None:
        endless: dict[str, Any] = {"max_iter": 10**6, "max_fun": 10**9, "tol": 0, "n_iter_no_change": np.inf}
        model = our(kind, solver=solver, time_limit=0.3, activation="tanh", random_state=0, **endless)
        begun = time.perf_counter()
        if solver == "adam":
            with pytest.warns(ConvergenceWarning, match="time_limit"):
                model.fit(X, Y)
            assert time.perf_counter() - begun > 0.3
        else:
            quietly(model.fit, X, Y)  # it may be done before
        assert time.perf_counter() - begun < 2
        assert model.n_iter_ > 10

    def test_time_that_is_enough(self, kind: str) -> None:
        assert bits(fitted(kind, time_limit=100)) == bits(fitted(kind))
