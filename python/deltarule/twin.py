"""The twin of a network in the reference: the same numbers in float64, and what changes when they are nudged.

It knows the loss as the reference does, or a caller's function. A layer, activation or loss of the reference is welcome
here without a change. Rounding is measured as in J. Vignes, "A stochastic arithmetic for reliable scientific
computation", Mathematics and Computers in Simulation 35, 1993: by computing again with random last digits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import reference
from .losses import CustomLoss, Loss
from .network.preparing import prepare

if TYPE_CHECKING:
    from .network import Network
    from .reference.activations import Activation

__all__ = ["Array", "Twin"]

Array = NDArray[np.float64]

_ROUNDINGS, _DRAWS = 8.0, 4  # how many units of rounding every number is moved by, and how often


class _OwnLoss(reference.losses.Loss):
    """A caller's function as a loss of the reference."""

    by_step = False

    def __init__(self, function: CustomLoss) -> None:
        self.name = ""  # type: ignore[misc]  # on the class, it would enter the list of losses
        self._function = function

    def value(self, output: Any, y: Any, sample_weight: Any = None) -> float:
        return self.value_and_gradient(output, y)[0]

    def value_and_gradient(self, output: Any, y: Any, sample_weight: Any = None) -> tuple[float, Array]:
        value, gradient = self._function(output, y)
        return float(value), np.asarray(gradient, dtype=np.float64)


class _RoundedActivation:
    """An activation whose slope has some error: that of tanh, 1 - a², has little else where a is nearly 1 or -1."""

    def __init__(self, activation: type[Activation], error: Callable[[Array], Array]) -> None:
        self.name, self.value = activation.name, activation.value
        self._activation, self._error = activation, error

    def backward(self, z: Array, grad_output: Array) -> Array:
        return self._activation.backward(z, grad_output) + self._error(grad_output)


def _activations(layer: reference.layers.Layer) -> Iterator[tuple[object, str]]:
    """What a layer applies its activations by: attributes of its own, or of its cell."""
    for owner in (layer, getattr(layer, "cell", None)):
        for which in ("activation", "gate"):
            if hasattr(owner, which):
                yield owner, which


def _round_in(norm: reference.BatchNorm | reference.LayerNorm, error: Callable[[Array], Array]) -> None:
    """Give a normalization errors in what it subtracts means from, of which little may be left, on either way."""
    forward, backward = norm.forward, norm.backward

    def rounded_forward(x: Any, **mode: bool) -> Array:
        return forward(x + error(x), **mode)

    def rounded_backward(grad_output: Any) -> Array:
        return backward(grad_output) + error(grad_output * norm.weight / norm.deviation)

    norm.forward, norm.backward = rounded_forward, rounded_backward  # type: ignore[method-assign]


class Twin:
    """The network, its data and its loss, in the reference: exactly the numbers that the core has.

    In training, as the next step would see them: with its masks, and the statistics of the batch.
    """

    def __init__(
        self,
        network: Network,
        X: Any,
        y: Any,
        loss: str | Loss | CustomLoss,
        sample_weight: Any,
        lengths: Any = None,
        bptt_steps: int | None = None,
        training: bool = False,
    ) -> None:
        features, lengths = network._inputs(X, lengths)
        self._of_steps: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
        prepared = prepare(network, features, y, loss, sample_weight, **self._of_steps)
        self.network = reference.Network.from_spec(network.spec(), network.state_dict())
        self.y: Any
        self.X: Array = features.astype(np.float64)
        self.sample_weight = None if prepared.weights is None else prepared.weights.astype(np.float64)
        if isinstance(prepared.found, Loss):
            self.own_loss, self.y = False, prepared.targets
            if features.ndim == 3 and self.network.gives_sequences:
                self.y = self._by_step(prepared.targets)
            self._loss: reference.losses.Loss = reference.losses.get(prepared.found.to_spec())
        else:
            self.own_loss, self.y = True, np.asarray(y)
            self._loss = _OwnLoss(prepared.found)
        key: Any = None
        if training:
            of_step = reference.masks.step_key(network.seed, network.epochs_trained, 0)
            key = of_step if bptt_steps is None else partial(reference.masks.piece_key, of_step)
        self._held: dict[str, Any] = {}
        if bptt_steps is not None:
            # A truncated gradient takes the state that a chunk starts from as a constant: so must the differences.
            self._held["incoming_states"] = self.network.incoming_states(self.X, bptt_steps, key=key, **self._of_steps)
            self._of_steps["bptt_steps"] = bptt_steps
        self._of_steps |= {"key": key, "training": training}

    def _by_step(self, targets: Any) -> NDArray[Any]:
        """Targets as (n_samples, n_steps, …), and 0 where there is no step: what stands there may be no label."""
        of_steps = np.array(targets).reshape(*self.X.shape[:2], *np.shape(targets)[1:])
        if "lengths" in self._of_steps:
            of_steps[np.arange(self.X.shape[1]) >= self._of_steps["lengths"][:, None]] = 0
        return of_steps

    def loss(self) -> float:
        """The loss of the parameters as they are now."""
        return self.network.loss(self.X, self.y, self._loss, self.sample_weight, **self._of_steps, **self._held)

    def loss_and_gradients(self) -> tuple[float, dict[str, Array]]:
        """The loss and the gradients, by the reference's backpropagation."""
        return self.network.loss_and_gradients(self.X, self.y, self._loss, self.sample_weight, **self._of_steps)

    def rounding(self, eps: float) -> tuple[float, dict[str, float]]:
        """How much loss and gradients change when every number in them is off by some units of rounding."""
        random = np.random.default_rng(0)

        def error(array: Array) -> Array:
            return np.asarray(_ROUNDINGS * eps * random.uniform(-1, 1, array.shape) * array)

        y = self.y
        if not self.own_loss:
            labels = self._loss.name == "cross_entropy" and np.issubdtype(self.y.dtype, np.integer)
            y = np.eye(self.network.last.weight.shape[1])[self.y] if labels else self.y.astype(np.float64)
        value, gradients = self.loss_and_gradients()
        of_loss, of_gradients = eps * abs(value), dict.fromkeys(gradients, 0.0)
        for _ in range(_DRAWS):
            moved = copy.deepcopy(self.network)
            for array in moved.parameters.values():
                array += error(array)
            for layer in moved.layers:
                if isinstance(layer, (reference.BatchNorm, reference.LayerNorm)):
                    _round_in(layer, error)
                for owner, which in _activations(layer):
                    setattr(owner, which, _RoundedActivation(getattr(owner, which), error))
            moved_value, moved_gradients = moved.loss_and_gradients(
                self.X + error(self.X),
                y if self.own_loss else y + error(y),
                self._loss,
                self.sample_weight,
                **self._of_steps,
            )
            if not np.isfinite(moved_value):
                continue  # at the edge of what a float holds; infinite changes would excuse everything
            of_loss = max(of_loss, abs(moved_value - value))
            for name, gradient in gradients.items():
                of_gradients[name] = max(of_gradients[name], float(np.abs(moved_gradients[name] - gradient).max()))
        return of_loss, of_gradients

    def differences(self, name: str, place: tuple[Any, ...], steps: tuple[float, ...]) -> Iterator[tuple[float, float]]:
        """For each relative step, h and the central difference (L(p + h) - L(p - h)) / 2h of one parameter."""
        for h, above, below in self._nudged(name, place, steps):
            yield h, (above - below) / (2 * h)

    def is_in_corner(self, name: str, place: tuple[Any, ...], loss_noise: float) -> bool:
        """Whether the slopes on the two sides of a parameter differ, however close one looks.

        Their difference (L(p + h) - 2 L(p) + L(p - h)) / h shrinks with h where the loss is smooth.
        """
        here = self.loss()
        (_, wide), (h, close) = (
            (h, abs((above - here) - (here - below)) / h) for h, above, below in self._nudged(name, place, (3e-6, 3e-7))
        )
        return close > 10 * loss_noise / h and close > 0.3 * wide

    def _nudged(
        self, name: str, place: tuple[Any, ...], steps: tuple[float, ...]
    ) -> Iterator[tuple[float, float, float]]:
        """For each relative step, h, L(p + h) and L(p - h); h is as it is after rounding."""
        array = self.network.parameters[name]
        p = float(array[place])
        for step in steps:
            h = step * max(1.0, abs(p))
            array[place] = above = p + h
            loss_above = self.loss()
            array[place] = below = p - h
            loss_below = self.loss()
            array[place] = p
            yield (above - below) / 2, loss_above, loss_below
