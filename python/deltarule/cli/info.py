"""What is installed and what it runs on: the first lines of a bug report."""

from __future__ import annotations

import argparse
import platform

HELP = "version, instruction set, threads"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None but --help."""


def run(arguments: argparse.Namespace) -> None:
    """Print one line for each thing, name first."""
    import numpy as np

    from .. import __version__, isa, isas
    from ..threads import available_threads, resolve_threads

    asked = resolve_threads(None)
    threads = f"{asked}, as asked for" if asked else f"up to {available_threads()}, as the work in a step deserves"
    for name, value in {
        "deltarule": __version__,
        "instruction set": f"{isa()} (available: {', '.join(isas())}; DELTARULE_ISA chooses)",
        "threads": f"{threads} (DELTARULE_NUM_THREADS chooses)",
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }.items():
        print(f"{name + ':':<17}{value}")
