"""L-BFGS as a user writes it: an optimizer of whole data sets, which SciPy drives; see network/full_batch.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .names import require_integer
from .optimizer import Optimizer

__all__ = ["LBFGS"]


@dataclass(frozen=True)
class LBFGS(Optimizer):
    r"""Limited-memory BFGS on all samples at once, for small data and a loss that should become really small.

    .. math:: \theta \leftarrow \theta - \alpha H g

    with the gradient g of the loss of all samples, H an estimate of the inverse of its second derivatives from the last
    history_size steps and changes of g, and a step length α of a line search, so that there is no learning rate.

    Parameters
    ----------
    max_iter : int, default=200
        Iterations at most, at least 1; of each there is a row in the history, as of an epoch.
    tolerance_grad : float, default=1e-7
        The end is where no element of the gradient is larger; at least 0.
    tolerance_change : float, default=1e-9
        Or where an iteration lowers the loss L by no more than tolerance_change · max(L, 1); at least 0.
    history_size : int, default=100
        At least 1. Each costs two float64 numbers for each parameter; fewer make an iteration cheaper and worth less.

    Notes
    -----
    For `Network.fit`, which then leaves epochs and batch_size at their defaults: an iteration is an epoch and each
    looks at all samples, several times where the line search wants it. In the history "loss" is that of all samples
    after the iteration, and "lr" is 1. Not with dropout or batch normalization, whose loss changes from call to call,
    nor with clipping, truncated backpropagation through time or checkpoints.

    Names and defaults are torch's (but for max_iter, there 20 in a call of step); torch's own has by default no line
    search, and ends also where a step is shorter than tolerance_change. A step to where the loss is not finite is tried
    again with a shorter length. The results are the same bits for any n_threads; SciPy's sums may round otherwise on
    another machine.

    Needs SciPy: ``pip install 'deltarule[scipy]'``.

    References
    ----------
    D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming
    45 (1989) 503. The program: C. Zhu, R. H. Byrd, P. Lu and J. Nocedal, ACM Transactions on Mathematical Software 23
    (1997) 550, algorithm 778.

    Examples
    --------
    >>> import deltarule as dr
    >>> X, y = dr.datasets.xor("float64")
    >>> network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(1)], dtype="float64", seed=0)
    >>> history = network.fit(X, y, loss="binary_cross_entropy", optimizer=dr.LBFGS(max_iter=50))
    >>> history["loss"][-1] < 1e-6
    True
    """

    name: ClassVar[str] = "lbfgs"

    lr: float = field(default=1.0, init=False, repr=False)
    max_iter: int = 200
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9
    history_size: int = 100

    def __post_init__(self) -> None:
        for argument in ("max_iter", "history_size"):
            value = require_integer(argument, getattr(self, argument), least=1, most=2**31 - 1)
            object.__setattr__(self, argument, value)
        self._check("tolerance_grad", "tolerance_change", least=0.0)
