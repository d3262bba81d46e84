"""What a fit has seen, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = ["History"]


class History(Mapping[str, list[float]]):
    """A mapping of a column's name to its values, one for each epoch that was completed.

    Columns: "loss" (the mean over the epoch's batches as they were trained, penalties included), "val_loss" (after the
    epoch, where there was validation data), metrics by their names and on the validation data as "val_<name>", "lr",
    "seconds" (since the fit began).

    Examples
    --------
    >>> history = History({"loss": [0.5, 0.25], "lr": [0.1, 0.1], "seconds": [0.1, 0.2]})
    >>> history["loss"][-1]
    0.25
    >>> history
    History(2 epochs: loss 0.5 -> 0.25)
    """

    def __init__(self, columns: dict[str, list[float]]) -> None:
        self._columns = columns

    def __getitem__(self, column: str) -> list[float]:
        try:
            return self._columns[column]
        except KeyError:
            known = ", ".join(self._columns)
            hint = "; pass validation_data or validation_split to fit" if column == "val_loss" else ""
            raise KeyError(f"the history has no column {column!r}: it has {known}{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def epochs(self) -> int:
        """How many epochs were completed."""
        return len(self._columns["loss"])

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(0 epochs)"
        parts = [
            f"{name} {self[name][0]:.4g} -> {self[name][-1]:.4g}"
            for name in ("loss", "val_loss")
            if name in self._columns
        ]
        return f"History({self.epochs} epoch{'s' if self.epochs > 1 else ''}: {', '.join(parts)})"

    def to_frame(self) -> DataFrame:
        """The history as a pandas DataFrame, one row for each epoch.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("History.to_frame needs pandas: pip install pandas") from error
        return pandas.DataFrame(self._columns)

    def _best(self) -> int | None:
        """The index of the epoch with the lowest val_loss, or loss where nothing was held out."""
        values = self._columns.get("val_loss", self._columns["loss"])
        known = [epoch for epoch, value in enumerate(values) if value == value]  # NaN is no loss to be compared
        return min(known, key=values.__getitem__, default=None)

    def _repr_html_(self) -> str:
        from .drawing.html_table import html_table

        best = self._best()
        if best is None:
            return html_table(["History", "epochs"], [["", str(self.epochs)]])
        header = ["", "epoch 1", f"best (epoch {best + 1})", f"last (epoch {self.epochs})"]
        rows = [[name, *(f"{column[epoch]:.4g}" for epoch in (0, best, -1))] for name, column in self.items()]
        monitored = "val_loss" if "val_loss" in self._columns else "loss"
        return html_table(header, rows, notes=[f"The best epoch is the one with the lowest {monitored}."])

    def plot(self, ax: Any = None) -> Axes:
        """Draw the losses over the epochs, and each metric in a panel of its own.

        A ring marks the epoch with the lowest val_loss, or loss where nothing was held out. Numbers that spread over
        more than a factor of 30 stand on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw the losses, and only these; by default a new figure, with a panel for each metric.

        Returns
        -------
        matplotlib Axes
            The panel of the losses; ``axes.figure.axes`` are all of them.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            ax is no Axes.
        """
        from .drawing.history_plot import plot_history

        return plot_history(self, self._best(), ax)
