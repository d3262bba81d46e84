"""Recurrent layers as parts of a network: initial weights, shapes, files, pickles, copies, what is printed."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recurrent_networks import KINDS, Array, batch, bits, layer, make
from safetensors.numpy import load_file

import deltarule as dr

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
NAMES = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]


def started(kind: str, units: int = 60, inputs: int = 40, *, seed: int = 0, **options: Any) -> dict[str, Array]:
    """A layer's initial tensors."""
    network = dr.Network([layer(kind, units, **options), dr.Dense(1)], (None, inputs), "float64", seed)
    return {name.removeprefix("0."): array for name, array in network.state_dict().items() if name.startswith("0.")}


@pytest.mark.parametrize("kind", KINDS)
class TestInitialWeights:
    def test_shapes_and_names(self, kind: str) -> None:
        wide = GATES[kind] * 5
        shapes = {"weight_ih": (3, wide), "weight_hh": (5, wide), "bias_ih": (wide,), "bias_hh": (wide,)}
        assert {name: array.shape for name, array in started(kind, 5, 3).items()} == shapes
        assert list(started(kind, 5, 3)) == NAMES
        both = started(kind, 5, 3, bidirectional=True)
        assert list(both) == [*NAMES, *(f"{name}_reverse" for name in NAMES)]
        assert all(array.shape == shapes[name.removesuffix("_reverse")] for name, array in both.items())

    def test_are_torchs(self, kind: str) -> None:
        """Every tensor, biases too, uniform in ±1/√units."""
        for units, inputs in ((60, 40), (16, 300), (1, 1)):
            bound = units**-0.5
            tensors = started(kind, units, inputs, bidirectional=True)
            for name, array in tensors.items():
                assert np.abs(array).max() <= bound, name
                if array.size >= 60:
                    assert np.abs(array).max() > 0.9 * bound, name
                    assert abs(array.mean()) < 4 * bound / (3 * array.size) ** 0.5
                    assert array.std() == pytest.approx(bound / 3**0.5, rel=4 / array.size**0.5)
            if units > 1:
                assert len({array.tobytes() for array in tensors.values()}) == 8

    def test_seeds(self, kind: str) -> None:
        assert bits(started(kind, seed=1)) == bits(started(kind, seed=1))
        assert bits(started(kind, seed=1)) != bits(started(kind, seed=2))

    def test_orthogonal_gate_by_gate(self, kind: str) -> None:
        tensors = started(kind, bidirectional=True, recurrent_init="orthogonal")
        blocks = []
        for ending in ("", "_reverse"):
            for block in np.split(tensors[f"weight_hh{ending}"], GATES[kind], axis=1):
                assert block.shape == (60, 60)
                np.testing.assert_allclose(block.T @ block, np.eye(60), atol=1e-12)
                blocks.append(block.tobytes())
            assert np.abs(tensors[f"weight_ih{ending}"]).max() <= 60**-0.5  # these are still torch's
            assert tensors[f"bias_ih{ending}"].any()
        assert len(set(blocks)) == len(blocks)

    @pytest.mark.parametrize(
        ("name", "bound"),
        [("glorot_uniform", (6 / 100) ** 0.5), ("he_uniform", (6 / 40) ** 0.5), ("lecun_uniform", (3 / 40) ** 0.5)],
    )
    def test_named_ones_have_the_fans_of_a_gate_and_biases_of_0(self, kind: str, name: str, bound: float) -> None:
        tensors = started(kind, init=name)
        for block in np.split(tensors["weight_ih"], GATES[kind], axis=1):
            assert 0.97 * bound < np.abs(block).max() <= bound
        assert not tensors["bias_ih"].any()
        assert not tensors["bias_hh"].any()
        assert np.abs(tensors["weight_hh"]).max() <= 60**-0.5
        recurrent = started(kind, recurrent_init=name)["weight_hh"]
        square = {"glorot_uniform": (6 / 120) ** 0.5, "he_uniform": (6 / 60) ** 0.5, "lecun_uniform": (3 / 60) ** 0.5}
        for block in np.split(recurrent, GATES[kind], axis=1):
            assert 0.97 * square[name] < np.abs(block).max() <= square[name]

    def test_aliases_and_zeros(self, kind: str) -> None:
        assert bits(started(kind, init="xavier_uniform")) == bits(started(kind, init="glorot_uniform"))
        assert not any(array.any() for array in started(kind, init="zeros", recurrent_init="zeros").values())


def test_forget_bias() -> None:
    for ending in ("", "_reverse"):
        plain, tensors = (started("lstm", bidirectional=True, **o) for o in ({}, {"forget_bias": 1.5}))
        forget = slice(60, 120)  # of i, f, g, o
        assert (tensors[f"bias_ih{ending}"][forget] == 1.5).all()
        assert not tensors[f"bias_hh{ending}"][forget].any()
        for name in NAMES:
            rest = (
                np.delete(plain[name + ending], np.arange(60, 120), axis=-1) if "bias" in name else plain[name + ending]
            )
            ours = (
                np.delete(tensors[name + ending], np.arange(60, 120), axis=-1)
                if "bias" in name
                else tensors[name + ending]
            )
            np.testing.assert_array_equal(ours, rest)
    assert (started("lstm", init="glorot_uniform", forget_bias=0.5)["bias_ih"][60:120] == 0.5).all()


def rich(dtype: str = "float32", input_shape: Any = (None, 3)) -> dr.Network:
    """All kinds of layers, all kinds of settings."""
    layers = [
        dr.RNN(4, "relu", return_sequences=True, init="he_uniform", name="below"),
        dr.LayerNorm(eps=1e-3),
        dr.LSTM(3, return_sequences=True, bidirectional=True, forget_bias=1.0, recurrent_init="orthogonal", l1=0.01),
        dr.Dropout(0.2),
        dr.Dense(5, "gelu"),
        dr.GRU(4, l2=0.1),
        dr.Dense(2),
    ]
    return dr.Network(layers, input_shape=input_shape, dtype=dtype, seed=2**64 - 1)


DATA = batch(6, 5, ragged=True, loss="cross_entropy")


def train(network: dr.Network) -> None:
    network.fit(DATA.X, DATA.y, loss="cross_entropy", epochs=2, batch_size=4, lengths=DATA.lengths)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("input_shape", [(None, 3), (5, 3)])
class TestKept:
    def test_in_files_pickles_and_copies(self, input_shape: Any, dtype: str, tmp_path: Path) -> None:
        network = rich(dtype, input_shape)
        train(network)
        network.save(tmp_path / "net.safetensors")
        for again in (
            dr.Network.load(tmp_path / "net.safetensors"),
            pickle.loads(pickle.dumps(network)),
            copy.deepcopy(network),
        ):
            assert again.layers == network.layers
            assert again.spec() == network.spec()
            assert again.input_shape == input_shape
            assert (again.loss, again.epochs_trained) == (network.loss, 2)
            assert bits(again) == bits(network)
            one, two = copy.deepcopy(network), again
            for each in (one, two):
                train(each)
            assert bits(one, one.predict(DATA.X, lengths=DATA.lengths)) == bits(
                two, two.predict(DATA.X, lengths=DATA.lengths)
            )

    def test_in_a_spec(self, input_shape: Any, dtype: str) -> None:
        network = rich(dtype, input_shape)
        spec = json.loads(json.dumps(network.spec()))
        assert spec["input_shape"] == list(input_shape)
        again = dr.Network.from_spec(spec)
        assert again.spec() == network.spec()
        assert bits(again) == bits(network)

    def test_by_a_state_dict(self, input_shape: Any, dtype: str) -> None:
        network, other = rich(dtype, input_shape), rich(dtype, input_shape)
        train(network)
        other.load_state_dict(network.state_dict())
        assert bits(other) == bits(network)


def test_states_of_other_shapes_are_refused() -> None:
    network = rich("float64")
    good = network.state_dict()
    before = bits(network)
    for name, wrong in (
        ("below.weight_hh", np.zeros((4, 5))),
        ("2.weight_ih", good["2.weight_ih"].T),
        ("2.weight_ih_reverse", np.zeros((4, 9))),
        ("2.bias_hh", np.zeros((1, 12))),
        ("5.bias_ih", np.zeros(8)),
        ("5.weight_hh", np.full((4, 12), np.nan)),
    ):
        with pytest.raises(ValueError, match=rf"state\['{name}'\]"):
            network.load_state_dict(good | {name: wrong})
    for missing in ("2.bias_hh_reverse", "5.weight_hh"):
        with pytest.raises(ValueError, match=rf"state lacks \['{missing}'\]"):
            network.load_state_dict({name: array for name, array in good.items() if name != missing})
    with pytest.raises(ValueError, match=r"\['5\.bias_ih_reverse'\] that the network does not know"):
        network.load_state_dict(good | {"5.bias_ih_reverse": np.zeros(12)})
    assert bits(network) == before


class TestHostileFiles:
    """A file says what it holds twice, in its header and in its spec; where the two differ it is refused."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        path = tmp_path / "model.safetensors"
        rich().save(path)
        return path

    def refused(self, path: Path, number: int, change: dict[str, Any], shape: Any = None) -> str:
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        header, numbers = json.loads(content[8 : 8 + size]), content[8 + size :]
        description = json.loads(header["__metadata__"]["deltarule"])
        if shape is not None:
            description["spec"]["input_shape"] = shape
        entry = description["spec"]["layers"][number]
        entry.update(change)
        description["spec"]["layers"][number] = {key: value for key, value in entry.items() if value != "gone"}
        header["__metadata__"]["deltarule"] = json.dumps(description)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
        with pytest.raises(ValueError, match="model") as caught:
            dr.Network.load(path)
        assert type(caught.value) is ValueError
        assert len(str(caught.value)) < 3000
        path.write_bytes(content)
        return str(caught.value)

    @pytest.mark.parametrize(
        ("number", "change"),
        [
            (2, {"type": "gru", "forget_bias": "gone"}),
            (5, {"type": "lstm", "forget_bias": None}),
            (5, {"type": "rnn", "activation": "tanh"}),
            (5, {"type": "dense", "activation": "tanh"}),
            (2, {"bidirectional": False}),
            (5, {"bidirectional": True}),
            (5, {"units": 5}),
            (0, {"name": "other"}),
        ],
        ids=str,
    )
    def test_other_gates_directions_and_shapes(self, number: int, change: dict[str, Any], saved: Path) -> None:
        assert "cannot be loaded" in self.refused(saved, number, change)

    @pytest.mark.parametrize("value", [None, "x", -1, 0, 1.5, True, [], {}, 2**31, 10**400, float("nan"), float("inf")])
    def test_odd_values(self, value: Any, saved: Path) -> None:
        for key in ("type", "units", "return_sequences", "bidirectional", "init", "recurrent_init", "forget_bias"):
            harmless = (key == "return_sequences" and value is True) or (key == "bidirectional" and value is True)
            number_of_choice = key == "forget_bias" and (value is None or type(value) in (int, float))
            finite = number_of_choice and (value is None or abs(value) < 1e300)
            if not harmless and not finite:
                assert "cannot be loaded" in self.refused(saved, 2, {key: value})
        if value != "tanh":
            assert "cannot be loaded" in self.refused(saved, 0, {"activation": value})

    def test_a_sequence_where_none_is_left(self, saved: Path) -> None:
        assert "return_sequences=True" in self.refused(saved, 2, {"return_sequences": False})

    @pytest.mark.parametrize("shape", [[3], [0, 3], [-1, 3], [None, 0], [None, None], [1.5, 3], [1, 2, 3], None, "x"])
    def test_input_shapes(self, shape: Any, saved: Path) -> None:
        assert "cannot be loaded" in self.refused(saved, 5, {}, shape="" if shape is None else shape)

    def test_keys(self, saved: Path) -> None:
        self.refused(saved, 5, {"forget_bias": 1.0})
        self.refused(saved, 2, {"forget_bias": "gone"})
        self.refused(saved, 0, {"activation": "gone"})
        self.refused(saved, 5, {"new": 1})
        assert set(load_file(saved)) == set(rich().state_dict())
        dr.Network.load(saved)


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    network = rich()
    assert repr(network) == (
        "Network([RNN(4, 'relu', return_sequences=True), LayerNorm(eps=0.001), LSTM(3, return_sequences=True, "
        "bidirectional=True), Dropout(0.2), Dense(5, 'gelu'), GRU(4), Dense(2, 'identity')], input_shape=(None, 3), "
        "dtype='float32', seed=18446744073709551615)"
    )
    network.summary()
    lines = capsys.readouterr().out.splitlines()
    shapes = ["(n, steps, 4)", "(n, steps, 4)", "(n, steps, 6)", "(n, steps, 6)", "(n, steps, 5)", "(n, 4)", "(n, 2)"]
    assert [line for line, shape in zip(lines[1:], shapes, strict=False) if shape not in line] == []
    counts = [3 * 4 + 4 * 4 + 8, 8, 2 * (4 * 12 + 3 * 12 + 24), 0, 35, 5 * 12 + 4 * 12 + 24, 10]
    assert [int(line.split()[-1]) for line in lines[1:8]] == counts
    assert lines[1].split()[:3] == ["below", "rnn", "relu"]
    assert lines[-1] == f"{sum(counts)} parameters, float32, from 3 inputs at each step"
    assert network.n_parameters == sum(counts)
    rich(input_shape=(5, 3)).summary()
    assert "(n, 5, 6)" in capsys.readouterr().out


def test_the_shape_is_taken_from_the_first_data() -> None:
    for forward in (False, True):
        network = dr.Network([dr.GRU(4), dr.Dense(2)])
        assert network.input_shape is None
        if forward:
            network.predict(DATA.X, lengths=DATA.lengths)
        else:
            train(network)
        assert network.input_shape == (None, 3)
        assert network.predict(DATA.X[:, :2, :], lengths=[1, 2, 1, 1, 1, 1]).shape == (6, 2)


def test_layers_are_values() -> None:
    assert dr.GRU(3) == dr.GRU(3)
    assert dr.GRU(3) != dr.GRU(3, bidirectional=True)
    assert len({dr.LSTM(3), dr.LSTM(3), dr.LSTM(3, forget_bias=1.0)}) == 2
    with pytest.raises(AttributeError):
        dr.GRU(3).units = 4  # type: ignore[misc]
    assert bits(make("lstm")) == bits(make("lstm"))
