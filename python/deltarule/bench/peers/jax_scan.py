"""JAX: whole epochs in one jitted call; the state is donated, so that it is updated in place.

Two forms: its own permutation inside the call, and NumPy's drawn outside, which is by far the cheaper one on a CPU,
where XLA sorts random keys. Calls return at once, so that the next orders are drawn while it computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..cells import OPTIMIZERS, Array, Problem, Weights
from . import Maker, Peer, library

__all__ = ["NEEDS", "JaxScan", "forms"]

NEEDS = ("jax",)

_EPOCHS_IN_A_CALL = 16  # for each of which an order is drawn before; more were no faster
_UNROLL, _FEW_FLOPS = 4, 10_000  # below so many in a step the loop itself takes time


class JaxScan(Peer):
    """A scan over the steps of an epoch inside a loop over epochs, compiled once for any number of them.

    Parameters
    ----------
    problem : Problem
    order_inside : bool
        Whether the call draws the order of the samples by itself, with ``jax.random.permutation``.
    """

    def __init__(self, problem: Problem, order_inside: bool) -> None:
        super().__init__(problem)
        self._order_inside = order_inside and problem.shuffle
        self._unroll = _UNROLL if problem.cell.flops < _FEW_FLOPS else 1
        jax = self._jax = library("jax")
        numpy = self._numpy = library("jax.numpy")
        self._X = numpy.asarray(problem.X)
        self._y = numpy.asarray(problem.one_hot if problem.cell.loss == "cross_entropy" else problem.y)
        self._in_order = np.arange(problem.cell.samples, dtype=np.int32)
        self._random = np.random.default_rng(0)
        self._epochs = jax.jit(self._train, donate_argnums=(0,))
        self.reset()

    def _loss(self, layers: Any, x: Any, y: Any) -> Any:
        jax, jnp, cell = self._jax, self._numpy, self.problem.cell
        for weight, bias in layers[:-1]:
            z = x @ weight + bias
            x = jnp.tanh(z) if cell.activation == "tanh" else jax.nn.relu(z)
        output = x @ layers[-1][0] + layers[-1][1]
        if cell.loss == "mse":
            return jnp.mean((output - y) ** 2)
        if cell.loss == "binary_cross_entropy":
            return jnp.mean(jax.nn.softplus(output) - y * output)
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(output), axis=1))

    def _update(self, state: Any, gradients: Any) -> Any:
        """(layers, first, second, steps) after the step."""
        jnp, map_leaves = self._numpy, self._jax.tree.map
        numbers = OPTIMIZERS[self.problem.cell.optimizer]
        layers, first, second, steps = state
        steps = steps + 1
        if self.problem.cell.optimizer == "adam":
            beta1, beta2 = numbers["beta1"], numbers["beta2"]
            size = numbers["lr"] / (1 - beta1**steps)
            root = (1 - beta2**steps) ** -0.5
            first = map_leaves(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradients)
            second = map_leaves(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradients)
            layers = map_leaves(
                lambda p, m, v: p - size * m / (jnp.sqrt(v) * root + numbers["eps"]), layers, first, second
            )
        else:
            move = gradients
            if numbers["momentum"]:
                move = first = map_leaves(lambda b, g: numbers["momentum"] * b + g, first, gradients)
            layers = map_leaves(lambda p, b: p - numbers["lr"] * b, layers, move)
        return layers, first, second, steps

    def _train(self, state: Any, key: Any, orders: Any, X: Any, y: Any, epochs: Any) -> Any:
        """What is compiled: (state, key) after so many epochs; orders has a row for each of them, or is None."""
        jax, cell = self._jax, self.problem.cell
        gradients_of = jax.grad(self._loss)

        def step(state: Any, batch: Any) -> Any:
            return self._update(state, gradients_of(state[0], *batch)), None

        def epoch(number: Any, carry: Any) -> Any:
            state, key = carry
            xs, ys = X, y
            if self.problem.shuffle:
                if self._order_inside:
                    key, drawn = jax.random.split(key)
                    order = jax.random.permutation(drawn, cell.samples)
                else:
                    order = orders[number]
                xs, ys = (array.at[order].get(mode="promise_in_bounds") for array in (X, y))
            batches = tuple(array.reshape(cell.steps, cell.batch, *array.shape[1:]) for array in (xs, ys))
            return jax.lax.scan(step, state, batches, unroll=self._unroll)[0], key

        return jax.lax.fori_loop(0, epochs, epoch, (state, key))

    def reset(self) -> None:
        """New arrays: the last ones were donated."""
        jnp, layers = self._numpy, self.problem.initial

        def zeros() -> Any:
            return [tuple(jnp.zeros(array.shape) for array in layer) for layer in layers]

        initial = [tuple(jnp.array(array) for array in layer) for layer in layers]
        self._state = (initial, zeros(), zeros(), jnp.zeros((), jnp.float32))
        self._key = self._jax.random.key(0)

    def train(self, epochs: int) -> None:
        """A call for all epochs, or for every few where their orders are drawn here; then wait for the last."""
        state, key, in_a_call = self._state, self._key, epochs if self._order_inside else _EPOCHS_IN_A_CALL
        for start in range(0, epochs, in_a_call):
            count = min(in_a_call, epochs - start)
            orders = None if self._order_inside else self._orders(count)
            state, key = self._epochs(state, key, orders, self._X, self._y, count)
        self._state, self._key = self._jax.block_until_ready((state, key))

    def _orders(self, count: int) -> Array:
        """Of each epoch in a call; one size for every count, so that nothing is compiled anew."""
        orders = np.empty((_EPOCHS_IN_A_CALL, self.problem.cell.samples), np.int32)
        orders[:count] = self._in_order
        for order in orders[:count]:
            self._random.shuffle(order)
        return orders

    def weights(self) -> Weights:
        """Of the state."""
        return [tuple(np.asarray(array) for array in layer) for layer in self._state[0]]


def forms(problem: Problem) -> Mapping[str, Maker]:
    """With the threads that XLA takes, and the order drawn inside or by NumPy."""
    return {
        "JAX scan": partial(JaxScan, problem, order_inside=True),
        "JAX scan, NumPy order": partial(JaxScan, problem, order_inside=False),
    }
