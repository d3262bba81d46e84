"""Who is measured, each in its best form: data in memory, no loader, the fastest calls that its library offers.

To add one: a module with `NEEDS` (libraries, as pip knows them) and `forms(problem)` (name -> a function that makes the
peer), for dense networks or recurrent ones, and its row in FAMILIES. Libraries are found by name at run time: they are
neighbours, not dependencies.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..cells import Problem, Weights

__all__ = ["FAMILIES", "Family", "Maker", "Peer", "library"]


class Peer(ABC):
    """A network in some library, with the data, initial weights, loss and optimizer of a problem.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @abstractmethod
    def reset(self) -> None:
        """Back to the initial weights and a fresh optimizer; not timed."""

    @abstractmethod
    def train(self, epochs: int) -> None:
        """Go through all minibatches so many times, in a new order each time, and come back when all is done."""

    @abstractmethod
    def weights(self) -> Weights:
        """What the network has learned: (inputs, units) and (units,), layer by layer."""

    def run(self, epochs: int) -> float:
        """Train, and return the seconds that it took."""
        start = time.perf_counter()
        self.train(epochs)
        return time.perf_counter() - start

    def loss(self) -> float:
        """The mean loss over the whole data as it is now, by the same judge for all; not timed."""
        return self.problem.loss(self.weights())

    def close(self) -> None:  # noqa: B027 - most have nothing to do here
        """Give back what the peer holds beside memory."""


Maker = Callable[[], Peer]

_PACKAGES = {"scikit-learn": "sklearn"}  # where the name to import is not the name to install


@dataclass(frozen=True)
class Family:
    """The peers of one library.

    Parameters
    ----------
    name : str
        As in ``bench --peers name``.
    dense, recurrent : str, default=""
        The modules in this folder that train networks of this structure; empty: the library is no peer in those cells.
    """

    name: str
    dense: str = ""
    recurrent: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """Libraries, as pip knows them."""
        modules = [_module(name) for name in (self.dense, self.recurrent) if name]
        return tuple(dict.fromkeys(need for module in modules for need in module.NEEDS))

    def missing(self) -> list[str]:
        """Those of them that are not installed."""
        return [name for name in self.needs if find_spec(_PACKAGES.get(name, name)) is None]

    def available(self) -> bool:
        """Whether it can be measured here."""
        return not self.missing()

    def forms(self, problem: Problem) -> Mapping[str, Maker]:
        """What to measure of it, by name; nothing is made, and no library imported, before the function is called."""
        name = {"dense": self.dense, "recurrent": self.recurrent}[problem.cell.structure]
        found: Mapping[str, Maker] = _module(name).forms(problem) if name else {}
        return found


def _module(name: str) -> Any:
    return import_module(f".{name}", __name__)


FAMILIES = {
    family.name: family
    for family in (
        Family("numpy", "numpy_by_hand"),
        Family("sklearn", "sklearn"),
        Family("torch", "torch_eager", "torch_recurrent"),
        Family("torch_compile", "torch_compile"),
        Family("jax", "jax_scan", "jax_recurrent"),
        Family("keras", recurrent="keras_recurrent"),
    )
}


def library(name: str) -> Any:
    """Import a library that may not be there; the type checker knows nothing of it.

    Examples
    --------
    >>> library("math").sqrt(4.0)
    2.0
    """
    return import_module(name)
