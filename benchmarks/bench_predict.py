"""Predictions: one row as fast as a call can be, and thousands at once; NumPy arrays in and out for everyone.

To add a peer: a function from weights and activation to a function of X, and its name in PEERS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.threads import available_threads

CASES = {
    "one row": ((4, 64, 64, 2), "tanh", 1),
    "4096 rows": ((28, 64, 64, 1), "relu", 4096),
}
Predict = Callable[[Any], Any]


def ours(network: dr.Network, activation: str) -> Predict:
    return network.predict


def numpy(network: dr.Network, activation: str) -> Predict:
    state = network.state_dict()
    *hidden, last = [(state[f"{i}.weight"], state[f"{i}.bias"]) for i in range(len(network.layers))]

    def predict(a: Any) -> Any:
        for weight, bias in hidden:
            a = a @ weight
            a += bias
            a = np.tanh(a, out=a) if activation == "tanh" else np.maximum(a, 0, out=a)
        return a @ last[0] + last[1]

    return predict


def sklearn(network: dr.Network, activation: str) -> Predict:
    networks = pytest.importorskip("sklearn.neural_network")
    inputs, widths = network.input_shape or 0, [layer.units for layer in network.layers]
    model = networks.MLPRegressor(
        hidden_layer_sizes=widths[:-1], activation=activation, solver="sgd", max_iter=1, batch_size=2
    )
    target = np.zeros((2, widths[-1]), np.float32)
    model.partial_fit(np.zeros((2, inputs), np.float32), target.ravel() if widths[-1] == 1 else target)
    state = network.state_dict()
    model.coefs_ = [state[f"{i}.weight"] for i in range(len(widths))]
    model.intercepts_ = [state[f"{i}.bias"] for i in range(len(widths))]
    return lambda X: model.predict(X).reshape(len(X), -1)


def torch(threads: int) -> Callable[[dr.Network, str], Predict]:
    def make(network: dr.Network, activation: str) -> Predict:
        torch = pytest.importorskip("torch")
        torch.set_num_threads(threads)
        linear = torch.nn.functional.linear
        state = {name: torch.from_numpy(array.T.copy()) for name, array in network.state_dict().items()}
        *hidden, last = [(state[f"{i}.weight"], state[f"{i}.bias"]) for i in range(len(network.layers))]
        function = torch.tanh if activation == "tanh" else torch.relu

        def predict(X: Any) -> Any:
            with torch.inference_mode():
                x = torch.from_numpy(X)
                for weight, bias in hidden:
                    x = function(linear(x, weight, bias))
                return linear(x, *last).numpy()

        return predict

    return make


def jax(network: dr.Network, activation: str) -> Predict:
    jax = pytest.importorskip("jax")
    state = {name: jax.numpy.asarray(array) for name, array in network.state_dict().items()}
    *hidden, last = [(state[f"{i}.weight"], state[f"{i}.bias"]) for i in range(len(network.layers))]
    function = jax.numpy.tanh if activation == "tanh" else jax.nn.relu

    @jax.jit
    def compiled(x: Any) -> Any:
        for weight, bias in hidden:
            x = function(x @ weight + bias)
        return x @ last[0] + last[1]

    return lambda X: np.asarray(compiled(X))


def onnxruntime(network: dr.Network, activation: str) -> Predict:
    runtime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    helper, state, count = onnx.helper, network.state_dict(), len(network.layers)
    nodes, name = [], "x"
    for i in range(count):
        nodes.append(helper.make_node("Gemm", [name, f"{i}.weight", f"{i}.bias"], [f"z{i}"]))
        name = f"z{i}"
        if i < count - 1:
            nodes.append(helper.make_node("Tanh" if activation == "tanh" else "Relu", [name], [f"a{i}"]))
            name = f"a{i}"
    shapes = [("x", ["n", network.input_shape]), (name, ["n", network.layers[-1].units])]
    values = [helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, shape) for value, shape in shapes]
    constants = [onnx.numpy_helper.from_array(array, key) for key, array in state.items()]
    graph = helper.make_graph(nodes, "network", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda X: session.run(None, {"x": X})[0]


PEERS = {
    "deltarule": ours,
    "NumPy": numpy,
    "scikit-learn": sklearn,
    "torch, 1 thread": torch(1),
    **({f"torch, {available_threads()} threads": torch(available_threads())} if available_threads() > 1 else {}),
    "JAX, jitted": jax,
    "ONNX Runtime": onnxruntime,
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("case", CASES)
def bench_prediction(benchmark: Any, case: str, peer: str) -> None:
    (inputs, *hidden, outputs), activation, rows = CASES[case]
    layers = [*(dr.Dense(units, activation) for units in hidden), dr.Dense(outputs)]
    network = dr.Network(layers, input_shape=inputs, seed=0)
    X = np.random.default_rng(0).standard_normal((rows, inputs), np.float32)
    predict = PEERS[peer](network, activation)
    np.testing.assert_allclose(predict(X), network.predict(X), rtol=1e-4, atol=1e-5)
    benchmark.group = f"predict, {case}, {inputs}-{'-'.join(map(str, hidden))}-{outputs} {activation}"
    benchmark(predict, X)
