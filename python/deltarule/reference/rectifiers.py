"""Activations of the rectifier family: nearly nothing to the left of zero, nearly z to the right.

To add one, write a class with a `name`, `value` and `slope`: it enters ACTIVATIONS by itself.
The slope at a corner is PyTorch's, so that the two can be compared number by number.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from .activation import Activation, Array
from .sigmoids import HardSigmoid, Sigmoid, Tanh

SQRT_HALF = math.sqrt(0.5)
SQRT_TWO_PI = math.sqrt(2 * math.pi)


class Relu(Activation):
    """f(z) = max(z, 0); f'(z) = 1 for z > 0, else 0 (also at 0).

    References
    ----------
    V. Nair and G. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.
    """

    name = "relu"
    relu_like = True

    @staticmethod
    def value(z: Array) -> Array:
        return np.maximum(z, 0)

    @staticmethod
    def slope(z: Array) -> Array:
        return np.where(z > 0, 1.0, 0.0)


class LeakyRelu(Activation):
    """f(z) = z for z > 0, else 0.01 z; f'(z) = 1 for z > 0, else 0.01 (also at 0).

    Notes
    -----
    The slope 0.01 on the left is the paper's and PyTorch's; Keras takes 0.3 (layer) or 0.2 (function).

    References
    ----------
    A. Maas, A. Hannun and A. Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML 2013.
    """

    name = "leaky_relu"
    relu_like = True

    @staticmethod
    def value(z: Array) -> Array:
        return np.where(z > 0, z, 0.01 * z)

    @staticmethod
    def slope(z: Array) -> Array:
        return np.where(z > 0, 1.0, 0.01)


class Elu(Activation):
    """f(z) = z for z > 0, else exp(z) - 1; f'(z) = 1 for z > 0, else exp(z).

    References
    ----------
    D. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning by exponential linear units
    (ELUs)", ICLR 2016.
    """

    name = "elu"
    relu_like = True

    @staticmethod
    def value(z: Array) -> Array:
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))

    @staticmethod
    def slope(z: Array) -> Array:
        return np.exp(np.minimum(z, 0))


class Selu(Activation):
    """f(z) = λz for z > 0, else λα (exp(z) - 1); f'(z) = λ for z > 0, else λα exp(z) (also at 0).

    λ and α are such that mean 0 and variance 1 are kept from layer to layer.

    References
    ----------
    G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017, equations 2 and 14.
    """

    name = "selu"
    relu_like = True
    scale: ClassVar[float] = 1.0507009873554804934193349852946
    alpha: ClassVar[float] = 1.6732632423543772848170429916717

    @staticmethod
    def value(z: Array) -> Array:
        return Selu.scale * np.where(z > 0, z, Selu.alpha * np.expm1(np.minimum(z, 0)))

    @staticmethod
    def slope(z: Array) -> Array:
        return Selu.scale * np.where(z > 0, 1, Selu.alpha * np.exp(np.minimum(z, 0)))


class Softplus(Activation):
    """f(z) = log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)); f'(z) = σ(z), the sigmoid.

    References
    ----------
    C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing", NeurIPS 2000.
    """

    name = "softplus"

    @staticmethod
    def value(z: Array) -> Array:
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))

    @staticmethod
    def slope(z: Array) -> Array:
        return Sigmoid.value(z)


def _normal_distribution(z: Array) -> Array:
    """Φ(z) = ½ erfc(-z/√2), which keeps its relative accuracy far to the left, where ½ (1 + erf) would be 0."""
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    return np.asarray(0.5 * erfc(-z * SQRT_HALF))


class Gelu(Activation):
    """f(z) = z Φ(z); f'(z) = Φ(z) + z φ(z), with Φ and φ the normal distribution function and density.

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415.
    """

    name = "gelu"
    relu_like = True

    @staticmethod
    def value(z: Array) -> Array:
        return z * _normal_distribution(z)

    @staticmethod
    def slope(z: Array) -> Array:
        return _normal_distribution(z) + z * np.exp(-0.5 * z * z) / SQRT_TWO_PI


class GeluTanh(Activation):
    """f(z) = ½ z (1 + tanh(u)) = z σ(2u), with u = √(2/π) (z + 0.044715 z³); f'(z) = σ(2u) + z σ'(2u) 2u'.

    It is written with the sigmoid σ because 1 + tanh(u) cancels for negative z.

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, section 2.
    """

    name = "gelu_tanh"
    relu_like = True

    @staticmethod
    def value(z: Array) -> Array:
        return z * Sigmoid.value(4 / SQRT_TWO_PI * (z + 0.044715 * z**3))

    @staticmethod
    def slope(z: Array) -> Array:
        z = np.clip(z, -100, 100)  # beyond, the slope is 0 or 1, and z³ could overflow
        two_u = 4 / SQRT_TWO_PI * (z + 0.044715 * z**3)
        two_du = 4 / SQRT_TWO_PI * (1 + 3 * 0.044715 * z**2)
        return Sigmoid.value(two_u) + z * Sigmoid.slope(two_u) * two_du


class Silu(Activation):
    """f(z) = z σ(z); f'(z) = σ(z) + z σ'(z), with σ the sigmoid.

    References
    ----------
    S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units", Neural Networks 107, 2018.
    """

    name = "silu"
    relu_like = True

    @staticmethod
    def value(z: Array) -> Array:
        return z * Sigmoid.value(z)

    @staticmethod
    def slope(z: Array) -> Array:
        return Sigmoid.value(z) + z * Sigmoid.slope(z)


class Mish(Activation):
    """f(z) = z tanh(softplus(z)); f'(z) = tanh(s) + z tanh'(s) σ(z), with s = softplus(z) and σ(z) = ds/dz.

    References
    ----------
    D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.
    """

    name = "mish"
    relu_like = True

    @staticmethod
    def value(z: Array) -> Array:
        return z * np.tanh(Softplus.value(z))

    @staticmethod
    def slope(z: Array) -> Array:
        s = Softplus.value(z)
        return np.tanh(s) + z * Tanh.slope(s) * Sigmoid.value(z)


class HardSwish(Activation):
    """f(z) = z hard_sigmoid(z); f'(z) = 0 for z <= -3, z/3 + ½ for -3 < z < 3, 1 for z >= 3.

    References
    ----------
    A. Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2.
    """

    name = "hard_swish"
    relu_like = True

    @staticmethod
    def value(z: Array) -> Array:
        return z * HardSigmoid.value(z)

    @staticmethod
    def slope(z: Array) -> Array:
        return np.where(z <= -3, 0.0, np.where(z < 3, z / 3 + 0.5, 1.0))
