"""The network: its structure (structure.py), training and answers (network.py; loop.py crosses into the core)."""

from __future__ import annotations

from .network import Network
from .structure import isa, isas, vocabulary

__all__ = ["Network", "isa", "isas", "vocabulary"]
