"""This library, in the form that its users write: one `Network.fit`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..cells import Problem, Weights
from . import Maker, Peer

__all__ = ["NEEDS", "Ours", "forms"]

NEEDS: tuple[str, ...] = ()


class Ours(Peer):
    """`Network.fit` on NumPy arrays; each run is one call of it.

    Parameters
    ----------
    problem : Problem
    n_threads : int, optional
        None: as `fit` decides by itself.
    """

    def __init__(self, problem: Problem, n_threads: int | None = None) -> None:
        super().__init__(problem)
        self._n_threads = n_threads
        self._network = problem.network()
        self._initial = self._network.state_dict()
        self._optimizer = problem.optimizer()

    def reset(self) -> None:
        """The optimizer is fresh in every fit."""
        self._network.load_state_dict(self._initial)

    def train(self, epochs: int) -> None:
        """One fit."""
        cell = self.problem.cell
        self._network.fit(
            self.problem.X,
            self.problem.y,
            loss=cell.loss,
            optimizer=self._optimizer,
            epochs=epochs,
            batch_size=cell.batch,
            shuffle=self.problem.shuffle,
            n_threads=self._n_threads,
        )

    def weights(self) -> Weights:
        """Of the network."""
        return self.problem.weights_of(self._network)


def forms(problem: Problem, threads: tuple[int, ...] = ()) -> Mapping[str, Maker]:
    """With the number of threads that fit chooses, and with fixed ones."""
    fixed = {
        f"deltarule, {n} thread{'s' if n > 1 else ''}": partial(Ours, problem, n_threads=n) for n in sorted(threads)
    }
    return {"deltarule": partial(Ours, problem), **fixed}
