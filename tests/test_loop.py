"""The native loop by itself: orders of a foreign generator, rates, the plateau rule, time, sparse rows, scores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core
from deltarule.network.loop import Plateau, Result, Task, run, start_optimizer
from deltarule.network.preparing import optimizer_for_core

ROWS, INPUTS = 53, 5
SQUARES = ("mse", 0.0)


@pytest.fixture(params=[name for name in _core.isas() if _core.has_same_bits(name)])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.isa()
    _core.select_isa(request.param)
    yield request.param
    _core.select_isa(before)


def data(dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(ROWS, INPUTS)) * (random.random((ROWS, INPUTS)) < 0.4)
    return X.astype(dtype), np.sin(X.sum(axis=1, keepdims=True)).astype(dtype)


def network(dtype: str = "float64", l2: float = 0.0) -> dr.Network:
    return dr.Network([dr.Dense(9, "tanh", l2=l2), dr.Dense(1, l2=l2)], INPUTS, dtype, seed=3)


def task(of: dr.Network, *, optimizer: Any = None, X: Any = None, **options: Any) -> Task:
    features, targets = data(of.dtype)
    spec = optimizer_for_core(optimizer or dr.SGD(lr=0.05))
    state, carry = start_optimizer(of, spec)
    arguments: dict[str, Any] = {
        "loss": SQUARES,
        "sample_weight": None,
        "epochs": 4,
        "batch_size": 10,
        "inputs": features if X is None else X,
        "targets": targets,
    }
    return Task(optimizer=spec, state=state, carry=carry, **{**arguments, **options})


def trained(of: dr.Network, **options: Any) -> Result:
    return run(of, None, task(of, **options))


def bits(of: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in of.state_dict().values())


class TestOrder:
    @pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 1000])
    def test_it_is_the_one_that_numpy_shuffles(self, n: int) -> None:
        """Each epoch shuffles the order of the one before; the generator ends where NumPy's does."""
        ours, theirs = np.random.MT19937(0), np.random.RandomState(7)
        ours.state = theirs.get_state(legacy=False)
        order, expected, seen = np.arange(n), np.arange(n), []
        X, y = np.arange(n, dtype=np.float64).reshape(-1, 1), np.zeros((n, 1))
        of = dr.Network([dr.Dense(1)], 1, "float64")

        def loss(output: np.ndarray, samples: np.ndarray) -> tuple[float, np.ndarray]:
            seen.extend(samples.tolist())
            return 0.0, np.zeros_like(output)

        trained(of, loss=loss, X=X, targets=None, batch_size=17, order=(ours, order), epochs=3)
        for epoch in range(3):
            shuffled = np.arange(n)
            theirs.shuffle(shuffled)
            expected = expected[shuffled]
            np.testing.assert_array_equal(seen[epoch * n : (epoch + 1) * n], expected)
        np.testing.assert_array_equal(order, expected)
        assert ours.state["state"]["pos"] == theirs.get_state(legacy=False)["state"]["pos"]
        assert len(y) == n

    @pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64, np.random.Philox, np.random.SFC64])
    def test_every_generator_of_numpys(self, kind: Any) -> None:
        order, expected = np.arange(ROWS), np.arange(ROWS)
        trained(network(), order=(kind(5), order), epochs=1)
        np.random.RandomState(kind(5)).shuffle(expected)
        np.testing.assert_array_equal(order, expected)

    def test_an_order_alone_is_kept(self) -> None:
        order = np.random.default_rng(1).permutation(ROWS)
        kept, ours, theirs = order.copy(), network(), network()
        trained(ours, order=(None, order), epochs=2)
        X, y = data()
        trained(theirs, X=X[kept], targets=y[kept], shuffle=False, epochs=2)
        assert bits(ours) == bits(theirs)
        np.testing.assert_array_equal(order, kept)

    def test_it_may_begin_anywhere_but_must_be_an_order(self) -> None:
        generator = np.random.MT19937(0)
        for wrong in (np.arange(ROWS - 1), np.full(ROWS, ROWS), np.full(ROWS, -1)):
            with pytest.raises(ValueError, match="order"):
                trained(network(), order=(generator, wrong))
        with pytest.raises(TypeError, match="order has dtype"):
            trained(network(), order=(generator, np.arange(ROWS, dtype=np.int32)))
        with pytest.raises(AttributeError, match="capsule"):
            trained(network(), order=(object(), np.arange(ROWS)))


class TestPlateau:
    def judged(self, losses: list[float], tolerance: float, patience: float, divisor: float = 0.0) -> Any:
        """What the rule makes of these losses, which come from a loss of our own."""
        of, values = dr.Network([dr.Dense(1)], 1, "float64"), iter(losses)
        memory = np.array([np.inf, 0.0, 0.8])

        def loss(output: np.ndarray, samples: np.ndarray) -> tuple[float, np.ndarray]:
            return next(values), np.zeros_like(output)

        rule = Plateau(tolerance, patience, divisor, 0.1 if divisor else 0.0, memory)
        options = {"X": np.ones((1, 1)), "targets": None, "epochs": len(losses), "optimizer": dr.SGD(lr=0.8)}
        return trained(of, loss=loss, plateau=rule, **options), memory

    def test_it_ends_when_the_count_exceeds_the_patience(self) -> None:
        result, memory = self.judged([5, 4, 3.95, 3.9, 3.85, 3, 2, 1], 0.1, 2)
        assert (result.end, len(result.loss)) == ("converged", 5)
        assert memory.tolist() == [3.85, 3, 0.8]

    def test_better_by_the_tolerance_is_better(self) -> None:
        result, memory = self.judged([5, 4.5, 4, 3.5], 0.5, 0)
        assert result.end == "finished"
        assert memory[1] == 0

    def test_no_number_is_not_worse(self) -> None:
        result, memory = self.judged([5, 6, 7, 6], 0.0, 3)
        assert (result.end, memory[1]) == ("finished", 3)

    def test_patience_may_be_infinite(self) -> None:
        result, memory = self.judged([1] * 50, 0.0, math.inf)
        assert (result.end, memory.tolist()) == ("finished", [1, 0, 0.8])
        result, memory = self.judged([1] * 50, 1e9, math.inf)
        assert memory[1] == 49

    def test_the_learning_rate_falls_first(self) -> None:
        result, memory = self.judged([1] * 40, 1e-9, 1, divisor=2.0)
        assert result.end == "converged"
        assert memory[2] == 0.1
        assert sorted(set(result.lr), reverse=True) == [0.8, 0.4, 0.2, 0.1]

    def test_a_score_is_the_better_the_higher(self) -> None:
        scores = iter([0.5, 0.6, 0.6, 0.6, 0.6, 0.9])
        memory = np.array([np.inf, 0.0, 0.05])
        result = trained(network(), epochs=6, plateau=Plateau(0.05, 2, 0.0, 0.0, memory), score=lambda: next(scores))
        assert result.end == "converged"
        assert result.scores == [0.5, 0.6, 0.6, 0.6, 0.6]
        assert memory.tolist() == [-0.6, 3, 0.05]

    def test_what_a_score_raises_comes_through(self) -> None:
        def score() -> float:
            raise LookupError("no score")

        result = trained(network(), score=score)
        assert isinstance(result.raised, LookupError)
        assert (result.end, len(result.loss)) == ("failed", 1)
        assert result.raised.__traceback__ is not None


class TestRatesAndTime:
    def test_inverse_scaling(self) -> None:
        """The first epoch has the optimizer's rate, the others that of the samples seen before them."""
        one, by_one = network(), network()
        result = trained(one, optimizer=dr.SGD(lr=0.1), inverse_scaling=(0.3, 0.5, 100.0), epochs=3, shuffle=False)
        expected = [0.1, 0.3 / (100 + ROWS + 1) ** 0.5, 0.3 / (100 + 2 * ROWS + 1) ** 0.5]
        assert result.lr == expected
        for rate in expected:
            trained(by_one, optimizer=dr.SGD(lr=rate), epochs=1, shuffle=False)
        assert bits(one) == bits(by_one)

    def test_no_epoch_begins_after_the_time(self) -> None:
        result = trained(network(), epochs=10**6, seconds=0.05)
        assert result.end == "out_of_time"
        assert 0.05 < result.seconds[-1] < 5
        assert trained(network(), epochs=1, seconds=0.0).end == "finished"

    def test_going_on_with_infinities(self) -> None:
        of = network()
        result = trained(of, optimizer=dr.SGD(lr=1e200), stops_at_divergence=False, epochs=5)
        assert (result.end, len(result.loss)) == ("finished", 5)
        assert math.isnan(result.loss[-1])
        assert any(np.isnan(array).any() for array in of.state_dict().values())
        assert trained(network(), optimizer=dr.SGD(lr=1e200)).end == "diverged"


def csr(X: np.ndarray) -> tuple[Any, Any, Any, int]:
    rows, columns = np.nonzero(X)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(X)))]).astype(np.int64)
    return starts, columns.astype(np.int32), X[rows, columns], X.shape[1]


class TestSparseRows:
    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("units", [1, 2, 3, 4, 16, 17, 100])
    @pytest.mark.parametrize("inputs", [1, 33, 300])
    def test_the_same_bits_as_dense(self, inputs: int, units: int, dtype: str, threads: int, isa: str) -> None:
        random = np.random.default_rng(inputs + units)
        X = (random.normal(size=(ROWS, inputs)) * (random.random((ROWS, inputs)) < 0.1)).astype(dtype)
        X[7] = 0
        results = []
        for features in (X, csr(X)):
            of = dr.Network([dr.Dense(units, "gelu", l2=0.1), dr.Dense(1)], inputs, dtype, seed=3)
            result = trained(of, X=features, threads=(threads, threads))
            predicted, _ = of._native.predict(of._flat, features, "", threads, threads)
            gradients = of._native.allocate()
            of._native.loss_and_gradients(
                of._flat, SQUARES, features, data(dtype)[1], None, gradients, threads, threads
            )
            results.append((result.loss, bits(of), predicted.tobytes(), gradients.tobytes()))
        assert results[0] == results[1]

    def test_dropout_on_sparse_inputs(self, isa: str) -> None:
        X, results = data()[0], []
        for features in (X, csr(X)):
            of = dr.Network([dr.Dropout(0.3), dr.Dense(9, "tanh"), dr.Dense(1)], INPUTS, "float64", seed=3)
            results.append((trained(of, X=features).loss, bits(of)))
        assert results[0] == results[1]

    def test_sparse_validation(self, isa: str) -> None:
        X, y = data()
        losses = []
        for features in (X, csr(X)):
            losses.append(trained(network(), validation=(features, y, None, SQUARES)).val_loss)
        assert losses[0] == losses[1]

    @pytest.mark.parametrize(
        ("part", "place", "value"), [(0, 3, 10**6), (0, 0, 1), (0, -1, 0), (1, 2, INPUTS), (1, 2, -1), (1, 1, 4)]
    )
    def test_what_is_no_matrix_is_refused(self, part: int, place: int, value: int) -> None:
        parts = csr(data()[0])
        parts[part][place] = value
        of = network()
        before = bits(of)
        with pytest.raises(ValueError, match="no valid CSR matrix"):
            trained(of, X=parts)
        assert bits(of) == before


class TestConventions:
    """Where other libraries' definitions of a loss differ from ours."""

    def test_a_penalty_of_the_sum(self, isa: str) -> None:
        """(Σ w ℓ + penalty) / Σ w: the penalty of the mean divided by the weight of the batch."""
        X, y = data()
        weights = np.random.default_rng(1).uniform(0.5, 2, ROWS)
        ours, theirs = network(l2=0.3), network(l2=0.3 / weights.sum())
        options = {"batch_size": ROWS, "sample_weight": weights, "shuffle": False, "epochs": 3}
        one = trained(ours, loss=("mse", 0.0, {"penalty_in_sum": True}), **options)
        other = trained(theirs, **options)
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-13)
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        assert len(X) == len(y)

    def test_shares_of_value_and_gradient(self, isa: str) -> None:
        half, whole = network(), network()
        one = trained(half, loss=("mse", 0.0, {"value_share": 0.5, "gradient_share": 0.5}), shuffle=False)
        other = trained(whole, optimizer=dr.SGD(lr=0.025), shuffle=False)
        np.testing.assert_allclose(2 * np.array(one.loss), other.loss, rtol=1e-13)

    def test_bounds_of_what_is_reported(self, isa: str) -> None:
        of, other = network(), network()
        result = trained(of, loss=("mse", 0.0, {"least": 0.25, "most": 0.5}), shuffle=False)
        assert all(0.25 <= value <= 0.5 for value in result.loss)
        trained(other, shuffle=False)
        assert bits(of) == bits(other)  # the gradient knows nothing of them

    def test_epochs_by_samples(self) -> None:
        weights = np.where(np.arange(ROWS) < 10, 100.0, 1.0)
        of, by_samples = network(), network()
        losses = []
        for convention in ({}, {"epoch_by_samples": True}):
            options = {"shuffle": False, "epochs": 1, "sample_weight": weights, "optimizer": dr.SGD(lr=0.0)}
            losses.append(trained(of, loss=("mse", 0.0, convention), **options).loss[0])
        X, y = data()
        errors = ((by_samples.predict(X) - y) ** 2)[:, 0]
        parts = [slice(first, first + 10) for first in range(0, ROWS, 10)]
        means = [np.average(errors[part], weights=weights[part]) for part in parts]
        assert losses[0] == pytest.approx(np.average(errors, weights=weights))
        assert losses[1] == pytest.approx(np.average(means, weights=[len(errors[part]) for part in parts]))
