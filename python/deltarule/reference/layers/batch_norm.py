"""Batch normalization, with the way forward and the way back.

The mathematics is from S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing
internal covariate shift", arXiv:1502.03167, 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..activations import Array


class BatchNorm:
    """A layer that normalizes each feature: y = x̂ w + b, x̂ = (x - mean) / sqrt(variance + eps).

    In training, mean and variance = mean((x - mean)²) are those of the feature over the n rows of the batch. On the way
    back each x then acts on y in three ways: by itself, by the mean and by the variance. With g = dL/dy * w = dL/dx̂ the
    chain rule gives, all means being over the rows,

        dL/dx = (g - mean(g) - x̂ mean(g x̂)) / sqrt(variance + eps)
        dL/dw = Σ dL/dy x̂        dL/db = Σ dL/dy

    Elsewhere they are the running statistics, which are constants: dL/dx = g / sqrt(running_var + eps). After a step of
    training, `learn_statistics` moves them towards those of its batch,

        running_mean ← (1 - momentum) running_mean + momentum mean
        running_var ← (1 - momentum) running_var + momentum variance n / (n - 1)        for n = 1 without n / (n - 1)

    Parameters
    ----------
    weight, bias, running_mean, running_var : array-like, shape (features,)
        w, b and the running statistics; copied.
    momentum : float, default 0.1
        From 0 to 1.
    eps : float, > 0, default 1e-5
        Added to the variance.
    name : str, optional
        What the layer is called; None for its place in the network.

    Raises
    ------
    ValueError
        If the shapes do not match, a variance is below 0, or momentum or eps is out of range.

    Examples
    --------
    >>> layer = BatchNorm([1.0], [10.0], [0.0], [1.0], momentum=0.5, eps=1e-300)
    >>> layer.forward([[1.0], [3.0]]), layer.forward([[1.0], [3.0]], training=True)
    (array([[11.],
           [13.]]), array([[ 9.],
           [11.]]))
    >>> layer.backward([[1.0], [0.0]])
    array([[0.],
           [0.]])
    >>> layer.gradients
    {'weight': array([-1.]), 'bias': array([1.])}
    >>> layer.learn_statistics()
    >>> layer.statistics
    {'running_mean': array([1.]), 'running_var': array([1.5])}
    """

    type: ClassVar[str] = "batch_norm"

    def __init__(
        self,
        weight: Any,
        bias: Any,
        running_mean: Any,
        running_var: Any,
        momentum: float = 0.1,
        eps: float = 1e-5,
        *,
        name: str | None = None,
    ) -> None:
        self.weight: Array = np.array(weight, dtype=np.float64)
        self.bias: Array = np.array(bias, dtype=np.float64)
        self.running_mean: Array = np.array(running_mean, dtype=np.float64)
        self.running_var: Array = np.array(running_var, dtype=np.float64)
        shapes = [array.shape for array in (self.weight, self.bias, self.running_mean, self.running_var)]
        if self.weight.ndim != 1 or len(set(shapes)) > 1:
            raise ValueError(
                f"weight, bias, running_mean and running_var have shapes {shapes}: expected (features,) for all"
            )
        if (self.running_var < 0).any():
            raise ValueError(f"running_var is {self.running_var}: a variance is at least 0")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum={momentum!r}: expected a number from 0 to 1")
        if not eps > 0:
            raise ValueError(f"eps={eps!r}: expected a number above 0")
        self.momentum, self.eps, self.name = momentum, eps, name
        self.gradients: dict[str, Array] = {}
        # What the way back needs of the last way forward: x̂, and sqrt(variance + eps) of each feature.
        self.normalized: Array | None = None
        self.deviation: Array | None = None
        self._batch: tuple[Array, Array] | None = None  # mean and variance, in training

    @classmethod
    def from_spec(cls, settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> BatchNorm:
        """Make the layer from its entry in a network's spec and its parameters.

        Parameters
        ----------
        settings : mapping
            ``{"momentum": 0.1, "eps": 1e-5, "name": None}``; all may be left out.
        parameters : mapping
            ``"weight"``, ``"bias"``, ``"running_mean"`` and ``"running_var"``.

        Returns
        -------
        BatchNorm

        Raises
        ------
        ValueError
            If a parameter is missing or has the wrong shape.
        """
        names = ("weight", "bias", "running_mean", "running_var")
        missing = [key for key in names if key not in parameters]
        if missing:
            raise ValueError(
                f"parameters has no {' and no '.join(missing)} for the layer {dict(settings)}: it has"
                f" {', '.join(parameters) or 'nothing'}; pass all that Network.state_dict gives"
            )
        of_layer = {key: settings[key] for key in ("momentum", "eps", "name") if key in settings}
        return cls(**{key: parameters[key] for key in names}, **of_layer)

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays that training changes by their gradients, by name."""
        return {"weight": self.weight, "bias": self.bias}

    @property
    def statistics(self) -> dict[str, Array]:
        """The arrays that training changes without gradients, by name."""
        return {"running_mean": self.running_mean, "running_var": self.running_var}

    def forward(self, x: Any, *, training: bool = False) -> Array:
        """Return y = x̂ w + b, and keep x̂ and the deviations for the way back.

        Parameters
        ----------
        x : array-like, shape (n_samples, features)
        training : bool, default False
            Take mean and variance of x, not the running ones.

        Returns
        -------
        ndarray of the same shape

        Raises
        ------
        ValueError
            If x has another number of features, or steps.
        """
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1:] != self.weight.shape:
            raise ValueError(
                f"x has shape {x.shape} but the layer has {self.weight.size} features: expected"
                f" (n_samples, {self.weight.size}); for sequences there is LayerNorm"
            )
        if training:
            mean = x.mean(axis=0)
            rest = (x - mean).mean(axis=0)  # what the rounding of a large mean has left
            centred = (x - mean) - rest
            variance = np.square(centred).mean(axis=0)
            self._batch = mean + rest, variance * (len(x) / (len(x) - 1) if len(x) > 1 else 1.0)
        else:
            centred, variance, self._batch = x - self.running_mean, self.running_var, None
        self.deviation = np.sqrt(variance + self.eps)
        self.normalized = centred / self.deviation
        return np.asarray(self.normalized * self.weight + self.bias)

    def backward(self, grad_output: Any) -> Array:
        """Return dL/dx from dL/dy, and set `gradients`.

        Parameters
        ----------
        grad_output : array-like
            dL/dy, of the shape of the output.

        Returns
        -------
        ndarray of the same shape
            dL/dx, which is dL/da of the layer before.

        Raises
        ------
        RuntimeError
            If there was no way forward.
        ValueError
            If grad_output has not the shape of the output.
        """
        if self.normalized is None or self.deviation is None:
            raise RuntimeError("backward was called before forward: the way back needs x̂; call forward(x) first")
        grad_output = np.asarray(grad_output, dtype=np.float64)
        if grad_output.shape != self.normalized.shape:
            raise ValueError(
                f"grad_output has shape {grad_output.shape} but the output has shape {self.normalized.shape}: expected"
                " the same shape"
            )
        self.gradients = {"weight": (grad_output * self.normalized).sum(axis=0), "bias": grad_output.sum(axis=0)}
        g = grad_output * self.weight
        if self._batch is not None:
            g = g - g.mean(axis=0) - self.normalized * (g * self.normalized).mean(axis=0)
        return np.asarray(g / self.deviation)

    def learn_statistics(self) -> None:
        """Move the running statistics towards those of the batch of the last way forward, if it was in training."""
        if self._batch is None:
            return
        for running, seen in zip((self.running_mean, self.running_var), self._batch, strict=True):
            running[...] = (1 - self.momentum) * running + self.momentum * seen

    def penalty(self) -> float:
        """Return 0: the weight is to be near 1, and not near 0."""
        return 0.0
