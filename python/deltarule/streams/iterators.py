"""Batches that somebody makes: an iterator, a function that returns one for each epoch, a torch DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .chunk import Chunk, checked_chunk, require_same_rows
from .source import Source

__all__ = ["BatchSource"]

_EXPECTED = "expected a tuple (X, y) or (X, y, sample_weight)"


class BatchSource(Source):
    """Batches of any size.

    Parameters
    ----------
    open_batches : callable
        Returns an iterator over batches.
    kind : {"iterator", "function", "iterable"}
        What the user gave; an iterator can be gone through once.
    """

    lends = True  # many a generator fills the same array again and again

    def __init__(self, open_batches: Callable[[], Any], kind: str) -> None:
        self.kind = kind
        self._open = open_batches
        self.can_restart = kind != "iterator"

    def batches(self, rows: int) -> Iterator[Chunk]:
        """As the user cut them; those without rows are left out."""
        made = self._open()
        if isinstance(made, (tuple, dict, str)) or not hasattr(made, "__iter__"):
            raise TypeError(
                f"the {self.kind} gave {type(made).__name__}: expected an iterator over batches; write it with "
                "`yield X, y` for each batch"
            )
        iterator = iter(made)
        try:
            first: tuple[Chunk, str] | None = None
            for number, batch in enumerate(iterator, 1):
                name = f"batch {number}"
                try:
                    chunk = _checked(batch)
                except (TypeError, ValueError) as error:
                    kind = TypeError if isinstance(error, TypeError) else ValueError
                    raise kind(f"{name} of {self}: {error}") from None
                del batch
                first = first or (chunk.part(0, 0), name)
                require_same_rows(chunk, name, *first)
                if chunk.rows:
                    yield chunk
        finally:
            close = getattr(iterator, "close", None)  # generators have files to close
            if close is not None:
                close()

    def identity(self) -> dict[str, Any]:
        """Nothing can be told beforehand."""
        return {}

    def __str__(self) -> str:
        return f"the {self.kind}"


def _checked(batch: Any) -> Chunk:
    if not isinstance(batch, (tuple, list)):
        raise TypeError(f"it is {type(batch).__name__}: {_EXPECTED}")
    if not 2 <= len(batch) <= 3:
        raise ValueError(f"it is a {type(batch).__name__} of {len(batch)}: {_EXPECTED}")
    return checked_chunk(*batch)
