"""The optimizer of a fit and what it remembers between calls of partial_fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..network import Network
from ..network.loop import start_optimizer
from ..network.preparing import optimizer_for_core
from ..network.structure import Array
from ..optimizers import Adam, Optimizer

__all__ = ["Solver"]


class Solver:
    """An optimizer with its state, for one shape of network.

    Parameters
    ----------
    optimizer : Optimizer
    network : Network
    schedule : {"constant", "invscaling", "adaptive"}
        What becomes of its learning rate.
    power : float
        That of 'invscaling'.
    """

    def __init__(self, optimizer: Optimizer, network: Network, schedule: str = "constant", power: float = 0.5) -> None:
        self.optimizer = optimizer
        self.schedule, self.power = schedule, power
        self.rate = optimizer.first_lr
        self.size = network._native.size
        self.state, self.carry = start_optimizer(network, self.spec())

    def suits(self, network: Network) -> bool:
        """Whether the state is that of a network of this shape and dtype."""
        return bool(self.size == network._native.size and self.state.dtype == network.dtype)

    def rate_after(self, samples: int) -> float:
        """The learning rate of 'invscaling' after so many samples."""
        return float(self.optimizer.first_lr / (samples + 1) ** self.power)

    def spec(self) -> tuple[str, list[float]]:
        """The optimizer for the core, with the learning rate as it is now."""
        name, numbers = optimizer_for_core(self.optimizer)
        return name, [self.rate, *numbers[1:]]

    @property
    def learning_rate(self) -> float:
        """As scikit-learn tells it: Adam's includes the bias correction of its last step."""
        if not isinstance(self.optimizer, Adam) or self.carry[0] == 0:
            return self.rate
        beta_1, beta_2 = self.optimizer.betas
        steps = self.carry[0]
        return float(self.rate * np.sqrt(1 - beta_2**steps) / (1 - beta_1**steps))

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.rate = float(rate)

    def arrays(self, network: Network) -> list[list[Array]]:
        """What it keeps beside each parameter, slot by slot, in the shapes of the parameters."""
        size = network._native.size
        tensors = range(len(network._native.tensors))
        slots = [self.state[first : first + size] for first in range(0, len(self.state), size)]
        return [[network._native.read(slot, index) for index in tensors] for slot in slots]

    def restore(self, network: Network, arrays: list[list[Any]], carry: Any, rate: float) -> None:
        """What `arrays` told, back in its place."""
        size = network._native.size
        for number, slot in enumerate(arrays):
            flat = network._native.allocate()
            for index, array in enumerate(slot):
                network._native.write(flat, index, np.ascontiguousarray(array, network.dtype))
            self.state[number * size : (number + 1) * size] = flat
        self.carry[:] = carry
        self.rate = rate
