"""Points to be told apart: the exclusive or, two spirals, clouds. Each is made from sizes and a seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .sizes import count

__all__ = ["blobs", "two_spirals", "xor"]


def xor(dtype: npt.DTypeLike = "float32") -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The exclusive or of two bits: y = 1 where exactly one of them is 1.

    The smallest problem that no network without a hidden layer solves.

    Parameters
    ----------
    dtype : dtype, default="float32"

    Returns
    -------
    X : ndarray of shape (4, 2)
    y : ndarray of shape (4, 1)

    References
    ----------
    Minsky, Papert: "Perceptrons" (1969). Rumelhart, Hinton, Williams: "Learning internal representations by error
    propagation" (1986), the section on the XOR problem.

    Examples
    --------
    >>> X, y = xor()
    >>> y.ravel()
    array([0., 1., 1., 0.], dtype=float32)
    """
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype)
    y = np.array([[0], [1], [1], [0]], dtype)
    return X, y


def two_spirals(
    n_samples: int = 400, noise: float = 0.0, seed: int | None = 0, dtype: npt.DTypeLike = "float32"
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Two spirals of three turns that coil around each other, one class each.

    Class 0 runs through r (sin φ, cos φ) with φ from 0 to 6π while r shrinks from 1 to 1/13; class 1 is its mirror
    image through the origin.

    Parameters
    ----------
    n_samples : int >= 2, default=400
        Points in both classes together; with an odd number class 0 has one more.
    noise : float >= 0, default=0.0
        Standard deviation of the normal noise added to each coordinate. The turns lie 0.31 apart, and the two classes
        half of that.
    seed : int or None, default=0
        Of the noise and of the order of the rows, which is random so that any part of them holds both classes.
    dtype : dtype, default="float32"

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
    y : ndarray of shape (n_samples,), int64

    References
    ----------
    Lang, Witbrock: "Learning to tell two spirals apart" (1988). Theirs are 97 points a class and a radius of 6.5.

    Examples
    --------
    >>> X, y = two_spirals(100)
    >>> X.shape, y.sum()
    ((100, 2), np.int64(50))
    """
    n_samples = count(n_samples, "n_samples", 2)
    _check_spread(noise, "noise")
    generator = np.random.default_rng(seed)
    y = np.arange(n_samples) % 2
    # Both classes run through the same positions; `share` goes from the outer end to the inner one.
    share = (np.arange(n_samples) // 2) / max((n_samples + 1) // 2 - 1, 1)
    angle = 6 * math.pi * share
    radius = np.where(y == 0, 1.0, -1.0) * (1 - share * 12 / 13)
    X = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    X += generator.normal(0.0, 1.0, X.shape) * noise
    order = generator.permutation(n_samples)
    return X[order].astype(dtype), y[order].astype(np.int64)


def blobs(
    n_samples: int = 300,
    n_features: int = 2,
    n_classes: int = 3,
    seed: int | None = 0,
    *,
    spread: float = 0.15,
    dtype: npt.DTypeLike = "float32",
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Clouds of normally distributed points, one class each.

    x = centre of class y + spread · N(0, 1). The centres lie in the cube [-1, 1]ⁿ, each the farthest of several
    random candidates from those before, so that clouds rarely overlap.

    Parameters
    ----------
    n_samples : int >= 1, default=300
        Spread evenly over the classes.
    n_features : int >= 1, default=2
    n_classes : int >= 1, default=3
    seed : int or None, default=0
        Of centres, points and the order of the rows.
    spread : float >= 0, default=0.15
        Standard deviation of a cloud along each coordinate.
    dtype : dtype, default="float32"

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,), int64

    References
    ----------
    Mitchell: "Spectrally optimal sampling for distribution ray tracing" (1991), for the best of several candidates.

    Examples
    --------
    >>> X, y = blobs(6, n_features=4, n_classes=2)
    >>> X.shape, sorted(y.tolist())
    ((6, 4), [0, 0, 0, 1, 1, 1])
    """
    n_samples = count(n_samples, "n_samples", 1)
    n_features = count(n_features, "n_features", 1)
    n_classes = count(n_classes, "n_classes", 1)
    _check_spread(spread, "spread")
    generator = np.random.default_rng(seed)
    centres = generator.uniform(-1.0, 1.0, (n_classes, n_features))
    for placed in range(1, n_classes):
        candidates = generator.uniform(-1.0, 1.0, (16, n_features))
        distances = np.linalg.norm(candidates[:, None, :] - centres[None, :placed, :], axis=2).min(axis=1)
        centres[placed] = candidates[distances.argmax()]
    y = generator.permutation(np.arange(n_samples) % n_classes)
    X = centres[y] + generator.normal(0.0, 1.0, (n_samples, n_features)) * spread
    return X.astype(dtype), y.astype(np.int64)


def _check_spread(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} is {value!r}: expected a number")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}: expected a finite number >= 0")
