"""The one crossing into the native training loop: what it takes, and what it says when it comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .structure import Array

if TYPE_CHECKING:
    from ..losses import CustomLoss, Loss
    from .network import Network

__all__ = ["Plateau", "Result", "Task", "get_ready", "run", "start_optimizer"]


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
    # (epoch, first step in it, count) -> learning rates of these steps, or one for all
    rates: Callable[[int, int, int], npt.NDArray[np.float64]] | None = None
    average: tuple[float, Array, Array] | None = None  # decay, the average so far, of how many steps
    # (epoch) -> (inputs, targets, weights) of the next piece of the epoch, or None at its end
    next_piece: Callable[[int], tuple[Any, Array | None, Array | None] | None] | None = None
    start: tuple[int, float, float] = (0, 0.0, 0.0)  # step of the first epoch, and the sums of its loss and weight
    last_finite: Array | None = None  # the parameters at the beginning of the epoch; the core keeps them up to date
    # after so many steps: (epoch, step, sum of losses, of weights)
    pause: tuple[int, Callable[[int, int, float, float], None]] | None = None
    after_epoch: Callable[..., bool] | None = field(default=None, repr=False)
    on_begin: Callable[[], None] = field(default=lambda: None, repr=False)  # nothing can be refused any more
    parameters: Array = field(init=False, repr=False)
    epochs_trained: Array = field(init=False, repr=False)  # int64, one count
    seed: int = field(init=False)

    def bind(self, network: Network) -> None:
        """What the loop needs of the network itself."""
        self.parameters, self.epochs_trained, self.seed = network._flat, network._epochs, network.seed


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
    """Train."""
    settle = get_ready(network, found, task)
    try:
        return Result(*network._native.fit(task))
    finally:
        settle()


def get_ready(network: Network, found: Loss | CustomLoss | None, task: Task) -> Callable[[], None]:
    """Bind the task to the network, which from its beginning on remembers the loss `found`, as its callbacks need it.

    Returns what is to be called at the end: without any training it remembers the loss of before.
    """
    before: list[Any] = []  # empty as long as the core may refuse the fit

    def on_begin() -> None:
        before.extend((network.loss, network.epochs_trained))
        network.loss = found

    def forget() -> None:
        if before and network.epochs_trained == before[1]:
            network.loss = before[0]

    task.bind(network)
    task.on_begin = on_begin
    return forget


def start_optimizer(network: Network, optimizer: tuple[str, list[float]]) -> tuple[Array, Array]:
    """New (state, carry), as they are before the first step."""
    state, carry, _ = network._native.start_optimizer(optimizer)
    return np.asarray(state), np.asarray(carry)
