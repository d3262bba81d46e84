"""Types of options: what is typed becomes a value, or one line that says what was expected."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable

__all__ = ["delimiter", "known_name", "positive", "require_folder", "share", "sizes", "whole_from"]


def whole_from(least: int) -> Callable[[str], int]:
    """A whole number of at least so much."""

    def whole(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least {least}")
        return int(text)

    return whole


def positive(text: str) -> float:
    """A number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return number


def share(text: str) -> float:
    """A number in [0, 1)."""
    number = _number(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number in [0, 1)")
    return number


def sizes(text: str) -> tuple[int, ...]:
    """Sizes of hidden layers; none for 0.

    Examples
    --------
    >>> sizes("64,32"), sizes("0")
    ((64, 32), ())
    """
    parts = [part.strip() for part in text.split(",")]
    found = tuple(int(part) if part.isascii() and part.isdecimal() and len(part) < 11 else 0 for part in parts)
    if parts == ["0"]:
        return ()
    if not all(0 < size < 2**31 for size in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of layer sizes: expected for instance 64,64")
    return found


def delimiter(text: str) -> str:
    r"""The character between cells; a tab may be written as \t."""
    character = "\t" if text in ("\\t", "tab") else text
    if len(character) != 1 or character in '"\r\n ':
        raise argparse.ArgumentTypeError(f"{text!r}: expected one character such as ',', ';' or '\\t'")
    return character


def known_name(kind: str) -> Callable[[str], str]:
    """A name that the library knows: of an "activation", an "optimizer" or a "loss"."""

    def name(text: str) -> str:
        from ..names import did_you_mean

        known = _known(kind)
        if text not in known:
            raise argparse.ArgumentTypeError(f"there is no {kind} {text!r} ({did_you_mean(text, known)})")
        return text

    return name


def require_folder(path: str, *read: str) -> None:
    """Refuse a file that could not be written, or is `read`, before the work is done whose result it is for."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ValueError(f"{path}: there is no folder {folder!r}; make it, or choose another place")
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder: give the name of a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path} is no ordinary file: give the name of one")
    for other in read:
        if os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other):
            raise ValueError(f"{path} is to be read and would be written over: give another name to the result")


def _known(kind: str) -> list[str]:
    if kind == "activation":
        from ..layers.names import ALIASES
        from ..network import vocabulary

        known = vocabulary()["activations"]
        return sorted({*known, *(alias for alias, name in ALIASES.items() if name in known)} - {"softmax"})
    if kind == "optimizer":
        from ..optimizers import OPTIMIZERS

        return sorted(OPTIMIZERS)
    from ..losses import LOSSES

    return sorted(LOSSES)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
