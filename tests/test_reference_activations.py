"""The activations of the reference: known values, slopes against differences, tails, corners, and PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deltarule.reference import activations
from deltarule.reference.activations import ACTIVATIONS, ALIASES, Softmax

ELEMENTWISE = sorted(set(ACTIVATIONS) - {"softmax"})
CORNERS = {
    "relu": (0,),
    "leaky_relu": (0,),
    "selu": (0,),
    "hard_tanh": (-1, 1),
    "hard_sigmoid": (-3, 3),
    "hard_swish": (-3, 3),
}
NAMES = [
    *("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish"),
    *("softplus", "softsign", "hard_sigmoid", "hard_tanh", "hard_swish", "exp", "sine", "softmax"),
]

# name, z, f(z), f'(z), computed with mpmath to 60 digits
KNOWN = [
    ("sigmoid", -700.0, 9.8596765437597708e-305, 9.8596765437597708e-305),
    ("sigmoid", -30.0, 9.357622968839299e-14, 9.3576229688384233e-14),
    ("sigmoid", -0.5, 0.37754066879814544, 0.23500371220159449),
    ("sigmoid", 9.0, 0.99987660542401377, 0.00012337934976484891),
    ("tanh", -30.0, -1.0, 3.5026043050786081e-26),
    ("tanh", -0.5, -0.46211715726000976, 0.78644773296592741),
    ("tanh", 1e-9, 1e-9, 1.0),
    ("tanh", 9.0, 0.99999996954004097, 6.0919917123232292e-8),
    ("elu", -30.0, -0.99999999999990642, 9.3576229688401746e-14),
    ("elu", -0.5, -0.39346934028736658, 0.60653065971263342),
    ("elu", 0.75, 0.75, 1.0),
    ("selu", -8.0, -1.7575095642223825, 0.00058977662499433492),
    ("selu", -0.5, -0.6917581878028714, 1.0663411530445055),
    ("selu", 0.75, 0.78802574051661037, 1.0507009873554805),
    ("gelu", -30.0, -1.4720141781444561e-196, -4.4160316907084944e-195),
    ("gelu", -8.0, -4.9767684594174273e-15, -3.979607261086796e-14),
    ("gelu", -0.5, -0.15426876936299345, 0.13250487534383716),
    ("gelu", 1e-9, 5.0000000039894231e-10, 0.50000000079788456),
    ("gelu", 9.0, 9.0, 1.0),
    ("gelu_tanh", -8.0, -3.1077829375011112e-21, -4.7147845041068416e-20),
    ("gelu_tanh", -0.5, -0.15428599017485608, 0.13263009646535769),
    ("gelu_tanh", 0.75, 0.5799605551656203, 0.9989382561374143),
    ("silu", -30.0, -2.8072868906517897e-12, -2.713710660963134e-12),
    ("silu", -0.5, -0.18877033439907272, 0.26003881269734819),
    ("silu", 9.0, 8.9988894488161239, 1.0009870195718974),
    ("mish", -30.0, -2.807286890651921e-12, -2.7137106609633923e-12),
    ("mish", -0.5, -0.22074377465173, 0.28951067791351219),
    ("mish", 9.0, 8.9999997259280193, 1.0000005176238728),
    ("softplus", -30.0, 9.3576229688397368e-14, 9.357622968839299e-14),
    ("softplus", 0.75, 1.1368710061148999, 0.67917869917539297),
    ("softsign", -8.0, -0.88888888888888889, 0.012345679012345679),
    ("leaky_relu", -2.0, -0.02, 0.01),
    ("hard_sigmoid", 1.5, 0.75, 1 / 6),
    ("hard_tanh", 0.5, 0.5, 1.0),
    ("hard_swish", 1.5, 1.125, 1.0),
    ("exp", -1.0, 0.36787944117144232, 0.36787944117144232),
    ("sine", 1.0, 0.8414709848078965, 0.54030230586813972),
    ("identity", -4.0, -4.0, 1.0),
]


def test_every_name_of_the_contract_exists_and_no_other() -> None:
    assert sorted(ACTIVATIONS) == sorted(NAMES)
    assert all(cls.name == name for name, cls in ACTIVATIONS.items())


def test_known_values_cover_every_smooth_activation() -> None:
    assert {case[0] for case in KNOWN} | {"relu"} == set(ELEMENTWISE)


@pytest.mark.parametrize(("name", "z", "value", "slope"), KNOWN)
def test_known_value_and_slope(name: str, z: float, value: float, slope: float) -> None:
    # Rounding z once already changes exp(-z²/2) by z² rounding units: no formula can do better than that.
    tolerance = 4e-16 * max(10, z * z)
    assert float(ACTIVATIONS[name].value(np.array(z))) == pytest.approx(value, rel=tolerance, abs=0)
    assert float(ACTIVATIONS[name].slope(np.array(z))) == pytest.approx(slope, rel=tolerance, abs=0)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_slope_agrees_with_central_differences(name: str) -> None:
    activation = ACTIVATIONS[name]
    z = np.linspace(-6, 6, 1201) + 0.003
    for corner in CORNERS.get(name, ()):
        z = z[np.abs(z - corner) > 1e-3]
    h = 1e-5
    differences = (activation.value(z + h) - activation.value(z - h)) / (2 * h)
    np.testing.assert_allclose(activation.slope(z), differences, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "z", "slope"),
    [
        ("relu", 0, 0),
        ("leaky_relu", 0, 0.01),
        ("elu", 0, 1),
        ("selu", 0, 1.7580993408473766),
        ("hard_tanh", -1, 0),
        ("hard_tanh", 1, 0),
        ("hard_sigmoid", -3, 0),
        ("hard_sigmoid", 3, 0),
        ("hard_swish", -3, 0),
        ("hard_swish", 3, 1),
        ("softsign", 0, 1),
    ],
)
def test_slope_at_a_corner_is_torchs(name: str, z: float, slope: float) -> None:
    assert float(ACTIVATIONS[name].slope(np.array([float(z)]))[0]) == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nothing_overflows_far_out(name: str) -> None:
    z = np.array([-1e4, -800.0, 800.0, 1e4, 5e-324, -5e-324, 0.0])
    with np.errstate(all="raise", under="ignore"):
        value, slope = ACTIVATIONS[name].value(z), ACTIVATIONS[name].slope(z)
    if name == "exp":
        z, value, slope = z[[0, 1, 4, 5, 6]], value[[0, 1, 4, 5, 6]], slope[[0, 1, 4, 5, 6]]
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    "name", [name for name in ELEMENTWISE if ACTIVATIONS[name].relu_like and name not in ("leaky_relu", "elu", "selu")]
)
def test_rectifiers_reach_their_limits(name: str) -> None:
    z = np.array([-1e4, 1e4])
    np.testing.assert_array_equal(ACTIVATIONS[name].value(z), [0, 1e4])
    np.testing.assert_array_equal(ACTIVATIONS[name].slope(z), [0, 1])


@pytest.mark.parametrize("name", ["gelu_tanh", "silu", "mish", "softplus", "gelu", "tanh", "sigmoid"])
def test_enormous_input_has_a_finite_slope(name: str) -> None:
    assert np.isfinite(ACTIVATIONS[name].slope(np.array([-1e200, 1e200]))).all()


def test_sigmoid_is_accurate_down_to_denormal_numbers() -> None:
    z = np.array([-720.0, -740.0])
    np.testing.assert_allclose(activations.Sigmoid.value(z), np.exp(z), rtol=1e-15)
    assert (activations.Sigmoid.value(z) > 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("z", [[[1, -2]], np.array([[1, -2]], dtype=np.float32), np.array([[1, -2]], dtype=np.int8)])
def test_everything_is_computed_in_float64(name: str, z: Any) -> None:
    exact = np.array([[1.0, -2.0]])
    assert ACTIVATIONS[name].value(z).dtype == np.float64
    np.testing.assert_array_equal(ACTIVATIONS[name].value(z), ACTIVATIONS[name].value(exact))
    if name != "softmax":
        assert ACTIVATIONS[name].slope(z).dtype == np.float64
        np.testing.assert_array_equal(ACTIVATIONS[name].slope(z), ACTIVATIONS[name].slope(exact))


@pytest.mark.parametrize("name", NAMES)
def test_shapes_empty_input_and_no_change_of_the_input(name: str) -> None:
    for shape in [(0, 3), (1, 1), (2, 3), (2, 3, 4)]:
        z = np.full(shape, -0.5)
        value = ACTIVATIONS[name].value(z)
        assert value.shape == shape
        assert ACTIVATIONS[name].backward(z, np.ones(shape)).shape == shape
        value += 1
        np.testing.assert_array_equal(z, np.full(shape, -0.5))


@pytest.mark.parametrize("name", NAMES)
def test_nan_goes_through(name: str) -> None:
    assert np.isnan(ACTIVATIONS[name].value(np.array([np.nan, 1.0]))[0])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_backward_is_the_product_with_the_slope(name: str) -> None:
    random = np.random.default_rng(1)
    z, grad = random.normal(size=(4, 3)), random.normal(size=(4, 3))
    np.testing.assert_array_equal(ACTIVATIONS[name].backward(z, grad), grad * ACTIVATIONS[name].slope(z))


def test_softmax_rows_are_probabilities_and_do_not_change_when_all_logits_shift() -> None:
    z = np.random.default_rng(2).normal(size=(5, 4)) * 10
    p = Softmax.value(z)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(Softmax.value(z + 1e4), p, rtol=1e-11)
    np.testing.assert_array_equal(Softmax.value(np.array([[1e4, -1e4], [3.0, 3.0]])), [[1, 0], [0.5, 0.5]])
    np.testing.assert_array_equal(Softmax.value(np.array([[7.0]])), [[1]])


def test_softmax_backward_agrees_with_central_differences() -> None:
    random = np.random.default_rng(3)
    z, grad, h = random.normal(size=(3, 5)), random.normal(size=(3, 5)), 1e-5
    expected = np.empty_like(z)
    for place in np.ndindex(z.shape):
        nudge = np.zeros_like(z)
        nudge[place] = h
        expected[place] = np.sum(grad * (Softmax.value(z + nudge) - Softmax.value(z - nudge))) / (2 * h)
    np.testing.assert_allclose(Softmax.backward(z, grad), expected, atol=1e-10)


def test_softmax_has_no_slope() -> None:
    with pytest.raises(TypeError, match=r"softmax has no slope.*Softmax\.backward"):
        Softmax.slope(np.zeros((1, 2)))


def test_aliases_and_unknown_names() -> None:
    for alias, name in ALIASES.items():
        assert activations.get(alias) is ACTIVATIONS[name]
    with pytest.raises(ValueError, match=r"activation 'rellu' is unknown: did you mean 'relu'\?"):
        activations.get("rellu")
    with pytest.raises(ValueError, match=r"activation '\?' is unknown: choose one of .*tanh"):
        activations.get("?")
    with pytest.raises(TypeError, match="activation 3 is int: expected a name"):
        activations.get(3)  # type: ignore[arg-type]


TORCH: dict[str, Callable[[Any], Any]] = {
    "identity": lambda F: lambda z: z * 1,
    "sigmoid": lambda F: F.sigmoid,
    "tanh": lambda F: F.tanh,
    "relu": lambda F: F.relu,
    "leaky_relu": lambda F: F.leaky_relu,
    "elu": lambda F: F.elu,
    "selu": lambda F: F.selu,
    "gelu": lambda F: F.gelu,
    "gelu_tanh": lambda F: lambda z: F.gelu(z, approximate="tanh"),
    "silu": lambda F: F.silu,
    "mish": lambda F: F.mish,
    "softplus": lambda F: F.softplus,
    "softsign": lambda F: F.softsign,
    "hard_sigmoid": lambda F: F.hardsigmoid,
    "hard_tanh": lambda F: F.hardtanh,
    "hard_swish": lambda F: F.hardswish,
    "exp": lambda F: lambda z: z.exp(),
    "sine": lambda F: lambda z: z.sin(),
    "softmax": lambda F: lambda z: F.softmax(z, dim=-1),
}


@pytest.mark.parametrize("name", NAMES)
def test_value_and_backward_agree_with_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(4)
    z = np.concatenate([random.normal(size=(20, 6)) * 3, [[-3, -1, -0.0, 0, 1, 3]]])
    grad = random.normal(size=z.shape)
    tensor = torch.tensor(z, requires_grad=True)
    output = TORCH[name](torch.nn.functional)(tensor)
    output.backward(torch.tensor(grad))
    # torch's softplus is cut to z above 20, and its hard_sigmoid knows 1/6 in single precision only.
    tolerance = {"softplus": 1e-8, "hard_sigmoid": 1e-7, "mish": 1e-8}.get(name, 1e-13)
    np.testing.assert_allclose(ACTIVATIONS[name].value(z), output.detach().numpy(), rtol=tolerance, atol=1e-15)
    np.testing.assert_allclose(ACTIVATIONS[name].backward(z, grad), tensor.grad.numpy(), rtol=tolerance, atol=1e-14)


def test_gelu_left_tail_against_the_asymptotic_series() -> None:
    z = np.array([-12.0, -20.0, -35.0])
    series = 1 - 1 / z**2 + 3 / z**4 - 15 / z**6 + 105 / z**8 - 945 / z**10
    expected = -np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * series
    np.testing.assert_allclose(activations.Gelu.value(z), expected, rtol=1e-8)
