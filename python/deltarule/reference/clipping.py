"""Clipping: keep one wild minibatch from throwing the parameters far away. Gradients are a dict of arrays by name.

The mathematics of the global norm is from R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training
recurrent neural networks", ICML 2013, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .activation import Array


def clip_by_value(gradients: Mapping[str, Array], max_value: float) -> dict[str, Array]:
    """Cut each number of each gradient to [-max_value, max_value].

    Parameters
    ----------
    gradients : dict of ndarray
        By name; not changed.
    max_value : float, > 0
        The greatest size of a number.

    Returns
    -------
    dict of ndarray

    Raises
    ------
    ValueError
        If max_value is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> clip_by_value({"w": np.array([3.0, -0.5])}, 1.0)
    {'w': array([ 1. , -0.5])}
    """
    _check_above_zero("clip_value", max_value)
    return {name: np.clip(gradient, -max_value, max_value) for name, gradient in gradients.items()}


def clip_by_global_norm(gradients: Mapping[str, Array], max_norm: float) -> dict[str, Array]:
    """Scale all gradients together so that their common norm is at most max_norm: the direction stays.

    With the norm ‖g‖ = √(Σ g²) over every number of every gradient, each is multiplied by
    min(1, max_norm / (‖g‖ + 1e-6)).

    Parameters
    ----------
    gradients : dict of ndarray
        By name; not changed.
    max_norm : float, > 0
        The greatest norm.

    Returns
    -------
    dict of ndarray

    Raises
    ------
    ValueError
        If max_norm is not above 0.

    Notes
    -----
    The 1e-6 is PyTorch's (``torch.nn.utils.clip_grad_norm_``); Keras has none.

    Examples
    --------
    >>> import numpy as np
    >>> clipped = clip_by_global_norm({"w": np.array([3.0]), "b": np.array([4.0])}, 1.0)
    >>> round(clipped["w"].item(), 4), round(clipped["b"].item(), 4)
    (0.6, 0.8)
    """
    _check_above_zero("clip_norm", max_norm)
    norm = math.sqrt(sum(float(np.sum(np.square(gradient))) for gradient in gradients.values()))
    coefficient = min(1.0, max_norm / (norm + 1e-6))
    return {name: coefficient * gradient for name, gradient in gradients.items()}


def _check_above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} is {value!r}: expected a number above 0; leave it out to clip nothing")
