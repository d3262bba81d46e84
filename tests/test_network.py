"""`Network` apart from `fit`: how it is made, its parameters, its answers, its gradients, and what it takes as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import reference

DTYPES = ["float32", "float64"]
RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(40, 3))
Y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 1] * X[:, 2]], axis=1)


def new(dtype: str = "float64", last: str = "identity", **arguments: Any) -> dr.Network:
    layers = [dr.Dense(5, "tanh", name="hidden"), dr.Dense(4, "gelu", use_bias=False), dr.Dense(2, last)]
    return dr.Network(layers, **{"input_shape": 3, "dtype": dtype, "seed": 5, **arguments})


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


class TestStructure:
    def test_names_and_shapes(self) -> None:
        shapes = {name: array.shape for name, array in new().parameters.items()}
        assert shapes == {
            "hidden.weight": (3, 5),
            "hidden.bias": (5,),
            "1.weight": (5, 4),
            "2.weight": (4, 2),
            "2.bias": (2,),
        }
        assert new().n_parameters == 15 + 5 + 20 + 8 + 2

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_parameters_are_copies(self, dtype: str) -> None:
        network = new(dtype)
        before = bits(network)
        with pytest.raises(ValueError, match="read-only"):
            network.parameters["2.bias"][0] = 1
        network.state_dict()["2.bias"][0] = 1
        assert bits(network) == before
        assert all(array.dtype == dtype for array in network.state_dict().values())

    def test_the_input_shape_comes_from_the_first_data(self) -> None:
        for use in ("fit", "predict", "forward", "loss_and_gradients", "evaluate", "step"):
            network = new(input_shape=None)
            assert network.input_shape is None
            if use in ("predict", "forward"):
                getattr(network, use)(X)
            elif use == "step":
                dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=0.0)).step(X, Y)
            elif use == "fit":
                network.fit(X, Y, loss="mse", epochs=0)
            else:
                getattr(network, use)(X, Y, loss="mse")
            assert network.input_shape == 3, use
            assert bits(network) == bits(new()), use

    @pytest.mark.parametrize("shape", [3, (3,), [3], np.int64(3)])
    def test_spellings_of_the_input_shape(self, shape: Any) -> None:
        assert new(input_shape=shape).input_shape == 3

    @pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "f4"])
    def test_spellings_of_the_dtype(self, dtype: Any) -> None:
        assert bits(new(dtype)) == bits(new("float32"))

    @pytest.mark.parametrize(("alias", "name"), [("linear", "identity"), ("logistic", "sigmoid"), ("swish", "silu")])
    def test_aliases(self, alias: str, name: str) -> None:
        assert new(last=alias).predict(X).tobytes() == new(last=name).predict(X).tobytes()

    def test_a_single_layer_need_not_be_in_a_list(self) -> None:
        network = dr.Network(dr.Dense(2), input_shape=3)  # type: ignore[arg-type]
        assert network.predict(X).shape == (40, 2)

    def test_the_same_layer_twice(self) -> None:
        layer = dr.Dense(3, "tanh")
        network = dr.Network([layer, layer], input_shape=3)
        assert not np.array_equal(network.parameters["0.weight"], network.parameters["1.weight"])

    def test_seeds(self) -> None:
        assert bits(new(seed=2**64 - 1)) != bits(new(seed=0)) != bits(new(seed=1))
        single, double = (new(dtype).parameters["1.weight"] for dtype in DTYPES)
        np.testing.assert_allclose(single, double, rtol=1e-6)

    def test_repr_and_summary(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert repr(new()) == (
            "Network([Dense(5, 'tanh'), Dense(4, 'gelu'), Dense(2, 'identity')], input_shape=3, "
            "dtype='float64', seed=5)"
        )
        new().summary()
        shown = capsys.readouterr().out
        assert "hidden" in shown
        assert "50 parameters, float64, from 3 inputs" in shown


class TestState:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_round_trip(self, dtype: str) -> None:
        source, target = new(dtype), new(dtype, seed=6)
        assert bits(source) != bits(target)
        target.load_state_dict(source.state_dict())
        assert bits(source) == bits(target)
        assert source.predict(X).tobytes() == target.predict(X).tobytes()

    def test_layouts_and_lists(self) -> None:
        source, target = new(), new(seed=6)
        state: dict[str, Any] = {name: np.asfortranarray(array) for name, array in source.state_dict().items()}
        state["2.bias"] = [0, 0]
        state["1.weight"] = state["1.weight"].astype(">f8")
        target.load_state_dict(state)
        assert bits(source) == bits(target)

    def test_is_copied(self) -> None:
        network = new()
        state = network.state_dict()
        network.load_state_dict(state)
        before = bits(network)
        state["2.bias"][:] = 7
        assert bits(network) == before

    def test_denormals_and_extremes_are_kept(self) -> None:
        network = new("float32")
        state = network.state_dict()
        state["2.bias"][:] = [1e-45, 3.4e38]
        network.load_state_dict(state)
        assert network.state_dict()["2.bias"].tolist() == state["2.bias"].tolist()


class TestAnswers:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("last", ["identity", "sigmoid", "softmax", "exp"])
    @pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 1000])
    def test_predict_is_the_references(self, dtype: str, last: str, rows: int) -> None:
        network = new(dtype, last)
        data = np.random.default_rng(rows).normal(size=(rows, 3))
        output = network.predict(data)
        assert output.dtype == dtype
        expected = reference.Network.from_spec(network.spec(), network.parameters).forward(data)
        tolerance = {"float32": 1e-5, "float64": 1e-13}[dtype]
        np.testing.assert_allclose(output, expected, rtol=tolerance, atol=tolerance)

    def test_a_sample_gives_the_same_bits_in_any_company(self) -> None:
        data = np.random.default_rng(0).normal(size=(700, 3)).astype(np.float32)
        network = new("float32")
        whole = network.predict(data, n_threads=1)
        assert network.predict(data, n_threads=3).tobytes() == whole.tobytes()
        for row in (0, 255, 256, 699):
            assert network.predict(data[row : row + 1]).tobytes() == whole[row : row + 1].tobytes()
        assert network(data).tobytes() == whole.tobytes()
        assert network.forward(data).tobytes() == whole.tobytes()

    def test_the_answer_is_the_callers(self) -> None:
        network = new()
        first = network.predict(X)
        kept = first.copy()
        first[:] = 0
        network.fit(X, Y, loss="mse")
        again = network.forward(X)
        again[:] = 0
        assert not np.array_equal(network.predict(X), kept)
        assert network.predict(X).flags.writeable

    @pytest.mark.parametrize(("last", "loss"), [("identity", "cross_entropy"), ("softmax", "cross_entropy")])
    def test_probabilities_of_classes(self, last: str, loss: str) -> None:
        network = new(last=last)
        network.fit(X, (X[:, 0] > 0).astype(int), loss=loss, epochs=3)
        logits = new()
        logits.load_state_dict(network.state_dict())
        exponentials = np.exp(logits.predict(X))
        expected = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(network.predict_proba(X), expected, rtol=1e-12)

    @pytest.mark.parametrize("last", ["identity", "sigmoid"])
    def test_probabilities_of_labels(self, last: str) -> None:
        network = new(last=last)
        network.fit(X, (X[:, :2] > 0).astype(int), loss="binary_cross_entropy", epochs=3)
        logits = new()
        logits.load_state_dict(network.state_dict())
        np.testing.assert_allclose(network.predict_proba(X), 1 / (1 + np.exp(-logits.predict(X))), rtol=1e-12)

    def test_no_probabilities_of_a_regression(self) -> None:
        network = new()
        network.fit(X, Y, loss="mse")
        with pytest.raises(ValueError, match="trained with mse: use predict"):
            network.predict_proba(X)

    def test_softmax_and_linear_endings_train_alike(self) -> None:
        labels = (X[:, 0] > 0).astype(int)
        logits, probabilities = new(), new(last="softmax")
        logits.fit(X, labels, loss="cross_entropy", epochs=5)
        probabilities.fit(X, labels, loss="cross_entropy", epochs=5)
        assert bits(logits) == bits(probabilities)

    def test_evaluate(self) -> None:
        network = new()
        output = network.predict(X)
        result = network.evaluate(X, Y, loss="mse", metrics=["mse", "mae", "r2", lambda output, y: float(len(y))])
        assert list(result) == ["loss", "mse", "mae", "r2", "<lambda>"]
        assert result["loss"] == pytest.approx(np.mean((output - Y) ** 2), rel=1e-13)
        assert result["mse"] == pytest.approx(result["loss"], rel=1e-13)
        assert result["mae"] == pytest.approx(np.mean(np.abs(output - Y)), rel=1e-13)
        residual, total = ((output - Y) ** 2).sum(axis=0), ((Y - Y.mean(axis=0)) ** 2).sum(axis=0)
        assert result["r2"] == pytest.approx(np.mean(1 - residual / total), rel=1e-12)
        assert result["<lambda>"] == 40
        weights = np.arange(40.0)
        weighted = network.evaluate(X, Y, loss="mse", sample_weight=weights)["loss"]
        assert weighted == pytest.approx(np.average(np.mean((output - Y) ** 2, axis=1), weights=weights), rel=1e-13)

    def test_evaluate_takes_the_loss_of_the_fit(self) -> None:
        network = new()
        network.fit(X, Y, loss=dr.Huber(delta=0.3), epochs=1)
        assert network.evaluate(X, Y) == network.evaluate(X, Y, loss=dr.Huber(delta=0.3))
        assert network.evaluate(X, Y) != network.evaluate(X, Y, loss=dr.Huber(delta=0.4))

    @pytest.mark.parametrize("rows", [1, 256, 1000])
    @pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
    def test_evaluate_over_many_blocks_and_threads(self, rows: int, loss: str) -> None:
        data = np.random.default_rng(rows).normal(size=(rows, 3))
        y = (data[:, 0] > 0).astype(int) if loss == "cross_entropy" else data[:, :2]
        network = new()
        value, _ = network.loss_and_gradients(data, y, loss=loss)
        results = {network.evaluate(data, y, loss=loss, n_threads=threads)["loss"] for threads in (1, 2, 5)}
        assert len(results) == 1
        assert results.pop() == pytest.approx(value, rel=1e-12)


class TestGradients:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_loss_and_gradients_are_the_references(self, dtype: str) -> None:
        network = new(dtype)
        weights = np.arange(40.0)
        value, gradients = network.loss_and_gradients(X, Y, loss="mse", sample_weight=weights)
        plain = reference.Network.from_spec(network.spec(), network.parameters)
        expected_value, expected = plain.loss_and_gradients(X, Y, "mse", weights)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        assert value == pytest.approx(expected_value, rel=tolerance)
        assert list(gradients) == list(network.parameters)
        for name, gradient in gradients.items():
            assert gradient.dtype == dtype
            assert np.linalg.norm(gradient - expected[name]) <= tolerance * np.linalg.norm(expected[name])

    def test_they_do_not_depend_on_threads(self) -> None:
        data = np.random.default_rng(1).normal(size=(1000, 3)).astype(np.float32)
        network = new("float32")
        answers = [network.loss_and_gradients(data, data[:, :2], loss="mse", n_threads=n) for n in (1, 2, 7)]
        assert len({value for value, _ in answers}) == 1
        assert len({b"".join(g.tobytes() for g in gradients.values()) for _, gradients in answers}) == 1

    def test_nothing_is_trained(self) -> None:
        network = new()
        network.loss_and_gradients(X, Y, loss="mse")
        network.forward(X)
        network.backward(Y)
        network.evaluate(X, Y, loss="mse")
        assert bits(network) == bits(new())

    def test_forward_and_backward(self) -> None:
        network = new()
        output = network.forward(X)
        grad_input = network.backward(2 * (output - Y) / output.size)
        _, gradients = network.loss_and_gradients(X, Y, loss="mse")
        for name, gradient in network.gradients.items():
            np.testing.assert_allclose(gradient, gradients[name], rtol=1e-11, atol=1e-15)
        plain = reference.Network.from_spec(network.spec(), network.parameters)
        expected = plain.backward(2 * (plain.forward(X) - Y) / output.size)
        np.testing.assert_allclose(grad_input, expected, rtol=1e-11, atol=1e-15)

    def test_backward_without_penalties(self) -> None:
        """They belong to the library's loss; the caller's loss has what the caller put in."""
        penalized = dr.Network([dr.Dense(2, l1=1.0, l2=1.0)], input_shape=3, dtype="float64")
        plain = dr.Network([dr.Dense(2)], input_shape=3, dtype="float64")
        for network in (penalized, plain):
            network.backward(network.forward(X))
        np.testing.assert_array_equal(penalized.gradients["0.weight"], plain.gradients["0.weight"])

    def test_batches_of_different_sizes_in_turn(self) -> None:
        network = new()
        for rows in (5, 40, 1, 17, 40):
            network.forward(X[:rows])
            grad_input = network.backward(Y[:rows])
            fresh = new()
            fresh.forward(X[:rows])
            assert fresh.backward(Y[:rows]).tobytes() == grad_input.tobytes()
            for name, gradient in fresh.gradients.items():
                assert gradient.tobytes() == network.gradients[name].tobytes()

    def test_backward_belongs_to_its_forward(self) -> None:
        network = new()
        network.forward(X)
        with pytest.raises(ValueError, match=r"grad_output has shape \(39, 2\), expected .* \(40, 2\)"):
            network.backward(Y[:39])
        network.fit(X, Y, loss="mse")
        with pytest.raises(ValueError, match="parameters have changed since forward"):
            network.backward(Y)

    def test_a_loss_that_is_not_finite(self) -> None:
        network = new("float32")
        value, gradients = network.loss_and_gradients(X, Y * 1e30, loss="mse")
        assert value == np.inf
        assert all(np.isnan(gradient).all() for gradient in gradients.values())
        assert bits(network) == bits(new("float32"))


def halves(array: Any) -> Any:
    """Numbers that float16 holds too, in float32."""
    return array.astype(np.float16).astype(np.float32)


class TestContainers:
    """Any kind of array gives the same bits, and none of them is changed."""

    @pytest.mark.parametrize(
        "kind",
        [
            "float16",
            "fortran",
            "big-endian",
            "strided",
            "reversed",
            "read-only",
            "list",
            "memmap",
            "pandas",
            "polars",
            "csr",
        ],
    )
    def test_kind(self, kind: str, tmp_path: Path) -> None:
        arrays: list[Any] = []
        originals: list[Any] = []
        for name, table in (("X", halves(X)), ("y", halves(Y))):
            array: Any = table
            if kind == "float16":
                array = table.astype(np.float16)
            elif kind == "fortran":
                array = np.asfortranarray(table)
            elif kind == "big-endian":
                array = table.astype(">f8")
            elif kind == "strided":
                array = np.repeat(np.repeat(table, 2, axis=0), 3, axis=1)[::2, ::3]
            elif kind == "reversed":
                array = table[::-1].copy()[::-1]
            elif kind == "read-only":
                array = table.copy()
                array.flags.writeable = False
            elif kind == "list":
                array = table.tolist()
            elif kind == "memmap":
                np.save(tmp_path / f"{name}.npy", table)
                array = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
            elif kind == "pandas":
                array = pytest.importorskip("pandas").DataFrame(table, columns=list("abc")[: table.shape[1]])
            elif kind == "polars":
                array = pytest.importorskip("polars").DataFrame(table, schema=list("abc")[: table.shape[1]])
            elif kind == "csr":
                array = pytest.importorskip("scipy.sparse").csr_matrix(table) if name == "X" else table
            arrays.append(array)
            originals.append(np.array(array.todense() if hasattr(array, "todense") else array, copy=True))
        network = new("float32")
        network.fit(arrays[0], arrays[1], loss="mse", epochs=2)
        expected = new("float32")
        expected.fit(halves(X), halves(Y), loss="mse", epochs=2)
        assert bits(network) == bits(expected)
        assert network.predict(arrays[0]).tobytes() == expected.predict(halves(X)).tobytes()
        for array, original in zip(arrays, originals, strict=True):
            assert np.array_equal(array.todense() if hasattr(array, "todense") else array, original)
