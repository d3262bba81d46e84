"""What targets say of classes: one of several for each sample, or yes and no for each output."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_labels"]

Array = npt.NDArray[Any]


def read_labels(metric: str, output: Array, targets: Array, kind: str) -> tuple[Array, float | None]:
    """(class of each sample, None), or (True and False for each output, the number that divides the outputs).

    Classes are indices, or rows of one-hot or (with cross-entropy) other probabilities, of which the largest counts.
    Everything else is a label for each output: probabilities and signs, and of plain numbers those that are 0 or 1.
    """
    outputs = output.shape[1]
    if targets.ndim == 1 and outputs > 1:
        return (targets if kind == "classes" else _indices(metric, targets, outputs)), None
    targets = targets.reshape(-1, 1) if targets.ndim == 1 else targets
    if targets.shape != output.shape:  # as they may be with a loss of the user's
        raise ValueError(f"{metric} needs targets of shape {output.shape} or class indices: these have {targets.shape}")
    zeros_and_ones = bool(((targets == 0) | (targets == 1)).all())
    if kind == "classes" or (outputs > 1 and zeros_and_ones and bool((targets.sum(axis=1) == 1).all())):
        return targets.argmax(axis=1), None
    if kind == "signs":
        return targets > 0, 0.0
    if kind == "probabilities" or (kind == "values" and zeros_and_ones):
        return targets > 0.5, 0.5
    raise ValueError(f"{metric} needs classes: these targets are numbers; use metrics=['r2'] or ['mae']")


def _indices(metric: str, targets: Array, outputs: int) -> Array:
    """Class indices that no loss of ours has checked."""
    if targets.dtype.kind in "biuf" and bool(((targets >= 0) & (targets < outputs)).all()):
        indices = targets.astype(np.intp)
        if (indices == targets).all():
            return indices
    raise ValueError(f"{metric} needs class indices from 0 to {outputs - 1}, or a column of targets for each output")
