"""Callbacks: objects that `Network.fit` tells of its beginning, of every epoch and of its end.

To add one: a module here with a class that has some of on_fit_begin(network), on_epoch_end(epoch, logs) and
on_fit_end(network); with state_dict() and load_state_dict(state) it survives a fit that is resumed, with
on_plan(epochs, steps_per_epoch, columns) it is told beforehand how much there will be to do, and what the logs have.
"""

from __future__ import annotations

from .checkpoint import Checkpoint
from .csv_logger import CSVLogger
from .early_stopping import EarlyStopping
from .ema import EMA
from .lambda_callback import LambdaCallback
from .progress_bar import ProgressBar
from .tensor_board import TensorBoard
from .time_limit import TimeLimit

__all__ = [
    "EMA",
    "CSVLogger",
    "Checkpoint",
    "EarlyStopping",
    "LambdaCallback",
    "ProgressBar",
    "TensorBoard",
    "TimeLimit",
]
