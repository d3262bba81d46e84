"""Recurrent networks learn what cannot be learned without a memory; with fixed seeds, on data they have not seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.datasets import adding_problem, copy_memory, digits_by_rows, parity

MAKERS: dict[str, Any] = {
    "lstm": lambda units, **options: dr.LSTM(units, forget_bias=1.0, recurrent_init="orthogonal", **options),
    "gru": lambda units, **options: dr.GRU(units, recurrent_init="orthogonal", **options),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_adding_two_marked_numbers_of_fifty(kind: str) -> None:
    """Without a memory the mean squared error is 1/6."""
    X, y = adding_problem(3000, n_steps=50, seed=1)
    fresh = adding_problem(1000, n_steps=50, seed=2)
    network = dr.Network([MAKERS[kind](24), dr.Dense(1)], input_shape=(None, 2), seed=0)
    epochs = {"gru": 10, "lstm": 20}[kind]
    history = network.fit(
        X, y, loss="mse", optimizer=dr.Adam(lr=1e-2), epochs=epochs, clip_norm=1.0, validation_data=fresh
    )
    assert history["val_loss"][0] > 0.1
    assert network.evaluate(*fresh)["loss"] <= 0.01
    # What it has learned goes for other lengths too.
    assert network.evaluate(*adding_problem(1000, n_steps=40, seed=3))["loss"] <= 0.02


def test_adding_with_less_memory_is_the_same_run() -> None:
    X, y = adding_problem(500, n_steps=50, seed=1)
    weights = set()
    for checkpoint_steps in (None, "auto"):
        network = dr.Network([MAKERS["gru"](24), dr.Dense(1)], input_shape=(None, 2), seed=0)
        network.fit(X, y, loss="mse", epochs=2, clip_norm=1.0, checkpoint_steps=checkpoint_steps)
        weights.add(b"".join(array.tobytes() for array in network.state_dict().values()))
    assert len(weights) == 1


def test_parity_of_twenty_bits() -> None:
    """Who does not know every single bit is right half of the time."""
    X, y = parity(1000, n_bits=20, seed=1)
    fresh, answers = parity(2000, n_bits=20, seed=2)
    hidden = dr.RNN(32, return_sequences=True, recurrent_init="orthogonal")
    network = dr.Network([hidden, dr.Dense(1)], input_shape=(None, 1), seed=0)
    before = ((network.predict(fresh)[:, -1] > 0) == (answers[:, -1] > 0.5)).mean()
    assert 0.4 < before < 0.6
    network.fit(X, y, loss="binary_cross_entropy", optimizer=dr.Adam(lr=5e-3), epochs=60, clip_norm=1.0)
    assert ((network.predict_proba(fresh)[:, -1] > 0.5) == (answers[:, -1] > 0.5)).mean() >= 0.99
    assert network.evaluate(fresh, answers, metrics=["accuracy"])["accuracy"] >= 0.99


def test_parity_of_sequences_of_any_length_by_the_last_answer_of_each() -> None:
    """The last answer alone, from ragged sequences, once every step was learned: the same weights, read otherwise."""
    X, y = parity(1000, n_bits=12, seed=1)
    lengths = np.random.default_rng(0).integers(1, 13, 1000)
    options: dict[str, Any] = {"loss": "binary_cross_entropy", "optimizer": dr.Adam(lr=5e-3), "clip_norm": 1.0}
    each = dr.Network([dr.GRU(16, return_sequences=True), dr.Dense(1)], input_shape=(None, 1), seed=0)
    each.fit(X, y, lengths=lengths, epochs=60, **options)
    last = dr.Network([dr.GRU(16), dr.Dense(1)], input_shape=(None, 1), seed=1)
    last.load_state_dict(each.state_dict())
    found = last.evaluate(
        X, y[np.arange(1000), lengths - 1], loss="binary_cross_entropy", lengths=lengths, metrics=["accuracy"]
    )
    assert found["accuracy"] >= 0.99


def test_digits_row_by_row() -> None:
    pytest.importorskip("sklearn")
    X, y = digits_by_rows()
    network = dr.Network([dr.GRU(64), dr.Dense(10)], input_shape=(8, 8), seed=0)
    X, fresh, y, answers = dr.train_test_split(X, y, test_size=0.25, seed=0)
    network.fit(X, y, loss="cross_entropy", optimizer=dr.Adam(lr=5e-3), epochs=15, clip_norm=1.0)
    assert network.evaluate(fresh, answers, metrics=["accuracy"])["accuracy"] >= 0.95


def test_copying_ten_symbols() -> None:
    """Without a memory the cross-entropy is 10 ln 8 / (delay + 20)."""
    delay = 5
    X, y = copy_memory(4000, delay, seed=1)
    fresh = copy_memory(500, delay, seed=2)
    network = dr.Network([MAKERS["gru"](64, return_sequences=True), dr.Dense(9)], input_shape=(None, 10), seed=0)
    network.fit(X, y, loss="cross_entropy", optimizer=dr.Adam(lr=1e-2), epochs=24, clip_norm=1.0)
    assert network.evaluate(*fresh)["loss"] < 0.5 * 10 * math.log(8) / (delay + 20)


def test_truncated_to_less_than_the_memory_that_is_needed_is_not_enough() -> None:
    """The gradient of chunks of five steps does not know that what was marked long ago matters."""
    X, y = adding_problem(1000, n_steps=50, seed=1)
    network = dr.Network([MAKERS["gru"](24), dr.Dense(1)], input_shape=(None, 2), seed=0)
    network.fit(X, y, loss="mse", optimizer=dr.Adam(lr=1e-2), epochs=5, clip_norm=1.0, bptt_steps=5)
    assert network.evaluate(X, y)["loss"] > 0.05
