"""Layers as a user writes them: frozen values that say what a network is made of.

To add a layer type: its dataclass here, its twin in reference/layers.py, its C++ file in cpp/layers/ with a row in
registry.cpp. Names of activations and initializers come from the core and are checked when a Network is made.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

from .names import require_number

__all__ = ["ALIASES", "Dense", "Dropout", "Layer", "layer_from_spec"]

ALIASES = {
    "linear": "identity",
    "logistic": "sigmoid",
    "swish": "silu",
    "xavier": "glorot_uniform",
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "kaiming": "he_uniform",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
}


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
    name : str, optional
        Names the tensors "<name>.weight" and "<name>.bias"; by default the number of the layer does.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range. Unknown names of activations and initializers are refused when
        the network is made.

    Examples
    --------
    >>> Dense(3, "tanh")
    Dense(units=3, activation='tanh', use_bias=True, init='auto', l1=0.0, l2=0.0, name=None)
    """

    type: ClassVar[str] = "dense"

    units: int
    activation: str = "identity"
    _: KW_ONLY
    use_bias: bool = True
    init: str = "auto"
    l1: float = 0.0
    l2: float = 0.0
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
        _check_name(self.name)

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
        _check_name(self.name)

    def to_spec(self) -> dict[str, Any]:
        """The layer as a plain dict: what the core reads and a model file holds."""
        return {"type": self.type, **{field.name: getattr(self, field.name) for field in fields(self)}}


def _check_name(name: Any) -> None:
    if name is None:
        return
    if not isinstance(name, str):
        raise TypeError(f"name={name!r}: expected a string")
    if not name or name.isdigit() or "." in name:
        raise ValueError(f"name={name!r}: expected a name without dots that is no number, such as 'hidden'")


Layer = Dense | Dropout
LAYERS: dict[str, type[Layer]] = {Dense.type: Dense, Dropout.type: Dropout}


def layer_from_spec(spec: Any) -> Layer:
    """The layer that `to_spec` has described; ValueError where the dict says anything else."""
    if not isinstance(spec, dict):
        raise ValueError(f"a layer of the spec is {spec!r}: expected a dict")
    arguments = dict(spec)
    kind = arguments.pop("type", None)
    if kind not in LAYERS:
        raise ValueError(
            f"the spec has a layer of type {kind!r}: expected one of {', '.join(LAYERS)}; was the file written by a "
            "newer version of deltarule?"
        )
    expected = {field.name for field in fields(LAYERS[kind])}
    if set(arguments) != expected:
        raise ValueError(f"a layer of the spec has the keys {sorted(map(str, arguments))}: expected {sorted(expected)}")
    return LAYERS[kind](**arguments)
