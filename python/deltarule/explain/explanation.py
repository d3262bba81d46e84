"""What `explain_step` returns: the sections of a step, written out in several ways, and the numbers of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..names import require_integer
from . import html, latex, text
from .expressions import Quantity
from .steps import Equation, Section

__all__ = ["StepExplanation"]

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, repr=False, eq=False)
class StepExplanation:
    """The result of `explain_step`; printed, one step of training that can be followed by hand.

    Attributes
    ----------
    title : str
        Network, data, loss and optimizer in a line.
    loss, loss_after : float
        Of the batch, before and after the update, penalties included.
    output, output_after : ndarray
        What the network gives, before and after.
    parameters, gradients, updated : dict of str to ndarray
        By the names of `Network.state_dict`; the network itself still has the former.
    settings : dict
        The optimizer's name and hyperparameters.
    sections : tuple
        Forward, loss, backward, gradients, update and what came of it: equation by equation.
    """

    title: str
    loss: float
    loss_after: float
    output: NDArray[Any]
    output_after: NDArray[Any]
    parameters: Arrays
    gradients: Arrays
    updated: Arrays
    settings: dict[str, Any]
    sections: tuple[Section, ...] = field(default=())

    @property
    def promised(self) -> float:
        """By how much the loss would change if it were as straight as its gradient says: Σ dL/dp · (change of p)."""
        return float(
            sum(
                np.vdot(gradient.astype(np.float64), self.updated[name].astype(np.float64) - self.parameters[name])
                for name, gradient in self.gradients.items()
            )
        )

    @property
    def verdict(self) -> str:
        """Whether the loss went down, in words."""
        change = self.loss_after - self.loss
        if not any(gradient.any() for gradient in self.gradients.values()):
            return "All gradients are 0: the network is at a minimum, or where it is flat. There is nothing to follow."
        if change < 0:
            return "The loss went down: this is what the gradient is for. A fit does this again and again."
        if change == 0:
            return "The loss stayed as it is: the step is too small to change it, or it changes nothing that matters."
        if self.promised < 0:
            return (
                "The loss went UP, though it falls at first in this direction: the step is too long; try a smaller lr."
            )
        return "The loss went UP: the optimizer did not follow the gradient downhill in this step."

    def table(self, digits: int = 6) -> str:
        """All equations as aligned plain text, each with its sum written out.

        Parameters
        ----------
        digits : int, default=6
            Significant digits, 1 to 17. Only what is printed is rounded, not what is computed.

        Returns
        -------
        str

        Raises
        ------
        TypeError, ValueError
            If digits is no whole number from 1 to 17.
        """
        return "\n".join(text.lines_of(self.sections, _digits(digits))).rstrip()

    def to_latex(self, digits: int = 6, *, document: bool = False) -> str:
        r"""The same equations in LaTeX, aligned; needs ``\usepackage{amsmath}``.

        Layers stand in square brackets, samples in round and steps in angle ones, where there are several.

        Parameters
        ----------
        digits : int, default=6
            As in `table`.
        document : bool, default=False
            Return a whole document, ready for pdflatex.

        Returns
        -------
        str

        Raises
        ------
        TypeError, ValueError
            If digits is no whole number from 1 to 17.
        """
        body = "\n".join([f"{latex.escaped(self.title)}", *latex.lines_of(self.sections, _digits(digits))])
        return latex.document(body) if document else body

    def to_dict(self) -> dict[str, Any]:
        """Everything at full precision as plain dicts, lists, strings and numbers, which JSON can hold.

        Each section is a list of equations, one flat dict each, as a data frame takes them: "of" ("layer 1, unit 2"),
        "layer", "unit", "sample" and "step" where there are any, "symbol" ("w_12"), "formula", "numbers" (what stands
        in the formula, by full names: a_1[2](3)<4> is of layer 2, sample 3, step 4) and "value". Layers, units,
        samples and steps are counted from 1. Equations of a parameter have "parameter" (its name in the state_dict)
        and "index" (its place there, from 0).
        """
        symbols = text.Text(17)
        return {
            "title": self.title,
            "optimizer": dict(self.settings),
            "loss": self.loss,
            "loss_after": self.loss_after,
            "promised": self.promised,
            "verdict": self.verdict,
            "output": self.output.tolist(),
            "output_after": self.output_after.tolist(),
            **{
                section.name: [_as_dict(equation, symbols) for group in section.groups for equation in group.equations]
                for section in self.sections
                if any(group.equations for group in section.groups)
            },
            **{
                name: {key: array.tolist() for key, array in getattr(self, name).items()}
                for name in ("parameters", "updated")
            },
        }

    def __str__(self) -> str:
        return f"{self.title}\n\n{self.table()}\n\n{self.verdict}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.title)}</p>\n{html.table(self.sections, 6)}\n<p>{escape(self.verdict)}</p>"


def _digits(digits: int) -> int:
    return require_integer("digits", digits, least=1, most=17)


def _as_dict(equation: Equation, symbols: text.Text) -> dict[str, Any]:
    symbol = equation.symbol
    numbers = {text.full_name(quantity): quantity.value for quantity in equation.expression.quantities}
    found: dict[str, Any] = {
        "of": equation.place,
        "layer": symbol.layer,
        "unit": _unit(equation.place),
        "sample": symbol.sample,
        "step": symbol.step,
        "symbol": symbols.symbol(symbol),
        "formula": "" if equation.expression == symbol else symbols.symbols(equation.expression),
        "numbers": {} if isinstance(equation.expression, Quantity) and equation.expression == symbol else numbers,
        "value": symbol.value,
    }
    if equation.parameter:
        name, *place = equation.parameter
        found |= {"parameter": name, "index": place}
    return found


def _unit(place: str) -> int | None:
    _, found, number = place.rpartition("unit ")
    return int(number) if found else None
