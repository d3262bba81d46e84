"""Losses and metrics over the epochs; the drawing of `History.plot`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .canvas import BLUE, ORANGE, as_it_is, new_figure, require_axes, wants_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["metric_names", "plot_history"]

_OTHERS = ("loss", "lr", "seconds")  # columns that are no metrics
_PARTS = (("", "training", BLUE), ("val_", "validation", ORANGE))


def metric_names(columns: Mapping[str, Sequence[float]]) -> list[str]:
    """The metrics that a history has, in its order, each by its name without "val_".

    Examples
    --------
    >>> metric_names({"loss": [], "val_loss": [], "accuracy": [], "val_accuracy": [], "lr": [], "val_auc": []})
    ['accuracy', 'auc']
    """
    names = dict.fromkeys(name.removeprefix("val_") for name in columns)
    return [name for name in names if name not in _OTHERS]


def plot_history(columns: Mapping[str, Sequence[float]], best: int | None, ax: Any) -> Axes:
    """`History.plot`, where it is described; `best` is the index of the epoch to be marked."""
    if ax is not None:
        return _panel(require_axes(ax), columns, "loss", best, note=True)
    names = ["loss", *metric_names(columns)]
    across = min(len(names), 3)
    down = -(-len(names) // across)
    figure = new_figure("History.plot", (4.8 * across + 0.6, 3.6 * down + 0.2))
    panels = [
        _panel(figure.add_subplot(down, across, number), columns, name, best, note=number == 1)
        for number, name in enumerate(names, 1)
    ]
    figure.sca(panels[0])
    return panels[0]


def _panel(axes: Axes, columns: Mapping[str, Sequence[float]], name: str, best: int | None, *, note: bool) -> Axes:
    """One quantity of training and validation; `note` says in words what is marked."""
    from matplotlib.ticker import MaxNLocator

    drawn = [(columns[start + name], label, colour) for start, label, colour in _PARTS if start + name in columns]
    for values, label, colour in drawn:
        marker = "o" if len(values) == 1 else ""  # a line of one point is none
        axes.plot(range(1, len(values) + 1), values, label=label, color=colour, marker=marker, linewidth=1.5)
        if best is not None:
            axes.scatter([best + 1], [values[best]], s=45, facecolors="white", edgecolors=colour, zorder=3)
    if wants_log(values for values, _, _ in drawn):
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(as_it_is(name))
    axes.legend(frameon=False)
    if note and best is not None:
        values = drawn[-1][0]
        late = best + 1 > 0.6 * len(values)
        axes.annotate(
            f"epoch {best + 1}: {values[best]:.3g}",
            (best + 1, values[best]),
            xytext=(0, 9),
            textcoords="offset points",
            ha="right" if late else "left",
            fontsize="small",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )
    return axes
