"""Layers, each with the way forward and the way back; a file for each.

To add one, write a class with what Dropout has, and `parameters` if it learns; then put it into Layer and LAYERS below.
"""

from __future__ import annotations

from ..cells import CELLS
from .dense import Dense
from .dropout import Dropout
from .recurrent import Recurrent

__all__ = ["LAYERS", "Dense", "Dropout", "Layer", "Recurrent"]

Layer = Dense | Dropout | Recurrent
LAYERS: dict[str, type[Layer]] = {
    Dense.type: Dense,
    Dropout.type: Dropout,
    **dict.fromkeys(CELLS, Recurrent),
}
