"""Which layers of a network learn, and how fast: changed between trainings, their weights as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..names import did_you_mean

if TYPE_CHECKING:
    from .network import Network

__all__ = ["change_layers", "require_something_to_train"]


def change_layers(network: Network, layers: tuple[int | str, ...], **changes: Any) -> None:
    """Replace fields of some layers, or of all that have weights where none is named."""
    names = [layer.name or str(number) for number, layer in enumerate(network.layers)]
    chosen = {_number_of(layer, names) for layer in layers}
    for number in chosen:
        if not hasattr(network.layers[number], "trainable"):
            raise ValueError(f"layer {names[number]} is {network.layers[number]!r}: it has nothing that could learn")
    changed = tuple(
        replace(layer, **changes) if (number in chosen if layers else hasattr(layer, "trainable")) else layer
        for number, layer in enumerate(network.layers)
    )
    if network._native is not None:
        learning = [(getattr(layer, "trainable", True), getattr(layer, "lr_factor", 1.0)) for layer in changed]
        network._native.set_learning(learning)  # which refuses it while the network is being trained
    network.layers = changed


def require_something_to_train(network: Network) -> None:
    """ValueError where all layers are frozen."""
    if not any(getattr(layer, "trainable", False) for layer in network.layers):
        raise ValueError("all layers are frozen: there is nothing to train; see Network.unfreeze")


def _number_of(layer: Any, names: list[str]) -> int:
    if isinstance(layer, str):
        if layer not in names:
            raise ValueError(f"the network has no layer {layer!r}: {did_you_mean(layer, names)}")
        return names.index(layer)
    if isinstance(layer, bool) or not hasattr(layer, "__index__"):
        raise TypeError(f"layer {layer!r} is {type(layer).__name__}: expected its number or its name")
    number = int(layer.__index__())
    if not -len(names) <= number < len(names):
        raise ValueError(f"the network has {len(names)} layers, and no layer {number}")
    return number % len(names)
