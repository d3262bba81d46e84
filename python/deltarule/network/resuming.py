"""A fit to its checkpoint and back: what is gathered from everybody who knows something, and given back to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..losses import Loss
from .saved_fit import Saved, SavedFit, require_same
from .stream_data import StreamData

if TYPE_CHECKING:
    from .course import Course
    from .fit_data import ArrayData, Part
    from .loop import Task
    from .network import Network
    from .structure import Array

__all__ = ["Resumable", "fingerprint"]


class Resumable:
    """What a fit with a checkpoint does beside the training.

    Parameters
    ----------
    file : SavedFit
    network : Network
    course : Course
    task : Task
        As it would begin; `restore` sets it to where it goes on.
    slots : list of str
        Names of the optimizer's arrays.
    data : ArrayData or StreamData
    marks : dict of str to str
        The fingerprint.
    every : tuple of int
        (epochs, steps) between two checkpoints, one of them 0.
    """

    def __init__(
        self,
        file: SavedFit,
        network: Network,
        course: Course,
        task: Task,
        slots: list[str],
        data: ArrayData | StreamData,
        marks: dict[str, str],
        every: tuple[int, int],
    ) -> None:
        self._file, self._network, self._course, self._task = file, network, course, task
        self._slots, self._data, self._marks, self._every = slots, data, marks, every
        self._steps = 0  # since this run began; below 0 where it goes on inside an epoch
        task.last_finite = network._native.allocate()
        course.save = self.after_epoch
        if every[1]:
            task.pause = (every[1], self.on_pause)

    def _ask_again(self) -> None:
        """Whether it is still over, now that the callbacks have their states and perhaps more patience."""
        self._task.epochs = self._course.epochs_left()

    def after_epoch(self, is_last: bool) -> None:
        """Write, where it is time for it."""
        epochs, steps = self._every
        self._steps += self._steps_of_epoch()  # the loop makes no pause where the last step of an epoch is the one
        if is_last or (epochs and self._course.epochs_done % epochs == 0) or (steps and self._steps % steps == 0):
            self._write(0, 0.0, 0.0)

    def _steps_of_epoch(self) -> int:
        if isinstance(self._data, StreamData):
            return self._data.steps
        return -(-self._data.training.inputs.n_samples // self._task.batch_size)

    def on_pause(self, epoch: int, step: int, loss_sum: float, weight_sum: float) -> None:
        """Write in the middle of an epoch."""
        self._write(step, loss_sum, weight_sum)

    def _write(self, step: int, loss_sum: float, weight_sum: float) -> None:
        network, course, task = self._network, self._course, self._task
        average = course.average
        arrays = self._named("parameters", network._flat)
        for slot, state in zip(self._slots, task.state.reshape(len(self._slots), network._native.size), strict=True):
            arrays |= self._named(f"optimizer/{slot}", np.ascontiguousarray(state))
        if average is not None:
            arrays |= self._named("average", average.flat)
        if step and task.last_finite is not None:
            arrays |= self._named("epoch_start", task.last_finite)
        callbacks = []
        for number, watcher in enumerate(course.who_remember):
            own = _state_of(watcher)
            callbacks.append([type(watcher).__name__, _plain(own)])
            of_arrays = {key: value for key, value in own.items() if _is_array(value)}
            arrays |= {f"callbacks/{number}/{key}": _native(value) for key, value in of_arrays.items()}
        digest = getattr(self._data, "digest", b"") if step else b""
        self._file.write(
            Saved(
                fingerprint=self._marks,
                epochs_done=course.epochs_done,
                epochs_trained=network.epochs_trained,
                step=step,
                loss_sum=loss_sum,
                weight_sum=weight_sum,
                first_step=course.first_step,
                seconds=course.seconds_so_far,
                stopped_by=course.stopped_by,
                columns=course.columns,
                carry=task.carry.tolist(),
                average_steps=0 if average is None else int(average.steps[0]),
                schedule={} if course.schedule is None else course.schedule.state(),
                callbacks=callbacks,
                digest_of_stream=digest.hex(),
                beginning_of_stream=getattr(self._data, "beginning", []),
                arrays=arrays,
            )
        )

    def restore(self, saved: Saved) -> list[dict[str, Any]]:
        """Everything as it was when the checkpoint was written; returns the states of the callbacks.

        ValueError, and nothing has changed, where it is of another fit.
        """
        network, course, task, path = self._network, self._course, self._task, self._file.path
        require_same(path, self._marks, saved.fingerprint)
        if isinstance(self._data, StreamData):
            self._data.require_same(path, saved)
        begun = saved.epochs_done + (saved.step > 0)
        if begun > course.epochs:
            raise ValueError(
                f"checkpoint={path!r} has {begun} epochs{', the last of them begun' * (saved.step > 0)}, more than "
                f"epochs={course.epochs}: ask for at least as many, or begin anew with resume=False"
            )
        if len(saved.carry) != task.carry.size or (saved.step and not self._has_step(saved.step)):
            raise ValueError(
                f"checkpoint={path!r} cannot be read: its numbers are damaged; begin anew with resume=False"
            )
        states = self._states(saved)
        parameters = self._flat("parameters", saved)
        slots = [self._flat(f"optimizer/{slot}", saved) for slot in self._slots]
        average = None if course.average is None else self._flat("average", saved)
        last_finite = self._flat("epoch_start", saved) if saved.step else None
        if course.schedule is not None:
            try:
                course.schedule.restore(saved.schedule)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"checkpoint={path!r} cannot be read: the state of its schedule is damaged: {error}; begin anew "
                    "with resume=False"
                ) from error
        course.undo = self._way_back()
        network._native.assign(network._flat, parameters)
        if slots:
            task.state[...] = np.concatenate(slots)
        task.carry[...] = saved.carry
        if course.average is not None and average is not None:
            course.average.flat[...] = average
            course.average.steps[0] = saved.average_steps
        if last_finite is not None and task.last_finite is not None:
            task.last_finite[...] = last_finite
        network.epochs_trained = saved.epochs_trained
        course.resume(saved.epochs_done, saved.columns, saved.seconds, saved.first_step, saved.stopped_by)
        self._steps = 0 if isinstance(self._data, StreamData) else -saved.step
        task.start = (saved.step, saved.loss_sum, saved.weight_sum)
        course.began = self._ask_again
        return states

    def _has_step(self, step: int) -> bool:
        """Whether an epoch has one with this number; of a stream that was seen when it was gone through."""
        return isinstance(self._data, StreamData) or step < self._steps_of_epoch()

    def _way_back(self) -> Callable[[], None]:
        """What makes the network what it was before, should a callback refuse to go on."""
        network, flat = self._network, self._network._native.allocate()
        flat[...] = network._flat
        epochs_trained, loss = network.epochs_trained, network.loss

        def undo() -> None:
            network._native.assign(network._flat, flat)
            network.epochs_trained, network.loss = epochs_trained, loss

        return undo

    def _named(self, what: str, flat: Array) -> dict[str, Array]:
        return {f"{what}/{name}": array for name, array in self._network._read(flat).items()}

    def _flat(self, what: str, saved: Saved) -> Array:
        """Arrays of the file in the core's layout; they may hold anything but other shapes and types."""
        native = self._network._native
        flat: Array = native.allocate()
        for index, (name, shape, _) in enumerate(native.tensors):
            array = saved.arrays.get(f"{what}/{name}")
            if array is None or array.shape != tuple(shape) or array.dtype != self._network.dtype:
                raise ValueError(
                    f"checkpoint={self._file.path!r} has no {what} of shape {tuple(shape)} for {name}: it is of "
                    "another network"
                )
            native.write(flat, index, array)
        return flat

    def _states(self, saved: Saved) -> list[dict[str, Any]]:
        """Of those callbacks that remember something."""
        path, callbacks = self._file.path, saved.callbacks
        if not all(isinstance(one, list) and len(one) == 2 and isinstance(one[1], dict) for one in callbacks):
            raise ValueError(f"checkpoint={path!r} cannot be read: the states of its callbacks are damaged")
        here, there = [type(watcher).__name__ for watcher in self._course.who_remember], [one[0] for one in callbacks]
        if here != there:
            raise ValueError(
                f"checkpoint={path!r} is of a fit whose callbacks with a state are {there or 'none'}, those of this "
                f"one are {here or 'none'}: go on with the same ones, in the same order"
            )
        states = []
        for number, (_, plain) in enumerate(callbacks):
            start = f"callbacks/{number}/"
            arrays = {key.removeprefix(start): array for key, array in saved.arrays.items() if key.startswith(start)}
            states.append({**plain, **arrays})
        return states


def _state_of(watcher: Any) -> dict[str, Any]:
    """What a callback remembers; TypeError where a file cannot keep it."""
    state: dict[str, Any] = watcher.state_dict()
    for key, value in state.items():
        is_kept = value is None or isinstance(value, (str, bool, int, float, np.bool_, np.integer, np.floating))
        if isinstance(value, np.ndarray):
            is_kept = value.dtype.kind in "biuf" and value.dtype.itemsize <= 8
        if not (is_kept and isinstance(key, str)):
            raise TypeError(
                f"the state_dict of {type(watcher).__name__} has {key!r}: {str(value)[:80]!r}: a checkpoint keeps "
                "numbers, text, True, False, None and arrays of numbers, each under a name"
            )
    return state


def _native(array: Array) -> Array:
    """As safetensors writes it and gives it back."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """What of a callback's state JSON can hold."""
    return {
        key: value.item() if isinstance(value, (np.generic, np.ndarray)) else value
        for key, value in state.items()
        if not _is_array(value)
    }


def fingerprint(network: Network, data: ArrayData | StreamData, settings: Mapping[str, Any]) -> dict[str, str]:
    """What must be the same for a fit to go on: a short text for the network, the data, and the settings."""
    validation = data.validation
    stream = getattr(data, "fingerprint", None)
    return {
        "network": _digest(json.dumps(network.spec(), sort_keys=True).encode()),
        # Before the data, since what becomes of the targets depends on the loss
        "settings": _digest(repr({name: _named(value) for name, value in sorted(settings.items())}).encode()),
        "data": _digest(*_parts(data.training)) if stream is None else stream(),
        "validation data": "none" if validation is None else _digest(*_parts(validation)),
    }


def _parts(part: Part) -> list[Any]:
    targets = part.prepared.targets if part.prepared.targets is not None else part.y
    return [part.inputs.features, part.inputs.lengths, targets, part.prepared.weights]


def _digest(*parts: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        if part is None or isinstance(part, bytes):
            digest.update(part or b"none")
            continue
        array = np.asarray(part)
        digest.update(f"{array.dtype} {array.shape}".encode())
        if array.dtype.hasobject:
            digest.update(repr(array.tolist()).encode())
        elif array.size:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _named(value: Any) -> Any:
    """A function by its name: its address is another in every process. A number is one, whoever has made it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Loss):
        return value.to_spec()
    if callable(value) and not isinstance(value, type):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return value
