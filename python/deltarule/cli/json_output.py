"""What `--json` prints: one object, its numbers unrounded, null for what is no finite number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

__all__ = ["DoesNotHoldError", "as_json"]


class DoesNotHoldError(Exception):
    """What was asked for has an answer, and it is no: printed like any answer, and then the exit code is 1.

    Parameters
    ----------
    message : str
    result : dict
        The whole answer.
    """

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        super().__init__(message)
        self.result = result


def as_json(result: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """The object as one line of JSON; other letters than those of ASCII as they are, or as JSON's escapes.

    Examples
    --------
    >>> as_json({"loss": np.float64("nan"), "rows": np.int64(3), "shape": (2, 1), "name": "Å"})
    '{"loss": null, "rows": 3, "shape": [2, 1], "name": "Å"}'
    """
    return json.dumps(_plain(result), allow_nan=False, ensure_ascii=ascii_only)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, PathLike) else value
