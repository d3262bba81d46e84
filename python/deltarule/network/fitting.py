"""How a fit is prepared and reported: loss, targets and weights for the core, callbacks around it, what it says after.

A loss goes to the core as (name, parameter); a function of the user's as a function of (output, sample numbers).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data import as_sample_weight, as_targets, class_weights
from ..errors import DivergenceError
from ..history import History
from ..losses import CustomLoss, Loss, find_loss
from ..metrics import find_metric
from ..names import require_integer, require_number
from ..optimizers import find_optimizer
from .structure import WORDS, Array

if TYPE_CHECKING:
    from ..optimizers import Optimizer
    from .network import Network

__all__ = ["Prepared", "check_output", "evaluate", "fit", "optimizer_for_core", "prepare", "probability_activation"]

# The last activation that makes a probability of the output, for each loss that has one.
_LINKS = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


class Prepared(NamedTuple):
    """What the core takes of a loss, targets and weights."""

    loss: Any
    targets: Array | None
    weights: Array | None
    found: Loss | CustomLoss


def prepare(
    network: Network,
    features: Array,
    y: Any,
    loss: str | Loss | CustomLoss,
    sample_weight: Any,
    name: str = "y",
) -> Prepared:
    """Check loss, targets and weights against the network and each other."""
    found = find_loss(loss)
    n_samples = len(features)
    if not isinstance(found, Loss):
        return _prepare_custom(network, n_samples, y, found, sample_weight, name)
    outputs = network._last.units
    check_output(network, found)
    targets = as_targets(y, n_samples, kind=found.targets, outputs=outputs, dtype=network.dtype, name=name)
    weights = as_sample_weight(sample_weight, n_samples, network.dtype)
    return Prepared((found.name, found.parameter), targets, weights, found)


def _with_class_weight(
    network: Network, prepared: Prepared, class_weight: Mapping[Any, float] | str | None
) -> Prepared:
    """The weight of each training sample times that of its class."""
    if class_weight is None:
        return prepared
    if prepared.targets is None or not isinstance(prepared.found, Loss):
        raise ValueError("class_weight does not reach a loss of your own: weigh the samples inside the function")
    outputs, targets = network._last.units, prepared.targets
    weights = class_weights(class_weight, targets, outputs, network.dtype, prepared.found.targets)
    if prepared.weights is not None:
        weights = weights * prepared.weights
    return prepared._replace(weights=as_sample_weight(weights, len(targets), network.dtype))


def check_output(network: Network, loss: Loss) -> None:
    """A last layer that does not go with the loss is a mistake that would train without a word."""
    last = network._last
    activation, link = last.activation_name, _LINKS.get(loss.name)
    if link and activation in _LINKS.values() and activation != link:
        raise ValueError(
            f"loss={loss.name!r} with a last layer of activation {activation!r}: it takes logits, so end in "
            f"Dense({last.units}) or Dense({last.units}, {link!r})"
        )
    if loss.name == "poisson" and activation == "exp":
        raise ValueError(
            "loss='poisson' with a last layer of activation 'exp': it takes the log of the rate, so end in "
            f"Dense({last.units}); exp(predict(X)) is the rate"
        )
    if loss.name == "cross_entropy" and last.units == 1:
        raise ValueError(
            "loss='cross_entropy' with a last layer of 1 unit: it needs one unit for each class; for two classes and "
            "one unit use loss='binary_cross_entropy'"
        )


def _prepare_custom(
    network: Network, n_samples: int, y: Any, loss: CustomLoss, sample_weight: Any, name: str
) -> Prepared:
    if sample_weight is not None:
        raise ValueError("sample_weight does not reach a loss of your own: weigh the samples inside the function")
    targets = np.asarray(y)
    if targets.ndim == 0 or len(targets) != n_samples:
        raise ValueError(
            f"{name} has shape {targets.shape} but X has {n_samples} rows: each sample needs one target; check how the "
            "two were split"
        )

    def batch_loss(output: Array, samples: Array) -> tuple[float, Array]:
        return _checked_answer(loss(output, targets[samples]), output)

    return Prepared(batch_loss, None, None, loss)


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
    numbers = optimizer.hyperparameters()
    return optimizer.name, [numbers[name] for name in WORDS["optimizers"][optimizer.name]]


def fit(
    network: Network,
    X: Any,
    y: Any,
    *,
    loss: str | Loss | CustomLoss,
    optimizer: str | Optimizer | type[Optimizer],
    epochs: int,
    batch_size: int,
    shuffle: bool,
    validation_data: tuple[Any, Any] | None,
    validation_split: float,
    sample_weight: Any,
    class_weight: Mapping[Any, float] | str | None,
    callbacks: Sequence[Any],
    clip_norm: float | None,
    clip_value: float | None,
    n_threads: int | None,
    verbose: int,
) -> History:
    """`Network.fit`, where the arguments are described."""
    chosen = find_optimizer(optimizer)
    epochs = require_integer("epochs", epochs, least=0, most=2**62)
    batch_size = require_integer("batch_size", batch_size, least=1)
    if not isinstance(shuffle, (bool, np.bool_)):
        raise TypeError(f"shuffle={shuffle!r}: expected True or False")
    norm = 0.0 if clip_norm is None else require_number("clip_norm", clip_norm, above=0.0)
    value = 0.0 if clip_value is None else require_number("clip_value", clip_value, above=0.0)
    threads = network._threads(n_threads)

    watchers = _watchers(callbacks, epochs, verbose)

    features = network._features(X)
    prepared = prepare(network, features, y, loss, sample_weight)
    validation = None
    if validation_data is not None:
        if validation_split:
            raise ValueError("validation_data and validation_split are both given: choose one")
        validation = _validation(network, validation_data, loss, features.shape[1])
    elif validation_split:
        features, prepared, validation = _split(network, features, y, prepared, validation_split)

    prepared = _with_class_weight(network, prepared, class_weight)

    network._build_for(features)
    native_optimizer = optimizer_for_core(chosen)
    state, carry, _ = network._native.start_optimizer(native_optimizer)
    with ExitStack() as endings:
        for watcher in watchers:
            _call(watcher, "on_fit_begin", network)
            # Whoever was told of the beginning is told of the end.
            endings.callback(_call, watcher, "on_fit_end", network)
        end, where, *columns = _run(
            network,
            prepared.found,
            parameters=network._flat,
            loss=prepared.loss,
            optimizer=native_optimizer,
            state=state,
            carry=carry,
            inputs=features,
            targets=prepared.targets,
            sample_weight=prepared.weights,
            epochs=epochs,
            epochs_trained=network._epochs,
            batch_size=batch_size,
            shuffle=bool(shuffle),
            seed=network.seed,
            clip_norm=norm,
            clip_value=value,
            validation=validation,
            n_threads=threads[0],
            available_threads=threads[1],
            after_epoch=_after_epoch(watchers) if watchers else None,
        )
    losses, validation_losses, rates, seconds = columns
    history = History(
        {
            "loss": losses,
            **({"val_loss": validation_losses} if validation is not None else {}),
            "lr": rates,
            "seconds": seconds,
        }
    )
    if end == "diverged":
        raise _divergence(network, where, epochs, chosen.lr, history)
    return history


def _run(network: Network, found: Loss | CustomLoss, **arguments: Any) -> Any:
    """The native loop. The network remembers the loss, which its callbacks need, where any training has come of it."""
    before: list[Any] = []  # empty as long as the core may refuse the fit

    def on_begin() -> None:
        before.extend((network.loss, network.epochs_trained))
        network.loss = found

    def forget() -> None:
        if before and network.epochs_trained == before[1]:
            network.loss = before[0]

    try:
        result = network._native.fit(**arguments, on_begin=on_begin)
    except Exception:
        forget()
        raise
    forget()
    return result


def _validation(network: Network, data: Any, loss: str | Loss | CustomLoss, columns: int) -> tuple[Any, ...]:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"validation_data is {type(data).__name__}: expected a tuple (X, y)")
    features = network._features(data[0], "validation_data[0]")
    if features.shape[1] != columns:
        raise ValueError(f"validation_data[0] has {features.shape[1]} features but X has {columns}")
    prepared = prepare(network, features, data[1], loss, None, name="validation_data[1]")
    return features, prepared.targets, None, prepared.loss


def _split(
    network: Network, features: Array, y: Any, prepared: Prepared, validation_split: float
) -> tuple[Array, Prepared, tuple[Any, ...]]:
    """The last part of everything for validation, before any shuffling."""
    share = require_number("validation_split", validation_split, least=0.0, below=1.0)
    n_samples = len(features)
    first = n_samples - int(n_samples * share)
    if not 0 < first < n_samples:
        raise ValueError(
            f"validation_split={validation_split!r} of {n_samples} samples leaves {first} to train on and "
            f"{n_samples - first} to validate on: both need at least one"
        )
    held_out: Any = prepared.loss
    if prepared.targets is None:  # a loss of the user's looks at y by the sample's number
        of_all = prepared.loss

        def held_out(output: Array, samples: Array) -> Any:
            return of_all(output, samples + first)

    targets, weights = prepared.targets, prepared.weights
    training = prepared._replace(
        targets=None if targets is None else targets[:first], weights=None if weights is None else weights[:first]
    )
    validation = (
        features[first:],
        None if targets is None else targets[first:],
        None if weights is None else weights[first:],
        held_out,
    )
    return features[:first], training, validation


def _watchers(callbacks: Sequence[Any], epochs: int, verbose: int) -> list[Any]:
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks is {type(callbacks).__name__}: expected a list of callbacks")
    for callback in callbacks:
        known = any(hasattr(callback, name) for name in ("on_fit_begin", "on_epoch_end", "on_fit_end"))
        if not known or isinstance(callback, type):
            raise TypeError(
                f"callbacks holds {callback!r}: expected an object with on_fit_begin, on_epoch_end or on_fit_end"
            )
    watchers = list(callbacks)
    if require_integer("verbose", int(verbose) if isinstance(verbose, bool) else verbose, least=0):
        from ..progress import ProgressBar

        watchers.append(ProgressBar(epochs))
    return watchers


def _call(watcher: Any, name: str, *arguments: Any) -> Any:
    method = getattr(watcher, name, None)
    return None if method is None else method(*arguments)


def _after_epoch(watchers: list[Any]) -> Callable[..., bool]:
    def after_epoch(epoch: int, loss: float, validation_loss: float | None, lr: float, seconds: float) -> bool:
        logs = {"loss": loss, "lr": lr, "seconds": seconds}
        if validation_loss is not None:
            logs["val_loss"] = validation_loss
        answers = [_call(watcher, "on_epoch_end", epoch, dict(logs)) for watcher in watchers]
        return any(isinstance(answer, (bool, np.bool_)) and bool(answer) for answer in answers)

    return after_epoch


def _divergence(
    network: Network, where: tuple[int, int, int, float], epochs: int, lr: float, history: History
) -> DivergenceError:
    epoch, step, layer, loss = where
    place = f"first in layer {layer} ({network.layers[layer]!r})" if layer >= 0 else "in the loss itself"
    what = f"the loss is {loss}" if not math.isfinite(loss) else "a weight is not finite"
    kept = f"from the end of epoch {epoch}" if epoch else "from before this fit"
    return DivergenceError(
        f"training diverged in epoch {epoch + 1} of {epochs}, step {step + 1}: {what}, {place}. The network has its "
        f"weights {kept}; try a smaller learning rate (lr={lr:g} now), clip_norm=1.0, or inputs scaled with "
        "deltarule.Standardizer",
        epoch=epoch,
        step=step,
        layer=layer,
        history=history,
    )


def probability_activation(network: Network) -> str:
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


def evaluate(
    network: Network,
    X: Any,
    y: Any,
    *,
    loss: str | Loss | CustomLoss | None,
    metrics: Sequence[str | Callable[[Array, Array], float]],
    sample_weight: Any,
    n_threads: int | None,
) -> dict[str, float]:
    """`Network.evaluate`, where the arguments are described."""
    chosen = network.loss if loss is None else loss
    if chosen is None:
        raise ValueError("evaluate needs a loss: the network was not trained yet; pass loss=, such as loss='mse'")
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(f"metrics={metrics!r}: expected a list, such as metrics=['accuracy']")
    threads = network._threads(n_threads)
    features = network._features(X)
    prepared = prepare(network, features, y, chosen, sample_weight)
    found = [find_metric(metric) for metric in metrics]
    network._build_for(features)
    value = network._native.evaluate(
        network._flat, prepared.loss, features, prepared.targets, prepared.weights, *threads
    )
    results = {"loss": value}
    if found:
        kind = prepared.found.targets if isinstance(prepared.found, Loss) else "values"
        last = network._last.activation_name
        activation = "sigmoid" if kind == "probabilities" and last == "identity" else ""
        output = network._native.predict(network._flat, features, activation, *threads)
        targets = np.asarray(y) if prepared.targets is None else prepared.targets
        for name, metric in found:
            results[name] = float(metric(output, targets, kind))
    return results
