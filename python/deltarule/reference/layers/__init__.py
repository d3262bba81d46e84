"""Layers, each with the way forward and the way back; a file for each.

To add one, write a class with what Dropout has, and `parameters` if it learns; then put it into Layer and LAYERS below.
"""

from __future__ import annotations

from ..cells import CELLS
from .batch_norm import BatchNorm
from .dense import Dense
from .dropout import Dropout
from .layer_norm import LayerNorm
from .recurrent import Recurrent

__all__ = ["LAYERS", "BatchNorm", "Dense", "Dropout", "Layer", "LayerNorm", "Recurrent"]

Layer = Dense | Dropout | LayerNorm | BatchNorm | Recurrent
LAYERS: dict[str, type[Layer]] = {
    Dense.type: Dense,
    Dropout.type: Dropout,
    LayerNorm.type: LayerNorm,
    BatchNorm.type: BatchNorm,
    **dict.fromkeys(CELLS, Recurrent),
}
