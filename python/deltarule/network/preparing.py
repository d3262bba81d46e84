"""What the core takes of a loss, targets, weights and an optimizer, checked against the network and each other.

A loss goes to the core as (name, parameter); a function of the user's as a function of (output, sample numbers).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data import as_sample_weight, as_targets, class_weights
from ..losses import CustomLoss, Loss, find_loss
from .inputs import Inputs, gives_sequences, read_targets
from .structure import WORDS, Array

if TYPE_CHECKING:
    from ..optimizers import Optimizer
    from .structure import Structure

__all__ = [
    "Prepared",
    "check_output",
    "optimizer_for_core",
    "output_weights",
    "prepare",
    "probability_activation",
    "with_class_weight",
]

# The last activation that makes a probability of the output, for each loss that has one.
_LINKS = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


class Prepared(NamedTuple):
    """What the core takes of a loss, targets and weights."""

    loss: Any
    targets: Array | None
    weights: Array | None
    found: Loss | CustomLoss


def prepare(
    network: Structure,
    features: Array,
    y: Any,
    loss: str | Loss | CustomLoss,
    sample_weight: Any,
    name: str = "y",
    lengths: Array | None = None,
    *,
    of_part: bool = False,
) -> Prepared:
    """Check loss, targets and weights against the network and each other; weights are those of the samples.

    of_part: there are more samples than these, which may all have the weight 0.
    """
    found = find_loss(loss)
    inputs = Inputs(features, lengths)
    if not isinstance(found, Loss):
        return _prepare_custom(network, inputs, y, found, sample_weight, name)
    outputs = network._last.units
    check_output(network, found)
    rows = len(features)
    if gives_sequences(network, inputs):
        y = read_targets(inputs, y, outputs, found.targets, name)
        rows, name = len(y), f"{name}.ravel()" if y.ndim == 1 else f"{name}.reshape(-1, {y.shape[1]})"
    elif inputs.are_sequences and getattr(y, "ndim", 0) == 3:
        raise ValueError(
            f"{name} has shape {y.shape}: the network gives one output for each sample, after its last step; for one "
            "at every step let all recurrent layers have return_sequences=True"
        )
    targets = as_targets(y, rows, kind=found.targets, outputs=outputs, dtype=network.dtype, name=name)
    weights = as_sample_weight(sample_weight, len(features), network.dtype, of_part=of_part)
    return Prepared((found.name, found.parameter), targets, weights, found)


def output_weights(network: Structure, inputs: Inputs, weights: Array | None) -> Array | None:
    """Weights of the samples as those of the outputs, of which sequences may have one at each step."""
    if weights is None or not gives_sequences(network, inputs) or len(weights) != inputs.n_samples:
        return weights
    return np.repeat(weights, inputs.features.shape[1])


def with_class_weight(
    network: Structure,
    inputs: Inputs,
    prepared: Prepared,
    class_weight: Mapping[Any, float] | str | None,
    *,
    of_part: bool = False,
) -> Prepared:
    """The weight of each training sample, or of each of its steps, times that of its class."""
    if class_weight is None:
        return prepared
    if prepared.targets is None or not isinstance(prepared.found, Loss):
        raise ValueError("class_weight does not reach a loss of your own: weigh the samples inside the function")
    outputs, targets = network._last.units, prepared.targets
    there = inputs.exists.ravel() if gives_sequences(network, inputs) else np.ones(len(targets), bool)
    weights = np.zeros(len(targets), network.dtype)
    weights[there] = class_weights(
        class_weight, targets[there], outputs, network.dtype, prepared.found.targets, of_part=of_part
    )
    of_samples = output_weights(network, inputs, prepared.weights)
    if of_samples is not None:
        weights = weights * of_samples
    checked = as_sample_weight(weights, len(targets), network.dtype, of_part=of_part)
    return prepared._replace(weights=checked)


def check_output(network: Structure, loss: Loss) -> None:
    """A last layer that does not go with the loss is a mistake that would train without a word."""
    last = network._last
    activation, link = last.activation_name, _LINKS.get(loss.name)
    if link and activation in _LINKS.values() and activation != link:
        raise ValueError(
            f"loss={loss.name!r} with a last layer of activation {activation!r}: it takes logits, so end in "
            f"Dense({last.units}) or Dense({last.units}, {link!r})"
        )
    if loss.name in ("poisson", "poisson_deviance") and activation == "exp":
        raise ValueError(
            f"loss={loss.name!r} with a last layer of activation 'exp': it takes the log of the rate, so end in "
            f"Dense({last.units}); exp(predict(X)) is the rate"
        )
    if loss.name == "cross_entropy" and last.units == 1:
        raise ValueError(
            "loss='cross_entropy' with a last layer of 1 unit: it needs one unit for each class; for two classes and "
            "one unit use loss='binary_cross_entropy'"
        )


def _prepare_custom(
    network: Structure, inputs: Inputs, y: Any, loss: CustomLoss, sample_weight: Any, name: str
) -> Prepared:
    if sample_weight is not None:
        raise ValueError("sample_weight does not reach a loss of your own: weigh the samples inside the function")
    try:
        targets = np.asarray(y)
    except ValueError:
        raise ValueError(f"{name} is ragged, its rows differ in length: a loss of your own takes an array") from None
    if targets.ndim == 0 or len(targets) != inputs.n_samples:
        raise ValueError(
            f"{name} has shape {targets.shape} but X has {inputs.n_samples} rows: each sample needs one target; check "
            "how the two were split"
        )

    def batch_loss(output: Array, samples: Array) -> tuple[float, Array]:
        return _checked_answer(loss(output, targets[samples]), output)

    if not inputs.are_sequences:
        return Prepared(batch_loss, None, None, loss)
    if not gives_sequences(network, inputs):

        def last_step_loss(rows: Array, places: Array) -> tuple[float, Array]:
            # The core has the longest sample first, the function sees them in the order of y.
            order = np.argsort(places)
            value, gradient = batch_loss(rows[order], places[order])
            return value, np.ascontiguousarray(gradient[np.argsort(order)])

        return Prepared(last_step_loss, None, None, loss)
    n_steps = inputs.features.shape[1]

    def sequence_loss(rows: Array, places: Array) -> tuple[float, Array]:
        # The core has a row for each step that exists, the function sees whole sequences.
        samples, of_sample = np.unique(places // n_steps, return_inverse=True)
        output = np.zeros((len(samples), n_steps, rows.shape[1]), rows.dtype)
        output[of_sample, places % n_steps] = rows
        value, gradient = batch_loss(output, samples)
        return value, np.ascontiguousarray(gradient[of_sample, places % n_steps])

    return Prepared(sequence_loss, None, None, loss)


def _checked_answer(answer: Any, output: Array) -> tuple[float, Array]:
    """What a loss of the user's has returned, or an error that says what is wrong with it."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError(f"the loss returned {type(answer).__name__}: expected a tuple (value, gradient_of_output)")
    value, gradient = answer[0], np.asarray(answer[1])
    if np.ndim(value) != 0 or isinstance(value, str) or not hasattr(value, "__float__"):
        raise TypeError(f"the loss returned a value that is {type(value).__name__}: expected one number for the batch")
    if gradient.dtype.kind not in "fiu":
        raise TypeError(f"the loss returned a gradient of dtype {gradient.dtype}: expected real numbers")
    if gradient.shape != output.shape:
        raise ValueError(
            f"the loss returned a gradient of shape {gradient.shape}: expected that of the output, {output.shape}"
        )
    return float(value), np.ascontiguousarray(gradient, dtype=output.dtype)


def optimizer_for_core(optimizer: Optimizer) -> tuple[str, list[float]]:
    """(name, hyperparameters in the order in which the core takes them)."""
    name, numbers = _spec_of(optimizer)
    return name, list(numbers)


@lru_cache(maxsize=256)  # a fit of a few steps would spend a tenth of its time here
def _spec_of(optimizer: Optimizer) -> tuple[str, tuple[float, ...]]:
    numbers = optimizer.hyperparameters()
    return optimizer.name, tuple(numbers[name] for name in WORDS["optimizers"][optimizer.name])


def probability_activation(network: Structure) -> str:
    """The activation with which the last layer gives probabilities; "" stands for the one it has."""
    last = network._last.activation_name
    if last in _LINKS.values():
        return ""
    name = network.loss.name if isinstance(network.loss, Loss) else None
    if name in _LINKS and last == "identity":
        return _LINKS[name]
    raise ValueError(
        "predict_proba needs a last layer with softmax or sigmoid, or a linear one trained with cross_entropy or "
        f"binary_cross_entropy; this network ends in {last} and was trained with "
        f"{name or 'no loss of that kind'}: use predict"
    )
