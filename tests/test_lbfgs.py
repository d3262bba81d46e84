"""L-BFGS on whole data sets: what it reaches, what it respects, how it ends, what it refuses."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

import scipy.optimize

import deltarule as dr
from deltarule.network import objective

RANDOM = np.random.default_rng(5)
X = RANDOM.uniform(-2, 2, (120, 3))
Y = np.sin(2 * X[:, :1]) * X[:, 1:2] + X[:, 2:] ** 2


def new(dtype: str = "float64", seed: int = 3, units: int = 16, **layer: Any) -> dr.Network:
    layers = [dr.Dense(units, "tanh", **layer), dr.Dense(units, "tanh", **layer), dr.Dense(1)]
    return dr.Network(layers, input_shape=3, dtype=dtype, seed=seed)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class TestReaches:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_a_lower_loss_than_adam(self, dtype: str) -> None:
        found, adam = new(dtype), new(dtype)
        history = found.fit(X, Y, loss="mse", optimizer=dr.LBFGS())
        beside = adam.fit(X, Y, loss="mse", optimizer=dr.Adam(0.01), epochs=200, batch_size=120)
        assert history["loss"][-1] < 0.1 * beside["loss"][-1]
        assert history["loss"][-1] == pytest.approx(found.evaluate(X, Y)["loss"], rel=1e-4)
        assert all(later <= earlier for earlier, later in zip(history["loss"], history["loss"][1:], strict=False))

    def test_xor(self) -> None:
        inputs, targets = dr.datasets.xor("float64")
        network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(1)], dtype="float64", seed=0)
        history = network.fit(inputs, targets, loss="binary_cross_entropy", optimizer=dr.LBFGS)
        assert history["loss"][-1] < 1e-6
        assert history.epochs < 100
        assert network.predict_proba(inputs).round().ravel().tolist() == [0, 1, 1, 0]

    def test_the_solution_of_a_linear_problem(self) -> None:
        targets = X @ [[1.0], [-2.0], [0.5]] + 3
        network = dr.Network([dr.Dense(1)], dtype="float64")
        network.fit(X, targets, loss="mse", optimizer=dr.LBFGS(tolerance_change=0))
        np.testing.assert_allclose(network.parameters["0.weight"].ravel(), [1.0, -2.0, 0.5], atol=1e-6)
        np.testing.assert_allclose(network.parameters["0.bias"], [3.0], atol=1e-6)

    def test_classes_weights_and_penalties(self) -> None:
        classes = (Y[:, 0] > 1).astype(int) + (Y[:, 0] > 2)
        network = dr.Network([dr.Dense(12, "relu", l1=1e-4, l2=1e-3), dr.Dense(3)], dtype="float64")
        weight = RANDOM.uniform(0, 2, 120)
        network.fit(X, classes, loss="cross_entropy", optimizer=dr.LBFGS(30), sample_weight=weight)
        value, gradients = network.loss_and_gradients(X, classes, loss="cross_entropy", sample_weight=weight)
        start = dr.Network([dr.Dense(12, "relu", l1=1e-4, l2=1e-3), dr.Dense(3)], dtype="float64")
        before, first = start.loss_and_gradients(X, classes, loss="cross_entropy", sample_weight=weight)
        assert value < 0.5 * before
        assert max(np.abs(g).max() for g in gradients.values()) < max(np.abs(g).max() for g in first.values())
        balanced = start.fit(X, classes, loss="cross_entropy", optimizer=dr.LBFGS(30), class_weight="balanced")
        assert balanced["loss"][-1] < balanced["loss"][0]

    @pytest.mark.parametrize("sequences", [False, True])
    @pytest.mark.parametrize("ragged", [False, True])
    def test_sequences(self, sequences: bool, ragged: bool) -> None:
        inputs = RANDOM.normal(size=(20, 6, 2))
        lengths = RANDOM.integers(1, 7, 20) if ragged else None
        targets = np.cumsum(inputs[:, :, :1], axis=1)
        layers = [dr.GRU(6, return_sequences=sequences), dr.Dense(1)]
        network = dr.Network(layers, dtype="float64")
        history = network.fit(
            inputs, targets if sequences else targets[:, -1], loss="mse", optimizer=dr.LBFGS(40), lengths=lengths
        )
        assert history["loss"][-1] < 0.1 * history["loss"][0]

    def test_a_loss_of_one_s_own_sees_all_samples(self) -> None:
        seen = []

        def squares(output: Any, y: Any) -> Any:
            seen.append(len(y))
            return float(np.mean((output - y) ** 2)), 2 * (output - y) / output.size

        own, named = new(), new()
        own_history = own.fit(X, Y, loss=squares, optimizer=dr.LBFGS(20))
        history = named.fit(X, Y, loss="mse", optimizer=dr.LBFGS(20))
        assert set(seen) == {120}
        np.testing.assert_allclose(own_history["loss"], history["loss"], rtol=1e-6)


class TestIsThatOfScipy:
    def test_over_the_public_loss_and_gradients(self) -> None:
        network, driven = new(l2=1e-3), new(l2=1e-3)
        shapes = {name: array.shape for name, array in driven.parameters.items()}

        def unpack(x: Any) -> dict[str, Any]:
            parts = np.split(x, np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1])
            return {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}

        def function(x: Any) -> Any:
            driven.load_state_dict(unpack(x))
            value, gradients = driven.loss_and_gradients(X, Y, loss="mse")
            return value, np.concatenate([gradient.ravel() for gradient in gradients.values()])

        losses: list[float] = []
        scipy.optimize.minimize(
            function,
            np.concatenate([array.ravel() for array in driven.parameters.values()]),
            jac=True,
            method="L-BFGS-B",
            callback=lambda intermediate_result: losses.append(intermediate_result.fun),
            options={"maxiter": 25, "maxcor": 7, "ftol": 1e-9, "gtol": 1e-7},
        )
        history = network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(25, history_size=7))
        np.testing.assert_allclose(history["loss"], losses, rtol=1e-7)

    def test_it_gets_about_as_far_as_scikit_learn(self) -> None:
        neural_network = pytest.importorskip("sklearn.neural_network")
        theirs, ours = [], []
        for seed in range(5):
            model = neural_network.MLPRegressor(
                hidden_layer_sizes=(16, 16),
                activation="tanh",
                solver="lbfgs",
                alpha=0,
                max_iter=100,
                tol=1e-7,
                random_state=seed,
            )
            with pytest.warns(match="lbfgs failed to converge"):
                model.fit(X, Y.ravel())
            theirs.append(2 * model.loss_)  # scikit-learn has ½ in it
            ours.append(new(seed=seed).fit(X, Y, loss="mse", optimizer=dr.LBFGS(100, history_size=10))["loss"][-1])
        assert 1 / 4 < np.median(ours) / np.median(theirs) < 4


class TestBits:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("units", [5, 110])
    def test_threads_do_not_matter(self, dtype: str, units: int) -> None:
        one, *others = [new(dtype, units=units) for _ in range(4)]
        history = one.fit(X, Y, loss="mse", optimizer=dr.LBFGS(6), n_threads=1)
        for network, threads in zip(others, (2, 5, None), strict=True):
            again = network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(6), n_threads=threads)
            assert bits(network) == bits(one)
            assert again["loss"] == history["loss"]

    def test_samples_in_parts_are_the_same_mean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        inputs, lengths = RANDOM.normal(size=(700, 3, 2)), RANDOM.integers(1, 4, 700)
        targets, weight = inputs.sum(axis=2), RANDOM.uniform(0, 2, 700)
        weight[:256] = 0  # a part that nobody looks at

        def losses() -> list[float]:
            network = dr.Network([dr.RNN(4, return_sequences=True), dr.Dense(1, l2=0.01)], dtype="float64")
            return network.fit(
                inputs, targets, loss="mse", optimizer=dr.LBFGS(10), lengths=lengths, sample_weight=weight
            )["loss"]

        whole = losses()
        monkeypatch.setattr(objective, "_ELEMENTS", 1)
        np.testing.assert_allclose(losses(), whole, rtol=1e-9)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_frozen_layers_keep_their_bits(self, dtype: str) -> None:
        layers = [dr.Dense(8, "tanh"), dr.LayerNorm(trainable=False), dr.Dense(8, "tanh", trainable=False), dr.Dense(1)]
        network = dr.Network(layers, input_shape=3, dtype=dtype)
        before = network.parameters
        history = network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(20))
        assert history["loss"][-1] < 0.5 * history["loss"][0]
        for name, array in network.parameters.items():
            assert (array.tobytes() == before[name].tobytes()) == name.startswith(("1.", "2."))


class Watcher:
    def __init__(self, stop_after: int = 10**9, error: BaseException | None = None) -> None:
        self.logs: list[dict[str, float]] = []
        self.events: list[Any] = []
        self.stop_after, self.error = stop_after, error

    def on_fit_begin(self, network: dr.Network) -> None:
        self.network = network
        self.events.append("begin")

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        self.events.append(epoch)
        assert self.network.evaluate(X, Y)["loss"] == pytest.approx(logs["loss"], rel=1e-12)
        self.logs.append(logs)
        self.state = self.network.state_dict()
        if self.error is not None and epoch == 2:
            raise self.error
        return epoch + 1 == self.stop_after

    def on_fit_end(self, network: dr.Network) -> None:
        self.events.append("end")


class TestFit:
    def test_an_iteration_is_an_epoch(self) -> None:
        watcher, network = Watcher(), new()
        history = network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(12), validation_data=(X, Y), callbacks=[watcher])
        assert history.epochs == network.epochs_trained == 12
        assert watcher.events == ["begin", *range(12), "end"]
        np.testing.assert_allclose(history["val_loss"], history["loss"], rtol=1e-12)
        assert history["lr"] == [1.0] * 12
        assert sorted(history["seconds"]) == history["seconds"]
        for column in ("loss", "val_loss", "lr", "seconds"):
            assert [logs[column] for logs in watcher.logs] == history[column]
        network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(3))
        assert network.epochs_trained == 15

    def test_validation_split(self) -> None:
        network = new()
        history = network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(20), validation_split=0.25)
        assert history["loss"][-1] == pytest.approx(network.evaluate(X[:90], Y[:90])["loss"], rel=1e-12)
        assert history["val_loss"][-1] == pytest.approx(network.evaluate(X[90:], Y[90:])["loss"], rel=1e-12)

    def test_a_callback_ends_it(self) -> None:
        watcher, network = Watcher(stop_after=4), new()
        assert network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(), callbacks=[watcher]).epochs == 4
        whole = new()
        whole.fit(X, Y, loss="mse", optimizer=dr.LBFGS(4))
        assert bits(network) == bits(whole)

    @pytest.mark.parametrize("error", [KeyError("mine"), StopIteration(), KeyboardInterrupt()])
    def test_an_error_of_a_callback_comes_out(self, error: BaseException) -> None:
        watcher, network = Watcher(error=error), new()
        with pytest.raises(type(error)) as caught:
            network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(), callbacks=[watcher])
        assert caught.value is error
        assert watcher.events == ["begin", 0, 1, 2, "end"]
        assert bits(network) == b"".join(array.tobytes() for array in watcher.state.values())
        assert network.epochs_trained == 3

    def test_an_error_of_a_loss_comes_out(self) -> None:
        def fails(output: Any, y: Any) -> Any:
            raise ArithmeticError("mine")

        network = new()
        before = bits(network)
        with pytest.raises(ArithmeticError, match="mine"):
            network.fit(X, Y, loss=fails, optimizer=dr.LBFGS())
        assert bits(network) == before
        assert network.loss is None

    def test_ctrl_c_leaves_the_last_iteration(self) -> None:
        inputs = RANDOM.normal(size=(20_000, 3))
        targets = np.sin(inputs.sum(axis=1))
        network = new(units=64)
        states = []

        class Keep:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                states.append(bits(network))

        def interrupt(*arguments: Any) -> None:
            raise KeyboardInterrupt

        previous = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.7)
        try:
            with pytest.raises(KeyboardInterrupt):
                network.fit(inputs, targets, loss="mse", optimizer=dr.LBFGS(10**6), callbacks=[Keep()])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert states
        assert bits(network) == states[-1]
        network.fit(inputs, targets, loss="mse", optimizer=dr.LBFGS(1))  # and it can go on

    def test_where_the_gradient_is_small_there_is_nothing_to_do(self) -> None:
        network = dr.Network([dr.Dense(1, init="zeros")], input_shape=3, dtype="float64")
        assert network.fit(X, np.zeros(120), loss="mse", optimizer=dr.LBFGS()).epochs == 0
        network.fit(X, Y, loss="mse", optimizer=dr.LBFGS())
        assert network.fit(X, Y, loss="mse", optimizer=dr.LBFGS(tolerance_grad=1e-3)).epochs == 0

    def test_tolerances(self) -> None:
        far = new().fit(X, Y, loss="mse", optimizer=dr.LBFGS())
        for early in (dr.LBFGS(tolerance_grad=0.1), dr.LBFGS(tolerance_change=1e-2)):
            history = new().fit(X, Y, loss="mse", optimizer=early)
            assert 0 < history.epochs < far.epochs
            assert history["loss"] == far["loss"][: history.epochs]

    def test_float32_ends_where_its_digits_do(self) -> None:
        network = new("float32", units=40)
        history = network.fit(X[:20], Y[:20], loss="mse", optimizer=dr.LBFGS(5000, 0.0, 0.0))
        assert history["loss"][-1] < 1e-6
