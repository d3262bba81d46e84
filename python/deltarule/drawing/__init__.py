"""Pictures with matplotlib, the optional extra [plot], and tables for notebooks.

A picture is a file here with one function that draws into the Axes it is given, or into a figure of its own, and
returns the Axes; canvas.py has what they share. Nothing is shown, and no setting of matplotlib's is changed.
"""

from __future__ import annotations

from .decision_boundary import plot_decision_boundary

__all__ = ["plot_decision_boundary"]
