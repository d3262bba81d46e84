"""Recurrent networks with random weights, sequences of different lengths for them, and their twins in the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import deltarule as dr
from deltarule import reference

Array = NDArray[Any]

KINDS = ["rnn_tanh", "rnn_relu", "lstm", "gru"]
INPUTS, OUTPUTS = 3, 2
LIMITS = {"float64": 1e-12, "float32": 5e-5}


def layer(kind: str, units: int, **options: Any) -> Any:
    if kind.startswith("rnn"):
        return dr.RNN(units, kind.removeprefix("rnn_"), **options)
    return {"lstm": dr.LSTM, "gru": dr.GRU}[kind](units, **options)


def make(
    kind: str = "gru",
    depth: int = 1,
    *,
    units: int = 4,
    inputs: int = INPUTS,
    outputs: int = OUTPUTS,
    by_step: bool = False,
    mixed: bool = False,
    last: str = "identity",
    dtype: str = "float64",
    seed: int = 3,
    **options: Any,
) -> dr.Network:
    """Recurrent layers and a dense one on top, all weights random.

    Mixed: dense layers, dropout and LayerNorm before, between and after them.
    """
    layers: list[Any] = []
    for number in range(depth):
        if mixed:
            layers += [dr.Dense(units + 1, "tanh"), dr.Dropout(0.3), dr.LayerNorm()]
        layers.append(layer(kind, units, return_sequences=by_step or number < depth - 1, **options))
    if mixed:
        layers += [dr.LayerNorm(), dr.Dropout(0.4), dr.Dense(units, "gelu")]
    network = dr.Network([*layers, dr.Dense(outputs, last)], input_shape=(None, inputs), dtype=dtype, seed=seed)
    set_at_random(network, seed)
    return network


def set_at_random(network: dr.Network, seed: int = 3) -> None:
    """Weights of moderate size however wide the layers are, biases and those of LayerNorm too."""
    random = np.random.default_rng(seed)
    state = network.state_dict()
    for name, array in state.items():
        size = 1 / max(1.0, len(array) / 4) ** 0.5 if array.ndim == 2 else 1.0
        state[name] = random.normal(scale=0.5 * size, size=array.shape)
    network.load_state_dict(state)


@dataclass(frozen=True)
class Batch:
    """Sequences, what they shall be answered with, and how long they are."""

    X: Array
    y: Array
    lengths: Array | None = None

    @property
    def of_steps(self) -> dict[str, Any]:
        return {} if self.lengths is None else {"lengths": self.lengths}

    @property
    def exists(self) -> Array:
        n_samples, n_steps = self.X.shape[:2]
        lengths = np.full(n_samples, n_steps) if self.lengths is None else self.lengths
        return np.asarray(np.arange(n_steps) < lengths[:, None])

    @property
    def by_step(self) -> bool:
        return self.y.shape[:2] == self.X.shape[:2]

    def padded(self, more: int, value: float) -> Batch:
        """The same sequences in a longer array, with this value wherever no step is, and impossible targets there."""
        (n_samples, n_steps, inputs), exists = self.X.shape, self.exists
        X = np.full((n_samples, n_steps + more, inputs), value, self.X.dtype)
        X[:, :n_steps][exists] = self.X[exists]
        y = self.y
        if self.by_step:
            impossible = 99 if y.dtype.kind == "i" else value
            y = np.full((n_samples, n_steps + more, *y.shape[2:]), impossible, y.dtype)
            y[:, :n_steps][exists] = self.y[exists]
        return Batch(X, y, exists.sum(axis=1))

    def as_lists(self) -> tuple[list[Array], Any]:
        lengths = self.exists.sum(axis=1)
        X = [row[:length] for row, length in zip(self.X, lengths, strict=True)]
        return X, [row[:length] for row, length in zip(self.y, lengths, strict=True)] if self.by_step else self.y


def batch(
    n_samples: int = 4,
    n_steps: int = 5,
    *,
    inputs: int = INPUTS,
    outputs: int = OUTPUTS,
    by_step: bool = False,
    ragged: bool = False,
    loss: str = "mse",
    dtype: str = "float64",
    seed: int = 1,
) -> Batch:
    """Ragged: lengths in no order, the greatest and 1 among them; NaN behind the ends."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_samples, n_steps, inputs)).astype(dtype)
    shape = (n_samples, n_steps) if by_step else (n_samples,)
    y: Array
    if loss == "cross_entropy":
        y = random.integers(0, outputs, shape)
    elif loss == "binary_cross_entropy":
        y = random.integers(0, 2, (*shape, outputs)).astype(dtype)
    else:
        y = random.normal(size=(*shape, outputs)).astype(dtype)
    if not ragged:
        return Batch(X, y)
    lengths = random.integers(1, n_steps + 1, n_samples)
    lengths[n_samples // 2], lengths[-1] = n_steps, 1
    return Batch(X, y, lengths).padded(0, np.nan)


def twin(network: dr.Network) -> reference.Network:
    return reference.Network.from_spec(network.spec(), network.state_dict())


def states(network: dr.Network, n_samples: int, seed: int = 7) -> dict[str, Array]:
    """Random states by the names and shapes that the network has for them."""
    _, after = network.predict(np.zeros((n_samples, 1, INPUTS)), return_state=True)
    random = np.random.default_rng(seed)
    return {name: random.uniform(-0.9, 0.9, state.shape).astype(state.dtype) for name, state in after.items()}


def assert_close(actual: dict[str, Any], expected: dict[str, Any], dtype: str = "float64") -> None:
    """Within the limit of the dtype, relative to the greatest number of each array; equal where that is 0."""
    assert list(actual) == list(expected)
    errors = {}
    for name, array in expected.items():
        assert np.shape(actual[name]) == np.shape(array), name
        greatest = float(np.abs(array).max())
        errors[name] = float(np.abs(actual[name] - array).max()) / (greatest or 1.0)
    wrong = {name: error for name, error in errors.items() if not error <= LIMITS[dtype]}
    assert not wrong, f"relative errors above {LIMITS[dtype]}: {wrong}"


def bits(*parts: Any) -> bytes:
    """The bytes of networks, dicts of arrays, arrays and numbers."""
    found = []
    for part in parts:
        arrays = part.state_dict() if isinstance(part, dr.Network) else part
        found += [np.asarray(array).tobytes() for array in (arrays.values() if isinstance(arrays, dict) else [arrays])]
    return b"".join(found)
