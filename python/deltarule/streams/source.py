"""What a stream reads from. A new kind of source is a class like those beside this file: see `Source`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from .chunk import Chunk

__all__ = ["FileSource", "Source"]


class Source(ABC):
    """Rows in an order of their own.

    Attributes
    ----------
    kind : str
        What it is, in a word.
    can_restart : bool
        Whether `batches` can be called more than once.
    n_samples : int or None
        None where it is known only in the end.
    lends : bool
        Whether the arrays of a batch may change while the next one is read, so that they have to be copied.
    """

    kind: str
    can_restart: bool = True
    n_samples: int | None = None
    lends: bool = False

    @abstractmethod
    def batches(self, rows: int) -> Iterator[Chunk]:
        """All rows from the first on, checked, in batches that have some: at most `rows` if the source can choose."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What tells the source from others without reading all of it: numbers and text, in dicts and lists."""

    @abstractmethod
    def __str__(self) -> str:
        """What messages call it."""


class FileSource(Source):
    """Files on a disk.

    Parameters
    ----------
    paths : sequence of str
        All that are read, in order.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)

    def identity(self) -> dict[str, Any]:
        """Names, sizes and times of the last change, as they are now."""
        facts = ((os.path.basename(path), os.stat(path)) for path in self.paths)
        return {"files": [[name, about.st_size, about.st_mtime_ns] for name, about in facts]}

    def __str__(self) -> str:
        return self.paths[0] if len(self.paths) == 1 else f"{len(self.paths)} {self.kind} files"
