"""Frozen layers and learning rates of their own: every step as in the reference, frozen tensors to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_networks import Batch, batch, set_at_random
from reference_steps import Array, reference_steps, twin_of, worst
from test_optimizers import SETTINGS

import deltarule as dr
from deltarule import _core
from deltarule.optimizers import Optimizer

EQUAL = [name for name in _core.isas() if _core.has_same_bits(name)] or [_core.isa()]
RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(50, 6))
Y = np.tanh(X @ RANDOM.normal(size=(6, 3)))


def new(layers: list[Any] | None = None, inputs: Any = 6, dtype: str = "float64", seed: int = 4) -> dr.Network:
    """Three dense layers, unless others are given; all tensors are random, biases too."""
    network = dr.Network(layers or [dr.Dense(7, "tanh"), dr.Dense(5, "gelu"), dr.Dense(3)], inputs, dtype, seed)
    set_at_random(network, seed)
    return network


def bits(network: dr.Network) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in network.state_dict().items()}


def assert_learned(network: dr.Network, before: dict[str, bytes]) -> None:
    """Whatever is frozen, or has a learning rate of 0, has kept its bits, and nothing else has."""
    for place, layer in enumerate(network.layers):
        learns = getattr(layer, "trainable", False) and getattr(layer, "lr_factor", 1.0) > 0
        for name, after in bits(network).items():
            if name.split(".")[0] == (layer.name or str(place)):
                assert (after != before[name]) == learns, name


def assert_as_the_reference(network: dr.Network, X: Array, y: Array, limit: float = 1e-12, **options: Any) -> None:
    """A fit with these options, and the same steps of the reference."""
    twin, before = twin_of(network), bits(network)
    n_threads, checkpoint_steps = options.pop("n_threads", None), options.pop("checkpoint_steps", None)
    sums = np.zeros((options.get("epochs", 1), 2))
    steps = reference_steps(twin, network.seed, X, y, first_epoch=network.epochs_trained, **options)
    history = network.fit(X, y, **{"loss": "mse", **options}, n_threads=n_threads, checkpoint_steps=checkpoint_steps)
    size = min(options["batch_size"], len(X))
    for number, (epoch, loss) in enumerate(steps):
        rows = min(size, len(X) - number % -(-len(X) // size) * size)
        sums[epoch] += loss * rows, rows
    assert worst(network.state_dict(), twin.parameters) <= limit
    if "lengths" not in options:  # where the weight of a batch is more than the number of its samples
        np.testing.assert_allclose(history["loss"], sums[:, 0] / sums[:, 1], rtol=1e-12)
    assert_learned(network, before)


FROZEN = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2)]
CLIPPING: list[dict[str, Any]] = [{}, {"clip_norm": 0.05}, {"clip_norm": 0.05, "clip_value": 0.01}]


class TestStepsAreTheReferences:
    @pytest.mark.parametrize("frozen", [(0,), (1,), (2,), ()], ids=str)
    @pytest.mark.parametrize("optimizer", SETTINGS, ids=repr)
    def test_of_every_optimizer(self, optimizer: Optimizer, frozen: tuple[int, ...]) -> None:
        """The layers that learn have learning rates of their own."""
        network = new([dr.Dense(7, "tanh", l2=0.01), dr.Dense(5, "gelu", l1=1e-3), dr.Dense(3, lr_factor=0.3)])
        network.set_lr_factor(2.0, 0)
        if frozen:
            network.freeze(*frozen)
        assert_as_the_reference(network, X, Y, optimizer=optimizer, epochs=2, batch_size=16, limit=3e-12)

    @pytest.mark.parametrize("clipping", CLIPPING, ids=str)
    @pytest.mark.parametrize("batch_size", [1, 7, 8, 9, 50])
    @pytest.mark.parametrize("frozen", FROZEN, ids=str)
    def test_of_any_batch_size(self, frozen: tuple[int, ...], batch_size: int, clipping: dict[str, Any]) -> None:
        penalties: list[dict[str, Any]] = [{}, {"l1": 1e-3, "l2": 1e-2}]
        for penalty in penalties:
            network = new([dr.Dense(7, "tanh", **penalty), dr.Dense(5, "gelu"), dr.Dense(3, **penalty)])
            network.freeze(*frozen)
            rows = slice(0, min(50, 6 * batch_size))
            optimizer = dr.Adam(lr=0.01, eps=1e-4)
            options: dict[str, Any] = {"optimizer": optimizer, "epochs": 2, "batch_size": batch_size, **clipping}
            assert_as_the_reference(network, X[rows], Y[rows], **options)

    @pytest.mark.parametrize("factors", [(0.1, 1, 1), (1, 0, 3), (0.5, 0.5, 0.5), (2, 1, 0.25)], ids=str)
    @pytest.mark.parametrize("batch_size", [1, 8, 16])
    def test_of_learning_rates(self, factors: tuple[float, ...], batch_size: int) -> None:
        for optimizer in (dr.SGD(lr=0.02, momentum=0.5), dr.AdamW(lr=0.01, eps=1e-4), dr.NAdam(lr=0.01, eps=1e-4)):
            network = new()
            for layer, factor in enumerate(factors):
                network.set_lr_factor(factor, layer)
            assert_as_the_reference(network, X, Y, optimizer=optimizer, epochs=2, batch_size=batch_size)

    @pytest.mark.parametrize("n_threads", [1, 2, 3])
    @pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (0, 1)], ids=str)
    def test_of_layers_whose_units_are_shared_out(self, frozen: tuple[int, ...], n_threads: int) -> None:
        """So many weights that threads share out units, not rows, in the first layer that learns."""
        X = np.random.default_rng(0).normal(size=(24, 140))
        for clipping in ({}, {"clip_norm": 0.05}):
            network = new([dr.Dense(150, "tanh"), dr.Dense(160, "relu", l2=1e-3), dr.Dense(3)], 140)
            network.freeze(*frozen)
            options: dict[str, Any] = {
                "optimizer": dr.SGD(0.1, momentum=0.5),
                "batch_size": 12,
                "epochs": 2,
                "n_threads": n_threads,
            }
            assert_as_the_reference(network, X, Y[:24], **options, **clipping)

    @pytest.mark.parametrize("outputs", [1, 2])
    @pytest.mark.parametrize("batch_size", [4, 32])
    def test_of_narrow_heads(self, batch_size: int, outputs: int) -> None:
        for frozen in FROZEN:
            network = new([dr.Dense(37, "relu"), dr.Dense(outputs + 1, "tanh"), dr.Dense(outputs)])
            network.freeze(*frozen)
            options: dict[str, Any] = {
                "optimizer": dr.RMSprop(lr=0.01, eps=1e-3),
                "epochs": 2,
                "batch_size": batch_size,
            }
            assert_as_the_reference(network, X, Y[:, :outputs], **options)

    @pytest.mark.parametrize("frozen", [(0,), (1,), (3,), (0, 1), (0, 1, 3), (4,), (6,), (4, 6), (1, 4)], ids=str)
    def test_between_dropout_and_layer_norm(self, frozen: tuple[int, ...]) -> None:
        layers = [dr.LayerNorm(), dr.Dense(9, "tanh", l2=0.1), dr.Dropout(0.3), dr.Dense(8, "mish"), dr.LayerNorm()]
        layers = [*layers, dr.Dropout(0.2), dr.Dense(3)]
        for batch_size in (1, 8, 20):
            network = new(layers)
            network.freeze(*frozen)
            options: dict[str, Any] = {"optimizer": dr.Adam(lr=0.01, eps=1e-3), "epochs": 2, "batch_size": batch_size}
            assert_as_the_reference(network, X, Y, **options)

    def test_dropout_first(self) -> None:
        network = new([dr.Dropout(0.2), dr.Dense(9, "tanh"), dr.Dropout(0.3), dr.Dense(3)])
        network.freeze(1)
        assert_as_the_reference(network, X, Y, optimizer=dr.SGD(0.1), epochs=3, batch_size=16)

    @pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "huber"])
    def test_of_other_losses_and_of_outputs_that_are_fused_with_them(self, loss: str) -> None:
        last = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}.get(loss, "tanh")
        y = Y.argmax(axis=1) if loss == "cross_entropy" else (Y > 0).astype(float)
        for frozen in FROZEN:
            network = new([dr.Dense(7, "tanh"), dr.Dense(5, "silu"), dr.Dense(3, last)])
            network.freeze(*frozen)
            assert_as_the_reference(network, X, y, optimizer=dr.SGD(0.1), epochs=2, batch_size=8, loss=loss)


def stacked(kind: Any, by_step: bool) -> list[Any]:
    body = [dr.Dense(4, "tanh"), kind(5, return_sequences=True), dr.LayerNorm(), kind(4, return_sequences=by_step)]
    return [*body, dr.Dropout(0.2), dr.Dense(2)]


class TestSequences:
    @pytest.mark.parametrize("kind", [dr.RNN, dr.LSTM, dr.GRU])
    @pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (3,), (5,), (0, 1), (0, 1, 2, 3), (3, 5), (1, 3)], ids=str)
    def test_steps_are_the_references(self, frozen: tuple[int, ...], kind: Any) -> None:
        """Frozen below, between and above layers that learn; all lengths, an output at each step or the last."""
        for by_step in (False, True):
            for cut in ({}, {"bptt_steps": 2}, {"checkpoint_steps": 2}):
                data = batch(9, 5, by_step=by_step)
                network = new(stacked(kind, by_step), (None, 3))
                network.freeze(*frozen)
                optimizer = dr.Adam(lr=0.01, eps=1e-3)
                given: dict[str, Any] = {"optimizer": optimizer, "epochs": 2, "batch_size": 4, **cut}
                if "bptt_steps" in cut:  # whose masks are drawn for each chunk anew
                    network = new([layer for layer in stacked(kind, by_step) if layer.type != "dropout"], (None, 3))
                    network.freeze(*(4 if layer == 5 else layer for layer in frozen))
                assert_as_the_reference(network, data.X, data.y, **given)

    @pytest.mark.parametrize("kind", [dr.RNN, dr.LSTM, dr.GRU])
    def test_of_different_lengths_in_both_directions(self, kind: Any) -> None:
        body = [kind(4, return_sequences=True, bidirectional=True, l2=0.01), kind(3, bidirectional=True)]
        data = batch(9, 5, ragged=True)
        assert data.lengths is not None
        for frozen in ((0,), (1,), (2,), (0, 1), (1, 2)):
            network = new([*body, dr.Dense(2)], (None, 3))
            network.freeze(*frozen)
            given: dict[str, Any] = {"optimizer": dr.SGD(0.1), "epochs": 1, "batch_size": 9, "clip_norm": 0.1}
            X = np.where(data.exists[:, :, None], data.X, 0)
            assert_as_the_reference(network, X, data.y, lengths=data.lengths, **given)

    @pytest.mark.parametrize("kind", [dr.RNN, dr.LSTM, dr.GRU])
    def test_learning_rates(self, kind: Any) -> None:
        data: Batch = batch(9, 5)
        network = new(stacked(kind, False), (None, 3))
        network.set_lr_factor(0.1, 1)
        network.set_lr_factor(3, 2, -1)
        network.set_lr_factor(0, 0)
        assert_as_the_reference(network, data.X, data.y, optimizer=dr.SGD(0.1), epochs=2, batch_size=4)


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


PATHS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((0,), {}),
    ((1,), {"clip_norm": 0.1}),
    ((2,), {"batch_size": 1, "epochs": 1}),
    ((0, 1), {"batch_size": 8, "optimizer": "nadam"}),
    ((0, 2), {"validation_split": 0.3, "optimizer": "rmsprop"}),
    ((), {"batch_size": 7}),
]


@pytest.mark.usefixtures("same_isa_after")
class TestBits:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("units", [17, 320])
    @pytest.mark.parametrize(("frozen", "options"), PATHS, ids=str)
    def test_threads_and_instruction_sets(
        self, frozen: tuple[int, ...], options: dict[str, Any], units: int, dtype: str
    ) -> None:
        inputs, found = 300 if units > 100 else 13, set()
        data = np.random.default_rng(1).normal(size=(40, inputs)).astype(dtype)
        given: dict[str, Any] = {"loss": "mse", "epochs": 2, "batch_size": 16, "optimizer": "adam", **options}
        for isa in EQUAL:
            _core.select_isa(isa)
            for n_threads in (1, 2, 3):
                layers = [dr.Dense(units, "tanh", l2=1e-3), dr.Dense(units, "gelu", lr_factor=0.5), dr.Dense(3, l1=0.1)]
                network = new(layers, inputs, dtype)
                if frozen:
                    network.freeze(*frozen)
                history = network.fit(data, Y[:40], n_threads=n_threads, **given)
                found.add((str(history["loss"]), *bits(network).values()))
        assert len(found) == 1

    @pytest.mark.parametrize("kind", [dr.RNN, dr.LSTM, dr.GRU])
    def test_of_sequences(self, kind: Any) -> None:
        data = batch(23, 6, ragged=True, dtype="float32")
        for frozen in ((0,), (1,), (3,), (0, 1, 2), (5,)):
            cuts: list[dict[str, Any]] = [{}, {"bptt_steps": 2}]
            for cut in cuts:
                found = set()
                for isa in EQUAL:
                    _core.select_isa(isa)
                    for n_threads in (1, 2, 3):
                        network = new(stacked(kind, False), (None, 3), "float32")
                        network.freeze(*frozen)
                        network.fit(
                            data.X, data.y, loss="mse", lengths=data.lengths, batch_size=9, n_threads=n_threads, **cut
                        )
                        found.add(tuple(bits(network).values()))
                assert len(found) == 1

    @pytest.mark.parametrize("frozen", FROZEN, ids=str)
    def test_a_trainer_does_as_fit(self, frozen: tuple[int, ...]) -> None:
        for rows in (8, 25):
            fitted, stepped = (new([dr.Dense(7, "tanh", l2=0.1), dr.Dense(5), dr.Dense(3)]) for _ in range(2))
            for network in (fitted, stepped):
                network.freeze(*frozen)
                network.set_lr_factor(0.5, 1)
            fitted.fit(X, Y, loss="mse", batch_size=rows, shuffle=False, epochs=2)
            trainer = dr.Trainer(stepped, loss="mse")
            for _ in range(2):
                for first in range(0, 50, rows):
                    trainer.step(X[first : first + rows], Y[first : first + rows])
            assert bits(fitted) == bits(stepped)
