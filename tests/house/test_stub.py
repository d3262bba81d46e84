"""_core.pyi says what the module says of itself: the same functions and methods, with the same arguments in order.

`stubtest` compares names only: a module of pybind11 has no signatures but those in its docstrings.
"""

from __future__ import annotations

import ast
import re

import pytest
from source_tree import PACKAGE, needs_source_tree

from deltarule import _core

pytestmark = needs_source_tree


def functions() -> dict[str, list[str]]:
    """Arguments of all functions and methods in the stub, by dotted name."""
    found = {}
    stub = PACKAGE / "_core.pyi"
    for node in ast.parse(stub.read_text()).body if stub.exists() else []:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = [argument.arg for argument in node.args.args]
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.decorator_list:
                    found[f"{node.name}.{method.name}"] = [argument.arg for argument in method.args.args[1:]]
    return found


STUB = functions()


@pytest.mark.parametrize("name", STUB)
def test_arguments(name: str) -> None:
    thing: object = _core
    for part in name.split("."):
        thing = getattr(thing, part)
    signature = (thing.__doc__ or "").splitlines()[0]
    arguments = re.findall(r"[(,] *(\w+):", signature)
    assert [argument for argument in arguments if argument != "self"] == STUB[name], signature


def test_nothing_is_missing() -> None:
    real = {name for name in dir(_core) if not name.startswith("_")}
    for kind in [name for name in real if isinstance(getattr(_core, name), type)]:
        real.remove(kind)
        methods = (
            name for name, value in vars(getattr(_core, kind)).items() if not name.startswith("_") and callable(value)
        )
        real |= {f"{kind}.{name}" for name in methods}
    assert real <= set(STUB)
