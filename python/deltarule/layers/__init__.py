"""Layers as a user writes them: frozen values that say what a network is made of.

To add a layer type: its dataclass in a file here, with a row in LAYERS; its twin in reference/; its C++ file in
cpp/layers/ with a row in registry.cpp. Names of activations and initializers come from the core and are checked when a
Network is made.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .batch_norm import BatchNorm
from .dense import Dense
from .dropout import Dropout
from .layer_norm import LayerNorm
from .names import ALIASES
from .recurrent import GRU, LSTM, RNN
from .shapes import outputs_of, tensor_shapes

__all__ = [
    "ALIASES",
    "GRU",
    "LAYERS",
    "LSTM",
    "RNN",
    "BatchNorm",
    "Dense",
    "Dropout",
    "Layer",
    "LayerNorm",
    "Recurrent",
    "layer_from_spec",
    "outputs_of",
    "tensor_shapes",
]

Recurrent = RNN | LSTM | GRU
Layer = Dense | Dropout | LayerNorm | BatchNorm | Recurrent
LAYERS: dict[str, type[Layer]] = {layer.type: layer for layer in (Dense, Dropout, LayerNorm, BatchNorm, RNN, LSTM, GRU)}


def layer_from_spec(spec: Any) -> Layer:
    """The layer that `to_spec` has described; ValueError where the dict says anything else."""
    if not isinstance(spec, dict):
        raise ValueError(f"a layer of the spec is {spec!r}: expected a dict")
    arguments = dict(spec)
    kind = arguments.pop("type", None)
    if kind in LAYERS and {"trainable", "lr_factor"} <= {field.name for field in fields(LAYERS[kind])}:
        arguments = {"trainable": True, "lr_factor": 1.0, **arguments}  # which files of version 0.1 do not have
    if kind not in LAYERS:
        raise ValueError(
            f"the spec has a layer of type {kind!r}: expected one of {', '.join(LAYERS)}; was the file written by a "
            "newer version of deltarule?"
        )
    expected = {field.name for field in fields(LAYERS[kind])}
    if set(arguments) != expected:
        raise ValueError(f"a layer of the spec has the keys {sorted(map(str, arguments))}: expected {sorted(expected)}")
    return LAYERS[kind](**arguments)
