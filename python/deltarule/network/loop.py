"""The one crossing into the native training loop: what it takes, and what it says when it comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .structure import Array

if TYPE_CHECKING:
    from ..losses import CustomLoss, Loss
    from .network import Network

__all__ = ["Plateau", "Result", "Task", "run", "start_optimizer"]


class Plateau(NamedTuple):
    """When the loop ends, or lowers its learning rate, since nothing gets better; see cpp/training/plateau.hpp."""

    tolerance: float
    patience: float
    divisor: float  # 0: the loop ends; else the learning rate is divided by it
    least_rate: float  # and ends where the rate is no higher than this
    memory: Array  # float64: the best so far (the lower the better), how many epochs were no better, the learning rate


@dataclass
class Task:
    """All that the loop needs beside the network; arrays are borrowed and, where it trains, written to."""

    loss: Any  # (name, parameter), (name, parameter, convention) or a function
    optimizer: tuple[str, list[float]]
    state: Array
    carry: Array
    inputs: Any  # a matrix, or (indptr, indices, data, n_features) of CSR
    targets: Array | None
    sample_weight: Array | None
    epochs: int
    batch_size: int
    shuffle: bool = True
    clip_norm: float = 0.0
    clip_value: float = 0.0
    validation: tuple[Any, ...] | None = None
    threads: tuple[int, int] = (1, 1)  # asked for (0: nobody did), available
    cut: tuple[int, bool] = (0, False)  # of sequences: steps of a piece (0: all), whether the gradient ends there
    order: tuple[Any, Array] | None = None  # a bit generator of NumPy's, which shuffles this order (None: nobody does)
    inverse_scaling: tuple[float, float, float] | None = None  # initial rate, power, samples seen before
    plateau: Plateau | None = None
    seconds: float = math.inf  # after which no new epoch begins
    stops_at_divergence: bool = True
    score: Callable[[], float] | None = None  # after each epoch; the plateau looks at it, the higher the better
    after_epoch: Callable[..., bool] | None = field(default=None, repr=False)


class Result(NamedTuple):
    """What became of it; the columns have a number for each epoch that was completed."""

    end: str  # finished, stopped, converged, out_of_time, interrupted, diverged or failed
    where: tuple[int, int, int, float]  # epoch, step, layer and loss of a divergence
    loss: list[float]
    val_loss: list[float]
    lr: list[float]
    seconds: list[float]
    scores: list[float]
    raised: BaseException | None  # a Ctrl-C, or what a function of the caller's raised: to be raised by the caller


def run(network: Network, found: Loss | CustomLoss | None, task: Task) -> Result:
    """Train. The network remembers the loss `found`, which its callbacks need, where any training has come of it."""
    before: list[Any] = []  # empty as long as the core may refuse the fit

    def on_begin() -> None:
        before.extend((network.loss, network.epochs_trained))
        network.loss = found

    def forget() -> None:
        if before and network.epochs_trained == before[1]:
            network.loss = before[0]

    try:
        result = network._native.fit(
            parameters=network._flat,
            loss=task.loss,
            optimizer=task.optimizer,
            state=task.state,
            carry=task.carry,
            inputs=task.inputs,
            targets=task.targets,
            sample_weight=task.sample_weight,
            epochs=task.epochs,
            epochs_trained=network._epochs,
            batch_size=task.batch_size,
            shuffle=task.shuffle,
            seed=network.seed,
            clip_norm=task.clip_norm,
            clip_value=task.clip_value,
            validation=task.validation,
            n_threads=task.threads[0],
            available_threads=task.threads[1],
            order=task.order,
            inverse_scaling=task.inverse_scaling,
            plateau=task.plateau,
            seconds=task.seconds,
            stops_at_divergence=task.stops_at_divergence,
            score=task.score,
            cut=task.cut,
            on_begin=on_begin,
            after_epoch=task.after_epoch,
        )
    except Exception:
        forget()
        raise
    forget()
    return Result(*result)


def start_optimizer(network: Network, optimizer: tuple[str, list[float]]) -> tuple[Array, Array]:
    """New (state, carry), as they are before the first step."""
    state, carry, _ = network._native.start_optimizer(optimizer)
    return np.asarray(state), np.asarray(carry)
