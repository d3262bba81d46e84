"""Callbacks and metrics in real fits: what is measured can be watched, and a resumed fit ends as one left alone."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.callbacks import Checkpoint, CSVLogger, EarlyStopping, LambdaCallback, TimeLimit

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(80, 4))
Y = (np.sin(2 * X[:, 0]) + RANDOM.normal(size=80) > 0).astype(int)  # enough noise to learn it by heart
METRICS = ["accuracy", "f1", "auc"]


def new() -> dr.Network:
    return dr.Network([dr.Dense(20, "tanh"), dr.Dropout(0.1), dr.Dense(2)], input_shape=4, seed=2)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def train(network: dr.Network, *callbacks: Any, **arguments: Any) -> dr.History:
    """Some hundred epochs, of which the validation loss gets worse soon."""
    arguments = {"validation_split": 0.4, "epochs": 300, "metrics": METRICS, **arguments}
    optimizer = dr.Adam(lr=0.01)
    return network.fit(
        X, Y, loss="cross_entropy", optimizer=optimizer, batch_size=16, callbacks=list(callbacks), **arguments
    )


class TestMetrics:
    def test_are_those_of_evaluate(self) -> None:
        network, last = new(), {}
        cut = len(X) - int(len(X) * 0.4)
        history = train(network, LambdaCallback(on_epoch_end=lambda epoch, logs: last.update(logs)), epochs=3)
        assert {name: column[-1] for name, column in history.items()} == last
        training = network.evaluate(X[:cut], Y[:cut], metrics=METRICS)
        validation = network.evaluate(X[cut:], Y[cut:], metrics=METRICS)
        for name in METRICS:
            assert history[name][-1] == training[name]
            assert history[f"val_{name}"][-1] == validation[name]

    def test_can_be_watched(self, tmp_path: Path) -> None:
        stopping = EarlyStopping("val_auc", patience=20)
        checkpoint = Checkpoint(tmp_path / "{epoch}-{val_auc:.4f}", monitor="val_auc")
        network = new()
        history = train(network, checkpoint, stopping)
        best = int(np.argmax(history["val_auc"]))
        assert stopping.best_epoch == best
        assert history.epochs == best + 21
        assert checkpoint.saved == str(tmp_path / f"{best + 1}-{max(history['val_auc']):.4f}")
        assert bits(dr.Network.load(checkpoint.saved)) == bits(network)

    def test_are_checked_before_the_first_step(self) -> None:
        network = new()
        before = bits(network)
        for metrics in (["acuracy"], "accuracy", ["f1", "f1"]):
            with pytest.raises((ValueError, TypeError), match="metric"):
                train(network, metrics=metrics)
        assert bits(network) == before


@pytest.mark.parametrize("moment", [1, 2, 17, 30])
def test_a_resumed_fit_ends_as_one_that_was_left_alone(moment: int, tmp_path: Path) -> None:
    def interrupt(epoch: int, logs: dict[str, float]) -> None:
        if epoch == moment:
            raise KeyboardInterrupt

    def callbacks(name: str, at_the_end: Any = None) -> list[Any]:
        (tmp_path / name).mkdir(exist_ok=True)
        return [
            EarlyStopping("val_loss", patience=15),
            Checkpoint(tmp_path / name / "best-{epoch}", monitor="val_accuracy"),
            CSVLogger(tmp_path / name / "log.csv"),
            TimeLimit(1000),
            LambdaCallback(on_epoch_end=at_the_end),
        ]

    alone, network, path = new(), new(), tmp_path / "run.ckpt"
    of_alone = callbacks("alone")
    history = train(alone, *of_alone)
    assert moment < history.epochs < 300
    with pytest.raises(KeyboardInterrupt):
        train(network, *callbacks("parts", interrupt), checkpoint=path)
    resumed, of_resumed = new(), callbacks("parts")
    found = train(resumed, *of_resumed, checkpoint=path, resume=True)
    assert bits(resumed) == bits(alone)
    for name in ("best", "best_epoch", "stopped_epoch"):
        assert getattr(of_resumed[0], name) == getattr(of_alone[0], name)
    assert {name: column for name, column in found.items() if name != "seconds"} == {
        name: column for name, column in history.items() if name != "seconds"
    }
    names = [sorted(file.name for file in (tmp_path / folder).iterdir()) for folder in ("alone", "parts")]
    assert names[0] == names[1]
    logs = []
    for folder in ("alone", "parts"):
        with (tmp_path / folder / "log.csv").open(newline="") as file:
            logs.append([{**row, "seconds": ""} for row in csv.DictReader(file)])
    assert logs[0] == logs[1]
    assert len(logs[0]) == history.epochs


def test_a_fit_that_was_over_stays_as_it_was(tmp_path: Path) -> None:
    network, again = new(), new()
    history = train(network, EarlyStopping(patience=5), checkpoint=tmp_path / "run.ckpt")
    stopping = EarlyStopping(patience=5)
    found = train(again, stopping, checkpoint=tmp_path / "run.ckpt", resume=True)
    assert found.epochs == history.epochs
    assert stopping.stopped_epoch == history.epochs - 1
    assert bits(again) == bits(network)
