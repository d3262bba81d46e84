"""Which source is meant by what the user typed: arrays, batches, files, a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal

from .array_pairs import ArrayPair
from .csv_chunks import CsvFiles
from .iterators import BatchSource
from .npy_files import NpyFiles
from .parquet_files import ParquetFiles
from .source import Source

__all__ = ["Options", "find_source"]

_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz")
_KINDS = (".npy", ".csv", ".parquet")


@dataclass(frozen=True)
class Options:
    """What `stream` was told beside the source."""

    target: str | int | None = None
    classes: Sequence[str] | None = None
    delimiter: str = ","
    header: bool | Literal["auto"] = "auto"
    encoding: str = "utf-8"

    def require_for(self, what: str, *allowed: str) -> None:
        """Raise ValueError where an option was given that `what` has no use for."""
        for field in fields(self):
            value = getattr(self, field.name)
            is_default = value is field.default or (isinstance(value, str) and value == field.default)
            if field.name not in allowed and not is_default:
                raise ValueError(f"{field.name} is {value!r}, but {what} has no use for it: leave it out")


def find_source(source: Any, options: Options) -> Source:
    """The source that is meant.

    Raises
    ------
    FileNotFoundError, ImportError, TypeError, ValueError
        As `stream` describes them.
    """
    if _is_path(source):
        path = os.fspath(source)
        return _files([(name,) for name in _in_folder(path)] if os.path.isdir(path) else [(path,)], options)
    if isinstance(source, tuple) and any(_is_path(item) for item in source):
        return _files([_pair(source)], options)
    if isinstance(source, list) and source and all(_is_path(item) or _has_path(item) for item in source):
        return _files([(os.fspath(item),) if _is_path(item) else _pair(item) for item in source], options)
    if isinstance(source, tuple):
        options.require_for("a tuple of arrays")
        return ArrayPair(source)
    options.require_for("anything but a file")
    if hasattr(source, "__next__") and not isinstance(source, type):
        return BatchSource(lambda: source, "iterator")
    if isinstance(source, list) and source and all(isinstance(item, tuple) for item in source):
        return BatchSource(lambda: source, "iterable")
    if isinstance(source, list) or hasattr(source, "shape") or hasattr(source, "columns"):
        raise TypeError(f"source is {_described(source)}, and y is missing: pass a tuple (X, y)")
    if isinstance(source, type):
        raise TypeError(f"source is the class {source.__name__}: expected an object; make one, {source.__name__}(...)")
    if callable(source):
        return BatchSource(source, "function")
    if hasattr(source, "__iter__") and not isinstance(source, (bytes, dict, set, frozenset)):
        return BatchSource(lambda: source, "iterable")
    raise TypeError(
        f"source is {_described(source)}: expected an iterator over batches (X, y), a function that returns one, a "
        "tuple of arrays (X, y), or the path of a .npy, CSV or Parquet file"
    )


def _files(groups: list[tuple[str, ...]], options: Options) -> Source:
    kinds = {_kind(path): path for group in groups for path in group}
    if len(kinds) > 1:
        (one, one_path), (other, other_path) = list(kinds.items())[:2]
        raise ValueError(
            f"{one_path} is a {one} file but {other_path} is {other}: expected files of one kind; for some of a folder "
            f"pass a list, such as sorted(pathlib.Path(folder).glob('*{one}'))"
        )
    sizes = {len(group): group for group in groups}
    if len(sizes) > 1:
        raise ValueError("source is a list of tuples of different lengths: expected as many files in each")
    kind = next(iter(kinds))
    if kind == ".npy":
        options.require_for(".npy", "target")
        return NpyFiles(groups, options.target)
    if len(groups[0]) > 1:
        raise ValueError(
            f"source is a tuple of {kind} files: only .npy files come in pairs; for one after the other pass a list"
        )
    paths = [path for (path,) in groups]
    if kind == ".parquet":
        options.require_for("Parquet", "target", "classes")
        return ParquetFiles(paths, options.target, options.classes)
    return CsvFiles(
        paths,
        options.target,
        options.classes,
        delimiter=options.delimiter,
        header=options.header,
        encoding=options.encoding,
    )


def _kind(path: str) -> str:
    """The ending of a file that is there and can be read."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path!r}: {_step(path)}")
    if not os.path.isfile(path):
        raise ValueError(f"{path} is no file: a list holds files, a folder is passed alone")
    ending = os.path.splitext(path)[1].lower()
    if ending in _KINDS:
        return ending
    if ending in _PACKED:
        raise ValueError(f"{path} is packed: unpack it first, since it is read again in each epoch")
    if ending == ".npz":
        raise ValueError(f"{path} is an archive: save its arrays with np.save, each as a .npy file of its own")
    raise ValueError(f"{path} ends with {ending!r}, which is unknown: expected {', '.join(_KINDS)}")


def _step(path: str) -> str:
    if "*" in path or "?" in path:
        return "for all that match pass sorted(glob.glob(...))"
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return f"the folder {folder!r} does not exist either"
    close = get_close_matches(os.path.basename(path), os.listdir(folder), 1)
    return f"did you mean {os.path.join(os.path.dirname(path), close[0])!r}?" if close else "check the path"


def _in_folder(folder: str) -> list[str]:
    names = sorted(name for name in os.listdir(folder) if not name.startswith((".", "_")))
    if not names:
        raise ValueError(f"the folder {folder} is empty: expected {', '.join(_KINDS)} files")
    paths = [os.path.join(folder, name) for name in names]
    inner = next((path for path in paths if os.path.isdir(path)), None)
    if inner is not None:
        raise ValueError(
            f"{folder} holds the folder {os.path.basename(inner)!r}: expected files only; pass a list of those you want"
        )
    return paths


def _pair(item: Any) -> tuple[str, ...]:
    if not 2 <= len(item) <= 3 or not all(_is_path(path) for path in item):
        raise ValueError(f"source holds {item!r}: expected the paths of X and y, perhaps with a third of the weights")
    return tuple(os.fspath(path) for path in item)


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _has_path(value: Any) -> bool:
    return isinstance(value, tuple) and any(_is_path(item) for item in value)


def _described(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
