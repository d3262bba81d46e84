"""From scikit-learn's fitted estimators to ours and back: weights, what was told of the training, and the optimizer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.utils.validation import check_is_fitted

from .parameters import layers_of, optimizer_of
from .solver import Solver
from .weights import Weights, network_of

__all__ = ["from_sklearn", "to_sklearn"]

# What both have, where the training has set it.
_ATTRIBUTES = (
    *("n_features_in_", "feature_names_in_", "n_layers_", "n_outputs_", "out_activation_", "classes_"),
    *("_label_binarizer", "n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_"),
    *("best_validation_score_", "_no_improvement_count", "_random_state"),
)


def _theirs(kind: type) -> Any:
    """scikit-learn's class of the same name."""
    for base in kind.__mro__:
        if base.__module__.startswith("sklearn.neural_network"):
            return base
    raise TypeError(f"{kind.__name__} has no counterpart in scikit-learn")


def _copy_attributes(source: Any, target: Any) -> None:
    for name in _ATTRIBUTES:
        if name in source.__dict__:
            setattr(target, name, copy.deepcopy(source.__dict__[name]))


def to_sklearn(estimator: Any) -> Any:
    """`Perceptron.to_sklearn`, where it is described."""
    check_is_fitted(estimator)
    kind = _theirs(type(estimator))
    ours = estimator.get_params(deep=False)
    model = kind(**{name: ours[name] for name in kind().get_params(deep=False)})
    known = {"identity", "logistic", "tanh", "relu"}
    if isinstance(model.activation, (list, tuple)) and len(set(model.activation)) == 1:
        model.activation = model.activation[0]
    if isinstance(model.activation, str):
        model.activation = {"linear": "identity", "sigmoid": "logistic"}.get(model.activation, model.activation)
    activation = model.activation
    if isinstance(activation, (list, tuple)) or activation not in known:
        raise ValueError(f"activation={activation!r}: scikit-learn has one for all hidden layers, of {sorted(known)}")
    if getattr(estimator, "loss", "log_loss") not in ("log_loss", "squared_error", "poisson") or (
        estimator.out_activation_ == "exp" and "loss" not in ours.keys() & model.get_params(deep=False).keys()
    ):
        raise ValueError(f"loss={estimator.loss!r}: this version of scikit-learn does not have it")
    _copy_attributes(estimator, model)
    model.coefs_ = [np.array(coef) for coef in estimator.coefs_]
    model.intercepts_ = [np.array(intercept) for intercept in estimator.intercepts_]
    model._best_coefs, model._best_intercepts = model.coefs_, model.intercepts_  # the same arrays, as after its own fit
    solver: Solver | None = estimator.__dict__.get("_optimizer")
    if solver is not None and estimator.optimizer is None and estimator.solver in ("adam", "sgd"):
        model._optimizer = _optimizer_of(estimator, model, solver)
    return model


def _optimizer_of(estimator: Any, model: Any, solver: Solver) -> Any:
    """scikit-learn's optimizer with the state of ours; its arrays are those of the coefs, then of the intercepts."""
    params = model.coefs_ + model.intercepts_
    slots = [slot[0::2] + slot[1::2] for slot in solver.arrays(estimator._network())]
    if estimator.solver == "adam":
        adam = AdamOptimizer(params, model.learning_rate_init, model.beta_1, model.beta_2, model.epsilon)
        adam.t, (adam.ms, adam.vs) = int(solver.carry[0]), slots
        adam.learning_rate = solver.learning_rate
        return adam
    sgd = SGDOptimizer(
        params,
        model.learning_rate_init,
        model.learning_rate,
        model.momentum,
        model.nesterovs_momentum,
        model.power_t,
    )
    sgd.learning_rate = solver.rate
    if slots:
        sgd.velocities = [-array for array in slots[0]]
    return sgd


def from_sklearn(kind: Any, model: Any, parameters: dict[str, Any]) -> Any:
    """`Perceptron.from_sklearn`, where it is described."""
    theirs = _theirs(kind)
    if not isinstance(model, theirs):
        raise TypeError(
            f"model is {type(model).__name__}: expected a fitted {theirs.__module__.split('._')[0]}.{theirs.__name__}"
        )
    check_is_fitted(model)
    estimator = kind(**{**model.get_params(deep=False), **parameters})
    _copy_attributes(model, estimator)
    coefs, intercepts = ([np.array(array) for array in arrays] for arrays in (model.coefs_, model.intercepts_))
    sizes = [coef.shape[1] for coef in coefs]
    layers = layers_of(estimator, sizes[:-1], sizes[-1])
    network = network_of(layers, coefs, intercepts, np.result_type(*coefs))
    estimator._weights = Weights(network)
    if "loss_curve_" in estimator.__dict__:
        estimator.val_loss_curve_ = None
    optimizer = getattr(model, "_optimizer", None)
    if isinstance(optimizer, (AdamOptimizer, SGDOptimizer)) and estimator.optimizer is None:
        estimator._optimizer = _solver_of(estimator, network, optimizer)
    return estimator


def _solver_of(estimator: Any, network: Any, optimizer: Any) -> Solver:
    schedule = estimator.learning_rate if isinstance(optimizer, SGDOptimizer) else "constant"
    solver = Solver(optimizer_of(estimator), network, schedule, float(estimator.power_t))
    n_layers = len(estimator.coefs_)

    def in_pairs(arrays: list[Any]) -> list[Any]:
        pairs = zip(arrays[:n_layers], arrays[n_layers:], strict=True)
        return [array for pair in pairs for array in pair]

    carry = np.zeros_like(solver.carry)
    if isinstance(optimizer, AdamOptimizer):
        if optimizer.t:
            carry[:3] = optimizer.t, optimizer.beta_1**optimizer.t, optimizer.beta_2**optimizer.t
        solver.restore(network, [in_pairs(optimizer.ms), in_pairs(optimizer.vs)], carry, estimator.learning_rate_init)
    elif len(solver.state):
        carry[0] = 1
        velocities = [-array for array in optimizer.velocities]
        solver.restore(network, [in_pairs(velocities)], carry, float(optimizer.learning_rate))
    else:
        solver.rate = float(optimizer.learning_rate)
    return solver
