"""Layers with a loss at the end: its value, and backpropagation through all of it.

To add a pair of activation and loss computed together, see fused.py. The mathematics is from D. Rumelhart, G. Hinton
and R. Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import losses
from .activations import Array
from .fused import FUSED
from .layers import Dense, Recurrent
from .losses import Loss
from .sequences import Sequences, mean_loss, mean_loss_and_gradient
from .stack import Stack, States

LossLike = str | Mapping[str, Any] | Loss
Keys = int | Sequence[int] | Callable[[int], int] | None


class Backpropagation(Stack):
    """A network without its training; see `Network`."""

    def _is_fused(self, loss: Loss) -> bool:
        return (self.last.activation.name, loss.name) in FUSED

    def _seen(
        self,
        X: Array,
        sequences: Sequences | None,
        state: States | None,
        loss: Loss,
        key: int | None,
        training: bool = False,
    ) -> Array:
        """Return what the loss looks at: the output, or the last layer's z in the fused pairs."""
        output = self._run(X, sequences, state, key, training)
        logits = self.last.z
        return logits if self._is_fused(loss) and logits is not None else output

    def _seen_in_chunks(
        self,
        X: Array,
        sequences: Sequences,
        state: States | None,
        loss: Loss,
        bptt_steps: int,
        incoming: Any,
        key: Keys = None,
    ) -> tuple[Array, list[States]]:
        """Return the same, put together from chunks of the steps, and the state which each of them began with."""
        began: list[States] = []
        seen = np.zeros((*X.shape[: 2 if self.gives_sequences else 1], self.last.weight.shape[1]))
        for number, chunk in enumerate(sequences.chunks(bptt_steps)):
            state = self.states if number else state
            began.append((state or {}) if incoming is None else incoming[number])
            part = self._seen(chunk.part(X), chunk, began[-1], loss, key_of_chunk(key, number))
            if self.gives_sequences:
                chunk.part(seen)[...] = part
            else:
                seen[chunk.ends] = part[chunk.ends]
        return seen, began

    def loss(
        self,
        X: Any,
        y: Any,
        loss: LossLike,
        sample_weight: Any = None,
        *,
        lengths: Any = None,
        initial_state: States | None = None,
        bptt_steps: int | None = None,
        incoming_states: Sequence[States] | None = None,
        key: Keys = None,
        training: bool = False,
    ) -> float:
        """Return the mean loss plus the layers' penalties.

        Parameters
        ----------
        X : array-like, shape (n_samples, inputs) or (n_samples, n_steps, inputs)
        y : array-like
            The targets, for each sample, or for each step where `gives_sequences`.
        loss : str, mapping or Loss
            See `deltarule.reference.losses.get`.
        sample_weight : array-like, shape (n_samples,), optional
            For the weighted mean Σwℓ / Σw; of sequences Σ_n w_n Σ_t ℓ_nt / Σ_n w_n steps(n).
        lengths, initial_state
            As in `forward`; only steps that exist have a loss.
        bptt_steps : int, > 0, optional
            Go forward in chunks of so many steps, which by itself changes nothing.
        incoming_states : sequence of mapping, optional
            From `incoming_states`: what each chunk starts from, instead of what the one before ended with. As a
            function of the parameters, this is what the truncated gradient is the gradient of.
        key, training
            As in `loss_and_gradients`.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            If the shapes do not match, or what is said of sequences does not fit.
        """
        chosen = losses.get(loss)
        X, sequences = self._checked(X, lengths, initial_state, bptt_steps)
        counted = None if sequences is None else sequences.counted(self.gives_sequences)
        if sequences is None or bptt_steps is None:
            seen = self._seen(X, sequences, initial_state, chosen, key_of_chunk(key, 0), training)
        else:
            seen, _ = self._seen_in_chunks(X, sequences, initial_state, chosen, bptt_steps, incoming_states, key)
        return mean_loss(chosen, seen, y, sample_weight, counted) + sum(layer.penalty() for layer in self.layers)

    def incoming_states(
        self,
        X: Any,
        bptt_steps: int,
        *,
        lengths: Any = None,
        initial_state: States | None = None,
        key: Keys = None,
    ) -> list[States]:
        """Return the state that each chunk of `bptt_steps` steps starts from, with the parameters as they are now.

        Parameters
        ----------
        X, lengths, initial_state
            As in `forward`; X of shape (n_samples, n_steps, inputs).
        bptt_steps : int, > 0
        key
            As in `loss_and_gradients`.

        Returns
        -------
        list of mapping
            For the steps [0, k), [k, 2k), …, each by the names of `initial_state`.

        Raises
        ------
        TypeError, ValueError
            As in `loss`.
        """
        X, sequences = self._checked(X, lengths, initial_state, bptt_steps)
        if sequences is None:
            return []
        return self._seen_in_chunks(X, sequences, initial_state, losses.get("mse"), bptt_steps, None, key)[1]

    def loss_and_gradients(
        self,
        X: Any,
        y: Any,
        loss: LossLike,
        sample_weight: Any = None,
        *,
        key: Keys = None,
        lengths: Any = None,
        initial_state: States | None = None,
        bptt_steps: int | None = None,
        training: bool = False,
    ) -> tuple[float, dict[str, Array]]:
        """Return the loss and its derivative with respect to every parameter: forward, loss, backward.

        Parameters
        ----------
        X, y, loss, sample_weight, lengths, initial_state
            As in `loss`.
        key : int, or for chunks a sequence of int or a function of the chunk's number, optional
            Of a training step, in which units drop out; see `deltarule.reference.masks.step_key`. None: none does.
        bptt_steps : int, > 0, optional
            Truncate: the sum of the gradients of the chunks [0, k), [k, 2k), …, each of which takes the state that it
            starts from as a constant. The loss is that of the whole. With one key there is one mask for all steps.
        training : bool, default False
            Whether BatchNorm takes mean and variance of X, as a step does, not its running statistics.

        Returns
        -------
        float
            The mean loss plus the penalties.
        dict of ndarray
            By the names of `parameters`; the penalties' share is in them.

        Raises
        ------
        TypeError, ValueError
            As in `loss`.
        """
        X, sequences = self._checked(X, lengths, initial_state, bptt_steps)
        chosen = losses.get(loss)
        if sequences is None or bptt_steps is None or key is None or isinstance(key, int):
            only = key_of_chunk(key, 0)
            return self._gradients(X, y, chosen, sample_weight, sequences, initial_state, only, bptt_steps, training)
        seen, began = self._seen_in_chunks(X, sequences, initial_state, chosen, bptt_steps, None, key)
        value, grad = mean_loss_and_gradient(chosen, seen, y, sample_weight, sequences.counted(self.gives_sequences))
        gradients = {name: np.zeros_like(array) for name, array in self.parameters.items()}
        for number, chunk in enumerate(sequences.chunks(bptt_steps)):
            self._run(chunk.part(X), chunk, began[number], key_of_chunk(key, number))
            self._back_from(chunk.part(grad) if self.gives_sequences else grad * chunk.ends[:, None], chosen)
            for name, gradient in self.gradients.items():
                gradients[name] += gradient
        return self._with_penalties(value, gradients)

    def _gradients(
        self,
        X: Array,
        y: Any,
        loss: Loss,
        sample_weight: Any,
        sequences: Sequences | None,
        state: States | None,
        key: int | None,
        bptt_steps: int | None = None,
        training: bool = False,
    ) -> tuple[float, dict[str, Array]]:
        seen = self._seen(X, sequences, state, loss, key, training)
        counted = None if sequences is None else sequences.counted(self.gives_sequences)
        value, grad = mean_loss_and_gradient(loss, seen, y, sample_weight, counted)
        self._back_from(grad, loss, bptt_steps)
        return self._with_penalties(value, self.gradients)

    def _back_from(self, grad: Array, loss: Loss, bptt_steps: int | None = None) -> None:
        """Go back from the gradient of what the loss has seen: dL/dz, the delta, in the fused pairs, else dL/da."""
        self._back(
            self.last.backward_from_delta(grad) if self._is_fused(loss) else self.last.backward(grad), bptt_steps
        )

    def _with_penalties(self, value: float, gradients: dict[str, Array]) -> tuple[float, dict[str, Array]]:
        for name, layer in self._by_name():
            if isinstance(layer, Dense | Recurrent):
                for part, gradient in layer.penalty_gradients().items():
                    gradients[f"{name}.{part}"] = gradients[f"{name}.{part}"] + gradient
        return value + sum(layer.penalty() for layer in self.layers), gradients


def key_of_chunk(key: Keys, number: int) -> int | None:
    """Return the key of a chunk, which its masks are drawn from."""
    if key is None or isinstance(key, int):
        return key
    return key(number) if callable(key) else key[number]
