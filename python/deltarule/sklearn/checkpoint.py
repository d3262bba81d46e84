"""A fit that survives being killed: all that it needs to go on, in one safetensors file that is whole or not there.

Written after an epoch, at most once a second, and at the end of a training that was not broken off. Before anything is
read back, the file is checked to be of the same data, parameters and version; arrays are named and shaped as this
fit's own, or the file is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from ..network.files import write_whole
from ..network.structure import Array
from .weights import write_parameters

if TYPE_CHECKING:
    from .stochastic import StochasticFit

__all__ = ["Checkpoint", "random_state_of"]

_FORMAT = "deltarule.sklearn"
_VERSION = 1
_SECONDS = 1.0  # between two files at least
# Parameters that may differ between the run that wrote and the one that goes on: none of them changes a weight.
_FREE = {"callbacks", "n_threads", "verbose", "time_limit", "max_iter", "random_state"}


class Checkpoint:
    """The file of one fit.

    Parameters
    ----------
    path : str or path
    fit : StochasticFit
    random_state : dict
        Where the RandomState stood when the fit began, before the weights were drawn.
    """

    def __init__(self, path: str | os.PathLike[str], fit: StochasticFit, random_state: dict[str, Any]) -> None:
        self._random_state = random_state
        self.path = os.fspath(path)
        self._fit = fit
        self._fingerprint = self._of_fit()
        self._written = time.monotonic()
        self._seconds = 0.0

    def _of_fit(self) -> str:
        """Of the data and of the parameters that decide about the weights."""
        digest = hashlib.blake2b(digest_size=16)
        for samples in (self._fit.train, self._fit.validation):
            if samples is None:
                continue
            inputs = samples.inputs()
            arrays = [*(inputs if isinstance(inputs, tuple) else (inputs,)), samples.y, samples.weights()]
            for array in arrays:
                contiguous = np.ascontiguousarray([] if array is None else array)
                digest.update(f"{contiguous.dtype} {contiguous.shape}".encode())
                digest.update(contiguous.reshape(-1).view(np.uint8).data if contiguous.size else b"")
        parameters = self._fit.estimator.get_params(deep=False)
        if isinstance(parameters["random_state"], Integral):
            parameters["seed"] = int(parameters["random_state"])
        decisive = sorted((key, _named(value)) for key, value in parameters.items() if key not in _FREE)
        digest.update(repr(decisive).encode())
        return digest.hexdigest()

    def write_now_and_then(self, seconds: float) -> None:
        """After an epoch, `seconds` into the training."""
        self._seconds = seconds
        if time.monotonic() - self._written >= _SECONDS:
            self.write()

    def write(self) -> None:
        """As things are now, between two epochs."""
        from safetensors.numpy import save

        content = save(self._arrays(), metadata={_FORMAT: json.dumps(self._numbers())})
        write_whole(self.path, content)
        self._written = time.monotonic()

    def _arrays(self) -> dict[str, Array]:
        fit, estimator = self._fit, self._fit.estimator
        arrays = {f"parameter.{name}": array for name, array in fit.network.state_dict().items()}
        for slot, tensors in enumerate(estimator._optimizer.arrays(fit.network)):
            arrays |= {f"optimizer.{slot}.{index}": array for index, array in enumerate(tensors)}
        arrays["carry"], arrays["plateau"] = estimator._optimizer.carry, fit.memory
        arrays["order"] = fit.shuffler.order
        arrays["loss_curve"] = np.array(estimator.loss_curve_, np.float64)
        arrays["val_loss_curve"] = np.array(estimator.val_loss_curve_ or [], np.float64)
        if fit.best is not None:
            arrays["validation_scores"] = np.array(estimator.validation_scores_, np.float64)
            if fit.best.flat is not None:
                arrays["best"] = fit.best.flat
        return arrays

    def _numbers(self) -> dict[str, Any]:
        fit, estimator = self._fit, self._fit.estimator
        return {
            "version": _VERSION,
            "fingerprint": self._fingerprint,
            "random_state": _to_json(self._random_state),
            "generator": _to_json(fit.shuffler.place()),
            "n_iter": estimator.n_iter_,
            "t": estimator.t_,
            "loss": estimator.loss_ if estimator.n_iter_ else None,
            "best_score": None if fit.best is None else fit.best.score,
            "epochs_trained": fit.network.epochs_trained,
            "seconds": self._seconds,
        }

    def restore(self) -> bool:
        """Bring the fit to where the file says it was; False without a file. Nothing is changed before all is read."""
        if not os.path.exists(self.path):
            return False
        numbers, arrays = _read(self.path)
        fit, estimator = self._fit, self._fit.estimator
        if numbers.get("fingerprint") != self._fingerprint:
            raise ValueError(
                f"resume=True: {self.path!r} was written by a fit of other data or parameters (fingerprint "
                f"{numbers.get('fingerprint')}, this fit's is {self._fingerprint}): give it the same, or another path"
            )
        for name, array in self._arrays().items():
            found = arrays.get(name)
            grows = name in ("loss_curve", "val_loss_curve", "validation_scores")
            if found is None or found.dtype != array.dtype or (found.shape != array.shape and not grows):
                raise _damaged(self.path, name)
        if not np.array_equal(np.sort(arrays["order"]), np.arange(len(arrays["order"]))):
            raise _damaged(self.path, "order")
        try:
            n_iter, t, epochs_trained = (int(numbers[name]) for name in ("n_iter", "t", "epochs_trained"))
            loss = np.float64(float(numbers["loss"]) if n_iter else 0)
            seconds, best_score = float(numbers["seconds"]), numbers["best_score"]
            best_score = None if fit.best is None else float(best_score)
            if not (0 <= n_iter == len(arrays["loss_curve"]) and 0 <= t < 2**62 and 0 <= epochs_trained < 2**62):
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError):
            raise _damaged(self.path, "its numbers") from None
        generator = _generator_of(numbers.get("generator"), self.path)

        state = [arrays[f"parameter.{name}"] for name in fit.network.state_dict()]
        write_parameters(fit.network, state[0::2], state[1::2])
        slots = [
            [arrays[f"optimizer.{slot}.{index}"] for index in range(len(tensors))]
            for slot, tensors in enumerate(estimator._optimizer.arrays(fit.network))
        ]
        fit.memory[:] = arrays["plateau"]
        estimator._optimizer.restore(fit.network, slots, arrays["carry"], float(fit.memory[2]))
        fit.shuffler.go_to(generator, arrays["order"])
        estimator.loss_curve_ = list(arrays["loss_curve"])
        if estimator.val_loss_curve_ is not None:
            estimator.val_loss_curve_ = arrays["val_loss_curve"].tolist()
        if fit.best is not None and best_score is not None:
            estimator.validation_scores_ = arrays["validation_scores"].tolist()
            fit.best.flat, fit.best.score = arrays.get("best"), best_score
        estimator.n_iter_, estimator.t_ = n_iter, t
        if n_iter:
            estimator.loss_ = loss
        fit.network.epochs_trained = epochs_trained
        fit.seconds_before = seconds
        return True


def _named(value: Any) -> str:
    """What a parameter is, in words that are the same in every process."""
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


def _damaged(path: str, what: str) -> ValueError:
    return ValueError(f"resume=True: {path!r} is damaged at {what!r}; delete it and train again")


def random_state_of(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Where the RandomState stood when the fit in the file began; None without a file."""
    if not os.path.exists(path):
        return None
    name = os.fspath(path)
    return _generator_of(_read(name)[0].get("random_state"), name)


def _read(path: str) -> tuple[dict[str, Any], dict[str, Array]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_FORMAT)
            if text is None:
                raise ValueError(f"{path!r} is no checkpoint of deltarule.sklearn: give another path")
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(f"{path!r} is no readable checkpoint: {error}; delete it and train again") from error
    try:
        numbers = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path, "its metadata") from None
    if not isinstance(numbers, dict) or numbers.get("version") != _VERSION:
        raise ValueError(f"{path!r} was written by another version of deltarule: delete it and train again")
    return numbers, arrays


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_json(one) for key, one in value.items()}
    return {"numbers": value.tolist()} if isinstance(value, np.ndarray) else value


def _generator_of(value: Any, path: str) -> dict[str, Any]:
    """The state of a bit generator. NumPy believes what it is told, and would read beyond the end of a wrong one."""
    try:
        state = _from_json(value, np.uint32 if value["bit_generator"] == "MT19937" else np.uint64)
        if state["bit_generator"] == "MT19937":
            key, position = state["state"]["key"], state["state"]["pos"]
            if key.shape != (624,) or type(position) is not int or not 0 <= position <= 624:
                raise ValueError
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, RecursionError):
        raise _damaged(path, "the state of its generator") from None
    return dict(state)


def _from_json(value: Any, dtype: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"numbers"}:
        return np.array(value["numbers"], dtype)
    return {key: _from_json(one, dtype) for key, one in value.items()} if isinstance(value, dict) else value
