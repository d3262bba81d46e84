"""A network: layers one after the other, the loss at the end, and backpropagation through all of it.

To add a layer type, see layers.py; to add a pair of activation and loss computed together, FUSED below.
The mathematics is from D. Rumelhart, G. Hinton and R. Williams, "Learning representations by back-propagating errors",
Nature 323, 1986.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..names import find
from . import losses, optimizers
from .activations import Array
from .clipping import clip_by_global_norm, clip_by_value
from .layers import LAYERS, Dense, Dropout, Layer
from .losses import Loss
from .optimizers import Optimizer, State

# The fused pairs: last activation and loss which are computed together, from the last layer's z, the logits.
#
# As in the textbook, softmax p = softmax(z) comes first, then ℓ = -Σ_k y_k log p_k, and the way back multiplies
# dℓ/dp_k = -y_k / p_k by dp_k/dz_j = p_k ([j = k] - p_j):
#
#     dℓ/dz_j = Σ_k -y_k / p_k * p_k ([j = k] - p_j) = -y_j + p_j Σ_k y_k = p_j - y_j.
#
# The factors p_k cancel, which in a computer they must do on paper: where p_k has underflowed to 0, log p_k and 1 / p_k
# are infinite. The losses of this library therefore take logits, and give p - y at once. The same holds for the sigmoid
# p = σ(z) and ℓ = -y log p - (1 - y) log(1 - p): with dp/dz = p (1 - p),
#
#     dℓ/dz = (-y / p + (1 - y) / (1 - p)) * p (1 - p) = -y (1 - p) + (1 - y) p = p - y.
#
# So a network whose last layer applies the softmax or the sigmoid itself is trained as if it did not: the loss looks at
# z, and dℓ/dz is already that layer's delta.
FUSED = {("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")}


class Network:
    """A feed-forward network, in float64, written to be read.

    Layer by layer, z = x W + b and a = f(z), and the next layer's x is a. From the loss L at the end, the chain rule
    goes the same way back: each layer turns dL/da into delta = dL/dz = dL/da * f'(z), from it takes the gradients of
    its own parameters, and hands dL/dx to the layer before, whose dL/da it is.

    Parameters
    ----------
    layers : sequence of Dense, Dropout and LayerNorm
        At least one, in the order of the way forward; the last one is dense.

    Raises
    ------
    ValueError
        If there is no layer, or the last one is not dense.

    Examples
    --------
    The network y = 2x learns to be y = 3x:

    >>> network = Network([Dense([[2.0]])])
    >>> X, y = [[1.0], [2.0]], [[3.0], [6.0]]
    >>> network.loss_and_gradients(X, y, "mse")
    (2.5, {'0.weight': array([[-5.]])})
    >>> for _ in range(20):
    ...     loss = network.step(X, y, "mse", {"name": "sgd", "lr": 0.1})
    >>> network.forward([[10.0]]).round(3)
    array([[30.]])
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        if not layers:
            raise ValueError("layers is empty: a network needs at least one layer")
        if not isinstance(layers[-1], Dense):
            raise ValueError(f"the last layer is {type(layers[-1]).__name__}: expected Dense, which gives the output")
        self.layers: list[Layer] = list(layers)
        self.last: Dense = layers[-1]
        self._states: dict[str, State] = {}
        self._states_of = ""

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], parameters: Mapping[str, Any]) -> Network:
        """Make the network from its spec, as `deltarule.Network` has it, and its parameters, which are copied.

        Parameters
        ----------
        spec : mapping
            ``{"layers": [{"type": "dense", "units": 3, "activation": "tanh", ...}, ...], ...}``.
        parameters : mapping of array-like
            ``{"0.weight": ..., "0.bias": ..., ...}``, by the layer's name, or its place when it has none.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If a layer type is unknown, or a parameter is missing or has the wrong shape.

        Examples
        --------
        >>> spec = {"layers": [{"type": "dense", "units": 1, "activation": "tanh", "use_bias": False}]}
        >>> Network.from_spec(spec, {"0.weight": [[1.0]]}).forward([[0.0]])
        array([[0.]])
        """
        layers = []
        for place, settings in enumerate(spec["layers"]):
            prefix = f"{settings.get('name') or place}."
            own = {key.removeprefix(prefix): value for key, value in parameters.items() if key.startswith(prefix)}
            layer = find("layer type", settings["type"], LAYERS).from_spec(settings, own)
            if isinstance(layer, Dropout):
                layer.place = place
            layers.append(layer)
        return cls(layers)

    def _by_name(self) -> list[tuple[str, Layer]]:
        """Return each layer with what it is called: its own name, or its place."""
        return [(layer.name or str(place), layer) for place, layer in enumerate(self.layers)]

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays that training changes, ``{"0.weight": ..., "0.bias": ..., ...}``."""
        return {f"{name}.{key}": array for name, layer in self._by_name() for key, array in layer.parameters.items()}

    @property
    def gradients(self) -> dict[str, Array]:
        """What the last way back found, by the names of the parameters; without the penalties."""
        return {f"{name}.{key}": array for name, layer in self._by_name() for key, array in layer.gradients.items()}

    def forward(self, X: Any) -> Array:
        """Return the output after the last activation.

        Parameters
        ----------
        X : array-like, shape (n_samples, inputs)

        Returns
        -------
        ndarray, shape (n_samples, outputs)

        Raises
        ------
        ValueError
            If X has not the columns that the first layer takes.
        """
        return self._forward(X, None)

    def _forward(self, X: Any, key: int | None) -> Array:
        for layer in self.layers:
            X = layer.forward(X, key=key) if isinstance(layer, Dropout) else layer.forward(X)
        return np.asarray(X)

    def backward(self, grad_output: Any) -> Array:
        """Go back through the last `forward`: return dL/dX from dL/d output, and set `gradients`.

        Parameters
        ----------
        grad_output : array-like, shape (n_samples, outputs)
            dL/da of the last layer.

        Returns
        -------
        ndarray, shape (n_samples, inputs)
            dL/dX.

        Raises
        ------
        RuntimeError
            If there was no way forward.
        """
        for layer in reversed(self.layers):
            grad_output = layer.backward(grad_output)
        return np.asarray(grad_output)

    def _is_fused(self, loss: Loss) -> bool:
        return (self.last.activation.name, loss.name) in FUSED

    def _forward_to_loss(self, X: Any, loss: Loss, key: int | None = None) -> Array:
        """Return what the loss looks at: the output, or the last layer's z in the fused pairs."""
        output = self._forward(X, key)
        logits = self.last.z
        return logits if self._is_fused(loss) and logits is not None else output

    def _backward_from_loss(self, grad: Array, loss: Loss) -> None:
        """Go back from the derivative with respect to what the loss looked at."""
        # In the fused pairs it is dL/dz, the delta itself; otherwise dL/da.
        grad = self.last.backward_from_delta(grad) if self._is_fused(loss) else self.last.backward(grad)
        for layer in reversed(self.layers[:-1]):
            grad = layer.backward(grad)

    def loss(self, X: Any, y: Any, loss: str | Mapping[str, Any] | Loss, sample_weight: Any = None) -> float:
        """Return the mean loss plus the layers' penalties.

        Parameters
        ----------
        X : array-like, shape (n_samples, inputs)
        y : array-like
            The targets.
        loss : str, mapping or Loss
            See `deltarule.reference.losses.get`.
        sample_weight : array-like, shape (n_samples,), optional
            For the weighted mean Σwℓ / Σw.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If the shapes do not match.
        """
        chosen = losses.get(loss)
        data = chosen.value(self._forward_to_loss(X, chosen), y, sample_weight)
        return data + sum(layer.penalty() for layer in self.layers)

    def loss_and_gradients(
        self,
        X: Any,
        y: Any,
        loss: str | Mapping[str, Any] | Loss,
        sample_weight: Any = None,
        *,
        key: int | None = None,
    ) -> tuple[float, dict[str, Array]]:
        """Return the loss and its derivative with respect to every parameter: forward, loss, backward.

        Parameters
        ----------
        X, y, loss, sample_weight
            As in `loss`.
        key : int, optional
            Of a training step, in which units drop out; see `deltarule.reference.masks.step_key`. None: none does.

        Returns
        -------
        float
            The mean loss plus the penalties.
        dict of ndarray
            By the names of `parameters`; the penalties' share is in them.

        Raises
        ------
        ValueError
            If the shapes do not match.
        """
        chosen = losses.get(loss)
        value, grad = chosen.value_and_gradient(self._forward_to_loss(X, chosen, key), y, sample_weight)
        self._backward_from_loss(grad, chosen)
        gradients = self.gradients
        for name, layer in self._by_name():
            if isinstance(layer, Dense):
                gradients[f"{name}.weight"] = gradients[f"{name}.weight"] + layer.penalty_gradient()
        return value + sum(layer.penalty() for layer in self.layers), gradients

    def step(
        self,
        X: Any,
        y: Any,
        loss: str | Mapping[str, Any] | Loss,
        optimizer: str | Mapping[str, Any] | Optimizer,
        sample_weight: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        key: int | None = None,
    ) -> float:
        """Update every parameter once, and return the loss from before.

        Parameters
        ----------
        X, y, loss, sample_weight
            As in `loss`.
        optimizer : str, mapping or Optimizer
            See `deltarule.reference.optimizers.get`. What it remembers is kept from step to step, also when its
            settings change, and forgotten when another rule takes over.
        clip_norm : float, > 0, optional
            The greatest norm of all gradients together.
        clip_value : float, > 0, optional
            The greatest size of each number in them; comes before the norm when both are given.
        key : int, optional
            As in `loss_and_gradients`.

        Returns
        -------
        float
            The loss before the update.

        Raises
        ------
        ValueError
            If the shapes do not match, or a name or setting is wrong.
        """
        rule = optimizers.get(optimizer)
        value, gradients = self.loss_and_gradients(X, y, loss, sample_weight, key=key)
        if clip_value is not None:
            gradients = clip_by_value(gradients, clip_value)
        if clip_norm is not None:
            gradients = clip_by_global_norm(gradients, clip_norm)
        if self._states_of != rule.name:
            self._states = {name: rule.start(array) for name, array in self.parameters.items()}
            self._states_of = rule.name
        for name, layer in self._by_name():
            for part, array in layer.parameters.items():
                full_name = f"{name}.{part}"
                setattr(layer, part, rule.update(array, gradients[full_name], self._states[full_name]))
        return value

    def numerical_gradients(
        self,
        X: Any,
        y: Any,
        loss: str | Mapping[str, Any] | Loss,
        *,
        step: float = 6e-6,
        sample_weight: Any = None,
    ) -> dict[str, Array]:
        """Return the gradients without backpropagation, by central differences: slow, and independent of it.

        For each single parameter p, with h = step * max(1, |p|),

            dL/dp ≈ (L(p + h) - L(p - h)) / 2h,

        whose error is about h² L'''/6 from the formula and 1e-16 L/h from rounding.

        Parameters
        ----------
        X, y, loss
            As in `loss`.
        step : float, > 0, default 6e-6
            The relative step; the default, the cube root of the rounding unit, makes both errors about equal.
        sample_weight
            As in `loss`.

        Returns
        -------
        dict of ndarray
            By the names of `parameters`.

        Raises
        ------
        ValueError
            If the shapes do not match.

        Notes
        -----
        Where a step crosses a corner, such as the one of relu at 0, the difference is some mean of the slopes on its
        two sides and no derivative: compare there with another step.

        Examples
        --------
        >>> network = Network([Dense([[2.0]])])
        >>> network.numerical_gradients([[1.0], [2.0]], [[3.0], [6.0]], "mse")["0.weight"].round(6)
        array([[-5.]])
        """
        chosen = losses.get(loss)
        probe = copy.deepcopy(self)  # what this network remembers of its last way forward stays as it is
        gradients = {}
        for name, array in probe.parameters.items():
            gradient = gradients[name] = np.zeros_like(array)
            for place in np.ndindex(array.shape):
                p = float(array[place])
                h = step * max(1.0, abs(p))
                array[place] = above = p + h
                loss_above = probe.loss(X, y, chosen, sample_weight)
                array[place] = below = p - h
                loss_below = probe.loss(X, y, chosen, sample_weight)
                array[place] = p
                gradient[place] = (loss_above - loss_below) / (above - below)  # the step as it was after rounding
        return gradients
