"""L-BFGS where it cannot go on: losses that are not finite, and arguments that do not go with it."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

import deltarule as dr

RANDOM = np.random.default_rng(5)
X = RANDOM.uniform(-2, 2, (120, 3))
Y = np.sin(2 * X[:, :1]) * X[:, 1:2] + X[:, 2:] ** 2


def new(dtype: str = "float64") -> dr.Network:
    return dr.Network([dr.Dense(16, "tanh"), dr.Dense(1)], input_shape=3, dtype=dtype, seed=3)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class Watcher:
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_fit_begin(self, network: dr.Network) -> None:
        self.events.append("begin")

    def on_fit_end(self, network: dr.Network) -> None:
        self.events.append("end")


class TestNotFinite:
    def test_it_comes_back_from_where_the_loss_is_not(self) -> None:
        """exp() of a step that is too long is infinite; a shorter one is not."""
        network = dr.Network([dr.Dense(1, "exp", init="zeros", use_bias=False)], input_shape=1, dtype="float32")
        inputs = np.linspace(90, 100, 30)[:, None]
        calls = []

        class Count:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                calls.append(logs["loss"])

        history = network.fit(inputs, np.exp(0.03 * inputs), loss="mse", optimizer=dr.LBFGS(), callbacks=[Count()])
        assert np.isfinite(calls).all()
        assert history["loss"][-1] < 1e-3
        np.testing.assert_allclose(network.parameters["0.weight"], 0.03, rtol=1e-3)

    def test_a_beginning_that_is_not_is_a_divergence(self) -> None:
        watcher, network = Watcher(), new("float32")
        before = bits(network)
        with pytest.raises(dr.DivergenceError, match=r"LBFGS\(.* cannot begin: the loss is inf .* as it was") as caught:
            network.fit(X, Y * 1e30, loss="mse", optimizer=dr.LBFGS(), callbacks=[watcher])
        assert (caught.value.epoch, caught.value.step) == (0, 0)
        assert caught.value.history is not None
        assert caught.value.history.epochs == 0
        assert watcher.events == ["begin", "end"]
        assert bits(network) == before
        assert network.loss is None


class TestRefuses:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"epochs": 50}, r"epochs=50 with optimizer=LBFGS\(.*give LBFGS\(max_iter=50\)"),
            ({"epochs": 0}, "epochs=0 with optimizer=LBFGS"),
            ({"batch_size": 16}, "batch_size=16 with .* looks at all 120 samples; leave batch_size out"),
            ({"clip_norm": 1.0}, "clip_norm=1.0 does not go with optimizer=LBFGS"),
            ({"clip_value": 1.0}, "clip_value=1.0 does not go with optimizer=LBFGS"),
        ],
    )
    def test_arguments(self, arguments: dict[str, Any], message: str) -> None:
        watcher, network = Watcher(), new()
        before = bits(network)
        with pytest.raises(ValueError, match=message):
            network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(), callbacks=[watcher], **arguments)
        assert not watcher.events
        assert bits(network) == before

    def test_a_batch_of_all_is_no_batch(self) -> None:
        assert new().fit(X, Y, loss="mse", optimizer=dr.LBFGS(2), batch_size=120).epochs == 2
        assert new().fit(X, Y, loss="mse", optimizer=dr.LBFGS(2), batch_size=10**6, shuffle=False).epochs == 2

    def test_dropout(self) -> None:
        def fit(rate: float) -> dr.History:
            network = dr.Network([dr.Dense(4, "tanh"), dr.Dropout(rate), dr.Dense(1)], input_shape=3)
            return network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(2))

        with pytest.raises(ValueError, match=r"layer 1 is Dropout\(rate=0.1.*: in training its outputs change"):
            fit(0.1)
        assert fit(0.0).epochs == 2

    def test_a_learning_rate_of_one_layer(self) -> None:
        network = dr.Network([dr.Dense(4, "tanh", lr_factor=0.5), dr.Dense(1)], input_shape=3)
        with pytest.raises(ValueError, match=r"layer 0 has lr_factor=0.5: .* has no learning rate"):
            network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(2))

    def test_streams_averages_and_checkpoints(self, tmp_path: Any) -> None:
        for arguments, message in (
            ({"callbacks": [dr.EMA(0.9)]}, r"callbacks=EMA\(.* does not go with optimizer=LBFGS"),
            ({"checkpoint": tmp_path / "run.ckpt"}, "checkpoint=.* does not go with optimizer=LBFGS"),
        ):
            with pytest.raises(ValueError, match=message):
                new().fit(X, Y, loss="mse", optimizer=dr.LBFGS(), **arguments)
        with pytest.raises(ValueError, match=r"X=.* does not go with optimizer=LBFGS"):
            new().fit(dr.stream([(X, Y)]), loss="mse", optimizer=dr.LBFGS())

    def test_a_network_that_is_frozen(self) -> None:
        network = dr.Network([dr.Dense(1, trainable=False)], input_shape=3)
        with pytest.raises(ValueError, match="all layers are frozen"):
            network.fit(X, Y, loss="mse", optimizer=dr.LBFGS())

    @pytest.mark.parametrize("last", [False, True])
    def test_a_network_that_somebody_changes_meanwhile(self, last: bool) -> None:
        def load(network: dr.Network) -> None:
            network.load_state_dict(other.state_dict())

        changes: list[Callable[[dr.Network], object]] = [
            load,
            lambda network: network.fit(X, Y, loss="mse"),
            lambda network: network.freeze(0),
        ]
        other = dr.Network([dr.Dense(16, "tanh"), dr.Dense(1)], input_shape=3, dtype="float64", seed=9)
        for change in changes:
            network = new()

            class Changer:
                def on_fit_begin(self, trained: dr.Network) -> None:
                    self.network = trained

                def on_epoch_end(self, epoch: int, logs: dict[str, float], change: Any = change) -> bool:
                    if epoch == 1:
                        thread = threading.Thread(target=change, args=[self.network])
                        thread.start()
                        thread.join()
                    return last and epoch == 1

            with pytest.raises(RuntimeError, match="the network was changed, by a callback or another thread"):
                network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(9), callbacks=[Changer()])
            network.unfreeze()
            network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(2))

    def test_bptt_steps(self) -> None:
        network = dr.Network([dr.RNN(3), dr.Dense(1)], dtype="float64")
        inputs = RANDOM.normal(size=(8, 6, 2))
        with pytest.raises(ValueError, match="bptt_steps=3 does not go with optimizer=LBFGS"):
            network.fit(inputs, inputs[:, -1, :1], loss="mse", optimizer=dr.LBFGS(), bptt_steps=3)

    def test_checkpointed_sequences_are_the_same(self) -> None:
        inputs, found = RANDOM.normal(size=(8, 6, 2)), []
        for steps in (None, 2):
            network = dr.Network([dr.RNN(3), dr.Dense(1)], dtype="float64")
            network.fit(inputs, inputs[:, -1, :1], loss="mse", optimizer=dr.LBFGS(5), checkpoint_steps=steps)
            found.append(bits(network))
        assert found[0] == found[1]

    def test_a_trainer(self) -> None:
        with pytest.raises(ValueError, match=r"has no steps of batches: train with Network\.fit"):
            dr.Trainer(new(), loss="mse", optimizer=dr.LBFGS())

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"max_iter": 0}, ValueError, "max_iter=0: expected an integer of at least 1"),
            ({"max_iter": 2.5}, TypeError, "max_iter=2.5: expected an integer"),
            ({"history_size": 0}, ValueError, "history_size=0: expected an integer of at least 1"),
            ({"tolerance_grad": -1.0}, ValueError, "tolerance_grad=-1.0: expected a finite number of at least 0"),
            ({"tolerance_change": "x"}, TypeError, "tolerance_change='x': expected a number"),
        ],
    )
    def test_values(self, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            dr.LBFGS(**arguments)

    def test_is_a_value(self) -> None:
        optimizer = dr.LBFGS(30, history_size=5)
        assert eval(repr(optimizer), dict(vars(dr))) == optimizer == pickle.loads(pickle.dumps(optimizer))
        assert hash(optimizer) == hash(dataclasses.replace(optimizer))
        assert optimizer != dr.LBFGS(30)
        assert optimizer.schedule is None


def test_without_scipy() -> None:
    program = """
import sys
sys.modules["scipy"] = sys.modules["scipy.optimize"] = None
import deltarule as dr
X, y = dr.datasets.xor()
network = dr.Network([dr.Dense(1)], input_shape=2)
network.fit(X, y, loss="mse", optimizer="sgd")
before = network.parameters["0.weight"].tobytes()
try:
    network.fit(X, y, loss="mse", optimizer=dr.LBFGS())
except ImportError as error:
    print(error)
assert network.parameters["0.weight"].tobytes() == before
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "optimizer=LBFGS() needs SciPy: pip install 'deltarule[scipy]'\n"
