"""Keras on JAX: its recurrent layers, compiled, all steps of an epoch in one execution; in a process of its own.

Its gates lie in another order, i f c o and z r h, and its LSTM and simple RNN have one bias where torch has two, which
Adam then moves half as fast: their losses are near the others', not the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..cells import OPTIMIZERS, Array, Weights
from ..recurrent_cells import RecurrentProblem
from . import Maker, Peer, library
from .own_process import OwnProcess

__all__ = ["NEEDS", "KerasRecurrent", "forms"]

NEEDS = ("keras", "jax")


class KerasRecurrent(Peer):
    """One ``fit`` for each run.

    Parameters
    ----------
    problem : RecurrentProblem
    """

    problem: RecurrentProblem

    def __init__(self, problem: RecurrentProblem) -> None:
        super().__init__(problem)
        keras, cell = library("keras"), problem.cell
        if keras.backend.backend() != "jax":
            raise RuntimeError(f"keras runs on {keras.backend.backend()}: expected KERAS_BACKEND=jax")
        features, units, outputs = cell.widths
        kind = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell.kind]
        self._model: Any = keras.Sequential(
            [keras.Input((cell.n_steps, features)), kind(units), keras.layers.Dense(outputs)]
        )
        numbers = OPTIMIZERS["adam"]
        optimizer = keras.optimizers.Adam(
            learning_rate=numbers["lr"], beta_1=numbers["beta1"], beta_2=numbers["beta2"], epsilon=numbers["eps"]
        )
        loss = "mse" if cell.loss == "mse" else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._model.compile(optimizer=optimizer, loss=loss, jit_compile=True, steps_per_execution=cell.steps)
        self._y = problem.y.astype(np.int32) if cell.loss == "cross_entropy" else problem.y
        optimizer.build(self._model.trainable_variables)
        self._fresh = [np.asarray(variable) for variable in optimizer.variables]
        self.reset()

    def reset(self) -> None:
        """Variables in place: what is compiled stays."""
        self._model.set_weights(self._to_keras(self.problem.initial))
        for variable, value in zip(self._model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def train(self, epochs: int) -> None:
        """One fit."""
        self._model.fit(
            self.problem.X,
            self._y,
            batch_size=self.problem.cell.batch,
            epochs=epochs,
            shuffle=self.problem.shuffle,
            verbose=0,
        )

    def weights(self) -> Weights:
        """Of the model, as torch has them; where there is one bias, the other is 0."""
        weight_ih, weight_hh, biases, weight, bias = self._model.get_weights()
        bias_ih, bias_hh = biases if biases.ndim == 2 else (biases, np.zeros_like(biases))
        return [tuple(map(self._gates, (weight_ih, weight_hh, bias_ih, bias_hh))), (weight, bias)]

    def _to_keras(self, weights: Weights) -> list[Array]:
        (weight_ih, weight_hh, bias_ih, bias_hh), (weight, bias) = weights
        biases = np.stack([bias_ih, bias_hh]) if self.problem.cell.kind == "gru" else bias_ih + bias_hh
        return [self._gates(weight_ih), self._gates(weight_hh), self._gates(biases), weight, bias]

    def _gates(self, array: Array) -> Array:
        """r z n as z r n and back; the others are in order."""
        if self.problem.cell.kind != "gru":
            return array
        first, second, third = np.split(array, 3, axis=-1)
        return np.concatenate([second, first, third], axis=-1)


def forms(problem: RecurrentProblem) -> Mapping[str, Maker]:
    """With the threads that XLA takes."""
    return {"Keras on JAX": partial(OwnProcess, problem, partial(KerasRecurrent, problem), {"KERAS_BACKEND": "jax"})}
