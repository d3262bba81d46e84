"""Losses and optimizers of the core in the drop-ins: each is learned with, and is what its name says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn_side_by_side import KINDS, our, quietly, table

import deltarule as dr

X, Y = table("iris")
XD, YD = table("diabetes")
SMALL: dict[str, Any] = {"hidden_layer_sizes": (8, 5), "max_iter": 20, "random_state": 0}


def fitted(kind: str = "MLPClassifier", y: Any = Y, **parameters: Any) -> Any:
    rows = X if len(y) == len(X) else XD
    return quietly(our(kind, **{**SMALL, **parameters}).fit, rows, y)


def bits(model: Any) -> bytes:
    return b"".join(array.tobytes() for array in (*model.coefs_, *model.intercepts_))


class TestLosses:
    def test_mse_is_twice_the_squared_error(self) -> None:
        squared, mse = (fitted("MLPRegressor", YD, loss=loss, alpha=0, max_iter=1) for loss in ("squared_error", "mse"))
        assert mse.loss_ == pytest.approx(2 * squared.loss_, rel=1e-3)

    def test_a_wide_huber_is_the_squared_error(self) -> None:
        huber = fitted("MLPRegressor", YD, loss=dr.Huber(delta=1e6))
        np.testing.assert_allclose(huber.loss_curve_, fitted("MLPRegressor", YD).loss_curve_, rtol=1e-9)

    @pytest.mark.parametrize("loss", ["mse", "mae", "huber", "log_cosh", "quantile", "poisson", dr.Huber(delta=0.1)])
    @pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
    @pytest.mark.parametrize("several", [False, True])
    def test_each_is_learned(self, loss: Any, solver: str, several: bool) -> None:
        y = np.abs(YD) if not several else np.stack([np.abs(YD), XD[:, 0] ** 2], axis=1)
        model = fitted("MLPRegressor", y, loss=loss, solver=solver, learning_rate_init=0.01, max_iter=40)
        assert model.predict(XD).shape == y.shape
        assert model.loss_ < 0.95 * fitted("MLPRegressor", y, loss=loss, learning_rate_init=1e-9, max_iter=1).loss_
        assert model.out_activation_ == ("exp" if loss == "poisson" else "identity")

    @pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
    def test_quantiles(self, q: float) -> None:
        generator = np.random.default_rng(0)
        rows = generator.uniform(-1, 1, (4000, 1))
        y = rows[:, 0] + (1.5 + rows[:, 0]) * generator.normal(size=4000)
        model = our("MLPRegressor", loss=dr.Quantile(q=q), learning_rate_init=0.01, max_iter=60, random_state=0)
        below = y < quietly(model.fit, rows, y).predict(rows)
        assert below.mean() == pytest.approx(q, abs=0.03)
        assert below[rows[:, 0] > 0].mean() == pytest.approx(q, abs=0.05)  # also where the spread is larger

    def test_mae_does_not_mind_outliers(self) -> None:
        rows = np.linspace(-1, 1, 400).reshape(-1, 1)
        y = 2 * rows[:, 0]
        y[::10] += 100
        settings = {"activation": "identity", "learning_rate_init": 0.01, "max_iter": 400}
        robust, plain = (
            quietly(our("MLPRegressor", loss=loss, random_state=0, **settings).fit, rows, y).predict(rows)
            for loss in ("mae", "squared_error")
        )
        assert np.abs(robust - 2 * rows[:, 0]).max() < 1
        assert np.abs(plain - 2 * rows[:, 0]).max() > 5


class TestOptimizers:
    @pytest.mark.parametrize("name", ["sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam", "rprop"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_by_name(self, kind: str, name: str) -> None:
        model = fitted(kind, optimizer=name, learning_rate_init=0.02, max_iter=60, tol=0, n_iter_no_change=np.inf)
        assert model.loss_ < 0.9 * model.loss_curve_[0]
        assert model.t_ == 60 * 150

    def test_by_name_it_takes_the_learning_rate(self) -> None:
        by_name = fitted(optimizer="rmsprop", learning_rate_init=0.02)
        assert bits(by_name) == bits(fitted(optimizer=dr.RMSprop(lr=0.02)))
        assert bits(by_name) != bits(fitted(optimizer=dr.RMSprop(lr=0.01)))

    def test_it_takes_the_place_of_the_solver(self) -> None:
        """The core's Adam adds eps after the bias correction; with this large one the two go other ways."""
        assert bits(fitted(optimizer="adam", solver="sgd")) == bits(fitted(optimizer="adam", solver="adam"))
        np.testing.assert_allclose(fitted(optimizer="adam").loss_curve_, fitted().loss_curve_, rtol=1e-4)
        assert not np.allclose(
            fitted(optimizer=dr.Adam(lr=1e-3, eps=0.1)).loss_curve_, fitted(epsilon=0.1).loss_curve_, rtol=1e-4
        )

    def test_partial_fit_goes_on_with_its_state(self) -> None:
        model = our("MLPClassifier", optimizer="adagrad", shuffle=False, **SMALL)
        for _ in range(20):
            model.partial_fit(X, Y, classes=[0, 1, 2])
        whole = fitted(optimizer="adagrad", shuffle=False, tol=0)
        np.testing.assert_allclose(model.loss_curve_, whole.loss_curve_, rtol=1e-12)
