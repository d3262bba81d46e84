"""`training=True`: gradients as a step sees them, with its masks and its batch; gradcheck of both forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr

Array = NDArray[Any]

DTYPES = ["float32", "float64"]
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(60, 7)) * 3 + 5
Y = np.tanh(X[:, :3] - X[:, 3:6])


def new(*hidden: Any, inputs: int = 7, dtype: str = "float64", seed: int = 5) -> dr.Network:
    return dr.Network([*hidden, dr.Dense(3)], inputs, dtype, seed)


def usual(**settings: Any) -> dr.Network:
    return new(dr.BatchNorm(), dr.Dense(9, "tanh"), dr.BatchNorm(name="between"), **settings)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class TestBothForms:
    """`training=` of gradcheck, forward and backward; with dropout too."""

    def network(self, dtype: str = "float64") -> dr.Network:
        return new(dr.Dropout(0.2), dr.Dense(12, "gelu"), dr.BatchNorm(), dr.Dropout(0.5), dtype=dtype)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_gradcheck_of_either(self, dtype: str) -> None:
        network = self.network(dtype)
        network.epochs_trained = 7
        both = dr.gradcheck(network, X[:9], Y[:9], loss="mse")
        assert both, str(both)
        for training in (False, True):
            check = dr.gradcheck(network, X[:9], Y[:9], loss="mse", training=training)
            assert check, str(check)
            assert check.tensors == tuple(tensor for tensor in both.tensors if tensor.training == training)
        assert "1.weight in training" in str(both)
        assert [tensor["training"] for tensor in both.to_dict()["tensors"]] == [False] * 6 + [True] * 6

    def test_a_network_without_such_layers_is_checked_once(self) -> None:
        assert len(dr.gradcheck(new(dr.Dense(4, "tanh")), X[:5], Y[:5], loss="mse").tensors) == 4
        check = dr.gradcheck(new(dr.Dense(4, "tanh")), X[:5], Y[:5], loss="mse", training=True)
        assert check
        assert all(tensor.training for tensor in check.tensors)

    def test_a_wrong_gradient_in_training_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        network = self.network()
        right = network.loss_and_gradients

        def wrong(*arguments: Any, **settings: Any) -> tuple[float, dict[str, Array]]:
            value, gradients = right(*arguments, **settings)
            if settings["training"]:
                gradients["2.weight"][3] *= 1.001
            return value, gradients

        monkeypatch.setattr(network, "loss_and_gradients", wrong)
        check = dr.gradcheck(network, X[:9], Y[:9], loss="mse")
        assert not check
        assert "2.weight in training fails" in check.verdict

    def test_forward_and_backward_are_those_of_the_gradients(self) -> None:
        for network in (self.network(), usual(), new(dr.Dropout(0.3), dr.BatchNorm(), dr.Dense(5, "relu"))):
            for training in (True, False, True):
                value, gradients = network.loss_and_gradients(X, Y, loss="mse", training=training)
                output = network.forward(X, training=training)
                assert ((output - Y) ** 2).mean() == pytest.approx(value, rel=1e-13)
                network.backward(2 * (output - Y) / Y.size)
                for name, gradient in gradients.items():
                    np.testing.assert_allclose(network.gradients[name], gradient, rtol=1e-11, atol=1e-14)

    def test_the_gradient_of_the_input(self) -> None:
        """By differences, through the statistics of the batch and held masks."""
        network = self.network()
        x, g = X[:6].copy(), RANDOM.normal(size=(6, 3))
        network.forward(x, training=True)
        gradient = network.backward(g)
        for place in np.ndindex(x.shape):
            h, kept = 1e-5, x[place]
            x[place] = kept + h
            above = (network.forward(x, training=True) * g).sum()
            x[place] = kept - h
            below = (network.forward(x, training=True) * g).sum()
            x[place] = kept
            assert (above - below) / (2 * h) == pytest.approx(gradient[place], rel=1e-6, abs=1e-8)

    def test_nothing_is_changed(self) -> None:
        network = self.network()
        before = bits(network)
        network.loss_and_gradients(X, Y, loss="mse", training=True)
        network.backward(network.forward(X, training=True))
        dr.gradcheck(network, X[:5], Y[:5], loss="mse")
        assert bits(network) == before
        assert network.epochs_trained == 0

    def test_sequences_with_dropout(self) -> None:
        """The masks of a step of training, and with bptt_steps those of each of its updates."""
        layers = [dr.RNN(3, return_sequences=True), dr.Dropout(0.4), dr.RNN(3), dr.Dropout(0.3), dr.Dense(2)]
        network = dr.Network(layers, (None, 2), "float64", seed=3)
        x, y = RANDOM.normal(size=(6, 4, 2)), RANDOM.normal(size=(6, 2))
        start = network.state_dict()
        value, gradients = network.loss_and_gradients(x, y, loss="mse", training=True)
        assert value != network.loss_and_gradients(x, y, loss="mse")[0]
        assert ((network.forward(x, training=True) - y) ** 2).mean() == pytest.approx(value, rel=1e-13)
        for bptt_steps in (None, 2):
            check = dr.gradcheck(network, x, y, loss="mse", lengths=[4, 2, 3, 4, 3, 1], bptt_steps=bptt_steps)
            assert check, str(check)
        assert dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=1.0)).step(x, y) == value
        for name, gradient in gradients.items():
            np.testing.assert_allclose(start[name] - network.state_dict()[name], gradient, rtol=0, atol=1e-15)
