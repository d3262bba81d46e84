"""No warm-up: the first training step of a process takes less than twice the time of those that follow.

Time is the thread's own, since the machine may have other work, and the best of some fresh processes. The first step
is also the first to touch its memory: what the system takes to bring a page is measured in the same process, on pages
that the library has nothing to do with, and counts in no step. In a virtual machine it was 1.5 µs, and that of all of
them as long as a step of 1 ms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import deltarule as dr

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted as on Linux")

PROCESSES = 7  # at the most

MEASURE = """
import json, mmap, resource, sys, time
import numpy as np
import deltarule as dr

def now():
    return time.thread_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt

class Clock:
    def __init__(self):
        self.readings = []
    def on_fit_begin(self, network):
        self.readings.append(now())
    def on_epoch_end(self, epoch, logs):
        self.readings.append(now())

sizes, batch, repetitions, of_calls = json.loads(sys.argv[1])
random = np.random.default_rng(0)
X, y = (random.random((batch, columns), dtype=np.float32) for columns in (sizes[0], sizes[-1]))
layers = [*(dr.Dense(units, "relu") for units in sizes[1:-1]), dr.Dense(sizes[-1])]
network = dr.Network(layers, sizes[0])
X @ np.ones((sizes[0], 100), np.float32)  # NumPy is warm

pages = np.frombuffer(mmap.mmap(-1, 2**22, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
clock = Clock()
for part in np.split(pages, 16):  # some may be those that the host has to find first
    clock.on_fit_begin(network)
    part[:: mmap.PAGESIZE] = 1
seconds, faults = np.diff(clock.readings, axis=0).T
page = float(np.median(seconds / faults))

clock = Clock()
options = {"loss": "mse", "optimizer": "adam", "batch_size": batch, "n_threads": 1}
if of_calls:
    clock.on_fit_begin(network)
    for _ in range(repetitions):
        network.fit(X, y, **options)
        clock.on_epoch_end(0, {})
else:  # an epoch is a step
    history = network.fit(X, y, epochs=repetitions, callbacks=[clock], **options)
seconds, faults = np.diff(clock.readings, axis=0).T
told = [] if of_calls else np.diff([0, *history["seconds"]]).tolist()
print(json.dumps({"seconds": seconds.tolist(), "faults": faults.tolist(), "page": page, "told": told}))
"""


class Ratios(NamedTuple):
    """The first to the median of the others."""

    plain: float  # of the times as they are, all that a fit does before its first step included
    computing: float  # without what the pages took
    told: float  # of the steps alone, as the history has them


def measure(sizes: list[int], batch: int, repetitions: int, of_calls: bool) -> Ratios:
    """In a fresh process."""
    path = os.pathsep.join([str(Path(dr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps([sizes, batch, repetitions, of_calls])],
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout)
    seconds = found["seconds"]
    computing = [taken - found["page"] * faults for taken, faults in zip(seconds, found["faults"], strict=True)]
    all_times = (seconds, computing, found["told"] or seconds)
    return Ratios(*(times[0] / sorted(times[1:])[len(times) // 2] for times in all_times))


def best(kind: str, *arguments: Any) -> list[float]:
    """The ratios of one process after the other, until one is good; the last is the best, or none is good."""
    ratios: list[float] = []
    while len(ratios) < PROCESSES and not (ratios and 0 < ratios[-1] < 2):  # below 0: the page's time was none
        ratios.append(getattr(measure(*arguments), kind))
    return ratios


@pytest.mark.parametrize("of_calls", [False, True], ids=["step", "fit"])
@pytest.mark.parametrize(
    ("sizes", "batch"), [([784, 128, 10], 512), ([256, 256, 256, 10], 256)], ids=["784-128-10", "256-256-256-10"]
)
def test_the_first_step_of_a_millisecond(sizes: list[int], batch: int, of_calls: bool) -> None:
    """In one fit of many steps, and in many fits of one step, where all that a fit does by itself is in it too."""
    ratios = best("computing", sizes, batch, 40, of_calls)
    assert 0 < ratios[-1] < 2, ratios


@pytest.mark.parametrize(("sizes", "batch"), [([784, 128, 10], 512), ([64, 100, 10], 200)], ids=["1 ms", "40 µs"])
def test_the_first_step_by_the_clock_of_the_fit(sizes: list[int], batch: int) -> None:
    """Whose memory is there before it begins."""
    ratios = best("told", sizes, batch, 40, False)
    assert 0 < ratios[-1] < 2, ratios


def test_the_first_step_of_ten_milliseconds_with_its_pages() -> None:
    ratios = best("plain", [512, 512, 512, 512, 10], 512, 20, False)
    assert ratios[-1] < 2, ratios
