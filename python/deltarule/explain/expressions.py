"""Formulas as data: what stands on one line of an explanation, with its symbols and its numbers.

Written as formulas are, ``1 / (1 + call("exp", -z))``; text.py and latex.py write them out, in symbols or numbers, and
`value` computes them. To add a function that formulas may call, give it a row in FUNCTIONS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

__all__ = [
    "FUNCTIONS",
    "Call",
    "Cases",
    "Condition",
    "Expression",
    "Negative",
    "Number",
    "Power",
    "Product",
    "Quantity",
    "Quotient",
    "Sum",
    "call",
    "cases",
    "total",
]


def _exp(z: float) -> float:
    try:
        return math.exp(z)
    except OverflowError:
        return math.inf


FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": _exp,
    "log": lambda z: math.log(z) if z > 0 else -math.inf,
    "sqrt": math.sqrt,
    "abs": abs,
    "max": max,
    "min": min,
    "sign": lambda z: float((z > 0) - (z < 0)),
    "tanh": math.tanh,
    "cosh": math.cosh,
    "sin": math.sin,
    "cos": math.cos,
    "sigmoid": lambda z: 1 / (1 + _exp(-z)),
    "softplus": lambda z: math.log1p(_exp(z)),
    "Phi": lambda z: 0.5 * math.erfc(-z / math.sqrt(2)),  # the normal distribution function
    "phi": lambda z: _exp(-0.5 * z * z) / math.sqrt(2 * math.pi),  # its density
}


class Expression:
    """A formula; numbers may stand on either side of an operator."""

    @property
    def value(self) -> float:
        """What comes out."""
        raise NotImplementedError

    @property
    def quantities(self) -> Iterable[Quantity]:
        """The named numbers in it, from left to right."""
        return ()

    def __add__(self, other: Expression | float) -> Expression:
        return Sum((self, _of(other)))

    def __radd__(self, other: float) -> Expression:
        return Sum((_of(other), self))

    def __sub__(self, other: Expression | float) -> Expression:
        return Sum((self, Negative(_of(other))))

    def __rsub__(self, other: float) -> Expression:
        return Sum((_of(other), Negative(self)))

    def __mul__(self, other: Expression | float) -> Expression:
        return Product((self, _of(other)))

    def __rmul__(self, other: float) -> Expression:
        return Product((_of(other), self))

    def __truediv__(self, other: Expression | float) -> Expression:
        return Quotient(self, _of(other))

    def __rtruediv__(self, other: float) -> Expression:
        return Quotient(_of(other), self)

    def __pow__(self, exponent: int) -> Expression:
        return Power(self, exponent)

    def __neg__(self) -> Expression:
        return Negative(self)


def _of(thing: Expression | float) -> Expression:
    return thing if isinstance(thing, Expression) else Number(float(thing))


@dataclass(frozen=True)
class Number(Expression):
    """A constant of a formula."""

    constant: float

    @property
    def value(self) -> float:
        return self.constant


@dataclass(frozen=True)
class Quantity(Expression):
    """A number with a name: a weight, a sum, an activation, a derivative.

    Attributes
    ----------
    letter, index : str
        What it is and which of them: "w" and "12".
    value : float
    layer, sample, step : int, optional
        Where it belongs, counted from 1.
    form : str
        "" for the number itself, "gradient" for the derivative of the loss by it, "slope" for f' of it.
    """

    letter: str
    index: str = ""
    number: float = math.nan
    layer: int | None = None
    sample: int | None = None
    step: int | None = None
    form: str = ""

    @property
    def value(self) -> float:
        return self.number

    @property
    def quantities(self) -> Iterable[Quantity]:
        return (self,)

    def gradient(self, value: float = math.nan) -> Quantity:
        """The derivative of the loss by it."""
        return replace(self, form="gradient", number=float(value))

    def slope(self, value: float = math.nan) -> Quantity:
        """The slope of the activation at it."""
        return replace(self, form="slope", number=float(value))


@dataclass(frozen=True)
class _Several(Expression):
    parts: tuple[Expression, ...]

    @property
    def quantities(self) -> Iterable[Quantity]:
        return tuple(quantity for part in self.parts for quantity in part.quantities)


@dataclass(frozen=True)
class Sum(_Several):
    """The sum of its parts."""

    @property
    def value(self) -> float:
        return sum(part.value for part in self.parts)

    def __add__(self, other: Expression | float) -> Expression:
        return Sum((*self.parts, _of(other)))

    def __sub__(self, other: Expression | float) -> Expression:
        return Sum((*self.parts, Negative(_of(other))))


@dataclass(frozen=True)
class Product(_Several):
    """The product of its parts."""

    @property
    def value(self) -> float:
        return math.prod(part.value for part in self.parts)

    def __mul__(self, other: Expression | float) -> Expression:
        return Product((*self.parts, _of(other)))


@dataclass(frozen=True)
class Quotient(Expression):
    """top / bottom."""

    top: Expression
    bottom: Expression

    @property
    def value(self) -> float:
        top, bottom = self.top.value, self.bottom.value
        return top / bottom if bottom else math.copysign(math.inf, top) if top else math.nan

    @property
    def quantities(self) -> Iterable[Quantity]:
        return (*self.top.quantities, *self.bottom.quantities)


@dataclass(frozen=True)
class Power(Expression):
    """base to a whole power."""

    base: Expression
    exponent: int

    @property
    def value(self) -> float:
        return float(self.base.value**self.exponent)

    @property
    def quantities(self) -> Iterable[Quantity]:
        return self.base.quantities


@dataclass(frozen=True)
class Negative(Expression):
    """-inside."""

    inside: Expression

    @property
    def value(self) -> float:
        return -self.inside.value

    @property
    def quantities(self) -> Iterable[Quantity]:
        return self.inside.quantities


@dataclass(frozen=True)
class Call(_Several):
    """A function of FUNCTIONS, called with the parts."""

    function: str

    @property
    def value(self) -> float:
        return float(FUNCTIONS[self.function](*(part.value for part in self.parts)))


def call(function: str, *arguments: Expression | float) -> Call:
    """A function's value.

    Examples
    --------
    >>> call("max", 0.0, Number(2.5)).value
    2.5
    """
    return Call(tuple(_of(argument) for argument in arguments), function)


@dataclass(frozen=True)
class Condition:
    """left (relation) right, where the relation is one of >, <, >=, <=."""

    left: Expression
    relation: str
    right: Expression

    @property
    def holds(self) -> bool:
        left, right = self.left.value, self.right.value
        return {">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[self.relation]


@dataclass(frozen=True)
class Cases(Expression):
    """The first branch whose condition holds; the last branch has none."""

    branches: tuple[tuple[Expression, Condition | None], ...]

    @property
    def chosen(self) -> tuple[Expression, Condition | None]:
        """The branch that holds for the numbers."""
        return next(branch for branch in self.branches if branch[1] is None or branch[1].holds)

    @property
    def value(self) -> float:
        return self.chosen[0].value

    @property
    def quantities(self) -> Iterable[Quantity]:
        branch, condition = self.chosen
        of_condition = () if condition is None else (*condition.left.quantities, *condition.right.quantities)
        return (*branch.quantities, *of_condition)


def cases(*branches: Any, otherwise: Expression | float) -> Cases:
    """A formula in cases, each ``(value, left, relation, right)``, and what holds otherwise.

    Examples
    --------
    >>> z = Quantity("z", "1", -2.0)
    >>> cases((z, z, ">", 0), otherwise=0.01 * z).value
    -0.02
    """
    found = [(_of(value), Condition(_of(left), relation, _of(right))) for value, left, relation, right in branches]
    return Cases((*found, (_of(otherwise), None)))


def total(terms: Iterable[Expression]) -> Expression:
    """The sum of any number of terms; of one it is this one, of none 0."""
    parts = tuple(part for term in terms for part in (term.parts if isinstance(term, Sum) else (term,)))
    return parts[0] if len(parts) == 1 else Sum(parts) if parts else Number(0.0)
