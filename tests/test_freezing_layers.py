"""Who is frozen and who may say so, what frozen layers keep and what they still do, in every kind of training."""

from __future__ import annotations

import copy
import json
import math
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recurrent_networks import batch
from reference_steps import of_reference, twin_of, worst
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from test_freezing import CLIPPING, FROZEN, RANDOM, X, Y, assert_learned, bits, new, stacked

import deltarule as dr


class TestKeepsItsBits:
    OPTIMIZERS = (dr.SGD(0.1, momentum=0.9, weight_decay=0.5), dr.AdamW(0.1, weight_decay=0.9), dr.Adam(weight_decay=1))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
    def test_with_weight_decay_in_a_fit_a_step_and_by_gradients_of_ones_own(self, optimizer: Any, dtype: str) -> None:
        for rows in (1, 8, 50):
            network = new([dr.Dense(7, "tanh", l2=1.0), dr.Dense(5), dr.Dense(3)], dtype=dtype)
            network.freeze(0)
            before = bits(network)
            network.fit(X[:rows], Y[:rows], loss="mse", optimizer=optimizer, batch_size=rows, clip_norm=1.0)
            trainer = dr.Trainer(network, loss="mse", optimizer=optimizer, clip_value=1.0)
            trainer.step(X[:rows], Y[:rows])
            trainer.apply({name: np.ones_like(array) for name, array in network.state_dict().items()})
            assert_learned(network, before)

    def test_of_many_units(self) -> None:
        network = new([dr.Dense(300, "relu"), dr.Dense(320, "relu"), dr.Dense(3)], 200, "float32")
        data = np.random.default_rng(0).normal(size=(64, 200))
        for frozen in ((0,), (1,), (0, 1), (2,)):
            network.unfreeze()
            network.freeze(*frozen)
            before = bits(network)
            network.fit(data, np.ones((64, 3)), loss="mse", optimizer=dr.AdamW(weight_decay=0.5), n_threads=2)
            assert_learned(network, before)

    def test_denormals_and_zeros_of_either_sign(self) -> None:
        """A fit flushes denormals in what it computes; of a frozen layer it computes nothing."""
        network = new()
        state = network.state_dict()
        state["0.weight"][0] = 5e-324
        state["0.weight"][1] = -0.0
        network.load_state_dict(state)
        before = bits(network)
        network.freeze(0)
        network.fit(X, Y, loss="mse", clip_norm=1.0)
        assert_learned(network, before)

    def test_gradients_of_ones_own_with_a_norm_are_those_of_what_learns(self) -> None:
        """As torch.nn.utils.clip_grad_norm_ over the parameters that are trained."""
        network = new()
        network.freeze(1)
        gradients = {name: RANDOM.normal(size=array.shape) for name, array in network.state_dict().items()}
        trained = [array for name, array in gradients.items() if not name.startswith("1")]
        factor = 0.5 / (math.sqrt(sum(float((array**2).sum()) for array in trained)) + 1e-6)
        start = network.state_dict()
        dr.Trainer(network, loss="mse", optimizer=dr.SGD(0.1), clip_norm=0.5).apply(gradients)
        for name, array in network.state_dict().items():
            moved = 0 if name.startswith("1") else 0.1 * factor * gradients[name]
            np.testing.assert_allclose(array, start[name] - moved, rtol=1e-13, atol=1e-15)


class TestDuringTheLifeOfATrainer:
    @pytest.mark.parametrize("rows", [4, 30])
    def test_works_at_once(self, rows: int) -> None:
        """Batches of so few rows, and of more, go different ways through the core."""
        optimizer = dr.SGD(0.1, momentum=0.9, nesterov=True)
        network, x, y = new(), X[:rows], Y[:rows]
        trainer, twin = dr.Trainer(network, loss="mse", optimizer=optimizer), twin_of(network)
        changes: list[Callable[[], None]] = [
            lambda: None,
            lambda: network.freeze(0),
            lambda: network.freeze(2),
            lambda: network.unfreeze(0),
            lambda: network.set_lr_factor(0.1, 1),
            network.unfreeze,
            lambda: network.set_lr_factor(1),
        ]
        for change in changes:
            change()
            for layer, name in zip(network.layers, "012", strict=True):
                learning: Any = layer
                twin.lr_factors[name] = learning.lr_factor if learning.trainable else None
            for _ in range(3):
                before = bits(network)
                assert trainer.step(x, y) == pytest.approx(twin.step(x, y, "mse", of_reference(optimizer)), rel=1e-12)
                assert_learned(network, before)
            assert worst(network.state_dict(), twin.parameters) <= 1e-12
        gradients = {name: np.ones_like(array) for name, array in network.state_dict().items()}
        network.freeze(1)
        before = bits(network)
        trainer.apply(gradients)
        assert_learned(network, before)

    def test_all_frozen_is_refused_and_nothing_is_lost(self) -> None:
        network = new()
        trainer = dr.Trainer(network, loss="mse")
        trainer.step(X, Y)
        before = bits(network)
        network.freeze()
        with pytest.raises(ValueError, match="all layers are frozen"):
            trainer.step(X, Y)
        with pytest.raises(ValueError, match="all layers are frozen"):
            trainer.step(X[:2], Y[:2])
        assert bits(network) == before
        network.unfreeze(1)
        trainer.step(X, Y)
        assert_learned(network, before)


class TestWhatIsRefused:
    def test_while_a_fit_runs_in_another_thread(self) -> None:
        network, begun, end = new(), threading.Event(), threading.Event()

        class Gate:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
                begun.set()
                return end.is_set()

        def work() -> None:
            network.fit(X, Y, loss="mse", epochs=10**9, callbacks=[Gate()])

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert begun.wait(20)
            layers = network.layers
            changes: list[Callable[[], None]] = [network.freeze, network.unfreeze, lambda: network.set_lr_factor(0.5)]
            for change in changes:
                with pytest.raises(RuntimeError, match="wait for"):
                    change()
            assert network.layers == layers
        finally:
            end.set()
            thread.join(20)
        network.freeze(0)

    @pytest.mark.parametrize("method", ["freeze", "set_lr_factor"])
    def test_in_a_callback_of_its_own(self, method: str) -> None:
        network, arguments = new(), (0,) if method == "freeze" else (0.5, 0)

        class Freezes:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                getattr(network, method)(*arguments)

        with pytest.raises(RuntimeError, match="while a fit runs on the same network"):
            network.fit(X, Y, loss="mse", callbacks=[Freezes()])
        assert network.layers == new().layers

    def test_all_frozen_before_anything_is_trained(self) -> None:
        network, told = new(), []

        class Told:
            def on_fit_begin(self, network: dr.Network) -> None:
                told.append(network)

        network.freeze()
        with pytest.raises(
            ValueError, match=r"all layers are frozen: there is nothing to train; see Network\.unfreeze"
        ):
            network.fit(X, Y, loss="mse", callbacks=[Told()])
        assert not told
        assert network.epochs_trained == 0
        assert bits(network) == bits(new())
        assert network.evaluate(X, Y, loss="mse")["loss"] > 0

    @pytest.mark.parametrize(
        ("layer", "error", "message"),
        [
            (3, ValueError, r"the network has 3 layers, and no layer 3"),
            (-4, ValueError, r"the network has 3 layers, and no layer -4"),
            ("bodi", ValueError, r"no layer 'bodi': did you mean 'body'\?"),
            ("", ValueError, "no layer ''"),
            (1, ValueError, r"layer 1 is Dropout.*nothing that could learn"),
            (1.0, TypeError, r"layer 1\.0 is float: expected its number or its name"),
            (True, TypeError, "layer True is bool"),
            (None, TypeError, "layer None is NoneType"),
            ([0], TypeError, r"layer \[0\] is list"),
        ],
        ids=str,
    )
    def test_layers_that_are_none(self, layer: Any, error: type[Exception], message: str) -> None:
        network = new([dr.Dense(4, name="body"), dr.Dropout(0.1), dr.Dense(3)])
        for change in (network.freeze, network.unfreeze, lambda *which: network.set_lr_factor(0.5, *which)):
            with pytest.raises(error, match=message):
                change(0, layer)
        assert all(getattr(of, "trainable", True) and getattr(of, "lr_factor", 1.0) == 1 for of in network.layers)

    @pytest.mark.parametrize("factor", [-1, math.nan, math.inf, "fast", None, 1j])
    def test_factors(self, factor: Any) -> None:
        network = new()
        with pytest.raises((TypeError, ValueError), match="lr_factor="):
            network.set_lr_factor(factor, 0)
        with pytest.raises((TypeError, ValueError), match="lr_factor="):
            dr.Dense(3, lr_factor=factor)
        with pytest.raises(TypeError, match=r"trainable=1: expected True or False"):
            dr.LayerNorm(trainable=1)  # type: ignore[arg-type]
        assert network.layers == new().layers


def names(network: dr.Network) -> list[bool]:
    return [getattr(layer, "trainable", False) for layer in network.layers]


class TestWhoIsFrozen:
    def test_by_number_by_name_and_all(self) -> None:
        network = dr.Network([dr.Dense(4, name="body"), dr.Dropout(0.1), dr.LayerNorm(), dr.Dense(3)])
        network.freeze(0)
        assert names(network) == [False, False, True, True]
        network.freeze(-1, np.int64(2))  # type: ignore[arg-type]
        assert names(network) == [False, False, False, False]
        network.unfreeze("body")
        assert names(network) == [True, False, False, False]
        network.unfreeze()
        assert names(network) == [True, False, True, True]
        network.freeze("2", "body", "body")
        assert names(network) == [False, False, False, True]
        network.set_lr_factor(0.5)
        assert [getattr(layer, "lr_factor", None) for layer in network.layers] == [0.5, None, 0.5, 0.5]
        network.fit(X, Y, loss="mse")  # which builds it as it is now
        before = bits(network)
        network.fit(X, Y, loss="mse")
        assert_learned(network, before)

    def test_layers_can_begin_frozen(self) -> None:
        network = dr.Network([dr.GRU(4, trainable=False), dr.LayerNorm(lr_factor=0.1), dr.Dense(2)], (None, 3))
        before, data = bits(network), batch(6, 4)
        network.fit(data.X, data.y, loss="mse")
        assert_learned(network, before)

    def test_is_kept_by_files_pickles_and_copies(self, tmp_path: Path) -> None:
        network = new([dr.Dense(4, "tanh", name="body"), dr.LayerNorm(), dr.Dense(3)])
        network.freeze("body")
        network.set_lr_factor(0.25, 1)
        network.save(tmp_path / "net.safetensors")
        others = [dr.Network.load(tmp_path / "net.safetensors"), copy.deepcopy(network)]
        others += [pickle.loads(pickle.dumps(network)), dr.Network.from_spec(network.spec())]
        others[-1].load_state_dict(network.state_dict())
        network.fit(X, Y, loss="mse", epochs=3)
        for other in others:
            assert other.layers == network.layers
            before = bits(other)
            other.fit(X, Y, loss="mse", epochs=3)
            assert_learned(other, before)
            assert bits(other) == bits(network)

    def test_files_of_before_know_nothing_of_it(self, tmp_path: Path) -> None:
        network = new([dr.Dense(4, "tanh", name="body"), dr.LayerNorm(), dr.Dropout(0.1), dr.Dense(3)])
        network.save(tmp_path / "new")
        with safe_open(tmp_path / "new", framework="numpy") as file:
            description = json.loads(file.metadata()["deltarule"])
        text = json.dumps(description)
        assert text.count('"trainable"') == text.count('"lr_factor"') == 3
        for layer in description["spec"]["layers"] if "spec" in description else description["layers"]:
            layer.pop("trainable", None)
            layer.pop("lr_factor", None)
        save_file(load_file(tmp_path / "new"), tmp_path / "old", metadata={"deltarule": json.dumps(description)})
        old = dr.Network.load(tmp_path / "old")
        assert old.layers == network.layers
        assert bits(old) == bits(network)


class TestWhatFrozenLayersStillDo:
    @pytest.mark.parametrize("batch_size", [5, 50])
    @pytest.mark.parametrize("frozen", FROZEN, ids=str)
    def test_their_penalties_are_in_the_loss(self, frozen: tuple[int, ...], batch_size: int) -> None:
        for clipping in CLIPPING:
            network = new([dr.Dense(7, "tanh", l1=0.1), dr.Dense(5, l1=0.2, l2=0.3), dr.Dense(3, l2=1.0)])
            network.freeze(*frozen)
            rows = slice(0, batch_size)
            expected = network.evaluate(X[rows], Y[rows], loss="mse")["loss"]
            plain = dr.Network([dr.Dense(7, "tanh"), dr.Dense(5), dr.Dense(3)], 6, "float64")
            plain.load_state_dict(network.state_dict())
            assert expected > plain.evaluate(X[rows], Y[rows], loss="mse")["loss"] + 1
            trainer = dr.Trainer(copy.deepcopy(network), loss="mse", **clipping)
            assert trainer.step(X[rows], Y[rows]) == pytest.approx(expected, rel=1e-13)
            for n_threads in (1, 2):
                history = copy.deepcopy(network).fit(
                    X[rows], Y[rows], loss="mse", batch_size=50, n_threads=n_threads, **clipping
                )
                assert history["loss"] == pytest.approx([expected], rel=1e-13)

    def test_gradients_are_those_of_all_layers(self) -> None:
        network, data = new(stacked(dr.GRU, True), (None, 3)), batch(6, 4, by_step=True)
        expected = network.loss_and_gradients(data.X, data.y, loss="mse")
        network.freeze(0, 1, 2, 5)
        value, gradients = network.loss_and_gradients(data.X, data.y, loss="mse")
        assert value == expected[0]
        for name, array in gradients.items():
            assert array.tobytes() == expected[1][name].tobytes()
            assert np.abs(array).max() > 0
        network.freeze()
        assert network.loss_and_gradients(data.X, data.y, loss="mse")[0] == value

    def test_the_way_back_by_hand_goes_through_them(self) -> None:
        network = new()
        network.forward(X)
        expected, gradients = network.backward(Y), network.gradients
        network.freeze()
        network.forward(X)
        assert network.backward(Y).tobytes() == expected.tobytes()
        assert all(network.gradients[name].tobytes() == array.tobytes() for name, array in gradients.items())

    def test_freezing_between_forward_and_backward(self) -> None:
        network = new()
        network.forward(X)
        expected = network.backward(Y)
        network.forward(X)
        network.freeze(0)
        assert network.backward(Y).tobytes() == expected.tobytes()

    def test_they_are_checked_and_looked_into(self) -> None:
        network = new()
        network.freeze(0, 2)
        network.set_lr_factor(0.1, 1)
        assert dr.gradcheck(network, X, Y, loss="mse")
        assert dr.gradient_flow(network, X, Y, loss="mse")
        network.summary()

    def test_divergence_names_what_happened_and_keeps_all(self) -> None:
        network = new()
        network.freeze(1)
        before = bits(network)
        with pytest.raises(dr.DivergenceError, match="epoch 1 of 50"):
            network.fit(X, Y * 1e200, loss="mse", optimizer=dr.SGD(1e200), epochs=50)
        assert bits(network) == before

    def test_lbfgs_leaves_them_alone(self) -> None:
        pytest.importorskip("scipy")
        network = new()
        network.freeze(0)
        before, loss = bits(network), network.evaluate(X, Y, loss="mse")["loss"]
        network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(max_iter=30))
        assert_learned(network, before)
        assert network.evaluate(X, Y)["loss"] < 0.5 * loss
