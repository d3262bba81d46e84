"""What the core takes: features, targets and weights, converted once, never modified, never copied when right.

Containers (pandas, SciPy, torch, …) are recognised in `arrays.py`, kinds of targets are rows of `targets.py`, and
weights are in `weights.py`. This file is the door to all of them.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .arrays import converted, first_not_finite, is_ready, require_finite, to_array
from .targets import as_targets, range_of
from .weights import as_sample_weight, class_weights

__all__ = ["as_matrix", "as_sample_weight", "as_targets", "class_weights", "first_not_finite", "range_of"]


def as_matrix(X: Any, dtype: npt.DTypeLike, *, name: str = "X", columns: int | None = None) -> npt.NDArray[Any]:
    """Features as a C-contiguous array of shape (n_samples, n_features).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        NumPy array or memmap of any order, number type and byte order, pandas or polars frame, SciPy CSR matrix
        (becomes dense), torch tensor on the CPU, or nested lists. Booleans and integers become floats.
    dtype : numpy.float32 or numpy.float64
        The dtype of the network.
    name : str, default="X"
        What messages call it.
    columns : int, optional
        The number of features the network takes.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        `X` itself, or a view of it, when it is already C-contiguous in `dtype`. It may be read-only.

    Raises
    ------
    TypeError
        Text, objects, dates, complex numbers, a sparse matrix that is not CSR, a tensor on another device.
    ValueError
        Not two-dimensional, empty, ragged, the wrong number of columns, NaN, infinity, or too large for `dtype`.

    Examples
    --------
    >>> import numpy as np
    >>> as_matrix([[0, 1], [1, 0]], np.float32)
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    if is_ready(X, dtype):
        array = X
    else:
        # The shape is checked before the conversion too: a sparse matrix that does not fit is never made dense.
        shape = getattr(X, "shape", None)
        if isinstance(shape, tuple) and len(shape) == 2:
            _check_shape(shape, name, columns)
        array = converted(to_array(X, name, dtype), dtype)
    _check_shape(array.shape, name, columns)
    require_finite(array, X, name)
    return array


def _check_shape(shape: tuple[int, ...], name: str, columns: int | None) -> None:
    if len(shape) != 2:
        expected = "expected two dimensions (n_samples, n_features)"
        if len(shape) == 1:
            raise ValueError(
                f"{name} has shape ({shape[0]},): {expected}; pass {name}.reshape(-1, 1) if it holds one feature, "
                f"{name}.reshape(1, -1) if it holds one sample"
            )
        step = f"pass [[{name}]]" if not shape else f"make each sample one row with {name}.reshape(len({name}), -1)"
        raise ValueError(f"{name} has shape {tuple(shape)}: {expected}; {step}")
    if shape[0] == 0 or shape[1] == 0:
        missing = "samples" if shape[0] == 0 else "features"
        raise ValueError(
            f"{name} has shape {tuple(shape)}: it is empty; at least one row and one column are needed "
            f"({missing} are missing)"
        )
    if columns is not None and shape[1] != columns:
        raise ValueError(
            f"{name} has {_counted(shape[1], 'feature')} but the network takes {columns}: pass the columns it was "
            f"built for, or build it with input_shape={shape[1]}"
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
