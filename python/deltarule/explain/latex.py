r"""An explanation in LaTeX: a section for each part of the step, an align environment for the equations of each layer.

Layers stand in square brackets, samples in round ones, steps in angle ones: a^{[2](3)\langle 4\rangle}_1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .expressions import Expression, Quantity, Sum
from .steps import Equation, Group, Section
from .text import how_of
from .writing import Writing

__all__ = ["LaTeX", "document", "lines_of"]

_LETTERS = {
    "delta": r"\delta",
    "beta1": r"\beta_1",
    "beta2": r"\beta_2",
    "mu1": r"\mu_1",
    "mu2": r"\mu_2",
    "alpha": r"\alpha",
    "rho": r"\rho",
    "eps": r"\varepsilon",
    "mhat": r"\hat m",
    "vhat": r"\hat v",
}
_FUNCTIONS = {
    "exp": ("e^{", "}"),
    "sqrt": (r"\sqrt{", "}"),
    "abs": (r"\lvert ", r"\rvert"),
    "sigmoid": (r"\sigma\left(", r"\right)"),
    "Phi": (r"\Phi\left(", r"\right)"),
    "phi": (r"\varphi\left(", r"\right)"),
    "sign": (r"\operatorname{sign}\left(", r"\right)"),
    "softplus": (r"\operatorname{softplus}\left(", r"\right)"),
}
_RELATIONS = {"<=": r"\le", ">=": r"\ge"}
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "#": r"\#",
    "&": r"\&",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "·": r"$\cdot$",
    "Σ": r"$\Sigma$",
    "²": "$^2$",
}


class LaTeX(Writing):
    """Expressions in LaTeX's mathematics."""

    times = r" \cdot "

    def brackets(self, text: str) -> str:
        return rf"\left({text}\right)"

    def number(self, value: float) -> str:
        mantissa, _, exponent = super().number(value).partition("e")
        if "inf" in mantissa or "nan" in mantissa:
            return mantissa.replace("inf", r"\infty").replace("nan", r"\text{nan}")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa

    def because(self, text: str, why: str) -> str:
        return rf"{text} \quad\text{{as }} {why}"

    def relation(self, relation: str) -> str:
        return _RELATIONS.get(relation, relation)

    def symbol(self, quantity: Quantity) -> str:
        """The name with its layer, sample and step."""
        letter = quantity.letter
        word = _LETTERS.get(letter) or (letter if len(letter) == 1 else rf"\mathrm{{{escaped(letter)}}}")
        marks = ("[{}]", quantity.layer), ("({})", quantity.sample), (r"\langle {}\rangle", quantity.step)
        above = "".join(mark.format(number) for mark, number in marks if number is not None)
        name = word + (f"^{{{above}}}" if above else "") + (f"_{{{quantity.index}}}" if quantity.index else "")
        return {"": name, "gradient": rf"\frac{{\partial L}}{{\partial {name}}}", "slope": f"f'({name})"}[quantity.form]

    def quotient(self, top: Expression, bottom: Expression) -> tuple[str, int]:
        return rf"\frac{{{self._written(top, 1)}}}{{{self._written(bottom, 1)}}}", 2

    def power(self, base: str, exponent: int) -> str:
        return f"{base}^{{{exponent}}}"

    def called(self, function: str, arguments: list[str]) -> str:
        before, after = _FUNCTIONS.get(function, (rf"\{function}\left(", r"\right)"))
        return f"{before}{', '.join(arguments)}{after}"

    def cases(self, branches: list[tuple[str, str]]) -> str:
        rows = (rf"{value} & \text{{{'if ' if condition else 'else'}}} {condition}" for value, condition in branches)
        return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"


def escaped(text: str) -> str:
    """Words for LaTeX's text."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


_TERMS = 5  # of a sum on one line


def lines_of(sections: Iterable[Section], digits: int) -> Iterator[str]:
    """All sections, line by line; for amsmath."""
    latex = LaTeX(digits)
    for section in sections:
        yield rf"\section*{{{escaped(section.title)}}}"
        for group in section.groups:
            yield rf"\subsection*{{{escaped(group.title)}}}"
            yield from (
                rf"\[ {rule.latex} \]" if rule.latex else rf"\noindent {escaped(rule.text)}\par" for rule in group.rules
            )
            yield from _aligned(group, latex)


def _aligned(group: Group, latex: LaTeX) -> Iterator[str]:
    if not group.equations:
        return
    yield r"\begin{align*}"
    last = len(group.equations) - 1
    for number, equation in enumerate(group.equations):
        lines = _equation(equation, latex)
        yield from lines[:-1]
        yield lines[-1] + ("" if number == last else r" \\")
    yield r"\end{align*}"


def _equation(equation: Equation, latex: LaTeX) -> list[str]:
    """One equation; a long sum on several lines."""
    sign = r"\leftarrow" if equation.becomes else "="
    left, value = f"{latex.symbol(equation.symbol)} &{sign} ", f" = {latex.number(equation.symbol.value)}"
    expression = equation.expression
    if not isinstance(expression, Sum) or len(expression.parts) <= _TERMS:
        how = how_of(equation, latex)
        return [f"{left}{how}{value}" if how else f"{left}{value.removeprefix(' = ')}"]
    lines = []
    for start in range(0, len(expression.parts), _TERMS):
        piece = latex.numbers(Sum(expression.parts[start : start + _TERMS]))
        plus = "" if start == 0 or piece.startswith("-") else "+ "
        lines.append((left if start == 0 else r"&\quad {}") + plus + piece + r" \\")
    return [*lines[:-1], lines[-1].removesuffix(r" \\") + value]


def document(body: str) -> str:
    """A whole document around the equations."""
    before = (
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage{amsmath}",
        r"\usepackage[margin=1in]{geometry}",
        r"\allowdisplaybreaks",
        r"\begin{document}",
    )
    return "\n".join([*before, body, r"\end{document}"])
