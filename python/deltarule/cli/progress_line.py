"""One line that shows a fit under way: rewritten in place on a terminal, a handful of lines in a log."""

from __future__ import annotations

import sys
from typing import Any, TextIO

__all__ = ["ProgressLine"]

_WIDTH = 24  # of the bar, in characters
_LINES_IN_A_LOG = 5
_SECONDS_BETWEEN = 0.05


class ProgressLine:
    """A callback for `Network.fit`.

    Parameters
    ----------
    epochs : int
        How many are planned.
    stream : text file, optional
        stderr by default, so that results can be piped on.
    """

    def __init__(self, epochs: int, stream: TextIO | None = None) -> None:
        self._epochs = epochs
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._shown_at = -1.0
        self._shown = -1

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Show the epoch if it is time to."""
        self._last = (epoch, logs)
        if self._terminal:
            due = logs["seconds"] - self._shown_at >= _SECONDS_BETWEEN
        else:
            due = (epoch + 1) * _LINES_IN_A_LOG // self._epochs > epoch * _LINES_IN_A_LOG // self._epochs
        if due:
            self._show(epoch, logs)

    def on_fit_end(self, network: Any) -> None:
        """Show the last epoch and leave the line."""
        if self._shown < 0 and not hasattr(self, "_last"):
            return
        epoch, logs = self._last
        if epoch != self._shown:
            self._show(epoch, logs)
        if self._terminal:
            print(file=self._stream)

    def _show(self, epoch: int, logs: dict[str, float]) -> None:
        done = (epoch + 1) * _WIDTH // self._epochs
        width = len(str(self._epochs))
        bar = "#" * done + "." * (_WIDTH - done)
        line = f"  epoch {epoch + 1:>{width}} of {self._epochs}  [{bar}]  loss {logs['loss']:.4f}"
        print(
            f"\r{line}  " if self._terminal else line, end="" if self._terminal else "\n", file=self._stream, flush=True
        )
        self._shown, self._shown_at = epoch, logs["seconds"]
