"""base ← kernels ← isa ← layers ← network ← training ← bindings: a file includes its floor or those to the left."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from source_tree import CPP, ROOT, cpp_files, name_of, needs_source_tree

pytestmark = needs_source_tree

FLOORS = ["base", "kernels", "isa", "layers", "network", "training", "bindings"]
INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]*>|"[^"]*")', re.MULTILINE)


def includes(path: Path) -> list[str]:
    """What a file includes, with its quotes or brackets."""
    return INCLUDE.findall(path.read_text())


def floor_of(path: Path) -> str:
    return path.relative_to(CPP).parts[0]


def test_every_folder_is_a_floor() -> None:
    assert sorted(path.name for path in CPP.iterdir()) == sorted(FLOORS)


@pytest.mark.parametrize("path", cpp_files(), ids=name_of)
def test_includes_go_down(path: Path) -> None:
    own = FLOORS.index(floor_of(path))
    for include in includes(path):
        if include.startswith('"'):
            floor = include.strip('"').split("/")[0]
            assert floor in FLOORS, f"{include} is no path from cpp/"
            assert FLOORS.index(floor) <= own, f"{include} lies above"


@pytest.mark.parametrize("path", cpp_files("kernels"), ids=name_of)
def test_kernels_include_next_to_nothing(path: Path) -> None:
    for include in includes(path):
        assert include in ("<cstddef>", "<cstdint>", '"base/layout.hpp"') or include.startswith('"kernels/')


@pytest.mark.parametrize("path", [CPP / "base" / "layout.hpp"], ids=name_of)
def test_layout_drags_nothing_into_the_kernels(path: Path) -> None:
    assert set(includes(path)) <= {"<cstddef>", "<cstdint>"}


@pytest.mark.parametrize("path", cpp_files("kernels"), ids=name_of)
def test_kernels_know_no_architecture(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"intrin\.h|arm_neon|arm_sve|\b_mm\d*_|__builtin_ia32", text)
    assert not re.search(r"#\s*(el)?if.*(__x86|__i386|__amd64|__arm|__aarch64|__AVX|__SSE|__FMA|__ARM|_M_X64)", text)


@pytest.mark.parametrize("path", cpp_files(), ids=name_of)
def test_pybind11_is_included_once(path: Path) -> None:
    known = any("pybind11" in include or "Python.h" in include for include in includes(path))
    assert known == (path == CPP / "bindings" / "pybind.hpp")


@pytest.mark.parametrize("path", cpp_files(), ids=name_of)
def test_only_the_table_of_kernels_is_seen_from_outside(path: Path) -> None:
    if floor_of(path) == "kernels":
        return
    kernels = {include for include in includes(path) if include.startswith('"kernels/')}
    allowed = {'"kernels/all.hpp"'} if floor_of(path) == "isa" and path.suffix == ".cpp" else set()
    assert kernels <= allowed | {'"kernels/table.hpp"'}


@pytest.mark.parametrize("path", [path for path in cpp_files() if path.suffix == ".hpp"], ids=name_of)
def test_headers_are_included_once(path: Path) -> None:
    assert "#pragma once" in path.read_text()


def test_no_flag_that_changes_the_arithmetic() -> None:
    flags = "".join(path.read_text() for path in [ROOT / "CMakeLists.txt", *CPP.rglob("CMakeLists.txt")])
    assert "-ffp-contract=off" in flags
    for flag in ("-ffast-math", "-Ofast", "-funsafe-math", "-fassociative-math", "-freciprocal-math", "-flto"):
        assert flag not in flags


@pytest.mark.skipif(
    platform.system() != "Linux" or not shutil.which("nm") or not shutil.which("g++"), reason="needs Linux, g++ and nm"
)
def test_a_kernel_object_exports_one_symbol(tmp_path: Path) -> None:
    """Else the linker could take an inline function compiled for one instruction set into the code of another."""
    target = tmp_path / "kernels.o"
    x86 = platform.machine() in ("x86_64", "AMD64")
    command = ["g++", "-std=c++20", "-O1", "-ffp-contract=off", "-Wno-psabi", f"-I{CPP}", "-c", "-o", str(target)]
    defines = [
        "DELTARULE_ISA=probe",
        f"DELTARULE_VECTOR_BYTES={32 if x86 else 16}",
        "DELTARULE_FMA=1",
        'DELTARULE_NEEDS="x"',
    ]
    flags = [*(f"-D{define}" for define in defines), *(["-mavx2", "-mfma"] if x86 else [])]
    subprocess.run([*command, *flags, str(CPP / "isa" / "baseline.cpp")], check=True, timeout=300)
    done = subprocess.run(
        ["nm", "--extern-only", "--defined-only", "--demangle", str(target)], check=True, capture_output=True, text=True
    )
    symbols = [line.split(maxsplit=2)[-1] for line in done.stdout.splitlines()]
    assert symbols == ["deltarule::probe::table"]
