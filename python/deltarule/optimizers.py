r"""Optimizers as a user writes them: frozen values with torch's names, defaults and formulas.

To add one: its dataclass here, its struct in cpp/kernels/optimizers.hpp, its twin in reference/optimizers.py.
In all formulas g is the gradient of the mean loss, θ a parameter; weight_decay adds weight_decay·θ to g for every
parameter, biases included, as in torch (AdamW apart). For a penalty on weights alone see ``l2`` of the layers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from .names import find, require_number

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
    "find_optimizer",
]

# Below the smallest normal float32 it would vanish, and 0/0 follow where a gradient is exactly zero.
_LEAST_EPS = 1e-37


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of the core; the learning rate comes first.

    Attributes
    ----------
    name : str
        As in ``fit(optimizer=name)``.
    """

    name: ClassVar[str]

    lr: float = 1e-2

    def __post_init__(self) -> None:
        self._check("lr", least=0.0)

    def _check(
        self, *arguments: str, least: float = -float("inf"), above: float = -float("inf"), below: float = float("inf")
    ) -> None:
        for argument in arguments:
            value = require_number(argument, getattr(self, argument), least=least, above=above, below=below)
            object.__setattr__(self, argument, value)

    def _check_flag(self, argument: str) -> None:
        if not isinstance(getattr(self, argument), bool):
            raise TypeError(f"{argument}={getattr(self, argument)!r}: expected True or False")

    def _check_pair(self, argument: str) -> tuple[float, float]:
        value = getattr(self, argument)
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise TypeError(f"{argument}={value!r}: expected a pair of numbers")
        pair = (require_number(f"{argument}[0]", value[0]), require_number(f"{argument}[1]", value[1]))
        object.__setattr__(self, argument, pair)
        return pair

    def _check_betas(self) -> None:
        for position, beta in enumerate(self._check_pair("betas")):
            require_number(f"betas[{position}]", beta, least=0.0, below=1.0)

    def hyperparameters(self) -> dict[str, float]:
        """Every hyperparameter as a number, by the name that the core knows it by.

        Examples
        --------
        >>> SGD(lr=0.1, momentum=0.9).hyperparameters()
        {'lr': 0.1, 'momentum': 0.9, 'dampening': 0.0, 'nesterov': 0.0, 'weight_decay': 0.0}
        """
        numbers: dict[str, float] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                numbers.update(zip(_PAIRS[field.name], value, strict=True))
            else:
                numbers[field.name] = float(value)
        return numbers


_PAIRS = {
    "betas": ("beta1", "beta2"),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("step_size_min", "step_size_max"),
}


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent on minibatches: θ ← θ - lr b, b ← momentum·b + (1 - dampening) g (b = g at the first step).

    Parameters
    ----------
    lr : float, default=1e-2
        Learning rate, at least 0.
    momentum : float, default=0.0
        At least 0; 0 is plain gradient descent, θ ← θ - lr g.
    dampening : float, default=0.0
        Weakens the gradient in the buffer.
    nesterov : bool, default=False
        Uses g + momentum·b in place of b; needs momentum above 0 and no dampening.
    weight_decay : float, default=0.0
        At least 0.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013; in torch's form, where lr multiplies the buffer.
    """

    name: ClassVar[str] = "sgd"

    lr: float = 1e-2
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("momentum", "weight_decay", least=0.0)
        self._check("dampening")
        self._check_flag("nesterov")
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
    lr : float, default=1e-2
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

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("alpha", least=0.0, below=1.0)
        self._check("eps", least=_LEAST_EPS)
        self._check("weight_decay", "momentum", least=0.0)
        self._check_flag("centered")


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s ← s + g²; θ ← θ - lr / (1 + (t - 1) lr_decay) · g / (√s + eps) at step t = 1, 2, ….

    Parameters
    ----------
    lr : float, default=1e-2
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

    lr: float = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("lr_decay", "weight_decay", "initial_accumulator_value", least=0.0)
        self._check("eps", least=_LEAST_EPS)


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """v ← rho·v + (1 - rho) g²; step = √(u + eps) / √(v + eps) · g; u ← rho·u + (1 - rho) step²; θ ← θ - lr step.

    Parameters
    ----------
    lr : float, default=1.0
    rho : float, default=0.9
        In [0, 1).
    eps : float, default=1e-6
    weight_decay : float, default=0.0

    References
    ----------
    M. D. Zeiler, arXiv:1212.5701.
    """

    name: ClassVar[str] = "adadelta"

    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("rho", least=0.0, below=1.0)
        self._check("eps", least=_LEAST_EPS)
        self._check("weight_decay", least=0.0)


@dataclass(frozen=True)
class Adam(Optimizer):
    r"""m ← β₁m + (1 - β₁) g, v ← β₂v + (1 - β₂) g², both divided by their bias 1 - βᵗ; θ ← θ - lr m̂ / (√v̂ + eps).

    Parameters
    ----------
    lr : float, default=1e-3
    betas : tuple of two floats, default=(0.9, 0.999)
        How much of m and v is kept each step, each in [0, 1).
    eps : float, default=1e-8
        Above 0.
    weight_decay : float, default=0.0
    amsgrad : bool, default=False
        Divides by the largest v so far.

    Notes
    -----
    eps is added after the bias correction of v, as in torch and in the paper's algorithm 1; scikit-learn and Keras add
    it before.

    References
    ----------
    D. P. Kingma and J. Ba, arXiv:1412.6980; amsgrad: S. J. Reddi, S. Kale and S. Kumar, ICLR 2018.
    """

    name: ClassVar[str] = "adam"

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_betas()
        self._check("eps", least=_LEAST_EPS)
        self._check("weight_decay", least=0.0)
        self._check_flag("amsgrad")


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose decay acts on the parameter, θ ← (1 - lr weight_decay) θ before the step, not through g.

    Parameters
    ----------
    lr, betas, eps, amsgrad
        As in `Adam`.
    weight_decay : float, default=1e-2

    References
    ----------
    I. Loshchilov and F. Hutter, arXiv:1711.05101.
    """

    name: ClassVar[str] = "adamw"

    weight_decay: float = 1e-2


@dataclass(frozen=True)
class NAdam(Optimizer):
    """Adam with Nesterov's momentum and the schedule μₜ = β₁ (1 - ½ · 0.96^(t·momentum_decay)).

    Parameters
    ----------
    lr : float, default=2e-3
    betas : tuple of two floats, default=(0.9, 0.999)
    eps : float, default=1e-8
    weight_decay : float, default=0.0
    momentum_decay : float, default=4e-3
    decoupled_weight_decay : bool, default=False
        Lets weight_decay act as in `AdamW`.

    References
    ----------
    T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
    """

    name: ClassVar[str] = "nadam"

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_betas()
        self._check("eps", least=_LEAST_EPS)
        self._check("weight_decay", "momentum_decay", least=0.0)
        self._check_flag("decoupled_weight_decay")


@dataclass(frozen=True)
class Rprop(Optimizer):
    """Each parameter moves by a step size of its own: times etas[1] while g keeps its sign, times etas[0] when not.

    Parameters
    ----------
    lr : float, default=1e-2
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

    lr: float = 1e-2
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


def find_optimizer(optimizer: str | Optimizer | type[Optimizer]) -> Optimizer:
    """The optimizer that a user named: "adam", ``Adam(lr=1e-3)``, or the class with its defaults."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        return find("optimizer", optimizer, OPTIMIZERS)()
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()
    raise TypeError(
        f"optimizer={optimizer!r} is {type(optimizer).__name__}: expected a name such as 'adam', or an object such as "
        "deltarule.Adam(lr=1e-3)"
    )
