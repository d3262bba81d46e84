"""Models of the command line: loaded, applied to a table, and told about in words and as plain dicts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from ..network import Network
from ..network.files import read_metadata
from ..tables import TableModel
from ..tables.columns import InputColumn, NumberColumn
from ..tables.model import METADATA_KEY
from ..tables.target import ClassTarget, Target

__all__ = ["columns_of", "load_any", "printable", "tell_columns", "tell_notes"]

_SHOWN = 6  # categories and labels in a line


def load_any(path: str) -> tuple[Network, TableModel | None]:
    """A network of a file, and what its columns mean if `train` wrote it."""
    if METADATA_KEY in read_metadata(path):
        model = TableModel.load(path)
        return model.network, model
    return Network.load(path), None


def tell_columns(columns: Sequence[InputColumn], target: Target) -> list[str]:
    """A line for each column, and one for the target."""
    names = [printable(column.name) for column in (*columns, target)]
    width = min(max(map(len, names)), 30)
    lines = [f"  {name:<{width}}  {_becomes(column)}" for name, column in zip(names, columns, strict=False)]
    if isinstance(target, ClassTarget):
        what = f"one of {len(target.labels)} classes: {_some(target.labels)}"
    else:
        what = f"a number, mean {target.mean:.4g}, standard deviation {target.scale:.4g}"
    return [*lines, f"  {names[-1]:<{width}}  the target, {what}"]


def columns_of(columns: Sequence[InputColumn], target: Target) -> dict[str, Any]:
    """The same as plain dicts."""
    return {
        "task": target.task,
        "target": asdict(target),
        "columns": [{"kind": column.kind, **asdict(column)} for column in columns],
    }


def tell_notes(command: str, notes: Iterable[str]) -> None:
    """Say on stderr what was not taken as it is."""
    for note in notes:
        print(f"deltarule {command}: note: {note}", file=sys.stderr)


def _becomes(column: InputColumn) -> str:
    if isinstance(column, NumberColumn):
        return f"number, mean {column.mean:.4g}, standard deviation {column.scale:.4g}"
    inputs = f"{column.width} input{'s' if column.width > 1 else ''}"
    return f"text, {inputs}, one for each of {_some(column.categories)}"


def _some(words: Sequence[str]) -> str:
    shown = ", ".join(printable(word) or "(empty)" for word in words[:_SHOWN])
    return f"{shown}, …" if len(words) > _SHOWN else shown


def printable(word: str) -> str:
    """A word of a file as a terminal may show it."""
    return word if word.isprintable() else repr(word)
