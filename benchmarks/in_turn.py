"""Training steps of a peer and ours in turn: what the benchmarks of dense and of recurrent cells share."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import pytest

from deltarule.bench import FAMILIES, Cell
from deltarule.bench.measure import EPOCHS_COMPARED, calibrate, prepare
from deltarule.bench.peak import Peak
from deltarule.bench.peers.ours import Ours

ROUNDS = 7
SECONDS = 0.04  # of a run, at least


def cases(cells: Mapping[str, Cell]) -> list[Any]:
    """Each form of each peer in each cell, installed or not."""
    return [
        pytest.param(cell, family, form, id=f"{cell.name}-{form}")
        for cell in cells.values()
        for family in FAMILIES
        for form in FAMILIES[family].forms(cell.problem())
    ]


def train_in_turn(benchmark: Any, peak: Peak, cell: Cell, family: str, form: str) -> None:
    """Ours, then the peer, in rounds; both begin rested and warm, with the same weights."""
    missing = FAMILIES[family].missing()
    if missing:
        pytest.skip(f"pip install {' '.join(missing)}")
    problem = cell.problem()
    ours, peer = Ours(problem), FAMILIES[family].forms(problem)[form]()
    try:
        losses, epochs = [], []
        for one in (ours, peer):
            one.reset()
            one.run(EPOCHS_COMPARED)
            losses.append(one.loss())
            epochs.append(calibrate(one, SECONDS))
        seconds: list[float] = []

        def ours_first() -> None:
            prepare(ours, peak)
            seconds.append(ours.run(epochs[0]))
            prepare(peer)

        benchmark.group = cell.name
        benchmark.pedantic(peer.train, args=(epochs[1],), setup=ours_first, rounds=ROUNDS, warmup_rounds=1)
    finally:
        peer.close()
    own = median(seconds) / epochs[0] / cell.steps * 1e6
    others = benchmark.stats.stats.median / epochs[1] / cell.steps * 1e6
    benchmark.extra_info.update(
        {"µs a step": others, "ours": own, "ratio": others / own, "loss": losses[1], "our loss": losses[0]}
    )
    if peak.flops is not None:
        benchmark.extra_info["ours of one core's peak"] = cell.flops / (own * 1e-6) / peak.flops
