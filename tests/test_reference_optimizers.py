"""The optimizers of the reference: first steps by hand, 100 steps against PyTorch, clipping, bad settings."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from deltarule.reference import optimizers
from deltarule.reference.optimizers import OPTIMIZERS, clip_by_global_norm, clip_by_value

TORCH_NAMES = {
    "sgd": "SGD",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "adam": "Adam",
    "adamw": "AdamW",
    "nadam": "NAdam",
    "rprop": "Rprop",
}
SETTINGS: list[dict[str, Any]] = [
    {"name": "sgd", "lr": 0.01},
    *({"name": name} for name in TORCH_NAMES if name != "sgd"),
    {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    {"name": "sgd", "lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"name": "sgd", "lr": 0.05, "weight_decay": 0.1},
    {"name": "rmsprop", "momentum": 0.9, "weight_decay": 0.01},
    {"name": "rmsprop", "centered": True, "alpha": 0.9, "eps": 1e-3},
    {"name": "rmsprop", "centered": True, "momentum": 0.5, "alpha": 0.9, "eps": 1e-2, "weight_decay": 0.1},
    {
        "name": "adagrad",
        "lr": 0.1,
        "lr_decay": 0.1,
        "weight_decay": 0.01,
        "initial_accumulator_value": 0.5,
        "eps": 1e-3,
    },
    {"name": "adadelta", "rho": 0.8, "eps": 1e-3, "weight_decay": 0.01, "lr": 0.5},
    {"name": "adam", "lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1},
    {"name": "adam", "lr": 0.05, "betas": [0.5, 0.9], "amsgrad": True},
    {"name": "adam", "betas": [0.0, 0.0]},
    {"name": "adamw", "lr": 0.05, "weight_decay": 0.1},
    {"name": "adamw", "lr": 0.05, "betas": [0.5, 0.9], "amsgrad": True},
    {"name": "nadam", "lr": 0.05, "weight_decay": 0.1, "momentum_decay": 0.1},
    {"name": "nadam", "lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "betas": [0.7, 0.99]},
    {"name": "rprop", "lr": 0.1, "etas": [0.3, 1.5], "step_sizes": [1e-3, 0.2]},
]


def test_every_name_of_the_contract_exists_and_no_other() -> None:
    assert sorted(OPTIMIZERS) == sorted(TORCH_NAMES)
    assert all(cls.name == name for name, cls in OPTIMIZERS.items())


@pytest.fixture
def torch() -> Iterator[Any]:
    """PyTorch with float64 as its default dtype, in which its NAdam keeps a product."""
    module = pytest.importorskip("torch")
    before = module.get_default_dtype()
    module.set_default_dtype(module.float64)
    yield module
    module.set_default_dtype(before)


def torch_optimizer(torch: Any, settings: dict[str, Any], tensor: Any) -> Any:
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return getattr(torch.optim, TORCH_NAMES[str(arguments.pop("name"))])([tensor], **arguments)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("shape", [(1,), (4, 3)])
def test_100_steps_agree_with_torch(torch: Any, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    """Downhill on Σ (p²/2 + sin(3p)/10): each gradient depends on all steps before, and errors do not grow."""
    start = np.random.default_rng(10).normal(size=shape) * 2
    tensor = torch.tensor(start, requires_grad=True)
    theirs, ours, p = torch_optimizer(torch, settings, tensor), optimizers.get(settings), start
    state = ours.start(p)
    for step in range(100):
        tensor.grad = (tensor + 0.3 * torch.cos(3 * tensor)).detach()
        theirs.step()
        p = ours.update(p, p + 0.3 * np.cos(3 * p), state)
        np.testing.assert_allclose(p, tensor.detach().numpy(), rtol=1e-12, atol=1e-12, err_msg=f"step {step + 1}")
    assert state["step"] == 100
    assert np.abs(p - start).max() > 1e-3  # it did go somewhere


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_wild_gradients_with_zeros_agree_with_torch(torch: Any, settings: dict[str, Any]) -> None:
    random = np.random.default_rng(11)
    p = random.normal(size=(5,))
    tensor = torch.tensor(p, requires_grad=True)
    theirs, ours = torch_optimizer(torch, settings, tensor), optimizers.get(settings)
    state = ours.start(p)
    for _ in range(100):
        gradient = random.normal(size=p.shape) * random.integers(0, 2, size=p.shape) * 10.0 ** random.integers(-6, 4)
        tensor.grad = torch.tensor(gradient)
        theirs.step()
        p = ours.update(p, gradient, state)
        np.testing.assert_allclose(p, tensor.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_defaults_are_torchs(torch: Any) -> None:
    for name, torch_name in TORCH_NAMES.items():
        theirs = inspect.signature(getattr(torch.optim, torch_name)).parameters
        for field in dataclasses.fields(cast(Any, OPTIMIZERS[name])):
            if field.name in ("eps_hat", "lr_in_velocity"):
                assert field.default is False  # what torch does not have is off
                continue
            default = 1e-2 if (name, field.name) == ("sgd", "lr") else theirs[field.name].default
            assert field.default == default, (name, field.name)


@pytest.mark.parametrize(
    ("settings", "gradients", "expected"),
    [
        ({"name": "sgd", "lr": 0.1}, [2.0, 4.0], [0.8, 0.4]),
        ({"name": "sgd", "lr": 0.1, "weight_decay": 1.0}, [2.0], [0.7]),
        # the first velocity is the gradient itself; the second is 0.5 * 2 + 0.75 * 4 = 4
        ({"name": "sgd", "lr": 0.1, "momentum": 0.5, "dampening": 0.25}, [2.0, 4.0], [0.8, 0.4]),
        # the learning rate changes nothing here: it is 0.1 all the time
        ({"name": "sgd", "lr": 0.1, "momentum": 0.5, "lr_in_velocity": True}, [2.0, 4.0], [0.8, 0.3]),
        # m = 0.2, v = 0.004: 1 - 0.1 * (0.2 / 0.1) * sqrt(0.001) / (sqrt(0.004) + 1)
        ({"name": "adam", "lr": 0.1, "eps": 1.0, "eps_hat": True}, [2.0], [1 - 0.2 * 0.001**0.5 / (1 + 0.004**0.5)]),
        # looking ahead: 2 + 0.5 * 2 = 3
        ({"name": "sgd", "lr": 0.1, "momentum": 0.5, "nesterov": True}, [2.0], [0.7]),
        # s = 0.25 * 16 = 4
        ({"name": "rmsprop", "lr": 0.1, "alpha": 0.75, "eps": 0.0}, [4.0], [0.8]),
        # s = 0.25 * 16 = 4, m = 0.25 * 4 = 1, so 4 / √3
        ({"name": "rmsprop", "lr": 0.1, "alpha": 0.75, "eps": 0.0, "centered": True}, [4.0], [1 - 0.4 / math.sqrt(3)]),
        ({"name": "adagrad", "lr": 0.1, "eps": 0.0}, [3.0, 4.0], [0.9, 0.9 - 0.08]),
        ({"name": "adadelta", "lr": 1.0, "rho": 0.5, "eps": 1.0}, [2.0], [1 - 2 / math.sqrt(3)]),
        # after the correction the first step is lr, whatever the gradient
        ({"name": "adam", "lr": 0.1, "eps": 0.0}, [1e-5], [0.9]),
        ({"name": "adam", "lr": 0.1, "eps": 1.0}, [1.0], [0.95]),
        ({"name": "adamw", "lr": 0.1, "eps": 0.0, "weight_decay": 0.5}, [7.0], [0.85]),
        ({"name": "rprop", "lr": 0.1}, [3.0, 5.0, -1.0, -2.0], [0.9, 0.78, 0.78, 0.84]),
    ],
)
def test_first_steps_by_hand(settings: dict[str, Any], gradients: list[float], expected: list[float]) -> None:
    rule, p = optimizers.get(settings), np.array([1.0])
    state = rule.start(p)
    for gradient, value in zip(gradients, expected, strict=True):
        p = rule.update(p, [gradient], state)
        assert p.item() == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_nothing_given_is_changed_and_everything_is_float64(name: str) -> None:
    rule = optimizers.get(name)
    p, g = np.full((2, 3), 0.5, dtype=np.float32), np.full((2, 3), 0.25, dtype=np.float32)
    state = rule.start(p)
    first = rule.update(p, g, state)
    kept = first.copy()
    second = rule.update(first, g, state)
    assert first.dtype == second.dtype == np.float64
    np.testing.assert_array_equal(p, np.full((2, 3), 0.5))
    np.testing.assert_array_equal(g, np.full((2, 3), 0.25))
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)
    assert state["step"] == 2


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_a_zero_gradient_without_decay_moves_nothing(name: str) -> None:
    rule = optimizers.get({"name": name, "weight_decay": 0} if name == "adamw" else name)
    p = np.array([1.0, -2.0])
    np.testing.assert_array_equal(rule.update(p, np.zeros(2), rule.start(p)), p)


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_empty_parameter(name: str) -> None:
    rule = optimizers.get(name)
    assert rule.update(np.zeros((0, 3)), np.zeros((0, 3)), rule.start(np.zeros((0, 3)))).shape == (0, 3)


def test_centered_rmsprop_survives_a_constant_gradient() -> None:
    rule, p = optimizers.RMSprop(centered=True, alpha=0.5), np.array([1.0])
    state = rule.start(p)
    for _ in range(200):  # for this gradient, rounding makes the variance s - m² negative at step 54
        p = rule.update(p, [0.7], state)
    assert np.isfinite(p).all()


def test_gradient_of_another_shape_is_refused() -> None:
    rule = optimizers.get("sgd")
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\) but the parameter has shape \(2,\)"):
        rule.update(np.zeros(2), np.zeros(3), rule.start(np.zeros(2)))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ("adm", ValueError, "optimizer 'adm' is unknown: did you mean 'adam'"),
        ({"name": "adam", "bettas": [0.9, 0.9]}, ValueError, "no parameter 'bettas': did you mean 'betas'"),
        (None, TypeError, "optimizer None is NoneType: expected a name"),
        ({"name": "sgd", "lr": -0.1}, ValueError, "lr is -0.1: expected a number >= 0 and finite"),
        ({"name": "sgd", "lr": math.nan}, ValueError, "lr is nan"),
        ({"name": "sgd", "lr": math.inf}, ValueError, "lr is inf"),
        ({"name": "sgd", "lr": "0.1"}, TypeError, "lr is '0.1', str: expected a number"),
        ({"name": "sgd", "lr": True}, TypeError, "lr is True, bool"),
        ({"name": "sgd", "nesterov": True}, ValueError, "nesterov is True with momentum=0"),
        ({"name": "sgd", "momentum": -1}, ValueError, "momentum is -1"),
        ({"name": "rmsprop", "alpha": 1.5}, ValueError, "alpha is 1.5: expected a number from 0 to 1"),
        ({"name": "adadelta", "rho": -0.1}, ValueError, "rho is -0.1"),
        ({"name": "adagrad", "lr_decay": -1}, ValueError, "lr_decay is -1"),
        (
            {"name": "adam", "betas": [0.9, 1.0]},
            ValueError,
            r"betas is \(0.9, 1.0\): expected numbers from 0 to below 1",
        ),
        ({"name": "adam", "betas": 0.9}, TypeError, "betas is 0.9: expected a pair"),
        ({"name": "adam", "eps": -1e-8}, ValueError, "eps is -1e-08"),
        ({"name": "nadam", "momentum_decay": -1}, ValueError, "momentum_decay is -1"),
        ({"name": "rprop", "etas": [1.2, 0.5]}, ValueError, r"etas is \(1.2, 0.5\)"),
        ({"name": "rprop", "step_sizes": [1.0, 0.5]}, ValueError, r"step_sizes is \(1.0, 0.5\)"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        optimizers.get(settings)


def gradients() -> dict[str, NDArray[np.float64]]:
    random = np.random.default_rng(12)
    return {"0.weight": random.normal(size=(3, 4)), "0.bias": random.normal(size=4), "1.weight": np.zeros((4, 1))}


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 1e3])
def test_global_norm_agrees_with_torch(torch: Any, max_norm: float) -> None:
    tensors = {name: torch.zeros(array.shape, dtype=torch.float64) for name, array in gradients().items()}
    for name, tensor in tensors.items():
        tensor.requires_grad_()
        tensor.grad = torch.tensor(gradients()[name])
    torch.nn.utils.clip_grad_norm_(tensors.values(), max_norm)
    for name, clipped in clip_by_global_norm(gradients(), max_norm).items():
        np.testing.assert_allclose(clipped, tensors[name].grad.numpy(), rtol=1e-14)


def test_clipping_leaves_small_gradients_and_what_was_given_alone() -> None:
    given = gradients()
    for clipped in (clip_by_global_norm(given, 1e3), clip_by_value(given, 1e3)):
        for name, array in gradients().items():
            np.testing.assert_array_equal(clipped[name], array)
    for name, array in clip_by_value(given, 0.1).items():
        np.testing.assert_array_equal(array, np.clip(gradients()[name], -0.1, 0.1))
        np.testing.assert_array_equal(given[name], gradients()[name])


@pytest.mark.parametrize("limit", [0, -1.0, math.nan])
def test_clipping_to_nothing_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match=r"clip_norm is .*: expected a number above 0"):
        clip_by_global_norm(gradients(), limit)
    with pytest.raises(ValueError, match=r"clip_value is .*: expected a number above 0"):
        clip_by_value(gradients(), limit)
