"""What the benchmarks share: the peak of a core, the choice of an instruction set, yardsticks printed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import deltarule as dr
from deltarule import _core
from deltarule.bench.peak import Peak

pytest.importorskip("pytest_benchmark", reason='pip install ".[bench]"')


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine in turn, selected."""
    before = dr.isa()
    _core.select_isa(request.param)
    yield request.param
    _core.select_isa(before)


@pytest.fixture
def peak() -> Peak:
    """A probe, to be read as often as one likes; it has the instruction set that is selected now."""
    return Peak()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Each number beside its yardstick: what the benchmarks noted in `extra_info`."""
    session = getattr(config, "_benchmarksession", None)
    noted = [entry for entry in session.benchmarks if entry.extra_info] if session else []
    if noted:
        terminalreporter.section("yardsticks")
    for entry in noted:
        said = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in entry.extra_info.items()
        )
        terminalreporter.write_line(f"{entry.name}: {said}")
