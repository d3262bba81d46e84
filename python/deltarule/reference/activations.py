"""All activation functions under one roof: find one by name, or read its formula.

To add one, write a class with a `name`, `value` and `slope` here, in sigmoids.py or in rectifiers.py: it enters
ACTIVATIONS by itself. The mathematics is in each docstring.
"""

from __future__ import annotations

import numpy as np

from ..names import find
from .activation import ACTIVATIONS, Activation, Array
from .rectifiers import Elu, Gelu, GeluTanh, HardSwish, LeakyRelu, Mish, Relu, Selu, Silu, Softplus
from .sigmoids import HardSigmoid, HardTanh, Sigmoid, Softsign, Tanh

ALIASES = {"linear": "identity", "logistic": "sigmoid", "swish": "silu"}

__all__ = [
    "ACTIVATIONS",
    "ALIASES",
    "Activation",
    "Array",
    "Elu",
    "Exp",
    "Gelu",
    "GeluTanh",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "Identity",
    "LeakyRelu",
    "Mish",
    "Relu",
    "Selu",
    "Sigmoid",
    "Silu",
    "Sine",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "get",
]


def get(name: str) -> type[Activation]:
    """Return the activation with this name or alias.

    Parameters
    ----------
    name : str
        A key of ``ACTIVATIONS`` or ``ALIASES``.

    Returns
    -------
    type of Activation
        The class; its methods are static, so no instance is needed.

    Raises
    ------
    TypeError
        If the name is no string.
    ValueError
        If there is no such activation.

    Examples
    --------
    >>> get("logistic").name
    'sigmoid'
    >>> get("rellu")
    Traceback (most recent call last):
    ...
    ValueError: activation 'rellu' is unknown: did you mean 'relu'?
    """
    return find("activation", name, ACTIVATIONS | {alias: ACTIVATIONS[target] for alias, target in ALIASES.items()})


class Identity(Activation):
    """f(z) = z; f'(z) = 1."""

    name = "identity"

    @staticmethod
    def value(z: Array) -> Array:
        return z.copy()

    @staticmethod
    def slope(z: Array) -> Array:
        return np.ones_like(z)


class Exp(Activation):
    """f(z) = exp(z) = f'(z): turns the log rate of the Poisson loss into a rate."""

    name = "exp"

    @staticmethod
    def value(z: Array) -> Array:
        return np.exp(z)

    @staticmethod
    def slope(z: Array) -> Array:
        return np.exp(z)


class Sine(Activation):
    """f(z) = sin(z); f'(z) = cos(z).

    References
    ----------
    V. Sitzmann et al., "Implicit neural representations with periodic activation functions", NeurIPS 2020.
    """

    name = "sine"

    @staticmethod
    def value(z: Array) -> Array:
        return np.sin(z)

    @staticmethod
    def slope(z: Array) -> Array:
        return np.cos(z)


class Softmax(Activation):
    """Turn each row of numbers into probabilities p_i = exp(z_i) / Σ_j exp(z_j).

    Every output depends on every input of its row: dp_i/dz_j = p_i ([i = j] - p_j). Hence there is no slope, and

        dL/dz_j = Σ_i dL/dp_i dp_i/dz_j = p_j (dL/dp_j - Σ_i dL/dp_i p_i).

    Subtracting the row's maximum from z changes nothing in p and keeps exp from overflowing.

    Examples
    --------
    >>> import numpy as np
    >>> Softmax.value(np.array([[0.0, 0.0], [1e4, -1e4]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """

    name = "softmax"

    @staticmethod
    def value(z: Array) -> Array:
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))

    @staticmethod
    def slope(z: Array) -> Array:
        raise TypeError("softmax has no slope, as it mixes the numbers of a row: use Softmax.backward(z, grad_output)")

    @classmethod
    def backward(cls, z: Array, grad_output: Array) -> Array:
        p = cls.value(z)
        return np.asarray(p * (grad_output - (grad_output * p).sum(axis=-1, keepdims=True)))
