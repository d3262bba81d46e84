"""A network as a picture: units in columns, weights as lines between them; the drawing of `Network.plot`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers import Dense, Layer, Recurrent
from ..names import require_integer
from .canvas import BLUE, GREY, ORANGE, as_it_is, lighter, new_figure, require_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..network.answers import Answers

__all__ = ["plot_network"]

Array = npt.NDArray[Any]

_STEP, _BOX = 1.0, 0.45  # from column to column, and how much more for each box between them
_ARROW = 0.9  # room above or below the units for the arrow of a recurrent layer
_LEGEND = 4.4  # inches that the legend needs
_LABEL = 0.75  # room under all of it for two lines of text


@dataclass(frozen=True)
class _Column:
    """The units of a layer, or of the input, that are drawn."""

    x: float
    units: int
    drawn: Array  # numbers of the units that are drawn
    heights: Array  # of these
    label: str

    @property
    def is_cut(self) -> bool:
        return len(self.drawn) < self.units


def _column(x: float, units: int, most: int, label: str) -> _Column:
    if units <= most:
        drawn, slots = np.arange(units), np.arange(units)
        last = units - 1
    else:
        above = (most + 1) // 2
        drawn = np.concatenate([np.arange(above), np.arange(units - (most - above), units)])
        slots = np.arange(most) + (np.arange(most) >= above)  # one slot is left for the dots
        last = most
    return _Column(x, units, drawn, last / 2 - slots, label)


def plot_network(network: Answers, ax: Any, max_units: int) -> Axes:
    """`Network.plot`, where it is described."""
    most = require_integer("max_units", max_units, least=2, most=1000)
    shape, parameters = network.input_shape, network.parameters
    inputs = shape[1] if isinstance(shape, tuple) else int(shape or 0)
    of_input = f"input\n{inputs} at each step" if isinstance(shape, tuple) else f"input\n{inputs}"
    columns = [_column(0.0, inputs, most, of_input)]
    layers: list[tuple[Dense | Recurrent, str]] = []
    boxes: list[tuple[float, float, Layer]] = []  # place, height from the middle, layer
    between: list[Layer] = []
    for number, layer in enumerate(network.layers):
        if not isinstance(layer, (Dense, Recurrent)):
            between.append(layer)
            continue
        gap = _STEP + _BOX * len(between)
        units = layer.units if isinstance(layer, Dense) else layer.outputs
        left = columns[-1]
        right = _column(left.x + gap, units, most, _label(layer))
        reach = max(left.heights[0], right.heights[0]) + 0.4
        places = [left.x + gap * (place + 1) / (len(between) + 1) for place in range(len(between))]
        boxes += [(place, reach, box) for place, box in zip(places, between, strict=True)]
        between = []
        columns.append(right)
        layers.append((layer, layer.name or str(number)))

    axes, diameter, bottom = _prepare(ax, columns, [layer for layer, _ in layers])
    _draw_units(axes, columns[0], None, diameter)
    for (layer, name), left, right in zip(layers, columns[:-1], columns[1:], strict=True):
        weights, biases = _weights(layer, name, parameters), _biases(layer, name, parameters)
        scale = max(float(np.abs(weights).max()), 0.0 if biases is None else float(np.abs(biases).max())) or 1.0
        _draw_weights(axes, left, right, weights / scale, signed=_has_signs(layer))
        _draw_units(axes, right, None if biases is None else biases / scale, diameter)
        if isinstance(layer, Recurrent):
            _draw_arrows(axes, right, both=layer.bidirectional)
    for place, reach, box in boxes:
        _draw_box(axes, place, reach, box)
    for column in columns:
        axes.text(column.x, bottom, column.label, ha="center", va="top", fontsize="small")
    _explain(axes, {_has_signs(layer) for layer, _ in layers})
    return axes


def _prepare(ax: Any, columns: list[_Column], layers: list[Dense | Recurrent]) -> tuple[Axes, float, float]:
    """The Axes with their limits, the diameter of a circle in points, and where the labels begin."""
    reach = max(float(column.heights[0]) for column in columns) + 0.6
    above = _ARROW * any(isinstance(layer, Recurrent) for layer in layers)
    below = _ARROW * any(isinstance(layer, Recurrent) and layer.bidirectional for layer in layers)
    width, height = columns[-1].x + 1.0, 2 * reach + above + below
    if ax is None:
        size = min(max(1.5 * width, _LEGEND), 40.0), min(1.2 + 0.42 * height, 40.0)
        axes = new_figure("Network.plot", size).add_subplot()
    else:
        axes = require_axes(ax)
    axes.set_axis_off()
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(-reach - below - _LABEL * max(1.0, height / 6), reach + above)
    (low, high), scale = axes.get_ylim(), 72 / axes.figure.dpi
    up, across = axes.bbox.height * scale / (high - low), axes.bbox.width * scale / width
    return axes, max(0.62 * min(up, 0.4 * across), 2.0), -reach - below


def _has_signs(layer: Layer) -> bool:
    """Whether there is one weight between two units, and not one for each gate."""
    return not isinstance(layer, Recurrent) or layer.gates == 1


def _label(layer: Dense | Recurrent) -> str:
    activation = getattr(layer, "activation", "")
    units = f"2 × {layer.units}" if isinstance(layer, Recurrent) and layer.bidirectional else str(layer.units)
    return f"{as_it_is(layer.name or layer.type)}\n{units} {'' if activation == 'identity' else activation}".rstrip()


def _endings(layer: Layer) -> tuple[str, ...]:
    return ("", "_reverse") if isinstance(layer, Recurrent) and layer.bidirectional else ("",)


def _weights(layer: Dense | Recurrent, name: str, parameters: dict[str, Array]) -> Array:
    """What is drawn between each input and each unit."""
    if isinstance(layer, Dense):
        return parameters[f"{name}.weight"].astype(np.float64)
    found = []
    for ending in _endings(layer):
        weight = parameters[f"{name}.weight_ih{ending}"].astype(np.float64)
        gates = weight.reshape(len(weight), layer.gates, layer.units)
        found.append(gates[:, 0] if layer.gates == 1 else np.sqrt(np.mean(gates**2, axis=1)))
    return np.concatenate(found, axis=1)


def _biases(layer: Dense | Recurrent, name: str, parameters: dict[str, Array]) -> Array | None:
    if isinstance(layer, Dense):
        return parameters.get(f"{name}.bias")
    if layer.gates > 1:
        return None
    both = [(f"{name}.bias_ih{ending}", f"{name}.bias_hh{ending}") for ending in _endings(layer)]
    return np.concatenate([parameters[one] + parameters[other] for one, other in both])


def _draw_weights(axes: Axes, left: _Column, right: _Column, weights: Array, *, signed: bool) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    here = np.ix_(left.drawn, right.drawn)
    values = weights[here].ravel()
    sizes = np.abs(values)
    starts, ends = np.meshgrid(left.heights, right.heights, indexing="ij")
    segments = np.empty((values.size, 2, 2))
    segments[:, 0, 0], segments[:, 1, 0] = left.x, right.x
    segments[:, 0, 1], segments[:, 1, 1] = starts.ravel(), ends.ravel()
    colours = [
        to_rgba(GREY if not signed else BLUE if value > 0 else ORANGE, 0.06 + 0.94 * size**1.5)
        for value, size in zip(values, sizes, strict=True)
    ]
    order = np.argsort(sizes, kind="stable")  # the large ones on top
    axes.add_collection(
        LineCollection(
            [segments[place] for place in order],
            colors=[colours[place] for place in order],
            linewidths=0.3 + 2.2 * sizes[order] ** 1.5,
            zorder=1,
        ),
        autolim=False,
    )


def _draw_units(axes: Axes, column: _Column, biases: Array | None, diameter: float) -> None:
    fills: list[Any] = ["white"] * len(column.drawn)
    if biases is not None:
        fills = [lighter(BLUE if bias > 0 else ORANGE, 1 - 0.8 * abs(bias)) for bias in biases[column.drawn]]
    axes.scatter(
        np.full(len(column.drawn), column.x),
        column.heights,
        s=diameter**2,
        facecolors=fills,
        edgecolors="black",
        linewidths=0.8,
        zorder=2,
    )
    if column.is_cut:
        gap = len(column.heights) // 2 + len(column.heights) % 2
        middle = (column.heights[gap - 1] + column.heights[gap]) / 2
        axes.scatter([column.x] * 3, middle + np.array([-0.25, 0, 0.25]), s=3, color="black", zorder=2)


def _draw_arrows(axes: Axes, column: _Column, *, both: bool) -> None:
    """A loop above the column: what its units gave comes back as their input; one below for the reverse direction."""
    from matplotlib.patches import FancyArrowPatch

    edge = float(column.heights[0]) + 0.45
    for side in (1, -1)[: 1 + both]:
        axes.add_patch(
            FancyArrowPatch(
                (column.x + 0.17 * side, edge * side),
                (column.x - 0.17 * side, edge * side),
                connectionstyle="arc3,rad=1.2",
                arrowstyle="-|>",
                mutation_scale=10,
                color="black",
                linewidth=1.0,
                shrinkA=0,
                shrinkB=0,
                zorder=2,
            )
        )


def _draw_box(axes: Axes, x: float, reach: float, layer: Layer) -> None:
    """A layer without units, across the lines that go through it."""
    from matplotlib.patches import Rectangle

    width = 0.24
    box = Rectangle((x - width / 2, -reach), width, 2 * reach, facecolor="#F2F2F2", edgecolor="black", linewidth=0.8)
    axes.add_patch(box).set_zorder(3)
    rate = f" {layer.rate:g}" if hasattr(layer, "rate") else ""
    text = f"{as_it_is(layer.name or layer.type.replace('_', ' '))}{rate}"
    axes.text(x, 0, text, rotation=90, ha="center", va="center", fontsize="small", zorder=4)


def _explain(axes: Axes, kinds: set[bool]) -> None:
    """The legend, above the picture."""
    from matplotlib.lines import Line2D

    words = [("weight above 0", BLUE), ("weight below 0", ORANGE)] if True in kinds else []
    words += [("weights of all gates", GREY)] if False in kinds else []
    lines = [Line2D([], [], color=colour, linewidth=2, label=label) for label, colour in words]
    axes.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(lines), frameon=False)
