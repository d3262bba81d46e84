"""Weights of samples: given one by one, or made from the classes that the samples belong to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import converted, is_ready, require_finite, to_array
from .names import did_you_mean

__all__ = ["as_sample_weight", "class_weights"]


def as_sample_weight(
    sample_weight: Any, n_rows: int, dtype: npt.DTypeLike, *, of_part: bool = False
) -> npt.NDArray[Any] | None:
    """One weight for each sample, checked.

    The loss becomes the weighted mean Σ wₛ ℓₛ / Σ wₛ, so only the ratios of the weights matter.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,) or None
        Not negative, and not all zero.
    n_rows : int
        The number of samples in X.
    dtype : numpy.float32 or numpy.float64
        The dtype of the network.
    of_part : bool, default=False
        Whether there are more samples than these, which then may all have the weight 0.

    Returns
    -------
    ndarray of shape (n_rows,) or None
        None stands for equal weights. The argument itself when it is already right.

    Raises
    ------
    TypeError, ValueError
        Not one finite number >= 0 for each sample, or a sum that is zero or overflows `dtype`.

    Examples
    --------
    >>> import numpy as np
    >>> as_sample_weight([1, 2, 0.5], 3, np.float32)
    array([1. , 2. , 0.5], dtype=float32)
    """
    if sample_weight is None:
        return None
    name = "sample_weight"
    ready = is_ready(sample_weight, dtype)
    array = sample_weight if ready else converted(to_array(sample_weight, name, dtype), dtype)
    if array.ndim != 1:
        step = "; pass sample_weight.ravel()" if array.ndim == 2 and array.shape[1] == 1 else ""
        raise ValueError(f"sample_weight has shape {array.shape}: expected ({n_rows},), one weight a sample{step}")
    if len(array) != n_rows:
        raise ValueError(f"sample_weight has {len(array)} entries but X has {n_rows} rows: each sample needs one")
    require_finite(array, sample_weight, name)
    if n_rows and array.min() < 0:
        row = int((array < 0).argmax())
        raise ValueError(f"sample_weight[{row}] is {array[row]}: weights cannot be negative; 0 leaves a sample out")
    if of_part and not array.any():
        return array
    _check_sum(array, name)
    return _lifted(array)


def class_weights(
    class_weight: Mapping[Any, float] | str,
    y: npt.NDArray[Any],
    outputs: int,
    dtype: npt.DTypeLike,
    kind: str,
    *,
    of_part: bool = False,
) -> npt.NDArray[Any]:
    """The weight of each sample from the weight of its class.

    "balanced" gives class c the weight n / (k nᶜ), where n samples fall into k classes and nᶜ of them into c, so that
    every class counts as much as any other.

    Parameters
    ----------
    class_weight : dict of label to weight, or "balanced"
        Labels are class indices; with one output 0 and 1, or -1 and 1 for hinge losses. Classes that the dict leaves
        out weigh 1.
    y : ndarray
        As `as_targets` returned it.
    outputs : int
        The number of units in the last layer.
    dtype : numpy.float32 or numpy.float64
        The dtype of the network.
    kind : str
        The kind of target, as in `as_targets`.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    TypeError
        `class_weight` is neither a dict nor a string, or a weight is not a number.
    ValueError
        The targets are not class labels, a label is unknown, or a weight is negative or not finite.

    Notes
    -----
    "balanced" and the weight 1 of classes left out are as in scikit-learn; a class that does not occur among the
    targets does not count towards k.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([0, 0, 0, 1], np.int32)
    >>> class_weights("balanced", y, 2, np.float64, "classes")
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    indices, labels = _labels(y, outputs, kind)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                f"class_weight is {class_weight!r}: expected a dict; {did_you_mean(class_weight, ['balanced'])}"
            )
        counts = np.bincount(indices, minlength=len(labels))
        table = len(indices) / (np.count_nonzero(counts) * np.maximum(counts, 1.0))
    elif isinstance(class_weight, Mapping):
        table = _table(class_weight, labels)
    else:
        raise TypeError(
            f"class_weight is of type {type(class_weight).__name__}: expected a dict such as {{0: 1.0, 1: 5.0}}, or "
            '"balanced"; weights of single samples are sample_weight'
        )
    weights: npt.NDArray[Any] = converted(table[indices], dtype)
    require_finite(weights, table[indices], "class_weight")
    if not of_part or weights.any():
        _check_sum(weights, "class_weight")
    return weights


def _labels(y: npt.NDArray[Any], outputs: int, kind: str) -> tuple[npt.NDArray[np.intp], list[int]]:
    """The position of each sample's label in a list, and that list."""
    if kind == "classes" and y.ndim == 1:
        return y.astype(np.intp, copy=False), list(range(outputs))
    if kind in ("probabilities", "signs") and outputs == 1:
        labels = [0, 1] if kind == "probabilities" else [-1, 1]
        flat = y.reshape(-1)
        other = (flat != labels[0]) & (flat != labels[1])
        if other.any():
            row = int(other.argmax())
            raise ValueError(
                f"class_weight needs class labels but y[{row}] is {flat[row]}: expected {labels[0]} or {labels[1]}; "
                "weigh such samples with sample_weight"
            )
        return (flat == labels[1]).astype(np.intp), labels
    raise ValueError(
        f"class_weight needs one class label for each sample, but these targets are {kind} of shape {y.shape}: use "
        "sample_weight instead"
    )


def _table(class_weight: Mapping[Any, float], labels: list[int]) -> npt.NDArray[np.float64]:
    table = np.ones(len(labels))
    position_of = {label: position for position, label in enumerate(labels)}
    if labels == [-1, 1] and not (-1 in class_weight and 0 in class_weight):
        position_of[0] = 0  # hinge losses take the labels 0 and 1 as well
    for label, weight in class_weight.items():
        position = position_of.get(label)
        if position is None:
            known = ", ".join(map(str, labels)) if len(labels) <= 10 else f"0 to {labels[-1]}"
            raise ValueError(f"class_weight has the label {label!r}: the classes are {known}")
        if not isinstance(weight, (int, float, np.integer, np.floating)):
            raise TypeError(f"class_weight[{label!r}] is {weight!r}: expected a number")
        try:
            number = float(weight)
        except OverflowError:  # an integer of hundreds of digits
            number = math.inf
        if not 0 <= number < math.inf:
            raise ValueError(f"class_weight[{label!r}] is {weight}: expected a finite number >= 0")
        table[position] = number
    return table


def _lifted(weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Weights so small that the core would take them for zero, times a constant: only their ratios matter."""
    largest = float(weights.max())
    if largest > 2.0**32 * float(np.finfo(weights.dtype).tiny):
        return weights
    lifted: npt.NDArray[Any] = (weights.astype(np.longdouble) / largest).astype(weights.dtype)
    return lifted


def _check_sum(weights: npt.NDArray[Any], name: str) -> None:
    total = weights.sum(dtype=np.float64)
    if not total > 0:
        raise ValueError(f"{name} is 0 for every sample: at least one sample must count")
    if total > np.finfo(weights.dtype).max:
        raise ValueError(f"{name} sums to more than {weights.dtype} holds: divide the weights by a constant")
