"""Optimizers that divide each gradient by its own size. p is the parameter, g its gradient, t the step, counted from 1.

To add one, write a frozen dataclass with a `name`, the `averages` it keeps and the formula in `step`: it enters
OPTIMIZERS by itself. Arguments, defaults and formulas are PyTorch's, so that trajectories can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .activation import Array
from .optimizer import Optimizer, State, check


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Divide g by its recent size: s ← α s + (1 - α) g², p ← p - lr g / (√s + eps).

    Parameters
    ----------
    lr : float, >= 0, default 0.01
        Learning rate.
    alpha : float, in [0, 1], default 0.99
        How slowly the average s forgets.
    eps : float, >= 0, default 1e-8
        Keeps the division from 0; outside the root.
    weight_decay : float, >= 0, default 0
        Adds weight_decay p to g.
    momentum : float, >= 0, default 0
        With it, v ← momentum v + g / (√s + eps) and p ← p - lr v.
    centered : bool, default False
        Divide by the standard deviation: s - m² in place of s, with the average m ← α m + (1 - α) g.

    Notes
    -----
    Rounding can make s - m² a little negative; it is taken as 0, where PyTorch returns NaN.

    References
    ----------
    T. Hinton, "Neural networks for machine learning", lecture 6e, 2012. A. Graves, arXiv:1308.0850, equations 38-45.
    """

    name = "rmsprop"
    averages = ("square_avg", "grad_avg", "momentum_buffer")
    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0
    momentum: float = 0
    centered: bool = False

    def __post_init__(self) -> None:
        check("lr", self.lr)
        check("alpha", self.alpha, high=1)
        check("eps", self.eps)
        check("weight_decay", self.weight_decay)
        check("momentum", self.momentum)

    def step(self, p: Array, g: Array, state: State) -> Array:
        g = g + self.weight_decay * p
        s = state["square_avg"] = self.alpha * state["square_avg"] + (1 - self.alpha) * g**2
        if self.centered:
            m = state["grad_avg"] = self.alpha * state["grad_avg"] + (1 - self.alpha) * g
            s = np.maximum(s - m**2, 0)
        v = g / (np.sqrt(s) + self.eps)
        if self.momentum > 0:
            v = state["momentum_buffer"] = self.momentum * state["momentum_buffer"] + v
        return np.asarray(p - self.lr * v)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Divide g by the size of all gradients so far: s ← s + g², p ← p - lr_t g / (√s + eps).

    The learning rate falls as lr_t = lr / (1 + (t - 1) lr_decay).

    Parameters
    ----------
    lr : float, >= 0, default 0.01
        Learning rate.
    lr_decay : float, >= 0, default 0
        How fast the learning rate falls.
    weight_decay : float, >= 0, default 0
        Adds weight_decay p to g.
    initial_accumulator_value : float, >= 0, default 0
        What s starts from.
    eps : float, >= 0, default 1e-10
        Keeps the division from 0; outside the root.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods", JMLR 12, 2011.
    """

    name = "adagrad"
    averages = ("sum",)
    lr: float = 1e-2
    lr_decay: float = 0
    weight_decay: float = 0
    initial_accumulator_value: float = 0
    eps: float = 1e-10

    def __post_init__(self) -> None:
        for setting in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            check(setting, getattr(self, setting))

    def start(self, parameter: Any) -> State:
        state = super().start(parameter)
        state["sum"] += self.initial_accumulator_value
        return state

    def step(self, p: Array, g: Array, state: State) -> Array:
        g = g + self.weight_decay * p
        lr = self.lr / (1 + (state["step"] - 1) * self.lr_decay)
        s = state["sum"] = state["sum"] + g**2
        return np.asarray(p - lr * g / (np.sqrt(s) + self.eps))


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Give the step Δ = g √(u + eps) / √(s + eps) the unit of p: p ← p - lr Δ.

    s ← ρ s + (1 - ρ) g² comes before and u ← ρ u + (1 - ρ) Δ² after: running averages of the gradient and of the step.

    Parameters
    ----------
    lr : float, >= 0, default 1
        Learning rate.
    rho : float, in [0, 1], default 0.9
        How slowly the averages s and u forget.
    eps : float, >= 0, default 1e-6
        Gets the first steps going; inside the roots.
    weight_decay : float, >= 0, default 0
        Adds weight_decay p to g.

    References
    ----------
    M. Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, algorithm 1.
    """

    name = "adadelta"
    averages = ("square_avg", "acc_delta")
    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0

    def __post_init__(self) -> None:
        check("lr", self.lr)
        check("rho", self.rho, high=1)
        check("eps", self.eps)
        check("weight_decay", self.weight_decay)

    def step(self, p: Array, g: Array, state: State) -> Array:
        g = g + self.weight_decay * p
        s = state["square_avg"] = self.rho * state["square_avg"] + (1 - self.rho) * g**2
        delta = np.sqrt(state["acc_delta"] + self.eps) / np.sqrt(s + self.eps) * g
        state["acc_delta"] = self.rho * state["acc_delta"] + (1 - self.rho) * delta**2
        return np.asarray(p - self.lr * delta)
