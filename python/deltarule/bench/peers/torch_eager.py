"""PyTorch, eager: tensors in memory, one gather for each epoch, functional layers, the fused optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ...threads import available_threads
from ..cells import OPTIMIZERS, Problem, Weights
from . import Maker, Peer, library

__all__ = [
    "NEEDS",
    "TorchEager",
    "by_threads",
    "denormals_flushed",
    "forms",
    "forward_loss",
    "parameters",
    "targets",
]

NEEDS = ("torch",)


def parameters(problem: Problem, torch: Any) -> list[Any]:
    """Weight and bias of each layer in turn, the weight as (units, inputs), which is torch's way."""
    return [
        torch.from_numpy(array).clone(memory_format=torch.contiguous_format)
        for weight, bias in problem.initial
        for array in (weight.T, bias)
    ]


def targets(problem: Problem, torch: Any) -> Any:
    """y, as its losses take it."""
    return torch.from_numpy(problem.y)


def forward_loss(problem: Problem, torch: Any) -> Any:
    """A function of (parameters, batch, target) that returns the mean loss."""
    functional, cell = torch.nn.functional, problem.cell
    activation = torch.relu if cell.activation == "relu" else torch.tanh
    loss = {
        "mse": functional.mse_loss,
        "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
        "cross_entropy": functional.cross_entropy,
    }[cell.loss]

    def of_batch(layers: Any, x: Any, y: Any) -> Any:
        for number in range(0, len(layers) - 2, 2):
            x = activation(functional.linear(x, layers[number], layers[number + 1]))
        return loss(functional.linear(x, layers[-2], layers[-1]), y)

    return of_batch


@contextmanager
def denormals_flushed(torch: Any) -> Iterator[None]:
    """torch at its best: Adam's moments decay into denormals. The mode is of the whole thread, so it is given back."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class TorchEager(Peer):
    """The usual loop: loss, backward, optimizer.step.

    Parameters
    ----------
    problem : Problem
    threads : int
        For ``torch.set_num_threads``.
    """

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem)
        torch = self._torch = library("torch")
        self._threads = threads
        self._X, self._y = torch.from_numpy(problem.X), targets(problem, torch)
        self._initial = self._initial_parameters()
        self._parameters = [tensor.clone().requires_grad_() for tensor in self._initial]
        self._loss = self._make_loss()
        self.reset()

    def _initial_parameters(self) -> list[Any]:
        return parameters(self.problem, self._torch)

    def _make_loss(self) -> Any:
        return forward_loss(self.problem, self._torch)

    def _optimizer(self) -> Any:
        optim, cell = self._torch.optim, self.problem.cell
        numbers = OPTIMIZERS[cell.optimizer]
        if cell.optimizer == "adam":
            arguments: dict[str, Any] = {"betas": (numbers["beta1"], numbers["beta2"]), "eps": numbers["eps"]}
        else:
            arguments = {"momentum": numbers["momentum"]}
        kind = optim.Adam if cell.optimizer == "adam" else optim.SGD
        try:
            return kind(self._parameters, lr=numbers["lr"], fused=True, **arguments)
        except (RuntimeError, TypeError):  # a version that fuses on graphics cards only
            return kind(self._parameters, lr=numbers["lr"], **arguments)

    def reset(self) -> None:
        """Initial weights, a new optimizer."""
        with self._torch.no_grad():
            for tensor, initial in zip(self._parameters, self._initial, strict=True):
                tensor.copy_(initial)
        self._optimize = self._optimizer()

    def train(self, epochs: int) -> None:
        """Zero, loss, backward, step."""
        torch, optimizer, cell = self._torch, self._optimize, self.problem.cell
        layers, loss = self._parameters, self._loss
        torch.set_num_threads(self._threads)
        with denormals_flushed(torch):
            for _ in range(epochs):
                X, y = self._X, self._y
                if self.problem.shuffle:
                    order = torch.randperm(cell.samples)
                    X, y = X.index_select(0, order), y.index_select(0, order)
                for batch, target in zip(X.split(cell.batch), y.split(cell.batch), strict=True):
                    optimizer.zero_grad(set_to_none=True)
                    loss(layers, batch, target).backward()
                    optimizer.step()

    def weights(self) -> Weights:
        """Of the tensors, as (inputs, units)."""
        arrays = [tensor.detach().numpy() for tensor in self._parameters]
        return [(weight.T, bias) for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)]


def forms(problem: Problem) -> Mapping[str, Maker]:
    """With one thread and, where there are more cores, with all of them."""
    return by_threads(TorchEager, problem)


def by_threads(peer: type[TorchEager], problem: Problem) -> Mapping[str, Maker]:
    """A peer with one thread and, where there are more cores, with all of them."""
    most = available_threads()
    return {f"torch, {n} thread{'s' if n > 1 else ''}": partial(peer, problem, threads=n) for n in sorted({1, most})}
