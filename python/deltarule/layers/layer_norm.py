"""Layer normalization: mean 0 and variance 1 over the features of each row, then a weight and a bias that learn."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

from ..names import require_number
from .names import check_learning, check_name

__all__ = ["LayerNorm"]


@dataclass(frozen=True)
class LayerNorm:
    r"""Normalizes each row over its features, so that deep networks learn whatever the scale of what they are given.

    .. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \text{eps}}} w + b, \qquad
        \mu = \frac{1}{n} \sum_i x_i, \qquad \sigma^2 = \frac{1}{n} \sum_i (x_i - \mu)^2

    with the n features x of one row, and the weight w and the bias b, both of shape (n,), which start at 1 and 0. A row
    knows nothing of the other rows of its batch, so training and prediction are the same.

    Parameters
    ----------
    eps : float, default=1e-5
        Added to the variance, so that rows of one number throughout give the bias; above 0, and no smaller than the
        smallest normal number of the network's dtype.
    trainable : bool, default=True
        False freezes the layer: training leaves its tensors as they are; see `Network.freeze`.
    lr_factor : float, default=1.0
        Multiplies the learning rate for this layer's tensors; at least 0.
    name : str, optional
        Names the tensors "<name>.weight" and "<name>.bias"; by default the number of the layer does.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range. A network that ends in LayerNorm is refused when it is made.

    Notes
    -----
    The variance is that of the n features themselves, divided by n and not n - 1, as in torch. Its deviations are taken
    from a mean that is exact beyond its last digit: a small variance beside a large mean keeps its digits, in float32
    too. Rows whose squares no float holds, from about 1e19 on in float32, are normalized just as well.

    The penalties l1 and l2 of other layers do not act on weight and bias here, but `AdamW`'s weight_decay does, as on
    all parameters.

    References
    ----------
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450, 2016, equations 3 and 4.

    Examples
    --------
    >>> import deltarule as dr
    >>> network = dr.Network([dr.LayerNorm(), dr.Dense(2, use_bias=False)], input_shape=2, dtype="float64")
    >>> network.load_state_dict({**network.state_dict(), "1.weight": [[1.0, 0.0], [0.0, 1.0]]})
    >>> network.predict([[1.0, 3.0], [1e6, 3e6], [5.0, 5.0]]).round(3) + 0.0
    array([[-1.,  1.],
           [-1.,  1.],
           [ 0.,  0.]])
    """

    type: ClassVar[str] = "layer_norm"

    eps: float = 1e-5
    _: KW_ONLY
    trainable: bool = True
    lr_factor: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", require_number("eps", self.eps, above=0.0))
        check_learning(self)
        check_name(self.name)

    def to_spec(self) -> dict[str, Any]:
        """The layer as a plain dict: what the core reads and a model file holds."""
        return {"type": self.type, **{field.name: getattr(self, field.name) for field in fields(self)}}
