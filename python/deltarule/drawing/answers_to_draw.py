"""What a model says of points, in the form that can be drawn: a probability, a margin, a class or a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..losses import Loss
from ..network import Network
from ..targets import first_outside, require_whole

__all__ = ["Answers", "answers_of"]

Array = npt.NDArray[Any]
Function = Callable[[Any], Array]


@dataclass(frozen=True)
class Answers:
    """Which kind of answers a model gives, and how to ask for them.

    Attributes
    ----------
    kind : {"probability", "margin", "class", "value"}
        The probability of the second of two classes, the output of a hinge loss, the index of a class, a number.
    ask : callable
        From points to what is drawn in the plane, of shape (n_points,).
    curves : callable
        From points to what is drawn over one feature, of shape (n_points, n_curves): a probability or output for each
        class, or `ask` as one column.
    targets : ndarray of shape (n_samples,)
        Indices into `names`; the numbers themselves where the kind is "value".
    names : tuple of str
        Of the classes.
    of_curves : str
        What the curves are, in words.
    """

    kind: str
    ask: Function
    curves: Function
    targets: Array
    names: tuple[str, ...]
    of_curves: str = "output"


def answers_of(model: Any, y: Any, n_samples: int) -> Answers:
    """The answers of a `Network` or of an estimator of scikit-learn's kind, and y in the same form."""
    targets = np.asarray(y)
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim not in (1, 2) or len(targets) != n_samples:
        raise ValueError(
            f"y has shape {np.shape(y)} but X has {n_samples} rows: expected one target for each, of shape "
            f"({n_samples},), or a one-hot row"
        )
    if isinstance(model, Network):
        return _of_network(model, targets)
    if not callable(getattr(model, "predict", None)) or isinstance(model, type):
        raise TypeError(f"network is {type(model).__name__}: expected a deltarule.Network, or a model with predict(X)")
    return _of_estimator(model, targets)


def _of_network(network: Network, y: Array) -> Answers:
    outputs, name = network._last.units, network.loss.name if isinstance(network.loss, Loss) else ""
    if outputs > 1:
        return _of_outputs(network, y, outputs, name)
    if y.ndim == 2:
        raise ValueError(f"y has shape {y.shape} but the network has 1 output: expected one number for each sample")
    if name in ("hinge", "squared_hinge"):
        first = "-1" if (y < 0).any() else "0"
        return _of_column("margin", network.predict, (y > 0).astype(np.int64), (first, "1"))
    between = network._last.activation_name == "sigmoid" and bool(((y == 0) | (y == 1)).all())
    if name == "binary_cross_entropy" or between:
        return _of_column("probability", network.predict_proba, (y > 0.5).astype(np.int64), ("0", "1"))
    return _of_column("value", network.predict, _as_numbers(y), ())


def _of_outputs(network: Network, y: Array, outputs: int, loss: str) -> Answers:
    """One class for each output."""
    if y.ndim == 2:
        one_hot = bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())
        if y.shape[1] != outputs or not (one_hot or loss == "cross_entropy"):
            raise ValueError(
                f"y has shape {y.shape} and the network {outputs} outputs: expected class indices or one-hot rows; of "
                "several numbers or labels at once there is no one picture"
            )
        y = y.argmax(axis=1)
    indices = require_whole(_as_numbers(y), "y").astype(np.int64)
    row = first_outside(indices, outputs)
    if row >= 0:
        raise ValueError(f"y[{row}] is {y[row]} but the network has {outputs} outputs: expected 0 to {outputs - 1}")
    names = tuple(map(str, range(outputs)))
    has_probabilities = loss == "cross_entropy" or network._last.activation_name == "softmax"
    curves: Function = network.predict_proba if has_probabilities else network.predict
    if outputs == 2 and has_probabilities:
        return _of_second_class(curves, indices, names)
    of_curves = "probability" if has_probabilities else "output"
    return Answers("class", lambda X: network.predict(X).argmax(axis=1), curves, indices, names, of_curves)


def _of_estimator(model: Any, y: Array) -> Answers:
    classes = getattr(model, "classes_", None)
    if y.ndim == 2:
        raise ValueError(f"y has shape {y.shape}: expected one label or number for each sample")
    if classes is None:
        return _of_column("value", model.predict, _as_numbers(y), ())
    labels = np.asarray(classes)
    unknown = ~np.isin(y, labels)
    if labels.ndim != 1 or unknown.any():
        which = y[unknown.argmax()] if labels.ndim == 1 else "several labels"
        raise ValueError(f"y has {which}, which is none of the model's classes_, {labels!r}")
    names, indices = tuple(map(str, labels)), np.searchsorted(labels, y)
    probabilities = getattr(model, "predict_proba", None)
    if len(labels) == 2 and probabilities is not None:
        return _of_second_class(probabilities, indices, names)

    def ask(X: Any) -> Array:
        return np.searchsorted(labels, np.asarray(model.predict(X)))

    if probabilities is None:
        return Answers("class", ask, lambda X: ask(X)[:, None], indices, names, "class")
    return Answers("class", ask, probabilities, indices, names, "probability")


def _of_second_class(probabilities: Function, indices: Array, names: tuple[str, ...]) -> Answers:
    return _of_column("probability", lambda X: probabilities(X)[:, 1], indices, names)


def _of_column(kind: str, predict: Function, targets: Array, names: tuple[str, ...]) -> Answers:
    def column(X: Any) -> Array:
        return np.asarray(predict(X)).reshape(len(X), -1)[:, :1]

    of_curves = f"probability of {names[-1]}" if kind == "probability" else "output"
    return Answers(kind, lambda X: column(X)[:, 0], column, targets, names, of_curves)


def _as_numbers(y: Array) -> Array:
    if y.dtype.kind not in "biuf":
        raise TypeError(
            f"y has dtype {y.dtype}: expected numbers; turn labels into class numbers with np.unique(y, "
            "return_inverse=True)[1]"
        )
    return y.astype(np.float64)
