"""What a layer makes of its number of inputs: its outputs, and the shapes of its tensors by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .batch_norm import BatchNorm
from .dense import Dense
from .layer_norm import LayerNorm
from .recurrent import GRU, LSTM, RNN

if TYPE_CHECKING:
    from . import Layer

__all__ = ["outputs_of", "tensor_shapes"]


def outputs_of(layer: Layer, inputs: int) -> int:
    """How many numbers the layer gives for each row."""
    if isinstance(layer, Dense):
        return layer.units
    return layer.outputs if isinstance(layer, (RNN, LSTM, GRU)) else inputs


def tensor_shapes(layer: Layer, inputs: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the layer's tensors, by their names without the layer's own."""
    if isinstance(layer, Dense):
        return {"weight": (inputs, layer.units), **({"bias": (layer.units,)} if layer.use_bias else {})}
    if isinstance(layer, LayerNorm):
        return {"weight": (inputs,), "bias": (inputs,)}
    if isinstance(layer, BatchNorm):
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (inputs,))
    if not isinstance(layer, (RNN, LSTM, GRU)):
        return {}
    columns = layer.gates * layer.units
    return {
        f"{name}{ending}": shape
        for ending in (("", "_reverse") if layer.bidirectional else ("",))
        for name, shape in (
            ("weight_ih", (inputs, columns)),
            ("weight_hh", (layer.units, columns)),
            ("bias_ih", (columns,)),
            ("bias_hh", (columns,)),
        )
    }
