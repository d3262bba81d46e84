"""The losses as formulas to be written out, with their slopes: o is an output of the network, y its target.

To add one, give it a row by its name in deltarule.reference.losses, whose docstrings have the mathematics; a test
compares the two. These are of one output; the mean over outputs, samples and steps is taken in output.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .expressions import Expression, Quantity, call, cases

__all__ = ["LOSSES", "LossFormula", "parameter_of"]


class LossFormula(NamedTuple):
    """The loss of one output, and its derivative by that output; parameter is the loss's own, such as delta."""

    value: Callable[[Expression, Expression, Expression], Expression]
    slope: Callable[[Expression, Expression, Expression], Expression]
    parameter: str = ""
    link: str = ""  # the activation that makes a probability p of the output; then o is p in `value` and `slope`


def _huber(o: Expression, y: Expression, delta: Expression) -> Expression:
    distance = call("abs", o - y)
    return cases(((o - y) ** 2 / 2, distance, "<=", delta), otherwise=delta * (distance - delta / 2))


def _huber_slope(o: Expression, y: Expression, delta: Expression) -> Expression:
    return cases((o - y, call("abs", o - y), "<=", delta), otherwise=delta * call("sign", o - y))


def _deviance(o: Expression, y: Expression, _: Expression) -> Expression:
    return cases((y * call("log", y / call("exp", o)) + call("exp", o) - y, y, ">", 0), otherwise=call("exp", o))


def _binary_cross_entropy(p: Expression, y: Expression, _: Expression) -> Expression:
    if y.value in (0, 1):  # the usual case, of which half the formula is 0
        return -call("log", p if y.value else 1 - p)
    return -(y * call("log", p) + (1 - y) * call("log", 1 - p))


LOSSES: dict[str, LossFormula] = {
    "mse": LossFormula(lambda o, y, _: (o - y) ** 2, lambda o, y, _: 2 * (o - y)),
    "mae": LossFormula(lambda o, y, _: call("abs", o - y), lambda o, y, _: call("sign", o - y)),
    "huber": LossFormula(_huber, _huber_slope, "delta"),
    "log_cosh": LossFormula(lambda o, y, _: call("log", call("cosh", o - y)), lambda o, y, _: call("tanh", o - y)),
    "poisson": LossFormula(lambda o, y, _: call("exp", o) - y * o, lambda o, y, _: call("exp", o) - y),
    "poisson_deviance": LossFormula(_deviance, lambda o, y, _: call("exp", o) - y),
    "quantile": LossFormula(
        lambda o, y, q: call("max", q * (y - o), (q - 1) * (y - o)),
        lambda o, y, q: cases((-q, o, "<", y), (1 - q, o, ">", y), otherwise=0),
        "q",
    ),
    "cross_entropy": LossFormula(lambda p, y, _: -(y * call("log", p)), lambda p, y, _: p - y, link="softmax"),
    "binary_cross_entropy": LossFormula(_binary_cross_entropy, lambda p, y, _: p - y, link="sigmoid"),
    "hinge": LossFormula(
        lambda o, y, _: call("max", 0, 1 - y * o), lambda o, y, _: cases((-y, y * o, "<", 1), otherwise=0)
    ),
    "squared_hinge": LossFormula(
        lambda o, y, _: call("max", 0, 1 - y * o) ** 2, lambda o, y, _: -2 * y * call("max", 0, 1 - y * o)
    ),
}


def parameter_of(formula: LossFormula, value: float) -> Quantity:
    """The loss's own parameter by its name."""
    return Quantity(formula.parameter, number=value)
