"""`BatchNorm` in files and in print, and what it, its twin and the core refuse."""

from __future__ import annotations

import copy
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference

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


class TestKeeping:
    def network(self) -> dr.Network:
        network = new(dr.BatchNorm(0.2, 1e-4), dr.Dense(9, "tanh"), dr.BatchNorm(name="between"))
        network.fit(X, Y, loss="mse", epochs=2)
        return network

    def test_files_pickles_and_copies(self, tmp_path: Path) -> None:
        network = self.network()
        network.save(tmp_path / "net.safetensors")
        expected = copy.deepcopy(network)
        expected.fit(X, Y, loss="mse", epochs=1)
        for again in (
            dr.Network.load(tmp_path / "net.safetensors"),
            pickle.loads(pickle.dumps(network)),
            copy.deepcopy(network),
        ):
            assert again.layers == network.layers
            assert bits(again) == bits(network)
            np.testing.assert_array_equal(again.predict(X), network.predict(X))
            again.fit(X, Y, loss="mse", epochs=1)
            assert bits(again) == bits(expected)

    def test_a_fit_that_goes_on_is_one_fit(self) -> None:
        at_once, resumed = usual(), usual()
        at_once.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=0.05), epochs=4)
        for _ in range(2):
            resumed.fit(X, Y, loss="mse", optimizer=dr.SGD(lr=0.05), epochs=2)
            resumed = pickle.loads(pickle.dumps(resumed))
        assert bits(resumed) == bits(at_once)

    def test_the_steps_of_a_trainer_are_those_of_a_fit(self) -> None:
        fitted, stepped = usual(dtype="float32"), usual(dtype="float32")
        fitted.fit(X, Y, loss="mse", optimizer="adam", epochs=1, batch_size=8, shuffle=False)
        trainer = dr.Trainer(stepped, loss="mse", optimizer="adam")
        x, y = X.astype(np.float32), Y.astype(np.float32)  # ready: the shorter way
        for first in range(0, 60, 8):
            trainer.step(x[first : first + 8], y[first : first + 8])
        assert bits(fitted) == bits(stepped)

    @pytest.mark.parametrize(
        "change", [{"eps": 0.0}, {"momentum": 1.5}, {"momentum": "0.1"}, {"units": 7}, {"name": "0.5"}]
    )
    def test_forged_files_are_refused(self, change: dict[str, Any], tmp_path: Path) -> None:
        from safetensors.numpy import load_file, save_file

        path, network = tmp_path / "net.safetensors", self.network()
        network.save(path)
        arrays = load_file(path)
        spec = network.spec()
        spec["layers"][0] |= change
        description = {"version": 1, "spec": spec, "loss": None, "epochs_trained": 0, "metadata": {}}
        save_file(arrays, path, {"deltarule": json.dumps(description)})
        with pytest.raises(ValueError, match="cannot be loaded"):
            dr.Network.load(path)

    @pytest.mark.parametrize(
        ("value", "message"), [(-1e-3, r"running_var'\] has -0\.001 at place 2: a variance"), (np.nan, "not finite")]
    )
    def test_variances_below_0(self, value: float, message: str, tmp_path: Path) -> None:
        from safetensors import safe_open
        from safetensors.numpy import load_file, save_file

        path, network = tmp_path / "net.safetensors", self.network()
        network.save(path)
        with safe_open(path, "numpy") as file:
            metadata = file.metadata()
        arrays = load_file(path)
        arrays["0.running_var"][2] = value
        save_file(arrays, path, metadata)
        with pytest.raises(ValueError, match=r"net\.safetensors.*" + message.replace("not finite", "finite")):
            dr.Network.load(path)
        before = bits(network)
        with pytest.raises(ValueError, match=message.replace("not finite", "nan|finite")):
            network.load_state_dict(arrays)
        assert bits(network) == before

    def test_what_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        network = new(dr.Dense(4, "relu"), dr.BatchNorm(name="norm"))
        assert "BatchNorm(momentum=0.1, eps=1e-05), Dense(3" in repr(network)
        network.summary()
        lines = capsys.readouterr().out.splitlines()
        assert lines[2].split() == ["norm", "batch_norm", "eps", "1e-05", "(n,", "4)", "8"]
        assert len({len(line) for line in lines[:-1]}) == 1
        assert lines[-1].startswith("55 parameters")


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"momentum": -0.1}, ValueError, r"momentum=-0.1: expected a finite number of at least 0 and of at most 1"),
            ({"momentum": 1.1}, ValueError, "of at most 1"),
            ({"momentum": None}, TypeError, "momentum=None: expected a number"),
            ({"eps": 0}, ValueError, "eps=0: expected a finite number above 0"),
            ({"eps": math.nan}, ValueError, "eps=nan"),
            ({"eps": "small"}, TypeError, "expected a number"),
            ({"name": "1"}, ValueError, "expected a name without dots"),
            ({"trainable": 1}, TypeError, "trainable=1: expected True or False"),
            ({"lr_factor": -1}, ValueError, "lr_factor=-1: expected a finite number of at least 0"),
        ],
    )
    def test_arguments(self, settings: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            dr.BatchNorm(**settings)

    @pytest.mark.parametrize(("dtype", "eps"), [("float32", 1e-46), ("float64", 1e-310), ("float32", 1e39)])
    def test_eps_that_the_dtype_does_not_hold(self, dtype: str, eps: float) -> None:
        with pytest.raises(ValueError, match=r"BatchNorm\(eps=.*as the network's dtype holds it"):
            new(dr.BatchNorm(eps=eps), dtype=dtype)

    def test_the_last_layer(self) -> None:
        with pytest.raises(ValueError, match=r"BatchNorm\(.*is the last layer.*end in Dense"):
            dr.Network([dr.Dense(3), dr.BatchNorm()])
        native = {"inputs": 2, "sequences": False, "layers": [dr.BatchNorm().to_spec()]}
        with pytest.raises(ValueError, match=r"the last layer is of type \"batch_norm\".*end in Dense"):
            _core.NetworkFloat32(native)
        with pytest.raises(ValueError, match="last layer is BatchNorm"):
            reference.Network([reference.BatchNorm([1.0], [0.0], [0.0], [1.0])])

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_sequences(self, place: int) -> None:
        """Early, wherever it becomes clear that there are some; the core too."""
        layers: list[Any] = [dr.LSTM(4, return_sequences=place == 2), dr.Dense(3)]
        layers.insert(min(place, 1), dr.BatchNorm())
        message = "use LayerNorm, which normalizes each step by itself"
        with pytest.raises(ValueError, match=f"recurrent layers, which read sequences.*{message}"):
            dr.Network(layers)
        plain = [dr.BatchNorm(), dr.Dense(3)]
        with pytest.raises(ValueError, match=rf"input_shape=\(None, 4\) is that of sequences.*{message}"):
            dr.Network(plain, input_shape=(None, 4))
        with pytest.raises(ValueError, match=f"X has three dimensions, those of sequences.*{message}"):
            dr.Network(plain).fit(np.ones((5, 4, 3)), np.ones((5, 4, 3)), loss="mse")
        for of in (layers, plain):
            native = {"inputs": 4, "sequences": True, "layers": [layer.to_spec() for layer in of]}
            with pytest.raises(ValueError, match=r"\(batch_norm\) measures the rows of a batch.*use LayerNorm"):
                _core.NetworkFloat64(native)

    def test_the_reference_refuses_sequences(self) -> None:
        norm = reference.BatchNorm([1.0], [0.0], [0.0], [1.0])
        with pytest.raises(ValueError, match="for sequences there is LayerNorm"):
            norm.forward(np.ones((2, 3, 1)))
        spec = dr.Network([dr.GRU(1), dr.Dense(1)], (None, 1)).spec()
        state = dr.Network([dr.GRU(1), dr.Dense(1)], (None, 1)).state_dict()
        recurrent = reference.Network.from_spec(spec, state)
        with pytest.raises(ValueError, match="beside Recurrent use LayerNorm"):
            reference.Network([recurrent.layers[0], norm, recurrent.layers[1]])

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            (([1.0], [0.0], [0.0, 1.0], [1.0]), "expected \\(features,\\) for all"),
            (([1.0], [0.0], [0.0], [-1.0]), "a variance is at least 0"),
            (([[1.0]], [[0.0]], [[0.0]], [[1.0]]), "expected \\(features,\\) for all"),
        ],
    )
    def test_what_the_reference_is_made_of(self, arrays: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            reference.BatchNorm(*arrays)

    def test_what_else_the_reference_refuses(self) -> None:
        with pytest.raises(ValueError, match="momentum=2"):
            reference.BatchNorm([1.0], [0.0], [0.0], [1.0], momentum=2)
        with pytest.raises(ValueError, match="eps=0"):
            reference.BatchNorm([1.0], [0.0], [0.0], [1.0], eps=0)
        norm = reference.BatchNorm([1.0], [0.0], [0.0], [1.0])
        with pytest.raises(RuntimeError, match="before forward"):
            norm.backward([[1.0]])
        norm.forward([[1.0]])
        with pytest.raises(ValueError, match="expected the same shape"):
            norm.backward([[1.0], [2.0]])
        with pytest.raises(ValueError, match="no running_var"):
            reference.BatchNorm.from_spec({}, {"weight": [1.0], "bias": [0.0], "running_mean": [0.0]})

    @pytest.mark.parametrize("training", [1, "yes", None])
    def test_training_is_true_or_false(self, training: Any) -> None:
        network = usual()
        with pytest.raises(TypeError, match=r"training=.*expected True or False"):
            network.loss_and_gradients(X, Y, loss="mse", training=training)
        with pytest.raises(TypeError, match=r"training=.*expected True or False"):
            network.forward(X, training=training)
        if training is not None:
            with pytest.raises(TypeError, match=r"training=.*expected True, False or None"):
                dr.gradcheck(network, X, Y, loss="mse", training=training)

    @pytest.mark.parametrize(
        "tensors",
        [
            {"running_mean": np.ones(3)},
            {"running_mean": np.ones(3), "running_var": np.ones(2)},
            {"running_mean": np.ones((3, 3)), "running_var": np.ones((3, 3))},
            {"running_mean": np.ones(3), "running_var": np.ones(3), "weight_v": np.ones(3)},
        ],
    )
    def test_no_batch_norm_of_torch(self, tensors: dict[str, Array]) -> None:
        with pytest.raises(ValueError, match="expected weight, bias, running_mean, running_var, each of shape"):
            dr.from_torch_state_dict({f"norm.{name}": array for name, array in tensors.items()}, {"norm": 0})
