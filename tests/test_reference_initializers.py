"""The initializers of the reference: each rule's formula, the automatic choice, and orthogonal matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deltarule.reference import ACTIVATIONS, initializers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("glorot_uniform", math.sqrt(6 / 300)),
        ("glorot_normal", math.sqrt(2 / 300)),
        ("he_uniform", math.sqrt(6 / 200)),
        ("he_normal", 0.1),
        ("lecun_uniform", math.sqrt(3 / 200)),
        ("lecun_normal", math.sqrt(1 / 200)),
        ("uniform", 0.05),
        ("normal", 0.05),
        ("zeros", 0),
        ("xavier_uniform", math.sqrt(6 / 300)),
        ("kaiming_normal", 0.1),
    ],
)
def test_initializers(name: str, expected: float) -> None:
    assert initializers.get(name)(200, 100) == pytest.approx(expected, rel=1e-15)


def test_uniform_and_normal_rules_have_the_same_variance() -> None:
    for kind in ("glorot", "he", "lecun"):
        bound, deviation = initializers.get(f"{kind}_uniform")(30, 20), initializers.get(f"{kind}_normal")(30, 20)
        assert bound**2 / 3 == pytest.approx(deviation**2, rel=1e-14)
    with pytest.raises(ValueError, match="init 'he_norm' is unknown: did you mean 'he_normal'"):
        initializers.get("he_norm")


def test_automatic_initializer() -> None:
    he = {name for name in ACTIVATIONS if initializers.automatic(name) == "he_uniform"}
    assert he == {"relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "hard_swish"}


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 1), (1, 6)])
def test_orthogonal(shape: tuple[int, int]) -> None:
    q = initializers.orthogonal(np.random.default_rng(13).normal(size=shape))
    assert q.shape == shape
    product = q.T @ q if shape[0] >= shape[1] else q @ q.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)
