"""A disk that is full, or breaks, while a checkpoint is written: the last one stays, and can be gone on with."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.callbacks import EarlyStopping

RANDOM = np.random.default_rng(2)
X, Y = RANDOM.normal(size=(30, 3)), RANDOM.normal(size=30)


class Watches:
    """Interrupts after an epoch; and knows whether it was told of the end."""

    def __init__(self, last: int = -1) -> None:
        self.last, self.ended = last, 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.last:
            raise KeyboardInterrupt

    def on_fit_end(self, network: dr.Network) -> None:
        self.ended += 1


def new() -> dr.Network:
    return dr.Network([dr.Dense(400, "tanh"), dr.Dense(1)], 3, seed=6)


def fit(network: dr.Network, path: Path | None, watches: Watches | None = None, **settings: Any) -> dr.History:
    callbacks = [EarlyStopping("loss"), watches or Watches()]
    return network.fit(X, Y, loss="mse", epochs=4, batch_size=7, checkpoint=path, callbacks=callbacks, **settings)


def bits(network: dr.Network) -> list[bytes]:
    return [array.tobytes() for array in network.state_dict().values()]


@pytest.fixture(scope="module")
def alone() -> list[bytes]:
    network = new()
    fit(network, None)
    return bits(network)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a fit that was interrupted after three of five steps of its second epoch."""
    with pytest.raises(KeyboardInterrupt):
        fit(new(), tmp_path / "run.ckpt", Watches(1), checkpoint_every="4 steps")
    return tmp_path / "run.ckpt"


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """For what is written meanwhile, a disk with so much room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1, 512, 8192, 16384])
@pytest.mark.parametrize("every", [1, "4 steps"])
def test_there_is_room_for_a_part_of_it(size: int, every: int | str, path: Path, alone: list[bytes]) -> None:
    content, watches, network = path.read_bytes(), Watches(), new()
    assert len(content) > 16384
    with files_no_larger_than(size), pytest.raises(OSError, match=r".") as caught:
        fit(network, path, watches, resume=True, checkpoint_every=every)
    assert caught.value.errno == errno.EFBIG
    assert watches.ended == 1
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]
    for again in (network, new()):
        path.write_bytes(content)
        fit(again, path, resume=True)
        assert bits(again) == alone


def test_there_is_room_for_none(tmp_path: Path, alone: list[bytes]) -> None:
    with files_no_larger_than(512), pytest.raises(OSError, match=r"File too large"):
        fit(new(), tmp_path / "run.ckpt", checkpoint_every="2 steps")
    assert list(tmp_path.iterdir()) == []
    network = new()
    fit(network, tmp_path / "run.ckpt", resume=True)
    assert bits(network) == alone


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("function", ["open", "fsync", "replace"])
@pytest.mark.parametrize("count", [1, 2])
def test_the_system_says_no(
    function: str, number: int, count: int, path: Path, alone: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first and the second checkpoint."""
    really, calls = getattr(os, function), 0

    def fails(what: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal calls
        is_file = stat.S_ISREG(os.fstat(what).st_mode) if isinstance(what, int) else str(what).endswith(".part")
        calls += is_file
        if is_file and calls == count:
            raise OSError(number, os.strerror(number))
        return really(what, *arguments, **named)

    before, network, watches = path.read_bytes(), new(), Watches()
    monkeypatch.setattr(os, function, fails)
    with pytest.raises(OSError, match=r".") as caught:
        fit(network, path, watches, resume=True)
    monkeypatch.undo()
    assert caught.value.errno == number
    assert watches.ended == 1
    assert list(path.parent.iterdir()) == [path]
    assert (path.read_bytes() == before) == (count == 1)
    for again in (network, new()):
        fit(again, path, resume=True)
        assert bits(again) == alone


def test_a_folder_that_goes_away(tmp_path: Path) -> None:
    class Removes:
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            if epoch == 2:
                (tmp_path / "of" / "run.ckpt").unlink()
                (tmp_path / "of").rmdir()

    (tmp_path / "of").mkdir()
    network = new()
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*; create it first"):
        network.fit(X, Y, loss="mse", epochs=4, checkpoint=tmp_path / "of" / "run.ckpt", callbacks=[Removes()])
    assert network.epochs_trained == 3
