"""explain_step: the published 2-2-2 example digit by digit, what it leaves alone and refuses, and its own check."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule.explain import StepExplanation, explain_step

Array = NDArray[Any]
X, Y = [0.05, 0.10], [0.01, 0.99]


def two_two_two(dtype: str = "float64") -> dr.Network:
    """The network of M. Mazur, "A step by step backpropagation example", 2015."""
    network = dr.Network([dr.Dense(2, "sigmoid"), dr.Dense(2, "sigmoid")], input_shape=2, dtype=dtype)
    network.load_state_dict(
        {
            "0.weight": [[0.15, 0.25], [0.20, 0.30]],
            "0.bias": [0.35, 0.35],
            "1.weight": [[0.40, 0.50], [0.45, 0.55]],
            "1.bias": [0.60, 0.60],
        }
    )
    return network


def explained(**settings: Any) -> StepExplanation:
    return explain_step(two_two_two(), X, Y, loss="mse", lr=0.5, **settings)


def value_of(explanation: StepExplanation, section: str, of: str, symbol: str) -> float:
    """The last number with this symbol."""
    found = [line for line in explanation.to_dict()[section] if line["of"] == of and line["symbol"] == symbol]
    return float(found[-1]["value"])


class TestPublishedExample:
    """The numbers as the article has them; the loss ½ Σ (target - output)² is the mean over its two outputs."""

    @pytest.mark.parametrize(
        ("section", "of", "symbol", "published"),
        [
            ("forward", "layer 1, unit 1", "z_1", "0.3775"),
            ("forward", "layer 1, unit 1", "a_1", "0.593269992"),
            ("forward", "layer 1, unit 2", "a_2", "0.596884378"),
            ("forward", "layer 2, unit 1", "z_1", "1.105905967"),
            ("forward", "layer 2, unit 1", "a_1", "0.75136507"),
            ("forward", "layer 2, unit 2", "a_2", "0.772928465"),
            ("loss", "output 1", "E_1", "0.274811083"),
            ("loss", "output 2", "E_2", "0.023560026"),
            ("loss", "loss", "L", "0.298371109"),
            ("backward", "layer 2, unit 1", "dL/da_1", "0.74136507"),
            ("backward", "layer 2, unit 1", "f'(z_1)", "0.186815602"),
            ("backward", "layer 2, unit 1", "delta_1", "0.138498562"),
            ("backward", "layer 1, unit 1", "dL/da_1", "0.036350306"),
            ("backward", "layer 1, unit 1", "f'(z_1)", "0.241300709"),
            ("gradients", "layer 2, unit 1", "dL/dw_11", "0.082167041"),
            ("gradients", "layer 1, unit 1", "dL/dw_11", "0.000438568"),
            ("update", "layer 2, unit 1", "w_11", "0.35891648"),
            ("update", "layer 2, unit 1", "w_21", "0.408666186"),
            ("update", "layer 2, unit 2", "w_12", "0.511301270"),
            ("update", "layer 2, unit 2", "w_22", "0.561370121"),
            ("update", "layer 1, unit 1", "w_11", "0.149780716"),
            ("update", "layer 1, unit 1", "w_21", "0.19956143"),
            ("update", "layer 1, unit 2", "w_12", "0.24975114"),
            ("update", "layer 1, unit 2", "w_22", "0.29950229"),
        ],
    )
    def test_digit_by_digit(self, section: str, of: str, symbol: str, published: str) -> None:
        digits = len(published.partition(".")[2])
        assert f"{value_of(explained(), section, of, symbol):.{digits}f}" == published

    def test_as_printed(self) -> None:
        table = re.sub(" +", " ", explained().table(digits=9))
        for line in (
            "unit 1 z_1 = 0.05·0.15 + 0.1·0.2 + 0.35 = 0.3775",
            "a_1 = 1 / (1 + exp(-0.3775)) = 0.593269992",
            "output 1 E_1 = (0.75136507 - 0.01)² / 2 = 0.274811083",
            "together L = 0.274811083 + 0.0235600256 = 0.298371109",
            "delta_1 = 0.74136507·0.186815602 = 0.138498562",
            "unit 1 dL/da_1 = 0.4·0.138498562 + 0.5·(-0.0380982365) = 0.0363503064",
            "unit 1 dL/dw_11 = 0.593269992·0.138498562 = 0.0821670406",
            "unit 1 w_11 ← 0.4 - 0.5·0.0821670406 = 0.35891648",
        ):
            assert line in table

    def test_parts_stand_in_the_order_of_the_chain_rule(self) -> None:
        text = str(explained())
        parts = ["1. Forward", "Layer 1", "Layer 2", "2. Loss", "3. Backward", "Layer 2", "Layer 1", "4. Gradients"]
        places, start = [], 0
        for part in [*parts, "5. Update", "6. After the update", "The loss went down"]:
            start = text.index(part, start)
            places.append(start)
            start += len(part)
        assert places == sorted(places)

    def test_of_one_sample_and_of_a_batch_of_one_are_the_same(self) -> None:
        batch = explain_step(two_two_two(), [X], [Y], loss="mse", lr=0.5)
        assert batch.to_dict() == explained().to_dict()

    def test_the_loss_goes_down_as_promised(self) -> None:
        explanation = explained()
        assert explanation.loss_after < explanation.loss
        assert explanation.promised == pytest.approx(explanation.loss_after - explanation.loss, rel=0.02)
        short = explain_step(two_two_two(), X, Y, loss="mse", lr=1e-6)
        assert short.promised == pytest.approx(short.loss_after - short.loss, rel=1e-5)


class TestNetwork:
    def test_is_not_changed(self) -> None:
        network = two_two_two()
        before = {name: array.tobytes() for name, array in network.parameters.items()}
        explain_step(network, X, Y, loss="mse", optimizer="adam")
        assert {name: array.tobytes() for name, array in network.parameters.items()} == before
        assert network.loss is None
        assert network.epochs_trained == 0

    def test_takes_the_update_if_one_wants_it_to(self) -> None:
        network, explanation = two_two_two(), explained()
        network.load_state_dict(explanation.updated)
        assert network.loss_and_gradients([X], [Y], loss="mse")[0] == explanation.loss_after
        np.testing.assert_array_equal(network.predict([X]), explanation.output_after)

    def test_uses_the_loss_of_the_last_fit(self) -> None:
        network = two_two_two()
        with pytest.raises(ValueError, match=r"explain_step needs a loss.*pass loss="):
            explain_step(network, X, Y)
        network.fit([X], [Y], loss="mae")
        assert "loss mae" in explain_step(network, X, Y).title

    def test_without_input_shape_takes_it_from_the_data(self) -> None:
        network = dr.Network([dr.Dense(1)])
        explain_step(network, [[1.0, 2.0, 3.0]], [1.0], loss="mse")
        assert network.input_shape == 3

    def test_of_a_lone_sample_the_target_may_be_a_label(self) -> None:
        network = dr.Network([dr.Dense(3)], input_shape=2)
        one, batch = (explain_step(network, x, y, loss="cross_entropy") for x, y in ((X, 1), ([X], [1])))
        assert str(one) == str(batch)

    def test_a_lone_sequence(self) -> None:
        network = dr.Network([dr.RNN(1), dr.Dense(1)], input_shape=(None, 1))
        one, batch = (
            explain_step(network, x, y, loss="mse") for x, y in (([[1.0], [2.0]], [3.0]), ([[[1.0], [2.0]]], [[3.0]]))
        )
        assert str(one) == str(batch)

    def test_sequences_of_different_lengths_in_a_list(self) -> None:
        network = dr.Network([dr.RNN(1), dr.Dense(1)], input_shape=(None, 1))
        lines = explain_step(network, [[[1.0], [2.0]], [[3.0]]], [[3.0], [1.0]], loss="mse").to_dict()["forward"]
        of_layer = {(line["sample"], line["step"]) for line in lines if line["layer"] == 1}
        assert of_layer == {(1, 1), (1, 2), (2, 1)}

    def test_dropout_hands_on(self) -> None:
        layers: list[Any] = [dr.Dense(2, "tanh"), dr.Dropout(0.5), dr.Dense(1)]
        network = dr.Network(layers, input_shape=2, dtype="float64")
        explanation = explain_step(network, X, [1.0], loss="mse")
        assert "Layer 2: dropout, rate 0.5" in str(explanation)
        a = value_of(explanation, "forward", "layer 1, unit 1", "a_1")
        delta = value_of(explanation, "backward", "layer 3, unit 1", "delta_1")
        assert explanation.gradients["2.weight"][0, 0] == pytest.approx(a * delta, rel=1e-14)

    @pytest.mark.parametrize("optimizer", ["sgd", "adamw", "nadam", "rprop"])
    def test_frozen_and_slow_layers(self, optimizer: str) -> None:
        layers = [dr.Dense(2, "tanh", trainable=False), dr.Dense(2, "tanh", lr_factor=0.1), dr.Dense(1)]
        network = dr.Network(layers, input_shape=2, dtype="float64", seed=1)
        explanation = explain_step(network, X, [1.0], loss="mse", optimizer=optimizer)
        assert "frozen (trainable=False)" in explanation.table()
        assert "lr is multiplied by the layer's lr_factor, 0.1" in explanation.table()
        lines = explanation.to_dict()["update"]
        assert {line["layer"] for line in lines} == {2, 3}
        trainer = dr.Trainer(network, loss="mse", optimizer=optimizer)
        trainer.step([X], [1.0])
        for name, array in network.parameters.items():
            np.testing.assert_array_equal(explanation.updated[name], array)
        for name in ("0.weight", "0.bias"):
            np.testing.assert_array_equal(explanation.updated[name], explanation.parameters[name])
        if optimizer == "sgd":
            (line,) = [line for line in lines if line["parameter"] == "1.weight" and line["index"] == [0, 1]]
            assert line["numbers"]["lr"] == pytest.approx(0.001)

    def test_a_schedule_begins_with_its_first_rate(self) -> None:
        schedule: Any = dr.CosineAnnealingLR(0.25, total_epochs=20)
        explanation = explain_step(two_two_two(), X, Y, loss="mse", optimizer=dr.SGD(lr=schedule))
        np.testing.assert_array_equal(
            explanation.updated["1.weight"],
            explain_step(two_two_two(), X, Y, loss="mse", lr=0.25).updated["1.weight"],
        )
        assert explanation.settings["lr"] == 0.25

    def test_names_of_layers_are_those_of_the_parameters(self) -> None:
        network = dr.Network([dr.Dense(1, name="only")], input_shape=1)
        (line, *_) = explain_step(network, [1.0], [1.0], loss="mse").to_dict()["gradients"]
        assert (line["parameter"], line["index"], line["of"]) == ("only.weight", [0, 0], "layer 1, unit 1")


class TestVerdict:
    def test_too_long_a_step(self) -> None:
        network = dr.Network([dr.Dense(1, init="zeros")], input_shape=1)
        explanation = explain_step(network, [1.0], [1.0], loss="mse", lr=3.0)
        assert explanation.loss_after > explanation.loss
        assert "UP" in explanation.verdict
        assert "smaller lr" in explanation.verdict

    def test_at_the_minimum(self) -> None:
        network = dr.Network([dr.Dense(1, init="zeros")], input_shape=1)
        assert explain_step(network, [1.0], [0.0], loss="mse").verdict.startswith("All gradients are 0")

    def test_no_step_at_all(self) -> None:
        assert explain_step(two_two_two(), X, Y, loss="mse", lr=0.0).verdict.startswith("The loss stayed")

    def test_against_the_gradient(self) -> None:
        network = dr.Network([dr.Dense(1, use_bias=False)], input_shape=1, dtype="float64")
        network.load_state_dict({"0.weight": [[5.0]]})
        rule = dr.SGD(lr=0.1, weight_decay=10.0)  # pulls the weight to 0, away from the 6 that the loss asks for
        assert "did not follow" in explain_step(network, [1.0], [6.0], loss="mse", optimizer=rule).verdict


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"optimizer": "adam", "lr": 0.1}, ValueError, r"lr=0.1 and optimizer='adam': give one"),
            ({"optimizer": "adma"}, ValueError, "did you mean 'adam'"),
            ({"optimizer": 3}, TypeError, "optimizer=3"),
            ({"optimizer": dr.LBFGS()}, ValueError, r"optimizer=LBFGS.*can explain a step of sgd, rmsprop"),
            ({"lr": -1.0}, ValueError, "lr=-1.0"),
            ({"lr": "fast"}, TypeError, "lr='fast'"),
            ({"loss": "mes"}, ValueError, "did you mean 'mse'"),
            ({"most_numbers": 0}, ValueError, "most_numbers=0"),
            ({"most_numbers": 2.5}, TypeError, "most_numbers=2.5"),
            ({"sample_weight": [1.0, 2.0]}, ValueError, "sample_weight"),
            ({"lengths": [1]}, ValueError, "lengths"),
        ],
    )
    def test_arguments(self, settings: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            explain_step(two_two_two(), X, Y, **{"loss": "mse", **settings})

    def test_no_network(self) -> None:
        with pytest.raises(TypeError, match=r"network is list: expected a deltarule.Network; check the order"):
            explain_step(X, two_two_two(), Y, loss="mse")  # type: ignore[arg-type]

    def test_large_networks_unless_one_insists(self) -> None:
        network = dr.Network([dr.Dense(40)], input_shape=30)
        x, y = np.ones((2, 30)), np.ones((2, 40))
        with pytest.raises(ValueError, match=r"1,240 parameters for 2 samples.*smaller network.*most_numbers=2480"):
            explain_step(network, x, y, loss="mse")
        assert explain_step(network, x, y, loss="mse", most_numbers=2480).loss > 0

    def test_bidirectional_layers(self) -> None:
        network = dr.Network([dr.GRU(2, bidirectional=True), dr.Dense(1)], input_shape=(None, 1))
        with pytest.raises(ValueError, match=r"layer 1 is bidirectional.*gradient_flow"):
            explain_step(network, [[[1.0]]], [[1.0]], loss="mse")

    def test_layers_it_does_not_know(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class BatchNorm:
            """A layer of a later version."""

        network = two_two_two()
        monkeypatch.setattr(network, "layers", (network.layers[0], BatchNorm(), network.layers[1]))
        with pytest.raises(ValueError, match=r"layer 2 is BatchNorm: explain_step can explain Dense, Dropout"):
            explain_step(network, X, Y, loss="mse")

    @pytest.mark.parametrize("number", [np.nan, np.inf, 1e300])
    def test_what_is_not_finite(self, number: float) -> None:
        network = dr.Network([dr.Dense(1, "exp"), dr.Dense(1)], input_shape=1, dtype="float64")
        network.load_state_dict({**network.state_dict(), "0.weight": [[1.0]]})
        with pytest.raises(ValueError, match=r"finite|NaN|nan"):
            explain_step(network, [number], [1.0], loss="mse")

    def test_an_update_that_diverges(self) -> None:
        with pytest.raises(dr.DivergenceError):
            explain_step(two_two_two("float32"), X, [1e10, 1e10], loss="mse", lr=1e38)


class TestItsOwnCheck:
    """It explains nothing that the core and the reference do not agree on."""

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.weight", "1.bias"])
    def test_a_wrong_gradient_is_found(self, monkeypatch: pytest.MonkeyPatch, name: str, dtype: str) -> None:
        network = two_two_two(dtype)
        right: Callable[..., Any] = network.loss_and_gradients

        def wrong(*arguments: Any, **settings: Any) -> tuple[float, dict[str, Array]]:
            value, gradients = right(*arguments, **settings)
            return value, gradients | {name: gradients[name] * 1.001}

        monkeypatch.setattr(network, "loss_and_gradients", wrong)
        with pytest.raises(RuntimeError, match=rf"dL/d {name}\[.*Please report it"):
            explain_step(network, X, Y, loss="mse")

    def test_a_wrong_loss_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        network = two_two_two()
        right: Callable[..., Any] = network.loss_and_gradients

        def wrong(*arguments: Any, **settings: Any) -> tuple[float, dict[str, Array]]:
            value, gradients = right(*arguments, **settings)
            return value * 1.001, gradients

        monkeypatch.setattr(network, "loss_and_gradients", wrong)
        with pytest.raises(RuntimeError, match=r"the loss is .* in the core and .* in the reference"):
            explain_step(network, X, Y, loss="mse")

    def test_a_wrong_update_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        right = dr.Trainer.apply
        monkeypatch.setattr(
            dr.Trainer, "apply", lambda self, g: right(self, {name: 1.001 * array for name, array in g.items()})
        )
        with pytest.raises(RuntimeError, match=r"the update of 0.weight\["):
            explain_step(two_two_two(), X, Y, loss="mse")

    def test_gradients_that_have_cancelled_are_no_mistake(self) -> None:
        network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)], input_shape=2, seed=1)
        x, y = dr.datasets.xor()
        network.fit(x, y, loss="mse", optimizer=dr.Adam(lr=0.05), epochs=2000, batch_size=4)
        assert explain_step(network, x, y, loss="mse", optimizer="adam").loss < 1e-6

    @pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e-5, 1e5, 1e15])
    @pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "nadam", "rprop"])
    def test_gradients_of_any_size_are_none_either(self, optimizer: str, scale: float) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=1)
        x, y = np.array([[scale], [2.0 * scale]]), np.array([1.0, -1.0])
        assert json.dumps(explain_step(network, x, y, loss="mse", optimizer=optimizer).to_dict())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_norm_of_two_units(dtype: str) -> None:
    # Both of its outputs are nearly 1 and -1, whatever comes in: what is left of a gradient is mostly rounding.
    lost = 0
    for seed in range(30):
        generator = np.random.default_rng(seed)
        network = dr.Network([dr.Dense(2, "tanh"), dr.LayerNorm(), dr.Dense(2)], input_shape=3, dtype=dtype, seed=seed)
        x, y = generator.normal(size=(2, 3)), generator.normal(size=(2, 2))
        assert dr.gradcheck(network, x, y, loss="mse")
        lost += "loses digits" in explain_step(network, x, y, loss="mse").table()
    assert (lost > 0) == (dtype == "float32")
