"""Metrics of numbers: mean absolute and mean squared error, and r². Definitions are those of `sklearn.metrics`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["mean_absolute_error", "mean_squared_error", "r2"]

Array = npt.NDArray[Any]


def mean_absolute_error(output: Array, targets: Array, kind: str) -> float:
    """Mean of |output - target|."""
    return float(np.mean(np.abs(_difference(output, targets))))


def mean_squared_error(output: Array, targets: Array, kind: str) -> float:
    """Mean of (output - target)²."""
    return float(np.mean(np.square(_difference(output, targets))))


def r2(output: Array, targets: Array, kind: str) -> float:
    """1 - Σ(target - output)² / Σ(target - mean)², averaged over outputs: 1 is perfect, 0 no better than the mean.

    As in scikit-learn, an output whose targets are all the same counts 1 where it is met exactly, else 0, and the
    answer is NaN for one sample.
    """
    residual = np.square(_difference(output, targets)).sum(axis=0)
    if len(targets) < 2:
        return math.nan
    targets = targets.reshape(output.shape).astype(np.float64)
    total = np.square(targets - targets.mean(axis=0)).sum(axis=0)
    is_constant = (targets == targets[0]).all(axis=0) | (total == 0)  # rounding makes either without the other
    scores = 1 - residual / np.where(is_constant, 1.0, total)
    return float(np.mean(np.where(is_constant, residual == 0, scores)))


def _difference(output: Array, targets: Array) -> Array:
    """In float64, which sums and squares of many need."""
    if targets.ndim == 1 and output.shape[1] == 1:
        targets = targets.reshape(-1, 1)
    if output.shape != targets.shape:
        raise ValueError(
            f"the outputs have shape {output.shape}, the targets {targets.shape}: mae, mse and r2 compare numbers; for "
            "class indices use metrics=['accuracy']"
        )
    return np.subtract(output, targets, dtype=np.float64)
