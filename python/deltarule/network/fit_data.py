"""What a fit trains on and validates on, checked against the network, as the core takes it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..losses import CustomLoss, Loss
from ..names import require_number
from .inputs import Inputs, gives_sequences
from .preparing import Prepared, output_weights, prepare, with_class_weight

if TYPE_CHECKING:
    from .network import Network
    from .structure import Array

__all__ = ["ArrayData", "Part", "is_stream", "validation_part"]


class Part(NamedTuple):
    """Samples, and what belongs to them."""

    inputs: Inputs
    prepared: Prepared
    y: Any  # as the user gave it: what a metric looks at where the loss is a function of the user's

    def for_core(self, network: Network) -> tuple[Any, Array | None, Array | None]:
        """(inputs, targets, weights of the outputs)"""
        weights = output_weights(network, self.inputs, self.prepared.weights)
        return self.inputs.for_core(), self.prepared.targets, weights

    def first(self, network: Network, rows: int) -> Part:
        """Its first samples."""
        inputs, prepared, y = self
        rows = min(rows, inputs.n_samples)
        places = rows * (inputs.features.shape[1] if gives_sequences(network, inputs) else 1)
        targets, weights = prepared.targets, prepared.weights
        of_rows = prepared._replace(
            targets=None if targets is None else targets[:places], weights=None if weights is None else weights[:rows]
        )
        return Part(inputs.part(slice(rows)), of_rows, np.asarray(y)[:rows] if targets is None else None)


class ArrayData:
    """All samples in memory, perhaps some of them held out.

    Parameters
    ----------
    network : Network
    X, y, loss, sample_weight, class_weight, lengths, validation_data, validation_split
        As in `Network.fit`.
    """

    next_piece = None  # all are there at once

    def __init__(
        self,
        network: Network,
        X: Any,
        y: Any,
        *,
        loss: str | Loss | CustomLoss,
        sample_weight: Any,
        class_weight: Mapping[Any, float] | str | None,
        lengths: Any,
        validation_data: tuple[Any, ...] | None,
        validation_split: float,
    ) -> None:
        if y is None:
            raise TypeError("y is None: expected the targets of X; only a deltarule.stream brings its own")
        inputs = network._inputs(X, lengths)
        prepared = prepare(network, inputs.features, y, loss, sample_weight, lengths=inputs.lengths)
        self.training, self.validation = Part(inputs, prepared, y), None
        if validation_data is not None:
            if validation_split:
                raise ValueError("validation_data and validation_split are both given: choose one")
            self.validation = validation_part(network, validation_data, loss, inputs)
        elif validation_split:
            self.training, self.validation = _split(network, self.training, validation_split)
        weighted = with_class_weight(network, self.training.inputs, self.training.prepared, class_weight)
        self.training = self.training._replace(prepared=weighted)

    @property
    def n_samples(self) -> int | None:
        """How many samples an epoch has."""
        return self.training.inputs.n_samples

    def loss_for_core(self) -> Any:
        """The loss by its name, or a function of the output and the samples' numbers."""
        return self.training.prepared.loss

    def close(self) -> None:
        """Nothing was opened."""


def is_stream(X: Any) -> bool:
    """Whether X is a `Stream`; asked without importing what most fits do without."""
    streams = sys.modules.get(f"{__package__.rpartition('.')[0]}.streams")
    return streams is not None and isinstance(X, streams.Stream)


def validation_part(network: Network, data: Any, loss: str | Loss | CustomLoss, like: Inputs) -> Part:
    """What `validation_data` holds, checked against the network and the samples that it trains on."""
    most = 3 if like.are_sequences else 2
    if not isinstance(data, (tuple, list)) or not 2 <= len(data) <= most:
        raise TypeError(
            f"validation_data is {type(data).__name__}: expected a tuple (X, y)"
            + (" or (X, y, lengths)" if like.are_sequences else "")
        )
    inputs = network._inputs(data[0], data[2] if len(data) == 3 else None, "validation_data[0]")
    columns, expected = inputs.features.shape[-1], like.features.shape[-1]
    if inputs.are_sequences != like.are_sequences:
        raise ValueError(
            f"validation_data[0] has shape {inputs.features.shape} but X has {like.features.shape}: expected as many "
            "dimensions"
        )
    if columns != expected:
        raise ValueError(f"validation_data[0] has {columns} features but X has {expected}")
    prepared = prepare(network, inputs.features, data[1], loss, None, name="validation_data[1]", lengths=inputs.lengths)
    return Part(inputs, prepared, data[1])


def _split(network: Network, part: Part, validation_split: float) -> tuple[Part, Part]:
    """The last part of everything for validation, before any shuffling."""
    inputs, prepared, y = part
    share = require_number("validation_split", validation_split, least=0.0, below=1.0)
    n_samples = inputs.n_samples
    first = n_samples - int(n_samples * share)
    if not 0 < first < n_samples:
        raise ValueError(
            f"validation_split={validation_split!r} of {n_samples} samples leaves {first} to train on and "
            f"{n_samples - first} to validate on: both need at least one"
        )
    # Rows of the targets, and what the core calls a sample's place in them
    place = first * (inputs.features.shape[1] if gives_sequences(network, inputs) else 1)
    of_rest: Any = prepared.loss
    if prepared.targets is None:  # a loss of the user's looks at y by the sample's number
        of_all = prepared.loss

        def of_rest(output: Array, samples: Array) -> Any:
            return of_all(output, samples + place)

        y = np.asarray(y)
    targets, weights = prepared.targets, prepared.weights
    training = prepared._replace(
        targets=None if targets is None else targets[:place], weights=None if weights is None else weights[:first]
    )
    held_out = prepared._replace(
        loss=of_rest,
        targets=None if targets is None else targets[place:],
        weights=None if weights is None else weights[first:],
    )
    before, after = slice(first), slice(first, None)
    return (
        Part(inputs.part(before), training, y[before] if prepared.targets is None else None),
        Part(inputs.part(after), held_out, y[after] if prepared.targets is None else None),
    )
