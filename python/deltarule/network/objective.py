"""The loss of all samples as a function of the parameters that are trained, for a driver that looks for its minimum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .inputs import Inputs, gives_sequences
from .preparing import Prepared, output_weights
from .recurrence import require_workspace
from .structure import Array

if TYPE_CHECKING:
    from .network import Network

__all__ = ["NotFiniteError", "Objective", "Vector"]

_ELEMENTS = 1 << 22  # of the samples and activations of a part

Vector = npt.NDArray[np.float64]


class NotFiniteError(Exception):
    """Where there is nothing to come back to."""

    def __init__(self, loss: float) -> None:
        self.loss = loss


class _Part(NamedTuple):
    """Some of the samples, as the core takes them, and their share of the mean."""

    inputs: Any
    targets: Array | None
    weights: Array | None
    share: float


class Objective:
    """The mean loss of all samples, penalties included, and its gradient: functions of the parameters being trained."""

    def __init__(
        self,
        network: Network,
        inputs: Inputs,
        prepared: Prepared,
        threads: tuple[int, int],
        cut: tuple[int, bool],
    ) -> None:
        self.native = network._native
        self.loss, self.threads, self.cut = prepared.loss, threads, cut
        self.trial: Array = self.native.allocate()
        self.gradients: Array = self.native.allocate()
        # Where they are in the core's flat array: the others, and what is between tensors, are not SciPy's to change.
        for number, (_, shape, layer) in enumerate(self.native.tensors):
            is_trained = getattr(network.layers[layer], "trainable", True)
            self.native.write(self.trial, number, np.full(shape, is_trained, network.dtype))
        self.places = np.flatnonzero(self.trial)
        self.trial[:] = network._flat
        self.start: Vector = self.trial[self.places].astype(np.float64)
        self.parts = _parts_of(network, inputs, prepared)
        require_workspace(network, inputs.part(slice(_rows_of_part(network, inputs, prepared))), cut)
        self.last: tuple[Vector, float, Vector] | None = None  # where it was asked for, and the answer
        self.base: tuple[Vector, float, Vector] | None = None  # the same where the line search began

    def write(self, x: Vector) -> Array:
        """All parameters, flat, with those being trained from x."""
        with np.errstate(over="ignore"):
            self.trial[self.places] = x
        return self.trial

    def accept(self) -> None:
        """A line search has ended, and the next one begins there."""
        self.base = self.last

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        parameters = self.write(x)
        value, gradient = 0.0, np.zeros(len(x))
        for part in self.parts:
            value += part.share * self.native.loss_and_gradients(
                parameters,
                self.loss,
                part.inputs,
                part.targets,
                part.weights,
                self.gradients,
                *self.threads,
                self.cut,
            )
            gradient += part.share * self.gradients[self.places]
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return self._mirrored(x, value)
        self.last = (x.copy(), value, gradient)
        if self.base is None:
            self.accept()
        return value, gradient

    def _mirrored(self, x: Vector, value: float) -> tuple[float, Vector]:
        """In place of a loss that is no number: as steep a way up as it was down where the line search began.

        From this the line search comes back and tries a shorter step; at an infinite loss SciPy would stop and call it
        converged.
        """
        if self.base is None:
            raise NotFiniteError(value)
        start, loss, gradient = self.base
        return loss + abs(float(gradient @ (x - start))), -gradient


def _rows_of_part(network: Network, inputs: Inputs, prepared: Prepared) -> int:
    """Of bounded memory, but all of them for a loss of the user's, who sees a batch."""
    n_steps = inputs.features.shape[1] if inputs.are_sequences else 1
    a_row = n_steps * (inputs.features.shape[-1] + sum(getattr(layer, "units", 0) for layer in network.layers))
    return inputs.n_samples if prepared.targets is None else max(1, 256 // n_steps, _ELEMENTS // a_row)


def _parts_of(network: Network, inputs: Inputs, prepared: Prepared) -> list[_Part]:
    rows = _rows_of_part(network, inputs, prepared)
    weights = output_weights(network, inputs, prepared.weights)
    outputs = inputs.features.shape[1] if gives_sequences(network, inputs) else 1  # of a sample
    found = []
    for first in range(0, inputs.n_samples, rows):
        part, place = inputs.part(slice(first, first + rows)), slice(first * outputs, (first + rows) * outputs)
        there = part.exists.ravel() if outputs > 1 else np.ones(part.n_samples, bool)
        of_part = None if weights is None else weights[place]
        total = float(there.sum() if of_part is None else of_part[there].sum(dtype=np.float64))
        targets = None if prepared.targets is None else prepared.targets[place]
        if total > 0:
            found.append(_Part(part.for_core(), targets, of_part, total))
    of_all = sum(part.share for part in found)
    return [part._replace(share=part.share / of_all) for part in found]
