"""What it costs to come from Python: a fit of one step, a step of a Trainer, an import; peers do the same beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.bench import CELLS, FAMILIES, Cell, Problem

# Cells of one step: an epoch of a peer is a call with one batch.
SMALL = {
    name: Cell(name, cell.widths, cell.activation, cell.batch, cell.loss, cell.optimizer, 1)
    for name, cell in CELLS.items()
    if name in ("xor", "tiny", "tabular")
}


def step_of_trainer(problem: Problem) -> Callable[[], Any]:
    trainer = dr.Trainer(problem.network(), loss=problem.cell.loss, optimizer=problem.optimizer())
    return lambda: trainer.step(problem.X, problem.y)


def fit_of_one_step(problem: Problem) -> Callable[[], Any]:
    network, optimizer, cell = problem.network(), problem.optimizer(), problem.cell
    return lambda: network.fit(
        problem.X, problem.y, loss=cell.loss, optimizer=optimizer, epochs=1, batch_size=cell.batch, shuffle=False
    )


def step_of_peer(family: str) -> Callable[[Problem], Callable[[], Any]]:
    def make(problem: Problem) -> Callable[[], Any]:
        if not FAMILIES[family].available():
            pytest.skip(f"pip install {' '.join(FAMILIES[family].missing())}")
        peer = next(iter(FAMILIES[family].forms(problem).values()))()
        return lambda: peer.train(1)

    return make


WAYS = {
    "Trainer.step": step_of_trainer,
    "Network.fit": fit_of_one_step,
    **{family: step_of_peer(family) for family in ("numpy", "sklearn", "torch", "jax")},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cell", SMALL)
def bench_one_step(benchmark: Any, cell: str, way: str) -> None:
    step = WAYS[way](Problem(SMALL[cell], shuffle=False))
    benchmark.group = f"one step of {cell}, called from Python"
    benchmark(step)


@pytest.mark.parametrize("rows", [1, 10_000])
def bench_fit_that_trains_nothing(benchmark: Any, rows: int) -> None:
    """Checks and conversions alone, X being looked at for numbers that are not finite."""
    problem = Problem(Cell("checks", (16, 8, 1), "tanh", 1, "mse", "sgd", rows))
    network, optimizer, X, y = problem.network(), problem.optimizer(), problem.X, problem.y
    benchmark.group = f"fit of no epoch, {rows} rows"
    benchmark(lambda: network.fit(X, y, loss="mse", optimizer=optimizer, epochs=0))


@pytest.mark.parametrize("rows", [1, 10_000])
def bench_sum_as_yardstick(benchmark: Any, rows: int) -> None:
    X = np.ones((rows, 16), np.float32)
    benchmark.group = f"fit of no epoch, {rows} rows"
    benchmark(X.sum)


@pytest.mark.parametrize("program", ["pass", "import numpy", "import deltarule", "import sklearn", "import torch"])
def bench_import(benchmark: Any, program: str) -> None:
    name = program.removeprefix("import ")
    if program != "pass":
        pytest.importorskip(name)
    benchmark.group = "a new process"
    command = [sys.executable, "-c", program]
    benchmark.pedantic(lambda: subprocess.run(command, check=True), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("layers", [1, 4])
def bench_new_network(benchmark: Any, layers: int) -> None:
    benchmark.group = f"a new network of {layers} layers of 16, and NumPy's random numbers for it"
    benchmark(lambda: dr.Network(list(repeat(dr.Dense(16), layers)), input_shape=16))


@pytest.mark.parametrize("layers", [1, 4])
def bench_random_numbers_as_yardstick(benchmark: Any, layers: int) -> None:
    benchmark.group = f"a new network of {layers} layers of 16, and NumPy's random numbers for it"
    benchmark(lambda: np.random.default_rng(0).standard_normal((layers, 16, 17), np.float32))
