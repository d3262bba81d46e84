"""EarlyStopping: when it stops, what it goes back to, and that a resumed fit stops at the same epoch."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deltarule as dr
from deltarule.callbacks import EarlyStopping, LambdaCallback

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(60, 4))
Y = np.sin(2 * X[:, :1]) + 0.5 * RANDOM.normal(size=(60, 1))  # enough noise to learn it by heart


def new(units: int = 30) -> dr.Network:
    return dr.Network([dr.Dense(units, "tanh"), dr.Dense(1)], input_shape=4, seed=2)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def train(network: dr.Network, epochs: int, *callbacks: Any) -> dr.History:
    optimizer = dr.Adam(lr=0.02)
    return network.fit(
        X, Y, loss="mse", optimizer=optimizer, epochs=epochs, validation_split=0.3, callbacks=list(callbacks)
    )


def told(values: list[float], **arguments: Any) -> tuple[EarlyStopping, int | None]:
    """A callback that has heard these, and after which of them it wanted to stop."""
    network, stopping = new(1), EarlyStopping(**arguments)
    stopping.on_fit_begin(network)
    for epoch, value in enumerate(values):
        if stopping.on_epoch_end(epoch, {"val_loss": value}):
            return stopping, epoch
    return stopping, None


class TestWhenItStops:
    @pytest.mark.parametrize(
        ("values", "patience", "min_delta", "stopped", "best"),
        [
            ([3, 2, 1], 1, 0, None, 2),
            ([3, 3], 1, 0, 1, 0),
            ([3, 3, 3], 2, 0, 2, 0),
            ([3, 3, 2, 2, 2], 2, 0, 4, 2),
            ([3, 4, 3.5, 2.9], 3, 0, None, 3),
            ([3, 2.6, 2.4, 2.4], 10, 0.5, None, 2),
            ([3, 2.5, 2.5], 2, 0.5, 2, 0),  # better by no more than min_delta
            ([3, 4], 0, 0, 1, 0),
            ([3], 0, 0, None, 0),
            ([], 0, 0, None, None),
        ],
    )
    def test_examples(
        self, values: list[float], patience: int, min_delta: float, stopped: int | None, best: int | None
    ) -> None:
        stopping, end = told(values, patience=patience, min_delta=min_delta)
        assert end == stopped == stopping.stopped_epoch
        assert stopping.best_epoch == best
        assert stopping.best == (None if best is None else values[best])

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, math.inf, -math.inf, math.nan]), max_size=20),
        st.integers(1, 4),
        st.sampled_from([0.0, 1.0]),
        st.sampled_from(["min", "max"]),
    )
    def test_as_it_is_defined(self, values: list[float], patience: int, min_delta: float, mode: str) -> None:
        sign = 1 if mode == "min" else -1
        best, best_epoch, expected = math.inf, None, None
        for epoch, value in enumerate(values):
            if sign * value < best - min_delta:
                best, best_epoch = sign * value, epoch
            if epoch - (-1 if best_epoch is None else best_epoch) == patience:
                expected = epoch
                break
        stopping, end = told(values, patience=patience, min_delta=min_delta, mode=mode, restore_best=False)
        assert (end, stopping.best_epoch) == (expected, best_epoch)

    def test_nan_is_never_better(self) -> None:
        stopping, end = told([math.nan, 5.0, math.nan, math.nan], patience=2)
        assert (end, stopping.best, stopping.best_epoch) == (3, 5.0, 1)
        stopping, end = told([math.nan] * 9, patience=4)
        assert (end, stopping.best, stopping.best_epoch) == (3, None, None)

    @pytest.mark.parametrize("monitor", ["loss", "val_loss", "mse", "val_mae", "my_error", "val_energy_loss"])
    def test_auto_knows_what_is_better_lower(self, monitor: str) -> None:
        self.check(monitor, [2.0, 1.0], "auto")

    @pytest.mark.parametrize(
        "monitor", ["accuracy", "val_accuracy", "top_5", "val_top_3", "r2", "val_r2", "auc", "val_auc", "f1", "val_f1"]
    )
    def test_auto_knows_what_is_better_higher(self, monitor: str) -> None:
        self.check(monitor, [1.0, 2.0], "auto")

    def test_mode_has_the_last_word(self) -> None:
        self.check("loss", [1.0, 2.0], "max")
        self.check("accuracy", [2.0, 1.0], "min")
        self.check("anything", [2.0, 1.0], "min")

    def check(self, monitor: str, getting_better: list[float], mode: str) -> None:
        stopping = EarlyStopping(monitor, patience=1, restore_best=False, mode=mode)
        stopping.on_fit_begin(new(1))
        for epoch, value in enumerate(getting_better):
            assert stopping.on_epoch_end(epoch, {monitor: value}) is False
        assert stopping.on_epoch_end(2, {monitor: getting_better[0]}) is True


class TestInAFit:
    def test_stops_and_has_the_best_weights(self) -> None:
        network, stopping, alone = new(), EarlyStopping(patience=7), new()
        history = train(network, 2000, stopping)
        losses = history["val_loss"]
        best = losses.index(min(losses))
        assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (min(losses), best, best + 7)
        assert history.epochs == network.epochs_trained == best + 8
        train(alone, best + 1)
        assert bits(network) == bits(alone)

    def test_the_best_weights_without_stopping(self) -> None:
        network, stopping, alone = new(), EarlyStopping(patience=1000), new()
        history = train(network, 300, stopping)
        assert history.epochs == 300
        assert stopping.stopped_epoch is None
        assert stopping.best_epoch is not None
        assert stopping.best_epoch < 299
        train(alone, stopping.best_epoch + 1)
        assert bits(network) == bits(alone)

    def test_the_weights_are_not_kept_after_the_fit(self) -> None:
        stopping, network = EarlyStopping("loss"), new()
        train(network, 3, stopping)
        assert len(pickle.dumps(stopping)) < 1000 < len(pickle.dumps(network))
        assert stopping.best is not None

    def test_without_restoring(self) -> None:
        network, stopping, alone = new(), EarlyStopping(patience=7, restore_best=False), new()
        history = train(network, 2000, stopping)
        assert history.epochs < 2000
        train(alone, history.epochs)
        assert bits(network) == bits(alone)
        assert not any(isinstance(value, np.ndarray) for value in stopping.state_dict().values())

    def test_another_monitor(self) -> None:
        network, stopping = new(), EarlyStopping("loss", patience=1, min_delta=0.05)
        history = network.fit(X, Y, loss="mse", epochs=500, callbacks=[stopping])
        assert history.epochs < 500
        assert stopping.best == history["loss"][-2]

    @pytest.mark.parametrize(
        ("monitor", "message"),
        [
            (
                "val_loss",
                r"'val_loss', but this fit logs loss, lr, seconds; pass validation_data or validation_split to",
            ),
            ("val_f1", r"logs loss, lr, seconds; pass validation_data or validation_split and metrics=\['f1'\] to fit"),
            (
                "f1",
                r"EarlyStopping watches monitor='f1', but .*; pass metrics=\['f1'\] to fit, or choose another monitor",
            ),
            ("score", r"this fit logs loss, lr, seconds; choose another monitor"),
        ],
    )
    def test_a_monitor_that_is_not_there_is_refused_before_anything_is_trained(
        self, monitor: str, message: str
    ) -> None:
        network = new()
        with pytest.raises(ValueError, match=message):
            network.fit(X, Y, loss="mse", epochs=3, callbacks=[EarlyStopping(monitor)])
        assert bits(network) == bits(new())

    def test_the_network_may_be_without_a_shape(self) -> None:
        network = dr.Network([dr.Dense(1)])
        network.fit(X, Y, loss="mse", epochs=3, callbacks=[EarlyStopping("loss", patience=1)])
        assert network.epochs_trained == 3


class TestResume:
    """The state goes through JSON and arrays, as in a file; what follows is as if nothing had happened."""

    def recorded(self, epochs: int) -> tuple[list[dict[str, float]], list[dict[str, Any]]]:
        logs: list[dict[str, float]] = []
        weights: list[dict[str, Any]] = []
        network = new()

        def keep(epoch: int, numbers: dict[str, float]) -> None:
            logs.append(numbers)
            weights.append(network.state_dict())

        train(network, epochs, LambdaCallback(on_epoch_end=keep))
        return logs, weights

    @pytest.mark.parametrize("restore_best", [True, False])
    def test_at_any_epoch(self, restore_best: bool) -> None:
        logs, weights = self.recorded(150)
        arguments: dict[str, Any] = {"patience": 9, "restore_best": restore_best}
        whole, plain = new(), EarlyStopping(**arguments)
        plain.on_fit_begin(whole)
        for epoch, numbers in enumerate(logs):
            whole.load_state_dict(weights[epoch])
            if plain.on_epoch_end(epoch, numbers):
                break
        plain.on_fit_end(whole)
        assert plain.stopped_epoch is not None
        for pause in range(1, plain.stopped_epoch):
            network, first, second = new(), EarlyStopping(**arguments), EarlyStopping(**arguments)
            first.on_fit_begin(network)
            for epoch in range(pause):
                network.load_state_dict(weights[epoch])
                assert not first.on_epoch_end(epoch, logs[epoch])
            state = first.state_dict()
            arrays = {name: value.copy() for name, value in state.items() if isinstance(value, np.ndarray)}
            scalars = json.loads(json.dumps({name: value for name, value in state.items() if name not in arrays}))
            second.on_fit_begin(network)
            second.load_state_dict({**scalars, **arrays})
            for epoch in range(pause, len(logs)):
                network.load_state_dict(weights[epoch])
                if second.on_epoch_end(epoch, logs[epoch]):
                    break
            second.on_fit_end(network)
            for name in ("best", "best_epoch", "stopped_epoch"):
                assert getattr(second, name) == getattr(plain, name)
            assert bits(network) == bits(whole)

    def test_more_patience_than_before(self) -> None:
        stopping, end = told([1.0, 2.0, 2.0], patience=2)
        assert end == 2
        patient = EarlyStopping(patience=3)
        patient.on_fit_begin(new(1))
        patient.load_state_dict(stopping.state_dict())
        assert patient.stopped_epoch is None
        assert patient.on_epoch_end(3, {"val_loss": 0.5}) is False
        assert patient.best_epoch == 3

    def test_weights_of_another_network(self) -> None:
        stopping, _ = told([1.0], patience=2)
        other = EarlyStopping()
        other.on_fit_begin(new(2))
        with pytest.raises(ValueError, match=r"state given to EarlyStopping\['0.weight'\] has shape \(4, 1\)"):
            other.load_state_dict(stopping.state_dict())
