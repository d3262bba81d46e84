"""How fast is it on this machine? Training steps of this library beside those of others, in one run.

cells.py says what is trained, peers/ who trains it, measure.py how it is timed, table.py how it is told. Nothing here
is imported by `import deltarule`, and no other library before it is measured: `python -m deltarule bench` starts it.
"""

from __future__ import annotations

from .cells import CELLS, Cell, Problem
from .measure import CellResult, Timing, measure
from .peers import FAMILIES, Family, Peer

__all__ = ["CELLS", "FAMILIES", "Cell", "CellResult", "Family", "Peer", "Problem", "Timing", "measure"]
