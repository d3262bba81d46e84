"""Batch normalization: mean 0 and variance 1 of each feature over the batch, then a weight and a bias that learn."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

from ..names import require_number
from .names import check_learning, check_name

__all__ = ["BatchNorm"]


@dataclass(frozen=True)
class BatchNorm:
    r"""Normalizes each feature over the batch, so that layers above learn whatever the scale of those below.

    .. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \text{eps}}} w + b, \qquad
        \mu = \frac{1}{n} \sum_i x_i, \qquad \sigma^2 = \frac{1}{n} \sum_i (x_i - \mu)^2

    with the n values x that a feature has in the batch of a training step, and the weight w and the bias b of that
    feature, which start at 1 and 0. Each step moves what the layer keeps of all batches,

    .. math:: \mu_\text{running} \leftarrow (1 - m) \mu_\text{running} + m \mu, \qquad
        \sigma^2_\text{running} \leftarrow (1 - m) \sigma^2_\text{running} + m \frac{n}{n - 1} \sigma^2

    from 0 and 1 on, and these take the place of :math:`\mu` and :math:`\sigma^2` wherever nothing is trained: in
    `Network.predict`, `evaluate` and the loss of validation data, and in `loss_and_gradients` and `forward` unless
    they are asked for ``training=True``.

    Parameters
    ----------
    momentum : float, default=0.1
        m, the weight of a new batch in the running statistics; from 0 to 1.
    eps : float, default=1e-5
        Added to the variance, so that a feature that is constant over the batch gives the bias; above 0, and no smaller
        than the smallest normal number of the network's dtype.
    trainable : bool, default=True
        False freezes the layer, see `Network.freeze`: training leaves all its tensors as they are, and normalizes by
        the running statistics.
    lr_factor : float, default=1.0
        Multiplies the learning rate for weight and bias; at least 0.
    name : str, optional
        Names the tensors "<name>.weight", "<name>.bias", "<name>.running_mean" and "<name>.running_var"; by default
        the number of the layer does.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range. A network that ends in BatchNorm, or that reads sequences, is
        refused when it is made: there, use `LayerNorm`.

    Notes
    -----
    The formulas are those of torch's ``BatchNorm1d``. A batch of one sample, which torch refuses to train on, gives the
    bias: its deviations are 0, and its variance of 0 goes into the running one without n / (n - 1). Keras' momentum is
    1 - m, its eps 1e-3, and its running variance has no n / (n - 1); a frozen layer is as in Keras, where in torch
    ``requires_grad=False`` lets the statistics go on.

    The running statistics are in `Network.state_dict` and in files, but they are no `parameters`: they have no
    gradient, and neither optimizers nor weight decay, clipping and penalties touch them. A step that is interrupted or
    diverges leaves them as they were. sample_weight has no say in the statistics of a batch. Batches of very different
    size within a fit, such as a small last one, make them noisy: drop it, or choose a batch_size that divides the data.

    Sums over the batch are taken in double precision: a small variance beside a large mean keeps its digits, in float32
    too.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", arXiv:1502.03167, 2015, algorithms 1 and 2.

    Examples
    --------
    >>> import deltarule as dr
    >>> X, y = [[1.0], [3.0]], [0.0, 1.0]
    >>> network = dr.Network([dr.BatchNorm(), dr.Dense(1)], input_shape=1, dtype="float64")
    >>> history = network.fit(X, y, loss="mse", optimizer=dr.SGD(lr=0.1), epochs=1)
    >>> state = network.state_dict()
    >>> state["0.running_mean"], state["0.running_var"]  # 0.9 * 0 + 0.1 * 2, 0.9 * 1 + 0.1 * 2
    (array([0.2]), array([1.1]))
    """

    type: ClassVar[str] = "batch_norm"

    momentum: float = 0.1
    eps: float = 1e-5
    _: KW_ONLY
    trainable: bool = True
    lr_factor: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        momentum = require_number("momentum", self.momentum, least=0.0, most=1.0)
        object.__setattr__(self, "momentum", momentum)
        object.__setattr__(self, "eps", require_number("eps", self.eps, above=0.0))
        check_learning(self)
        check_name(self.name)

    def to_spec(self) -> dict[str, Any]:
        """The layer as a plain dict: what the core reads and a model file holds."""
        return {"type": self.type, **{field.name: getattr(self, field.name) for field in fields(self)}}
