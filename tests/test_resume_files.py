"""Checkpoints as files: damaged ones, and those of something else, are refused before anything changes."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
import textwrap
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import deltarule as dr
from deltarule.callbacks import EarlyStopping
from deltarule.network.saved_fit import Saved, SavedFit

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


def refused(path: Path, error: type[Exception] = ValueError, match: str | None = None) -> None:
    """What fit says to a file that it does not go on with, after which the network is as it was."""
    network = new()
    before = everything(network)
    with pytest.raises(error, match=match) as caught:
        fit(network, path, resume=True)
    assert everything(network) == before
    message = str(caught.value)
    assert "checkpoint=" in message
    assert str(path) in message
    assert any(step in message for step in ("resume=False", "give the path", "create it first"))


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


class TestDamaged:
    def test_cut_off(self, path: Path) -> None:
        content = path.read_bytes()
        for length in [*range(0, len(content), 97), len(content) - 1]:
            path.write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"cannot be read: .*; delete it, or begin again with resume=False"):
                SavedFit(path).read()
        refused(path, match="cannot be read")

    def test_with_something_behind(self, path: Path) -> None:
        path.write_bytes(path.read_bytes() + b"\0")
        refused(path, match="cannot be read")

    def test_one_bit_is_another(self, path: Path) -> None:
        """Everywhere: each is found, but in the spaces that fill up the header."""
        content = path.read_bytes()
        whole = SavedFit(path).read()
        assert whole is not None
        unnoticed = 0
        for place in range(0, len(content), 5):
            for bit in (1, 2, 64, 128):
                damaged = bytearray(content)
                damaged[place] ^= bit
                path.write_bytes(damaged)
                try:
                    saved = SavedFit(path).read()
                except ValueError:
                    continue
                unnoticed += 1
                assert saved is not None
                assert all(
                    str(getattr(saved, item.name)) == str(getattr(whole, item.name)) for item in fields(Saved)
                ), place  # nothing of it came through
        assert unnoticed < 8

    def test_in_the_middle_of_writing(self, path: Path) -> None:
        """What was killed while it wrote is written over."""
        beside = path.with_name(f".{path.name}.part")
        beside.write_bytes(b"half of a checkpoi")
        fit(new(), path, resume=True)
        assert not beside.exists()


class TestOtherFiles:
    def test_empty(self, path: Path) -> None:
        path.write_bytes(b"")
        refused(path)

    def test_random(self, path: Path) -> None:
        for size in (1, 7, 8, 9, 100, 10_000):
            path.write_bytes(RANDOM.bytes(size))
            refused(path)

    def test_a_model(self, path: Path) -> None:
        new().save(path)
        refused(path, match="it is no checkpoint of deltarule's fit")

    def test_arrays(self, path: Path) -> None:
        save_file({"parameters/0.weight": np.ones((3, 4), np.float32)}, path)
        refused(path, match="it is no checkpoint")

    @pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "F16", "C64", "BOOL", "F4", "U7"])
    def test_numbers_that_numpy_does_not_have(self, dtype: str, path: Path) -> None:
        size = {"BF16": 2, "F16": 2, "C64": 8}.get(dtype, 1)
        entry = {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}
        header = json.dumps({"__metadata__": {"deltarule.fit": "{}"}, "a": entry}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
        refused(path)

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "null", "[" * 100_000, '{"version": 1}', '{"version": 2, "digest": "", "numbers": ""}',
         '{"version": 1, "digest": 5, "numbers": 5}', '{"version": 1, "digest": "", "numbers": "\\ud800"}',
         '{"version": ' + "9" * 5000 + "}"],
    )  # fmt: skip
    def test_another_description(self, text: str, path: Path) -> None:
        save_file({"a": np.ones(1)}, path, metadata={"deltarule.fit": text})
        refused(path)

    @pytest.mark.parametrize("shape", [[2**62, 4], [2**40], [0, 2**62], [-1], [1.5], "x"])
    def test_shapes_that_nobody_has(self, shape: Any, path: Path) -> None:
        entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
        header = json.dumps({"__metadata__": {"deltarule.fit": "{}"}, "a": entry}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        refused(path)


class TestPlaces:
    def test_a_folder(self, tmp_path: Path) -> None:
        refused(tmp_path, IsADirectoryError)

    def test_no_folder(self, tmp_path: Path) -> None:
        refused(tmp_path / "none" / "run.ckpt", FileNotFoundError)

    def test_a_pipe_or_a_device(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", match="no regular file")
        refused(Path("/dev/null"), match="no regular file")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)

    @pytest.mark.parametrize("path", ["", 5, b"run.ckpt", ["run.ckpt"], True])
    def test_none(self, path: Any) -> None:
        network = new()
        before = everything(network)
        with pytest.raises((TypeError, ValueError), match=r"checkpoint=.*expected"):
            fit(network, path)
        assert everything(network) == before

    def test_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("run", "ein Lauf ä.ckpt", ".hidden", "a" * 200):
            fit(new(), Path(name))
            assert fit(new(), Path(name), resume=True).epochs == 4
        assert sorted(os.listdir()) == sorted(("run", "ein Lauf ä.ckpt", ".hidden", "a" * 200))

    def test_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "not there yet")
        fit(new(), tmp_path / "link")
        assert fit(new(), tmp_path / "link", resume=True).epochs == 4

    def test_without_permission(self, tmp_path: Path) -> None:
        """A user who is not root, in a process of its own."""
        program = """
            import os, shutil, tempfile
            import numpy as np
            import deltarule as dr
            def fit(path, **settings):
                network = dr.Network([dr.Dense(1)])
                network.fit(np.ones((4, 2)), np.ones(4), loss="mse", epochs=1, checkpoint=path, **settings)
            folder = tempfile.mkdtemp()
            path = os.path.join(folder, "run.ckpt")
            for mode in (0o777, 0o555):
                os.chmod(folder, 0o777)
                fit(path)
                os.chmod(path, 0)
                os.chmod(folder, mode)
                user = os.geteuid()
                if user == 0:
                    os.seteuid(65534)
                try:
                    fit(path, resume=True)
                except PermissionError as error:
                    print(error)
                os.seteuid(user)
            os.chmod(folder, 0o777)
            shutil.rmtree(folder)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        file, folder = done.stdout.splitlines()
        assert "run.ckpt' may not be read by this user: ask for the permission, or begin again" in file
        assert "run.ckpt' cannot be written: nothing may be written into" in folder
