"""Recurrent networks of the core against the reference: every cell, stacked, both ways, mixed with other layers, ragged
and truncated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from recurrent_networks import (
    INPUTS,
    KINDS,
    OUTPUTS,
    Array,
    Batch,
    assert_close,
    batch,
    layer,
    make,
    set_at_random,
    states,
    twin,
)

import deltarule as dr
from deltarule import _core
from deltarule.reference.masks import philox, step_key

DTYPES = ["float64", "float32"]
WIDTHS = [1, 15, 16, 17, 33]


def check(network: dr.Network, data: Batch, loss: str = "mse", weight: Any = None, **options: Any) -> None:
    """Loss, gradients, predictions and last states of the core are the reference's."""
    dtype, other = network.dtype.name, twin(network)
    of_steps = data.of_steps | options
    value, gradients = network.loss_and_gradients(data.X, data.y, loss=loss, sample_weight=weight, **of_steps)
    expected, theirs = other.loss_and_gradients(data.X, data.y, loss, weight, **of_steps)
    assert_close({"loss": value, **gradients}, {"loss": expected, **theirs}, dtype)
    of_steps.pop("bptt_steps", None)
    output, after = network.predict(data.X, return_state=True, **of_steps)
    expected_output, expected_after = other.forward(data.X, return_state=True, **of_steps)
    assert_close({"output": output, **after}, {"output": expected_output, **expected_after}, dtype)
    if output.ndim == 3:
        assert not output[~data.exists].any()
    assert network.evaluate(data.X, data.y, loss=loss, sample_weight=weight, **data.of_steps)["loss"] == pytest.approx(
        other.loss(data.X, data.y, loss, weight, **data.of_steps), rel=1e-5 if dtype == "float32" else 1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
class TestAgainstTheReference:
    @pytest.mark.parametrize("bidirectional", [False, True])
    @pytest.mark.parametrize("depth", [1, 2, 3])
    def test_loss_gradients_predictions_and_states(self, kind: str, depth: int, bidirectional: bool) -> None:
        for by_step in (False, True):
            for mixed in (False, True):
                for ragged in (False, True):
                    network = make(kind, depth, by_step=by_step, mixed=mixed, bidirectional=bidirectional)
                    check(network, batch(7, 6, by_step=by_step, ragged=ragged))

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("width", WIDTHS)
    def test_widths(self, kind: str, width: int, dtype: str) -> None:
        """Of inputs, of layers and of outputs, around the width of a register and of a panel of columns."""
        for sizes in ((width, 3, 2), (3, width, 2), (3, 4, width), (width, width, width)):
            inputs, units, outputs = sizes
            for bidirectional in (False, True):
                options: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "dtype": dtype}
                network = make(kind, 2, units=units, by_step=True, bidirectional=bidirectional, **options)
                check(network, batch(5, 4, by_step=True, ragged=True, **options))

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_batches_of_every_size(self, kind: str, dtype: str) -> None:
        """One sample, and one more than fills a register, a panel or a tile of any number of rows."""
        for n_samples in (1, 2, 3, 5, 7, 8, 9, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 49, 64, 65, 129):
            data = batch(n_samples, 3, by_step=n_samples % 2 == 0, ragged=n_samples % 3 > 0, dtype=dtype)
            check(make(kind, 2, by_step=data.by_step, bidirectional=n_samples % 4 == 0, dtype=dtype), data)

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_one_step_and_samples_of_one_step(self, kind: str, bidirectional: bool) -> None:
        for by_step in (False, True):
            network = make(kind, 2, by_step=by_step, bidirectional=bidirectional)
            check(network, batch(5, 1, by_step=by_step))
            whole = batch(5, 6, by_step=by_step)
            ones = Batch(whole.X, whole.y, np.ones(5, np.int64)).padded(0, np.nan)
            check(network, ones)
            # What is one step long has no past: of all recurrent weights only the state before could say something.
            _, gradients = network.loss_and_gradients(ones.X, ones.y, loss="mse", lengths=ones.lengths)
            assert not any(array.any() for name, array in gradients.items() if "weight_hh" in name)

    @pytest.mark.parametrize("by_step", [False, True])
    def test_initial_state(self, kind: str, by_step: bool) -> None:
        for bidirectional, ragged in ((False, False), (False, True), (True, True)):
            network = make(kind, 2, by_step=by_step, bidirectional=bidirectional)
            data = batch(6, 5, by_step=by_step, ragged=ragged)
            given = states(network, 6)
            for names in (list(given), list(given)[:1], list(given)[-1:]):  # what is not named is 0
                some = {name: given[name] for name in names}
                check_with_state(network, data, some)
            if not bidirectional:
                check_with_state(network, data, given, bptt_steps=2)
                check_with_state(network, data, given, checkpoint_steps=2)

    @pytest.mark.parametrize("bptt_steps", [1, 2, 3, 5, 6, 7])
    def test_truncated(self, kind: str, bptt_steps: int) -> None:
        for by_step in (False, True):
            for ragged in (False, True):
                network = make(kind, 2, by_step=by_step, mixed=True, l2=0.1)
                data, weight = batch(5, 6, by_step=by_step, ragged=ragged), [1.0, 0.0, 2.0, 0.3, 1.0]
                check(network, data, weight=weight, bptt_steps=bptt_steps)


def check_with_state(network: dr.Network, data: Batch, given: dict[str, Array], **options: Any) -> None:
    of_steps, other = data.of_steps | {"initial_state": given}, twin(network)
    value, gradients = network.loss_and_gradients(data.X, data.y, loss="mse", **of_steps, **options)
    options.pop("checkpoint_steps", None)
    expected, theirs = other.loss_and_gradients(data.X, data.y, "mse", **of_steps, **options)
    assert_close({"loss": value, **gradients}, {"loss": expected, **theirs})
    output, after = network.predict(data.X, return_state=True, **of_steps)
    expected_output, expected_after = other.forward(data.X, return_state=True, **of_steps)
    assert_close({"output": output, **after}, {"output": expected_output, **expected_after})


class TestLosses:
    WEIGHT = np.array([1.0, 0.0, 0.5, 3.0, 1.5])

    @pytest.mark.parametrize("by_step", [False, True])
    @pytest.mark.parametrize("ragged", [False, True])
    @pytest.mark.parametrize(
        ("loss", "last"),
        [
            *(("cross_entropy", "identity"), ("cross_entropy", "softmax"), ("mse", "tanh"), ("mae", "identity")),
            *(("binary_cross_entropy", "identity"), ("binary_cross_entropy", "sigmoid")),
        ],
    )
    def test_by_name(self, loss: str, last: str, ragged: bool, by_step: bool) -> None:
        network = make("gru", 2, by_step=by_step, last=last, outputs=3)
        data = batch(5, 6, by_step=by_step, ragged=ragged, loss=loss, outputs=3)
        check(network, data, loss)
        check(network, data, loss, self.WEIGHT)
        check(network, data, loss, self.WEIGHT, bptt_steps=2)

    @pytest.mark.parametrize("by_step", [False, True])
    def test_probabilities(self, by_step: bool) -> None:
        network, data = make("lstm", outputs=4, by_step=by_step), batch(5, 6, by_step=by_step, ragged=True)
        shape = data.y.shape[:-1]
        rows = Batch(data.X, np.random.default_rng(5).dirichlet(np.ones(4), shape), data.lengths).padded(0, np.nan)
        check(network, rows, "cross_entropy")
        check(network, rows, "cross_entropy", self.WEIGHT)

    @pytest.mark.parametrize("penalties", [{"l1": 0.05}, {"l2": 0.3}, {"l1": 0.01, "l2": 0.5}])
    @pytest.mark.parametrize("kind", KINDS)
    def test_penalties_are_of_weights_and_not_of_biases(self, kind: str, penalties: dict[str, float]) -> None:
        for bidirectional in (False, True):
            network = make(kind, 2, bidirectional=bidirectional, **penalties)
            check(network, batch(5, 4, ragged=True))
            bare = make(kind, 2, bidirectional=bidirectional)
            X, y = batch(5, 4).X, batch(5, 4).y
            value, gradients = network.loss_and_gradients(X, y, loss="mse")
            without, others = bare.loss_and_gradients(X, y, loss="mse")
            weights = {name: w for name, w in bare.state_dict().items() if "weight_" in name}
            l1, l2 = penalties.get("l1", 0.0), penalties.get("l2", 0.0)
            of_weights = sum(l1 * np.abs(w).sum() + l2 / 2 * (w**2).sum() for w in weights.values())
            assert value - without == pytest.approx(of_weights)
            for name, gradient in gradients.items():
                expected = l1 * np.sign(weights[name]) + l2 * weights[name] if name in weights else 0.0
                np.testing.assert_allclose(gradient - others[name], expected, atol=1e-14)

    @pytest.mark.parametrize("by_step", [False, True])
    def test_a_loss_of_ones_own(self, by_step: bool) -> None:
        """It sees whole sequences with 0 where no step is, and the y of each; in which order is not promised."""
        network, data = make("gru", 2, by_step=by_step), batch(5, 6, by_step=by_step, ragged=True)
        y = np.where(np.isnan(data.y), 0.0, data.y)
        exists = data.exists[:, :, None] if by_step else np.ones((5, 1), bool)
        count = exists.sum() * OUTPUTS

        def squares(output: Array, targets: Array) -> tuple[float, Array]:
            np.testing.assert_array_equal(np.sort(targets, axis=0), np.sort(y, axis=0))
            assert output.shape == y.shape
            # What does not exist was made 0 in y: nothing else is 0 there.
            assert not output[targets == 0].any()
            away = output - targets
            return float((away**2).sum() / count), 2 * away / count

        value, gradients = network.loss_and_gradients(data.X, y, loss=squares, lengths=data.lengths)
        expected, theirs = network.loss_and_gradients(data.X, data.y, loss="mse", lengths=data.lengths)
        assert_close({"loss": value, **gradients}, {"loss": expected, **theirs})

    @pytest.mark.parametrize("by_step", [False, True])
    def test_class_weight(self, by_step: bool) -> None:
        """Of the class of each step: one step of SGD with weight 0 for a class does not know of its steps."""
        data = batch(6, 5, by_step=by_step, ragged=True, loss="cross_entropy", outputs=3)
        weight, options = np.array([1.0, 0.5, 2.0, 1.0, 1.0, 0.25]), {"optimizer": dr.SGD(lr=1.0), "batch_size": 6}
        network = make("gru", by_step=by_step, outputs=3)
        before = network.state_dict()
        classes = {0: 2.0, 1: 0.5, 2: 0.0}
        network.fit(
            data.X, data.y, loss="cross_entropy", lengths=data.lengths, class_weight=classes, sample_weight=weight,
            **options,
        )  # fmt: skip
        # The weighted mean, from one sample or one step at a time: a sequence as long as where it is asked.
        total, gradients = 0.0, {name: np.zeros_like(array) for name, array in before.items()}
        other = make("gru", outputs=3)
        other.load_state_dict(before)
        for sample, row in enumerate(data.X):
            ends = range(1, int(data.exists[sample].sum()) + 1) if by_step else [int(data.exists[sample].sum())]
            for end in ends:
                label = int(data.y[sample, end - 1] if by_step else data.y[sample])
                share = weight[sample] * classes[label]
                _, one = other.loss_and_gradients(row[None, :end], [label], loss="cross_entropy")
                total += share
                for name, gradient in one.items():
                    gradients[name] += share * gradient
        steps = {name: before[name] - array for name, array in network.state_dict().items()}
        for name, gradient in gradients.items():
            np.testing.assert_allclose(steps[name], gradient / total, rtol=1e-10, atol=1e-13, err_msg=name)


class TestForwardAndBackward:
    @pytest.mark.parametrize("bidirectional", [False, True])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_are_those_of_the_reference(self, dtype: str, kind: str, bidirectional: bool) -> None:
        """dX too, which is 0 where no step is; a smaller batch after a larger one."""
        random = np.random.default_rng(4)
        for by_step, n_samples, n_steps in ((True, 7, 5), (False, 17, 4), (True, 2, 6), (False, 1, 1)):
            network = make(kind, 2, by_step=by_step, bidirectional=bidirectional, mixed=by_step, dtype=dtype)
            data = batch(n_samples, n_steps, by_step=by_step, ragged=n_samples > 1, dtype=dtype)
            grad = random.normal(size=data.y.shape).astype(dtype)
            other = twin(network)
            output, dX = network.forward(data.X, **data.of_steps), network.backward(grad)
            expected = {"output": other.forward(data.X, **data.of_steps), "dX": other.backward(grad)}
            assert_close({"output": output, "dX": dX, **network.gradients}, expected | other.gradients, dtype)
            assert not dX[~data.exists].any()

    @pytest.mark.parametrize("by_step", [False, True])
    def test_give_what_loss_and_gradients_gives(self, by_step: bool) -> None:
        network, data = make("lstm", 2, by_step=by_step), batch(6, 5, by_step=by_step, ragged=True)
        output = network.forward(data.X, lengths=data.lengths)
        np.testing.assert_array_equal(output, network.predict(data.X, lengths=data.lengths))
        exists = data.exists[:, :, None] if by_step else np.ones((6, 1), bool)
        away = np.where(exists, output - data.y, 0.0)
        network.backward(2 * away / (exists.sum() * OUTPUTS))
        _, expected = network.loss_and_gradients(data.X, data.y, loss="mse", lengths=data.lengths)
        assert_close(network.gradients, expected)

    def test_the_gradient_of_x_is_that_of_central_differences(self) -> None:
        network, data = make("gru", 2, bidirectional=True), batch(2, 3, ragged=True)
        grad = np.random.default_rng(0).normal(size=(2, OUTPUTS))
        network.forward(data.X, lengths=data.lengths)
        dX, h = network.backward(grad), 1e-5
        for place in zip(*np.nonzero(np.broadcast_to(data.exists[:, :, None], data.X.shape)), strict=True):
            moved = data.X.copy()
            sums = []
            for value in (data.X[place] + h, data.X[place] - h):
                moved[place] = value
                sums.append(float((network.predict(moved, lengths=data.lengths) * grad).sum()))
            assert dX[place] == pytest.approx((sums[0] - sums[1]) / (2 * h), rel=1e-6, abs=1e-9)

    def test_what_the_gradient_holds_at_steps_that_do_not_exist_changes_nothing(self) -> None:
        network, data = make("gru", by_step=True), batch(5, 6, by_step=True, ragged=True)
        found = []
        for behind in (0.0, 1e9, np.nan):
            grad = np.where(data.exists[:, :, None], 1.0, behind).repeat(OUTPUTS, axis=2)
            network.forward(data.X, lengths=data.lengths)
            found.append((network.backward(grad), network.gradients))
        for dX, gradients in found[1:]:
            np.testing.assert_array_equal(dX, found[0][0])
            for name, gradient in gradients.items():
                np.testing.assert_array_equal(gradient, found[0][1][name])


def piece_key(key: int, piece: int) -> int:
    """The key of a chunk's masks, from that of its step."""
    low, high, _, _ = philox((piece, 3, 0, 0), key)
    return int(low) | int(high) << 32 if piece else key


class TestTruncatedFit:
    """Each chunk is an update of its own: the same updates as the reference's, chunk by chunk."""

    @pytest.mark.parametrize("mixed", [False, True], ids=["plain", "with dropout"])
    @pytest.mark.parametrize("by_step", [False, True])
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_the_references(self, kind: str, by_step: bool, mixed: bool) -> None:
        loss, weight = "cross_entropy", np.array([1.0, 0.0, 0.5, 2.0, 1.0, 1.5])
        for bptt_steps in (1, 2, 3, 7, 9):
            network = make(kind, 2, by_step=by_step, mixed=mixed, seed=6, l2=0.01)
            data = batch(6, 7, by_step=by_step, ragged=bptt_steps != 3, loss=loss)
            other, sgd = twin(network), {"name": "sgd", "lr": 0.05, "momentum": 0.5}
            history = network.fit(
                data.X, data.y, loss=loss, optimizer=dr.SGD(lr=0.05, momentum=0.5), epochs=2, batch_size=6,
                shuffle=False, sample_weight=weight, bptt_steps=bptt_steps, clip_norm=0.7, **data.of_steps,
            )  # fmt: skip
            for epoch, value in enumerate(history["loss"]):
                key = step_key(6, epoch, 0)
                keys = [piece_key(key, piece) for piece in range(7)]
                expected = other.step(
                    data.X, data.y, loss, sgd, weight, 0.7, key=keys, bptt_steps=bptt_steps, **data.of_steps
                )
                assert value == pytest.approx(expected, rel=1e-12)
            assert_close(network.state_dict(), other.parameters)

    def test_updates_are_counted_by_chunks_with_an_output(self) -> None:
        """Adam's first update moves every weight by lr: a chunk in which no sample ends moves none."""
        X = batch(3, 6).X
        for by_step, expected in ((False, 2), (True, 3)):
            lengths = np.array([6, 2, 6])
            network, y = make(by_step=by_step), batch(3, 6, by_step=by_step).y
            trainer = dr.Trainer(network, loss="mse", optimizer="sgd", bptt_steps=2)
            trainer.step(X, y, lengths=lengths)
            other = twin(make(by_step=by_step))
            other.step(X, y, "mse", {"name": "sgd", "lr": 0.01}, lengths=lengths, bptt_steps=2)
            assert_close(network.state_dict(), other.parameters)
            adam = make(by_step=by_step)
            before = adam.state_dict()
            adam.fit(X, y, loss="mse", optimizer=dr.Adam(lr=1e-3), lengths=lengths, bptt_steps=2, shuffle=False)
            moved = np.abs(adam.state_dict()["1.bias"] - before["1.bias"])
            assert (moved <= expected * 1e-3 * 1.001).all()


@pytest.mark.parametrize("isa", _core.isas())
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set(isa: str, dtype: str) -> None:
    before = _core.isa()
    _core.select_isa(isa)
    try:
        for kind in KINDS:
            for bidirectional in (False, True):
                network = make(kind, 2, units=17, by_step=True, bidirectional=bidirectional, dtype=dtype)
                check(network, batch(19, 4, by_step=True, ragged=True, dtype=dtype))
    finally:
        _core.select_isa(before)


def test_all_cells_in_one_network() -> None:
    layers = [layer(kind, 3, return_sequences=True, bidirectional=kind == "gru") for kind in KINDS]
    network = dr.Network([*layers, dr.LSTM(4), dr.Dense(OUTPUTS)], input_shape=(None, INPUTS), dtype="float64")
    set_at_random(network)
    check(network, batch(6, 5, ragged=True))
    assert dr.gradcheck(network, *batch(2, 3).as_lists(), loss="mse")
