"""Dropout: numbers left out at random while a network is trained."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

from ..names import require_number
from .names import check_name

__all__ = ["Dropout"]


@dataclass(frozen=True)
class Dropout:
    r"""Drops numbers out at random while the network is trained, so that no unit relies on another one.

    .. math:: y = \frac{m x}{1 - \text{rate}}, \qquad m \sim \text{Bernoulli}(1 - \text{rate})

    with an m of its own for each number, in each step. The division keeps the mean as it is, so elsewhere there is
    nothing to be done: `Network.predict`, `evaluate`, `loss_and_gradients`, `forward` and the loss of validation data
    have no dropout; steps of `Network.fit` and `Trainer` have.

    Parameters
    ----------
    rate : float
        The share of numbers that drop out, 0 <= rate < 1. With 0 nothing does.
    name : str, optional
        What the layer is called; by default its number.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range. A network that ends in Dropout is refused when it is made.

    Notes
    -----
    Who drops out is decided by the network's seed, the epochs it has been trained for, the step within the epoch (for a
    `Trainer`, its steps so far), the layer's number, the row in the batch and the unit; by nothing else. The same bits
    hence come of any number of threads and any instruction set with fused multiply-add, and float32 and float64
    networks drop out the same.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014,
    section 10.

    Examples
    --------
    >>> import deltarule as dr
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(32, "relu"), dr.Dropout(0.2), dr.Dense(1)], seed=0)
    >>> history = network.fit(X, y, loss="binary_cross_entropy", optimizer=dr.Adam(lr=0.03), epochs=300, batch_size=4)
    >>> (network.predict_proba(X) > 0.5).astype(int).ravel()
    array([0, 1, 1, 0])
    """

    type: ClassVar[str] = "dropout"

    rate: float
    _: KW_ONLY
    name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", require_number("rate", self.rate, least=0.0, below=1.0))
        check_name(self.name)

    def to_spec(self) -> dict[str, Any]:
        """The layer as a plain dict: what the core reads and a model file holds."""
        return {"type": self.type, **{field.name: getattr(self, field.name) for field in fields(self)}}
