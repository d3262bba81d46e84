"""Ctrl-C: an end whenever the user wants it, with the network whole."""

from __future__ import annotations

import copy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import deltarule as dr

RANDOM = np.random.default_rng(2)
X = RANDOM.normal(size=(64, 8)).astype(np.float32)
Y = RANDOM.normal(size=(64, 1)).astype(np.float32)
LABELS = (Y[:, 0] > 0).astype(np.int32)


def new(seed: int = 1) -> dr.Network:
    return dr.Network([dr.Dense(16, "tanh"), dr.Dense(1)], input_shape=8, seed=seed)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class Wide:
    """A network and data whose single step takes a second or more."""

    def __init__(self) -> None:
        self.X = np.ones((30_000, 512), np.float32)
        self.y = np.zeros(30_000, np.int32)
        self.network = dr.Network([dr.Dense(512, "tanh"), dr.Dense(512, "tanh"), dr.Dense(2)], input_shape=512)

    def trainer(self, threads: int) -> dr.Trainer:
        return dr.Trainer(self.network, loss="cross_entropy", optimizer=dr.Adam(1e-3), n_threads=threads)


@pytest.fixture(scope="module")
def wide() -> Wide:
    return Wide()


def latency(function: Callable[[], Any], delay: float) -> float:
    """Seconds from the signal to KeyboardInterrupt; 0 where the function ended before."""

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, delay)
        function()
        return 0.0
    except KeyboardInterrupt:
        return time.perf_counter() - start - delay
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def assert_soon(function: Callable[[], Any], delay: float) -> None:
    """Within 100 ms; others share the machine, so that once of three times is enough."""
    times = []
    for _ in range(3):
        times.append(latency(function, delay))
        if times[-1] < 0.1:
            return
    shown = ", ".join(f"{t:.3f}" for t in times)
    raise AssertionError(f"{delay:.2f} s after the start Ctrl-C took {shown} s: expected 0.1")


PHASES = [0.05, 0.3, 0.5, 0.7, 0.9]  # of a step: forward, backward, gradients


class TestControlC:
    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("validation", [False, True])
    def test_tiny_steps(self, threads: int, validation: bool) -> None:
        network = new()
        data: Any = (X, LABELS) if validation else None
        arguments: dict[str, Any] = {"loss": "binary_cross_entropy", "epochs": 10**9, "n_threads": threads}
        assert_soon(lambda: network.fit(X, LABELS, batch_size=4, validation_data=data, **arguments), 0.2)
        assert all(np.isfinite(array).all() for array in network.parameters.values())
        assert bits(network) != bits(new())
        # Whoever stops by Ctrl-C goes on with what is there.
        assert network.predict_proba(X).shape == (64, 1)
        assert network.evaluate(X, LABELS)["loss"] < 1
        assert network.epochs_trained > 0
        network.fit(X, LABELS, loss="binary_cross_entropy", n_threads=threads)

    @pytest.mark.parametrize("phase", PHASES)
    @pytest.mark.parametrize("threads", [1, 2])
    def test_a_long_step(self, threads: int, phase: float, wide: Wide) -> None:
        trainer = wide.trainer(threads)
        trainer.step(wide.X, wide.y)  # from here on it has its workspace
        start = time.perf_counter()
        trainer.step(wide.X, wide.y)
        duration = time.perf_counter() - start
        before, steps = bits(wide.network), trainer.steps
        assert_soon(lambda: trainer.step(wide.X, wide.y), phase * duration)
        if trainer.steps == steps:  # given up: it has not happened
            assert bits(wide.network) == before
        assert all(np.isfinite(array).all() for array in wide.network.parameters.values())

    @pytest.mark.parametrize("delay", [0.02, 0.2])
    @pytest.mark.parametrize("what", ["fit", "predict", "evaluate", "loss_and_gradients"])
    def test_from_the_first_moment(self, what: str, delay: float, wide: Wide) -> None:
        """Taking memory for a large batch takes time too."""
        network = wide.network
        calls: dict[str, Callable[[], Any]] = {
            "fit": lambda: network.fit(
                wide.X, wide.y, loss="cross_entropy", batch_size=30_000, epochs=100, n_threads=1
            ),
            "predict": lambda: network.predict(wide.X, n_threads=1),
            "evaluate": lambda: network.evaluate(wide.X, wide.y, loss="cross_entropy", n_threads=1),
            "loss_and_gradients": lambda: network.loss_and_gradients(wide.X, wide.y, loss="cross_entropy", n_threads=1),
        }
        assert_soon(calls[what], delay)
        network.predict(wide.X[:10])

    @pytest.mark.parametrize("threads", [1, 2])
    def test_steps_that_are_just_not_long(self, threads: int, wide: Wide) -> None:
        def fit() -> None:
            wide.network.fit(wide.X, wide.y, loss="cross_entropy", batch_size=3700, epochs=100, n_threads=threads)

        for delay in (0.3, 0.41, 0.53):
            assert_soon(fit, delay)

    def test_a_step_given_up_leaves_no_trace_in_the_optimizer(self, wide: Wide) -> None:
        once, twice = copy.deepcopy(wide.network), copy.deepcopy(wide.network)
        rows = slice(0, 10_000)
        interrupted, straight = (
            dr.Trainer(network, loss="cross_entropy", optimizer=dr.Adam(1e-3), n_threads=1) for network in (once, twice)
        )
        for trainer in (interrupted, straight):
            trainer.step(wide.X[rows], wide.y[rows])
        assert latency(lambda: interrupted.step(wide.X[rows], wide.y[rows]), 0.1) > 0
        assert interrupted.steps == 1
        assert interrupted.step(wide.X[rows], wide.y[rows]) == straight.step(wide.X[rows], wide.y[rows])
        assert bits(once) == bits(twice)

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("cores", [1, 2])
    def test_a_real_one(self, threads: int, cores: int) -> None:
        """SIGINT from another process, as the terminal sends it; also where the threads share a core."""
        code = (
            "import os, sys, time, numpy as np, deltarule as dr\n"
            f"if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])\n"
            "network = dr.Network([dr.Dense(8), dr.Dense(1)], input_shape=2)\n"
            "print('ready', flush=True)\n"
            f"try:\n    network.fit(np.ones((8, 2)), np.ones(8), loss='mse', epochs=10**9, n_threads={threads})\n"
            "except KeyboardInterrupt:\n"
            "    print(time.monotonic(), np.isfinite(network.predict([[1, 1]])).all(), flush=True)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        received, finite = output.split()
        assert float(received) - sent < 0.2  # two processes on a shared machine
        assert finite == "True"
        assert process.returncode == 0
