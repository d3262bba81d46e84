"""What a network is given: rows, or sequences with their lengths; and the outputs that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arrays import to_array
from ..data import as_matrix
from ..layers import Recurrent
from ..sequences import as_sequences, exists, is_ragged_list, pad
from .checking import refuse_batch_norm

if TYPE_CHECKING:
    from .structure import Structure

__all__ = ["Inputs", "first_states", "gives_sequences", "has_recurrent", "named_states", "read_inputs", "read_targets"]

Array = npt.NDArray[Any]


class Inputs(NamedTuple):
    """Features of checked shape, and of sequences the lengths, where they differ."""

    features: Array  # (n_samples, n_features) or (n_samples, n_steps, n_features)
    lengths: npt.NDArray[np.int64] | None = None

    @property
    def n_samples(self) -> int:
        return len(self.features)

    @property
    def are_sequences(self) -> bool:
        return self.features.ndim == 3

    @property
    def exists(self) -> npt.NDArray[np.bool_]:
        """Which (sample, step) there are."""
        return exists(self.lengths, *self.features.shape[:2])

    def part(self, samples: slice) -> Inputs:
        return Inputs(self.features[samples], None if self.lengths is None else self.lengths[samples])

    def for_core(self, states: list[Array | None] | None = None) -> Any:
        return (self.features, self.lengths, states) if self.are_sequences else self.features


def has_recurrent(network: Structure) -> bool:
    return any(isinstance(layer, Recurrent) for layer in network.layers)


def gives_sequences(network: Structure, inputs: Inputs) -> bool:
    """Whether there is an output for each step."""
    recurrent = (layer for layer in network.layers if isinstance(layer, Recurrent))
    return inputs.are_sequences and all(layer.return_sequences for layer in recurrent)


def read_inputs(network: Structure, X: Any, lengths: Any = None, name: str = "X", *, any_steps: bool = False) -> Inputs:
    """X, checked against the network: sequences where it reads them, else rows. any_steps: also parts of sequences."""
    built = network._native is not None
    shape = network.input_shape
    reads = isinstance(shape, tuple) if built else has_recurrent(network) or getattr(X, "ndim", 0) == 3
    if not reads:
        if lengths is not None:
            raise ValueError("lengths is given, but the network reads no sequences: its X has a row for each sample")
        return Inputs(as_matrix(X, network.dtype, name=name, columns=shape if isinstance(shape, int) else None))
    if not built:
        refuse_batch_norm(network.layers, f"{name} has three dimensions, those of sequences")
    steps, features = shape if isinstance(shape, tuple) else (None, None)
    steps = None if any_steps else steps
    of_lengths = "lengths" if name == "X" else name.replace("[0]", "[2]")  # the third of validation_data
    return Inputs(
        *as_sequences(X, lengths, network.dtype, name=name, features=features, steps=steps, lengths_name=of_lengths)
    )


def read_targets(inputs: Inputs, y: Any, outputs: int, kind: str, name: str) -> Array:
    """Targets of sequences with an output at each step as rows; any of them where there is no step."""
    n_samples, n_steps = inputs.features.shape[:2]
    if is_ragged_list(y):
        y, lengths = pad(y, name, n_steps)
        expected = np.full(n_samples, n_steps) if inputs.lengths is None else inputs.lengths
        if not np.array_equal(lengths, expected):
            raise ValueError(f"{name} is a list of arrays with other numbers of steps than the samples of X have")
    array = to_array(y, name)
    last = f", {outputs}" if outputs > 1 or kind != "classes" else ""
    if array.shape[:2] != (n_samples, n_steps) or array.ndim > 3:
        raise ValueError(
            f"{name} has shape {array.shape}: the network gives an output at every step, so {name} needs the shape "
            f"({n_samples}, {n_steps}{last}); for one output a sample let the last recurrent layer have "
            "return_sequences=False"
        )
    if inputs.lengths is not None:
        array = np.array(array)
        array[~inputs.exists] = array[0, 0]  # a target as good as any: nobody looks at it
    return array.reshape(n_samples * n_steps, *array.shape[2:])


def first_states(network: Structure, states: Any, n_samples: int) -> list[Array | None] | None:
    """States by their names, as the core takes them; those that are not named begin with 0."""
    if states is None:
        return None
    known = dict(network._native.states)
    if not known:
        raise ValueError("initial_state is given, but the network has no recurrent layer that could begin with it")
    if not isinstance(states, dict):
        raise TypeError(f"initial_state is {type(states).__name__}: expected a dict with some of {', '.join(known)}")
    unknown = [name for name in states if name not in known]
    if unknown:
        raise ValueError(f"initial_state has {unknown[0]!r}, which is unknown: expected some of {', '.join(known)}")
    found: list[Array | None] = []
    for name, units in known.items():
        if name not in states:
            found.append(None)
            continue
        argument = f"initial_state[{name!r}]"
        state = to_array(states[name], argument)
        if state.shape != (n_samples, units):
            raise ValueError(
                f"{argument} has shape {state.shape}: expected ({n_samples}, {units}), a row for each sample"
            )
        found.append(as_matrix(state, network.dtype, name=argument))
    return found


def named_states(network: Structure, states: list[Array]) -> dict[str, Array]:
    return {name: np.asarray(state) for (name, _), state in zip(network._native.states, states, strict=True)}
