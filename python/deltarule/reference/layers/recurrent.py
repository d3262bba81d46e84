"""The recurrent layer, over any cell of cells.py: unrolled over the steps, forward, and backward through time.

The mathematics is from P. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the
IEEE 78, 1990; truncated as in R. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of
recurrent network trajectories", Neural Computation 2, 1990.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...names import find
from ..activations import Array
from ..cells import CELLS, Cell, Kept

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_DIRECTIONS = ("", "_reverse")  # what the names of the parameters and the states end in


class _Moment(NamedTuple):
    """One step of the way forward, as the way back needs it."""

    t: int
    going_on: Any  # the samples that have this step
    kept: Kept


class Recurrent:
    """A layer with a memory: what it says of a step depends on its own state after the step before.

    Unrolled over the steps t = 0, 1, … it is a deep network whose layers share their weights,

        state_t = cell(x_t, state_{t-1}),

    and the output is the hidden state of each step, or of each sample's last one. On the way back, from the last step
    to the first, dL/d state_t has two parts: from the output of step t, and from step t + 1. Since the weights are
    shared, their gradient is the sum over the steps. A bidirectional layer is two: one goes from the first step to the
    last, the other, with weights of its own, from the last to the first, and their outputs stand side by side.

    Parameters
    ----------
    cell : str or Cell
        "rnn", "lstm", "gru", or a cell.
    parameters : mapping of array-like
        weight_ih (inputs, gates * units), weight_hh (units, gates * units), bias_ih and bias_hh (gates * units,), the
        gates side by side; for a bidirectional layer also those with the suffix "_reverse". Copied.
    return_sequences : bool, default False
        Give the hidden state of every step. Else that of each sample's last step; in the reverse direction the last
        one to be computed is step 0.
    bidirectional : bool, default False
    l1, l2 : float, >= 0, default 0
        The penalties on weight_ih and weight_hh.
    name : str, optional
        What the layer is called; None for its place in the network.

    Raises
    ------
    TypeError, ValueError
        If there is no such cell, a parameter is missing, or the shapes do not match.

    Examples
    --------
    A memory that adds up what it is shown, h_t = x_t + h_{t-1}, and three samples, the last of which has two steps:

    >>> import numpy as np
    >>> from deltarule.reference.cells import RNN
    >>> one = {"weight_ih": [[1.0]], "weight_hh": [[1.0]], "bias_ih": [0.0], "bias_hh": [0.0]}
    >>> layer = Recurrent(RNN("relu"), one)
    >>> X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, np.nan]])[:, :, None]
    >>> layer.forward(X, lengths=[3, 3, 2])
    array([[ 6.],
           [15.],
           [15.]])
    >>> layer.backward([[1.0], [0.0], [1.0]])[:, :, 0]
    array([[1., 1., 1.],
           [0., 0., 0.],
           [1., 1., 0.]])
    >>> layer.gradients["weight_ih"]  # each input, where there is a gradient: 1 + 2 + 3 + 7 + 8
    array([[21.]])
    """

    def __init__(
        self,
        cell: str | Cell,
        parameters: Mapping[str, Any],
        *,
        return_sequences: bool = False,
        bidirectional: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
        name: str | None = None,
    ) -> None:
        self.cell: Cell = cell if isinstance(cell, Cell) else find("cell", cell, CELLS)()
        self.return_sequences, self.bidirectional = return_sequences, bidirectional
        self.l1, self.l2, self.name = l1, l2, name
        self._directions = _DIRECTIONS if bidirectional else _DIRECTIONS[:1]
        needed = [key + direction for direction in self._directions for key in _WEIGHTS]
        missing = [key for key in needed if key not in parameters]
        if missing:
            raise ValueError(
                f"parameters has no {' and no '.join(missing)} for a {'bidirectional ' if bidirectional else ''}"
                f"{self.cell.name} layer: it has {', '.join(parameters) or 'nothing'}; pass every parameter of the"
                " network"
            )
        self.parameters: dict[str, Array] = {key: np.array(parameters[key], dtype=np.float64) for key in needed}
        self.inputs = len(np.atleast_1d(self.parameters["weight_ih"]))
        self.units = len(np.atleast_1d(self.parameters["weight_hh"]))
        self._check_shapes()
        self.gradients: dict[str, Array] = {}
        self.final_state: dict[str, Array] = {}  # of the last way forward
        self._moments: dict[str, list[_Moment]] = {}
        self._shape: tuple[int, ...] = ()

    @classmethod
    def from_spec(cls, settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> Recurrent:
        """Make the layer from its entry in a network's spec and its parameters.

        Parameters
        ----------
        settings : mapping
            ``{"type": "lstm", "units": 3, "return_sequences": False, "bidirectional": False, "l1": 0.0, "l2": 0.0,
            "name": None}``, for "rnn" also ``"activation"``; all but ``"type"`` and ``"units"`` may be left out.
        parameters : mapping
            As in the class.

        Returns
        -------
        Recurrent

        Raises
        ------
        TypeError, ValueError
            If a parameter is missing or has the wrong shape.
        """
        cell = find("cell", settings["type"], CELLS)
        layer = cls(
            cell(settings["activation"]) if "activation" in settings else cell(),
            parameters,
            return_sequences=settings.get("return_sequences", False),
            bidirectional=settings.get("bidirectional", False),
            l1=settings.get("l1", 0.0),
            l2=settings.get("l2", 0.0),
            name=settings.get("name"),
        )
        if layer.units != settings["units"]:
            shape = layer.parameters["weight_hh"].shape
            raise ValueError(
                f"weight_hh has shape {shape} but the layer has {settings['units']} units: expected"
                f" ({settings['units']}, {len(cell.gates) * settings['units']})"
            )
        return layer

    def _check_shapes(self) -> None:
        wide = len(self.cell.gates) * self.units
        expected = dict(zip(_WEIGHTS, [(self.inputs, wide), (self.units, wide), (wide,), (wide,)], strict=True))
        for key, array in self.parameters.items():
            if array.shape != expected[key.removesuffix("_reverse")]:
                raise ValueError(
                    f"{key} has shape {array.shape}: expected {expected[key.removesuffix('_reverse')]}, for"
                    f" {self.inputs} inputs and {self.units} units with the gates {', '.join(self.cell.gates)} side by"
                    " side"
                )

    @property
    def state_names(self) -> list[str]:
        """What the arrays of a state are called: hidden, for an LSTM cell, and the same with the suffix _reverse."""
        return [name + direction for direction in self._directions for name in self.cell.states]

    def _weights(self, direction: str) -> dict[str, Array]:
        return {key: self.parameters[key + direction] for key in _WEIGHTS}

    def forward(self, x: Any, *, lengths: Any = None, initial_state: Mapping[str, Any] | None = None) -> Array:
        """Go through the steps, set `final_state`, and keep what the way back needs.

        Parameters
        ----------
        x : array-like, shape (n_samples, n_steps, inputs)
        lengths : array-like of int, shape (n_samples,), optional
            How many steps each sample has; what stands in x after them is not looked at. None: all have n_steps.
        initial_state : mapping of array-like, shape (n_samples, units), optional
            By the names of `state_names`; what is not named is 0.

        Returns
        -------
        ndarray, shape (n_samples, n_steps, outputs) or (n_samples, outputs)
            As `return_sequences` says; outputs is units, or twice that. Steps that do not exist are 0.

        Raises
        ------
        ValueError
            If the shapes do not match, or a state has an unknown name.
        """
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 3 or x.shape[2] != self.inputs:
            raise ValueError(
                f"x has shape {x.shape} but the layer is recurrent and takes {self.inputs} inputs: expected (n_samples,"
                f" n_steps, {self.inputs}); one sequence alone is x[None], steps of one number each are x[:, :, None],"
                " and a recurrent layer before this one needs return_sequences=True"
            )
        n_samples, n_steps, _ = self._shape = x.shape
        lengths = np.full(n_samples, n_steps) if lengths is None else np.asarray(lengths)
        state = self._initial(initial_state or {}, n_samples)
        outputs, lasts = [], []
        self.final_state = {}
        for direction in self._directions:
            steps = range(n_steps) if direction == "" else range(n_steps - 1, -1, -1)
            before = [state[name + direction] for name in self.cell.states]
            output = self._through_time(x, lengths, steps, before, direction)
            self.final_state |= {name + direction: array for name, array in zip(self.cell.states, before, strict=True)}
            outputs.append(output)
            lasts.append(before[0].copy())
        return np.concatenate(outputs if self.return_sequences else lasts, axis=-1)

    def _through_time(self, x: Array, lengths: Any, steps: Iterable[int], state: list[Array], direction: str) -> Array:
        """Go through the steps in one direction: return all hidden states; `state` moves on to that after the last."""
        weights, moments = self._weights(direction), []
        output = np.zeros((*x.shape[:2], self.units))
        for t in steps:
            # A sample that is over, or in the reverse direction not yet begun, keeps its state.
            going_on = np.flatnonzero(lengths > t)
            after, kept = self.cell.forward(x[going_on, t], tuple(array[going_on] for array in state), weights)
            for array, new in zip(state, after, strict=True):
                array[going_on] = new
            output[going_on, t] = after[0]
            moments.append(_Moment(t, going_on, kept))
        self._moments[direction] = moments
        return output

    def backward(self, grad_output: Any, *, bptt_steps: int | None = None) -> Array:
        """Go back through time: return dL/dx from dL/d output, and set `gradients`.

        Parameters
        ----------
        grad_output : array-like, the shape of the output
            dL/d output; what stands at steps that do not exist is not looked at.
        bptt_steps : int, > 0, optional
            Truncate: the state before the steps k, 2k, … is taken as a constant, through which no gradient goes back.

        Returns
        -------
        ndarray, the shape of x
            dL/dx.

        Raises
        ------
        RuntimeError
            If there was no way forward.
        ValueError
            If grad_output has not the shape of the output.
        """
        if not self._moments:
            raise RuntimeError(
                "backward was called before forward: the way back needs the states; call forward(x) first"
            )
        grad_output = np.asarray(grad_output, dtype=np.float64)
        n_samples, n_steps, _ = self._shape
        outputs = len(self._directions) * self.units
        expected = (n_samples, n_steps, outputs) if self.return_sequences else (n_samples, outputs)
        if grad_output.shape != expected:
            raise ValueError(
                f"grad_output has shape {grad_output.shape} but the output has shape {expected}: expected the same"
                " shape"
            )
        self.gradients = {key: np.zeros_like(array) for key, array in self.parameters.items()}
        grad_x = np.zeros(self._shape)
        halves = np.split(grad_output, len(self._directions), axis=-1)
        for direction, grad in zip(self._directions, halves, strict=True):
            self._back_through_time(grad, grad_x, direction, bptt_steps)
        return grad_x

    def _back_through_time(self, grad_output: Array, grad_x: Array, direction: str, bptt_steps: int | None) -> None:
        """Go back in one direction, and add to `grad_x` and `gradients`."""
        weights = self._weights(direction)
        grad_state = [np.zeros((len(grad_x), self.units)) for _ in self.cell.states]
        if not self.return_sequences:
            grad_state[0] += grad_output
        for t, going_on, kept in reversed(self._moments[direction]):
            grad = [array[going_on] for array in grad_state]
            if self.return_sequences:
                grad[0] = grad[0] + grad_output[going_on, t]
            grad_x_t, grad_before, gradients = self.cell.backward(tuple(grad), kept, weights)
            grad_x[going_on, t] += grad_x_t
            for key, gradient in gradients.items():
                self.gradients[key + direction] += gradient
            # Where a chunk begins, the state came from the chunk before, and is a constant for this one.
            cut = bptt_steps is not None and t % bptt_steps == 0
            for array, before in zip(grad_state, grad_before, strict=True):
                array[going_on] = 0.0 if cut else before

    def _initial(self, given: Mapping[str, Any], n_samples: int) -> dict[str, Array]:
        """Return the state before the first step: zeros, or a copy of what is given."""
        state = {name: np.zeros((n_samples, self.units)) for name in self.state_names}
        for name, array in given.items():
            find("initial_state", name, state)
            array = np.array(array, dtype=np.float64)
            if array.shape != (n_samples, self.units):
                raise ValueError(
                    f"initial_state[{name!r}] has shape {array.shape}: expected ({n_samples}, {self.units}), a row for"
                    " each sample and a number for each unit"
                )
            state[name] = array
        return state

    def penalty(self) -> float:
        """Return l1 Σ|W| + ½ l2 ΣW² over the weights, which is added to the loss."""
        weights = [array for key, array in self.parameters.items() if key.startswith("weight")]
        return float(sum(self.l1 * np.abs(w).sum() + 0.5 * self.l2 * np.square(w).sum() for w in weights))

    def penalty_gradients(self) -> dict[str, Array]:
        """Return what the penalty adds to `gradients`: there is none on the biases."""
        return {
            key: self.l1 * np.sign(array) + self.l2 * array
            for key, array in self.parameters.items()
            if key.startswith("weight")
        }
