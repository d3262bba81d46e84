"""How it is timed: ours, a peer, ours, the next peer, in turn and in rounds, so that a busy moment hits all alike.

Each run starts from the same weights, rested and warmed up, and lasts for tens of milliseconds; before each the peak of
a core is read. All peers first train for the same few epochs: the losses after that, printed beside the times, show the
equal work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from ..threads import available_threads
from .cells import Cell
from .peak import Peak
from .peers import Family, Maker, Peer
from .peers.ours import forms as forms_of_ours

__all__ = ["CellResult", "Timing", "calibrate", "measure", "prepare", "runs_in"]

EPOCHS_COMPARED = 4  # after which the losses are compared
_REST = 0.2  # seconds before each run: so long OpenMP's threads spin, as those of torch, before they go to sleep


@dataclass
class Timing:
    """The runs of one peer in one cell.

    Parameters
    ----------
    name : str
    steps : int
        In each run.
    loss : float
        On all data, after `EPOCHS_COMPARED` epochs from the initial weights.
    seconds : list of float
        Of each run.

    Examples
    --------
    >>> timing = Timing("somebody", 1000, 0.5, [0.004, 0.002, 0.003])
    >>> timing.median, timing.fastest  # in microseconds a step
    (3.0, 2.0)
    """

    name: str
    steps: int
    loss: float
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Microseconds a step in the median run."""
        return median(self.seconds) / self.steps * 1e6

    @property
    def fastest(self) -> float:
        """Microseconds a step in the fastest run."""
        return min(self.seconds) / self.steps * 1e6


@dataclass
class CellResult:
    """All timings of one cell.

    Parameters
    ----------
    cell : Cell
    ours : Timing
        With the default number of threads.
    fixed : dict of int to Timing
        Ours again, by number of threads.
    peers : list of Timing
    failures : dict of str to str
        Who could not take part, and why.
    peak : float or None
        Floating-point operations a second of one core, the median over the rounds of this cell; None without a probe.
    """

    cell: Cell
    ours: Timing
    fixed: dict[int, Timing]
    peers: list[Timing]
    failures: dict[str, str]
    peak: float | None

    @property
    def best(self) -> Timing | None:
        """The fastest of the peers by its median; None without any."""
        return min(self.peers, key=lambda peer: peer.median, default=None)

    def ratio(self, timing: Timing) -> float:
        """How many times as long as ours it takes: above 1 we are faster."""
        return timing.median / self.ours.median

    @property
    def share_of_peak(self) -> float | None:
        """`Cell.flops` of a step over what one core could have done in that time; ours on one thread."""
        if self.peak is None or 1 not in self.fixed:
            return None
        return self.cell.flops / (self.fixed[1].median * 1e-6) / self.peak

    @property
    def speedup(self) -> float | None:
        """One thread over two threads."""
        return self.fixed[1].median / self.fixed[2].median if {1, 2} <= set(self.fixed) else None


def runs_in(cells: Sequence[Cell], families: Sequence[Family], threads: Sequence[int], rounds: int) -> int:
    """How often `measure` reports for all these cells: once for each peer made, once for each of a round's pairs."""
    count = 0
    for cell in cells:
        problem = cell.problem()
        others = len(set(threads)) + sum(len(family.forms(problem)) for family in families)
        count += 1 + others + rounds * max(others, 1)
    return count


def calibrate(peer: Peer, seconds: float) -> int:
    """The number of epochs that keeps a peer busy for so long, at least 1.

    Parameters
    ----------
    peer : Peer
        Warm already.
    seconds : float

    Returns
    -------
    int
    """
    epochs, taken = 1, peer.run(1)
    while taken < seconds and epochs < 10**7:
        epochs = max(2 * epochs, min(50 * epochs, int(1.2 * epochs * seconds / max(taken, 1e-9))))
        taken = peer.run(epochs)
    return epochs


def _warm(name: str, make: Maker, seconds: float) -> tuple[Peer, Timing, int]:
    """Made, compiled and compared, and its epochs in a run."""
    peer = make()
    peer.reset()
    peer.run(1)
    peer.reset()
    peer.run(EPOCHS_COMPARED)
    loss = peer.loss()
    epochs = calibrate(peer, seconds)
    return peer, Timing(name, epochs * peer.problem.cell.steps, loss), epochs


def measure(
    cell: Cell,
    families: Sequence[Family],
    *,
    rounds: int = 7,
    threads: Sequence[int] = (1, 2),
    seconds: float = 0.04,
    report: Callable[[str], None] = lambda what: None,
) -> CellResult:
    """Measure one cell.

    Parameters
    ----------
    cell : Cell
    families : sequence of Family
        Those that are installed.
    rounds : int, default=7
        At least 1.
    threads : sequence of int, default=(1, 2)
        Fixed numbers of threads for ours, beside the default; more than there are cores are left out.
    seconds : float, default=0.04
        The least length of a run.
    report : callable, optional
        Called with the name of what was measured last.

    Returns
    -------
    CellResult

    Examples
    --------
    >>> from deltarule.bench.cells import DENSE_CELLS
    >>> result = measure(DENSE_CELLS["xor"], [], rounds=1, threads=(), seconds=0.001)
    >>> 0 < result.ours.median < 1000
    True
    """
    problem = cell.problem()
    counts = tuple(sorted({n for n in threads if n <= available_threads()}))
    failures: dict[str, str] = {}
    measured: list[tuple[Peer, Timing, int]] = []
    makers: dict[str, Maker] = dict(forms_of_ours(problem, counts))
    own = list(makers)
    for family in families:
        makers |= family.forms(problem)
    peak = Peak()
    try:
        for name, make in makers.items():
            try:
                measured.append(_warm(name, make, seconds))
            except Exception as error:  # whatever another library raises, the table goes on without it
                if name in own:
                    raise
                lines = str(error).strip().splitlines()
                failures[name] = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
            report(f"{cell.name}: {name}")
        others: Sequence[tuple[Peer, Timing, int] | None] = measured[1:] or [None]
        for _ in range(rounds):
            for other in others:
                for turn in (measured[0], other):
                    if turn is not None:
                        _run(*turn, peak)
                report(f"{cell.name}: {other[1].name if other else own[0]}")
    finally:
        for peer, _, _ in measured:
            peer.close()
    timings = [timing for _, timing, _ in measured]
    fixed = dict(zip(counts, timings[1 : len(own)], strict=True))
    return CellResult(cell, timings[0], fixed, timings[len(own) :], failures, peak.flops)


def _run(peer: Peer, timing: Timing, epochs: int, peak: Peak) -> None:
    prepare(peer, peak)
    timing.seconds.append(peer.run(epochs))


def prepare(peer: Peer, peak: Peak | None = None) -> None:
    """What comes before a timed run: a rest, a reading of the peak, an epoch to warm up, the initial weights again."""
    time.sleep(_REST)
    if peak is not None:
        peak.read()
    peer.reset()
    peer.run(1)
    peer.reset()
