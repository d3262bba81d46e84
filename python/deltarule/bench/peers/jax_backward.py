"""Recurrent layers in JAX with the backward pass written out: nothing is computed twice, and the gradient of weight_hh
is one product over all steps, where the derivative of a scan adds up one product after the other.
"""

from __future__ import annotations

from typing import Any

__all__ = ["JaxBackward"]


class JaxBackward:
    """A layer whose last state is a function with a derivative of its own.

    A cell is two functions: forward from (state, a = x W_ih + b, W_hh, b_n) to the new state and what is kept of it,
    backward from dL/d(state) and what was kept to dL/d(state) before, dL/da and dL/d(h W_hh).

    Parameters
    ----------
    jax : module
    kind : str
        "rnn", "lstm" or "gru".
    """

    def __init__(self, jax: Any, kind: str) -> None:
        self._jax, self._numpy, self._kind = jax, jax.numpy, kind
        self._forward, self._backward = {
            "rnn": (self._rnn, self._rnn_back),
            "lstm": (self._lstm, self._lstm_back),
            "gru": (self._gru, self._gru_back),
        }[kind]

    def last_state(self, projected: Any, weight_hh: Any, bias_n: Any, zero: Any) -> Any:
        """h after all steps, from the products with the features: (n_steps, batch, gates·units)."""
        jnp, scan = self._numpy, self._jax.lax.scan

        def last(projected: Any, weight_hh: Any, bias_n: Any) -> Any:
            return forward(projected, weight_hh, bias_n)[0]

        def forward(projected: Any, weight_hh: Any, bias_n: Any) -> Any:
            def step(state: Any, a: Any) -> Any:
                after, kept = self._forward(state, a, weight_hh, bias_n)
                return after, (state[0], kept)

            state, kept = scan(step, (zero, zero) if self._kind == "lstm" else (zero,), projected)
            return state[0], (kept, weight_hh)

        def backward(kept: Any, grad_last: Any) -> Any:
            (states, kept), weight_hh = kept
            turned = weight_hh.T

            def step(grad: Any, kept: Any) -> Any:
                before, grad_a, grad_b = self._backward(grad, kept)
                return (before[0] + grad_b @ turned, *before[1:]), (grad_a, grad_b)

            start = (grad_last, zero) if self._kind == "lstm" else (grad_last,)
            _, (grad_a, grad_b) = scan(step, start, kept, reverse=True)
            units = zero.shape[1]
            grad_bias_n = grad_b[:, :, 2 * units :].sum((0, 1)) if self._kind == "gru" else jnp.zeros_like(bias_n)
            return grad_a, jnp.tensordot(states, grad_b, ((0, 1), (0, 1))), grad_bias_n

        layer = self._jax.custom_vjp(last)
        layer.defvjp(forward, backward)
        return layer(projected, weight_hh, bias_n)

    def _rnn(self, state: Any, a: Any, weight_hh: Any, _: Any) -> Any:
        h = self._numpy.tanh(a + state[0] @ weight_hh)
        return (h,), h

    def _rnn_back(self, grad: Any, h: Any) -> Any:
        delta = grad[0] * (1 - h * h)
        return (0.0,), delta, delta

    def _lstm(self, state: Any, a: Any, weight_hh: Any, _: Any) -> Any:
        jnp, sigmoid = self._numpy, self._jax.nn.sigmoid
        i, f, g, o = jnp.split(a + state[0] @ weight_hh, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o)
        c = f * state[1] + i * g
        t = jnp.tanh(c)
        return (o * t, c), (state[1], i, f, g, o, t)

    def _lstm_back(self, grad: Any, kept: Any) -> Any:
        grad_h, grad_c = grad
        before, i, f, g, o, t = kept
        grad_c = grad_c + grad_h * o * (1 - t * t)
        of_gates = (
            grad_c * g * i * (1 - i),
            grad_c * before * f * (1 - f),
            grad_c * i * (1 - g * g),
            grad_h * t * o * (1 - o),
        )
        delta = self._numpy.concatenate(of_gates, axis=1)
        return (0.0, grad_c * f), delta, delta

    def _gru(self, state: Any, a: Any, weight_hh: Any, bias_n: Any) -> Any:
        jnp, sigmoid = self._numpy, self._jax.nn.sigmoid
        a_r, a_z, a_n = jnp.split(a, 3, axis=1)
        b_r, b_z, b_n = jnp.split(state[0] @ weight_hh, 3, axis=1)
        r, z, b_n = sigmoid(a_r + b_r), sigmoid(a_z + b_z), b_n + bias_n
        n = jnp.tanh(a_n + r * b_n)
        return ((1 - z) * n + z * state[0],), (state[0], r, z, n, b_n)

    def _gru_back(self, grad: Any, kept: Any) -> Any:
        jnp, grad_h = self._numpy, grad[0]
        before, r, z, n, b_n = kept
        delta_n = grad_h * (1 - z) * (1 - n * n)
        delta_r, delta_z = delta_n * b_n * r * (1 - r), grad_h * (before - n) * z * (1 - z)
        both = (delta_r, delta_z)
        return (
            (grad_h * z,),
            jnp.concatenate((*both, delta_n), axis=1),
            jnp.concatenate((*both, delta_n * r), axis=1),
        )
