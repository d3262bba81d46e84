"""How an expression is written out, in symbols or in numbers: the order of operations decides where brackets stand.

text.py and latex.py say how each single thing looks; to add a way of writing, derive from `Writing`.
"""

from __future__ import annotations

from .expressions import (
    Call,
    Cases,
    Condition,
    Expression,
    Negative,
    Number,
    Power,
    Product,
    Quantity,
    Quotient,
    Sum,
)

__all__ = ["Writing"]

_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4  # how firmly the outermost operation of an expression holds together


class Writing:
    """A way of writing: `symbols` gives the formula, `numbers` the same with a number in place of each symbol."""

    negative = "-"

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self._with_numbers = False

    def symbols(self, expression: Expression) -> str:
        """The formula, in all its cases."""
        self._with_numbers = False
        return self._written(expression, _SUM)

    def numbers(self, expression: Expression) -> str:
        """The formula with its numbers; of cases the one that holds, and why."""
        self._with_numbers = True
        if isinstance(expression, Cases):
            chosen, condition = expression.chosen
            others = [other for _, other in expression.branches if other is not None]
            why = self.condition(condition) if condition else self.negation(others)
            return self.because(self._written(chosen, _SUM), why)
        return self._written(expression, _SUM)

    def number(self, value: float) -> str:
        """A number with so many significant digits, and no more than it has."""
        return f"{value + 0.0:.{self.digits}g}"  # + 0.0: no -0

    def condition(self, condition: Condition) -> str:
        """left > right."""
        left, right = self._written(condition.left, _SUM), self._written(condition.right, _SUM)
        return f"{left} {self.relation(condition.relation)} {right}"

    def negation(self, conditions: list[Condition]) -> str:
        """Why the last case holds: the others do not."""
        opposite = {">": "<=", "<": ">=", ">=": "<", "<=": ">"}
        # Of two conditions on one number the last one says it: where z < 3 fails, z <= -3 fails too.
        return self.condition(Condition(conditions[-1].left, opposite[conditions[-1].relation], conditions[-1].right))

    def _written(self, expression: Expression, least: int) -> str:
        """The expression, in brackets if it holds together less firmly than its surroundings need."""
        text, firmness = self._with_firmness(expression)
        return self.brackets(text) if firmness < least else text

    def _with_firmness(self, expression: Expression) -> tuple[str, int]:
        match expression:
            case Number(value) if value < 0:
                return self.negative + self.constant(-value), _SUM
            case Number(value):
                return self.constant(value), _ATOM
            case Quantity() if self._with_numbers:
                text = self.number(expression.value)
                return text, _SUM if text.startswith("-") else _PRODUCT if "cdot" in text else _ATOM
            case Quantity(form=form):
                return self.symbol(expression), _POWER if form == "gradient" else _ATOM  # (dL/dp)²
            case Sum(parts):
                return self._sum(parts), _SUM
            case Product(parts):
                return self.times.join(self._written(part, _POWER) for part in parts), _PRODUCT
            case Quotient(top, bottom):
                return self.quotient(top, bottom)
            case Power(base, exponent):
                return self.power(self._written(base, _ATOM), exponent), _POWER
            case Negative(Quantity(number=number)) if self._with_numbers:
                return self._with_firmness(Quantity("", number=-number))  # exp(0.5), not exp(-(-0.5))
            case Negative(inside):
                return self.negative + self._written(inside, _PRODUCT), _SUM
            case Call(parts, function):
                return self.called(function, [self._written(part, _SUM) for part in parts]), _ATOM
            case Cases():
                return self._cases(expression)
        raise TypeError(f"{type(expression).__name__} is not known here")

    def _sum(self, parts: tuple[Expression, ...]) -> str:
        text = ""
        for part in parts:
            if isinstance(part, Negative):
                text += f" - {self._written(part.inside, _PRODUCT)}" if text else self._written(part, _SUM)
                continue
            written = self._written(part, _SUM if not text or isinstance(part, Quantity | Number) else _PRODUCT)
            if text:
                # A negative number is taken away: 1 - 0.5, not 1 + (-0.5).
                text += f" - {written[1:]}" if written.startswith("-") else f" + {written}"
            else:
                text = written
        return text

    def _cases(self, expression: Cases) -> tuple[str, int]:
        if self._with_numbers:
            return self._with_firmness(expression.chosen[0])
        return (
            self.cases(
                [
                    (self._written(value, _SUM), self.condition(condition) if condition else "")
                    for value, condition in expression.branches
                ]
            ),
            _SUM,
        )

    # What each way of writing has of its own.

    times = "·"

    def brackets(self, text: str) -> str:
        return f"({text})"

    def because(self, text: str, why: str) -> str:
        raise NotImplementedError

    def relation(self, relation: str) -> str:
        raise NotImplementedError

    def constant(self, value: float) -> str:
        """A constant of a formula, which is not rounded further than it can be read."""
        return f"{value:.{max(self.digits, 6)}g}"

    def symbol(self, quantity: Quantity) -> str:
        raise NotImplementedError

    def quotient(self, top: Expression, bottom: Expression) -> tuple[str, int]:
        raise NotImplementedError

    def power(self, base: str, exponent: int) -> str:
        raise NotImplementedError

    def called(self, function: str, arguments: list[str]) -> str:
        raise NotImplementedError

    def cases(self, branches: list[tuple[str, str]]) -> str:
        raise NotImplementedError
