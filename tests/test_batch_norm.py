"""`BatchNorm` beside the reference: answers, gradients in both forms, training, the same bits everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference
from deltarule.reference.masks import step_key

Array = NDArray[Any]

DTYPES = ["float32", "float64"]
LIMITS = {"float64": 1e-12, "float32": 1e-5}  # greatest difference over greatest value of a tensor
EQUAL = [name for name in _core.isas() if _core.has_same_bits(name)] or [_core.isa()]
WIDTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257, 300]
RANDOM = np.random.default_rng(8)
X = RANDOM.normal(size=(150, 7)) * 3 + 5
Y = np.tanh(X[:, :3] - X[:, 3:6])
LABELS = Y.argmax(axis=1)


@pytest.fixture(autouse=True)
def _same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


def new(*hidden: Any, inputs: int = 7, outputs: int = 3, dtype: str = "float64", seed: int = 5) -> dr.Network:
    return dr.Network([*hidden, dr.Dense(outputs)], inputs, dtype, seed)


def stirred(network: dr.Network) -> dr.Network:
    """The network with weights, biases and running statistics that are not 1 and 0."""
    random = np.random.default_rng(1)
    state = network.state_dict()
    network.load_state_dict({key: a + (a.ndim == 1) * random.uniform(-0.5, 0.5, a.shape) for key, a in state.items()})
    return network


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def twin_of(network: dr.Network) -> reference.Network:
    return reference.Network.from_spec(network.spec(), network.state_dict())


def assert_close(actual: Array, expected: Array, limit: float, what: object, least: float = 1e-2) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= limit * max(np.abs(expected).max(), least), what


def test_it_starts_with_ones_and_zeros() -> None:
    network = new(dr.BatchNorm(), dr.Dense(20, "tanh"), dr.BatchNorm(name="between"))
    state = network.state_dict()
    assert list(state)[:4] == ["0.weight", "0.bias", "0.running_mean", "0.running_var"]
    for name, width in (("0", 7), ("between", 20)):
        for leaf, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            np.testing.assert_array_equal(state[f"{name}.{leaf}"], np.full(width, value))
    assert np.abs(state["1.weight"]).min() > 0


def test_running_statistics_are_no_parameters() -> None:
    network = new(dr.BatchNorm(), dr.Dense(4, "tanh"), dr.BatchNorm(name="between"))
    trained = ["0.weight", "0.bias", "1.weight", "1.bias", "between.weight", "between.bias", "3.weight", "3.bias"]
    assert list(network.parameters) == trained
    assert network.n_parameters == sum(array.size for array in network.parameters.values())
    assert len(network.state_dict()) == len(trained) + 4
    for training in (False, True):
        assert list(network.loss_and_gradients(X, Y, loss="mse", training=training)[1]) == trained
        network.backward(network.forward(X, training=training))
        assert list(network.gradients) == trained


@pytest.mark.parametrize("isa", _core.isas())
class TestFormula:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("shift", [0, 1e4])
    def test_a_layer_alone_is_the_references(self, shift: float, dtype: str, isa: str) -> None:
        """Up to the last digits in float32 too, though these columns have a mean 10,000 times their deviation."""
        _core.select_isa(isa)
        for width, rows, training in itertools.product(WIDTHS, (1, 2, 5, 33), (False, True)):
            network = stirred(dr.Network([dr.BatchNorm(), dr.Dense(3)], width, dtype, seed=width))
            x = (RANDOM.normal(size=(rows, width)) + shift).astype(dtype)
            g = RANDOM.normal(size=(rows, 3)).astype(dtype)
            twin = twin_of(network)
            assert_close(network.predict(x), twin.forward(x), LIMITS[dtype], (width, rows))
            output = twin._run(x.astype(np.float64), None, None, None, training)
            assert_close(network.forward(x, training=training), output, LIMITS[dtype], (width, rows))
            # Of two rows hardly anything is left on the way back: rounding is seen beside what it is the rest of
            terms = np.abs(g @ twin.last.weight.T * twin.parameters["0.weight"] / twin.layers[0].deviation).max()
            gradient = twin.backward(g)
            assert_close(network.backward(g), gradient, LIMITS[dtype], (width, rows), terms)
            for name, of_parameter in twin.gradients.items():
                assert_close(network.gradients[name], of_parameter, LIMITS[dtype], (width, rows, name), 1.0)

    @pytest.mark.parametrize("rows", [2, 3, 40])
    def test_networks_are_the_references(self, rows: int, isa: str) -> None:
        """A sigmoid leaves 0.5 in the padding; gelu has a slope for which the way back has to wait."""
        _core.select_isa(isa)
        norm = dr.BatchNorm(eps=1e-2)
        for width in WIDTHS:
            for hidden in (
                [dr.Dense(width, "sigmoid"), norm],
                [norm, dr.Dense(width, "gelu"), norm, norm, dr.Dropout(0.5)],
                [dr.Dropout(0.2), norm, dr.Dense(width, "tanh"), dr.Dropout(0.5), norm, dr.Dense(4, "softplus"), norm],
            ):
                network = stirred(new(*hidden, seed=width))
                twin = twin_of(network)
                x, y = X[:rows], LABELS[:rows]
                assert_close(network.predict(x), twin.forward(x), 1e-12, width)
                for training in (False, True):
                    key = step_key(network.seed, 0, 0) if training else None
                    value, gradients = network.loss_and_gradients(x, y, loss="cross_entropy", training=training)
                    expected, others = twin.loss_and_gradients(x, y, "cross_entropy", key=key, training=training)
                    assert value == pytest.approx(expected, rel=1e-11)
                    if not training:
                        assert network.evaluate(x, y, loss="cross_entropy")["loss"] == pytest.approx(value, rel=1e-12)
                    for name, gradient in others.items():
                        assert_close(gradients[name], gradient, 1e-11, (width, name), 0.1)

    def test_few_rows_at_a_time_have_the_bits_of_many(self, isa: str) -> None:
        """Of a prediction: there, a row knows nothing of the others."""
        _core.select_isa(isa)
        for dtype in DTYPES:
            network = stirred(new(dr.BatchNorm(), dr.Dense(33, "relu"), dr.BatchNorm(), dtype=dtype))
            x = X.astype(dtype)
            expected = network.predict(x)
            for step in (1, 3, 4, 8, 9, 70):
                parts = [network.predict(x[first : first + step]) for first in range(0, len(x), step)]
                np.testing.assert_array_equal(np.concatenate(parts), expected)
            np.testing.assert_array_equal(network.predict(x, n_threads=3), expected)
            np.testing.assert_array_equal(network.forward(x), expected)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_gradcheck(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        norm = dr.BatchNorm()
        for loss, y in (("cross_entropy", LABELS), ("mse", Y)):
            network = stirred(new(norm, dr.Dense(9, "tanh", l2=0.1), norm, dr.Dense(6), norm, norm, dtype=dtype))
            check = dr.gradcheck(network, X[:6], y[:6], loss=loss)
            assert check, str(check)
            assert [tensor.training for tensor in check.tensors] == [False] * 14 + [True] * 14


class TestTraining:
    @pytest.mark.parametrize("width", [1, 7, 16, 17, 100])
    @pytest.mark.parametrize("batch_size", [2, 8, 33, 150])
    @pytest.mark.parametrize("options", [{}, {"clip_norm": 0.3}, {"clip_value": 0.01}], ids=str)
    def test_a_fit_is_the_references(self, options: dict[str, float], batch_size: int, width: int) -> None:
        """With dropout in between, and a last batch of one sample: 33 rows in batches of 2 and 8."""
        norm = dr.BatchNorm(momentum=0.3, eps=1e-2)
        hidden = [norm, dr.Dense(width, "tanh", l2=0.01), dr.Dropout(0.2), norm, dr.Dense(5, "silu"), norm]
        network = new(*hidden)
        twin = twin_of(network)
        rows, epochs = {2: 33, 8: 33}.get(batch_size, len(X)), 3
        optimizer = {"name": "sgd", "lr": 0.01, "momentum": 0.5}
        history = network.fit(
            X[:rows],
            Y[:rows],
            loss="mse",
            optimizer=dr.SGD(lr=0.01, momentum=0.5),
            epochs=epochs,
            batch_size=batch_size,
            shuffle=False,
            **options,
        )
        for epoch in range(epochs):
            losses, weights = [], []
            for step, i in enumerate(range(0, rows, batch_size)):
                x, y, key = X[i : min(i + batch_size, rows)], Y[i : min(i + batch_size, rows)], step_key(5, epoch, step)
                losses.append(twin.step(x, y, "mse", optimizer, key=key, **options))
                weights.append(len(x))
            assert history["loss"][epoch] == pytest.approx(np.average(losses, weights=weights), rel=1e-9)
        expected = twin.parameters | twin.statistics
        for name, array in network.state_dict().items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-8, atol=1e-10, err_msg=name)

    def test_gradients_are_those_of_a_step(self) -> None:
        """A step of SGD with lr=1 moves each parameter by its gradient in training, with the masks of the next step."""
        for options in ({}, {"clip_norm": 1e30}):
            network = stirred(new(dr.BatchNorm(), dr.Dense(33, "silu"), dr.Dropout(0.4), dr.BatchNorm()))
            network.epochs_trained = 3
            start = network.state_dict()
            value, gradients = network.loss_and_gradients(X, Y, loss="mse", training=True)
            np.testing.assert_equal(network.state_dict(), start)
            assert dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=1.0), **options).step(X, Y) == value
            for name, gradient in gradients.items():
                np.testing.assert_allclose(start[name] - network.state_dict()[name], gradient, rtol=0, atol=1e-15)

    def test_penalties_and_decay_leave_the_statistics_alone(self) -> None:
        """Nor does a step from gradients of the caller's own touch them."""
        for optimizer in (dr.SGD(lr=0.1), dr.AdamW(lr=0.1, weight_decay=0.5)):
            network = stirred(new(dr.BatchNorm(), dr.Dense(4, l1=0.5, l2=0.5), dr.BatchNorm()))
            before = network.state_dict()
            trainer = dr.Trainer(network, loss="mse", optimizer=optimizer, clip_norm=1.0)
            trainer.apply(network.loss_and_gradients(X, Y, loss="mse")[1])
            after = network.state_dict()
            for name, array in before.items():
                assert np.array_equal(array, after[name]) == ("running" in name)
            with pytest.raises(ValueError, match=r"lacks nothing and has \['0.running_mean'"):
                trainer.apply(after)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("sizes", [(7, 37, 40), (300, 320, 9), (40, 17, 129)], ids=str)
    def test_the_same_bits_everywhere(self, sizes: tuple[int, int, int], dtype: str) -> None:
        """Tiles of several panels, more threads than panels, and units that threads would share out but for it."""
        inputs, units, batch_size = sizes
        data = np.random.default_rng(0).normal(size=(3 * batch_size + 1, inputs))
        target = np.tanh(data[:, :3])
        for first, options in itertools.product(
            ([], [dr.BatchNorm()]), ({}, {"clip_norm": 0.1}, {"validation_split": 0.3})
        ):
            trained = {}
            for isa, n_threads in itertools.product(EQUAL, (1, 2, 3, 4)):
                _core.select_isa(isa)
                layers = [*first, dr.Dense(units, "sigmoid"), dr.BatchNorm(), dr.Dense(units // 2, "relu")]
                network = new(*layers, dr.Dropout(0.3), dr.BatchNorm(), inputs=inputs, dtype=dtype)
                history = network.fit(
                    data, target, loss="mse", epochs=2, batch_size=batch_size, n_threads=n_threads, **options
                )
                answers = network.predict(data, n_threads=n_threads)
                gradients = network.loss_and_gradients(data, target, loss="mse", n_threads=n_threads, training=True)[1]
                trained[isa, n_threads] = (
                    bits(network),
                    history["loss"],
                    history.get("val_loss"),
                    answers.tobytes(),
                    b"".join(gradient.tobytes() for gradient in gradients.values()),
                )
            expected = next(iter(trained.values()))
            assert all(result == expected for result in trained.values())

    @pytest.mark.parametrize("isa", _core.isas())
    @pytest.mark.parametrize("optimizer", ["adam", "rprop", dr.AdamW(weight_decay=0.1)])
    def test_nothing_is_left_in_the_padding(self, optimizer: Any, isa: str) -> None:
        _core.select_isa(isa)
        for dtype, width, batch_size in itertools.product(DTYPES, (1, 6, 17), (3, 50)):
            network = new(dr.BatchNorm(), dr.Dense(width, "sigmoid"), dr.BatchNorm(), dtype=dtype)
            network.fit(X, Y, loss="mse", optimizer=optimizer, epochs=2, batch_size=batch_size)
            assert network._flat.tobytes() == network._flat_from(network.state_dict(), "state").tobytes()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_inputs_of_any_scale_are_learned_alike(self, dtype: str) -> None:
        """Columns times 1e3 or 1e6, beside which eps is nothing, train to the same network, as they are."""
        losses = []
        for scale in (1e3, 1e6):
            network = new(dr.BatchNorm(), dr.Dense(32, "tanh"), dr.BatchNorm(), dtype=dtype)
            history = network.fit(X * scale, LABELS, loss="cross_entropy", epochs=40, optimizer=dr.Adam(lr=5e-3))
            losses.append(history["loss"])
        assert losses[0][-1] < 0.3 * losses[0][0]
        np.testing.assert_allclose(losses[0], losses[1], rtol=2e-2 if dtype == "float32" else 1e-6)

    def test_sparse_inputs_are_taken_as_dense_ones(self) -> None:
        sparse = pytest.importorskip("scipy.sparse")
        rows = np.where(X > 6, X, 0)
        for hidden in ([dr.BatchNorm(), dr.Dense(9, "tanh")], [dr.Dense(9, "tanh"), dr.BatchNorm()]):
            ours, theirs = new(*hidden), new(*hidden)
            ours.fit(sparse.csr_matrix(rows), Y, loss="mse", epochs=2)
            theirs.fit(rows, Y, loss="mse", epochs=2)
            for name, array in theirs.state_dict().items():
                np.testing.assert_allclose(ours.state_dict()[name], array, rtol=1e-9, atol=1e-12)

    def test_a_function_of_the_users_sees_the_normalized_batch(self) -> None:
        def squares(output: Array, y: Array) -> tuple[float, Array]:
            return float(((output - y) ** 2).mean()), 2 * (output - y) / y.size

        states = []
        for loss, n_threads in (("mse", 1), (squares, 1), (squares, 3)):
            network = new(dr.BatchNorm(), dr.Dense(9, "tanh"), dr.BatchNorm())
            network.fit(X, Y, loss=loss, epochs=2, batch_size=20, n_threads=n_threads)
            states.append(network.state_dict())
        for name, array in states[0].items():
            np.testing.assert_allclose(states[1][name], array, rtol=1e-10, atol=1e-12)
            np.testing.assert_array_equal(states[1][name], states[2][name])
