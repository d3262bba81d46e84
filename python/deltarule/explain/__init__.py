"""One step of training with every number of it: forward, loss, backward, gradients, update, in the chain rule's order.

explain.py is the way in; steps.py and expressions.py are an explanation as data; text.py, latex.py and html.py write
it. To add a layer, activation, loss, cell or optimizer, see the modules of their names.
"""

from __future__ import annotations

from .explain import explain_step
from .explanation import StepExplanation

__all__ = ["StepExplanation", "explain_step"]
