"""What lies between a matrix's last column and the end of its panel is nobody's: no step, loss or file tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core, reference

WORDS = _core.vocabulary()
ELEMENTWISE = [name for name in WORDS["activations"] if name != "softmax"]
WIDTHS = [3, 6, 8, 15, 16, 17, 20]


@pytest.fixture(params=_core.isas(), autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.isa()
    _core.select_isa(request.param)
    yield str(request.param)
    _core.select_isa(before)


def network(width: int, units: int, activation: str, dtype: str, **settings: Any) -> dr.Network:
    hidden = dr.Dense(width, activation, **settings)
    return dr.Network([hidden, dr.Dense(units, **settings), dr.Dense(2)], 5, dtype, seed=width)


def data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(rows)
    return random.uniform(-1, 1, (rows, 5)), random.uniform(-1, 1, (rows, 2))


def assert_no_trace(of: dr.Network) -> None:
    """The parameters as they lie in memory are those of `state_dict` among zeros, bit for bit."""
    assert of._flat.tobytes() == of._flat_from(of.state_dict(), "state").tobytes()


@pytest.mark.parametrize("batch", [4, 40])
@pytest.mark.parametrize("activation", ELEMENTWISE)
def test_steps_follow_the_reference(activation: str, batch: int) -> None:
    X, y = data(batch)
    for units in (1, 2, 4, 5):
        for width in WIDTHS:
            ours = network(width, units, activation, "float64")
            theirs = reference.Network.from_spec(ours.spec(), ours.state_dict())
            ours.fit(X, y, loss="mse", optimizer=dr.SGD(lr=0.02), epochs=8, batch_size=batch, shuffle=False)
            for _ in range(8):
                theirs.step(X, y, "mse", {"name": "sgd", "lr": 0.02})
            for name, array in ours.parameters.items():
                np.testing.assert_allclose(array, theirs.parameters[name], rtol=1e-9, atol=1e-11, err_msg=name)
            assert_no_trace(ours)


@pytest.mark.parametrize(
    "options", [{}, {"clip_norm": 0.1}, {"clip_value": 1e-3}, {"n_threads": 2}, {"validation_split": 0.25}], ids=str
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", WORDS["optimizers"])
def test_no_optimizer_moves_the_padding(optimizer: str, dtype: str, options: dict[str, Any]) -> None:
    for activation in ("sigmoid", "softplus"):  # not 0 at 0
        for settings in ({}, {"l1": 1e-3, "l2": 1e-2, "use_bias": False}):
            for batch in (3, 50):
                of = network(6, 3, activation, dtype, **settings)
                X, y = data(50)
                of.fit(X, y, loss="mse", optimizer=optimizer, epochs=3, batch_size=batch, **options)
                assert_no_trace(of)
                before = of.predict(X)
                of.load_state_dict(of.state_dict())
                assert of.predict(X).tobytes() == before.tobytes()


def test_a_step_of_a_huge_batch() -> None:
    """Its tiles are low, and each writes whole registers of the transposed weight."""
    random = np.random.default_rng(0)
    X = random.normal(size=(131_100, 4)).astype(np.float32)
    y = random.normal(size=(len(X), 8)).astype(np.float32)
    ours = dr.Network([dr.Dense(20, "tanh"), dr.Dense(20, "tanh"), dr.Dense(8)], 4, seed=0)
    theirs = reference.Network.from_spec(ours.spec(), ours.state_dict())
    trainer = dr.Trainer(ours, "mse", dr.SGD(lr=0.5))
    for _ in range(2):  # the second goes back through the weights that the first has changed
        trainer.step(X, y)
        theirs.step(X, y, "mse", {"name": "sgd", "lr": 0.5})
    for name, array in ours.parameters.items():
        np.testing.assert_allclose(array, theirs.parameters[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_what_does_not_go_together_is_refused_by_apply_too() -> None:
    of = dr.Network([dr.Dense(3, "sigmoid")], 5)
    trainer = dr.Trainer(of, "cross_entropy")
    with pytest.raises(ValueError, match="takes logits"):
        trainer.apply({name: np.zeros_like(array) for name, array in of.state_dict().items()})
    with pytest.raises(ValueError, match="takes logits"):
        trainer.step(np.ones((2, 5), np.float32), np.zeros(2, np.int32))
