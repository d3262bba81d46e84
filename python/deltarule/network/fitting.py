"""Training as `Network` offers it: arguments checked, the loop run, its end reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks.ema import EMA
from ..errors import DivergenceError
from ..history import History
from ..lbfgs import LBFGS
from ..losses import CustomLoss, Loss
from ..metrics import find_metrics
from ..names import require_integer, require_number
from ..optimizers import find_optimizer
from .averaging import Average, average_of
from .course import Course
from .evaluating import measure
from .fit_data import ArrayData
from .full_batch import check_full_batch, fit_full_batch
from .loop import Result, Task, run
from .preparing import optimizer_for_core
from .recurrence import bytes_of_fit, cut_of, require_memory
from .structure import Array
from .watchers import watchers_of

if TYPE_CHECKING:
    from ..metrics import Metric
    from ..optimizers import Optimizer
    from .network import Network
    from .stream_data import StreamData

__all__ = ["divergence", "fit", "measurement"]


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
    metrics: Sequence[str | Callable[[Array, Array], float]],
    checkpoint: Any,
    checkpoint_every: int | str,
    resume: bool,
) -> History:
    """`Network.fit`, where the arguments are described."""
    chosen = find_optimizer(optimizer)
    epochs = require_integer("epochs", epochs, least=0, most=2**62)
    batch_size = require_integer("batch_size", batch_size, least=1)
    _require_flags(shuffle=shuffle, resume=resume)
    norm = 0.0 if clip_norm is None else require_number("clip_norm", clip_norm, above=0.0)
    value = 0.0 if clip_value is None else require_number("clip_value", clip_value, above=0.0)
    threads = network._threads(n_threads)
    found_metrics = find_metrics(metrics)
    decay, others = average_of(callbacks)
    file, saved, every = None, None, (0, 0)
    if checkpoint is not None:
        from .saved_fit import SavedFit, read_every

        file, every = SavedFit(checkpoint), read_every(checkpoint_every)
        saved = file.read() if resume else None
    elif resume:
        raise ValueError("resume=True needs the path of a checkpoint, such as checkpoint='run.ckpt'")

    with ExitStack() as endings:
        data = _data(
            network, X, y, loss=loss, sample_weight=sample_weight, class_weight=class_weight, lengths=lengths,
            validation_data=validation_data, validation_split=validation_split, batch_size=batch_size, shuffle=shuffle,
            epochs=epochs, place=None if saved is None else (saved.epochs_trained, saved.step),
            keeps_digest=file is not None,
        )  # fmt: skip
        endings.callback(data.close)
        training, validation = data.training, data.validation
        inputs, found = training.inputs, training.prepared.found
        n_steps = inputs.features.shape[1] if inputs.are_sequences else None
        cut = cut_of(network, n_steps, bptt_steps, checkpoint_steps, own_loss=not isinstance(found, Loss))
        steps_per_epoch = None if data.n_samples is None else -(-data.n_samples // batch_size)
        if isinstance(chosen, LBFGS):
            check_full_batch(
                network, chosen, inputs.n_samples, epochs=epochs, batch_size=batch_size, X=data.next_piece and X,
                clip_norm=clip_norm, clip_value=clip_value, bptt_steps=bptt_steps, checkpoint=checkpoint,
                callbacks=None if decay is None else EMA(decay),
            )  # fmt: skip
            epochs, steps_per_epoch = chosen.max_iter, 1
        watchers = watchers_of(others, epochs, verbose, steps_per_epoch)
        schedule = None if chosen.schedule is None else chosen.schedule.begin(epochs, steps_per_epoch)

        network._build_for(inputs.features)
        _require_something_to_train(network)
        if n_steps is not None and not isinstance(chosen, LBFGS):
            rows, is_ragged = min(batch_size, inputs.n_samples), inputs.lengths is not None
            needed = bytes_of_fit(network, rows, n_steps, is_ragged, cut, norm > 0 or value > 0, chosen)
            require_memory(needed, network, n_steps, cut)
        if isinstance(chosen, LBFGS):
            course = Course(epochs, watchers, measure=measurement(network, data, found_metrics, threads))
            result = _run(
                network,
                partial(
                    fit_full_batch, network, chosen, inputs, training.prepared, threads=threads, cut=cut,
                    validation=validation and (*validation.for_core(network), validation.prepared.loss),
                    after_epoch=course.after_epoch,
                ),
                course, None,
            )  # fmt: skip
            return History(course.history(result, validation is not None))
        native_optimizer = optimizer_for_core(chosen)
        state, carry, slots = network._native.start_optimizer(native_optimizer)
        core_inputs, targets, weights = training.for_core(network)
        task = Task(
            loss=data.loss_for_core(),
            optimizer=native_optimizer,
            state=np.asarray(state),
            carry=np.asarray(carry),
            inputs=core_inputs,
            targets=targets,
            sample_weight=weights,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=bool(shuffle) and data.next_piece is None,
            clip_norm=norm,
            clip_value=value,
            validation=None if validation is None else (*validation.for_core(network), validation.prepared.loss),
            threads=threads,
            cut=cut,
            next_piece=data.next_piece,
        )
        course = Course(
            epochs,
            watchers,
            schedule=schedule,
            average=None if decay is None else Average(network, decay),
            measure=measurement(network, data, found_metrics, threads),
        )
        states = None
        if file is not None:
            from .resuming import Resumable, fingerprint

            settings = {
                "loss": found, "optimizer": chosen, "batch_size": batch_size, "shuffle": bool(shuffle),
                "clip_norm": norm, "clip_value": value, "bptt_steps": bptt_steps, "average": decay,
                "metrics": [name for name, _ in found_metrics],
                "epochs": epochs if _depends_on_length(chosen) else None,
            }  # fmt: skip
            marks = fingerprint(network, data, settings)
            resumable = Resumable(file, network, course, task, slots, data, marks, every)
            if saved is not None:
                states = resumable.restore(saved)
                network.loss = found
        if course.is_eventful:
            task.after_epoch = course.after_epoch
        if schedule is not None:
            task.rates = course.rates
        if course.average is not None:
            task.average = course.average.for_core()
        result = _run(network, partial(run, network, found, task), course, states)
    history = History(course.history(result, validation is not None))
    if result.end == "diverged":
        raise divergence(network, result.where, epochs, chosen.first_lr, history, course.epochs_resumed)
    return history


def _run(
    network: Network,
    train: Callable[[], Result],
    course: Course,
    states: list[dict[str, Any]] | None,
) -> Result:
    """Train, and tell the callbacks of the beginning and of the end."""
    with ExitStack() as watching:
        course.tell_of_fit(network, watching, states)
        result = train()
        if course.average is not None and result.end != "diverged" and course.average.steps[0]:
            course.average.settle()
        if result.raised is not None:
            raise result.raised
    return result


def _data(network: Network, X: Any, y: Any, **arguments: Any) -> ArrayData | StreamData:
    """What there is to train on, in memory or read chunk by chunk."""
    from ..streams import Stream

    if not isinstance(X, Stream):
        for name in ("batch_size", "shuffle", "epochs", "place", "keeps_digest"):
            del arguments[name]
        return ArrayData(network, X, y, **arguments)
    refused = {
        "y": y is not None,
        "sample_weight": arguments.pop("sample_weight") is not None,
        "lengths": arguments.pop("lengths") is not None,
        "validation_split": bool(arguments.pop("validation_split")),
    }
    for name, is_given in refused.items():
        if is_given:
            raise ValueError(
                f"{name} is given beside a stream, which brings its targets and weights itself"
                if name in ("y", "sample_weight")
                else f"{name} does not go with a stream; "
                + ("pass validation_data=(X, y)" if name == "validation_split" else "its sequences all have one length")
            )
    from .stream_data import StreamData

    return StreamData(network, X, **arguments)


def measurement(
    network: Network,
    data: ArrayData | StreamData,
    metrics: list[tuple[str, Metric]],
    threads: tuple[int, int],
) -> Callable[[dict[str, float]], None] | None:
    """What adds the metrics to the logs of an epoch: on the training data, where they are in memory, and the others."""
    if not metrics:
        return None
    parts = [("", data.training)] if data.next_piece is None else []
    if data.validation is not None:
        parts.append(("val_", data.validation))
    if not parts:
        raise ValueError("metrics with a stream are measured on the validation data: pass validation_data=(X, y)")

    def add(logs: dict[str, float]) -> None:
        for start, part in parts:
            logs.update({start + name: value for name, value in measure(network, part, metrics, threads).items()})

    return add


def _depends_on_length(optimizer: Optimizer) -> bool:
    """Whether the learning rate is another where more epochs are planned."""
    try:
        if optimizer.schedule is not None:
            optimizer.schedule.begin(None, None)
    except ValueError:
        return True
    return False


def _require_flags(**flags: Any) -> None:
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name}={value!r}: expected True or False")


def _require_something_to_train(network: Network) -> None:
    if not any(getattr(layer, "trainable", False) for layer in network.layers):
        raise ValueError("all layers are frozen: there is nothing to train; see Network.unfreeze")


def divergence(
    network: Network,
    where: tuple[int, int, int, float],
    epochs: int,
    lr: float,
    history: History,
    epochs_before: int = 0,
) -> DivergenceError:
    """The error that says where a training left the numbers, and what to try."""
    epoch, step, layer, loss = where
    epoch += epochs_before
    place = f"first in layer {layer} ({network.layers[layer]!r})" if layer >= 0 else "in the loss itself"
    what = f"the loss is {loss}" if not math.isfinite(loss) else "a weight is not finite"
    kept = f"from the end of epoch {epoch}" if epoch else "from before this fit"
    return DivergenceError(
        f"training diverged in epoch {epoch + 1} of {epochs}, step {step + 1}: {what}, {place}. The network "
        f"has its weights {kept}; try a smaller learning rate (lr={lr:g} now), clip_norm=1.0, or inputs scaled with "
        "deltarule.Standardizer",
        epoch=epoch,
        step=step,
        layer=layer,
        history=history,
    )
