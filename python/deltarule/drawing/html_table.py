"""Tables for notebooks: plain HTML that needs no style sheet and runs nothing; all text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..layers import Layer, Recurrent, outputs_of

if TYPE_CHECKING:
    from ..network.answers import Answers

__all__ = ["html_table", "network_html"]


def html_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    notes: Sequence[str] = (),
    text_columns: int = 1,
) -> str:
    """Rows of text as an HTML table; all but the first `text_columns` are numbers, which stand to the right.

    Examples
    --------
    >>> html_table(["layer"], [["<b>"]])
    '<table><tr><th style="text-align:left">layer</th></tr><tr><td style="text-align:left">&lt;b&gt;</td></tr></table>'
    """
    sides = ["left" if column < text_columns else "right" for column in range(len(header))]

    def line(tag: str, cells: Sequence[str]) -> str:
        inside = "".join(
            f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>' for side, cell in zip(sides, cells, strict=True)
        )
        return f"<tr>{inside}</tr>"

    above = f'<caption style="text-align:left">{escape(caption)}</caption>' if caption else ""
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<table>{above}{line('th', header)}{''.join(line('td', row) for row in rows)}</table>{below}"


def network_html(network: Answers) -> str:
    """`Network.summary` as an HTML table; of a network that does not know its inputs yet, the layers in words."""
    shape = network.input_shape
    if shape is None:
        return f"<pre>{escape(repr(network))}</pre>"
    units, steps = (shape[1], f"{shape[0] or 'steps'}, ") if isinstance(shape, tuple) else (shape, "")
    inputs = f"{units} inputs at each step" if isinstance(shape, tuple) else f"{units} inputs"
    rows = []
    for number, (layer, count) in enumerate(zip(network.layers, network._sizes_of_layers(), strict=True)):
        units = outputs_of(layer, units)
        if isinstance(layer, Recurrent) and not layer.return_sequences:
            steps = ""
        rows.append([layer.name or str(number), layer.type, _detail(layer), f"(n, {steps}{units})", f"{count:,}"])
    return html_table(
        ["layer", "type", "activation", "output shape", "parameters"],
        rows,
        caption=f"{network.n_parameters:,} parameters, {network.dtype.name}, from {inputs}",
        text_columns=4,
    )


def _detail(layer: Layer) -> str:
    from ..network.answers import _detail  # the words of `Network.summary`

    return _detail(layer)
