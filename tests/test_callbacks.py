"""Callbacks in a fit: what they are told, errors, being used twice, wrong arguments, and what a resumed fit keeps."""

from __future__ import annotations

import copy
import json
import pickle
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.callbacks import (
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ProgressBar,
    TensorBoard,
    TimeLimit,
)

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(50, 3))
Y = np.sin(X[:, :1]) + X[:, 1:2]


def new() -> dr.Network:
    return dr.Network([dr.Dense(5, "tanh"), dr.Dense(1)], input_shape=3, dtype="float64", seed=2)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def every_callback(folder: Path) -> list[Any]:
    return [
        EarlyStopping(patience=2, min_delta=1e9),
        Checkpoint(folder / "net-{epoch}-{val_loss:.2f}.safetensors", every=2),
        TimeLimit(1000),
        ProgressBar(),
        CSVLogger(folder / "log.csv"),
        LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    ]


class TestInAFit:
    def test_all_of_them_change_nothing(self, tmp_path: Path) -> None:
        watched, plain = new(), new()
        history = watched.fit(X, Y, loss="mse", epochs=9, validation_split=0.2, callbacks=every_callback(tmp_path))
        assert history.epochs == 3  # the first is the best
        plain.fit(X, Y, loss="mse", epochs=1, validation_split=0.2)
        assert bits(watched) == bits(plain)
        assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["log.csv", "net"]

    def test_an_exception_ends_the_fit_and_comes_out(self, tmp_path: Path) -> None:
        """The network stays as trained, files are whole, and all are told of the end."""
        ends: list[str] = []

        def fail(epoch: int, logs: dict[str, float]) -> None:
            if epoch == 2:
                raise LookupError("my own mistake")

        for threads in (1, 2):
            ends.clear()
            network, same = new(), new()
            callbacks = [*every_callback(tmp_path)[1:], LambdaCallback(None, fail, lambda network: ends.append("end"))]
            with pytest.raises(LookupError, match=r"^my own mistake$"):
                network.fit(X, Y, loss="mse", epochs=9, n_threads=threads, validation_data=(X, Y), callbacks=callbacks)
            same.fit(X, Y, loss="mse", epochs=3)
            assert bits(network) == bits(same)
            assert network.epochs_trained == 3
            assert ends == ["end"]
            assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
            assert network.fit(X, Y, loss="mse").epochs == 1

    def test_the_best_weights_come_back_after_an_exception_too(self) -> None:
        def interrupt(epoch: int, logs: dict[str, float]) -> None:
            if epoch == 3:
                raise KeyboardInterrupt

        network, same = new(), new()
        stopping = EarlyStopping("loss", mode="max")  # the first epoch is the best
        with pytest.raises(KeyboardInterrupt):
            network.fit(X, Y, loss="mse", epochs=9, callbacks=[stopping, LambdaCallback(on_epoch_end=interrupt)])
        same.fit(X, Y, loss="mse", epochs=1)
        assert bits(network) == bits(same)

    def test_after_a_divergence(self) -> None:
        network, stopping = dr.Network([dr.Dense(1)], seed=1), EarlyStopping("loss", patience=10**6)
        optimizer = dr.SGD(lr=2.0)
        with pytest.raises(dr.DivergenceError) as caught:
            network.fit(X, Y, loss="mse", optimizer=optimizer, epochs=10000, callbacks=[stopping])
        assert caught.value.epoch
        losses = caught.value.history["loss"]
        assert stopping.best == min(losses)
        same = dr.Network([dr.Dense(1)], seed=1)
        same.fit(X, Y, loss="mse", optimizer=optimizer, epochs=losses.index(min(losses)) + 1)
        assert bits(network) == bits(same)

    def test_used_twice_they_start_afresh(self, tmp_path: Path) -> None:
        callbacks = every_callback(tmp_path)
        new().fit(X, Y, loss="mse", epochs=9, validation_data=(X, Y), callbacks=callbacks)
        network, same = new(), new()
        network.fit(X, Y + 5, loss="mse", epochs=9, validation_data=(X, Y + 5), callbacks=callbacks)
        same.fit(X, Y + 5, loss="mse", epochs=9, validation_data=(X, Y + 5), callbacks=every_callback(tmp_path))
        assert bits(network) == bits(same)
        assert callbacks[0].best_epoch == 0

    def test_no_epochs(self, tmp_path: Path) -> None:
        network = new()
        before = bits(network)
        network.fit(X, Y, loss="mse", epochs=0, callbacks=every_callback(tmp_path))
        assert bits(network) == before

    def test_they_can_be_copied_and_pickled_after_a_fit(self, tmp_path: Path) -> None:
        callbacks = every_callback(tmp_path)[:-1]  # a lambda is not for pickle
        new().fit(X, Y, loss="mse", epochs=9, validation_data=(X, Y), callbacks=callbacks)
        for copied in (copy.deepcopy(callbacks), pickle.loads(pickle.dumps(callbacks))):
            assert [repr(callback) for callback in copied] == [repr(callback) for callback in callbacks]
            assert new().fit(X, Y, loss="mse", epochs=9, validation_data=(X, Y), callbacks=copied).epochs == 3

    def test_in_the_drop_ins_for_scikit_learn(self) -> None:
        pytest.importorskip("sklearn")
        from deltarule.sklearn import MLPRegressor

        recorded: list[Any] = []
        stopping = EarlyStopping("loss", patience=3, min_delta=0.01)
        keep = LambdaCallback(on_epoch_end=lambda epoch, logs: recorded.append(logs["loss"]))
        model = MLPRegressor(hidden_layer_sizes=(5,), random_state=0, max_iter=500, callbacks=[stopping, keep]).fit(
            X, Y.ravel()
        )
        assert model.n_iter_ == len(recorded) == (stopping.stopped_epoch or 0) + 1
        assert stopping.best == recorded[stopping.best_epoch or 0]


class TestLambdaCallback:
    def test_calls_what_it_was_given(self) -> None:
        calls: list[Any] = []
        network = new()
        callback = LambdaCallback(
            on_fit_begin=lambda network: calls.append(network),
            on_epoch_end=lambda epoch, logs: calls.append((epoch, sorted(logs))) or epoch == 1,
            on_fit_end=lambda network: calls.append(network),
        )
        network.fit(X, Y, loss="mse", epochs=9, callbacks=[callback, LambdaCallback()])
        names = ["loss", "lr", "seconds"]
        assert calls == [network, (0, names), (1, names), network]

    def test_repr(self) -> None:
        assert repr(LambdaCallback()) == "LambdaCallback()"
        assert repr(LambdaCallback(on_fit_end=print)) == "LambdaCallback(on_fit_end=<built-in function print>)"


class TestTimeLimit:
    def test_no_epoch_begins_after_it(self) -> None:
        slow = LambdaCallback(on_epoch_end=lambda epoch, logs: time.sleep(0.02))
        history = new().fit(X, Y, loss="mse", epochs=1000, callbacks=[slow, TimeLimit(0.1)])
        assert 1 <= history.epochs <= 6

    def test_one_epoch_is_always_finished(self) -> None:
        assert new().fit(X, Y, loss="mse", epochs=1000, callbacks=[TimeLimit(1e-9)]).epochs == 1

    def test_the_clock_starts_with_the_fit(self) -> None:
        limit = TimeLimit(0.3)
        time.sleep(0.31)
        assert new().fit(X, Y, loss="mse", epochs=2, callbacks=[limit]).epochs == 2

    def test_time_before_a_resume_counts(self) -> None:
        first = TimeLimit(50)
        first.on_fit_begin(None)
        time.sleep(0.05)
        state = json.loads(json.dumps(first.state_dict()))
        assert 0.05 <= state["elapsed"] < 10
        resumed = TimeLimit(50)
        resumed.on_fit_begin(None)
        resumed.load_state_dict(state)
        assert resumed.state_dict()["elapsed"] >= state["elapsed"]
        assert resumed.on_epoch_end(0, {}) is False
        resumed.load_state_dict({"elapsed": 50.0})
        assert resumed.on_epoch_end(0, {}) is True
        resumed.on_fit_begin(None)
        assert resumed.on_epoch_end(0, {}) is False


WRONG: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (EarlyStopping, {"monitor": 3}, TypeError, "monitor=3 is int: expected a name in the logs"),
    (EarlyStopping, {"monitor": "my_own"}, ValueError, "monitor='my_own': .* pass mode='min' where less is better"),
    (EarlyStopping, {"monitor": "lr"}, ValueError, "is not known"),
    (EarlyStopping, {"patience": 1.5}, TypeError, "patience=1.5: expected an integer"),
    (EarlyStopping, {"patience": -1}, ValueError, "patience=-1: expected an integer of at least 0"),
    (EarlyStopping, {"patience": True}, TypeError, "patience=True"),
    (EarlyStopping, {"min_delta": -1e-3}, ValueError, "min_delta=-0.001: expected a finite number of at least 0"),
    (EarlyStopping, {"min_delta": float("nan")}, ValueError, "min_delta=nan"),
    (EarlyStopping, {"min_delta": "1"}, TypeError, "min_delta='1': expected a number, got str"),
    (EarlyStopping, {"restore_best": "yes"}, TypeError, "restore_best='yes': expected True or False"),
    (EarlyStopping, {"mode": "mni"}, ValueError, "mode='mni' is unknown: did you mean 'min'"),
    (EarlyStopping, {"mode": None}, TypeError, "mode=None is NoneType"),
    (Checkpoint, {"path": 3}, TypeError, "path=3 is int: expected a path"),
    (Checkpoint, {"path": b"net"}, TypeError, "path=b'net' is bytes"),
    (Checkpoint, {"path": ""}, ValueError, "path='' is empty"),
    (Checkpoint, {"path": "net", "every": 0}, ValueError, "every=0: expected an integer of at least 1"),
    (Checkpoint, {"path": "net", "every": 2.0}, TypeError, "every=2.0"),
    (Checkpoint, {"path": "net", "monitor": "my_own"}, ValueError, "monitor='my_own'"),
    (Checkpoint, {"path": "net", "mode": "min"}, ValueError, "mode='min' goes with a monitor"),
    (Checkpoint, {"path": "net-{epoch"}, ValueError, "path='net-{epoch': expected '}'"),
    (Checkpoint, {"path": "net-{}"}, ValueError, "expected names such as {epoch}"),
    (Checkpoint, {"path": "net-{0}"}, ValueError, "expected names such as {epoch}"),
    (Checkpoint, {"path": "net-{epoch.__class__}"}, ValueError, "expected names such as {epoch}"),
    (Checkpoint, {"path": "net-{epoch[0]}"}, ValueError, "expected names such as {epoch}"),
    (Checkpoint, {"path": "net-{loss:d}"}, ValueError, "Unknown format code 'd'"),
    (Checkpoint, {"path": "{epoch}/net"}, ValueError, "only the file's name may"),
    (TimeLimit, {"seconds": 0}, ValueError, "seconds=0: expected a finite number above 0"),
    (TimeLimit, {"seconds": float("inf")}, ValueError, "seconds=inf"),
    (TimeLimit, {"seconds": "10"}, TypeError, "seconds='10'"),
    (CSVLogger, {"path": None}, TypeError, "path=None is NoneType: expected a path"),
    (CSVLogger, {"path": "log.csv", "append": 1}, TypeError, "append=1: expected True or False"),
    (TensorBoard, {"log_dir": 1.0}, TypeError, "log_dir=1.0 is float"),
    (TensorBoard, {"log_dir": ""}, ValueError, "log_dir='' is empty"),
    (LambdaCallback, {"on_epoch_end": "print"}, TypeError, "on_epoch_end='print' is str: expected a function"),
]


@pytest.mark.parametrize(("kind", "arguments", "error", "message"), WRONG)
def test_wrong_arguments(kind: Any, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.sub(r"([{}])", r"\\\1", message)):
        kind(**arguments)


@pytest.mark.parametrize(
    "text",
    [
        "EarlyStopping(monitor='val_loss', patience=10, min_delta=0, restore_best=True, mode='auto')",
        "EarlyStopping(monitor='val_f1', patience=3, min_delta=0.5, restore_best=False, mode='max')",
        "Checkpoint('net-{epoch}', every=1)",
        "Checkpoint('net', every=3, monitor='val_loss', mode='min')",
        "TimeLimit(60)",
        "ProgressBar()",
        "CSVLogger('log.csv', append=True)",
        "TensorBoard('runs/first')",
    ],
)
def test_repr_is_how_they_are_made(text: str) -> None:
    assert repr(eval(text)) == text


@pytest.mark.parametrize(
    ("callback", "state"),
    [
        (EarlyStopping(), {}),
        (EarlyStopping(), {"best": "low", "best_epoch": 0, "stopped_epoch": None, "waited": 0}),
        (EarlyStopping(), {"best": 1.0, "best_epoch": 0, "stopped_epoch": None, "waited": True}),
        (Checkpoint("net"), {"best": 1.0}),
        (Checkpoint("net"), {"best": None, "saved": 3}),
        (TimeLimit(3), {"elapsed": None}),
        (TimeLimit(3), {"elapsed": -1.0}),
        (TimeLimit(3), {"elapsed": float("nan")}),
        (CSVLogger("log.csv"), {"lines": "3"}),
        (TensorBoard("runs"), {"epochs": 1.5}),
    ],
    ids=repr,
)
def test_states_of_something_else_are_refused(callback: Any, state: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"it is not what its state_dict returned|elapsed=.*expected"):
        callback.load_state_dict(state)
