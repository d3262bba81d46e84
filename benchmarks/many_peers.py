"""Who trains a population of tiny networks in `bench_many.py`: ours, JAX and torch.func, each in its best forms.

To add one: a class below, and its row in PEERS. Libraries are found by name at run time.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

import deltarule as dr
from deltarule.bench.peers import library
from deltarule.bench.peers.deadline import deadline
from deltarule.bench.peers.torch_eager import denormals_flushed
from deltarule.threads import available_threads

WIDTHS = (8, 32, 32, 1)
BATCH = 32
RATES = (1e-4, 1e-2)  # learning rates, from the first network to the last
BETAS, EPS = (0.9, 0.999), 1e-8
REST = 0.2  # seconds before each run: so long OpenMP's threads spin before they go to sleep
CHUNK = 32  # networks whose state stays in a core's cache

Array = npt.NDArray[np.float32]
Weights = list[tuple[Array, Array]]  # of each layer (networks, inputs, units) and (networks, units)


@dataclass(frozen=True)
class Problem:
    """What all train: networks with seeds and learning rates of their own, the same data, mean squared error, Adam."""

    networks: int = 1000
    rows: int = 1024
    epochs: int = 10

    def __post_init__(self) -> None:
        if self.rows % BATCH:
            raise ValueError(f"rows={self.rows}: expected a multiple of the batch of {BATCH}, as peers need it")

    @property
    def steps(self) -> int:
        """Of each network."""
        return self.epochs * self.rows // BATCH

    @cached_property
    def X(self) -> Array:  # noqa: N802 - as the field calls it
        return np.random.default_rng(0).normal(size=(self.rows, WIDTHS[0])).astype(np.float32)

    @cached_property
    def y(self) -> Array:
        return np.asarray(np.sin(2 * self.X[:, :1]) + self.X[:, 1:2] * self.X[:, 2:3], np.float32)

    @cached_property
    def rates(self) -> Array:
        return np.geomspace(*RATES, self.networks).astype(np.float32)

    def make(self) -> list[dr.Network]:
        layers = [*(dr.Dense(units, "relu") for units in WIDTHS[1:-1]), dr.Dense(WIDTHS[-1])]
        return [dr.Network(layers, WIDTHS[0], seed=seed) for seed in range(self.networks)]

    def weights_of(self, networks: Sequence[dr.Network]) -> Weights:
        states = [network.state_dict() for network in networks]
        return [
            (np.stack([state[f"{n}.weight"] for state in states]), np.stack([state[f"{n}.bias"] for state in states]))
            for n in range(len(WIDTHS) - 1)
        ]

    @cached_property
    def initial(self) -> Weights:
        return self.weights_of(self.make())

    def losses(self, weights: Weights) -> npt.NDArray[np.float64]:
        """Of each network over all rows, by the same judge for all."""
        found = []
        for first in range(0, self.networks, CHUNK):
            part = slice(first, first + CHUNK)
            a = self.X[None]
            for number, (weight, bias) in enumerate(weights):
                z = a @ weight[part] + bias[part, None]
                a = z if number == len(weights) - 1 else np.maximum(z, 0)
            found.append(((a - self.y).astype(np.float64) ** 2).mean(axis=(1, 2)))
        return np.concatenate(found)


class Peer(ABC):
    """Trains all networks of a problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.seconds: list[float] = []

    @abstractmethod
    def reset(self) -> None:
        """Back to the initial weights; not timed."""

    @abstractmethod
    def train(self) -> None:
        """All epochs of all networks."""

    @abstractmethod
    def weights(self) -> Weights:
        """What the networks have learned."""

    def run(self) -> None:
        """A timed run, rested, from the beginning."""
        self.reset()
        time.sleep(REST)
        start = time.perf_counter()
        self.train()
        self.seconds.append(time.perf_counter() - start)


class Ours(Peer):
    """train_many, as anybody calls it: checks and tasks are in the time."""

    def __init__(self, problem: Problem, n_threads: int | None = None) -> None:
        super().__init__(problem)
        self._n_threads = n_threads
        self.seconds_to_make: list[float] = []

    def reset(self) -> None:
        start = time.perf_counter()
        self._networks = self.problem.make()
        self.seconds_to_make.append(time.perf_counter() - start)

    def train(self) -> None:
        dr.train_many(
            self._networks,
            self.problem.X,
            self.problem.y,
            loss="mse",
            optimizer=[dr.Adam(lr=float(rate), betas=BETAS, eps=EPS) for rate in self.problem.rates],
            epochs=self.problem.epochs,
            batch_size=BATCH,
            n_threads=self._n_threads,
        )

    def weights(self) -> Weights:
        return self.problem.weights_of(self._networks)


class Jax(Peer):
    """A scan over epochs and steps, over all networks by vmap: one call, compiled, whose state is updated in place.

    Parameters
    ----------
    problem : Problem
    own_orders : bool
        Whether each network goes through the rows in an order of its own, as ours do, or all in the same one, which
        is less work: products of the first layer are one, and nothing is gathered for each network.
    in_chunks : bool
        Whether some networks are trained to their end before the next, so that their state stays in the cache.
    """

    def __init__(self, problem: Problem, own_orders: bool, in_chunks: bool = False) -> None:
        super().__init__(problem)
        jax = self._jax = library("jax")
        self._own_orders = own_orders
        axes = (0, 0, 0 if own_orders else None)
        every = jax.vmap(self._fit, in_axes=axes)
        if in_chunks:
            every = self._by_chunks(every)
        self._every = jax.jit(every, donate_argnums=(0,))
        self._X, self._y = (jax.numpy.asarray(array) for array in (problem.X, problem.y))
        self._rates = jax.numpy.asarray(problem.rates)
        key = jax.random.key(0)
        self._keys = jax.random.split(key, problem.networks) if own_orders else key

    def _by_chunks(self, every: Callable[..., Any]) -> Callable[..., Any]:
        jax, chunk = self._jax, min(CHUNK, self.problem.networks)
        while self.problem.networks % chunk:
            chunk -= 1

        def split(tree: Any) -> Any:
            return jax.tree.map(lambda array: array.reshape(-1, chunk, *array.shape[1:]), tree)

        def run(weights: Any, rates: Any, keys: Any) -> Any:
            if self._own_orders:
                parts = split((weights, rates, keys))
                done = jax.lax.map(lambda part: every(*part), parts)
            else:
                done = jax.lax.map(lambda part: every(*part, keys), split((weights, rates)))
            return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), done)

        return run

    def _loss(self, weights: Any, x: Any, y: Any) -> Any:
        jnp = self._jax.numpy
        for weight, bias in weights[:-1]:
            x = jnp.maximum(x @ weight + bias, 0)
        return jnp.mean((x @ weights[-1][0] + weights[-1][1] - y) ** 2)

    def _fit(self, weights: Any, rate: Any, key: Any) -> Any:
        """One network, all epochs."""
        jax, jnp, of_leaves = self._jax, self._jax.numpy, self._jax.tree.map
        gradients_of = jax.grad(self._loss)

        def step(state: Any, batch: Any) -> Any:
            weights, first, second, count = state
            gradients, count = gradients_of(weights, *batch), count + 1
            size, root = rate / (1 - BETAS[0] ** count), (1 - BETAS[1] ** count) ** -0.5
            first = of_leaves(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, gradients)
            second = of_leaves(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, second, gradients)
            weights = of_leaves(lambda p, m, v: p - size * m / (jnp.sqrt(v) * root + EPS), weights, first, second)
            return (weights, first, second, count), None

        def epoch(state: Any, key: Any) -> Any:
            order = jax.random.permutation(key, self.problem.rows)
            batches = tuple(array[order].reshape(-1, BATCH, array.shape[1]) for array in (self._X, self._y))
            return jax.lax.scan(step, state, batches)[0], None

        zeros = of_leaves(jnp.zeros_like, weights)
        start = (weights, zeros, zeros, jnp.zeros((), jnp.float32))
        return jax.lax.scan(epoch, start, jax.random.split(key, self.problem.epochs))[0][0]

    def reset(self) -> None:
        jnp = self._jax.numpy
        self._weights = [tuple(jnp.array(array) for array in layer) for layer in self.problem.initial]
        self._jax.block_until_ready(self._weights)

    def train(self) -> None:
        self._weights = self._jax.block_until_ready(self._every(self._weights, self._rates, self._keys))

    def weights(self) -> Weights:
        return [(np.asarray(weight), np.asarray(bias)) for weight, bias in self._weights]


class TorchFunc(Peer):
    """vmap of grad of functional_call, and Adam written out for the stacked parameters.

    Parameters
    ----------
    problem : Problem
    compiled : bool
        Whether a step is one graph of torch.compile, which needs a C++ compiler.
    own_orders : bool
        Whether each network has batches of its own, as ours have, or all of them the same, which is less work.
    """

    def __init__(self, problem: Problem, compiled: bool, own_orders: bool) -> None:
        super().__init__(problem)
        self._own_orders = own_orders
        torch = self._torch = library("torch")
        layers: list[Any] = []
        for inputs, units in pairwise(WIDTHS):
            layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1]).to("meta")
        self._names = [name for name, _ in model.named_parameters()]
        self._X, self._y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
        self._rates = [torch.from_numpy(problem.rates).reshape(-1, *[1] * axes) for axes in (2, 1) * (len(WIDTHS) - 1)]
        self._initial = [
            torch.from_numpy(np.ascontiguousarray(array))
            for weight, bias in problem.initial
            for array in (weight.swapaxes(1, 2), bias)
        ]
        self._state = [[torch.empty_like(tensor) for tensor in self._initial] for _ in range(3)]
        self._decay = torch.ones(2)  # beta1ᵗ and beta2ᵗ: a tensor, so that no step compiles anew

        def loss(parameters: dict[str, Any], x: Any, y: Any) -> Any:
            return ((torch.func.functional_call(model, parameters, (x,)) - y) ** 2).mean()

        of_batch = 0 if own_orders else None
        gradients_of = torch.func.vmap(torch.func.grad(loss), in_dims=(0, of_batch, of_batch))
        betas = torch.tensor(BETAS)

        def step(parameters: list[Any], first: list[Any], second: list[Any], decay: Any, rows: Any) -> None:
            x, y = self._X[rows], self._y[rows]
            gradients = gradients_of(dict(zip(self._names, parameters, strict=True)), x, y)
            decay.mul_(betas)
            size, root = 1 / (1 - decay[0]), torch.rsqrt(1 - decay[1])
            for name, p, m, v, rate in zip(self._names, parameters, first, second, self._rates, strict=True):
                m.mul_(BETAS[0]).add_(gradients[name], alpha=1 - BETAS[0])
                v.mul_(BETAS[1]).addcmul_(gradients[name], gradients[name], value=1 - BETAS[1])
                p.sub_(rate * size * m / (v.sqrt() * root + EPS))

        self._step: Any = step
        torch.set_num_threads(available_threads())
        if compiled:
            library("torch._inductor.config").compile_threads = 1  # no pool of compilers left behind
            self._step = torch.compile(step)
            self.reset()
            with deadline(300.0, "torch.compile"), torch.no_grad():
                self._step(*self._state, self._decay, self._orders()[0])

    def reset(self) -> None:
        """In place: a compiled graph knows these tensors."""
        for tensor, initial in zip(self._state[0], self._initial, strict=True):
            tensor.copy_(initial)
        for tensor in (*self._state[1], *self._state[2]):
            tensor.zero_()
        self._decay.fill_(1)

    def _orders(self) -> Any:
        """Of the batches of an epoch the rows, for each network or for all of them."""
        if not self._own_orders:
            return self._torch.randperm(self.problem.rows).split(BATCH)
        return [
            rows.contiguous()
            for rows in self._torch.rand(self.problem.networks, self.problem.rows).argsort(1).split(BATCH, dim=1)
        ]

    def train(self) -> None:
        torch, step = self._torch, self._step
        torch.set_num_threads(available_threads())
        with torch.no_grad(), denormals_flushed(torch):
            for _ in range(self.problem.epochs):
                for rows in self._orders():
                    step(*self._state, self._decay, rows)

    def weights(self) -> Weights:
        arrays = [tensor.numpy() for tensor in self._state[0]]
        return [(weight.swapaxes(1, 2), bias) for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)]


# By name: the library, and how a peer is made.
PEERS: dict[str, tuple[str, Callable[[Problem], Peer]]] = {
    "JAX vmap": ("jax", lambda problem: Jax(problem, own_orders=True)),
    "JAX vmap, one order": ("jax", lambda problem: Jax(problem, own_orders=False)),
    "JAX vmap in chunks": ("jax", lambda problem: Jax(problem, own_orders=True, in_chunks=True)),
    "JAX vmap in chunks, one order": ("jax", lambda problem: Jax(problem, own_orders=False, in_chunks=True)),
    "torch.func": ("torch", lambda problem: TorchFunc(problem, compiled=False, own_orders=True)),
    "torch.func, one order": ("torch", lambda problem: TorchFunc(problem, compiled=False, own_orders=False)),
    "torch.func, compiled": ("torch", lambda problem: TorchFunc(problem, compiled=True, own_orders=True)),
    "torch.func, compiled, one order": ("torch", lambda problem: TorchFunc(problem, compiled=True, own_orders=False)),
}
