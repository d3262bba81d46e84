"""How much memory a fit on sequences takes: what `Network.memory` says, what the system sees, and where it is refused
before the first step; that no step of it allocates, and that Ctrl-C ends a long one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recurrent_networks import batch, bits, make
from test_allocations import COMPILER, COUNTER

import deltarule as dr
from deltarule.network import recurrence

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss and LD_PRELOAD are used as on Linux")

# Prints by how many bytes one epoch of a fit takes the process beyond what was there before, and what memory() says.
GROWTH = """
import json, resource, sys
import numpy as np
import deltarule as dr

def in_process():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

argument = json.loads(sys.argv[1])
kind, units, steps, samples = argument["kind"], argument["units"], argument["steps"], argument["samples"]

def network_and_data(units, steps, samples):
    options = {"bidirectional": argument.get("bidirectional", False)}
    layers = [kind(units, return_sequences=True, **options), kind(units, **options), dr.Dense(2)]
    X = np.zeros((samples, steps, 3), np.float32)
    lengths = np.arange(1, samples + 1) * steps // samples
    return dr.Network(layers, input_shape=(None, 3)), X, np.zeros((samples, 2), np.float32), np.maximum(lengths, 1)

kind = {"lstm": dr.LSTM, "gru": dr.GRU, "rnn": dr.RNN}[kind]
cut, clip = argument.get("cut", {}), argument.get("clip")
fit = {"loss": "mse", "clip_norm": clip, "n_threads": argument["n_threads"], **cut}
network, X, y, lengths = network_and_data(2, 3, 2)
network.fit(X, y, **fit)
network, X, y, lengths = network_and_data(units, steps, samples)
if argument.get("ragged"):
    fit["lengths"] = lengths
promised = network.memory(samples, steps, ragged="lengths" in fit, clip=clip is not None, **cut)
# The mark is the highest ever: up to it, nothing would show.
held, start = [], in_process()
while in_process() < start + 2**20:
    held.append(np.ones(2**14))
before = in_process()
network.fit(X, y, batch_size=samples, **fit)
print(in_process() - before, promised)
"""

CASES: list[dict[str, Any]] = [
    {"kind": "lstm", "units": 64, "steps": 500, "samples": 64, "n_threads": 1},
    {"kind": "gru", "units": 100, "steps": 300, "samples": 64, "n_threads": 2, "ragged": True, "clip": 1.0},
    {"kind": "rnn", "units": 64, "steps": 400, "samples": 100, "n_threads": 1, "bidirectional": True},
    {"kind": "lstm", "units": 256, "steps": 900, "samples": 64, "n_threads": 2, "cut": {"checkpoint_steps": "auto"}},
    {"kind": "gru", "units": 200, "steps": 2000, "samples": 64, "n_threads": 1, "cut": {"bptt_steps": 100}},
]


def python(code: str, *arguments: str, **environment: str) -> str:
    """What a fresh process prints."""
    path = os.pathsep.join([str(Path(dr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.stderr == ""
    return result.stdout


class TestMemory:
    @on_linux
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_is_what_the_process_grows_by(self, case: dict[str, Any]) -> None:
        grown, promised = map(int, python(GROWTH, json.dumps(case)).split())
        assert promised > 2**23  # else other things would count
        assert 0.75 * promised <= grown <= 1.25 * promised

    @pytest.mark.parametrize("kind", ["rnn_tanh", "lstm", "gru"])
    def test_is_linear_in_samples_and_steps_and_with_checkpoints_in_the_root_of_the_steps(self, kind: str) -> None:
        network = make(kind, 2, units=32, dtype="float32")
        most = network.memory(64, 1600)
        assert network.memory(128, 1600) == pytest.approx(2 * most, rel=0.05)
        assert network.memory(64, 3200) == pytest.approx(2 * most, rel=0.05)
        kept = [network.memory(64, steps, checkpoint_steps="auto") for steps in (400, 1600, 6400)]
        assert kept[1] == pytest.approx(2 * kept[0], rel=0.15)
        assert kept[2] == pytest.approx(2 * kept[1], rel=0.15)
        assert kept[1] < most / 10
        assert kept[1] == network.memory(64, 1600, checkpoint_steps=40)
        assert network.memory(64, 10_000, bptt_steps=20) == pytest.approx(network.memory(64, 20), rel=0.1)

    def test_says_what_more_is_needed(self) -> None:
        network = make("gru", units=32)
        assert network.memory(8, 50) < network.memory(8, 50, clip=True)
        assert network.memory(8, 50, optimizer="sgd") < network.memory(8, 50, optimizer="adam")
        assert network.memory(8, 50) < make("gru", units=32, bidirectional=True).memory(8, 50)
        assert make("gru", units=32, dtype="float32").memory(8, 50) < 0.6 * network.memory(8, 50)
        assert network.memory() == network.memory(32, 1)

    def test_a_fit_that_cannot_have_it_is_refused_before_the_first_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        network, untouched, data = (*(make("lstm", units=64, dtype="float32") for _ in range(2)), batch(64, 1200))
        needed = network.memory(64, 1200)
        assert needed > 2**26  # below, nobody asks the system
        begun: list[Any] = []

        class Watcher:
            def on_fit_begin(self, network: dr.Network) -> None:
                begun.append(network)

        monkeypatch.setattr(recurrence, "_available", lambda: needed - 1)
        with pytest.raises(MemoryError, match=r"needs .* GiB .*are free: take a smaller batch_size, checkpoint"):
            network.fit(data.X, data.y, loss="mse", batch_size=64, callbacks=[Watcher()])
        assert bits(network) == bits(untouched)
        assert network.epochs_trained == 0
        assert begun == []
        for enough in ({"batch_size": 32}, {"batch_size": 64, "checkpoint_steps": "auto"}, {"bptt_steps": 20}):
            network.fit(data.X, data.y, loss="mse", **enough)
        monkeypatch.setattr(recurrence, "_available", lambda: needed)
        network.fit(data.X, data.y, loss="mse", batch_size=64)
        monkeypatch.setattr(recurrence, "_available", lambda: None)
        network.fit(data.X, data.y, loss="mse", batch_size=64)


# Prints how many allocations each of four fits makes: of 10 steps twice, of 500, of 10 again.
FIT = """
import ctypes, sys
import numpy as np
import deltarule as dr

allocations = ctypes.CDLL(None).deltarule_test_allocations
allocations.restype = ctypes.c_long
threads, options = int(sys.argv[1]), eval(sys.argv[2])
random = np.random.default_rng(0)
both, each = options.pop("bidirectional", False), options.pop("each", False)
X = random.normal(size=(1000, 6, 5)).astype(np.float32)
y = random.integers(0, 4, (1000, 6) if each else 1000).astype(np.int32)
if options.pop("ragged", False):
    options["lengths"] = random.integers(1, 7, 1000)
    options["lengths"][:100] = 6  # no batch of ten is longer than those before
layers = [dr.LSTM(9, return_sequences=True, bidirectional=both), dr.Dropout(0.3), dr.LayerNorm()]
layers += [dr.GRU(7, return_sequences=each, bidirectional=both, l2=1e-3), dr.RNN(5, return_sequences=True)][: 1 + each]
network = dr.Network([*layers, dr.Dense(4)], (None, 5))
fits = []
for steps in (10, 10, 500, 10):
    before = allocations()
    network.fit(X, y, loss="cross_entropy", epochs=1, batch_size=1000 // steps, n_threads=threads, **options)
    fits.append(allocations() - before)
print(*fits)
"""


@on_linux
@pytest.mark.skipif(COMPILER is None, reason="no C compiler for the library that counts")
@pytest.mark.parametrize(
    "options",
    [
        {"ragged": True, "optimizer": "adam", "clip_norm": 0.5},
        {"ragged": True, "each": True, "bptt_steps": 2, "optimizer": "sgd"},
        {"checkpoint_steps": 2, "each": True, "validation_split": 0.25},
        {"bidirectional": True, "ragged": True},
    ],
    ids=str,
)
def test_no_step_allocates(options: dict[str, object], tmp_path: Path) -> None:
    source, library = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(COUNTER)
    assert COMPILER is not None
    subprocess.run([COMPILER, "-x", "c", "-O1", "-fno-builtin", "-shared", "-fPIC", source, "-o", library], check=True)
    for threads in ("1", "2"):
        printed = python(FIT, threads, repr(options), LD_PRELOAD=str(library), PYTHONMALLOC="malloc")
        _, few, many, few_again = map(int, printed.split())
        assert few > 0
        assert abs(many - min(few, few_again)) <= 5, printed  # 490 steps more


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
    raise AssertionError(f"{delay:.2f} s after the start Ctrl-C took {times} s: expected 0.1")


class TestControlC:
    """Sequences of thousands of steps, of which a single batch takes half a second."""

    X = np.zeros((32, 2000, 8), np.float32)
    y = np.zeros((32, 1), np.float32)

    def network(self, **options: Any) -> dr.Network:
        layers = [dr.LSTM(96, return_sequences=True, **options), dr.GRU(96, **options), dr.Dense(1)]
        return dr.Network(layers, input_shape=(None, 8))

    @pytest.mark.parametrize("cut", [{}, {"checkpoint_steps": 45}, {"bptt_steps": 100}], ids=str)
    @pytest.mark.parametrize("threads", [1, 2])
    def test_in_the_middle_of_a_step(self, threads: int, cut: dict[str, int]) -> None:
        network = self.network()
        trainer = dr.Trainer(network, loss="mse", n_threads=threads, **cut)
        trainer.step(self.X, self.y)  # from here on it has its workspace
        start = time.perf_counter()
        trainer.step(self.X, self.y)
        duration = time.perf_counter() - start
        for phase in (0.1, 0.5, 0.8):
            before, steps = bits(network), trainer.steps
            assert_soon(lambda: trainer.step(self.X, self.y), phase * duration)
            if trainer.steps == steps and not cut.get("bptt_steps"):  # given up: it has not happened
                assert bits(network) == before
            assert all(np.isfinite(array).all() for array in network.parameters.values())

    @pytest.mark.parametrize("delay", [0.02, 0.2])
    @pytest.mark.parametrize("what", ["fit", "predict", "evaluate", "loss_and_gradients", "forward"])
    def test_from_the_first_moment(self, what: str, delay: float) -> None:
        network = self.network()
        X, y, options = self.X, self.y, {"loss": "mse", "n_threads": 1}
        calls: dict[str, Callable[[], Any]] = {
            "fit": lambda: network.fit(X, y, batch_size=32, epochs=100, **options),
            "predict": lambda: network.predict(X, n_threads=1),
            "evaluate": lambda: network.evaluate(X, y, **options),
            "loss_and_gradients": lambda: network.loss_and_gradients(X, y, **options),
            "forward": lambda: network.forward(X),
        }
        assert_soon(calls[what], delay)
        assert np.isfinite(network.predict(X[:, :10])).all()

    def test_a_step_given_up_leaves_no_trace(self) -> None:
        """Neither in the weights nor in the optimizer: the next one is what it would have been."""
        once, twice = self.network(), self.network()
        options: dict[str, Any] = {"loss": "mse", "optimizer": "adam", "n_threads": 2}
        interrupted, straight = dr.Trainer(once, **options), dr.Trainer(twice, **options)
        y = self.y + 1
        for trainer in (interrupted, straight):
            trainer.step(self.X, y)
        assert latency(lambda: interrupted.step(self.X, y), 0.1) > 0
        assert interrupted.steps == 1
        assert interrupted.step(self.X, y) == straight.step(self.X, y)
        assert bits(once) == bits(twice)
