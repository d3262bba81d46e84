"""Fits that are interrupted and go on from their checkpoint: the same bits as if nobody had interrupted them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.callbacks import EarlyStopping
from deltarule.layers import Layer

RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(57, 4))
Y = np.sin(2 * X[:, 0]) * X[:, 1] + RANDOM.normal(size=57) / 5
CLASSES = (Y > 0).astype(int)
SEQUENCES, LENGTHS = RANDOM.normal(size=(31, 7, 3)), RANDOM.integers(1, 8, size=31)
STEPS = 6  # of an epoch

Fit = Callable[..., tuple[dr.Network, dr.History]]


class Stop:
    """Has to be saved with each checkpoint, and at one of them does what it wants."""

    def __init__(self, at: int | None = None, each: Callable[[int], None] = lambda count: None) -> None:
        self.at, self.each, self.count = at, each, 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        self.count += 1
        self.each(self.count)
        if self.count == self.at:
            raise KeyboardInterrupt
        return {"one": 1, "two": np.arange(2)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["one"] == 1
        assert state["two"].tolist() == [0, 1]


def bits(network: dr.Network) -> tuple[int, bytes]:
    return network.epochs_trained, b"".join(array.tobytes() for array in network.state_dict().values())


def columns(history: dr.History) -> dict[str, list[str]]:
    return {name: [x.hex() for x in column] for name, column in history.items() if name != "seconds"}


def dense(dtype: str = "float32") -> dr.Network:
    return dr.Network([dr.Dense(13, "tanh"), dr.Dropout(0.2), dr.Dense(1)], input_shape=4, dtype=dtype, seed=8)


def fits(optimizer: dr.Optimizer, *, make: Callable[[], dr.Network] = dense, data: Any = None, **settings: Any) -> Fit:
    """A fit as a function of what concerns its checkpoints."""

    def fit(network: dr.Network | None = None, **keep: Any) -> tuple[dr.Network, dr.History]:
        network = network or make()
        given = (X, Y) if data is None else data()
        chosen = {"loss": "mse", "epochs": 4, "batch_size": 10, **settings, **keep}
        callbacks = [*(chosen.pop("watch", list)()), chosen.pop("stop", Stop())]
        return network, network.fit(*given, optimizer=optimizer, callbacks=callbacks, **chosen)

    return fit


def halves(output: Any, y: Any) -> tuple[float, Any]:
    difference = output - np.reshape(y, output.shape)
    return float((difference**2).mean() / 2), difference / output.size


def pieces() -> Iterator[tuple[Any, Any]]:
    for start in range(0, len(X), 11):
        yield X[start : start + 11], Y[start : start + 11]


class Loader:
    """What can be gone through again and again, but once at a time; as a torch DataLoader whose workers stay."""

    begun = 0

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        self.begun += 1
        return self._batches(self.begun)

    def _batches(self, number: int) -> Iterator[tuple[Any, Any]]:
        for batch in pieces():
            assert number == self.begun, "somebody else has begun"
            yield batch


def frozen() -> dr.Network:
    network = dr.Network([dr.Dense(6, "relu"), dr.Dense(5, "tanh"), dr.LayerNorm(), dr.Dense(1)], input_shape=4)
    network.freeze(0)
    network.set_lr_factor(0.25, 1)
    return network


def normalized() -> dr.Network:
    return dr.Network([dr.Dense(6), dr.BatchNorm(), dr.Dropout(0.1), dr.Dense(1)], input_shape=4, seed=9)


def recurrent() -> dr.Network:
    layers: list[Layer] = [dr.LSTM(5, return_sequences=True), dr.Dropout(0.1), dr.GRU(4), dr.Dense(1)]
    return dr.Network(layers, input_shape=(None, 3), seed=4)


def sequences() -> Any:
    return SEQUENCES, np.array([sequence[:length].sum() for sequence, length in zip(SEQUENCES, LENGTHS, strict=True)])


FITS: dict[str, Fit] = {
    "sgd": fits(dr.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01)),
    "rmsprop": fits(dr.RMSprop(0.01, momentum=0.5, centered=True), clip_norm=0.3),
    "adagrad": fits(dr.Adagrad(0.1), clip_value=0.01),
    "adadelta": fits(dr.Adadelta(), sample_weight=np.linspace(0, 1, 57)),
    "adam": fits(dr.Adam(0.01), make=lambda: dense("float64"), validation_split=0.1),
    "adamw": fits(dr.AdamW(dr.OneCycleLR(0.1), amsgrad=True), watch=lambda: [dr.EMA(0.8)]),
    "nadam": fits(dr.NAdam(dr.LinearWarmup(dr.StepLR(0.02, step_size=1), steps=9))),
    "rprop": fits(dr.Rprop(0.01), batch_size=57, epochs=9, make=lambda: dense("float64")),
    "shuffle": fits(dr.Adam(dr.CosineAnnealingLR(0.1)), shuffle=False, metrics=["mae", "r2"]),
    "frozen": fits(
        dr.Adam(dr.ReduceLROnPlateau(0.1, factor=0.5, patience=1, threshold=0.4, cooldown=1)), make=frozen, epochs=12,
    ),
    "normalized": fits(dr.Adam(0.01), make=normalized, validation_split=0.2, watch=lambda: [EarlyStopping("loss")]),
    "normalized, average": fits(dr.SGD(0.1), make=normalized, metrics=["mae"], watch=lambda: [dr.EMA(0.9)]),
    "own loss": fits(dr.Adam(dr.ExponentialLR(0.02, 0.8)), loss=halves, validation_split=0.2),
    "one sample": fits(dr.Adam(dr.MultiStepLR(0.1, [1, 3])), data=lambda: (X[:1], Y[:1]), batch_size=1),
    "classes": fits(
        dr.Adam(0.01), make=lambda: dr.Network([dr.Dense(7, "relu"), dr.Dense(2)], input_shape=4), loss="cross_entropy",
        data=lambda: (X, CLASSES), class_weight="balanced", metrics=["accuracy"],
    ),
    "stopped": fits(dr.SGD(0.3), watch=lambda: [EarlyStopping("loss", patience=2)], epochs=30),
    "stream": fits(
        dr.Adam(0.01), data=lambda: [dr.stream(pieces, buffer=20)], validation_data=(X, Y), metrics=["mae"],
        watch=lambda: [dr.EMA(0.7)],
    ),
    "stream, warmup": fits(
        dr.Adam(dr.LinearWarmup(dr.StepLR(0.02, step_size=1, gamma=0.5), steps=9)), epochs=5,
        data=lambda: [dr.stream(pieces, buffer=20)],
    ),
    "stream, cycle": fits(
        dr.Adam(dr.LinearWarmup(dr.OneCycleLR(0.02, total_steps=20), epochs=2)), epochs=5,
        data=lambda: [dr.stream(pieces, buffer=20)],
    ),
    "stream of a loader": fits(dr.Adam(), data=lambda: [dr.stream(Loader(), buffer=20)]),
    "stream in order": fits(dr.SGD(0.1), data=lambda: [dr.stream((X, Y), buffer=30)], shuffle=False),
    "stream, own loss": fits(dr.SGD(0.1), data=lambda: [dr.stream((X, Y), buffer=30)], loss=halves),
    "iterator": fits(dr.Adam(0.01), data=lambda: [dr.stream(pieces(), buffer=20)], epochs=1),
    "sequences": fits(dr.Adam(0.01), make=recurrent, data=sequences, lengths=LENGTHS, batch_size=6),
    "pieces of them": fits(dr.SGD(0.1, momentum=0.5), make=recurrent, data=sequences, bptt_steps=3, batch_size=6),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("every", ["1 step", "4 steps"])
def test_from_each_checkpoint(name: str, every: str, tmp_path: Path) -> None:
    """All the files that a fit writes are kept, and each of them is gone on from, with other threads."""
    alone, history = FITS[name]()
    path = tmp_path / "run.ckpt"

    def keep(count: int) -> None:
        if count > 1:
            shutil.copy(path, tmp_path / f"{count - 1}")  # the one that is to be replaced

    network, found = FITS[name](stop=Stop(each=keep), checkpoint=path, checkpoint_every=every)
    assert bits(network) == bits(alone)
    assert columns(found) == columns(history)
    files = sorted(tmp_path.iterdir())
    assert len(files) >= (4 if every == "1 step" else 1)
    for number, file in enumerate(files):
        network, found = FITS[name](checkpoint=file, resume=True, n_threads=1 + number % 3)
        assert bits(network) == bits(alone), file
        assert columns(found) == columns(history), file
        assert found["seconds"] == sorted(found["seconds"])


@pytest.mark.parametrize("name", ["adamw", "stream", "own loss"])
@pytest.mark.parametrize("every", [1, 3, f"{STEPS} steps", "7 steps", "1 step", f"{3 * STEPS} steps", "1000 steps"])
@pytest.mark.parametrize("at", [1, 2, 5])
def test_after_ctrl_c(name: str, every: int | str, at: int, tmp_path: Path) -> None:
    path, (alone, history) = tmp_path / "run.ckpt", FITS[name]()
    network = dense()
    try:
        FITS[name](network, stop=Stop(at), checkpoint=path, checkpoint_every=every)
    except KeyboardInterrupt:
        assert path.exists() == (at > 1)
    for same in (network, dense()) if path.exists() else (dense(),):
        for _ in range(2):  # the second time there is nothing to do
            _, found = FITS[name](same, checkpoint=path, checkpoint_every=every, resume=True, verbose=0)
            assert bits(same) == bits(alone)
            assert columns(found) == columns(history)


@pytest.mark.parametrize(
    ("every", "expected"),
    [(1, [1, 2, 3, 4]), (3, [3, 4]), ("6 steps", [1, 2, 3, 4]), ("12 steps", [2, 4]), ("18 steps", [3, 4]),
     ("4 steps", [4 / 6, 8 / 6, 2, 16 / 6, 20 / 6, 4]), ("9 steps", [1.5, 3, 4]), ("25 steps", [4]), (5, [4])],
)  # fmt: skip
@pytest.mark.parametrize("name", ["sgd", "stream in order"])
def test_when_it_is_written(name: str, every: int | str, expected: list[float], tmp_path: Path) -> None:
    from deltarule.network.saved_fit import SavedFit

    path, found = tmp_path / "run.ckpt", []

    def look(count: int) -> None:
        saved = SavedFit(path).read()
        if saved is not None:
            found.append(saved.epochs_done + saved.step / STEPS)

    FITS[name](stop=Stop(each=look), checkpoint=path, checkpoint_every=every)
    look(0)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "stream in order"])
def test_when_it_is_written_by_one_that_goes_on(name: str, tmp_path: Path) -> None:
    """The steps are counted from there."""
    from deltarule.network.saved_fit import SavedFit

    path, found = tmp_path / "run.ckpt", []

    def look(count: int) -> None:
        saved = SavedFit(path).read()
        assert saved is not None
        found.append(saved.epochs_done * STEPS + saved.step)

    with pytest.raises(KeyboardInterrupt):
        FITS[name](stop=Stop(2), checkpoint=path, checkpoint_every="4 steps")
    FITS[name](stop=Stop(each=look), checkpoint=path, checkpoint_every="8 steps", resume=True)
    look(0)
    assert found == [4, 12, 20, 24]
    with pytest.raises(KeyboardInterrupt):
        FITS[name](stop=Stop(2), checkpoint=path, checkpoint_every="4 steps")
    found.clear()
    FITS[name](stop=Stop(each=look), checkpoint=path, checkpoint_every="2 steps", resume=True)
    assert found == list(range(4, 24, 2))


@pytest.mark.parametrize("at", [2, 5, 9])
def test_of_a_network_that_was_trained_before(at: int, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"

    def trained() -> dr.Network:
        network = dense()
        network.fit(X, Y, loss="mse", epochs=3)
        return network

    for name in ("adam", "stream"):
        alone, history = FITS[name](trained())
        with pytest.raises(KeyboardInterrupt):
            FITS[name](trained(), stop=Stop(at), checkpoint=path, checkpoint_every="2 steps")
        for network in (trained(), dense()):  # whatever its weights are now
            _, found = FITS[name](network, checkpoint=path, resume=True)
            assert bits(network) == bits(alone)
            assert alone.epochs_trained == 7
            assert columns(found) == columns(history)


class TestTheLength:
    @pytest.mark.parametrize("name", ["sgd", "stream", "frozen", "sequences"])
    def test_more_epochs_go_on(self, name: str, tmp_path: Path) -> None:
        alone, history = FITS[name](epochs=7)
        FITS[name](epochs=2, checkpoint=tmp_path / "run.ckpt")
        FITS[name](epochs=3, checkpoint=tmp_path / "run.ckpt", resume=True)
        network, found = FITS[name](epochs=7, checkpoint=tmp_path / "run.ckpt", resume=True)
        assert bits(network) == bits(alone)
        assert columns(found) == columns(history)

    def test_the_same_trains_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        alone, history = FITS["adamw"](checkpoint=path)
        content = path.read_bytes()
        seen: list[int] = []
        network, found = FITS["adamw"](stop=Stop(each=seen.append), checkpoint=path, resume=True)
        assert bits(network) == bits(alone)
        assert dict(found) == dict(history)
        assert seen == []
        assert path.read_bytes() == content

    @pytest.mark.parametrize("epochs", [0, 1, 2])
    def test_fewer_are_refused(self, epochs: int, tmp_path: Path) -> None:
        path, network = tmp_path / "run.ckpt", dense()
        FITS["sgd"](epochs=3, checkpoint=path)
        before = bits(network)
        with pytest.raises(ValueError, match=f"has 3 epochs, more than epochs={epochs}: ask for at least as many"):
            FITS["sgd"](network, epochs=epochs, checkpoint=path, resume=True)
        assert bits(network) == before

    def test_those_that_are_begun_count(self, tmp_path: Path) -> None:
        path, network = tmp_path / "run.ckpt", dense()
        with pytest.raises(KeyboardInterrupt):
            FITS["sgd"](stop=Stop(5), checkpoint=path, checkpoint_every="4 steps")  # the last one after 16 steps
        before = bits(network)
        with pytest.raises(ValueError, match="has 3 epochs, the last of them begun, more than epochs=2"):
            FITS["sgd"](network, epochs=2, checkpoint=path, resume=True)
        assert bits(network) == before

    def test_no_epochs_write_nothing(self, tmp_path: Path) -> None:
        FITS["sgd"](epochs=0, checkpoint=tmp_path / "run.ckpt", resume=True)
        assert not (tmp_path / "run.ckpt").exists()

    def test_a_schedule_over_all_epochs_keeps_them(self, tmp_path: Path) -> None:
        FITS["adamw"](epochs=4, checkpoint=tmp_path / "run.ckpt")
        with pytest.raises(ValueError, match="the fingerprint of its settings is"):
            FITS["adamw"](epochs=5, checkpoint=tmp_path / "run.ckpt", resume=True)


class TestBeginning:
    def test_resume_without_a_file(self, tmp_path: Path) -> None:
        alone, history = FITS["sgd"]()
        network, found = FITS["sgd"](checkpoint=tmp_path / "run.ckpt", resume=True)
        assert bits(network) == bits(alone)
        assert columns(found) == columns(history)

    def test_without_resume_what_is_there_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "run.ckpt"
        FITS["adam"](checkpoint=path)
        first = path.read_bytes()
        alone, _ = FITS["sgd"](checkpoint=path)
        assert path.read_bytes() != first
        assert bits(FITS["sgd"](checkpoint=path, resume=True)[0]) == bits(alone)


class TestDivergence:
    @staticmethod
    def fit(**keep: Any) -> tuple[dr.Network, dr.DivergenceError]:
        network = dr.Network([dr.Dense(20, "relu"), dr.Dense(1)], input_shape=4, seed=1)
        with pytest.raises(dr.DivergenceError) as caught:
            fits(dr.SGD(dr.StepLR(0.02, step_size=3, gamma=1000.0)), epochs=9)(network, **keep)
        return network, caught.value

    def test_is_the_same_from_each_checkpoint(self, tmp_path: Path) -> None:
        alone, error = self.fit()
        path = tmp_path / "run.ckpt"

        def keep(count: int) -> None:
            if count > 1:
                shutil.copy(path, tmp_path / f"{count - 1:03}")

        self.fit(stop=Stop(each=keep), checkpoint=path, checkpoint_every="1 step")
        files = sorted(tmp_path.iterdir())
        assert len(files) > error.epoch * STEPS >= 3 * STEPS
        for file in files:
            network, found = self.fit(checkpoint=file, resume=True)
            assert bits(network) == bits(alone)
            assert (found.epoch, found.step, found.layer, str(found)) == (
                error.epoch, error.step, error.layer, str(error),
            )  # fmt: skip
            assert found.history is not None
            assert error.history is not None
            assert columns(found.history) == columns(error.history)


def test_numbers_that_are_none_do_not_matter(tmp_path: Path) -> None:
    values = iter([math.nan, math.inf, -math.inf, 1.0, math.nan, 2.0] * 2)
    stopping = [EarlyStopping("strange", patience=9, mode="max") for _ in range(2)]

    def strange(output: Any, y: Any) -> float:
        return next(values)

    fit = fits(dr.Adam(), metrics=[strange], epochs=6)
    alone, history = fit(watch=lambda: stopping[:1])
    with pytest.raises(KeyboardInterrupt):
        fit(watch=lambda: stopping[1:], stop=Stop(4), checkpoint=tmp_path / "run.ckpt")
    values = iter([1.0, math.nan, 2.0])
    network, found = fit(watch=lambda: stopping[1:], checkpoint=tmp_path / "run.ckpt", resume=True)
    assert bits(network) == bits(alone)
    assert columns(found) == columns(history)
    assert stopping[0].best == stopping[1].best == math.inf
    assert stopping[0].best_epoch == stopping[1].best_epoch == 1
