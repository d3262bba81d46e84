"""The activations as formulas to be written out, with their slopes: z is what goes in, a what comes out.

To add one, give it a row by its name in deltarule.reference.activations, whose docstrings have the mathematics; a test
compares the two. A slope that reads well from the output takes a, as that of the sigmoid, a (1 - a).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from .expressions import Expression, Number, Quantity, call, cases, total

__all__ = ["ACTIVATIONS", "Formula", "Lines", "sigmoid", "softmax", "softmax_back"]


class Formula(NamedTuple):
    """f(z), and f'(z) from z and a."""

    value: Callable[[Expression], Expression]
    slope: Callable[[Expression, Expression], Expression]


def sigmoid(z: Expression) -> Expression:
    """1 / (1 + exp(-z))."""
    return 1 / (1 + call("exp", -z))


def _silu_slope(z: Expression, a: Expression) -> Expression:
    s = call("sigmoid", z)
    return s + a * (1 - s)


def _mish_slope(z: Expression, a: Expression) -> Expression:
    t = call("tanh", call("softplus", z))
    return t + z * (1 - t**2) * call("sigmoid", z)


def _gelu_tanh_slope(z: Expression, a: Expression) -> Expression:
    s = call("sigmoid", 2 * _ROOT * (z + 0.044715 * z**3))
    return s + a * (1 - s) * (2 * _ROOT) * (1 + 3 * 0.044715 * z**2)


_SCALE, _ALPHA = 1.0507009873554805, 1.6732632423543772  # of selu
_ROOT = math.sqrt(2 / math.pi)
_FAR = 500.0  # exp of it is still a number

ACTIVATIONS: dict[str, Formula] = {
    "identity": Formula(lambda z: z, lambda z, a: Number(1.0)),
    "sigmoid": Formula(sigmoid, lambda z, a: a * (1 - a)),
    "tanh": Formula(lambda z: call("tanh", z), lambda z, a: 1 - a**2),
    "relu": Formula(lambda z: call("max", 0, z), lambda z, a: cases((1, z, ">", 0), otherwise=0)),
    "leaky_relu": Formula(
        lambda z: cases((z, z, ">", 0), otherwise=0.01 * z), lambda z, a: cases((1, z, ">", 0), otherwise=0.01)
    ),
    "elu": Formula(
        lambda z: cases((z, z, ">", 0), otherwise=call("exp", z) - 1),
        lambda z, a: cases((1, z, ">", 0), otherwise=call("exp", z)),
    ),
    "selu": Formula(
        lambda z: cases((_SCALE * z, z, ">", 0), otherwise=_SCALE * _ALPHA * (call("exp", z) - 1)),
        lambda z, a: cases((_SCALE, z, ">", 0), otherwise=_SCALE * _ALPHA * call("exp", z)),
    ),
    "softplus": Formula(lambda z: call("log", 1 + call("exp", z)), lambda z, a: sigmoid(z)),
    "gelu": Formula(lambda z: z * call("Phi", z), lambda z, a: call("Phi", z) + z * call("phi", z)),
    "gelu_tanh": Formula(lambda z: z * (1 + call("tanh", _ROOT * (z + 0.044715 * z**3))) / 2, _gelu_tanh_slope),
    "silu": Formula(lambda z: z * call("sigmoid", z), _silu_slope),
    "mish": Formula(lambda z: z * call("tanh", call("softplus", z)), _mish_slope),
    "hard_swish": Formula(
        lambda z: cases((0, z, "<=", -3), (z * (z + 3) / 6, z, "<", 3), otherwise=z),
        lambda z, a: cases((0, z, "<=", -3), (z / 3 + 0.5, z, "<", 3), otherwise=1),
    ),
    "softsign": Formula(lambda z: z / (1 + call("abs", z)), lambda z, a: 1 / (1 + call("abs", z)) ** 2),
    "hard_sigmoid": Formula(
        lambda z: call("max", 0, call("min", 1, z / 6 + 0.5)),
        lambda z, a: cases((1 / Number(6.0), call("abs", z), "<", 3), otherwise=0),
    ),
    "hard_tanh": Formula(
        lambda z: call("max", -1, call("min", 1, z)), lambda z, a: cases((1, call("abs", z), "<", 1), otherwise=0)
    ),
    "exp": Formula(lambda z: call("exp", z), lambda z, a: a),
    "sine": Formula(lambda z: call("sin", z), lambda z, a: call("cos", z)),
}


Lines = list[tuple[Quantity, Expression]]


def softmax(z: Sequence[Quantity], p: Sequence[Quantity]) -> Lines:
    """S = Σ_k exp(z_k), then p_j = exp(z_j) / S: the one activation that looks at all units."""
    greatest = max(each.value for each in z)
    # Where exp would be infinite, or 0 for all, the greatest is taken away first, which changes no p.
    exps = [call("exp", each - greatest if abs(greatest) > _FAR else each) for each in z]
    together = total(exps)
    S = replace(p[0], letter="S", index="", number=together.value)
    return [(S, together), *((each, part / S) for each, part in zip(p, exps, strict=True))]


def softmax_back(p: Sequence[Quantity], grads: Sequence[Quantity], deltas: Sequence[Quantity]) -> Lines:
    """T = Σ_k dL/dp_k p_k, then delta_j = p_j (dL/dp_j - T), the chain rule through all units."""
    together = total(grad * each for grad, each in zip(grads, p, strict=True))
    T = replace(p[0], letter="T", index="", number=together.value)
    return [
        (T, together),
        *((delta, each * (grad - T)) for delta, each, grad in zip(deltas, p, grads, strict=True)),
    ]
