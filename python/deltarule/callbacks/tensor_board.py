"""TensorBoard: the numbers of every epoch as curves in TensorBoard."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from .state import read_path, read_state

__all__ = ["TensorBoard"]

_SECONDS_BETWEEN_FLUSHES = 1


class TensorBoard:
    """A callback that writes all that the fit logs for TensorBoard, with the epoch, from 0, as the step.

    Look at it with ``tensorboard --logdir log_dir``. It needs the package tensorboard, not TensorFlow or torch.

    Parameters
    ----------
    log_dir : str or path
        A folder of its own for each run, in one folder for all that are to be compared; it is created.

    Raises
    ------
    ImportError
        When the fit begins, where tensorboard is not installed.
    NotADirectoryError
        When the fit begins, where log_dir is a file.

    Notes
    -----
    TensorBoard keeps numbers in float32. A fit that is killed loses the last second at most; where it is resumed,
    TensorBoard drops what came after its last checkpoint. Keras has subfolders for training and validation; here the
    names stand as they are in the history.

    Examples
    --------
    >>> from deltarule.callbacks import TensorBoard
    >>> TensorBoard("runs/first")
    TensorBoard('runs/first')
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.log_dir = read_path("log_dir", log_dir)
        self._writer: Any = None
        self._epochs = 0

    def on_fit_begin(self, network: Any) -> None:
        """Begin a new file."""
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError("callbacks.TensorBoard needs tensorboard: pip install tensorboard") from error
        if os.path.exists(self.log_dir) and not os.path.isdir(self.log_dir):
            raise NotADirectoryError(f"log_dir={self.log_dir!r} is a file: give the path of a folder")
        self._epochs = 0
        self._writer = EventFileWriter(self.log_dir, flush_secs=_SECONDS_BETWEEN_FLUSHES)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write its numbers."""
        values = [{"tag": name, "simple_value": float(number)} for name, number in logs.items()]
        self._write(step=epoch, summary={"value": values})
        self._epochs = epoch + 1

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), **content))

    def on_fit_end(self, network: Any) -> None:
        """Close the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def state_dict(self) -> dict[str, Any]:
        """How many epochs were written."""
        return {"epochs": self._epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state that a fit kept, after on_fit_begin.

        Parameters
        ----------
        state : mapping of str to int
            What state_dict returned.
        """
        (self._epochs,) = read_state("TensorBoard", state, {"epochs": int})
        # What TensorBoard understands as: forget the steps from here on that other files have.
        self._write(step=self._epochs, session_log={"status": "START"})

    def __repr__(self) -> str:
        return f"TensorBoard({self.log_dir!r})"
