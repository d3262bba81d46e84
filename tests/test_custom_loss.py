"""A loss of the user's: a function (output, y) -> (value, gradient of the output), called once for each batch."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import deltarule as dr

DTYPES = ["float32", "float64"]
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(40, 3))
Y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 1] * X[:, 2]], axis=1)


def squared(output: Any, y: Any) -> tuple[float, Any]:
    return float(np.mean((output - y) ** 2)), 2 * (output - y) / output.size


def new(dtype: str = "float64", **layer: Any) -> dr.Network:
    return dr.Network([dr.Dense(6, "tanh", **layer), dr.Dense(2, **layer)], input_shape=3, dtype=dtype, seed=4)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class TestEqualsTheBuiltIn:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("threads", [1, 2])
    def test_fit(self, dtype: str, threads: int) -> None:
        custom, built_in = new(dtype, l2=0.01), new(dtype, l2=0.01)
        y = Y.astype(dtype)
        arguments: dict[str, Any] = {"epochs": 5, "batch_size": 16, "n_threads": threads}
        arguments["validation_data"] = (X[:9], y[:9])
        first = custom.fit(X, y, loss=squared, **arguments)
        second = built_in.fit(X, y, loss="mse", **arguments)
        tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
        assert first["loss"] == pytest.approx(second["loss"], rel=tolerance)
        assert first["val_loss"] == pytest.approx(second["val_loss"], rel=tolerance)
        for name, array in built_in.parameters.items():
            np.testing.assert_allclose(custom.parameters[name], array, rtol=100 * tolerance, atol=10 * tolerance)

    def test_threads_do_not_matter(self) -> None:
        networks = [new("float32") for _ in range(3)]
        for network, threads in zip(networks, (1, 2, 5), strict=True):
            network.fit(X, Y, loss=squared, epochs=3, batch_size=16, n_threads=threads)
        assert bits(networks[0]) == bits(networks[1]) == bits(networks[2])

    def test_everywhere_a_loss_is_taken(self) -> None:
        network = new(l1=0.1)
        value, gradients = network.loss_and_gradients(X, Y, loss=squared)
        expected, expected_gradients = network.loss_and_gradients(X, Y, loss="mse")
        assert value == pytest.approx(expected, rel=1e-13)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected_gradients[name], rtol=1e-11, atol=1e-15)
        assert network.evaluate(X, Y, loss=squared, metrics=["mae"]) == pytest.approx(
            network.evaluate(X, Y, loss="mse", metrics=["mae"]), rel=1e-13
        )
        trainer, built_in = dr.Trainer(network, loss=squared), dr.Trainer(new(l1=0.1), loss="mse")
        for rows in (40, 7, 40):
            assert trainer.step(X[:rows], Y[:rows]) == pytest.approx(built_in.step(X[:rows], Y[:rows]), rel=1e-11)

    def test_through_a_last_sigmoid(self) -> None:
        """The gradient is that of the output; with a loss of the user's nothing is fused."""
        network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(2, "sigmoid")], input_shape=3, dtype="float64")
        y = (Y > 0).astype(float)

        def cross_entropy(output: Any, y: Any) -> tuple[float, Any]:
            value = -np.mean(y * np.log(output) + (1 - y) * np.log(1 - output))
            return value, (output - y) / (output * (1 - output)) / output.size

        value, gradients = network.loss_and_gradients(X, y, loss=cross_entropy)
        expected, expected_gradients = network.loss_and_gradients(X, y, loss="binary_cross_entropy")
        assert value == pytest.approx(expected, rel=1e-12)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected_gradients[name], rtol=1e-9, atol=1e-14)

    def test_evaluate_after_fit_knows_it(self) -> None:
        network = new()
        network.fit(X, Y, loss=squared)
        assert network.loss is squared
        assert network.evaluate(X, Y) == network.evaluate(X, Y, loss=squared)


class TestWhatItIsGiven:
    def test_arrays(self) -> None:
        seen = []

        def loss(output: Any, y: Any) -> tuple[float, Any]:
            seen.append((output.shape, output.dtype, y.shape, y.dtype))
            output += 1e9  # a copy of its own
            return 0.0, np.zeros_like(output)

        network = new("float32")
        before = bits(network)
        network.fit(X, Y, loss=loss, batch_size=16, optimizer=dr.SGD(0.1))
        assert seen == [((n, 2), np.float32, (n, 2), np.float64) for n in (16, 16, 8)]
        assert bits(network) == before

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_y_belongs_to_the_output(self, shuffle: bool) -> None:
        network = new()
        answers = network.predict(X)

        def loss(output: Any, y: Any) -> tuple[float, Any]:
            np.testing.assert_allclose(output, answers[y], rtol=1e-13)
            return 0.0, np.zeros_like(output)

        network.fit(X, np.arange(40), loss=loss, batch_size=7, epochs=3, optimizer=dr.SGD(0.1), shuffle=shuffle)

    def test_targets_of_any_kind(self) -> None:
        """Text, dates, objects: what y is, is between the caller and the function."""
        words = np.array(["yes", "no"] * 20)

        def loss(output: Any, y: Any) -> tuple[float, Any]:
            return squared(output, np.where(y == "yes", 1.0, -1.0)[:, None])

        history = new().fit(X, words, loss=loss, epochs=3)
        signs = np.where(words == "yes", 1.0, -1.0)
        numbers = new().fit(X, np.stack([signs, signs], axis=1), loss="mse", epochs=3)
        assert history["loss"] == pytest.approx(numbers["loss"], rel=1e-10)

    def test_is_called_once_for_each_batch(self) -> None:
        calls = []

        def loss(output: Any, y: Any) -> tuple[float, Any]:
            calls.append(len(y))
            return squared(output, y)

        new().fit(X, Y, loss=loss, batch_size=16, epochs=2, validation_data=(X[:5], Y[:5]))
        assert calls == [16, 16, 8, 5] * 2

    def test_may_ask_the_network(self) -> None:
        network = new()

        def loss(output: Any, y: Any) -> tuple[float, Any]:
            np.testing.assert_array_equal(np.sort(network.predict(X), axis=None), np.sort(output, axis=None))
            return squared(output, y)

        network.fit(X, Y, loss=loss, batch_size=40, epochs=2, n_threads=2)


BAD: list[tuple[str, Callable[..., Any], Any, str]] = [
    ("a number alone", lambda output, y: 1.0, TypeError, r"the loss returned float: expected a tuple \(value, grad"),
    ("nothing", lambda output, y: None, TypeError, r"the loss returned NoneType: expected a tuple"),
    ("three things", lambda output, y: (1.0, output, y), TypeError, r"expected a tuple \(value, gradient_of_output\)"),
    ("shape", lambda output, y: (1.0, output[:, :1]), ValueError, r"gradient of shape \(\d+, 1\): expected .*, 2\)"),
    ("one dimension", lambda output, y: (1.0, output.ravel()), ValueError, r"gradient of shape \(\d+,\): expected"),
    ("a number as the gradient", lambda output, y: (1.0, 0.0), ValueError, r"gradient of shape \((1,)?\): expected"),
    ("no gradient", lambda output, y: (1.0, None), (TypeError, ValueError), r"the loss returned a gradient"),
    ("gradient of text", lambda output, y: (1.0, np.full(output.shape, "a")), TypeError, r"returned a gradient"),
    ("complex gradient", lambda output, y: (1.0, output + 1j), TypeError, r"the loss returned a gradient.*complex"),
    ("no value", lambda output, y: (None, output), TypeError, r"the loss returned .*value"),
    ("value of text", lambda output, y: ("low", output), TypeError, r"the loss returned .*value"),
    ("a value for each sample", lambda output, y: (output[:, 0], output), TypeError, r"the loss returned .*value"),
    ("its own error", lambda output, y: {"a": 1}["key"], KeyError, r"key"),
    ("the wrong arguments", lambda output: (1.0, output), TypeError, r"positional argument"),
]


def wrong_in_validation(network: dr.Network, function: Any) -> None:
    """Fine while it trains on 40 rows, wrong on the 5 of the validation."""

    def loss(output: Any, y: Any) -> Any:
        return (0.0, np.zeros_like(output)) if len(y) > 5 else function(output, y)

    validation = (X[:5], Y[:5])
    network.fit(X, Y, loss=loss, batch_size=40, optimizer=dr.SGD(0.1), validation_data=validation, n_threads=2)


USES: dict[str, Callable[[dr.Network, Any], Any]] = {
    "fit": lambda network, loss: network.fit(X, Y, loss=loss),
    "fit with 2 threads": lambda network, loss: network.fit(X, Y, loss=loss, n_threads=2),
    "step": lambda network, loss: dr.Trainer(network, loss=loss, n_threads=2).step(X, Y),
    "loss_and_gradients": lambda network, loss: network.loss_and_gradients(X, Y, loss=loss),
    "evaluate": lambda network, loss: network.evaluate(X, Y, loss=loss),
    "validation": wrong_in_validation,
}


class TestBadFunctions:
    @pytest.mark.parametrize("use", USES)
    @pytest.mark.parametrize(("function", "kind", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
    def test_is_refused(self, function: Any, kind: Any, message: str, use: str) -> None:
        network = new("float32")
        before = bits(network)
        with pytest.raises(kind, match=message):
            USES[use](network, function)
        assert bits(network) == before
        assert np.isfinite(network.fit(X, Y, loss="mse", n_threads=2)["loss"]).all()

    def test_in_a_later_step_the_weights_of_the_steps_before_stay(self) -> None:
        def loss(output: Any, y: Any) -> Any:
            if len(y) == 8:
                raise LookupError("the short batch")
            return squared(output, y)

        network, two_steps = new(), new()
        with pytest.raises(LookupError, match="the short batch"):
            network.fit(X, Y, loss=loss, batch_size=16, shuffle=False)
        trainer = dr.Trainer(two_steps, loss=squared)
        trainer.step(X[:16], Y[:16])
        trainer.step(X[16:32], Y[16:32])
        assert bits(network) == bits(two_steps)

    def test_a_step_that_failed_has_not_happened(self) -> None:
        fail = True

        def loss(output: Any, y: Any) -> Any:
            if fail:
                raise LookupError("not now")
            return squared(output, y)

        network, clean = new(), new()
        trainer = dr.Trainer(network, loss=loss)
        with pytest.raises(LookupError):
            trainer.step(X, Y)
        assert trainer.steps == 0
        fail = False
        reference = dr.Trainer(clean, loss=squared)
        for _ in range(3):
            assert trainer.step(X, Y) == reference.step(X, Y)
        assert bits(network) == bits(clean)

    def test_lengths(self) -> None:
        with pytest.raises(ValueError, match=r"y has shape \(39, 2\) but X has 40 rows"):
            new().fit(X, Y[:39], loss=squared)
        with pytest.raises(ValueError, match=r"validation_data\[1\] has shape"):
            new().fit(X, Y, loss=squared, validation_data=(X, Y[:1]))

    def test_must_not_train_the_network_it_is_the_loss_of(self) -> None:
        network = new()

        def loss(output: Any, y: Any) -> Any:
            network.fit(X, Y, loss="mse")
            return squared(output, y)

        with pytest.raises(RuntimeError, match="while a fit runs on the same network"):
            network.fit(X, Y, loss=loss)
        network.fit(X, Y, loss="mse")


def test_a_loss_that_raises_keeps_nothing_alive() -> None:
    """The exception holds the frames on its way, and they hold the trainer: the core must not hold the exception."""
    X, y = np.ones((3, 5), np.float32), np.ones((3, 1), np.float32)

    def attempt() -> Any:
        fails = [True]

        def loss(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
            if fails[0]:
                raise RuntimeError("not today")
            return float(((output - target) ** 2).mean()), 2 * (output - target) / output.size

        trainer = dr.Trainer(dr.Network([dr.Dense(6, "tanh"), dr.Dense(1)], 5), loss)
        with contextlib.suppress(RuntimeError):
            trainer.step(X, y)
        fails[0] = False
        trainer.step(X, y)
        return weakref.ref(trainer), weakref.ref(trainer.network)

    references = attempt()
    gc.collect()
    assert [reference() for reference in references] == [None, None]
