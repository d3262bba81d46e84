"""Numbers of samples, features and steps, checked: every generator says the same of a wrong one."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["count"]


def count(value: Any, name: str, least: int) -> int:
    """A whole number of at least `least`, as an int.

    Parameters
    ----------
    value : int
    name : str
        Of the argument, for the message.
    least : int

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        Not a whole number, or too small.

    Examples
    --------
    >>> count(0, "n_samples", 1)
    Traceback (most recent call last):
    ValueError: n_samples is 0: expected at least 1
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}: expected a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}: expected at least {least}")
    return int(value)
