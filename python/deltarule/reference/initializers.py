"""How wide the first random weights are spread, given how many inputs (fan_in) and outputs (fan_out) a layer has.

The rules keep the variance of the signal (fan_in), of the gradient (fan_out), or a compromise, from layer to layer.
A uniform rule returns the bound b of the range (-b, b), of variance b²/3; a normal rule returns the standard deviation.
To add one, write a function and put it into INITIALIZERS below.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..names import find
from . import activations
from .activation import Array


def glorot_uniform(fan_in: int, fan_out: int) -> float:
    """Bound √(6 / (fan_in + fan_out)), for a variance of 2 / (fan_in + fan_out).

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    equation 16.
    """
    return math.sqrt(6 / (fan_in + fan_out))


def glorot_normal(fan_in: int, fan_out: int) -> float:
    """Standard deviation √(2 / (fan_in + fan_out)).

    References
    ----------
    X. Glorot and Y. Bengio, 2010, equation 12.
    """
    return math.sqrt(2 / (fan_in + fan_out))


def he_uniform(fan_in: int, fan_out: int) -> float:
    """Bound √(6 / fan_in), for a variance of 2 / fan_in: a rectifier passes half of the variance on.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", ICCV 2015, equation 10.
    """
    return math.sqrt(6 / fan_in)


def he_normal(fan_in: int, fan_out: int) -> float:
    """Standard deviation √(2 / fan_in).

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, 2015, equation 10.
    """
    return math.sqrt(2 / fan_in)


def lecun_uniform(fan_in: int, fan_out: int) -> float:
    """Bound √(3 / fan_in), for a variance of 1 / fan_in.

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr and K. Müller, "Efficient BackProp", 1998, section 4.6.
    """
    return math.sqrt(3 / fan_in)


def lecun_normal(fan_in: int, fan_out: int) -> float:
    """Standard deviation √(1 / fan_in).

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr and K. Müller, 1998, equation 16.
    """
    return math.sqrt(1 / fan_in)


def uniform(fan_in: int, fan_out: int) -> float:
    """Bound 0.05 whatever the layer's size, as in Keras."""
    return 0.05


def normal(fan_in: int, fan_out: int) -> float:
    """Standard deviation 0.05 whatever the layer's size, as in Keras."""
    return 0.05


def zeros(fan_in: int, fan_out: int) -> float:
    """Bound 0: right for biases; weights that start equal stay equal, so a hidden layer learns nothing from it."""
    return 0.0


INITIALIZERS: dict[str, Callable[[int, int], float]] = {
    rule.__name__: rule
    for rule in (
        glorot_uniform,
        glorot_normal,
        he_uniform,
        he_normal,
        lecun_uniform,
        lecun_normal,
        uniform,
        normal,
        zeros,
    )
}
ALIASES = {
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
}


def get(name: str) -> Callable[[int, int], float]:
    """Return the rule with this name or alias: a function of fan_in and fan_out.

    Parameters
    ----------
    name : str
        A key of ``INITIALIZERS`` or ``ALIASES``.

    Returns
    -------
    callable
        The bound (uniform rules) or standard deviation (normal rules), as a function of fan_in and fan_out.

    Raises
    ------
    TypeError
        If the name is no string.
    ValueError
        If there is no such rule.

    Examples
    --------
    >>> get("kaiming_normal")(50, 10)
    0.2
    """
    return find("init", name, INITIALIZERS | {alias: INITIALIZERS[target] for alias, target in ALIASES.items()})


def automatic(activation: str) -> str:
    """Return the rule that ``init="auto"`` stands for: He's before a rectifier, Glorot's otherwise.

    Parameters
    ----------
    activation : str
        The layer's activation.

    Returns
    -------
    str
        The name of the rule.

    Raises
    ------
    ValueError
        If there is no such activation.

    Examples
    --------
    >>> automatic("relu"), automatic("tanh")
    ('he_uniform', 'glorot_uniform')
    """
    return "he_uniform" if activations.get(activation).relu_like else "glorot_uniform"


def orthogonal(gaussian: Array) -> Array:
    """Turn a matrix of normal random numbers into one with orthonormal rows or columns, whichever are fewer.

    With the decomposition A = QR, R's diagonal made positive, Q is uniform among the orthogonal matrices.

    Parameters
    ----------
    gaussian : ndarray, shape (fan_in, fan_out)
        Independent normal random numbers.

    Returns
    -------
    ndarray, shape (fan_in, fan_out)

    References
    ----------
    A. Saxe, J. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", ICLR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> q = orthogonal(np.random.default_rng(0).normal(size=(5, 3)))
    >>> bool(np.allclose(q.T @ q, np.eye(3)))
    True
    """
    matrix = np.asarray(gaussian, dtype=np.float64)
    wide = matrix.shape[0] < matrix.shape[1]
    q, r = np.linalg.qr(matrix.T if wide else matrix)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return q.T if wide else q
