"""The score that early stopping looks at after each epoch, and the best weights so far."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring, r2_score

from ..network import Network
from ..network.structure import Array
from .samples import Samples, for_core

__all__ = ["BestWeights", "accuracy", "predictions", "r2", "scorer_of"]


def predictions(network: Network, X: Any, activation: str, threads: tuple[int, int]) -> Array:
    """The network's answers for dense or sparse rows, with this activation at the end ("" for none)."""
    output, _ = network._native.predict(network._flat, for_core(X), activation, *threads)
    return np.asarray(output)


def scorer_of(estimator: Any, scoring: Any, held_out: Samples, labels: Any) -> Callable[[], float]:
    """A function that scores the estimator as it is; with the weights of the samples where the scorer takes them."""
    scorer = check_scoring(estimator, scoring=scoring)
    weights = {}
    taken = inspect.signature(getattr(scorer, "_score_func", scorer)).parameters
    if held_out.sample_weight is not None and "sample_weight" in taken:
        weights["sample_weight"] = held_out.sample_weight

    def score() -> float:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")  # they were checked by fit
            return float(scorer(estimator, held_out.X, labels, **weights))

    return score


def accuracy(outputs: Array, held_out: Samples) -> float:
    """The share of samples whose labels are all right, of probabilities against class indices or columns of labels."""
    if held_out.y.ndim == 1:
        right = outputs.argmax(axis=1) == held_out.y
    else:
        right = ((outputs > 0.5) == (held_out.y > 0.5)).all(axis=1)
    return float(np.average(right, weights=held_out.sample_weight))


def r2(outputs: Array, held_out: Samples) -> float:
    """The coefficient of determination, averaged over the outputs; NaN where an output is not finite."""
    if not np.isfinite(outputs).all():
        return float("nan")
    return float(r2_score(held_out.y, outputs, sample_weight=held_out.sample_weight))


class BestWeights:
    """The weights of the epoch with the best score.

    Before the first epoch of all these are the weights that training starts from. A later fit that finds nothing better
    keeps the weights of its end, as in scikit-learn.
    """

    def __init__(self, network: Network, score: float, *, is_first: bool) -> None:
        self._network = network
        self.score = score
        self.flat: Array | None = network._flat.copy() if is_first else None

    def see(self, score: float) -> None:
        """Keep the weights of now, where the score is better than all before."""
        if score > self.score:
            self.score = score
            self.flat = self._network._flat.copy()

    def restore(self) -> None:
        """Give them back to the network."""
        if self.flat is not None:
            self._network._native.assign(self._network._flat, self.flat)
