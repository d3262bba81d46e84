"""Adam and its family. p is the parameter, g its gradient, t the step, counted from 1.

To add one, write a frozen dataclass with a `name`, the `averages` it keeps and the formula in `step`: it enters
OPTIMIZERS by itself. Arguments, defaults and formulas are PyTorch's, so that trajectories can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .activation import Array
from .optimizer import Optimizer, State, check, check_pair


def _adam(rule: Adam | AdamW, p: Array, g: Array, state: State) -> Array:
    """Return p after Adam's step, without any decay of the weights."""
    (beta1, beta2), t = rule.betas, state["step"]
    m = state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * g
    v = state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
    if rule.amsgrad:
        v = state["max_exp_avg_sq"] = np.maximum(state["max_exp_avg_sq"], v)
    # Both averages start from 0; dividing by 1 - βᵗ, the sum of the weights they hold so far, makes up for it.
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    if rule.eps_hat:
        return np.asarray(p - rule.lr * m_hat * np.sqrt(1 - beta2**t) / (np.sqrt(v) + rule.eps))
    return np.asarray(p - rule.lr * m_hat / (np.sqrt(v_hat) + rule.eps))


def _check_adam(rule: Adam | AdamW | NAdam) -> None:
    check("lr", rule.lr)
    check_pair("betas", rule.betas)
    check("eps", rule.eps)
    check("weight_decay", rule.weight_decay)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Step by the mean gradient over its size: p ← p - lr m̂ / (√v̂ + eps).

    m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g² are running averages; m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    Parameters
    ----------
    lr : float, >= 0, default 0.001
        Learning rate: about the size of a step.
    betas : (float, float), in [0, 1), default (0.9, 0.999)
        How slowly the averages m and v forget.
    eps : float, >= 0, default 1e-8
        Keeps the division from 0; outside the root, by default after the correction (the "ε" of the paper).
    weight_decay : float, >= 0, default 0
        Adds weight_decay p to g. See `AdamW` for the form that is not divided by √v̂.
    amsgrad : bool, default False
        Divide by the greatest v so far. The maximum is taken before the correction, as in PyTorch.
    eps_hat : bool, default False
        Add eps before the correction: the "ε̂" of the paper, as in scikit-learn and Keras.

    References
    ----------
    D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    S. Reddi, S. Kale and S. Kumar, "On the convergence of Adam and beyond", ICLR 2018 (amsgrad).
    """

    name = "adam"
    averages = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0
    amsgrad: bool = False
    eps_hat: bool = False

    def __post_init__(self) -> None:
        _check_adam(self)

    def step(self, p: Array, g: Array, state: State) -> Array:
        return _adam(self, p, g + self.weight_decay * p, state)


@dataclass(frozen=True)
class AdamW(Optimizer):
    """`Adam` with decoupled weight decay: first p ← (1 - lr weight_decay) p, then Adam's step.

    Parameters
    ----------
    lr, betas, eps, amsgrad, eps_hat
        As in `Adam`.
    weight_decay : float, >= 0, default 0.01
        How fast the parameters shrink, in units of lr.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    name = "adamw"
    averages = Adam.averages
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2
    amsgrad: bool = False
    eps_hat: bool = False

    def __post_init__(self) -> None:
        _check_adam(self)

    def step(self, p: Array, g: Array, state: State) -> Array:
        return _adam(self, (1 - self.lr * self.weight_decay) * p, g, state)


@dataclass(frozen=True)
class NAdam(Optimizer):
    """Adam with Nesterov's look ahead: p ← p - lr ((1 - μ_t) g / (1 - Π_t) + μ_{t+1} m / (1 - Π_{t+1})) / (√v̂ + eps).

    m, v and v̂ are those of `Adam`; μ_t = β₁ (1 - ½ 0.96^(t momentum_decay)) and Π_t = μ_1 μ_2 … μ_t.

    Parameters
    ----------
    lr : float, >= 0, default 0.002
        Learning rate.
    betas, eps
        As in `Adam`.
    weight_decay : float, >= 0, default 0
        Adds weight_decay p to g.
    momentum_decay : float, >= 0, default 0.004
        How fast μ_t rises from β₁/2 to β₁.
    decoupled_weight_decay : bool, default False
        Shrink p as in `AdamW` instead of adding to g.

    Notes
    -----
    PyTorch keeps Π_t in its default dtype, so with float32 there even float64 parameters differ from these by 1e-8.

    References
    ----------
    T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016, algorithm 2.
    """

    name = "nadam"
    averages = ("exp_avg", "exp_avg_sq")
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        _check_adam(self)
        check("momentum_decay", self.momentum_decay)

    def start(self, parameter: Any) -> State:
        return super().start(parameter) | {"mu_product": 1.0}

    def step(self, p: Array, g: Array, state: State) -> Array:
        if self.decoupled_weight_decay:
            p = (1 - self.lr * self.weight_decay) * p
        else:
            g = g + self.weight_decay * p
        (beta1, beta2), t = self.betas, state["step"]
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * self.momentum_decay))
        product = state["mu_product"] = state["mu_product"] * mu
        m = state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * g
        v = state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
        v_hat = v / (1 - beta2**t)
        ahead = (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m
        return np.asarray(p - self.lr * ahead / (np.sqrt(v_hat) + self.eps))
