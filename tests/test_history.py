"""What a fit tells: its History, and callbacks while it runs."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest

import deltarule as dr

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(50, 3))
Y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 1] * X[:, 2]], axis=1)


def new() -> dr.Network:
    return dr.Network([dr.Dense(5, "tanh"), dr.Dense(2)], input_shape=3, dtype="float64", seed=2)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class Recorder:
    """A callback that writes down what it was told."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[Any] = []
        self.stop_after = stop_after

    def on_fit_begin(self, network: Any) -> None:
        self.calls.append(("begin", network))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        self.calls.append((epoch, logs))
        return epoch + 1 == self.stop_after

    def on_fit_end(self, network: Any) -> None:
        self.calls.append(("end", network))


class TestHistory:
    def trained(self, **arguments: Any) -> dr.History:
        return new().fit(X, Y, loss="mse", epochs=3, **arguments)

    def test_is_a_mapping(self) -> None:
        history = self.trained(validation_split=0.2)
        assert list(history) == ["loss", "val_loss", "lr", "seconds"]
        assert len(history) == 4
        assert "val_loss" in history
        assert "val_loss" not in self.trained()
        assert history.epochs == 3
        assert dict(history)["loss"] is history["loss"]
        assert history.get("nothing") is None
        assert all(type(value) is float for column in history.values() for value in column)

    def test_an_unknown_column(self) -> None:
        with pytest.raises(KeyError, match="no column 'val_loss': it has loss, lr, seconds; pass validation_data"):
            self.trained()["val_loss"]
        with pytest.raises(KeyError, match="no column 'accuracy'"):
            self.trained()["accuracy"]

    def test_repr(self) -> None:
        assert repr(dr.History({"loss": [0.5, 0.25], "val_loss": [1, 2], "lr": [1, 1], "seconds": [1, 2]})) == (
            "History(2 epochs: loss 0.5 -> 0.25, val_loss 1 -> 2)"
        )
        assert repr(dr.History({"loss": [0.5], "lr": [1], "seconds": [1]})) == "History(1 epoch: loss 0.5 -> 0.5)"
        assert repr(new().fit(X, Y, loss="mse", epochs=0)) == "History(0 epochs)"

    def test_pickle(self) -> None:
        history = self.trained()
        assert dict(pickle.loads(pickle.dumps(history))) == dict(history)

    def test_to_frame(self) -> None:
        pandas = pytest.importorskip("pandas")
        history = self.trained(validation_split=0.2)
        frame = history.to_frame()
        assert isinstance(frame, pandas.DataFrame)
        assert frame.shape == (3, 4)
        assert {name: list(frame[name]) for name in frame} == dict(history)
        frame.loc[0, "loss"] = -1.0
        assert history["loss"][0] > 0
        assert new().fit(X, Y, loss="mse", epochs=0).to_frame().shape == (0, 3)

    def test_plot(self) -> None:
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("agg")
        import matplotlib.pyplot as plt

        figure = plt.figure()
        axes: Any = figure.add_subplot()
        history = self.trained(validation_split=0.2)
        assert history.plot(ax=axes) is axes
        assert [list(line.get_ydata()) for line in axes.lines] == [history["loss"], history["val_loss"]]
        assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2, 3], [1, 2, 3]]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]
        assert axes.get_xlabel() == "epoch"
        plt.close(figure)
        own = self.trained().plot()
        assert own is plt.gca()
        plt.close()

    @pytest.mark.parametrize(("method", "module"), [("to_frame", "pandas"), ("plot", "matplotlib")])
    def test_without_the_library(self, method: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
        history = self.trained()
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=f"History.{method} needs {module}: pip install"):
            getattr(history, method)()


class TestCallbacks:
    def test_order_and_arguments(self) -> None:
        network, first, second = new(), Recorder(), Recorder()
        history = network.fit(X, Y, loss="mse", epochs=3, validation_data=(X, Y), callbacks=[first, second])
        assert first.calls == second.calls
        assert [call[0] for call in first.calls] == ["begin", 0, 1, 2, "end"]
        assert first.calls[0][1] is first.calls[-1][1] is network
        for epoch in range(3):
            assert first.calls[1 + epoch][1] == {name: column[epoch] for name, column in history.items()}

    def test_logs_are_each_ones_own(self) -> None:
        class Vandal:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                logs.clear()

        recorder = Recorder()
        history = new().fit(X, Y, loss="mse", callbacks=[Vandal(), recorder])
        assert recorder.calls[1][1]["loss"] == history["loss"][0]

    def test_true_stops(self) -> None:
        network, recorder, after = new(), Recorder(stop_after=2), Recorder()
        history = network.fit(X, Y, loss="mse", epochs=100, callbacks=[recorder, after])
        assert history.epochs == 2
        assert network.epochs_trained == 2
        assert [call[0] for call in after.calls] == ["begin", 0, 1, "end"]
        shorter = new()
        shorter.fit(X, Y, loss="mse", epochs=2)
        assert bits(network) == bits(shorter)

    @pytest.mark.parametrize("answer", [None, False, 0, 1, "stop", np.float64(1)])
    def test_nothing_else_stops(self, answer: Any) -> None:
        class Answering:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> Any:
                return answer

        assert new().fit(X, Y, loss="mse", epochs=3, callbacks=[Answering()]).epochs == 3

    def test_watching_does_not_change_the_result(self) -> None:
        class Curious:
            def on_fit_begin(self, network: dr.Network) -> None:
                self.network = network

            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                assert np.isfinite(self.network.predict(X)).all()
                assert self.network.evaluate(X, Y, loss="mse")["loss"] < 10
                assert set(self.network.parameters) == set(self.network.loss_and_gradients(X, Y, loss="mse")[1])

        watched, plain = new(), new()
        watched.fit(X, Y, loss="mse", epochs=3, callbacks=[Curious()])
        plain.fit(X, Y, loss="mse", epochs=3)
        assert bits(watched) == bits(plain)

    @pytest.mark.parametrize("method", ["on_fit_begin", "on_epoch_end", "on_fit_end"])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_an_exception_comes_through(self, method: str, threads: int) -> None:
        class Failing(Recorder):
            pass

        def fail(self: Any, *arguments: Any) -> None:
            raise LookupError("my own mistake")

        setattr(Failing, method, fail)
        network, recorder = new(), Recorder()
        with pytest.raises(LookupError, match="my own mistake"):
            network.fit(X, Y, loss="mse", epochs=5, n_threads=threads, callbacks=[recorder, Failing()])
        # Whoever was told of the beginning is told of the end.
        assert recorder.calls[0] == ("begin", network)
        assert recorder.calls[-1] == ("end", network)
        # The weights are those of a whole number of epochs, and the network goes on.
        epochs = {"on_fit_begin": 0, "on_epoch_end": 1, "on_fit_end": 5}[method]
        same = new()
        same.fit(X, Y, loss="mse", epochs=epochs)
        assert bits(network) == bits(same)
        assert network.epochs_trained == epochs
        assert np.isfinite(network.fit(X, Y, loss="mse", n_threads=threads)["loss"]).all()

    def test_progress_goes_to_stderr(self, capfd: pytest.CaptureFixture[str]) -> None:
        network, silent = new(), new()
        network.fit(X, Y, loss="mse", epochs=3, validation_split=0.2, verbose=1)
        shown = capfd.readouterr()
        assert shown.out == ""
        assert "3/3" in shown.err
        assert "val_loss=" in shown.err
        silent.fit(X, Y, loss="mse", epochs=3, validation_split=0.2)
        assert capfd.readouterr() == ("", "")
        assert bits(network) == bits(silent)
