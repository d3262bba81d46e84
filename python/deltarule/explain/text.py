"""An explanation as plain text: expressions in one line, equations with their = signs below each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .expressions import Expression, Quantity
from .steps import Equation, Group, Section
from .writing import Writing

__all__ = ["Text", "full_name", "lines_of"]

_WIDTH = 110
_ACCENTS = {"abs": ("|", "|"), "Phi": ("Φ(", ")"), "phi": ("φ(", ")")}
_POWERS = {2: "²", 3: "³"}


class Text(Writing):
    """Expressions as text."""

    def because(self, text: str, why: str) -> str:
        return f"{text}, as {why}"

    def relation(self, relation: str) -> str:
        return relation

    def symbol(self, quantity: Quantity) -> str:
        """The short name, for where layer, sample and step are plain."""
        name = f"{quantity.letter}_{quantity.index}" if quantity.index else quantity.letter
        return {"": name, "gradient": f"dL/d{name}", "slope": f"f'({name})"}[quantity.form]

    def quotient(self, top: Expression, bottom: Expression) -> tuple[str, int]:
        # A negative number on top needs no brackets: -0.5 / 2.
        return f"{self._written(top, 1 if isinstance(top, Quantity) else 2)} / {self._written(bottom, 3)}", 2

    def power(self, base: str, exponent: int) -> str:
        return f"{base}{_POWERS.get(exponent, f'^{exponent}')}"

    def called(self, function: str, arguments: list[str]) -> str:
        before, after = _ACCENTS.get(function, (f"{function}(", ")"))
        return f"{before}{', '.join(arguments)}{after}"

    def cases(self, branches: list[tuple[str, str]]) -> str:
        parts = [f"{value} where {condition}" if condition else f"else {value}" for value, condition in branches]
        return ", ".join(parts)


def full_name(quantity: Quantity) -> str:
    """The name that no other number has: a_1[2](3)<4> is of layer 2, sample 3 and step 4."""
    marks = (("[", quantity.layer, "]"), ("(", quantity.sample, ")"), ("<", quantity.step, ">"))
    return Text(6).symbol(quantity) + "".join(f"{a}{number}{b}" for a, number, b in marks if number is not None)


def lines_of(sections: Iterable[Section], digits: int) -> Iterator[str]:
    """All sections, line by line."""
    text = Text(digits)
    for section in sections:
        yield section.title
        for group in section.groups:
            yield ""
            yield f"  {group.title}"
            yield from (f"    {rule.text}" for rule in group.rules)
            if group.equations and group.rules:
                yield ""
            yield from _aligned(group, text)
        yield ""


def _aligned(group: Group, text: Text) -> Iterator[str]:
    """The equations of a group below each other: where, symbol, how, value."""
    if not group.equations:
        return
    labels = [equation.label for equation in group.equations]
    symbols = [f"{text.symbol(equation.symbol)} {sign_of(equation)} " for equation in group.equations]
    of_label = max(len(label) for label in labels)
    of_symbol = max(len(symbol) for symbol in symbols)
    begin = 4 + (of_label + 3 if of_label else 0) + of_symbol
    how = [wrapped(how_of(equation, text), _WIDTH - begin - 16) for equation in group.equations]
    of_how = max(len(line) for lines in how for line in lines)
    before = ""
    for equation, label, symbol, lines in zip(group.equations, labels, symbols, how, strict=True):
        shown = "" if label == before else label
        before = label
        start = f"    {shown:<{of_label}}{'   ' if of_label else ''}{symbol:>{of_symbol}}"
        value = text.number(equation.symbol.value)
        for number, line in enumerate(lines):
            head = start if number == 0 else " " * begin
            is_last = number == len(lines) - 1
            yield (f"{head}{line:<{of_how}} = {value}" if is_last and line else f"{head}{line or value}").rstrip()


def sign_of(equation: Equation) -> str:
    """What stands between the symbol and the formula."""
    return "←" if equation.becomes else "="


def how_of(equation: Equation, writing: Writing) -> str:
    """How a number comes about: in numbers, or by its name where it is another number as it is."""
    expression = equation.expression
    if expression == equation.symbol:
        return ""  # nothing but the value
    return writing.symbol(expression) if isinstance(expression, Quantity) else writing.numbers(expression)


def wrapped(line: str, width: int) -> list[str]:
    """A long sum in several lines, broken before a + or a - outside of all brackets."""
    terms, depth = [""], 0
    for word in line.split(" "):
        if word in ("+", "-") and depth == 0:
            terms.append(word)
        else:
            terms[-1] += f" {word}" if terms[-1] else word
        depth += word.count("(") - word.count(")")
    lines = terms[:1]
    for term in terms[1:]:
        if len(lines[-1]) + 1 + len(term) > width:
            lines.append(term)
        else:
            lines[-1] += f" {term}"
    return lines
