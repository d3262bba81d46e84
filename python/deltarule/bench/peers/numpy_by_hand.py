"""NumPy by hand, as a careful programmer writes it: every buffer is made once, all parameters lie in one flat array.

The optimizer then is a handful of calls for the whole network, however many layers it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import numpy as np

from ..cells import OPTIMIZERS, Array, Problem, Weights
from . import Maker, Peer
from .blas_threads import blas_forms

__all__ = ["NEEDS", "NumpyByHand", "forms"]

NEEDS: tuple[str, ...] = ()


def _layers(flat: Array, widths: tuple[int, ...]) -> Weights:
    """Views of weights and biases in a flat array."""
    views: Weights = []
    start = 0
    for inputs, units in pairwise(widths):
        end = start + inputs * units
        views.append((flat[start:end].reshape(inputs, units), flat[end : end + units]))
        start = end + units
    return views


class NumpyByHand(Peer):
    """Forward, delta, gradients and update in NumPy's fastest calls.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        cell = problem.cell
        self._parameters, self._gradient, self._first, self._second, self._spare = np.zeros(
            (5, cell.parameters), np.float32
        )
        self._layers = _layers(self._parameters, cell.widths)
        self._gradients = _layers(self._gradient, cell.widths)
        self._activations = [np.empty((cell.batch, units), np.float32) for units in cell.widths]
        self._deltas = [np.empty((cell.batch, units), np.float32) for units in cell.widths[1:]]
        self._slopes = [np.empty((cell.batch, units), np.float32) for units in cell.widths[1:-1]]
        targets = problem.one_hot if cell.loss == "cross_entropy" else problem.y
        self._targets = np.ascontiguousarray(targets)
        self._target = np.empty((cell.batch, cell.widths[-1]), np.float32)
        self._random = np.random.default_rng(0)
        self._update: Callable[[], None] = self._adam if cell.optimizer == "adam" else self._sgd
        self.reset()

    def reset(self) -> None:
        """Parameters and state in place."""
        for (weight, bias), (initial_weight, initial_bias) in zip(self._layers, self.problem.initial, strict=True):
            weight[...], bias[...] = initial_weight, initial_bias
        self._first.fill(0)
        self._second.fill(0)
        self._steps = 0

    def train(self, epochs: int) -> None:
        """One step after the other."""
        cell, X = self.problem.cell, self.problem.X
        order = np.arange(cell.samples)
        batch, target = self._activations[0], self._target
        for _ in range(epochs):
            if self.problem.shuffle:
                self._random.shuffle(order)
            for start in range(0, cell.samples, cell.batch):
                samples = order[start : start + cell.batch]
                # The indices are right; any other mode would copy once more.
                np.take(X, samples, axis=0, out=batch, mode="clip")
                np.take(self._targets, samples, axis=0, out=target, mode="clip")
                self._forward()
                self._backward()
                self._update()

    def _forward(self) -> None:
        """a ← f(a W + b), layer by layer; the last gives logits."""
        last = len(self._layers) - 1
        for number, (weight, bias) in enumerate(self._layers):
            z = self._activations[number + 1]
            np.matmul(self._activations[number], weight, out=z)
            z += bias
            if number < last:
                if self.problem.cell.activation == "tanh":
                    np.tanh(z, out=z)
                else:
                    np.maximum(z, 0, out=z)

    def _output_delta(self) -> None:
        """dL/dz of the output: 2(z - y), sigmoid(z) - y or softmax(z) - y, over the number of terms in the mean."""
        output, delta, loss = self._activations[-1], self._deltas[-1], self.problem.cell.loss
        if loss == "mse":
            np.subtract(output, self._target, out=delta)
            delta *= 2 / delta.size
            return
        if loss == "binary_cross_entropy":  # sigmoid(z) = (1 + tanh(z/2)) / 2 never overflows
            np.multiply(output, 0.5, out=delta)
            np.tanh(delta, out=delta)
            delta += 1
            delta *= 0.5
        else:
            np.subtract(output, output.max(axis=1, keepdims=True), out=delta)
            np.exp(delta, out=delta)
            delta /= delta.sum(axis=1, keepdims=True)
        delta -= self._target
        delta *= 1 / (delta.size if loss == "binary_cross_entropy" else len(delta))

    def _backward(self) -> None:
        """dW = aᵀ delta, db = Σ delta, delta ← (delta Wᵀ) f'(z)."""
        self._output_delta()
        for number in reversed(range(len(self._layers))):
            a, delta = self._activations[number], self._deltas[number]
            gradient_weight, gradient_bias = self._gradients[number]
            np.matmul(a.T, delta, out=gradient_weight)
            np.add.reduce(delta, axis=0, out=gradient_bias)
            if number:
                below, slope = self._deltas[number - 1], self._slopes[number - 1]
                np.matmul(delta, self._layers[number][0].T, out=below)
                if self.problem.cell.activation == "tanh":
                    np.multiply(a, a, out=slope)
                    np.subtract(1, slope, out=slope)
                else:
                    np.sign(a, out=slope)  # 0 or 1
                below *= slope

    def _adam(self) -> None:
        """m, v, and θ ← θ - lr m̂ / (√v̂ + eps), the corrections in the two factors."""
        numbers = OPTIMIZERS["adam"]
        beta1, beta2 = numbers["beta1"], numbers["beta2"]
        self._steps += 1
        gradient, m, v, spare = self._gradient, self._first, self._second, self._spare
        m *= beta1
        np.multiply(gradient, 1 - beta1, out=spare)
        m += spare
        v *= beta2
        np.multiply(gradient, gradient, out=spare)
        spare *= 1 - beta2
        v += spare
        np.sqrt(v, out=spare)
        spare *= (1 - beta2**self._steps) ** -0.5
        spare += numbers["eps"]
        np.divide(m, spare, out=spare)
        spare *= numbers["lr"] / (1 - beta1**self._steps)
        self._parameters -= spare

    def _sgd(self) -> None:
        """b ← momentum b + g; θ ← θ - lr b."""
        numbers = OPTIMIZERS[self.problem.cell.optimizer]
        step = self._gradient
        if numbers["momentum"]:
            step = self._first
            step *= numbers["momentum"]
            step += self._gradient
        np.multiply(step, numbers["lr"], out=self._spare)
        self._parameters -= self._spare

    def weights(self) -> Weights:
        """Copies."""
        return [(weight.copy(), bias.copy()) for weight, bias in self._layers]


def forms(problem: Problem) -> Mapping[str, Maker]:
    """With the threads that its BLAS takes by itself, and with one."""
    return blas_forms("NumPy", partial(NumpyByHand, problem))
