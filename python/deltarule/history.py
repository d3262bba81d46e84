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
    epoch, where there was validation data), "lr", "seconds" (since the fit began).

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

    def plot(self, ax: Any = None) -> Axes:
        """Draw the losses over the epochs.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default the current axes.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install 'deltarule[plot]'") from error
        axes: Axes = plt.gca() if ax is None else ax
        for name, label in (("loss", "training"), ("val_loss", "validation")):
            if name in self._columns:
                axes.plot(range(1, self.epochs + 1), self[name], label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.legend()
        return axes
