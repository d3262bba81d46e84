"""What is trained: networks from the size of XOR to four layers of 1,024 units, in float32, with data made from a seed.

To add one: a row in `_ROWS`. All who are measured get the same arrays, batches, initial weights, loss and optimizer.
recurrent_cells.py has those with recurrent layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["DENSE_CELLS", "OPTIMIZERS", "Array", "Cell", "Problem", "Weights"]

Array = npt.NDArray[Any]
Weights = list[tuple[Array, ...]]  # layer by layer: (inputs, units) and (units,), or what a recurrent layer has

# Of torch's form and with its names; everyone gets the same.
OPTIMIZERS: dict[str, dict[str, float]] = {
    "adam": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "sgd": {"lr": 0.1, "momentum": 0.0},
    "momentum": {"lr": 0.01, "momentum": 0.9},
}


@dataclass(frozen=True)
class Cell:
    """A network with its batch, loss and optimizer.

    Parameters
    ----------
    name : str
    widths : tuple of int
        From the number of inputs to the number of outputs.
    activation : str
        Of the hidden layers, "relu" or "tanh". The last layer gives logits, or for mse the output itself.
    batch : int
        Samples in a step.
    loss : str
        "mse", "binary_cross_entropy" or "cross_entropy".
    optimizer : str
        A name in `OPTIMIZERS`.
    steps : int
        In an epoch; there are batch · steps samples, so that no batch is smaller than the others.

    Examples
    --------
    >>> Cell("small", (2, 3, 1), "tanh", 4, "mse", "sgd", 100).parameters
    13
    """

    structure: ClassVar[str] = "dense"

    name: str
    widths: tuple[int, ...]
    activation: str
    batch: int
    loss: str
    optimizer: str
    steps: int

    @property
    def samples(self) -> int:
        """In the data set."""
        return self.batch * self.steps

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(inputs * units + units for inputs, units in pairwise(self.widths))

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products in one step, a multiplication and an addition being two.

        Per sample and weight 2 for the output, 2 for dL/dW and 2 for dL/dX; the first layer needs no dL/dX. Biases,
        activations, the loss and the optimizer are not counted, although they take time too.

        Examples
        --------
        >>> Cell("small", (2, 3, 1), "tanh", 4, "mse", "sgd", 100).flops  # 4 (4·2·3 + 6·3·1)
        168
        """
        per_sample = sum(
            (4 if number == 0 else 6) * inputs * units for number, (inputs, units) in enumerate(pairwise(self.widths))
        )
        return self.batch * per_sample

    def describe(self) -> str:
        """The network and its training in one line.

        Examples
        --------
        >>> DENSE_CELLS["tiny"].describe()
        '8-32-32-1 relu, batch 32, mse, adam'
        """
        shape = "-".join(map(str, self.widths))
        return f"{shape} {self.activation}, batch {self.batch}, {self.loss.replace('_', ' ')}, {self.optimizer}"

    def problem(self) -> Problem:
        """With its data, in a new order each epoch."""
        return Problem(self)


_ROWS = (
    Cell("xor", (2, 3, 1), "tanh", 4, "binary_cross_entropy", "sgd", 100),
    Cell("tiny", (8, 32, 32, 1), "relu", 32, "mse", "adam", 64),
    Cell("tabular", (28, 64, 64, 1), "relu", 128, "binary_cross_entropy", "adam", 32),
    Cell("digits", (64, 100, 10), "relu", 200, "cross_entropy", "adam", 20),
    Cell("mnist_s", (784, 128, 10), "relu", 128, "cross_entropy", "adam", 32),
    Cell("mnist_l", (784, 300, 100, 10), "relu", 32, "cross_entropy", "momentum", 64),
    Cell("mid", (256, 256, 256, 10), "relu", 256, "cross_entropy", "adam", 20),
    Cell("wide", (512, 512, 512, 512, 10), "relu", 512, "cross_entropy", "adam", 6),
    Cell("big", (1024, 1024, 1024, 10), "relu", 1024, "cross_entropy", "adam", 4),
)
DENSE_CELLS = {cell.name: cell for cell in _ROWS}


@dataclass(frozen=True)
class Problem:
    """A cell with its data and initial weights: what each peer is given, and must not change.

    Parameters
    ----------
    cell : Cell
    shuffle : bool, default=True
        Whether each epoch goes through the samples in a new order. Without it all peers do the same steps, which is
        how they are tested against each other.

    Examples
    --------
    >>> problem = Problem(DENSE_CELLS["xor"])
    >>> problem.X.shape, problem.y.shape
    ((400, 2), (400, 1))
    """

    cell: Cell
    shuffle: bool = True

    @cached_property
    def X(self) -> Array:  # noqa: N802 - what the field calls it
        """Inputs, float32, C-contiguous: normal numbers; for xor the four points again and again."""
        cell = self.cell
        if cell.name == "xor":
            return np.tile(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), (cell.steps, 1))
        return self._random(0).standard_normal((cell.samples, cell.widths[0]), np.float32)

    @cached_property
    def y(self) -> Array:
        """Targets, from a noisy linear teacher: int64 class indices for cross_entropy, else a float32 column."""
        cell = self.cell
        if cell.name == "xor":
            return np.asarray(self.X[:, :1] != self.X[:, 1:], np.float32)
        inputs, outputs = cell.widths[0], cell.widths[-1]
        random = self._random(1)
        teacher = random.standard_normal((inputs, outputs), np.float32) / np.float32(inputs**0.5)
        answer = self.X @ teacher + np.float32(0.3) * random.standard_normal((cell.samples, outputs), np.float32)
        if cell.loss == "cross_entropy":
            return np.asarray(answer.argmax(axis=1), np.int64)
        return np.asarray(answer if cell.loss == "mse" else answer > 0, np.float32)

    @cached_property
    def one_hot(self) -> Array:
        """The classes of cross_entropy as float32 rows, for those who are faster with them."""
        return np.asarray(self.y[:, None] == np.arange(self.cell.widths[-1]), np.float32)

    @cached_property
    def initial(self) -> Weights:
        """The initial weights of this library's network, float32."""
        return self.weights_of(self.network())

    def weights_of(self, network: Any) -> Weights:
        """The tensors of a network of this library, layer by layer."""
        state = network.state_dict()
        return [
            tuple(state[name] for name in names)
            for _, names in groupby(state, key=lambda name: name.rpartition(".")[0])
        ]

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([2026, stream])

    def network(self) -> Any:
        """A new network of this library, float32."""
        from .. import Dense, Network

        inputs, *hidden, outputs = self.cell.widths
        layers = [*(Dense(units, self.cell.activation) for units in hidden), Dense(outputs)]
        return Network(layers, input_shape=inputs, dtype="float32", seed=1)

    def optimizer(self) -> Any:
        """This library's optimizer of the cell."""
        from .. import SGD, Adam

        numbers = OPTIMIZERS[self.cell.optimizer]
        if self.cell.optimizer == "adam":
            return Adam(lr=numbers["lr"], betas=(numbers["beta1"], numbers["beta2"]), eps=numbers["eps"])
        return SGD(lr=numbers["lr"], momentum=numbers["momentum"])

    def loss(self, weights: Weights) -> float:
        """The mean loss over the whole data, in float64: the same judge for all peers.

        Parameters
        ----------
        weights : list of tuple of arrays
            Of each layer, as `initial` has them.

        Returns
        -------
        float

        Examples
        --------
        >>> problem = Problem(DENSE_CELLS["xor"])
        >>> round(problem.loss([(0 * weight, bias) for weight, bias in problem.initial]), 4)  # log 2
        0.6931
        """
        return self.loss_of(self.output(weights))

    def output(self, weights: Weights) -> Array:
        """What a network with these weights says of all data, in float64."""
        a = self.X.astype(np.float64)
        for number, (weight, bias) in enumerate(weights):
            z = a @ np.asarray(weight, np.float64) + np.asarray(bias, np.float64)
            last = number == len(weights) - 1
            a = z if last else np.tanh(z) if self.cell.activation == "tanh" else np.maximum(z, 0)
        return a

    def loss_of(self, output: Array) -> float:
        """The mean loss of an output for all data."""
        if self.cell.loss == "mse":
            return float(np.mean((output - self.y) ** 2))
        if self.cell.loss == "binary_cross_entropy":
            return float(np.mean(np.logaddexp(0, output) - self.y * output))
        top = output.max(axis=1)
        total = top + np.log(np.exp(output - top[:, None]).sum(axis=1))
        return float(np.mean(total - output[np.arange(len(output)), self.y]))
