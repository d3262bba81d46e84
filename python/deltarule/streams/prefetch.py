"""A thread that reads one chunk ahead while the one before is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread
from typing import Any

__all__ = ["prefetched"]

# How long leaving waits for a source that is in the midst of a batch. Then the thread is left to itself: it ends with
# that batch, and a program that ends does not wait for it.
_PATIENCE = 5.0

_END = object()


@contextmanager
def prefetched(chunks: Iterator[Any], convert: Callable[[Any], Any]) -> Iterator[Iterator[Any]]:
    """Read chunks and convert them on a thread, one ahead of whoever takes them.

    Parameters
    ----------
    chunks : iterator
        Read, and closed in the end where it has a `close`, by the thread alone. Where it has an `interrupt`, that is
        called from outside, so that it ends before its next chunk is complete.
    convert : callable
        Takes a chunk and returns what comes out.

    Yields
    ------
    iterator
        The converted chunks. What `chunks` or `convert` raise is raised here, with its traceback. The next chunk is
        begun when one is taken: never more than one lies ready, and none of them is kept here.

    Notes
    -----
    When the block is left, in whatever way, the thread ends and `chunks` is closed.

    Examples
    --------
    >>> with prefetched(iter([1, 2, 3]), lambda chunk: chunk * 10) as ahead:
    ...     print(list(ahead))
    [10, 20, 30]
    """
    ahead = _Ahead(chunks, convert)
    try:
        yield ahead
    finally:
        ahead.leave()


class _Ahead(Iterator[Any]):
    def __init__(self, chunks: Iterator[Any], convert: Callable[[Any], Any]) -> None:
        self._chunks = chunks
        self._convert = convert
        self._wanted: SimpleQueue[bool] = SimpleQueue()  # one more chunk, or the end
        self._ready: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._is_over = False
        # In the context of the caller, so that numpy.errstate and the like hold for sources as they would without us.
        self._thread = Thread(target=copy_context().run, args=(self._work,), name="deltarule prefetch", daemon=True)
        self._wanted.put(True)
        self._thread.start()

    def __next__(self) -> Any:
        if self._is_over:
            raise StopIteration
        value, error = self._ready.get()
        if error is None and value is not _END:
            self._wanted.put(True)
            return value
        self._is_over = True
        if error is None:
            raise StopIteration
        if isinstance(error, StopIteration):  # raised as it is it would look like the end
            raise RuntimeError("a chunk could not be converted: StopIteration was raised") from error
        try:
            raise error
        finally:
            del error  # its traceback knows this frame: no circle, which would keep arrays alive

    def leave(self) -> None:
        """End the thread."""
        self._is_over = True
        self._wanted.put(False)
        interrupt = getattr(self._chunks, "interrupt", None)
        if interrupt is not None:
            interrupt()
        self._thread.join(_PATIENCE)

    def _work(self) -> None:
        try:
            try:
                while self._wanted.get() and self._read():
                    pass
            finally:
                close = getattr(self._chunks, "close", None)
                if close is not None:
                    close()
        except BaseException as error:  # the consumer is to hear of any
            self._ready.put((None, error))
        else:
            self._ready.put((_END, None))

    def _read(self) -> bool:
        """Make one chunk more, if there is one. When this returns, the queue alone holds it."""
        chunk = next(self._chunks, _END)
        if chunk is _END:
            return False
        self._ready.put((self._convert(chunk), None))
        return True
