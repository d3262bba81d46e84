"""The command line refuses: bad data with code 1, wrong usage with code 2, each in one line."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_tables import flowers, garden, plane
from hypothesis import given, settings
from hypothesis import strategies as st

import deltarule as dr
from deltarule.cli import main

PIECES = (
    *(b"0", b"1", b"-2.5", b"3e8", b"1e308", b"-1e308", b"1e-310", b"inf", b"nan", b"NA", b"", b" ", b"1,5", b"1_0"),
    *(b"true", b"false", b"red", b"blue", "grün".encode(), b"\xff", b'"', b'"a,b"', b'"\n"', b"\r", b"\0", b"=1+1"),
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    out = tmp_path / "model.safetensors"
    arguments = [
        "train",
        str(flowers(tmp_path / "flowers.csv")),
        "--target",
        "kind",
        "--out",
        str(out),
        "--epochs",
        "30",
    ]
    assert main(arguments) == 0
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that says what is wrong with the data."""
    assert main(arguments) == 1
    message = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("  epoch")]
    assert len(message) == 1
    assert message[0].startswith(f"deltarule {arguments[0]}: ")
    return message[0]


class TestBadData:
    def test_no_such_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        message = refused(capsys, "train", "nowhere.csv", "--target", "y", "--out", "m")
        assert "nowhere.csv: No such file" in message

    def test_no_such_target(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        message = refused(capsys, "train", str(flowers(tmp_path / "a.csv")), "--target", "kindd", "--out", "m")
        assert "did you mean 'kind'?" in message

    def test_a_word_among_the_numbers(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = flowers(tmp_path / "a.csv")
        data.write_text(data.read_text() + "long,3,rose\n")
        message = refused(capsys, "train", str(data), "--target", "kind", "--out", str(tmp_path / "m"))
        assert "line 122" in message
        assert "'long' in column 'length', which else holds numbers" in message
        assert "--drop length" in message

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"\n\n", "is empty"),
            (b"a,y\n", "has a header but no data"),
            (b"a,y\n1,2\n1\n", "line 3 of"),
            (b"a,y\n1,\xff\n", "line 2 of"),
            (b"a,y\n1,\xff\n", "not utf-8"),
            ("a,y\n1,2\n".encode("utf-16"), "not utf-8"),
            (b'a,y\n1,"2\n', "is a quote missing?"),
            (b"a,y\n" + b"1,x\n" * 5, "in every row"),
            (b"a,y\n1,x\n2,\n", "line 3 of"),
            (b"a,y\n1,1\n2,nan\n", "no value in the target column 'y'"),
            (b"a,y\n1,1\n2,3\n-inf,4\n", "line 4 of"),
            (b"a,y\n1,1\n2,3\n3,1e999\n", "expected a finite number"),
            (b"a,y\n,1\n,2\nNA,3\n", "column 'a' of"),
            (b"y\n1\n2\n", "has no column beside the target"),
            (b"a;y\n1;2\n", "try --delimiter ';'"),
            (b"a\ty\n1\t2\n", "try --delimiter '\\t'"),
            (b"a,a,y\n1,2,3\n4,5,6\n", "2 columns called 'a'"),
            (b'a,y\n"1,5",1\n2,2\n"3,5",3\n', "write decimal points, not commas"),
        ],
    )
    def test_damaged_tables(
        self, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = tmp_path / "a.csv"
        data.write_bytes(content)
        assert said in refused(capsys, "train", str(data), "--target", "y", "--out", str(tmp_path / "m"))
        assert not (tmp_path / "m").exists()

    def test_text_cannot_be_regressed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = str(flowers(tmp_path / "a.csv"))
        message = refused(capsys, "train", data, "--target", "kind", "--task", "regress", "--out", "m")
        assert "use --task classify" in message

    def test_too_many_classes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = str(plane(tmp_path / "a.csv"))
        message = refused(capsys, "train", data, "--target", "price", "--task", "classify", "--out", "m")
        assert "too many to be classes: use --task regress" in message

    def test_too_many_categories(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = str(garden(tmp_path / "a.csv")), str(tmp_path / "m")
        message = refused(capsys, "train", data, "--target", "kind", "--out", out)
        assert "column 'id'" in message
        assert "160 different texts in 160 rows, such as 'f0'" in message
        assert "--drop id" in message
        message = refused(capsys, "train", data, "--target", "id", "--drop", "price", "--out", out)
        assert message.endswith("choose another target")

    def test_what_cannot_be_dropped(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = str(garden(tmp_path / "a.csv")), str(tmp_path / "m")
        arguments = ("train", data, "--target", "kind", "--out", out, "--drop")
        assert "has no column 'lenght': did you mean 'length'?" in refused(capsys, *arguments, "id,lenght")
        assert "'kind' is among the columns to drop" in refused(capsys, *arguments, "id,kind")
        assert "no column 99" in refused(capsys, *arguments, "99")
        assert "no column beside the target" in refused(capsys, *arguments, "id,length,colour,wild,price")

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.sampled_from(PIECES), max_size=7, unique=True), st.data())
    def test_whatever_stands_in_a_table(self, pieces: list[bytes], draw: st.DataObject) -> None:
        cell, label = st.sampled_from([b"1", *pieces]), st.sampled_from([b"1", b"2", *pieces[:2]])
        rows = draw.draw(st.lists(st.tuples(cell, cell, label), max_size=14))
        with tempfile.TemporaryDirectory() as folder:
            data, out = Path(folder) / "a.csv", Path(folder) / "m"
            data.write_bytes(b"w,x,y\n" + b"\n".join(b",".join(row) for row in rows))
            arguments = ["--target", "y", "--epochs", "1", "--hidden", "2", "--out", str(out)]
            code = main(["train", str(data), *arguments])  # and no exception
            assert code in (0, 1)
            assert out.exists() == (code == 0)
            if code == 0:
                assert main(["predict", str(out), str(data), "--json"]) in (0, 1)  # it may be too large a number
                assert main(["evaluate", str(out), str(data), "--json"]) == 0

    def test_too_few_rows(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = tmp_path / "a.csv", str(tmp_path / "m")
        data.write_text("x,y\n" + "1,2\n3,4\n5,6\n" * 4)
        arguments = ("train", str(data), "--target", "y", "--out", out)
        assert "leaves none of 12 rows" in refused(capsys, *arguments, "--held-out", "0.99")
        data.write_text("x,y\n1,2\n3,4\n5,6\n")
        assert "too few to hold some out" in refused(capsys, *arguments, "--patience", "3")

    @pytest.mark.parametrize(
        ("array", "said"),
        [
            (np.arange(3.0), "expected two dimensions"),
            (np.zeros((0, 3)), "no data in it"),
            (np.array([["a", "b"]]), "expected real numbers"),
            (np.array([[1, 2j]]), "expected real numbers"),
            (np.array([[1.0, np.inf], [2.0, 3.0]]), "row 1 of"),
            (np.array([[None, 1]]), "no readable .npy array"),
        ],
    )
    def test_arrays_that_are_no_tables(
        self, array: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "a.npy"
        np.save(path, array, allow_pickle=True)
        assert said in refused(capsys, "train", str(path), "--target", "-1", "--out", str(tmp_path / "m"))

    def test_arrays_that_are_shorter_than_they_say(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "a.npy"
        np.save(path, np.zeros((100, 3)))
        whole = path.read_bytes()
        arguments = ("train", str(path), "--target", "0", "--out", str(tmp_path / "m"))
        for damaged in (whole[:-8], whole[:20], b"", whole.replace(b"(100, 3), ", b"(10**9, 3)")):
            path.write_bytes(damaged)
            assert "no readable .npy array" in refused(capsys, *arguments)

    def test_parquet_without_pyarrow(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        message = refused(capsys, "train", "a.parquet", "--target", "y", "--out", str(tmp_path / "m"))
        assert "pip install pyarrow" in message

    def test_divergence_writes_no_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = str(plane(tmp_path / "a.csv")), tmp_path / "m"
        assert "diverged" in refused(capsys, "train", data, "--target", "price", "--lr", "1e300", "--out", str(out))
        assert not out.exists()

    def test_nowhere_to_save(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = str(flowers(tmp_path / "a.csv")), str(tmp_path / "no" / "folder")
        message = refused(capsys, "train", data, "--target", "kind", "--epochs", "1", "--out", out)
        assert "there is no folder" in message
        message = refused(capsys, "train", data, "--target", "kind", "--out", str(tmp_path))
        assert "is a folder" in message

    def test_missing_column(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = tmp_path / "a.csv"
        data.write_text("lenght,weight\n1,2\n")
        capsys.readouterr()
        assert "no column 'length', which the model takes: did you mean 'lenght'?" in refused(
            capsys, "predict", str(model), str(data)
        )

    def test_wrong_number_of_columns(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = tmp_path / "a.csv"
        data.write_text("1,2,3,4\n")
        capsys.readouterr()
        assert "has 4 columns but the model takes 2: length, weight" in refused(
            capsys, "predict", str(model), str(data)
        )

    def test_infinite_predictions(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = tmp_path / "a.csv"
        data.write_text("length,weight\n0.001,5e6\n1e308,-1e308\n")
        capsys.readouterr()
        message = refused(capsys, "predict", str(model), str(data))
        assert "line 3 of" in message
        assert "1e+308 in column 'length', too far from the mean of training" in message

    def test_words_where_numbers_were(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = tmp_path / "a.csv"
        data.write_text("length,weight\n0.001,5e6\n\n0.002,heavy\n")
        capsys.readouterr()
        message = refused(capsys, "predict", str(model), str(data))
        assert "line 4 of" in message
        assert "'heavy' in column 'weight': expected a number" in message

    def test_evaluating_without_the_target(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = tmp_path / "a.csv"
        arguments = ("evaluate", str(model), str(data))
        capsys.readouterr()
        data.write_text("length,weight\n0.001,5e6\n")
        assert "no column 'kind', the target" in refused(capsys, *arguments)
        data.write_text("length,weight,kind\n0.001,5e6,rose\n0.001,5e6,\n")
        assert "line 3 of" in refused(capsys, *arguments)
        data.write_text("length,weight,kind\n0.001,5e6,tulip\n")
        assert "'tulip' in the target column 'kind', which the model has not learned" in refused(capsys, *arguments)

    def test_probabilities_of_a_number(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = str(plane(tmp_path / "a.csv")), str(tmp_path / "m")
        assert main(["train", data, "--target", "price", "--epochs", "1", "--out", out]) == 0
        capsys.readouterr()
        assert "leave out --proba" in refused(capsys, "predict", out, data, "--proba")

    def test_a_row_that_is_not_there(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("deltarule.explain")
        capsys.readouterr()
        message = refused(capsys, "explain", str(model), str(tmp_path / "flowers.csv"), "--row", "121")
        assert "has 120 rows" in message

    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["predict", "nothing", "nowhere", "--json"]) == 1
        captured = capsys.readouterr()
        assert "there is no file" in json.loads(captured.out)["error"]
        assert captured.err.count("\n") == 1

    def test_no_model(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "m.safetensors"
        path.write_bytes(b"not a model at all")
        assert "no readable safetensors file" in refused(capsys, "predict", str(path), "a.csv")
        assert "there is no file" in refused(capsys, "predict", str(tmp_path / "none"), "a.csv")

    def test_a_model_that_was_made_in_python(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "m.safetensors"
        dr.Network([dr.Dense(1)], input_shape=2).save(path)
        assert "does not say which columns it takes" in refused(capsys, "predict", str(path), "a.csv")


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["trian"], "did you mean 'train'?"),
            (["quite-something-else"], "choose one of demo, train, predict, evaluate"),
            (["train", "a.csv"], "required: --target, --out"),
            (["demo", "digits"], "invalid choice: 'digits'"),
            (["demo", "--seed", "x"], "--seed"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--lr", "0"], "'0': expected a number above 0"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--lr", "nan"], "'nan': expected a number above 0"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--epochs", "0"], "at least 1"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--batch-size", "1.5"], "at least 1"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--activation", "rellu"], "did you mean 'relu'?"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--activation", "softmax"], "no activation 'softmax'"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--optimizer", "adm"], "did you mean 'adam'?"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--dropout", "1"], "in [0, 1)"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--delimiter", "ab"], "expected one character"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--patience", "3", "--held-out", "0"], "--held-out 0"),
            (["gradcheck"], "give either a MODEL or --layers"),
            (["gradcheck", "m", "--layers", "4-8-1"], "give either a MODEL or --layers"),
            (["gradcheck", "--layers", "4"], "such as 4-8-1"),
            (["gradcheck", "--layers", "4-x"], "such as 4-8-1"),
            (["gradcheck", "--layers", "4-1", "--loss", "msee"], "did you mean 'mse'?"),
            (["explain", "m", "--row", "0"], "at least 1"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--hidden", "8,x"], "expected for instance 64,64"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--hidden", "8,0"], "expected for instance 64,64"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--held-out", "1"], "in [0, 1)"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--task", "guess"], "--task"),
            (["--unknown"], "--unknown"),
        ],
    )
    def test_wrong_usage_is_one_line_and_code_2(
        self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1
        assert captured.err.startswith("deltarule")
        assert "--help` explains" in captured.err
        assert said in captured.err

    def test_nothing_at_all_shows_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 2
        assert "demo" in capsys.readouterr().err


class TestNothingIsLost:
    def test_the_data_is_not_written_over(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = flowers(tmp_path / "flowers.csv")
        before = data.read_bytes()
        (tmp_path / "link").symlink_to(data)
        for out in (str(data), str(tmp_path / "." / "flowers.csv"), str(tmp_path / "link")):
            message = refused(capsys, "train", str(data), "--target", "kind", "--out", out)
            assert "would be written over" in message
        assert data.read_bytes() == before

    def test_nor_the_model(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, before = tmp_path / "flowers.csv", model.read_bytes()
        capsys.readouterr()
        for out in (model, data):
            assert "would be written over" in refused(capsys, "predict", str(model), str(data), "--out", str(out))
        assert model.read_bytes() == before
        assert main(["predict", str(model), str(data), "--out", str(tmp_path / "p.csv")]) == 0
        assert main(["predict", str(model), str(data), "--out", str(tmp_path / "p.csv")]) == 0  # its own, once more

    @pytest.mark.skipif(not Path("/dev/null").exists(), reason="there is no /dev/null")
    def test_nor_a_device(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        arguments = ("predict", str(model), str(tmp_path / "flowers.csv"), "--out", "/dev/null")
        assert "no ordinary file" in refused(capsys, *arguments)


def test_a_file_does_not_command_the_terminal(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = dr.Network([dr.Dense(1, name="_ESCAPE[31mred" + "x" * 5000)], input_shape=2)
    network.save(tmp_path / "a")
    forged = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(forged.replace(b"_ESCAPE", rb"\\u001b"))  # which no network would have written
    capsys.readouterr()
    message = refused(capsys, "info", str(tmp_path / "a"))
    assert "\x1b" not in message
    assert "\\x1b[31mred" in message
    assert len(message) < 1100


@pytest.mark.parametrize("cells", [["1,5", "2,5"], ["1,000", "2,500"], ["1,234,567", "2,500,000"]])
def test_commas_in_numbers(cells: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "a.csv"
    data.write_text("a,y\n" + "".join(f'"{cell}",{i}\n' for i, cell in enumerate(cells * 10)))
    message = refused(capsys, "train", str(data), "--target", "y", "--out", str(tmp_path / "m"))
    assert "write decimal points, not commas, and nothing between thousands" in message
