"""Networks of the reference on sequences: training in chunks, dropout, specs, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from small_sequences import (
    INPUTS,
    LENGTHS,
    N_STEPS,
    OUTPUTS,
    UNITS,
    assert_close,
    data,
    layer,
    parameters,
    stacked,
    summing,
)

from deltarule.reference import CELLS, LAYERS, Dense, Dropout, Network, Recurrent
from deltarule.reference.masks import dropout_mask
from deltarule.reference.sequences import Sequences


class TestTraining:
    """Steps with `bptt_steps`, where each chunk is an update."""

    @pytest.mark.parametrize("weight", [None, [1.0, 0.5, 0.0, 2.0]])
    @pytest.mark.parametrize("by_step", [False, True])
    def test_each_chunk_is_an_update_with_the_state_of_the_one_before(self, by_step: bool, weight: Any) -> None:
        """Written out: samples that are over are left away, and a loss is taken of those that end."""
        network, twin = (stacked(("gru", "tanh"), 2, by_step=by_step) for _ in range(2))
        X, y = data(by_step)
        lengths, w = np.array([3, 5, 3, 2]), np.ones(4) if weight is None else np.array(weight)
        rule, total, weights = {"name": "adam", "lr": 0.05}, 0.0, 0.0
        state = {name: np.zeros((4, UNITS)) for name in twin.forward(X, return_state=True)[1]}
        for first in range(0, N_STEPS, 2):
            steps = np.clip(lengths - first, 0, 2)
            here = np.flatnonzero(steps > 0)
            before = {name: array[here] for name, array in state.items()}
            longest = slice(first, first + steps.max())
            after = twin.forward(X[here, longest], lengths=steps[here], initial_state=before, return_state=True)[1]
            ends = here if by_step else np.flatnonzero((lengths > first) & (lengths <= first + 2))
            if ends.size:
                mine = {name: array[ends] for name, array in state.items()}
                targets = y[ends, longest] if by_step else y[ends]
                options: dict[str, Any] = {"lengths": steps[ends], "initial_state": mine}
                value = twin.step(X[ends, longest], targets, "mse", rule, w[ends], **options)
                share = float((w[ends] * (steps[ends] if by_step else 1)).sum())
                total, weights = total + share * value, weights + share
            for name, array in after.items():
                state[name][here] = array
        actual = network.step(X, y, "mse", rule, weight, lengths=lengths, bptt_steps=2)
        assert actual == pytest.approx(total / weights, rel=1e-13)
        assert_close(network.parameters, twin.parameters, 1e-13)

    def test_a_chunk_without_an_output_makes_no_update(self) -> None:
        network, (X, y) = stacked(("lstm", "tanh"), 1), data(False)
        seen: list[int] = []

        def key(chunk: int) -> int:
            seen.append(chunk)
            return chunk

        network.step(X, y, "mse", "adam", key=key, lengths=[5, 5, 2, 5], bptt_steps=1)
        assert seen == [0, 1, 2, 3, 4]
        assert {state["step"] for state in network._optimizer_states.values()} == {2}

    def test_a_chunk_of_samples_without_weight_is_an_update_with_a_loss_of_0(self) -> None:
        """Only the sample without weight has more than one step: what is learned is the loss of the first steps."""
        network, twin = (stacked(("rnn", "tanh"), 1, by_step=True) for _ in range(2))
        X, y = data(True)
        weight, sgd = [1.0, 0.0, 1.0, 1.0], {"name": "sgd", "lr": 0.1}
        value = network.step(X, y, "mse", sgd, weight, lengths=[1, 3, 1, 1], bptt_steps=1)
        assert value == pytest.approx(twin.step(X[:, :1], y[:, :1], "mse", sgd, weight), rel=1e-14)
        assert_close(network.parameters, twin.parameters, 1e-14)
        assert {state["step"] for state in network._optimizer_states.values()} == {3}

    @pytest.mark.parametrize("keys", [[7, 8, 9], lambda chunk: 7 + chunk])
    def test_each_chunk_has_masks_of_its_own(self, keys: Any) -> None:
        """Nothing but a mask, and a rule that changes nothing: the loss of a chunk is the mean of its squared mask."""
        identity = summing(0.0, return_sequences=True)
        network = Network([identity, Dropout(0.5, place=1), Dense([[1.0]])])
        X, lengths = np.ones((4, 6, 1)), np.array([6, 2, 3, 5])
        sgd = {"name": "sgd", "lr": 0.0}
        value = network.step(X, np.zeros((4, 6)), "mse", sgd, key=keys, lengths=lengths, bptt_steps=2)
        kept = sum(
            int(dropout_mask(0.5, 7 + chunk, 1, rows, 1).sum()) for chunk, rows in enumerate((2 * 4, 2 * 2 + 1, 2 + 1))
        )
        assert value == pytest.approx(4 * kept / lengths.sum())

    def test_a_network_learns_to_remember(self) -> None:
        """The first step says whether the last answer is 1 or 0."""
        random = np.random.default_rng(0)
        network = Network([layer(("gru", "tanh"), 1, 4, random), Dense(random.normal(size=(4, 1)), [0.0], "sigmoid")])
        X = np.zeros((8, 6, 1))
        X[::2, 0] = 1
        for _ in range(60):
            network.step(X, X[:, 0], "binary_cross_entropy", {"name": "adam", "lr": 0.1})
        np.testing.assert_array_equal(network.forward(X).round(), X[:, 0])


class TestDropoutRows:
    """Which row of the mask each step takes."""

    def test_are_those_of_the_packing_written_out(self) -> None:
        lengths = np.array([2, 4, 1, 4, 2])
        whole = Sequences.of(np.zeros((5, 4, 1)), lengths)
        order = [1, 3, 0, 4, 2]
        assert list(whole.order) == order
        packed = [(sample, t) for t in (3, 2, 1, 0) for sample in order if lengths[sample] > t]
        rows = whole.mask_rows(by_step=True)
        assert [int(rows[place]) for place in packed] == list(range(lengths.sum()))
        assert list(whole.mask_rows(by_step=False)) == [order.index(sample) for sample in range(5)]

    def test_reach_the_layers(self) -> None:
        """Before and after a layer that gives each step, and after one that gives the last."""
        X, key, place = np.ones((4, N_STEPS, 3)), 11, 2
        identity = Dense(np.eye(3))
        memory = Recurrent("lstm", parameters(CELLS["lstm"], 3, 3, np.random.default_rng(0)))
        whole = Sequences.of(X, LENGTHS)
        each = Network([identity, Dropout(0.5, place), identity])
        last = Network([memory, Dropout(0.5, place), identity])
        outputs = each._run(X, whole, None, key), last._run(X, whole, None, key)
        of_steps = dropout_mask(0.5, key, place, sum(LENGTHS), 3)[whole.mask_rows(True)]
        np.testing.assert_array_equal(outputs[0] != 0, of_steps & whole.exists[:, :, None])
        of_samples = dropout_mask(0.5, key, place, 4, 3)[[2, 0, 3, 1]]
        np.testing.assert_array_equal(outputs[1] != 0, of_samples)

    def test_gradients_pass_through_the_same_masks(self) -> None:
        random = np.random.default_rng(4)
        network = Network(
            [
                Dropout(0.3),
                layer(("lstm", "tanh"), INPUTS, 3, random, return_sequences=True),
                Dropout(0.4, place=2),
                layer(("gru", "tanh"), 3, 2, random),
                Dropout(0.5, place=4),
                Dense(random.normal(size=(2, OUTPUTS))),
            ]
        )
        X, y = data(False)
        _, gradients = network.loss_and_gradients(X, y, "mse", lengths=LENGTHS, key=5)
        for name, place in itertools.product(("1.weight_ih", "1.weight_hh", "3.weight_ih"), ((0, 0), (1, 3))):
            array, h = network.parameters[name], 1e-5
            p, values = array[place], []
            for array[place] in (p + h, p - h):
                values.append(network.loss_and_gradients(X, y, "mse", lengths=LENGTHS, key=5)[0])
            array[place] = p
            assert (values[0] - values[1]) / (2 * h) == pytest.approx(gradients[name][place], rel=1e-6, abs=1e-9)


def spec_and_parameters() -> tuple[dict[str, Any], dict[str, Any]]:
    random = np.random.default_rng(5)
    layers: list[dict[str, Any]] = [
        {"type": "rnn", "units": 2, "activation": "relu", "return_sequences": True, "bidirectional": True},
        {"type": "dropout", "rate": 0.5, "name": None},
        {"type": "lstm", "units": 3, "return_sequences": True, "forget_bias": 1.0, "name": "memory", "l2": 0.5},
        {"type": "gru", "units": 2, "init": "auto", "recurrent_init": "orthogonal", "l1": 0.1},
        {"type": "dense", "units": 1, "name": "last"},
    ]
    arrays: dict[str, Any] = {"last.weight": [[1.0], [2.0]], "last.bias": [0.5]}
    for place, (cell, inputs, bidirectional) in {
        "0": ("rnn", 2, True),
        "memory": ("lstm", 4, False),
        "3": ("gru", 3, False),
    }.items():
        units = 3 if cell == "lstm" else 2
        made = parameters(CELLS[cell], inputs, units, random, bidirectional=bidirectional)
        arrays |= {f"{place}.{key}": array for key, array in made.items()}
    return {"layers": layers, "input_shape": [None, 2], "dtype": "float64", "seed": 0}, arrays


class TestSpecs:
    """Networks made from specs, with their parameters."""

    def test_every_cell_is_a_layer_type(self) -> None:
        assert set(CELLS) == {"rnn", "lstm", "gru"}
        assert all(LAYERS[name] is Recurrent for name in CELLS)

    def test_names_settings_and_order(self) -> None:
        spec, arrays = spec_and_parameters()
        network = Network.from_spec(spec, arrays)
        first, _, memory, third, _ = network.layers
        assert isinstance(first, Recurrent)
        assert isinstance(memory, Recurrent)
        assert isinstance(third, Recurrent)
        assert (first.cell.activation.name, memory.cell.activation.name) == ("relu", "tanh")
        assert (memory.l1, memory.l2, third.l1, third.l2) == (0.0, 0.5, 0.1, 0.0)
        weights = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        assert list(network.parameters) == [
            *(f"0.{key}" for key in weights),
            *(f"0.{key}_reverse" for key in weights),
            *(f"memory.{key}" for key in weights),
            *(f"3.{key}" for key in weights),
            "last.weight",
            "last.bias",
        ]
        assert not network.gives_sequences
        X, y = data(False)
        names = ["0.hidden", "0.hidden_reverse", "memory.hidden", "memory.cell", "3.hidden"]
        assert list(network.forward(X, return_state=True)[1]) == names
        value, gradients = network.loss_and_gradients(X, y[:, :1], "mse", lengths=LENGTHS)
        assert value > network.layers[2].penalty() > 0
        assert_close(gradients, network.numerical_gradients(X, y[:, :1], "mse", lengths=LENGTHS), 1e-6)

    def test_what_is_given_is_copied(self) -> None:
        spec, arrays = spec_and_parameters()
        before = arrays["memory.weight_hh"].copy()
        X, y = data(False)
        Network.from_spec(spec, arrays).step(X, y[:, :1], "mse", "sgd")
        np.testing.assert_array_equal(arrays["memory.weight_hh"], before)

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            (
                "memory.bias_hh",
                None,
                "parameters has no bias_hh for a lstm layer: it has weight_ih, weight_hh, bias_ih",
            ),
            ("0.bias_hh_reverse", None, "parameters has no bias_hh_reverse for a bidirectional rnn layer"),
            (
                "memory.weight_ih",
                np.ones((4, 9)),
                r"weight_ih has shape \(4, 9\): expected \(4, 12\), for 4 inputs and 3",
            ),
            ("3.weight_hh", np.ones((3, 9)), r"weight_ih has shape \(3, 6\): expected \(3, 9\)"),
            (
                "3.bias_hh",
                1.0,
                r"bias_hh has shape \(\): expected \(6,\), for 3 inputs and 2 units with the gates r, z, n",
            ),
        ],
    )
    def test_parameters_that_do_not_fit_are_refused(self, name: str, change: Any, message: str) -> None:
        spec, arrays = spec_and_parameters()
        del arrays[name]
        with pytest.raises(ValueError, match=message):
            Network.from_spec(spec, arrays if change is None else arrays | {name: change})

    def test_units_and_activations_that_do_not_fit_are_refused(self) -> None:
        spec, arrays = spec_and_parameters()
        with pytest.raises(
            ValueError, match=r"weight_hh has shape \(2, 6\) but the layer has 5 units: expected \(5, 15\)"
        ):
            Network.from_spec({"layers": [*spec["layers"][:3], spec["layers"][3] | {"units": 5}]}, arrays)
        with pytest.raises(ValueError, match="activation of rnn 'gelu' is unknown: did you mean 'relu'"):
            Network.from_spec({"layers": [{"type": "rnn", "units": 2, "activation": "gelu"}]}, arrays)
        with pytest.raises(ValueError, match="cell 'lstmm' is unknown: did you mean 'lstm'"):
            Recurrent("lstmm", {})


class TestRefusals:
    """What is said of sequences and does not fit."""

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            (
                {"lengths": [3, 0, 1, 4]},
                ValueError,
                r"lengths\[1\] is 0 but X has 5 steps: expected whole numbers from 1",
            ),
            ({"lengths": [3, 5, 6, 4]}, ValueError, r"lengths\[2\] is 6 but X has 5 steps"),
            (
                {"lengths": [3, 5]},
                ValueError,
                r"lengths has shape \(2,\) but X has 4 samples: pass one length for each",
            ),
            ({"lengths": [3.0, 5, 1, 4]}, TypeError, "lengths has dtype float64: expected integers"),
            ({"bptt_steps": 0}, ValueError, "bptt_steps=0: expected an integer of at least 1"),
            ({"bptt_steps": 2.0}, TypeError, "bptt_steps=2.0: expected an integer"),
            (
                {"initial_state": {"0.hiden": 1}},
                ValueError,
                "initial_state '0.hiden' is unknown: did you mean '0.hidden'",
            ),
            ({"initial_state": {"1.hidden": 1}}, ValueError, "initial_state '1.hidden' is unknown"),
            (
                {"initial_state": {"0.cell": np.zeros((4, 3))}},
                ValueError,
                r"initial_state\['cell'\] has shape \(4, 3\): expected \(4, 2\), a row for each sample",
            ),
        ],
        ids=str,
    )
    def test_of_a_call(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        network, (X, y) = stacked(("lstm", "tanh"), 1), data(False)
        with pytest.raises(error, match=message):
            network.loss(X, y, "mse", **options)
        with pytest.raises(error, match=message):
            network.step(X, y, "mse", "sgd", **options)

    def test_truncation_of_a_reverse_direction(self) -> None:
        network, (X, y) = stacked(("gru", "tanh"), 1, bidirectional=True), data(False)
        with pytest.raises(ValueError, match="the layer '0' is bidirectional: its reverse direction begins at the end"):
            network.loss_and_gradients(X, y, "mse", bptt_steps=2)

    @pytest.mark.parametrize("argument", ["lengths", "initial_state", "bptt_steps"])
    def test_rows_have_no_steps(self, argument: str) -> None:
        network = Network([Dense(np.ones((2, 1)))])
        with pytest.raises(ValueError, match=rf"{argument} is given but X has shape \(4, 2\): rows have no steps"):
            network.loss(np.zeros((4, 2)), np.zeros(4), "mse", **{argument: 1})

    def test_shapes(self) -> None:
        last, each = (stacked(("rnn", "tanh"), 1, by_step=by_step) for by_step in (False, True))
        X, y = data(False)
        with pytest.raises(
            ValueError, match=r"x has shape \(4, 2\) but the layer is recurrent.*one sequence alone is x\[None\]"
        ):
            last.forward(X[:, 0])
        with pytest.raises(ValueError, match="but the layer is recurrent and takes 2 inputs"):
            last.forward(X[:, :, :1])
        with pytest.raises(ValueError, match="a recurrent layer before this one needs return_sequences=True"):
            Network([*last.layers[:1], *last.layers]).forward(X)
        with pytest.raises(ValueError, match=r"X has shape \(4, 0, 2\): expected at least one step"):
            last.forward(X[:, :0])
        with pytest.raises(ValueError, match=r"y has shape \(3, 2\) but X has 4 samples: each sample needs one target"):
            last.loss(X, y[:3], "mse")
        for call in (each.loss, lambda *given: each.step(*given, "sgd", bptt_steps=2)):
            with pytest.raises(ValueError, match="X has 4 samples of 5 steps: each step needs a target"):
                call(X, y, "mse")
        with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\) but there are 4 samples"):
            last.loss(X, y, "mse", [1, 1, 1])
        with pytest.raises(ValueError, match="at least one sample"):
            last.step(X[:0], y[:0], "mse", "sgd", bptt_steps=2)
        assert each.forward(X[:0]).shape == (0, N_STEPS, OUTPUTS)

    def test_a_way_back_without_a_way_forward(self) -> None:
        memory = summing()
        with pytest.raises(RuntimeError, match="backward was called before forward: the way back needs the states"):
            memory.backward([[1.0]])
        memory.forward(np.ones((1, 3, 1)))
        with pytest.raises(ValueError, match=r"grad_output has shape \(1, 3, 1\) but the output has shape \(1, 1\)"):
            memory.backward(np.ones((1, 3, 1)))
