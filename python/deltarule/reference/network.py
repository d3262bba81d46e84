"""A network: layers, the loss at the end, backpropagation through all of it, and steps of training.

To add a layer type, see layers/; backpropagation is in backpropagation.py.
The mathematics is from D. Rumelhart, G. Hinton and R. Williams, "Learning representations by back-propagating errors",
Nature 323, 1986.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import losses, optimizers
from .activations import Array
from .backpropagation import Backpropagation, Keys, LossLike, key_of_chunk
from .clipping import clip_by_global_norm, clip_by_value
from .layers import BatchNorm, Layer
from .optimizers import Optimizer, State
from .sequences import as_targets
from .stack import States


class Network(Backpropagation):
    """A network, in float64, written to be read.

    Layer by layer, z = x W + b and a = f(z), and the next layer's x is a. From the loss L at the end, the chain rule
    goes the same way back: each layer turns dL/da into delta = dL/dz = dL/da * f'(z), from it takes the gradients of
    its own parameters, and hands dL/dx to the layer before, whose dL/da it is. A recurrent layer does so step by step.

    Parameters
    ----------
    layers : sequence of Dense, Dropout, LayerNorm, BatchNorm and Recurrent
        At least one, in the order of the way forward; the last one is dense.

    Raises
    ------
    ValueError
        If there is no layer, the last one is not dense, or BatchNorm and recurrent layers are mixed.

    Examples
    --------
    The network y = 2x learns to be y = 3x:

    >>> from deltarule.reference import Dense
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
        super().__init__(layers)
        self._optimizer_states: dict[str, State] = {}
        self._states_of = ""

    def step(
        self,
        X: Any,
        y: Any,
        loss: LossLike,
        optimizer: str | Mapping[str, Any] | Optimizer,
        sample_weight: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        key: Keys = None,
        *,
        lengths: Any = None,
        initial_state: States | None = None,
        bptt_steps: int | None = None,
    ) -> float:
        """Update every parameter once, and return the loss from before; with `bptt_steps`, once for each chunk.

        Parameters
        ----------
        X, y, loss, sample_weight, lengths, initial_state
            As in `loss`.
        optimizer : str, mapping or Optimizer
            See `deltarule.reference.optimizers.get`. What it remembers is kept from step to step, also when its
            settings change, and forgotten when another rule takes over.
        clip_norm : float, > 0, optional
            The greatest norm of all gradients together.
        clip_value : float, > 0, optional
            The greatest size of each number in them; comes before the norm when both are given.
        key : int, or for chunks a sequence of int or a function of the chunk's number, optional
            As in `loss_and_gradients`.
        bptt_steps : int, > 0, optional
            Each chunk of so many steps is an update of its own, by the mean loss over what exists in it. The state
            flows on, as the parameters before the update left it. The loss of a sample with one output belongs to the
            chunk of its last step; a chunk without any output makes no update.

        Returns
        -------
        float
            The loss before the update; of chunks the mean, weighted as their samples and steps are.

        Raises
        ------
        TypeError, ValueError
            If the shapes do not match, or a name or setting is wrong.
        """
        rule, chosen = optimizers.get(optimizer), losses.get(loss)
        X, sequences = self._checked(X, lengths, initial_state, bptt_steps)
        if sequences is None or bptt_steps is None or not len(X):
            only = key_of_chunk(key, 0)
            value, gradients = self._gradients(
                X, y, chosen, sample_weight, sequences, initial_state, only, training=True
            )
            self._update(rule, gradients, clip_norm, clip_value)
            for layer in self.layers:
                if isinstance(layer, BatchNorm):
                    layer.learn_statistics()
            return value
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        y = as_targets(y, sequences.counted(self.gives_sequences))
        state, values, weights = initial_state, [], []
        for number, chunk in enumerate(sequences.chunks(bptt_steps)):
            counted, own_key = chunk.counted(self.gives_sequences), key_of_chunk(key, number)
            if counted.any():
                own_y = chunk.part(y) if self.gives_sequences else y
                value, gradients = self._gradients(chunk.part(X), own_y, chosen, sample_weight, chunk, state, own_key)
                self._update(rule, gradients, clip_norm, clip_value)
                values.append(value)
                weights.append(float((weight * counted.T).sum()))
            else:
                self._run(chunk.part(X), chunk, state, own_key)
            state = self.states
        return float(np.average(values, weights=weights))

    def _update(
        self, rule: Optimizer, gradients: dict[str, Array], clip_norm: float | None, clip_value: float | None
    ) -> None:
        factors = {name: self.lr_factors.get(name.rsplit(".", 1)[0], 1.0) for name in self.parameters}
        gradients = {name: gradients[name] for name, factor in factors.items() if factor is not None}
        if clip_value is not None:
            gradients = clip_by_value(gradients, clip_value)
        if clip_norm is not None:
            gradients = clip_by_global_norm(gradients, clip_norm)
        if self._states_of != rule.name:
            self._optimizer_states = {
                name: _with_factor(rule, factors[name]).start(array) for name, array in self.parameters.items()
            }
            self._states_of = rule.name
        for name, gradient in gradients.items():
            array, own = self.parameters[name], _with_factor(rule, factors[name])
            array[...] = own.update(array, gradient, self._optimizer_states[name])

    def numerical_gradients(
        self,
        X: Any,
        y: Any,
        loss: LossLike,
        *,
        step: float = 6e-6,
        sample_weight: Any = None,
        lengths: Any = None,
        initial_state: States | None = None,
        bptt_steps: int | None = None,
        key: Keys = None,
        training: bool = False,
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
        sample_weight, lengths, initial_state
            As in `loss`.
        bptt_steps : int, > 0, optional
            The states that the chunks start from are held as they are with the unchanged parameters.
        key, training
            As in `loss_and_gradients`: of a step, whose masks are held.

        Returns
        -------
        dict of ndarray
            By the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            As in `loss`.

        Notes
        -----
        Where a step crosses a corner, such as the one of relu at 0, the difference is some mean of the slopes on its
        two sides and no derivative: compare there with another step.

        Examples
        --------
        >>> from deltarule.reference import Dense
        >>> network = Network([Dense([[2.0]])])
        >>> network.numerical_gradients([[1.0], [2.0]], [[3.0], [6.0]], "mse")["0.weight"].round(6)
        array([[-5.]])
        """
        chosen = losses.get(loss)
        probe = copy.deepcopy(self)  # what this network remembers of its last way forward stays as it is
        gradients = {}
        sequences: dict[str, Any] = {"lengths": lengths, "initial_state": initial_state, "key": key}
        if bptt_steps is not None:
            held = probe.incoming_states(X, bptt_steps, **sequences)
            sequences |= {"bptt_steps": bptt_steps, "incoming_states": held}
        sequences["training"] = training
        for name, array in probe.parameters.items():
            gradient = gradients[name] = np.zeros_like(array)
            for place in np.ndindex(array.shape):
                p = float(array[place])
                h = step * max(1.0, abs(p))
                array[place] = above = p + h
                loss_above = probe.loss(X, y, chosen, sample_weight, **sequences)
                array[place] = below = p - h
                loss_below = probe.loss(X, y, chosen, sample_weight, **sequences)
                array[place] = p
                gradient[place] = (loss_above - loss_below) / (above - below)  # the step as it was after rounding
        return gradients


def _with_factor(rule: Optimizer, factor: float | None) -> Optimizer:
    """Return the rule with a multiple of its learning rate."""
    return rule if factor in (None, 1.0) else dataclasses.replace(rule, lr=rule.lr * factor)  # type: ignore[type-var, attr-defined]
