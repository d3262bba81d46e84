"""A fit that is killed, at any moment, goes on from its checkpoint to the same bits as one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn_side_by_side import KINDS, our, quietly, table

import deltarule as dr

X, Y = table("iris")
SMALL: dict[str, Any] = {"hidden_layer_sizes": (8, 5), "max_iter": 30, "random_state": 0, "tol": 0}
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd", "batch_size": 16},
    "adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "learning_rate_init": 0.3,
        "n_iter_no_change": 3,
        "tol": 0.02,
        "max_iter": 90,
    },
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "no shuffle": {"shuffle": False, "batch_size": 20},
    "dropout": {"dropout": 0.3, "batch_size": 32},
    "optimizer": {"optimizer": dr.RMSprop(lr=0.01, momentum=0.5)},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 20, "batch_size": 32},
    "single precision": {"dtype": "float32", "batch_size": 32},
}


def bits(model: Any) -> bytes:
    return b"".join(array.tobytes() for array in (*model.coefs_, *model.intercepts_))


class KilledError(Exception):
    """What a fit does not expect."""


class Killer:
    """Ends a fit by an error, so that nothing is written after it."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch:
            raise KilledError


def assert_same(resumed: Any, whole: Any) -> None:
    assert bits(resumed) == bits(whole)
    assert resumed.loss_curve_ == whole.loss_curve_
    assert resumed.loss_ == whole.loss_
    assert resumed.n_iter_ == whole.n_iter_
    assert resumed.t_ == whole.t_
    assert resumed.best_loss_ == whole.best_loss_
    assert resumed.validation_scores_ == whole.validation_scores_
    assert resumed.val_loss_curve_ == whole.val_loss_curve_


@pytest.mark.parametrize("kind", KINDS)
class TestResume:
    @pytest.mark.parametrize("name", SETTINGS)
    def test_from_fewer_epochs(self, kind: str, name: str, tmp_path: Path) -> None:
        """The file at the end of a shorter fit is one of the longer fit's."""
        settings, path = {**SMALL, **SETTINGS[name]}, tmp_path / "run.ckpt"
        whole = quietly(our(kind, **settings).fit, X, Y)
        for epochs in (7, 8, 21):
            shorter = our(kind, **{**settings, "max_iter": epochs})
            quietly(shorter.fit, X, Y, checkpoint=path, resume=True)
            assert shorter.n_iter_ == epochs < whole.n_iter_
        resumed = quietly(our(kind, **settings).fit, X, Y, checkpoint=path, resume=True)
        assert_same(resumed, whole)
        for one in (resumed, whole):
            if not one.early_stopping:
                one.partial_fit(X, Y)
        assert bits(resumed) == bits(whole)

    def test_from_the_beginning_without_a_file(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        resumed = quietly(our(kind, **SMALL).fit, X, Y, checkpoint=path, resume=True)
        assert_same(resumed, quietly(our(kind, **SMALL).fit, X, Y))
        assert path.exists()
        assert os.listdir(tmp_path) == ["run.ckpt"]

    def test_of_a_fit_that_was_over(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        whole = quietly(our(kind, **SMALL).fit, X, Y, checkpoint=path)
        assert_same(quietly(our(kind, **SMALL).fit, X, Y, checkpoint=path, resume=True), whole)

    def test_without_resume_it_is_written_over(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        quietly(our(kind, **{**SMALL, "max_iter": 3}).fit, X, Y, checkpoint=str(path))
        anew = quietly(our(kind, **SMALL).fit, X, Y, checkpoint=str(path))
        assert_same(anew, quietly(our(kind, **SMALL).fit, X, Y))

    def test_with_validation_data(self, kind: str, tmp_path: Path) -> None:
        arguments: dict[str, Any] = {"validation_data": (X[::3], Y[::3])}
        whole = quietly(our(kind, **SMALL).fit, X, Y, **arguments)
        arguments |= {"checkpoint": tmp_path / "run.ckpt", "resume": True}
        quietly(our(kind, **{**SMALL, "max_iter": 11}).fit, X, Y, **arguments)
        assert_same(quietly(our(kind, **SMALL).fit, X, Y, **arguments), whole)

    def test_a_random_state_goes_on_too(self, kind: str, tmp_path: Path) -> None:
        def settings(epochs: int) -> dict[str, Any]:
            return {**SMALL, "random_state": np.random.RandomState(3), "max_iter": epochs, "batch_size": 32}

        whole = quietly(our(kind, **settings(30)).fit, X, Y)
        path = tmp_path / "run.ckpt"
        quietly(our(kind, **settings(9)).fit, X, Y, checkpoint=path)
        resumed = quietly(our(kind, **settings(30)).fit, X, Y, checkpoint=path, resume=True)
        assert_same(resumed, whole)

    def test_an_error_leaves_the_last_file_whole(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        quietly(our(kind, **{**SMALL, "max_iter": 5}).fit, X, Y, checkpoint=path)
        for epoch in (6, 9, 20):
            with pytest.raises(KilledError):
                our(kind, callbacks=[Killer(epoch)], **SMALL).fit(X, Y, checkpoint=path, resume=True)
        resumed = quietly(our(kind, **SMALL).fit, X, Y, checkpoint=path, resume=True)
        assert_same(resumed, quietly(our(kind, **SMALL).fit, X, Y))


@pytest.mark.parametrize("kind", KINDS)
class TestRefused:
    @pytest.mark.parametrize(
        "other",
        [
            {"alpha": 0.5},
            {"hidden_layer_sizes": (5, 8)},
            {"activation": "tanh"},
            {"solver": "sgd"},
            {"dtype": "float32"},
        ],
        ids=str,
    )
    def test_other_parameters(self, kind: str, other: dict[str, Any], tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        quietly(our(kind, **SMALL).fit, X, Y, checkpoint=path)
        with pytest.raises(ValueError, match=r"run\.ckpt"):
            our(kind, **{**SMALL, **other}).fit(X, Y, checkpoint=path, resume=True)

    @pytest.mark.parametrize("what", ["X", "y", "rows", "sample_weight"])
    def test_other_data(self, kind: str, what: str, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        quietly(our(kind, **SMALL).fit, X, Y, checkpoint=path)
        features, y, weights = X.copy(), Y.copy(), None
        if what == "X":
            features[70, 2] += 1e-9
        elif what == "y":
            y[:50], y[50:100] = 1, 0
        elif what == "rows":
            features, y = X[:-1], Y[:-1]
        else:
            weights = np.linspace(0.5, 1, 150)
        with pytest.raises(ValueError, match=r"run\.ckpt"):
            our(kind, **SMALL).fit(features, y, weights, checkpoint=path, resume=True)

    @pytest.mark.parametrize("damage", ["empty", "cut", "noise", "other"])
    def test_a_damaged_file(self, kind: str, damage: str, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        quietly(our(kind, **SMALL).fit, X, Y, checkpoint=path)
        whole = path.read_bytes()
        damaged = {"empty": b"", "cut": whole[: len(whole) // 2], "noise": bytes(500), "other": b"PK\x03\x04" + whole}
        path.write_bytes(damaged[damage])
        with pytest.raises(ValueError, match=r"run\.ckpt"):
            our(kind, **SMALL).fit(X, Y, checkpoint=path, resume=True)
        assert path.read_bytes() == damaged[damage]

    def test_resume_of_what(self, kind: str) -> None:
        with pytest.raises(ValueError, match="checkpoint"):
            our(kind, **SMALL).fit(X, Y, resume=True)

    def test_no_folder(self, kind: str, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="nowhere"):
            quietly(our(kind, **SMALL).fit, X, Y, checkpoint=tmp_path / "nowhere" / "run.ckpt")


PROGRAM = """
import json, sys, time, warnings
import numpy as np
from deltarule.sklearn import MLPClassifier

warnings.simplefilter("ignore")
path, pause = sys.argv[1], float(sys.argv[2])
generator = np.random.default_rng(0)
X = generator.normal(size=(2000, 20))
y = (X[:, 0] * X[:, 1] > 0).astype(int)

class Slow:
    def on_epoch_end(self, epoch, logs):
        print(epoch, flush=True)
        time.sleep(pause)

endless = {"max_iter": 700, "tol": 0, "n_iter_no_change": 10**9}
model = MLPClassifier((32,), random_state=1, dropout=0.1, callbacks=[Slow()], **endless)
model.fit(X, y, checkpoint=path, resume=True)
sums = [float(np.abs(array).sum()) for array in (*model.coefs_, *model.intercepts_)]
print(json.dumps([model.n_iter_, model.loss_curve_, sums]))
"""


def run(path: Path, pause: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(path), str(pause)], stdout=subprocess.PIPE, text=True)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """By SIGKILL, which no program sees coming, around the moments when a second is over and a file is written."""
    path, generator = tmp_path / "killed.ckpt", np.random.default_rng()
    begun_at = []
    for least in (1.05, 0.3, 0.95):
        process = run(path, pause=0.005)
        assert process.stdout is not None
        begun_at.append(int(process.stdout.readline()))
        time.sleep(generator.uniform(least, least + 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    lines = run(path, pause=0).communicate(timeout=60)[0].splitlines()
    whole = run(tmp_path / "whole.ckpt", pause=0).communicate(timeout=60)[0].splitlines()
    assert json.loads(lines[-1]) == json.loads(whole[-1])
    assert len(whole) == 701
    assert 0 == begun_at[0] < begun_at[1] == int(lines[0]) or begun_at[1] < int(lines[0]), "no file was read"
