"""What a checkpoint is not gone on with: another fit, other data, callbacks that refuse. The network is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.callbacks import CSVLogger, EarlyStopping

RANDOM = np.random.default_rng(5)
X, Y = RANDOM.normal(size=(40, 3)), RANDOM.normal(size=40)
CLASSES = (Y > 0).astype(int)
SEQUENCES = RANDOM.normal(size=(20, 6, 3))


def changed(array: Any, place: Any = -1) -> Any:
    """One number is a little different, or one class another."""
    other = np.array(array)
    other[place] = other[place] + 1e-6 if other.dtype.kind == "f" else 1 - other[place]
    return other


def network(units: int = 5, seed: int = 0, dtype: str = "float32", **layer: Any) -> dr.Network:
    return dr.Network([dr.Dense(units, **{"activation": "tanh", **layer}), dr.Dense(1)], 3, dtype=dtype, seed=seed)


def mean_loss(output: Any, y: Any) -> tuple[float, Any]:
    return float(output.mean()), np.full_like(output, 1 / output.size)


def other_loss(output: Any, y: Any) -> tuple[float, Any]:
    return mean_loss(output, y)


class Counts:
    """A callback with a state."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {"count": 1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Others(Counts):
    pass


def fit(of: dr.Network, **changes: Any) -> dr.History:
    settings: dict[str, Any] = {
        "X": X, "y": Y, "loss": "mse", "optimizer": dr.Adam(0.01), "epochs": 3, "batch_size": 8,
        "validation_data": (X[:9], Y[:9]), "callbacks": [Counts()], "metrics": ["mae"], **changes,
    }  # fmt: skip
    return of.fit(**settings)


def everything(of: dr.Network) -> Any:
    return of.epochs_trained, of.loss, [array.tobytes() for array in of.state_dict().values()]


def refused(path: Path, of: dr.Network, what: str, run: Any = fit, **changes: Any) -> None:
    before, content = everything(of), path.read_bytes()
    mark = "([0-9a-f]{16,32}|none)"
    both = f"the fingerprint of its {what} is {mark}, that of this fit's is {mark};"
    with pytest.raises(ValueError, match=both) as caught:
        run(of, checkpoint=path, resume=True, **changes)
    assert str(path) in str(caught.value)
    assert "resume=False" in str(caught.value)
    assert everything(of) == before
    assert path.read_bytes() == content


DATA: dict[str, dict[str, Any]] = {
    "a number": {"X": changed(X)},
    "a target": {"y": changed(Y)},
    "a row less": {"X": X[1:], "y": Y[1:]},
    "another order": {"X": X[::-1], "y": Y[::-1]},
    "weights": {"sample_weight": np.linspace(1, 2, 40)},
    "held out": {"validation_data": None, "validation_split": 0.2},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "loss": {"loss": "mae"},
    "parameter of the loss": {"loss": dr.Huber(1.5)},
    "own loss": {"loss": mean_loss},
    "optimizer": {"optimizer": "sgd"},
    "rate": {"optimizer": dr.Adam(np.nextafter(0.01, 1))},
    "betas": {"optimizer": dr.Adam(0.01, betas=(0.9, 0.99))},
    "schedule": {"optimizer": dr.Adam(dr.StepLR(0.01, 10))},
    "batches": {"batch_size": 9},
    "order": {"shuffle": False},
    "norm": {"clip_norm": 1.0},
    "value": {"clip_value": 1.0},
    "metrics": {"metrics": ["r2"]},
    "no metrics": {"metrics": []},
    "average": {"callbacks": [Counts(), dr.EMA(0.9)]},
}  # fmt: skip
NETWORKS: dict[str, dr.Network] = {
    "units": network(6), "seed": network(seed=1), "dtype": network(dtype="float64"),
    "activation": network(activation="relu"), "penalty": network(l2=0.1), "frozen": network(trainable=False),
    "rate": network(lr_factor=0.5), "name": network(name="first"),
}  # fmt: skip
VALIDATION: dict[str, dict[str, Any]] = {
    "a number": {"validation_data": (changed(X[:9]), Y[:9])},
    "a target": {"validation_data": (X[:9], changed(Y[:9]))},
    "a row less": {"validation_data": (X[:8], Y[:8])},
    "none": {"validation_data": None},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("of") / "run.ckpt"
    fit(network(), checkpoint=path)
    return path


class TestAnotherFit:
    @pytest.mark.parametrize("what", DATA)
    def test_data(self, what: str, written: Path) -> None:
        refused(written, network(), "data", **DATA[what])

    @pytest.mark.parametrize("what", VALIDATION)
    def test_validation_data(self, what: str, written: Path) -> None:
        refused(written, network(), "validation data", **VALIDATION[what])

    @pytest.mark.parametrize("what", SETTINGS)
    def test_settings(self, what: str, written: Path) -> None:
        refused(written, network(), "settings", **SETTINGS[what])

    @pytest.mark.parametrize("what", NETWORKS)
    def test_network(self, what: str, written: Path) -> None:
        refused(written, NETWORKS[what], "network")

    def test_one_that_was_trained_is_as_it_was(self, written: Path) -> None:
        of = network()
        fit(of)
        refused(written, of, "settings", loss="mae")

    def test_own_losses_go_by_their_names(self, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        fit(network(), loss=mean_loss, checkpoint=path)
        refused(path, network(), "settings", loss=other_loss)
        fit(network(), loss=mean_loss, checkpoint=path, resume=True)

    def test_lengths_and_pieces(self, tmp_path: Path) -> None:
        path, lengths = tmp_path / "run.ckpt", np.full(20, 5)

        def run(of: dr.Network, **changes: Any) -> None:
            settings: dict[str, Any] = {"lengths": lengths, "loss": "mse", "epochs": 1, "bptt_steps": 3, **changes}
            of.fit(SEQUENCES, Y[:20], **settings)

        def new() -> dr.Network:
            return dr.Network([dr.GRU(4), dr.Dense(1)], (None, 3))

        run(new(), checkpoint=path)
        refused(path, new(), "data", run, lengths=lengths - 1)
        refused(path, new(), "data", run, lengths=None)
        refused(path, new(), "settings", run, bptt_steps=2)
        refused(path, new(), "settings", run, bptt_steps=None)
        run(new(), checkpoint=path, resume=True, bptt_steps=np.int64(3))

    @pytest.mark.parametrize("callbacks", [[], [Others()], [Counts(), Counts()], [Others(), Counts()]])
    def test_callbacks(self, callbacks: list[Any], written: Path) -> None:
        of = network()
        before = everything(of)
        with pytest.raises(ValueError, match=r"callbacks with a state are \['Counts'\], those of this one are"):
            fit(of, callbacks=callbacks, checkpoint=written, resume=True)
        assert everything(of) == before


class TestTheSame:
    @pytest.mark.parametrize(
        "changes",
        [
            {"n_threads": 2}, {"verbose": 1}, {"checkpoint_every": "3 steps"}, {"checkpoint_every": 2},
            {"X": X.astype(np.float32)}, {"X": X.tolist()}, {"y": Y[:, None]}, {"X": np.asfortranarray(X)},
            {"optimizer": dr.Adam(lr=np.float64(0.01))}, {"batch_size": np.int32(8)}, {"epochs": 3},
            {"callbacks": [Counts(), type("Plain", (), {"on_epoch_end": lambda *_: None})()]},
        ],
    )  # fmt: skip
    def test_is_gone_on_with(self, changes: dict[str, Any], written: Path) -> None:
        of, alone = network(), network()
        fit(alone)
        fit(of, **{"checkpoint": written, "resume": True, **changes})
        assert everything(of) == everything(alone)


class TestArguments:
    def test_resume_needs_a_checkpoint(self) -> None:
        with pytest.raises(ValueError, match=r"resume=True needs the path of a checkpoint, such as"):
            fit(network(), resume=True)

    @pytest.mark.parametrize("resume", [1, "yes", None])
    def test_flags(self, resume: Any, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match=r"resume=.*: expected True or False"):
            fit(network(), checkpoint=tmp_path / "run.ckpt", resume=resume)

    @pytest.mark.parametrize(
        ("every", "error"),
        [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError), (None, TypeError),
         ("5", ValueError), ("0 steps", ValueError), ("-3 steps", ValueError), ("1e3 steps", ValueError),
         ("five steps", ValueError), ("٣ steps", ValueError), ("9" * 16 + " steps", ValueError), ("", ValueError)],
    )  # fmt: skip
    def test_every(self, every: Any, error: type[Exception], tmp_path: Path) -> None:
        of = network()
        before = everything(of)
        with pytest.raises(error, match=r"checkpoint_every=.*expected"):
            fit(of, checkpoint=tmp_path / "run.ckpt", checkpoint_every=every)
        assert everything(of) == before

    @pytest.mark.parametrize("every", [" 5  steps ", "1 step", "999999999999999 steps", np.int64(2), 2**62])
    def test_every_that_is_fine(self, every: Any, tmp_path: Path) -> None:
        fit(network(), checkpoint=tmp_path / "run.ckpt", checkpoint_every=every)
        assert (tmp_path / "run.ckpt").exists()


class Refuses(Counts):
    """A callback that does not want to go on."""

    def __init__(self, method: str | None = None) -> None:
        if method is not None:
            setattr(self, method, partial(self._refuse, method))

    def _refuse(self, method: str, *_: Any) -> None:
        raise RuntimeError(f"{method} is against it")


@pytest.mark.parametrize("method", ["on_fit_begin", "load_state_dict"])
def test_a_callback_that_refuses_leaves_the_network_as_it_was(method: str, tmp_path: Path) -> None:
    path, stoppings = tmp_path / "run.ckpt", [EarlyStopping(), EarlyStopping()]
    fit(network(), callbacks=[stoppings[0], Refuses()], checkpoint=path)
    for of in (network(), network()):
        if of.seed == 0:
            fit(of, loss="mae", epochs=1, callbacks=[])
        before = everything(of)
        with pytest.raises(RuntimeError, match=f"{method} is against it"):
            fit(of, callbacks=[stoppings[1], Refuses(method)], checkpoint=path, resume=True)
        assert everything(of) == before


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    path, of = tmp_path / "run.ckpt", network()
    fit(of, callbacks=[CSVLogger(tmp_path / "log.csv")], checkpoint=path)
    of = network()
    before = everything(of)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fit(of, callbacks=[CSVLogger(tmp_path / "gone" / "log.csv")], checkpoint=path, resume=True)
    assert everything(of) == before


class Remembers(Counts):
    def __init__(self, state: dict[Any, Any]) -> None:
        self.state, self.found = state, None

    def state_dict(self) -> dict[Any, Any]:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.found = state


class TestStates:
    def test_come_back_as_they_were(self, tmp_path: Path) -> None:
        state: dict[str, Any] = {
            "none": None, "true": True, "count": 2**80, "number": 0.1, "nan": float("nan"), "text": "\ud800 ä\n",
            "numpy": np.float32(0.1), "a/b": np.arange(6).reshape(2, 3).T, "": np.zeros((0, 3), np.int8),
            "big": np.arange(3, dtype=">f4"), "half": np.array([1.5], np.float16), "flags": np.array([True, False]),
            "zero": np.array(7, np.uint8), "strided": np.arange(10)[::3],
        }  # fmt: skip
        callback = Remembers(state)
        fit(network(), callbacks=[callback], checkpoint=tmp_path / "run.ckpt")
        fit(network(), callbacks=[callback], checkpoint=tmp_path / "run.ckpt", resume=True)
        found: Any = callback.found
        assert set(found) == set(state)
        for key, value in state.items():
            assert np.array_equal(found[key], value, equal_nan=key == "nan"), key
            assert np.shape(found[key]) == np.shape(value)
        assert found["true"] is True
        assert found["half"].dtype == np.float16

    @pytest.mark.parametrize(
        "state",
        [{"a": {1}}, {"a": object()}, {"a": np.array(["x"])}, {"a": np.array([None])}, {"a": 1j}, {1: 2},
         {"a": np.array([1j])}, {"a": np.array([1], np.longdouble)}, {"a": np.array(["2020"], "M8[D]")}, {"a": (1, 2)}],
    )  # fmt: skip
    def test_that_no_file_keeps(self, state: dict[Any, Any], tmp_path: Path) -> None:
        with pytest.raises(TypeError, match=r"the state_dict of Remembers has .*: a checkpoint keeps numbers, text"):
            fit(network(), callbacks=[Remembers(state)], checkpoint=tmp_path / "run.ckpt")
        assert list(tmp_path.iterdir()) == []


class TestStreams:
    @staticmethod
    def fit(of: dr.Network, source: Any = (X, CLASSES), **changes: Any) -> None:
        given = {name: changes.pop(name) for name in ("buffer",) if name in changes}
        settings: dict[str, Any] = {"loss": "cross_entropy", "epochs": 2, "batch_size": 4, **changes}
        of.fit(dr.stream(source, **{"buffer": 16, **given}), **settings)

    @staticmethod
    def new() -> dr.Network:
        return dr.Network([dr.Dense(4), dr.Dense(2)], 3)

    def cut(self, path: Path, source: Any, at: int, **changes: Any) -> None:
        """A fit that ends with its checkpoint after so many steps."""

        class Stops(Counts):
            count = 0

            def state_dict(self) -> dict[str, Any]:
                self.count += 1
                if self.count > at:
                    raise KeyboardInterrupt
                return {}

        Stops.__name__ = "Counts"

        with pytest.raises(KeyboardInterrupt):
            self.fit(self.new(), source, checkpoint=path, checkpoint_every="1 step", callbacks=[Stops()], **changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {"buffer": 17},
            {"class_weight": {0: 1.0, 1: 2.0}},
            {"source": (X[1:], CLASSES[1:])},
            {"source": [(X, CLASSES)]},
        ],
    )
    def test_another_one(self, changes: dict[str, Any], tmp_path: Path) -> None:
        self.fit(self.new(), class_weight={0: 1.0, 1: 1.0}, checkpoint=tmp_path / "run.ckpt")
        refused(tmp_path / "run.ckpt", self.new(), "data", self.fit, **{"class_weight": {0: 1.0, 1: 1.0}, **changes})

    @pytest.mark.parametrize("at", range(1, 20))
    def test_other_rows(self, at: int, tmp_path: Path) -> None:
        """What was read in this epoch, or at the very beginning."""
        path = tmp_path / "run.ckpt"
        self.cut(path, (X, CLASSES), at, shuffle=False)
        of = self.new()
        before = everything(of)
        with pytest.raises(ValueError, match=r"of another stream: what was read .* has the fingerprint [0-9a-f]{32}"):
            self.fit(
                of, (changed(X, (0, 0)), CLASSES), checkpoint=path, resume=True, shuffle=False, callbacks=[Counts()]
            )
        assert everything(of) == before

    def test_it_has_become_shorter(self, tmp_path: Path) -> None:
        def batches(rows: int) -> Any:
            return lambda: iter([(X[:rows], CLASSES[:rows])])

        self.cut(tmp_path / "run.ckpt", batches(40), 9)
        of = self.new()
        before = everything(of)
        with pytest.raises(ValueError, match="has ended before step 9"):
            self.fit(of, batches(20), checkpoint=tmp_path / "run.ckpt", resume=True, callbacks=[Counts()])
        assert everything(of) == before

    def test_an_iterator_is_given_anew(self, tmp_path: Path) -> None:
        def batches() -> Iterator[Any]:
            yield from ((X[start : start + 7], CLASSES[start : start + 7]) for start in range(0, 40, 7))

        alone, path = self.new(), tmp_path / "run.ckpt"
        self.fit(alone, batches(), epochs=1)
        for at in range(1, 10):
            self.cut(path, batches(), at, epochs=1)
            of = self.new()
            self.fit(of, batches(), epochs=1, checkpoint=path, resume=True, callbacks=[Counts()])
            assert everything(of)[2] == everything(alone)[2]
