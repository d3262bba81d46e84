"""What a network is made of, checked: its layers, input shape and dtype, and the variances that it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..layers import BatchNorm, Dense, Layer, Recurrent
from ..names import did_you_mean, require_integer

__all__ = ["checked_dtype", "checked_layers", "checked_shape", "refuse_batch_norm", "require_variances"]


def checked_layers(layers: Any, words: Mapping[str, Any]) -> tuple[Layer, ...]:
    """Layers that fit together, with no names that the core does not know."""
    if isinstance(layers, Layer):
        layers = [layers]
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise TypeError(f"layers={layers!r}: expected a list of layers, such as [deltarule.Dense(10)]")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers holds {layer!r}: expected layers such as deltarule.Dense(10, 'relu')")
    if not layers:
        raise ValueError("layers=[]: a network needs at least one layer, such as deltarule.Dense(1)")
    if not isinstance(layers[-1], Dense):
        raise ValueError(
            f"{layers[-1]!r} is the last layer: end in Dense, whose units are the outputs, such as deltarule.Dense(1)"
        )
    if any(isinstance(layer, Recurrent) for layer in layers):
        refuse_batch_norm(layers, "the network has recurrent layers, which read sequences")
    for number, layer in enumerate(layers):
        _check_names(number, layer, words)
    return tuple(layers)


def _check_names(number: int, layer: Layer, words: Mapping[str, Any]) -> None:
    spec = layer.to_spec()
    names = words["initializers"]
    for argument, known in (("activation", words["activations"]), ("init", names), ("recurrent_init", names)):
        if argument in spec and spec[argument] not in known:
            raise ValueError(
                f"layer {number} has {argument}={getattr(layer, argument)!r}, which is unknown: "
                f"{did_you_mean(spec[argument], known)}"
            )


def refuse_batch_norm(layers: Sequence[Layer], why: str) -> None:
    """A network that reads sequences has no BatchNorm; why: what makes it one."""
    for number, layer in enumerate(layers):
        if isinstance(layer, BatchNorm):
            raise ValueError(
                f"layer {number} is {layer!r}, but {why}: statistics of a batch are not defined for their steps; use "
                "LayerNorm, which normalizes each step by itself"
            )


def checked_dtype(dtype: npt.DTypeLike, known: Mapping[str, Any]) -> np.dtype[Any]:
    """One of those that the core has."""
    try:
        result = np.dtype(dtype)
    except TypeError:
        result = None
    if result is None or result.name not in known or not result.isnative:
        raise ValueError(f"dtype={dtype!r}: expected 'float32' or 'float64'")
    return result


def checked_shape(layers: Sequence[Layer], input_shape: Any) -> int | tuple[int | None, int]:
    """The number of features, or of sequences (n_steps or None, n_features), as the layers read them."""
    shape = _read_shape(input_shape)
    if isinstance(shape, int) and any(isinstance(layer, Recurrent) for layer in layers):
        raise ValueError(
            f"input_shape={input_shape!r}: recurrent layers read sequences; give input_shape=(n_steps, {shape}), "
            f"or (None, {shape}) for any number of steps"
        )
    if isinstance(shape, tuple):
        refuse_batch_norm(layers, f"input_shape={input_shape!r} is that of sequences")
    return shape


def _read_shape(input_shape: Any) -> int | tuple[int | None, int]:
    most = 2**31 - 1
    if not isinstance(input_shape, (tuple, list)):
        return require_integer("input_shape", input_shape, least=1, most=most)
    if len(input_shape) not in (1, 2):
        raise ValueError(
            f"input_shape={input_shape!r}: expected the number of features, such as 784 or (784,), or of sequences "
            "(n_steps, n_features), such as (50, 8) or (None, 8)"
        )
    last = len(input_shape) - 1
    features = require_integer(f"input_shape[{last}]", input_shape[last], least=1, most=most)
    if len(input_shape) == 1:
        return features
    steps = input_shape[0]
    return (None if steps is None else require_integer("input_shape[0]", steps, least=1, most=most)), features


def require_variances(name: str, array: npt.NDArray[Any]) -> None:
    """Refuse what has no square root."""
    if (array < 0).any():
        place = int((array < 0).argmax())
        raise ValueError(f"{name} has {array[place]} at place {place}: a variance is at least 0")
