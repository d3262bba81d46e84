"""An explanation as data: sections hold groups, a group the equations of one layer, in the order of the chain rule.

Text, LaTeX, HTML and the dict are written from these; none of them knows what a layer is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .expressions import Expression, Quantity

__all__ = ["Equation", "Group", "Row", "Rule", "Section", "Signals", "index", "letter_of"]


class Row(NamedTuple):
    """Which row of a batch: the sample, and of sequences the step; counted from 0."""

    sample: int
    step: int | None = None


Signals = dict[Row, list[Expression]]  # what the units of a layer give, or what is told them on the way back


@dataclass(frozen=True)
class Equation:
    """symbol = expression = value.

    Attributes
    ----------
    place : str
        Where: "layer 1, unit 2".
    label : str
        The same for the printed form, in which the group says the layer: "sample 1, unit 2".
    symbol : Quantity
        What is computed; its value is the one that was computed by the core or the reference.
    expression : Expression
        How, with every number in it.
    becomes : bool
        Whether the symbol takes a new value (←) in place of being equal to it.
    parameter : tuple of str and int, optional
        Which element of which array of the state_dict it is about: ("0.weight", 1, 0).
    """

    place: str
    label: str
    symbol: Quantity
    expression: Expression
    becomes: bool = False
    parameter: tuple[str | int, ...] = ()


class Rule(NamedTuple):
    """A general formula or a remark, as text and as LaTeX; a remark has no LaTeX of its own."""

    text: str
    latex: str = ""


@dataclass(frozen=True)
class Group:
    """The equations of one layer, under the rules that they follow."""

    title: str
    rules: tuple[Rule, ...] = ()
    equations: tuple[Equation, ...] = ()


@dataclass(frozen=True)
class Section:
    """One part of the step: forward, loss, backward, gradients, update, or the proof."""

    name: str
    title: str
    groups: tuple[Group, ...] = field(default=())


def index(*numbers: int) -> str:
    """The index of a symbol, counted from 1: "12" for the second column of the first row, "3,12" where digits run on.

    Examples
    --------
    >>> index(0, 1), index(2, 11)
    ('12', '3,12')
    """
    texts = [str(number + 1) for number in numbers]
    return ("" if all(len(text) == 1 for text in texts) else ",").join(texts)


def letter_of(signals: Signals) -> str:
    """What the units of a layer are called: x of the inputs, a or h of a layer."""
    first = next(iter(signals.values()))[0]
    return first.letter if isinstance(first, Quantity) else "x"
