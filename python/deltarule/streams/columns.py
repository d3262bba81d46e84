"""Which column of a file is the target, and the text in it as class indices.

A stream cannot know all labels before it has read everything, so they are given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..csv_files import _target_position
from ..names import did_you_mean

__all__ = ["label_numbers", "target_column", "unknown_label"]


def target_column(target: str | int | None, names: Sequence[str], has_names: bool, path: str, pair: str = "") -> int:
    """The position of the target among the columns of a file.

    Parameters
    ----------
    target : str or int or None
        As the user typed it.
    names : sequence of str
        Of the columns; anything where the file has none.
    has_names : bool
    path : str
        What messages call the file.
    pair : str
        What can be done in place of naming a target, as the end of a message.

    Raises
    ------
    TypeError, ValueError
        None, or no such column.
    """
    if target is None:
        raise ValueError(
            f"target is not given, and y is missing: pass the {'name or the ' if has_names else ''}position of its "
            f"column in {path}, such as target=-1 for the last{pair}"
        )
    if isinstance(target, bool) or not isinstance(target, (str, int, np.integer)):
        raise TypeError(f"target is {target!r}: expected the name or the position of a column")
    position = _target_position(target, list(names), has_names, path)
    assert position is not None
    if len(names) < 2:
        raise ValueError(f"{path} has no column beside the target: expected features to learn from")
    return position


def label_numbers(classes: Sequence[str] | None) -> dict[str, int] | None:
    """The position of each label, or None where there are none.

    Raises
    ------
    TypeError
        Not a list of text.
    ValueError
        Fewer than two labels, or one that is there twice.

    Examples
    --------
    >>> label_numbers(["no", "yes"])
    {'no': 0, 'yes': 1}
    """
    if classes is None:
        return None
    if isinstance(classes, np.ndarray):
        classes = classes.tolist()
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise TypeError(f"classes is {classes!r}: expected a list of labels, such as ['no', 'yes']")
    for label in classes:
        if not isinstance(label, str):
            raise TypeError(f"classes holds {label!r}: expected text; leave classes out where the target is a number")
    numbers = {label.strip(): position for position, label in enumerate(classes)}
    if len(numbers) < 2 or len(numbers) < len(classes):
        raise ValueError(f"classes is {list(classes)!r}: expected at least two labels, each of them once")
    return numbers


def unknown_label(label: str, numbers: dict[str, int]) -> str:
    """The end of a message about a label that is not among them."""
    shown = label if len(label) <= 40 else label[:40] + "…"
    return f"has the label {shown!r}, which is not in classes: {did_you_mean(shown, list(numbers)[:20])}"
