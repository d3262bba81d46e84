"""What is installed and what it runs on, the first lines of a bug report; or what a model file holds.

python -m deltarule info
python -m deltarule info flowers.safetensors     its layers, and the columns that it takes
"""

from __future__ import annotations

import argparse
import platform
from typing import Any

HELP = "version, instruction set, threads; or what a model file holds"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model, or nothing."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a file that `train` or Network.save has written")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print one line for each thing, name first."""
    return _of_this_machine() if arguments.model is None else _of_model(arguments.model)


def _of_this_machine() -> dict[str, Any]:
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
    return {
        "deltarule": __version__,
        "instruction_set": isa(),
        "instruction_sets": isas(),
        "threads": asked or available_threads(),
        "threads_asked_for": asked or None,
        "python": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        "numpy": np.__version__,
        "system": platform.system(),
        "machine": platform.machine(),
    }


def _of_model(path: str) -> dict[str, Any]:
    from .model_files import columns_of, load_any, tell_columns

    network, model = load_any(path)
    network.summary()
    result = {
        "model": path,
        "spec": network.spec(),
        "parameters": network.n_parameters,
        "epochs_trained": network.epochs_trained,
    }
    if model is None:
        print("Nothing is known about columns: it was saved in Python, by Network.save.")
        return result
    for line in tell_columns(model.columns, model.target):
        print(line)
    return {**result, **columns_of(model.columns, model.target)}
