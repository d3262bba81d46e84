"""`Dropout`: its masks, to the last bit those of the reference; training with them; and nothing of it anywhere else."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference
from deltarule.reference.masks import dropout_mask, philox, step_key

DTYPES = ["float32", "float64"]
EQUAL = [name for name in _core.isas() if _core.has_same_bits(name)] or [_core.isa()]
RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(200, 7))
Y = np.tanh(X[:, :3] + X[:, 3:6])
LABELS = Y.argmax(axis=1)

Mask = NDArray[np.bool_]


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


def new(*hidden: Any, inputs: int = 7, outputs: int = 3, dtype: str = "float64", seed: int = 5) -> dr.Network:
    return dr.Network([*hidden, dr.Dense(outputs)], inputs, dtype, seed)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def core_masks(
    rate: float, rows: int, units: int, *, seed: int = 0, steps: int = 1, before: int = 0, **options: Any
) -> list[Mask]:
    """The masks of some steps of a trainer, from what a loss of our own is shown: x W with ones and the unit matrix."""
    seen: list[Mask] = []

    def look(output: Any, y: Any) -> tuple[float, Any]:
        kept = 1 / (1 - rate)
        assert np.isin(output, [0, np.asarray(kept, output.dtype)]).all()
        seen.append(output > 0)
        return 0.0, np.zeros_like(output)

    dtype, epochs = options.get("dtype", "float64"), options.get("epochs_trained", 0)
    layers = [*[dr.Dropout(0.0)] * before, dr.Dropout(rate), dr.Dense(units, use_bias=False)]
    network = dr.Network(layers, units, dtype, seed)
    network.load_state_dict({f"{before + 1}.weight": np.eye(units)})
    network.epochs_trained = epochs
    trainer = dr.Trainer(network, loss=look, optimizer=dr.SGD(lr=1.0), n_threads=options.get("n_threads"))
    for _ in range(steps):
        trainer.step(np.ones((rows, units)), np.zeros((rows, units)))
    return seen


class TestMasks:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("units", [1, 7, 8, 9, 16, 17, 100])
    @pytest.mark.parametrize("rows", [1, 8, 15, 16, 33, 200])
    def test_are_those_of_the_reference(self, rows: int, units: int, dtype: str) -> None:
        masks = core_masks(0.3, rows, units, seed=2**40 + 7, steps=2, epochs_trained=2**33 + 1, dtype=dtype)
        for step, mask in enumerate(masks):
            key = step_key(2**40 + 7, 2**33 + 1, step)
            np.testing.assert_array_equal(mask, dropout_mask(0.3, key, 0, rows, units))

    @pytest.mark.usefixtures("same_isa_after")
    @pytest.mark.parametrize("isa", _core.isas())
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_are_the_same_on_every_instruction_set_for_any_number_of_threads(self, dtype: str, isa: str) -> None:
        """Threads cut a batch anywhere; the baseline, which has no fused multiply-add, draws as all do."""
        _core.select_isa(isa)
        expected = dropout_mask(0.4, step_key(9, 0, 0), 2, 317, 50)
        for n_threads in (1, 2, 3, 4):
            (mask,) = core_masks(0.4, 317, 50, seed=9, before=2, dtype=dtype, n_threads=n_threads)
            np.testing.assert_array_equal(mask, expected)

    def test_are_pinned(self) -> None:
        """A run of years ago can be repeated: who drops out in the first step of seed 0."""
        counts = [int(row.sum()) for row in ~dropout_mask(0.5, step_key(0, 0, 0), 1, 4, 1000)]
        assert hex(step_key(0, 0, 0)) == "0xd4c6e697d1299bf0"
        assert counts == [494, 518, 477, 526]

    def test_differ_by_step_epoch_layer_and_seed_and_by_nothing_else(self) -> None:
        masks = {
            (seed, epoch, step, before): mask.tobytes()
            for seed in (0, 1, 2**32, 2**63)
            for epoch in (0, 1, 2**32)
            for before in (0, 1, 5)
            for step, mask in enumerate(
                core_masks(0.5, 20, 30, seed=seed, epochs_trained=epoch, before=before, steps=3)
            )
        }
        assert len(set(masks.values())) == len(masks) == 4 * 3 * 3 * 3
        assert core_masks(0.5, 20, 30)[0].tobytes() == masks[0, 0, 0, 0]

    def test_rows_and_units_have_their_own(self) -> None:
        (mask,) = core_masks(0.5, 200, 100)
        assert len({row.tobytes() for row in mask}) == 200
        assert len({column.tobytes() for column in mask.T}) == 100

    @pytest.mark.parametrize("rate", [2**-20, 1e-3, 0.1, 0.2, 1 / 3, 0.5, 0.9, 0.999, 1 - 2**-18])
    def test_the_rate_is_exact(self, rate: float) -> None:
        """The average over so many that 2^-16 of a difference would be seen: five standard deviations of chance."""
        dropped = [~dropout_mask(rate, step_key(1, 0, step), 0, 512, 1024) for step in range(40)]
        share, number = np.mean(dropped), 40 * 512 * 1024
        assert abs(share - rate) < 5 * math.sqrt(rate * (1 - rate) / number) + 2**-25

    def test_the_chance_of_the_thresholds_is_the_rate(self) -> None:
        """Without chance: over all keys the thresholds average the rate, to 24 bits."""
        for rate in (0.1, 0.37, 0.999):
            scaled = round(rate * 2**24)
            mean = ((scaled + np.arange(2**16)) >> 16).mean() / 256
            assert mean == scaled / 2**24
            assert abs(mean - rate) <= 2**-25

    def test_numbers_drop_out_independently(self) -> None:
        """How many of a row, of a column and of all do varies as for independent ones; neighbours know nothing."""
        rate, masks = 0.3, np.array([dropout_mask(0.3, step_key(2, 3, step), 1, 64, 96) for step in range(500)])
        variance = rate * (1 - rate)
        for axis, number in ((2, 96), (1, 64), ((1, 2), 64 * 96)):
            counts = masks.sum(axis=axis).ravel()
            expected = number * variance
            tolerance = 6 * math.sqrt(2 / (counts.size - 1))
            assert counts.var() == pytest.approx(expected, rel=tolerance + 0.002)
        centred = masks - (1 - rate)
        for neighbours in (
            centred[:, 1:] * centred[:, :-1],
            centred[:, :, 1:] * centred[:, :, :-1],
            centred[1:] * centred[:-1],
            centred[:, 16:] * centred[:, :-16],
        ):
            assert abs(neighbours.mean()) < 5 * variance / math.sqrt(neighbours.size)

    def test_the_generator_is_the_cores(self) -> None:
        counters = RANDOM.integers(0, 2**32, (50, 4))
        words = np.stack(philox(tuple(counters.T), 2**63 + 5), axis=1)
        assert [list(row) for row in words] == [_core.philox(row, 2**63 + 5) for row in counters.tolist()]


class TestTraining:
    @pytest.mark.parametrize("width", [1, 7, 16, 17, 100])
    @pytest.mark.parametrize("batch_size", [1, 8, 200])
    def test_a_fit_step_by_step_is_the_references(self, batch_size: int, width: int) -> None:
        """Inputs drop out too, and two layers follow each other."""
        hidden = [dr.Dropout(0.1), dr.Dense(width, "tanh", l2=0.01), dr.Dropout(0.5), dr.Dropout(0.2)]
        network = new(*hidden, dr.Dense(width, "gelu"), dr.Dropout(0.3))
        twin = reference.Network.from_spec(network.spec(), network.state_dict())
        rows, epochs = min(10 * batch_size, 200), 3
        history = network.fit(
            X[:rows],
            Y[:rows],
            loss="mse",
            optimizer=dr.SGD(lr=0.01, momentum=0.5),
            epochs=epochs,
            batch_size=batch_size,
        )
        for epoch in range(epochs):
            order = _core.shuffled(rows, network.seed, epoch)
            losses = []
            for step, first in enumerate(range(0, rows, batch_size)):
                batch = order[first : first + batch_size]
                key = step_key(network.seed, epoch, step)
                losses.append(
                    twin.step(X[batch], Y[batch], "mse", {"name": "sgd", "lr": 0.01, "momentum": 0.5}, key=key)
                )
            assert history["loss"][epoch] == pytest.approx(np.mean(losses), rel=1e-12)
        for name, array in network.state_dict().items():
            np.testing.assert_allclose(array, twin.parameters[name], rtol=1e-11, atol=1e-12)

    @pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
    def test_the_gradient_through_a_mask(self, loss: str) -> None:
        """A step of SGD with lr=1 moves each parameter by its gradient, whatever was clipped on the way."""
        y = LABELS if loss == "cross_entropy" else Y
        for options in ({}, {"clip_norm": 1e30}):
            network = new(dr.Dropout(0.2), dr.Dense(33, "silu"), dr.Dropout(0.4), dr.Dense(20, "tanh"))
            start = network.state_dict()
            twin = reference.Network.from_spec(network.spec(), start)
            value, gradients = twin.loss_and_gradients(X, y, loss, key=step_key(5, 0, 0))
            trained = dr.Trainer(network, loss=loss, optimizer=dr.SGD(lr=1.0), **options).step(X, y)
            assert trained == pytest.approx(value, rel=1e-12)
            for name, gradient in gradients.items():
                moved = start[name] - network.state_dict()[name]
                np.testing.assert_allclose(moved, gradient, rtol=0, atol=1e-12)

    @pytest.mark.usefixtures("same_isa_after")
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("sizes", [(7, 37, 40), (300, 320, 9)], ids=str)
    @pytest.mark.parametrize("at_inputs", [False, True])
    def test_the_same_bits_everywhere(self, sizes: tuple[int, int, int], at_inputs: bool, dtype: str) -> None:
        """Of the second size threads share out the units of the first dense layer, not its rows."""
        inputs, units, batch_size = sizes
        data = np.random.default_rng(0).normal(size=(3 * batch_size, inputs))
        target = np.tanh(data[:, :3])
        for options in ({}, {"clip_norm": 0.1}, {"validation_split": 0.3}):
            trained = {}
            for isa in EQUAL:
                _core.select_isa(isa)
                for n_threads in (1, 2, 3, 4):
                    layers = [*[dr.Dropout(0.1)] * at_inputs, dr.Dense(units, "tanh"), dr.Dropout(0.3)]
                    network = new(*layers, dr.Dense(units // 2, "relu"), dr.Dropout(0.5), inputs=inputs, dtype=dtype)
                    history = network.fit(
                        data, target, loss="mse", epochs=2, batch_size=batch_size, n_threads=n_threads, **options
                    )
                    trained[isa, n_threads] = bits(network), history["loss"][-1], history.get("val_loss")
            first = next(iter(trained.values()))
            assert all(result == first for result in trained.values())

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("batch_size", [1, 8, 50])
    def test_a_rate_of_0_is_no_layer(self, batch_size: int, dtype: str) -> None:
        def trained(*between: Any) -> bytes:
            network = new(*between, dr.Dense(12, "tanh"), *between, dr.Dense(5, "gelu"), *between, dtype=dtype)
            network.fit(X, Y, loss="mse", epochs=3, batch_size=batch_size)
            trainer = dr.Trainer(network, loss="mse")
            trainer.step(X[:batch_size], Y[:batch_size])
            return bits(network)

        assert trained(dr.Dropout(0)) == trained()
        assert trained(dr.Dropout(0.5)) != trained()

    def test_a_fit_that_goes_on_is_one_fit(self) -> None:
        def hidden() -> list[Any]:
            return [dr.Dense(20, "tanh"), dr.Dropout(0.5)]

        at_once, resumed = new(*hidden()), new(*hidden())
        at_once.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=0.05), epochs=4)
        for _ in range(2):
            resumed.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=0.05), epochs=2)
            resumed = pickle.loads(pickle.dumps(resumed))
        assert bits(resumed) == bits(at_once)

    def test_the_steps_of_a_trainer_are_those_of_the_first_epoch(self) -> None:
        fitted, stepped = new(dr.Dense(20, "tanh"), dr.Dropout(0.5)), new(dr.Dense(20, "tanh"), dr.Dropout(0.5))
        fitted.fit(X, Y, loss="mse", optimizer="adam", epochs=1, batch_size=8, shuffle=False)
        trainer = dr.Trainer(stepped, loss="mse", optimizer="adam")
        for first in range(0, 200, 8):
            trainer.step(X[first : first + 8], Y[first : first + 8])
        assert bits(fitted) == bits(stepped)

    def test_a_step_that_diverged_is_taken_again_with_its_mask(self) -> None:
        one, other = (new(dr.Dense(20), dr.Dropout(0.5)) for _ in range(2))
        steps, others = dr.Trainer(one, loss="mse"), dr.Trainer(other, loss="mse")
        with pytest.raises(dr.DivergenceError):
            steps.step(X * 1e200, Y * 1e200)
        assert steps.step(X, Y) == others.step(X, Y)
        assert bits(one) == bits(other)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_it_learns(self, dtype: str) -> None:
        features = np.random.default_rng(1).uniform(-1, 1, (400, 2))
        y = features[:, 0] * features[:, 1] > 0  # XOR of signs
        hidden = [dr.Dense(64, "tanh"), dr.Dropout(0.1), dr.Dense(64, "relu"), dr.Dropout(0.2)]
        network = new(*hidden, inputs=2, outputs=1, dtype=dtype)
        history = network.fit(features, y, loss="binary_cross_entropy", optimizer=dr.Adam(lr=5e-3), epochs=100)
        assert history["loss"][-1] < 0.3 * history["loss"][0]
        assert network.evaluate(features, y, metrics=["accuracy"])["accuracy"] > 0.97


class TestElsewhere:
    """Nothing drops out where nothing is trained, and nothing there costs anything."""

    def pair(self, dtype: str = "float64") -> tuple[dr.Network, dr.Network]:
        """A network with dropout, and the same without."""
        hidden = [dr.Dense(9, "tanh"), dr.Dropout(0.5), dr.Dropout(0.9), dr.Dense(8, "gelu")]
        dropping = new(dr.Dropout(0.3), *hidden, dr.Dropout(0.1), dtype=dtype)
        plain = new(dr.Dense(9, "tanh"), dr.Dense(8, "gelu"), dtype=dtype)
        assert list(dropping.state_dict()) == ["1.weight", "1.bias", "4.weight", "4.bias", "6.weight", "6.bias"]
        for ours, theirs in zip(dropping.state_dict().values(), plain.state_dict().values(), strict=True):
            np.testing.assert_array_equal(ours, theirs)  # the weights start as without dropout
        return dropping, plain

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("rows", [1, 8, 200])
    def test_answers_are_those_of_the_network_without(self, rows: int, dtype: str) -> None:
        dropping, plain = self.pair(dtype)
        x, y = X[:rows].astype(dtype), Y[:rows].astype(dtype)
        for _ in range(2):
            np.testing.assert_array_equal(dropping.predict(x), plain.predict(x))
        assert dropping.evaluate(x, y, loss="mse") == plain.evaluate(x, y, loss="mse")
        ours, theirs = (network.loss_and_gradients(x, y, loss="mse") for network in (dropping, plain))
        assert ours[0] == theirs[0]
        np.testing.assert_array_equal(dropping.forward(x), plain.forward(x))
        np.testing.assert_array_equal(dropping.backward(y), plain.backward(y))
        for gradients, others in ((ours[1], theirs[1]), (dropping.gradients, plain.gradients)):
            for ours_, theirs_ in zip(gradients.values(), others.values(), strict=True):
                np.testing.assert_array_equal(ours_, theirs_)

    def test_validation_has_none(self) -> None:
        dropping, _ = self.pair()
        history = dropping.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=1e-300), validation_data=(X, Y), epochs=2)
        assert history["val_loss"] == [dropping.evaluate(X, Y)["loss"]] * 2
        assert len({*history["loss"], *history["val_loss"]}) == 3

    def test_gradcheck(self) -> None:
        dropping, _ = self.pair()
        assert dr.gradcheck(dropping, X[:5], Y[:5], loss="mse")

    def test_files_pickles_and_copies(self, tmp_path: Path) -> None:
        dropping, _ = self.pair()
        dropping.fit(X, Y, loss="mse", epochs=2)
        dropping.save(tmp_path / "net.safetensors")
        for again in (
            dr.Network.load(tmp_path / "net.safetensors"),
            pickle.loads(pickle.dumps(dropping)),
            copy.deepcopy(dropping),
        ):
            assert again.layers == dropping.layers
            again.fit(X, Y, loss="mse", epochs=1)
            expected = copy.deepcopy(dropping)
            expected.fit(X, Y, loss="mse", epochs=1)
            assert bits(again) == bits(expected)

    def test_what_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        network = new(dr.Dense(4, "relu"), dr.Dropout(0.25, name="noise"))
        assert "Dropout(0.25), Dense(3" in repr(network)
        network.summary()
        lines = capsys.readouterr().out.splitlines()
        assert lines[2].split() == ["noise", "dropout", "rate", "0.25", "(n,", "4)", "0"]
        assert len({len(line) for line in lines[:-1]}) == 1


class TestBadInput:
    @pytest.mark.parametrize("rate", [-0.1, 1, 1.0, 2, math.nan, math.inf])
    def test_rates_out_of_range(self, rate: float) -> None:
        with pytest.raises(ValueError, match=rf"rate={rate!r}: expected a finite number"):
            dr.Dropout(rate)

    @pytest.mark.parametrize("rate", ["0.5", None, True, [0.5]])
    def test_rates_that_are_no_number(self, rate: Any) -> None:
        with pytest.raises(TypeError, match=r"rate=.*expected a number"):
            dr.Dropout(rate)

    @pytest.mark.parametrize("name", ["", "1", "a.b"])
    def test_names(self, name: str) -> None:
        with pytest.raises(ValueError, match="expected a name without dots"):
            dr.Dropout(0.5, name=name)

    @pytest.mark.parametrize("layers", [[dr.Dropout(0.5)], [dr.Dense(3), dr.Dropout(0.0)]])
    def test_the_last_layer(self, layers: list[Any]) -> None:
        with pytest.raises(ValueError, match=r"Dropout\(rate=0.*is the last layer.*end in Dense"):
            dr.Network(layers)
        native = {"inputs": 2, "sequences": False, "layers": [layer.to_spec() for layer in layers]}
        with pytest.raises(ValueError, match=r"the last layer is of type \"dropout\".*end in Dense"):
            _core.NetworkFloat32(native)
        with pytest.raises(ValueError, match="last layer is Dropout"):
            reference.Network([reference.Dropout(0.5)])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"rate": 1.0}, "less than 1"),
            ({"rate": -1.0}, "at least 0"),
            ({"rate": "0.5"}, "must be a number"),
            ({"units": 3}, "unknown key"),
        ],
    )
    def test_the_core_refuses_what_python_would_have(self, change: dict[str, Any], message: str) -> None:
        layers = [{**dr.Dropout(0.5).to_spec(), **change}, dr.Dense(1).to_spec()]
        with pytest.raises(ValueError, match=message):
            _core.NetworkFloat64({"inputs": 2, "sequences": False, "layers": layers})
        with pytest.raises((ValueError, TypeError)):
            dr.Network.from_spec({"layers": layers, "input_shape": [2], "dtype": "float64", "seed": 0})
