"""Sequences as the core takes them: one array (n_samples, n_steps, n_features), and the lengths where these differ.

What stands behind the end of a sample is never looked at, neither here nor in the core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import converted, first_not_finite, is_ready, to_array

__all__ = ["as_lengths", "as_sequences", "exists", "is_ragged_list", "pad"]

Array = npt.NDArray[Any]


def is_ragged_list(X: Any) -> bool:
    """Whether `X` is a list (or an array of objects) with an array or list for each sample, which differ in length."""
    is_list = isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)
    return is_list and len({len(sample) if hasattr(sample, "__len__") else -1 for sample in X}) > 1


def pad(samples: Any, name: str, steps: int = 1) -> tuple[Array, npt.NDArray[np.int64]]:
    """A list of arrays as one array, with zeros behind their ends, and their lengths.

    Parameters
    ----------
    samples : list of array-like of shape (n_steps, …)
        The number of steps may differ, all else may not.
    name : str
        What messages call them.
    steps : int, default=1
        The array has at least so many.

    Returns
    -------
    array : ndarray of shape (n_samples, most steps, …)
    lengths : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        A sample without steps, or samples of different shapes.
    """
    arrays = [to_array(sample, f"{name}[{number}]") for number, sample in enumerate(samples)]
    for number, array in enumerate(arrays):
        if array.ndim == 0 or array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{name}[{number}] has shape {array.shape} but {name}[0] has {arrays[0].shape}: samples may differ in "
                "the number of steps, their first dimension, and in nothing else"
            )
        if len(array) == 0:
            raise ValueError(f"{name}[{number}] has no steps: every sequence needs at least one; leave the sample out")
    lengths = np.array([len(array) for array in arrays], np.int64)
    shape = (len(arrays), max(steps, int(lengths.max())), *arrays[0].shape[1:])
    padded = np.zeros(shape, np.result_type(*arrays))
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded, lengths


def as_lengths(lengths: Any, n_samples: int, n_steps: int, name: str = "lengths") -> npt.NDArray[np.int64]:
    """Lengths as the core takes them.

    Parameters
    ----------
    lengths : array-like of int of shape (n_samples,)
        Each at least 1 and at most `n_steps`; in any order.
    n_samples, n_steps : int
        Of X.
    name : str, default="lengths"
        What messages call them.

    Returns
    -------
    ndarray of shape (n_samples,), int64

    Raises
    ------
    TypeError, ValueError
        Numbers that are not whole, or another number of them than there are samples, or out of range.
    """
    array = to_array(lengths, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}: expected whole numbers, the steps of each sample")
    if array.shape != (n_samples,):
        raise ValueError(f"{name} has shape {array.shape}: expected ({n_samples},), one number for each sample of X")
    wrong = (array < 1) | (array > n_steps)
    if wrong.any():
        sample = int(wrong.argmax())
        step = (
            "every sequence needs at least one step; leave the sample out"
            if array[sample] < 1
            else "check how it was cut"
        )
        raise ValueError(f"{name}[{sample}] is {array[sample]}: X has {n_steps} steps, expected 1 to {n_steps}; {step}")
    return np.array(array, np.int64)  # a copy: the core relies on what was checked


def exists(lengths: npt.NDArray[np.int64] | None, n_samples: int, n_steps: int) -> npt.NDArray[np.bool_]:
    """Which (sample, step) there are, of shape (n_samples, n_steps)."""
    if lengths is None:
        return np.ones((n_samples, n_steps), bool)
    return np.asarray(np.arange(n_steps) < lengths[:, None])


def as_sequences(
    X: Any,
    lengths: Any,
    dtype: npt.DTypeLike,
    *,
    name: str = "X",
    features: int | None = None,
    steps: int | None = None,
    lengths_name: str = "lengths",
) -> tuple[Array, npt.NDArray[np.int64] | None]:
    """Sequences and their lengths as the core takes them.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_steps, n_features), or list of arrays of shape (n_steps, n_features)
    lengths : array-like of int of shape (n_samples,) or None
        None: all steps of each sample are there.
    dtype : numpy.float32 or numpy.float64
        The dtype of the network.
    name : str, default="X"
        What messages call it.
    features, steps : int, optional
        What the network takes.
    lengths_name : str, default="lengths"
        What messages call them.

    Returns
    -------
    array : ndarray of shape (n_samples, n_steps, n_features)
        `X` itself where it is C-contiguous in `dtype`.
    lengths : ndarray of shape (n_samples,) or None

    Raises
    ------
    TypeError, ValueError
        Not three-dimensional, empty, another number of features or steps, NaN or infinity in a step that exists.
    """
    if is_ragged_list(X):
        if lengths is not None:
            raise ValueError(
                f"lengths is given, but {name} is a list of arrays that differ in length: leave lengths out"
            )
        X, lengths = pad(X, name, steps or 1)
    array = X if is_ready(X, dtype) else to_array(X, name, dtype)
    if array.ndim != 3:
        raise ValueError(f"{name} has shape {array.shape}: {_next_step(X, array, name, features)}")
    n_samples, n_steps, n_features = array.shape
    if 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}: expected at least one sample, one step and one feature")
    if features is not None and n_features != features:
        raise ValueError(f"{name} has {n_features} features at each step, the network takes {features}")
    if steps is not None and n_steps != steps:
        raise ValueError(
            f"{name} has {n_steps} steps, the network takes {steps}: for any number of them make it with "
            f"input_shape=(None, {n_features})"
        )
    found = None if lengths is None else as_lengths(lengths, n_samples, n_steps, lengths_name)
    array = converted(array, dtype)
    _require_finite(array, found, name)
    return array, found


def _next_step(X: Any, array: Array, name: str, features: int | None) -> str:
    expected = "a recurrent network takes sequences, (n_samples, n_steps, n_features); "
    if array.ndim == 2:
        array_name = f"np.asarray({name})" if isinstance(X, (list, tuple)) else name
        if features in (None, 1):
            return (
                f"{expected}for one feature a step pass {array_name}[:, :, None]; for one sequence {array_name}[None]"
            )
        return f"{expected}for one sequence pass {array_name}[None]"
    return expected + "check the dimensions"


def _require_finite(array: Array, lengths: npt.NDArray[np.int64] | None, name: str) -> None:
    if first_not_finite(array) < 0:
        return
    wrong = ~np.isfinite(array) & exists(lengths, *array.shape[:2])[:, :, None]
    if wrong.any():
        place = [int(index) for index in np.argwhere(wrong)[0]]
        raise ValueError(
            f"{name}{place} is {array[tuple(place)]}: every number must be finite and fit into {array.dtype}; fill "
            "it in, or pass lengths= where it stands behind the end of its sample"
        )
