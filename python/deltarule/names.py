"""How a name is found and a number is checked: a misspelt word and a wrong value get the same help everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

Thing = TypeVar("Thing")

__all__ = ["build", "did_you_mean", "find", "require_integer", "require_number"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known name the given one was probably meant to be, as the end of an error message.

    Examples
    --------
    >>> did_you_mean("rellu", ["relu", "tanh"])
    "did you mean 'relu'?"
    >>> did_you_mean("x", ["relu", "tanh"])
    'choose one of relu, tanh'
    """
    from difflib import get_close_matches  # it takes its time to import, and most names are right

    names = list(known)
    close = get_close_matches(name.lower(), names, n=1) or get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(names) or '(none)'}"


def find(kind: str, name: str, table: Mapping[str, Thing]) -> Thing:
    """Return what the table holds under a name, or raise ValueError with the closest name.

    Examples
    --------
    >>> find("colour", "red", {"red": 1})
    1
    """
    if not isinstance(name, str):
        raise TypeError(f"{kind} {name!r} is {type(name).__name__}: expected a name; choose one of {', '.join(table)}")
    if name not in table:
        raise ValueError(f"{kind} {name!r} is unknown: {did_you_mean(name, table)}")
    return table[name]


def build(kind: str, description: str | Mapping[str, Any], classes: Mapping[str, type[Thing]]) -> Thing:
    """Make an object from its name, or from a dict of its name and its parameters.

    Parameters
    ----------
    kind : str
        What is built, in words, for the error message.
    description : str or mapping
        ``"huber"`` or ``{"name": "huber", "delta": 2.0}``. Lists become tuples, since a file knows no tuples.
    classes : mapping
        The classes that exist, by name.

    Returns
    -------
    object
        The object built.

    Raises
    ------
    TypeError
        If the description is neither a name nor a dict.
    ValueError
        If the name or a parameter is unknown, or a parameter is out of its range.

    Examples
    --------
    >>> from deltarule.reference import losses
    >>> build("loss", {"name": "huber", "delta": 2.0}, losses.LOSSES)
    Huber(delta=2.0)
    """
    if isinstance(description, Mapping):
        if "name" not in description:
            raise ValueError(f"{kind} {dict(description)!r} has no 'name': expected for example {{'name': ...}}")
        arguments = {key: value for key, value in description.items() if key != "name"}
        cls = find(kind, description["name"], classes)
    else:
        arguments = {}
        cls = find(kind, description, classes)
    known = [field.name for field in fields(cls)] if is_dataclass(cls) else []
    for key in arguments:
        if key not in known:
            raise ValueError(f"{kind} {description!r} has no parameter {key!r}: {did_you_mean(key, known)}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()})


def require_number(
    argument: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """Return a finite number within bounds as a float: ``least <= value <= most`` and ``above < value < below``.

    Examples
    --------
    >>> require_number("lr", 1, above=0.0)
    1.0
    >>> require_number("lr", -1, above=0.0)
    Traceback (most recent call last):
    ValueError: lr=-1: expected a finite number above 0
    """
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{argument}={value!r}: expected a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isfinite(number) and least <= number <= most and above < number < below:
        return number
    bounds = []
    if above > -math.inf:
        bounds.append(f"above {above:g}")
    if least > -math.inf:
        bounds.append(f"of at least {least:g}")
    if most < math.inf:
        bounds.append(f"of at most {most:g}")
    if below < math.inf:
        bounds.append(f"below {below:g}")
    raise ValueError(f"{argument}={value!r}: expected a finite number {' and '.join(bounds)}".rstrip())


def require_integer(argument: str, value: Any, *, least: int, most: int = 2**63 - 1) -> int:
    """Return an integer within bounds: ``least <= value <= most``.

    Examples
    --------
    >>> require_integer("epochs", 10, least=1)
    10
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument}={value!r}: expected an integer, got {type(value).__name__}")
    number = int(value.__index__())
    if not least <= number <= most:
        raise ValueError(
            f"{argument}={value!r}: expected an integer of at least {least}"
            + (f" and at most {most}" if most < 2**63 - 1 else "")
        )
    return number
