"""The counter-based generator against its published answers, shuffles, and the initial weights of every initializer.

A new initializer is found by its name in the vocabulary, and needs its formula in reference/initializers.py.
"""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core
from deltarule.reference import initializers
from deltarule.reference.activations import ACTIVATIONS

Counter = tuple[int, int, int, int]
WORD = 0xFFFFFFFF
INITIALIZERS = _core.vocabulary()["initializers"]
RULES = [name for name in INITIALIZERS if name not in ("auto", "orthogonal")]
INPUTS, UNITS = 200, 300
STREAM_INITIALIZE, STREAM_SHUFFLE = 1, 2


def philox(counter: Counter, seed: int) -> Counter:
    """Philox4x32-10, J. K. Salmon et al., SC 2011, figure 2, in whole numbers."""
    c0, c1, c2, c3 = counter
    k0, k1 = seed & WORD, seed >> 32
    for _ in range(10):
        left, right = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (right >> 32) ^ c1 ^ k0, right & WORD, (left >> 32) ^ c3 ^ k1, left & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


class Words:
    """The stream of 32-bit words that (seed, stream, substream) stands for."""

    def __init__(self, seed: int, stream: int, substream: int) -> None:
        blocks = (philox((i, stream, substream & WORD, substream >> 32), seed) for i in itertools.count())
        self.words = itertools.chain.from_iterable(blocks)

    def bits64(self) -> int:
        return next(self.words) << 32 | next(self.words)

    def below(self, bound: int) -> int:
        return next(self.words) * bound >> 32 if bound <= 0x10000 else self.bits64() * bound >> 64

    def uniform(self) -> float:
        return (self.bits64() >> 11) * 2.0**-53


@pytest.mark.parametrize(
    ("counter", "seed", "answer"),
    [
        # known answers of Random123, the authors' own library
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((WORD,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0_A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter: Counter, seed: int, answer: Counter) -> None:
    assert philox(counter, seed) == answer
    assert tuple(_core.philox(counter, seed)) == answer


def test_philox_is_that_of_whole_numbers() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        c0, c1, c2, c3 = random.integers(0, 2**32, 4).tolist()
        seed = int(random.integers(0, 2**64, dtype=np.uint64))
        assert tuple(_core.philox((c0, c1, c2, c3), seed)) == philox((c0, c1, c2, c3), seed)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 1000, 65_537])
def test_a_shuffle_is_a_permutation(size: int) -> None:
    order = _core.shuffled(size, 7, 0)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


@pytest.mark.parametrize(
    ("size", "seed", "epoch"), [(1, 0, 0), (13, 0, 0), (999, 2**64 - 1, 2**33 + 5), (66_000, 3, 1)]
)
def test_a_shuffle_is_fisher_and_yates_on_its_own_stream(size: int, seed: int, epoch: int) -> None:
    """Pinned bit for bit: a resumed or repeated run on any machine sees the samples in this order."""
    words, order = Words(seed, STREAM_SHUFFLE, epoch), list(range(size))
    for i in range(size - 1, 0, -1):
        j = words.below(i + 1)
        order[i], order[j] = order[j], order[i]
    assert _core.shuffled(size, seed, epoch).tolist() == order


def test_shuffles_differ_by_epoch_and_seed_and_nothing_else() -> None:
    keys = [(seed, epoch) for seed in (0, 1, 2**32, 2**63) for epoch in (0, 1, 2, 2**32)]
    orders = {key: _core.shuffled(50, *key).tobytes() for key in keys}
    assert len(set(orders.values())) == len(keys)
    assert all(_core.shuffled(50, *key).tobytes() == order for key, order in orders.items())


def chi_square(counts: np.ndarray) -> float:
    """Standard deviations by which Σ (count - expected)² / expected is off its mean, for equal expectations."""
    expected, freedom = counts.sum() / counts.size, counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom))


def test_every_order_is_equally_likely() -> None:
    orders = np.array([_core.shuffled(5, 11, epoch) for epoch in range(24_000)])
    counts = np.unique(orders @ (10 ** np.arange(5)), return_counts=True)[1]
    assert counts.size == math.factorial(5)
    assert abs(chi_square(counts)) < 4


def test_every_place_is_equally_likely() -> None:
    orders = np.array([_core.shuffled(40, seed, 0) for seed in range(10_000)])
    for place in (0, 1, 20, 39):
        assert abs(chi_square(np.bincount(orders[:, place], minlength=40))) < 4


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"size=-1 must be at least 0"):
        _core.shuffled(-1, 0, 0)


def weight(init: str, dtype: str = "float64", seed: int = 0, activation: str = "identity") -> np.ndarray:
    return dr.Network([dr.Dense(UNITS, activation, init=init)], INPUTS, dtype, seed).parameters["0.weight"]


def test_every_rule_has_its_formula_in_the_reference() -> None:
    assert set(RULES) == set(initializers.INITIALIZERS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", sorted(set(RULES) - {"zeros"}))
def test_weights_follow_their_rule(rule: str, dtype: str) -> None:
    size = initializers.get(rule)(INPUTS, UNITS)
    w = weight(rule, dtype)
    assert w.dtype == dtype
    assert w.shape == (INPUTS, UNITS)
    normal = rule.endswith("normal")
    deviation = size if normal else size / math.sqrt(3)
    u = w.ravel().astype(np.float64) / size
    assert abs(w.mean(dtype=np.float64)) < 5 * deviation / math.sqrt(w.size)
    assert w.std(dtype=np.float64) == pytest.approx(deviation, rel=0.01)
    if normal:
        edges = [NormalDist().inv_cdf(i / 50) for i in range(1, 50)]
        assert 3.5 < np.abs(u).max() < 6
    else:
        edges = (np.arange(1, 50) / 25 - 1).tolist()
        assert 0.999 < np.abs(u).max() <= 1 + 1e-7
    counts = np.bincount(np.searchsorted(edges, u), minlength=50)
    assert abs(chi_square(counts)) < 4
    for neighbours in (w[:, 1:] * w[:, :-1], w[1:] * w[:-1]):  # no weight knows the one beside it
        assert abs(neighbours.mean()) < 5 * deviation**2 / math.sqrt(w.size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zeros(dtype: str) -> None:
    assert not weight("zeros", dtype).any()


def test_a_uniform_weight_is_the_generators_number() -> None:
    """Pinned bit for bit, each tensor on its own stream: tensor 2 is the second layer's weight."""
    layers = [dr.Dense(5, init="glorot_uniform"), dr.Dense(3, init="he_uniform")]
    network = dr.Network(layers, 4, "float64", seed=2**40 + 1)
    for tensor, name, bound in ((0, "0.weight", math.sqrt(6 / 9)), (2, "1.weight", math.sqrt(6 / 5))):
        words = Words(2**40 + 1, STREAM_INITIALIZE, tensor)
        drawn = [(2 * words.uniform() - 1) * bound for _ in range(network.parameters[name].size)]
        assert network.parameters[name].ravel().tolist() == drawn


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (64, 64), (1, 1), (1, 9), (9, 1)])
def test_orthogonal_weights(shape: tuple[int, int], dtype: str, tolerance: float) -> None:
    w = dr.Network([dr.Dense(shape[1], init="orthogonal")], shape[0], dtype).parameters["0.weight"].astype(np.float64)
    gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
    assert np.abs(gram - np.eye(len(gram))).max() <= tolerance


def test_orthogonal_weights_prefer_no_direction() -> None:
    corners = np.array([
        dr.Network([dr.Dense(4, init="orthogonal")], 4, "float64", seed).parameters["0.weight"] for seed in range(1000)
    ])  # fmt: skip
    assert np.abs(corners.mean(axis=0)).max() < 5 * 0.5 / math.sqrt(1000)  # each element has mean 0 and variance 1/4
    np.testing.assert_allclose((corners**2).mean(axis=0), 0.25, atol=0.04)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_auto_goes_by_the_activation(activation: str) -> None:
    np.testing.assert_array_equal(
        weight("auto", activation=activation), weight(initializers.automatic(activation), activation=activation)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", INITIALIZERS)
def test_seeds_layers_and_biases(init: str, dtype: str) -> None:
    def parameters(seed: int) -> dict[str, Any]:
        return dict(dr.Network([dr.Dense(30, init=init), dr.Dense(30, init=init)], 30, dtype, seed).parameters)

    first, again, other = parameters(5), parameters(5), parameters(6)
    for name, array in first.items():
        assert array.tobytes() == again[name].tobytes()
        assert np.isfinite(array).all()
    assert not first["0.bias"].any()
    assert not first["1.bias"].any()
    if init != "zeros":
        assert (first["0.weight"] != other["0.weight"]).mean() > 0.99
        assert (first["0.weight"] != first["1.weight"]).mean() > 0.99


def test_float32_weights_are_the_rounded_float64_ones() -> None:
    for init in INITIALIZERS:
        np.testing.assert_array_equal(weight(init, "float32"), weight(init, "float64").astype(np.float32))


def test_seeds_of_64_bits() -> None:
    seeds = [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
    assert len({weight("he_normal", seed=seed).tobytes() for seed in seeds}) == len(seeds)
