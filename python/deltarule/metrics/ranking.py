"""How well outputs rank the samples: the area under the ROC curve.

The mathematics: Hanley & McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC)
curve", Radiology 143 (1982): it is the statistic of Mann and Whitney.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .labels import read_labels

__all__ = ["auc"]

Array = npt.NDArray[Any]


def auc(output: Array, targets: Array, kind: str) -> float:
    """The chance that a sample of the class has a larger output than one of the others; equal ones count ½.

    Of several classes or labels the mean, each against the rest: ``roc_auc_score(multi_class="ovr", average="macro")``
    of scikit-learn, with the probabilities of cross-entropy. One that none or all of the samples have is left out where
    scikit-learn refuses; NaN where that leaves none, and where an output is NaN.
    """
    truth, middle = read_labels("auc", output, targets, kind)
    if np.isnan(output).any():
        return math.nan
    outputs = output.shape[1]
    if middle is None:
        truth = truth[:, np.newaxis] == np.arange(outputs)
        if kind == "classes":
            output = _probabilities(output)
    areas = [_area(output[:, label], truth[:, label]) for label in range(outputs)]
    defined = [area for area in areas if not math.isnan(area)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def _area(scores: Array, positive: Array) -> float:
    """Pairs of a positive and a negative sample in the right order, equal ones half, over all pairs: whole numbers."""
    positives = int(np.count_nonzero(positive))
    negatives = len(positive) - positives
    if not positives or not negatives:
        return math.nan
    order = np.argsort(scores)
    ranked = scores[order]
    first_of_equals = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    of_class = np.add.reduceat(positive[order].astype(np.int64), first_of_equals)
    of_rest = np.diff(first_of_equals, append=len(ranked)) - of_class
    below = np.cumsum(of_rest) - of_rest
    return int(np.sum(of_class * (2 * below + of_rest))) / (2 * positives * negatives)


def _probabilities(output: Array) -> Array:
    """Softmax of logits; rows that are probabilities stay as they are."""
    if (output >= 0).all() and np.allclose(output.sum(axis=1), 1.0, rtol=0, atol=1e-3):
        return output
    logits = output.astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
