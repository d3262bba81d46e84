"""`fit(metrics=)`: after each epoch the numbers that `evaluate` gives at that moment, and nothing else is different."""

from __future__ import annotations

import copy
import signal
from typing import Any

import numpy as np
import pytest
from recurrent_networks import batch, make

import deltarule as dr
from deltarule.metrics import METRICS

RANDOM = np.random.default_rng(31)
X = RANDOM.normal(size=(60, 5))
Y = np.tanh(X @ RANDOM.normal(size=(5, 3)))
LABELS = Y.argmax(axis=1)
BINARY = (Y[:, :1] > 0).astype(float)


def new(outputs: int = 3, *, dtype: str = "float64", last: str = "identity") -> dr.Network:
    layers: list[Any] = [dr.Dense(8, "tanh", l2=1e-3), dr.Dropout(0.2), dr.Dense(outputs, last)]
    return dr.Network(layers, 5, dtype, seed=3)


def bits(network: dr.Network) -> list[bytes]:
    return [array.tobytes() for array in network.state_dict().values()]


def largest_error(output: Any, y: Any) -> float:
    return float(np.abs(output - y).max())


class Range:
    """A metric that is an object."""

    def __call__(self, output: Any, y: Any) -> float:
        return float(output.max() - output.min())


class Evaluates:
    """A callback that asks `evaluate` after each epoch, for some parts of the data."""

    def __init__(self, metrics: list[Any], **parts: tuple[Any, ...]) -> None:
        self.metrics, self.parts = metrics, parts
        self.columns: dict[str, list[float]] = {}
        self.logs: list[dict[str, float]] = []
        self.network: Any = None

    def on_fit_begin(self, network: dr.Network) -> None:
        self.network = network

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.logs.append(logs)
        for start, part in self.parts.items():
            lengths = {"lengths": part[2]} if len(part) == 3 else {}
            found = self.network.evaluate(part[0], part[1], metrics=self.metrics, **lengths)
            for name, value in found.items():
                self.columns.setdefault({"of": name, "val": f"val_{name}"}[start], []).append(value)

    def assert_same(self, history: dr.History, *metrics: str) -> None:
        """All columns but the loss of the training, which is that of its batches."""
        self.columns.pop("loss", None)
        expected = {"loss", "lr", "seconds", *self.columns}
        assert set(history) == expected
        assert {name.removeprefix("val_") for name in self.columns} >= set(metrics)
        for name, column in self.columns.items():
            assert history[name] == column, name
            assert [logs[name] for logs in self.logs] == column
        assert all(set(logs) == expected for logs in self.logs)


KINDS: dict[str, tuple[int, Any, list[Any]]] = {
    "mse": (3, Y, ["mse", "mae", "r2", largest_error, Range()]),
    "huber": (3, Y, ["r2"]),
    "cross_entropy": (3, LABELS, ["accuracy", "f1", "top_2"]),
    "binary_cross_entropy": (1, BINARY, ["accuracy", "auc", "f1", "mae"]),
}


class TestColumns:
    @pytest.mark.parametrize("n_threads", [1, 2, None])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("loss", KINDS)
    def test_are_those_of_evaluate(self, loss: str, dtype: str, n_threads: int | None) -> None:
        outputs, y, metrics = KINDS[loss]
        looks = Evaluates(metrics, of=(X, y))
        history = new(outputs, dtype=dtype).fit(
            X, y, loss=loss, epochs=4, batch_size=16, metrics=metrics, callbacks=[looks], n_threads=n_threads
        )
        looks.assert_same(history, *(name for name in metrics if isinstance(name, str)))
        assert history.epochs == len(history[next(reversed(looks.columns))]) == 4

    @pytest.mark.parametrize("loss", KINDS)
    def test_of_validation_data(self, loss: str) -> None:
        outputs, y, metrics = KINDS[loss]
        looks = Evaluates(metrics, of=(X[:40], y[:40]), val=(X[40:], y[40:]))
        validation: Any = (X[40:], y[40:])
        history = new(outputs).fit(
            X[:40], y[:40], loss=loss, epochs=3, metrics=metrics, callbacks=[looks], validation_data=validation
        )
        looks.assert_same(history, *(name for name in metrics if isinstance(name, str)))

    @pytest.mark.parametrize("loss", KINDS)
    def test_of_what_was_held_out(self, loss: str) -> None:
        outputs, y, metrics = KINDS[loss]
        looks = Evaluates(metrics, of=(X[:45], y[:45]), val=(X[45:], y[45:]))
        history = new(outputs).fit(X, y, loss=loss, epochs=3, metrics=metrics, callbacks=[looks], validation_split=0.25)
        looks.assert_same(history)

    def test_their_order(self) -> None:
        history = new().fit(X, Y, loss="mse", metrics=["r2", largest_error], validation_split=0.5)
        expected = ["loss", "val_loss", "r2", "largest_error", "val_r2", "val_largest_error", "lr", "seconds"]
        assert list(history) == expected
        assert list(history.to_frame().columns) == expected

    def test_weights_of_samples_do_not_count(self) -> None:
        looks = Evaluates(["accuracy"], of=(X, LABELS))
        history = new().fit(
            X, LABELS, loss="cross_entropy", epochs=3, metrics=["accuracy"], callbacks=[looks],
            sample_weight=np.arange(60.0), class_weight={0: 5.0},
        )  # fmt: skip
        looks.assert_same(history, "accuracy")

    @pytest.mark.parametrize("last", ["softmax", "identity"])
    def test_of_probabilities(self, last: str) -> None:
        looks = Evaluates(["accuracy", largest_error], of=(X, np.eye(3)[LABELS]))
        history = new(last=last).fit(
            X, np.eye(3)[LABELS], loss="cross_entropy", metrics=["accuracy", largest_error], callbacks=[looks]
        )
        looks.assert_same(history, "accuracy")

    def test_an_epoch_that_is_one_small_step(self) -> None:
        looks = Evaluates(["mae"], of=(X[:1], Y[:1]))
        history = new().fit(X[:1], Y[:1], loss="mse", epochs=5, metrics=["mae"], callbacks=[looks])
        looks.assert_same(history, "mae")

    def test_no_epochs(self) -> None:
        history = new().fit(X, Y, loss="mse", epochs=0, metrics=["mae"])
        assert history.epochs == 0

    def test_with_lbfgs(self) -> None:
        pytest.importorskip("scipy")
        looks = Evaluates(["mae"], of=(X[:45], Y[:45]), val=(X[45:], Y[45:]))
        network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(3)], 5, "float64")
        history = network.fit(
            X, Y, loss="mse", optimizer=dr.LBFGS(max_iter=5), metrics=["mae"], callbacks=[looks], validation_split=0.25
        )
        looks.assert_same(history, "mae")


class TestSequences:
    @pytest.mark.parametrize("by_step", [False, True])
    @pytest.mark.parametrize("loss", ["mse", "cross_entropy", "binary_cross_entropy"])
    def test_are_measured_where_there_are_steps(self, loss: str, by_step: bool) -> None:
        data = batch(20, 6, ragged=True, by_step=by_step, loss=loss)
        held_out = batch(8, 9, ragged=True, by_step=by_step, loss=loss, seed=5)
        metrics: list[Any] = ["mae", "r2", largest_error] if loss == "mse" else ["accuracy"]
        parts = {"of": (data.X, data.y, data.lengths), "val": (held_out.X, held_out.y, held_out.lengths)}
        looks = Evaluates(metrics, **parts)
        network = make("gru", 2, by_step=by_step, mixed=True)
        history = network.fit(
            data.X, data.y, loss=loss, lengths=data.lengths, epochs=3, batch_size=6, metrics=metrics,
            callbacks=[looks], validation_data=parts["val"],
        )  # fmt: skip
        looks.assert_same(history)
        assert np.isfinite(list(looks.columns.values())).all()

    def test_in_chunks_and_as_lists(self) -> None:
        data = batch(20, 6, ragged=True, by_step=True)
        given_X, given_y = data.as_lists()
        looks = Evaluates(["mae"], of=(data.X, data.y, data.lengths))
        network = make("lstm", by_step=True)
        history = network.fit(given_X, given_y, loss="mse", epochs=2, bptt_steps=2, metrics=["mae"], callbacks=[looks])
        looks.assert_same(history, "mae")


class TestLossesOfOnesOwn:
    @staticmethod
    def loss(output: Any, y: Any) -> tuple[float, Any]:
        difference = output - y
        return float((difference**2).mean()), 2 * difference / difference.size

    @pytest.mark.parametrize("validation_split", [0.0, 0.25])
    def test_metrics_see_y_as_it_was_given(self, validation_split: float) -> None:
        kinds = set()

        def mine(output: Any, y: Any) -> float:
            kinds.add((y.dtype, y.shape[1:]))
            return float(np.abs(output - y).mean())

        first = 60 - int(60 * validation_split)
        parts: dict[str, Any] = {"of": (X[:first], Y[:first])}
        if validation_split:
            parts["val"] = (X[first:], Y[first:])
        looks = Evaluates([mine, "mae"], **parts)
        history = new().fit(
            X, Y, loss=self.loss, epochs=3, metrics=[mine, "mae"], callbacks=[looks], validation_split=validation_split
        )
        looks.assert_same(history, "mine", "mae")
        assert kinds == {(np.dtype("float64"), (3,))}
        assert history["mine"] == pytest.approx(history["mae"])

    def test_of_sequences(self) -> None:
        data = batch(12, 5, ragged=True)
        looks = Evaluates(["mae"], of=(data.X, data.y, data.lengths))
        history = make("gru").fit(
            data.X, data.y, loss=self.loss, lengths=data.lengths, epochs=2, metrics=["mae"], callbacks=[looks]
        )
        looks.assert_same(history, "mae")


class TestChangesNothing:
    @pytest.mark.parametrize("n_threads", [1, 2, 3])
    def test_the_fit_is_the_same_to_the_last_bit(self, n_threads: int) -> None:
        def spoils(output: Any, y: Any) -> float:
            """What it is given is its own."""
            output[...] = 0
            y[...] = 7
            return 0.0

        measured, plain = new(), new()
        options: dict[str, Any] = {"loss": "mse", "epochs": 4, "batch_size": 9, "validation_split": 0.2}
        before = X.copy(), Y.copy()
        history = measured.fit(X, Y, metrics=["r2", spoils], n_threads=n_threads, **options)
        other = plain.fit(X, Y, **options)
        assert bits(measured) == bits(plain)
        assert (history["loss"], history["val_loss"]) == (other["loss"], other["val_loss"])
        assert np.array_equal(before[0], X)
        assert np.array_equal(before[1], Y)

    def test_targets_that_needed_no_conversion(self) -> None:
        network, x, y = new(dtype="float32"), X.astype("float32"), Y.astype("float32")

        def spoils(output: Any, targets: Any) -> float:
            targets[...] = 7
            return 0.0

        network.fit(x, y, loss="mse", epochs=3, metrics=[spoils])
        assert np.array_equal(y, Y.astype("float32"))

    def test_early_stopping_looks_at_them(self) -> None:
        stopping = dr.EarlyStopping(monitor="val_accuracy", patience=4)
        network = new()
        history = network.fit(
            X, LABELS, loss="cross_entropy", optimizer=dr.Adam(0.02), epochs=300, metrics=["accuracy"],
            validation_split=0.25, callbacks=[stopping],
        )  # fmt: skip
        assert history.epochs < 300
        assert stopping.best == max(history["val_accuracy"])
        assert network.evaluate(X[45:], LABELS[45:], metrics=["accuracy"])["accuracy"] == stopping.best


class TestStreams:
    def test_only_the_validation_data_is_measured(self) -> None:
        looks = Evaluates(["mae"], val=(X[40:], Y[40:]))
        history = new().fit(
            dr.stream([(X[:20], Y[:20]), (X[20:40], Y[20:40])]), loss="mse", metrics=["mae"], callbacks=[looks],
            validation_data=(X[40:], Y[40:]),
        )  # fmt: skip
        looks.assert_same(history)
        assert set(history) == {"loss", "val_loss", "val_mae", "lr", "seconds"}

    def test_without_any_it_is_refused(self) -> None:
        network = new()
        with pytest.raises(ValueError, match="metrics with a stream are measured on the validation data"):
            network.fit(dr.stream([(X, Y)]), loss="mse", metrics=["mae"])
        assert bits(network) == bits(new())


class TestErrors:
    @pytest.mark.parametrize(
        ("metrics", "error", "message"),
        [
            (["acuracy"], ValueError, r"acuracy.*did you mean 'accuracy'\?"),
            ("accuracy", TypeError, r"metrics='accuracy': expected a list"),
            (largest_error, TypeError, "expected a list"),
            ({"accuracy"}, TypeError, "expected a list"),
            ([3], TypeError, "3"),
            (["mae", "mae"], ValueError, "two that are called 'mae'"),
            ([lambda output, y: 0.0, lambda output, y: 1.0], ValueError, "two that are called '<lambda>'"),
            (["top_k"], ValueError, "'top_5'"),
            (["top_0"], ValueError, "top_0"),
            ([None], TypeError, "None"),
        ],
        ids=str,
    )
    def test_before_anything_changes(self, metrics: Any, error: type[Exception], message: str) -> None:
        network, told = new(), []

        class Told:
            def on_fit_begin(self, network: dr.Network) -> None:
                told.append(network)

        with pytest.raises(error, match=message):
            network.fit(X, Y, loss="mse", metrics=metrics, callbacks=[Told()])
        assert bits(network) == bits(new())
        assert (network.epochs_trained, network.loss, told) == (0, None, [])

    @pytest.mark.parametrize("name", ["loss", "val_loss", "lr", "seconds", "epoch"])
    def test_names_that_the_history_has_already(self, name: str) -> None:
        def mine(output: Any, y: Any) -> float:
            return 0.0

        mine.__name__ = name
        with pytest.raises(ValueError, match=f"a function called '{name}'"):
            new().fit(X, Y, loss="mse", metrics=[mine])

    def test_a_column_that_two_would_have(self) -> None:
        """A function called val_mae, and the mae of the validation data."""

        def val_mae(output: Any, y: Any) -> float:
            return -1.0

        with pytest.raises(ValueError, match="val_mae"):
            new().fit(X, Y, loss="mse", metrics=["mae", val_mae], validation_split=0.5)

    @pytest.mark.parametrize("answer", [np.ones(2), "0.5", None, [0.5], {"mae": 1.0}], ids=str)
    def test_answers_that_are_no_number(self, answer: Any) -> None:
        def mine(output: Any, y: Any) -> Any:
            return answer

        with pytest.raises(TypeError, match="metric 'mine' returned"):
            new().fit(X, Y, loss="mse", metrics=[mine])

    @pytest.mark.parametrize("answer", [np.float32(0.5), np.array(0.5), 1, True])
    def test_answers_that_are(self, answer: Any) -> None:
        def mine(output: Any, y: Any) -> Any:
            return answer

        assert new().fit(X, Y, loss="mse", metrics=[mine])["mine"] == [float(answer)]

    def test_nan_is_a_number(self) -> None:
        def mine(output: Any, y: Any) -> float:
            return float("nan")

        history = new().fit(X, Y, loss="mse", epochs=2, metrics=[mine])
        assert np.isnan(history["mine"]).all()

    @pytest.mark.parametrize("error", [ZeroDivisionError("mine"), KeyboardInterrupt()], ids=repr)
    def test_one_that_raises_ends_the_fit_after_its_epoch(self, error: BaseException) -> None:
        network, ended = new(), []

        class Told:
            def on_fit_end(self, network: dr.Network) -> None:
                ended.append(network.epochs_trained)

        def third(output: Any, y: Any, calls: list[int] = []) -> float:  # noqa: B006 - it counts
            calls.append(1)
            if len(calls) == 3:
                raise error
            return 0.0

        with pytest.raises(type(error)):
            network.fit(X, Y, loss="mse", epochs=10, metrics=[third], callbacks=[Told()])
        plain = new()
        plain.fit(X, Y, loss="mse", epochs=3)
        assert bits(network) == bits(plain)
        assert ended == [3]

    def test_control_c_while_one_is_measured(self) -> None:
        def slow(output: Any, y: Any) -> float:
            signal.raise_signal(signal.SIGINT)
            return 0.0

        network = new()
        with pytest.raises(KeyboardInterrupt):
            network.fit(X, Y, loss="mse", epochs=10, metrics=[slow])
        assert network.epochs_trained == 1

    @pytest.mark.parametrize(
        ("metric", "loss", "message"),
        [("accuracy", "mse", "accuracy needs classes"), ("r2", "cross_entropy", r"use metrics=\['accuracy'\]")],
    )
    def test_metrics_that_do_not_go_with_the_targets(self, metric: str, loss: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            new().fit(X, Y if loss == "mse" else LABELS, loss=loss, metrics=[metric])

    def test_the_network_may_be_asked_by_one_but_not_changed(self) -> None:
        network = new()

        def asks(output: Any, y: Any) -> float:
            assert network.predict(X).shape == (60, 3)
            copy.deepcopy(network)
            with pytest.raises(RuntimeError):
                network.freeze(0)
            return 0.0

        network.fit(X, Y, loss="mse", metrics=[asks], epochs=2)


def test_every_metric_that_there_is_was_tried() -> None:
    tried = {name for _, _, metrics in KINDS.values() for name in metrics if isinstance(name, str)}
    assert tried - {"top_2"} == set(METRICS)
