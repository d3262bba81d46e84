"""The numbers of one step, from the reference: what it keeps on the way forward, what it is told on the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.fused import FUSED
from ..reference.sequences import Sequences, mean_loss_and_gradient
from ..twin import Twin
from .batch import Array, Batch

__all__ = ["Trace", "trace"]


@dataclass(frozen=True)
class Trace:
    """One way forward and back.

    Attributes
    ----------
    batch : Batch
    by_step : bool
        Whether there is an output at every step.
    seen, y, gradient : ndarray
        What the loss looks at, the targets, and dL/d(what it looks at).
    shares : ndarray, optional
        Of sample weights: which part of the mean each sample or step is.
    is_fused : bool
        Whether the loss looks at the last layer's z.
    told : list of ndarray
        dL/d(what each layer gave); of the last layer of a fused pair dL/dz.
    """

    batch: Batch
    by_step: bool
    seen: Array
    y: NDArray[Any]
    gradient: Array
    shares: Array | None
    is_fused: bool
    told: list[Array]


def trace(twin: Twin) -> Trace:
    """Go through a network's twin layer by layer."""
    network, lengths = twin.network, twin._of_steps.get("lengths")
    sequences = Sequences.of(twin.X, lengths) if twin.X.ndim == 3 else None
    output = network.forward(twin.X, **({} if lengths is None else {"lengths": lengths}))
    is_fused = (network.last.activation.name, twin._loss.name) in FUSED
    assert network.last.z is not None
    seen = network.last.z if is_fused else np.asarray(output)
    counted = None if sequences is None else sequences.counted(network.gives_sequences)
    _, gradient = mean_loss_and_gradient(twin._loss, seen, twin.y, twin.sample_weight, counted)
    told = [gradient]
    grad = network.last.backward_from_delta(gradient) if is_fused else network.last.backward(gradient)
    for layer in reversed(network.layers[:-1]):
        told.append(grad)
        grad = layer.backward(grad)
    return Trace(
        Batch(len(twin.X), None if sequences is None else sequences.exists),
        sequences is not None and network.gives_sequences,
        seen,
        np.asarray(twin.y),
        gradient,
        _shares(twin.sample_weight, counted),
        is_fused,
        told[::-1],
    )


def _shares(weights: Array | None, counted: NDArray[np.bool_] | None) -> Array | None:
    """w / Σw over what the loss looks at."""
    if weights is None:
        return None
    if counted is not None:
        weights = np.where(counted, weights.reshape(-1, *[1] * (counted.ndim - 1)), 0.0)
    return np.asarray(weights / weights.sum())
