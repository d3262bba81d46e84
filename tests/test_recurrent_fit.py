"""Training recurrent networks: validation, history, metrics, batches, callbacks, trainers, and divergence."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from recurrent_networks import KINDS, OUTPUTS, Array, Batch, assert_close, batch, bits, make, twin

import deltarule as dr

SGD = dr.SGD(lr=0.05)


def part(data: Batch, samples: Any) -> Batch:
    return Batch(data.X[samples], data.y[samples], None if data.lengths is None else data.lengths[samples])


def accuracy(output: Array, labels: Array, exists: Array) -> float:
    """Of the steps that exist."""
    return float((output.argmax(axis=-1) == labels)[exists].mean())


class TestValidation:
    @pytest.mark.parametrize("by_step", [False, True])
    def test_data_with_lengths_and_without(self, by_step: bool) -> None:
        """With other lengths, and another number of steps, than in training; nothing drops out, nothing is learned."""
        data, held = batch(9, 6, by_step=by_step, ragged=True), batch(5, 8, by_step=by_step, ragged=True, seed=2)
        whole = batch(5, 4, by_step=by_step, seed=3)
        for validation, lengths in ((held, held.lengths), (whole, None), (whole, np.array([4, 1, 2, 3, 1]))):
            given = (validation.X, validation.y) if lengths is None else (validation.X, validation.y, lengths)
            network, alone = (make("lstm", 2, by_step=by_step, mixed=True, l2=0.1) for _ in range(2))
            history = network.fit(data.X, data.y, loss="mse", lengths=data.lengths, epochs=2, validation_data=given)
            alone.fit(data.X, data.y, loss="mse", lengths=data.lengths, epochs=2)
            assert bits(network) == bits(alone)
            expected = network.evaluate(validation.X, validation.y, lengths=lengths)["loss"]
            assert history["val_loss"][-1] == expected
            assert expected == pytest.approx(twin_loss(network, validation, lengths), rel=1e-12)

    def test_lists_of_arrays(self) -> None:
        data, held = batch(9, 6, by_step=True, ragged=True), batch(5, 8, by_step=True, ragged=True, seed=2)
        histories = []
        for as_lists in (False, True):
            X, y = data.as_lists() if as_lists else (data.X, data.y)
            given: Any = held.as_lists() if as_lists else (held.X, held.y, held.lengths)
            network = make(by_step=True)
            lengths = None if as_lists else data.lengths
            history = network.fit(X, y, loss="mse", lengths=lengths, epochs=3, validation_data=given)
            histories.append((bits(network), history["loss"], history["val_loss"]))
        assert histories[0] == histories[1]

    @pytest.mark.parametrize("by_step", [False, True])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_split_is_the_last_part(self, weighted: bool, by_step: bool) -> None:
        data = batch(10, 6, by_step=by_step, ragged=True)
        first, rest = part(data, slice(7)), part(data, slice(7, None))
        weight = np.random.default_rng(0).uniform(0.5, 2, 10) if weighted else None
        network, other = (make("gru", by_step=by_step, mixed=True) for _ in range(2))
        history = network.fit(
            data.X, data.y, loss="mse", lengths=data.lengths, validation_split=0.3, sample_weight=weight, epochs=2
        )
        again = other.fit(
            first.X, first.y, loss="mse", lengths=first.lengths, epochs=2,
            sample_weight=None if weight is None else weight[:7],
        )  # fmt: skip
        assert bits(network) == bits(other)
        assert history["loss"] == again["loss"]
        own = {} if weight is None else {"sample_weight": weight[7:]}
        assert history["val_loss"][-1] == network.evaluate(rest.X, rest.y, lengths=rest.lengths, **own)["loss"]

    @pytest.mark.parametrize("by_step", [False, True])
    def test_of_a_loss_of_ones_own(self, by_step: bool) -> None:
        data = batch(8, 5, by_step=by_step)

        def squares(output: Array, y: Array) -> tuple[float, Array]:
            return float(((output - y) ** 2).mean()), 2 * (output - y) / y.size

        losses = []
        for loss in (squares, "mse"):
            network = make("gru", by_step=by_step)
            history = network.fit(
                data.X, data.y, loss=loss, optimizer=SGD, epochs=3, batch_size=3, validation_split=0.25
            )
            losses.append([*history["loss"], *history["val_loss"]])
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-12)


def twin_loss(network: dr.Network, data: Batch, lengths: Any) -> float:
    of_steps = {} if lengths is None else {"lengths": lengths}
    return twin(network).loss(data.X, data.y, "mse", **of_steps)


class TestHistoryAndMetrics:
    @pytest.mark.parametrize("by_step", [False, True])
    def test_the_loss_of_an_epoch_is_the_mean_over_its_outputs(self, by_step: bool) -> None:
        """A batch counts as much as the steps in it; before any update where nothing is learned."""
        data = batch(10, 6, by_step=by_step, ragged=True)
        network = make("lstm", by_step=by_step)
        still = dr.SGD(lr=1e-300)
        for options in ({}, {"bptt_steps": 2}, {"checkpoint_steps": 2}):
            history = network.fit(
                data.X, data.y, loss="mse", optimizer=still, batch_size=3, lengths=data.lengths, epochs=2, **options
            )
            expected = network.evaluate(data.X, data.y, lengths=data.lengths)["loss"]
            np.testing.assert_allclose(history["loss"], expected, rtol=1e-12)
            assert history["lr"] == [1e-300, 1e-300]
            assert len(history["seconds"]) == 2
            assert "val_loss" not in history

    def test_metrics_look_at_steps_that_exist(self) -> None:
        data = batch(12, 6, by_step=True, ragged=True, loss="cross_entropy", outputs=3)
        network = make("gru", by_step=True, outputs=3)
        output = network.predict(data.X, lengths=data.lengths)
        expected = accuracy(output, data.y, data.exists)
        seen = []

        def metric(rows: Array, labels: Array) -> float:
            seen.append((rows.shape, labels.shape))
            return float((rows.argmax(axis=1) == labels).mean())

        found = network.evaluate(
            data.X, data.y, loss="cross_entropy", metrics=["accuracy", metric], lengths=data.lengths
        )
        assert found["accuracy"] == pytest.approx(expected)
        assert found["metric"] == pytest.approx(expected)
        assert seen == [((data.exists.sum(), 3), (data.exists.sum(),))]
        X, y = data.as_lists()
        assert network.evaluate(X, y, loss="cross_entropy", metrics=["accuracy"])["accuracy"] == found["accuracy"]

    @pytest.mark.parametrize("name", ["mse", "mae", "r2"])
    def test_metrics_of_numbers(self, name: str) -> None:
        for by_step in (False, True):
            data = batch(12, 6, by_step=by_step, ragged=True)
            network = make("gru", by_step=by_step)
            found = network.evaluate(data.X, data.y, loss="mse", metrics=[name], lengths=data.lengths)[name]
            output = network.predict(data.X, lengths=data.lengths)
            output, y = (array[data.exists] if by_step else array for array in (output, data.y))
            away = {"mse": (output - y) ** 2, "mae": abs(output - y)}.get(name)
            if away is not None:
                assert found == pytest.approx(float(away.mean()))
            else:
                assert found == pytest.approx(dr_r2(output, y))

    def test_probabilities(self) -> None:
        for by_step in (False, True):
            data = batch(6, 5, by_step=by_step, ragged=True, loss="cross_entropy")
            network = make("gru", by_step=by_step)
            network.fit(data.X, data.y, loss="cross_entropy", lengths=data.lengths)
            found = network.predict_proba(data.X, lengths=data.lengths)
            logits = network.predict(data.X, lengths=data.lengths)
            expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
            there = data.exists if by_step else np.ones(6, bool)
            np.testing.assert_allclose(found[there], expected[there], rtol=1e-13)
            assert not found[~there].any()


def dr_r2(output: Array, y: Array) -> float:
    return float(np.mean(1 - ((output - y) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)))


class TestBatches:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_last_one_is_smaller(self, kind: str) -> None:
        """And whole sequences of other lengths are in each: as the reference, batch by batch."""
        for bidirectional in (False, True):
            data = batch(11, 6, by_step=True, ragged=True)
            network = make(kind, 2, by_step=True, bidirectional=bidirectional)
            other = twin(network)
            network.fit(
                data.X, data.y, loss="mse", optimizer=SGD, batch_size=4, shuffle=False, lengths=data.lengths, epochs=2
            )
            for first in (0, 4, 8) * 2:
                one = part(data, slice(first, first + 4))
                other.step(one.X, one.y, "mse", {"name": "sgd", "lr": 0.05}, lengths=one.lengths)
            assert_close(network.state_dict(), other.parameters)

    def test_shuffles_samples_with_their_lengths_targets_and_weights(self) -> None:
        """Each in a batch of its own: an update is that of some sample alone, and in each epoch all have their turn."""
        data = batch(5, 6, ragged=True)
        weight = np.array([1.0, 2.0, 0.5, 3.0, 1.5])
        network = make("gru")
        orders = []
        for _ in range(3):
            before = copy.deepcopy(network)
            network.fit(
                data.X, data.y, loss="mse", optimizer=SGD, batch_size=1, lengths=data.lengths, sample_weight=weight
            )
            order: list[int] = []
            while len(order) < 5:  # the order in which the same weights come out
                order = next_orders(before, data, network)
            orders.append(tuple(order))
        assert all(sorted(order) == list(range(5)) for order in orders)
        assert len(set(orders)) > 1

    def test_shuffle_off_is_a_trainer_batch_by_batch(self) -> None:
        data = batch(11, 6, ragged=True)
        network, other = (make("lstm", 2, mixed=True) for _ in range(2))
        history = network.fit(
            data.X,
            data.y,
            loss="mse",
            optimizer="adam",
            batch_size=4,
            shuffle=False,
            lengths=data.lengths,
            bptt_steps=4,
        )
        trainer = dr.Trainer(other, loss="mse", optimizer="adam", bptt_steps=4)
        losses = []
        for first in (0, 4, 8):
            one = part(data, slice(first, first + 4))
            losses.append(trainer.step(one.X, one.y, lengths=one.lengths))
        assert bits(network) == bits(other)
        assert history["loss"] == [pytest.approx(np.average(losses, weights=[4, 4, 3]))]

    def test_a_trainer_takes_sequences_of_any_length_and_number(self) -> None:
        network, other = (make("gru", 2, by_step=True) for _ in range(2))
        reference = twin(other)
        trainer = dr.Trainer(network, loss="mse", optimizer=SGD, clip_norm=0.5)
        for n_samples, n_steps, ragged in ((4, 5, True), (9, 2, False), (2, 11, True), (1, 1, False), (30, 7, True)):
            data = batch(n_samples, n_steps, by_step=True, ragged=ragged, seed=n_samples)
            weight = np.linspace(0.5, 1.5, n_samples)
            value = trainer.step(data.X, data.y, sample_weight=weight, **data.of_steps)
            expected = reference.step(data.X, data.y, "mse", {"name": "sgd", "lr": 0.05}, weight, 0.5, **data.of_steps)
            assert value == pytest.approx(expected, rel=1e-12)
        assert trainer.steps == 5
        assert_close(network.state_dict(), reference.parameters)

    def test_apply(self) -> None:
        network, other = make("lstm"), make("lstm")
        data = batch(4, 5)
        _, gradients = network.loss_and_gradients(data.X, data.y, loss="mse")
        dr.Trainer(network, loss="mse", optimizer=SGD).apply(gradients)
        dr.Trainer(other, loss="mse", optimizer=SGD).step(data.X, data.y)
        assert_close(network.state_dict(), other.state_dict())


def next_orders(start: dr.Network, data: Batch, end: dr.Network) -> list[int]:
    """The order of single samples, each an update, that leads from the one network to the other."""
    weight = np.array([1.0, 2.0, 0.5, 3.0, 1.5])
    found: list[int] = []

    def search(network: dr.Network, order: list[int]) -> bool:
        if len(order) == 5:
            found.extend(order)
            return all(
                np.allclose(array, end.state_dict()[name], rtol=1e-10, atol=1e-13)
                for name, array in network.state_dict().items()
            ) or bool(found.clear())
        for sample in set(range(5)) - set(order):
            moved = copy.deepcopy(network)
            one = part(data, [sample])
            dr.Trainer(moved, loss="mse", optimizer=SGD).step(
                one.X, one.y, lengths=one.lengths, sample_weight=weight[[sample]]
            )
            if search(moved, [*order, sample]):
                return True
        return False

    assert search(start, []), "no order of the samples gives these weights"
    return found


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_fit_begin(self, network: dr.Network) -> None:
        self.seen.append("begin")

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        self.seen.append((epoch, logs["loss"], logs["val_loss"]))
        return epoch == 2

    def on_fit_end(self, network: dr.Network) -> None:
        self.seen.append("end")


def test_callbacks() -> None:
    data, watcher = batch(9, 6, ragged=True), Watcher()
    network = make()
    history = network.fit(
        data.X, data.y, loss="mse", lengths=data.lengths, epochs=10, validation_split=0.3, callbacks=[watcher]
    )
    assert len(history["loss"]) == 3
    assert network.epochs_trained == 3
    expected = [(epoch, history["loss"][epoch], history["val_loss"][epoch]) for epoch in range(3)]
    assert [watcher.seen[0], watcher.seen[-1]] == ["begin", "end"]
    assert [epoch for epoch, _, _ in watcher.seen[1:-1]] in ([0, 1, 2], [1, 2, 3])
    assert [values[1:] for values in watcher.seen[1:-1]] == [values[1:] for values in expected]


class TestDivergence:
    @pytest.mark.parametrize("cut", [{}, {"checkpoint_steps": 100}, {"bptt_steps": 100}], ids=str)
    def test_names_the_layer_and_leaves_the_network_as_it_was(self, cut: dict[str, int]) -> None:
        """h doubles at every step, in the second layer alone; 2000 steps are more than a float32 holds."""
        layers = [dr.RNN(2, return_sequences=True), dr.RNN(2, "relu"), dr.Dense(1)]
        network = dr.Network(layers, input_shape=(None, 2))
        state = {name: np.full_like(array, 0.1) for name, array in network.state_dict().items()}
        network.load_state_dict(state | {"1.weight_hh": 2 * np.eye(2)})
        before = bits(network)
        X, y = np.ones((3, 2000, 2)), np.zeros((3, 1))
        with pytest.raises(dr.DivergenceError, match=r"epoch 1 of 3, step 1: .*first in layer 1 \(RNN") as caught:
            network.fit(X, y, loss="mse", epochs=3, **cut)
        assert (caught.value.layer, caught.value.epoch) == (1, 0)
        assert bits(network) == before
        with pytest.raises(dr.DivergenceError, match=r"layer 1 \(RNN.*as it was before the step"):
            dr.Trainer(network, loss="mse", **cut).step(X, y)
        assert bits(network) == before
        network.fit(X[:, :5], y, loss="mse")  # it goes on
        assert bits(network) != before

    def test_too_large_a_learning_rate(self) -> None:
        data = batch(8, 5, by_step=True, ragged=True, dtype="float32")
        network = make("gru", 2, by_step=True, dtype="float32")
        first = copy.deepcopy(network)
        first.fit(data.X, data.y, loss="mse", lengths=data.lengths, optimizer=dr.SGD(lr=1e-3))
        network.fit(data.X, data.y, loss="mse", lengths=data.lengths, optimizer=dr.SGD(lr=1e-3))
        for cut in ({}, {"bptt_steps": 2}):
            with pytest.raises(dr.DivergenceError):
                network.fit(
                    data.X, data.y, loss="mse", lengths=data.lengths, optimizer=dr.SGD(lr=1e38), epochs=9, **cut
                )
            assert all(np.isfinite(array).all() for array in network.state_dict().values())
            assert bits(network) == bits(first) or network.epochs_trained > 1


def test_no_epochs_change_nothing() -> None:
    network, data = make(), batch(4, 5)
    before = bits(network)
    assert network.fit(data.X, data.y, loss="mse", epochs=0, bptt_steps=2)["loss"] == []
    assert bits(network) == before


def test_the_state_does_not_go_from_batch_to_batch() -> None:
    """Each sequence begins with a state of 0, in training as in answers, whatever came before."""
    network, data = make("lstm"), batch(6, 5)
    alone = network.predict(data.X[:2])
    network.predict(batch(6, 5, seed=9).X)
    np.testing.assert_array_equal(network.predict(data.X)[:2], alone)
    assert alone.shape == (2, OUTPUTS)
