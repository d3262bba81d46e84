"""`Network.fit`: what each of its arguments does, in which order things happen, and how it ends when it goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import deltarule as dr

DTYPES = ["float32", "float64"]
RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(50, 3))
Y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 1] * X[:, 2]], axis=1)
LABELS = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


def new(dtype: str = "float64", outputs: int = 2, **layer: Any) -> dr.Network:
    return dr.Network([dr.Dense(5, "tanh", **layer), dr.Dense(outputs, **layer)], input_shape=3, dtype=dtype, seed=2)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def assert_same(first: dr.Network, second: dr.Network, rtol: float = 1e-11) -> None:
    for name, array in first.state_dict().items():
        np.testing.assert_allclose(second.state_dict()[name], array, rtol=rtol, atol=1e-14)


class Recorder:
    """A callback that writes down what it was told."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[Any] = []
        self.stop_after = stop_after

    def on_fit_begin(self, network: Any) -> None:
        self.calls.append(("begin", network))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        self.calls.append((epoch, logs))
        return epoch + 1 == self.stop_after

    def on_fit_end(self, network: Any) -> None:
        self.calls.append(("end", network))


class TestLearning:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(
        "optimizer", ["sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "nadam", "rprop", dr.Adam]
    )
    def test_the_loss_falls(self, optimizer: Any, dtype: str) -> None:
        history = new(dtype).fit(X, Y, loss="mse", optimizer=optimizer, epochs=60, batch_size=50)
        assert history["loss"][-1] < 0.95 * history["loss"][0]

    def test_history(self) -> None:
        network = new()
        history = network.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=0.05), epochs=4)
        assert list(history) == ["loss", "lr", "seconds"]
        assert [len(column) for column in history.values()] == [4, 4, 4]
        assert history["lr"] == [0.05] * 4
        assert history["seconds"] == sorted(history["seconds"])
        assert 0 < history["seconds"][0] < 5
        assert network.epochs_trained == 4
        history = new().fit(X, Y, loss="mse", validation_data=(X, Y))
        assert list(history) == ["loss", "val_loss", "lr", "seconds"]

    def test_the_loss_is_the_mean_over_the_epoch_as_it_was_trained(self) -> None:
        network, stepped = new(), new()
        history = network.fit(X, Y, loss="mse", optimizer=dr.SGD(0.1), epochs=2, batch_size=20, shuffle=False)
        trainer = dr.Trainer(stepped, loss="mse", optimizer=dr.SGD(0.1))
        for epoch in range(2):
            losses = [trainer.step(X[first : first + 20], Y[first : first + 20]) for first in (0, 20, 40)]
            assert history["loss"][epoch] == pytest.approx(np.average(losses, weights=[20, 20, 10]), rel=1e-12)
        assert_same(network, stepped)

    def test_the_first_loss_is_that_of_the_untrained_network(self) -> None:
        network = new()
        before = network.evaluate(X, Y, loss="mse")["loss"]
        assert network.fit(X, Y, loss="mse", batch_size=50)["loss"][0] == pytest.approx(before, rel=1e-13)

    def test_no_epochs(self) -> None:
        network, untouched, recorder = new(), new(), Recorder()
        history = network.fit(X, Y, loss="mse", epochs=0, validation_data=(X, Y), callbacks=[recorder])
        assert dict(history) == {"loss": [], "val_loss": [], "lr": [], "seconds": []}
        assert bits(network) == bits(untouched)
        assert recorder.calls == [("begin", network), ("end", network)]

    def test_a_second_fit_goes_on(self) -> None:
        once, twice = new(), new()
        whole = once.fit(X, Y, loss="mse", optimizer=dr.SGD(0.1), epochs=5, batch_size=8)
        first = twice.fit(X, Y, loss="mse", optimizer=dr.SGD(0.1), epochs=2, batch_size=8)
        second = twice.fit(X, Y, loss="mse", optimizer=dr.SGD(0.1), epochs=3, batch_size=8)
        assert bits(once) == bits(twice)  # SGD keeps nothing, and the shuffles go on where they were
        assert whole["loss"] == first["loss"] + second["loss"]
        assert twice.epochs_trained == 5

    def test_the_same_seed_gives_the_same_bits(self) -> None:
        networks = [new("float32") for _ in range(3)]
        for network, threads in zip(networks, (1, 2, 3), strict=True):
            network.fit(X, Y, loss="mse", epochs=5, batch_size=7, n_threads=threads)
        assert bits(networks[0]) == bits(networks[1]) == bits(networks[2])
        other = dr.Network(networks[0].layers, input_shape=3, seed=3)
        assert bits(other) != bits(new("float32"))


class TestBatches:
    @pytest.mark.parametrize("batch_size", [50, 51, 10**6, 2**63 - 1])
    def test_as_large_as_the_data_or_larger(self, batch_size: int) -> None:
        network, full = new(), new()
        network.fit(X, Y, loss="mse", epochs=3, batch_size=batch_size, shuffle=False)
        full.fit(X, Y, loss="mse", epochs=3, batch_size=50, shuffle=False)
        assert bits(network) == bits(full)

    @pytest.mark.parametrize("batch_size", [1, 7, 16, 17, 49])
    def test_the_last_is_what_is_left(self, batch_size: int) -> None:
        network, stepped = new(), new()
        network.fit(X, Y, loss="mse", optimizer=dr.SGD(0.1), epochs=2, batch_size=batch_size, shuffle=False)
        trainer = dr.Trainer(stepped, loss="mse", optimizer=dr.SGD(0.1))
        for _ in range(2):
            for first in range(0, 50, batch_size):
                trainer.step(X[first : first + batch_size], Y[first : first + batch_size])
        assert_same(network, stepped)

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_order(self, shuffle: bool) -> None:
        seen: list[Any] = []

        def loss(output: Any, y: Any) -> tuple[float, Any]:
            seen.append(y[:, 0].astype(int))
            return 0.0, np.zeros_like(output)

        numbers = np.arange(50.0).reshape(-1, 1)
        network = new(outputs=1)
        network.fit(X, numbers, loss=loss, epochs=2, batch_size=20, shuffle=shuffle)
        assert [len(batch) for batch in seen] == [20, 20, 10] * 2
        epochs = [np.concatenate(seen[:3]), np.concatenate(seen[3:])]
        for order in epochs:
            assert sorted(order) == list(range(50))
            assert np.array_equal(order, np.arange(50)) is not shuffle
        assert np.array_equal(epochs[0], epochs[1]) is not shuffle

    def test_one_sample_one_feature_one_unit(self) -> None:
        network = dr.Network([dr.Dense(1, init="zeros")], dtype="float64")
        history = network.fit([[2.0]], [4.0], loss="mse", optimizer=dr.SGD(lr=0.1), epochs=1, batch_size=1)
        assert history["loss"] == [16.0]
        assert network.parameters["0.weight"][0, 0] == pytest.approx(0.1 * 16)
        assert network.parameters["0.bias"][0] == pytest.approx(0.1 * 8)


class TestValidation:
    def test_loss_after_the_epoch(self) -> None:
        network = new()
        history = network.fit(X[:40], Y[:40], loss="mse", epochs=3, validation_data=(X[40:], Y[40:]))
        assert history["val_loss"][-1] == pytest.approx(network.evaluate(X[40:], Y[40:])["loss"], rel=1e-14)

    @pytest.mark.parametrize("shuffle", [False, True])
    @pytest.mark.parametrize("share", [0.2, 0.5, 0.01999999, 0.98])
    def test_split_is_the_last_part(self, share: float, shuffle: bool) -> None:
        first = 50 - int(50 * share)
        given, split = new(), new()
        if first == 50:
            with pytest.raises(ValueError, match="both need at least one"):
                split.fit(X, Y, loss="mse", validation_split=share)
            return
        arguments: dict[str, Any] = {"loss": "mse", "epochs": 3, "batch_size": 8, "shuffle": shuffle}
        by_hand = given.fit(X[:first], Y[:first], validation_data=(X[first:], Y[first:]), **arguments)
        history = split.fit(X, Y, validation_split=share, **arguments)
        assert bits(given) == bits(split)
        assert by_hand["loss"] == history["loss"]
        assert by_hand["val_loss"] == history["val_loss"]

    def test_split_with_a_loss_of_the_users(self) -> None:
        def loss(output: Any, y: Any) -> tuple[float, Any]:
            return float(np.mean((output - y) ** 2)), 2 * (output - y) / output.size

        given, split, plain = new(), new(), new()
        by_hand = given.fit(X[:40], Y[:40], loss=loss, epochs=2, validation_data=(X[40:], Y[40:]))
        history = split.fit(X, Y, loss=loss, epochs=2, validation_split=0.2)
        built_in = plain.fit(X, Y, loss="mse", epochs=2, validation_split=0.2)
        assert bits(given) == bits(split)
        assert by_hand["val_loss"] == history["val_loss"] == pytest.approx(built_in["val_loss"], rel=1e-12)

    def test_class_weight_is_for_training_alone(self) -> None:
        """The validation loss of two fits with different weights can be compared, as in Keras."""
        given, split = new(outputs=3), new(outputs=3)
        arguments: dict[str, Any] = {"loss": "cross_entropy", "class_weight": {0: 5.0}, "epochs": 2}
        by_hand = given.fit(X[:40], LABELS[:40], validation_data=(X[40:], LABELS[40:]), **arguments)
        history = split.fit(X, LABELS, validation_split=0.2, **arguments)
        assert bits(given) == bits(split)
        assert history["val_loss"] == by_hand["val_loss"]

    def test_validation_does_not_train(self) -> None:
        with_validation, without = new(), new()
        with_validation.fit(X, Y, loss="mse", epochs=3, validation_data=(X + 1, Y))
        without.fit(X, Y, loss="mse", epochs=3)
        assert bits(with_validation) == bits(without)


class TestWeights:
    COUNTS = np.arange(50) % 4
    FULL: dict[str, Any] = {"optimizer": dr.SGD(0.1), "epochs": 20, "shuffle": False, "batch_size": 200}  # noqa: RUF012

    @pytest.mark.parametrize("loss", ["mse", "mae", "huber", "cross_entropy"])
    def test_integer_weights_are_repeated_rows(self, loss: str) -> None:
        y = LABELS if loss == "cross_entropy" else Y
        outputs = 3 if loss == "cross_entropy" else 2
        weighted, repeated = new(outputs=outputs), new(outputs=outputs)
        first = weighted.fit(X, y, loss=loss, sample_weight=self.COUNTS, **self.FULL)
        many_X, many_y = (np.repeat(array, self.COUNTS, axis=0) for array in (X, y))
        second = repeated.fit(many_X, many_y, loss=loss, **self.FULL)
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-12)
        assert_same(weighted, repeated, rtol=1e-9)

    def test_class_weights_are_repeated_classes(self) -> None:
        weighted, repeated = new(outputs=3), new(outputs=3)
        weighted.fit(X, LABELS, loss="cross_entropy", class_weight={0: 3, 1: 2}, **self.FULL)
        counts = np.array([3, 2, 1])[LABELS]
        repeated.fit(np.repeat(X, counts, axis=0), np.repeat(LABELS, counts), loss="cross_entropy", **self.FULL)
        assert_same(weighted, repeated, rtol=1e-9)

    def test_balanced(self) -> None:
        balanced, by_hand = new(outputs=3), new(outputs=3)
        counts = np.bincount(LABELS)
        balanced.fit(X, LABELS, loss="cross_entropy", class_weight="balanced", **self.FULL)
        by_hand.fit(X, LABELS, loss="cross_entropy", sample_weight=(50 / (3 * counts))[LABELS], **self.FULL)
        assert_same(balanced, by_hand)

    def test_class_and_sample_weights_multiply(self) -> None:
        both, product = new(outputs=3), new(outputs=3)
        both.fit(X, LABELS, loss="cross_entropy", class_weight={1: 2.5}, sample_weight=self.COUNTS, **self.FULL)
        weights = self.COUNTS * np.where(LABELS == 1, 2.5, 1.0)
        product.fit(X, LABELS, loss="cross_entropy", sample_weight=weights, **self.FULL)
        assert_same(both, product)

    def test_only_ratios_matter(self) -> None:
        small, large = new(), new()
        small.fit(X, Y, loss="mse", sample_weight=np.full(50, 1e-3), **self.FULL)
        large.fit(X, Y, loss="mse", sample_weight=np.full(50, 1e3), **self.FULL)
        assert_same(small, large)

    @pytest.mark.parametrize("batch_size", [1, 2, 50])
    def test_batches_whose_weights_are_all_zero(self, batch_size: int) -> None:
        weights = np.zeros(50)
        weights[10] = 1
        network = new()
        history = network.fit(
            X, Y, loss="mse", sample_weight=weights, optimizer=dr.SGD(0.1), batch_size=batch_size, shuffle=False
        )
        single = new()
        expected = dr.Trainer(single, loss="mse", optimizer=dr.SGD(0.1)).step(X[10:11], Y[10:11])
        assert history["loss"][0] == pytest.approx(expected, rel=1e-12)
        assert_same(network, single)


class TestClippingAndPenalties:
    def test_clip_norm(self) -> None:
        network, start = new(), new().parameters
        network.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=1.0), batch_size=50, clip_norm=1e-3)
        moved = np.concatenate([(array - start[name]).ravel() for name, array in network.parameters.items()])
        assert np.linalg.norm(moved) == pytest.approx(1e-3, rel=1e-2)
        _, gradients = new().loss_and_gradients(X, Y, loss="mse")
        direction = np.concatenate([array.ravel() for array in gradients.values()])
        np.testing.assert_allclose(moved / np.linalg.norm(moved), -direction / np.linalg.norm(direction), atol=1e-9)

    def test_clip_value(self) -> None:
        network, start = new(), new().parameters
        _, gradients = network.loss_and_gradients(X, Y, loss="mse")
        network.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=1.0), batch_size=50, clip_value=0.05)
        for name, array in network.parameters.items():
            np.testing.assert_allclose(start[name] - array, np.clip(gradients[name], -0.05, 0.05), atol=1e-14)

    def test_bounds_that_do_not_bind(self) -> None:
        clipped, plain = new(), new()
        clipped.fit(X, Y, loss="mse", epochs=3, clip_norm=1e9, clip_value=1e9)
        plain.fit(X, Y, loss="mse", epochs=3)
        assert bits(clipped) == bits(plain)

    @pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.3), (0.2, 0.0), (0.2, 0.3)])
    def test_penalties_are_in_the_loss(self, l1: float, l2: float) -> None:
        network, plain = new(l1=l1, l2=l2), new()
        weights = [plain.parameters["0.weight"], plain.parameters["1.weight"]]
        penalty = sum(l1 * np.abs(w).sum() + 0.5 * l2 * np.square(w).sum() for w in weights)
        expected = plain.evaluate(X, Y, loss="mse")["loss"] + penalty
        assert network.evaluate(X, Y, loss="mse")["loss"] == pytest.approx(expected, rel=1e-12)
        assert network.loss_and_gradients(X, Y, loss="mse")[0] == pytest.approx(expected, rel=1e-12)
        history = network.fit(X, Y, loss="mse", optimizer=dr.SGD(0.0), batch_size=7, validation_data=(X, Y))
        assert history["loss"][0] == pytest.approx(expected, rel=1e-12)
        assert history["val_loss"][0] == pytest.approx(expected, rel=1e-12)


class TestDivergence:
    def test_the_weights_of_the_last_finite_epoch_are_kept(self) -> None:
        network, recorder = new(), Recorder()
        with pytest.raises(FloatingPointError) as caught:
            network.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=20.0), epochs=2000, batch_size=10, callbacks=[recorder])
        error = caught.value
        assert type(error) is dr.DivergenceError
        assert error.epoch >= 1
        assert 0 <= error.step <= 5
        assert -1 <= error.layer <= 1
        assert error.history is not None
        assert error.history.epochs == error.epoch == network.epochs_trained
        assert np.isfinite(error.history["loss"]).all()
        assert f"epoch {error.epoch + 1} of 2000, step {error.step + 1}" in str(error)
        assert "lr=20" in str(error)
        assert recorder.calls[-1] == ("end", network)
        same = new()
        same.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=20.0), epochs=error.epoch, batch_size=10)
        assert bits(network) == bits(same)
        assert all(np.isfinite(array).all() for array in network.parameters.values())

    @pytest.mark.parametrize("threads", [1, 2])
    def test_in_the_first_epoch(self, threads: int) -> None:
        network, untouched = new("float32"), new("float32")
        with pytest.raises(dr.DivergenceError, match="from before this fit") as caught:
            network.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=1e30), epochs=3, batch_size=10, n_threads=threads)
        assert caught.value.epoch == 0
        assert caught.value.history is not None
        assert caught.value.history.epochs == 0
        assert bits(network) == bits(untouched)
        network.fit(X, Y, loss="mse", n_threads=threads)

    def test_infinite_weights_after_the_last_step(self) -> None:
        """The loss was finite and so it would have been reported; the weights that it led to are not."""
        network, untouched = new("float32"), new("float32")
        with pytest.raises(dr.DivergenceError, match="weight is not finite") as caught:
            network.fit(X * 1e3, Y * 1e3, loss="mse", optimizer=dr.SGD(lr=3e38), epochs=1, batch_size=50)
        assert caught.value.layer in (0, 1)
        assert bits(network) == bits(untouched)

    def test_an_output_that_overflows_names_its_layer(self) -> None:
        layers = [dr.Dense(4, "exp"), dr.Dense(4, "exp"), dr.Dense(1)]
        network = dr.Network(layers, input_shape=3, dtype="float32", seed=0)
        with pytest.raises(dr.DivergenceError, match=r"first in layer 1 \(Dense\(units=4, activation='exp'") as caught:
            network.fit(np.full((4, 3), 8.0), np.zeros(4), loss="mse")
        assert caught.value.layer == 1

    def test_huge_targets(self) -> None:
        network = new("float32")
        with pytest.raises(dr.DivergenceError, match="in the loss itself") as caught:
            network.fit(X, Y * 1e25, loss="mse")
        assert caught.value.layer == -1

    @pytest.mark.parametrize("where", ["value", "gradient"])
    def test_a_loss_of_the_users_that_gives_nan(self, where: str) -> None:
        calls = []

        def loss(output: Any, y: Any) -> tuple[float, Any]:
            calls.append(len(y))
            late = len(calls) == 8  # the third step of the second epoch
            value = np.nan if late and where == "value" else 1.0
            return value, np.full_like(output, np.nan if late and where == "gradient" else 0.01)

        network = new()
        with pytest.raises(dr.DivergenceError) as caught:
            network.fit(X, Y, loss=loss, epochs=5, batch_size=10)
        assert caught.value.epoch == 1
        assert network.epochs_trained == 1
        if where == "value":
            assert caught.value.step == 2
        assert all(np.isfinite(array).all() for array in network.parameters.values())

    def test_denormals_and_the_largest_numbers_do_not_diverge(self) -> None:
        for scale in (1e-42, 1e-38, 1e15):
            network = new("float32")
            assert np.isfinite(network.fit((X * scale), Y, loss="mae", optimizer="adam", epochs=2)["loss"]).all()
