"""explain_step: one forward, backward and update of a network, with every number and where it comes from.

The loss, the gradients and the update are the core's; what lies between is the reference's, which has to agree with it.
To add a layer type, write what there is to say of it as dense.py does, and give it a row in `_steps_of`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import reference
from ..layers import GRU, LSTM, RNN, Dense, Dropout, LayerNorm
from ..names import require_integer, require_number
from ..network import Network
from ..network.inputs import has_recurrent
from ..optimizers import SGD, find_optimizer
from ..trainer import Trainer
from ..twin import Twin
from .agreement import require_agreement
from .batch import LayerSteps
from .dense import DenseSteps
from .explanation import StepExplanation
from .layer_norm import LayerNormSteps
from .recurrent import RecurrentSteps
from .sections import with_sections
from .trace import Trace, trace
from .updates import UPDATES

if TYPE_CHECKING:
    from ..losses import CustomLoss, Loss
    from ..optimizer import Optimizer

__all__ = ["explain_step"]

_MOST_NUMBERS = 2_000


def explain_step(
    network: Network,
    x: Any,
    y: Any,
    *,
    loss: str | Loss | CustomLoss | None = None,
    optimizer: str | Optimizer | type[Optimizer] | None = None,
    lr: float | None = None,
    sample_weight: Any = None,
    lengths: Any = None,
    most_numbers: int = _MOST_NUMBERS,
) -> StepExplanation:
    r"""Explain one step of training: every number, in the order of the chain rule.

    Forward, layer by layer; the loss; backward, from the last layer to the first; the gradients; the update; and the
    loss after it. For a dense layer with inputs x, weights w, outputs a and the layer above it (marked with ')

    .. math::
        z_j = \sum_i x_i w_{ij} + b_j, \quad a_j = f(z_j), \quad
        \delta_j = \frac{\partial L}{\partial z_j} = f'(z_j) \sum_k w'_{jk} \delta'_k, \quad
        \frac{\partial L}{\partial w_{ij}} = x_i \delta_j

    Parameters
    ----------
    network : Network
        A small one. It is not changed.
    x : array-like of shape (n_samples, n_features), or (n_samples, n_steps, n_features) for sequences
        A batch, or without the first axis one sample alone.
    y : array-like
        What the loss takes; of one sample alone its target.
    loss : str, Loss or callable, optional
        As in `Network.fit`. By default the loss of the last fit.
    optimizer : str or Optimizer, optional
        Makes its first step, from the state that it starts from. By default plain gradient descent.
    lr : float, default=0.1
        The learning rate of plain gradient descent, where no optimizer is given; at least 0.
    sample_weight : array-like of shape (n_samples,), optional
        As in `Network.fit`.
    lengths : array-like of int of shape (n_samples,), optional
        As in `Network.fit`.
    most_numbers : int, default=2000
        The most parameters · samples (· steps) to explain; more can be asked for.

    Returns
    -------
    StepExplanation
        Printed, it can be followed by hand; with ``table(digits)``, ``to_dict()``, ``to_latex()``, and the updated
        parameters as ``updated``.

    Raises
    ------
    TypeError, ValueError
        A network that is too large, or has layers that are not explained; a loss or gradient that is not finite; bad
        arguments as in `Network.loss_and_gradients`.
    DivergenceError
        A weight would not be finite after the update.
    RuntimeError
        The core and the reference disagree, which would be a mistake in this library.

    Notes
    -----
    delta is dL/dz, where L is the mean over the batch: the mean is taken once, in dL/d(output), and a gradient is the
    sum over the samples. Textbooks often take delta from the loss of one sample, and the mean in the gradient. The
    gradients are the same.

    Without dropout, as all but the steps of a training.

    References
    ----------
    D. Rumelhart, G. Hinton and R. Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
    The example: M. Mazur, "A step by step backpropagation example", 2015, whose ½ Σ (target - output)² over two
    outputs is the mean squared error. It leaves the biases as they are; here they learn too.

    Examples
    --------
    >>> import deltarule as dr
    >>> network = dr.Network([dr.Dense(2, "sigmoid"), dr.Dense(2, "sigmoid")], input_shape=2, dtype="float64")
    >>> network.load_state_dict({
    ...     "0.weight": [[0.15, 0.25], [0.20, 0.30]], "0.bias": [0.35, 0.35],
    ...     "1.weight": [[0.40, 0.50], [0.45, 0.55]], "1.bias": [0.60, 0.60],
    ... })
    >>> step = explain_step(network, [0.05, 0.10], [0.01, 0.99], loss="mse", lr=0.5)
    >>> for line in step.to_dict()["forward"][:2]:
    ...     print(line["of"], line["symbol"], "=", line["formula"], "=", round(line["value"], 9))
    layer 1, unit 1 z_1 = x_1·w_11 + x_2·w_21 + b_1 = 0.3775
    layer 1, unit 1 a_1 = 1 / (1 + exp(-z_1)) = 0.593269992
    >>> print(f"{step.loss:.9f}")
    0.298371109
    >>> step.updated["1.weight"].T.round(8)
    array([[0.35891648, 0.40866619],
           [0.51130127, 0.56137012]])
    >>> step.loss_after < step.loss
    True
    """
    if not isinstance(network, Network):
        raise TypeError(
            f"network is {type(network).__name__}: expected a deltarule.Network; check the order of the arguments,"
            " explain_step(network, x, y, loss=...)"
        )
    _require_known_layers(network)
    most = require_integer("most_numbers", most_numbers, least=1)
    rule = _rule(optimizer, lr)
    chosen = network.loss if loss is None else loss
    if chosen is None:
        raise ValueError("explain_step needs a loss: the network was not trained yet; pass loss=, such as loss='mse'")
    x, y = _as_batch(network, x, y)
    of_steps: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
    given: dict[str, Any] = {"loss": chosen, "sample_weight": sample_weight, **of_steps}
    value, gradients = network.loss_and_gradients(x, y, **given)
    twin = Twin(network, x, y, chosen, sample_weight, **of_steps)
    _require_small(network, twin, most)
    if not (math.isfinite(value) and all(np.isfinite(gradient).all() for gradient in gradients.values())):
        raise ValueError(
            f"the loss is {value:g}, and it or a gradient is not finite: there is no step to explain; make the"
            " parameters or x smaller, for instance with deltarule.Standardizer"
        )
    after = copy.deepcopy(network)
    Trainer(after, loss=chosen, optimizer=rule).apply(gradients)
    settings: dict[str, Any] = {"name": rule.name, **rule.hyperparameters()}
    output = network.predict(x, **of_steps)
    parameters, updated = network.state_dict(), after.state_dict()
    lr_factors = [_lr_factor(layer) for layer in network.layers]
    rules = {name: _twin_of(rule, lr_factors[number]) for name, _, number in network._native.tensors}
    require_agreement(network, twin, rules, value, gradients, updated)
    found = trace(twin)
    explanation = StepExplanation(
        _title(network, found, twin, settings),
        value,
        after.loss_and_gradients(x, y, **given)[0],
        output,
        after.predict(x, **of_steps),
        parameters,
        gradients,
        updated,
        settings,
    )
    return with_sections(explanation, twin, found, _layer_steps(network, twin, found), lr_factors)


def _require_known_layers(network: Network) -> None:
    known = (Dense, Dropout, LayerNorm, RNN, LSTM, GRU)
    for number, layer in enumerate(network.layers, start=1):
        if not isinstance(layer, known):
            names = ", ".join(kind.__name__ for kind in known)
            raise ValueError(
                f"layer {number} is {type(layer).__name__}: explain_step can explain {names}; leave the layer out, or"
                " see deltarule.gradient_flow, which takes every network"
            )
        if getattr(layer, "bidirectional", False):
            raise ValueError(
                f"layer {number} is bidirectional: explain_step follows the steps in one direction; explain a network"
                " with bidirectional=False, or see deltarule.gradient_flow"
            )


def _rule(optimizer: Any, lr: float | None) -> Optimizer:
    if optimizer is None:
        return SGD(lr=0.1 if lr is None else require_number("lr", lr, least=0.0))
    if lr is not None:
        raise ValueError(
            f"lr={lr!r} and optimizer={optimizer!r}: give one of them, such as optimizer=dr.Adam(lr={lr!r})"
        )
    rule = find_optimizer(optimizer)
    if rule.name not in UPDATES:
        raise ValueError(
            f"optimizer={rule!r}: explain_step can explain a step of {', '.join(UPDATES)}; choose one of them"
        )
    return rule


def _lr_factor(layer: Any) -> float | None:
    """How fast a layer learns; None where it is frozen."""
    return float(getattr(layer, "lr_factor", 1.0)) if getattr(layer, "trainable", True) else None


def _twin_of(rule: Optimizer, lr_factor: float | None) -> reference.optimizers.Optimizer | None:
    """The same optimizer in the reference, for a layer; of a schedule the first rate."""
    if lr_factor is None:
        return None
    arguments = {field.name: getattr(rule, field.name) for field in fields(rule)}
    return reference.optimizers.get({"name": rule.name, **arguments, "lr": lr_factor * rule.hyperparameters()["lr"]})


def _as_batch(network: Network, x: Any, y: Any) -> tuple[Any, Any]:
    """One sample alone as a batch of one."""
    reads = isinstance(network.input_shape, tuple) or has_recurrent(network)
    try:
        dimensions = int(getattr(x, "ndim", -1)) if hasattr(x, "ndim") else np.ndim(x)
    except ValueError:
        return x, y  # a list of sequences of different lengths
    if dimensions != (2 if reads else 1):
        return x, y
    return np.asarray(x)[None], np.asarray(y)[None]


def _require_small(network: Network, twin: Twin, most: int) -> None:
    rows = int(np.prod(twin.X.shape[:-1]))
    numbers = network.n_parameters * rows
    if numbers > most:
        of_rows = f"{rows:,} samples or steps" if rows > 1 else "one sample"
        raise ValueError(
            f"there are {network.n_parameters:,} parameters for {of_rows}, {numbers:,} numbers in the"
            f" gradients alone, and most_numbers={most:,}: explain a smaller network or fewer samples, which show the"
            f" same; or pass most_numbers={numbers} to have it all the same"
        )


def _layer_steps(network: Network, twin: Twin, found: Trace) -> list[LayerSteps | None]:
    """What there is to say of each layer; None of dropout, which does nothing here."""
    return [
        _steps_of(layer, number, of.name or str(number), found, found.told[number], layer is twin.network.last)
        for number, (layer, of) in enumerate(zip(twin.network.layers, network.layers, strict=True))
    ]


def _steps_of(layer: Any, number: int, name: str, found: Trace, told: Any, is_last: bool) -> LayerSteps | None:
    batch = found.batch
    if isinstance(layer, reference.Dense):
        gives_delta = is_last and found.is_fused
        delta = told if gives_delta else layer.activation.backward(np.asarray(layer.z), told)
        return DenseSteps(layer, number + 1, name, batch, told, delta, gives_delta)
    if isinstance(layer, reference.LayerNorm):
        return LayerNormSteps(layer, number + 1, name, batch, told)
    if isinstance(layer, reference.Recurrent):
        return RecurrentSteps(layer, number + 1, name, batch, told)
    return None


def _title(network: Network, found: Trace, twin: Twin, settings: dict[str, Any]) -> str:
    units = [getattr(layer, "units", None) for layer in network.layers]
    shape = "-".join(str(size) for size in (twin.X.shape[-1], *units) if size is not None)
    n_samples = found.batch.n_samples
    samples = f"{n_samples} sample{'s' if n_samples > 1 else ''}"
    steps = f" of {twin.X.shape[1]} steps" if twin.X.ndim == 3 else ""
    loss = f"loss {twin._loss.name}" if twin._loss.name else "a loss of your own"
    optimizer = f"{settings['name']} with lr = {settings['lr']:g}"
    return f"One step of training: a {shape} network ({network.dtype.name}), {samples}{steps}, {loss}, {optimizer}"
