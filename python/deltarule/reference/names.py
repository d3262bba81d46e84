"""How the reference finds a formula by its name, or builds one from its plain description.

Activations, losses, optimizers and layer types are all looked up here: a misspelt name gets the same help everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

Thing = TypeVar("Thing")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known name the given one was probably meant to be.

    Parameters
    ----------
    name : str
        What was typed.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        The end of an error message.

    Examples
    --------
    >>> did_you_mean("rellu", ["relu", "tanh"])
    "did you mean 'relu'?"
    >>> did_you_mean("x", ["relu", "tanh"])
    'choose one of relu, tanh'
    """
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(names) or '(none)'}"


def find(kind: str, name: str, table: Mapping[str, Thing]) -> Thing:
    """Return what the table holds under a name.

    Parameters
    ----------
    kind : str
        What the table holds, in words, for the error message.
    name : str
        The name looked for.
    table : mapping
        What exists, by name.

    Returns
    -------
    object
        ``table[name]``.

    Raises
    ------
    TypeError
        If the name is no string.
    ValueError
        If there is no such name.

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
