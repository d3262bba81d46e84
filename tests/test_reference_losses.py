"""The losses of the reference: known values, gradients against differences, weights, bad input, and PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deltarule.reference import losses
from deltarule.reference.losses import LOSSES, Huber, Loss, Quantile

NAMES = [
    *("mse", "mae", "huber", "log_cosh", "poisson", "poisson_deviance", "quantile"),
    *("cross_entropy", "binary_cross_entropy", "hinge", "squared_hinge"),
]
CASES: list[Loss] = [*(cls() for cls in LOSSES.values()), Huber(delta=0.3), Quantile(q=0.9)]


def targets(loss: Loss, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[Any]:
    """Return targets of the kind the loss is for."""
    if loss.name == "cross_entropy":
        return random.integers(0, shape[-1], size=shape[:-1])
    if loss.name == "binary_cross_entropy":
        return random.random(shape)
    if loss.name in ("hinge", "squared_hinge"):
        return random.choice([-1.0, 1.0], size=shape)
    if loss.name in ("poisson", "poisson_deviance"):
        return random.poisson(2.0, size=shape).astype(float)
    return random.normal(size=shape)


def test_every_name_of_the_contract_exists_and_no_other() -> None:
    assert sorted(LOSSES) == sorted(NAMES)
    assert all(cls.name == name for name, cls in LOSSES.items())


@pytest.mark.parametrize(
    ("loss", "output", "y", "expected"),
    [
        ("mse", [1.0, 3.0], [0.0, 1.0], 2.5),
        ("mae", [1.0, 3.0], [0.0, 1.0], 1.5),
        ("huber", [0.5, 3.0], [0.0, 0.0], (0.125 + 2.5) / 2),
        ({"name": "huber", "delta": 2.0}, [3.0], [0.0], 4.0),
        ("log_cosh", [1.0], [0.0], 0.43378083048302719),
        ("log_cosh", [1e-8], [0.0], 5e-17),
        ("log_cosh", [1e4], [0.0], 1e4 - math.log(2)),
        ("poisson", [0.0, 1.0], [2.0, 3.0], (1 + math.e - 3) / 2),
        ("poisson_deviance", [0.0, 1.0], [0.0, math.e], 0.5),
        ({"name": "quantile", "q": 0.9}, [0.0, 3.0], [1.0, 1.0], (0.9 + 0.2) / 2),
        ("binary_cross_entropy", [0.0], [1.0], math.log(2)),
        ("binary_cross_entropy", [40.0], [1.0], 4.248354255291589e-18),
        ("binary_cross_entropy", [1e4], [0.0], 1e4),
        ("binary_cross_entropy", [-1e4], [0.0], 0.0),
        ("hinge", [0.5, -2.0], [1.0, 1.0], (0.5 + 3) / 2),
        ("squared_hinge", [0.5, -2.0], [1.0, 1.0], (0.25 + 9) / 2),
    ],
)
def test_known_value(loss: Any, output: list[float], y: list[float], expected: float) -> None:
    assert losses.get(loss).value([output], [y]) == pytest.approx(expected, rel=2e-14, abs=0)


def test_cross_entropy_known_values() -> None:
    loss = losses.get("cross_entropy")
    assert loss.value([[0.0, 0.0, 0.0]], [1]) == pytest.approx(math.log(3), rel=1e-15)
    assert loss.value([[1e4, -1e4]], [1]) == 2e4
    assert loss.value([[1e4, -1e4]], [0]) == 0
    # nearly right: 1 + exp(-50) is 1 in float64, and yet the loss is not 0
    assert loss.value([[50.0, 0.0]], [0]) == pytest.approx(math.exp(-50), rel=1e-14, abs=0)
    assert loss.value([[0.0, 0.0]], [[0.25, 0.75]]) == pytest.approx(math.log(2), rel=1e-15)
    assert loss.value([[5.0]], [0]) == 0


@pytest.mark.parametrize("loss", CASES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (6, 1), (5, 3), (4, 3, 2)])
def test_gradient_agrees_with_central_differences(loss: Loss, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(5)
    output, y, weight = random.normal(size=shape), targets(loss, shape, random), random.random(shape[0]) + 0.1
    value, gradient = loss.value_and_gradient(output, y, weight)
    assert value == loss.value(output, y, weight)
    assert gradient.shape == shape
    h = 1e-5
    expected = np.empty(shape)
    for place in np.ndindex(*shape):
        nudge = np.zeros(shape)
        nudge[place] = h
        expected[place] = (loss.value(output + nudge, y, weight) - loss.value(output - nudge, y, weight)) / (2 * h)
    np.testing.assert_allclose(gradient, expected, atol=2e-10)


@pytest.mark.parametrize("loss", CASES, ids=str)
def test_integer_weights_are_repeated_samples_and_zero_removes_one(loss: Loss) -> None:
    random = np.random.default_rng(6)
    output, y, weight = random.normal(size=(5, 3)), targets(loss, (5, 3), random), np.array([3, 1, 0, 2, 1])
    repeated = np.repeat(np.arange(5), weight)
    expected, expected_gradient = loss.value_and_gradient(output[repeated], y[repeated])
    value, gradient = loss.value_and_gradient(output, y, weight)
    assert value == pytest.approx(expected, rel=1e-14)
    summed = np.zeros_like(gradient)
    np.add.at(summed, repeated, expected_gradient)
    np.testing.assert_allclose(gradient, summed, rtol=1e-13, atol=1e-16)
    assert loss.value(output, y) == pytest.approx(float(loss.per_sample(output, y).mean()), rel=1e-14)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"poisson", "poisson_deviance"}))
def test_finite_for_any_logit(name: str) -> None:
    loss = losses.get(name)
    y = (
        np.array([0, 1, 0, 1])
        if name == "cross_entropy"
        else np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    )
    output = np.array([[1e4, -1e4], [1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]])
    with np.errstate(all="raise", under="ignore"):
        value, gradient = loss.value_and_gradient(output, y)
    assert math.isfinite(value)
    assert np.isfinite(gradient).all()


def test_gradient_of_the_cross_entropies_at_extreme_logits() -> None:
    np.testing.assert_array_equal(losses.get("cross_entropy").gradient([[1e4, -1e4]], [1]), [[1, -1]])
    np.testing.assert_array_equal(losses.get("binary_cross_entropy").gradient([[1e4, -1e4]], [[0, 1]]), [[0.5, -0.5]])
    # p - y would be 0 here
    gradient = losses.get("binary_cross_entropy").gradient([[50.0]], [[1.0]])
    assert gradient[0, 0] == pytest.approx(-math.exp(-50), rel=1e-14, abs=0)


@pytest.mark.parametrize(
    "loss", [*(LOSSES[name]() for name in ("mae", "quantile", "huber", "log_cosh", "mse"))], ids=str
)
def test_slope_is_zero_where_the_output_is_right(loss: Loss) -> None:
    np.testing.assert_array_equal(loss.gradient([[2.0, -1.0]], [[2.0, -1.0]]), [[0, 0]])


@pytest.mark.parametrize("name", ["hinge", "squared_hinge"])
def test_hinge_slope_is_zero_at_its_corner(name: str) -> None:
    np.testing.assert_array_equal(losses.get(name).gradient([[1.0, -1.0]], [[1.0, -1.0]]), [[0, 0]])


def test_indices_and_probability_rows_say_the_same() -> None:
    z, labels = np.random.default_rng(7).normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])
    loss = losses.get("cross_entropy")
    np.testing.assert_array_equal(loss.per_sample(z, labels), loss.per_sample(z, np.eye(4)[labels]))
    np.testing.assert_array_equal(loss.gradient(z, labels), loss.gradient(z, np.eye(4)[labels]))
    np.testing.assert_array_equal(loss.gradient(z, labels.astype(np.float32)), loss.gradient(z, labels))


def test_a_plain_list_of_targets_is_a_column() -> None:
    assert losses.get("mse").value([[1.0], [2.0]], [0.0, 0.0]) == 2.5


@pytest.mark.parametrize("name", NAMES)
def test_links(name: str) -> None:
    expected = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}
    expected |= {"poisson": "exp", "poisson_deviance": "exp"}
    assert LOSSES[name].link == expected.get(name, "identity")


@pytest.mark.parametrize(
    ("loss", "output", "y", "message"),
    [
        (
            "mse",
            np.zeros((150, 1)),
            np.zeros(120),
            "y has 120 rows but the output has 150: each sample needs one target",
        ),
        ("mse", np.zeros((2, 3)), np.zeros((2, 2)), r"y has shape \(2, 2\) but the output has shape \(2, 3\)"),
        ("mse", np.zeros((2, 3)), np.zeros(2), r"y has shape \(2,\) but the output has shape \(2, 3\)"),
        ("mse", np.zeros((0, 3)), np.zeros((0, 3)), "at least one sample"),
        ("mse", 1.0, 1.0, r"output has shape \(\)"),
        ("mse", [[1.0]], 1.0, "y has 0 rows but the output has 1"),
        ("cross_entropy", np.zeros((2, 3)), [0, 3], "y has the label 3 but the output has 3 columns.*from 0 to 2"),
        ("cross_entropy", np.zeros((2, 3)), [0, -1], "y has the label -1"),
        ("cross_entropy", np.zeros((2, 3)), [0, 0.5], "y has the label 0.5"),
        ("cross_entropy", np.zeros((2, 3)), [0, np.nan], "y has the label nan"),
        ("cross_entropy", np.zeros((2, 3)), [[0], [1]], r"y\.ravel\(\)"),
        ("cross_entropy", np.zeros(2), [0, 1], "one column of logits for each class"),
    ],
)
def test_shapes_and_labels_that_do_not_fit_are_refused(loss: str, output: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losses.get(loss).value(output, y)
    with pytest.raises(ValueError, match=message):
        losses.get(loss).gradient(output, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0], r"sample_weight has shape \(1,\) but there are 2 samples"),
        ([0.0, 0.0], "nothing but zeros"),
        ([-1.0, 2.0], "negative"),
        ([np.nan, 2.0], "NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weight: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losses.get("mse").value([[1.0], [2.0]], [[0.0], [0.0]], weight)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ("huver", ValueError, "loss 'huver' is unknown: did you mean 'huber'"),
        ({"name": "huber", "dleta": 1}, ValueError, "no parameter 'dleta': did you mean 'delta'"),
        ({"name": "mse", "delta": 1}, ValueError, "no parameter 'delta'"),
        ({"delta": 1}, ValueError, "has no 'name'"),
        ({"name": "huber", "delta": 0}, ValueError, "delta is 0: expected a number above 0"),
        ({"name": "huber", "delta": math.nan}, ValueError, "delta is nan"),
        ({"name": "quantile", "q": 1}, ValueError, "q is 1: expected a number between 0 and 1"),
        (3, TypeError, "loss 3 is int: expected a name"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(loss: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        losses.get(loss)


def test_a_loss_is_returned_as_it_is() -> None:
    loss = Huber(delta=2.0)
    assert losses.get(loss) is loss
    assert losses.get({"name": "huber", "delta": 2.0}) == loss


TORCH: dict[str, Callable[[Any], Any]] = {
    "mse": lambda F: F.mse_loss,
    "mae": lambda F: F.l1_loss,
    "huber": lambda F: F.huber_loss,
    "poisson": lambda F: lambda z, y: F.poisson_nll_loss(z, y, log_input=True),
    "poisson_deviance": lambda F: lambda z, y: (y.xlogy(y) - y * z - y + z.exp()).mean(),
    "cross_entropy": lambda F: F.cross_entropy,
    "binary_cross_entropy": lambda F: F.binary_cross_entropy_with_logits,
    "hinge": lambda F: lambda z, y: (1 - y * z).clamp(min=0).mean(),
    "squared_hinge": lambda F: lambda z, y: (1 - y * z).clamp(min=0).square().mean(),
    "log_cosh": lambda F: lambda z, y: (z - y).cosh().log().mean(),
    "quantile": lambda F: lambda z, y: (0.5 * (y - z).abs()).mean(),
}


@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_agree_with_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    random, loss = np.random.default_rng(8), LOSSES[name]()
    output, y = random.normal(size=(7, 4)) * 2, targets(loss, (7, 4), random)
    tensor = torch.tensor(output, requires_grad=True)
    expected = TORCH[name](torch.nn.functional)(tensor, torch.tensor(y))
    expected.backward()
    value, gradient = loss.value_and_gradient(output, y)
    assert value == pytest.approx(expected.item(), rel=1e-14)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-12, atol=1e-16)


def test_probability_rows_agree_with_torch_even_when_they_do_not_sum_to_one() -> None:
    torch = pytest.importorskip("torch")
    random, loss = np.random.default_rng(9), losses.get("cross_entropy")
    output, y = random.normal(size=(7, 4)), random.random((7, 4))
    tensor = torch.tensor(output, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(tensor, torch.tensor(y))
    expected.backward()
    value, gradient = loss.value_and_gradient(output, y)
    assert value == pytest.approx(expected.item(), rel=1e-14)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-12, atol=1e-16)
