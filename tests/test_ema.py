"""`EMA`: the average of the weights as a loop in NumPy has it, who sees it and when, and how every fit ends."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recurrent_networks import batch, set_at_random
from reference_steps import Array, reference_steps, twin_of, worst

import deltarule as dr
from deltarule import _core, reference

EQUAL = [name for name in _core.isas() if _core.has_same_bits(name)] or [_core.isa()]
RANDOM = np.random.default_rng(21)
X = RANDOM.normal(size=(50, 6))
Y = np.tanh(X @ RANDOM.normal(size=(6, 3)))
ADAM = dr.Adam(lr=0.02, eps=1e-4)


def new(layers: list[Any] | None = None, inputs: Any = 6, dtype: str = "float64", seed: int = 4) -> dr.Network:
    network = dr.Network(layers or [dr.Dense(7, "tanh"), dr.Dense(5, "gelu"), dr.Dense(3)], inputs, dtype, seed)
    set_at_random(network, seed)
    return network


def bits(network: dr.Network) -> list[bytes]:
    return [array.tobytes() for array in network.state_dict().values()]


class Averaged:
    """What the average is to be: counted in every update of a network of the reference."""

    def __init__(self, network: dr.Network, decay: float) -> None:
        self.twin, self.decay, self.steps = twin_of(network), decay, 0
        self.average: dict[str, Array] = {}
        update = self.twin._update

        def update_and_average(*arguments: Any) -> None:
            update(*arguments)
            self.steps += 1
            for name, weight in self.twin.parameters.items():
                before = self.average.get(name)
                self.average[name] = weight.copy() if before is None else before + (1 - decay) * (weight - before)

        self.twin._update = update_and_average  # type: ignore[method-assign, assignment]


def assert_averaged(
    network: dr.Network, decay: float, X: Array, y: Array, limit: float = 1e-12, **options: Any
) -> None:
    """A fit ends with the average of the reference's steps."""
    expected = Averaged(network, decay)
    n_threads = options.pop("n_threads", None)
    steps = reference_steps(expected.twin, network.seed, X, y, first_epoch=network.epochs_trained, **options)
    network.fit(X, y, loss="mse", callbacks=[dr.EMA(decay)], n_threads=n_threads, **options)
    for _ in steps:
        pass
    assert expected.steps > 0
    assert worst(network.state_dict(), expected.average) <= limit


class TestIsTheAverageOfTheReference:
    @pytest.mark.parametrize("batch_size", [1, 8, 16, 50])
    @pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.999])
    def test_of_dense_networks(self, decay: float, batch_size: int) -> None:
        for options in ({}, {"clip_norm": 0.1}, {"optimizer": dr.SGD(0.05, momentum=0.9)}):
            given: dict[str, Any] = {"optimizer": ADAM, "epochs": 3, "batch_size": batch_size, **options}
            rows = min(50, 8 * batch_size)
            assert_averaged(new(), decay, X[:rows], Y[:rows], **given)

    @pytest.mark.parametrize("n_threads", [1, 2, 3])
    def test_of_wide_and_of_narrow_layers(self, n_threads: int) -> None:
        data = np.random.default_rng(0).normal(size=(24, 140))
        for layers in (
            [dr.Dense(300, "tanh", l2=1e-3), dr.Dense(1)],
            [dr.Dense(17, "relu"), dr.Dropout(0.3), dr.LayerNorm(), dr.Dense(1)],
        ):
            given: dict[str, Any] = {"optimizer": dr.SGD(0.01), "epochs": 2, "batch_size": 10, "n_threads": n_threads}
            assert_averaged(new(layers, 140), 0.8, data, Y[:24, :1], **given)
            assert_averaged(new(layers, 140), 0.8, data, Y[:24, :1], clip_value=0.01, **given)

    @pytest.mark.parametrize("frozen", [(0,), (1,), (0, 2)], ids=str)
    def test_with_frozen_layers_and_learning_rates(self, frozen: tuple[int, ...]) -> None:
        for batch_size in (8, 16):
            network = new()
            network.freeze(*frozen)
            network.set_lr_factor(0.1, -1)
            before = network.parameters
            assert_averaged(network, 0.7, X, Y, optimizer=ADAM, epochs=2, batch_size=batch_size)
            for name, array in network.parameters.items():
                assert (array.tobytes() == before[name].tobytes()) == (int(name[0]) in frozen)

    @pytest.mark.parametrize("kind", [dr.RNN, dr.LSTM, dr.GRU])
    @pytest.mark.parametrize("bptt_steps", [None, 2, 3])
    def test_of_sequences(self, bptt_steps: int | None, kind: Any) -> None:
        """Each chunk of truncated backpropagation makes an update of its own."""
        for by_step in (False, True):
            data = batch(9, 7, by_step=by_step)
            layers = [kind(4, return_sequences=True), dr.LayerNorm(), kind(3, return_sequences=by_step), dr.Dense(2)]
            given: dict[str, Any] = {"optimizer": ADAM, "epochs": 2, "batch_size": 4, "bptt_steps": bptt_steps}
            assert_averaged(new(layers, (None, 3)), 0.8, data.X, data.y, **given)

    def test_a_further_fit_goes_on_from_the_average_and_begins_another(self) -> None:
        network = new()
        for decay in (0.9, 0.5):
            assert_averaged(network, decay, X, Y, optimizer=ADAM, epochs=2, batch_size=16)

    def test_of_float32(self) -> None:
        network = new(dtype="float32")
        assert_averaged(network, 0.99, X, Y, limit=2e-5, optimizer=ADAM, epochs=5, batch_size=16)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_torch_has_the_same(decay: float) -> None:
    torch = pytest.importorskip("torch")
    network = new()
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 7), torch.nn.Tanh(), torch.nn.Linear(7, 5), torch.nn.GELU(), torch.nn.Linear(5, 3)
    ).double()
    linear = [model[place] for place in (0, 2, 4)]
    with torch.no_grad():
        for number, layer in enumerate(linear):
            layer.weight.copy_(torch.from_numpy(network.parameters[f"{number}.weight"].T.copy()))
            layer.bias.copy_(torch.from_numpy(network.parameters[f"{number}.bias"].copy()))
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(20):
        for first in range(0, 50, 16):
            x, y = (torch.from_numpy(array[first : first + 16]) for array in (X, Y))
            optimizer.zero_grad()
            ((model(x) - y) ** 2).mean().backward()
            optimizer.step()
            average.update_parameters(model)
    options: dict[str, Any] = {"optimizer": dr.Adam(0.01), "epochs": 20, "batch_size": 16, "shuffle": False}
    network.fit(X, Y, loss="mse", callbacks=[dr.EMA(decay)], **options)
    for number, place in enumerate((0, 2, 4)):
        own = average.module[place]
        for name, theirs in (("weight", own.weight.detach().numpy().T), ("bias", own.bias.detach().numpy())):
            np.testing.assert_allclose(network.parameters[f"{number}.{name}"], theirs, rtol=1e-9, atol=1e-11)


class Looks:
    """A callback that asks the network everything, after each epoch and at the end."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.logs: list[dict[str, float]] = []
        self.at_the_end: list[bytes] = []
        self.network: Any = None

    def on_fit_begin(self, network: dr.Network) -> None:
        self.network = network

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        network = self.network
        self.logs.append(logs)
        self.seen.append(
            {
                "parameters": network.state_dict(),
                "predict": network.predict(X),
                "predict one": network.predict(X[:1]),
                "evaluate": network.evaluate(X, Y, metrics=["mae"]),
                "gradients": network.loss_and_gradients(X, Y, loss="mse"),
                "copy": copy.deepcopy(network),
            }
        )

    def on_fit_end(self, network: dr.Network) -> None:
        self.at_the_end = bits(network)


class TestWhoSeesIt:
    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_validation_metrics_and_callbacks(self, n_threads: int) -> None:
        """And the steps go on from the weights: else the averages of later epochs would be others."""
        network, looks = new(), Looks()
        expected = Averaged(network, 0.9)
        steps = reference_steps(expected.twin, network.seed, X, Y, optimizer=ADAM, epochs=4, batch_size=16)
        averages = {epoch: dict(expected.average) for epoch, _ in steps}
        history = network.fit(
            X, Y, loss="mse", optimizer=ADAM, epochs=4, batch_size=16, callbacks=[looks, dr.EMA(0.9)],
            validation_data=(X[:20], Y[:20]), metrics=["mae"], n_threads=n_threads,
        )  # fmt: skip
        assert [sorted(logs) for logs in looks.logs] == [["loss", "lr", "mae", "seconds", "val_loss", "val_mae"]] * 4
        for epoch, seen in enumerate(looks.seen):
            assert worst(seen["parameters"], averages[epoch]) <= 1e-12
            plain = new()
            plain.load_state_dict(seen["parameters"])
            assert seen["predict"].tobytes() == plain.predict(X).tobytes()
            assert seen["predict one"].tobytes() == plain.predict(X[:1]).tobytes()
            on_all = plain.evaluate(X, Y, loss="mse", metrics=["mae"])
            assert seen["evaluate"] == on_all
            assert seen["gradients"][0] == plain.loss_and_gradients(X, Y, loss="mse")[0]
            assert bits(seen["copy"]) == bits(plain)
            held_out = plain.evaluate(X[:20], Y[:20], loss="mse", metrics=["mae"])
            assert history["val_loss"][epoch] == held_out["loss"]
            assert (history["mae"][epoch], history["val_mae"][epoch]) == (on_all["mae"], held_out["mae"])
        assert bits(network) == looks.at_the_end
        assert worst(network.state_dict(), averages[3]) <= 1e-12

    def test_the_losses_of_training_are_those_of_the_steps(self) -> None:
        averaged, plain = new(), new()
        options: dict[str, Any] = {"loss": "mse", "optimizer": ADAM, "epochs": 5, "batch_size": 16}
        history = averaged.fit(X, Y, callbacks=[dr.EMA(0.99)], **options)
        assert history["loss"] == plain.fit(X, Y, **options)["loss"]
        assert bits(averaged) != bits(plain)

    def test_early_stopping_goes_back_to_the_best_average(self) -> None:
        network, looks = new(), Looks()
        stopping = dr.EarlyStopping(patience=3)
        history = network.fit(
            X[:20], Y[:20], loss="mse", optimizer=dr.SGD(0.5, momentum=0.9), epochs=200, batch_size=4,
            callbacks=[dr.EMA(0.5), stopping, looks], validation_data=(X[20:], Y[20:]), clip_norm=1.0,
        )  # fmt: skip
        assert stopping.best_epoch is not None
        assert history.epochs < 200
        best = looks.seen[stopping.best_epoch]["parameters"]
        assert bits(network) == [array.tobytes() for array in best.values()]
        assert network.evaluate(X[20:], Y[20:])["loss"] == min(history["val_loss"])

    def test_a_checkpoint_has_it(self, tmp_path: Path) -> None:
        network = new()
        callbacks = [dr.Checkpoint(str(tmp_path / "{epoch}.safetensors")), dr.EMA(0.9)]
        network.fit(X, Y, loss="mse", epochs=2, callbacks=callbacks)
        saved = sorted(tmp_path.iterdir())
        assert len(saved) == 2
        assert bits(dr.Network.load(saved[-1])) == bits(network)

    @pytest.mark.parametrize("rows", [4, 50])
    def test_a_trainer_of_before_goes_on_from_it(self, rows: int) -> None:
        network = new()
        trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(0.1))
        trainer.step(X[:rows], Y[:rows])
        network.fit(X, Y, loss="mse", callbacks=[dr.EMA(0.9)])
        other = copy.deepcopy(network)
        trainer.step(X[:rows], Y[:rows])
        dr.Trainer(other, loss="mse", optimizer=dr.SGD(0.1)).step(X[:rows], Y[:rows])
        assert bits(network) == bits(other)


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


@pytest.mark.usefixtures("same_isa_after")
class TestBits:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("batch_size", [1, 8, 16])
    @pytest.mark.parametrize("units", [3, 300])
    def test_without_decay_there_is_no_average(self, units: int, batch_size: int, dtype: str) -> None:
        layers = [dr.Dense(units, "tanh"), dr.Dense(3)]
        for options in ({}, {"clip_norm": 0.1}, {"n_threads": 2}):
            averaged, plain = new(layers, dtype=dtype), new(layers, dtype=dtype)
            given: dict[str, Any] = {"loss": "mse", "optimizer": ADAM, "epochs": 2, "batch_size": batch_size, **options}
            averaged.fit(X, Y, callbacks=[dr.EMA(0)], **given)
            plain.fit(X, Y, **given)
            assert bits(averaged) == bits(plain)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("units", [17, 300])
    @pytest.mark.parametrize("options", [{}, {"batch_size": 8}, {"clip_norm": 0.1}, {"validation_split": 0.3}], ids=str)
    def test_threads_and_instruction_sets(self, options: dict[str, Any], units: int, dtype: str) -> None:
        data = np.random.default_rng(1).normal(size=(40, 160)).astype(dtype)
        given: dict[str, Any] = {"loss": "mse", "epochs": 2, "batch_size": 16, "optimizer": "adam", **options}
        found = set()
        for isa in EQUAL:
            _core.select_isa(isa)
            for n_threads in (1, 2, 3):
                network = new([dr.Dense(units, "tanh"), dr.LayerNorm(), dr.Dense(3, l2=0.1)], 160, dtype)
                history = network.fit(data, Y[:40], callbacks=[dr.EMA(0.9)], n_threads=n_threads, **given)
                found.add((str(history.get("val_loss")), *bits(network)))
        assert len(found) == 1

    @pytest.mark.parametrize("bptt_steps", [None, 2])
    def test_of_sequences(self, bptt_steps: int | None) -> None:
        data, found = batch(23, 6, ragged=True, dtype="float32"), set()
        for isa in EQUAL:
            _core.select_isa(isa)
            for n_threads in (1, 2, 3):
                network = new([dr.GRU(17, return_sequences=True), dr.LSTM(5), dr.Dense(2)], (None, 3), "float32")
                network.fit(
                    data.X, data.y, loss="mse", lengths=data.lengths, batch_size=9, bptt_steps=bptt_steps, epochs=2,
                    callbacks=[dr.EMA(0.9)], n_threads=n_threads,
                )  # fmt: skip
                found.add(tuple(bits(network)))
        assert len(found) == 1


def test_the_reference_is_what_it_says() -> None:
    """The hook of these tests counts each update once."""
    expected = Averaged(new(), 0.5)
    for _ in reference_steps(expected.twin, 4, X, Y, epochs=2, batch_size=16):
        pass
    assert expected.steps == 8
    assert isinstance(expected.twin, reference.Network)
