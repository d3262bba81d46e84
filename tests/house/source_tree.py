"""Where the sources lie; tests of the architecture are skipped where there are none, as beside an installed wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPP = ROOT / "cpp"
PACKAGE = ROOT / "python" / "deltarule"

needs_source_tree = pytest.mark.skipif(
    not (CPP.is_dir() and PACKAGE.is_dir() and (ROOT / ".ci").is_dir()),
    reason="this is an installed wheel or a source distribution: only a clone is the whole house",
)


def cpp_files(folder: str = "") -> list[Path]:
    """Headers and sources, in a fixed order."""
    return sorted(path for path in (CPP / folder).rglob("*") if path.suffix in (".hpp", ".cpp"))


def python_files(folder: str = "") -> list[Path]:
    """Modules and stubs of the package."""
    return sorted(path for path in (PACKAGE / folder).rglob("*") if path.suffix in (".py", ".pyi"))


def name_of(path: Path) -> str:
    """What a failing test calls a file."""
    return path.relative_to(ROOT).as_posix()
