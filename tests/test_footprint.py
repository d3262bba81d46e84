"""How light the package is: import time, what an import brings along, size on disk, hard dependencies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import deltarule as dr
from deltarule import _core

PACKAGE = Path(dr.__file__).parent
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

HEAVY = {"pandas", "polars", "scipy", "sklearn", "torch", "matplotlib", "tqdm", "safetensors", "asyncio"}

MEASURE = """
from time import process_time  # of this process alone: the machine may have other work
start = process_time()
import numpy
middle = process_time()
import deltarule
print(middle - start, process_time() - middle)
"""


def python(code: str, cache: Path) -> str:
    """What Python prints; its byte code goes to a folder of the test's own."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(cache)
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), environment.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stderr == ""
    return result.stdout


def test_importing_takes_half_of_numpys_own_time(tmp_path: Path) -> None:
    """30 ms where NumPy takes 60: beside that yardstick a slow or busy machine changes both."""
    python(MEASURE, tmp_path)  # fills the cache
    seconds = [[float(part) for part in python(MEASURE, tmp_path).split()] for _ in range(9)]
    assert any(tmp_path.rglob("*.pyc"))
    numpys, ours = (min(parts) for parts in zip(*seconds, strict=True))
    assert ours <= 0.5 * numpys, seconds


def test_importing_brings_nothing_heavy_along(tmp_path: Path) -> None:
    code = "import sys, numpy; before = set(sys.modules); import deltarule; print(*sorted(set(sys.modules) - before))"
    brought = set(python(code, tmp_path).split())
    assert {"deltarule", "deltarule._core", "deltarule.network"} <= brought
    packages = {name.partition(".")[0] for name in brought}
    assert not packages & HEAVY
    # What only some uses need is imported by them.
    assert not brought & {"deltarule.reference", "deltarule.gradient_check", "deltarule.datasets", "deltarule.cli"}


def test_training_needs_numpy_alone(tmp_path: Path) -> None:
    code = (
        "import sys, deltarule as dr\n"
        "X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]\n"
        "network = dr.Network([dr.Dense(4, 'tanh'), dr.Dense(1)])\n"
        "network.fit(X, y, loss='binary_cross_entropy'); network.predict(X); network.evaluate(X, y)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    packages = set(python(code, tmp_path).split())
    assert not packages & HEAVY


def test_the_installed_package_takes_3_mb() -> None:
    files = {path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".pyi", ".typed", ".json", ".csv")}
    files.add(Path(_core.__file__))  # an editable install keeps it elsewhere
    files = {path for path in files if "__pycache__" not in path.parts}
    assert {"__init__.py", "network.py", "py.typed"} <= {path.name for path in files} | {"py.typed"}
    sizes = {path.name: path.stat().st_size for path in files}
    assert sum(sizes.values()) <= 3_000_000, sizes


@pytest.mark.skipif(not PYPROJECT.exists(), reason="the source tree is not here")
def test_hard_dependencies() -> None:
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    assert sorted(re.split(r"[^\w-]", dependency)[0] for dependency in dependencies) == ["numpy", "safetensors", "tqdm"]
