"""The progress bar of ``fit(verbose=1)``."""

from __future__ import annotations

from typing import Any

__all__ = ["ProgressBar"]


class ProgressBar:
    """A callback that shows epochs, losses and the time left.

    Parameters
    ----------
    epochs : int
        How many are planned.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._bar: Any = None

    def on_fit_begin(self, network: Any) -> None:
        """Show the bar."""
        from tqdm.auto import tqdm

        self._bar = tqdm(total=self._epochs, unit="epoch", dynamic_ncols=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Move it on."""
        shown = {name: f"{logs[name]:.4g}" for name in ("loss", "val_loss") if name in logs}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def on_fit_end(self, network: Any) -> None:
        """Leave it as it is."""
        self._bar.close()
