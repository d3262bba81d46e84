"""PyTorch's own recurrent kernels, called without a module, eager: forward, backward, the fused optimizer.

Parameters are those of torch.nn.RNN, LSTM and GRU; tensors lie in memory, and each epoch is one gather.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cells import Weights
from ..recurrent_cells import RecurrentProblem
from . import Maker
from .torch_eager import TorchEager, by_threads

__all__ = ["NEEDS", "TorchRecurrent", "forms"]

NEEDS = ("torch",)


class TorchRecurrent(TorchEager):
    """The usual loop: loss, backward, optimizer.step.

    Parameters
    ----------
    problem : RecurrentProblem
    threads : int
        For ``torch.set_num_threads``.
    """

    problem: RecurrentProblem

    def _initial_parameters(self) -> list[Any]:
        """As torch has them: weights as (gates·units, inputs)."""
        torch, arrays = self._torch, [array for layer in self.problem.initial for array in layer]
        return [torch.from_numpy(np.array(array.T, order="C")) for array in arrays]

    def _make_loss(self) -> Any:
        torch, cell = self._torch, self.problem.cell
        functional = torch.nn.functional
        loss = functional.mse_loss if cell.loss == "mse" else functional.cross_entropy
        start = torch.zeros(1, cell.batch, cell.widths[1])
        # Parameters, biases, layers, dropout, training, both directions, (batch, step, feature).
        how = (True, 1, 0.0, True, False, True)
        run = {"rnn": torch.rnn_tanh, "lstm": torch.lstm, "gru": torch.gru}[cell.kind]

        def of_batch(layers: Any, x: Any, y: Any) -> Any:
            state = (start, start) if cell.kind == "lstm" else start
            last = run(x, state, layers[:4], *how)[1]
            return loss(functional.linear(last[0], layers[4], layers[5]), y)

        return of_batch

    def weights(self) -> Weights:
        """Of the tensors, as (inputs, gates·units)."""
        arrays = [tensor.detach().numpy().T for tensor in self._parameters]
        return [tuple(arrays[:4]), tuple(arrays[4:])]


def forms(problem: RecurrentProblem) -> Mapping[str, Maker]:
    """With one thread and, where there are more cores, with all of them."""
    return by_threads(TorchRecurrent, problem)
