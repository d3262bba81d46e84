"""`LayerNorm` beside the reference and torch: answers, gradients, training, the same bits everywhere, its files."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference

Array = NDArray[Any]

DTYPES = ["float32", "float64"]
LIMITS = {"float64": 1e-12, "float32": 1e-5}  # greatest difference over greatest value of a tensor
EQUAL = [name for name in _core.isas() if _core.has_same_bits(name)] or [_core.isa()]
WIDTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257, 300]
RANDOM = np.random.default_rng(8)
X = RANDOM.normal(size=(150, 7)) * 3 + 5
Y = np.tanh(X[:, :3] - X[:, 3:6])
LABELS = Y.argmax(axis=1)


@pytest.fixture(autouse=True)
def _same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


def new(*hidden: Any, inputs: int = 7, outputs: int = 3, dtype: str = "float64", seed: int = 5) -> dr.Network:
    return dr.Network([*hidden, dr.Dense(outputs)], inputs, dtype, seed)


def stirred(network: dr.Network) -> dr.Network:
    """The network with weights and biases of its normalizations that are not 1 and 0."""
    random = np.random.default_rng(1)
    state = network.state_dict()
    network.load_state_dict({key: a + (a.ndim == 1) * random.uniform(-0.5, 0.5, a.shape) for key, a in state.items()})
    return network


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def twin_of(network: dr.Network) -> reference.Network:
    return reference.Network.from_spec(network.spec(), network.state_dict())


def assert_close(actual: Array, expected: Array, limit: float, what: object) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= limit * max(np.abs(expected).max(), 1e-2), what


def test_it_starts_with_ones_and_zeros() -> None:
    state = new(dr.LayerNorm(), dr.Dense(20, "tanh"), dr.LayerNorm(name="between")).state_dict()
    assert {name: array.shape for name, array in state.items() if name[0] in "0b"} == {
        "0.weight": (7,),
        "0.bias": (7,),
        "between.weight": (20,),
        "between.bias": (20,),
    }
    for name in ("0", "between"):
        assert (state[f"{name}.weight"] == 1).all()
        assert (state[f"{name}.bias"] == 0).all()
    assert np.abs(state["1.weight"]).min() > 0


@pytest.mark.parametrize("isa", _core.isas())
class TestFormula:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("shift", [0, 1000])
    def test_a_layer_alone_is_the_references(self, shift: int, dtype: str, isa: str) -> None:
        """Up to the last digits in float32 too, though these rows have a mean a thousand times their deviation."""
        _core.select_isa(isa)
        for width, rows in itertools.product(WIDTHS, (1, 2, 5, 33)):
            network = stirred(dr.Network([dr.LayerNorm(), dr.Dense(3)], width, dtype, seed=width))
            x = (RANDOM.normal(size=(rows, width)) + shift).astype(dtype)
            g = RANDOM.normal(size=(rows, 3)).astype(dtype)
            twin = twin_of(network)
            # Two or three features may be nearly the same: beside their variance rounding weighs more
            limit = LIMITS[dtype] * (1 if width > 3 else 30)
            assert_close(network.forward(x), twin.forward(x), limit, (width, rows))
            np.testing.assert_array_equal(network.predict(x), network.forward(x))
            assert_close(network.backward(g), twin.backward(g), limit, (width, rows))
            for name, gradient in twin.gradients.items():
                assert_close(network.gradients[name], gradient, limit, (width, rows, name))

    @pytest.mark.parametrize("rows", [1, 3, 40])
    def test_networks_are_the_references(self, rows: int, isa: str) -> None:
        """A sigmoid leaves 0.5 in the padding; gelu has a slope for which the way back has to wait."""
        _core.select_isa(isa)
        norm = dr.LayerNorm(eps=1e-3)
        for width in WIDTHS:
            for hidden in (
                [dr.Dense(width, "sigmoid"), norm],
                [norm, dr.Dense(width, "gelu"), norm, norm, dr.Dropout(0.5)],
                [dr.Dropout(0.2), norm, dr.Dense(width, "tanh"), dr.Dropout(0.5), norm, dr.Dense(4, "softplus"), norm],
            ):
                network = stirred(new(*hidden, seed=width))
                twin = twin_of(network)
                x, y = X[:rows], LABELS[:rows]
                assert_close(network.predict(x), twin.forward(x), 1e-12, width)
                value, gradients = network.loss_and_gradients(x, y, loss="cross_entropy")
                expected, others = twin.loss_and_gradients(x, y, "cross_entropy")
                assert value == pytest.approx(expected, rel=1e-12)
                assert network.evaluate(x, y, loss="cross_entropy")["loss"] == pytest.approx(expected, rel=1e-12)
                for name, gradient in others.items():
                    assert_close(gradients[name], gradient, 1e-12, (width, name))

    def test_few_rows_at_a_time_have_the_bits_of_many(self, isa: str) -> None:
        """A row knows nothing of its neighbours, of how many there are or of the threads that share them out."""
        _core.select_isa(isa)
        for dtype in DTYPES:
            network = stirred(new(dr.LayerNorm(), dr.Dense(33, "relu"), dr.LayerNorm(), dtype=dtype))
            x = X.astype(dtype)
            expected = network.predict(x)
            for step in (1, 3, 4, 8, 9, 70):
                parts = [network.predict(x[first : first + step]) for first in range(0, len(x), step)]
                np.testing.assert_array_equal(np.concatenate(parts), expected)
            np.testing.assert_array_equal(network.predict(x, n_threads=3), expected)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_gradcheck(self, dtype: str, isa: str) -> None:
        _core.select_isa(isa)
        norm = dr.LayerNorm()
        for loss, y in (("cross_entropy", LABELS), ("mse", Y)):
            network = stirred(new(norm, dr.Dense(9, "tanh", l2=0.1), norm, dr.Dense(6, "gelu"), norm, dtype=dtype))
            check = dr.gradcheck(network, X[:6], y[:6], loss=loss)
            assert check, str(check)
            assert len(check.tensors) == 12


def test_torch_gives_the_same() -> None:
    torch = pytest.importorskip("torch")
    for width, dtype in itertools.product((1, 2, 16, 100), DTYPES):
        if width == 1 and dtype == "float32":
            continue  # ours gives gradients of exactly 0; torch's have errors of rounding
        network = stirred(dr.Network([dr.LayerNorm(eps=1e-4), dr.Dense(3)], width, dtype))
        state = {name: torch.tensor(array, requires_grad=True) for name, array in network.state_dict().items()}
        x, g = (RANDOM.normal(size=(20, columns)).astype(dtype) for columns in (width, 3))
        rows = torch.tensor(x, requires_grad=True)
        normalized = torch.nn.functional.layer_norm(rows, (width,), state["0.weight"], state["0.bias"], 1e-4)
        output = normalized @ state["1.weight"] + state["1.bias"]
        output.backward(torch.tensor(g))
        limit = LIMITS[dtype] * (1 if width > 3 else 30)
        assert_close(network.forward(x), output.detach().numpy(), limit, width)
        assert_close(network.backward(g), rows.grad.numpy(), limit, width)
        for name, gradient in network.gradients.items():
            assert_close(gradient, state[name].grad.numpy(), limit, name)


class TestTraining:
    @pytest.mark.parametrize("width", [1, 7, 16, 17, 100])
    @pytest.mark.parametrize("batch_size", [1, 8, 150])
    @pytest.mark.parametrize("options", [{}, {"clip_norm": 0.3}, {"clip_value": 0.01}], ids=str)
    def test_a_fit_is_the_references(self, options: dict[str, float], batch_size: int, width: int) -> None:
        hidden = [dr.LayerNorm(), dr.Dense(width, "tanh", l2=0.01), dr.LayerNorm(), dr.Dense(5, "silu"), dr.LayerNorm()]
        network = new(*hidden)
        twin = twin_of(network)
        rows, epochs = min(10 * batch_size, len(X)), 3
        optimizer = {"name": "sgd", "lr": 0.01, "momentum": 0.5}
        history = network.fit(
            X[:rows],
            Y[:rows],
            loss="mse",
            optimizer=dr.SGD(lr=0.01, momentum=0.5),
            epochs=epochs,
            batch_size=batch_size,
            shuffle=False,
            **options,
        )
        for epoch in range(epochs):
            losses = [
                twin.step(X[i : i + batch_size], Y[i : i + batch_size], "mse", optimizer, **options)
                for i in range(0, rows, batch_size)
            ]
            assert history["loss"][epoch] == pytest.approx(np.mean(losses), rel=1e-10)
        for name, array in network.state_dict().items():
            np.testing.assert_allclose(array, twin.parameters[name], rtol=1e-9, atol=1e-11, err_msg=name)

    def test_penalties_of_its_neighbours_are_not_its_own(self) -> None:
        network = new(dr.LayerNorm(), dr.Dense(4, l1=0.5, l2=0.5), dr.LayerNorm())
        plain = new(dr.LayerNorm(), dr.Dense(4), dr.LayerNorm())
        ours, others = (of.loss_and_gradients(X, Y, loss="mse")[1] for of in (network, plain))
        assert [name for name in ours if not np.array_equal(ours[name], others[name])] == ["1.weight"]

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("sizes", [(7, 37, 40), (300, 320, 9)], ids=str)
    def test_the_same_bits_everywhere(self, sizes: tuple[int, int, int], dtype: str) -> None:
        """Tiles of several panels, more threads than tiles, and units that threads would share out but for it."""
        inputs, units, batch_size = sizes
        data = np.random.default_rng(0).normal(size=(3 * batch_size, inputs))
        target = np.tanh(data[:, :3])
        for first, options in itertools.product(
            ([], [dr.LayerNorm()]), ({}, {"clip_norm": 0.1}, {"validation_split": 0.3})
        ):
            trained = {}
            for isa, n_threads in itertools.product(EQUAL, (1, 2, 3, 4)):
                _core.select_isa(isa)
                layers = [*first, dr.Dense(units, "sigmoid"), dr.LayerNorm(), dr.Dense(units // 2, "relu")]
                network = new(*layers, dr.Dropout(0.3), dr.LayerNorm(), inputs=inputs, dtype=dtype)
                history = network.fit(
                    data, target, loss="mse", epochs=2, batch_size=batch_size, n_threads=n_threads, **options
                )
                answers = network.predict(data, n_threads=n_threads)
                trained[isa, n_threads] = bits(network), history["loss"], history.get("val_loss"), answers.tobytes()
            expected = next(iter(trained.values()))
            assert all(result == expected for result in trained.values())

    @pytest.mark.parametrize("isa", _core.isas())
    @pytest.mark.parametrize("optimizer", ["adam", "rprop", dr.AdamW(weight_decay=0.1)])
    def test_nothing_is_left_in_the_padding(self, optimizer: Any, isa: str) -> None:
        _core.select_isa(isa)
        for dtype, width, batch_size in itertools.product(DTYPES, (1, 6, 17), (3, 50)):
            network = new(dr.LayerNorm(), dr.Dense(width, "sigmoid"), dr.LayerNorm(), dtype=dtype)
            network.fit(X, Y, loss="mse", optimizer=optimizer, epochs=2, batch_size=batch_size)
            assert network._flat.tobytes() == network._flat_from(network.state_dict(), "state").tobytes()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_inputs_of_any_scale_are_learned_alike(self, dtype: str) -> None:
        """Rows times 1e6, beside which eps is nothing, train to the same network, as they are."""
        losses = []
        for scale in (1e3, 1e9):
            network = new(dr.LayerNorm(), dr.Dense(32, "tanh"), dr.LayerNorm(), dtype=dtype)
            history = network.fit(X * scale, LABELS, loss="cross_entropy", epochs=40, optimizer=dr.Adam(lr=5e-3))
            losses.append(history["loss"])
        assert losses[0][-1] < 0.3 * losses[0][0]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-2 if dtype == "float32" else 1e-9)

    def test_sparse_inputs_are_taken_as_dense_ones(self) -> None:
        sparse = pytest.importorskip("scipy.sparse")
        rows = np.where(X > 6, X, 0)
        ours, theirs = new(dr.LayerNorm(), dr.Dense(9, "tanh")), new(dr.LayerNorm(), dr.Dense(9, "tanh"))
        ours.fit(sparse.csr_matrix(rows), Y, loss="mse", epochs=2)
        theirs.fit(rows, Y, loss="mse", epochs=2)
        assert bits(ours) == bits(theirs)
        np.testing.assert_array_equal(ours.predict(sparse.csr_matrix(rows)), theirs.predict(rows))


class TestKeeping:
    def network(self) -> dr.Network:
        network = new(dr.LayerNorm(1e-4), dr.Dense(9, "tanh"), dr.LayerNorm(name="between"))
        network.fit(X, Y, loss="mse", epochs=2)
        return network

    def test_files_pickles_and_copies(self, tmp_path: Path) -> None:
        network = self.network()
        network.save(tmp_path / "net.safetensors")
        for again in (
            dr.Network.load(tmp_path / "net.safetensors"),
            pickle.loads(pickle.dumps(network)),
            copy.deepcopy(network),
        ):
            assert again.layers == network.layers
            assert bits(again) == bits(network)
            np.testing.assert_array_equal(again.predict(X), network.predict(X))

    @pytest.mark.parametrize("change", [{"eps": 0.0}, {"eps": "small"}, {"units": 7}, {"name": "0.5"}])
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

    def test_what_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        network = new(dr.Dense(4, "relu"), dr.LayerNorm(name="norm"))
        assert "LayerNorm(eps=1e-05), Dense(3" in repr(network)
        network.summary()
        lines = capsys.readouterr().out.splitlines()
        assert lines[2].split() == ["norm", "layer_norm", "eps", "1e-05", "(n,", "4)", "8"]
        assert len({len(line) for line in lines[:-1]}) == 1
