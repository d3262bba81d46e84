"""Sequences to learn on: sums and symbols to be remembered, bits to be counted, digits read row by row.

Each has a bar that a network without a memory cannot pass; the docstrings say which. X is (n_samples, n_steps,
n_features).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from .sizes import count

__all__ = ["adding_problem", "copy_memory", "digits_by_rows", "parity"]

# Of the copying problem: eight symbols to remember, ten of them in a row, the blank and the delimiter.
_SYMBOLS, _REMEMBERED, _BLANK, _DELIMITER = 8, 10, 8, 9


def adding_problem(
    n_samples: int, n_steps: int = 50, seed: int | None = 0, dtype: npt.DTypeLike = "float32"
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    r"""Add the two numbers of a sequence that are marked: the classical test of memory over many steps.

    .. math:: y = \sum_t m_t v_t, \qquad v_t \sim U(0, 1), \quad m_t \in \{0, 1\}

    One step of the first half of the sequence and one of the second half, each drawn uniformly, have the mark 1.

    Parameters
    ----------
    n_samples : int >= 1
    n_steps : int >= 2, default=50
        The first half has n_steps // 2 steps.
    seed : int or None, default=0
        Of values and marks.
    dtype : dtype, default="float32"
        Of X and y.

    Returns
    -------
    X : ndarray of shape (n_samples, n_steps, 2)
        The values in X[:, :, 0], the marks in X[:, :, 1].
    y : ndarray of shape (n_samples, 1)
        The sum of the two marked values, between 0 and 2.

    Raises
    ------
    TypeError, ValueError
        A size that is not a whole number, or too small.

    Notes
    -----
    The bar: without a memory the best answer is the mean, 1, and its mean squared error the variance of the sum of
    two uniform numbers, 1/6. The problem counts as learned well below that, at 0.01 or less.

    Hochreiter and Schmidhuber draw values from (-1, 1), both marks and the length of each sequence in other ways, and
    scale the sum. What is made here is the form that later papers use (Le, Jaitly, Hinton; Arjovsky, Shah, Bengio).

    References
    ----------
    Hochreiter, Schmidhuber: "Long short-term memory" (1997), section 5.4. Le, Jaitly, Hinton: "A simple way to
    initialize recurrent networks of rectified linear units" (2015), section 4.1. Arjovsky, Shah, Bengio: "Unitary
    evolution recurrent neural networks" (2016), the experiment on the adding problem.

    Examples
    --------
    >>> X, y = adding_problem(10_000, n_steps=30)
    >>> X.shape, y.shape
    ((10000, 30, 2), (10000, 1))
    >>> values, marks = X[0].T
    >>> bool(y[0, 0] == values[marks == 1].sum())
    True
    >>> print(round(float(((y - 1) ** 2).mean()), 2))  # 1/6, where the answer is always 1
    0.17
    """
    n_samples = count(n_samples, "n_samples", 1)
    n_steps = count(n_steps, "n_steps", 2)
    generator = np.random.default_rng(seed)
    X = np.zeros((n_samples, n_steps, 2), dtype)
    X[:, :, 0] = generator.random((n_samples, n_steps))
    rows, middle = np.arange(n_samples), n_steps // 2
    first, second = generator.integers(0, middle, n_samples), generator.integers(middle, n_steps, n_samples)
    X[rows, first, 1] = X[rows, second, 1] = 1
    y = X[rows, first, 0] + X[rows, second, 0]  # of the values as they are in X
    return X, y[:, None]


def copy_memory(
    n_samples: int, delay: int = 100, seed: int | None = 0, dtype: npt.DTypeLike = "float32"
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Remember ten symbols, wait, and say them again when asked: memory over exactly as many steps as one likes.

    A sequence has delay + 20 steps: 10 symbols, each one of 0 to 7; delay - 1 blanks (8); a delimiter (9), which asks
    for the answer; 10 blanks more. The label is the blank for delay + 10 steps, and then the ten symbols in order.

    Parameters
    ----------
    n_samples : int >= 1
    delay : int >= 1, default=100
        Steps from the end of the symbols to the delimiter, it included: T in the papers. Each symbol is to be
        said delay + 10 steps after it was seen.
    seed : int or None, default=0
        Of the symbols.
    dtype : dtype, default="float32"
        Of X.

    Returns
    -------
    X : ndarray of shape (n_samples, delay + 20, 10)
        One-hot rows.
    y : ndarray of shape (n_samples, delay + 20), int64
        A class for each step, 0 to 8: nine outputs are enough, since the delimiter is never an answer.

    Raises
    ------
    TypeError, ValueError
        A size that is not a whole number, or too small.

    Notes
    -----
    The bar: who remembers nothing can still say the blank for delay + 10 steps, and then each of the eight symbols
    with the same probability. The mean cross-entropy of that is 10 ln 8 / (delay + 20), with natural logarithms.

    References
    ----------
    Hochreiter, Schmidhuber: "Long short-term memory" (1997). Arjovsky, Shah, Bengio: "Unitary evolution recurrent
    neural networks" (2016), the experiment on copying memory.

    Examples
    --------
    >>> X, y = copy_memory(1, delay=3, seed=1)
    >>> X.argmax(axis=2)
    array([[3, 4, 6, 7, 0, 1, 6, 7, 1, 2, 8, 8, 9, 8, 8, 8, 8, 8, 8, 8, 8, 8,
            8]])
    >>> y
    array([[8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 3, 4, 6, 7, 0, 1, 6, 7, 1,
            2]])
    """
    n_samples = count(n_samples, "n_samples", 1)
    delay = count(delay, "delay", 1)
    symbols = np.random.default_rng(seed).integers(0, _SYMBOLS, (n_samples, _REMEMBERED))
    n_steps = delay + 2 * _REMEMBERED
    seen = np.full((n_samples, n_steps), _BLANK)
    seen[:, :_REMEMBERED] = symbols
    seen[:, -_REMEMBERED - 1] = _DELIMITER
    X = np.zeros((n_samples, n_steps, _DELIMITER + 1), dtype)
    np.put_along_axis(X, seen[:, :, None], 1, axis=2)
    y = np.full((n_samples, n_steps), _BLANK, np.int64)
    y[:, -_REMEMBERED:] = symbols
    return X, y


def parity(
    n_samples: int, n_bits: int = 20, seed: int | None = 0, dtype: npt.DTypeLike = "float32"
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    r"""Say after each bit whether the number of ones so far is odd.

    .. math:: y_t = x_1 \oplus x_2 \oplus \dots \oplus x_t = y_{t-1} \oplus x_t

    Parameters
    ----------
    n_samples : int >= 1
        Drawn independently, so that short sequences occur more than once.
    n_bits : int >= 1, default=20
        Steps of a sequence.
    seed : int or None, default=0
        Of the bits, each 1 with probability 1/2.
    dtype : dtype, default="float32"
        Of X and y.

    Returns
    -------
    X : ndarray of shape (n_samples, n_bits, 1)
        Bits, 0 or 1.
    y : ndarray of shape (n_samples, n_bits, 1)
        The parity of all bits up to this one, 0 or 1; ``y[:, -1]`` is that of the whole sequence.

    Raises
    ------
    TypeError, ValueError
        A size that is not a whole number, or too small.

    Notes
    -----
    Bits are 0 and 1, which is what binary_cross_entropy takes. Parity is a product where they are 1 and -1 instead:
    ``1 - 2 * y`` is ``np.cumprod(1 - 2 * X, axis=1)``.

    The bar: every bit counts, so who knows all of them but one, or none, is right half of the time, with a binary
    cross-entropy of ln 2. With the answer wanted after every step, each of them is one exclusive or of two bits; with
    the last answer alone, gradient descent finds it hard from some dozens of bits on.

    References
    ----------
    Minsky, Papert: "Perceptrons" (1969), on parity. Schmidhuber, Hochreiter: "Guessing can outperform many long time
    lag algorithms" (1996), on the parity of sequences.

    Examples
    --------
    >>> X, y = parity(1, n_bits=8, seed=3)
    >>> X[0, :, 0]
    array([1., 0., 0., 0., 0., 1., 1., 1.], dtype=float32)
    >>> y[0, :, 0]
    array([1., 1., 1., 1., 1., 0., 1., 0.], dtype=float32)
    """
    n_samples = count(n_samples, "n_samples", 1)
    n_bits = count(n_bits, "n_bits", 1)
    bits = np.random.default_rng(seed).integers(0, 2, (n_samples, n_bits, 1))
    return bits.astype(dtype), (bits.cumsum(axis=1) % 2).astype(dtype)


def digits_by_rows(dtype: npt.DTypeLike = "float32") -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Handwritten digits, read row by row: images of 8 by 8 pixels as sequences of 8 steps with 8 features.

    They are those of ``sklearn.datasets.load_digits``, in its order, divided by 16.

    Parameters
    ----------
    dtype : dtype, default="float32"
        Of X.

    Returns
    -------
    X : ndarray of shape (1797, 8, 8)
        X[s, t] is row t of image s, from the top; 0 to 1.
    y : ndarray of shape (1797,), int64
        The digits.

    Raises
    ------
    ImportError
        scikit-learn, which has the images, is not installed.

    Notes
    -----
    The bar: the most frequent digit is right for 10.2 % of the images. Recurrent networks of some dozens of units reach
    95 % and more on images that they have not seen.

    References
    ----------
    Alpaydin, Kaynak: "Optical recognition of handwritten digits", UCI machine learning repository (1998). Le, Jaitly,
    Hinton: "A simple way to initialize recurrent networks of rectified linear units" (2015), section 4.2, which reads
    MNIST pixel by pixel.

    Examples
    --------
    >>> X, y = digits_by_rows()
    >>> X.shape
    (1797, 8, 8)
    """
    try:
        load_digits = import_module("sklearn.datasets").load_digits  # a neighbour that may be absent
    except ImportError as error:
        raise ImportError(
            f"digits_by_rows() takes its images from scikit-learn, which could not be imported ({error}): "
            "pip install scikit-learn"
        ) from error
    digits = load_digits()
    return (digits.images / 16).astype(dtype), digits.target.astype(np.int64)
