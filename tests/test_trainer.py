"""`Trainer`: step by step what `fit` does in one call, and updates from gradients of the caller's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import deltarule as dr

DTYPES = ["float32", "float64"]
OPTIMIZERS = [
    dr.SGD(0.1),
    dr.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    dr.SGD(0.1, momentum=0.5, dampening=0.3),
    dr.RMSprop(0.01, momentum=0.5, centered=True),
    dr.Adagrad(0.1, lr_decay=0.01),
    dr.Adadelta(),
    dr.Adam(0.01, amsgrad=True),
    dr.AdamW(0.01),
    dr.NAdam(0.01),
    dr.Rprop(),
]
RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(40, 3))
Y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 1] * X[:, 2]], axis=1)


def new(dtype: str = "float64", **layer: Any) -> dr.Network:
    return dr.Network([dr.Dense(17, "tanh", **layer), dr.Dense(2, **layer)], input_shape=3, dtype=dtype, seed=4)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def name_of(optimizer: Any) -> str:
    return str(optimizer)[:40]


class TestStep:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
    def test_the_same_bits_as_fit(self, optimizer: Any, dtype: str) -> None:
        fitted, stepped = new(dtype, l1=1e-3, l2=1e-2), new(dtype, l1=1e-3, l2=1e-2)
        fitted.fit(X, Y, loss="mse", optimizer=optimizer, epochs=4, batch_size=16, shuffle=False, clip_norm=1.0)
        trainer = dr.Trainer(stepped, loss="mse", optimizer=optimizer, clip_norm=1.0)
        for _ in range(4):
            for first in (0, 16, 32):
                trainer.step(X[first : first + 16], Y[first : first + 16])
        assert bits(fitted) == bits(stepped)
        assert trainer.steps == 12

    @pytest.mark.parametrize("loss", ["mse", "mae", "huber", "log_cosh", "quantile", dr.Huber(0.3)])
    def test_returns_the_loss_before_the_update(self, loss: Any) -> None:
        network = new(l2=0.1)
        trainer = dr.Trainer(network, loss=loss)
        for _ in range(3):
            before = network.evaluate(X, Y, loss=loss)["loss"]
            value = trainer.step(X, Y)
            assert type(value) is float
            assert value == pytest.approx(before, rel=1e-13)

    def test_the_gradient_it_uses_is_that_of_loss_and_gradients(self) -> None:
        network = new(l1=0.01, l2=0.1)
        start = network.parameters
        value, gradients = network.loss_and_gradients(X, Y, loss="mse", sample_weight=np.arange(40))
        assert dr.Trainer(network, loss="mse", optimizer=dr.SGD(0.1)).step(X, Y, sample_weight=np.arange(40)) == value
        for name, array in network.parameters.items():
            np.testing.assert_allclose(array, start[name] - 0.1 * gradients[name], rtol=1e-14, atol=1e-16)

    @pytest.mark.parametrize(
        "sizes", [(1, 40, 5, 16, 17, 3, 40), (40, 1, 5, 16, 17, 3, 40)], ids=["growing", "shrinking"]
    )
    def test_batches_of_any_size_in_turn(self, sizes: tuple[int, ...]) -> None:
        one, many = new(), new()
        trainer = dr.Trainer(one, loss="mse", optimizer=dr.SGD(0.1))
        for rows in sizes:  # SGD keeps nothing, so a new trainer, with a workspace of its own, does the same step
            value = trainer.step(X[:rows], Y[:rows])
            assert dr.Trainer(many, loss="mse", optimizer=dr.SGD(0.1)).step(X[:rows], Y[:rows]) == value
        assert bits(one) == bits(many)

    @pytest.mark.parametrize("threads", [1, 2, 5, 64])
    def test_threads_do_not_matter(self, threads: int) -> None:
        network, plain = new("float32"), new("float32")
        trainer = dr.Trainer(network, loss="mse", n_threads=threads)
        reference = dr.Trainer(plain, loss="mse", n_threads=1)
        for rows in (40, 3, 1):
            assert trainer.step(X[:rows], Y[:rows]) == reference.step(X[:rows], Y[:rows])
        assert bits(network) == bits(plain)

    def test_classes(self) -> None:
        network = new()
        trainer = dr.Trainer(network, loss="cross_entropy", optimizer=dr.Adam(0.05))
        losses = [trainer.step(X, (X[:, 0] > 0).astype(int)) for _ in range(50)]
        assert losses[-1] < 0.2 * losses[0]
        assert np.allclose(network.predict_proba(X).sum(axis=1), 1)

    @pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
    def test_after_a_divergence_everything_is_as_before_the_step(self, optimizer: Any) -> None:
        network, undisturbed = new(), new()
        trainer = dr.Trainer(network, loss="mse", optimizer=optimizer)
        reference = dr.Trainer(undisturbed, loss="mse", optimizer=optimizer)
        for round_ in range(3):
            assert trainer.step(X, Y) == reference.step(X, Y)
            with pytest.raises(dr.DivergenceError, match=rf"step {round_ + 2} diverged: the loss is inf") as caught:
                trainer.step(X, Y * 1e300)
            assert caught.value.step == round_ + 1
            assert caught.value.layer == -1
            assert bits(network) == bits(undisturbed)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_never_leaves_weights_that_are_not_finite(self, dtype: str) -> None:
        """The loss is finite, and the step it asks for leads out of the numbers."""
        network = new(dtype)
        trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=3e38 if dtype == "float32" else 1e308))
        before = bits(network)
        with pytest.raises(dr.DivergenceError):
            trainer.step(X * 1e3, Y * 1e3)
        assert bits(network) == before


class TestMixedUse:
    def test_load_state_dict_between_steps(self) -> None:
        network = new()
        trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(0.1))
        start = network.state_dict()
        first = trainer.step(X, Y)
        trainer.step(X, Y)
        network.load_state_dict(start)
        assert trainer.step(X, Y) == first
        once = new()
        dr.Trainer(once, loss="mse", optimizer=dr.SGD(0.1)).step(X, Y)
        assert bits(network) == bits(once)

    @pytest.mark.parametrize("between", ["fit", "apply", "other trainer", "forward", "predict", "evaluate"])
    def test_whatever_happens_between_steps_is_seen(self, between: str) -> None:
        network, fresh = new(), new()
        trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(0.1))
        trainer.step(X, Y)
        if between == "fit":
            network.fit(X, Y, loss="mse")
        elif between == "apply":
            trainer.apply(network.loss_and_gradients(X, Y, loss="mae")[1])
        elif between == "other trainer":
            dr.Trainer(network, loss="mae").step(X, Y)
        elif between == "forward":
            network.backward(network.forward(X))
        elif between == "predict":
            network.predict(X)
        else:
            network.evaluate(X, Y, loss="mse")
        fresh.load_state_dict(network.state_dict())
        assert trainer.step(X, Y) == dr.Trainer(fresh, loss="mse", optimizer=dr.SGD(0.1)).step(X, Y)
        assert bits(network) == bits(fresh)

    def test_a_copy_of_the_network_is_not_trained(self) -> None:
        network = new()
        trainer = dr.Trainer(network, loss="mse")
        trainer.step(X, Y)
        duplicate = copy.deepcopy(network)
        before = bits(duplicate)
        trainer.step(X, Y)
        assert bits(duplicate) == before != bits(network)

    def test_the_trainer_keeps_the_network_alive(self) -> None:
        trainer = dr.Trainer(new(), loss="mse")
        losses = [trainer.step(X, Y) for _ in range(50)]
        assert losses[-1] < losses[0]


class TestApply:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
    def test_equals_a_step(self, optimizer: Any, dtype: str) -> None:
        applied, stepped = new(dtype), new(dtype)
        by_hand = dr.Trainer(applied, loss="mse", optimizer=optimizer)
        trainer = dr.Trainer(stepped, loss="mse", optimizer=optimizer)
        for _ in range(5):
            _, gradients = applied.loss_and_gradients(X, Y, loss="mse")
            by_hand.apply(gradients)
            trainer.step(X, Y)
        assert by_hand.steps == 5
        assert bits(applied) == bits(stepped)

    def test_shares_the_state_with_step(self) -> None:
        mixed, stepped = new(), new()
        first = dr.Trainer(mixed, loss="mse", optimizer=dr.Adam(0.01))
        second = dr.Trainer(stepped, loss="mse", optimizer=dr.Adam(0.01))
        for number in range(6):
            if number % 2:
                first.apply(mixed.loss_and_gradients(X, Y, loss="mse")[1])
            else:
                first.step(X, Y)
            second.step(X, Y)
        assert bits(mixed) == bits(stepped)

    def test_clips_as_step_does(self) -> None:
        applied, stepped = new(), new()
        by_hand = dr.Trainer(applied, loss="mse", optimizer=dr.SGD(0.1), clip_norm=0.1)
        trainer = dr.Trainer(stepped, loss="mse", optimizer=dr.SGD(0.1), clip_norm=0.1)
        by_hand.apply(applied.loss_and_gradients(X, Y, loss="mse")[1])
        trainer.step(X, Y)
        for name, array in stepped.parameters.items():
            np.testing.assert_allclose(applied.parameters[name], array, rtol=1e-13)

    def test_gradients_are_not_changed(self) -> None:
        network = new()
        gradients = network.loss_and_gradients(X, Y, loss="mse")[1]
        kept = {name: gradient.copy() for name, gradient in gradients.items()}
        dr.Trainer(network, loss="mse", optimizer=dr.SGD(0.1, weight_decay=0.1), clip_value=1e-3).apply(gradients)
        assert all(np.array_equal(gradients[name], kept[name]) for name in kept)

    def test_of_an_unbuilt_network(self) -> None:
        network = dr.Network([dr.Dense(1)])
        with pytest.raises(ValueError, match="does not know its number of inputs"):
            dr.Trainer(network, loss="mse").apply({"0.weight": [[1.0]], "0.bias": [1.0]})

    def test_huge_gradients_do_not_break_the_network(self) -> None:
        network = new("float32")
        before = bits(network)
        gradients = {name: np.full(array.shape, 3e38) for name, array in network.parameters.items()}
        with pytest.raises(dr.DivergenceError):
            dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=100.0)).apply(gradients)
        assert bits(network) == before
