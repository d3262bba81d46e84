"""`BatchNorm` where batches are odd or a step comes to nothing, beside frozen layers, averages and many fits."""

from __future__ import annotations

import itertools
import math
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference

Array = NDArray[Any]

DTYPES = ["float32", "float64"]
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(60, 7)) * 3 + 5
Y = np.tanh(X[:, :3] - X[:, 3:6])


def new(*hidden: Any, inputs: int = 7, dtype: str = "float64", seed: int = 5) -> dr.Network:
    return dr.Network([*hidden, dr.Dense(3)], inputs, dtype, seed)


def usual(**settings: Any) -> dr.Network:
    return new(dr.BatchNorm(), dr.Dense(9, "tanh"), dr.BatchNorm(name="between"), **settings)


def alone(width: int, dtype: str, **settings: Any) -> dr.Network:
    """A normalization whose output can be seen: the layer after it is the identity, bit for bit."""
    network = dr.Network([dr.BatchNorm(**settings), dr.Dense(width, use_bias=False)], width, dtype)
    network.load_state_dict({**network.state_dict(), "0.bias": np.linspace(1, 2, width), "1.weight": np.eye(width)})
    return network


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class TestNumbers:
    @pytest.mark.parametrize("isa", _core.isas())
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("number", [0.0, 0.1, -7.3, 1e30, -3.4e38, 1e-30, 1e-45])
    def test_columns_of_one_number_give_the_bias_exactly(self, number: float, dtype: str, isa: str) -> None:
        before = _core.isa()
        _core.select_isa(isa)
        try:
            for width, rows in itertools.product((1, 7, 17), (1, 2, 3, 6, 100)):
                for eps in (1e-5, 2e-38, 10.0):
                    network = alone(width, dtype, eps=eps)
                    x = np.full((rows, width), number, dtype)
                    bias = network.state_dict()["0.bias"]
                    np.testing.assert_array_equal(network.forward(x, training=True), np.tile(bias, (rows, 1)))
                    g = RANDOM.normal(size=(rows, width)).astype(dtype)
                    expected = (g - g.mean(axis=0, dtype=np.float64)) / math.sqrt(eps)
                    limit = (1e-6 if dtype == "float32" else 1e-14) / math.sqrt(eps)
                    np.testing.assert_allclose(network.backward(g), expected, rtol=1e-5, atol=limit)
                    np.testing.assert_array_equal(network.gradients["0.weight"], np.zeros(width))
        finally:
            _core.select_isa(before)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_a_batch_of_one_sample(self, dtype: str) -> None:
        """Its variance of 0 goes into the running one as it is."""
        network = alone(4, dtype, momentum=0.25)
        row = np.array([[1.0, -2.0, 1e3, 0.0]], dtype)
        network.fit(row, np.zeros((1, 4)), loss="mse", optimizer=dr.SGD(lr=1e-30), epochs=1)
        np.testing.assert_array_equal(network.state_dict()["0.running_mean"], row[0] / 4)
        np.testing.assert_array_equal(network.state_dict()["0.running_var"], np.full(4, 0.75))

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
    def test_running_statistics(self, momentum: float, dtype: str) -> None:
        network = alone(7, dtype, momentum=momentum)
        mean, variance = np.zeros(7), np.ones(7)
        trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=1e-30))
        for rows in (20, 3, 60):
            trainer.step(X[:rows], X[:rows])
            mean += momentum * (X[:rows].mean(axis=0) - mean)
            variance += momentum * (X[:rows].var(axis=0, ddof=1) - variance)
        limit = 1e-6 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(network.state_dict()["0.running_mean"], mean, rtol=limit)
        np.testing.assert_allclose(network.state_dict()["0.running_var"], variance, rtol=limit)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(("shift", "scale"), [(1e4, 1.0), (-1e6, 10.0), (0.0, 1e-10), (0.0, 1e10), (3e7, 100.0)])
    def test_a_mean_far_from_0(self, shift: float, scale: float, dtype: str) -> None:
        """Beside the same in twice the digits."""
        x = (RANDOM.normal(size=(1000, 17)) * scale + shift).astype(dtype)
        wide = x.astype(np.longdouble)
        centred = wide - wide.mean(axis=0)
        expected = centred / np.sqrt(np.square(centred).mean(axis=0) + np.longdouble(1e-25))
        network = alone(17, dtype, eps=1e-25)
        actual = network.forward(x, training=True) - network.state_dict()["0.bias"]
        assert np.abs(actual - expected).max() <= (2e-6 if dtype == "float32" else 1e-14)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_sample_weights_have_no_say_in_the_statistics(self, dtype: str) -> None:
        weighted, plain = usual(dtype=dtype), usual(dtype=dtype)
        for network, weight in ((weighted, np.linspace(0, 5, 60)), (plain, None)):
            network.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=1e-30), batch_size=60, sample_weight=weight)
        for name, array in plain.state_dict().items():
            assert "running" not in name or np.array_equal(weighted.state_dict()[name], array)

    def test_validation_uses_the_running_statistics(self) -> None:
        network = usual()
        history = network.fit(X, Y, loss="mse", validation_data=(X[:5], Y[:5]), epochs=3)
        assert history["val_loss"][-1] == network.evaluate(X[:5], Y[:5])["loss"]
        assert history["val_loss"][-1] != pytest.approx(
            network.loss_and_gradients(X[:5], Y[:5], loss="mse", training=True)[0]
        )


class TestStepsThatComeToNothing:
    """The running statistics are those of the last whole step, or epoch."""

    @pytest.mark.parametrize("n_threads", [1, 3])
    def test_a_fit_that_diverges(self, n_threads: int) -> None:
        network, expected = usual(), usual()
        expected.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=0.1), epochs=1, batch_size=10)
        data = X.copy()
        network.fit(data, Y, loss="mse", optimizer=dr.SGD(lr=0.1), epochs=1, batch_size=10, n_threads=n_threads)
        assert bits(network) == bits(expected)
        with pytest.raises(dr.DivergenceError):
            network.fit(data, Y, loss="mse", optimizer=dr.SGD(lr=1e300), epochs=3, batch_size=10, n_threads=n_threads)
        assert bits(network) == bits(expected)

    def test_a_step_that_diverges(self) -> None:
        network = usual()
        trainer = dr.Trainer(network, loss="mse")
        trainer.step(X, Y)
        before = bits(network)
        with pytest.raises(dr.DivergenceError, match="first in layer 0"):
            trainer.step(X * 1e200, Y)  # whose variance no float holds
        assert bits(network) == before
        trainer.step(X, Y)
        assert bits(network) != before

    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_a_loss_that_fails(self, n_threads: int) -> None:
        calls = []

        def fails(output: Array, y: Array) -> tuple[float, Array]:
            calls.append(len(output))
            if len(calls) == 4:
                raise RuntimeError("enough")
            return 0.0, np.ones_like(output)

        network, expected = usual(), usual()
        options: dict[str, Any] = {"optimizer": dr.SGD(lr=0.1), "batch_size": 10, "shuffle": False}
        with pytest.raises(RuntimeError, match="enough"):
            network.fit(X, Y, loss=fails, n_threads=n_threads, **options)
        calls.clear()
        expected.fit(X[:30], Y[:30], loss=fails, **options)
        assert bits(network) == bits(expected)

    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_an_interrupt(self, n_threads: int) -> None:
        """Wherever in a long step, and soon; others share the machine: within 100 ms once of three times."""
        rows = RANDOM.normal(size=(10_000, 512)).astype(np.float32)
        labels = np.zeros(10_000, np.int32)
        norm = dr.BatchNorm()
        network = dr.Network([norm, dr.Dense(512, "tanh"), norm, dr.Dense(512, "tanh"), norm, dr.Dense(2)], 512)
        trainer = dr.Trainer(network, loss="cross_entropy", n_threads=n_threads)
        trainer.step(rows, labels)  # from here on it has its workspace
        start = time.perf_counter()
        trainer.step(rows, labels)
        duration = time.perf_counter() - start

        def interrupt(*arguments: Any) -> None:
            raise KeyboardInterrupt

        def step() -> None:
            trainer.step(rows, labels)
            signal.pause()  # it was faster than the one before

        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            for phase in (0.05, 0.3, 0.5, 0.7):
                latencies = []
                while not latencies or (latencies[-1] >= 0.1 and len(latencies) < 3):
                    before, steps, start = bits(network), trainer.steps, time.perf_counter()
                    signal.setitimer(signal.ITIMER_REAL, phase * duration)
                    with pytest.raises(KeyboardInterrupt):
                        step()
                    latencies.append(time.perf_counter() - start - phase * duration)
                    assert (bits(network) == before) == (trainer.steps == steps)
                assert latencies[-1] < 0.1, (phase, latencies)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


class TestBesideOthers:
    """Frozen layers, rates of their own, averages of weights, many fits at once."""

    @pytest.mark.parametrize("n_threads", [1, 3])
    @pytest.mark.parametrize("clip_norm", [None, 0.1])
    def test_a_frozen_layer_normalizes_by_what_it_has(self, clip_norm: float | None, n_threads: int) -> None:
        """And keeps it, wherever it is; the others go on. The reference does the same."""
        norms = (0, 2, 4)
        for frozen in ((0,), (2,), (0, 1), (0, 1, 2), (2, 3, 4), (0, 2, 4)):
            network = new(dr.BatchNorm(), dr.Dense(9, "tanh"), dr.BatchNorm(), dr.Dense(5, "relu"), dr.BatchNorm())
            network.fit(X, Y, loss="mse", epochs=1)
            network.freeze(*frozen)
            twin, before = reference.Network.from_spec(network.spec(), network.state_dict()), network.state_dict()
            options: dict[str, Any] = {"batch_size": 20, "shuffle": False, "clip_norm": clip_norm}
            network.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=0.1), n_threads=n_threads, **options)
            for first in range(0, 60, 20):
                batch = slice(first, first + 20)
                twin.step(X[batch], Y[batch], "mse", {"name": "sgd", "lr": 0.1}, clip_norm=clip_norm)
            expected = twin.parameters | twin.statistics
            for name, array in network.state_dict().items():
                np.testing.assert_allclose(array, expected[name], rtol=1e-9, atol=1e-11, err_msg=name)
                if int(name[0]) in norms or int(name[0]) in frozen:
                    assert np.array_equal(array, before[name]) == (int(name[0]) in frozen), (frozen, name)
            check = dr.gradcheck(network, X[:5], Y[:5], loss="mse")
            assert check, str(check)

    def test_a_forward_pass_hears_of_what_is_frozen(self) -> None:
        network = usual()
        in_training = network.forward(X, training=True)
        network.freeze()
        np.testing.assert_array_equal(network.forward(X, training=True), network.forward(X))
        network.unfreeze()
        np.testing.assert_array_equal(network.forward(X, training=True), in_training)

    def test_a_learning_rate_of_its_own(self) -> None:
        """It is that of weight and bias; the statistics have their momentum."""
        network = new(dr.BatchNorm(lr_factor=0.0), dr.Dense(9, "tanh"))
        before = network.state_dict()
        network.fit(X, Y, loss="mse", epochs=1)
        for name, array in network.state_dict().items():
            assert np.array_equal(array, before[name]) == (name in ("0.weight", "0.bias"))

    @pytest.mark.parametrize("n_threads", [1, 3])
    def test_averages_are_of_the_statistics_too(self, n_threads: int) -> None:
        averaged, plain = usual(), usual()
        options: dict[str, Any] = {"optimizer": dr.SGD(lr=0.1), "batch_size": 20, "shuffle": False}
        averaged.fit(X, Y, loss="mse", callbacks=[dr.EMA(0.75)], n_threads=n_threads, **options)
        average: dict[str, Array] = {}
        trainer = dr.Trainer(plain, loss="mse", optimizer=dr.SGD(lr=0.1))
        for first in range(0, 60, 20):
            trainer.step(X[first : first + 20], Y[first : first + 20])
            for name, array in plain.state_dict().items():
                average[name] = average[name] + 0.25 * (array - average[name]) if name in average else array
        for name, array in averaged.state_dict().items():
            np.testing.assert_allclose(array, average[name], rtol=1e-13, atol=1e-15, err_msg=name)

    def test_many_fits_at_once(self) -> None:
        alone, together = [usual(seed=seed) for seed in range(4)], [usual(seed=seed) for seed in range(4)]
        for network in alone:
            network.fit(X, Y, loss="mse", epochs=2, batch_size=16)
        dr.train_many(together, X, Y, loss="mse", epochs=2, batch_size=16)
        assert [bits(network) for network in together] == [bits(network) for network in alone]

    def test_a_fit_from_a_checkpoint(self, tmp_path: Path) -> None:
        """Stopped between two epochs, it ends as if it had not been."""
        at_once, resumed = usual(), usual()
        options: dict[str, Any] = {"optimizer": dr.Adam(lr=0.01), "batch_size": 16}
        at_once.fit(X, Y, loss="mse", epochs=4, **options)

        class Enough:
            def on_epoch_end(self, epoch: int, logs: Any) -> None:
                if epoch == 1:
                    raise RuntimeError("the power is gone")

        path = tmp_path / "run.ckpt"
        with pytest.raises(RuntimeError, match="the power is gone"):
            resumed.fit(X, Y, loss="mse", epochs=4, checkpoint=path, callbacks=[Enough()], **options)
        again = usual()
        again.fit(X, Y, loss="mse", epochs=4, checkpoint=path, resume=True, callbacks=[Enough()][:0], **options)
        assert bits(again) == bits(at_once)
