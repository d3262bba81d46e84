"""Parquet files, read by pyarrow piece by piece; without it an error says what to install."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltarule.streams import Chunk, Stream, stream


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="Parquet files needs pyarrow: pip install pyarrow"):
        stream(path, target=0)


def all_of(rows: Stream, shuffle: bool = False) -> Chunk:
    chunks = list(rows.open(0, batch_size=2, shuffle=shuffle, seed=0))
    return Chunk(np.concatenate([chunk.X for chunk in chunks]), np.concatenate([chunk.y for chunk in chunks]))


class TestWithPyarrow:
    @pytest.fixture(autouse=True)
    def _arrow(self, tmp_path: Path) -> None:
        self.arrow = pytest.importorskip("pyarrow")
        self.parquet = pytest.importorskip("pyarrow.parquet")
        self.folder = tmp_path

    def table(self, name: str = "a.parquet", row_group_size: int | None = None, **columns: Any) -> Path:
        path = self.folder / name
        self.parquet.write_table(self.arrow.table(columns), path, row_group_size=row_group_size)
        return path

    @pytest.mark.parametrize("target", ["y", 1, -2])
    @pytest.mark.parametrize("shuffle", [False, True])
    @pytest.mark.parametrize("row_group_size", [1, 3, 100])
    def test_a_table(self, target: str | int, shuffle: bool, row_group_size: int) -> None:
        n = 20
        path = self.table(
            row_group_size=row_group_size, a=np.arange(n, dtype="f4"), y=np.arange(n), b=np.arange(n) % 2 == 0
        )
        rows = stream(path, target=target, buffer=7)
        assert rows.n_samples == n
        for _ in range(2):
            found = all_of(rows, shuffle)
            assert (found.X.dtype, found.y.dtype) == (np.float32, np.int64)
            assert sorted(found.y) == list(range(n))
            np.testing.assert_array_equal(found.X, np.stack([found.y, found.y % 2 == 0], axis=1))

    def test_labels(self) -> None:
        for labels in (["b", "a", " b "], self.arrow.array(["b", "a", "b"]).dictionary_encode()):
            path = self.table(a=[1.0, 2.0, 3.0], kind=labels)
            found = all_of(stream(path, target="kind", classes=["a", "b"], buffer=2))
            assert found.y.tolist() == [1, 0, 1]

    def test_several_files_with_columns_in_any_order(self) -> None:
        paths = [self.table("1.parquet", a=[1, 2], y=[10, 20]), self.table("2.parquet", y=[30.5], a=[3])]
        rows = stream(paths, target="y", buffer=2)
        assert rows.n_samples == 3
        found = all_of(rows)
        assert found.X.ravel().tolist() == [1, 2, 3]
        assert found.y.tolist() == [10, 20, 30.5]
        assert repr(stream(self.folder, target=1)) == "Stream(2 Parquet files, 3 samples, buffer=65536)"

    def test_fingerprint(self) -> None:
        path = self.table(a=[1], y=[2], z=[3])
        prints = {stream(path, target=target).fingerprint() for target in ("y", "z", 1)}
        assert len(prints) == 2

    @pytest.mark.parametrize(
        ("columns", "options", "message"),
        [
            ({"a": [1], "y": [2]}, {"target": None}, r"target is not given, and y is missing"),
            ({"a": [1], "yy": [2]}, {}, r"target is 'y' but .*a.parquet has no such column: did you mean 'yy'"),
            ({"a": [1], "y": [2]}, {"target": 2}, r"target is 2 but .*a.parquet has 2 columns"),
            ({"y": [2]}, {}, r"no column beside the target"),
            ({"a": ["x"], "y": [2]}, {}, r"column 'a' of .*a.parquet is string: .* encode the text as numbers"),
            ({"a": [1], "y": ["x"]}, {}, r"column 'y' of .*a.parquet is string: .* pass all labels as classes=\[...\]"),
            (
                {"a": [[1, 2]], "y": [1]},
                {},
                r"column 'a' of .*a.parquet is list<.*: expected numbers; convert it first",
            ),
            (
                {"a": [1], "y": [1]},
                {"classes": ["x", "z"]},
                r"column 'y' of .*a.parquet is int64, no text: leave classes",
            ),
            ({"a": [1, 1], "y": ["x", "w"]}, {"classes": ["x", "z"]}, r"row 1 of column 'y' of .* has the label 'w'"),
            ({"a": [1, None], "y": [1, 2]}, {}, r"row 1 of column 'a' of .*a.parquet is missing: fill in or drop"),
            (
                {"a": [1, 2], "y": ["x", None]},
                {"classes": ["x", "z"]},
                r"row 1 of column 'y' of .*a.parquet is missing",
            ),
            ({"a": [1.0, float("nan")], "y": [1, 2]}, {}, r"row 1 of column 'a' of .*a.parquet is nan"),
            ({"a": [1] * 0, "y": [1.0] * 0}, {}, r"expected"),
            ({"a": [1], "y": [2]}, {"delimiter": ";"}, r"delimiter is ';', but Parquet has no use for it"),
        ],
    )
    def test_errors(self, columns: dict[str, Any], options: dict[str, Any], message: str) -> None:
        path = self.table(row_group_size=1, **columns)
        with pytest.raises(ValueError, match=message):
            all_of(stream(path, **{"target": "y", "buffer": 1, **options}))

    @pytest.mark.parametrize(
        ("second", "message"),
        [
            ({"a": [1], "y": [2], "c": [3]}, r"2.parquet has 3 columns but .*1.parquet has 2"),
            ({"b": [1], "y": [2]}, r"2.parquet has no column 'a': expected one, as in .*1.parquet"),
            ({"a": ["x"], "y": [2]}, r"column 'a' of .*2.parquet is string"),
        ],
    )
    def test_files_that_do_not_fit_together(self, second: dict[str, Any], message: str) -> None:
        paths = [self.table("1.parquet", a=[1], y=[2]), self.table("2.parquet", **second)]
        with pytest.raises(ValueError, match=message):
            stream(paths, target="y")

    @pytest.mark.parametrize("cut", [0, 4, 100, -10])
    def test_damaged_files(self, cut: int) -> None:
        path = self.table(a=np.arange(100), y=np.arange(100))
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(ValueError, match=r"a.parquet is not a readable Parquet file"):
            stream(path, target="y")

    def test_a_file_that_was_replaced(self) -> None:
        rows = stream(self.table(a=[1, 2], y=[3, 4]), target="y")
        self.table(a=[1, 2, 3], y=[3, 4, 5])
        with pytest.raises(ValueError, match=r"a.parquet has changed since the stream was made: make it anew"):
            all_of(rows)

    def test_damage_inside(self) -> None:
        path = self.table(a=np.random.default_rng(0).normal(size=1000), y=np.arange(1000))
        content = bytearray(path.read_bytes())
        content[20:60] = bytes(40)
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a.parquet is not a readable Parquet file"):
            all_of(stream(path, target="y"))

    def test_a_row_group_is_not_read_as_a_whole(self) -> None:
        n, columns = 1_000_000, 6
        path = self.table(**{f"c{i}": np.random.default_rng(i).normal(size=n) for i in range(columns)})
        pool = self.arrow.default_memory_pool()
        before, most = pool.bytes_allocated(), 0
        for chunk in stream(path, target=0, buffer=5000).open(0, batch_size=10, shuffle=False, seed=0):
            most = max(most, pool.bytes_allocated() - before)
            del chunk
        assert most < 0.5 * n * columns * 8
