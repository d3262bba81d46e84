"""All optimizers under one roof: find one by name, or read its formula here, in adaptive.py or in adam.py.

To add one, write a frozen dataclass with a `name`, the `averages` it keeps and the formula in `step`: it enters
OPTIMIZERS by itself. p is the parameter, g its gradient. Arguments, defaults and formulas are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..names import build
from .activation import Array
from .adam import Adam, AdamW, NAdam
from .adaptive import Adadelta, Adagrad, RMSprop
from .clipping import clip_by_global_norm, clip_by_value
from .optimizer import OPTIMIZERS, Optimizer, State, check

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "Rprop",
    "State",
    "clip_by_global_norm",
    "clip_by_value",
    "get",
]


def get(optimizer: str | Mapping[str, Any] | Optimizer) -> Optimizer:
    """Return the optimizer with this name and these settings.

    Parameters
    ----------
    optimizer : str, mapping or Optimizer
        ``"adam"``, ``{"name": "adam", "lr": 1e-3}``, or an optimizer, which is returned as it is.

    Returns
    -------
    Optimizer

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If the name or a setting is unknown, or a setting is out of its range.

    Examples
    --------
    >>> get({"name": "sgd", "lr": 0.5})
    SGD(lr=0.5, momentum=0, dampening=0, nesterov=False, weight_decay=0, lr_in_velocity=False)
    >>> get({"name": "sgd", "momentun": 0.9})
    Traceback (most recent call last):
    ...
    ValueError: optimizer {'name': 'sgd', 'momentun': 0.9} has no parameter 'momentun': did you mean 'momentum'?
    """
    return optimizer if isinstance(optimizer, Optimizer) else build("optimizer", optimizer, OPTIMIZERS)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: p ← p - lr v, where the velocity v = g, or v ← momentum v + (1 - dampening) g.

    Parameters
    ----------
    lr : float, >= 0, default 0.01
        Learning rate.
    momentum : float, >= 0, default 0
        How much of the velocity lasts from step to step. The first velocity is g itself, whatever the dampening.
    dampening : float, default 0
        How much less of g enters the velocity.
    nesterov : bool, default False
        Look ahead: p ← p - lr (g + momentum v). Needs a momentum and no dampening.
    weight_decay : float, >= 0, default 0
        Adds weight_decay p to g.
    lr_in_velocity : bool, default False
        The velocity contains lr: v ← momentum v + (1 - dampening) lr g, p ← p - v. The same as long as lr is.

    Notes
    -----
    PyTorch's learning rate is 0.001 when none is given, Keras's 0.01.

    References
    ----------
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, whose velocity
    contains lr; here, as in PyTorch, it does not unless asked for.
    """

    name = "sgd"
    averages = ("momentum_buffer",)
    lr: float = 1e-2
    momentum: float = 0
    dampening: float = 0
    nesterov: bool = False
    weight_decay: float = 0
    lr_in_velocity: bool = False

    def __post_init__(self) -> None:
        check("lr", self.lr)
        check("momentum", self.momentum)
        check("dampening", self.dampening, low=-math.inf)
        check("weight_decay", self.weight_decay)
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise ValueError(
                f"nesterov is True with momentum={self.momentum!r} and dampening={self.dampening!r}: expected a"
                " momentum above 0 and dampening 0; pass for example momentum=0.9"
            )

    def step(self, p: Array, g: Array, state: State) -> Array:
        g = g + self.weight_decay * p
        before, after = (self.lr, 1.0) if self.lr_in_velocity else (1.0, self.lr)
        g = before * g
        if self.momentum == 0:
            return np.asarray(p - after * g)
        first = state["step"] == 1
        v = g if first else self.momentum * state["momentum_buffer"] + (1 - self.dampening) * g
        state["momentum_buffer"] = v
        return np.asarray(p - after * (g + self.momentum * v if self.nesterov else v))


@dataclass(frozen=True)
class Rprop(Optimizer):
    """Give each number its own step size s, and look only at the sign of its gradient: p ← p - s sign(g).

    While g keeps its sign, s grows. Where g turned around, s shrinks, p stays, and g counts as 0 in the next step.
    For full batches, since the sign of a minibatch's gradient is often the wrong one.

    Parameters
    ----------
    lr : float, >= 0, default 0.01
        The first step size.
    etas : (float, float), default (0.5, 1.2)
        The factors to shrink and to grow by, 0 < etas[0] < 1 < etas[1].
    step_sizes : (float, float), default (1e-6, 50)
        The smallest and the greatest step size.

    References
    ----------
    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm",
    1993. The variant here, which does not go back, is iRprop-: C. Igel and M. Hüsken, Neurocomputing 50, 2003.
    """

    name = "rprop"
    averages = ("prev",)
    lr: float = 1e-2
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50)

    def __post_init__(self) -> None:
        check("lr", self.lr)
        if not (len(self.etas) == 2 and 0 < self.etas[0] < 1 < self.etas[1] < math.inf):
            raise ValueError(f"etas is {self.etas!r}: expected 0 < etas[0] < 1 < etas[1], such as (0.5, 1.2)")
        if not (len(self.step_sizes) == 2 and 0 < self.step_sizes[0] <= self.step_sizes[1]):
            raise ValueError(f"step_sizes is {self.step_sizes!r}: expected 0 < least <= greatest, such as (1e-6, 50)")

    def start(self, parameter: Any) -> State:
        return super().start(parameter) | {"step_size": np.full(np.shape(parameter), float(self.lr))}

    def step(self, p: Array, g: Array, state: State) -> Array:
        kept = np.sign(g) * np.sign(state["prev"])  # 1: the same sign as before, -1: it turned around, 0: no news
        factor = np.where(kept > 0, self.etas[1], np.where(kept < 0, self.etas[0], 1))
        size = state["step_size"] = np.clip(state["step_size"] * factor, *self.step_sizes)
        g = state["prev"] = np.where(kept < 0, 0, g)
        return np.asarray(p - size * np.sign(g))
