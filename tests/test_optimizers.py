"""Every optimizer of the core, step by step against the reference, PyTorch and itself in `fit`.

A new optimizer is found by its name in the vocabulary, and needs its settings below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core, reference
from deltarule.optimizers import OPTIMIZERS, Optimizer

SETTINGS: list[Optimizer] = [
    dr.SGD(),
    dr.SGD(lr=0.05, momentum=0.9),
    dr.SGD(lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.01),
    dr.SGD(lr=0.05, momentum=0.8, nesterov=True),
    dr.SGD(lr=0.1, weight_decay=0.1),
    dr.RMSprop(),
    dr.RMSprop(lr=1e-3, alpha=0.9, eps=1e-6, weight_decay=0.01),
    dr.RMSprop(lr=1e-3, momentum=0.9),
    dr.RMSprop(lr=1e-3, alpha=0.95, eps=1e-3, centered=True),
    dr.RMSprop(lr=1e-3, eps=1e-3, momentum=0.5, centered=True, weight_decay=0.1),
    dr.Adagrad(),
    dr.Adagrad(lr=0.1, lr_decay=0.02, weight_decay=0.01, initial_accumulator_value=0.1, eps=1e-6),
    dr.Adadelta(),
    dr.Adadelta(lr=0.5, rho=0.8, eps=1e-4, weight_decay=0.01),
    dr.Adam(),
    dr.Adam(lr=0.01, betas=(0.8, 0.99), eps=1e-4, weight_decay=0.05),
    dr.Adam(lr=0.02, betas=(0.5, 0.9), amsgrad=True),
    dr.Adam(lr=0.01, betas=(0.0, 0.0)),
    dr.AdamW(),
    dr.AdamW(lr=0.01, betas=(0.9, 0.99), weight_decay=0.2),
    dr.AdamW(lr=0.02, eps=1e-4, weight_decay=0.1, amsgrad=True),
    dr.NAdam(),
    dr.NAdam(lr=0.01, betas=(0.8, 0.99), weight_decay=0.05, momentum_decay=0.02),
    dr.NAdam(lr=0.01, eps=1e-4, weight_decay=0.1, decoupled_weight_decay=True),
    dr.Rprop(),
    dr.Rprop(lr=1e-3, etas=(0.4, 1.3), step_sizes=(1e-5, 0.05)),
    dr.SGD(lr=0.05, momentum=0.8, nesterov=True, lr_in_velocity=True),
    dr.SGD(lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.01, lr_in_velocity=True),
    dr.Adam(lr=0.01, betas=(0.8, 0.99), eps=1e-3, eps_hat=True),
    dr.AdamW(lr=0.01, eps=1e-3, weight_decay=0.1, eps_hat=True),
]
CLIPPING = [{}, {"clip_norm": 0.05}, {"clip_value": 0.01}, {"clip_norm": 0.05, "clip_value": 0.01}]

INPUTS, OUTPUTS, ROWS, BATCH = 6, 3, 50, 16


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest, same_isa_after: None) -> str:
    _core.select_isa(request.param)
    return str(request.param)


def network(dtype: str = "float64", seed: int = 4) -> dr.Network:
    layers = [dr.Dense(7, "tanh"), dr.Dense(5, "gelu", l1=1e-3, l2=1e-2), dr.Dense(OUTPUTS, use_bias=False)]
    return dr.Network(layers, INPUTS, dtype, seed)


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, y and the weights of the samples."""
    random = np.random.default_rng(9)
    X = random.normal(size=(ROWS, INPUTS))
    y = np.sin(X @ random.normal(size=(INPUTS, OUTPUTS))) + 0.1 * random.normal(size=(ROWS, OUTPUTS))
    return X, y, random.uniform(0, 2, ROWS)


def batches(steps: int) -> Iterator[slice]:
    """16, 16, 16, 2 of the 50 rows, and again."""
    first = 0
    for _ in range(steps):
        yield slice(first, min(first + BATCH, ROWS))
        first = first + BATCH if first + BATCH < ROWS else 0


def of_reference(optimizer: Optimizer) -> dict[str, Any]:
    return {"name": optimizer.name, **asdict(optimizer)}


def assert_close(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        size = np.abs(theirs[name]).max()
        assert np.abs(array - theirs[name]).max() <= tolerance * size, name


def assert_moved(ours: dict[str, np.ndarray], start: dict[str, np.ndarray]) -> None:
    assert all((array != start[name]).any() for name, array in ours.items())


def test_every_optimizer_has_settings_that_use_every_hyperparameter() -> None:
    assert {optimizer.name for optimizer in SETTINGS} == set(_core.vocabulary()["optimizers"]) == set(OPTIMIZERS)
    for name, kind in OPTIMIZERS.items():
        for field in fields(kind):
            values = {getattr(optimizer, field.name) for optimizer in SETTINGS if optimizer.name == name}
            assert len(values) > 1, (name, field.name)


@pytest.mark.parametrize("optimizer", SETTINGS, ids=repr)
def test_100_steps_agree_with_the_reference(optimizer: Optimizer, isa: str) -> None:
    X, y, weights = data()
    ours = network()
    theirs = reference.Network.from_spec(ours.spec(), ours.parameters)
    start, trainer = ours.state_dict(), dr.Trainer(ours, loss="mse", optimizer=optimizer)
    for step, rows in enumerate(batches(100)):
        weight = weights[rows] if step % 3 == 0 else None
        loss = trainer.step(X[rows], y[rows], sample_weight=weight)
        expected = theirs.step(X[rows], y[rows], "mse", of_reference(optimizer), sample_weight=weight)
        assert loss == pytest.approx(expected, rel=1e-10)
    assert_close(ours.state_dict(), theirs.parameters, 1e-10)
    assert_moved(ours.state_dict(), start)


@pytest.mark.parametrize("clipping", CLIPPING[1:], ids=str)
@pytest.mark.parametrize("optimizer", [dr.SGD(lr=0.5, momentum=0.5), dr.Adam(lr=0.01), dr.Adagrad()], ids=repr)
def test_100_clipped_steps_agree_with_the_reference(optimizer: Optimizer, clipping: dict[str, float], isa: str) -> None:
    X, y, _ = data()
    ours = network()
    theirs = reference.Network.from_spec(ours.spec(), ours.parameters)
    free = network()
    trainer = dr.Trainer(ours, loss="mse", optimizer=optimizer, **clipping)
    unclipped = dr.Trainer(free, loss="mse", optimizer=optimizer)
    for rows in batches(100):
        trainer.step(X[rows], y[rows])
        unclipped.step(X[rows], y[rows])
        theirs.step(X[rows], y[rows], "mse", of_reference(optimizer), **clipping)
    assert_close(ours.state_dict(), theirs.parameters, 1e-10)
    assert_moved(ours.state_dict(), free.state_dict())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_bounds_the_gradient_that_is_applied(dtype: str, isa: str) -> None:
    """With SGD(lr=1) the weights move by exactly the clipped gradient."""
    X, y, _ = data()
    for clipping in CLIPPING:
        ours = network(dtype)
        start = ours.state_dict()
        _, gradients = ours.loss_and_gradients(X, y, loss="mse")
        dr.Trainer(ours, loss="mse", optimizer=dr.SGD(lr=1.0), **clipping).step(X, y)
        moved = {name: start[name] - array for name, array in ours.state_dict().items()}
        expected = {name: array.astype(np.float64) for name, array in gradients.items()}
        if "clip_value" in clipping:
            assert max(np.abs(array).max() for array in expected.values()) > clipping["clip_value"]
            expected = reference.clip_by_value(expected, clipping["clip_value"])
        if "clip_norm" in clipping:
            assert sum((array**2).sum() for array in expected.values()) > clipping["clip_norm"] ** 2
            expected = reference.clip_by_global_norm(expected, clipping["clip_norm"])
        for name, array in expected.items():
            np.testing.assert_allclose(moved[name], array, rtol=0, atol=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [SETTINGS[i] for i in (1, 9, 11, 13, 16, 20, 23, 25)], ids=repr)
def test_fit_takes_the_steps_of_the_trainer(
    optimizer: Optimizer, dtype: str, clipping: dict[str, float], shuffle: bool
) -> None:
    """The same bits: a batch of the loop is a batch by hand, in the order of _core.shuffled."""
    X, y, weights = data()
    fitted, stepped = network(dtype, seed=6), network(dtype, seed=6)
    options: dict[str, Any] = {"loss": "mse", "optimizer": optimizer, **clipping}
    history = fitted.fit(X, y, epochs=3, batch_size=BATCH, shuffle=shuffle, sample_weight=weights, **options)
    trainer = dr.Trainer(stepped, **options)
    for epoch in range(3):
        order = _core.shuffled(ROWS, 6, epoch) if shuffle else np.arange(ROWS)
        losses, sums = [], []
        for rows in batches(4):
            losses.append(trainer.step(X[order[rows]], y[order[rows]], sample_weight=weights[order[rows]]))
            sums.append(weights[order[rows]].sum())
        assert history["loss"][epoch] == pytest.approx(np.average(losses, weights=sums), rel=1e-6)
    for name, array in fitted.state_dict().items():
        assert array.tobytes() == stepped.parameters[name].tobytes(), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", SETTINGS, ids=repr)
def test_a_gradient_of_zero(optimizer: Optimizer, dtype: str, isa: str) -> None:
    """0 / (√0 + eps) is 0: nothing but weight decay moves a weight whose input is always 0."""
    ours = dr.Network([dr.Dense(1)], 2, dtype)
    start = ours.parameters["0.weight"]
    trainer = dr.Trainer(ours, loss="mse", optimizer=optimizer)
    for _ in range(5):
        trainer.step([[1.0, 0.0]], [3.0])
    moved = ours.parameters["0.weight"] - start
    assert np.isfinite(moved).all()
    assert moved[0, 0] != 0
    assert (moved[1, 0] != 0) == (getattr(optimizer, "weight_decay", 0) > 0)


@pytest.mark.parametrize("optimizer", [dr.Adam(), dr.AdamW(), dr.NAdam(), dr.RMSprop(), dr.Adadelta()], ids=repr)
def test_float32_follows_float64(optimizer: Optimizer, isa: str) -> None:
    X, y, _ = data()
    results = []
    for dtype in ("float32", "float64"):
        ours = network(dtype)
        trainer = dr.Trainer(ours, loss="mse", optimizer=optimizer)
        for _ in range(20):
            trainer.step(X, y)
        results.append(ours.state_dict())
    assert_close(results[0], results[1], 1e-3)


@pytest.fixture
def torch() -> Iterator[Any]:
    """PyTorch with float64 as its default dtype, in which its NAdam keeps a product."""
    module = pytest.importorskip("torch")
    before = module.get_default_dtype()
    module.set_default_dtype(module.float64)
    yield module
    module.set_default_dtype(before)


LIKE_TORCH = [optimizer for optimizer in SETTINGS if not getattr(optimizer, "eps_hat", False)]


@pytest.mark.parametrize("optimizer", LIKE_TORCH, ids=repr)
def test_50_steps_agree_with_torch(torch: Any, optimizer: Optimizer) -> None:
    settings = asdict(optimizer)
    settings.pop("eps_hat", None)
    settings.pop("lr_in_velocity", None)  # the same, since lr does not change
    X, y, _ = data()
    ours = dr.Network([dr.Dense(7, "tanh"), dr.Dense(5, "gelu"), dr.Dense(OUTPUTS)], INPUTS, "float64", seed=4)
    theirs = {name: torch.tensor(array.copy(), requires_grad=True) for name, array in ours.parameters.items()}
    rule = getattr(torch.optim, type(optimizer).__name__)(list(theirs.values()), **settings)
    trainer = dr.Trainer(ours, loss="mse", optimizer=optimizer)
    for rows in batches(50):
        trainer.step(X[rows], y[rows])
        rule.zero_grad()
        a = torch.tanh(torch.tensor(X[rows]) @ theirs["0.weight"] + theirs["0.bias"])
        a = torch.nn.functional.gelu(a @ theirs["1.weight"] + theirs["1.bias"])
        torch.nn.functional.mse_loss(a @ theirs["2.weight"] + theirs["2.bias"], torch.tensor(y[rows])).backward()
        rule.step()
    assert_close(ours.state_dict(), {name: tensor.detach().numpy() for name, tensor in theirs.items()}, 1e-9)
