"""Frozen layers and learning rates of their own against torch: requires_grad=False, and groups of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from recurrent_oracle import Case, Oracle, make_data, network_of, oracle_loss, torch
from test_optimizers import SETTINGS

import deltarule as dr
from deltarule.optimizers import Optimizer

TORCH_NAMES = {optimizer.name: type(optimizer).__name__ for optimizer in SETTINGS}
OWN = ("eps_hat", "lr_in_velocity")  # what torch does not have
LIKE_TORCH = [optimizer for optimizer in SETTINGS if not any(getattr(optimizer, name, False) for name in OWN)]
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(40, 6))
Y = np.tanh(X @ RANDOM.normal(size=(6, 3)))
STEPS, LIMIT = 50, 1e-9
FROZEN = [(), (0,), (1,), (2,), (0, 1), (1, 2), (0, 2)]


@pytest.fixture(autouse=True)
def _in_float64_on_one_thread() -> Iterator[None]:
    """Its NAdam keeps a product in the default dtype; threads only slow down so small a network."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)


def optimizer_of(optimizer: Optimizer, groups: dict[float, list[Any]]) -> Any:
    """torch's, with a group of parameters for each factor of the learning rate."""
    settings: dict[str, Any] = {name: value for name, value in asdict(optimizer).items() if name not in OWN}
    rate = settings.pop("lr")
    parts = [{"params": tensors, "lr": rate * factor} for factor, tensors in groups.items()]
    return getattr(torch.optim, TORCH_NAMES[optimizer.name])(parts, lr=rate, **settings)


class Pair:
    """Three dense layers, here and there, with the same weights."""

    def __init__(self) -> None:
        self.ours = dr.Network([dr.Dense(7, "tanh"), dr.Dense(5, "tanh"), dr.Dense(3)], 6, "float64", 8)
        self.theirs = torch.nn.Sequential(
            torch.nn.Linear(6, 7), torch.nn.Tanh(), torch.nn.Linear(7, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)
        )
        self.linear = [self.theirs[place] for place in (0, 2, 4)]
        with torch.no_grad():
            for number, layer in enumerate(self.linear):
                layer.weight.copy_(torch.from_numpy(self.ours.parameters[f"{number}.weight"].T.copy()))
                layer.bias.zero_()

    def freeze(self, frozen: tuple[int, ...]) -> None:
        if frozen:
            self.ours.freeze(*frozen)
        for number in frozen:
            self.linear[number].requires_grad_(False)

    def error(self) -> float:
        theirs = {}
        for number, layer in enumerate(self.linear):
            theirs[f"{number}.weight"], theirs[f"{number}.bias"] = layer.weight.detach().T, layer.bias.detach()
        return max(
            float(np.abs(array - theirs[name].numpy()).max() / np.abs(array).max().clip(1e-9))
            for name, array in self.ours.state_dict().items()
        )


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 2)], ids=str)
@pytest.mark.parametrize("optimizer", LIKE_TORCH, ids=repr)
def test_of_every_optimizer(optimizer: Optimizer, frozen: tuple[int, ...]) -> None:
    """Layers that learn have learning rates of their own; the last batch of each epoch is a small one."""
    pair, factors = Pair(), (0.5, 1.0, 2.0)
    pair.freeze(frozen)
    for number, factor in enumerate(factors):
        pair.ours.set_lr_factor(factor, number)
    groups = {factor: list(layer.parameters()) for factor, layer in zip(factors, pair.linear, strict=True)}
    own = optimizer_of(optimizer, groups)
    trainer = dr.Trainer(pair.ours, loss="mse", optimizer=optimizer)
    for step in range(STEPS):
        rows = slice(0, 16) if step % 3 == 0 else slice(16, 32) if step % 3 == 1 else slice(32, 40)
        own.zero_grad()
        loss = ((pair.theirs(torch.from_numpy(X[rows])) - torch.from_numpy(Y[rows])) ** 2).mean()
        loss.backward()
        own.step()
        assert trainer.step(X[rows], Y[rows]) == pytest.approx(loss.item(), rel=LIMIT)
    assert pair.error() <= LIMIT


@pytest.mark.parametrize("frozen", FROZEN, ids=str)
def test_clipping_looks_at_what_is_trained(frozen: tuple[int, ...]) -> None:
    pair, optimizer = Pair(), dr.SGD(0.5, momentum=0.5)
    pair.freeze(frozen)
    own = optimizer_of(optimizer, {1.0: list(pair.theirs.parameters())})
    for _ in range(STEPS):
        own.zero_grad()
        ((pair.theirs(torch.from_numpy(X)) - torch.from_numpy(Y)) ** 2).mean().backward()
        torch.nn.utils.clip_grad_value_(pair.theirs.parameters(), 0.02)
        torch.nn.utils.clip_grad_norm_(pair.theirs.parameters(), 0.05)
        own.step()
    options: dict[str, Any] = {"clip_norm": 0.05, "clip_value": 0.02, "shuffle": False, "batch_size": 40}
    pair.ours.fit(X, Y, loss="mse", optimizer=optimizer, epochs=STEPS, **options)
    assert pair.error() <= LIMIT


@pytest.mark.parametrize("optimizer", [dr.SGD(0.1), dr.SGD(0.1, momentum=0.9), dr.SGD(0.1, weight_decay=0.1)], ids=repr)
def test_what_is_frozen_and_released_on_the_way(optimizer: Optimizer) -> None:
    """In one trainer, as in one of torch's optimizers: what it remembers of a layer waits meanwhile."""
    pair = Pair()
    own = optimizer_of(optimizer, {1.0: list(pair.theirs.parameters())})
    trainer = dr.Trainer(pair.ours, loss="mse", optimizer=optimizer)
    for frozen in ((), (0,), (0, 2), (1,), ()):
        pair.ours.unfreeze()
        pair.theirs.requires_grad_(True)
        pair.freeze(frozen)
        for _ in range(STEPS // 5):
            own.zero_grad(set_to_none=True)
            ((pair.theirs(torch.from_numpy(X)) - torch.from_numpy(Y)) ** 2).mean().backward()
            own.step()
            trainer.step(X, Y)
        assert pair.error() <= LIMIT


@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm", "gru"])
@pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (3,), (0, 1, 2), (2, 3), (1, 3)], ids=str)
def test_of_sequences(frozen: tuple[int, ...], kind: str) -> None:
    """Recurrent, LayerNorm, recurrent, dense: frozen below, between and above, of different lengths."""
    torch.manual_seed(3)
    case = Case(kind, layers=2, norm=True, bidirectional=kind == "gru")
    oracle, data = Oracle(case), make_data(case, 9, 6, ragged=True)
    network = network_of(case, oracle)
    modules = [oracle.bodies[0], oracle.norms[0], oracle.bodies[1], oracle.head]
    network.freeze(*frozen)
    for number in frozen:
        modules[number].requires_grad_(False)
    network.set_lr_factor(0.5, 0, -1)
    groups = {
        factor: [tensor for number in numbers for tensor in modules[number].parameters()]
        for factor, numbers in {0.5: (0, 3), 1.0: (1, 2)}.items()
    }
    optimizer = dr.Adam(lr=0.01, eps=1e-4)
    own = optimizer_of(optimizer, groups)
    trainer = dr.Trainer(network, loss="mse", optimizer=optimizer)
    for _ in range(STEPS):
        own.zero_grad()
        loss = oracle_loss(oracle, replace(data, X=np.nan_to_num(data.X)), "mse")
        loss.backward()
        own.step()
        ours = trainer.step(data.X, data.numbers, lengths=data.lengths)
        assert ours == pytest.approx(loss.item(), rel=LIMIT)
    expected = network_of(case, oracle).state_dict()
    for name, array in network.state_dict().items():
        assert np.abs(array - expected[name]).max() <= LIMIT * np.abs(expected[name]).max(), name
