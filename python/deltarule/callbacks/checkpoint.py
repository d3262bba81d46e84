"""Checkpoint: the network as a file, every few epochs or whenever it is the best so far."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING, Any

from ..names import did_you_mean, require_integer
from .monitor import Monitor
from .state import read_path, read_state, require_folder

if TYPE_CHECKING:
    from ..network import Network

__all__ = ["Checkpoint"]


class Checkpoint:
    """A callback that saves the network every few epochs, whole or not at all: on a full disk the last file stays.

    For a fit that goes on after a crash to the same bits, use ``fit(checkpoint=…, resume=True)``, which also keeps the
    optimizer and the callbacks; these files are networks for `Network.load`.

    Parameters
    ----------
    path : str or path
        By custom "….safetensors". The file's name may hold "{epoch}", the number of epochs that are done (from 1), and
        names of the logs, as in "net-{epoch:03d}-{val_loss:.3f}.safetensors". Without them each file replaces the one
        before. Braces that mean themselves are doubled.
    every : int, default=1
        After how many epochs.
    monitor : str, optional
        Only save where this number of the logs is better than in every network saved before, as "val_loss".
    mode : {"auto", "min", "max"}, default="auto"
        Which way is better, as in `EarlyStopping`.

    Attributes
    ----------
    saved : str or None
        The path of the last file written.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        When the fit begins, where the path's folder does not exist, or the path is a folder.
    ValueError
        When the fit begins, where the path is a device; after the first epoch, where the logs lack a name that path or
        monitor has.
    OSError
        The disk is full, or the file cannot be written.

    Notes
    -----
    Keras' ``ModelCheckpoint``, whose save_best_only is on here with monitor.

    Examples
    --------
    >>> import deltarule as dr
    >>> from deltarule.callbacks import Checkpoint
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)])
    >>> checkpoint = Checkpoint("net-{epoch:02d}.safetensors", every=5)
    >>> history = network.fit(X, y, loss="mse", epochs=10, callbacks=[checkpoint])
    >>> checkpoint.saved
    'net-10.safetensors'
    >>> dr.Network.load("net-05.safetensors").epochs_trained
    5
    """

    def __init__(
        self, path: str | os.PathLike[str], every: int = 1, monitor: str | None = None, mode: str = "auto"
    ) -> None:
        self.path = read_path("path", path)
        self._check_fields()
        self.every = require_integer("every", every, least=1)
        if monitor is None and mode != "auto":
            raise ValueError(f"mode={mode!r} goes with a monitor: pass monitor='val_loss', or leave it out")
        self._monitor = None if monitor is None else Monitor("Checkpoint", monitor, mode)
        self._network: Network | None = None
        self.saved: str | None = None
        self._best: float | None = None

    def _check_fields(self) -> None:
        folder, file = os.path.split(self.path)
        try:
            if _fields(folder):
                raise ValueError("the folder has a {name}, but only the file's name may")
            names = _fields(file)
            if not all(name.isidentifier() for name in names):
                raise ValueError("expected names such as {epoch} or {val_loss:.3f} in braces; double those of the path")
            file.format(**{name: 1 if name == "epoch" else 0.5 for name in names})
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(f"path={self.path!r}: {error}") from None

    def on_plan(self, epochs: int, steps_per_epoch: int | None, columns: Sequence[str]) -> None:
        """Refuse a fit whose logs will not have what is watched."""
        if self._monitor is not None:
            self._monitor.value(dict.fromkeys(columns, 0.0))

    def on_fit_begin(self, network: Network) -> None:
        """Look whether files can be written, and forget what was before."""
        require_folder(self.path)
        self._network, self.saved, self._best = network, None, None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Save the network where it is time to."""
        if (epoch + 1) % self.every or self._network is None:
            return
        if self._monitor is not None:
            value = self._monitor.value(logs)
            if not self._monitor.is_better(value, self._best):
                return
            self._best = value
        path = self._path_of(epoch, logs)
        self._network.save(path)
        self.saved = path

    def _path_of(self, epoch: int, logs: Mapping[str, float]) -> str:
        known = {**logs, "epoch": epoch + 1}
        for name in _fields(self.path):
            if name not in known:
                raise ValueError(f"path={self.path!r} has an unknown {name!r}: {did_you_mean(name, known)}")
        return self.path.format(**known)

    def on_fit_end(self, network: Network) -> None:
        """Let go of the network."""
        self._network = None

    def state_dict(self) -> dict[str, Any]:
        """The best number so far, and the last file."""
        return {"best": self._best, "saved": self.saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state that a fit kept, after on_fit_begin.

        Parameters
        ----------
        state : mapping of str to number, str or None
            What state_dict returned.
        """
        kinds = {"best": (int, float, type(None)), "saved": (str, type(None))}
        self._best, self.saved = read_state("Checkpoint", state, kinds)

    def __repr__(self) -> str:
        watched = "" if self._monitor is None else f", monitor={self._monitor.name!r}, mode={self._monitor.mode!r}"
        return f"Checkpoint({self.path!r}, every={self.every}{watched})"


def _fields(text: str) -> list[str]:
    """Names in braces."""
    return [field for _, field, _, _ in Formatter().parse(text) if field is not None]
