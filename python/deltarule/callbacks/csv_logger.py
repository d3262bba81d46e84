"""CSVLogger: the numbers of every epoch as a line of a file, there even if the next epoch never ends."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from .state import read_path, read_state, require_folder

__all__ = ["CSVLogger"]

_LONGEST_LINE = 100_000  # bytes: a file that is no CSV may have no end of line at all


class CSVLogger:
    """A callback that writes a line for each epoch: its number, from 0, and all that the fit logs.

    The first line has the names. Numbers read back to the same bits. A fit that is killed leaves the lines of all its
    finished epochs; where it is resumed, lines after its last checkpoint are dropped and written again.

    Parameters
    ----------
    path : str or path
    append : bool, default=False
        Whether a new fit goes on after the lines that are there, which must have the same names, else it replaces them.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        When the fit begins, where the path's folder does not exist, or the path is a folder.
    ValueError
        When the fit begins, where the path is a device; after the first epoch, where the lines to go on after have
        other names.

    Examples
    --------
    >>> import pathlib
    >>> import deltarule as dr
    >>> from deltarule.callbacks import CSVLogger
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)])
    >>> history = network.fit(X, y, loss="mse", epochs=3, callbacks=[CSVLogger("log.csv")])
    >>> lines = pathlib.Path("log.csv").read_text().splitlines()
    >>> lines[0]
    'epoch,loss,lr,seconds'
    >>> [float(line.split(",")[1]) for line in lines[1:]] == history["loss"]
    True
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = read_path("path", path)
        if not isinstance(append, (bool, np.bool_)):
            raise TypeError(f"append={append!r}: expected True or False")
        self.append = bool(append)
        self._file: TextIO | None = None
        self._writer: Any = None
        self._columns: list[str] = []
        self._lines: int | None = None  # in the file, with that of the names; None where they will be replaced
        self._keep: int | None = None  # of these where a fit is resumed

    def on_fit_begin(self, network: Any) -> None:
        """Look whether the file can be written; nothing of it is changed before the first epoch is over."""
        require_folder(self.path)
        with open(self.path, "ab"):
            pass
        self._lines, self._keep = (_look_at(self.path)[1] if self.append else None), None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write a line."""
        if self._file is None:
            self._open(["epoch", *logs])
        assert self._file is not None
        assert self._lines is not None
        self._writer.writerow([epoch, *(_cell(logs.get(name)) for name in self._columns[1:])])
        self._file.flush()
        self._lines += 1

    def _open(self, columns: list[str]) -> None:
        if self._keep is not None or not self.append:
            _cut(self.path, self._keep or 0)
        names, lines, is_ended = _look_at(self.path)
        found = next(csv.reader([names]), [])
        if names and found != columns:
            raise ValueError(
                f"{self.path!r} has the columns {', '.join(found)[:200]!r}, but this fit logs {', '.join(columns)}: "
                "choose another path, or append=False to replace it"
            )
        self._file = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115 - until the fit ends
        self._writer = csv.writer(self._file, lineterminator="\n")
        if not is_ended:
            self._file.write("\n")
        if not names:
            self._writer.writerow(columns)
        self._columns, self._lines = columns, max(lines, 1)

    def on_fit_end(self, network: Any) -> None:
        """Close the file."""
        file, self._file, self._writer = self._file, None, None
        if file is not None:
            file.close()

    def state_dict(self) -> dict[str, Any]:
        """How many lines the file has."""
        return {"lines": self._lines}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state that a fit kept, after on_fit_begin.

        Parameters
        ----------
        state : mapping of str to int or None
            What state_dict returned.
        """
        (self._keep,) = read_state("CSVLogger", state, {"lines": (int, type(None))})
        self._lines = self._keep  # also of a checkpoint that is written before the next line

    def __repr__(self) -> str:
        return f"CSVLogger({self.path!r}, append={self.append})"


def _cell(value: Any) -> Any:
    """As the csv module writes it with all digits; nothing for a number that only some epochs have."""
    if value is None or isinstance(value, str):
        return value
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _look_at(path: str) -> tuple[str, int, bool]:
    """The first line, how many there are, and whether the last one is ended."""
    lines, last = 0, b"\n"
    with open(path, "rb") as file:
        names = file.readline(_LONGEST_LINE).decode(errors="replace")
        file.seek(0)
        while block := file.read(1 << 20):
            lines, last = lines + block.count(b"\n"), block[-1:]
    is_ended = last == b"\n"
    return names, lines + (not is_ended), is_ended


def _cut(path: str, lines: int) -> None:
    """Keep the first lines of a file, as far as they are complete."""
    with open(path, "r+b") as file:
        end = 0
        while lines > 0 and (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
            lines, end = lines - 1, end + len(line)
        file.truncate(end)
