"""Small recurrent networks of the reference, with random weights, and a few sequences for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.reference import CELLS, Dense, Network, Recurrent
from deltarule.reference.cells import RNN, Cell

Array = NDArray[np.float64]

CELL_KINDS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]
LENGTHS = [3, 5, 1, 4]
N_STEPS, INPUTS, UNITS, OUTPUTS = 5, 2, 2, 2


def parameters(
    cell: type[Cell], inputs: int, units: int, random: np.random.Generator, **options: Any
) -> dict[str, Any]:
    wide = len(cell.gates) * units
    shapes = {"weight_ih": (inputs, wide), "weight_hh": (units, wide), "bias_ih": wide, "bias_hh": wide}
    ways = ("", "_reverse") if options.get("bidirectional") else ("",)
    return {key + way: random.normal(size=shape) * 0.7 for way in ways for key, shape in shapes.items()}


def layer(kind: tuple[str, str], inputs: int, units: int, random: np.random.Generator, **options: Any) -> Recurrent:
    cell = CELLS[kind[0]]
    return Recurrent(cell(kind[1]), parameters(cell, inputs, units, random, **options), **options)


def stacked(
    kind: tuple[str, str],
    depth: int,
    *,
    bidirectional: bool = False,
    by_step: bool = False,
    seed: int = 39,
    **more: Any,
) -> Network:
    """Return recurrent layers, the last of which gives all steps or the last one, and a dense one on top.

    With this seed no unit of relu is silent, so that all gradients have something to say.
    """
    random = np.random.default_rng(seed)
    wide = UNITS * (1 + bidirectional)
    layers: list[Any] = [
        layer(
            kind,
            wide if place else INPUTS,
            UNITS,
            random,
            bidirectional=bidirectional,
            return_sequences=by_step or place < depth - 1,
            **more,
        )
        for place in range(depth)
    ]
    return Network([*layers, Dense(random.normal(size=(wide, OUTPUTS)), random.normal(size=OUTPUTS))])


def data(by_step: bool, seed: int = 1) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    shape = (len(LENGTHS), N_STEPS) if by_step else (len(LENGTHS),)
    return random.normal(size=(len(LENGTHS), N_STEPS, INPUTS)), random.normal(size=(*shape, OUTPUTS))


def assert_close(actual: dict[str, Array], expected: dict[str, Any], limit: float) -> None:
    assert actual.keys() == expected.keys()
    for name, array in actual.items():
        size = max(float(np.abs(expected[name]).max()), 1e-3)
        assert float(np.abs(array - expected[name]).max()) < limit * size, name


def summing(weight: float = 1.0, **options: Any) -> Recurrent:
    """Return h_t = x_t + weight * h_{t-1}, as long as that is positive."""
    one = {"weight_ih": [[1.0]], "weight_hh": [[weight]], "bias_ih": [0.0], "bias_hh": [0.0]}
    if options.get("bidirectional"):
        one |= {f"{key}_reverse": value for key, value in one.items()}
    return Recurrent(RNN("relu"), one, **options)
