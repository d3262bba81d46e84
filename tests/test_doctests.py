"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import deltarule


def module_names() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(deltarule.__path__, "deltarule.")]
    return ["deltarule", *(name for name in names if not name.endswith(("__main__", "._core")))]


@pytest.mark.parametrize("name", module_names())
def test_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert results.failed == 0, "its output is above"


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test.name
        for name in module_names()
        for test in finder.find(importlib.import_module(name), name)
        if test.examples
    ]
    assert len(found) > 40
    assert "deltarule.network.network.Network" in found
