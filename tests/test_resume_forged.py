"""Checkpoints that somebody has made up, with a digest that is right: refused before anything changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.callbacks import EarlyStopping
from deltarule.network.saved_fit import SavedFit

RANDOM = np.random.default_rng(2)
X, Y = RANDOM.normal(size=(30, 3)), RANDOM.normal(size=30)


def new() -> dr.Network:
    return dr.Network([dr.Dense(4, "tanh"), dr.Dense(1)], 3, seed=6)


def fit(network: dr.Network, path: Path, **settings: Any) -> dr.History:
    optimizer = dr.Adam(dr.ReduceLROnPlateau(0.01, monitor="loss"))
    callbacks = [EarlyStopping("loss"), dr.EMA(0.9), *settings.pop("callbacks", [])]
    chosen = {"epochs": 4, "batch_size": 7, "optimizer": optimizer, **settings}
    return network.fit(X, Y, loss="mse", checkpoint=path, callbacks=callbacks, **chosen)


def everything(of: dr.Network) -> Any:
    return of.epochs_trained, of.loss, [array.tobytes() for array in of.state_dict().values()]


class Interrupts:
    """Ends a fit inside its second epoch, whose place is in the checkpoint."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a fit that was interrupted after three of five steps of its second epoch."""
    with pytest.raises(KeyboardInterrupt):
        fit(new(), tmp_path / "run.ckpt", checkpoint_every="4 steps", callbacks=[Interrupts()])
    saved = SavedFit(tmp_path / "run.ckpt").read()
    assert saved is not None
    assert (saved.epochs_done, saved.step) == (1, 3)
    return tmp_path / "run.ckpt"


NUMBERS: list[tuple[str, Any]] = [
    ("epochs_done", -1), ("epochs_done", 2**62), ("epochs_done", 10**30), ("epochs_done", "1"), ("epochs_done", True),
    ("epochs_done", 1.0), ("epochs_done", None), ("epochs_done", 0), ("epochs_done", 4), ("epochs_done", 10**9),
    ("epochs_trained", -1), ("epochs_trained", 2**63), ("epochs_trained", [1]),
    ("step", -1), ("step", 5), ("step", 10**15), ("step", 2**62), ("step", 0.5),
    ("loss_sum", "x"), ("loss_sum", None), ("loss_sum", 10**400), ("loss_sum", True), ("weight_sum", -(10**400)),
    ("weight_sum", []), ("first_step", -1), ("first_step", "0"), ("seconds", 10**400), ("seconds", {}),
    ("stopped_by", 1), ("stopped_by", ["no"]), ("stopped_by", [7]), ("stopped_by", None),
    ("columns", []), ("columns", {"loss": 1.0}), ("columns", {"loss": []}), ("columns", {"loss": ["1"]}),
    ("columns", {"loss": [1.0, 2.0]}), ("columns", {"loss": [True]}), ("columns", {"loss": [10**400]}),
    ("columns", {"loss": [[1.0]]}), ("columns", {"loss": {"0": 1.0}}),
    ("carry", []), ("carry", [1.0]), ("carry", ["1"] * 4), ("carry", [[1.0]] * 4), ("carry", {}), ("carry", [1.0] * 99),
    ("carry", [10**400] * 4), ("average_steps", -1), ("average_steps", 2**63), ("average_steps", None),
    ("schedule", []), ("schedule", {}), ("schedule", {"lr": 1.0}), ("schedule", {"extra": 1}),
    ("schedule", {"lr": "x", "best": None, "bad_epochs": 0, "cooldown": 0}),
    ("schedule", {"lr": -1.0, "best": None, "bad_epochs": 0, "cooldown": 0}),
    ("schedule", {"lr": 1.0, "best": None, "bad_epochs": 10**400, "cooldown": 0}),
    ("callbacks", {}), ("callbacks", []), ("callbacks", [1]), ("callbacks", [["EarlyStopping"]]),
    ("callbacks", [["EarlyStopping", 5]]), ("callbacks", [[["EarlyStopping"], {}]]), ("callbacks", [["Counts", {}]]),
    ("callbacks", [["EarlyStopping", {}]] * 2),
    ("digest_of_stream", 5), ("digest_of_stream", None), ("beginning_of_stream", "x"), ("beginning_of_stream", [1]),
    ("beginning_of_stream", ["a", "b"]), ("beginning_of_stream", [-1, "b"]), ("beginning_of_stream", [10**30, "b"]),
    ("fingerprint", []), ("fingerprint", {}), ("fingerprint", {"network": 5}), ("fingerprint", "x" * 10**6),
]  # fmt: skip
ARRAYS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "none": lambda arrays: {},
    "one is missing": lambda arrays: {name: array for name, array in arrays.items() if name != "parameters/1.bias"},
    "no average": lambda arrays: {name: array for name, array in arrays.items() if not name.startswith("average")},
    "no beginning": lambda arrays: {name: array for name, array in arrays.items() if "epoch_start" not in name},
    "no state": lambda arrays: {name: array for name, array in arrays.items() if not name.startswith("optimizer")},
    "shape": lambda arrays: {name: array.ravel() for name, array in arrays.items()},
    "transposed": lambda arrays: {name: np.ascontiguousarray(array.T) for name, array in arrays.items()},
    "dtype": lambda arrays: {name: array.astype(np.float64) for name, array in arrays.items()},
    "integers": lambda arrays: {name: array.view(np.int32) for name, array in arrays.items()},
    "weights of a callback": lambda arrays: {**arrays, "callbacks/0/weights.1.bias": np.ones(9)},
    "unknown ones of a callback": lambda arrays: {**arrays, "callbacks/0/weights.7.bias": np.ones(1)},
    "not finite in a callback": lambda arrays: {**arrays, "callbacks/0/weights.1.bias": np.array([np.nan], np.float32)},
}


class TestForged:
    """The digest is right."""

    @pytest.mark.parametrize(("name", "value"), NUMBERS, ids=lambda value: str(value)[:30])
    def test_numbers(self, name: str, value: Any, path: Path) -> None:
        saved = SavedFit(path).read()
        assert saved is not None
        SavedFit(path).write(replace(saved, **{name: value}))
        network = new()
        before = everything(network)
        with pytest.raises(ValueError, match=r"."):
            fit(network, path, resume=True)
        assert everything(network) == before

    @pytest.mark.parametrize("what", ARRAYS)
    def test_arrays(self, what: str, path: Path) -> None:
        saved = SavedFit(path).read()
        assert saved is not None
        SavedFit(path).write(replace(saved, arrays=ARRAYS[what](saved.arrays)))
        network = new()
        before = everything(network)
        with pytest.raises(ValueError, match=r"."):
            fit(network, path, resume=True)
        assert everything(network) == before

    def test_of_a_stream_that_is_none(self, path: Path) -> None:
        """Fields that do not belong to the fit change nothing."""
        saved = SavedFit(path).read()
        assert saved is not None
        alone, network = new(), new()
        fit(alone, path.with_name("other"))
        SavedFit(path).write(replace(saved, digest_of_stream="zz", beginning_of_stream=[3, "zz"]))
        fit(network, path, resume=True)
        assert everything(network) == everything(alone)

    def test_weights_that_are_not_finite_diverge(self, path: Path) -> None:
        saved = SavedFit(path).read()
        assert saved is not None
        spoiled = {name: np.full_like(array, np.nan) for name, array in saved.arrays.items() if "parameters" in name}
        SavedFit(path).write(replace(saved, arrays=saved.arrays | spoiled))
        with pytest.raises(dr.DivergenceError, match="epoch 2 of 4, step 4"):
            fit(new(), path, resume=True)
