"""Fits that are killed, by signal 9, and go on: the bits of a fit left alone, and never a torn file.

killed_fits.py, run as a process of its own, does the killing: it has no threads, so that it may fork.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("killed_fits.py")
KILLS = 50  # of each of four

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")


def ran(*arguments: object) -> dict[str, Any]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ["one_cycle", "plateau", "stream", "recurrent"])
def test_killed_at_random_moments(name: str, tmp_path: Path) -> None:
    found = ran(name, tmp_path, KILLS, 1)
    assert found["kills"] == KILLS
    assert found["differing"] == []
    assert found["runs"] >= 2
    assert not found["went_back"]  # each kill left at least what the one before had left
    assert found["in_writing"] >= 5  # in the midst of a checkpoint
    assert found["reads"] > found["states_read"] > 10  # while others wrote them


def test_killed_in_the_midst_of_writing(tmp_path: Path) -> None:
    found = ran("stages", tmp_path)
    assert found["wrong"] == []
    assert found["kills"] == 7 * 3
    assert found["left"] == []  # of those killed, nothing: who goes on writes over it
