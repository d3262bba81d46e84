"""Losses and metrics of a network on data: for `Network.evaluate`, and after the epochs of a fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..losses import CustomLoss, Loss
from ..metrics import find_metrics
from .fit_data import Part
from .inputs import gives_sequences
from .preparing import output_weights, prepare
from .recurrence import predict
from .structure import Array

if TYPE_CHECKING:
    from ..metrics import Metric
    from .answers import Answers

__all__ = ["evaluate", "measure"]


def evaluate(
    network: Answers,
    X: Any,
    y: Any,
    *,
    loss: str | Loss | CustomLoss | None,
    metrics: Sequence[str | Callable[[Array, Array], float]],
    sample_weight: Any,
    n_threads: int | None,
    lengths: Any,
) -> dict[str, float]:
    """`Network.evaluate`, where the arguments are described."""
    chosen = network.loss if loss is None else loss
    if chosen is None:
        raise ValueError("evaluate needs a loss: the network was not trained yet; pass loss=, such as loss='mse'")
    threads = network._threads(n_threads)
    inputs = network._inputs(X, lengths)
    prepared = prepare(network, inputs.features, y, chosen, sample_weight, lengths=inputs.lengths)
    found = find_metrics(metrics)
    network._build_for(inputs.features)
    weights = output_weights(network, inputs, prepared.weights)
    value = network._native.evaluate(
        network._flat, prepared.loss, inputs.for_core(), prepared.targets, weights, *threads
    )
    return {"loss": value, **measure(network, Part(inputs, prepared, y), found, threads)}


def measure(
    network: Answers, part: Part, metrics: Sequence[tuple[str, Metric]], threads: tuple[int, int]
) -> dict[str, float]:
    """Each metric of the network's output by its name; sample weights do not count."""
    if not metrics:
        return {}
    inputs, prepared, y = part
    kind = prepared.found.targets if isinstance(prepared.found, Loss) else "values"
    last = network._last.activation_name
    activation = "sigmoid" if kind == "probabilities" and last == "identity" else ""
    output, _ = predict(network, inputs, activation, None, threads)
    targets = np.asarray(y) if prepared.targets is None else prepared.targets
    if gives_sequences(network, inputs):  # a metric compares rows: those of all steps that there are
        there = inputs.exists
        output = output[there]
        targets = targets[there] if prepared.targets is None else targets[there.ravel()]
    return {name: float(metric(output, targets, kind)) for name, metric in metrics}
