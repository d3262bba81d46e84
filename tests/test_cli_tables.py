"""Tables as files have them: what is a number, a truth value or a text, and where it stands."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule.tables import Numbers, Texts, learn, open_table
from deltarule.tables.columns import MOST_CATEGORIES, NumberColumn, TextColumn
from deltarule.tables.delimited_files import DelimitedTable
from deltarule.tables.table import Column, Table, as_numbers, as_texts


def table_of(text: str, delimiter: str = ",") -> Table:
    return DelimitedTable("a.csv", text.encode(), delimiter)


def column_of(cells: list[str], *, as_text: bool = False) -> Column:
    lines = "".join(f'"{cell}",0\n' for cell in cells)
    return table_of("x,y\n" + lines).read([0], [0] if as_text else [])[0]


def words(column: Column) -> list[str]:
    texts = as_texts(column)
    return [texts.words[code] for code in texts.codes]


class TestKinds:
    @pytest.mark.parametrize(
        ("cells", "values"),
        [
            (["1", "2.5", "-3e2"], [1, 2.5, -300]),
            ([" 1 ", "", "3"], [1, math.nan, 3]),
            (["NA", "n/a", "NaN", "null", "5"], [math.nan] * 4 + [5]),
            (["1e-320", "1.7976931348623157e308"], [1e-320, 1.7976931348623157e308]),
            (["", ""], [math.nan, math.nan]),
        ],
    )
    def test_numbers(self, cells: list[str], values: list[float]) -> None:
        column = column_of(cells)
        assert isinstance(column, Numbers)
        assert not column.boolean
        assert np.array_equal(column.values, values, equal_nan=True)

    @pytest.mark.parametrize(
        "cells", [["1_000", "2"], ["1", "true"], ["true", "1"], ["x"], ["1,5", "2,5"], ["0x10", "1"], ["$5", "6"]]
    )
    def test_texts(self, cells: list[str]) -> None:
        column = column_of(cells)
        assert isinstance(column, Texts)
        assert words(column) == cells

    def test_truth_values(self) -> None:
        column = column_of(["true", "FALSE", "", "True"])
        assert isinstance(column, Numbers)
        assert column.boolean
        assert words(column) == ["true", "false", "", "true"]

    def test_word_for_word(self) -> None:
        assert words(column_of(["007", "7", "NA", "1e0", ""], as_text=True)) == ["007", "7", "NA", "1e0", ""]

    def test_numbers_as_words(self) -> None:
        assert words(column_of(["7.0", "-0", "0.1", "1e300", ""])) == ["7", "0", "0.1", "1e+300", ""]

    def test_a_word_after_many_numbers(self) -> None:
        cells = [f"{i:05}" for i in range(10_000)] + ["end"]
        column = column_of(cells)
        assert isinstance(column, Texts)
        assert words(column) == cells

    def test_truth_values_after_many_numbers(self) -> None:
        assert isinstance(column_of(["1"] * 5000 + ["true"] * 5000), Texts)
        assert isinstance(column_of(["true"] * 5000 + ["1"] * 5000), Texts)

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
    def test_numbers_keep_their_bits(self, values: list[float]) -> None:
        column = column_of([repr(value) for value in values])
        assert isinstance(column, Numbers)
        assert np.array_equal(column.values, values)

    @given(
        st.lists(st.text(st.characters(exclude_characters='"\0', codec="utf-8"), max_size=5), min_size=1, max_size=20)
    )
    def test_any_text_comes_back(self, cells: list[str]) -> None:
        assert words(column_of(cells, as_text=True)) == [cell.strip() for cell in cells]


class TestFiles:
    def test_names(self) -> None:
        assert table_of("a, b ,\n1,2,3\n").names == ("a", "b", "column_2")
        assert table_of("a,NA\n1,2\n").named
        assert not table_of("a,1\nb,2\n").named
        assert not table_of("1,2\n").named

    def test_byte_order_mark_and_line_ends(self) -> None:
        table = DelimitedTable("a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4\r\n", ",")
        assert table.names == ("a", "b")
        column = table.read([1])[1]
        assert isinstance(column, Numbers)
        assert column.values.tolist() == [2, 4]
        assert table.place(1) == "line 4 of a.csv"

    def test_lines_within_quotes(self) -> None:
        table = table_of('a,b\n"x\ny",1\nz,oops\n')
        with pytest.raises(ValueError, match=r"line 4 of a\.csv has 'oops' in column 'b'"):
            as_numbers(table.read([1])[1], "b", table)

    def test_read_again(self) -> None:
        table = table_of("a,b\n1,x\n2,y\n")
        first, again = table.read([0, 1]), table.read([0, 1])
        assert words(first[1]) == words(again[1])
        assert table.place(1) == "line 3 of a.csv"

    def test_find(self) -> None:
        table = table_of("a,2,c\nx,1,y\n", ",")
        assert not table.named
        assert [table.find(name) for name in ("0", "-1", "2")] == [0, 2, 2]
        with pytest.raises(ValueError, match="no line of names"):
            table.find("a")
        named = DelimitedTable("a.csv", b"a,2,c\nx,1,y\n", ",", expected=["c"])
        assert [named.find(name) for name in ("a", "2", "c", "0", "-1")] == [0, 1, 2, 0, 2]

    def test_endings(self, tmp_path: Path) -> None:
        (tmp_path / "a.TSV").write_text("a\tb\n1\t2\n")
        assert open_table(str(tmp_path / "a.TSV")).names == ("a", "b")
        with pytest.raises(IsADirectoryError, match="is a folder"):
            open_table(str(tmp_path))
        with pytest.raises(FileNotFoundError):
            open_table(str(tmp_path / "a.npy"))


class TestLearning:
    def test_only_from_the_rows_that_are_not_held_out(self) -> None:
        generator = np.random.default_rng(0)
        lines = [f"{generator.normal()},{'abcdefghij'[i % 10]},{generator.normal()}\n" for i in range(100)]
        lesson = learn(table_of("x,word,y\n" + "".join(lines)), "y", held_out=0.3, seed=5)
        assert len(lesson.X) == 70
        assert np.abs(lesson.X[:, 0].mean()) < 1e-12
        assert lesson.X[:, 0].std() == pytest.approx(1)
        assert np.abs(lesson.y.mean()) < 1e-12
        assert np.abs(lesson.X_held_out[:, 0].mean()) > 1e-3

    def test_a_category_that_is_only_held_out(self) -> None:
        rows = "".join(f"{i},{'rare' if i == 3 else 'usual'},{i * i}\n" for i in range(20))
        for seed in range(100):
            lesson = learn(table_of("x,word,y\n" + rows), "y", held_out=0.2, seed=seed)
            word = lesson.columns[1]
            assert isinstance(word, TextColumn)
            if word.categories == ("usual",):
                assert lesson.X_held_out[:, 1].sum() == len(lesson.X_held_out) - 1
                assert "1 unknown cell in column 'word', such as 'rare'" in lesson.notes[0]
                return
        raise AssertionError("no seed holds out the row")

    def test_constant_and_huge_numbers(self) -> None:
        lesson = learn(table_of("a,b,c,y\n" + "".join(f"7,{i}e307,{i}e-320,{i}\n" for i in range(1, 13))), "y")
        constant, huge, tiny = lesson.columns
        assert isinstance(constant, NumberColumn)
        assert (constant.mean, constant.scale) == (7, 1)
        assert isinstance(huge, NumberColumn)
        assert isinstance(tiny, NumberColumn)
        assert np.isfinite(lesson.X).all()
        assert np.allclose(lesson.X[:, 1], lesson.X[:, 2], atol=1e-2)

    @pytest.mark.parametrize(("kinds", "fine"), [(MOST_CATEGORIES, True), (MOST_CATEGORIES + 1, False)])
    def test_how_many_categories(self, kinds: int, fine: bool) -> None:
        table = table_of("x,y\n" + "".join(f"w{i % kinds},{i}\n" for i in range(1000)))
        if fine:
            assert learn(table, "y").X.shape == (1000, kinds)
        else:
            with pytest.raises(ValueError, match=r"101 different texts in 1000 rows.*--drop x"):
                learn(table, "y")

    def test_what_to_type_is_quoted(self) -> None:
        table = table_of("the name,y\n" + "".join(f"w{i},{i}\n" for i in range(1000)))
        with pytest.raises(ValueError, match="--drop 'the name'"):
            learn(table, "y")

    def test_few_rows_may_have_ten_categories(self) -> None:
        assert (
            learn(table_of("x,y\n" + "".join(f"w{i},{i}\n" for i in range(10))), "y").X.tolist() == np.eye(10).tolist()
        )
