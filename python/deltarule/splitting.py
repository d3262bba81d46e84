"""Split arrays into a part to train on and a part to test on; a new container is a branch of `_take`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["train_test_split"]


def train_test_split(
    *arrays: Any, test_size: float = 0.25, shuffle: bool = True, seed: int | None = 0, stratify: Any = None
) -> list[Any]:
    """Split arrays of equal length into a training and a test part, row by row.

    Parameters
    ----------
    *arrays : array-like, each with n_samples rows
        NumPy arrays, pandas or polars frames and columns, SciPy CSR, torch tensors, lists.
    test_size : float in (0, 1) or int >= 1, default=0.25
        The share of rows in the test part, rounded up, or their number.
    shuffle : bool, default=True
        Whether rows are drawn at random; False takes the last rows for the test part.
    seed : int or None, default=0
        The same seed gives the same split. None draws a new one at each call.
    stratify : array-like of shape (n_samples,), optional
        Labels; each class is split in the same proportion.

    Returns
    -------
    list
        Training part and test part of the first array, then of the second, and so on: the order of scikit-learn.
        Each part has the type of its array. Without shuffling the parts of NumPy arrays are views.

    Raises
    ------
    TypeError
        An argument of the wrong type, or an array without rows.
    ValueError
        Lengths that differ, a part that would be empty, a class with a single sample in `stratify`.

    Notes
    -----
    The sizes are those of scikit-learn, the rows drawn are not: the random numbers differ. scikit-learn draws a new
    split at each call unless told otherwise, here the default seed is 0.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.arange(8).reshape(4, 2), np.array([0, 0, 1, 1])
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y)
    >>> sorted(y_test.tolist())
    [0, 1]
    """
    n = _common_length(arrays)
    n_test = _test_rows(test_size, n)
    if stratify is not None and not shuffle:
        raise ValueError("stratify needs shuffle=True: without shuffling the test part is the last rows")
    if not shuffle:
        first, last = slice(0, n - n_test), slice(n - n_test, n)
        return [part for array in arrays for part in (_take(array, first), _take(array, last))]
    generator = np.random.default_rng(seed)
    if stratify is None:
        order = generator.permutation(n)
        test, train = order[:n_test], order[n_test:]
    else:
        train, test = _stratified(stratify, n, n_test, generator)
    return [part for array in arrays for part in (_take(array, train), _take(array, test))]


def _common_length(arrays: tuple[Any, ...]) -> int:
    if not arrays:
        raise ValueError("train_test_split was called without arrays: pass at least one, for instance (X, y)")
    lengths = []
    for position, array in enumerate(arrays):
        shape = getattr(array, "shape", None)
        if isinstance(array, (str, bytes, dict)) or (shape is None and not hasattr(array, "__len__")) or shape == ():
            raise TypeError(
                f"array {position} is of type {type(array).__name__}: expected an array or a list with rows"
            )
        lengths.append(int(shape[0]) if shape is not None else len(array))
    if len(set(lengths)) > 1:
        raise ValueError(f"the arrays have {', '.join(map(str, lengths))} rows: all must have the same number of rows")
    if lengths[0] < 2:
        raise ValueError(f"the arrays have {lengths[0]} rows: at least 2 are needed, one for each part")
    return lengths[0]


def _test_rows(test_size: float, n: int) -> int:
    if isinstance(test_size, bool) or not isinstance(test_size, (int, float, np.integer, np.floating)):
        raise TypeError(f"test_size is {test_size!r}: expected a share between 0 and 1, or a number of rows")
    if isinstance(test_size, (int, np.integer)):
        if not 1 <= test_size < n:
            raise ValueError(f"test_size is {test_size} but there are {n} rows: expected 1 to {n - 1}")
        return int(test_size)
    if not 0 < test_size < 1:
        raise ValueError(f"test_size is {test_size}: expected a share between 0 and 1, or a whole number of rows")
    n_test = math.ceil(test_size * n)
    if n_test >= n:
        raise ValueError(f"test_size is {test_size}: it leaves none of the {n} rows to train on; choose a smaller one")
    return n_test


def _stratified(
    stratify: Any, n: int, n_test: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Random rows of both parts, each class in the proportion of the whole."""
    labels = np.asarray(stratify)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.reshape(-1)
    if labels.shape != (n,):
        raise ValueError(f"stratify has shape {labels.shape} but there are {n} rows: expected one label for each row")
    classes, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"the class {classes[counts.argmin()]!s} of stratify has a single sample: each class needs at least 2, one "
            "for each part"
        )
    if n_test < len(classes) or n - n_test < len(classes):
        raise ValueError(
            f"stratify has {len(classes)} classes but the parts have {n - n_test} and {n_test} rows: a part needs "
            "at least as many rows as there are classes; change test_size"
        )
    # Largest remainder: every class gets the whole part of its share, the rows left go to the largest fractions.
    share, remainder = np.divmod(counts * n_test, n)
    left = n_test - int(share.sum())
    share[np.argsort(-remainder, kind="stable")[:left]] += 1
    order = generator.permutation(n)
    grouped = order[np.argsort(members.reshape(-1)[order], kind="stable")]
    ends = np.cumsum(counts)
    # Within each class, the first rows of the shuffled group are the test rows.
    is_test = np.arange(n) < np.repeat(ends - counts + share, counts)
    return generator.permutation(grouped[~is_test]), generator.permutation(grouped[is_test])


def _take(array: Any, rows: slice | npt.NDArray[np.intp]) -> Any:
    """Those rows, in the type of the array."""
    if hasattr(array, "iloc"):
        return array.iloc[rows]
    if hasattr(array, "shape"):
        return array[rows]
    if isinstance(rows, slice):
        return list(array[rows])
    return [array[row] for row in rows]
