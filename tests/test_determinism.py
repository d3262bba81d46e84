"""The promise: the same seed gives the same bits, whatever the number of threads and the instruction set with FMA.

Every optimizer, activation and loss is found by its name and trained; the hashes of all its parameters must be one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core

pytestmark = pytest.mark.usefixtures("same_isa_after")

WORDS = _core.vocabulary()
EQUAL = [name for name in _core.isas() if _core.has_same_bits(name)] or [_core.isa()]
THREADS = [1, 2, 3, 4]
DTYPES = ["float32", "float64"]
SIZES = {"13-37-5": ((13, 37, 5), 9, 50, 5), "70-100-10": ((70, 100, 10), 32, 320, 3)}  # sizes, batch, rows, epochs


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


def data(inputs: int, outputs: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, y and the weights of the samples."""
    random = np.random.default_rng(inputs)
    X = random.normal(size=(rows, inputs))
    return X, np.tanh(X @ random.normal(size=(inputs, outputs)) / 3), random.uniform(0.1, 2, rows)


def digest(*parts: Any) -> str:
    """SHA-256 of networks, dicts of arrays, arrays and numbers."""
    result = hashlib.sha256()
    for part in parts:
        arrays = part.state_dict() if isinstance(part, dr.Network) else part
        for array in arrays.values() if isinstance(arrays, dict) else [np.asarray(arrays)]:
            assert np.isfinite(array).all()
            result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()


def train(
    sizes: tuple[int, int, int] = (13, 37, 5),
    batch_size: int = 9,
    rows: int = 50,
    epochs: int = 5,
    *,
    dtype: str = "float32",
    activation: str = "tanh",
    last: str = "identity",
    seed: int = 3,
    layer: dict[str, Any] | None = None,
    y: np.ndarray | None = None,
    **options: Any,
) -> str:
    """The digest of the trained parameters and of the history of the loss."""
    inputs, hidden, outputs = sizes
    X, values, _ = data(inputs, outputs, rows)
    layers = [dr.Dense(hidden, activation, **layer or {}), dr.Dense(hidden, activation), dr.Dense(outputs, last)]
    network = dr.Network(layers, inputs, dtype, seed)
    options = {"loss": "mse", "optimizer": dr.SGD(lr=1e-3), **options}
    history = network.fit(X, values if y is None else y, epochs=epochs, batch_size=batch_size, **options)
    assert len(history["loss"]) == epochs
    return digest(network, history["loss"], history.get("val_loss", []))


def everywhere(threads: list[int], **options: Any) -> set[str]:
    """The digests of all these numbers of threads on the best instruction set, and of two of them on each other one."""
    digests = set()
    for isa in EQUAL:
        _core.select_isa(isa)
        digests |= {train(n_threads=n, **options) for n in (threads if isa == EQUAL[-1] else threads[:2])}
    return digests


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", WORDS["optimizers"])
def test_every_optimizer(optimizer: str, dtype: str, size: str) -> None:
    sizes, batch_size, rows, epochs = SIZES[size]
    options = {"sizes": sizes, "batch_size": batch_size, "rows": rows, "epochs": epochs, "dtype": dtype}
    threads = THREADS if size == "13-37-5" else [1, 4]
    assert len(everywhere(threads, optimizer=optimizer, **options)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", WORDS["activations"])
def test_every_activation(activation: str, dtype: str) -> None:
    hidden, last = ("tanh", "softmax") if activation == "softmax" else (activation, "identity")
    assert len(everywhere([1, 2], activation=hidden, last=last, dtype=dtype, optimizer="adam")) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", WORDS["losses"])
def test_every_loss(loss: str, dtype: str) -> None:
    _, values, weights = data(13, 5, 50)
    targets = {
        "cross_entropy": values.argmax(axis=1),
        "binary_cross_entropy": values > 0,
        "hinge": values > 0,
        "squared_hinge": values > 0,
        "poisson": np.floor(3 * np.abs(values)),
        "poisson_deviance": np.floor(3 * np.abs(values)),
    }
    y = targets.get(loss, values)
    assert len(everywhere([1, 2], loss=loss, y=y, dtype=dtype, sample_weight=weights)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options",
    [
        {"clip_norm": 0.1},
        {"clip_value": 1e-3, "layer": {"l1": 1e-3, "l2": 1e-2}},
        {"clip_norm": 0.1, "layer": {"use_bias": False, "init": "orthogonal"}},
        {"validation_split": 0.3, "batch_size": 7},
        {"shuffle": False, "layer": {"l2": 1e-2}},
        {"batch_size": 1, "epochs": 1},
        {"batch_size": 10_000},
        {"sizes": (1, 1, 1), "optimizer": "adam"},
        # So many weights in the first layer that threads share out its units, not its rows.
        {"sizes": (300, 320, 5), "optimizer": "adam"},
        {"sizes": (300, 320, 5), "clip_norm": 0.1, "validation_split": 0.3, "batch_size": 40},
        {"sizes": (300, 320, 5), "loss": lambda z, y: (float(((z - y) ** 2).mean()), 2 * (z - y) / z.size)},
        {"sizes": (300, 320, 5), "batch_size": 1, "epochs": 1, "activation": "gelu"},
    ],
    ids=str,
)
def test_every_path_through_a_step(options: dict[str, Any], dtype: str) -> None:
    assert len(everywhere([1, 2, 3], dtype=dtype, **options)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 50, 1500])
def test_answers_of_one_network(rows: int, dtype: str) -> None:
    """predict, predict_proba, evaluate and loss_and_gradients, with more threads than rows too."""
    X, y, weights = data(13, 5, rows)
    digests = set()
    for isa in EQUAL:
        _core.select_isa(isa)
        network = dr.Network([dr.Dense(37, "gelu", l2=0.1), dr.Dense(5, "softmax")], 13, dtype)
        for n in THREADS:
            value, gradients = network.loss_and_gradients(X, y, loss="mse", sample_weight=weights, n_threads=n)
            loss = network.evaluate(X, y.argmax(axis=1), loss="cross_entropy", n_threads=n)["loss"]
            predictions = network.predict(X, n_threads=n), network.predict_proba(X, n_threads=n)
            digests.add(digest(value, gradients, loss, *predictions))
            again = network.evaluate(X, y, loss="mse", sample_weight=weights, n_threads=n)["loss"]
            assert again == pytest.approx(value)
    assert len(digests) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_trainer_and_the_way_back_by_hand(dtype: str) -> None:
    X, y, _ = data(13, 5, 50)
    digests = set()
    for isa in EQUAL:
        _core.select_isa(isa)
        for n in THREADS:
            network = dr.Network([dr.Dense(37, "silu"), dr.Dense(5)], 13, dtype)
            trainer = dr.Trainer(network, loss="huber", optimizer="nadam", n_threads=n)
            losses = [trainer.step(X[:size], y[:size]) for size in (50, 9, 1, 50)]
            output = network.forward(X)
            digests.add(digest(network, losses, output, network.backward(output - y), network.gradients))
    assert len(digests) == 1


@pytest.mark.parametrize("isa", _core.isas())
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_nothing_on_any_instruction_set(isa: str, dtype: str) -> None:
    """Without FMA the bits are others, but they too do not depend on the number of threads."""
    _core.select_isa(isa)
    assert len({train(dtype=dtype, optimizer="adam", clip_norm=1.0, n_threads=n) for n in THREADS}) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_seeds(dtype: str) -> None:
    assert train(dtype=dtype, seed=1) == train(dtype=dtype, seed=1)
    assert len({train(dtype=dtype, seed=seed) for seed in (0, 1, 2, 2**32, 2**64 - 1)}) == 5


def test_the_number_of_threads_set_for_all_changes_nothing() -> None:
    digests = set()
    for n in (None, 1, 2, 5):
        dr.set_num_threads(n)
        digests.add(train(optimizer="adam"))
    dr.set_num_threads(None)
    assert len(digests) == 1


def test_a_number_of_threads_that_changes_on_the_way_changes_nothing() -> None:
    """Nobody said how many: what takes part is tried out meanwhile, some hundred times in these steps."""
    digests = {
        train((64, 128, 4), 64, 640, 400, optimizer="adam", activation="relu", n_threads=n) for n in (None, 1, 2)
    }
    assert len(digests) == 1


def test_data_of_another_dtype_order_or_kind_changes_nothing() -> None:
    X, y, _ = data(13, 5, 50)
    X, y = X.astype(np.float32), y.astype(np.float32)
    strided = np.repeat(X, 2, axis=0)[::2]
    digests = set()
    for given in (X, X.astype(np.float64), np.asfortranarray(X), X.astype(">f4"), X.tolist(), strided):
        network = dr.Network([dr.Dense(37, "tanh"), dr.Dense(5)], seed=3)
        network.fit(given, y, loss="mse", optimizer="adam", epochs=2, batch_size=9)
        digests.add(digest(network, network.predict(given)))
    assert len(digests) == 1
