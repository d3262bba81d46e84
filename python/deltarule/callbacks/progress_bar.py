"""ProgressBar: how far a fit is, how fast, and how well it does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ProgressBar"]

_SECONDS_BETWEEN = 0.1  # as tqdm's mininterval
_NOT_SHOWN = ("lr", "seconds")


class ProgressBar:
    """A callback that shows epochs, losses, metrics, the speed and the time left, in a terminal or a notebook.

    ``fit(verbose=1)`` makes one. It is redrawn at most ten times a second, on stderr, and costs a fit of 100,000 epochs
    a second next to nothing in between.

    Examples
    --------
    >>> import deltarule as dr
    >>> from deltarule.callbacks import ProgressBar
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)])
    >>> history = network.fit(X, y, loss="mse", epochs=100, callbacks=[ProgressBar()])
    """

    def __init__(self) -> None:
        self._epochs: int | None = None
        self._steps: int | None = None  # of an epoch
        self._bar: Any = None

    def on_plan(self, epochs: int | None, steps_per_epoch: int | None = None, columns: Sequence[str] = ()) -> None:
        """Hear before on_fit_begin how much there will be to do; without this there is no estimate of the time left.

        Parameters
        ----------
        epochs : int or None
        steps_per_epoch : int, optional
            With it the speed is that of steps, else of epochs.
        columns : sequence of str
            Makes no difference here.
        """
        self._epochs, self._steps = epochs, steps_per_epoch

    def on_fit_begin(self, network: Any) -> None:
        """Show the bar."""
        from tqdm.auto import tqdm

        self._of = "" if self._epochs is None else f"/{self._epochs}"
        self._each = self._steps or 1
        self._due = 0.0
        self._last: tuple[int, Mapping[str, float]] | None = None  # what is not shown yet
        self._is_first = True
        self._bar = tqdm(
            desc=f"epoch 0{self._of}",
            total=None if self._epochs is None else self._epochs * self._each,
            unit="step" if self._steps else "epoch",
            dynamic_ncols=True,
            miniters=1,
            mininterval=0,
        )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Move it on, where it is time to."""
        self._last = (epoch, logs)
        if self._is_first:  # a resumed fit does not begin with 0
            self._is_first = False
            self._bar.n = self._bar.initial = self._bar.last_print_n = epoch * self._each
        if time.monotonic() >= self._due:
            self._show(epoch, logs)

    def _show(self, epoch: int, logs: Mapping[str, float]) -> None:
        names = sorted((name for name in logs if name not in _NOT_SHOWN), key=_losses_first)
        bar = self._bar
        bar.set_description_str(f"epoch {epoch + 1}{self._of}", refresh=False)
        bar.set_postfix({name: f"{logs[name]:.4g}" for name in names}, refresh=False)
        bar.update((epoch + 1) * self._each - bar.n)
        self._last = None
        self._due = time.monotonic() + _SECONDS_BETWEEN

    def on_fit_end(self, network: Any) -> None:
        """Show the last epoch and leave the bar as it is."""
        bar = self._bar
        if bar is None:
            return
        try:
            if self._last is not None:
                self._show(*self._last)
        finally:
            self._bar = self._epochs = self._steps = None
            bar.close()

    def __repr__(self) -> str:
        return "ProgressBar()"


def _losses_first(name: str) -> int:
    """Of all others the order stays."""
    return ("loss", "val_loss").index(name) if name in ("loss", "val_loss") else 2
