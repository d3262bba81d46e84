"""`BatchNorm` beside torch's `BatchNorm1d`: answers, gradients, running statistics, runs, and weights both ways."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr

torch = pytest.importorskip("torch")

Array = NDArray[Any]

LIMITS = {"float64": 1e-12, "float32": 5e-5}  # units where tanh is nearly 1 hardly vary: rounding is seen there
MODULES = {"first": 0, "hidden": 1, "second": 2, "head": 3}


class Module(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, units: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        options: dict[str, Any] = {"dtype": torch.float64}
        self.first = torch.nn.BatchNorm1d(inputs, eps=eps, momentum=momentum, **options)
        self.hidden = torch.nn.Linear(inputs, units, **options)
        self.second = torch.nn.BatchNorm1d(units, eps=eps, momentum=momentum, **options)
        self.head = torch.nn.Linear(units, 2, **options)

    def forward(self, x: Any) -> Any:
        return self.head(self.second(torch.tanh(self.hidden(self.first(x)))))


def pair(inputs: int, units: int, dtype: str = "float64", **settings: float) -> tuple[dr.Network, Module]:
    """The same network twice, with weights and running statistics of any kind; torch's is of float64."""
    module = Module(inputs, units, **settings)
    random = np.random.default_rng(inputs)
    for name, tensor in module.state_dict().items():
        if "tracked" not in name:
            tensor += torch.tensor(random.uniform(-0.4, 0.4, tuple(tensor.shape)))
    norm = dr.BatchNorm(**settings)
    network = dr.Network([norm, dr.Dense(units, "tanh"), norm, dr.Dense(2)], inputs, dtype)
    network.load_state_dict(dr.from_torch_state_dict(module.state_dict(), MODULES))
    rounded = dr.to_torch_state_dict(network.state_dict(), MODULES)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in rounded.items()})
    return network, module


def data(rows: int, inputs: int, dtype: str = "float64", shift: float = 3.0) -> tuple[Array, Array]:
    random = np.random.default_rng(rows)
    X = random.normal(size=(rows, inputs)) + shift
    return X.astype(dtype), np.tanh(random.normal(size=(rows, 2))).astype(dtype)


def assert_close(actual: Array, expected: Any, limit: float, what: object) -> None:
    expected = expected.detach().numpy() if hasattr(expected, "detach") else expected
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= limit * max(np.abs(expected).max(), 0.1), what


def gradients_of(module: Module) -> dict[str, Array]:
    named = {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}
    statistics = {name: np.ones(array.shape) for name, array in module.state_dict().items() if "running" in name}
    ours = dr.from_torch_state_dict(named | statistics, MODULES)
    return {name: array for name, array in ours.items() if "running" not in name}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("training", [False, True])
def test_answers_and_gradients(training: bool, dtype: str) -> None:
    for inputs, units, rows in itertools.product((1, 7, 17), (1, 8, 100), (2, 33, 200)):
        network, module = pair(inputs, units, dtype, eps=1e-3)
        module.train(training)
        X, Y = data(rows, inputs, dtype)
        x = torch.tensor(X.astype(np.float64), requires_grad=True)
        output = module(x)
        loss = torch.nn.functional.mse_loss(output, torch.tensor(Y.astype(np.float64)))
        loss.backward()
        limit, where = LIMITS[dtype] * (1 if rows > 2 else 10), (inputs, units, rows)
        ours = network.forward(X, training=training)
        assert_close(ours, output, limit, where)
        assert_close(network.backward(2 * (ours - Y) / Y.size), x.grad, limit, where)
        value, gradients = network.loss_and_gradients(X, Y, loss="mse", training=training)
        assert value == pytest.approx(loss.item(), rel=limit)
        for name, gradient in gradients_of(module).items():
            assert_close(gradients[name], gradient, limit, (*where, name))
            assert_close(network.gradients[name], gradient, limit, (*where, name))


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_a_large_mean_beside_a_small_variance(shift: float) -> None:
    X, _ = data(500, 5, shift=shift)
    network, module = pair(5, 6)
    with torch.no_grad():
        expected = module(torch.tensor(X)).numpy()
    np.testing.assert_allclose(network.forward(X, training=True), expected, rtol=0, atol=1e-11 if shift else 1e-13)
    single = dr.Network(network.layers, 5, "float32")
    single.load_state_dict(network.state_dict())
    rounded = X.astype(np.float32)
    with torch.no_grad():
        expected = module(torch.tensor(rounded.astype(np.float64))).numpy()
    np.testing.assert_allclose(single.forward(rounded, training=True), expected, rtol=0, atol=1e-5)


OPTIMIZERS: dict[str, tuple[dr.SGD | dr.Adam | dr.AdamW, Any]] = {
    "sgd": (dr.SGD(lr=0.05, momentum=0.9), lambda given: torch.optim.SGD(given, lr=0.05, momentum=0.9)),
    "adam": (dr.Adam(lr=1e-2), lambda given: torch.optim.Adam(given, lr=1e-2)),
    "adamw": (dr.AdamW(lr=1e-2, weight_decay=0.1), lambda given: torch.optim.AdamW(given, 1e-2, weight_decay=0.1)),
}


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_fifty_steps(optimizer: str, clip_norm: float | None, n_threads: int) -> None:
    ours, make = OPTIMIZERS[optimizer]
    network, module = pair(7, 19, momentum=0.2)
    X, Y = data(330, 7)
    theirs = make(module.parameters())
    for _ in range(5):
        for first in range(0, len(X), 33):
            theirs.zero_grad()
            output = module(torch.tensor(X[first : first + 33]))
            torch.nn.functional.mse_loss(output, torch.tensor(Y[first : first + 33])).backward()
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
            theirs.step()
    network.fit(
        X,
        Y,
        loss="mse",
        optimizer=ours,
        epochs=5,
        batch_size=33,
        shuffle=False,
        clip_norm=clip_norm,
        n_threads=n_threads,
    )
    for name, array in dr.from_torch_state_dict(module.state_dict(), MODULES).items():
        np.testing.assert_allclose(network.state_dict()[name], array, rtol=1e-9, atol=1e-9, err_msg=name)
    module.eval()
    assert_close(network.predict(X), module(torch.tensor(X)), 1e-9, "answers")


def test_weights_go_both_ways() -> None:
    network, module = pair(4, 5)
    network.fit(*data(40, 4), loss="mse", epochs=2)
    arrays = dr.to_torch_state_dict(network.state_dict(), MODULES)
    assert list(arrays) == list(module.state_dict())
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=True)
    module.eval()
    X, _ = data(9, 4)
    assert_close(network.predict(X), module(torch.tensor(X)), 1e-14, "answers")


def test_a_module_without_weights_of_its_own() -> None:
    norm = torch.nn.BatchNorm1d(3, affine=False, dtype=torch.float64)
    state = {f"norm.{name}": tensor for name, tensor in norm.state_dict().items()}
    arrays = dr.from_torch_state_dict(state, {"norm": 0})
    np.testing.assert_array_equal(arrays["0.weight"], np.ones(3))
    np.testing.assert_array_equal(arrays["0.bias"], np.zeros(3))
    assert arrays["0.running_var"].dtype == np.float64
