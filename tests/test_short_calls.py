"""Short calls take a shorter way: the same bits, and the same answer to what it does not take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import deltarule as dr

DTYPES = ["float32", "float64"]


def network(outputs: int = 2, dtype: str = "float32", activation: str = "identity") -> dr.Network:
    return dr.Network([dr.Dense(9, "tanh"), dr.Dense(outputs, activation)], 4, dtype, seed=1)


def data(rows: int, outputs: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(rows)
    return random.normal(size=(rows, 4)).astype(dtype), random.normal(size=(rows, outputs)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 17, 300])
@pytest.mark.parametrize("outputs", [1, 2, 5, 17])
def test_predict(rows: int, outputs: int, dtype: str) -> None:
    of, (X, _) = network(outputs, dtype), data(rows, outputs, dtype)
    short = of.predict(X)
    assert short.dtype == dtype
    assert short.flags.owndata
    assert short.tobytes() == of.predict(X, n_threads=1).tobytes()
    assert short.tobytes() == of.predict(X.astype(">f8")).tobytes()
    if rows <= 8:
        assert short.tobytes() == of._native.predict_small(of._flat, X).tobytes()
    before = short.copy()
    of.predict(X + 1)  # another answer leaves this one alone
    assert (short == before).all()


def test_predict_follows_the_parameters() -> None:
    of, (X, y) = network(), data(3, 2, "float32")
    first = of.predict(X)
    of.fit(X, y, loss="mse", epochs=3)
    assert (of.predict(X) != first).all()
    assert of.predict(X).tobytes() == of.predict(X, n_threads=1).tobytes()
    of.load_state_dict({name: np.zeros_like(array) for name, array in of.state_dict().items()})
    assert (of.predict(X) == 0).all()


@pytest.mark.parametrize(
    "X",
    [
        np.full((1, 4), np.nan, np.float32),
        np.full((2, 4), np.inf, np.float32),
        np.zeros((1, 5), np.float32),
        np.zeros((0, 4), np.float32),
        np.zeros(4, np.float32),
        None,
    ],
)
def test_predict_refuses_as_ever(X: Any) -> None:
    of = network()
    assert of._native.predict_small(of._flat, X) is None
    with pytest.raises((TypeError, ValueError)) as short:
        of.predict(X)
    with pytest.raises((TypeError, ValueError)) as long:
        of.predict(X, n_threads=1)
    assert str(short.value) == str(long.value)


def test_only_plain_arrays_in_order_take_it() -> None:
    of, X = network(), np.ones((4, 4), np.float32)
    for other in (X.T[::-1], X[:, ::-1], np.asfortranarray(np.ones((2, 4), np.float32)), np.ma.array(X), X.tolist()):
        assert of._native.predict_small(of._flat, other) is None
        assert of.predict(other).shape == (len(other), 2)


LOSSES: list[tuple[str, Any]] = [
    ("mse", lambda r, n, dtype: r.normal(size=(n, 2)).astype(dtype)),
    ("binary_cross_entropy", lambda r, n, dtype: r.uniform(size=(n, 2)).astype(dtype)),
    ("poisson", lambda r, n, dtype: r.integers(0, 5, (n, 2)).astype(dtype)),
    ("hinge", lambda r, n, dtype: r.choice([-1, 1], (n, 2)).astype(dtype)),
    ("cross_entropy", lambda r, n, _: r.integers(0, 2, n)),
    ("cross_entropy", lambda r, n, _: r.integers(0, 2, n).astype(np.int32)),
    ("cross_entropy", lambda r, n, dtype: np.eye(2, dtype=dtype)[r.integers(0, 2, n)]),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", range(len(LOSSES)))
def test_step(number: int, dtype: str) -> None:
    """Arrays that are ready, and the same numbers in a form that is not."""
    loss, targets = LOSSES[number]
    random = np.random.default_rng(number)
    short = dr.Trainer(network(dtype=dtype), loss, dr.Adam(lr=0.01))
    long = dr.Trainer(network(dtype=dtype), loss, dr.Adam(lr=0.01))
    for rows in (1, 7, 32, 3):
        X, y = random.normal(size=(rows, 4)).astype(dtype), targets(random, rows, dtype)
        assert short.step(X, y) == long.step(X.astype(np.float64).tolist(), y.tolist())
        assert short.steps == long.steps
    for name, array in short.network.parameters.items():
        assert array.tobytes() == long.network.parameters[name].tobytes()
    assert short.network.loss == long.network.loss


def test_one_dimensional_targets() -> None:
    X, y = data(5, 1, "float32")
    one, two = (dr.Trainer(network(1), "mse") for _ in range(2))
    assert [one.step(X, y[:, 0]) for _ in range(3)] == [two.step(X, y) for _ in range(3)]


BAD: list[tuple[str, Any]] = [
    ("mse", np.full((3, 2), np.nan, np.float32)),
    ("mse", np.full((3, 2), -np.inf, np.float32)),
    ("mse", np.zeros((4, 2), np.float32)),
    ("mse", np.zeros((3, 3), np.float32)),
    ("poisson", np.full((3, 2), -1, np.float32)),
    ("poisson", np.full((3, 2), np.inf, np.float32)),
    ("binary_cross_entropy", np.full((3, 2), 1.01, np.float32)),
    ("cross_entropy", np.array([0, 1, 2])),
    ("cross_entropy", np.array([0, -1, 1])),
    ("cross_entropy", np.array([0, 1])),
    ("cross_entropy", np.array([0.5, 1, 1])),
    ("hinge", np.full((3, 2), 0.5, np.float32)),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_step_refuses_as_ever(number: int) -> None:
    loss, bad = BAD[number]
    X, good = data(3, 2, "float32")[0], np.array([0, 1, 1]) if loss == "cross_entropy" else np.ones((3, 2), np.float32)
    first, later = (dr.Trainer(network(), loss) for _ in range(2))
    later.step(X, good)
    before = later.network.state_dict()
    with pytest.raises((TypeError, ValueError)) as of_first:  # the long way: nothing is built yet
        first.step(X, bad)
    with pytest.raises((TypeError, ValueError)) as of_later:
        later.step(X, bad)
    assert str(of_first.value) == str(of_later.value)
    assert later.steps == 1
    for name, array in later.network.state_dict().items():
        assert array.tobytes() == before[name].tobytes()


def test_a_diverging_step_says_so_and_changes_nothing() -> None:
    X, y = data(3, 2, "float32")
    trainer = dr.Trainer(network(), "mse", dr.SGD(lr=1e30))
    trainer.step(X, y)
    before = trainer.network.state_dict()
    with pytest.raises(dr.DivergenceError, match="step 2 diverged"):
        trainer.step(X, y)
    assert trainer.steps == 1
    for name, array in trainer.network.state_dict().items():
        assert array.tobytes() == before[name].tobytes()
