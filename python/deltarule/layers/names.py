"""What all layers share: aliases of names, what a layer may be called, whether and how fast it learns."""

from __future__ import annotations

from typing import Any

from ..names import require_number

__all__ = ["ALIASES", "check_learning", "check_name"]

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


def check_name(name: Any) -> None:
    """Refuse what cannot be the first part of a tensor's name."""
    if name is None:
        return
    if not isinstance(name, str):
        raise TypeError(f"name={name!r}: expected a string")
    if not name or name.isdigit() or "." in name or not name.isprintable():
        raise ValueError(
            f"name={name[:100]!r}: expected a name without dots that is no number and can be printed, such as 'hidden'"
        )


def check_learning(layer: Any) -> None:
    """Refuse what `trainable` and `lr_factor` cannot be."""
    if not isinstance(layer.trainable, bool):
        raise TypeError(f"trainable={layer.trainable!r}: expected True or False")
    object.__setattr__(layer, "lr_factor", require_number("lr_factor", layer.lr_factor, least=0.0))
