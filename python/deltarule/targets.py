"""Targets in the form that a loss takes: class indices, probabilities, signs, counts or any numbers.

A new kind is a row of `_RANGES`, or a branch of `as_targets` where a range of values does not describe it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import converted, is_ready, require_finite, to_array
from .names import did_you_mean

__all__ = ["KINDS", "as_targets", "first_outside", "range_of", "require_whole"]

_ENCODE_LABELS = "turn labels into class numbers with np.unique(labels, return_inverse=True)[1]"

# kind: (lowest, highest, what to do about a value outside)
_RANGES = {
    "values": (-math.inf, math.inf, ""),
    "probabilities": (0.0, 1.0, 'for more than two classes use loss="cross_entropy"'),
    "signs": (-1.0, 1.0, "hinge losses take the labels -1 and 1, or 0 and 1"),
    "counts": (0.0, math.inf, 'for targets that can be negative use loss="mse"'),
}
KINDS = ("classes", *_RANGES)

# How far the sum of a row of probabilities may be from 1: what float16 or three printed digits leave.
_SUM_TOLERANCE = 1e-3


def as_targets(
    y: Any, n_rows: int, *, kind: str, outputs: int, dtype: npt.DTypeLike, name: str = "y"
) -> npt.NDArray[Any]:
    """Targets as the loss takes them.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, outputs)
        One-dimensional targets suit networks of one output, and class indices.
    n_rows : int
        The number of samples in X.
    kind : {"classes", "probabilities", "signs", "counts", "values"}
        Which numbers the loss takes: class indices 0 … outputs-1 or rows of probabilities that sum to 1 ("classes",
        cross-entropy), numbers in [0, 1] ("probabilities", binary cross-entropy), {-1, 1} ("signs", hinge; {0, 1} and
        booleans become {-1, 1}), numbers from 0 on ("counts", Poisson), any finite numbers ("values").
    outputs : int
        The number of units in the last layer.
    dtype : numpy.float32 or numpy.float64
        The dtype of the network.
    name : str, default="y"
        What messages call it.

    Returns
    -------
    ndarray
        Class indices: int32 of shape (n_rows,). All else: `dtype`, shape (n_rows, outputs). `y` itself or a view of
        it where it is already right.

    Raises
    ------
    TypeError
        Labels that are text or objects.
    ValueError
        The wrong number of rows or columns, NaN or infinity, a value that the loss does not take.

    Examples
    --------
    >>> import numpy as np
    >>> as_targets([2, 0, 1], 3, kind="classes", outputs=3, dtype=np.float32)
    array([2, 0, 1], dtype=int32)
    >>> as_targets([False, True], 2, kind="signs", outputs=1, dtype=np.float32)
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    if kind == "classes":
        return _classes(y, n_rows, outputs, dtype, name)
    if kind not in _RANGES:
        raise ValueError(f"kind is {kind!r}: {did_you_mean(str(kind), KINDS)}")
    array = y if is_ready(y, dtype) else converted(to_array(y, name, dtype, text_step=_ENCODE_LABELS), dtype)
    _check_rows(array.shape, n_rows, name)
    require_finite(array, y, name)
    if array.ndim == 1 and outputs == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or array.shape[1] != outputs:
        raise ValueError(_columns_message(array.shape, outputs, name))
    lowest, highest, step = _RANGES[kind]
    if kind == "signs":
        return _signs(array, name, step)
    if kind != "values":
        _check_range(array, lowest, highest, name, step)
    return array


def range_of(kind: str) -> tuple[float, float] | None:
    """The lowest and the highest number of a kind; None where a range does not tell all ("classes", "signs")."""
    return _RANGES[kind][:2] if kind in ("values", "probabilities", "counts") else None


def require_whole(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """One-dimensional real numbers, refused with ValueError where one is no whole number (NaN included)."""
    if array.dtype.kind != "f":
        return array
    # The search for NaN takes float32 and float64 only; float16 and long doubles go through float64.
    numbers = np.ascontiguousarray(array, array.dtype if array.dtype in (np.float32, np.float64) else np.float64)
    require_finite(numbers, array, name)
    fractional = numbers != np.floor(numbers)
    if fractional.any():
        row = int(fractional.argmax())
        raise ValueError(
            f"{name}[{row}] is {numbers[row]}: class indices are whole numbers; for targets that are not classes use "
            'loss="mse"'
        )
    return numbers


def first_outside(indices: npt.NDArray[Any], classes: int) -> int:
    """Position of the first of the whole numbers `indices` outside [0, classes), or -1."""
    if indices.size == 0:
        return -1
    if indices.dtype == np.int32:
        # Seen as unsigned, negative numbers are the largest: one pass finds both ends.
        inside = bool(indices.view(np.uint32).max() < classes)
    else:
        inside = bool(indices.min() >= 0 and indices.max() < classes)
    return -1 if inside else int(((indices < 0) | (indices >= classes)).argmax())


def _classes(y: Any, n_rows: int, outputs: int, dtype: npt.DTypeLike, name: str) -> npt.NDArray[Any]:
    array = y if is_ready(y, np.int32) else to_array(y, name, dtype, text_step=_ENCODE_LABELS)
    _check_rows(array.shape, n_rows, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim == 1:
        indices = require_whole(array, name)
        row = first_outside(indices, outputs)
        if row >= 0:
            units, step = f"{outputs} units", "count them from 0 and give the last layer one unit for each class"
            if outputs == 1:
                units, step = "1 unit", 'for two classes and one unit use loss="binary_cross_entropy"'
            raise ValueError(
                f"{name}[{row}] is {int(indices[row])} but the last layer has {units}, so classes are the whole "
                f"numbers 0 to {outputs - 1}: {step}"
            )
        return converted(indices, np.int32)
    if array.ndim != 2 or array.shape[1] != outputs:
        raise ValueError(
            f"{name} has shape {array.shape}: expected {n_rows} class indices, or rows of {outputs} probabilities, one "
            "for each unit of the last layer"
        )
    return _probability_rows(converted(array, dtype), y, name)


def _probability_rows(rows: npt.NDArray[Any], source: Any, name: str) -> npt.NDArray[Any]:
    require_finite(rows, source, name)
    _check_range(rows, 0.0, math.inf, name, "a row of targets holds the probabilities of the classes")
    sums = rows.sum(axis=1, dtype=np.float64)
    wrong = np.abs(sums - 1.0) > _SUM_TOLERANCE
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{name}[{row}] sums to {sums[row]:.6g}: with {rows.shape[1]} columns each row holds probabilities that "
            f"sum to 1; divide the rows by their sums, or pass class indices of shape ({len(rows)},)"
        )
    return rows


def _signs(array: npt.NDArray[Any], name: str, step: str) -> npt.NDArray[Any]:
    sign = np.abs(array) == 1
    if sign.all():
        return array
    if ((array == 0) | (array == 1)).all():
        signs: npt.NDArray[Any] = array * 2 - 1
        return signs
    neither = ~sign & (array != 0)
    if neither.any():
        row, column = np.unravel_index(int(neither.argmax()), array.shape)
        raise ValueError(f"{name}[{row}, {column}] is {array[row, column]}: {step}")
    raise ValueError(f"{name} mixes -1 and 0: {step}")


def _check_rows(shape: tuple[int, ...], n_rows: int, name: str) -> None:
    if not shape:
        raise ValueError(f"{name} is a single number but X has {n_rows} rows: each sample needs one target")
    if shape[0] != n_rows:
        raise ValueError(
            f"{name} has {shape[0]} rows but X has {n_rows}: each sample needs one target; check how the two were split"
        )


def _check_range(array: npt.NDArray[Any], lowest: float, highest: float, name: str, step: str) -> None:
    if array.min() >= lowest and array.max() <= highest:
        return
    row, column = np.unravel_index(int(((array < lowest) | (array > highest)).argmax()), array.shape)
    bounds = f"in [{lowest:g}, {highest:g}]" if math.isfinite(highest) else "not negative"
    raise ValueError(f"{name}[{row}, {column}] is {array[row, column]}: expected numbers {bounds}; {step}")


def _columns_message(shape: tuple[int, ...], outputs: int, name: str) -> str:
    units = f"the last layer has {outputs} unit" + ("" if outputs == 1 else "s")
    if len(shape) == 1:
        return (
            f"{name} has shape {shape} but {units}: expected ({shape[0]}, {outputs}); give the last layer one unit, or "
            f"for class labels pass deltarule.one_hot({name}, {outputs})"
        )
    if len(shape) == 2:
        return (
            f"{name} has {shape[1]} column{'' if shape[1] == 1 else 's'} but {units}: each column needs its own unit; "
            f"make the last layer Dense({shape[1]})"
        )
    return f"{name} has shape {shape}: expected two dimensions ({shape[0]}, {outputs})"
