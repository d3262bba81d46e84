"""Tables in text files, and every way in which one can be wrong."""

from __future__ import annotations

import csv
import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltarule.datasets import Table, load_csv

# The temporary folder is shared by all examples of a property; each overwrites the same file.
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def read_csv(folder: Path, content: str | bytes, *arguments: Any, **options: Any) -> Table:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_csv(path, *arguments, **options)


class TestCsv:
    def test_names_and_a_numeric_target(self, tmp_path: Path) -> None:
        table = read_csv(tmp_path, "a,y,b\n1,2,3\n4,5.5,6e1\n", "y")
        assert table.X.tolist() == [[1, 3], [4, 60]]
        assert table.X.dtype == np.float64
        assert table.X.flags.writeable
        assert table.y is not None
        assert table.y.tolist() == [2, 5.5]
        assert table.feature_names == ("a", "b")
        assert (table.target_name, table.classes) == ("y", None)

    @pytest.mark.parametrize("target", ["kind", 2, -1])
    def test_a_text_target(self, tmp_path: Path, target: str | int) -> None:
        table = read_csv(tmp_path, "a,b,kind\n1,2,tulip\n3,4,rose\n5,6, tulip \n", target)
        assert table.classes == ("rose", "tulip")
        assert table.y is not None
        assert table.y.tolist() == [1, 0, 1]
        assert table.y.dtype == np.int64
        assert table.target_name == "kind"
        assert table.X.tolist() == [[1, 2], [3, 4], [5, 6]]

    def test_no_target_and_no_header(self, tmp_path: Path) -> None:
        table = read_csv(tmp_path, "1,2\n3,4\n")
        assert table.X.tolist() == [[1, 2], [3, 4]]
        assert (table.y, table.target_name, table.classes) == (None, None, None)
        assert table.feature_names == ("column_0", "column_1")

    @pytest.mark.parametrize("position", range(-3, 3))
    def test_target_by_position(self, tmp_path: Path, position: int) -> None:
        table = read_csv(tmp_path, "1,2,3\n4,5,6\n", position)
        assert table.y is not None
        assert table.y.tolist() == [[1, 4], [2, 5], [3, 6]][position]
        assert table.feature_names == tuple(f"column_{i}" for i in range(3) if i != position % 3)

    @pytest.mark.parametrize(
        ("content", "options", "names", "rows"),
        [
            ("1,a\n2,3\n", {"header": True}, ("1", "a"), [[2, 3]]),
            ("1,2\n3,4\n", {"header": True}, ("1", "2"), [[3, 4]]),
            ("1,2\n3,4\n", {"header": False}, ("column_0", "column_1"), [[1, 2], [3, 4]]),
            (",b\n1,2\n", {}, ("column_0", "b"), [[1, 2]]),
            ("a;b\n1;2\n", {"delimiter": ";"}, ("a", "b"), [[1, 2]]),
            ("a\tb\n1\t2", {"delimiter": "\t"}, ("a", "b"), [[1, 2]]),
            ('"a, b","c\nd"\n"1", 2\n', {}, ("a, b", "c\nd"), [[1, 2]]),
            ("a,b\r\n\r\n1,2\r\n   \r\n3,4\r\n\r\n", {}, ("a", "b"), [[1, 2], [3, 4]]),
            ("\n\na\n1\n", {}, ("a",), [[1]]),
            (b"\xef\xbb\xbfa,b\n1,2\n", {}, ("a", "b"), [[1, 2]]),
            ("a,é\n1,2\n".encode("latin-1"), {"encoding": "latin-1"}, ("a", "é"), [[1, 2]]),
            ("a,b\n1,2\n".encode("utf-16"), {"encoding": "utf-16"}, ("a", "b"), [[1, 2]]),
            ("1e308,1e308\n", {}, ("column_0", "column_1"), [[1e308, 1e308]]),
            ("5e-324,-0.0\n", {}, ("column_0", "column_1"), [[5e-324, 0.0]]),
        ],
    )
    def test_dialects(
        self,
        tmp_path: Path,
        content: str | bytes,
        options: dict[str, Any],
        names: tuple[str, ...],
        rows: list[list[float]],
    ) -> None:
        table = read_csv(tmp_path, content, **options)
        assert table.feature_names == names
        assert table.X.tolist() == rows

    @pytest.mark.parametrize(
        ("content", "target", "options", "message"),
        [
            ("", None, {}, r"is empty"),
            ("\n\n  \n", None, {}, r"is empty"),
            ("a,b\n", None, {}, r"has a header but no data"),
            ("a,b\n1,2\n3\n", None, {}, r"^line 3 of .* has 1 cells but line 1 has 2"),
            ("a,b\n1,2,3\n", None, {}, r"line 2 of .* has 3 cells but line 1 has 2"),
            ("a,b\n1,2\n\n3,x\n", None, {}, r"line 4 of .* has 'x' in column 'b': expected a number; encode"),
            ("1,x\n3,4\n", None, {}, r"line 1 of .* has 'x' in column 'column_1': .*header=True"),
            ("a,b\n1,\n", None, {}, r"line 2 of .* has an empty cell in column 'b'"),
            ("a,b\n1,nan\n", None, {}, r"line 2 of .* has 'nan' in column 'b': expected a finite number"),
            ("a,b\n1,inf\n", None, {}, r"'inf' in column 'b'"),
            ("a,b\n1,1e999\n", None, {}, r"'1e999' in column 'b': expected a finite number"),
            ("a,b\n1,1_000\n", None, {}, r"'1_000' in column 'b': expected a number"),
            ("a;b\n1;1,5\n", None, {"delimiter": ";"}, r"'1,5' in column 'b'.*decimal points"),
            ("a,b\n1," + "x" * 1000 + "\n", None, {}, r"'x{40}…' in column 'b'"),
            ('a,b\n1,"2\n3,4\n', None, {}, r"line 2 of .* cannot be read: .*quote"),
            ('a,b\n1,"2"3\n', None, {}, r"line 2 of .* cannot be read"),
            ("a,b\n1," + "7" * 200_000 + "\n", None, {}, r"line 2 of .* cannot be read: field larger"),
            ("a,b\n1,2\x00\n", None, {}, r"line 2 of .*"),
            (b"a,b\n1,2\n3,\xe9\n", None, {}, r"line 3 of .* is not utf-8 text.*latin-1"),
            ("a,b\n1,2\n".encode("utf-16"), None, {}, r"line 1 of .* is not utf-8 text"),
            ("a,b\n1,2\n", None, {"encoding": "utf-99"}, r"encoding is 'utf-99'"),
            ("alpha,beta\n1,2\n", "betta", {}, r"no such column: did you mean 'beta'"),
            ("alpha,beta\n1,2\n", "zzz", {}, r"no such column: the columns are 'alpha', 'beta'"),
            ("1,2\n", "y", {}, r"no line of names"),
            ("a,a\n1,2\n", "a", {}, r"2 such columns"),
            ("a,b\n1,2\n", 2, {}, r"target is 2 but .* has 2 columns: expected -2 to 1"),
            ("a,b\n1,2\n", -3, {}, r"target is -3"),
            ("a\n1\n", "a", {}, r"no column beside the target 'a'"),
            ("a,y\n1,2\n2,dog\n", "y", {}, r"line 3 of .* has 'dog' in column 'y'"),
            ("a,y\n1,dog\n2,7\n", "y", {}, r"line 3 of .* the number '7' in the target column 'y'.*from line 2 on"),
            ("a,y\n1,dog\n2,\n", "y", {}, r"line 3 of .* has an empty cell in column 'y'"),
            ("a,y\n1,\n2,dog\n", "y", {}, r"line 2 of .* has an empty cell in column 'y'"),
            ("a,y\n1,nan\n", "y", {}, r"'nan' in column 'y'"),
            ("a,b\n1,2\n", None, {"delimiter": ",,"}, r"delimiter is ',,'"),
            ("a,b\n1,2\n", None, {"delimiter": '"'}, r"delimiter is"),
            ("a,b\n1,2\n", None, {"delimiter": ""}, r"delimiter is ''"),
            ("a,b\n1,2\n", None, {"header": "yes"}, r"header is 'yes'"),
        ],
    )
    def test_refused(
        self, tmp_path: Path, content: str | bytes, target: Any, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            read_csv(tmp_path, content, target, **options)
        assert type(caught.value) is ValueError

    @pytest.mark.parametrize(
        ("target", "options"), [(True, {}), (1.0, {}), (["y"], {}), (None, {"delimiter": 1}), (None, {"encoding": 8})]
    )
    def test_wrong_types(self, tmp_path: Path, target: Any, options: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match=r" is .*: expected"):
            read_csv(tmp_path, "a,y\n1,2\n", target, **options)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            load_csv(tmp_path / "nothing.csv")

    @in_one_folder
    @given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(allow_nan=False,
           allow_infinity=False)))  # fmt: skip
    def test_round_trip(self, tmp_path: Path, X: np.ndarray) -> None:
        text = io.StringIO()
        csv.writer(text).writerows([[f"x{i}" for i in range(X.shape[1])], *X.tolist()])
        table = read_csv(tmp_path, text.getvalue())
        assert table.X.tobytes() == X.tobytes()  # Python prints the shortest digits that read back the same

    @in_one_folder
    @given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1))
    def test_any_labels(self, tmp_path: Path, texts: list[str]) -> None:
        labels = [f"label {text}".strip() for text in texts]
        text = io.StringIO()
        csv.writer(text).writerows([["x", "y"], *([i, label] for i, label in enumerate(labels))])
        table = read_csv(tmp_path, text.getvalue(), "y")
        assert table.classes == tuple(sorted(set(labels)))
        assert table.y is not None
        assert [table.classes[i] for i in table.y] == labels

    @in_one_folder
    @given(st.binary(max_size=200))
    def test_any_bytes_give_a_table_or_a_value_error(self, tmp_path: Path, content: bytes) -> None:
        problem = None
        try:
            assert np.isfinite(read_csv(tmp_path, content).X).all()
        except ValueError as error:
            problem = error
        assert problem is None or (type(problem) is ValueError and "table.csv" in str(problem))

    def test_memory_is_that_of_the_numbers(self, tmp_path: Path) -> None:
        path = tmp_path / "big.csv"
        path.write_text("".join(f"{i},{i + 0.123456789},{i * 7.7},label {i % 3}\n" for i in range(50_000)))
        tracemalloc.start()
        table = load_csv(path, -1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert table.X.shape == (50_000, 3)
        assert peak < 3 * (table.X.nbytes + table.X.nbytes // 3)
