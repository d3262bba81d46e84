"""Adam and its family, as a user writes them; see optimizers.py for the others and for what the words mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .optimizer import LEAST_EPS, Optimizer
from .schedule import Schedule

__all__ = ["Adam", "AdamW", "NAdam"]


@dataclass(frozen=True)
class Adam(Optimizer):
    r"""m ← β₁m + (1 - β₁) g, v ← β₂v + (1 - β₂) g², both divided by their bias 1 - βᵗ; θ ← θ - lr m̂ / (√v̂ + eps).

    Parameters
    ----------
    lr : float or Schedule, default=1e-3
    betas : tuple of two floats, default=(0.9, 0.999)
        How much of m and v is kept each step, each in [0, 1).
    eps : float, default=1e-8
        Above 0.
    weight_decay : float, default=0.0
    amsgrad : bool, default=False
        Divides by the largest v so far.
    eps_hat : bool, default=False
        Adds eps before the bias correction of v: θ ← θ - lr m̂ / ((√v + eps) / √(1 - β₂ᵗ)), the ε̂ of the paper's
        section 2. scikit-learn and Keras do so.

    Notes
    -----
    By default eps is added after the bias correction of v, as in torch and in the paper's algorithm 1.

    References
    ----------
    D. P. Kingma and J. Ba, arXiv:1412.6980; amsgrad: S. J. Reddi, S. Kale and S. Kumar, ICLR 2018.
    """

    name: ClassVar[str] = "adam"

    lr: float | Schedule = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False
    eps_hat: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_betas()
        self._check("eps", least=LEAST_EPS)
        self._check("weight_decay", least=0.0)
        self._check_flag("amsgrad")
        self._check_flag("eps_hat")


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose decay acts on the parameter, θ ← (1 - lr weight_decay) θ before the step, not through g.

    Parameters
    ----------
    lr, betas, eps, amsgrad, eps_hat
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
    lr : float or Schedule, default=2e-3
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

    lr: float | Schedule = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_betas()
        self._check("eps", least=LEAST_EPS)
        self._check("weight_decay", "momentum_decay", least=0.0)
        self._check_flag("decoupled_weight_decay")
