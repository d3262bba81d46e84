"""Training and evaluation as `Network` offers them: arguments checked, the loop run, its end reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DivergenceError
from ..history import History
from ..losses import CustomLoss, Loss
from ..metrics import find_metric
from ..names import require_integer, require_number
from ..optimizers import find_optimizer
from .inputs import Inputs, gives_sequences
from .loop import Task, run, start_optimizer
from .preparing import Prepared, optimizer_for_core, output_weights, prepare, with_class_weight
from .recurrence import bytes_of_fit, cut_of, predict, require_memory
from .structure import Array
from .watchers import after_epoch, call, watchers_of

if TYPE_CHECKING:
    from ..optimizers import Optimizer
    from .answers import Answers
    from .network import Network

__all__ = ["evaluate", "fit"]


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
    validation_data: tuple[Any, ...] | None,
    validation_split: float,
    sample_weight: Any,
    class_weight: Mapping[Any, float] | str | None,
    callbacks: Sequence[Any],
    clip_norm: float | None,
    clip_value: float | None,
    n_threads: int | None,
    verbose: int,
    lengths: Any,
    bptt_steps: int | None,
    checkpoint_steps: int | str | None,
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

    watchers = watchers_of(callbacks, epochs, verbose)

    inputs = network._inputs(X, lengths)
    prepared = prepare(network, inputs.features, y, loss, sample_weight, lengths=inputs.lengths)
    n_steps = inputs.features.shape[1] if inputs.are_sequences else None
    cut = cut_of(network, n_steps, bptt_steps, checkpoint_steps, own_loss=not isinstance(prepared.found, Loss))
    validation = None
    if validation_data is not None:
        if validation_split:
            raise ValueError("validation_data and validation_split are both given: choose one")
        validation = _validation(network, validation_data, loss, inputs)
    elif validation_split:
        inputs, prepared, validation = _split(network, inputs, prepared, validation_split)

    prepared = with_class_weight(network, inputs, prepared, class_weight)

    network._build_for(inputs.features)
    if n_steps is not None:
        rows, is_ragged = min(batch_size, inputs.n_samples), inputs.lengths is not None
        needed = bytes_of_fit(network, rows, n_steps, is_ragged, cut, norm > 0 or value > 0, chosen)
        require_memory(needed, network, n_steps, cut)
    native_optimizer = optimizer_for_core(chosen)
    state, carry = start_optimizer(network, native_optimizer)
    task = Task(
        loss=prepared.loss,
        optimizer=native_optimizer,
        state=state,
        carry=carry,
        inputs=inputs.for_core(),
        targets=prepared.targets,
        sample_weight=output_weights(network, inputs, prepared.weights),
        epochs=epochs,
        batch_size=batch_size,
        shuffle=bool(shuffle),
        clip_norm=norm,
        clip_value=value,
        validation=validation,
        threads=threads,
        cut=cut,
        after_epoch=after_epoch(watchers) if watchers else None,
    )
    with ExitStack() as endings:
        for watcher in watchers:
            call(watcher, "on_fit_begin", network)
            # Whoever was told of the beginning is told of the end.
            endings.callback(call, watcher, "on_fit_end", network)
        result = run(network, prepared.found, task)
        if result.raised is not None:
            raise result.raised
    history = History(
        {
            "loss": result.loss,
            **({"val_loss": result.val_loss} if validation is not None else {}),
            "lr": result.lr,
            "seconds": result.seconds,
        }
    )
    if result.end == "diverged":
        raise _divergence(network, result.where, epochs, chosen.lr, history)
    return history


def _validation(network: Network, data: Any, loss: str | Loss | CustomLoss, like: Inputs) -> tuple[Any, ...]:
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
    return inputs.for_core(), prepared.targets, None, prepared.loss


def _split(
    network: Network, inputs: Inputs, prepared: Prepared, validation_split: float
) -> tuple[Inputs, Prepared, tuple[Any, ...]]:
    """The last part of everything for validation, before any shuffling."""
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
    held_out: Any = prepared.loss
    if prepared.targets is None:  # a loss of the user's looks at y by the sample's number
        of_all = prepared.loss

        def held_out(output: Array, samples: Array) -> Any:
            return of_all(output, samples + place)

    targets, weights = prepared.targets, prepared.weights
    training = prepared._replace(
        targets=None if targets is None else targets[:place], weights=None if weights is None else weights[:first]
    )
    rest = inputs.part(slice(first, None))
    validation = (
        rest.for_core(),
        None if targets is None else targets[place:],
        None if weights is None else output_weights(network, rest, weights[first:]),
        held_out,
    )
    return inputs.part(slice(first)), training, validation


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
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(f"metrics={metrics!r}: expected a list, such as metrics=['accuracy']")
    threads = network._threads(n_threads)
    inputs = network._inputs(X, lengths)
    prepared = prepare(network, inputs.features, y, chosen, sample_weight, lengths=inputs.lengths)
    found = [find_metric(metric) for metric in metrics]
    network._build_for(inputs.features)
    weights = output_weights(network, inputs, prepared.weights)
    value = network._native.evaluate(
        network._flat, prepared.loss, inputs.for_core(), prepared.targets, weights, *threads
    )
    results = {"loss": value}
    if found:
        kind = prepared.found.targets if isinstance(prepared.found, Loss) else "values"
        last = network._last.activation_name
        activation = "sigmoid" if kind == "probabilities" and last == "identity" else ""
        output, _ = predict(network, inputs, activation, None, threads)
        targets = np.asarray(y) if prepared.targets is None else prepared.targets
        if gives_sequences(network, inputs):  # a metric compares rows: those of all steps that there are
            there = inputs.exists
            output = output[there]
            targets = targets[there] if prepared.targets is None else targets[there.ravel()]
        for name, metric in found:
            results[name] = float(metric(output, targets, kind))
    return results
