"""`stream`, and what it returns: a source, and how many of its rows are in memory at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from ..names import require_integer
from .chunk import Chunk
from .finding import Options, find_source
from .shuffle_buffer import in_order, shuffled
from .source import Source

__all__ = ["Chunks", "Stream", "stream"]

_SMALL_PIECE = 64  # rows that are never worth cutting


def stream(
    source: Any,
    *,
    target: str | int | None = None,
    buffer: int = 65_536,
    classes: Sequence[str] | None = None,
    delimiter: str = ",",
    header: bool | Literal["auto"] = "auto",
    encoding: str = "utf-8",
) -> Stream:
    r"""Data that does not fit into memory, for `Network.fit`: read and shuffled chunk by chunk.

    Parameters
    ----------
    source : iterator, function, iterable, tuple of arrays, path or list
        - an iterator over batches ``(X, y)`` or ``(X, y, sample_weight)`` of any sizes; it lasts for one epoch;
        - a function without arguments that returns such an iterator, called for each epoch, such as the name of a
          generator function; or an object that can be gone through again and again, such as a torch DataLoader;
        - a tuple ``(X, y)`` or ``(X, y, sample_weight)`` of anything that can be sliced, such as `numpy.memmap`;
        - ``"data.npy"``, ``"data.csv"`` or ``"data.parquet"``, with the `target` among the columns;
        - a tuple ``("X.npy", "y.npy")`` of files, perhaps with a third for the weights;
        - a list of such files or tuples, read one after the other;
        - a folder, whose files are of one of these kinds and are read in the order of their names. Those that begin
          with "." or "_" are left out.

        X may be sequences, of shape (rows, n_steps, n_features), except in CSV and Parquet files.
    target : str or int, optional
        For files: the column to predict, by name, or by position, where -1 is the last column.
    buffer : int >= 1, default=65_536
        How many rows are held for shuffling. Memory is needed for about twice as many: half of them are being trained
        on, and half are being made ready. A `batch_size` larger than `buffer` takes its place.
    classes : sequence of str, optional
        For CSV and Parquet files: the labels of a target that is text, in the order of the network's outputs. y is the
        position of a row's label here.
    delimiter, header, encoding : optional
        For CSV files, as in `deltarule.datasets.load_csv`.

    Returns
    -------
    Stream
        To be given to `Network.fit` in place of X, without y.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        Parquet files need pyarrow.
    TypeError, ValueError
        A source that is none; files of several kinds, or none at all; files that are damaged or do not fit together; a
        target that is missing. What is wrong with single rows is found when they are read: the message names the
        batch, or the file and the row.

    Notes
    -----
    Shuffling fills the buffer, draws about half of it at random, fills it up and draws again. The order follows from
    the network's seed and the epoch, and each row comes once in an epoch. A row moves by no more than a few times the
    buffer, so rows that are sorted, by class for instance, want a buffer that spans several classes, or to be mixed
    once on the disk. Without shuffling a fit sees the same batches as with all rows in memory, and ends with the same
    bits.

    Files are not trusted: nothing in a .npy file is unpickled, and no header is believed before it was compared with
    the size of the file.

    Examples
    --------
    Batches that are made, or fetched, as they are needed:

    >>> import numpy as np
    >>> import deltarule as dr
    >>> def batches():
    ...     random = np.random.default_rng(0)
    ...     for _ in range(100):
    ...         X = random.normal(size=(500, 3))
    ...         yield X, X.sum(axis=1)
    >>> network = dr.Network([dr.Dense(1)], seed=0)
    >>> history = network.fit(stream(batches, buffer=10_000), loss="mse", optimizer=dr.Adam(lr=0.01), epochs=2)
    >>> history["loss"][-1] < 0.001
    True

    A folder of files. What a fit trains on can be looked at:

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for part in range(3):
    ...     rows = [f"{i},{i * i},{'even' if i % 2 == 0 else 'odd'}\n" for i in range(4 * part, 4 * part + 4)]
    ...     _ = (folder / f"part-{part}.csv").write_text("number,square,kind\n" + "".join(rows))
    >>> numbers = stream(folder, target="kind", classes=["even", "odd"], buffer=8)
    >>> numbers
    Stream(3 CSV files, buffer=8)
    >>> for chunk in numbers.open(epoch=0, batch_size=2, shuffle=False, seed=0):
    ...     print(chunk.X[:, 0], chunk.y)
    [0. 1. 2. 3. 4. 5. 6. 7.] [0 1 0 1 0 1 0 1]
    [ 8.  9. 10. 11.] [0 1 0 1]
    """
    options = Options(target, classes, delimiter, header, encoding)
    return Stream(find_source(source, options), require_integer("buffer", buffer, least=1))


class Stream:
    """Rows that are read when they are needed; made by `stream`.

    Parameters
    ----------
    source : Source
        What is read.
    buffer : int
        How many rows are held for shuffling.
    """

    def __init__(self, source: Source, buffer: int) -> None:
        self._source = source
        self._buffer = buffer
        self._was_opened = False

    @property
    def buffer(self) -> int:
        """How many rows are held for shuffling."""
        return self._buffer

    @property
    def can_restart(self) -> bool:
        """Whether there can be more than one epoch: not where the source is an iterator."""
        return self._source.can_restart

    @property
    def n_samples(self) -> int | None:
        """The number of rows, where it is known beforehand: of arrays, .npy and Parquet files."""
        return self._source.n_samples

    def open(self, epoch: int, *, batch_size: int, shuffle: bool, seed: int) -> Chunks:
        """Read one epoch.

        Parameters
        ----------
        epoch : int >= 0
            Decides the order, together with `seed`.
        batch_size : int >= 1
            Each chunk but the last has a multiple of so many rows.
        shuffle : bool
            Whether the order is drawn at random; else it is that of the source.
        seed : int >= 0

        Returns
        -------
        Chunks
            An iterator over `Chunk`, to be closed where it is not gone through to its end.

        Raises
        ------
        TypeError, ValueError
            Here, an iterator that was opened before; later, rows that are wrong, or no rows at all.

        Examples
        --------
        >>> import numpy as np
        >>> rows = stream((np.eye(3), np.arange(3)), buffer=2)
        >>> [chunk.y.tolist() for chunk in rows.open(0, batch_size=1, shuffle=False, seed=0)]
        [[0, 1], [2]]
        """
        epoch = require_integer("epoch", epoch, least=0, most=2**64 - 1)
        batch_size = require_integer("batch_size", batch_size, least=1)
        seed = require_integer("seed", seed, least=0, most=2**64 - 1)
        if not isinstance(shuffle, (bool, np.bool_)):
            raise TypeError(f"shuffle={shuffle!r}: expected True or False")
        if self._was_opened and not self.can_restart:
            raise ValueError(
                f"{self._source} was gone through already, and can be only once: pass a function that returns a new "
                "iterator for each epoch, such as the generator function itself, or train for one epoch"
            )
        self._was_opened = True
        source, rows = self._source, self._buffer

        def regroup(batches: Iterator[Chunk]) -> Iterator[Chunk]:
            if shuffle:
                return shuffled(batches, rows, batch_size, seed=seed, epoch=epoch, n_samples=source.n_samples)
            return in_order(batches, rows, batch_size, copy=source.lends, n_samples=source.n_samples)

        # A source that is free to choose gives whole chunks in order, and for the buffer pieces that add little to it.
        whole = max(batch_size, rows // batch_size * batch_size)
        piece = min(rows, max(_SMALL_PIECE, rows // 16)) if shuffle else whole
        return Chunks(source.batches(piece), regroup, str(source))

    def fingerprint(self) -> str:
        """What identifies the source, as a short text, without reading its rows.

        Files: names, sizes, times of the last change; of arrays and .npy files also dtypes and shapes. Of an iterator
        or a function nothing is known but that it is one: see `hash_chunk` for the contents.

        Examples
        --------
        >>> import numpy as np
        >>> one, other = stream((np.eye(3), np.arange(3))), stream((np.eye(4), np.arange(4)))
        >>> one.fingerprint() == other.fingerprint()
        False
        """
        facts = {"kind": self._source.kind, "buffer": self._buffer, **self._source.identity()}
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()

    def __repr__(self) -> str:
        samples = "" if self.n_samples is None else f", {self.n_samples:,} samples"
        return f"Stream({self._source}{samples}, buffer={self._buffer})"


class _Interrupted(Exception):  # noqa: N818
    """Somebody asked for the end."""


class _Watched(Iterator[Chunk]):
    """Batches that can be ended from outside; none of them is kept here."""

    def __init__(self, batches: Iterator[Chunk]) -> None:
        self.batches = batches
        self.has_rows = False
        self.is_interrupted = False

    def __next__(self) -> Chunk:
        if self.is_interrupted:
            raise _Interrupted
        batch = next(self.batches)
        self.has_rows = True
        return batch


class Chunks(Iterator[Chunk]):
    """The chunks of one epoch.

    Parameters
    ----------
    batches : iterator of Chunk
        Of the source: a generator.
    regroup : callable
        Takes the batches and returns the chunks: a generator.
    name : str
        What messages call the source.
    """

    def __init__(
        self, batches: Iterator[Chunk], regroup: Callable[[Iterator[Chunk]], Iterator[Chunk]], name: str
    ) -> None:
        self._batches = _Watched(batches)
        self._chunks = regroup(self._batches)
        self._name = name

    def __next__(self) -> Chunk:
        try:
            return next(self._chunks)
        except StopIteration:
            if not self._batches.has_rows:
                raise ValueError(
                    f"{self._name} gave no rows: expected at least one batch; a function has to return a new iterator "
                    "each time that it is called"
                ) from None
            raise
        except _Interrupted:
            self.close()
            raise StopIteration from None

    def interrupt(self) -> None:
        """Ask for the end, from any thread: it comes with the next batch of the source, and closes everything."""
        self._batches.is_interrupted = True

    def close(self) -> None:
        """Close files and generators."""
        self.interrupt()
        for generator in (self._chunks, self._batches.batches):
            generator.close()  # type: ignore[attr-defined]
