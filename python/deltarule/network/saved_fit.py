"""A fit that survives being killed: all that it needs to go on with the same bits, in one file, whole or not there.

A safetensors file: arrays by the names of the parameters, everything else as JSON metadata, a digest of both. What is
read is checked to be whole, and of the same network, data and settings, before anything is changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks.state import read_path
from .files import write_whole

if TYPE_CHECKING:
    from .structure import Array

__all__ = ["Saved", "SavedFit", "read_every", "require_same"]

_FORMAT = "deltarule.fit"
_VERSION = 1
_KINDS: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "dict": dict, "list": list, "str": str}


@dataclass
class Saved:
    """Where a fit stands; the fields but `arrays` are JSON."""

    fingerprint: dict[str, str]  # of what must be the same to go on, by its name
    epochs_done: int  # of this fit
    epochs_trained: int  # of the network, in all fits
    step: int  # of the epoch under way, with the sums of the losses so far
    loss_sum: float
    weight_sum: float
    first_step: int  # of that epoch, counted over all
    seconds: float
    stopped_by: list[int]  # who has asked for the end: places among `callbacks`, -1 for one without a state
    columns: dict[str, list[float]]
    carry: list[float]  # of the optimizer
    average_steps: int
    schedule: dict[str, Any]
    callbacks: list[Any]  # of each the part of its state that is no array, or None
    digest_of_stream: str  # of what was read in the epoch under way
    beginning_of_stream: list[Any]  # the first epoch, and the digest of its first chunk
    arrays: dict[str, Array] = field(default_factory=dict)  # "parameters/0.weight", "optimizer/exp_avg/0.weight", …


class SavedFit:
    """The file.

    Parameters
    ----------
    path : str or path
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = read_path("checkpoint", path)
        folder = os.path.dirname(os.path.abspath(self.path))
        if os.path.isdir(self.path):
            raise IsADirectoryError(f"checkpoint={self.path!r} is a folder: give the path of a file in it")
        if os.path.exists(self.path) and not os.path.isfile(self.path):  # a device would be replaced, a pipe waited for
            raise ValueError(f"checkpoint={self.path!r} is no regular file: give the path of one, or of one to be made")
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f"checkpoint={self.path!r} cannot be written: there is no folder {folder!r}; create it first"
            )
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(
                f"checkpoint={self.path!r} cannot be written: nothing may be written into {folder!r}; choose another "
                "folder, or ask for the permission"
            )

    def write(self, saved: Saved) -> None:
        """Replace what is there."""
        from safetensors.numpy import save

        numbers = {item.name: getattr(saved, item.name) for item in fields(saved) if item.name != "arrays"}
        text = json.dumps(numbers)
        described = json.dumps({"version": _VERSION, "digest": _digest(text, saved.arrays), "numbers": text})
        # Under one name until it is whole: what a killed run has left behind is written over by the next.
        folder, name = os.path.split(os.path.abspath(self.path))
        beside = os.path.join(folder, f".{name}.part")
        write_whole(self.path, save(saved.arrays, metadata={_FORMAT: described}), temporary=beside)

    def read(self) -> Saved | None:
        """What is there, checked to be whole; None where there is nothing."""
        from safetensors import SafetensorError, safe_open

        if not os.path.exists(self.path):
            return None
        try:
            with open(self.path, "rb"):
                pass  # safetensors says of a file that may not be read that it is not there
        except PermissionError as error:
            raise PermissionError(
                f"checkpoint={self.path!r} may not be read by this user: ask for the permission, or begin again with "
                "resume=False"
            ) from error
        try:
            with safe_open(self.path, framework="numpy") as file:
                text = (file.metadata() or {}).get(_FORMAT)
                if text is None:
                    raise ValueError("it is no checkpoint of deltarule's fit")
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            return _parsed(text, arrays)
        except (SafetensorError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:
            # TypeError, AttributeError: numbers of a type that NumPy does not have, such as float8
            raise ValueError(
                f"checkpoint={self.path!r} cannot be read: {error}; delete it, or begin again with resume=False"
            ) from error


def _parsed(text: str, arrays: dict[str, Array]) -> Saved:
    described = json.loads(text)
    if not isinstance(described, dict) or set(described) != {"version", "digest", "numbers"}:
        raise ValueError("its description is damaged")
    if described["version"] != _VERSION:
        raise ValueError(f"its format is {described['version']!r}, not {_VERSION}: it is of another version")
    if not isinstance(described["numbers"], str) or described["digest"] != _digest(described["numbers"], arrays):
        raise ValueError("its content does not agree with its digest: it is damaged")
    numbers = json.loads(described["numbers"])
    expected = {item.name: str(item.type).split("[")[0] for item in fields(Saved) if item.name != "arrays"}
    if not isinstance(numbers, dict) or set(numbers) != set(expected):
        raise ValueError("its numbers are not those of a fit")
    for name, kind in expected.items():
        value = numbers[name]
        if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise ValueError(f"{name} is {value!r}")
        if kind == "int" and not 0 <= value < 2**62:
            raise ValueError(f"{name} is {value!r}")
        if kind == "float":
            (numbers[name],) = _floats(name, [value], 1)
    beginning = numbers["beginning_of_stream"]
    if beginning and not (len(beginning) == 2 and type(beginning[0]) is int and 0 <= beginning[0] < 2**62):
        raise ValueError(f"beginning_of_stream is {str(beginning)[:100]}")
    if not all(type(place) is int and -1 <= place < len(numbers["callbacks"]) for place in numbers["stopped_by"]):
        raise ValueError(f"stopped_by is {str(numbers['stopped_by'])[:100]}")
    numbers["carry"] = _floats("carry", numbers["carry"], None)
    for name, column in numbers["columns"].items():
        numbers["columns"][name] = _floats(f"{name} of its history", column, numbers["epochs_done"])
    return Saved(**numbers, arrays=arrays)


def _floats(name: str, values: Any, count: int | None) -> list[float]:
    """A list of so many numbers, NaN and infinities among them."""
    if not isinstance(values, list) or any(type(value) not in (int, float) for value in values):
        raise ValueError(f"{name} is no list of numbers")
    if count is not None and len(values) != count:
        raise ValueError(f"{name} has {len(values)} numbers: expected {count}")
    try:
        return [float(value) for value in values]
    except OverflowError:
        raise ValueError(f"{name} has a number that is too large") from None


def _digest(text: str, arrays: Mapping[str, Array]) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def require_same(path: str, here: Mapping[str, str], there: Mapping[str, Any]) -> None:
    """ValueError with both fingerprints where a checkpoint is of something else."""
    for what, own in here.items():
        found = there.get(what)
        if own != found:
            raise ValueError(
                f"checkpoint={path!r} is of another fit: the fingerprint of its {what} is {str(found)[:64]}, that of "
                f"this fit's is {own}; go on with what it was written for, or begin anew with another path or "
                "resume=False"
            )


def read_every(every: Any) -> tuple[int, int]:
    """`checkpoint_every` as (epochs, steps), of which one is 0."""
    if isinstance(every, str):
        found = re.fullmatch(r"\s*([0-9]{1,15})\s+steps?\s*", every)
        if found is None or int(found[1]) < 1:
            raise ValueError(f"checkpoint_every={every!r}: expected a number of epochs, or a text such as '500 steps'")
        return 0, int(found[1])
    if isinstance(every, bool) or not hasattr(every, "__index__"):
        raise TypeError(f"checkpoint_every={every!r}: expected a number of epochs, or a text such as '500 steps'")
    if every.__index__() < 1:
        raise ValueError(f"checkpoint_every={every!r}: expected at least 1")
    return int(every.__index__()), 0
