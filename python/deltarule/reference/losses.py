"""All losses: find one by name, or read its formula. z is the output, y the target, d = z - y the error.

To add one, write a class with a `name`, `error` and `slope` (elementwise), or `per_sample` and `gradient`: it enters
LOSSES by itself. The mathematics is in each docstring, PyTorch's with `reduction="mean"`; at a corner the slope is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..names import build
from .activation import Array
from .activations import Sigmoid, Softmax, Softplus
from .loss import LOSSES, ElementwiseLoss, Loss, rows

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "ElementwiseLoss",
    "Hinge",
    "Huber",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "PoissonDeviance",
    "Quantile",
    "SquaredHinge",
    "get",
]


def get(loss: str | Mapping[str, Any] | Loss) -> Loss:
    """Return the loss with this name and these parameters.

    Parameters
    ----------
    loss : str, mapping or Loss
        ``"huber"``, ``{"name": "huber", "delta": 2.0}``, or a loss, which is returned as it is.

    Returns
    -------
    Loss

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If the name or a parameter is unknown, or a parameter is out of its range.

    Examples
    --------
    >>> get({"name": "huber", "delta": 2.0})
    Huber(delta=2.0)
    >>> get("huver")
    Traceback (most recent call last):
    ...
    ValueError: loss 'huver' is unknown: did you mean 'huber'?
    """
    return loss if isinstance(loss, Loss) else build("loss", loss, LOSSES)


class MeanSquaredError(ElementwiseLoss):
    """error = d²; slope = 2d. There is no factor ½."""

    name = "mse"

    def error(self, z: Array, y: Array) -> Array:
        return np.square(z - y)

    def slope(self, z: Array, y: Array) -> Array:
        return 2 * (z - y)


class MeanAbsoluteError(ElementwiseLoss):
    """error = |d|; slope = sign(d), 0 at d = 0."""

    name = "mae"

    def error(self, z: Array, y: Array) -> Array:
        return np.abs(z - y)

    def slope(self, z: Array, y: Array) -> Array:
        return np.sign(z - y)


@dataclass(frozen=True)
class Huber(ElementwiseLoss):
    """error = ½ d² for |d| <= δ, else δ (|d| - ½ δ); slope = d cut to [-δ, δ].

    Parameters
    ----------
    delta : float, > 0, default 1
        Where the parabola ends and the straight lines begin.

    Notes
    -----
    PyTorch's ``HuberLoss``. Its ``SmoothL1Loss`` is this divided by δ.

    References
    ----------
    P. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.
    """

    name = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.delta < math.inf:
            raise ValueError(f"delta is {self.delta!r}: expected a number above 0; 1.0 is the usual choice")

    def error(self, z: Array, y: Array) -> Array:
        distance = np.abs(z - y)
        return np.where(distance <= self.delta, 0.5 * distance**2, self.delta * (distance - 0.5 * self.delta))

    def slope(self, z: Array, y: Array) -> Array:
        return np.clip(z - y, -self.delta, self.delta)


class LogCosh(ElementwiseLoss):
    """error = log(cosh(d)); slope = tanh(d).

    Near 0 it is ½ d², kept accurate by cosh(d) = 1 + 2 sinh(d/2)²; far out it is |d| - log 2, kept from overflow by
    cosh(d) = ½ exp(|d|) (1 + exp(-2|d|)).
    """

    name = "log_cosh"

    def error(self, z: Array, y: Array) -> Array:
        d = np.abs(z - y)
        near = np.log1p(2 * np.sinh(np.minimum(d, 1) / 2) ** 2)
        far = d + np.log1p(np.exp(-2 * d)) - math.log(2)
        return np.asarray(np.where(d < 1, near, far))

    def slope(self, z: Array, y: Array) -> Array:
        return np.tanh(z - y)


class Poisson(ElementwiseLoss):
    """error = exp(z) - y z; slope = exp(z) - y: a count y >= 0 with the expected rate exp(z).

    Notes
    -----
    The term log(y!), which does not depend on z, is left out, as in PyTorch's ``PoissonNLLLoss``.
    """

    name = "poisson"
    link = "exp"

    def error(self, z: Array, y: Array) -> Array:
        return np.asarray(np.exp(z) - y * z)

    def slope(self, z: Array, y: Array) -> Array:
        return np.asarray(np.exp(z) - y)


class PoissonDeviance(ElementwiseLoss):
    """error = y log(y / exp(z)) + exp(z) - y, with 0 log 0 = 0; slope = exp(z) - y: half the Poisson deviance.

    Notes
    -----
    `Poisson` with the constant that makes the error 0 where the rate exp(z) is y.
    """

    name = "poisson_deviance"
    link = "exp"

    def error(self, z: Array, y: Array) -> Array:
        with np.errstate(invalid="ignore"):  # for y < 0 there is no such thing
            logarithm = np.log(y, out=np.zeros_like(z), where=y != 0)
        return np.asarray(y * (logarithm - np.where(y != 0, z, 0)) + (np.exp(z) - y))

    def slope(self, z: Array, y: Array) -> Array:
        return np.asarray(np.exp(z) - y)


@dataclass(frozen=True)
class Quantile(ElementwiseLoss):
    """error = max(q (y - z), (q - 1) (y - z)); slope = -q where z < y, 1 - q where z > y, 0 where equal.

    The constant z with the smallest mean error is the q-quantile of the targets.

    Parameters
    ----------
    q : float, in (0, 1), default 0.5
        Which quantile; 0.5 is the median, and half the mean absolute error.

    References
    ----------
    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46, 1978.
    """

    name = "quantile"
    q: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.q < 1:
            raise ValueError(f"q is {self.q!r}: expected a number between 0 and 1; 0.5 is the median")

    def error(self, z: Array, y: Array) -> Array:
        return np.maximum(self.q * (y - z), (self.q - 1) * (y - z))

    def slope(self, z: Array, y: Array) -> Array:
        return np.where(z < y, -self.q, np.where(z > y, 1 - self.q, 0.0))


class CrossEntropy(Loss):
    """ℓ = -Σ_k y_k log p_k with p = softmax(z); dℓ/dz = p Σ_k y_k - y, for a proper distribution y just p - y.

    The derivation: log p_k = z_k - log Σ_j exp(z_j), whose derivative with respect to z_j is [j = k] - p_j.

    The output holds logits z, one column for each class; y holds class indices, shape (n_samples,), or a row of
    probabilities for each sample, shape (n_samples, n_classes). With sequences there is a mean over the steps.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([[1e4, 0.0], [0.0, 0.0]])
    >>> np.round(CrossEntropy().per_sample(z, [1, 0]), 6)
    array([1.00000e+04, 6.93147e-01])
    >>> CrossEntropy().gradient(z, [1, 0])
    array([[ 1. , -1. ],
           [-0.5,  0.5]])
    """

    name = "cross_entropy"
    link = "softmax"

    def per_sample(self, output: Any, y: Any) -> Array:
        z, y = self._matched(output, y)
        shifted = z - z.max(axis=-1, keepdims=True)
        # The greatest term of Σ exp(shifted) is exp(0) = 1: as the 1 of log(1 + rest) it does not swallow the others.
        others = np.exp(shifted)
        np.put_along_axis(others, shifted.argmax(axis=-1, keepdims=True), 0, axis=-1)
        log_p = shifted - np.log1p(others.sum(axis=-1, keepdims=True))
        return np.asarray(-(y * log_p).sum(axis=-1).reshape(len(z), -1).mean(axis=1))

    def gradient(self, output: Any, y: Any) -> Array:
        z, y = self._matched(output, y)
        steps = math.prod(z.shape[1:-1])
        p = Softmax.value(z)
        # 1 - p_j as the sum of the others' p, which a greatest p of nearly 1 would swallow
        best = p.argmax(axis=-1, keepdims=True)
        others = p.copy()
        np.put_along_axis(others, best, 0, axis=-1)
        not_p = 1 - p
        np.put_along_axis(not_p, best, others.sum(axis=-1, keepdims=True), axis=-1)
        return np.asarray((p * (y.sum(axis=-1, keepdims=True) - y) - not_p * y) / steps)

    @staticmethod
    def _matched(output: Any, y: Any) -> tuple[Array, Array]:
        """Return the logits and a row of target probabilities for each."""
        z, y = rows(output, y)
        if z.ndim < 2:
            raise ValueError(f"output has shape {z.shape}: expected one column of logits for each class")
        if y.shape == z.shape:
            return z, y
        if y.shape != z.shape[:-1]:
            raise ValueError(
                f"y has shape {y.shape} but the output has shape {z.shape}: expected class indices of shape"
                f" {z.shape[:-1]} or probability rows of shape {z.shape}; y.ravel() turns a column into a list"
            )
        n_classes = z.shape[-1]
        wrong = y[(y != np.floor(y)) | (y < 0) | (y >= n_classes)]
        if wrong.size:
            raise ValueError(
                f"y has the label {wrong[0]:g} but the output has {n_classes} columns: expected whole numbers from 0 to"
                f" {n_classes - 1}; number the classes, or give the last layer more units"
            )
        return z, np.eye(n_classes)[y.astype(np.intp)]


@dataclass(frozen=True)
class BinaryCrossEntropy(ElementwiseLoss):
    """error = -y log p - (1 - y) log(1 - p) with p = σ(z); slope = p - y.

    In terms of the logit z this is softplus(z) - y z, because log p = z - softplus(z) and log(1 - p) = -softplus(z).
    It is computed as max(z, 0) - y z + log(1 + exp(-|z|)), and the slope as (1 - y) σ(z) - y σ(-z), so that nothing
    cancels where the prediction is nearly right. y is in [0, 1]; several outputs are several yes-or-no questions.

    Parameters
    ----------
    clip : float, in [0, 0.5), default 0
        Above 0, error and slope are computed from p itself, with p kept within [clip, 1 - clip] in the error: as in
        scikit-learn, where clip is the distance from 1 to the next number.
    """

    name = "binary_cross_entropy"
    link = "sigmoid"
    clip: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.clip < 0.5:
            raise ValueError(f"clip is {self.clip!r}: expected a number from 0 up to, but not including, 0.5")

    def error(self, z: Array, y: Array) -> Array:
        if self.clip > 0:
            p = np.clip(Sigmoid.value(z), self.clip, 1 - self.clip)
            return np.asarray(-(y * np.log(p) + (1 - y) * np.log(1 - p)))
        return (np.maximum(z, 0) - y * z) + Softplus.value(-np.abs(z))

    def slope(self, z: Array, y: Array) -> Array:
        if self.clip > 0:
            return np.asarray(Sigmoid.value(z) - y)
        return (1 - y) * Sigmoid.value(z) - y * Sigmoid.value(-z)


class Hinge(ElementwiseLoss):
    """error = max(0, 1 - y z) for y = -1 or +1; slope = -y where y z < 1, else 0.

    References
    ----------
    C. Cortes and V. Vapnik, "Support-vector networks", Machine Learning 20, 1995.
    """

    name = "hinge"

    def error(self, z: Array, y: Array) -> Array:
        return np.maximum(0, 1 - y * z)

    def slope(self, z: Array, y: Array) -> Array:
        return np.where(y * z < 1, -y, 0.0)


class SquaredHinge(ElementwiseLoss):
    """error = max(0, 1 - y z)² for y = -1 or +1; slope = -2 y max(0, 1 - y z)."""

    name = "squared_hinge"

    def error(self, z: Array, y: Array) -> Array:
        return np.square(np.maximum(0, 1 - y * z))

    def slope(self, z: Array, y: Array) -> Array:
        return -2 * y * np.maximum(0, 1 - y * z)
