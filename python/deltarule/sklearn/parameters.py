"""What the parameters of an estimator mean to the core: layers, loss, optimizer; and which values they may have."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, InvalidParameterError, Options, StrOptions

from ..layers import ALIASES, Dense, Dropout, Layer
from ..losses import LOSSES, BinaryCrossEntropy, CrossEntropy, Loss, find_loss
from ..names import find
from ..network.structure import WORDS
from ..optimizer import LEAST_EPS
from ..optimizers import OPTIMIZERS, SGD, Adam, Optimizer

__all__ = [
    "CONSTRAINTS",
    "LOSS_CONSTRAINT",
    "hidden_activations",
    "hidden_sizes",
    "is_stochastic",
    "layers_of",
    "loss_for_core",
    "optimizer_of",
    "output_activation_for_core",
    "scaling_activations",
]

_ELEMENTWISE = {*(name for name in WORDS["activations"] if name != "softmax"), "linear", "logistic", "swish"}
_DTYPES = (np.float32, np.float64, np.dtype("float32"), np.dtype("float64"))
_OF_REGRESSION = {"mse", "mae", "huber", "log_cosh", "quantile"}

# Beside scikit-learn's own.
CONSTRAINTS: dict[str, list[Any]] = {
    "activation": [StrOptions(_ELEMENTWISE), list, tuple],
    "optimizer": [None, StrOptions(set(OPTIMIZERS)), Optimizer],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "l1": [Interval(Real, 0, None, closed="left")],
    "clip_norm": [None, Interval(Real, 0, None, closed="neither")],
    "scoring": [None, StrOptions(set(get_scorer_names())), callable],
    "callbacks": [None, list, tuple],
    "dtype": [None, StrOptions({"float32", "float64"}), *(Options(type(one), {one}) for one in _DTYPES)],
    "n_threads": [None, Interval(Integral, 1, 1024, closed="both")],
    "time_limit": [None, Interval(Real, 0, None, closed="neither")],
}
LOSS_CONSTRAINT: list[Any] = [StrOptions({"squared_error", "poisson", *_OF_REGRESSION}), Loss]


def is_stochastic(estimator: Any) -> bool:
    """Whether it is trained by minibatches."""
    return bool(estimator.solver != "lbfgs")


def hidden_sizes(estimator: Any) -> list[int]:
    """The units of each hidden layer."""
    sizes = estimator.hidden_layer_sizes
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return sizes


def scaling_activations(estimator: Any, n_hidden: int) -> list[str]:
    """The activation that decides about the initial weights of each layer: the last layer goes by the one before it."""
    names = hidden_activations(estimator, n_hidden)
    if names:
        return [*names, names[-1]]
    asked = estimator.activation
    return [ALIASES.get(asked, asked) if isinstance(asked, str) else "identity"]


def hidden_activations(estimator: Any, n_hidden: int) -> list[str]:
    """The activation of each hidden layer, by the core's names."""
    asked = _for_each(estimator, "activation", n_hidden, lambda value: value in _ELEMENTWISE, "one of the activations")
    return [ALIASES.get(name, name) for name in asked]


def _for_each(estimator: Any, name: str, n_hidden: int, fits: Callable[[Any], bool], what: str) -> list[Any]:
    """A parameter that is one value for all hidden layers, or a list of one for each."""
    value = getattr(estimator, name)
    if not isinstance(value, (list, tuple)):
        return [value] * n_hidden
    wrong = [one for one in value if not fits(one)]
    if wrong:
        raise InvalidParameterError(
            f"The {name!r} parameter of {type(estimator).__name__} must hold {what} for each hidden layer. Got "
            f"{wrong[0]!r} in it instead."
        )
    if len(value) != n_hidden:
        raise InvalidParameterError(
            f"The {name!r} parameter of {type(estimator).__name__} must hold one value for each of the {n_hidden} "
            f"hidden layers. Got {len(value)} instead."
        )
    return list(value)


def _is_rate(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < 1


def layers_of(estimator: Any, sizes: list[int], outputs: int) -> list[Layer]:
    """The layers, with penalties, and dropout after each hidden one where there is any; the last one gives logits."""
    l1, l2 = float(estimator.l1), float(estimator.alpha)
    activations = hidden_activations(estimator, len(sizes))
    rates = _for_each(estimator, "dropout", len(sizes), _is_rate, "a rate in [0, 1)")
    layers: list[Layer] = []
    for units, activation, rate in zip(sizes, activations, rates, strict=True):
        layers.append(Dense(units, activation, l1=l1, l2=l2))
        if rate > 0:
            layers.append(Dropout(rate))
    return [*layers, Dense(outputs, l1=l1, l2=l2)]


def output_activation_for_core(out_activation: str) -> str:
    """What turns the logits of the last layer into predictions; "" for nothing."""
    return {"identity": "", "logistic": "sigmoid"}.get(out_activation, out_activation)


def loss_for_core(estimator: Any, outputs: int, dtype: Any) -> tuple[Loss, tuple[Any, ...]]:
    """The loss and its form for the core, with scikit-learn's conventions.

    Penalties are added to the sum over a batch, not to its mean, and an epoch weighs its batches by their samples.
    A squared error is halved, averaged over the outputs in its value and summed in its gradient; log-losses and the
    Poisson deviance are sums over the outputs, and probabilities are clipped to [eps, 1 - eps] in the value alone.
    """
    convention: dict[str, Any] = {"penalty_in_sum": True, "epoch_by_samples": True}
    eps = float(np.finfo(dtype).eps)
    asked = estimator.loss
    if asked == "log_loss":
        found: Any = CrossEntropy() if estimator.out_activation_ == "softmax" else BinaryCrossEntropy(clip=eps)
        convention |= {"value_share": 1.0, "gradient_share": 1.0}
        if estimator.out_activation_ == "softmax":
            convention |= {"least": -math.log1p(-eps), "most": -math.log(eps)}
    elif asked == "squared_error":
        found = find_loss("mse")
        convention |= {"value_share": 0.5 / outputs, "gradient_share": 0.5}
    elif asked == "poisson":
        found = find_loss("poisson_deviance")
        convention |= {"value_share": 1.0, "gradient_share": 1.0}
    else:
        found = asked if isinstance(asked, Loss) else find("loss", asked, LOSSES)()
    return found, (found.name, found.parameter, convention)


def optimizer_of(estimator: Any) -> Optimizer:
    """The optimizer that the parameters ask for: scikit-learn's form of Adam or of momentum, or one of the core's."""
    rate = float(estimator.learning_rate_init)
    if isinstance(estimator.optimizer, Optimizer):
        return estimator.optimizer
    if estimator.optimizer is not None:
        return OPTIMIZERS[estimator.optimizer](lr=rate)
    if estimator.solver == "adam":
        betas = (float(estimator.beta_1), float(estimator.beta_2))
        return Adam(lr=rate, betas=betas, eps=max(float(estimator.epsilon), LEAST_EPS), eps_hat=True)
    momentum = float(estimator.momentum)
    nesterov = bool(estimator.nesterovs_momentum) and momentum > 0
    return SGD(lr=rate, momentum=momentum, nesterov=nesterov, lr_in_velocity=True)
