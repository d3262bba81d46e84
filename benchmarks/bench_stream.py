"""An epoch over rows that are made as they are needed: the memory it takes, its speed beside rows in memory.

`python benchmarks/bench_stream.py [--gigabytes 2] [--buffer 65536]` prints one table, `pytest` on this file
measures the same. Each way runs in a process of its own, since the peak of a process never goes down.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import deltarule as dr
from deltarule.bench.machine import describe_machine
from deltarule.bench.table import aligned
from deltarule.streams import stream

FEATURES = 64
BYTES = 4 * (FEATURES + 1)  # of a row and its target, in float32
BATCH = 128
LIMIT = 300  # MB over the buffer
# What is measured: rows alone, rows through the stream's buffer, and a fit on either side of it.
WAYS = ("rows alone", "stream", "fit, shuffled", "fit, in order", "fit, in memory")

Array = npt.NDArray[np.float32]


def rows_as_needed(rows: int) -> Callable[[], Iterator[tuple[Array, Array]]]:
    """A source of so many rows that costs little beside the training: one block, scaled anew for each batch."""
    block = np.random.default_rng(0).normal(size=(4096, FEATURES)).astype(np.float32)

    def batches() -> Iterator[tuple[Array, Array]]:
        for number, start in enumerate(range(0, rows, len(block))):
            X = block[: rows - start] * np.float32(0.5 + number % 97 / 97)
            yield X, X[:, :8].sum(axis=1)

    return batches


def run(way: str, rows: int, buffer: int) -> dict[str, float]:
    """What a process of its own does and says: seconds, and megabytes at the most."""
    network = dr.Network([dr.Dense(64, "relu"), dr.Dense(64, "relu"), dr.Dense(1)], seed=0)
    settings: dict[str, Any] = {"loss": "mse", "optimizer": "adam", "batch_size": BATCH}
    made = rows_as_needed(rows)
    in_memory = None
    if way == "fit, in memory":
        in_memory = np.empty((rows, FEATURES), np.float32), np.empty(rows, np.float32)
        start = 0
        for X, y in made():
            in_memory[0][start : start + len(X)], in_memory[1][start : start + len(X)] = X, y
            start += len(X)
    before = time.perf_counter()
    if in_memory is not None:
        network.fit(*in_memory, **settings)
    elif way == "rows alone":
        for _ in made():
            pass
    elif way == "stream":
        for _ in stream(made, buffer=buffer).open(0, batch_size=BATCH, shuffle=True, seed=0):
            pass
    else:
        network.fit(stream(made, buffer=buffer), shuffle=way == "fit, shuffled", **settings)
    seconds = time.perf_counter() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": seconds, "megabytes": peak / 1e6}


def measured(way: str, rows: int, buffer: int) -> dict[str, float]:
    """The same, over there."""
    command = [sys.executable, __file__, "--run", way, "--rows", str(rows), "--buffer", str(buffer)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def over_the_buffer(found: dict[str, float], buffer: int) -> float:
    """Megabytes, the interpreter and its libraries included."""
    return found["megabytes"] - buffer * BYTES / 1e6


@pytest.mark.parametrize("way", ["fit, shuffled", "fit, in order"])
def bench_stream(benchmark: Any, way: str) -> None:
    rows, buffer = 2 * 10**9 // BYTES, 65_536
    benchmark.group = "an epoch over 2 GB of generated rows"
    found = benchmark.pedantic(lambda: measured(way, rows, buffer), rounds=1)
    over = over_the_buffer(found, buffer)
    beside = measured("fit, in memory", rows // 4, buffer)["seconds"] * 4
    benchmark.extra_info.update(
        {"MB over the buffer": over, "rows/s": rows / found["seconds"], "in memory": rows / beside}
    )
    assert over < LIMIT


def rows_of(results: dict[str, dict[str, float]], rows: int, buffer: int) -> list[tuple[str, ...]]:
    """A table with one line for each way."""
    table = [("way", "million rows/s", "peak, MB", "over the buffer, MB")]
    for way, found in results.items():
        over = "" if "memory" in way else f"{over_the_buffer(found, buffer):.0f}"
        table.append((way, f"{rows / found['seconds'] / 1e6:.2f}", f"{found['megabytes']:.0f}", over))
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of rows in an epoch (default: 2)")
    parser.add_argument("--buffer", type=int, default=65_536, help="rows (default: 65536)")
    parser.add_argument("--run", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        print(json.dumps(run(arguments.run, arguments.rows, arguments.buffer)))
        return
    rows = int(arguments.gigabytes * 1e9 / BYTES)
    results = {}
    for way in WAYS:
        results[way] = measured(way, rows, arguments.buffer)
        print(aligned(rows_of(results, rows, arguments.buffer))[-1], flush=True)
    about = {
        **describe_machine([]),
        "rows": f"{rows:,} of {FEATURES} features and a target, float32: {rows * BYTES / 1e9:.3g} GB",
        "buffer": f"{arguments.buffer:,} rows: {arguments.buffer * BYTES / 1e6:.3g} MB",
        "network": f"{FEATURES}-64-64-1, batch {BATCH}, Adam",
    }
    lines = [f"{name}: {value}" for name, value in about.items()]
    print("\n".join(["", *lines, "", *aligned(rows_of(results, rows, arguments.buffer))]))
    worst = max(over_the_buffer(found, arguments.buffer) for way, found in results.items() if "memory" not in way)
    print(f"\nat most {worst:.0f} MB over the buffer: {'good' if worst < LIMIT else f'more than the {LIMIT} aimed at'}")


if __name__ == "__main__":
    main()
