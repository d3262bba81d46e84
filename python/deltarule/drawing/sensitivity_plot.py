"""Final losses over the learning rate, a point for each run; the drawing of `Sensitivity.plot`."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import BLUE, GREY, ORANGE, new_figure, require_axes, wants_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..sensitivity_report import Sensitivity

__all__ = ["plot_sensitivity"]

_COLOURS = {"learned": BLUE, "slow": "#E69F00", "stuck": ORANGE, "diverged": "black"}
_WIDTH = 0.35  # of the way to the next learning rate, over which the points of one are spread
_MOST_TICKS = 12  # of the learning rates' own; of more, those that matplotlib chooses


def plot_sensitivity(report: Sensitivity, medians: dict[float, float], ax: Any) -> Axes:
    """`Sensitivity.plot`, where it is described."""
    axes = new_figure("Sensitivity.plot", (6.4, 4.2)).add_subplot() if ax is None else require_axes(ax)
    lrs = sorted(report.lrs)
    axes.set_xscale("log")
    if len(lrs) <= _MOST_TICKS:
        axes.set_xticks(lrs, labels=[f"{lr:g}" for lr in lrs])
        axes.minorticks_off()
    if wants_log([[run.loss for run in report.runs if not run.diverged] + [report.start]]):
        axes.set_yscale("log")
    seeds = list(dict.fromkeys(run.seed for run in report.runs))
    gap = min((math.log(after / before) for before, after in pairwise(lrs)), default=1.0)
    # Side by side in the order of the seeds, so that points of one loss do not hide each other
    shift = dict(zip(seeds, np.exp(gap * _WIDTH * np.linspace(-0.5, 0.5, len(seeds) + 2)[1:-1]), strict=True))

    axes.axhline(report.start, color=GREY, linewidth=0.8, linestyle="dotted", label="untrained", zorder=1)
    axes.plot(
        lrs,
        [medians[lr] if math.isfinite(medians[lr]) else math.nan for lr in lrs],
        color=GREY,
        linewidth=1.2,
        marker="_",
        markersize=22,
        label="median",
        zorder=1,
    )
    for outcome, colour in _COLOURS.items():
        runs = [run for run in report.runs if run.outcome == outcome]
        if not runs:
            continue
        places = [run.lr * shift[run.seed] for run in runs]
        if outcome == "diverged":
            at_the_top: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "marker": "x", "linewidths": 1.2}
            axes.scatter(places, [0.97] * len(runs), color=[colour], s=28, label=outcome, **at_the_top)
        else:
            axes.scatter(places, [run.loss for run in runs], color=[colour], s=22, alpha=0.8, label=outcome, zorder=3)
    axes.set_xlim(lrs[0] * math.exp(-gap / 2), lrs[-1] * math.exp(gap / 2))
    if any(run.diverged for run in report.runs):
        low, high = axes.get_ylim()  # room for the crosses
        logarithmic = axes.get_yscale() == "log"
        axes.set_ylim(low, high * (high / low) ** 0.08 if logarithmic else high + 0.08 * (high - low))
    axes.set_xlabel("learning rate")
    axes.set_ylabel(f"loss after {report.epochs} epoch{'s' if report.epochs > 1 else ''}")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
    return axes
