r"""Losses as a user writes them: a string, or one of these frozen values where a loss takes a parameter.

To add a loss: its dataclass here, its struct in cpp/kernels/losses.hpp, its twin in reference/losses.py.
Definitions are torch's with ``reduction="mean"``: the mean over samples and outputs, cross-entropy over samples; with
sample weights the weighted mean Σ wₛ ℓₛ / Σ wₛ. z is the network's output, y the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

from .names import build, find, require_number

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "CustomLoss",
    "Hinge",
    "Huber",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "PoissonDeviance",
    "Quantile",
    "SquaredHinge",
    "find_loss",
    "loss_from_spec",
]


@dataclass(frozen=True)
class Loss:
    """A loss of the core.

    Attributes
    ----------
    name : str
        As in ``fit(loss=name)``.
    targets : str
        What it takes as y: "values", "classes", "probabilities", "signs" or "counts".
    """

    name: ClassVar[str]
    targets: ClassVar[str] = "values"

    @property
    def parameter(self) -> float:
        """The loss's one parameter, 0 where it has none."""
        return 0.0

    def to_spec(self) -> dict[str, Any]:
        """The loss as a plain dict, as a model file keeps it.

        Examples
        --------
        >>> Huber(delta=2.0).to_spec()
        {'name': 'huber', 'delta': 2.0}
        """
        return {"name": self.name, **asdict(self)}


class MeanSquaredError(Loss):
    """(z - y)², without a factor ½."""

    name = "mse"


class MeanAbsoluteError(Loss):
    """|z - y|; its slope at 0 counts as 0."""

    name = "mae"


@dataclass(frozen=True)
class Huber(Loss):
    """½d² for d = |z - y| < delta, else delta (d - ½delta): squared near zero, absolute far away.

    Parameters
    ----------
    delta : float, default=1.0
        Where one becomes the other, above 0, in the units of y.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35 (1964) 73.
    """

    name: ClassVar[str] = "huber"

    delta: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", require_number("delta", self.delta, above=0.0))

    @property
    def parameter(self) -> float:
        """delta."""
        return self.delta


class LogCosh(Loss):
    """log cosh(z - y)."""

    name = "log_cosh"


class Poisson(Loss):
    """exp(z) - y z: the output z is the log of the rate of a count y >= 0."""

    name = "poisson"
    targets = "counts"


class PoissonDeviance(Loss):
    """y log(y / exp(z)) + exp(z) - y, half the deviance of a count y >= 0 from the rate exp(z): 0 for a perfect fit."""

    name = "poisson_deviance"
    targets = "counts"


@dataclass(frozen=True)
class Quantile(Loss):
    """max(q (y - z), (q - 1)(y - z)): the output becomes the q-quantile of y.

    Parameters
    ----------
    q : float, default=0.5
        Between 0 and 1, both excluded; 0.5 is the median.

    References
    ----------
    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46 (1978) 33.
    """

    name: ClassVar[str] = "quantile"

    q: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "q", require_number("q", self.q, above=0.0, below=1.0))

    @property
    def parameter(self) -> float:
        """q."""
        return self.q


class CrossEntropy(Loss):
    """log Σ exp(z_j) - z_y from logits z; y is a class index, or a row of probabilities."""

    name = "cross_entropy"
    targets = "classes"


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """log(1 + exp(z)) - y z from the logit z; y in [0, 1], one column for each label.

    Parameters
    ----------
    clip : float, default=0.0
        In [0, 0.5). Above 0 the loss is computed from the probability p = σ(z), kept within [clip, 1 - clip] in its
        value, as scikit-learn does; that loses digits where the network is sure.
    """

    name: ClassVar[str] = "binary_cross_entropy"
    targets: ClassVar[str] = "probabilities"

    clip: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "clip", require_number("clip", self.clip, least=0.0, below=0.5))

    @property
    def parameter(self) -> float:
        """clip."""
        return self.clip


class Hinge(Loss):
    """max(0, 1 - y z) for y in {-1, 1}; labels {0, 1} are taken as {-1, 1}."""

    name = "hinge"
    targets = "signs"


class SquaredHinge(Loss):
    """max(0, 1 - y z)² for y in {-1, 1}; labels {0, 1} are taken as {-1, 1}."""

    name = "squared_hinge"
    targets = "signs"


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        MeanSquaredError,
        MeanAbsoluteError,
        Huber,
        LogCosh,
        Poisson,
        PoissonDeviance,
        Quantile,
        CrossEntropy,
        BinaryCrossEntropy,
        Hinge,
        SquaredHinge,
    )
}

CustomLoss: TypeAlias = Callable[[Any, Any], tuple[float, Any]]


def find_loss(loss: str | Loss | CustomLoss) -> Loss | CustomLoss:
    """The loss a user named: a string, a Loss, or a function ``loss(output, y) -> (value, gradient_of_output)``."""
    if isinstance(loss, str):
        return find("loss", loss, LOSSES)()
    if isinstance(loss, type) and issubclass(loss, Loss):
        return loss()
    if isinstance(loss, Loss) or (callable(loss) and not isinstance(loss, type)):
        return loss
    raise TypeError(
        f"loss={loss!r} is {type(loss).__name__}: expected a name such as 'mse' or 'cross_entropy', an object such as "
        "deltarule.Huber(delta=1.0), or a function loss(output, y) -> (value, gradient_of_output)"
    )


def loss_from_spec(spec: Any) -> Loss:
    """The loss that `to_spec` has described; TypeError or ValueError where the dict says anything else."""
    if not isinstance(spec, dict):
        raise TypeError(f"the loss is {str(spec)[:200]}: expected a dict with a name")
    return build("loss", spec, LOSSES)
