"""Model files: safetensors with the parameters, and JSON metadata with the spec. Hostile until checked.

The header is checked against the spec, name by name and shape by shape, before memory is taken for a single number.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..layers import layer_from_spec, outputs_of, tensor_shapes
from ..losses import Loss, loss_from_spec

if TYPE_CHECKING:
    from .structure import Structure

    N = TypeVar("N", bound=Structure)

__all__ = ["load", "read_metadata", "save", "write_whole"]

_FORMAT = "deltarule"
_VERSION = 1
_DTYPES = {"F32": "float32", "F64": "float64"}


def save(network: Structure, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """`Network.save`; whatever else a caller wants to keep with the model is `metadata`, for `read_metadata`."""
    from safetensors.numpy import save as to_bytes

    description = {
        "version": _VERSION,
        "spec": network.spec(),
        "loss": network.loss.to_spec() if isinstance(network.loss, Loss) else None,
        "epochs_trained": network.epochs_trained,
        "metadata": dict(metadata or {}),
    }
    # One key: safetensors writes several in a random order, and one network makes one file, to the last bit.
    write_whole(path, to_bytes(network.state_dict(), metadata={_FORMAT: json.dumps(description)}))


def write_whole(path: str | os.PathLike[str], content: bytes, temporary: str | None = None) -> None:
    """Write a file so that it is there complete or not at all, whatever happens in between.

    `temporary` is where it stands until then, in the same folder; by default under a name that nobody else has.
    """
    target = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(target))
    if os.path.exists(target) and not os.path.isfile(target):
        kind = IsADirectoryError if os.path.isdir(target) else ValueError
        raise kind(f"{target!r} is no file that could be replaced: give another path")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{target!r} cannot be written: there is no folder {folder!r}; create it first")
    if temporary is None:
        temporary = os.path.join(folder, f".deltarule-{secrets.token_hex(8)}")
    elif os.path.lexists(temporary):
        os.unlink(temporary)  # of somebody who was killed
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)  # less what the umask takes
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _flush_folder(folder)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _flush_folder(folder: str) -> None:
    """The new name is on the disk, too; where the system offers it."""
    flags = getattr(os, "O_DIRECTORY", None)
    if flags is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems know no such thing
        pass
    finally:
        os.close(descriptor)


def load(kind: type[N], path: str | os.PathLike[str]) -> N:
    """`Network.load`."""
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    if os.path.isdir(name):
        raise IsADirectoryError(f"{name!r} is a folder: give the path of a model file")
    if not os.path.exists(name):
        raise FileNotFoundError(f"there is no file {name!r}")
    try:
        with safe_open(name, framework="numpy") as file:
            network = _described(kind, file, name)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(f"{name!r} is no readable safetensors file: {error}; save the model again") from error
    for key, array in state.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name!r}: {key} holds numbers that are not finite; the file is damaged")
    try:
        network.load_state_dict(state)
    except ValueError as error:  # a variance below 0: all else is as the spec says
        raise ValueError(f"{name!r} cannot be loaded: {error}; the file is damaged") from error
    return network


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What `save` was given as metadata; {} where it was given none. Unchecked: the caller knows what it expects."""
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    if os.path.isdir(name):
        raise IsADirectoryError(f"{name!r} is a folder: give the path of a model file")
    if not os.path.exists(name):
        raise FileNotFoundError(f"there is no file {name!r}")
    try:
        with safe_open(name, framework="numpy") as file:
            found = _description(file, name)["metadata"]
    except SafetensorError as error:
        raise ValueError(f"{name!r} is no readable safetensors file: {error}; save the model again") from error
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _described(kind: type[N], file: Any, name: str) -> N:
    """The network of the metadata, without its parameters, once the header agrees with it."""
    description = _description(file, name)
    try:
        _check_header(description["spec"], file)
        network = kind.from_spec(description["spec"], initialize=False)
        network.loss = None if description["loss"] is None else loss_from_spec(description["loss"])
        network.epochs_trained = _count(description["epochs_trained"])
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name!r} cannot be loaded: {error}") from error
    return network


def _description(file: Any, name: str) -> dict[str, Any]:
    """What `save` wrote beside the arrays; only its keys are checked."""
    text = (file.metadata() or {}).get(_FORMAT)
    if text is None:
        raise ValueError(
            f"{name!r} is no model of deltarule: its metadata has no {_FORMAT!r}; to read plain arrays use safetensors"
        )
    try:
        description = json.loads(text)
        if not isinstance(description, dict) or description.get("version") != _VERSION:
            raise ValueError(f"its format is not version {_VERSION}: it needs another version of deltarule")
        if set(description) != {"version", "spec", "loss", "epochs_trained", "metadata"}:
            raise ValueError(f"its description has the keys {sorted(description)}")
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name!r} cannot be loaded: {error}") from error
    return description


def _check_header(spec: Any, file: Any) -> None:
    """Compare what the spec promises with what the file has, with Python's integers, which do not overflow."""
    expected: dict[str, tuple[list[int], str]] = {}
    if (
        not isinstance(spec, dict)
        or not isinstance(spec.get("layers"), list)
        or not isinstance(spec.get("input_shape"), list)
    ):
        raise ValueError("its spec has no layers or no input_shape")
    dtype = spec.get("dtype")
    inputs = spec["input_shape"][-1] if len(spec["input_shape"]) in (1, 2) else None
    if type(inputs) is not int or inputs < 1:
        raise ValueError(f"its spec has {inputs!r} inputs")
    for number, description in enumerate(spec["layers"]):
        layer = layer_from_spec(description)
        for name, shape in tensor_shapes(layer, inputs).items():
            expected[f"{layer.name or number}.{name}"] = (list(shape), str(dtype))
        inputs = outputs_of(layer, inputs)
    found = {}
    for key in file.keys():  # noqa: SIM118 - no mapping
        part = file.get_slice(key)
        found[key] = (list(part.get_shape()), _DTYPES.get(part.get_dtype(), part.get_dtype()))
    if found != expected:
        differing = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))[:5]
        raise ValueError(
            "its arrays are not those of its spec: "
            + ", ".join(
                f"{key} is {found.get(key, 'missing')}, expected {expected.get(key, 'none')}" for key in differing
            )
        )


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError(f"epochs_trained is {value!r}")
    return value
