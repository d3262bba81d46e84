"""The solver lbfgs: SciPy's L-BFGS-B, driving the core's loss and gradient of all samples at once."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.optimize import _check_optimize_result

from ..layers import Dense
from ..network import Network
from ..network.structure import Array
from ..network.watchers import call, check_callbacks
from .parameters import loss_for_core
from .protocol import Epochs
from .samples import Samples
from .weights import network_of, write_parameters

__all__ = ["fit_lbfgs"]

_ELEMENTS = 1 << 22  # of the samples and activations of a part


class _Objective:
    """The loss and its gradient as functions of one vector: all coefs, then all intercepts, as scikit-learn packs them.

    The samples are taken in parts of bounded memory; penalties, which are of the whole, are added here.
    """

    def __init__(self, estimator: Any, network: Network, train: Samples) -> None:
        layers = [replace(layer, l1=0.0, l2=0.0) for layer in network.layers if isinstance(layer, Dense)]
        state = list(network.state_dict().values())
        self.network = network_of(layers, state[0::2], state[1::2], network.dtype)
        self.alpha, self.l1 = float(estimator.alpha), float(estimator.l1)
        _, self.loss = loss_for_core(estimator, estimator.n_outputs_, network.dtype)
        self.threads = network._threads(estimator.n_threads)
        self.gradients = self.network._native.allocate()
        self.shapes = [shape for _, shape, _ in self.network._native.tensors]
        self.places = [*range(0, len(self.shapes), 2), *range(1, len(self.shapes), 2)]
        self.last = self.start()  # where the loss was asked for
        self.n_coefs = sum(int(np.prod(shape)) for shape in self.shapes[0::2])
        rows = max(256, _ELEMENTS // (train.stored_per_row() + sum(layer.units for layer in layers)))
        self.parts = [train.part(first, first + rows) for first in range(0, len(train), rows)]
        self.inputs = [part.inputs() for part in self.parts]
        self.weights = [part.total_weight() for part in self.parts]

    def pack(self, flat: Any) -> Array:
        """Parameters or gradients as one vector."""
        parts = [self.network._native.read(flat, index).ravel() for index in self.places]
        return np.concatenate(parts).astype(np.float64, copy=False)

    def start(self) -> Array:
        """The parameters of the network."""
        return self.pack(self.network._flat)

    def write(self, packed: Array, network: Network) -> None:
        """Set the parameters of a network."""
        arrays: dict[int, Array] = {}
        first = 0
        for index in self.places:
            size = int(np.prod(self.shapes[index]))
            arrays[index] = packed[first : first + size].reshape(self.shapes[index])
            first += size
        ordered = [arrays[index] for index in range(len(self.shapes))]
        write_parameters(network, ordered[0::2], ordered[1::2])

    def __call__(self, packed: Array) -> tuple[float, Array]:
        self.write(packed, self.network)
        self.last = packed
        coefs, total = packed[: self.n_coefs], sum(self.weights)
        value = 0.5 * self.alpha * float(coefs @ coefs) + self.l1 * float(np.abs(coefs).sum())
        gradient = np.zeros_like(packed)
        gradient[: self.n_coefs] = self.alpha * coefs + self.l1 * np.sign(coefs)
        for part, inputs, weight in zip(self.parts, self.inputs, self.weights, strict=True):
            value += weight * self.network._native.loss_and_gradients(
                self.network._flat, self.loss, inputs, part.y, part.sample_weight, self.gradients, *self.threads
            )
            gradient += weight * self.pack(self.gradients)
        return value / total, gradient / total


def fit_lbfgs(estimator: Any, network: Network, train: Samples, protocol: Epochs | None) -> None:
    """Train until the gradient is small, or max_iter or max_fun is reached."""
    objective = _Objective(estimator, network, train)
    callbacks = check_callbacks(estimator.callbacks or [])
    start = time.perf_counter()
    out_of_time = False

    def after_iteration(intermediate_result: Any) -> None:
        nonlocal out_of_time
        seconds = time.perf_counter() - start
        objective.write(intermediate_result.x, network)
        estimator.n_iter_ += 1
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {intermediate_result.fun:.8f}")
        logs = {"loss": float(intermediate_result.fun), "seconds": seconds}
        answers = [call(callback, "on_epoch_end", estimator.n_iter_ - 1, dict(logs)) for callback in callbacks]
        stop = any(isinstance(answer, (bool, np.bool_)) and bool(answer) for answer in answers)
        if protocol is not None:
            stop = protocol.epoch_ends() or stop
        out_of_time = estimator.time_limit is not None and seconds > estimator.time_limit
        if stop or out_of_time:
            raise StopIteration

    watched = bool(callbacks or protocol or estimator.verbose or estimator.time_limit is not None)
    for callback in callbacks:
        call(callback, "on_fit_begin", network)
    estimator.n_iter_ = 0
    try:
        result = scipy.optimize.minimize(
            objective,
            objective.start(),
            method="L-BFGS-B",
            jac=True,
            callback=after_iteration if watched else None,
            options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
        )
        objective.last = result.x
    finally:
        objective.write(objective.last, network)
        for callback in reversed(callbacks):
            call(callback, "on_fit_end", network)
    estimator.loss_ = float(result.fun)
    if out_of_time:
        warnings.warn(
            f"lbfgs: time_limit={estimator.time_limit} seconds were over after {result.nit} iterations and the "
            "optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=2,
        )
        estimator.n_iter_ = result.nit
    elif result.status == 99:  # a callback asked for the end
        estimator.n_iter_ = result.nit
    else:
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
