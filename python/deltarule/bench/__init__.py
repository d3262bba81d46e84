"""How fast is it on this machine? Training steps of this library beside those of others, in one run.

cells.py and recurrent_cells.py say what is trained, peers/ who trains it, measure.py how it is timed, table.py how it
is told. Nothing here is imported by `import deltarule`, and no other library before it is measured: `python -m
deltarule bench` starts it.
"""

from __future__ import annotations

from .cells import DENSE_CELLS, Cell, Problem
from .measure import CellResult, Timing, measure
from .peers import FAMILIES, Family, Peer
from .recurrent_cells import RECURRENT_CELLS, RecurrentCell, RecurrentProblem

CELLS: dict[str, Cell] = {**DENSE_CELLS, **RECURRENT_CELLS}

__all__ = [
    "CELLS",
    "DENSE_CELLS",
    "FAMILIES",
    "RECURRENT_CELLS",
    "Cell",
    "CellResult",
    "Family",
    "Peer",
    "Problem",
    "RecurrentCell",
    "RecurrentProblem",
    "Timing",
    "measure",
]
