"""scikit-learn's MLPClassifier and MLPRegressor, in float32, without its L2 penalty and without early stopping."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..cells import OPTIMIZERS, Problem, Weights
from . import Maker, Peer, library
from .blas_threads import blas_forms

__all__ = ["NEEDS", "ScikitLearn", "forms"]

NEEDS = ("scikit-learn",)


class ScikitLearn(Peer):
    """One warm-started ``fit`` for each run.

    Parameters
    ----------
    problem : Problem

    Notes
    -----
    Its squared error has a factor of one half, which Adam does not feel but for eps. The losses of the batches are
    computed in every step, since it offers no way to leave them out.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        cell, networks = problem.cell, library("sklearn.neural_network")
        self._convergence_warning = library("sklearn.exceptions").ConvergenceWarning
        numbers = OPTIMIZERS[cell.optimizer]
        of_optimizer: dict[str, Any] = (
            {"solver": "adam", "beta_1": numbers["beta1"], "beta_2": numbers["beta2"], "epsilon": numbers["eps"]}
            if cell.optimizer == "adam"
            else {"solver": "sgd", "momentum": numbers["momentum"], "nesterovs_momentum": False}
        )
        kind = networks.MLPRegressor if cell.loss == "mse" else networks.MLPClassifier
        self._target = problem.y.ravel()
        self._model: Any = kind(
            hidden_layer_sizes=cell.widths[1:-1],
            activation=cell.activation,
            learning_rate_init=numbers["lr"],
            alpha=0.0,
            batch_size=cell.batch,
            shuffle=problem.shuffle,
            tol=0.0,
            n_iter_no_change=10**9,
            warm_start=True,
            random_state=0,
            max_iter=1,
            **of_optimizer,
        )
        self.train(1)  # it makes its arrays in the first fit
        self.reset()

    def reset(self) -> None:
        """Copies of the initial weights; a fit that is no partial one starts a new optimizer."""
        self._model.coefs_ = [weight.copy() for weight, _ in self.problem.initial]
        self._model.intercepts_ = [bias.copy() for _, bias in self.problem.initial]

    def train(self, epochs: int) -> None:
        """One fit."""
        self._model.max_iter = epochs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._convergence_warning)  # it is stopped on purpose
            self._model.fit(self.problem.X, self._target)

    def weights(self) -> Weights:
        """Of the model."""
        return list(zip(self._model.coefs_, self._model.intercepts_, strict=True))


def forms(problem: Problem) -> Mapping[str, Maker]:
    """With the threads that its BLAS takes by itself, and with one."""
    return blas_forms("scikit-learn", partial(ScikitLearn, problem))
