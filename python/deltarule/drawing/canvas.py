"""What every picture begins with: matplotlib, imported when it is needed, the Axes to draw into, and the colours.

The colours can be told apart by people who see fewer of them: M. Okabe and K. Ito, "Color universal design", 2008.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BLUE",
    "COLOURS",
    "GREY",
    "ORANGE",
    "as_it_is",
    "class_colours",
    "lighter",
    "new_figure",
    "require_axes",
    "wants_log",
]

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8AC00")
_LOGARITHMIC_FROM = 30.0  # greatest over least: from here on the smaller half of the numbers would lie on the axis


def new_figure(what: str, size: tuple[float, float]) -> Any:
    """A figure of pyplot's, so that notebooks and ``pyplot.show()`` know it; ImportError says how to get matplotlib."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(f'{what} needs matplotlib: pip install "deltarule[plot]"') from error
    return pyplot.figure(figsize=size, layout="constrained")


def require_axes(ax: Any) -> Axes:
    """The Axes that a caller wants to be drawn into, or TypeError."""
    if not hasattr(ax, "transAxes") or not hasattr(ax, "scatter"):
        step = "pass one of them, such as ax[0]" if isinstance(ax, np.ndarray) else "make one with figure.add_subplot()"
        raise TypeError(f"ax is {type(ax).__name__}: expected one Axes of matplotlib; {step}")
    axes: Axes = ax
    return axes


def as_it_is(name: object) -> str:
    r"""A name of the user's as a label: what stands between two $ would be read as mathematics.

    Examples
    --------
    >>> print(as_it_is("from $ to $"))
    from \$ to \$
    """
    return str(name).replace("$", r"\$")


def wants_log(columns: Iterable[Iterable[float]]) -> bool:
    """Whether numbers are all above 0 and far enough apart for a logarithmic axis; those not finite do not count.

    Examples
    --------
    >>> wants_log([[2.3, 0.7], [1.9, 0.01]]), wants_log([[2.3, 0.7]]), wants_log([[2.3, 0.0]])
    (True, False, False)
    """
    numbers = np.array([number for column in columns for number in column], np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return bool(numbers.size and numbers.min() > 0 and numbers.max() >= _LOGARITHMIC_FROM * numbers.min())


def lighter(colour: Any, share: float) -> tuple[float, float, float]:
    """A colour mixed with white: share 0 is the colour itself, 1 is white."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(colour)
    return red + (1 - red) * share, green + (1 - green) * share, blue + (1 - blue) * share


def class_colours(count: int) -> list[tuple[float, float, float]]:
    """A colour for each of so many classes; of more than eight they lie along the rainbow."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if count <= len(COLOURS):
        return [to_rgb(colour) for colour in COLOURS[:count]]
    places: npt.NDArray[np.float64] = np.linspace(0.02, 0.98, count)
    return [to_rgb(colormaps["turbo"](place)) for place in places]
