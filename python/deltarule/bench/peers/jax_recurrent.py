"""JAX: whole epochs in one jitted call, with cells by hand: a scan over steps of sequences inside that over batches.

The products with the features of all steps are one product before the scan. XLA takes its threads once in the life of a
process, so that the form with one thread has a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...threads import available_threads
from ..recurrent_cells import RecurrentProblem
from . import Maker
from .jax_backward import JaxBackward
from .jax_scan import JaxScan
from .own_process import OwnProcess

__all__ = ["NEEDS", "JaxRecurrent", "forms"]

NEEDS = ("jax",)


class JaxRecurrent(JaxScan):
    """A scan over time in a scan over batches in a loop over epochs; NumPy draws the orders, which is the faster way.

    Parameters
    ----------
    problem : RecurrentProblem
    by_hand : bool
        Whether the backward pass is written out too, instead of derived from the scan by JAX.
    """

    problem: RecurrentProblem

    def __init__(self, problem: RecurrentProblem, by_hand: bool) -> None:
        self._by_hand = by_hand
        super().__init__(problem, order_inside=False)

    def _loss(self, layers: Any, x: Any, y: Any) -> Any:
        jax, jnp, cell = self._jax, self._numpy, self.problem.cell
        (weight_ih, weight_hh, bias_ih, bias_hh), (weight, bias) = layers
        units = cell.widths[1]
        # Of the GRU's new state the part from the state is multiplied by r first, its bias with it.
        alike = bias_hh if cell.kind != "gru" else bias_hh.at[2 * units :].set(0)
        projected = x.swapaxes(0, 1) @ weight_ih + (bias_ih + alike)
        bias_n, zero = bias_hh[2 * units :], jnp.zeros((cell.batch, units))
        if self._by_hand:
            last = JaxBackward(jax, cell.kind).last_state(projected, weight_hh, bias_n, zero)
        else:
            last = self._last_state(projected, weight_hh, bias_n, zero)
        output = last @ weight + bias
        if cell.loss == "mse":
            return jnp.mean((output - y) ** 2)
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(output), axis=1))

    def _last_state(self, projected: Any, weight_hh: Any, bias_n: Any, zero: Any) -> Any:
        """One step of the loop at a time: more were no faster, and for the LSTM by far slower."""
        kind, scan = self.problem.cell.kind, self._jax.lax.scan
        step = {"rnn": self._rnn, "lstm": self._lstm, "gru": self._gru}[kind](weight_hh, bias_n)
        if kind == "lstm":
            return scan(step, (zero, zero), projected)[0][0]
        return scan(step, zero, projected)[0]

    def _rnn(self, weight_hh: Any, _: Any) -> Any:
        jnp = self._numpy
        return lambda h, a: (jnp.tanh(a + h @ weight_hh), None)

    def _lstm(self, weight_hh: Any, _: Any) -> Any:
        jnp, sigmoid = self._numpy, self._jax.nn.sigmoid

        def step(state: Any, a: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(a + h @ weight_hh, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
            return (sigmoid(o) * jnp.tanh(c), c), None

        return step

    def _gru(self, weight_hh: Any, bias_n: Any) -> Any:
        jnp, sigmoid = self._numpy, self._jax.nn.sigmoid

        def step(h: Any, a: Any) -> Any:
            a_r, a_z, a_n = jnp.split(a, 3, axis=1)
            b_r, b_z, b_n = jnp.split(h @ weight_hh, 3, axis=1)
            z, n = sigmoid(a_z + b_z), jnp.tanh(a_n + sigmoid(a_r + b_r) * (b_n + bias_n))
            return (1 - z) * n + z * h, None

        return step


def forms(problem: RecurrentProblem) -> Mapping[str, Maker]:
    """With one thread and, where there are more cores, with all that XLA takes; JAX's backward pass and one by hand."""
    made: dict[str, Maker] = {}
    for name, by_hand in (("JAX scan", False), ("JAX scan, backward by hand", True)):
        make = partial(JaxRecurrent, problem, by_hand)
        made[f"{name}, 1 thread"] = partial(OwnProcess, problem, make, {"NPROC": "1"})
        if available_threads() > 1:
            made[f"{name}, {available_threads()} threads"] = make
    return made
