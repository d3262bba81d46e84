"""Layer normalization, with the way forward and the way back.

The mathematics is from J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450, 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..activations import Array


class LayerNorm:
    """A layer that normalizes each row over its n features: y = x̂ w + b, x̂ = (x - mean(x)) / sqrt(variance(x) + eps).

    The variance is mean((x - mean(x))²). On the way back each x acts on y in three ways: by itself, by the mean and by
    the variance. With g = dL/dy * w = dL/dx̂ the chain rule gives

        dL/dx = (g - mean(g) - x̂ mean(g x̂)) / sqrt(variance + eps)
        dL/dw = Σ over the rows of dL/dy x̂        dL/db = Σ over the rows of dL/dy

    The second and the third term take away what a common shift and a common scale of x would do, which y does not see.

    Parameters
    ----------
    weight, bias : array-like, shape (features,)
        w and b; copied.
    eps : float, > 0, default 1e-5
        Added to the variance.
    name : str, optional
        What the layer is called; None for its place in the network.

    Raises
    ------
    ValueError
        If the shapes do not match or eps is not above 0.

    Examples
    --------
    >>> layer = LayerNorm([1.0, 1.0], [0.0, 10.0], eps=1e-300)
    >>> layer.forward([[1.0, 3.0]])
    array([[-1., 11.]])
    >>> layer.backward([[1.0, 0.0]])
    array([[0., 0.]])
    >>> layer.gradients
    {'weight': array([-1.,  0.]), 'bias': array([1., 0.])}
    """

    type: ClassVar[str] = "layer_norm"

    def __init__(self, weight: Any, bias: Any, eps: float = 1e-5, *, name: str | None = None) -> None:
        self.weight: Array = np.array(weight, dtype=np.float64)
        self.bias: Array = np.array(bias, dtype=np.float64)
        if self.weight.ndim != 1 or self.bias.shape != self.weight.shape:
            raise ValueError(
                f"weight has shape {self.weight.shape} and bias {self.bias.shape}: expected (features,) for both"
            )
        if not eps > 0:
            raise ValueError(f"eps={eps!r}: expected a number above 0")
        self.eps, self.name = eps, name
        self.gradients: dict[str, Array] = {}
        # What the way back needs of the last way forward: x̂, and sqrt(variance + eps) of each row.
        self.normalized: Array | None = None
        self.deviation: Array | None = None

    @classmethod
    def from_spec(cls, settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> LayerNorm:
        """Make the layer from its entry in a network's spec and its parameters.

        Parameters
        ----------
        settings : mapping
            ``{"eps": 1e-5, "name": None}``; both may be left out.
        parameters : mapping
            ``"weight"`` and ``"bias"``.

        Returns
        -------
        LayerNorm

        Raises
        ------
        ValueError
            If a parameter is missing or has the wrong shape.
        """
        missing = [key for key in ("weight", "bias") if key not in parameters]
        if missing:
            raise ValueError(
                f"parameters has no {' and no '.join(missing)} for the layer {dict(settings)}: it has"
                f" {', '.join(parameters) or 'nothing'}; pass every parameter of the network"
            )
        return cls(parameters["weight"], parameters["bias"], settings.get("eps", 1e-5), name=settings.get("name"))

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays that training changes, by name."""
        return {"weight": self.weight, "bias": self.bias}

    def forward(self, x: Any) -> Array:
        """Return y = x̂ w + b, and keep x̂ and the deviations for the way back.

        Parameters
        ----------
        x : array-like, shape (n_samples, features) or (n_samples, n_steps, features)

        Returns
        -------
        ndarray of the same shape

        Raises
        ------
        ValueError
            If x has another number of features.
        """
        x = np.asarray(x, dtype=np.float64)
        if x.ndim not in (2, 3) or x.shape[-1:] != self.weight.shape:
            raise ValueError(
                f"x has shape {x.shape} but the layer has {self.weight.size} features: expected"
                f" (n_samples, {self.weight.size}) or (n_samples, n_steps, {self.weight.size})"
            )
        centred = x - x.mean(axis=-1, keepdims=True)
        centred = centred - centred.mean(axis=-1, keepdims=True)  # what the rounding of a large mean has left of it
        self.deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + self.eps)
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
        rows = tuple(range(grad_output.ndim - 1))
        self.gradients = {"weight": (grad_output * self.normalized).sum(axis=rows), "bias": grad_output.sum(axis=rows)}
        g = grad_output * self.weight
        common = g.mean(axis=-1, keepdims=True) + self.normalized * (g * self.normalized).mean(axis=-1, keepdims=True)
        return np.asarray((g - common) / self.deviation)

    def penalty(self) -> float:
        """Return 0: the weight is to be near 1, and not near 0."""
        return 0.0
