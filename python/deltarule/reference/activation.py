"""What an activation is: a value f(z), a slope f'(z), and the product dL/dz = dL/da * f'(z) that backpropagation needs.

The formulas are in sigmoids.py, rectifiers.py and activations.py; a class written there enters ACTIVATIONS by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Formula = Callable[[Any], Array]

ACTIVATIONS: dict[str, type[Activation]] = {}


def _in_float64(formula: Formula) -> Formula:
    """Let a formula take any number or array, and compute in float64 whatever the type was.

    An overflow inside is no accident: 1 / (1 + exp(1000)) passes through infinity and is right.
    """

    @wraps(formula)
    def in_float64(z: Any) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return formula(np.asarray(z, dtype=np.float64))

    return in_float64


class Activation:
    """An activation a = f(z), applied to each number on its own.

    The chain rule through it is dL/dz = dL/da * f'(z), `backward` below.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule.reference.activations import Relu
    >>> z = np.array([-1.0, 0.0, 2.0])
    >>> Relu.value(z), Relu.slope(z)
    (array([0., 0., 2.]), array([0., 0., 1.]))
    >>> Relu.backward(z, np.array([10.0, 10.0, 10.0]))
    array([ 0.,  0., 10.])
    """

    name: ClassVar[str]
    relu_like: ClassVar[bool] = False  # zero or small to the left, about z to the right: starts from He's weights

    def __init_subclass__(cls) -> None:
        ACTIVATIONS[cls.name] = cls
        for method in ("value", "slope"):
            if method in cls.__dict__:
                setattr(cls, method, staticmethod(_in_float64(getattr(cls, method))))

    @staticmethod
    def value(z: Array) -> Array:
        """Return f(z).

        Parameters
        ----------
        z : ndarray
            Any shape; converted to float64.

        Returns
        -------
        ndarray
            The shape of z.
        """
        raise NotImplementedError

    @staticmethod
    def slope(z: Array) -> Array:
        """Return the derivative f'(z).

        Parameters
        ----------
        z : ndarray
            Any shape; converted to float64.

        Returns
        -------
        ndarray
            The shape of z.
        """
        raise NotImplementedError

    @classmethod
    def backward(cls, z: Array, grad_output: Array) -> Array:
        """Return dL/dz from dL/da, the chain rule through the activation.

        Parameters
        ----------
        z : ndarray
            What went into the activation.
        grad_output : ndarray
            dL/da, the shape of z.

        Returns
        -------
        ndarray
            dL/dz, the shape of z.
        """
        return grad_output * cls.slope(z)
