"""deltarule: small neural networks trained by backpropagation on the CPU, in one native loop, the same bits everywhere.

Start with `Network`, `Dense` and `Network.fit`; `deltarule.reference` is the same mathematics in plain NumPy, to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import DivergenceError
from .history import History
from .layers import GRU, LSTM, RNN, Dense, Dropout, LayerNorm
from .losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Hinge,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    PoissonDeviance,
    Quantile,
    SquaredHinge,
)
from .network import Network, isa, isas
from .optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RMSprop, Rprop
from .threads import set_num_threads
from .trainer import Trainer

if TYPE_CHECKING:
    from . import datasets as datasets
    from . import reference as reference
    from .callbacks import EMA as EMA
    from .callbacks import Checkpoint as Checkpoint
    from .callbacks import CSVLogger as CSVLogger
    from .callbacks import EarlyStopping as EarlyStopping
    from .callbacks import LambdaCallback as LambdaCallback
    from .callbacks import ProgressBar as ProgressBar
    from .callbacks import TensorBoard as TensorBoard
    from .callbacks import TimeLimit as TimeLimit
    from .drawing import plot_decision_boundary as plot_decision_boundary
    from .explain import StepExplanation as StepExplanation
    from .explain import explain_step as explain_step
    from .flow import GradientFlow as GradientFlow
    from .flow import gradient_flow as gradient_flow
    from .gradient_check import GradientCheck as GradientCheck
    from .gradient_check import gradcheck as gradcheck
    from .lbfgs import LBFGS as LBFGS
    from .many import Trained as Trained
    from .many import train_many as train_many
    from .preprocessing import Standardizer as Standardizer
    from .preprocessing import one_hot as one_hot
    from .preprocessing import train_test_split as train_test_split
    from .schedules import CosineAnnealingLR as CosineAnnealingLR
    from .schedules import ExponentialLR as ExponentialLR
    from .schedules import LinearWarmup as LinearWarmup
    from .schedules import MultiStepLR as MultiStepLR
    from .schedules import OneCycleLR as OneCycleLR
    from .schedules import ReduceLROnPlateau as ReduceLROnPlateau
    from .schedules import StepLR as StepLR
    from .sensitivity_report import Sensitivity as Sensitivity
    from .sensitivity_study import sensitivity as sensitivity
    from .streams import Stream as Stream
    from .streams import stream as stream
    from .torch_layout import from_torch_state_dict as from_torch_state_dict
    from .torch_layout import to_torch_state_dict as to_torch_state_dict

# Not everybody needs these at once: imported when first asked for, from the module named here.
_LAZY = {
    "CSVLogger": "callbacks",
    "Checkpoint": "callbacks",
    "EMA": "callbacks",
    "EarlyStopping": "callbacks",
    "LambdaCallback": "callbacks",
    "ProgressBar": "callbacks",
    "TensorBoard": "callbacks",
    "TimeLimit": "callbacks",
    "plot_decision_boundary": "drawing",
    "StepExplanation": "explain",
    "explain_step": "explain",
    "GradientFlow": "flow",
    "gradient_flow": "flow",
    "GradientCheck": "gradient_check",
    "gradcheck": "gradient_check",
    "LBFGS": "lbfgs",
    "Trained": "many",
    "train_many": "many",
    "Standardizer": "preprocessing",
    "one_hot": "preprocessing",
    "train_test_split": "preprocessing",
    "CosineAnnealingLR": "schedules",
    "ExponentialLR": "schedules",
    "LinearWarmup": "schedules",
    "MultiStepLR": "schedules",
    "OneCycleLR": "schedules",
    "ReduceLROnPlateau": "schedules",
    "StepLR": "schedules",
    "Sensitivity": "sensitivity_report",
    "sensitivity": "sensitivity_study",
    "Stream": "streams",
    "stream": "streams",
    "from_torch_state_dict": "torch_layout",
    "to_torch_state_dict": "torch_layout",
}
_LAZY_MODULES = ("datasets", "reference", "tables")

__all__ = [
    "EMA",
    "GRU",
    "LBFGS",
    "LSTM",
    "RNN",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Checkpoint",
    "CosineAnnealingLR",
    "CrossEntropy",
    "Dense",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "ExponentialLR",
    "GradientCheck",
    "GradientFlow",
    "Hinge",
    "History",
    "Huber",
    "LambdaCallback",
    "LayerNorm",
    "LinearWarmup",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MultiStepLR",
    "NAdam",
    "Network",
    "OneCycleLR",
    "Poisson",
    "PoissonDeviance",
    "ProgressBar",
    "Quantile",
    "RMSprop",
    "ReduceLROnPlateau",
    "Rprop",
    "Sensitivity",
    "SquaredHinge",
    "Standardizer",
    "StepExplanation",
    "StepLR",
    "Stream",
    "TensorBoard",
    "TimeLimit",
    "Trained",
    "Trainer",
    "__version__",
    "datasets",
    "explain_step",
    "from_torch_state_dict",
    "gradcheck",
    "gradient_flow",
    "isa",
    "isas",
    "one_hot",
    "plot_decision_boundary",
    "reference",
    "sensitivity",
    "set_num_threads",
    "stream",
    "to_torch_state_dict",
    "train_many",
    "train_test_split",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _LAZY_MODULES:
        return import_module(f".{name}", __name__)
    if name in _LAZY:
        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'deltarule' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
