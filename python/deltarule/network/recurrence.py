"""How a fit goes through sequences: in which pieces, with how much memory; and a network as it follows a stream."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import Recurrent
from ..names import require_integer
from .inputs import Array, Inputs, named_states
from .preparing import optimizer_for_core

if TYPE_CHECKING:
    from ..optimizers import Optimizer
    from .answers import Answers
    from .structure import Structure

__all__ = ["WHOLE", "Stream", "bytes_of_fit", "cut_of", "predict", "require_memory", "require_workspace"]

Cut = tuple[int, bool]  # steps of a piece (0: all), and whether the gradient ends where one begins
WHOLE: Cut = (0, False)
_MOST_STEPS = 2**31 - 1


def cut_of(
    network: Structure,
    n_steps: int | None,
    bptt_steps: int | None,
    checkpoint_steps: int | str | None,
    *,
    own_loss: bool = False,
) -> Cut:
    """The pieces that sequences of so many steps (None: there are none) are cut into, as the user has asked for it."""
    asked = {"bptt_steps": bptt_steps, "checkpoint_steps": checkpoint_steps}
    given = [f"{name}={value!r}" for name, value in asked.items() if value is not None]
    if not given:
        return WHOLE
    if len(given) == 2:
        raise ValueError(
            f"{given[0]} and {given[1]}: choose one; bptt_steps already keeps only the states of its own steps"
        )
    if n_steps is None:
        raise ValueError(f"{given[0]}: the network reads no sequences, so there are no steps to count")
    if any(isinstance(layer, Recurrent) and layer.bidirectional for layer in network.layers):
        raise ValueError(
            f"{given[0]} with a bidirectional layer: its reverse direction begins at the end of the sequence, so "
            "no piece of it can be gone through before the whole is there; leave it out, or use bidirectional=False"
        )
    if own_loss:
        raise ValueError(
            f"{given[0]} with a loss of your own: it looks at whole sequences, not at pieces; leave it out"
        )
    if bptt_steps is not None:
        return require_integer("bptt_steps", bptt_steps, least=1, most=_MOST_STEPS), True
    if isinstance(checkpoint_steps, str):
        if checkpoint_steps != "auto":
            raise ValueError(f"checkpoint_steps={checkpoint_steps!r}: expected 'auto' or a number of steps")
        return max(1, math.isqrt(n_steps - 1) + 1), False
    return require_integer("checkpoint_steps", checkpoint_steps, least=1, most=_MOST_STEPS), False


def bytes_of_fit(
    network: Structure, batch_size: int, n_steps: int, is_ragged: bool, cut: Cut, clips: bool, optimizer: Optimizer
) -> int:
    """What a fit needs beside its data: parameters, the optimizer's state, and the workspace of one batch."""
    slots = network._native.optimizer_slots(optimizer_for_core(optimizer))
    kept = network._native.size * (2 + slots)  # the parameters, and those of the last finite epoch
    workspace = network._native.workspace_bytes(batch_size, n_steps, is_ragged, cut, clips)
    return int(kept * network.dtype.itemsize + workspace)


def require_memory(needed: int, network: Structure, n_steps: int, cut: Cut) -> None:
    """MemoryError where the machine cannot give so many bytes: before the first step, and not in the middle of it."""
    worth_a_look = 1 << 26
    if needed < worth_a_look:
        return
    available = _available()
    if available is None or needed <= available:
        return
    less = "a smaller batch_size"
    if cut == WHOLE and n_steps > 1:
        less += ", checkpoint_steps='auto' (the same gradients from some of the states), or bptt_steps"
    raise MemoryError(
        f"this needs {needed / 2**30:,.2f} GiB (see Network.memory), {available / 2**30:,.2f} GiB are free: take {less}"
    )


def require_workspace(network: Structure, inputs: Inputs, cut: Cut = WHOLE) -> None:
    """The same for a single pass over sequences, where these are long enough to ask."""
    if not inputs.are_sequences or inputs.features.size < 1 << 16:
        return
    n_samples, n_steps = inputs.features.shape[:2]
    is_ragged = inputs.lengths is not None
    require_memory(network._native.workspace_bytes(n_samples, n_steps, is_ragged, cut, True), network, n_steps, cut)


def _available() -> int | None:
    """Bytes that can be had without swapping, as Linux tells it; elsewhere the allocation itself has to fail."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = next((line for line in file if line.startswith("MemAvailable:")), "")
        return int(found.split()[1]) * 1024 if found else None
    except (OSError, ValueError):
        return None


class Stream:
    """A network that follows a stream: one step after the other, remembering its state in between.

    Made by `Network.stream`; what it gives is what `Network.predict` gives for the steps as one sequence.

    Attributes
    ----------
    state : dict of str to ndarray, or None
        The state after the last step, by the names that `Network.predict` takes as ``initial_state``; None before the
        first. May be set, to a copy kept from earlier.
    """

    def __init__(self, network: Answers) -> None:
        recurrent = [layer for layer in network.layers if isinstance(layer, Recurrent)]
        if not recurrent:
            raise ValueError("stream: the network has no recurrent layer, so it remembers nothing; use predict")
        if any(layer.bidirectional for layer in recurrent):
            raise ValueError(
                "stream: a bidirectional layer begins at the end of the sequence, which a stream does not have yet; "
                "use predict on whole sequences, or bidirectional=False"
            )
        self.network = network
        self.state: dict[str, Array] | None = None

    def reset(self) -> None:
        """Begin a new sequence."""
        self.state = None

    def __call__(self, x: Any) -> Array:
        """The output for the next step.

        Parameters
        ----------
        x : array-like of shape (n_samples, n_features)
            The same step of n_samples streams side by side; as many at every step.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        step = np.asarray(x)
        if step.ndim != 2:
            raise ValueError(
                f"x has shape {step.shape}: expected one step of each stream, (n_samples, n_features); for a single "
                "stream pass x[None]"
            )
        began = step.shape[0] if self.state is None else len(next(iter(self.state.values())))
        if step.shape[0] != began:
            raise ValueError(
                f"x has {step.shape[0]} rows, the stream began with {began}: give as many each time, or call reset()"
            )
        output, self.state = self.network._predict(step[:, None], "", None, None, self.state, any_steps=True)
        return output[:, -1] if output.ndim == 3 else output


def predict(
    network: Structure, inputs: Inputs, activation: str, states: list[Array | None] | None, threads: tuple[int, int]
) -> tuple[Array, dict[str, Array]]:
    """Outputs in the shape the user expects, and the states after the last step."""
    output, after = network._native.predict(network._flat, inputs.for_core(states), activation, *threads)
    array = np.asarray(output)
    if network._native.gives_sequences:
        array = array.reshape(*inputs.features.shape[:2], -1)
    return array, named_states(network, after)
