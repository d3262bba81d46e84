"""The command line on Parquet files: the same answers as from CSV, and types that CSV does not know."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_tables import garden

from deltarule.cli import main
from deltarule.tables import Numbers, Texts, open_table
from deltarule.tables.table import as_texts

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

Capture = pytest.CaptureFixture[str]


def write(path: Path, **columns: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path, row_group_size=3)
    return path


def told(capsys: Capture, *arguments: object) -> Any:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def as_parquet(data: Path, path: Path) -> Path:
    """The garden, typed as a data frame would be: gaps are null."""
    names, *rows = (line.split(",") for line in data.read_text().splitlines())
    columns: dict[str, Any] = {name: [row[i] or None for row in rows] for i, name in enumerate(names)}
    for name in ("length", "price"):
        columns[name] = [None if cell is None else float(cell) for cell in columns[name]]
    columns["wild"] = [cell == "True" for cell in columns["wild"]]
    columns["colour"] = pyarrow.array(columns["colour"]).dictionary_encode()
    return write(path, **columns)


@pytest.mark.parametrize("target", ["kind", "price", "wild"])
def test_the_same_as_from_csv(target: str, tmp_path: Path, capsys: Capture) -> None:
    text = garden(tmp_path / "a.csv")
    table = as_parquet(text, tmp_path / "a.parquet")
    answers, models = [], []
    for data, other in ((text, table), (table, text)):
        out = data.with_suffix(".safetensors")
        arguments = ["--target", target, "--drop", "id", "--hidden", "8", "--epochs", "5", "--out", out]
        told(capsys, "train", data, *arguments)
        models.append(out.read_bytes())
        answers.append(told(capsys, "predict", out, data))
        assert told(capsys, "predict", out, other) == answers[-1]
        assert told(capsys, "evaluate", out, data) == told(capsys, "evaluate", out, other)
    assert answers[0] == answers[1]
    assert models[0] == models[1]


def test_types(tmp_path: Path) -> None:
    day = datetime.date(2026, 11, 22)
    path = write(
        tmp_path / "a.parquet",
        i=pyarrow.array([1, None, 2**62], "int64"),
        f=pyarrow.array([0.5, None, float("nan")], "float32"),
        d=pyarrow.array([decimal.Decimal("1.25"), None, decimal.Decimal("-3")]),
        b=[True, None, False],
        s=pyarrow.array(["x ", None, "NA"], "large_string"),
        day=[day, None, day],
        nothing=pyarrow.nulls(3),
        n=pyarrow.array([5, None, 6]).dictionary_encode(),
    )
    columns = open_table(str(path)).read(range(8))
    for position, expected in {
        0: [1, np.nan, 2.0**62],
        1: [0.5, np.nan, np.nan],
        2: [1.25, np.nan, -3],
        3: [1, np.nan, 0],
        6: [np.nan] * 3,
        7: [5, np.nan, 6],
    }.items():
        column = columns[position]
        assert isinstance(column, Numbers)
        assert np.array_equal(column.values, expected, equal_nan=True)
        assert column.boolean == (position == 3)
    for position, expected_words in {4: ["x", "", "NA"], 5: ["2026-11-22", "", "2026-11-22"]}.items():
        column = columns[position]
        assert isinstance(column, Texts)
        assert [column.words[code] for code in column.codes] == expected_words


def test_many_row_groups(tmp_path: Path) -> None:
    words = [f"w{i * 7 % 11}" for i in range(100)]
    table = open_table(str(write(tmp_path / "a.parquet", s=pyarrow.array(words).dictionary_encode(), t=words)))
    for column in table.read([0, 1]).values():
        texts = as_texts(column)
        assert [texts.words[code] for code in texts.codes] == words


def test_names_with_dots(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table([[1.0], [2.0]], names=["a.b", "a"]), path)
    columns = open_table(str(path)).read([0, 1])
    assert [float(columns[p].values[0]) for p in (0, 1)] == [1.0, 2.0]  # type: ignore[union-attr]


class TestRefused:
    def refused(self, capsys: Capture, path: Path, *options: str) -> str:
        arguments = ["--target", "y", "--epochs", "1", "--out", str(path.parent / "m"), *options]
        assert main(["train", str(path), *arguments]) == 1
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    def test_no_parquet(self, tmp_path: Path, capsys: Capture) -> None:
        path = tmp_path / "a.parquet"
        assert "No such file" in self.refused(capsys, path)
        path.write_text("x,y\n1,2\n")
        assert "no readable Parquet file" in self.refused(capsys, path)
        whole = write(path, x=list(range(50)), y=list(range(50))).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert "no readable Parquet file" in self.refused(capsys, path)

    def test_damaged_pages(self, tmp_path: Path, capsys: Capture) -> None:
        path = write(tmp_path / "a.parquet", x=[i * 0.37 for i in range(50)], y=list(range(50)))
        whole = bytearray(path.read_bytes())
        whole[4:400] = bytes(396)
        path.write_bytes(whole)
        assert "cannot be read" in self.refused(capsys, path)

    def test_nested_columns(self, tmp_path: Path, capsys: Capture) -> None:
        path = write(tmp_path / "a.parquet", x=[[1, 2], [3]] * 10, z=[{"a": 1}] * 20, y=list(range(20)), w=[1, 2] * 10)
        assert "column 'x'" in self.refused(capsys, path)
        assert "holds struct" in self.refused(capsys, path, "--drop", "x")
        assert main(["train", str(path), "--target", "y", "--drop", "x,z", "--out", str(tmp_path / "m")]) == 0

    def test_dates_are_too_many(self, tmp_path: Path, capsys: Capture) -> None:
        days = [datetime.date(2026, 1, 1) + datetime.timedelta(i) for i in range(60)]
        path = write(tmp_path / "a.parquet", sold_on=days, y=list(range(60)))
        assert "--drop sold_on" in self.refused(capsys, path)

    def test_empty(self, tmp_path: Path, capsys: Capture) -> None:
        assert "has no rows" in self.refused(capsys, write(tmp_path / "a.parquet", x=[], y=[]))

    def test_a_word_where_a_number_was(self, tmp_path: Path, capsys: Capture) -> None:
        path = write(tmp_path / "a.parquet", x=list(range(20)), y=list(range(20)))
        assert main(["train", str(path), "--target", "y", "--epochs", "1", "--out", str(tmp_path / "m")]) == 0
        capsys.readouterr()
        assert main(["predict", str(tmp_path / "m"), str(write(tmp_path / "b.parquet", x=["1", "two"]))]) == 1
        assert "row 2 of" in capsys.readouterr().err
