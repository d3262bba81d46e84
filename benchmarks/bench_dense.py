"""Training steps of all cells by all peers that are installed; before each of a peer's runs there is one of ours.

`python -m deltarule bench` measures the same and prints one table of ratios.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import pytest

from deltarule.bench import CELLS, FAMILIES, Problem
from deltarule.bench.measure import EPOCHS_COMPARED, calibrate
from deltarule.bench.peers.ours import Ours

ROUNDS = 7
SECONDS = 0.04  # of a run, at least

CASES = [
    pytest.param(cell, family, form, id=f"{cell}-{form}")
    for cell in CELLS
    for family in FAMILIES
    for form in FAMILIES[family].forms(Problem(CELLS[cell]))
]


@pytest.mark.parametrize(("cell", "family", "form"), CASES)
def bench_training(benchmark: Any, cell: str, family: str, form: str) -> None:
    missing = FAMILIES[family].missing()
    if missing:
        pytest.skip(f"pip install {' '.join(missing)}")
    problem = Problem(CELLS[cell])
    ours, peer = Ours(problem), FAMILIES[family].forms(problem)[form]()
    losses, epochs = [], []
    for one in (ours, peer):
        one.reset()
        one.run(EPOCHS_COMPARED)
        losses.append(one.loss())
        epochs.append(calibrate(one, SECONDS))
    seconds: list[float] = []

    def ours_first() -> None:
        ours.reset()
        seconds.append(ours.run(epochs[0]))
        peer.reset()
        time.sleep(0.003)  # threads go to sleep

    benchmark.group = cell
    benchmark.pedantic(peer.train, args=(epochs[1],), setup=ours_first, rounds=ROUNDS, warmup_rounds=1)
    own = median(seconds) / epochs[0] / problem.cell.steps * 1e6
    others = benchmark.stats.stats.median / epochs[1] / problem.cell.steps * 1e6
    benchmark.extra_info.update(
        {"µs a step": others, "ours": own, "ratio": others / own, "loss": losses[1], "our loss": losses[0]}
    )
