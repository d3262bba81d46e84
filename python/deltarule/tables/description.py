"""A model's columns as JSON, and back: hostile until checked, every key, type, size and number.

To add a kind of column: its class in `_COLUMNS`, with the check of each of its fields in `_CHECKS`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple, TypeVar

from .columns import InputColumn, NumberColumn, TextColumn
from .table import number_in
from .target import ClassTarget, NumberTarget, Target

__all__ = ["Description", "from_json", "to_json"]

_VERSION = 2
_MOST_COLUMNS = 2**31 - 1
_LONGEST = 2**16  # characters of a name, a category or a label: the longest cell that csv reads has twice as many
_COLUMNS: dict[str, type[InputColumn]] = {"number": NumberColumn, "text": TextColumn}
_TARGETS: dict[str, type[Target]] = {"classify": ClassTarget, "regress": NumberTarget}

Thing = TypeVar("Thing")


class Description(NamedTuple):
    """What a network's inputs and outputs mean, and the table that it was trained on.

    Attributes
    ----------
    columns : tuple of NumberColumn or TextColumn
        In the order of the network's inputs.
    target : ClassTarget or NumberTarget
    n_columns : int
        How many the table had, dropped ones and the target among them.
    named : bool
        Whether the table had names.
    """

    columns: tuple[InputColumn, ...]
    target: Target
    n_columns: int
    named: bool


def to_json(description: Description) -> str:
    """The description as text, for `from_json`."""
    columns, target, n_columns, named = description
    return json.dumps(
        {
            "version": _VERSION,
            "n_columns": n_columns,
            "named": named,
            "columns": [{"kind": column.kind, **asdict(column)} for column in columns],
            "target": {"task": target.task, **asdict(target)},
        },
        allow_nan=False,
    )


def from_json(text: str) -> Description:
    """Read and check what `to_json` wrote.

    Raises
    ------
    ValueError
        It is anything else.

    Examples
    --------
    >>> from_json('{"version": 3}')
    Traceback (most recent call last):
    ValueError: the file's description of its columns is of version 3, this deltarule reads version 2: train again
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(f"it is no JSON ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise _damaged("it is no object")
    if found.get("version") != _VERSION:
        version = found.get("version", 1)
        raise ValueError(
            f"the file's description of its columns is of version {str(version)[:20]}, this deltarule reads version "
            f"{_VERSION}: train again"
        )
    _require_keys(found, {"version", "n_columns", "named", "columns", "target"}, "it")
    n_columns, named = found["n_columns"], found["named"]
    if type(n_columns) is not int or not 2 <= n_columns <= _MOST_COLUMNS or type(named) is not bool:
        raise _damaged("n_columns or named is no number of columns or no truth value")
    if not isinstance(found["columns"], list) or not 1 <= len(found["columns"]) < n_columns:
        raise _damaged("columns is no list of columns")
    columns = tuple(_build(one, "kind", _COLUMNS, f"column {i}", n_columns) for i, one in enumerate(found["columns"]))
    target = _build(found["target"], "task", _TARGETS, "the target", n_columns)
    every = [*columns, target]
    if len({one.position for one in every}) < len(every) or len({one.name for one in every}) < len(every):
        raise _damaged("two columns have one name or one position")
    if isinstance(target, ClassTarget) and target.numbers:
        values = [number_in(label) for label in target.labels]
        if any(value is None or not math.isfinite(value) for value in values) or values != sorted(values):  # type: ignore[type-var]
            raise _damaged("the labels of the target are no numbers in order")
    return Description(columns, target, n_columns, named)


def _build(found: Any, key: str, kinds: Mapping[str, type[Thing]], what: str, n_columns: int) -> Thing:
    if not isinstance(found, dict) or not isinstance(found.get(key), str) or found[key] not in kinds:
        raise _damaged(f"{what} has no known {key}")
    kind = kinds[found[key]]
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    _require_keys(found, {key, *names}, what)
    values = {name: found[name] for name in names}
    for name, value in values.items():
        if not _CHECKS[name](value) or (name == "position" and value >= n_columns):
            raise _damaged(f"{what} has the {name} {str(value)[:40]!r}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and not any("\ud800" <= c <= "\udfff" for c in value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _are_texts(value: Any, least: int) -> bool:
    return (
        isinstance(value, list) and least <= len(value) and all(map(_is_text, value)) and len(set(value)) == len(value)
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "position": lambda value: type(value) is int and value >= 0,
    "mean": _is_finite,
    "scale": lambda value: _is_finite(value) and value > 0,
    "categories": lambda value: _are_texts(value, 1),
    "labels": lambda value: _are_texts(value, 2),
    "numbers": lambda value: type(value) is bool,
}


def _require_keys(found: dict[str, Any], expected: set[str], what: str) -> None:
    if set(found) != expected:
        different = sorted(set(found) ^ expected)[:5]
        raise _damaged(f"{what} lacks or should not have {', '.join(map(repr, different))[:200]}")


def _damaged(why: str) -> ValueError:
    return ValueError(f"the file's description of its columns is damaged, {why}: train again")
