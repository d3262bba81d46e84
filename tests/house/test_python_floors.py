"""dataclasses ← data, history ← network (the only importer of _core) ← the rest; the reference stands alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import PACKAGE, name_of, needs_source_tree, python_files

HEAVY = {
    "matplotlib",
    "mpi4py",
    "onnx",
    "pandas",
    "polars",
    "pyarrow",
    "safetensors",
    "scipy",
    "tensorboard",
    "sklearn",
    "torch",
    "tqdm",
}
MODULES = [path for path in python_files() if path.suffix == ".py"]


def imports(path: Path, *, everywhere: bool) -> Iterator[str]:
    """Absolute names of what a module imports: all of it, or what is imported with the module."""
    tree = ast.parse(path.read_text())
    package = ["deltarule", *path.relative_to(PACKAGE).parts[:-1]]
    nodes = ast.walk(tree) if everywhere else _at_import(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: not those in functions, nor those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _at_import(node)


@needs_source_tree
@pytest.mark.parametrize("path", MODULES, ids=name_of)
class TestModule:
    def test_only_network_imports_the_core(self, path: Path) -> None:
        uses_core = any("_core" in name.split(".") for name in imports(path, everywhere=True))
        assert not uses_core or path.relative_to(PACKAGE).parts[0] == "network"

    def test_the_reference_stands_alone(self, path: Path) -> None:
        if path.relative_to(PACKAGE).parts[0] != "reference":
            return
        for name in imports(path, everywhere=True):
            inside = name.startswith(("deltarule.reference", "deltarule.names")) or name == "deltarule"
            assert inside or name.split(".")[0] in sys.stdlib_module_names | {"numpy"}, f"imports {name}"

    def test_nothing_imports_scikit_learn(self, path: Path) -> None:
        if path.relative_to(PACKAGE).parts[0] == "sklearn":
            return
        for name in imports(path, everywhere=True):
            assert name.split(".")[0] != "sklearn", "only the folder sklearn/ may"
            assert not name.startswith("deltarule.sklearn"), "nothing inside depends on the drop-ins"

    def test_heavy_libraries_are_imported_when_needed(self, path: Path) -> None:
        for name in imports(path, everywhere=False):
            root = name.split(".")[0]
            if path.relative_to(PACKAGE).parts[0] == "sklearn" and root in ("scipy", "sklearn"):
                continue  # that folder is not imported without them
            assert root not in HEAVY, f"import {root} inside the function that needs it"
            assert root in sys.stdlib_module_names | {"numpy", "deltarule"}, f"{root} is no dependency"

    def test_annotations_are_not_evaluated(self, path: Path) -> None:
        assert path.name == "_version.py" or "from __future__ import annotations" in path.read_text()


def test_import_loads_nothing_heavy() -> None:
    program = "import sys, deltarule; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert not HEAVY & set(done.stdout.split())


def test_the_reference_works_without_the_core() -> None:
    program = """
import importlib, importlib.machinery, sys, types, deltarule
root = deltarule.__path__
for name in [name for name in sys.modules if name.startswith("deltarule")]:
    del sys.modules[name]
package = types.ModuleType("deltarule")
package.__path__ = root
sys.modules["deltarule"] = package
sys.modules["deltarule._core"] = None
reference = importlib.import_module("deltarule.reference")
print(len(reference.ACTIVATIONS), "deltarule.network" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    count, network = done.stdout.split()
    assert int(count) > 10
    assert network == "False"
