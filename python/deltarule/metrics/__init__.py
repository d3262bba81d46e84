"""Metrics for `Network.evaluate` and `Network.fit`: functions of the prediction, the targets and their kind.

The prediction is the network's output, or its probabilities where the loss is binary cross-entropy; the targets are as
the loss takes them. To add one: a function in a module here, and its row in METRICS with the way that is better.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..names import find
from .classification import accuracy, f1, top_k
from .ranking import auc
from .regression import mean_absolute_error, mean_squared_error, r2

__all__ = ["METRICS", "Metric", "find_metric", "find_metrics", "higher_is_better", "is_known"]

Array = npt.NDArray[Any]
Metric = Callable[[Array, Array, str], float]


class Known(NamedTuple):
    """A metric that has a name, and whether more of it is better."""

    function: Metric
    higher_is_better: bool


METRICS: dict[str, Known] = {
    "accuracy": Known(accuracy, True),
    "auc": Known(auc, True),
    "f1": Known(f1, True),
    "mae": Known(mean_absolute_error, False),
    "mse": Known(mean_squared_error, False),
    "r2": Known(r2, True),
}
# Names that other libraries have for them: they are not ours, but what is meant is known.
_ELSEWHERE = {
    "acc": "accuracy",
    "f1_score": "f1",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "r2_score": "r2",
    "roc_auc": "auc",
}
_TOP = re.compile(r"top_([1-9][0-9]{0,8})")
# What a fit logs beside metrics, and the column in which a CSVLogger counts.
_TAKEN = ("loss", "val_loss", "lr", "seconds", "epoch")


def find_metric(metric: str | Callable[[Array, Array], float]) -> tuple[str, Metric]:
    """The metric that a user named, or wrote as a function of (output, y), with the name its result goes by.

    A function whose first argument is called y_true, as those of `sklearn.metrics`, is given (y, output).
    """
    if callable(metric):
        name = getattr(metric, "__name__", type(metric).__name__)
        return name, partial(_measure, metric, name, _takes_targets_first(metric))
    top = _TOP.fullmatch(metric) if isinstance(metric, str) else None
    if top is not None:
        return metric, partial(top_k, k=int(top[1]))
    if metric == "top_k":
        raise ValueError("metric 'top_k' needs a number for k: write 'top_5' or 'top_3'")
    if isinstance(metric, str) and metric not in METRICS:
        if metric in _ELSEWHERE:
            raise ValueError(f"metric {metric!r} is unknown: did you mean {_ELSEWHERE[metric]!r}?")
        find("metric", metric, {**METRICS, "top_5": None})  # which raises, and may mean this one
    return metric, find("metric", metric, METRICS).function


def find_metrics(metrics: Sequence[str | Callable[[Array, Array], float]]) -> list[tuple[str, Metric]]:
    """All metrics of a list, or an error where it is none, or where one result would hide another."""
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(f"metrics={metrics!r}: expected a list, such as metrics=['accuracy']")
    found = [find_metric(metric) for metric in metrics]
    seen: set[str] = set()
    for name, _ in found:
        if name in seen:
            raise ValueError(f"metrics has two that are called {name!r}: give each function a name of its own")
        if name in _TAKEN:
            raise ValueError(f"metrics has a function called {name!r}, which is something else here: rename it")
        seen.add(name)
    for name in seen:
        if f"val_{name}" in seen:
            raise ValueError(
                f"metrics has a function called 'val_{name}', as is {name!r} of the validation data: rename it"
            )
    return found


def is_known(name: str) -> bool:
    """Whether the name is that of a metric here, and not of a function of the user's."""
    return name in METRICS or _TOP.fullmatch(name) is not None


def higher_is_better(name: str) -> bool | None:
    """Whether more of what stands in the logs under this name is better; None where that is unknown.

    Examples
    --------
    >>> higher_is_better("val_accuracy"), higher_is_better("val_loss"), higher_is_better("my_own")
    (True, False, None)
    """
    name = name.removeprefix("val_")
    if name in METRICS:
        return METRICS[name].higher_is_better
    if _TOP.fullmatch(name) or name == "score":  # what early stopping of `deltarule.sklearn` logs
        return True
    return False if name.endswith(("loss", "error")) else None


def _takes_targets_first(function: Callable[[Array, Array], float]) -> bool:
    try:
        return next(iter(inspect.signature(function).parameters), None) == "y_true"
    except (TypeError, ValueError):  # some that are written in C have no signature
        return False


def _measure(
    function: Callable[[Array, Array], float],
    name: str,
    takes_targets_first: bool,
    output: Array,
    targets: Array,
    kind: str,
) -> float:
    """The user's function may write to what it is given: the targets of a fit are no copy."""
    given = np.array(output), np.array(targets)
    value: Any = function(*(given[::-1] if takes_targets_first else given))
    if np.ndim(value) != 0 or isinstance(value, str) or not hasattr(value, "__float__"):
        raise TypeError(f"metric {name!r} returned {type(value).__name__}: expected one number")
    return float(value)
