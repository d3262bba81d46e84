"""Layers one after the other: the way forward through all of them, and the way back.

To add a layer type, see layers/. The mathematics is from D. Rumelhart, G. Hinton and R. Williams, "Learning
representations by back-propagating errors", Nature 323, 1986.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, overload

import numpy as np

from ..names import find, require_integer
from .activations import Array
from .layers import LAYERS, BatchNorm, Dense, Dropout, Layer, Recurrent
from .sequences import Sequences

States = Mapping[str, Any]


class Stack:
    """Layers, each of which takes what the one before it gives.

    Parameters
    ----------
    layers : sequence of Dense, Dropout, LayerNorm, BatchNorm and Recurrent
        At least one, in the order of the way forward; the last one is dense.

    Raises
    ------
    ValueError
        If there is no layer, the last one is not dense, or BatchNorm and recurrent layers are mixed.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        if not layers:
            raise ValueError("layers is empty: a network needs at least one layer")
        if not isinstance(layers[-1], Dense):
            raise ValueError(f"the last layer is {type(layers[-1]).__name__}: expected Dense, which gives the output")
        kinds = {type(layer) for layer in layers}
        if kinds >= {BatchNorm, Recurrent}:
            raise ValueError("BatchNorm is not defined for the steps of sequences: beside Recurrent use LayerNorm")
        self.layers: list[Layer] = list(layers)
        self.last: Dense = layers[-1]
        self.lr_factors: dict[str, float | None] = {}  # of the learning rate, by the layer; None: it is frozen
        self._sequences: Sequences | None = None  # of the last way forward

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], parameters: Mapping[str, Any]) -> Self:
        """Make the network from its spec, as `deltarule.Network` has it, and its parameters, which are copied.

        Parameters
        ----------
        spec : mapping
            ``{"layers": [{"type": "dense", "units": 3, "activation": "tanh", ...}, ...], ...}``.
        parameters : mapping of array-like
            ``{"0.weight": ..., "0.bias": ..., ...}``, by the layer's name, or its place when it has none.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If a layer type is unknown, or a parameter is missing or has the wrong shape.

        Examples
        --------
        >>> from deltarule.reference import Network
        >>> spec = {"layers": [{"type": "dense", "units": 1, "activation": "tanh", "use_bias": False}]}
        >>> Network.from_spec(spec, {"0.weight": [[1.0]]}).forward([[0.0]])
        array([[0.]])
        """
        layers = []
        for place, settings in enumerate(spec["layers"]):
            own = _of_layer(settings.get("name") or str(place), parameters)
            layer = find("layer type", settings["type"], LAYERS).from_spec(settings, own)
            if isinstance(layer, Dropout):
                layer.place = place
            layers.append(layer)
        network = cls(layers)
        for (name, _), settings in zip(network._by_name(), spec["layers"], strict=True):
            network.lr_factors[name] = settings.get("lr_factor", 1.0) if settings.get("trainable", True) else None
        return network

    def _by_name(self) -> list[tuple[str, Layer]]:
        """Return each layer with what it is called: its own name, or its place."""
        return [(layer.name or str(place), layer) for place, layer in enumerate(self.layers)]

    def _recurrent(self) -> list[tuple[str, Recurrent]]:
        return [(name, layer) for name, layer in self._by_name() if isinstance(layer, Recurrent)]

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays that training changes by their gradients, ``{"0.weight": ..., "0.bias": ..., ...}``."""
        return {f"{name}.{key}": array for name, layer in self._by_name() for key, array in layer.parameters.items()}

    @property
    def statistics(self) -> dict[str, Array]:
        """Those that it changes without gradients, ``{"1.running_mean": ..., "1.running_var": ...}``."""
        norms = [(name, layer) for name, layer in self._by_name() if isinstance(layer, BatchNorm)]
        return {f"{name}.{key}": array for name, layer in norms for key, array in layer.statistics.items()}

    @property
    def gradients(self) -> dict[str, Array]:
        """What the last way back found, by the names of the parameters; without the penalties."""
        return {f"{name}.{key}": array for name, layer in self._by_name() for key, array in layer.gradients.items()}

    @property
    def states(self) -> dict[str, Array]:
        """What the recurrent layers ended the last way forward with, ``{"0.hidden": ..., "0.cell": ..., ...}``."""
        return {f"{name}.{key}": array for name, layer in self._recurrent() for key, array in layer.final_state.items()}

    @property
    def gives_sequences(self) -> bool:
        """Whether sequences come out of sequences, an output for each step: no layer keeps the last step alone."""
        return all(layer.return_sequences for _, layer in self._recurrent())

    @overload
    def forward(
        self,
        X: Any,
        *,
        lengths: Any = None,
        initial_state: States | None = None,
        return_state: Literal[False] = False,
    ) -> Array: ...

    @overload
    def forward(
        self, X: Any, *, lengths: Any = None, initial_state: States | None = None, return_state: Literal[True]
    ) -> tuple[Array, dict[str, Array]]: ...

    def forward(
        self, X: Any, *, lengths: Any = None, initial_state: States | None = None, return_state: bool = False
    ) -> Array | tuple[Array, dict[str, Array]]:
        """Return the output after the last activation.

        Parameters
        ----------
        X : array-like, shape (n_samples, inputs), or (n_samples, n_steps, inputs) for sequences
        lengths : array-like of int, shape (n_samples,), optional
            How many steps each sample has; what X holds after them changes nothing. None: all have n_steps.
        initial_state : mapping of array-like, shape (n_samples, units), optional
            ``{"0.hidden": ..., "0.cell": ..., "0.hidden_reverse": ...}``, of recurrent layers; what is not named is 0.
        return_state : bool, default False
            Return the state after the last step too, by the names of `initial_state`.

        Returns
        -------
        ndarray, shape (n_samples, outputs) or (n_samples, n_steps, outputs)
            Of steps that do not exist the output is 0.
        dict of ndarray
            Only with `return_state`.

        Raises
        ------
        TypeError, ValueError
            If X has not the columns that the first layer takes, or what is said of sequences does not fit.
        """
        X, sequences = self._checked(X, lengths, initial_state)
        output = self._run(X, sequences, initial_state, None)
        return (output, self.states) if return_state else output

    def _checked(
        self, X: Any, lengths: Any, initial_state: States | None, bptt_steps: int | None = None
    ) -> tuple[Array, Sequences | None]:
        """Return X in float64 and, if they are sequences, which steps exist, refusing what does not fit."""
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 3:
            for argument, value in (("lengths", lengths), ("initial_state", initial_state), ("bptt_steps", bptt_steps)):
                if value is not None:
                    raise ValueError(
                        f"{argument} is given but X has shape {X.shape}: rows have no steps; expected sequences, X of"
                        " shape (n_samples, n_steps, inputs)"
                    )
            return X, None
        names = {f"{name}.{state}": state for name, layer in self._recurrent() for state in layer.state_names}
        for name in initial_state or {}:
            find("initial_state", name, names)
        if bptt_steps is not None:
            require_integer("bptt_steps", bptt_steps, least=1)
            for name, layer in self._recurrent():
                if layer.bidirectional:
                    raise ValueError(
                        f"bptt_steps={bptt_steps} but the layer {name!r} is bidirectional: its reverse direction begins"
                        " at the end of the sequence, which a chunk does not know; leave out bptt_steps"
                    )
        return X, Sequences.of(X, lengths)

    def _run(
        self, X: Array, sequences: Sequences | None, state: States | None, key: int | None, training: bool = False
    ) -> Array:
        """Go forward through the layers; with a key, units drop out; in training, BatchNorm measures the batch."""
        self._sequences = sequences
        by_step, x = True, X
        if sequences is not None:
            x = np.where(sequences.exists[:, :, None], X, 0.0)  # not a product: the number there may be NaN
        for name, layer in self._by_name():
            if isinstance(layer, Recurrent):
                lengths = None if sequences is None else sequences.lengths
                x = layer.forward(x, lengths=lengths, initial_state=_of_layer(name, state or {}))
                by_step = layer.return_sequences
            elif isinstance(layer, Dropout):
                rows = None if sequences is None or key is None else sequences.mask_rows(by_step)
                x = layer.forward(x, key=key, rows=rows)
            elif isinstance(layer, BatchNorm):
                x = layer.forward(x, training=training and self.lr_factors.get(name, 1.0) is not None)
            else:
                x = layer.forward(x)
        return x if sequences is None or x.ndim == 2 else np.where(sequences.exists[:, :, None], x, 0.0)

    def backward(self, grad_output: Any, *, bptt_steps: int | None = None) -> Array:
        """Go back through the last `forward`: return dL/dX from dL/d output, and set `gradients`.

        Parameters
        ----------
        grad_output : array-like, the shape of the output
            dL/da of the last layer.
        bptt_steps : int, > 0, optional
            Truncate, see `Recurrent.backward`.

        Returns
        -------
        ndarray, the shape of X
            dL/dX.

        Raises
        ------
        RuntimeError
            If there was no way forward.
        """
        grad_output = np.asarray(grad_output, dtype=np.float64)
        if self._sequences is not None and grad_output.ndim == 3:
            grad_output = np.where(self._sequences.exists[:, :, None], grad_output, 0.0)
        return self._back(self.last.backward(grad_output), bptt_steps)

    def _back(self, grad: Array, bptt_steps: int | None) -> Array:
        """Go back from what the last layer was given."""
        for layer in reversed(self.layers[:-1]):
            grad = layer.backward(grad, bptt_steps=bptt_steps) if isinstance(layer, Recurrent) else layer.backward(grad)
        return grad


def _of_layer(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs to one layer, by the names that it has in the layer."""
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
