"""ProgressBar and TensorBoard: what a person sees of a fit."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.callbacks import LambdaCallback, ProgressBar, TensorBoard
from deltarule.network.watchers import tell_plan, watchers_of

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(50, 3))
Y = np.sin(X[:, :1]) + X[:, 1:2]


def train(epochs: int, *callbacks: Any, **arguments: Any) -> dr.History:
    network = dr.Network([dr.Dense(5, "tanh"), dr.Dense(1)], input_shape=3, seed=2)
    return network.fit(X, Y, loss="mse", epochs=epochs, callbacks=list(callbacks), **arguments)


def bar(capfd: pytest.CaptureFixture[str]) -> str:
    """The line as it was left; nothing goes to stdout."""
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.endswith("\n")
    return shown.err.rstrip().split("\r")[-1]


class TestProgressBar:
    def test_verbose(self, capfd: pytest.CaptureFixture[str]) -> None:
        history = train(30, verbose=1, validation_split=0.2)
        line = bar(capfd)
        assert line.startswith("epoch 30/30: 100%|")
        assert re.search(r"\[00:00<00:00, +[\d.]+(epoch|step)/s, loss=[\d.]+, val_loss=[\d.]+\]$", line)
        assert f"loss={history['loss'][-1]:.4g}, val_loss={history['val_loss'][-1]:.4g}]" in line

    def test_one_bar_is_enough(self, capfd: pytest.CaptureFixture[str]) -> None:
        train(3, ProgressBar(), verbose=1)
        assert len(re.findall("epoch 0", capfd.readouterr().err)) <= 1

    def test_with_a_plan_it_counts_steps(self, capfd: pytest.CaptureFixture[str]) -> None:
        callback = ProgressBar()
        tell_plan([callback, object(), LambdaCallback()], 3, 7)
        callback.on_fit_begin(None)
        for epoch in range(2):
            callback.on_epoch_end(
                epoch, {"lr": 0.1, "seconds": 1.0, "accuracy": 0.98765, "val_loss": 2.0, "loss": 1e-7}
            )
        callback.on_fit_end(None)
        line = bar(capfd)
        assert line.startswith("epoch 2/3:  67%|")
        assert "14/21 [" in line
        assert re.search(r"step/s, loss=1e-7, val_loss=2, accuracy=0.9877\]$", line.replace("e-07", "e-7"))

    def test_without_a_plan(self, capfd: pytest.CaptureFixture[str]) -> None:
        callback = ProgressBar()
        for _ in range(2):
            callback.on_fit_begin(None)
            callback.on_epoch_end(0, {"loss": 1.0})
            callback.on_epoch_end(1, {"loss": 0.5})
            callback.on_fit_end(None)
            assert re.fullmatch(r"epoch 2: 2epoch \[00:00, +[\d.]+epoch/s, loss=0.5\]", bar(capfd))

    def test_a_plan_is_for_one_fit(self, capfd: pytest.CaptureFixture[str]) -> None:
        callback = ProgressBar()
        callback.on_plan(5)
        for start in ("epoch 0/5:   0%|", "epoch 0: 0epoch ["):
            callback.on_fit_begin(None)
            callback.on_fit_end(None)
            assert bar(capfd).startswith(start)

    def test_a_resumed_fit_goes_on_in_the_middle(self, capfd: pytest.CaptureFixture[str]) -> None:
        callback = ProgressBar()
        callback.on_plan(1000, 10)
        callback.on_fit_begin(None)
        time.sleep(0.05)
        callback.on_epoch_end(900, {"loss": 1.0})
        callback.on_fit_end(None)
        line = bar(capfd)
        assert "9010/10000 [" in line
        rate = re.search(r"([\d.]+)step/s", line)
        assert rate
        assert float(rate[1]) < 10 / 0.05  # ten steps, not nine thousand

    def test_an_early_end_and_an_error_leave_a_line(self, capfd: pytest.CaptureFixture[str]) -> None:
        train(30, LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 3), verbose=1)
        assert bar(capfd).startswith("epoch 4/30:  13%|")

        def fail(epoch: int, logs: dict[str, float]) -> None:
            raise LookupError("my own mistake")

        for name in ("on_fit_begin", "on_epoch_end", "on_fit_end"):
            with pytest.raises(LookupError):
                train(
                    30,
                    LambdaCallback(**{name: fail if name == "on_epoch_end" else lambda network: fail(0, {})}),
                    verbose=1,
                )
            assert capfd.readouterr().err.endswith("\n") or name == "on_fit_begin"  # there was none yet
        callback = ProgressBar()
        callback.on_fit_end(None)
        assert capfd.readouterr().err == ""

    def test_is_redrawn_ten_times_a_second(self, capfd: pytest.CaptureFixture[str]) -> None:
        began = time.monotonic()
        train(3000, verbose=1)
        seconds = time.monotonic() - began
        assert capfd.readouterr().err.count("\r") < 10 * seconds + 10

    def test_costs_next_to_nothing_in_between(self) -> None:
        """An epoch of XOR takes 10 µs; most of what is allowed here is for busy machines."""
        callback, logs, calls = ProgressBar(), {"loss": 1.0}, 20_000
        callback.on_plan(calls, 1)
        callback.on_fit_begin(None)
        best = float("inf")
        for start in range(0, calls, 1000):
            began = time.perf_counter()
            for epoch in range(start, start + 1000):
                callback.on_epoch_end(epoch, logs)
            best = min(best, (time.perf_counter() - began) / 1000)
        callback.on_fit_end(None)
        assert best < 2e-6

    def test_watchers(self) -> None:
        assert watchers_of([], 3, 0) == []
        assert [type(watcher) for watcher in watchers_of([], 3, True)] == [ProgressBar]
        own = ProgressBar()
        assert watchers_of([own], 3, 1) == [own]
        with pytest.raises(TypeError, match="verbose='yes'"):
            watchers_of([], 3, "yes")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected an object with on_fit_begin"):
            watchers_of([ProgressBar], 3, 0)


class TestTensorBoard:
    def test_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
        with pytest.raises(ImportError, match="TensorBoard needs tensorboard: pip install tensorboard"):
            train(1, TensorBoard(tmp_path))

    def read(self, folder: Path) -> dict[str, list[tuple[int, float]]]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = EventAccumulator(str(folder))
        found.Reload()
        return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}

    def test_reads_back(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        history = train(20, TensorBoard(tmp_path / "runs" / "first"), validation_split=0.2)
        assert self.read(tmp_path / "runs" / "first") == {
            name: [(epoch, float(np.float32(value))) for epoch, value in enumerate(column)]
            for name, column in history.items()
        }

    def test_a_resumed_fit_drops_later_epochs(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        first, second = TensorBoard(tmp_path), TensorBoard(tmp_path)
        first.on_fit_begin(None)
        for epoch in range(5):
            first.on_epoch_end(epoch, {"loss": float(epoch)})
            if epoch == 2:
                state = json.loads(json.dumps(first.state_dict()))
        first.on_fit_end(None)
        time.sleep(1.1)  # the names of the files have the second
        second.on_fit_begin(None)
        second.load_state_dict(state)
        for epoch in range(3, 6):
            second.on_epoch_end(epoch, {"loss": 10.0 + epoch})
        second.on_fit_end(None)
        assert self.read(tmp_path)["loss"] == [(0, 0), (1, 1), (2, 2), (3, 13), (4, 14), (5, 15)]

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        (tmp_path / "log").write_text("")
        with pytest.raises(NotADirectoryError, match="is a file: give the path of a folder"):
            train(1, TensorBoard(tmp_path / "log"))

    def test_an_error_closes_the_file(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")

        def fail(epoch: int, logs: dict[str, float]) -> None:
            if epoch == 3:
                raise LookupError("my own mistake")

        with pytest.raises(LookupError):
            train(9, TensorBoard(tmp_path), LambdaCallback(on_epoch_end=fail))
        assert len(self.read(tmp_path)["loss"]) == 4
