"""Who drops out in a step: random numbers by counter, which are the same on every machine and in whatever order.

The generator is Philox4x32-10, J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011: it turns a counter of four 32-bit words into four others, as a cipher does, with a key.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["dropout_mask", "philox", "piece_key", "step_key"]

Words = NDArray[np.uint64]  # of 32 bits each, so that their products fit

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_STREAM = 3  # of dropout: initial weights have 1, shuffles 2


def philox(counter: tuple[Any, Any, Any, Any], key: int) -> tuple[Words, Words, Words, Words]:
    """Turn counters into random words: in each of ten rounds two products, whose halves are mixed and change places.

    Parameters
    ----------
    counter : tuple of four arrays of int
        Words of 32 bits; their shapes are broadcast.
    key : int
        64 bits.

    Returns
    -------
    tuple of four arrays of uint64
        Words of 32 bits.

    Examples
    --------
    >>> [hex(word) for word in philox((0, 0, 0, 0), 0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) for word in counter))
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        left, right = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (right >> _HALF) ^ c1 ^ np.uint64(k0), right & _LOW
        c2, c3 = (left >> _HALF) ^ c3 ^ np.uint64(k1), left & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def step_key(seed: int, epoch: int, step: int) -> int:
    """Return the key of all masks of one step: two words of the counter (step, stream, epoch), with the seed as key.

    Parameters
    ----------
    seed : int
        The network's.
    epoch : int
        How many epochs the network has been trained for.
    step : int
        The number of the step in the epoch; for a `Trainer`, of its steps before this one.

    Returns
    -------
    int
        64 bits.

    Examples
    --------
    >>> step_key(0, epoch=0, step=0) == step_key(0, epoch=0, step=1)
    False
    """
    low, high, _, _ = philox((step & 0xFFFFFFFF, _STREAM, epoch & 0xFFFFFFFF, epoch >> 32), seed)
    return int(low) | int(high) << 32


def piece_key(key: int, piece: int) -> int:
    """Return the key of one of the chunks that a truncated gradient cuts sequences into: each is an update of its own.

    Parameters
    ----------
    key : int
        Of the step.
    piece : int
        The number of the chunk; the first one has the key of the step.

    Returns
    -------
    int
        64 bits.
    """
    low, high, _, _ = philox((piece, _STREAM, 0, 0), key)
    return int(low) | int(high) << 32 if piece else key


def dropout_mask(rate: float, key: int, layer: int, rows: int, units: int) -> NDArray[np.bool_]:
    """Return who stays, True, and who drops out, False, with the probability `rate`.

    The block (unit, row // 16, layer, 0) holds 16 bytes, for 16 rows of a unit. A unit drops out where its byte is
    below a threshold. That is the rate in 256ths, rounded down or up: up the more often the nearer it is, which 16 bits
    decide that are spread evenly over the blocks. So the probability is the rate, to 24 bits, though each draw takes 8.

    Parameters
    ----------
    rate : float
        0 <= rate < 1.
    key : int
        Of the step; see `step_key`.
    layer : int
        The layer's place in the network.
    rows, units : int
        The size of the batch and of the layer.

    Returns
    -------
    ndarray of bool, shape (rows, units)

    Examples
    --------
    >>> stays = dropout_mask(0.25, step_key(0, 0, 0), layer=1, rows=1000, units=100)
    >>> bool(abs(stays.mean() - 0.75) < 0.005)
    True
    """
    row, unit = np.arange(rows, dtype=np.uint64)[:, None], np.arange(units, dtype=np.uint64)[None, :]
    group, place = row // np.uint64(16), row % np.uint64(16)
    words = np.stack(philox((unit, group, layer, 0), key))  # (4, rows, units)
    word = np.take_along_axis(words, np.broadcast_to(place // np.uint64(4), words.shape[1:])[None].astype(np.intp), 0)[
        0
    ]
    byte = word >> (np.uint64(8) * (place % np.uint64(4))) & np.uint64(0xFF)
    between = (unit * np.uint64(0x9E37) + group * np.uint64(0x79B9) + np.uint64(key & 0xFFFF)) & np.uint64(0xFFFF)
    threshold = (np.uint64(round(rate * 2**24)) + between) >> np.uint64(16)
    return np.asarray(byte >= threshold)
