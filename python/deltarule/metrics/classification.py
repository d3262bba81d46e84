"""Metrics of classes: accuracy, top-k accuracy and F1. Definitions are those of `sklearn.metrics`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .labels import read_labels

__all__ = ["accuracy", "f1", "top_k"]

Array = npt.NDArray[Any]


def accuracy(output: Array, targets: Array, kind: str) -> float:
    """Share of samples whose class is right: the largest output is that of the class index, or of the one-hot row.

    With one output for each label, the share of labels on the right side: of 0 for hinge losses, of ½ else.
    """
    truth, middle = read_labels("accuracy", output, targets, kind)
    answer = output.argmax(axis=1) if middle is None else output > middle
    return float(np.mean(answer == truth))


def top_k(output: Array, targets: Array, kind: str, k: int) -> float:
    """Share of samples whose class is among those of the k largest outputs; of equal ones the first counts, as argmax.

    `sklearn.metrics.top_k_accuracy_score`, which takes the last of equal outputs.
    """
    truth, middle = read_labels(f"top_{k}", output, targets, kind)
    outputs = output.shape[1]
    if middle is not None:
        raise ValueError(f"top_{k} needs one output for each class: use metrics=['accuracy']")
    if k >= outputs:
        raise ValueError(f"top_{k} of {outputs} outputs is always 1: choose a number below {outputs}")
    own = np.take_along_axis(output, truth[:, np.newaxis], axis=1)
    # NaN is before everything: a class with such an output is never among the first.
    before = ~(output <= own) | ((output == own) & (np.arange(outputs) < truth[:, np.newaxis]))
    return float(np.mean(before.sum(axis=1) < k))


def f1(output: Array, targets: Array, kind: str) -> float:
    """2·TP / (2·TP + FP + FN), of one output that of its label, else the mean over classes or labels.

    ``f1_score(average="binary")`` and ``f1_score(average="macro")`` of scikit-learn: a class that is neither among the
    targets nor among the answers does not count, a label that is neither counts 0.
    """
    truth, middle = read_labels("f1", output, targets, kind)
    if middle is None:
        outputs, answer = output.shape[1], output.argmax(axis=1)
        right = np.bincount(truth[answer == truth], minlength=outputs)
        either = np.bincount(truth, minlength=outputs) + np.bincount(answer, minlength=outputs)
        right, either = right[either > 0], either[either > 0]
    else:
        label = output > middle
        right, either = (truth & label).sum(axis=0), truth.sum(axis=0) + label.sum(axis=0)
    return float(np.mean(2 * right / np.maximum(either, 1)))
