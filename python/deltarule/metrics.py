"""Metrics for `Network.evaluate`: functions of the prediction, the targets and their kind as the loss takes them.

The prediction is the network's output, or its probabilities where the loss is binary cross-entropy.
To add one: a function here and its row in METRICS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .names import find

__all__ = ["METRICS", "find_metric"]

Array = npt.NDArray[Any]
Metric = Callable[[Array, Array, str], float]


def accuracy(output: Array, targets: Array, kind: str) -> float:
    """Share of samples whose class is right: the largest output is that of the class index, or of the one-hot row.

    With one output for each label, the share of labels on the right side: of 0 for hinge losses, of probability ½ else.
    """
    if targets.ndim == 1:
        return float(np.mean(output.argmax(axis=1) == targets))
    one_hot = targets.shape[1] > 1 and bool(
        ((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all()
    )
    if kind == "classes" or one_hot:
        return float(np.mean(output.argmax(axis=1) == targets.argmax(axis=1)))
    if kind not in ("probabilities", "signs"):
        raise ValueError("accuracy needs classes: these targets are numbers; use metrics=['r2'] or ['mae']")
    middle = 0.0 if kind == "signs" else 0.5
    return float(np.mean((output > middle) == (targets > middle)))


def _difference(output: Array, targets: Array) -> Array:
    if output.shape != targets.shape:
        raise ValueError(
            f"the outputs have shape {output.shape}, the targets {targets.shape}: mae, mse and r2 compare numbers; for "
            "class indices use metrics=['accuracy']"
        )
    return output - targets


def mean_absolute_error(output: Array, targets: Array, kind: str) -> float:
    """Mean of |output - target|."""
    return float(np.mean(np.abs(_difference(output, targets)), dtype=np.float64))


def mean_squared_error(output: Array, targets: Array, kind: str) -> float:
    """Mean of (output - target)²."""
    return float(np.mean(np.square(_difference(output, targets)), dtype=np.float64))


def r2(output: Array, targets: Array, kind: str) -> float:
    """1 - Σ(target - output)² / Σ(target - mean)², averaged over outputs: 1 is perfect, 0 no better than the mean."""
    residual = np.square(_difference(output, targets)).sum(axis=0, dtype=np.float64)
    total = np.square(targets - targets.mean(axis=0)).sum(axis=0, dtype=np.float64)
    return float(np.mean(1 - residual / np.maximum(total, np.finfo(np.float64).tiny)))


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
    "r2": r2,
}


def find_metric(metric: str | Callable[[Array, Array], float]) -> tuple[str, Metric]:
    """The metric that a user named, or wrote as a function of (output, y), with the name its result goes by."""
    if callable(metric):
        return getattr(metric, "__name__", type(metric).__name__), lambda output, targets, kind: metric(output, targets)
    return metric, find("metric", metric, METRICS)
