"""A peer in a process of its own, for libraries that read the environment once, as for their number of threads."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from ..cells import Problem, Weights
from . import Maker, Peer

__all__ = ["OwnProcess"]


class OwnProcess(Peer):
    """Hands everything on to a peer in another process, which times its runs itself and sleeps in between.

    Parameters
    ----------
    problem : Problem
    make : callable
        Makes the peer, over there: something that can be pickled.
    environment : mapping of str to str
        Variables that the process starts with, beside all others.
    """

    def __init__(self, problem: Problem, make: Maker, environment: Mapping[str, str]) -> None:
        super().__init__(problem)
        context = get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, make), daemon=True)
        with _changed(environment):
            self._process.start()
        there.close()
        self._answer()

    def reset(self) -> None:
        """As the peer does."""
        self._ask("reset")

    def train(self, epochs: int) -> None:
        """As the peer does."""
        self._ask("train", epochs)

    def run(self, epochs: int) -> float:
        """Train, and return the seconds that it took over there."""
        return float(self._ask("run", epochs))

    def weights(self) -> Weights:
        """Copies of the peer's."""
        return [tuple(layer) for layer in self._ask("weights")]

    def close(self) -> None:
        """End the process."""
        if self._process.is_alive():
            with contextlib.suppress(OSError):  # it may be ending just now
                self._here.send(None)
            self._process.join(10)
            self._process.kill()
            self._process.join()
        self._here.close()

    def _ask(self, *what: Any) -> Any:
        self._here.send(what)
        return self._answer()

    def _answer(self) -> Any:
        try:
            error, value = self._here.recv()
        except EOFError:
            raise RuntimeError("the process of its own has ended without an answer") from None
        if error is not None:
            self.close()
            raise RuntimeError(error)
        return value


@contextmanager
def _changed(environment: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(connection: Any, make: Maker) -> None:
    """What runs over there: (error, value) for each question, until the question is None or nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks
    try:
        peer = make()
        connection.send((None, None))
        while (what := connection.recv()) is not None:
            connection.send((None, getattr(peer, what[0])(*what[1:])))
    except EOFError:
        pass
    except Exception as error:  # told over here
        lines = str(error).strip().splitlines()
        connection.send((f"{type(error).__name__}: {lines[0] if lines else 'no message'}", None))
