"""Checkpoint and CSVLogger: files that are whole, whatever happens to the fit or the disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.callbacks import Checkpoint, CSVLogger, EarlyStopping, LambdaCallback

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(50, 3))
Y = np.sin(X[:, :1]) + X[:, 1:2]


def new() -> dr.Network:
    return dr.Network([dr.Dense(5, "tanh"), dr.Dense(1)], input_shape=3, seed=2)


def train(network: dr.Network, epochs: int, *callbacks: Any, **arguments: Any) -> dr.History:
    return network.fit(X, Y, loss="mse", epochs=epochs, callbacks=list(callbacks), **arguments)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestCheckpoint:
    def test_files_are_the_networks_of_their_epochs(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint(tmp_path / "net-{epoch:02d}.safetensors", every=3)
        train(new(), 10, checkpoint)
        assert names(tmp_path) == ["net-03.safetensors", "net-06.safetensors", "net-09.safetensors"]
        assert checkpoint.saved == str(tmp_path / "net-09.safetensors")
        for epochs in (3, 6, 9):
            same, loaded = new(), dr.Network.load(tmp_path / f"net-{epochs:02d}.safetensors")
            train(same, epochs)
            assert bits(loaded) == bits(same)
            assert loaded.epochs_trained == epochs
            assert loaded.loss == same.loss

    def test_one_name_is_replaced(self, tmp_path: Path) -> None:
        network = new()
        train(network, 4, Checkpoint(str(tmp_path / "net")))
        assert names(tmp_path) == ["net"]
        assert bits(dr.Network.load(tmp_path / "net")) == bits(network)

    def test_names_of_the_logs(self, tmp_path: Path) -> None:
        history = train(new(), 2, Checkpoint(tmp_path / "{{a}}-{epoch}-{val_loss:.4f}-{lr}"), validation_split=0.2)
        assert names(tmp_path) == [f"{{a}}-{epoch + 1}-{history['val_loss'][epoch]:.4f}-0.001" for epoch in range(2)]

    def test_only_the_best(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint(tmp_path / "best", monitor="loss", mode="max")
        train(new(), 5, checkpoint)
        assert dr.Network.load(tmp_path / "best").epochs_trained == 1
        checkpoint = Checkpoint(tmp_path / "{epoch}", every=2, monitor="loss")
        train(new(), 5, checkpoint)
        assert names(tmp_path) == ["2", "4", "best"]

    def test_a_resumed_fit_knows_the_best(self, tmp_path: Path) -> None:
        first, second = (Checkpoint(tmp_path / "{epoch}", monitor="val_loss") for _ in range(2))
        first.on_fit_begin(new())
        first.on_epoch_end(0, {"val_loss": 0.5})
        second.on_fit_begin(new())
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert second.saved == first.saved == str(tmp_path / "1")
        second.on_epoch_end(1, {"val_loss": 0.6})
        second.on_epoch_end(2, {"val_loss": float("nan")})
        second.on_epoch_end(3, {"val_loss": 0.4})
        assert names(tmp_path) == ["1", "4"]

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        network = new()
        with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere'; create it first"):
            train(network, 3, Checkpoint(tmp_path / "nowhere" / "net"))
        with pytest.raises(IsADirectoryError, match="is a folder: give the path of a file in it"):
            train(network, 3, Checkpoint(tmp_path))
        assert network.epochs_trained == 0

    def test_a_name_that_is_not_in_the_logs(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"has an unknown 'val_los': did you mean 'val_loss'"):
            train(new(), 3, Checkpoint(tmp_path / "{val_los}"), validation_split=0.2)
        with pytest.raises(
            ValueError, match="Checkpoint watches monitor='val_loss', but this fit logs loss, lr, seconds"
        ):
            train(new(), 3, Checkpoint(tmp_path / "net", monitor="val_loss"))
        assert names(tmp_path) == []

    def test_a_full_disk_leaves_the_last_file(self, tmp_path: Path) -> None:
        """A limit on the size of files stands for it; the second file would be beyond."""
        path = tmp_path / "net"
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        network, same = new(), new()

        def fill(epoch: int, logs: dict[str, float]) -> None:
            if epoch == 1:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with pytest.raises(OSError, match="too large"):
                train(network, 9, LambdaCallback(on_epoch_end=fill), Checkpoint(path))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert names(tmp_path) == ["net"]
        train(same, 1)
        assert bits(dr.Network.load(path)) == bits(same)
        assert network.epochs_trained == 2


class TestCSVLogger:
    def read(self, path: Path) -> dict[str, list[float]]:
        header, *lines = path.read_text().splitlines()
        rows = [[float(cell) for cell in line.split(",")] for line in lines]
        return {name: [row[column] for row in rows] for column, name in enumerate(header.split(","))}

    def test_every_digit_of_every_epoch(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        history = train(new(), 7, CSVLogger(path), validation_split=0.2)
        assert self.read(path) == {"epoch": list(range(7)), **history}
        assert path.read_bytes().count(b"\n") == 8
        assert b"\r" not in path.read_bytes()

    def test_pandas_reads_it(self, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        history = train(new(), 5, CSVLogger(tmp_path / "log.csv"))
        frame = pandas.read_csv(tmp_path / "log.csv", index_col="epoch", engine="python")
        assert {name: list(frame[name]) for name in frame} == dict(history)

    def test_numbers_that_are_hard_to_write(self, tmp_path: Path) -> None:
        logger = CSVLogger(tmp_path / "log.csv")
        logger.on_fit_begin(None)
        values = [
            0.1 + 0.2,
            5e-324,
            1.7976931348623157e308,
            float("inf"),
            float("nan"),
            np.float32(0.1),
            np.int64(3),
            2,
        ]
        for epoch, value in enumerate(values):
            logger.on_epoch_end(epoch, {"loss": value})  # type: ignore[dict-item]
        logger.on_fit_end(None)
        np.testing.assert_array_equal(self.read(tmp_path / "log.csv")["loss"], np.array(values, np.float64))

    def test_names_with_commas_and_numbers_of_some_epochs(self, tmp_path: Path) -> None:
        logger = CSVLogger(tmp_path / "log.csv")
        logger.on_fit_begin(None)
        logger.on_epoch_end(0, {"loss": 1.0, 'a,"b"': 2.0})
        logger.on_epoch_end(1, {"loss": 0.5})
        logger.on_fit_end(None)
        assert (tmp_path / "log.csv").read_text() == 'epoch,loss,"a,""b"""\n0,1.0,2.0\n1,0.5,\n'

    def test_a_new_fit_replaces_or_appends(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_text("something else\n" * 100)
        train(new(), 3, CSVLogger(path))
        assert self.read(path)["epoch"] == [0, 1, 2]
        train(new(), 2, CSVLogger(path, append=True))
        assert self.read(path)["epoch"] == [0, 1, 2, 0, 1]
        train(new(), 1, CSVLogger(path))
        assert self.read(path)["epoch"] == [0]
        train(new(), 2, CSVLogger(tmp_path / "new.csv", append=True))
        assert self.read(tmp_path / "new.csv")["epoch"] == [0, 1]

    def test_appends_after_a_line_without_an_end(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_text("epoch,loss,lr,seconds\n0,1.0,0.1,0.5")
        train(new(), 1, CSVLogger(path, append=True))
        assert self.read(path)["epoch"] == [0, 0]
        path.write_text("epoch,loss,lr,seconds")
        train(new(), 1, CSVLogger(path, append=True))
        assert self.read(path)["epoch"] == [0]

    @pytest.mark.parametrize("content", [b"epoch,loss\n0,1\n", b"\xff\xfe\x00binary", b"\n\n"])
    def test_does_not_append_to_something_else(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "log.csv"
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"log.csv' has the columns .*, but this fit logs epoch, loss, lr, seconds"
        ):
            train(new(), 3, CSVLogger(path, append=True))
        assert path.read_bytes() == content

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        network = new()
        with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere'; create it first"):
            train(network, 3, CSVLogger(tmp_path / "nowhere" / "log.csv"))
        with pytest.raises(IsADirectoryError, match="is a folder"):
            train(network, 3, CSVLogger(tmp_path))
        assert network.epochs_trained == 0

    def test_a_killed_fit_keeps_its_lines(self, tmp_path: Path) -> None:
        program = f"""
            import os, signal
            import deltarule as dr
            from deltarule.callbacks import CSVLogger
            class Killer:
                def on_epoch_end(self, epoch, logs):
                    if epoch == 4:
                        os.kill(os.getpid(), signal.SIGKILL)
            X, y = dr.datasets.xor()
            network = dr.Network([dr.Dense(1)])
            network.fit(X, y, loss="mse", epochs=9, callbacks=[CSVLogger({str(tmp_path / "log.csv")!r}), Killer()])
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert self.read(tmp_path / "log.csv")["epoch"] == [0, 1, 2, 3, 4]

    def resumed(self, path: Path, state: dict[str, Any], epochs: range, **arguments: Any) -> None:
        logger = CSVLogger(path, **arguments)
        logger.on_fit_begin(None)
        logger.load_state_dict(state)
        for epoch in epochs:
            logger.on_epoch_end(epoch, {"loss": 10.0 + epoch})
        logger.on_fit_end(None)

    def written(self, path: Path, known: int, epochs: int, **arguments: Any) -> dict[str, Any]:
        """A log of some epochs; the state as it was after those that the checkpoint knows."""
        logger = CSVLogger(path, **arguments)
        logger.on_fit_begin(None)
        state = logger.state_dict()
        for epoch in range(epochs):
            logger.on_epoch_end(epoch, {"loss": float(epoch)})
            if epoch + 1 == known:
                state = logger.state_dict()
        logger.on_fit_end(None)
        return dict(json.loads(json.dumps(state)))

    @pytest.mark.parametrize("known", range(6))
    def test_a_resumed_fit_drops_later_lines(self, tmp_path: Path, known: int) -> None:
        path = tmp_path / "log.csv"
        state = self.written(path, known, 5)
        with path.open("a") as file:
            file.write("5,0.1")  # and a torn one
        self.resumed(path, state, range(known, 7))
        found = self.read(path)
        assert found["epoch"] == list(range(7))
        assert found["loss"] == [float(epoch if epoch < known else 10 + epoch) for epoch in range(7)]

    def test_a_resumed_fit_keeps_the_lines_of_fits_before(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        self.written(path, 0, 2)
        state = self.written(path, 1, 3, append=True)
        self.resumed(path, state, range(1, 3), append=True)
        assert self.read(path)["epoch"] == [0, 1, 0, 1, 2]

    def test_a_resumed_fit_keeps_them_before_its_first_line_too(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        self.written(path, 0, 2)
        state = self.written(path, 0, 1, append=True)  # of a checkpoint within the first epoch
        self.resumed(path, state, range(2), append=True)
        assert self.read(path)["epoch"] == [0, 1, 0, 1]

    @pytest.mark.parametrize("append", [False, True])
    def test_resumed_twice_before_the_next_line(self, tmp_path: Path, append: bool) -> None:
        path = tmp_path / "log.csv"
        state = self.written(path, 2, 3, append=append)
        logger = CSVLogger(path, append=append)
        logger.on_fit_begin(None)
        logger.load_state_dict(state)
        state = logger.state_dict()  # a checkpoint within the epoch, after which the fit is killed
        logger.on_fit_end(None)
        self.resumed(path, state, range(2, 4), append=append)
        assert self.read(path)["epoch"] == [0, 1, 2, 3]

    def test_a_file_without_an_end_of_line_takes_no_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        with path.open("wb") as file:
            file.truncate(1 << 36)  # takes no room on the disk either
        train(new(), 1, CSVLogger(path))
        assert self.read(path)["epoch"] == [0]

    @pytest.mark.parametrize("callback", [CSVLogger, Checkpoint])
    def test_devices_are_no_files(self, callback: Any) -> None:
        network = new()
        with pytest.raises(ValueError, match=r"'/dev/null' is a device or a pipe: give the path of a file"):
            train(network, 1, callback("/dev/null"))
        assert network.epochs_trained == 0

    @pytest.mark.parametrize("damage", ["gone", "empty", "shorter", "windows"])
    def test_a_resumed_fit_goes_on_with_what_is_left(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "log.csv"
        state = self.written(path, 3, 5)
        content = path.read_bytes()
        if damage == "gone":
            os.unlink(path)
        else:
            parts = {"empty": b"", "shorter": content[:-9], "windows": content.replace(b"\n", b"\r\n")}
            path.write_bytes(parts[damage])
        kept = {"gone": [], "empty": [], "shorter": [0, 1, 2], "windows": [0, 1, 2]}[damage]
        self.resumed(path, state, range(3, 5))
        assert self.read(path)["epoch"] == [*kept, 3, 4]

    def test_together_with_early_stopping(self, tmp_path: Path) -> None:
        stopping = EarlyStopping("loss", patience=1, min_delta=1e9)
        train(new(), 9, stopping, CSVLogger(tmp_path / "log.csv"))
        assert self.read(tmp_path / "log.csv")["epoch"] == [0, 1]
