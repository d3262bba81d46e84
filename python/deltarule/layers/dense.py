"""The fully connected layer. Names of activations and initializers are checked when a Network is made."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

from ..names import require_number
from .names import ALIASES, check_learning, check_name

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense:
    r"""A fully connected layer: every unit sees every input.

    .. math:: z = x W + b, \qquad a = f(z)

    with the weight W of shape (inputs, units), the bias b of shape (units,) and the activation f.

    Parameters
    ----------
    units : int
        Number of units, at least 1.
    activation : str, default="identity"
        identity (or linear), sigmoid (logistic), tanh, relu, leaky_relu (slope 0.01), elu, selu, gelu (erf form),
        gelu_tanh, silu (swish), mish, softplus, softsign, hard_sigmoid, hard_tanh, hard_swish, exp, sine; softmax in
        the last layer only.
    use_bias : bool, default=True
        Without it, z = x W.
    init : str, default="auto"
        How the weight starts: glorot_uniform, glorot_normal (or xavier_…), he_uniform, he_normal (kaiming_…),
        lecun_uniform, lecun_normal, orthogonal, uniform (in ±0.05), normal (deviation 0.05), zeros. "auto" is
        he_uniform for the relu family, glorot_uniform otherwise. Biases start at 0.
    l1, l2 : float, default=0.0
        Penalties l1 Σ|W| and ½ l2 ΣW², added to the loss; of the weight, not of the bias; at least 0.
    trainable : bool, default=True
        False freezes the layer: training leaves its tensors as they are; see `Network.freeze`.
    lr_factor : float, default=1.0
        Multiplies the learning rate for this layer's tensors; at least 0.
    name : str, optional
        Names the tensors "<name>.weight" and "<name>.bias"; by default the number of the layer does.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range. Unknown names of activations and initializers are refused when
        the network is made.

    Examples
    --------
    >>> layer = Dense(3, "tanh", l2=1e-4)
    >>> layer.units, layer.activation, layer.l2
    (3, 'tanh', 0.0001)
    """

    type: ClassVar[str] = "dense"

    units: int
    activation: str = "identity"
    _: KW_ONLY
    use_bias: bool = True
    init: str = "auto"
    l1: float = 0.0
    l2: float = 0.0
    trainable: bool = True
    lr_factor: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.units, bool) or not hasattr(self.units, "__index__"):
            raise TypeError(f"units={self.units!r}: expected an integer, the number of units of the layer")
        units = self.units.__index__()
        if not 1 <= units < 2**31:
            raise ValueError(f"units={self.units!r}: expected at least 1 and less than 2**31")
        object.__setattr__(self, "units", units)
        for argument, default in (("activation", "tanh"), ("init", "auto")):
            value = getattr(self, argument)
            if not isinstance(value, str):
                raise TypeError(f"{argument}={value!r}: expected a name, such as {default!r}")
        if not isinstance(self.use_bias, bool):
            raise TypeError(f"use_bias={self.use_bias!r}: expected True or False")
        for argument in ("l1", "l2"):
            value = require_number(argument, getattr(self, argument), least=0.0)
            object.__setattr__(self, argument, value)
        check_learning(self)
        check_name(self.name)

    @property
    def activation_name(self) -> str:
        """The activation by the name that the core knows it by."""
        return ALIASES.get(self.activation, self.activation)

    def to_spec(self) -> dict[str, Any]:
        """The layer as a plain dict, with aliases resolved: what the core reads and a model file holds."""
        spec = {"type": self.type, **{field.name: getattr(self, field.name) for field in fields(self)}}
        spec["activation"] = self.activation_name
        spec["init"] = ALIASES.get(self.init, self.init)
        return spec
