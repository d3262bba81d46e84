"""Model files: what is saved comes back bit for bit, whole or not at all."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import deltarule as dr

DTYPES = ["float32", "float64"]
RANDOM = np.random.default_rng(9)
X = RANDOM.normal(size=(30, 3))
LABELS = (X[:, 0] > 0).astype(int)


def trained(dtype: str = "float32") -> dr.Network:
    middle = dr.Dense(3, "tanh", use_bias=False, init="orthogonal")
    layers = [dr.Dense(4, "swish", name="hidden", l2=0.01), middle, dr.Dense(2)]
    network = dr.Network(layers, input_shape=3, dtype=dtype, seed=2**64 - 1)
    network.fit(X, LABELS, loss="cross_entropy", epochs=3)
    return network


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def assert_equal(network: dr.Network, other: dr.Network) -> None:
    assert other.spec() == network.spec()
    assert list(other.state_dict()) == list(network.state_dict())
    assert bits(other) == bits(network)
    assert other.loss == network.loss
    assert other.epochs_trained == network.epochs_trained
    assert other.predict(X).tobytes() == network.predict(X).tobytes()
    # And they go on alike: the shuffles too.
    one, two = copy.deepcopy(network), copy.deepcopy(other)
    one.fit(X, LABELS, loss="cross_entropy", epochs=2, batch_size=8)
    two.fit(X, LABELS, loss="cross_entropy", epochs=2, batch_size=8)
    assert bits(one) == bits(two)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    trained().save(path)
    return path


class TestRoundTrip:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("as_text", [False, True])
    def test_save_and_load(self, dtype: str, as_text: bool, tmp_path: Path) -> None:
        network = trained(dtype)
        path: Any = tmp_path / "model.safetensors"
        path = str(path) if as_text else path
        network.save(path)
        loaded = dr.Network.load(path)
        assert_equal(network, loaded)
        assert loaded.predict_proba(X).tobytes() == network.predict_proba(X).tobytes()
        assert loaded.evaluate(X, LABELS) == network.evaluate(X, LABELS)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_pickle_and_copies(self, dtype: str) -> None:
        network = trained(dtype)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            assert_equal(network, pickle.loads(pickle.dumps(network, protocol)))
        assert_equal(network, copy.deepcopy(network))
        assert_equal(network, copy.copy(network))

    def test_a_copy_is_independent(self) -> None:
        network = trained()
        for duplicate in (copy.deepcopy(network), copy.copy(network)):
            before = bits(network)
            duplicate.fit(X, LABELS, loss="cross_entropy")
            assert bits(network) == before != bits(duplicate)

    def test_an_unbuilt_network(self, tmp_path: Path) -> None:
        network = dr.Network([dr.Dense(2, "relu")], seed=4)
        for duplicate in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            assert duplicate.input_shape is None
            assert duplicate.predict(X).tobytes() == dr.Network([dr.Dense(2, "relu")], seed=4).predict(X).tobytes()
        with pytest.raises(ValueError, match="does not know its number of inputs"):
            network.save(tmp_path / "model.safetensors")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("loss", [None, dr.Huber(delta=0.25), dr.Quantile(q=0.9), "mse"])
    def test_losses(self, loss: Any, tmp_path: Path) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=3)
        if loss is not None:
            network.fit(X, X[:, 0], loss=loss)
        network.save(tmp_path / "model")
        assert dr.Network.load(tmp_path / "model").loss == network.loss

    def test_a_loss_of_the_users_stays_behind(self, tmp_path: Path) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=3)
        network.fit(X, X[:, 0], loss=lambda output, y: (0.0, np.zeros_like(output)))
        network.save(tmp_path / "model")
        assert dr.Network.load(tmp_path / "model").loss is None
        assert pickle.loads(pickle.dumps(network)).loss is None

    def test_extreme_numbers(self, tmp_path: Path) -> None:
        network = dr.Network([dr.Dense(3, use_bias=False)], input_shape=1)
        network.load_state_dict({"0.weight": [[1e-45, -0.0, -3.4028235e38]]})
        network.save(tmp_path / "model")
        assert bits(dr.Network.load(tmp_path / "model")) == bits(network)

    def test_a_subclass_loads_as_itself(self, saved: Path) -> None:
        class Mine(dr.Network):
            pass

        assert type(Mine.load(saved)) is Mine


class TestForOthers:
    def test_safetensors_reads_it(self, saved: Path) -> None:
        network = trained()
        arrays = load_file(saved)
        assert {name: array.tobytes() for name, array in arrays.items()} == {
            name: array.tobytes() for name, array in network.parameters.items()
        }
        with safe_open(saved, framework="numpy") as file:
            metadata = file.metadata()
        assert list(metadata) == ["deltarule"]
        description = json.loads(metadata["deltarule"])
        assert description["spec"] == network.spec()
        assert description["loss"] == {"name": "cross_entropy"}
        assert description["epochs_trained"] == 3

    def test_safetensors_writes_it(self, saved: Path, tmp_path: Path) -> None:
        with safe_open(saved, framework="numpy") as file:
            metadata = file.metadata()
        arrays = load_file(saved)
        arrays["2.bias"] = np.array([5.0, -5.0], np.float32)
        save_file(arrays, tmp_path / "changed", metadata=metadata)
        assert dr.Network.load(tmp_path / "changed").parameters["2.bias"].tolist() == [5.0, -5.0]


class TestSaving:
    def test_replaces_the_old_file(self, saved: Path) -> None:
        network = trained()
        network.fit(X, LABELS, loss="cross_entropy")
        network.save(saved)
        assert bits(dr.Network.load(saved)) == bits(network)
        assert [path.name for path in saved.parent.iterdir()] == ["model.safetensors"]

    @pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
    def test_a_failure_leaves_the_old_file(self, failing: str, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*arguments: Any, **named: Any) -> Any:
            raise OSError(28, "No space left on device")

        before = saved.read_bytes()
        network = trained()
        network.fit(X, LABELS, loss="cross_entropy")
        monkeypatch.setattr(os, {"write": "fdopen", "fsync": "fsync", "replace": "replace"}[failing], fail)
        with pytest.raises(OSError, match="No space left"):
            network.save(saved)
        monkeypatch.undo()
        assert saved.read_bytes() == before
        assert [path.name for path in saved.parent.iterdir()] == ["model.safetensors"]

    def test_a_full_disk(self, tmp_path: Path) -> None:
        """A limit on the size of files stands for it: the write fails half way."""
        network = dr.Network([dr.Dense(1000)], input_shape=1000)
        path = tmp_path / "model"
        trained().save(path)
        before = path.read_bytes()
        code = (
            "import resource, signal, sys, pickle, deltarule as dr\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "network = dr.Network([dr.Dense(1000)], input_shape=1000)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "try:\n    network.save(sys.argv[1])\nexcept OSError as error:\n    print('refused', error.errno)\n"
        )
        result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
        assert result.stdout.startswith("refused"), result.stderr
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
        assert network.n_parameters == 1_001_000

    def test_the_rights_are_those_of_any_new_file(self, saved: Path) -> None:
        other = saved.parent / "other"
        other.touch()
        assert saved.stat().st_mode == other.stat().st_mode

    def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere'; create it first"):
            trained().save(tmp_path / "nowhere" / "model")

    @pytest.mark.parametrize("path", [None, 3, 1.5, ["model"]])
    def test_a_path_that_is_none(self, path: Any) -> None:
        with pytest.raises(TypeError):
            trained().save(path)
        with pytest.raises(TypeError):
            dr.Network.load(path)

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError):
            trained().save(tmp_path)
        with pytest.raises((IsADirectoryError, ValueError)):
            dr.Network.load(tmp_path)
        assert list(tmp_path.iterdir()) == list(tmp_path.parent.glob(".deltarule-*")) == []

    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"there is no file '.*nothing'"):
            dr.Network.load(tmp_path / "nothing")

    @pytest.mark.skipif(not os.path.exists("/dev/null"), reason="there are no devices")
    def test_not_over_a_device(self) -> None:
        with pytest.raises(ValueError, match=r"'/dev/null' is no file that could be replaced"):
            trained().save("/dev/null")
        assert not os.path.isfile("/dev/null")
