"""Networks, data and optimizers that explain_step is tried with: every kind of layer, cell, loss and rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import deltarule as dr

RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(3, 2))
SEQUENCES = RANDOM.normal(size=(2, 3, 2))


@dataclass(frozen=True)
class Case:
    """What is explained."""

    layers: list[Any]
    y: Any
    loss: Any
    X: Any = field(default_factory=lambda: X)
    settings: dict[str, Any] = field(default_factory=dict)

    def network(self, dtype: str = "float64") -> dr.Network:
        shape = self.X.shape[1] if np.ndim(self.X) == 2 else (None, 2)
        network = dr.Network(self.layers, input_shape=shape, dtype=dtype, seed=1)
        random = np.random.default_rng(2)
        network.load_state_dict(
            {name: random.normal(0, 0.6, array.shape) for name, array in network.parameters.items()}
        )
        return network


def squares(output: Any, y: Any) -> tuple[float, Any]:
    return float(((output - y) ** 2).mean()), 2 * (output - y) / output.size


NUMBERS = RANDOM.normal(size=(3, 2))
YES_NO = np.array([[0.0, 1.0], [1.0, 1.0], [0.3, 0.0]])
LABELS = np.array([2, 0, 1])
BY_STEP = RANDOM.normal(size=(2, 3, 1))

CASES = {
    "mse": Case([dr.Dense(2, "sigmoid"), dr.Dense(2, "tanh")], NUMBERS, "mse"),
    "one sample": Case([dr.Dense(1, "relu"), dr.Dense(1)], NUMBERS[:1, :1], "mse", X[:1]),
    "no bias": Case([dr.Dense(3, "selu", use_bias=False), dr.Dense(2, use_bias=False)], NUMBERS, "mae"),
    "huber": Case([dr.Dense(2, "elu"), dr.Dense(2)], NUMBERS, dr.Huber(delta=0.7)),
    "log_cosh": Case([dr.Dense(2, "softplus"), dr.Dense(2)], NUMBERS, "log_cosh"),
    "poisson": Case([dr.Dense(2, "gelu"), dr.Dense(2)], np.abs(NUMBERS).round(), "poisson"),
    "poisson_deviance": Case([dr.Dense(2, "silu"), dr.Dense(2)], np.abs(NUMBERS).round(), "poisson_deviance"),
    "quantile": Case([dr.Dense(2, "mish"), dr.Dense(2)], NUMBERS, dr.Quantile(q=0.2)),
    "hinge": Case([dr.Dense(2, "softsign"), dr.Dense(2)], np.sign(NUMBERS), "hinge"),
    "squared_hinge": Case([dr.Dense(2, "hard_swish"), dr.Dense(2)], np.sign(NUMBERS), "squared_hinge"),
    "cross_entropy": Case([dr.Dense(2, "leaky_relu"), dr.Dense(3)], LABELS, "cross_entropy"),
    "softmax": Case([dr.Dense(2, "gelu_tanh"), dr.Dense(3, "softmax")], LABELS, "cross_entropy"),
    "softmax and mse": Case([dr.Dense(2, "hard_tanh"), dr.Dense(3, "softmax")], np.eye(3), "mse"),
    "probability rows": Case([dr.Dense(3)], np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0, 0.5, 0.5]]), "cross_entropy"),
    "binary_cross_entropy": Case([dr.Dense(2, "sine"), dr.Dense(2)], YES_NO, "binary_cross_entropy"),
    "sigmoid": Case([dr.Dense(2, "exp"), dr.Dense(2, "sigmoid")], YES_NO, "binary_cross_entropy"),
    "own loss": Case([dr.Dense(2, "hard_sigmoid"), dr.Dense(2)], NUMBERS, squares),
    "penalties": Case([dr.Dense(2, "tanh", l1=0.1), dr.Dense(2, l1=0.2, l2=0.3)], NUMBERS, "mse"),
    "layer norm": Case(
        [dr.Dense(3, "tanh"), dr.Dropout(0.5), dr.LayerNorm(), dr.Dense(3, "tanh"), dr.LayerNorm(), dr.Dense(2)],
        NUMBERS,
        "mse",
    ),
    "first layer norm": Case([dr.LayerNorm(), dr.Dropout(0.2), dr.Dense(1, name="last")], NUMBERS[:, :1], "mse"),
    "weights": Case([dr.Dense(2, "tanh"), dr.Dense(2)], NUMBERS, "mse", settings={"sample_weight": [1.0, 0.0, 3.0]}),
    "weighted classes": Case([dr.Dense(3)], LABELS, "cross_entropy", settings={"sample_weight": [1.0, 2.0, 3.0]}),
    "rnn": Case([dr.RNN(2), dr.Dense(1)], NUMBERS[:2, :1], "mse", SEQUENCES),
    "rnn relu": Case([dr.RNN(2, "relu", l2=0.1), dr.Dense(1)], NUMBERS[:2, :1], "mse", SEQUENCES),
    "lstm": Case([dr.LSTM(2), dr.Dense(2)], LABELS[:2] // 2, "cross_entropy", SEQUENCES),
    "gru": Case([dr.GRU(2), dr.Dense(1)], NUMBERS[:2, :1], "mse", SEQUENCES),
    "stacked": Case(
        [dr.Dense(2, "tanh"), dr.GRU(2, return_sequences=True), dr.LayerNorm(), dr.LSTM(1), dr.Dense(1)],
        NUMBERS[:2, :1],
        "mse",
        SEQUENCES,
    ),
    "by step": Case([dr.LSTM(2, return_sequences=True), dr.Dense(1)], BY_STEP, "mse", SEQUENCES),
    "ragged": Case(
        [dr.RNN(2, return_sequences=True), dr.Dense(1)],
        BY_STEP,
        "mse",
        SEQUENCES,
        {"lengths": [1, 3], "sample_weight": [2.0, 1.0]},
    ),
    "ragged last": Case([dr.GRU(2), dr.Dense(1)], NUMBERS[:2, :1], "mse", SEQUENCES, {"lengths": [3, 2]}),
    "dense on sequences": Case(
        [dr.Dense(2, "tanh"), dr.Dense(2)], LABELS[[0, 1, 1, 1, 0, 1]].reshape(2, 3) // 2, "cross_entropy", SEQUENCES
    ),
}

OPTIMIZERS = [
    dr.SGD(lr=0.3),
    dr.SGD(lr=0.3, weight_decay=0.1, momentum=0.9, dampening=0.5),
    dr.SGD(lr=0.3, momentum=0.9, nesterov=True),
    dr.SGD(lr=0.3, momentum=0.9, nesterov=True, lr_in_velocity=True),
    dr.SGD(lr=0.3, lr_in_velocity=True),
    dr.RMSprop(weight_decay=0.1, momentum=0.5),
    dr.RMSprop(centered=True),
    dr.Adagrad(weight_decay=0.1),
    dr.Adagrad(initial_accumulator_value=0.5, lr_decay=0.1),
    dr.Adadelta(weight_decay=0.1),
    dr.Adam(weight_decay=0.1),
    dr.Adam(amsgrad=True),
    dr.Adam(eps_hat=True),
    dr.AdamW(),
    dr.AdamW(weight_decay=0.0),
    dr.NAdam(weight_decay=0.1),
    dr.NAdam(weight_decay=0.1, decoupled_weight_decay=True),
    dr.Rprop(),
    dr.Rprop(lr=1e-9),
]  # fmt: skip
