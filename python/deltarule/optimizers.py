r"""Optimizers as a user writes them: frozen values with torch's names, defaults and formulas.

To add one: its dataclass here (or in adam.py), its struct in cpp/kernels/optimizers.hpp, its twin in
reference/optimizers.py.
In all formulas g is the gradient of the mean loss, θ a parameter; weight_decay adds weight_decay·θ to g for every
parameter, biases included, as in torch (AdamW apart). For a penalty on weights alone see ``l2`` of the layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from .adam import Adam, AdamW, NAdam
from .lbfgs import LBFGS
from .names import find
from .optimizer import LEAST_EPS, Optimizer
from .schedule import Schedule

__all__ = [
    "LBFGS",
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
    "find_optimizer",
]


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent on minibatches: θ ← θ - lr b, b ← momentum·b + (1 - dampening) g (b = g at the first step).

    Parameters
    ----------
    lr : float or Schedule, default=1e-2
        Learning rate, at least 0.
    momentum : float, default=0.0
        At least 0; 0 is plain gradient descent, θ ← θ - lr g.
    dampening : float, default=0.0
        Weakens the gradient in the buffer.
    nesterov : bool, default=False
        Uses g + momentum·b in place of b; needs momentum above 0 and no dampening.
    weight_decay : float, default=0.0
        At least 0.
    lr_in_velocity : bool, default=False
        Keeps a velocity, b ← momentum·b + (1 - dampening) lr g and θ ← θ - b, as Keras and scikit-learn do. It makes
        a difference only where lr changes: then what was learned before keeps the rate that it was learned with.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, which has lr in the velocity; by default torch's form, where lr multiplies the buffer.
    """

    name: ClassVar[str] = "sgd"

    lr: float | Schedule = 1e-2
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    lr_in_velocity: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("momentum", "weight_decay", least=0.0)
        self._check("dampening")
        self._check_flag("nesterov")
        self._check_flag("lr_in_velocity")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                f"nesterov=True with momentum={self.momentum} and dampening={self.dampening}: it needs momentum above "
                "0 and dampening=0, for instance SGD(momentum=0.9, nesterov=True)"
            )


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v ← alpha·v + (1 - alpha) g²; θ ← θ - lr g / (√v + eps).

    Parameters
    ----------
    lr : float or Schedule, default=1e-2
    alpha : float, default=0.99
        How much of the mean square is kept each step, in [0, 1).
    eps : float, default=1e-8
        Above 0.
    weight_decay : float, default=0.0
    momentum : float, default=0.0
        Keeps a buffer b ← momentum·b + g / (√v + eps), and θ ← θ - lr b.
    centered : bool, default=False
        Divides by the root of the variance, v - (mean of g)², in place of √v.

    References
    ----------
    G. Hinton, "Neural networks for machine learning", lecture 6e, 2012; centered: A. Graves, arXiv:1308.0850.
    """

    name: ClassVar[str] = "rmsprop"

    lr: float | Schedule = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("alpha", least=0.0, below=1.0)
        self._check("eps", least=LEAST_EPS)
        self._check("weight_decay", "momentum", least=0.0)
        self._check_flag("centered")


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s ← s + g²; θ ← θ - lr / (1 + (t - 1) lr_decay) · g / (√s + eps) at step t = 1, 2, ….

    Parameters
    ----------
    lr : float or Schedule, default=1e-2
    lr_decay : float, default=0.0
    weight_decay : float, default=0.0
    initial_accumulator_value : float, default=0.0
        What s starts as.
    eps : float, default=1e-10

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, Journal of Machine Learning Research 12 (2011) 2121.
    """

    name: ClassVar[str] = "adagrad"

    lr: float | Schedule = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("lr_decay", "weight_decay", "initial_accumulator_value", least=0.0)
        self._check("eps", least=LEAST_EPS)


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """v ← rho·v + (1 - rho) g²; step = √(u + eps) / √(v + eps) · g; u ← rho·u + (1 - rho) step²; θ ← θ - lr step.

    Parameters
    ----------
    lr : float or Schedule, default=1.0
    rho : float, default=0.9
        In [0, 1).
    eps : float, default=1e-6
    weight_decay : float, default=0.0

    References
    ----------
    M. D. Zeiler, arXiv:1212.5701.
    """

    name: ClassVar[str] = "adadelta"

    lr: float | Schedule = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("rho", least=0.0, below=1.0)
        self._check("eps", least=LEAST_EPS)
        self._check("weight_decay", least=0.0)


@dataclass(frozen=True)
class Rprop(Optimizer):
    """Each parameter moves by a step size of its own: times etas[1] while g keeps its sign, times etas[0] when not.

    Parameters
    ----------
    lr : float or Schedule, default=1e-2
        The first step size.
    etas : tuple of two floats, default=(0.5, 1.2)
        0 < etas[0] < 1 < etas[1].
    step_sizes : tuple of two floats, default=(1e-6, 50.0)
        The smallest and the largest.

    Notes
    -----
    Meant for full batches: the sign of a minibatch's gradient is mostly noise.

    References
    ----------
    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning", ICNN 1993.
    """

    name: ClassVar[str] = "rprop"

    lr: float | Schedule = 1e-2
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        lower, higher = self._check_pair("etas")
        if not 0 < lower < 1 < higher:
            raise ValueError(f"etas={self.etas!r}: expected 0 < etas[0] < 1 < etas[1], such as (0.5, 1.2)")
        smallest, largest = self._check_pair("step_sizes")
        if not 0 < smallest <= largest:
            raise ValueError(f"step_sizes={self.step_sizes!r}: expected 0 < step_sizes[0] <= step_sizes[1]")


OPTIMIZERS: dict[str, type[Optimizer]] = {
    optimizer.name: optimizer for optimizer in (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, NAdam, Rprop)
}


@lru_cache
def _with_defaults(name: str) -> Optimizer:
    known: dict[str, type[Optimizer]] = {**OPTIMIZERS, LBFGS.name: LBFGS}  # the core knows nothing of the last
    return find("optimizer", name, known)()


def find_optimizer(optimizer: str | Optimizer | type[Optimizer]) -> Optimizer:
    """The optimizer that a user named: "adam", ``Adam(lr=1e-3)``, or the class with its defaults."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        return _with_defaults(optimizer)
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()
    raise TypeError(
        f"optimizer={optimizer!r} is {type(optimizer).__name__}: expected a name such as 'adam', or an object such as "
        "deltarule.Adam(lr=1e-3)"
    )
