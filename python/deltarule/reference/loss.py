"""What a loss is: one number per sample, its derivative with respect to the output, and the weighted mean of both.

The formulas are in losses.py; a class written there enters LOSSES by itself.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .activation import Array

LOSSES: dict[str, type[Loss]] = {}


class Loss:
    """A loss: how wrong an output is, given the target.

    With the loss ℓ_i of sample i and its weight w_i (1 when none is given), training minimizes the mean

        L = Σ_i w_i ℓ_i / Σ_i w_i,    so that    dL/d output_i = w_i / Σ_j w_j * dℓ_i/d output_i.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule.reference import losses
    >>> output, y = np.array([[1.0], [4.0]]), np.array([[0.0], [2.0]])
    >>> losses.get("mse").per_sample(output, y)
    array([1., 4.])
    >>> losses.get("mse").value(output, y)
    2.5
    >>> losses.get("mse").value(output, y, sample_weight=[3, 1])
    1.75
    """

    name: ClassVar[str]
    link: ClassVar[str] = "identity"  # the activation that turns the network's output into the prediction
    by_step: ClassVar[bool] = True  # of sequences: each step is a row of its own, else the loss is shown all of them

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            LOSSES[cls.name] = cls

    def per_sample(self, output: Any, y: Any) -> Array:
        """Return the loss ℓ_i of each sample.

        Parameters
        ----------
        output : array-like, shape (n_samples, n_outputs)
            What the network says.
        y : array-like
            What it should have said.

        Returns
        -------
        ndarray, shape (n_samples,)

        Raises
        ------
        ValueError
            If the shapes do not match, or a label is out of range.
        """
        raise NotImplementedError

    def gradient(self, output: Any, y: Any) -> Array:
        """Return dℓ_i / d output_i for each sample, not yet divided by the number of samples.

        Parameters
        ----------
        output : array-like, shape (n_samples, n_outputs)
            What the network says.
        y : array-like
            What it should have said.

        Returns
        -------
        ndarray
            The shape of the output.

        Raises
        ------
        ValueError
            If the shapes do not match, or a label is out of range.
        """
        raise NotImplementedError

    def value(self, output: Any, y: Any, sample_weight: Any = None) -> float:
        """Return L = Σ w_i ℓ_i / Σ w_i.

        Parameters
        ----------
        output, y : array-like
            As in `per_sample`.
        sample_weight : array-like, shape (n_samples,), optional
            Weights >= 0, at least one above 0; default all 1.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If the shapes do not match or the weights are negative or all zero.
        """
        losses = self.per_sample(output, y)
        return float(shares(sample_weight, len(losses)) @ losses)

    def value_and_gradient(self, output: Any, y: Any, sample_weight: Any = None) -> tuple[float, Array]:
        """Return L and dL/d output, where the backward pass begins.

        Parameters
        ----------
        output, y, sample_weight : array-like
            As in `value`.

        Returns
        -------
        float
            L.
        ndarray
            dL/d output, the shape of the output.

        Raises
        ------
        ValueError
            As in `value`.
        """
        slopes = self.gradient(output, y)
        share = shares(sample_weight, len(slopes))
        return self.value(output, y, sample_weight), share.reshape(-1, *[1] * (slopes.ndim - 1)) * slopes


class ElementwiseLoss(Loss):
    """A loss that compares each output z with its own target y: ℓ_i is the mean of error(z, y) over the outputs."""

    def error(self, z: Array, y: Array) -> Array:
        """Return the loss of each single output z with target y (equal shapes)."""
        raise NotImplementedError

    def slope(self, z: Array, y: Array) -> Array:
        """Return d error / dz of each single output z with target y (equal shapes)."""
        raise NotImplementedError

    def per_sample(self, output: Any, y: Any) -> Array:
        z, y = _matched(output, y)
        with np.errstate(over="ignore"):  # exp of a huge log rate, or the square of a huge error, is infinite: so be it
            return np.asarray(self.error(z, y).reshape(len(z), -1).mean(axis=1))

    def gradient(self, output: Any, y: Any) -> Array:
        z, y = _matched(output, y)
        with np.errstate(over="ignore"):
            return np.asarray(self.slope(z, y) / z[0].size)


def shares(sample_weight: Any, n_samples: int) -> Array:
    """Return w_i / Σ w_i."""
    if sample_weight is None:
        return np.full(n_samples, 1 / n_samples)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weight.shape} but there are {n_samples} samples: pass one weight for each sample"
        )
    if not (np.all(weight >= 0) and weight.sum() > 0):
        raise ValueError(
            "sample_weight has a negative or NaN weight, or nothing but zeros: expected weights >= 0 with a sum above"
            " 0; give a sample that shall not count the weight 0"
        )
    return np.asarray(weight / weight.sum())


def rows(output: Any, y: Any) -> tuple[Array, Array]:
    """Return output and y as float64, refusing no rows at all or two different numbers of them."""
    output, y = np.asarray(output, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if output.ndim == 0 or output.size == 0:
        raise ValueError(f"output has shape {output.shape}: expected one row for each sample, and at least one sample")
    n_targets = len(y) if y.ndim else 0
    if n_targets != len(output):
        raise ValueError(
            f"y has {n_targets} rows but the output has {len(output)}:"
            " each sample needs one target; check how the two were split"
        )
    return output, y


def _matched(output: Any, y: Any) -> tuple[Array, Array]:
    """Return output and y as float64 of one shape; a plain column of targets may come as (n_samples,)."""
    output, y = rows(output, y)
    if y.shape != output.shape and y.size == output.size:
        y = y.reshape(output.shape)
    if y.shape != output.shape:
        raise ValueError(
            f"y has shape {y.shape} but the output has shape {output.shape}: each output needs its own target;"
            " give the last layer as many units as y has columns"
        )
    return output, y
