"""Layers, each with the way forward and the way back.

To add one, write a class with what Dropout has, and `parameters` and `penalty_gradient` if it learns; then put it into
LAYERS at the end. The mathematics is in the docstrings: C. Bishop, "Pattern recognition and machine learning", 2006,
section 5.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from . import activations
from .activations import Activation, Array
from .layer_norm import LayerNorm
from .masks import dropout_mask


class Dense:
    """A layer in which every unit sees every input: z = x W + b, a = f(z).

    On the way back, with L the loss, the chain rule gives from dL/da

        delta = dL/dz = dL/da * f'(z)
        dL/dW = xᵀ delta        dL/db = Σ over the samples of delta        dL/dx = delta Wᵀ

    and dL/dx is the dL/da of the layer before. The penalty l1 Σ|W| + ½ l2 Σ W² may be added to the loss.

    Parameters
    ----------
    weight : array-like, shape (inputs, units)
        W; copied.
    bias : array-like, shape (units,), optional
        b; copied. None for a layer without one.
    activation : str, default "identity"
        The name of f.
    l1, l2 : float, >= 0, default 0
        The penalties on the weights.
    name : str, optional
        What the layer is called; None for its place in the network.

    Raises
    ------
    ValueError
        If the shapes do not match or the activation is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Dense([[1.0], [2.0]], [0.5], "relu")
    >>> layer.forward([[3.0, 4.0]])
    array([[11.5]])
    >>> layer.backward([[1.0]])
    array([[1., 2.]])
    >>> layer.gradients
    {'weight': array([[3.],
           [4.]]), 'bias': array([1.])}
    """

    type: ClassVar[str] = "dense"

    def __init__(
        self,
        weight: Any,
        bias: Any = None,
        activation: str = "identity",
        l1: float = 0.0,
        l2: float = 0.0,
        *,
        name: str | None = None,
    ) -> None:
        self.weight: Array = np.array(weight, dtype=np.float64)
        self.bias: Array | None = None if bias is None else np.array(bias, dtype=np.float64)
        if self.weight.ndim != 2:
            raise ValueError(f"weight has shape {self.weight.shape}: expected (inputs, units)")
        if self.bias is not None and self.bias.shape != self.weight.shape[1:]:
            raise ValueError(
                f"bias has shape {self.bias.shape} but weight has shape {self.weight.shape}: expected one number for"
                f" each of the {self.weight.shape[1]} units"
            )
        self.activation: type[Activation] = activations.get(activation)
        self.l1, self.l2 = l1, l2
        self.name = name
        self.gradients: dict[str, Array] = {}
        # What the way back needs of the way forward: the input and the weighted sum of the last call.
        self.x: Array | None = None
        self.z: Array | None = None

    @classmethod
    def from_spec(cls, settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> Dense:
        """Make the layer from its entry in a network's spec and its parameters.

        Parameters
        ----------
        settings : mapping
            ``{"units": 3, "activation": "tanh", "use_bias": True, "l1": 0.0, "l2": 0.0, "name": None}``; all but
            ``"units"`` may be left out.
        parameters : mapping
            ``"weight"``, and ``"bias"`` unless ``use_bias`` is False.

        Returns
        -------
        Dense

        Raises
        ------
        ValueError
            If a parameter is missing or has the wrong shape.
        """
        needed = ["weight", "bias"] if settings.get("use_bias", True) else ["weight"]
        missing = [key for key in needed if key not in parameters]
        if missing:
            raise ValueError(
                f"parameters has no {' and no '.join(missing)} for the layer {dict(settings)}: it has"
                f" {', '.join(parameters) or 'nothing'}; pass every parameter of the network"
            )
        layer = cls(
            parameters["weight"],
            parameters["bias"] if "bias" in needed else None,
            settings.get("activation", "identity"),
            settings.get("l1", 0.0),
            settings.get("l2", 0.0),
            name=settings.get("name"),
        )
        if layer.weight.shape[1] != settings["units"]:
            raise ValueError(
                f"weight has shape {layer.weight.shape} but the layer has {settings['units']} units: expected"
                f" (inputs, {settings['units']})"
            )
        return layer

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays that training changes, by name."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def forward(self, x: Any) -> Array:
        """Return a = f(x W + b), and keep x and z for the way back.

        Parameters
        ----------
        x : array-like, shape (n_samples, inputs)

        Returns
        -------
        ndarray, shape (n_samples, units)

        Raises
        ------
        ValueError
            If x has another number of columns.
        """
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.weight.shape[0]:
            raise ValueError(
                f"x has shape {x.shape} but the layer takes {self.weight.shape[0]} inputs:"
                f" expected (n_samples, {self.weight.shape[0]})"
            )
        self.x = x
        self.z = x @ self.weight
        if self.bias is not None:
            self.z = self.z + self.bias
        return self.activation.value(self.z)

    def backward(self, grad_output: Any) -> Array:
        """Return dL/dx from dL/da, and set `gradients`.

        Parameters
        ----------
        grad_output : array-like, shape (n_samples, units)
            dL/da.

        Returns
        -------
        ndarray, shape (n_samples, inputs)
            dL/dx, which is dL/da of the layer before.

        Raises
        ------
        RuntimeError
            If there was no way forward.
        ValueError
            If grad_output has not the shape of the output.
        """
        grad_output = np.asarray(grad_output, dtype=np.float64)
        _, z = self._kept(grad_output)
        return self.backward_from_delta(self.activation.backward(z, grad_output))

    def backward_from_delta(self, delta: Array) -> Array:
        """Return dL/dx from delta = dL/dz, and set `gradients`: the part of the way back after the activation.

        Parameters
        ----------
        delta : ndarray, shape (n_samples, units)
            dL/dz.

        Returns
        -------
        ndarray, shape (n_samples, inputs)
            dL/dx.

        Raises
        ------
        RuntimeError
            If there was no way forward.
        ValueError
            If delta has not the shape of the output.
        """
        x, _ = self._kept(delta)
        self.gradients = {"weight": x.T @ delta}
        if self.bias is not None:
            self.gradients["bias"] = delta.sum(axis=0)
        return np.asarray(delta @ self.weight.T)

    def _kept(self, grad: Array) -> tuple[Array, Array]:
        if self.x is None or self.z is None:
            raise RuntimeError("backward was called before forward: the way back needs x and z; call forward(x) first")
        if grad.shape != self.z.shape:
            raise ValueError(
                f"grad_output has shape {grad.shape} but the output has shape {self.z.shape}: expected the same shape"
            )
        return self.x, self.z

    def penalty(self) -> float:
        """Return l1 Σ|W| + ½ l2 ΣW², which is added to the loss."""
        return float(self.l1 * np.abs(self.weight).sum() + 0.5 * self.l2 * np.square(self.weight).sum())

    def penalty_gradient(self) -> Array:
        """Return the penalty's derivative with respect to W: l1 sign(W) + l2 W, where sign(0) = 0."""
        return self.l1 * np.sign(self.weight) + self.l2 * self.weight


class Dropout:
    """A layer that drops numbers out in training: y = x m, where m is 0 with probability `rate`, else 1 / (1 - rate).

    The mean of m is 1, so a network that is not in training needs no such layer: y = x. On the way back
    dL/dx = dL/dy m, with the m of the way forward.

    Parameters
    ----------
    rate : float
        0 <= rate < 1.
    place : int, default 0
        The layer's number in the network: each has its own m.
    name : str, optional
        What the layer is called; None for its place in the network.

    Raises
    ------
    ValueError
        If the rate is out of range.

    Examples
    --------
    >>> layer = Dropout(0.75)
    >>> layer.forward([[1.0, 2.0]])
    array([[1., 2.]])
    >>> layer.forward([[1.0, 2.0]], mask=[[True, False]])
    array([[4., 0.]])
    >>> layer.backward([[1.0, 1.0]])
    array([[4., 0.]])

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
    """

    type: ClassVar[str] = "dropout"

    def __init__(self, rate: float, place: int = 0, *, name: str | None = None) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"rate={rate!r}: expected a number of at least 0 and below 1")
        self.rate, self.place, self.name = rate, place, name
        self.m: Array | None = None  # of the last way forward

    @classmethod
    def from_spec(cls, settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> Dropout:
        """Make the layer from its entry in a network's spec; it has no parameters."""
        return cls(settings["rate"], name=settings.get("name"))

    @property
    def parameters(self) -> dict[str, Array]:
        """Nothing here is learned."""
        return {}

    @property
    def gradients(self) -> dict[str, Array]:
        """Of no parameters."""
        return {}

    def forward(self, x: Any, *, mask: Any = None, key: int | None = None) -> Array:
        """Return y = x m, and keep m for the way back.

        Parameters
        ----------
        x : array-like, shape (n_samples, units)
        mask : array-like of bool, shape (n_samples, units), optional
            Who stays. None, without a key: all do, and m is 1, as outside of training.
        key : int, optional
            Of the step, whose mask is drawn; see `deltarule.reference.masks`.

        Returns
        -------
        ndarray, shape (n_samples, units)
        """
        x = np.asarray(x, dtype=np.float64)
        if mask is None and key is not None:
            mask = dropout_mask(self.rate, key, self.place, *x.shape)
        self.m = np.ones_like(x) if mask is None else np.where(mask, 1 / (1 - self.rate), 0.0)
        return np.asarray(x * self.m)

    def backward(self, grad_output: Any) -> Array:
        """Return dL/dx = dL/dy m.

        Parameters
        ----------
        grad_output : array-like, shape (n_samples, units)
            dL/dy.

        Returns
        -------
        ndarray, shape (n_samples, units)

        Raises
        ------
        RuntimeError
            If there was no way forward.
        """
        if self.m is None:
            raise RuntimeError("backward was called before forward: the way back needs m; call forward(x) first")
        return np.asarray(np.asarray(grad_output, dtype=np.float64) * self.m)

    def penalty(self) -> float:
        """Return 0: there are no weights."""
        return 0.0


Layer = Dense | Dropout | LayerNorm
LAYERS: dict[str, type[Layer]] = {Dense.type: Dense, Dropout.type: Dropout, LayerNorm.type: LayerNorm}
