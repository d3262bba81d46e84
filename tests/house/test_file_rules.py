"""Files are short, say what they are, and have names that say something; the README's map shows the real house."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from source_tree import PACKAGE, ROOT, cpp_files, name_of, needs_source_tree, python_files

pytestmark = needs_source_tree

TESTS = sorted((ROOT / "tests").rglob("*.py")) if PACKAGE.is_dir() else []
SOURCES = [*cpp_files(), *python_files()]
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name_of)
class TestFile:
    def test_is_short(self, path: Path) -> None:
        assert len(path.read_text().splitlines()) <= 400, "split it by topic"

    def test_name_says_something(self, path: Path) -> None:
        words = {word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.lower().split("_")}
        assert not words & EMPTY_NAMES

    def test_names_no_machine(self, path: Path) -> None:
        assert not re.search(r"/(work|root|home|Users)/\w", path.read_text())


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name_of)
def test_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    if path.name == "_version.py":
        return
    if path.suffix == ".py":
        docstring = ast.get_docstring(ast.parse(text))
        assert docstring, "begin with a docstring"
        if "cli" not in path.parts:  # theirs are what --help prints
            assert len(docstring.splitlines()) <= 6
    elif path.suffix == ".cpp" and path.with_suffix(".hpp").exists():
        assert text.startswith(("//", "#include"))  # its header says it
    else:
        comment = re.match(r"(?:(?://|# )[^\n]*\n)+", text)
        assert comment, "begin with a comment"
        assert len([line for line in comment.group().splitlines() if line != "//"]) <= 6


def test_map_of_the_house() -> None:
    """Folders in the README's map exist, and none is missing."""
    block = re.search(r"## The map of the house.*?```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    drawn: list[Path] = []
    inside: list[tuple[int, Path]] = []
    for line in block.group(1).splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        inside = [(depth, folder) for depth, folder in inside if depth < indent]
        folder = (inside[-1][1] if inside else ROOT) / name
        assert folder.is_dir(), f"{name} is in the README's map but not in the house"
        inside.append((indent, folder))
        drawn.append(folder)
    real = [path for parent in (ROOT / "cpp", PACKAGE) for path in parent.iterdir() if path.is_dir()]
    missing = {path.name for path in real if path not in drawn} - {"__pycache__"}
    assert not missing, "draw them"


@pytest.mark.parametrize("name", ["README.md", ".github/CONTRIBUTING.md"])
def test_links_and_paths_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for target in re.findall(r"`((?:cpp|python|tests|\.ci|\.github)/[\w./]*)`", text):
        assert (ROOT / target).exists(), target
    assert not re.search(r"/(work|root|home|Users)/\w", text)


def test_changelog_knows_the_version() -> None:
    version = re.search(r'"(.+)"', (PACKAGE / "_version.py").read_text())
    assert version
    assert f"## {version.group(1)}" in (ROOT / "CHANGELOG.md").read_text()
