"""A recurrent network in torch and the same one in this library, made from one description, with torch's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.torch_layout import from_torch_state_dict

torch = pytest.importorskip("torch")

INPUTS, UNITS, OUTPUTS = 3, 4, 5
KINDS = ("rnn_tanh", "rnn_relu", "lstm", "gru")


@dataclass(frozen=True)
class Case:
    """What to build: a cell, how many layers of it, whether they go both ways, LayerNorm between them, and whether
    there is an output for each step or for the last one."""

    kind: str
    layers: int = 1
    bidirectional: bool = False
    norm: bool = False
    sequences: bool = False

    def __str__(self) -> str:
        parts = [
            self.kind,
            f"{self.layers} layers" if self.layers > 1 else "",
            "both ways" if self.bidirectional else "",
        ]
        parts += ["norm" if self.norm else "", "each step" if self.sequences else "last step"]
        return " ".join(part for part in parts if part)

    @property
    def numbers(self) -> list[int]:
        """Of the recurrent layers, in the network of this library."""
        return [layer * (2 if self.norm else 1) for layer in range(self.layers)]

    @property
    def modules(self) -> dict[str, list[int]]:
        """What of torch's becomes what of ours."""
        head = {"head": [self.numbers[-1] + 1]}
        if not self.norm:
            return {"bodies.0": self.numbers} | head
        bodies = {f"bodies.{layer}": [number] for layer, number in enumerate(self.numbers)}
        return bodies | {f"norms.{layer}": [number + 1] for layer, number in enumerate(self.numbers[:-1])} | head

    def state_names(self) -> list[tuple[str, str, int]]:
        """Our name of each state, torch's ("hidden" or "cell"), and its place there: layer by layer, both ways."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [
            (f"{number}.{kind}{suffix}", kind, layer * len(directions) + direction)
            for layer, number in enumerate(self.numbers)
            for direction, suffix in enumerate(directions)
            for kind in (("hidden", "cell") if self.kind == "lstm" else ("hidden",))
        ]


class Oracle(torch.nn.Module):
    """The network in torch: one stacked module, or single layers with LayerNorm between them, and a dense head."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        width = UNITS * (2 if case.bidirectional else 1)
        options: dict[str, Any] = {"batch_first": True, "bidirectional": case.bidirectional, "dtype": torch.float64}
        if case.kind.startswith("rnn"):
            options["nonlinearity"] = case.kind.removeprefix("rnn_")
        maker = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(case.kind, torch.nn.RNN)
        if case.norm:
            bodies = [maker(INPUTS if layer == 0 else width, UNITS, **options) for layer in range(case.layers)]
        else:
            bodies = [maker(INPUTS, UNITS, num_layers=case.layers, **options)]
        self.bodies = torch.nn.ModuleList(bodies)
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(width, dtype=torch.float64) for _ in bodies[1:])
        self.head = torch.nn.Linear(width, OUTPUTS, dtype=torch.float64)
        with torch.no_grad():
            for norm in self.norms:
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.5, 0.5)

    def forward(self, X: Any, lengths: Any = None, initial: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The output, 0 at padded steps, and the states after each sample's last step by torch's names."""
        n_steps = X.shape[1]
        lengths = torch.full((len(X),), n_steps) if lengths is None else torch.as_tensor(lengths)
        states: dict[str, list[Any]] = {"hidden": [], "cell": []}
        per_body = (self.case.layers if len(self.bodies) == 1 else 1) * (2 if self.case.bidirectional else 1)
        x = X
        for number, body in enumerate(self.bodies):
            if number:
                x = self.norms[number - 1](x)
            packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            start = None
            if initial is not None:
                part = slice(number * per_body, (number + 1) * per_body)
                start = initial["hidden"][part]
                if self.case.kind == "lstm":
                    start = (start, initial["cell"][part])
            packed, last = body(packed, start)
            x, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=n_steps)
            hidden, cell = last if self.case.kind == "lstm" else (last, last)
            states["hidden"].append(hidden)
            states["cell"].append(cell)
        together = {kind: torch.cat(parts) for kind, parts in states.items()}
        if self.case.sequences:
            exists = (torch.arange(n_steps)[None, :] < lengths[:, None])[:, :, None]
            return torch.where(exists, self.head(x), 0.0), together
        top = together["hidden"][-2 if self.case.bidirectional else -1 :]
        return self.head(torch.cat(list(top), dim=1)), together


@dataclass(frozen=True)
class Data:
    """A batch of sequences with what a network shall say of them.

    Where a sequence has ended there is NaN in X and in numbers to be learned, and a class that does not exist.
    """

    X: Any
    lengths: Any  # None: all are whole
    classes: Any
    numbers: Any

    @property
    def exists(self) -> Any:
        """(n_samples, n_steps): whether there is such a step."""
        n_samples, n_steps, _ = self.X.shape
        whole = np.full(n_samples, n_steps) if self.lengths is None else self.lengths
        return np.arange(n_steps)[None, :] < whole[:, None]

    def targets(self, loss: str) -> Any:
        return self.classes if loss == "cross_entropy" else self.numbers


def make_data(case: Case, n_samples: int = 6, n_steps: int = 7, *, ragged: bool = False, seed: int = 0) -> Data:
    """Random numbers; ragged: every length from 1 on, in no order."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((n_samples, n_steps, INPUTS))
    shape = (n_samples, n_steps) if case.sequences else (n_samples,)
    classes = random.integers(0, OUTPUTS, shape)
    numbers = random.standard_normal((*shape, OUTPUTS))
    data = Data(X, random.permutation(np.arange(n_samples) % n_steps + 1) if ragged else None, classes, numbers)
    X[~data.exists] = np.nan
    if case.sequences:
        classes[~data.exists] = OUTPUTS + 7
        numbers[~data.exists] = np.nan
    return data


def network_of(case: Case, oracle: Oracle, n_steps: int | None = None) -> dr.Network:
    """This library's network, with the oracle's weights."""
    layers: list[Any] = []
    for layer in range(case.layers):
        options = {"return_sequences": case.sequences or layer < case.layers - 1, "bidirectional": case.bidirectional}
        if case.kind.startswith("rnn"):
            layers.append(dr.RNN(UNITS, case.kind.removeprefix("rnn_"), **options))
        else:
            layers.append({"lstm": dr.LSTM, "gru": dr.GRU}[case.kind](UNITS, **options))
        if case.norm and layer < case.layers - 1:
            layers.append(dr.LayerNorm())
    network = dr.Network([*layers, dr.Dense(OUTPUTS)], input_shape=(n_steps, INPUTS), dtype="float64")
    network.load_state_dict(from_torch_state_dict(oracle.state_dict(), case.modules))
    return network


def oracle_loss(oracle: Oracle, data: Data, loss: str, rows: slice | None = None, weight: Any = None) -> Any:
    """The mean over what exists in these rows, weighted by sample where there are weights."""
    rows = slice(None) if rows is None else rows
    case, exists = oracle.case, torch.from_numpy(data.exists[rows])
    lengths = None if data.lengths is None else data.lengths[rows]
    output, _ = oracle(torch.from_numpy(data.X[rows]), lengths)
    target = torch.from_numpy(data.targets(loss)[rows])
    weights = torch.ones(len(output), dtype=torch.float64) if weight is None else torch.from_numpy(weight[rows])
    if case.sequences:
        output, target, weights = output[exists], target[exists], weights[:, None].expand(exists.shape)[exists]
    functional = torch.nn.functional
    if loss == "cross_entropy":
        each = functional.cross_entropy(output, target, reduction="none")
    else:
        each = functional.mse_loss(output, target, reduction="none").mean(dim=1)
    return (weights * each).sum() / weights.sum()
