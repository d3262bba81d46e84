"""The yardstick: how many multiply-adds a core does right now, since machines are shared and clocks change."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Peak"]

_SECONDS = 0.005  # of one reading


class Peak:
    """The FMA peak of one core in float32, read in between measurements.

    Examples
    --------
    >>> peak = Peak()
    >>> peak.read()
    >>> peak.flops is None or peak.flops > 1e8
    True
    """

    def __init__(self) -> None:
        from ..network.structure import peak_float32

        self._probe: Callable[[int], float] | None = peak_float32
        self._repetitions = 1000
        self.readings: list[float] = []
        if self._probe is not None:
            while (seconds := self._time()[1]) < _SECONDS:
                self._repetitions = int(self._repetitions * min(10.0, 1.2 * _SECONDS / max(seconds, 1e-9))) + 1

    def _time(self) -> tuple[float, float]:
        assert self._probe is not None
        start = time.perf_counter()
        flops = self._probe(self._repetitions)
        return float(flops), time.perf_counter() - start

    def read(self) -> None:
        """Take one reading more."""
        if self._probe is not None:
            flops, seconds = self._time()
            self.readings.append(flops / seconds)

    @property
    def flops(self) -> float | None:
        """The median of the readings, in floating-point operations a second; None without a probe."""
        ordered = sorted(self.readings)
        return ordered[len(ordered) // 2] if ordered else None
