"""An explanation as an HTML table, for notebooks: the columns of the printed form, without script or style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from .steps import Group, Section
from .text import Text, how_of, sign_of

__all__ = ["table"]

_LEFT = ' style="text-align: left; white-space: nowrap"'
_HOW = ' style="text-align: left; font-family: monospace"'


def table(sections: Iterable[Section], digits: int) -> str:
    """All sections in one table."""
    text = Text(digits)
    rows = []
    for section in sections:
        rows.append(f'<tr><th colspan="4"{_LEFT}>{escape(section.title)}</th></tr>')
        for group in section.groups:
            rows.extend(_rows(group, text))
    return "\n".join(["<table>", *rows, "</table>"])


def _rows(group: Group, text: Text) -> Iterator[str]:
    rules = "<br>".join(escape(rule.text) for rule in group.rules)
    yield f'<tr><td colspan="4"{_LEFT}><b>{escape(group.title)}</b><br>{rules}</td></tr>'
    for equation in group.equations:
        how = how_of(equation, text)
        cells = (
            f"<td{_LEFT}>{escape(equation.label)}</td>",
            f"<td{_LEFT}>{escape(text.symbol(equation.symbol))} {escape(sign_of(equation))}</td>",
            f"<td{_HOW}>{escape(how)}</td>",
            f"<td{_LEFT}>{'= ' if how else ''}{text.number(equation.symbol.value)}</td>",
        )
        yield f"<tr>{''.join(cells)}</tr>"
