"""Recurrent layers: a cell unrolled over the steps of sequences, trained by backpropagation through time.

The cells' formulas are in reference/cells.py, which is written to be read.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

from ..names import require_integer, require_number
from .names import ALIASES, check_learning, check_name

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent:
    """What the recurrent layers share; the parameters are described in each of them."""

    type: ClassVar[str]
    gates: ClassVar[int]
    units: int
    return_sequences: bool
    bidirectional: bool
    init: str
    recurrent_init: str
    l1: float
    l2: float
    trainable: bool
    lr_factor: float
    name: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", require_integer("units", self.units, least=1, most=2**31 - 1))
        for argument in ("return_sequences", "bidirectional"):
            if not isinstance(getattr(self, argument), bool):
                raise TypeError(f"{argument}={getattr(self, argument)!r}: expected True or False")
        for argument in ("init", "recurrent_init"):
            if not isinstance(getattr(self, argument), str):
                raise TypeError(f"{argument}={getattr(self, argument)!r}: expected a name, such as 'orthogonal'")
        for argument in ("l1", "l2"):
            object.__setattr__(self, argument, require_number(argument, getattr(self, argument), least=0.0))
        check_learning(self)
        check_name(self.name)

    @property
    def outputs(self) -> int:
        """How many numbers the layer gives for each sample or step."""
        return self.units * (2 if self.bidirectional else 1)

    def to_spec(self) -> dict[str, Any]:
        """The layer as a plain dict, with aliases resolved: what the core reads and a model file holds."""
        spec = {"type": self.type, **{field.name: getattr(self, field.name) for field in fields(self)}}  # type: ignore[arg-type]
        for argument in ("init", "recurrent_init"):
            spec[argument] = ALIASES.get(spec[argument], spec[argument])
        return spec


@dataclass(frozen=True)
class RNN(_Recurrent):
    r"""A simple recurrent layer: what it gave at the last step comes back as a second input.

    .. math:: h_t = f(x_t W_{ih} + b_{ih} + h_{t-1} W_{hh} + b_{hh})

    Parameters
    ----------
    units : int
        Number of units, at least 1.
    activation : {"tanh", "relu"}, default="tanh"
        f.
    return_sequences : bool, default=False
        Give h at every step, (n_samples, n_steps, units); else h after each sample's last step, (n_samples, units).
        Layers that follow are applied to every step, or to that one.
    bidirectional : bool, default=False
        A second set of weights reads the sequence from its end; its h stands beside the first one's, so that the layer
        gives 2 · units numbers. Without return_sequences it is its h after the first step.
    init : str, default="auto"
        How weight_ih starts: "auto" is torch's, all weights and biases uniform in ±1/√units. Another name of `Dense`
        is applied with the fans (inputs, units), and biases start at 0.
    recurrent_init : str, default="auto"
        How weight_hh starts: "auto" is uniform in ±1/√units; "orthogonal" keeps what comes back from growing or
        shrinking at first.
    l1, l2 : float, default=0.0
        Penalties l1 Σ|W| and ½ l2 ΣW² on weight_ih and weight_hh, not on biases; at least 0.
    trainable : bool, default=True
        False freezes the layer: training leaves its tensors as they are; see `Network.freeze`.
    lr_factor : float, default=1.0
        Multiplies the learning rate for this layer's tensors; at least 0.
    name : str, optional
        Names the tensors; by default the number of the layer does.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    Notes
    -----
    Tensors: weight_ih (inputs, units), weight_hh (units, units), bias_ih and bias_hh (units,): torch's, transposed; for
    the reverse direction with the ending "_reverse". `deltarule.from_torch_state_dict` converts.

    References
    ----------
    J. Elman, "Finding structure in time", Cognitive Science 14, 1990. P. Werbos, "Backpropagation through time: what it
    does and how to do it", Proceedings of the IEEE 78, 1990.

    Examples
    --------
    The parity of all bits so far, at every step:

    >>> import deltarule as dr
    >>> X, y = dr.datasets.parity(256, n_bits=8)
    >>> network = dr.Network([dr.RNN(16, return_sequences=True), dr.Dense(1)], input_shape=(None, 1))
    >>> history = network.fit(X, y, loss="binary_cross_entropy", optimizer=dr.Adam(lr=0.01), epochs=100, clip_norm=1.0)
    >>> round(network.evaluate(X, y, metrics=["accuracy"])["accuracy"], 2)
    1.0
    """

    type: ClassVar[str] = "rnn"
    gates: ClassVar[int] = 1

    units: int
    activation: str = "tanh"
    _: KW_ONLY
    return_sequences: bool = False
    bidirectional: bool = False
    init: str = "auto"
    recurrent_init: str = "auto"
    l1: float = 0.0
    l2: float = 0.0
    trainable: bool = True
    lr_factor: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in ("tanh", "relu"):
            kind = ValueError if isinstance(self.activation, str) else TypeError
            raise kind(f"activation={self.activation!r}: a recurrent layer takes 'tanh' or 'relu'")


@dataclass(frozen=True)
class LSTM(_Recurrent):
    r"""Long short-term memory: a cell that keeps what its gates tell it to keep.

    .. math::
        i, f, o = \sigma(x_t W_{ih} + b_{ih} + h_{t-1} W_{hh} + b_{hh}), \qquad g = \tanh(\ldots)

        c_t = f c_{t-1} + i g, \qquad h_t = o \tanh c_t

    with columns of their own for each of the four gates.

    Parameters
    ----------
    units, return_sequences, bidirectional, init, recurrent_init, l1, l2, trainable, lr_factor, name
        As in `RNN`; named initializers are applied gate by gate.
    forget_bias : float, optional
        What the forget gate's bias starts with (bias_ih; that of bias_hh is then 0). 1.0 lets the cell remember from
        the start on. None: as the other biases, as in torch.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    Notes
    -----
    Gates stand side by side in the order i, f, g, o: weight_ih (inputs, 4 · units), weight_hh (units, 4 · units),
    bias_ih and bias_hh (4 · units,). Keras adds 1 to the forget gate's bias by default, torch does not.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997. F. Gers, J. Schmidhuber and
    F. Cummins, "Learning to forget", Neural Computation 12, 2000. R. Jozefowicz et al., "An empirical exploration of
    recurrent network architectures", ICML 2015 (the bias of 1).

    Examples
    --------
    >>> import deltarule as dr
    >>> network = dr.Network([dr.LSTM(8, return_sequences=True), dr.LSTM(8), dr.Dense(3)], input_shape=(None, 2))
    >>> network.predict([[[0.0, 1.0]] * 5] * 4).shape
    (4, 3)
    """

    type: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4

    units: int
    _: KW_ONLY
    return_sequences: bool = False
    bidirectional: bool = False
    init: str = "auto"
    recurrent_init: str = "auto"
    forget_bias: float | None = None
    l1: float = 0.0
    l2: float = 0.0
    trainable: bool = True
    lr_factor: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.forget_bias is not None:
            bias = require_number("forget_bias", self.forget_bias, least=-math.inf)
            object.__setattr__(self, "forget_bias", bias)


@dataclass(frozen=True)
class GRU(_Recurrent):
    r"""A gated recurrent unit: two gates decide what is forgotten and what is taken over.

    .. math::
        r, z = \sigma(x_t W_{ih} + b_{ih} + h_{t-1} W_{hh} + b_{hh})

        n = \tanh(x_t W_{in} + b_{in} + r (h_{t-1} W_{hn} + b_{hn})), \qquad h_t = (1 - z) n + z h_{t-1}

    Parameters
    ----------
    units, return_sequences, bidirectional, init, recurrent_init, l1, l2, trainable, lr_factor, name
        As in `RNN`; named initializers are applied gate by gate.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    Notes
    -----
    Gates stand side by side in the order r, z, n: weight_ih (inputs, 3 · units), weight_hh (units, 3 · units), bias_ih
    and bias_hh (3 · units,). The reset gate acts after the product, as in torch and cuDNN (and in Keras's default);
    in the paper it acts before.

    References
    ----------
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    EMNLP 2014.

    Examples
    --------
    >>> import deltarule as dr
    >>> network = dr.Network([dr.GRU(8, bidirectional=True), dr.Dense(1)], input_shape=(None, 2))
    >>> network.predict([[[0.0, 1.0]] * 5] * 4).shape
    (4, 1)
    """

    type: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3

    units: int
    _: KW_ONLY
    return_sequences: bool = False
    bidirectional: bool = False
    init: str = "auto"
    recurrent_init: str = "auto"
    l1: float = 0.0
    l2: float = 0.0
    trainable: bool = True
    lr_factor: float = 1.0
    name: str | None = None
