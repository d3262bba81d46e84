"""`train_many`: each network as if it had been alone, whoever else is trained, diverges, raises or is interrupted."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import threading
from typing import Any

import numpy as np
import pytest
from recurrent_networks import batch

import deltarule as dr
from deltarule.many import Trained, train_many

RANDOM = np.random.default_rng(41)
X = RANDOM.normal(size=(60, 4))
Y = np.tanh(X @ RANDOM.normal(size=(4, 2)))
LABELS = Y.argmax(axis=1)


def new(seed: int = 0, units: int = 6, **options: Any) -> dr.Network:
    options = {"input_shape": 4, **options}
    return dr.Network([dr.Dense(units, "tanh"), dr.Dense(2)], seed=seed, **options)


def bits(network: dr.Network) -> list[bytes]:
    return [array.tobytes() for array in network.state_dict().values()]


def mixed() -> list[dr.Network]:
    """Of many shapes, both dtypes, deep and wide, with dropout, normalized, frozen in part, not yet built."""
    layers: list[list[Any]] = [
        [dr.Dense(2)],
        [dr.Dense(3, "relu"), dr.Dense(2)],
        [dr.Dense(17, "tanh", l2=1e-3), dr.Dropout(0.3), dr.Dense(9, "gelu"), dr.Dense(2)],
        [dr.LayerNorm(), dr.Dense(5, "silu", trainable=False), dr.Dense(2, lr_factor=0.1)],
        [dr.Dense(200, "relu"), dr.Dense(2, use_bias=False)],
        [dr.BatchNorm(), dr.Dropout(0.1), dr.Dense(1, "sigmoid"), dr.Dense(2)],
    ]
    return [
        dr.Network(one, 4 if place % 2 else None, dtype, seed=10 * place)
        for dtype in ("float32", "float64")
        for place, one in enumerate(layers)
    ]


OPTIMIZERS = ["adam", dr.SGD(0.05, momentum=0.9), dr.RMSprop, dr.AdamW(0.01), dr.Rprop(), dr.NAdam(1e-3)]


def alone(network: dr.Network, **options: Any) -> dr.History:
    return network.fit(X, Y, **{"loss": "mse", **options})


def columns(history: dr.History) -> dict[str, list[float]]:
    return {name: column for name, column in history.items() if name != "seconds"}


def assert_each_as_alone(networks: list[dr.Network], n_threads: int | None, **options: Any) -> Trained:
    """Options that are lists hold one for each."""
    singles = copy.deepcopy(networks)
    trained = train_many(networks, X, Y, loss="mse", n_threads=n_threads, **options)
    assert trained.networks == networks
    assert trained.errors == [None] * len(networks)
    for place, single in enumerate(singles):
        own = {name: value[place] if isinstance(value, list) else value for name, value in options.items()}
        history = alone(single, **own)
        assert bits(single) == bits(networks[place]), networks[place]
        assert columns(history) == columns(trained.histories[place])
        assert single.epochs_trained == networks[place].epochs_trained
        assert single.loss == networks[place].loss
        assert single.input_shape == networks[place].input_shape
    return trained


class TestEachIsAsIfItHadBeenAlone:
    @pytest.mark.parametrize("n_threads", [1, 2, 3, 4, None])
    def test_of_many_kinds(self, n_threads: int | None) -> None:
        networks = mixed()
        options: dict[str, Any] = {
            "optimizer": [OPTIMIZERS[place % 6] for place in range(12)],
            "epochs": [place % 4 for place in range(12)],
            "batch_size": [(1, 8, 9, 32, 60, 1000)[place % 6] for place in range(12)],
        }
        trained = assert_each_as_alone(networks, n_threads, **options)
        assert [history.epochs for history in trained.histories] == options["epochs"]
        again = assert_each_as_alone(networks, n_threads, **options)  # and goes on from there
        assert again.networks == networks

    @pytest.mark.parametrize("n_threads", [1, 2, 4])
    @pytest.mark.parametrize(
        "options",
        [
            {"validation_split": 0.3, "metrics": ("mae", "r2")},
            {"sample_weight": np.linspace(0, 2, 60), "clip_norm": 0.1, "clip_value": 0.01},
            {"validation_data": (X[:7], Y[:7]), "shuffle": False},
            {"optimizer": dr.Adam(lr=dr.StepLR(0.1, step_size=2, gamma=0.5))},
            {"optimizer": dr.SGD(lr=dr.OneCycleLR(0.1))},
            {"optimizer": dr.SGD(lr=dr.ReduceLROnPlateau(0.5, patience=0, factor=0.5)), "validation_split": 0.5},
        ],
        ids=lambda options: ", ".join(options),
    )
    def test_with_all_that_a_fit_takes(self, options: dict[str, Any], n_threads: int) -> None:
        assert_each_as_alone(mixed(), n_threads, epochs=3, **options)

    def test_schedules_of_their_own(self) -> None:
        schedules: list[Any] = [dr.StepLR(0.1, step_size=1), dr.CosineAnnealingLR(0.2, total_epochs=4), 0.3]
        optimizers = [dr.SGD(lr=rate) for rate in schedules]
        trained = assert_each_as_alone([new(seed) for seed in range(3)], 2, optimizer=optimizers, epochs=4)
        assert len({str(history["lr"]) for history in trained.histories}) == 3

    @pytest.mark.parametrize("n_threads", [1, 2, 3])
    @pytest.mark.parametrize("by_step", [False, True])
    def test_of_sequences(self, by_step: bool, n_threads: int) -> None:
        data = batch(20, 6, by_step=by_step, inputs=4)
        kinds: list[Any] = [dr.RNN, dr.LSTM, dr.GRU]
        networks = [
            dr.Network([kind(units, return_sequences=by_step), dr.Dropout(0.2), dr.Dense(2)], (None, 4), seed=units)
            for kind in kinds
            for units in (1, 5, 17)
        ]
        singles = copy.deepcopy(networks)
        options: dict[str, Any] = {"loss": "mse", "epochs": 2, "batch_size": 8, "metrics": ["mae"]}
        trained = train_many(networks, data.X, data.y, n_threads=n_threads, validation_split=0.2, **options)
        for single, network, history in zip(singles, networks, trained.histories, strict=True):
            assert columns(single.fit(data.X, data.y, validation_split=0.2, **options)) == columns(history)
            assert bits(single) == bits(network)

    def test_of_classes(self) -> None:
        networks = [new(seed, units) for seed, units in enumerate((1, 5, 40))]
        singles = copy.deepcopy(networks)
        options: dict[str, Any] = {"loss": "cross_entropy", "epochs": 3, "class_weight": "balanced"}
        train_many(networks, X, LABELS, metrics=["accuracy"], **options)
        for single, network in zip(singles, networks, strict=True):
            single.fit(X, LABELS, **options)
            assert bits(single) == bits(network)
            assert single.predict_proba(X).tobytes() == network.predict_proba(X).tobytes()

    @pytest.mark.parametrize("n_threads", [1, 3])
    def test_with_a_loss_of_ones_own(self, n_threads: int) -> None:
        def loss(output: Any, y: Any) -> tuple[float, Any]:
            difference = output - y
            return float((difference**2).mean()), 2 * difference / difference.size

        networks = mixed()
        singles = copy.deepcopy(networks)
        train_many(networks, X, Y, loss=loss, epochs=2, validation_split=0.2, n_threads=n_threads)
        for single, network in zip(singles, networks, strict=True):
            single.fit(X, Y, loss=loss, epochs=2, validation_split=0.2)
            assert bits(single) == bits(network)

    def test_many_more_networks_than_threads(self) -> None:
        """Those of the same seed and shape are the same, wherever and whenever they were trained."""
        networks = [new(seed % 7, units=1 + seed % 5) for seed in range(300)]
        train_many(networks, X, Y, loss="mse", epochs=3, n_threads=4)
        kinds: dict[tuple[int, int], set[str]] = {}
        for seed, network in enumerate(networks):
            kinds.setdefault((seed % 7, seed % 5), set()).add(str(bits(network)))
        assert all(len(found) == 1 for found in kinds.values())
        assert len(kinds) == 35


class TestWhatItGives:
    def test_in_the_order_in_which_they_were_given(self) -> None:
        """Though those that take long end last."""
        counts = [400, 0, 30, 1, 200, 2]
        networks = [new(seed) for seed in range(6)]
        trained = train_many(networks, X, Y, loss="mse", epochs=counts, n_threads=3)
        assert [network.epochs_trained for network in trained] == counts
        assert [history.epochs for history in trained.histories] == counts
        assert len(trained) == 6
        assert trained[1] is networks[1]
        assert trained[-1] is networks[5]
        assert trained[1:3] == networks[1:3]
        assert list(trained) == networks
        assert networks[3] in trained

    def test_specs(self) -> None:
        """As dicts, also from JSON; and networks among them."""
        network = new(3)
        specs = [new(1).spec(), json.loads(json.dumps(new(2, dtype="float64").spec())), network]
        trained = train_many(specs, X, Y, loss="mse", epochs=2)
        assert trained[2] is network
        for made, single in zip(trained, (new(1), new(2, dtype="float64"), new(3)), strict=True):
            alone(single, epochs=2)
            assert made.spec() == single.spec()
            assert bits(made) == bits(single)

    def test_best(self) -> None:
        networks = [new(seed) for seed in range(4)]
        trained = train_many(
            networks, X, LABELS, loss="cross_entropy", epochs=[1, 40, 5, 1], optimizer=dr.Adam(0.01),
            metrics=["accuracy"], validation_split=0.2,
        )  # fmt: skip
        losses = [history["val_loss"][-1] for history in trained.histories]
        assert trained.best() is networks[int(np.argmin(losses))]
        assert trained.best("loss") is networks[int(np.argmin(trained.final("loss")))]
        assert trained.best("val_accuracy") is networks[int(np.argmax(trained.final("val_accuracy")))]
        with pytest.raises(ValueError, match="no column 'mae': they have"):
            trained.best("mae")
        plain = train_many([new(0), new(1)], X, Y, loss="mse", epochs=[1, 100])
        assert plain.best() is plain[1]
        nothing = train_many([new(0)], X, Y, loss="mse", epochs=0)
        with pytest.raises(ValueError, match="no network has a finite loss"):
            nothing.best()

    def test_final(self) -> None:
        trained = train_many([new(0), new(1)], X, Y, loss="mse", epochs=[0, 3])
        assert np.isnan(trained.final("loss")[0])
        assert trained.final("loss")[1] == trained.histories[1]["loss"][-1]
        assert trained.final("lr").dtype == np.float64

    def test_a_frame(self) -> None:
        pandas = pytest.importorskip("pandas")
        networks = [new(seed) for seed in range(3)]
        optimizers: list[Any] = ["adam", dr.SGD(1e30), "adam"]
        trained = train_many(networks, X, Y, loss="mse", optimizer=optimizers, epochs=[2, 30, 4], metrics=["mae"])
        frame = trained.to_frame()
        assert isinstance(frame, pandas.DataFrame)
        assert list(frame.columns) == ["loss", "mae", "lr", "seconds", "epochs", "error"]
        assert frame["epochs"].tolist() == [2, trained.histories[1].epochs, 4]
        assert frame["error"].isna().tolist() == [True, False, True]
        assert "diverged" in frame["error"][1]
        assert frame["mae"][2] == trained.histories[2]["mae"][-1]
        assert np.isnan(frame["loss"][1])

    def test_as_text(self) -> None:
        trained = train_many([new(0), new(1)], X, Y, loss="mse", optimizer=["adam", dr.SGD(1e30)], epochs=20)
        assert repr(trained).startswith("Trained(2 networks, loss ")
        assert repr(trained).endswith(", 1 failed)")
        assert repr(train_many([new()], X, Y, loss="mse", epochs=0)) == "Trained(1 networks)"

    @pytest.mark.parametrize("verbose", [0, 1, True])
    def test_a_bar(self, verbose: int) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            train_many([new(seed) for seed in range(5)], X, Y, loss="mse", verbose=verbose)
        assert ("5/5" in said.getvalue()) == bool(verbose)
        assert bool(said.getvalue()) == bool(verbose)


class TestNothing:
    def test_no_networks(self) -> None:
        trained = train_many([], X, Y, loss="mse")
        assert (len(trained), trained.networks, trained.histories, trained.errors) == (0, [], [], [])
        assert repr(trained) == "Trained(0 networks)"
        with pytest.raises(ValueError, match="no network was trained"):
            trained.best()

    def test_no_epochs(self) -> None:
        networks = [new(0, input_shape=None), new(1)]
        train_many(networks, X, Y, loss="mse", epochs=0)
        assert [bits(network) for network in networks] == [bits(new(0)), bits(new(1))]


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "optimizers": ({"optimizer": ["adam"]}, ValueError, "optimizer has 1 elements but there are 3 networks"),
    "optimizer": ({"optimizer": ["adam", "adm", "sgd"]}, ValueError, "did you mean 'adam'"),
    "lbfgs": ({"optimizer": ["adam", dr.LBFGS(), "sgd"]}, ValueError, "LBFGS.*: use Network.fit"),
    "epochs": ({"epochs": [1, 2]}, ValueError, "epochs has 2 elements but there are 3 networks"),
    "negative": ({"epochs": [1, -2, 3]}, ValueError, "epochs=-2"),
    "batch sizes": ({"batch_size": (1, 2, 3, 4)}, ValueError, "batch_size has 4 elements but there are 3 networks"),
    "batch size": ({"batch_size": [1, 0, 1]}, ValueError, "batch_size=0"),
    "rows": ({"y": Y[:59]}, ValueError, "59"),
    "nan": ({"X": np.where(X > 3, np.nan, X) * np.nan}, ValueError, "X"),
    "width of y": ({"y": np.ones((60, 3))}, ValueError, "y"),
    "labels": ({"y": LABELS + 1, "loss": "cross_entropy"}, ValueError, "y"),
    "loss": ({"loss": "mze"}, ValueError, "did you mean 'mse'"),
    "metrics": ({"metrics": ["acuracy"]}, ValueError, "did you mean 'accuracy'"),
    "shuffle": ({"shuffle": "yes"}, TypeError, "shuffle='yes'"),
    "clip": ({"clip_norm": -1}, ValueError, "clip_norm=-1"),
    "threads": ({"n_threads": 0}, ValueError, "n_threads=0"),
    "threads too": ({"n_threads": "two"}, TypeError, "n_threads='two'"),
    "verbose": ({"verbose": "no"}, TypeError, "verbose='no'"),
    "both": ({"validation_data": (X, Y), "validation_split": 0.5}, ValueError, "choose one"),
    "split": ({"validation_split": 0.001}, ValueError, "validation_split=0.001"),
    "weights": ({"sample_weight": -np.ones(60)}, ValueError, "sample_weight"),
    "callback": ({"callbacks": []}, TypeError, "callbacks"),
    "stream": ({"X": dr.stream([(X, Y)]), "y": None}, TypeError, "train with Network.fit"),
    "schedule": (
        {"optimizer": ["adam", dr.SGD(lr=dr.OneCycleLR(0.1, total_steps=3)), "adam"], "epochs": 3},
        ValueError,
        "OneCycleLR",
    ),
}


class TestBeforeAnythingChanges:
    @pytest.mark.parametrize("name", REFUSED)
    def test_arguments(self, name: str) -> None:
        given, error, message = REFUSED[name]
        networks = [new(0, input_shape=None), new(1), new(2)]
        options = {"X": X, "y": Y, "loss": "mse", **given}
        with pytest.raises(error, match=message):
            train_many(networks, options.pop("X"), options.pop("y"), **options)
        assert networks[0].input_shape is None
        for seed, network in enumerate(networks[1:], 1):
            assert bits(network) == bits(new(seed))
            assert (network.epochs_trained, network.loss) == (0, None)
        train_many(networks, X, Y, loss="mse")  # none of them is still held

    def test_a_network_that_the_data_does_not_fit(self) -> None:
        networks = [new(0, input_shape=None), new(1), new(2, input_shape=5)]
        with pytest.raises(ValueError, match="X has 4 features but the network takes 5") as caught:
            train_many(networks, X, Y, loss="mse")
        assert caught.value.__notes__ == ["This is about networks[2]."]
        assert networks[0].input_shape is None
        assert bits(networks[1]) == bits(new(1))

    def test_one_that_is_frozen_throughout(self) -> None:
        networks = [new(0), new(1)]
        networks[1].freeze()
        with pytest.raises(ValueError, match="all layers are frozen") as caught:
            train_many(networks, X, Y, loss="mse")
        assert caught.value.__notes__ == ["This is about networks[1]."]
        assert bits(networks[0]) == bits(new(0))

    def test_the_same_network_twice(self) -> None:
        first, second = new(0), new(1)
        with pytest.raises(ValueError, match=r"networks\[2\] is networks\[0\]: .*copy\.deepcopy"):
            train_many([first, second, first], X, Y, loss="mse")
        assert (bits(first), bits(second)) == (bits(new(0)), bits(new(1)))
        train_many([first, copy.deepcopy(first)], X, Y, loss="mse")

    @pytest.mark.parametrize(
        ("networks", "error", "message"),
        [
            (new(), TypeError, "networks is Network: expected a list of networks"),
            (new().spec(), TypeError, "networks is dict"),
            ("networks", TypeError, "networks is str"),
            ({new(): 1}, TypeError, "networks is dict"),
            ((new(seed) for seed in range(2)), TypeError, "networks is generator"),
            ([new(), dr.Dense(3)], TypeError, r"networks\[1\] is Dense"),
            ([new(), None], TypeError, r"networks\[1\] is NoneType"),
            ([new(), {"layers": []}], ValueError, "expected a dict of layers, input_shape, dtype and seed"),
        ],
        ids=str,
    )
    def test_what_is_no_list_of_networks(self, networks: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            train_many(networks, X, Y, loss="mse")

    def test_one_that_is_being_trained(self) -> None:
        networks, begun, end = [new(0), new(1)], threading.Event(), threading.Event()

        class Gate:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
                begun.set()
                return end.is_set()

        thread = threading.Thread(target=lambda: alone(networks[1], epochs=10**9, callbacks=[Gate()]))
        thread.start()
        try:
            assert begun.wait(20)
            with pytest.raises(RuntimeError, match="wait for"):
                train_many(networks, X, Y, loss="mse")
        finally:
            end.set()
            thread.join(20)
        assert bits(networks[0]) == bits(new(0))
        train_many(networks, X, Y, loss="mse")
