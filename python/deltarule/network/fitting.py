"""Training as `Network` offers it: arguments checked, the loop run, its end reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DivergenceError
from ..history import History
from ..lbfgs import LBFGS
from ..losses import CustomLoss, Loss
from ..names import require_integer, require_number
from ..optimizers import find_optimizer
from .averaging import Average, average_of
from .course import Course
from .fit_data import ArrayData, is_stream
from .freezing import require_something_to_train
from .loop import Result, Task, run
from .preparing import optimizer_for_core
from .recurrence import WHOLE, bytes_of_fit, cut_of, require_memory
from .structure import Array
from .watchers import watchers_of

if TYPE_CHECKING:
    from ..metrics import Metric
    from ..optimizers import Optimizer
    from .network import Network
    from .saved_fit import Saved, SavedFit
    from .stream_data import StreamData

__all__ = ["Arguments", "divergence", "fit", "measurement", "task_of"]


class Arguments(NamedTuple):
    """Those of `Network.fit`, where they are described, as they were given."""

    loss: str | Loss | CustomLoss
    optimizer: str | Optimizer | type[Optimizer]
    epochs: int
    batch_size: int
    shuffle: bool
    validation_data: tuple[Any, ...] | None
    validation_split: float
    sample_weight: Any
    class_weight: Mapping[Any, float] | str | None
    callbacks: Sequence[Any]
    clip_norm: float | None
    clip_value: float | None
    n_threads: int | None
    verbose: int
    lengths: Any
    bptt_steps: int | None
    checkpoint_steps: int | str | None
    metrics: Sequence[str | Callable[[Array, Array], float]]
    checkpoint: Any
    checkpoint_every: int | str
    resume: bool


class _Checked(NamedTuple):
    """What can be checked without the data."""

    optimizer: Optimizer
    epochs: int
    batch_size: int
    shuffle: bool
    clip_norm: float  # 0: none
    clip_value: float
    threads: tuple[int, int]
    metrics: list[tuple[str, Metric]]
    decay: float | None  # of the average
    callbacks: Sequence[Any]
    file: SavedFit | None
    every: tuple[int, int]  # (epochs, steps) between two checkpoints
    was_built: bool  # or the data have told the network how many features there are


def fit(network: Network, X: Any, y: Any, given: Arguments) -> History:
    """`Network.fit`."""
    checked = _checked(network, given)
    saved = checked.file.read() if checked.file is not None and given.resume else None
    data = _data(network, X, y, given, checked, None if saved is None else (saved.epochs_trained, saved.step))
    try:
        if isinstance(checked.optimizer, LBFGS):
            return _fit_full_batch(network, checked.optimizer, data, given, checked)
        return _fit_steps(network, data, given, checked, saved)
    finally:
        data.close()


def _checked(network: Network, given: Arguments) -> _Checked:
    for name in ("shuffle", "resume"):
        if not isinstance(getattr(given, name), (bool, np.bool_)):
            raise TypeError(f"{name}={getattr(given, name)!r}: expected True or False")
    decay, callbacks = average_of(given.callbacks)
    file, every = None, (0, 0)
    if given.checkpoint is not None:
        from .saved_fit import SavedFit, read_every

        file, every = SavedFit(given.checkpoint), read_every(given.checkpoint_every)
    elif given.resume:
        raise ValueError("resume=True needs the path of a checkpoint, such as checkpoint='run.ckpt'")
    return _Checked(
        optimizer=find_optimizer(given.optimizer),
        epochs=require_integer("epochs", given.epochs, least=0, most=2**62),
        batch_size=require_integer("batch_size", given.batch_size, least=1),
        shuffle=bool(given.shuffle),
        clip_norm=0.0 if given.clip_norm is None else require_number("clip_norm", given.clip_norm, above=0.0),
        clip_value=0.0 if given.clip_value is None else require_number("clip_value", given.clip_value, above=0.0),
        threads=network._threads(given.n_threads),
        metrics=_metrics(given.metrics),
        decay=decay,
        callbacks=callbacks,
        file=file,
        every=every,
        was_built=network._native is not None,
    )


def _metrics(metrics: Any) -> list[tuple[str, Metric]]:
    if isinstance(metrics, (list, tuple)) and not metrics:
        return []
    from ..metrics import find_metrics

    return find_metrics(metrics)


def _fit_steps(
    network: Network, data: ArrayData | StreamData, given: Arguments, checked: _Checked, saved: Saved | None
) -> History:
    """Step by step, in the core's loop."""
    optimizer, epochs, batch_size = checked.optimizer, checked.epochs, checked.batch_size
    inputs, found = data.training.inputs, data.training.prepared.found
    cut = _cut(network, data, given)
    steps_per_epoch = None if data.n_samples is None else -(-data.n_samples // batch_size)
    watchers = watchers_of(checked.callbacks, epochs, given.verbose, steps_per_epoch, _columns(data, checked))
    schedule = None if optimizer.schedule is None else optimizer.schedule.begin(epochs, steps_per_epoch)
    require_something_to_train(network)
    network._build_for(inputs.features)
    if inputs.are_sequences:
        rows, n_steps = min(batch_size, inputs.n_samples), inputs.features.shape[1]
        clips = checked.clip_norm > 0 or checked.clip_value > 0
        needed = bytes_of_fit(network, rows, n_steps, inputs.lengths is not None, cut, clips, optimizer)
        require_memory(needed, network, n_steps, cut)

    task, slots = task_of(
        network, data, optimizer, epochs=epochs, batch_size=batch_size, shuffle=checked.shuffle,
        clip_norm=checked.clip_norm, clip_value=checked.clip_value, threads=checked.threads, cut=cut,
    )  # fmt: skip
    average = None if checked.decay is None else Average(network, checked.decay)
    measure = measurement(network, data, checked.metrics, checked.threads)
    course = Course(epochs, watchers, schedule=schedule, average=average, measure=measure)
    states = None
    if checked.file is not None:
        from .resuming import Resumable, fingerprint

        marks = fingerprint(network, data, _decisive(found, given, checked))
        resumable = Resumable(checked.file, network, course, task, slots, data, marks, checked.every)
        if saved is not None:
            try:
                states = resumable.restore(saved)
            except ValueError:
                if not checked.was_built:
                    network._unbuild()
                raise
            network.loss = found
    if course.is_eventful:
        task.after_epoch = course.after_epoch
    task.rates = None if schedule is None else course.rates
    task.average = None if average is None else average.for_core()
    result = _run(network, partial(run, network, found, task), course, states)
    history = History(course.history(result, data.validation is not None))
    if result.end == "diverged":
        lr = course.rate_of(result.where[1], optimizer.first_lr)
        raise divergence(network, result.where, epochs, lr, history, course.epochs_resumed)
    return history


def task_of(
    network: Network,
    data: ArrayData | StreamData,
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    clip_norm: float,
    clip_value: float,
    threads: tuple[int, int],
    cut: tuple[int, bool] = WHOLE,
) -> tuple[Task, list[str]]:
    """A training from its beginning, for the core's loop; and the names of the optimizer's arrays."""
    spec = optimizer_for_core(optimizer)
    if optimizer.schedule is not None and epochs:  # Rprop's first step size is the rate of the first step
        steps = None if data.n_samples is None else -(-data.n_samples // batch_size)
        spec[1][0] = float(optimizer.schedule.begin(epochs, steps).rates(0, 0, 1)[0])
    state, carry, slots = network._native.start_optimizer(spec)
    inputs, targets, weights = data.training.for_core(network)
    task = Task(
        loss=data.loss_for_core(),
        optimizer=spec,
        state=np.asarray(state),
        carry=np.asarray(carry),
        inputs=inputs,
        targets=targets,
        sample_weight=weights,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle and data.next_piece is None,
        clip_norm=clip_norm,
        clip_value=clip_value,
        validation=_validation_for_core(network, data),
        threads=threads,
        cut=cut,
        next_piece=data.next_piece,
    )
    return task, slots


def _fit_full_batch(
    network: Network, optimizer: LBFGS, data: ArrayData | StreamData, given: Arguments, checked: _Checked
) -> History:
    """All samples at once, by SciPy's loop."""
    from ..callbacks import EMA
    from .full_batch import check_full_batch, fit_full_batch

    training = data.training
    check_full_batch(
        network, optimizer, training.inputs.n_samples, epochs=checked.epochs, batch_size=checked.batch_size,
        X=None if data.next_piece is None else "a stream", clip_norm=given.clip_norm, clip_value=given.clip_value,
        bptt_steps=given.bptt_steps, checkpoint=given.checkpoint,
        callbacks=None if checked.decay is None else EMA(checked.decay),
    )  # fmt: skip
    watchers = watchers_of(checked.callbacks, optimizer.max_iter, given.verbose, 1, _columns(data, checked))
    require_something_to_train(network)
    network._build_for(training.inputs.features)
    course = Course(optimizer.max_iter, watchers, measure=measurement(network, data, checked.metrics, checked.threads))
    train = partial(
        fit_full_batch, network, optimizer, training.inputs, training.prepared, threads=checked.threads,
        cut=_cut(network, data, given), validation=_validation_for_core(network, data), after_epoch=course.after_epoch,
    )  # fmt: skip
    return History(course.history(_run(network, train, course, None), data.validation is not None))


def _columns(data: ArrayData | StreamData, checked: _Checked) -> list[str]:
    """What there will be in the logs of each epoch."""
    measured = ["loss", *(name for name, _ in checked.metrics)]
    own = measured if data.next_piece is None else ["loss"]
    held_out = [] if data.validation is None else [f"val_{name}" for name in measured]
    return [*own, *held_out, "lr", "seconds"]


def _cut(network: Network, data: ArrayData | StreamData, given: Arguments) -> tuple[int, bool]:
    inputs, found = data.training.inputs, data.training.prepared.found
    n_steps = inputs.features.shape[1] if inputs.are_sequences else None
    own_loss = not isinstance(found, Loss)
    return cut_of(network, n_steps, given.bptt_steps, given.checkpoint_steps, own_loss=own_loss)


def _validation_for_core(network: Network, data: ArrayData | StreamData) -> tuple[Any, ...] | None:
    part = data.validation
    return None if part is None else (*part.for_core(network), part.prepared.loss)


def _decisive(found: Loss | CustomLoss, given: Arguments, checked: _Checked) -> dict[str, Any]:
    """The settings that decide about the weights or about what is in the history."""
    return {
        "loss": found,
        "optimizer": checked.optimizer,
        "batch_size": checked.batch_size,
        "shuffle": checked.shuffle,
        "clip_norm": checked.clip_norm,
        "clip_value": checked.clip_value,
        "bptt_steps": given.bptt_steps,
        "average": checked.decay,
        "metrics": [name for name, _ in checked.metrics],
        "epochs": checked.epochs if _depends_on_length(checked.optimizer) else None,
    }


def _run(network: Network, train: Callable[[], Result], course: Course, states: list[dict[str, Any]] | None) -> Result:
    """Train, and tell the callbacks of the beginning and of the end."""
    with ExitStack() as watching:
        if course.watchers or states is not None:
            course.tell_of_fit(network, watching, states)
        result = train()
        if course.average is not None and result.end != "diverged" and course.average.steps[0]:
            course.average.settle()
        if result.raised is not None:
            raise result.raised
    return result


def _data(
    network: Network, X: Any, y: Any, given: Arguments, checked: _Checked, place: tuple[int, int] | None
) -> ArrayData | StreamData:
    """What there is to train on, in memory or read chunk by chunk."""
    if not is_stream(X):
        return ArrayData(
            network, X, y, loss=given.loss, sample_weight=given.sample_weight, class_weight=given.class_weight,
            lengths=given.lengths, validation_data=given.validation_data, validation_split=given.validation_split,
        )  # fmt: skip
    for name, is_given in (("y", y is not None), ("sample_weight", given.sample_weight is not None)):
        if is_given:
            raise ValueError(f"{name} is given beside a stream, which brings its targets and weights itself")
    if given.lengths is not None:
        raise ValueError("lengths does not go with a stream: its sequences all have one length")
    if given.validation_split:
        raise ValueError("validation_split does not go with a stream: pass validation_data=(X, y)")
    if checked.metrics and given.validation_data is None:
        raise ValueError("metrics with a stream are measured on the validation data: pass validation_data=(X, y)")
    from .stream_data import StreamData

    return StreamData(
        network, X, loss=given.loss, class_weight=given.class_weight, validation_data=given.validation_data,
        batch_size=checked.batch_size, shuffle=checked.shuffle, epochs=checked.epochs, place=place,
        keeps_digest=checked.file is not None,
    )  # fmt: skip


def measurement(
    network: Network,
    data: ArrayData | StreamData,
    metrics: list[tuple[str, Metric]],
    threads: tuple[int, int],
) -> Callable[[dict[str, float]], None] | None:
    """What adds the metrics to the logs of an epoch: on the training data, where they are in memory, and the others."""
    if not metrics:
        return None
    from ..metrics import is_known
    from .evaluating import measure

    parts = [("", data.training)] if data.next_piece is None else []
    if data.validation is not None:
        parts.append(("val_", data.validation))

    named = [(name, metric) for name, metric in metrics if is_known(name)]
    for _, part in parts:  # what does not suit the targets is refused now, and not after the first epoch
        measure(network, part.first(network, 32), named, threads)

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
