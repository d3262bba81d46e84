"""The network of the reference: a step worked by hand, gradients against differences and PyTorch, and its parts."""

from __future__ import annotations

import ast
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule.reference
from deltarule.reference import ACTIVATIONS, LOSSES, Dense, Network
from deltarule.reference.fused import FUSED

Array = NDArray[np.float64]


def make(sizes: list[int], activations: list[str], seed: int = 0, **settings: Any) -> Network:
    """Return a network with random weights and biases."""
    random = np.random.default_rng(seed)
    return Network(
        [
            Dense(random.normal(size=(n_in, n_out)) * 0.5, random.normal(size=n_out) * 0.3, activation, **settings)
            for n_in, n_out, activation in zip(sizes, sizes[1:], activations, strict=False)
        ]
    )


def data(loss: str, n_samples: int, inputs: int, outputs: int, seed: int = 1) -> tuple[Array, Any]:
    """Return inputs, and targets of the kind the loss is for."""
    random = np.random.default_rng(seed)
    X, shape = random.normal(size=(n_samples, inputs)), (n_samples, outputs)
    if loss == "cross_entropy":
        return X, random.integers(0, outputs, size=n_samples)
    if loss == "binary_cross_entropy":
        return X, random.integers(0, 2, size=shape).astype(float)
    if loss in ("hinge", "squared_hinge"):
        return X, random.choice([-1.0, 1.0], size=shape)
    return X, random.normal(size=shape) if not loss.startswith("poisson") else random.poisson(2.0, size=shape)


def relative_error(actual: Array, expected: Array) -> float:
    """Return ‖actual - expected‖ / ‖expected‖."""
    size = float(np.linalg.norm(expected))
    return float(np.linalg.norm(actual - expected)) / size if size else float(np.linalg.norm(actual))


class TestTheStepWorkedByHand:
    """The well-known 2-2-2 example; its loss ½ Σ (t - o)² is the mean over two outputs, and its biases stay fixed."""

    X, y = [[0.05, 0.10]], [[0.01, 0.99]]

    @staticmethod
    def network() -> Network:
        return Network(
            [
                Dense([[0.15, 0.25], [0.20, 0.30]], [0.35, 0.35], "sigmoid"),
                Dense([[0.40, 0.50], [0.45, 0.55]], [0.60, 0.60], "sigmoid"),
            ]
        )

    def test_every_number_of_the_first_step(self) -> None:
        network = self.network()
        output = network.forward(self.X)
        hidden, last = network.layers
        np.testing.assert_allclose(np.asarray(hidden.z), [[0.3775, 0.3925]], rtol=1e-14)
        np.testing.assert_allclose(output, [[0.75136507, 0.772928465]], rtol=1e-8)
        loss, gradients = network.loss_and_gradients(self.X, self.y, "mse")
        assert loss == pytest.approx(0.298371109, abs=5e-10)
        w_last = last.weight - 0.5 * gradients["1.weight"]
        w_hidden = hidden.weight - 0.5 * gradients["0.weight"]
        np.testing.assert_allclose(w_last.T.ravel(), [0.35891648, 0.40866619, 0.51130127, 0.56137012], atol=5e-9)
        np.testing.assert_allclose(w_hidden.T.ravel(), [0.14978072, 0.19956143, 0.24975114, 0.29950229], atol=5e-9)

    def test_the_loss_after_10000_steps(self) -> None:
        network = self.network()
        for _ in range(10_000):
            for name, gradient in network.loss_and_gradients(self.X, self.y, "mse")[1].items():
                if name.endswith("weight"):
                    network.parameters[name][...] -= 0.5 * gradient
        assert network.loss(self.X, self.y, "mse") == pytest.approx(3.51e-5, abs=5e-8)


@pytest.mark.parametrize(("activation", "loss"), [*itertools.product(sorted(ACTIVATIONS), sorted(LOSSES))])
def test_gradients_agree_with_central_differences(activation: str, loss: str) -> None:
    # the Poisson loss takes the exponential once more, which must stay of moderate size: hence no exp upon exp
    hidden = "tanh" if activation in ("softmax", "exp") else activation
    network = make([3, 4, 2], [hidden, activation], seed=3)
    X, y = data(loss, 5, 3, 2, seed=4)
    expected = network.numerical_gradients(X, y, loss)
    _, gradients = network.loss_and_gradients(X, y, loss)
    assert gradients.keys() == expected.keys() == network.parameters.keys()
    for name, gradient in gradients.items():
        assert relative_error(gradient, expected[name]) < 1e-7, name


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_penalties_weights_and_layers_without_bias_agree_with_central_differences(loss: str) -> None:
    random = np.random.default_rng(5)
    layers = [
        Dense(random.normal(size=(3, 4)), None, "tanh", l1=0.02, l2=0.3),
        Dense(random.normal(size=(4, 3)), random.normal(size=3), "softmax", l2=0.1, name="top"),
    ]
    network = Network(layers)
    X, y = data(loss, 6, 3, 3)
    weight = np.array([1.0, 0.0, 2.0, 0.5, 3.0, 1.0])
    value, gradients = network.loss_and_gradients(X, y, loss, weight)
    assert value == network.loss(X, y, loss, weight)
    assert list(gradients) == ["0.weight", "top.weight", "top.bias"]
    for name, expected in network.numerical_gradients(X, y, loss, sample_weight=weight).items():
        assert relative_error(gradients[name], expected) < 1e-7, name


def test_penalty_by_hand() -> None:
    layer = Dense([[1.0, -2.0], [0.0, 3.0]], [5.0, 5.0], l1=0.1, l2=0.5)
    assert layer.penalty() == pytest.approx(0.1 * 6 + 0.25 * 14)
    np.testing.assert_allclose(layer.penalty_gradient(), [[0.6, -1.1], [0.0, 1.6]])


@pytest.mark.parametrize("sizes", [[1, 1], [1, 1, 1], [7, 1, 5, 2]])
@pytest.mark.parametrize("n_samples", [1, 4])
def test_narrow_networks_and_small_batches(sizes: list[int], n_samples: int) -> None:
    network = make(sizes, ["tanh"] * 3)
    X, y = data("mse", n_samples, sizes[0], sizes[-1])
    for name, expected in network.numerical_gradients(X, y, "mse").items():
        assert relative_error(network.loss_and_gradients(X, y, "mse")[1][name], expected) < 1e-7


def test_backward_returns_the_gradient_of_the_input() -> None:
    network, random = make([3, 4, 2], ["gelu", "softmax"]), np.random.default_rng(6)
    X, grad, h = random.normal(size=(5, 3)), random.normal(size=(5, 2)), 1e-5
    network.forward(X)
    actual = network.backward(grad)
    for place in np.ndindex(X.shape):
        nudge = np.zeros_like(X)
        nudge[place] = h
        difference = np.sum(grad * (network.forward(X + nudge) - network.forward(X - nudge))) / (2 * h)
        assert actual[place] == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize(("activation", "loss"), sorted(FUSED))
class TestFused:
    """A last softmax or sigmoid with the loss for it."""

    def test_same_loss_and_gradients_as_logits(self, activation: str, loss: str) -> None:
        X, y = data(loss, 6, 3, 4)
        fused, logits = make([3, 5, 4], ["tanh", activation]), make([3, 5, 4], ["tanh", "identity"])
        value, gradients = fused.loss_and_gradients(X, y, loss)
        expected_value, expected = logits.loss_and_gradients(X, y, loss)
        assert value == expected_value == fused.loss(X, y, loss)
        for name, gradient in gradients.items():
            np.testing.assert_array_equal(gradient, expected[name])

    def test_same_gradients_as_the_textbook_product(self, activation: str, loss: str) -> None:
        X, y = data(loss, 6, 3, 4)
        network = make([3, 5, 4], ["tanh", activation])
        _, gradients = network.loss_and_gradients(X, y, loss)
        p = network.forward(X)
        grad_p = {
            "cross_entropy": lambda: -np.eye(4)[y] / p / len(X),
            "binary_cross_entropy": lambda: (-y / p + (1 - y) / (1 - p)) / p.size,
        }[loss]()
        network.backward(grad_p)
        for name, textbook in network.gradients.items():
            assert relative_error(gradients[name], textbook) < 1e-14

    def test_logits_of_any_size(self, activation: str, loss: str) -> None:
        network = Network([Dense([[1e4, -1e4]], None, activation)])
        y = np.array([1, 0]) if loss == "cross_entropy" else np.array([[0.0, 1.0], [1.0, 0.0]])
        value, gradients = network.loss_and_gradients([[1.0], [-1.0]], y, loss)
        assert value == (2e4 if loss == "cross_entropy" else 1e4)
        np.testing.assert_array_equal(gradients["0.weight"], [[1, -1]] if loss == "cross_entropy" else [[0.5, -0.5]])


def test_the_gradient_of_softmax_and_cross_entropy_is_p_minus_one_hot() -> None:
    network, X, y = make([3, 4], ["softmax"]), np.eye(3), np.array([3, 0, 1])
    _, gradients = network.loss_and_gradients(X, y, "cross_entropy")
    np.testing.assert_allclose(gradients["0.weight"], (network.forward(X) - np.eye(4)[y]) / 3, rtol=1e-15)


def test_gradients_agree_with_torch_autograd() -> None:
    torch = pytest.importorskip("torch")
    network = make([5, 7, 6, 3], ["gelu", "silu", "identity"], seed=8)
    X, y = data("cross_entropy", 9, 5, 3)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in network.parameters.items()}
    a = torch.tensor(X)
    for layer, f in enumerate([torch.nn.functional.gelu, torch.nn.functional.silu, torch.nn.Identity()]):
        a = f(a @ tensors[f"{layer}.weight"] + tensors[f"{layer}.bias"])
    expected = torch.nn.functional.cross_entropy(a, torch.tensor(y))
    expected.backward()
    value, gradients = network.loss_and_gradients(X, y, "cross_entropy")
    assert value == pytest.approx(expected.item(), rel=1e-14)
    for name, gradient in gradients.items():
        assert relative_error(gradient, tensors[name].grad.numpy()) < 1e-13


def test_training_a_network_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    network = make([3, 4, 2], ["tanh", "identity"], seed=9)
    X, y = data("mse", 8, 3, 2)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in network.parameters.items()}
    rule = torch.optim.Adam(tensors.values(), lr=0.01)
    for _ in range(100):
        rule.zero_grad()
        hidden = torch.tanh(torch.tensor(X) @ tensors["0.weight"] + tensors["0.bias"])
        output = hidden @ tensors["1.weight"] + tensors["1.bias"]
        loss = torch.nn.functional.mse_loss(output, torch.tensor(y))
        loss.backward()
        torch.nn.utils.clip_grad_value_(tensors.values(), 0.2)
        torch.nn.utils.clip_grad_norm_(tensors.values(), 0.3)
        rule.step()
        before = network.step(X, y, "mse", {"name": "adam", "lr": 0.01}, clip_norm=0.3, clip_value=0.2)
        assert before == pytest.approx(loss.item(), rel=1e-11)
    for name, array in network.parameters.items():
        np.testing.assert_allclose(array, tensors[name].detach().numpy(), rtol=1e-11)


def test_step_keeps_its_memory_while_the_rule_stays_and_drops_it_when_another_takes_over() -> None:
    X, y = [[1.0]], [[0.0]]
    network = Network([Dense([[1.0]])])
    momentum = {"name": "sgd", "lr": 0.1, "momentum": 0.5}
    assert network.step(X, y, "mse", momentum) == 1.0
    assert network.parameters["0.weight"].item() == pytest.approx(0.8)  # velocity 2
    network.step(X, y, "mse", momentum | {"lr": 0.01})
    assert network.parameters["0.weight"].item() == pytest.approx(0.8 - 0.01 * (1 + 1.6))
    before = network.parameters["0.weight"].item()
    network.step(X, y, "mse", {"name": "rprop", "lr": 0.1})
    network.step(X, y, "mse", {"name": "sgd", "lr": 0.0, "momentum": 0.5})
    assert network.parameters["0.weight"].item() == pytest.approx(before - 0.1)


def test_xor_is_learned() -> None:
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
    network = make([2, 4, 1], ["tanh", "sigmoid"], seed=0)
    for _ in range(500):
        network.step(X, y, "binary_cross_entropy", {"name": "adam", "lr": 0.05})
    np.testing.assert_array_equal(network.forward(X).round(), y)


SPEC: dict[str, Any] = {
    "input_shape": [2],
    "dtype": "float32",
    "layers": [
        {
            "type": "dense",
            "units": 3,
            "activation": "tanh",
            "use_bias": True,
            "init": "auto",
            "l1": 0.1,
            "name": "first",
        },
        {"type": "dense", "units": 1, "activation": "logistic", "use_bias": False, "l2": 0.5, "name": None},
    ],
}


def parameters() -> dict[str, Any]:
    return {
        "first.weight": np.ones((2, 3), dtype=np.float32),
        "first.bias": np.zeros(3, dtype=np.float32),
        "1.weight": [[1.0], [2.0], [3.0]],
    }


def test_from_spec() -> None:
    given = parameters()
    network = Network.from_spec(SPEC, given)
    assert [layer.activation.name for layer in network.layers] == ["tanh", "sigmoid"]
    assert [(layer.l1, layer.l2) for layer in network.layers] == [(0.1, 0.0), (0.0, 0.5)]
    assert list(network.parameters) == ["first.weight", "first.bias", "1.weight"]
    assert all(array.dtype == np.float64 for array in network.parameters.values())
    network.step([[1.0, 2.0]], [[1.0]], "mse", "sgd")
    np.testing.assert_array_equal(given["first.weight"], np.ones((2, 3)))


@pytest.mark.parametrize(
    ("spec", "change", "message"),
    [
        ({"layers": [{"type": "dens", "units": 1}]}, {}, "layer type 'dens' is unknown: did you mean 'dense'"),
        ({"layers": []}, {}, "layers is empty: a network needs at least one layer"),
        (SPEC, {"first.bias": None}, "parameters has no bias for the layer.*it has weight"),
        (SPEC, {"1.weight": None}, "parameters has no weight for the layer.*it has nothing"),
        (SPEC, {"1.weight": np.ones((3, 2))}, r"weight has shape \(3, 2\) but the layer has 1 units"),
        (SPEC, {"1.weight": np.ones(3)}, r"weight has shape \(3,\): expected \(inputs, units\)"),
        (SPEC, {"first.bias": np.ones(2)}, r"bias has shape \(2,\) but weight has shape \(2, 3\)"),
    ],
)
def test_specs_and_parameters_that_do_not_fit_are_refused(spec: Any, change: dict[str, Any], message: str) -> None:
    given = {name: array for name, array in (parameters() | change).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        Network.from_spec(spec, given)


def test_shapes_that_do_not_fit_are_refused() -> None:
    network = make([2, 3], ["tanh"])
    with pytest.raises(RuntimeError, match="backward was called before forward"):
        network.backward(np.zeros((1, 3)))
    for X in (np.zeros((4, 3)), np.zeros(2), np.zeros((1, 4, 3)), np.zeros((1, 1, 4, 2))):
        with pytest.raises(ValueError, match="but the layer takes 2 inputs"):
            network.forward(X)
    network.forward(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"grad_output has shape \(3, 3\) but the output has shape \(4, 3\)"):
        network.backward(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="y has 3 rows but the output has 4"):
        network.loss(np.zeros((4, 2)), np.zeros((3, 3)), "mse")
    with pytest.raises(ValueError, match="at least one sample"):
        network.loss(np.zeros((0, 2)), np.zeros((0, 3)), "mse")
    assert network.forward(np.zeros((0, 2))).shape == (0, 3)


def test_numerical_gradients_leave_the_network_alone() -> None:
    network = make([2, 3], ["tanh"])
    X, y = data("mse", 4, 2, 3)
    network.forward(X)
    expected = network.backward(np.ones((4, 3)))
    before = {name: array.copy() for name, array in network.parameters.items()}
    network.numerical_gradients(X, y, "mse", step=1e-3)
    np.testing.assert_array_equal(network.backward(np.ones((4, 3))), expected)
    for name, array in network.parameters.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_layer_copies_what_it_is_made_from() -> None:
    weight, bias = np.ones((2, 3)), np.ones(3)
    layer = Dense(weight, bias)
    layer.weight += 1
    layer.parameters["bias"][...] = 0
    np.testing.assert_array_equal(weight, np.ones((2, 3)))
    np.testing.assert_array_equal(bias, np.ones(3))


def test_nan_in_the_input_reaches_the_loss() -> None:
    network = make([2, 3, 1], ["relu", "identity"])
    assert math.isnan(network.loss([[np.nan, 1.0]], [[0.0]], "mse"))


def test_the_reference_imports_numpy_the_standard_library_and_itself_only() -> None:
    folder = Path(str(deltarule.reference.__file__)).parent
    allowed = {"__future__", "collections", "copy", "dataclasses", "difflib", "functools", "math", "numpy", "typing"}
    files = sorted(folder.glob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [str(node.module)]
            else:
                above = getattr(node, "level", 1) > 1 and node.module != "names"
                assert not above, f"{file.name} imports from above the reference"
                continue
            assert {module.split(".")[0] for module in modules} <= allowed, file.name
