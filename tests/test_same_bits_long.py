"""The same bits after 200 steps: every optimizer with every activation, on all instruction sets with FMA, for 1 to 4
threads; and by every way through a step: fused or with all gradients in an array, in a fit, step by step, or applied.

Optimizers and activations are found by their names in the vocabulary.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core
from deltarule.optimizers import OPTIMIZERS, Optimizer

pytestmark = pytest.mark.usefixtures("same_isa_after")

WORDS = _core.vocabulary()
ACTIVATIONS = [name for name in WORDS["activations"] if name != "softmax"]  # for hidden layers it is refused
EQUAL = [name for name in _core.isas() if _core.has_same_bits(name)] or [_core.isa()]
DTYPES = ["float32", "float64"]
PENALTIES: list[dict[str, Any]] = [{}, {"l1": 1e-3}, {"l2": 1e-2}, {"l1": 1e-3, "l2": 1e-2}]

# Widths, batch, rows: a narrow head, one of a single unit behind two hidden layers, one of 12 and so many inputs that
# the first weight is updated in two tiles. The last batch of an epoch is smaller.
SIZES = [((11, 21, 3), 9, 50), ((11, 21, 9, 1), 40, 130), ((70, 21, 12), 40, 85)]

# As many of their terms at work as one setting allows, and steps small enough to stay finite with any activation.
OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "rmsprop": {"lr": 1e-3, "momentum": 0.9, "centered": True, "eps": 1e-3, "weight_decay": 0.01},
    "adagrad": {"lr": 1e-2, "lr_decay": 0.01, "weight_decay": 0.01},
    "adadelta": {"lr": 0.1, "weight_decay": 0.01},
    "adam": {"lr": 1e-3, "amsgrad": True, "weight_decay": 0.01},
    "nadam": {"lr": 1e-3, "weight_decay": 0.01},
    "rprop": {"lr": 1e-3, "step_sizes": (1e-6, 1e-2)},
}


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


def find_optimizer(name: str) -> Optimizer:
    return OPTIMIZERS[name](**OPTIONS.get(name, {"lr": 1e-3}))


def data(sizes: tuple[int, ...], rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(sizes)
    X = 0.5 * random.normal(size=(rows, sizes[0]))
    return X, np.tanh(X @ random.normal(size=(sizes[0], sizes[-1])))


def make(sizes: tuple[int, ...], dtype: str, activation: str = "tanh", **penalties: Any) -> dr.Network:
    hidden = [dr.Dense(units, activation, **penalties) for units in sizes[1:-1]]
    return dr.Network([*hidden, dr.Dense(sizes[-1], **penalties)], sizes[0], dtype, seed=5)


def digest(network: dr.Network, start: dict[str, NDArray[Any]]) -> str:
    """SHA-256 of all parameters, which are finite and are not as they were at the start."""
    result = hashlib.sha256()
    for name, array in network.state_dict().items():
        assert np.isfinite(array).all()
        assert (array != start[name]).any(), f"{name} was not trained"
        result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()


def train(
    size: int,
    optimizer: Optimizer,
    dtype: str,
    *,
    activation: str = "tanh",
    penalties: dict[str, Any] | None = None,
    steps: int = 200,
    **options: Any,
) -> str:
    """The digest after at least so many steps of a fit."""
    sizes, batch_size, rows = SIZES[size]
    network = make(sizes, dtype, activation, **penalties or {})
    start = network.state_dict()
    epochs = -(-steps // -(-rows // batch_size))
    network.fit(*data(sizes, rows), loss="mse", optimizer=optimizer, epochs=epochs, batch_size=batch_size, **options)
    return digest(network, start)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", WORDS["optimizers"])
def test_every_optimizer_with_every_activation(optimizer: str, activation: str, dtype: str) -> None:
    """Each network on every instruction set; threads, which take their time, with a network each, in turn."""
    chosen = find_optimizer(optimizer)
    turn = ACTIVATIONS.index(activation) + list(WORDS["optimizers"]).index(optimizer)
    threads = [3, 2, 4] if dtype == "float32" else [3]
    for size in range(len(SIZES)):
        digests = {}
        for isa in EQUAL:
            _core.select_isa(isa)
            digests[isa, 1] = train(size, chosen, dtype, activation=activation, n_threads=1)
        for place, n in enumerate(threads):
            if (turn + place) % len(SIZES) == size:
                digests[EQUAL[-1], n] = train(size, chosen, dtype, activation=activation, n_threads=n)
        assert len(set(digests.values())) == 1, (SIZES[size], digests)


def test_other_optimizers_and_activations_have_other_bits() -> None:
    """What is compared above tells one training from another."""
    pairs = list(itertools.product(WORDS["optimizers"], ACTIVATIONS))
    digests = {train(0, find_optimizer(optimizer), "float32", activation=name) for optimizer, name in pairs}
    assert len(digests) == len(pairs)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("isa", _core.isas())
@pytest.mark.parametrize("penalties", PENALTIES, ids=str)
@pytest.mark.parametrize("optimizer", WORDS["optimizers"])
def test_fused_and_unfused(optimizer: str, penalties: dict[str, Any], isa: str, n_threads: int) -> None:
    """Clipping needs all gradients before the first update; bounds that nothing reaches change no bit."""
    _core.select_isa(isa)
    options: dict[str, Any] = {"penalties": penalties, "n_threads": n_threads, "steps": 200 if n_threads == 1 else 40}
    for dtype, size in itertools.product(DTYPES, range(len(SIZES)) if n_threads == 1 else [2]):
        fused = train(size, find_optimizer(optimizer), dtype, **options)
        for bound in ("clip_norm", "clip_value"):
            unfused = train(size, find_optimizer(optimizer), dtype, **{**options, bound: 1e30})
            assert unfused == fused, (bound, dtype, SIZES[size])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", range(len(SIZES)))
@pytest.mark.parametrize("isa", _core.isas())
@pytest.mark.parametrize("optimizer", WORDS["optimizers"])
def test_step_by_step_and_applied(optimizer: str, isa: str, size: int, dtype: str) -> None:
    """A fit, Trainer.step over the same batches, and Trainer.apply of the gradients that a network gives of them."""
    _core.select_isa(isa)
    sizes, batch_size, rows = SIZES[size]
    chosen, penalties = find_optimizer(optimizer), PENALTIES[-1]
    X, y = (array.astype(dtype) for array in data(sizes, rows))
    stepped, applied = make(sizes, dtype, **penalties), make(sizes, dtype, **penalties)
    stepper, applier = (dr.Trainer(network, loss="mse", optimizer=chosen) for network in (stepped, applied))
    start = stepped.state_dict()
    steps_of_epoch = -(-rows // batch_size)
    for epoch in range(-(-200 // steps_of_epoch)):
        order = _core.shuffled(rows, stepped.seed, epoch)
        for first in range(0, rows, batch_size):
            batch = X[order[first : first + batch_size]], y[order[first : first + batch_size]]
            stepper.step(*batch)
            applier.apply(applied.loss_and_gradients(*batch, loss="mse")[1])
    assert stepper.steps == applier.steps >= 200
    assert digest(stepped, start) == train(size, chosen, dtype, penalties=penalties)
    assert digest(applied, start) == digest(stepped, start)
