"""Training steps of the dense cells by all peers that are installed; before each of a peer's runs there is one of ours.

`python -m deltarule bench` measures the same and prints one table of ratios.
"""

from __future__ import annotations

from typing import Any

import pytest
from in_turn import cases, train_in_turn

from deltarule.bench import DENSE_CELLS, Cell
from deltarule.bench.peak import Peak


@pytest.mark.parametrize(("cell", "family", "form"), cases(DENSE_CELLS))
def bench_training(benchmark: Any, peak: Peak, cell: Cell, family: str, form: str) -> None:
    train_in_turn(benchmark, peak, cell, family, form)
