"""What callbacks are given from outside, checked: the state that a resumed fit kept, and paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["read_path", "read_state", "require_folder"]


def read_state(owner: str, state: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]) -> list[Any]:
    """The values of a state_dict in this order, or ValueError where it is not of such a callback."""
    for name, kind in kinds.items():
        # True is an integer to Python.
        if name not in state or not isinstance(state[name], kind) or isinstance(state[name], bool):
            what = f"{name}={state[name]!r}" if name in state else f"no {name!r}"
            raise ValueError(f"the state given to {owner} has {what}: it is not what its state_dict returned")
    return [state[name] for name in kinds]


def read_path(argument: str, path: str | os.PathLike[str]) -> str:
    """A path as a string."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{argument}={path!r} is {type(path).__name__}: expected a path")
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(f"{argument}={path!r} is a path of bytes: expected text")
    if not name:
        raise ValueError(f"{argument}='' is empty: expected a path")
    return name


def require_folder(path: str) -> None:
    """An error where a file could not be written for want of a folder, or since the path is one."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path!r} cannot be written: there is no folder {folder!r}; create it first")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} is a folder: give the path of a file in it")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path!r} is a device or a pipe: give the path of a file")
