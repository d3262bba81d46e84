"""What a model answers around its data: regions of classes, contours of a number, or a curve over one feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..data import as_matrix
from ..names import require_integer
from .answers_to_draw import Answers, answers_of
from .canvas import BLUE, GREY, as_it_is, class_colours, lighter, new_figure, require_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_decision_boundary"]

Array = npt.NDArray[Any]

_MARGIN = 0.06  # of the range of the data, on each side
_MOST_NAMES = 12  # of classes in a legend
_AT_ONCE = 2**22  # numbers that a model is given


def plot_decision_boundary(
    network: Any,
    X: Any,
    y: Any,
    *,
    ax: Any = None,
    features: tuple[int, int] | int | None = None,
    resolution: int = 200,
) -> Axes:
    """Draw what a network answers in the plane of two features, and the points that it was given.

    For two classes the colour deepens with the probability, and a line shows where it is ½; for hinge losses lines
    show where the output is -1, 0 and 1; of more classes each place has the colour of its class; of numbers there are
    filled contours, and the points are filled with the colour of their y. Over one feature there are curves.

    Parameters
    ----------
    network : Network, or an estimator of scikit-learn's kind
        Its last fit's loss decides what is drawn. An estimator has predict, and classes_ if it classifies.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,), (n_samples, 1) or one-hot (n_samples, n_classes)
        As in `Network.fit`.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure, with a colour bar for numbers and probabilities.
    features : pair of int, or int, optional
        Which columns of X are varied; the others stay at their mean. Needed where X has more than two.
    resolution : int, default=200
        How many places there are along each feature, 2 to 4000.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        X has more than two columns and features are not chosen, y is not as the network has it, or a bad argument.

    Examples
    --------
    >>> import deltarule as dr
    >>> from deltarule.drawing import plot_decision_boundary
    >>> X, y = dr.datasets.two_spirals()
    >>> network = dr.Network([dr.Dense(32, "silu"), dr.Dense(32, "silu"), dr.Dense(1)])
    >>> history = network.fit(X, y, loss="binary_cross_entropy", optimizer=dr.Adam(0.01), epochs=300)
    >>> axes = plot_decision_boundary(network, X, y)  # doctest: +SKIP
    >>> axes.figure.savefig("spirals.png")  # doctest: +SKIP
    """
    if isinstance(getattr(network, "input_shape", None), tuple):
        raise ValueError("the network reads sequences: plot_decision_boundary draws networks whose X has rows")
    points = as_matrix(X, np.float64)
    resolution = require_integer("resolution", resolution, least=2, most=4000)
    varied = _varied(features, points.shape[1])
    answers = answers_of(network, y, len(points))
    names = [as_it_is(name) for name in getattr(X, "columns", [])] or [f"feature {n}" for n in range(points.shape[1])]
    places = [_places(points[:, column], resolution) for column in varied]
    given = None if ax is None else require_axes(ax)
    ask = answers.curves if len(varied) == 1 else answers.ask
    answered = _ask(ask, X, points.mean(axis=0), varied, places)

    axes = given or new_figure("plot_decision_boundary", (5.6, 4.6)).add_subplot()
    axes.set_xlabel(names[varied[0]])
    if len(varied) == 1:
        _draw_curves(axes, answers, places[0], answered, points[:, varied[0]])
        return axes
    axes.set_ylabel(names[varied[1]])
    drawn = _draw_region(axes, answers, places, answered.reshape(resolution, resolution))
    _draw_points(axes, answers, points[:, varied[0]], points[:, varied[1]], drawn)
    if given is None and answers.kind != "class":
        extend = "both" if answers.kind == "margin" else "neither"
        axes.figure.colorbar(drawn, ax=axes, label=as_it_is(answers.of_curves), extend=extend)
    return axes


def _ask(ask: Any, X: Any, mean: Array, varied: list[int], places: list[Array]) -> Array:
    """The answers for all combinations of the places, some at a time; features that do not vary are at their mean."""
    points = np.stack([place.ravel() for place in np.meshgrid(*places)], axis=1)
    step = max(_AT_ONCE // len(mean), 1)
    answered = []
    for start in range(0, len(points), step):
        grid: Any = np.tile(mean, (len(points[start : start + step]), 1))
        grid[:, varied] = points[start : start + step]
        if hasattr(X, "iloc"):  # pandas: estimators compare the names
            grid = type(X)(grid, columns=X.columns)
        answered.append(ask(grid))
    return np.concatenate(answered)


def _varied(features: Any, n_features: int) -> list[int]:
    if features is None:
        if n_features > 2:
            raise ValueError(
                f"X has {n_features} features and a picture two: choose them, such as features=(0, 1); the others stay "
                "at their mean"
            )
        return list(range(n_features))
    chosen = list(features) if isinstance(features, (tuple, list)) else [features]
    varied = [require_integer("features", column, least=0, most=n_features - 1) for column in chosen]
    if len(varied) not in (1, 2) or len(set(varied)) < len(varied):
        raise ValueError(f"features={features!r}: expected one or two different columns of X, such as (0, 1)")
    return varied


def _places(values: Array, count: int) -> Array:
    """The middles of equal cells that cover the values, and some more on both sides."""
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low) or 0.5 * max(abs(low), 1.0)
    low, high = low - margin, high + margin
    return low + (np.arange(count) + 0.5) / count * (high - low)


def _ends(places: Array) -> tuple[float, float]:
    """The outer edges of the cells whose middles these are."""
    half = (places[1] - places[0]) / 2
    return float(places[0] - half), float(places[-1] + half)


def _draw_region(axes: Axes, answers: Answers, places: list[Array], region: Array) -> Any:
    """Colours for all places; what a colour bar needs is returned."""
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap
    from matplotlib.ticker import MaxNLocator

    if answers.kind == "value":
        numbers = np.concatenate([region.ravel(), answers.targets])
        low, high = float(numbers.min()), float(numbers.max())
        if not low < high:
            low, high = low - 0.5, high + 0.5
        return axes.contourf(*places, region, levels=MaxNLocator(14).tick_values(low, high), cmap="viridis")
    colours = class_colours(len(answers.names))
    if answers.kind == "class":
        colour_map: Any = ListedColormap([lighter(colour, 0.55) for colour in colours])
        bounds = (-0.5, len(colours) - 0.5)
    else:
        # Never as dark as the points, which must stand out
        shades: list[Any] = [lighter(colours[0], 0.35), "white", lighter(colours[1], 0.35)]
        colour_map = LinearSegmentedColormap.from_list("classes", shades)
        bounds = (0.0, 1.0) if answers.kind == "probability" else (-1.5, 1.5)
    (left, right), (bottom, top) = (_ends(axis) for axis in places)
    image = axes.imshow(
        region,
        origin="lower",
        aspect="auto",
        extent=(left, right, bottom, top),
        cmap=colour_map,
        vmin=bounds[0],
        vmax=bounds[1],
        interpolation="nearest",
    )
    lines = {"probability": (0.5,), "margin": (-1.0, 0.0, 1.0)}.get(answers.kind, ())
    crossed = [level for level in lines if region.min() < level < region.max()]
    if crossed:
        styles = ["solid" if level in (0.0, 0.5) else "dashed" for level in crossed]
        axes.contour(*places, region, levels=crossed, colors="black", linewidths=0.9, linestyles=styles)
    return image


def _draw_points(axes: Axes, answers: Answers, across: Array, up: Array, drawn: Any) -> None:
    size = float(np.clip(6000 / len(across), 5, 30))
    edge: dict[str, Any] = {"s": size, "edgecolors": "white", "linewidths": 0.6, "zorder": 3}
    if answers.kind == "value":
        axes.scatter(across, up, c=answers.targets, cmap=drawn.get_cmap(), norm=drawn.norm, **edge)
        return
    for index, (name, colour) in enumerate(zip(answers.names, class_colours(len(answers.names)), strict=True)):
        chosen = answers.targets == index
        axes.scatter(across[chosen], up[chosen], color=[colour], label=f"class {as_it_is(name)}", **edge)
    _name_classes(axes, answers)


def _draw_curves(axes: Axes, answers: Answers, place: Array, curves: Array, values: Array) -> None:
    """The answers over one feature, and the points at their y, or at 1 where each class has a curve."""
    size = float(np.clip(6000 / len(values), 5, 30))
    axes.set_ylabel(as_it_is(answers.of_curves))
    if answers.kind == "value":
        axes.scatter(values, answers.targets, color=[lighter(GREY, 0.4)], s=size)
        axes.plot(place, curves[:, 0], color=BLUE, linewidth=2)
        return
    colours = class_colours(len(answers.names))
    one = curves.shape[1] == 1
    for index in range(curves.shape[1]):
        axes.plot(place, curves[:, index], color="black" if one else colours[index])
    bottom, top = (-1.0, 1.0) if answers.kind == "margin" else (0.0, len(colours) - 1.0 if one else 1.0)
    for index, (name, colour) in enumerate(zip(answers.names, colours, strict=True)):
        chosen = values[answers.targets == index]
        height = bottom + (top - bottom) * index / (len(colours) - 1) if one else top
        label = f"class {as_it_is(name)}"
        axes.scatter(chosen, np.full(len(chosen), height), color=[colour], s=size, label=label, zorder=3)
    for level in {"probability": (0.5,), "margin": (-1.0, 0.0, 1.0)}.get(answers.kind, ()):
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle="dashed")
    _name_classes(axes, answers)


def _name_classes(axes: Axes, answers: Answers) -> None:
    """A legend above the picture, where it covers nothing."""
    if len(answers.names) <= _MOST_NAMES:
        columns = min(len(answers.names), 4)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, borderaxespad=0.2)
