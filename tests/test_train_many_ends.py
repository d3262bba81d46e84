"""`train_many` when something goes wrong, when others train as well, and when it is over: all is as it should be."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_train_many import X, Y, alone, bits, columns, new

import deltarule as dr
from deltarule.many import train_many


class TestWhatFails:
    @pytest.mark.parametrize("n_threads", [1, 2, 4])
    def test_one_diverges(self, n_threads: int) -> None:
        networks = [new(seed) for seed in range(5)]
        optimizers: list[Any] = ["adam", "adam", dr.SGD(3e4), "adam", dr.SGD(1e38)]
        trained = train_many(
            networks, X, Y, loss="mse", optimizer=optimizers, epochs=20, n_threads=n_threads, metrics=["mae"]
        )
        assert [type(error) for error in trained.errors] == [
            type(None), type(None), dr.DivergenceError, type(None), dr.DivergenceError,
        ]  # fmt: skip
        for seed, network in enumerate(networks):
            single = new(seed)
            if trained.errors[seed] is None:
                alone(single, optimizer=optimizers[seed], epochs=20)
            else:
                with pytest.raises(dr.DivergenceError) as caught:
                    alone(single, optimizer=optimizers[seed], epochs=20, metrics=["mae"])
                told: Any = trained.errors[seed]
                assert str(told) == str(caught.value)
                assert (told.epoch, told.step, told.layer) == (
                    caught.value.epoch, caught.value.step, caught.value.layer,
                )  # fmt: skip
                history: Any = caught.value.history
                assert columns(told.history) == columns(trained.histories[seed]) == columns(history)
            assert bits(network) == bits(single)
            assert all(np.isfinite(array).all() for array in network.parameters.values())
        assert trained.best() in (networks[0], networks[1], networks[3])

    def test_all_diverge(self) -> None:
        networks = [new(seed) for seed in range(3)]
        trained = train_many(networks, X, Y, loss="mse", optimizer=dr.SGD(1e38), epochs=5)
        assert all(isinstance(error, dr.DivergenceError) for error in trained.errors)
        with pytest.raises(ValueError, match="no network has a finite loss"):
            trained.best()
        assert "3 failed" in repr(trained)

    @pytest.mark.parametrize("n_threads", [1, 2, 4])
    def test_a_loss_that_raises_for_one(self, n_threads: int) -> None:
        """The others are trained to their end, and then it is raised; its own network is where it was."""
        networks = [new(seed, dtype="float64" if seed == 2 else "float32") for seed in range(6)]
        calls = []

        def loss(output: Any, y: Any) -> tuple[float, Any]:
            if output.dtype == np.float64:
                calls.append(1)
                if len(calls) == 6:  # of two batches an epoch
                    raise ZeroDivisionError("mine")
            return float(((output - y) ** 2).mean()), 2 * (output - y) / output.size

        with pytest.raises(ZeroDivisionError, match="mine"):
            train_many(networks, X, Y, loss=loss, epochs=5, n_threads=n_threads)
        for seed, network in enumerate(networks):
            single = new(seed, dtype="float64" if seed == 2 else "float32")
            if seed == 2:
                calls.clear()
                with pytest.raises(ZeroDivisionError):
                    alone(single, loss=loss, epochs=5)
                assert network.epochs_trained == 2
            else:
                alone(single, loss=loss, epochs=5)
            assert bits(network) == bits(single)

    def test_a_metric_that_raises_for_all(self) -> None:
        def mine(output: Any, y: Any) -> float:
            raise ZeroDivisionError("mine")

        networks = [new(seed) for seed in range(3)]
        with pytest.raises(ZeroDivisionError, match="mine"):
            train_many(networks, X, Y, loss="mse", epochs=5, metrics=[mine])
        assert [network.epochs_trained for network in networks] == [1, 1, 1]
        train_many(networks, X, Y, loss="mse")


# Prints, after a Ctrl-C of the parent: the moment, and whether each network is where whole steps of its own led.
INTERRUPTED = """
import sys, threading, time
import numpy as np, deltarule as dr
from deltarule import _core

kind, n_threads = sys.argv[1], int(sys.argv[2])
random = np.random.default_rng(0)
X, y = random.normal(size=(64, 4)).astype("f4"), random.normal(size=(64, 1)).astype("f4")

def new(seed):
    return dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)], 4, seed=seed)

def bits(network):
    return b"".join(array.tobytes() for array in network.state_dict().values())

def slow(output, y):
    return float(sum(range(20_000)))

count, epochs = (4000, 50) if kind == "many" else (4, 10**9)
options = {"metrics": [slow]} if kind == "metric" else {}
optimizer = dr.Adam(lr=dr.StepLR(0.001, step_size=10**6)) if kind == "schedule" else "adam"
networks = [new(seed % 20) for seed in range(count)]

def tell():
    while not networks[count // 10].epochs_trained:
        time.sleep(0.001)
    time.sleep(0.05)
    print("ready", flush=True)

threading.Thread(target=tell, daemon=True).start()
try:
    dr.train_many(networks, X, y, loss="mse", optimizer=optimizer, epochs=epochs, n_threads=n_threads, **options)
    print("never")
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)

states = {}
def is_whole(network, seed):
    key = seed, network.epochs_trained
    if key not in states:
        twin = new(seed)
        trainer, found = dr.Trainer(twin, loss="mse", optimizer=optimizer), [bits(twin)]
        for epoch in range(network.epochs_trained + 1):
            order = np.asarray(_core.shuffled(64, seed, epoch))
            for first in (0, 32):
                trainer.step(X[order[first:first + 32]], y[order[first:first + 32]])
                found = [*found[-2:], bits(twin)]
        states[key] = found
    return bits(network) in states[key]

print(all(is_whole(network, seed % 20) for seed, network in enumerate(networks)))
print(min(n_threads, 4) <= sum(network.epochs_trained > 0 for network in networks) < 4000)
networks[0].fit(X, y, loss="mse")
print(len(dr.train_many(networks[:3], X, y, loss="mse")))
"""


class TestControlC:
    @pytest.mark.parametrize("n_threads", [1, 2, 3])
    @pytest.mark.parametrize("kind", ["few", "many", "metric", "schedule"])
    def test_ends_soon_and_leaves_all_whole(self, kind: str, n_threads: int) -> None:
        """Within 0.3 s; others share the machine, so that once of three times is enough."""
        path = os.pathsep.join([str(Path(dr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        delays = []
        for _ in range(3):
            with subprocess.Popen(
                [sys.executable, "-c", INTERRUPTED, kind, str(n_threads)], env={**os.environ, "PYTHONPATH": path},
                stdout=subprocess.PIPE, text=True,
            ) as process:  # fmt: skip
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                sent = time.monotonic()
                process.send_signal(signal.SIGINT)
                try:
                    output, _ = process.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
            assert process.returncode == 0
            received, *rest = output.split()
            assert rest == ["True", "True", "3"], output
            delays.append(float(received) - sent)
            if delays[-1] < 0.3:
                return
        raise AssertionError(f"Ctrl-C took {delays} s: expected 0.3")

    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_at_the_moment_when_a_network_begins(self, n_threads: int) -> None:
        """In Python's own code between two networks; the other threads begin no further ones."""
        asked = []

        class Interrupts(dr.Network):
            armed = False

            def __setattr__(self, name: str, value: Any) -> None:
                if name == "loss" and self.armed and threading.current_thread() is threading.main_thread():
                    asked.append(1)
                    signal.raise_signal(signal.SIGINT)
                super().__setattr__(name, value)

        networks = [Interrupts([dr.Dense(6, "tanh"), dr.Dense(2)], 4, seed=seed) for seed in range(400)]
        for network in networks[20:]:
            network.armed = True
        with pytest.raises(KeyboardInterrupt):
            train_many(networks, X, Y, loss="mse", epochs=200, n_threads=n_threads)
        assert asked
        assert sum(network.epochs_trained > 0 for network in networks) < 100
        for network in networks:
            network.armed = False
        train_many(networks, X, Y, loss="mse")


class TestTogetherWithOthers:
    def test_several_at_once_and_a_fit(self) -> None:
        groups = [[new(seed) for seed in range(start, start + 8)] for start in (0, 8, 16)]
        single, errors = new(99), []

        def work(function: Any) -> None:
            try:
                function()
            except BaseException as error:
                errors.append(error)

        many = partial(train_many, X=X, y=Y, loss="mse", epochs=30, n_threads=2)
        works: list[Any] = [partial(many, group) for group in groups]
        works.append(partial(alone, single, epochs=100, n_threads=2))
        threads = [threading.Thread(target=work, args=(function,)) for function in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        for seed, network in enumerate(network for group in groups for network in group):
            twin = new(seed)
            alone(twin, epochs=30)
            assert bits(network) == bits(twin)
        twin = new(99)
        alone(twin, epochs=100)
        assert bits(single) == bits(twin)

    def test_python_goes_on_meanwhile(self) -> None:
        done, count = threading.Event(), 0

        def work() -> None:
            train_many([new(seed) for seed in range(200)], X, Y, loss="mse", epochs=100, n_threads=2)
            done.set()

        thread = threading.Thread(target=work)
        thread.start()
        while not done.is_set():
            count += 1
            time.sleep(0.0005)
        thread.join()
        assert count > 20

    def test_in_a_callback_of_another_fit(self) -> None:
        inner = [new(seed) for seed in range(3)]

        class Trains:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                train_many(inner, X, Y, loss="mse", n_threads=2)

        alone(new(5), epochs=2, callbacks=[Trains()])
        assert [network.epochs_trained for network in inner] == [2, 2, 2]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
    def test_a_child_goes_on(self) -> None:
        code = (
            "import os, signal, numpy as np, deltarule as dr\n"
            "X, Y = np.random.default_rng(0).normal(size=(60, 4)), np.ones((60, 1))\n"
            "def train():\n"
            "    networks = [dr.Network([dr.Dense(5, 'tanh'), dr.Dense(1)], 4, seed=seed) for seed in range(9)]\n"
            "    dr.train_many(networks, X, Y, loss='mse', epochs=5, n_threads=2)\n"
            "    return [network.predict(X).tobytes() for network in networks]\n"
            "expected = train()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    signal.alarm(20)\n"
            "    os._exit(0 if train() == expected else 1)\n"
            "assert os.waitpid(child, 0)[1] == 0\n"
            "assert train() == expected\n"
            "print('good')\n"
        )
        path = os.pathsep.join([str(Path(dr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        result = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert (result.stdout, result.stderr) == ("good\n", "")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it")
@pytest.mark.parametrize(
    "options", [{}, {"metrics": ["mae"], "validation_split": 0.5}, {"optimizer": dr.SGD(1e38)}], ids=str
)
def test_memory_does_not_grow(options: dict[str, Any]) -> None:
    def blocks() -> tuple[int, int]:
        gc.collect()
        return sys.getallocatedblocks(), int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    networks = [new(seed, units=50) for seed in range(20)]
    found = []
    for _ in range(4):
        for _ in range(15):
            train_many(networks, X, Y, loss="mse", epochs=2, n_threads=2, **options)
        found.append(blocks())
    # A single object of each network's would be 300, an array of its parameters 300 KB of every fifteen rounds.
    assert found[3][0] - found[2][0] < 150
    assert found[3][1] - found[2][1] < 2**20


def test_metrics_that_do_not_suit_one_network_are_refused_before_any_is_trained() -> None:
    networks = [new(0), dr.Network([dr.Dense(2)], input_shape=4)]
    before = [bits(network) for network in networks]
    with pytest.raises(ValueError, match="accuracy needs classes"):
        train_many(networks, X, Y, loss="mse", metrics=["accuracy"], n_threads=1)
    assert [bits(network) for network in networks] == before
    labels = Y.argmax(axis=1)
    with pytest.raises(ValueError, match="top_2"):
        train_many([new(0)], X, labels, loss="cross_entropy", metrics=["top_2"])


def test_the_first_rate_of_a_schedule_is_that_of_a_fit() -> None:
    """Rprop begins with steps of this size, and a cycle of few steps begins with another rate than its base."""
    optimizer = dr.Rprop(lr=dr.OneCycleLR(0.1, 4))
    options: dict[str, Any] = {"loss": "mse", "optimizer": optimizer, "epochs": 4, "batch_size": len(X)}
    trained, single = train_many([new(0)], X, Y, **options), new(0)
    single.fit(X, Y, **options)
    assert bits(trained[0]) == bits(single)
