"""What an estimator has learned: in the core's network, and as coefs_ and intercepts_ where somebody wants to see them.

scikit-learn's arrays are alive: who writes into them changes the predictions. So they are here. As long as nobody has
asked for them there are none, and nothing to compare; once they are handed out, each use looks for changes.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..layers import Layer
from ..network import Network

__all__ = ["Weights", "network_of", "write_parameters"]


class Weights:
    """The parameters of a stack of dense layers.

    Parameters
    ----------
    network : Network, optional
        Where they are; without one, `coefs` and `intercepts` are to be set.
    """

    def __init__(self, network: Network | None = None) -> None:
        self._network = network
        self._lists: dict[str, list[Any]] = {}  # as handed out or set
        self._seen: dict[str, list[Any]] = {}  # what the network has of them
        self._other: Network | None = None  # the same in the other dtype, made when first asked for
        self.lock = threading.RLock()  # held by whoever trains or asks the network
        self.in_training = False

    @property
    def coefs(self) -> list[Any]:
        """The weight of each dense layer, of shape (inputs, units)."""
        return self._list("weight")

    def with_list(self, kind: str, arrays: list[Any]) -> Weights:
        """The same with other arrays of this kind, "weight" or "bias"; nobody else who has these is touched."""
        if self.in_training:
            raise RuntimeError("coefs_ and intercepts_ cannot be set while the estimator is being trained")
        result = Weights(self._network)
        self._list(kind)
        result._lists, result._seen = {**self._lists, kind: arrays}, dict(self._seen)
        return result

    @property
    def intercepts(self) -> list[Any]:
        """The bias of each dense layer, of shape (units,)."""
        return self._list("bias")

    def _list(self, kind: str) -> list[Any]:
        if self.in_training and self._network is not None:
            arrays = _arrays_of(self._network)[kind]  # to look at: what was written into them would be lost
            for array in arrays:
                array.flags.writeable = False
            return arrays
        if not self._lists and self._network is not None:
            self._lists = _arrays_of(self._network)
            self._seen = _copies(self._lists)
        return self._lists.get(kind, [])

    @property
    def network(self) -> Network | None:
        """Where the parameters are, unless somebody has changed the arrays: then None, and `adopt` makes a new one."""
        return None if self._changed() else self._network

    def _changed(self) -> bool:
        if not self._lists or self.in_training:
            return False
        return self._network is None or not all(
            len(self._lists[kind]) == len(self._seen.get(kind, ()))
            and all(map(_same, self._lists[kind], self._seen[kind]))
            for kind in ("weight", "bias")
        )

    def adopt(self, layers: Sequence[Layer], *, seed: int = 0) -> Network:
        """A network of these layers that has the parameters of the arrays."""
        coefs, intercepts = ([np.asarray(array) for array in self._list(kind)] for kind in ("weight", "bias"))
        dtype = np.float32 if np.result_type(*coefs) == np.float32 else np.float64
        before = self._network
        self._network = network_of(layers, coefs, intercepts, dtype, seed if before is None else before.seed)
        self._network.epochs_trained = 0 if before is None else before.epochs_trained  # what drops out next follows
        self._seen = _copies(self._lists)
        self._other = None
        return self._network

    def replace(self, network: Network) -> None:
        """Another network with other parameters; arrays that were handed out stay as they are, nobody's any more."""
        self._network, self._lists, self._seen, self._other = network, {}, {}, None

    @contextmanager
    def training(self) -> Iterator[None]:
        """Whoever trains the network; others wait, and the arrays that were handed out follow in the end."""
        with self.lock:
            self.in_training = True
            try:
                yield
            finally:
                self.in_training = False
                self.moved()

    def follow(self, network: Network) -> None:
        """Another network with the same parameters."""
        self._network, self._other = network, None
        if self._lists:
            self._seen = _arrays_of(network)

    def moved(self) -> None:
        """The network was trained on: the arrays that were handed out follow."""
        self._other = None
        if not self._lists or self._network is None:
            return
        trained = _arrays_of(self._network)
        for kind, arrays in trained.items():
            for place, array in enumerate(arrays):
                mine = self._lists[kind][place]
                if isinstance(mine, np.ndarray) and mine.flags.writeable and mine.dtype == array.dtype:
                    mine[...] = array
                else:
                    self._lists[kind][place] = array
        self._seen = trained

    def in_dtype(self, dtype: Any) -> Network:
        """The network in this dtype: it itself, or a converted copy that is kept."""
        network = self._network
        assert network is not None
        if network.dtype == dtype:
            return network
        if self._other is None:
            arrays = _arrays_of(network)
            self._other = network_of(network.layers, arrays["weight"], arrays["bias"], dtype)
        return self._other

    def copy(self) -> Weights:
        """The same parameters, independent of these."""
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        network, unchanged = self._network, not self._changed()
        return {
            "layers": None if network is None else network.layers,
            "seed": 0 if network is None else network.seed,
            "epochs_trained": 0 if network is None else network.epochs_trained,
            "is_adopted": network is not None and unchanged,
            "arrays": _arrays_of(network) if network is not None and unchanged else self._lists,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Weights.__init__(self)
        self._lists = state["arrays"]
        if state["layers"] is None:
            return
        network = self.adopt(state["layers"], seed=state["seed"])
        network.epochs_trained = state["epochs_trained"]
        if state["is_adopted"]:
            self.replace(network)
        else:
            self._seen = {}


def _same(array: Any, seen: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == seen.dtype and np.array_equal(array, seen)


def _copies(lists: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {kind: [np.array(array) for array in arrays] for kind, arrays in lists.items()}


def _arrays_of(network: Network) -> dict[str, list[Any]]:
    state = network.state_dict()
    return {kind: [array for name, array in state.items() if name.endswith(kind)] for kind in ("weight", "bias")}


def network_of(layers: Sequence[Layer], coefs: list[Any], intercepts: list[Any], dtype: Any, seed: int = 0) -> Network:
    """A network of these layers with these parameters, whatever numbers they hold."""
    network = Network(layers, None, dtype, seed)
    network._build(len(coefs[0]), initialize=False)
    write_parameters(network, coefs, intercepts)
    return network


def write_parameters(network: Network, coefs: list[Any], intercepts: list[Any]) -> None:
    """Set all parameters of the network; shapes are checked, numbers are not."""
    flat = network._native.allocate()
    for number, pair in enumerate(zip(coefs, intercepts, strict=True)):
        for kind, array in enumerate(pair):
            _, shape, _ = network._native.tensors[2 * number + kind]
            if np.shape(array) != shape:
                name = ("coefs_", "intercepts_")[kind]
                raise ValueError(f"{name}[{number}] has shape {np.shape(array)}: expected {shape}")
            network._native.write(flat, 2 * number + kind, np.ascontiguousarray(array, network.dtype))
    network._native.assign(network._flat, flat)
