"""Weights averaged over the steps of a training: less noise than those of the last step."""

from __future__ import annotations

from dataclasses import dataclass

from ..names import require_number

__all__ = ["EMA"]


@dataclass(frozen=True)
class EMA:
    r"""Ends a fit with an exponential moving average of the weights, which often generalizes better than the last ones.

    .. math:: a \leftarrow a + (1 - \text{decay}) (w - a)

    after each step; after the first one a = w. The steps go on from w. Validation, metrics, callbacks, and whoever has
    the network after the fit see a.

    Parameters
    ----------
    decay : float, default=0.999
        How much of the average is kept each step, in [0, 1): it is over some 1 / (1 - decay) steps.

    Raises
    ------
    TypeError, ValueError
        A decay of the wrong type or out of range.

    Notes
    -----
    As in torch's ``AveragedModel`` with ``get_ema_multi_avg_fn``, but for running statistics of `BatchNorm`, which are
    averaged, too. A further fit goes on from the average. Where a training diverges there is none: the network has the
    weights from the end of the last finite epoch.

    References
    ----------
    B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on Control and
    Optimization 30, 1992.

    Examples
    --------
    >>> import deltarule as dr
    >>> X, y = dr.datasets.two_spirals(seed=0)
    >>> network = dr.Network([dr.Dense(32, "tanh"), dr.Dense(1)], seed=0)
    >>> history = network.fit(X, y, loss="binary_cross_entropy", epochs=5, callbacks=[dr.EMA(0.99)])
    """

    decay: float = 0.999

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", require_number("decay", self.decay, least=0.0, below=1.0))
