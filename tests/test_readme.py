"""The README's examples run from top to bottom, and print what their comments say."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="there is no README.md beside the tests: not a source tree")


def python_blocks() -> list[tuple[int, str]]:
    """Line number and text of each Python block."""
    text = README.read_text() if README.exists() else ""
    blocks = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, block.start(1)) + 1, block.group(1)) for block in blocks]


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    """The blocks go on from one another."""
    return {}


@pytest.mark.parametrize(
    ("line", "block"), python_blocks(), ids=lambda value: str(value) if isinstance(value, int) else ""
)
def test_block(
    line: int, block: str, namespace: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # Blank lines before it, so that a traceback names the line of the README.
        exec(compile("\n" * (line - 1) + block, str(README), "exec"), namespace)
    expected = [promise for text in block.splitlines() if (promise := _promise(text)) is not None]
    assert printed.getvalue().splitlines() == expected


def _promise(line: str) -> str | None:
    """What a line ``print(...)  # text`` says it prints."""
    match = re.match(r"print\(.*\)  # (.*)", line)
    assert match or not line.startswith("print("), f"{line!r} does not say what it prints"
    return match.group(1) if match else None


def test_there_are_blocks() -> None:
    assert len(python_blocks()) >= 8


def test_blocks_are_python_of_the_oldest_version() -> None:
    for _, block in python_blocks():
        ast.parse(block, feature_version=(3, 11))


def test_first_screen() -> None:
    first = README.read_text().splitlines()[:15]
    assert any(line.startswith("pip install . && python -m deltarule demo") for line in first)
    assert any(line.startswith('pip install ".[test]" && pytest') for line in first)
