"""Recurrent cells: one step forward in time, and one step back. Unrolled over the steps in layers/recurrent.py.

To add one, write a class with a `name`, its `gates` and `states`, `step` and `step_back`: it enters CELLS by itself.
The formulas and the order of the gates are PyTorch's; the papers are in the docstrings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ..names import find
from .activations import ACTIVATIONS, Activation, Array, Sigmoid

__all__ = ["CELLS", "GRU", "LSTM", "RNN", "Cell", "Kept", "State"]

CELLS: dict[str, type[Cell]] = {}
State = tuple[Array, ...]  # one array (n_samples, units) for each name in `states`
Kept = tuple[Array, State, Array, Array]  # x, the state before, a and b: what the way back needs of the way forward


class Cell:
    """What a cell is: from the input x and the state before, the state after.

    Two weighted sums, for all gates side by side,

        a = x W_ih + b_ih        what the input says                              (n_samples, gates * units)
        b = h W_hh + b_hh        what the hidden state of the step before says

    and then the formulas of the cell, number by number: `step`. On the way back the chain rule goes through the
    formulas first, `step_back`, and then from dL/da and dL/db through the weighted sums, as in `Dense`:

        dL/dW_ih = xᵀ dL/da      dL/db_ih = Σ over the samples of dL/da      dL/dx = dL/da W_ihᵀ
        dL/dW_hh = hᵀ dL/db      dL/db_hh = Σ over the samples of dL/db      dL/dh = dL/db W_hhᵀ + what step_back found

    Parameters
    ----------
    activation : str, default "tanh"
        The name of f; "tanh", for `RNN` also "relu".

    Raises
    ------
    TypeError, ValueError
        If the cell has no such activation.

    Examples
    --------
    >>> import numpy as np
    >>> one = {"weight_ih": np.eye(1), "weight_hh": np.eye(1), "bias_ih": np.zeros(1), "bias_hh": np.zeros(1)}
    >>> cell = RNN("relu")
    >>> (h,), kept = cell.forward(np.array([[2.0]]), (np.array([[3.0]]),), one)
    >>> h
    array([[5.]])
    >>> grad_x, (grad_h,), gradients = cell.backward((np.array([[1.0]]),), kept, one)
    >>> gradients["weight_ih"], gradients["weight_hh"]
    (array([[2.]]), array([[3.]]))
    """

    name: ClassVar[str]
    gates: ClassVar[tuple[str, ...]]  # in the order in which they stand side by side in the weights
    states: ClassVar[tuple[str, ...]] = ("hidden",)
    activations: ClassVar[tuple[str, ...]] = ("tanh",)

    def __init_subclass__(cls) -> None:
        CELLS[cls.name] = cls

    def __init__(self, activation: str = "tanh") -> None:
        allowed = {name: ACTIVATIONS[name] for name in self.activations}
        self.activation: type[Activation] = find(f"activation of {self.name}", activation, allowed)
        self.gate: type[Activation] = Sigmoid  # from 0, closed, to 1, open

    def step(self, a: Array, b: Array, state: State) -> State:
        """Return the state after from the two weighted sums and the state before: the formulas."""
        raise NotImplementedError

    def step_back(self, a: Array, b: Array, state: State, grad: State) -> tuple[Array, Array, State]:
        """Return dL/da, dL/db and dL/d the state before, from `grad`, dL/d the state after.

        The share of the hidden state before that comes through b is not in it.
        """
        raise NotImplementedError

    def forward(self, x: Array, state: State, weights: Mapping[str, Array]) -> tuple[State, Kept]:
        """Go one step forward.

        Parameters
        ----------
        x : ndarray, shape (n_samples, inputs)
            The inputs of this step.
        state : tuple of ndarray, shape (n_samples, units)
            The state before, one for each name in `states`; the hidden state comes first.
        weights : mapping of ndarray
            weight_ih (inputs, gates * units), weight_hh (units, gates * units), bias_ih and bias_hh (gates * units,).

        Returns
        -------
        tuple of ndarray
            The state after.
        tuple
            What `backward` needs.
        """
        a = x @ weights["weight_ih"] + weights["bias_ih"]
        b = state[0] @ weights["weight_hh"] + weights["bias_hh"]
        return self.step(a, b, state), (x, state, a, b)

    def backward(self, grad: State, kept: Kept, weights: Mapping[str, Array]) -> tuple[Array, State, dict[str, Array]]:
        """Go the step back.

        Parameters
        ----------
        grad : tuple of ndarray, shape (n_samples, units)
            dL/d the state after, from all that comes after this step.
        kept : tuple
            From `forward`.
        weights : mapping of ndarray
            As in `forward`.

        Returns
        -------
        ndarray, shape (n_samples, inputs)
            dL/dx.
        tuple of ndarray, shape (n_samples, units)
            dL/d the state before.
        dict of ndarray
            This step's share of the gradients, by the names of the weights.
        """
        x, state, a, b = kept
        grad_a, grad_b, (grad_h, *others) = self.step_back(a, b, state, grad)
        gradients = {
            "weight_ih": x.T @ grad_a,
            "weight_hh": state[0].T @ grad_b,
            "bias_ih": grad_a.sum(axis=0),
            "bias_hh": grad_b.sum(axis=0),
        }
        return grad_a @ weights["weight_ih"].T, (grad_h + grad_b @ weights["weight_hh"].T, *others), gradients


class RNN(Cell):
    """The simple recurrent cell, a dense layer that also sees its own last output: h' = f(a + b).

    So h' = f(x W_ih + b_ih + h W_hh + b_hh), and on the way back dL/da = dL/db = dL/dh' * f'(a + b). Through T steps
    the gradient is multiplied by W_hh and a slope T times, whence it vanishes or explodes.

    References
    ----------
    D. Rumelhart, G. Hinton and R. Williams, "Learning internal representations by error propagation", 1986, in which
    the network is unrolled over the steps.
    J. Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    name = "rnn"
    gates = ("h",)
    activations = ("tanh", "relu")

    def step(self, a: Array, b: Array, state: State) -> State:
        return (self.activation.value(a + b),)

    def step_back(self, a: Array, b: Array, state: State, grad: State) -> tuple[Array, Array, State]:
        delta = self.activation.backward(a + b, grad[0])
        return delta, delta, (np.zeros_like(state[0]),)


class LSTM(Cell):
    """Long short-term memory: a cell state c that is added to, not multiplied by weights, and gates around it.

    With z = a + b, gate by gate,

        i = σ(z_i)        the input gate: how much is written
        f = σ(z_f)        the forget gate: how much of the old is kept
        g = tanh(z_g)     what would be written
        o = σ(z_o)        the output gate: how much is shown
        c' = f c + i g
        h' = o tanh(c')

    On the way back c' is reached on two ways, from the step after and through h':

        dL/do = dL/dh' tanh(c')        dL/dc' ← dL/dc' + dL/dh' o tanh'(c')
        dL/di = dL/dc' g        dL/df = dL/dc' c        dL/dg = dL/dc' i        dL/dc = dL/dc' f

    and each gate has its slope. From step to step dL/dc is multiplied by f alone: near 1, it neither vanishes nor
    explodes.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
    F. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction with LSTM", Neural Computation
    12, 2000 (the forget gate).
    """

    name = "lstm"
    gates = ("i", "f", "g", "o")
    states = ("hidden", "cell")

    def step(self, a: Array, b: Array, state: State) -> State:
        z_i, z_f, z_g, z_o = np.split(a + b, 4, axis=1)
        i, f, g, o = self.gate.value(z_i), self.gate.value(z_f), self.activation.value(z_g), self.gate.value(z_o)
        c = f * state[1] + i * g
        return o * self.activation.value(c), c

    def step_back(self, a: Array, b: Array, state: State, grad: State) -> tuple[Array, Array, State]:
        z_i, z_f, z_g, z_o = np.split(a + b, 4, axis=1)
        i, f, g, o = self.gate.value(z_i), self.gate.value(z_f), self.activation.value(z_g), self.gate.value(z_o)
        _, c_before = state
        c = f * c_before + i * g
        grad_h, grad_c = grad
        grad_o = grad_h * self.activation.value(c)
        grad_c = grad_c + self.activation.backward(c, grad_h * o)
        delta = np.hstack(
            [
                self.gate.backward(z_i, grad_c * g),
                self.gate.backward(z_f, grad_c * c_before),
                self.activation.backward(z_g, grad_c * i),
                self.gate.backward(z_o, grad_o),
            ]
        )
        return delta, delta, (np.zeros_like(grad_h), grad_c * f)


class GRU(Cell):
    """The gated recurrent unit: the new state is a mean of the old one and a candidate n, and a gate z weighs them.

        r = σ(a_r + b_r)           the reset gate: how much the candidate sees of the old state
        z = σ(a_z + b_z)           the update gate: how much of the old state stays
        n = tanh(a_n + r b_n)      the candidate
        h' = (1 - z) n + z h

    On the way back

        dL/dn = dL/dh' (1 - z)        dL/dz = dL/dh' (h - n)        dL/dh = dL/dh' z, and what comes through b
        delta_n = dL/dn tanh'        dL/da_n = delta_n        dL/db_n = delta_n r        dL/dr = delta_n b_n

    Notes
    -----
    In the paper the reset gate is applied to h, before the product with W_hh; here, as in cuDNN and PyTorch, after it,
    to the product and its bias, b_n.

    References
    ----------
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    EMNLP 2014, equations 5 to 8.
    """

    name = "gru"
    gates = ("r", "z", "n")

    def step(self, a: Array, b: Array, state: State) -> State:
        (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
        r, z = self.gate.value(a_r + b_r), self.gate.value(a_z + b_z)
        n = self.activation.value(a_n + r * b_n)
        return ((1 - z) * n + z * state[0],)

    def step_back(self, a: Array, b: Array, state: State, grad: State) -> tuple[Array, Array, State]:
        (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
        r, z = self.gate.value(a_r + b_r), self.gate.value(a_z + b_z)
        n = self.activation.value(a_n + r * b_n)
        (grad_h,), (h,) = grad, state
        delta_n = self.activation.backward(a_n + r * b_n, grad_h * (1 - z))
        delta_r = self.gate.backward(a_r + b_r, delta_n * b_n)
        delta_z = self.gate.backward(a_z + b_z, grad_h * (h - n))
        return np.hstack([delta_r, delta_z, delta_n]), np.hstack([delta_r, delta_z, delta_n * r]), (grad_h * z,)
