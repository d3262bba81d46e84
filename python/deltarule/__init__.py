"""deltarule: small neural networks trained by backpropagation on the CPU, in one native loop, the same bits everywhere.

Start with `Network`, `Dense` and `Network.fit`; `deltarule.reference` is the same mathematics in plain NumPy, to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import DivergenceError
from .history import History
from .layers import GRU, LSTM, RNN, BatchNorm, Dense, Dropout, LayerNorm
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
    from .flow import GradientFlow as GradientFlow
    from .flow import gradient_flow as gradient_flow
    from .gradient_check import GradientCheck as GradientCheck
    from .gradient_check import gradcheck as gradcheck
    from .preprocessing import Standardizer as Standardizer
    from .preprocessing import one_hot as one_hot
    from .preprocessing import train_test_split as train_test_split
    from .torch_layout import from_torch_state_dict as from_torch_state_dict
    from .torch_layout import to_torch_state_dict as to_torch_state_dict

# Not everybody needs these at once: imported when first asked for, from the module named here.
_LAZY = {
    "GradientCheck": "gradient_check",
    "gradcheck": "gradient_check",
    "GradientFlow": "flow",
    "gradient_flow": "flow",
    "Standardizer": "preprocessing",
    "one_hot": "preprocessing",
    "train_test_split": "preprocessing",
    "from_torch_state_dict": "torch_layout",
    "to_torch_state_dict": "torch_layout",
}
_LAZY_MODULES = ("datasets", "reference")

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "BatchNorm",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Dense",
    "DivergenceError",
    "Dropout",
    "GradientCheck",
    "GradientFlow",
    "Hinge",
    "History",
    "Huber",
    "LayerNorm",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "NAdam",
    "Network",
    "Poisson",
    "PoissonDeviance",
    "Quantile",
    "RMSprop",
    "Rprop",
    "SquaredHinge",
    "Standardizer",
    "Trainer",
    "__version__",
    "datasets",
    "from_torch_state_dict",
    "gradcheck",
    "gradient_flow",
    "isa",
    "isas",
    "one_hot",
    "reference",
    "set_num_threads",
    "to_torch_state_dict",
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
