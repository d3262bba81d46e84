"""Activations that squash: S-shaped, from one bound to the other.

To add one, write a class with a `name`, `value` and `slope`: it enters ACTIVATIONS by itself.
The slope at a corner is PyTorch's, so that the two can be compared number by number.
"""

from __future__ import annotations

import numpy as np

from .activation import Activation, Array


class Sigmoid(Activation):
    """f(z) = 1 / (1 + exp(-z)); f'(z) = f (1 - f).

    Both are written with e = exp(-|z|), which is never above 1, so that neither tail overflows or cancels.
    """

    name = "sigmoid"

    @staticmethod
    def value(z: Array) -> Array:
        e = np.exp(-np.abs(z))
        return np.asarray(np.where(z >= 0, 1, e) / (1 + e))

    @staticmethod
    def slope(z: Array) -> Array:
        e = np.exp(-np.abs(z))
        return np.asarray(e / (1 + e) ** 2)


class Tanh(Activation):
    """f(z) = tanh(z); f'(z) = 1 - f².

    The slope is computed as 1 / cosh(z)² = 4e / (1 + e)² with e = exp(-2|z|), where nothing cancels.
    """

    name = "tanh"

    @staticmethod
    def value(z: Array) -> Array:
        return np.tanh(z)

    @staticmethod
    def slope(z: Array) -> Array:
        e = np.exp(-2 * np.abs(z))
        return np.asarray(4 * e / (1 + e) ** 2)


class Softsign(Activation):
    """f(z) = z / (1 + |z|); f'(z) = 1 / (1 + |z|)²."""

    name = "softsign"

    @staticmethod
    def value(z: Array) -> Array:
        return np.asarray(z / (1 + np.abs(z)))

    @staticmethod
    def slope(z: Array) -> Array:
        return (1 + np.abs(z)) ** -2.0


class HardSigmoid(Activation):
    """f(z) = z/6 + ½ cut to [0, 1]; f'(z) = 1/6 for -3 < z < 3, else 0 (also at -3 and 3).

    Notes
    -----
    PyTorch's and Keras 3's form; older Keras had z/5 + ½.

    References
    ----------
    A. Howard et al., "Searching for MobileNetV3", ICCV 2019.
    """

    name = "hard_sigmoid"

    @staticmethod
    def value(z: Array) -> Array:
        return np.clip(z / 6 + 0.5, 0, 1)

    @staticmethod
    def slope(z: Array) -> Array:
        return np.where(np.abs(z) < 3, 1 / 6, 0.0)


class HardTanh(Activation):
    """f(z) = z cut to [-1, 1]; f'(z) = 1 for -1 < z < 1, else 0 (also at -1 and 1)."""

    name = "hard_tanh"

    @staticmethod
    def value(z: Array) -> Array:
        return np.clip(z, -1, 1)

    @staticmethod
    def slope(z: Array) -> Array:
        return np.where(np.abs(z) < 1, 1.0, 0.0)
