"""PyTorch, the whole step in one torch.compile: loss, gradients and update become one graph without autograd's tape.

The optimizer is written out in torch's own arithmetic, since one graph is the fastest form; it needs a C++ compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...threads import available_threads
from ..cells import OPTIMIZERS, Problem, Weights
from . import Maker, Peer, library
from .deadline import deadline
from .torch_eager import denormals_flushed, forward_loss, parameters, targets

__all__ = ["NEEDS", "TorchCompile", "forms"]

NEEDS = ("torch",)
_LONGEST_COMPILATION = 300.0  # seconds


class TorchCompile(Peer):
    """A compiled function that updates parameters and state in place.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        torch = self._torch = library("torch")
        library("torch._inductor.config").compile_threads = 1  # no pool of compilers left behind
        library("torch._dynamo").reset()  # of other cells, which would count as recompilations
        self._X, self._y = torch.from_numpy(problem.X), targets(problem, torch)
        self._initial = parameters(problem, torch)
        self._parameters = [tensor.clone() for tensor in self._initial]
        self._first = [torch.zeros_like(tensor) for tensor in self._initial]
        self._second = [torch.zeros_like(tensor) for tensor in self._initial]
        self._decay = torch.ones(2)  # beta1ᵗ and beta2ᵗ: tensors, so that no step compiles anew
        self._step = torch.compile(self._adam() if problem.cell.optimizer == "adam" else self._sgd())
        torch.set_num_threads(available_threads())
        with deadline(_LONGEST_COMPILATION, "torch.compile"):
            self.train(1)
        self.reset()

    def _gradients(self) -> Any:
        return self._torch.func.grad(forward_loss(self.problem, self._torch))

    def _adam(self) -> Any:
        torch, numbers, gradients_of = self._torch, OPTIMIZERS["adam"], self._gradients()
        lr, beta1, beta2, eps = numbers["lr"], numbers["beta1"], numbers["beta2"], numbers["eps"]
        betas = torch.tensor([beta1, beta2])

        def step(layers: Any, first: Any, second: Any, decay: Any, x: Any, y: Any) -> None:
            decay.mul_(betas)
            size = lr / (1 - decay[0])
            root = torch.rsqrt(1 - decay[1])
            for parameter, gradient, m, v in zip(layers, gradients_of(layers, x, y), first, second, strict=True):
                m.mul_(beta1).add_(gradient, alpha=1 - beta1)
                v.mul_(beta2).add_(gradient * gradient, alpha=1 - beta2)
                parameter.sub_(size * m / (v.sqrt() * root + eps))

        return step

    def _sgd(self) -> Any:
        numbers, gradients_of = OPTIMIZERS[self.problem.cell.optimizer], self._gradients()
        lr, momentum = numbers["lr"], numbers["momentum"]

        def step(layers: Any, first: Any, second: Any, decay: Any, x: Any, y: Any) -> None:
            for parameter, gradient, buffer in zip(layers, gradients_of(layers, x, y), first, strict=True):
                if momentum:
                    buffer.mul_(momentum).add_(gradient)
                    parameter.sub_(buffer, alpha=lr)
                else:
                    parameter.sub_(gradient, alpha=lr)

        return step

    def reset(self) -> None:
        """In place: the compiled graph knows these tensors."""
        for tensor, initial in zip(self._parameters, self._initial, strict=True):
            tensor.copy_(initial)
        for tensor in (*self._first, *self._second):
            tensor.zero_()
        self._decay.fill_(1)

    def train(self, epochs: int) -> None:
        """One call of the graph for each batch."""
        torch, cell, step = self._torch, self.problem.cell, self._step
        torch.set_num_threads(available_threads())
        with torch.no_grad(), denormals_flushed(torch):
            for _ in range(epochs):
                X, y = self._X, self._y
                if self.problem.shuffle:
                    order = torch.randperm(cell.samples)
                    X, y = X.index_select(0, order), y.index_select(0, order)
                for batch, target in zip(X.split(cell.batch), y.split(cell.batch), strict=True):
                    step(self._parameters, self._first, self._second, self._decay, batch, target)

    def weights(self) -> Weights:
        """Of the tensors, as (inputs, units)."""
        arrays = [tensor.numpy() for tensor in self._parameters]
        return [(weight.T, bias) for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)]


def forms(problem: Problem) -> Mapping[str, Maker]:
    """With all cores."""
    return {"torch.compile": partial(TorchCompile, problem)}
