"""The command line: what it learns, what it writes, what it shows."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from example_tables import flowers, plane

import deltarule as dr
from deltarule.cli import main
from deltarule.cli.picture import picture
from deltarule.cli.progress_line import ProgressLine
from deltarule.cli.table_model import Columns, TableModel, fold, load
from deltarule.network.files import save


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


class TestDemo:
    def test_learns_everything_within_seconds(self, capsys: pytest.CaptureFixture[str]) -> None:
        start = time.perf_counter()
        assert main(["demo"]) == 0
        assert time.perf_counter() - start < 10
        captured = capsys.readouterr()
        assert "4 of 4 right" in captured.out
        assert "400 of 400 points right" in captured.out
        assert "of 500 new points right" in captured.out
        assert captured.err.count("epoch 1000 of 1000  [########################]") == 1

    @pytest.mark.parametrize("problem", ["xor", "spirals", "blobs"])
    @pytest.mark.parametrize("seed", ["1", "2", "3"])
    def test_whatever_the_seed(self, problem: str, seed: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["demo", problem, "--seed", seed]) == 0
        text = capsys.readouterr().out
        assert "not there yet" not in text
        assert text.count("==") == 1

    def test_needs_only_the_hard_dependencies(self) -> None:
        extras = ["matplotlib", "pandas", "polars", "scipy", "sklearn", "torch"]
        block = f"import sys; sys.modules.update(dict.fromkeys({extras}));"
        run = "from deltarule.__main__ import main; raise SystemExit(main(['demo', 'xor']))"
        done = subprocess.run([sys.executable, "-c", block + run], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "it has learned XOR" in done.stdout


class TestTrainAndPredict:
    def test_classes(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        assert main(["predict", str(model), str(tmp_path / "flowers.csv")]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "kind,probability_lily,probability_rose"
        answers = [line.split(",")[0] for line in lines[1:]]
        assert answers == ["rose", "lily"] * 60
        for line in lines[1:]:
            assert sum(map(float, line.split(",")[1:])) == pytest.approx(1, abs=1e-5)

    def test_says_how_well_it_did(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = flowers(tmp_path / "a.csv"), tmp_path / "m.safetensors"
        assert main(["train", str(data), "--target", "kind", "--out", str(out)]) == 0
        text = capsys.readouterr().out
        assert "120 samples of 2 features; 'kind' is 2 classes" in text
        assert "right on 24 of 24 held-out samples (100.0%); always the most frequent class: 12" in text

    def test_numbers_on_their_raw_scale(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out, answers = plane(tmp_path / "a.csv"), tmp_path / "m.safetensors", tmp_path / "p.csv"
        arguments = ["--target", "price", "--hidden", "0", "--lr", "0.05", "--epochs", "300", "--out", str(out)]
        assert main(["train", str(data), *arguments]) == 0
        assert main(["predict", str(out), str(data), "--out", str(answers)]) == 0
        assert "200 predictions of 'price'" in capsys.readouterr().out
        table = dr.datasets.load_csv(data, "price")
        assert answers.read_text().startswith("price\n")
        found = np.loadtxt(answers, skiprows=1)
        assert table.y is not None
        assert np.abs(found - table.y).max() < 1e-3 * table.y.std()
        # The saved network takes the raw columns: any program that loads it gets the same numbers.
        assert np.allclose(dr.Network.load(out).predict(table.X)[:, 0], found, rtol=1e-8)

    def test_columns_are_found_by_name(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table = dr.datasets.load_csv(tmp_path / "flowers.csv", "kind")
        other = tmp_path / "other.csv"
        rows = [f"{weight:.17g},7,{length:.17g}" for length, weight in table.X]
        other.write_text("\n".join(["weight,unknown,length", *rows]))
        capsys.readouterr()
        assert main(["predict", str(model), str(tmp_path / "flowers.csv")]) == 0
        expected = capsys.readouterr().out
        assert main(["predict", str(model), str(other)]) == 0
        assert capsys.readouterr().out == expected

    def test_without_a_header(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = flowers(tmp_path / "a.csv", header=False), tmp_path / "m.safetensors"
        assert main(["train", str(data), "--target", "-1", "--out", str(out), "--epochs", "30"]) == 0
        without = tmp_path / "b.csv"
        without.write_text("\n".join(line.rpartition(",")[0] for line in data.read_text().splitlines()))
        capsys.readouterr()
        assert main(["predict", str(out), str(data)]) == 0
        expected = capsys.readouterr().out
        assert main(["predict", str(out), str(without)]) == 0
        assert capsys.readouterr().out == expected
        assert expected.startswith("column_2,probability_lily")

    def test_a_first_column_as_target_without_a_header(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data, out = tmp_path / "a.csv", tmp_path / "m.safetensors"
        data.write_text("".join(f"{3 * x + 1},{x},{-x}\n" for x in np.linspace(-1, 1, 50)))
        assert main(["train", str(data), "--target", "0", "--hidden", "0", "--lr", "0.05", "--out", str(out)]) == 0
        (tmp_path / "b.csv").write_text("0.5,-0.5\n")
        capsys.readouterr()
        assert main(["predict", str(out), str(tmp_path / "b.csv")]) == 0
        assert float(capsys.readouterr().out.split()[1]) == pytest.approx(2.5, abs=0.01)

    @pytest.mark.parametrize(
        ("values", "task", "said"),
        [
            ("01", [], "is 2 classes"),
            ("0123", [], "is a number"),
            ("0123", ["--task", "classify"], "is 4 classes"),
            ("01", ["--task", "regress"], "is a number"),
        ],
    )
    def test_task(
        self, values: str, task: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = tmp_path / "a.csv"
        data.write_text("x,y\n" + "".join(f"{i},{values[i % len(values)]}\n" for i in range(40)))
        out = str(tmp_path / "m.safetensors")
        assert main(["train", str(data), "--target", "y", "--out", out, "--epochs", "2", *task]) == 0
        assert said in capsys.readouterr().out

    def test_few_samples_are_all_trained_on(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = tmp_path / "a.csv"
        data.write_text("a;b;y\n0;0;no\n0;1;yes\n1;0;yes\n1;1;no\n")
        arguments = ["--target", "y", "--delimiter", ";", "--hidden", "8", "--lr", "0.05", "--activation", "tanh"]
        assert main(["train", str(data), *arguments, "--out", str(tmp_path / "m.safetensors")]) == 0
        assert "right on 4 of 4 training samples" in capsys.readouterr().out

    def test_same_seed_same_model(self, tmp_path: Path) -> None:
        data = str(flowers(tmp_path / "a.csv"))
        for name in ("a", "b"):
            assert main(["train", data, "--target", "kind", "--out", str(tmp_path / name), "--epochs", "3"]) == 0
        one, other = load(tmp_path / "a"), load(tmp_path / "b")
        assert one.columns == other.columns
        weights = other.network.state_dict()
        assert all(np.array_equal(array, weights[name]) for name, array in one.network.state_dict().items())


class TestFolding:
    def test_is_the_same_function(self) -> None:
        generator = np.random.default_rng(3)
        X = generator.normal((1e9, 1e-9, 0.0), (10.0, 1e-10, 1.0), (50, 3))
        X[:, 2] = 4.0  # a constant column
        y = generator.normal(1e6, 3.0, (50, 2))
        inputs, outputs = dr.Standardizer().fit(X), dr.Standardizer().fit(y)
        network = dr.Network([dr.Dense(5, "tanh", name="hidden"), dr.Dense(2)], input_shape=3, dtype="float64", seed=2)
        folded = fold(network, inputs, outputs)
        expected = outputs.inverse(network.predict(inputs.transform(X)))
        assert np.abs(folded.predict(X) - expected).max() < 3.0 * 1e-6
        assert folded.predict(X).dtype == np.float64

    def test_refuses_what_overflows(self) -> None:
        X = np.array([[1e-310], [3e-310]])
        network = dr.Network([dr.Dense(1)], input_shape=1)
        with pytest.raises(ValueError, match="rescale the column"):
            fold(network, dr.Standardizer().fit(X))


class TestFiles:
    def test_metadata_travels(self, tmp_path: Path) -> None:
        columns = Columns("regress", ("a", "b"), "y", 2, ())
        network = dr.Network([dr.Dense(1)], input_shape=2, seed=4)
        TableModel(network, columns).save(tmp_path / "m")
        found = load(tmp_path / "m")
        assert found.columns == columns
        assert np.array_equal(found.network.state_dict()["0.weight"], network.state_dict()["0.weight"])

    def test_one_network_makes_one_file_to_the_last_bit(self, tmp_path: Path) -> None:
        network = dr.Network([dr.Dense(2)], input_shape=2)
        contents = set()
        for number in range(8):
            save(network, tmp_path / str(number), {"one": "1", "two": "2", "three": "3"})
            contents.add((tmp_path / str(number)).read_bytes())
        assert len(contents) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestProgressLine:
    def test_in_a_log(self) -> None:
        stream = io.StringIO()
        line = ProgressLine(10, stream)
        for epoch in range(10):
            line.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1), "seconds": epoch * 0.001})
        line.on_fit_end(None)
        lines = stream.getvalue().splitlines()
        assert len(lines) == 5
        assert lines[-1] == "  epoch 10 of 10  [########################]  loss 0.1000"

    def test_on_a_terminal(self) -> None:
        stream = Terminal()
        line = ProgressLine(1000, stream)
        for epoch in range(1000):
            line.on_epoch_end(epoch, {"loss": 0.5, "seconds": epoch * 0.001})
        line.on_fit_end(None)
        text = stream.getvalue()
        assert text.count("\n") == 1
        assert text.endswith("loss 0.5000  \n")
        assert 15 <= text.count("\r") <= 25  # about 20 times a second

    def test_a_fit_that_never_began(self) -> None:
        stream = Terminal()
        ProgressLine(3, stream).on_fit_end(None)
        assert stream.getvalue() == ""


def test_picture_of_one_point() -> None:
    text = picture(lambda points: points[:, 0] > 5, np.array([[1.0, 2.0]]), np.array([1]), 3, 3)
    assert text == "...\n.1.\n..."
