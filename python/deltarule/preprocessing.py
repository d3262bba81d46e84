"""What is done to data before it is trained on: scaling, splitting, encoding labels.

A new scaler is a class with `fit`, `transform` and `inverse_transform`; statistics are computed in float64 whatever
the data. Splitting itself is in `splitting.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import to_array
from .data import as_matrix
from .splitting import train_test_split
from .targets import first_outside, require_whole

__all__ = ["Standardizer", "one_hot", "train_test_split"]

# Entries handled at once, so that float64 copies of float32 data stay small.
_CHUNK = 1 << 17


class Standardizer:
    """Shift and scale each feature to mean 0 and standard deviation 1.

    z = (x - μ) / σ with μ = Σ x / n and σ² = Σ (x - μ)² / n over the rows given to `fit`. A constant feature has
    σ = 0 and is divided by 1 instead.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,), float64
    scale_ : ndarray of shape (n_features,), float64
        Never 0.

    Notes
    -----
    σ divides by n, as in scikit-learn's StandardScaler; pandas' `std` divides by n - 1. float32 (and float16) data
    give float32, everything else float64; the statistics are float64 always.

    References
    ----------
    LeCun, Bottou, Orr, Müller: "Efficient BackProp" (1998), section 4.3, on why inputs are normalized.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> scaler = Standardizer()
    >>> scaler.fit_transform(X)
    array([[-1.,  0.],
           [ 1.,  0.]])
    >>> scaler.inverse([[0, 0]])
    array([[2., 5.]])
    """

    mean_: npt.NDArray[np.float64]
    scale_: npt.NDArray[np.float64]

    def fit(self, X: Any, y: Any = None) -> Standardizer:
        """Learn mean and standard deviation of each feature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored
            There so that it can stand where scikit-learn's scalers stand.

        Returns
        -------
        Standardizer
            Itself.

        Raises
        ------
        TypeError, ValueError
            As `deltarule.data.as_matrix`: NaN is refused.
        """
        self._fit(_table(X))
        return self

    def transform(self, X: Any) -> npt.NDArray[Any]:
        """(x - μ) / σ, as a new array; `X` must have as many columns as the rows given to `fit`."""
        return self._transform(self._checked(X))

    def fit_transform(self, X: Any, y: Any = None) -> npt.NDArray[Any]:
        """`fit`, then `transform` of the same rows."""
        table = _table(X)
        self._fit(table)
        return self._transform(table)

    def inverse_transform(self, Z: Any) -> npt.NDArray[Any]:
        """z σ + μ, as a new array: what `transform` undid."""
        table = self._checked(Z, name="Z")
        result = np.empty(table.shape, table.dtype)
        for rows in _row_chunks(table):
            result[rows] = table[rows].astype(np.float64) * self.scale_ + self.mean_
        return result

    inverse = inverse_transform

    def __repr__(self) -> str:
        fitted = getattr(self, "mean_", None)
        return "Standardizer()" if fitted is None else f"Standardizer()  # of {len(fitted)} features"

    def _fit(self, table: npt.NDArray[Any]) -> None:
        lowest, highest = table.min(axis=0).astype(np.float64), table.max(axis=0).astype(np.float64)
        # Columns are measured in units of a power of two near their largest entry, which changes no digit of the
        # result but keeps the squares of huge and denormal numbers within range.
        exponent = np.frexp(np.maximum(np.abs(lowest), np.abs(highest)))[1]
        total = np.zeros(table.shape[1])
        for rows in _row_chunks(table):
            total += np.ldexp(table[rows].astype(np.float64), -exponent).sum(axis=0)
        mean = total / len(table)
        squares = np.zeros(table.shape[1])
        for rows in _row_chunks(table):
            squares += ((np.ldexp(table[rows].astype(np.float64), -exponent) - mean) ** 2).sum(axis=0)
        scale = np.ldexp(np.sqrt(squares / len(table)), exponent)
        constant = (lowest == highest) | (scale == 0.0)
        # The rounded mean of n equal numbers need not be that number, so constant columns take it as it is.
        self.mean_ = np.where(constant, lowest, np.ldexp(mean, exponent))
        self.scale_ = np.where(constant, 1.0, scale)

    def _transform(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        result = np.empty(table.shape, table.dtype)
        for rows in _row_chunks(table):
            result[rows] = (table[rows].astype(np.float64) - self.mean_) / self.scale_
        return result

    def _checked(self, X: Any, name: str = "X") -> npt.NDArray[Any]:
        if not hasattr(self, "mean_"):
            raise ValueError("this Standardizer has not learned a mean yet: call fit(X) with the training data first")
        table = _table(X, name)
        if table.shape[1] != len(self.mean_):
            raise ValueError(
                f"{name} has {table.shape[1]} columns but the Standardizer was fitted on {len(self.mean_)}: pass the "
                "same features in the same order"
            )
        return table


def one_hot(labels: Any, n_classes: int | None = None, dtype: npt.DTypeLike = "float32") -> npt.NDArray[Any]:
    """Class indices as rows with a single 1: row s has it in column labels[s].

    Parameters
    ----------
    labels : array-like of shape (n_samples,) or (n_samples, 1)
        Whole numbers from 0 on.
    n_classes : int, optional
        The number of columns; the largest label plus one by default.
    dtype : dtype, default="float32"

    Returns
    -------
    ndarray of shape (n_samples, n_classes)

    Raises
    ------
    TypeError
        Text or objects.
    ValueError
        A label that is negative, not whole, or not below `n_classes`.

    Examples
    --------
    >>> one_hot([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    step = "turn them into class numbers with np.unique(labels, return_inverse=True)[1]"
    array = to_array(labels, "labels", text_step=step)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise ValueError(
            f"labels has shape {array.shape}: expected one class index for each sample, shape (n_samples,)"
        )
    if array.size == 0 and n_classes is None:
        raise ValueError("labels is empty: the number of classes cannot be seen from it; pass n_classes")
    indices = require_whole(array, "labels")
    if n_classes is None:
        n_classes = max(int(indices.max()) + 1, 1)
        if n_classes > np.iinfo(np.int32).max:
            raise ValueError(
                f"labels has the entry {n_classes - 1}: that many columns cannot be made; renumber the classes"
            )
    elif isinstance(n_classes, bool) or not isinstance(n_classes, (int, np.integer)):
        raise TypeError(f"n_classes is {n_classes!r}: expected a whole number")
    elif n_classes < 1:
        raise ValueError(f"n_classes is {n_classes}: expected at least 1")
    row = first_outside(indices, int(n_classes))
    if row >= 0:
        raise ValueError(
            f"labels[{row}] is {int(indices[row])} but there are {n_classes} classes: labels are 0 to {n_classes - 1}"
        )
    result = np.zeros((len(indices), int(n_classes)), dtype)
    result[np.arange(len(indices)), indices.astype(np.intp)] = 1
    return result


def _table(X: Any, name: str = "X") -> npt.NDArray[Any]:
    """`X` as a checked matrix in the dtype that the result has."""
    array = to_array(X, name)
    single = array.dtype in (np.float16, np.float32)
    return as_matrix(array, np.float32 if single else np.float64, name=name)


def _row_chunks(table: npt.NDArray[Any]) -> Iterator[slice]:
    height = max(1, _CHUNK // table.shape[1])
    return (slice(start, start + height) for start in range(0, len(table), height))
