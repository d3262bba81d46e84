"""CSV files larger than memory: the same numbers as `load_csv` reads, a few lines at a time; wrong lines by number."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltarule.datasets import load_csv
from deltarule.streams import Chunk, Stream, csv_chunks, stream

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def table(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def all_of(rows: Stream, shuffle: bool = False) -> Chunk:
    chunks = list(rows.open(0, batch_size=2, shuffle=shuffle, seed=0))
    return Chunk(np.concatenate([chunk.X for chunk in chunks]), np.concatenate([chunk.y for chunk in chunks]))


class TestTables:
    @pytest.mark.parametrize(
        ("content", "target", "options"),
        [
            ("a,y,b\n1,2,3\n4,5.5,6e1\n7,8,9\n", "y", {}),
            ("1,2,3\n4,5,6\n7,8,9\n", -1, {}),
            ("1,2,3\n4,5,6\n", 0, {"header": True}),
            ('a;"b\nc"\r\n\r\n1;2\r\n  \r\n3;4', "a", {"delimiter": ";"}),
            (b"\xef\xbb\xbfa,b\n1,2\n", "b", {}),
            ("a,é\n1,2\n".encode("latin-1"), "é", {"encoding": "latin-1"}),
            ("a,b\n1,2\n".encode("utf-16"), 0, {"encoding": "utf-16"}),
        ],
    )
    @pytest.mark.parametrize("buffer", [1, 2, 100])
    def test_as_load_csv_reads_them(
        self, tmp_path: Path, content: str | bytes, target: str | int, options: dict[str, Any], buffer: int
    ) -> None:
        path = table(tmp_path, content)
        expected = load_csv(path, target, **options)
        found = all_of(stream(path, target=target, buffer=buffer, **options))
        np.testing.assert_array_equal(found.X, expected.X)
        np.testing.assert_array_equal(found.y, expected.y)
        assert (found.X.dtype, found.y.dtype) == (np.float64, np.float64)

    def test_labels(self, tmp_path: Path) -> None:
        path = table(tmp_path, "kind,a\nrose,1\n tulip ,2\nrose,3\n")
        found = all_of(stream(path, target="kind", classes=["tulip", "rose"], buffer=2))
        assert found.y.tolist() == [1, 0, 1]
        assert found.y.dtype == np.int64
        labels: Any = np.array(["rose", "tulip"])
        assert all_of(stream(path, target=np.int64(0), classes=labels)).y.tolist() == [0, 1, 0]  # type: ignore[arg-type]

    def test_labels_that_look_like_numbers(self, tmp_path: Path) -> None:
        path = table(tmp_path, "a,kind\n1,7\n2,10\n")
        assert all_of(stream(path, target=-1, classes=["10", "7"])).y.tolist() == [1, 0]

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_several_files(self, tmp_path: Path, shuffle: bool) -> None:
        for part in range(4):
            rows = "".join(f"{row},{row * 2}\n" for row in range(part * 5, part * 5 + 5))
            table(tmp_path, ("a,b\n" if part != 2 else "") + rows, f"{part}.csv")  # one without its header
        rows_of = stream(tmp_path, target="b", buffer=6)
        assert rows_of.n_samples is None
        assert repr(rows_of) == "Stream(4 CSV files, buffer=6)"
        for _ in range(2):
            found = all_of(rows_of, shuffle)
            assert sorted(found.X[:, 0]) == list(range(20))
            np.testing.assert_array_equal(found.X[:, 0] * 2, found.y)

    @in_one_folder
    @given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1))
    def test_numbers_come_back(self, tmp_path: Path, rows: list[list[float]]) -> None:
        path = table(tmp_path, "\n".join(",".join(map(repr, row)) for row in rows))
        found = all_of(stream(path, target=1, header=False, buffer=3))
        np.testing.assert_array_equal(found.X, np.array(rows)[:, [0, 2]])
        np.testing.assert_array_equal(found.y, np.array(rows)[:, 1])

    def test_memory_is_that_of_the_buffer(self, tmp_path: Path) -> None:
        line = ",".join(["0.123456789"] * 20)
        path = table(tmp_path, f"{line}\n" * 10_000)
        for shuffle in (False, True):
            rows = stream(path, target=0, buffer=500)
            tracemalloc.start()
            for chunk in rows.open(0, batch_size=50, shuffle=shuffle, seed=0):
                del chunk
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 2.5 * 500 * 20 * 8 + 100_000  # of the reader and its lines

    def test_fingerprint(self, tmp_path: Path) -> None:
        path = table(tmp_path, "1,2\n3,4\n")
        ways: list[dict[str, Any]] = [{"target": 0}, {"target": 1}, {"target": 0, "header": True}]
        prints = {stream(path, **way).fingerprint() for way in ways}
        prints.add(stream(path, target=-2).fingerprint())  # the first column again
        prints.add(stream(table(tmp_path, "1,2\n3,45\n"), target=0).fingerprint())
        assert len(prints) == 4


class TestErrors:
    @pytest.mark.parametrize(
        ("content", "options", "message"),
        [
            ("a,b\n1,2\n", {"target": None}, r"target is not given, and y is missing: pass the name or the position"),
            ("a,bb\n1,2\n", {"target": "b"}, r"target is 'b' but .*table.csv has no such column: did you mean 'bb'"),
            ("1,2\n", {"target": "b"}, r"has no line of names"),
            ("1,2\n", {"target": 2}, r"target is 2 but .* has 2 columns"),
            ("y\n1\n", {"target": "y"}, r"no column beside the target"),
            ("", {}, r"table.csv is empty: expected lines of numbers"),
            ("\n \n", {}, r"table.csv is empty"),
            ("a,b\n", {}, r"table.csv gave no rows"),
            ("1,2\n3,4,5\n", {}, r"line 2 of .*table.csv has 3 cells but .*table.csv has 2 columns"),
            ("a,b\n1,2\n\n3\n", {}, r"line 4 of .*table.csv has 1 cells"),
            ("a,b\n1,x\n", {"target": "a"}, r"line 2 of .*table.csv has 'x' in column 'b': expected a number; encode"),
            ("a,b\n1,\n", {"target": "a"}, r"line 2 of .*table.csv has an empty cell in column 'b'"),
            (
                "a,b\nnan,2\n",
                {"target": "b"},
                r"line 2 of .*table.csv has 'nan' in column 'a': expected a finite number",
            ),
            ("a,b\n1,inf\n", {}, r"line 2 of .*table.csv has 'inf' in column 'b'"),
            (
                "a,b\n1,2\n1,x\n",
                {},
                r"line 3 .* has 'x' in the target column 'b': .* pass all labels as classes=\[...\]",
            ),
            (
                "a,b\n1,x\n",
                {"classes": ["xx", "y"]},
                r"line 2 .* has the label 'x', which is not in classes: did you mean",
            ),
            ("a,b\n1,\n", {"classes": ["x", "y"]}, r"line 2 .* has an empty cell in column 'b'"),
            ("a,b\n1,2\n", {"classes": ["x", "x"]}, r"at least two labels, each of them once"),
            ("a,b\n1,2\n", {"classes": ["x"]}, r"at least two labels"),
            ("a,b\n1,2\n", {"delimiter": ", "}, r"delimiter is ', '"),
            ("a,b\n1,2\n", {"header": 1}, r"header is 1"),
            ("a,b\n1,2\n", {"encoding": "utf-99"}, r"Python knows no such encoding"),
            (b"a,b\n1,2\n\xff,3\n", {}, r"line 3 of .*table.csv is not utf-8 text"),
            (b'a,b\n1,"2\n', {}, r"cannot be read: .* is a quote missing"),
        ],
    )
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_of_tables(
        self, tmp_path: Path, content: str | bytes, options: dict[str, Any], message: str, shuffle: bool
    ) -> None:
        path = table(tmp_path, content)
        with pytest.raises(ValueError, match=message):
            all_of(stream(path, **{"target": -1, "buffer": 3, **options}), shuffle)

    @pytest.mark.parametrize("classes", ["ab", 3, ["a", 1], {"a": 1, "b": 2}])
    def test_classes_of_the_wrong_type(self, tmp_path: Path, classes: Any) -> None:
        with pytest.raises(TypeError, match=r"classes (is|holds) .*: expected"):
            stream(table(tmp_path, "1,2\n"), target=0, classes=classes)

    @pytest.mark.parametrize(
        ("second", "message"),
        [
            ("a,b,c\n1,2,3\n", r"b.csv has 3 columns but .*a.csv has 2"),
            ("a,c\n1,2\n", r"column 1 of .*b.csv is 'c' but that of .*a.csv is 'b': expected the same columns"),
            ("b,a\n1,2\n", r"column 0 of .*b.csv is 'b' but"),
            ("", r"b.csv is empty"),
        ],
    )
    def test_files_that_do_not_fit_together(self, tmp_path: Path, second: str, message: str) -> None:
        paths = [table(tmp_path, "a,b\n1,2\n", "a.csv"), table(tmp_path, second, "b.csv")]
        with pytest.raises(ValueError, match=message):
            stream(paths, target="b")

    def test_a_file_without_line_ends(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(csv_chunks, "_LONGEST_LINE", 1000)
        with pytest.raises(ValueError, match="has a line of more than 1,000 characters"):
            stream(table(tmp_path, "1," * 1000), target=0)

    @in_one_folder
    @given(st.binary(max_size=200))
    def test_any_bytes_give_rows_or_a_value_error(self, tmp_path: Path, content: bytes) -> None:
        problem = None
        try:
            assert np.isfinite(all_of(stream(table(tmp_path, content), target=0, buffer=3)).X).all()
        except ValueError as error:
            problem = error
        assert problem is None or (type(problem) is ValueError and "table.csv" in str(problem))
