"""Weights under torch's names and back, on NumPy arrays alone: test_recurrent_torch.py has torch itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.torch_layout import from_torch_state_dict, to_torch_state_dict

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def torch_stack(
    gates: int, inputs: int, units: int, layers: int = 1, *, bidirectional: bool = False, prefix: str = "rnn."
) -> dict[str, Any]:
    """The state of an nn.RNN, nn.LSTM or nn.GRU, in torch's order."""
    random = np.random.default_rng(gates)
    state = {}
    for layer in range(layers):
        width = inputs if layer == 0 else units * (2 if bidirectional else 1)
        for suffix in ("", "_reverse") if bidirectional else ("",):
            shapes = {"weight_ih": (gates * units, width), "weight_hh": (gates * units, units)}
            shapes |= {"bias_ih": (gates * units,), "bias_hh": (gates * units,)}
            for leaf, shape in shapes.items():
                state[f"{prefix}{leaf}_l{layer}{suffix}"] = random.standard_normal(shape)
    return state


def linear(inputs: int, units: int, name: str = "head") -> dict[str, Any]:
    random = np.random.default_rng(9)
    return {f"{name}.weight": random.standard_normal((units, inputs)), f"{name}.bias": random.standard_normal(units)}


class TestThereAndBack:
    @pytest.mark.parametrize("kind", GATES)
    @pytest.mark.parametrize("layers", [1, 3])
    @pytest.mark.parametrize("bidirectional", [False, True])
    @pytest.mark.parametrize(("inputs", "units"), [(3, 5), (1, 1), (5, 5)])
    def test_stacks(self, kind: str, layers: int, bidirectional: bool, inputs: int, units: int) -> None:
        state = torch_stack(GATES[kind], inputs, units, layers, bidirectional=bidirectional)
        modules = {"rnn": list(range(layers))}
        ours = from_torch_state_dict(state, modules)
        assert len(ours) == len(state)
        for number in range(layers):
            for leaf in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                for suffix in ("", "_reverse") if bidirectional else ("",):
                    array = ours[f"{number}.{leaf}{suffix}"]
                    np.testing.assert_array_equal(array, state[f"rnn.{leaf}_l{number}{suffix}"].T)
                    assert array.flags.c_contiguous
        back = to_torch_state_dict(ours, modules)
        assert list(back) == list(state)
        for name, array in back.items():
            np.testing.assert_array_equal(array, state[name])
            assert array.flags.c_contiguous
            assert array.flags.writeable

    def test_a_whole_module(self) -> None:
        state = torch_stack(4, 3, 5, 2, prefix="body.lstm.") | linear(5, 2)
        state |= {"norm.weight": np.arange(5.0), "norm.bias": np.ones(5)}
        modules = {"body.lstm": ["first", "second"], "norm": 3, "head": ("4",)}
        ours = from_torch_state_dict(state, modules)
        assert [name for name in ours if name.endswith("weight_ih")] == ["first.weight_ih", "second.weight_ih"]
        assert ours["4.weight"].shape == (5, 2)
        np.testing.assert_array_equal(ours["3.weight"], np.arange(5.0))
        back = to_torch_state_dict(ours, modules)
        assert set(back) == set(state)
        assert all(np.array_equal(back[name], state[name]) for name in state)

    def test_layers_of_one_sequential_are_modules_of_their_own(self) -> None:
        state = linear(3, 4, "0") | linear(4, 2, "2")
        network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(2)], input_shape=3, dtype="float64")
        network.load_state_dict(from_torch_state_dict(state, {"0": 0, "2": 1}))
        x = np.ones((1, 3))
        hidden = np.tanh(x @ state["0.weight"].T + state["0.bias"])
        np.testing.assert_allclose(network.predict(x), hidden @ state["2.weight"].T + state["2.bias"], rtol=1e-13)
        back = to_torch_state_dict(network.state_dict(), {"0": "0", "2": "1"})
        assert all(np.array_equal(back[name], state[name]) for name in state)

    def test_a_module_alone_has_no_name(self) -> None:
        state = torch_stack(3, 2, 4, prefix="")
        ours = from_torch_state_dict(state, {"": 0})
        assert list(ours) == ["0.weight_ih", "0.weight_hh", "0.bias_ih", "0.bias_hh"]
        assert list(to_torch_state_dict(ours, {"": 0})) == list(state)

    def test_ten_layers_are_in_numerical_order(self) -> None:
        state = torch_stack(1, 2, 2, 11)
        ours = from_torch_state_dict(state, {"rnn": range(11)})
        np.testing.assert_array_equal(ours["10.weight_hh"], state["rnn.weight_hh_l10"].T)
        assert list(to_torch_state_dict(ours, {"rnn": range(11)})) == list(state)

    def test_biases_that_are_not_there_become_zero(self) -> None:
        state = {name: array for name, array in torch_stack(4, 3, 2).items() if "bias" not in name}
        ours = from_torch_state_dict(state, {"rnn": 0})
        assert list(ours) == ["0.weight_ih", "0.weight_hh", "0.bias_ih", "0.bias_hh"]
        for leaf in ("bias_ih", "bias_hh"):
            np.testing.assert_array_equal(ours[f"0.{leaf}"], np.zeros(8))
        without = from_torch_state_dict({"head.weight": np.ones((1, 2))}, {"head": 0})
        assert list(without) == ["0.weight"]  # Dense(use_bias=False)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_copies_of_the_same_dtype(self, dtype: str) -> None:
        state = {name: array.astype(dtype) for name, array in (torch_stack(1, 1, 1) | linear(1, 1)).items()}
        ours = from_torch_state_dict(state, {"rnn": 0, "head": 1})
        for array in ours.values():
            assert array.dtype == dtype
            array += 1
        again = from_torch_state_dict(state, {"rnn": 0, "head": 1})
        assert all((ours[name] != again[name]).all() for name in ours)
        back = to_torch_state_dict(again, {"rnn": 0, "head": 1})
        assert not any(np.shares_memory(one, two) for one in back.values() for two in again.values())

    def test_numbers_that_are_not_finite_pass(self) -> None:
        """What to say of them is for load_state_dict to decide."""
        state = linear(1, 1)
        state["head.weight"][0, 0] = np.nan
        assert np.isnan(from_torch_state_dict(state, {"head": 0})["0.weight"]).all()


def changed(state: dict[str, Any], **arrays: Any) -> dict[str, Any]:
    return {name: arrays.get(name.rpartition(".")[2], array) for name, array in state.items()}


LSTM = torch_stack(4, 3, 5, 2)
ONE = torch_stack(4, 3, 5)


@pytest.mark.parametrize(
    ("state", "modules", "error", "message"),
    [
        ([1], {"rnn": 0}, TypeError, r"state is list: expected a dict of arrays"),
        ({3: np.ones(2)}, {"rnn": 0}, TypeError, r"state has the key 3: expected the name"),
        ({"a.weight": "text"}, {"a": 0}, TypeError, r"state\['a\.weight'\] is of type str"),
        ({"a.weight": [[1.0], [2.0, 3.0]]}, {"a": 0}, ValueError, r"state\['a\.weight'\] is ragged"),
        (ONE, ["rnn"], TypeError, r"modules is \['rnn'\]: expected a dict"),
        (ONE, {0: "rnn"}, TypeError, r"modules has the key 0: expected the name of a torch module"),
        (ONE, {"rnn": []}, ValueError, r"modules\['rnn'\] is empty"),
        (ONE, {"rnn": None}, TypeError, r"modules\['rnn'\] has None: expected the name of a layer or its number"),
        (ONE, {"rnn": 0.0}, TypeError, r"modules\['rnn'\] has 0\.0"),
        (ONE, {"rnn": True}, TypeError, r"modules\['rnn'\] has True"),
        (ONE, {"rnn": b"0"}, TypeError, r"modules\['rnn'\] has b'0'"),
        (ONE, {"rnn": -1}, ValueError, r"modules\['rnn'\] has -1: layers are numbered from 0"),
        (ONE, {"rnn": "0.weight_ih"}, ValueError, r"has '0\.weight_ih': .* no dots"),
        (ONE, {"rnn": ""}, ValueError, r"has '': the name of a layer is not empty"),
        (ONE | linear(5, 1), {"rnn": 0, "head": 0}, ValueError, r"layer '0' is in modules\['rnn'\] and in .*'head'"),
        (ONE, {"rmn": 0}, ValueError, r"modules names the module 'rmn', which state does not have: did you mean 'rnn'"),
        (torch_stack(1, 2, 2, prefix=""), {"rnn": 0}, ValueError, r"no owner in their names: expected ''"),
        (
            ONE | linear(5, 1),
            {"rnn": 0},
            ValueError,
            r"state has head\.weight, head\.bias: name the module 'head' in modules, or take them out",
        ),
        (LSTM, {"rnn": 0}, ValueError, r"module 'rnn' has the layers \[0, 1\] but modules gives it 1 name, \['0'\]"),
        (ONE, {"rnn": [0, 1]}, ValueError, r"has the layers \[0\] but modules gives it 2 names"),
        (linear(3, 2), {"head": [0, 1]}, ValueError, r"module 'head' is one layer, of weight \(2, 3\), bias \(2,\)"),
        (ONE | {"rnn.weight_hr_l0": np.ones((2, 5))}, {"rnn": 0}, ValueError, r"has 'weight_hr_l0': .*proj_size"),
        ({"c.weight": np.ones((2, 3, 4))}, {"c": 0}, ValueError, r"has weight \(2, 3, 4\): expected the weight"),
        ({"c.bias": np.ones(2)}, {"c": 0}, ValueError, r"module 'c' has bias \(2,\): expected the weight"),
        (linear(2, 2) | {"head.running_mean": np.ones(2)}, {"head": 0}, ValueError, r"running_mean \(2,\): expected"),
        ({"h.weight": np.ones((1, 2)), "h.bias": np.ones((1, 1))}, {"h": 0}, ValueError, r"a bias of shape \(1, 1\)"),
        (
            {name: array for name, array in ONE.items() if "weight_hh" not in name},
            {"rnn": 0},
            ValueError,
            r"layer '_l0' has .*: expected weight_ih, weight_hh, bias_ih, bias_hh$",
        ),
        (changed(ONE, weight_hh_l0=np.ones((10, 5))), {"rnn": 0}, ValueError, r"\(10, 5\): .* 1, 3 or 4 gates"),
        (changed(ONE, weight_hh_l0=np.ones(20)), {"rnn": 0}, ValueError, r"has shape \(20,\): expected"),
        (changed(ONE, weight_ih_l0=np.ones((15, 3))), {"rnn": 0}, ValueError, r"weight_ih of shape \(15, 3\)"),
        (changed(ONE, bias_hh_l0=np.ones(5)), {"rnn": 0}, ValueError, r"bias_hh of shape \(5,\): expected \(20,\)"),
        (changed(LSTM, weight_ih_l1=np.ones((20, 4))), {"rnn": [0, 1]}, ValueError, r"'_l1' takes 4 inputs .* gives 5"),
    ],
)
def test_what_from_torch_refuses(state: Any, modules: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_torch_state_dict(state, modules)


def layers(*stacks: dict[str, Any]) -> dict[str, Any]:
    """Layers of this library, numbered, each made from a torch module of one layer."""
    result: dict[str, Any] = {}
    for number, stack in enumerate(stacks):
        result |= from_torch_state_dict(stack, {next(iter(stack)).rpartition(".")[0]: number})
    return result


@pytest.mark.parametrize(
    ("state", "modules", "error", "message"),
    [
        (layers(ONE), {"rnn": [0, 1]}, ValueError, r"modules names the layer '1', which state does not have"),
        (layers(ONE, linear(5, 1)), {"rnn": 0}, ValueError, r"1\.weight, 1\.bias: name the layer '1' in modules"),
        (layers(ONE, linear(5, 1)), {"rnn": [0, 1]}, ValueError, r"layer '1' is not recurrent"),
        (
            layers(ONE, torch_stack(3, 5, 5)),
            {"rnn": [0, 1]},
            ValueError,
            r"layer '1' has 1 direction\(s\) of 5 units and 3 gate\(s\) but the first has 1 of 5 and 4",
        ),
        (layers(ONE, torch_stack(4, 5, 4)), {"rnn": [0, 1]}, ValueError, r"of 4 units .* the first has 1 of 5"),
        (
            layers(ONE, torch_stack(4, 5, 5, bidirectional=True)),
            {"rnn": [0, 1]},
            ValueError,
            r"layer '1' has 2 direction\(s\)",
        ),
        (
            layers(torch_stack(1, 2, 3), torch_stack(1, 3, 3)),
            {"rnn": [1, 0]},
            ValueError,
            r"layer '0' takes 2 inputs but the one before gives 3: are the names in order",
        ),
        (
            {name: array for name, array in layers(ONE).items() if name != "0.bias_hh"},
            {"rnn": 0},
            ValueError,
            r"expected weight_ih, weight_hh, bias_ih, bias_hh",
        ),
    ],
)
def test_what_to_torch_refuses(state: Any, modules: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        to_torch_state_dict(state, modules)


def test_torch_is_not_imported() -> None:
    program = (
        "import sys, numpy as np; from deltarule.torch_layout import from_torch_state_dict\n"
        "from_torch_state_dict({'h.weight': np.ones((1, 2))}, {'h': 0}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False"
