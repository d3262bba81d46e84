"""A peer whose matrix library runs on one thread: for small matrices more of them are slower."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

from ...threads import available_threads
from ..cells import Weights
from . import Maker, Peer, library

__all__ = ["OneBlasThread", "blas_forms"]


class OneBlasThread(Peer):
    """Another peer, with BLAS held to one thread while it trains.

    Parameters
    ----------
    inner : Peer
    """

    def __init__(self, inner: Peer) -> None:
        super().__init__(inner.problem)
        self._inner = inner
        self._controller: Any = library("threadpoolctl").ThreadpoolController()  # the search for libraries, once

    def reset(self) -> None:
        """As the other does."""
        self._inner.reset()

    def train(self, epochs: int) -> None:
        """As the other does, on one thread."""
        with self._controller.limit(limits=1) if self._controller else nullcontext():
            self._inner.train(epochs)

    def weights(self) -> Weights:
        """The other's."""
        return self._inner.weights()


def blas_forms(name: str, make: Maker) -> Mapping[str, Maker]:
    """The peer as it is and, where threadpoolctl is installed and there is a second core, with one BLAS thread."""
    both = find_spec("threadpoolctl") is not None and available_threads() > 1
    return {name: make, **({f"{name}, 1 thread": lambda: OneBlasThread(make())} if both else {})}
