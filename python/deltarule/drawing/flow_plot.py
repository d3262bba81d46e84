"""The gradient of each layer, and of each step of recurrent ones; the drawing of `GradientFlow.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .canvas import BLUE, as_it_is, class_colours, new_figure

if TYPE_CHECKING:
    from ..flow import GradientFlow

__all__ = ["plot_flow"]

_MOST_UPRIGHT = 6  # names of layers that have room side by side


def plot_flow(flow: GradientFlow) -> Any:
    """`GradientFlow.plot`, where it is described."""
    timed = [layer for layer in flow.layers if layer.by_step]
    across = min(max(5.2, 0.45 * len(flow.layers)), 20.0)
    figure = new_figure("GradientFlow.plot", (across + (5.2 if timed else 0.0), 4.2))
    layers, *others = figure.subplots(1, 2 if timed else 1, squeeze=False)[0]
    names = [as_it_is(f"{layer.layer} {layer.type}") for layer in flow.layers]
    heights = [layer.gradient for layer in flow.layers]
    layers.bar(range(len(names)), heights, color=BLUE)
    layers.set_xticks(range(len(names)), labels=names, rotation=0 if len(names) <= _MOST_UPRIGHT else 90)
    layers.set(xlabel="layer", ylabel="gradient (root mean square)")
    if any(height > 0 for height in heights):
        layers.set_yscale("log")
    for steps in others:
        lines = [
            (as_it_is(f"{layer.layer} {layer.type}{' reverse' if direction else ''}"), sizes)
            for layer in timed
            for direction, sizes in enumerate(layer.by_step)
        ]
        for (label, sizes), colour in zip(lines, class_colours(len(lines)), strict=True):
            marker = "o" if len(sizes) == 1 else ""
            shown = [size if size > 0 else float("nan") for size in sizes]
            steps.plot(range(1, len(sizes) + 1), shown, label=label, color=colour, marker=marker)
        if any(size > 0 for _, sizes in lines for size in sizes):
            steps.set_yscale("log")
        steps.set_xlabel("step")
        steps.legend(frameon=False)
    figure.suptitle(as_it_is(flow.verdict.partition("\n")[0]), fontsize="medium", wrap=True)
    return figure
