"""The seeds of the library as programs: what it must be able to learn, and one step that was computed by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import reference

DTYPES = ["float32", "float64"]

# Five points of a surface: two inputs, one output.
SMALL_X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
SMALL_Y = np.array([[0.1], [0.7], [0.6], [0.2], [0.9]])


def two_three_one(seed: int = 1) -> dr.Network:
    return dr.Network([dr.Dense(3, "tanh"), dr.Dense(1)], input_shape=2, dtype="float64", seed=seed)


class TestTwoThreeOne:
    """Initialize, forward, loss, backward, update, repeat."""

    def test_with_a_trainer(self) -> None:
        network = two_three_one()
        assert network.n_parameters == 2 * 3 + 3 + 3 * 1 + 1
        trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=0.2))
        losses = [trainer.step(SMALL_X, SMALL_Y) for _ in range(4000)]
        assert losses[0] == pytest.approx(np.mean((two_three_one().predict(SMALL_X) - SMALL_Y) ** 2), rel=1e-12)
        assert losses[-1] < 0.1 * losses[0]
        assert network.evaluate(SMALL_X, SMALL_Y, loss="mse")["loss"] <= losses[-1]

    def test_by_hand(self) -> None:
        lr = 0.2
        network = two_three_one()
        trained = two_three_one()
        trainer = dr.Trainer(trained, loss="mse", optimizer=dr.SGD(lr=lr))
        for _ in range(200):
            output = network.forward(SMALL_X)
            loss = np.mean((output - SMALL_Y) ** 2)
            network.backward(2 * (output - SMALL_Y) / output.size)
            gradients = network.gradients
            network.load_state_dict({name: array - lr * gradients[name] for name, array in network.parameters.items()})
            assert trainer.step(SMALL_X, SMALL_Y) == pytest.approx(loss, rel=1e-12)
        for name, array in network.parameters.items():
            np.testing.assert_allclose(trained.parameters[name], array, rtol=1e-10, atol=1e-14)

    def test_the_reference_walks_the_same_way(self) -> None:
        network = two_three_one()
        plain = reference.Network.from_spec(network.spec(), network.parameters)
        trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=0.2))
        for _ in range(100):
            loss = plain.step(SMALL_X, SMALL_Y, "mse", {"name": "sgd", "lr": 0.2})
            assert trainer.step(SMALL_X, SMALL_Y) == pytest.approx(loss, rel=1e-11)
        for name, array in plain.parameters.items():
            np.testing.assert_allclose(network.parameters[name], array, rtol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("last", "loss", "middle"),
    [("identity", "binary_cross_entropy", 0.0), ("tanh", "mse", 0.5), ("sigmoid", "binary_cross_entropy", 0.5)],
)
def test_xor_from_thirty_seeds_of_thirty(dtype: str, last: str, loss: str, middle: float) -> None:
    X, y = dr.datasets.xor(dtype)
    failures = []
    for seed in range(30):
        network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(1, last)], seed=seed, dtype=dtype)
        network.fit(X, y, loss=loss, optimizer=dr.Adam(lr=0.1), epochs=500, batch_size=4)
        if not np.array_equal(network.predict(X) > middle, y > 0.5) or network.evaluate(X, y)["loss"] > 0.05:
            failures.append(seed)
    assert failures == []


def test_xor_needs_its_hidden_layer() -> None:
    """The test above can fail: no line separates the two classes, and the best loss of a linear one is log 2."""
    X, y = dr.datasets.xor("float64")
    network = dr.Network([dr.Dense(1)], dtype="float64")
    network.fit(X, y, loss="binary_cross_entropy", optimizer=dr.Adam(lr=0.1), epochs=500, batch_size=4)
    assert network.evaluate(X, y)["loss"] == pytest.approx(np.log(2), rel=1e-3)


class TestRealData:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_diabetes_is_as_good_as_ridge_regression(self, dtype: str) -> None:
        from sklearn.datasets import load_diabetes
        from sklearn.linear_model import RidgeCV

        X, y = load_diabetes(return_X_y=True)
        ours, ridge = [], []
        for seed in range(5):
            X_train, X_test, y_train, y_test = dr.train_test_split(X, y.reshape(-1, 1), test_size=0.25, seed=seed)
            of_X, of_y = dr.Standardizer().fit(X_train), dr.Standardizer().fit(y_train)
            network = dr.Network([dr.Dense(8, "tanh", l2=0.03), dr.Dense(1, l2=0.03)], seed=seed, dtype=dtype)
            optimizer = dr.Adam(lr=3e-3)
            network.fit(of_X.transform(X_train), of_y.transform(y_train), loss="mse", optimizer=optimizer, epochs=80)
            predicted = of_y.inverse_transform(network.predict(of_X.transform(X_test)))
            ours.append(1 - np.sum((predicted - y_test) ** 2) / np.sum((y_test - y_test.mean()) ** 2))
            score = network.evaluate(of_X.transform(X_test), of_y.transform(y_test), metrics=["r2"])["r2"]
            assert score == pytest.approx(ours[-1], abs=1e-5)
            ridge.append(RidgeCV(np.logspace(-3, 3, 13)).fit(X_train, y_train.ravel()).score(X_test, y_test.ravel()))
        assert np.mean(ours) > 0.4
        assert np.mean(ours) > np.mean(ridge) - 0.02

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_digits(self, dtype: str) -> None:
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        X_train, X_test, y_train, y_test = dr.train_test_split(X / 16, y, test_size=0.25, seed=0, stratify=y)
        start = time.perf_counter()
        network = dr.Network([dr.Dense(64, "relu"), dr.Dense(10)], seed=0, dtype=dtype)
        network.fit(X_train, y_train, loss="cross_entropy", optimizer=dr.Adam(lr=3e-3), epochs=60, batch_size=32)
        assert time.perf_counter() - start < 10
        assert network.evaluate(X_test, y_test, metrics=["accuracy"])["accuracy"] >= 0.97
        probabilities = network.predict_proba(X_test)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        assert np.mean(probabilities.argmax(axis=1) == y_test) >= 0.97

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_breast_cancer_by_binary_cross_entropy(self, dtype: str) -> None:
        from sklearn.datasets import load_breast_cancer

        X, y = load_breast_cancer(return_X_y=True)
        X_train, X_test, y_train, y_test = dr.train_test_split(X, y, test_size=0.25, seed=0, stratify=y)
        scale = dr.Standardizer().fit(X_train)
        network = dr.Network([dr.Dense(16, "relu"), dr.Dense(1)], seed=0, dtype=dtype)
        history = network.fit(
            scale.transform(X_train), y_train, loss="binary_cross_entropy", optimizer=dr.Adam(lr=3e-3), epochs=40
        )
        assert history["loss"][-1] < 0.1 * np.log(2)
        assert np.mean((network.predict_proba(scale.transform(X_test)).ravel() > 0.5) == y_test) >= 0.95


# The 2-2-2 sigmoid example that circulates in textbooks and lectures. A weight's row is its input, its column its unit.
INPUTS, WANTED = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
START = {
    "0.weight": np.array([[0.15, 0.25], [0.20, 0.30]]),
    "0.bias": np.array([0.35, 0.35]),
    "1.weight": np.array([[0.40, 0.50], [0.45, 0.55]]),
    "1.bias": np.array([0.60, 0.60]),
}
AFTER_ONE_STEP = {
    "0.weight": np.array([[0.14978072, 0.24975114], [0.19956143, 0.29950229]]),
    "1.weight": np.array([[0.35891648, 0.51130127], [0.40866619, 0.56137012]]),
}


def half_squared_error(output: Any, y: Any) -> tuple[float, Any]:
    """½Σ(t - o)² and its gradient with respect to o."""
    return 0.5 * float(np.sum((y - output) ** 2)), output - y


def worked_example() -> dr.Network:
    network = dr.Network([dr.Dense(2, "sigmoid"), dr.Dense(2, "sigmoid")], input_shape=2, dtype="float64")
    network.load_state_dict(START)
    return network


class TestWorkedExample:
    """E = .298371109 before, .291027774 after one step, 3.51e-5 after ten thousand; the biases stay as they are."""

    def check_one_step(self, parameters: Any) -> None:
        for name, expected in AFTER_ONE_STEP.items():
            np.testing.assert_allclose(parameters[name], expected, rtol=0, atol=5.1e-9)
        assert (parameters["0.bias"] == 0.35).all()
        assert (parameters["1.bias"] == 0.60).all()

    def test_forward_by_the_book(self) -> None:
        output = worked_example().predict(INPUTS)
        np.testing.assert_allclose(output, [[0.75136507, 0.772928465]], rtol=0, atol=5.1e-9)

    def test_trainer_with_gradients_of_the_biases_set_to_zero(self) -> None:
        network = worked_example()
        trainer = dr.Trainer(network, loss=half_squared_error, optimizer=dr.SGD(lr=0.5))
        for step in range(10_000):
            value, gradients = network.loss_and_gradients(INPUTS, WANTED, loss=half_squared_error)
            if step == 0:
                assert value == pytest.approx(0.298371109, abs=5.1e-10)
            if step == 1:
                assert value == pytest.approx(0.291027774, abs=5.1e-10)
                self.check_one_step(network.parameters)
            trainer.apply({name: array * name.endswith("weight") for name, array in gradients.items()})
        value, _ = network.loss_and_gradients(INPUTS, WANTED, loss=half_squared_error)
        assert f"{value:.3g}" == "3.51e-05"

    def test_forward_and_backward_with_an_update_by_hand(self) -> None:
        network = worked_example()
        for step in range(10_000):
            value, gradient = half_squared_error(network.forward(INPUTS), WANTED)
            if step == 0:
                assert value == pytest.approx(0.298371109, abs=5.1e-10)
            if step == 1:
                self.check_one_step(network.parameters)
            network.backward(gradient)
            state, gradients = network.state_dict(), network.gradients
            for name in AFTER_ONE_STEP:
                state[name] -= 0.5 * gradients[name]
            network.load_state_dict(state)
        assert f"{half_squared_error(network.predict(INPUTS), WANTED)[0]:.3g}" == "3.51e-05"

    def test_the_reference(self) -> None:
        network = reference.Network.from_spec(worked_example().spec(), START)
        for step in range(10_000):
            value, gradient = half_squared_error(network.forward(INPUTS), WANTED)
            if step == 0:
                assert value == pytest.approx(0.298371109, abs=5.1e-10)
            if step == 1:
                self.check_one_step(network.parameters)
            network.backward(gradient)
            for layer in network.layers:
                layer.weight = layer.weight - 0.5 * layer.gradients["weight"]
        assert f"{half_squared_error(network.forward(INPUTS), WANTED)[0]:.3g}" == "3.51e-05"
