"""Model files of the command line: hostile until checked, in every key, type, size and number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_tables import garden

import deltarule as dr
from deltarule.cli import main
from deltarule.network import files
from deltarule.tables import TableModel
from deltarule.tables.description import from_json, to_json
from deltarule.tables.model import METADATA_KEY

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return garden(tmp_path_factory.mktemp("data") / "a.csv")


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    out = data.parent / "model.safetensors"
    arguments = ["--target", "kind", "--drop", "id,price", "--epochs", "2", "--out", str(out)]
    assert main(["train", str(data), *arguments]) == 0
    return out


def refused(capsys: Capture, *arguments: str) -> str:
    capsys.readouterr()
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def description(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files.read_metadata(model)[METADATA_KEY])
    return found


def column(number: int, **damage: Any) -> Any:
    return lambda found: found["columns"][number].update(damage)


def target(**damage: Any) -> Any:
    return lambda found: found["target"].update(damage)


DAMAGES = {
    "no version": lambda found: found.pop("version"),
    "another version": lambda found: found.update(version=3),
    "a key too many": lambda found: found.update(extra=1),
    "a key too few": lambda found: found.pop("named"),
    "named": lambda found: found.update(named=1),
    "n_columns": lambda found: found.update(n_columns="6"),
    "few n_columns": lambda found: found.update(n_columns=3),
    "huge n_columns": lambda found: found.update(n_columns=10**30),
    "no columns": lambda found: found.update(columns=[]),
    "columns no list": lambda found: found.update(columns={"0": 1}),
    "column no object": lambda found: found.update(columns=[1, 2, 3]),
    "a column fewer": lambda found: found["columns"].pop(),
    "kind": column(0, kind="date"),
    "kind no text": column(0, kind=["number"]),
    "another kind": column(0, kind="text"),
    "mean no number": column(0, mean="5"),
    "mean whole": column(0, mean=5),
    "mean true": column(0, mean=True),
    "mean infinite": column(0, mean=float("inf")),
    "mean nan": column(0, mean=float("nan")),
    "scale zero": column(0, scale=0.0),
    "scale negative": column(0, scale=-1.0),
    "name no text": column(0, name=3),
    "name long": column(0, name="x" * 100_000),
    "name half a character": column(0, name="\ud800"),
    "name twice": column(0, name="colour"),
    "name of the target": column(0, name="kind"),
    "position negative": column(0, position=-1),
    "position outside": column(0, position=6),
    "position true": column(0, position=True),
    "position twice": column(0, position=2),
    "a key of a column": column(0, extra=0),
    "categories no list": column(1, categories="red"),
    "no categories": column(1, categories=[]),
    "a category more": column(1, categories=["", "blue", "red", "white", "green"]),
    "categories twice": column(1, categories=["", "red", "red", "white"]),
    "categories no texts": column(1, categories=["", 1, "red", "white"]),
    "task": target(task="guess"),
    "another task": target(task="regress"),
    "target gone": lambda found: found.update(target=None),
    "labels no list": target(labels="ab"),
    "one label": target(labels=["lily"]),
    "three labels": target(labels=["a", "b", "c"]),
    "labels twice": target(labels=["a", "a"]),
    "labels no texts": target(labels=[0, 1]),
    "labels no numbers": target(numbers=True),
    "labels in no order": target(numbers=True, labels=["2", "1"]),
    "numbers no truth": target(numbers=0),
}


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_is_refused(self, damage: str, model: Path, data: Path, tmp_path: Path, capsys: Capture) -> None:
        found, path = description(model), tmp_path / "damaged"
        DAMAGES[damage](found)
        files.save(dr.Network.load(model), path, {METADATA_KEY: json.dumps(found)})
        message = refused(capsys, "predict", str(path), str(data))
        assert "train again" in message
        assert str(path) in message
        assert len(message) < 500

    @pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '"x"', "[" * 100_000, '{"version": ' + "9" * 5000])
    def test_no_json(self, text: str, model: Path, data: Path, tmp_path: Path, capsys: Capture) -> None:
        files.save(dr.Network.load(model), tmp_path / "m", {METADATA_KEY: text})
        assert "damaged" in refused(capsys, "predict", str(tmp_path / "m"), str(data))

    def test_of_the_first_format(self, model: Path, data: Path, tmp_path: Path, capsys: Capture) -> None:
        old = {"task": "regress", "features": ["a"], "target": "y", "target_position": 1, "classes": []}
        files.save(dr.Network.load(model), tmp_path / "m", {METADATA_KEY: json.dumps(old)})
        assert "of version 1, this deltarule reads version 2: train again" in refused(
            capsys, "predict", str(tmp_path / "m"), str(data)
        )

    def test_every_byte(self, model: Path, tmp_path: Path) -> None:
        """Whatever byte of the header is another one, the file is refused or read as something that is in order."""
        whole, path = model.read_bytes(), tmp_path / "m"
        length = 8 + int.from_bytes(whole[:8], "little")
        generator = np.random.default_rng(0)
        read = 0
        for _ in range(300):
            damaged = bytearray(whole)
            damaged[generator.integers(8, length)] = generator.integers(256)
            path.write_bytes(damaged)
            try:
                TableModel.load(path)
                read += 1
            except ValueError:
                pass
        assert read < 150

    def test_cut_short(self, model: Path, data: Path, tmp_path: Path, capsys: Capture) -> None:
        whole = model.read_bytes()
        for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
            (tmp_path / "m").write_bytes(whole[:length])
            refused(capsys, "predict", str(tmp_path / "m"), str(data))


class TestDescription:
    def test_travels(self, model: Path, tmp_path: Path) -> None:
        one = TableModel.load(model)
        one.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == model.read_bytes()
        other = TableModel.load(tmp_path / "again")
        assert (other.columns, other.target, other.n_columns, other.named) == (
            one.columns,
            one.target,
            one.n_columns,
            one.named,
        )

    def test_numbers_keep_their_bits(self, model: Path) -> None:
        found = from_json(files.read_metadata(model)[METADATA_KEY])
        assert from_json(to_json(found)) == found

    def test_one_network_makes_one_file_to_the_last_bit(self, tmp_path: Path) -> None:
        network = dr.Network([dr.Dense(2)], input_shape=2)
        contents = set()
        for number in range(8):
            files.save(network, tmp_path / str(number), {"one": "1", "two": "2", "three": "3"})
            contents.add((tmp_path / str(number)).read_bytes())
        assert len(contents) == 1


def test_names_cannot_write_to_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    data = tmp_path / "a.csv"
    data.write_text("x\x1b[2J,y\n" + "1,a\x1b[2J\n2,b\n" * 20)
    assert main(["train", str(data), "--target", "y", "--epochs", "1", "--out", str(tmp_path / "m")]) == 0
    assert main(["info", str(tmp_path / "m")]) == 0
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "\\x1b[2J" in captured.out
