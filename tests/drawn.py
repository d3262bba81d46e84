"""What the tests of pictures look at: colours, points, and figures that are drawn to the end."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt


def render(axes: Any) -> bytes:
    """The figure as an image; a warning on the way is an error."""
    file = io.BytesIO()
    axes.figure.savefig(file, format="png", dpi=40)
    return file.getvalue()


def points(collection: Any) -> npt.NDArray[np.float64]:
    """Where the points of a scatter stand."""
    return np.asarray(collection.get_offsets())


def labelled(axes: Any) -> dict[str, Any]:
    """Scatters by their labels."""
    return {each.get_label(): each for each in axes.collections if not each.get_label().startswith("_")}


def places_of(image: Any) -> npt.NDArray[np.float64]:
    """The middles of an image's cells, row by row from below, of shape (n_cells, 2)."""
    rows, columns = image.get_array().shape
    left, right, bottom, top = image.get_extent()
    across = left + (np.arange(columns) + 0.5) / columns * (right - left)
    up = bottom + (np.arange(rows) + 0.5) / rows * (top - bottom)
    return np.stack([place.ravel() for place in np.meshgrid(across, up)], axis=1)
