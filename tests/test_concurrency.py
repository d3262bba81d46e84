"""Threads and fork: several fits at once, one at a time on a network."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.threads import available_threads

RANDOM = np.random.default_rng(2)
X = RANDOM.normal(size=(64, 8)).astype(np.float32)
Y = RANDOM.normal(size=(64, 1)).astype(np.float32)
LABELS = (Y[:, 0] > 0).astype(np.int32)


def new(seed: int = 1) -> dr.Network:
    return dr.Network([dr.Dense(16, "tanh"), dr.Dense(1)], input_shape=8, seed=seed)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class Gate:
    """A callback that says when the fit has begun, and ends it when asked to."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        self.begun.set()
        return self.end.is_set()


@contextlib.contextmanager
def training(network: dr.Network, **arguments: Any) -> Iterator[list[Any]]:
    """A fit of that network, under way in another thread; what it returned or raised is in the list after the block."""
    gate = Gate()
    result: list[Any] = []

    def work() -> None:
        try:
            given: dict[str, Any] = {"loss": "mse", "epochs": 10**9, "batch_size": 8, "callbacks": [gate], **arguments}
            result.append(network.fit(X, Y, **given))
        except BaseException as error:
            result.append(error)
            gate.begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert gate.begun.wait(20)
        yield result
    finally:
        gate.end.set()
        thread.join(20)
    assert not thread.is_alive()


class TestSeveralNetworks:
    def test_two_fits_at_once(self) -> None:
        """Each waits in its callbacks until the other has come as far: one after the other they would never end."""
        meeting = threading.Barrier(2, timeout=20)

        class Meeting:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                meeting.wait()

        networks, errors = [new(1), new(2)], []

        def work(network: dr.Network) -> None:
            try:
                network.fit(X, Y, loss="mse", epochs=20, batch_size=8, n_threads=2, callbacks=[Meeting()])
            except BaseException as error:
                errors.append(error)
                meeting.abort()

        threads = [threading.Thread(target=work, args=(network,)) for network in networks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        for seed, network in enumerate(networks, 1):
            alone = new(seed)
            alone.fit(X, Y, loss="mse", epochs=20, batch_size=8)
            assert bits(alone) == bits(network)

    @pytest.mark.parametrize(("threads", "epochs"), [(1, 20_000), (2, 100)])
    def test_python_goes_on_meanwhile(self, threads: int, epochs: int) -> None:
        done = threading.Event()

        def work() -> None:
            new().fit(X, Y, loss="mse", epochs=epochs, batch_size=8, n_threads=threads)
            done.set()

        thread = threading.Thread(target=work)
        start = time.perf_counter()
        thread.start()
        count, longest, last = 0, 0.0, start
        while not done.is_set():
            count += 1
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        thread.join()
        duration = time.perf_counter() - start
        assert count > 100
        assert longest < max(0.25, duration / 3), f"stood still for {longest:.3f} s of {duration:.3f} s"

    def test_one_network_asked_by_many_threads(self) -> None:
        network = new()
        data = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float32)
        expected = network.predict(data).tobytes()
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: answers.append(network.predict(data, n_threads=2).tobytes()))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert answers == [expected] * 6


def step(network: dr.Network) -> Any:
    return dr.Trainer(network, loss="mse").step(X, Y)


REFUSED: dict[str, Callable[[dr.Network], Any]] = {
    "fit": lambda network: network.fit(X, Y, loss="mse"),
    "step": step,
    "apply": lambda network: dr.Trainer(network, loss="mse").apply({k: v * 0 for k, v in new().parameters.items()}),
    "predict": lambda network: network.predict(X),
    "evaluate": lambda network: network.evaluate(X, Y, loss="mse"),
    "loss_and_gradients": lambda network: network.loss_and_gradients(X, Y, loss="mse"),
    "forward": lambda network: network.forward(X),
    "state_dict": lambda network: network.state_dict(),
    "parameters": lambda network: network.parameters,
    "load_state_dict": lambda network: network.load_state_dict(new().state_dict()),
    "save": lambda network: network.save(os.devnull + "-never-written"),
    "pickle": pickle.dumps,
    "deepcopy": copy.deepcopy,
}
IN_A_CALLBACK = {"predict", "evaluate", "loss_and_gradients", "state_dict", "parameters", "pickle", "deepcopy"}


class TestOneNetwork:
    def test_during_a_fit_everything_else_is_refused(self) -> None:
        network = new()
        with training(network, n_threads=2) as result:
            for name, function in REFUSED.items():
                with pytest.raises(RuntimeError, match=r"while (a fit runs|another thread trains).*: wait for"):
                    function(network)
                assert not result, f"{name} has ended the fit"
        assert isinstance(result[0], dr.History)
        undisturbed = new()
        undisturbed.fit(X, Y, loss="mse", epochs=result[0].epochs, batch_size=8)
        assert bits(network) == bits(undisturbed)
        assert not Path(os.devnull + "-never-written").exists()
        network.fit(X, Y, loss="mse")

    @pytest.mark.parametrize("name", [name for name in REFUSED if name != "save"])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_in_its_own_callback(self, name: str, threads: int) -> None:
        network = new()
        outcome: list[Any] = []

        class Caller:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                try:
                    outcome.append(REFUSED[name](network))
                except RuntimeError as error:
                    outcome.append(error)

        network.fit(X, Y, loss="mse", epochs=2, n_threads=threads, callbacks=[Caller()])
        assert [isinstance(answer, RuntimeError) for answer in outcome] == [name not in IN_A_CALLBACK] * 2
        if name not in IN_A_CALLBACK:
            assert "while a fit runs on the same network" in str(outcome[0])
        plain = new()
        plain.fit(X, Y, loss="mse", epochs=2)
        assert bits(network) == bits(plain)

    def test_saving_in_a_callback(self, tmp_path: Path) -> None:
        network = new()

        class Saver:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                network.save(tmp_path / f"{epoch}")

        network.fit(X, Y, loss="mse", epochs=2, callbacks=[Saver()])
        first = new()
        first.fit(X, Y, loss="mse", epochs=1)
        assert bits(dr.Network.load(tmp_path / "0")) == bits(first)
        assert bits(dr.Network.load(tmp_path / "1")) == bits(network)

    @pytest.mark.parametrize("change", ["fit", "load_state_dict", "step"])
    def test_a_prediction_is_of_one_network(self, change: str) -> None:
        """What changes the weights waits for, or is refused during, a prediction under way; it never mixes the two."""
        network = dr.Network([dr.Dense(512, "tanh"), dr.Dense(512, "tanh"), dr.Dense(1)], input_shape=64)
        data = np.random.default_rng(0).normal(size=(60_000, 64)).astype(np.float32)
        other = {name: array + 1 for name, array in network.state_dict().items()}
        expected = network.predict(data, n_threads=1)
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(network.predict(data, n_threads=1)))
        thread.start()
        time.sleep(0.05)
        with contextlib.suppress(RuntimeError):
            if change == "fit":
                network.fit(data[:64], data[:64, :1], loss="mse", optimizer=dr.SGD(0.1), n_threads=1)
            elif change == "load_state_dict":
                network.load_state_dict(other)
            else:
                dr.Trainer(network, loss="mse", n_threads=1).step(data[:64], data[:64, :1])
        thread.join(60)
        assert np.array_equal(answers[0], expected)


FORK = """
import multiprocessing, os, signal, sys, threading
import numpy as np, deltarule as dr

X, Y = np.random.default_rng(0).normal(size=(64, 8)), np.ones(64)

def new():
    return dr.Network([dr.Dense(16, "tanh"), dr.Dense(1)], input_shape=8)

def bits(network):
    return b"".join(array.tobytes() for array in network.state_dict().values())

def fit(network, **arguments):
    network.fit(X, Y, **{"loss": "mse", "epochs": 20, "batch_size": 16, "n_threads": 2, **arguments})
    return bits(network)

def in_child(work):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that hangs dies of it
        try:
            work()
        except BaseException as error:
            print("child:", repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]

def right(network=None):
    def work():
        assert fit(network or new()) == expected
    return work

def pooled(number):
    return fit(new())
"""

CASES = {
    "before": "assert in_child(lambda: fit(new())) == 0\nfit(new())",
    "between": (
        "expected = fit(new())\nassert in_child(right()) == 0\n"
        "assert fit(new()) == expected\nassert in_child(right()) == 0"
    ),
    "a trained network": (
        "network = new()\nfit(network)\ntwin = new()\nfit(twin)\nexpected = fit(twin)\n"
        "assert in_child(right(network)) == 0\nassert fit(network) == expected"
    ),
    "in a callback": (
        "expected = fit(new())\nstates = []\n"
        "class Forking:\n    def on_epoch_end(self, epoch, logs):\n"
        "        if epoch < 3:\n            states.append(in_child(right()))\n"
        "assert fit(new(), callbacks=[Forking()]) == expected\nassert states == [0, 0, 0]"
    ),
    "while another thread trains": (
        "expected = fit(new())\nbusy, begun, end = new(), threading.Event(), threading.Event()\n"
        "class Gate:\n    def on_epoch_end(self, epoch, logs):\n        begun.set()\n        return end.is_set()\n"
        "thread = threading.Thread(target=lambda: fit(busy, epochs=10**9, callbacks=[Gate()]))\n"
        "thread.start()\nassert begun.wait(20)\n"
        "states = [in_child(right()) for _ in range(5)]\n"
        "end.set()\nthread.join(20)\nassert states == [0] * 5\nassert np.isfinite(busy.predict(X)).all()\nfit(busy)"
    ),
    "multiprocessing": (
        "expected = fit(new())\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    assert pool.map_async(pooled, range(4)).get(timeout=30) == [expected] * 4"
    ),
    "a network sent to a process": (
        "network = new()\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    assert pool.apply_async(fit, (network,)).get(timeout=30) == fit(new())"
    ),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("case", CASES)
def test_fork(case: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK + CASES[case]]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert result.returncode == 0, result.stdout + result.stderr


def threads_of_a_fit(**arguments: Any) -> int:
    """How many threads a fit of some 100 µs a step brings along, counted from one of its callbacks."""

    def count() -> int:
        return len(os.listdir("/proc/self/task"))

    counts: list[int] = []

    class Counting:
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            counts.append(count())

    wide = RANDOM.normal(size=(256, 128)).astype(np.float32)
    network = dr.Network([dr.Dense(128, "relu"), dr.Dense(1)])
    before = count()
    network.fit(wide, wide[:, :1], loss="mse", epochs=2, batch_size=256, callbacks=[Counting()], **arguments)
    return max(counts) - before + 1


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in Linux's /proc")
class TestHowManyThreads:
    @pytest.mark.skipif(available_threads() < 2, reason="one CPU")
    def test_a_fit_alone_takes_what_its_work_deserves(self) -> None:
        assert threads_of_a_fit() > 1
        assert threads_of_a_fit(n_threads=1) == 1
        assert threads_of_a_fit(n_threads=3) == 3

    def test_one_while_another_fit_runs(self) -> None:
        with training(new(), n_threads=1):
            assert threads_of_a_fit() == 1
            assert threads_of_a_fit(n_threads=2) == 2

    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_one_in_a_worker_process(self, start: str) -> None:
        code = (
            "import multiprocessing, deltarule.threads as threads\n"
            "if __name__ == '__main__':\n"
            "    everywhere = threads.available_threads()\n"
            f"    with multiprocessing.get_context({start!r}).Pool(1) as pool:\n"
            "        print(pool.apply(threads.available_threads), everywhere == threads.available_threads())\n"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert result.stdout == "1 True\n", result.stderr

    def test_one_in_a_worker_of_joblib(self) -> None:
        joblib = pytest.importorskip("joblib")
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(available_threads)() for _ in range(2)) == [1, 1]
