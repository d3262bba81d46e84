"""What all layers share of names: aliases of activations and initializers, and what a layer may be called."""

from __future__ import annotations

from typing import Any

__all__ = ["ALIASES", "check_name"]

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
    if not name or name.isdigit() or "." in name:
        raise ValueError(f"name={name!r}: expected a name without dots that is no number, such as 'hidden'")
