"""EarlyStopping: the end of a fit that does not get better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..names import require_integer
from .monitor import Monitor
from .state import read_state

if TYPE_CHECKING:
    from ..network import Network

__all__ = ["EarlyStopping"]

_WEIGHTS = "weights."  # before the name of a parameter, in the state


class EarlyStopping:
    """A callback that stops a fit when a loss or metric has not improved for some epochs, and goes back to the best.

    An epoch improves when its number is better than the best one by more than min_delta. With restore_best the network
    has the weights of the best epoch after the fit, however that ended: early, after all epochs, or by an error.

    Parameters
    ----------
    monitor : str, default="val_loss"
        A name in the logs: "loss", "val_loss", a metric or "val_" and a metric.
    patience : int, default=10
        The fit stops after so many epochs in a row without improvement; 0 means the same as 1.
    min_delta : float, default=0.0
        What is no more than this is no improvement.
    restore_best : bool, default=True
        Whether the network gets the weights of the best epoch when the fit ends, else it keeps the last ones.
    mode : {"auto", "min", "max"}, default="auto"
        Which way is better. "auto" knows losses, names that end in "error", and the metrics of `Network.evaluate`.

    Attributes
    ----------
    best : float or None
        The best number; None as long as there was none. NaN is never better.
    best_epoch : int or None
        Its epoch, from 0, so that ``history["val_loss"][stopping.best_epoch] == stopping.best``.
    stopped_epoch : int or None
        The epoch after which this callback stopped the fit; None where it did not.

    Raises
    ------
    ValueError
        After the first epoch, where the logs have no such name; the message says what they have.

    Notes
    -----
    The numbers are those of Keras' ``EarlyStopping(restore_best_weights=True)``, which also restores where the fit was
    not stopped early. Other than there restoring is the default, patience=10, stopped_epoch is None instead of 0, and a
    fit whose numbers are all NaN keeps its last weights. In both, an epoch that is better by less than min_delta does
    not become the best. A callback used again starts afresh.

    References
    ----------
    L. Prechelt, "Early Stopping - But When?", Neural Networks: Tricks of the Trade (1998).

    Examples
    --------
    >>> import numpy as np
    >>> import deltarule as dr
    >>> from deltarule.callbacks import EarlyStopping
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> network = dr.Network([dr.Dense(16, "tanh"), dr.Dense(1)], input_shape=1)
    >>> stopping = EarlyStopping(patience=5)
    >>> history = network.fit(X, X**2, loss="mse", epochs=500, validation_split=0.2, callbacks=[stopping])
    >>> history.epochs - 1 == stopping.stopped_epoch == stopping.best_epoch + 5
    True
    >>> min(history["val_loss"]) == stopping.best
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
        mode: str = "auto",
    ) -> None:
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self.patience = require_integer("patience", patience, least=0)
        if not isinstance(restore_best, (bool, np.bool_)):
            raise TypeError(f"restore_best={restore_best!r}: expected True or False")
        self.restore_best = bool(restore_best)
        self._network: Network | None = None  # as long as the fit goes on
        self._start_afresh()

    def _start_afresh(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._weights: dict[str, Any] = {}

    def on_plan(self, epochs: int, steps_per_epoch: int | None, columns: Sequence[str]) -> None:
        """Refuse a fit whose logs will not have what is watched."""
        self._monitor.value(dict.fromkeys(columns, 0.0))

    def on_fit_begin(self, network: Network) -> None:
        """Forget what was before."""
        self._start_afresh()
        self._network = network

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> bool:
        """Look at the logs of an epoch; True where it was one too many."""
        value = self._monitor.value(logs)
        if self._monitor.is_better(value, self.best):
            self.best, self.best_epoch, self._waited = value, epoch, 0
            if self.restore_best and self._network is not None:
                self._weights = self._network.state_dict()
            return False
        self._waited += 1
        if self._waited < self.patience:
            return False
        self.stopped_epoch = epoch
        return True

    def on_fit_end(self, network: Network) -> None:
        """Give the network its best weights."""
        weights, self._network, self._weights = self._weights, None, {}  # no network is kept after its fit
        if weights:
            network.load_state_dict(weights)

    def is_over(self) -> bool:
        """Whether it would still end a fit that is resumed, with the patience that it has now."""
        return self.stopped_epoch is not None

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs to stop at the same epoch with the same weights: numbers and arrays."""
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            "waited": self._waited,
            **{_WEIGHTS + name: array for name, array in self._weights.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state that a fit kept, after on_fit_begin.

        Parameters
        ----------
        state : mapping of str to number, None or ndarray
            What state_dict returned.
        """
        optional = (int, type(None))
        kinds: dict[str, type | tuple[type, ...]] = {
            "best": (int, float, type(None)),
            "best_epoch": optional,
            "stopped_epoch": optional,
            "waited": int,
        }
        best, best_epoch, stopped_epoch, waited = read_state("EarlyStopping", state, kinds)
        weights = {name.removeprefix(_WEIGHTS): state[name] for name in state if name.startswith(_WEIGHTS)}
        if weights and self._network is not None:
            self._network._flat_from(weights, "the state given to EarlyStopping")  # checked now, not at the end
        self.best, self.best_epoch, self._waited = best, best_epoch, waited
        self.stopped_epoch = stopped_epoch if waited >= self.patience else None  # which may be more than it was
        self._weights = weights if self.restore_best else {}

    def __repr__(self) -> str:
        return (
            f"EarlyStopping(monitor={self._monitor.name!r}, patience={self.patience}, "
            f"min_delta={self._monitor.min_delta:g}, restore_best={self.restore_best}, mode={self._monitor.mode!r})"
        )
