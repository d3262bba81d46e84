"""What is trained of sequences: one recurrent layer, whose last state goes into a dense one, in float32.

To add one: a row in `_ROWS`. Weights have this library's shapes; the mathematics is that of torch.nn.RNN, LSTM and GRU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .cells import Array, Cell, Problem, Weights

__all__ = ["GATES", "RECURRENT_CELLS", "RecurrentCell", "RecurrentProblem"]

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
_STEPS_THAT_COUNT = 4  # the last ones, on which the answers depend


@dataclass(frozen=True)
class RecurrentCell(Cell):
    """A recurrent layer and a dense one, with batch, loss and optimizer.

    Parameters
    ----------
    name, batch, loss, optimizer, steps
        As in `Cell`.
    widths : tuple of three int
        Features, recurrent units, outputs.
    activation : str
        "tanh".
    kind : str
        "rnn", "lstm" or "gru".
    n_steps : int
        Of each sequence.

    Examples
    --------
    >>> cell = RecurrentCell("small", (2, 3, 1), "tanh", 4, "mse", "adam", 10, kind="lstm", n_steps=5)
    >>> cell.parameters  # 12 (2 + 3 + 1 + 1) and 3 + 1
    88
    """

    structure: ClassVar[str] = "recurrent"

    kind: str = "lstm"
    n_steps: int = 1

    @property
    def parameters(self) -> int:
        """Weights and biases; a recurrent layer has two biases."""
        features, units, outputs = self.widths
        return GATES[self.kind] * units * (features + units + 2) + units * outputs + outputs

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products in one training step, a multiply-add being two.

        Per sample and weight 2 for the output, 2 for dL/dW and 2 for dL/dX in every step of the sequence. The features
        need no dL/dX, and the first state, which is 0, takes part in none of the three.

        Examples
        --------
        >>> cell = RecurrentCell("small", (2, 3, 1), "tanh", 4, "mse", "adam", 10, kind="gru", n_steps=5)
        >>> cell.flops  # 4 (5·4·2·9 + 4·6·3·9 + 6·3)
        4104
        """
        features, units, outputs = self.widths
        width = GATES[self.kind] * units
        of_features, of_state = self.n_steps * 4 * features * width, (self.n_steps - 1) * 6 * units * width
        return self.batch * (of_features + of_state + 6 * units * outputs)

    def describe(self) -> str:
        """The network and its training in one line.

        Examples
        --------
        >>> RECURRENT_CELLS["gru_m"].describe()
        'GRU of 128 units, 128 steps of 32 features, the last state to 10 outputs, batch 64, cross entropy, adam'
        """
        features, units, outputs = self.widths
        out = f"{outputs} output{'s' if outputs > 1 else ''}"
        return (
            f"{self.kind.upper()} of {units} units, {self.n_steps} steps of {features} features, the last state to "
            f"{out}, batch {self.batch}, {self.loss.replace('_', ' ')}, {self.optimizer}"
        )

    def problem(self) -> RecurrentProblem:
        """With its data, in a new order each epoch."""
        return RecurrentProblem(self)


_ROWS = (
    RecurrentCell("rnn_s", (16, 32, 1), "tanh", 32, "mse", "adam", 32, kind="rnn", n_steps=32),
    RecurrentCell("lstm_s", (16, 32, 1), "tanh", 32, "mse", "adam", 32, kind="lstm", n_steps=32),
    RecurrentCell("lstm_m", (32, 128, 10), "tanh", 64, "cross_entropy", "adam", 8, kind="lstm", n_steps=128),
    RecurrentCell("gru_m", (32, 128, 10), "tanh", 64, "cross_entropy", "adam", 8, kind="gru", n_steps=128),
)
RECURRENT_CELLS = {cell.name: cell for cell in _ROWS}


@dataclass(frozen=True)
class RecurrentProblem(Problem):
    """A recurrent cell with its data and initial weights.

    Parameters
    ----------
    cell : RecurrentCell
    shuffle : bool, default=True

    Examples
    --------
    >>> problem = RecurrentProblem(RECURRENT_CELLS["rnn_s"])
    >>> problem.X.shape, problem.y.shape
    ((1024, 32, 16), (1024, 1))
    >>> [array.shape for layer in problem.initial for array in layer]
    [(16, 32), (32, 32), (32,), (32,), (32, 1), (1,)]
    """

    cell: RecurrentCell

    @cached_property
    def X(self) -> Array:  # noqa: N802 - what the field calls it
        """Inputs, float32, C-contiguous, (samples, steps, features): normal numbers."""
        cell = self.cell
        return self._random(0).standard_normal((cell.samples, cell.n_steps, cell.widths[0]), np.float32)

    @cached_property
    def y(self) -> Array:
        """Targets, from a noisy linear teacher of the last steps: class indices for cross_entropy, else a column."""
        cell, random = self.cell, self._random(1)
        features, _, outputs = cell.widths
        teacher = random.standard_normal((_STEPS_THAT_COUNT * features, outputs), np.float32)
        seen = self.X[:, -_STEPS_THAT_COUNT:].reshape(cell.samples, -1)
        answer = seen @ teacher / np.float32(len(teacher) ** 0.5)
        answer += np.float32(0.3) * random.standard_normal(answer.shape, np.float32)
        return answer if cell.loss == "mse" else np.asarray(answer.argmax(axis=1), np.int64)

    @cached_property
    def initial(self) -> Weights:
        """float32: (weight_ih, weight_hh, bias_ih, bias_hh) and (weight, bias), all uniform in ±1/√units as torch's."""
        cell, random = self.cell, self._random(2)
        features, units, outputs = cell.widths
        width = GATES[cell.kind] * units
        shapes: list[list[tuple[int, ...]]] = [
            [(features, width), (units, width), (width,), (width,)],
            [(units, outputs), (outputs,)],
        ]
        bound = units**-0.5
        return [tuple(random.uniform(-bound, bound, shape).astype(np.float32) for shape in layer) for layer in shapes]

    def network(self) -> Any:
        """A new network of this library with the initial weights, float32."""
        from .. import GRU, LSTM, RNN, Dense, Network

        features, units, outputs = self.cell.widths
        layer = {"rnn": RNN, "lstm": LSTM, "gru": GRU}[self.cell.kind](units)
        network = Network([layer, Dense(outputs)], input_shape=(self.cell.n_steps, features), dtype="float32", seed=1)
        arrays = [array for layer in self.initial for array in layer]
        network.load_state_dict(dict(zip(network.state_dict(), arrays, strict=True)))
        return network

    def output(self, weights: Weights) -> Array:
        """What a network with these weights says of all data, in float64."""
        (weight_ih, weight_hh, bias_ih, bias_hh), (weight, bias) = [
            tuple(np.asarray(array, np.float64) for array in layer) for layer in weights
        ]
        h = c = np.zeros((self.cell.samples, self.cell.widths[1]))
        for x in self.X.astype(np.float64).swapaxes(0, 1):
            a, b = x @ weight_ih + bias_ih, h @ weight_hh + bias_hh
            if self.cell.kind == "rnn":
                h = np.tanh(a + b)
            elif self.cell.kind == "lstm":
                i, f, g, o = np.split(a + b, 4, axis=1)
                c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
                h = _sigmoid(o) * np.tanh(c)
            else:
                (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
                z, n = _sigmoid(a_z + b_z), np.tanh(a_n + _sigmoid(a_r + b_r) * b_n)
                h = (1 - z) * n + z * h
        return np.asarray(h @ weight + bias)


def _sigmoid(z: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))  # which never overflows
