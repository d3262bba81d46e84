"""Fits that a callback has ended: over when they are resumed, unless the callback has more patience now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = np.sin(X.sum(axis=1, keepdims=True))


def fit(path: Path | None, *callbacks: Any, epochs: int = 60) -> tuple[dr.Network, dr.History]:
    network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)], seed=1)
    kept = {} if path is None else {"checkpoint": path, "resume": True}
    history = network.fit(
        X, Y, loss="mse", optimizer=dr.SGD(0.5), epochs=epochs, validation_split=0.3, callbacks=list(callbacks), **kept
    )
    return network, history


def bits(network: dr.Network) -> list[bytes]:
    return [array.tobytes() for array in network.state_dict().values()]


class Stops:
    """A callback without a state."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        return epoch == 2


def test_what_early_stopping_has_ended_stays_ended(tmp_path: Path) -> None:
    network, history = fit(tmp_path / "a", dr.EarlyStopping(patience=3))
    assert history.epochs < 60
    again, same = fit(tmp_path / "a", dr.EarlyStopping(patience=3))
    assert bits(again) == bits(network)
    assert same["loss"] == history["loss"]


def test_with_more_patience_it_goes_on_as_if_it_had_had_it_from_the_beginning(tmp_path: Path) -> None:
    _, short = fit(tmp_path / "a", dr.EarlyStopping(patience=3))
    patient, whole = fit(None, dr.EarlyStopping(patience=12))
    assert whole.epochs > short.epochs
    resumed, history = fit(tmp_path / "a", dr.EarlyStopping(patience=12))
    assert history["val_loss"] == whole["val_loss"]
    assert bits(resumed) == bits(patient)


def test_more_time_goes_on(tmp_path: Path) -> None:
    _, short = fit(tmp_path / "a", dr.TimeLimit(1e-9))
    assert short.epochs == 1
    assert fit(tmp_path / "a", dr.TimeLimit(1e-9))[1].epochs == 1
    resumed, history = fit(tmp_path / "a", dr.TimeLimit(1000.0))
    whole, _ = fit(None, dr.TimeLimit(1000.0))
    assert history.epochs == 60
    assert bits(resumed) == bits(whole)


def test_one_that_cannot_be_asked_has_said_so_once_and_for_all(tmp_path: Path) -> None:
    network, history = fit(tmp_path / "a", Stops(), dr.EarlyStopping(patience=30))
    assert history.epochs == 3
    again, same = fit(tmp_path / "a", Stops(), dr.EarlyStopping(patience=50))
    assert same.epochs == 3
    assert bits(again) == bits(network)


def test_a_network_that_data_were_refused_for_is_still_without_a_shape(tmp_path: Path) -> None:
    fit(tmp_path / "a")
    network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)], seed=1)
    options: dict[str, Any] = {"loss": "mse", "optimizer": dr.SGD(0.5), "checkpoint": tmp_path / "a", "resume": True}
    with pytest.raises(ValueError, match="fingerprint of its network"):
        network.fit(X[:, :2], Y, epochs=60, validation_split=0.3, **options)
    assert network.input_shape is None
    assert network.fit(X, Y, epochs=60, validation_split=0.3, **options).epochs == 60
