"""A plane in characters: what a network answers in each place, and the points it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["picture"]


def picture(
    answers: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]],
    points: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    columns: int = 60,
    rows: int = 30,
) -> str:
    """Draw the plane around some points.

    Parameters
    ----------
    answers : callable
        From points of shape (n, 2) to n truth values.
    points : ndarray of shape (n_points, 2)
    labels : ndarray of shape (n_points,)
        0 or 1.
    columns, rows : int
        A character is about twice as high as it is wide.

    Returns
    -------
    str
        ``rows`` lines: "#" and "." for the answers true and false, 1 and 0 for the points.

    Examples
    --------
    >>> import numpy as np
    >>> print(picture(lambda points: points[:, 0] < 0, np.array([[-1, -1], [1, 1]]), np.array([0, 1]), 8, 4))
    ####...1
    ####....
    ####....
    0###....
    """
    low, high = points.min(axis=0), points.max(axis=0)
    margin = (high - low) * 0.05 + 1e-9
    low, high = low - margin, high + margin
    across = low[0] + (np.arange(columns) + 0.5) / columns * (high[0] - low[0])
    down = high[1] - (np.arange(rows) + 0.5) / rows * (high[1] - low[1])
    places = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2).astype(np.float32)
    cells = np.where(answers(places), "#", ".").reshape(rows, columns)
    column = ((points[:, 0] - low[0]) / (high[0] - low[0]) * columns).astype(int).clip(0, columns - 1)
    row = ((high[1] - points[:, 1]) / (high[1] - low[1]) * rows).astype(int).clip(0, rows - 1)
    cells[row, column] = np.where(labels > 0, "1", "0")
    return "\n".join("".join(line) for line in cells)
