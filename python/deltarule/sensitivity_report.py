"""What `sensitivity` has found: every run, a line for each learning rate, a verdict in words, a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from .history import History
    from .network import Network

__all__ = ["OUTCOMES", "Run", "Sensitivity"]

OUTCOMES = ("learned", "slow", "stuck", "diverged")
_LEARNED = 0.05  # of the way from the untrained network to the best run, still to go
_DIVERGED = 2.0  # as far above the untrained network as that is above the best run
_FLAT = 0.05  # of what a run has gained, in the last quarter of its epochs


@dataclass(frozen=True)
class Run:
    """One network from one start with one learning rate.

    Attributes
    ----------
    seed : int
    lr : float
    loss : float
        Of all of X, when the run was over; infinite where it or a weight was not finite.
    val_loss : float or None
        The same of the validation data, where there were any.
    metrics : dict of str to float
        By their names, of the validation data as "val_<name>"; NaN where the run diverged.
    outcome : {"learned", "slow", "stuck", "diverged"}
        See `Sensitivity`.
    epochs : int
        Those that were completed.
    history : History
    network : Network
        As it was when the run was over; where that diverged, with the weights of the last good epoch.
    """

    seed: int
    lr: float
    loss: float
    val_loss: float | None
    metrics: dict[str, float]
    outcome: str
    epochs: int
    history: History = field(repr=False)
    network: Network = field(repr=False)

    @property
    def diverged(self) -> bool:
        """Whether the run came to what is not finite, or far above where it began."""
        return self.outcome == "diverged"


class _Line(NamedTuple):
    """What is said of one learning rate."""

    lr: float
    losses: tuple[float, ...]  # of the runs, infinite where they diverged
    counts: dict[str, int]

    @property
    def median(self) -> float:
        return float(np.median(self.losses))

    @property
    def spread(self) -> float:
        """The range of the middle half of the runs that did not diverge; NaN where there are none."""
        finite = [loss for loss in self.losses if math.isfinite(loss)]
        if not finite:
            return math.nan
        low, high = np.quantile(finite, (0.25, 0.75))
        return float(high - low)


def outcome_of(loss: float, history: History, own_start: float, start: float, best: float) -> str:
    """Which of the OUTCOMES a run has come to; `Sensitivity` has the rule, start is that of all and best the best."""
    if not math.isfinite(loss):
        return "diverged"
    if not best < start:
        return "stuck"  # no run at all is better than no training
    height = (loss - best) / (start - best) if math.isfinite(start) else 0.0
    if height <= _LEARNED:
        return "learned"
    if height > _DIVERGED:
        return "diverged"
    losses, quarter = history["loss"], history.epochs // 4
    if not quarter:
        return "slow"  # too few epochs to tell
    with np.errstate(all="ignore"):  # on its way a loss may have been of any size
        last, before = np.mean(losses[-quarter:]), np.mean(losses[-2 * quarter : -quarter])
        scatter = np.std(losses[-quarter:])
    # Of a run in even decline the scatter is 0.3 of what is gained in a quarter; of one that jumps about it is more.
    return "slow" if before - last > max(_FLAT * (own_start - last), scatter) else "stuck"


@dataclass(frozen=True, repr=False)
class Sensitivity:
    """The result of `sensitivity`; printed, a line for each learning rate and the verdict in words.

    A run's outcome follows from its final loss, on a scale on which the best of all runs is 0 and the untrained network
    (the median over the seeds) is 1:

    - "learned": at most 0.05;
    - "diverged": above 2, or a loss or weight that is not finite;
    - "slow": in between, and still on its way: from the last quarter of its epochs but one to the last it gained more
      than 5 % of all that it gained, and more than the losses of the last quarter scatter (their standard deviation);
    - "stuck": in between, and no longer getting better: in a local minimum, or on a plateau.

    Attributes
    ----------
    runs : tuple of Run
        By learning rate, then by seed, in the order they were given.
    start : float
        The loss of the untrained network, the median over the seeds.
    epochs : int
        How many each run was given.
    """

    runs: tuple[Run, ...]
    start: float
    epochs: int

    @property
    def lrs(self) -> tuple[float, ...]:
        """The learning rates, in the order they were given."""
        return tuple(dict.fromkeys(run.lr for run in self.runs))

    @property
    def best_run(self) -> Run:
        """The run with the lowest val_loss, or loss without validation data; one that diverged only if all did."""

        def rank(run: Run) -> tuple[bool, float]:
            value = run.loss if run.val_loss is None else run.val_loss
            return run.diverged, math.inf if math.isnan(value) else value

        return min(self.runs, key=rank)

    @property
    def best(self) -> Network:
        """The network of `best_run`."""
        return self.best_run.network

    def _lines(self) -> list[_Line]:
        lines = []
        for lr in self.lrs:
            runs = [run for run in self.runs if run.lr == lr]
            counts = {outcome: sum(run.outcome == outcome for run in runs) for outcome in OUTCOMES}
            lines.append(_Line(lr, tuple(math.inf if run.diverged else run.loss for run in runs), counts))
        return lines

    @property
    def verdict(self) -> str:
        """What the numbers mean, in words, line by line."""
        lines = sorted(self._lines(), key=lambda line: line.lr)
        of = len(lines[0].losses)
        best = min(lines, key=lambda line: (-line.counts["learned"], line.median))
        learned = best.counts["learned"]
        if not learned:
            said = [f"no run is better than the untrained network, whose loss is {self.start:.3g}"]
        elif learned == of:
            said = [f"lr {best.lr:g} trains all {of} starts" if of > 1 else f"lr {best.lr:g} trains"]
        else:
            said = [f"lr {best.lr:g} trains {learned} of {of} starts: the start decides"]
        words = {
            "diverged": "diverge",
            "stuck": "end in a local minimum or on a plateau",
            "slow": f"are still on their way after {self.epochs} epochs",
        }
        for outcome, word in words.items():
            found = [f"{line.counts[outcome]} of {of} at lr {line.lr:g}" for line in lines if line.counts[outcome]]
            if found:
                said.append(f"{', '.join(found)} {word}")
        if learned and len(lines) > 1 and best in (lines[0], lines[-1]):
            edge, more = ("smallest", "smaller") if best is lines[0] else ("largest", "larger")
            said.append(f"the best lr is the {edge} that was tried: try {more} ones too")
        return "\n".join(said)

    def _rows(self) -> list[list[str]]:
        """The table, its header first."""
        rows = [["lr", "best", "median", "worst", "spread", *OUTCOMES]]
        for line in self._lines():
            losses = [_loss(loss) for loss in (min(line.losses), line.median, max(line.losses))]
            spread = "" if math.isnan(line.spread) else f"{line.spread:.2g}"
            counts = [str(line.counts[outcome]) for outcome in OUTCOMES]
            rows.append([f"{line.lr:g}", *losses, spread, *counts])
        return rows

    def table(self) -> str:
        """Final losses and outcomes as text, a line for each learning rate; spread is that of the middle half."""
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for first, *numbers in rows:
            cells = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
            lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.table()}\n{self.verdict}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from .drawing.html_table import html_table

        header, *rows = self._rows()
        return html_table(header, rows, notes=self.verdict.splitlines())

    def _records(self) -> list[dict[str, Any]]:
        return [
            {
                "seed": run.seed,
                "lr": run.lr,
                "loss": run.loss,
                **({} if run.val_loss is None else {"val_loss": run.val_loss}),
                **run.metrics,
                "diverged": run.diverged,
                "outcome": run.outcome,
                "epochs": run.epochs,
            }
            for run in self.runs
        ]

    def to_frame(self) -> DataFrame:
        """The runs as a pandas DataFrame: seed, lr, loss, val_loss, metrics, diverged, outcome, epochs.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("Sensitivity.to_frame needs pandas: pip install pandas") from error
        return pandas.DataFrame(self._records())

    def to_dict(self) -> dict[str, Any]:
        """The runs and the verdict as plain dicts, lists, strings and numbers."""
        return {"verdict": self.verdict, "start": self.start, "epochs": self.epochs, "runs": self._records()}

    def plot(self, ax: Any = None) -> Axes:
        """Draw the final loss over the learning rate: a point for each run, a line through the medians.

        Runs that diverged are crosses at the upper edge; a median among them is not drawn.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from .drawing.sensitivity_plot import plot_sensitivity

        return plot_sensitivity(self, {line.lr: line.median for line in self._lines()}, ax)


def _loss(loss: float) -> str:
    return f"{loss:.3g}" if math.isfinite(loss) else "diverged"
