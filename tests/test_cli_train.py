"""The command line on tables: train, predict, evaluate, and what a model says about itself."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from example_tables import flowers, garden, plane

import deltarule as dr
from deltarule.cli import main
from deltarule.tables import TableModel

Capture = pytest.CaptureFixture[str]


def told(capsys: Capture, *arguments: object) -> Any:
    """The JSON object that a command prints."""
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def trained(data: Path, target: str, *options: str) -> Path:
    out = data.with_suffix(".safetensors")
    assert main(["train", str(data), "--target", target, "--out", str(out), "--epochs", "30", *options]) == 0
    return out


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return trained(flowers(tmp_path / "flowers.csv"), "kind")


def by_hand(path: Path) -> tuple[npt.NDArray[Any], list[str]]:
    """The garden's columns as the model of all rows takes them, in plain NumPy."""
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    length = np.array([float(row[1]) if row[1] else np.nan for row in rows])
    wild = np.array([float(row[3] == "True") for row in rows])
    columns = [(length - np.nanmean(length)) / np.nanstd(length)]
    columns[0][np.isnan(length)] = 0
    columns += [np.array([float(row[2] == colour) for row in rows]) for colour in ("", "blue", "red", "white")]
    return np.stack([*columns, (wild - wild.mean()) / wild.std()], axis=1), [row[4] for row in rows]


class TestRoundTrip:
    def test_classes(self, tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / "a.csv")
        out = trained(data, "kind", "--drop", "id,price", "--held-out", "0")
        found = told(capsys, "predict", out, data)
        X, kinds = by_hand(data)
        network = dr.Network.load(out)
        expected = network.predict_proba(X)
        assert found["classes"] == ["lily", "rose"]
        assert np.abs(np.array(found["probabilities"]) - expected).max() < 1e-12
        assert found["predictions"] == [found["classes"][k] for k in expected.argmax(axis=1)]
        scores = told(capsys, "evaluate", out, data)
        y = np.array([found["classes"].index(kind) for kind in kinds])
        assert scores["loss"] == pytest.approx(network.evaluate(X, y, loss="cross_entropy")["loss"], rel=1e-12)
        assert scores["accuracy"] == np.mean(np.array(found["predictions"]) == kinds) > 0.9
        assert 0.9 < scores["f1"] <= 1
        assert 0.95 < scores["auc"] <= 1

    def test_numbers_on_their_raw_scale(self, tmp_path: Path, capsys: Capture) -> None:
        data, answers = plane(tmp_path / "a.csv"), tmp_path / "p.csv"
        out = trained(data, "price", "--hidden", "0", "--lr", "0.05", "--epochs", "300")
        assert main(["predict", str(out), str(data), "--out", str(answers)]) == 0
        assert "200 predictions of 'price'" in capsys.readouterr().out
        table = dr.datasets.load_csv(data, "price")
        assert answers.read_text().startswith("price\n")
        found = np.loadtxt(answers, skiprows=1)
        assert table.y is not None
        assert np.abs(found - table.y).max() < 1e-3 * table.y.std()
        scores = told(capsys, "evaluate", out, data)
        assert scores["mae"] == pytest.approx(np.abs(found - table.y).mean(), abs=1e-8 * table.y.max())
        assert scores["r2"] > 0.999999

    def test_columns_are_found_by_name(self, tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / "a.csv")
        out = trained(data, "kind", "--drop", "id", "--drop", "price")
        expected = told(capsys, "predict", out, data)
        rows = [line.split(",") for line in data.read_text().splitlines()]
        other = tmp_path / "other.csv"
        other.write_text("\n".join(",".join([row[3], "7", row[2], row[1]]) for row in rows))  # no target, another order
        assert told(capsys, "predict", out, other) == expected

    def test_without_a_header(self, tmp_path: Path, capsys: Capture) -> None:
        data = flowers(tmp_path / "a.csv", header=False)
        out, without = trained(data, "-1"), tmp_path / "b.csv"
        without.write_text("\n".join(line.rpartition(",")[0] for line in data.read_text().splitlines()))
        expected = told(capsys, "predict", out, data)
        assert told(capsys, "predict", out, without) == expected
        assert expected["target"] == "column_2"
        assert expected["predictions"] == ["rose", "lily"] * 60

    def test_dropped_columns_by_position(self, tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / "a.csv")
        data.write_text("".join(line + "\n" for line in data.read_text().splitlines()[1:]))
        out = trained(data, "4", "--drop", "0,-1")
        expected = told(capsys, "predict", out, data)
        rows = [line.split(",") for line in data.read_text().splitlines()]
        for columns in ((0, 1, 2, 3, 5), (1, 2, 3)):  # all but the target; those that the model takes
            other = tmp_path / "other.csv"
            other.write_text("\n".join(",".join(row[c] for c in columns) for row in rows))
            assert told(capsys, "predict", out, other) == expected

    def test_a_first_column_as_target_without_a_header(self, tmp_path: Path, capsys: Capture) -> None:
        data = tmp_path / "a.csv"
        data.write_text("".join(f"{3 * x + 1},{x},{-x}\n" for x in np.linspace(-1, 1, 50)))
        out = trained(data, "0", "--hidden", "0", "--lr", "0.05", "--epochs", "200")
        (tmp_path / "b.csv").write_text("0.5,-0.5\n")
        found = told(capsys, "predict", out, tmp_path / "b.csv")
        assert found["predictions"] == pytest.approx([2.5], abs=0.01)

    def test_from_the_standard_input(self, model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
        class Pipe:
            buffer = io.BytesIO(b"length,weight\n0.001,5e6\n0.003,4e6\n")

        monkeypatch.setattr("sys.stdin", Pipe)
        assert told(capsys, "predict", model, "-")["predictions"] == ["rose", "lily"]

    @pytest.mark.parametrize(("name", "options"), [("a.tsv", []), ("a.txt", ["--delimiter", "\\t"])])
    def test_tabs(self, name: str, options: list[str], tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / name, delimiter="\t")
        out = trained(data, "kind", "--drop", "id,price", *options)
        assert told(capsys, "evaluate", out, data, *options)["accuracy"] > 0.9

    def test_npy(self, tmp_path: Path, capsys: Capture) -> None:
        generator = np.random.default_rng(0)
        X = generator.normal(size=(100, 3)).astype(">f4")
        X[:, 2] = X[:, 0] - 2 * X[:, 1]
        X[5, 1] = np.nan
        np.save(tmp_path / "a.npy", np.asfortranarray(X))
        out = trained(tmp_path / "a.npy", "-1", "--hidden", "0", "--lr", "0.05", "--epochs", "200")
        np.save(tmp_path / "b.npy", X[:, :2])
        expected = told(capsys, "predict", out, tmp_path / "a.npy")["predictions"]
        assert told(capsys, "predict", out, tmp_path / "b.npy")["predictions"] == expected
        assert np.abs(np.delete(expected, 5) - np.delete(X[:, 2], 5)).max() < 0.05
        text = tmp_path / "c.csv"
        np.savetxt(text, X[:, :2], delimiter=",", fmt="%.17g")
        assert told(capsys, "predict", out, text)["predictions"] == pytest.approx(expected, rel=1e-12)

    def test_same_seed_same_file(self, tmp_path: Path) -> None:
        data = garden(tmp_path / "a.csv")
        first = trained(data, "kind", "--drop", "id,price", "--dropout", "0.2").read_bytes()
        assert trained(data, "kind", "--drop", "id,price", "--dropout", "0.2").read_bytes() == first
        assert trained(data, "kind", "--drop", "id,price", "--dropout", "0.2", "--seed", "1").read_bytes() != first


class TestPredictions:
    def test_as_a_table(self, model: Path, tmp_path: Path, capsys: Capture) -> None:
        capsys.readouterr()
        assert main(["predict", str(model), str(tmp_path / "flowers.csv")]) == 0
        assert capsys.readouterr().out.split() == ["kind", *["rose", "lily"] * 60]
        assert main(["predict", str(model), str(tmp_path / "flowers.csv"), "--proba"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "kind,probability_lily,probability_rose"
        for line in lines[1:]:
            assert sum(map(float, line.split(",")[1:])) == pytest.approx(1, abs=1e-5)

    def test_to_a_file(self, model: Path, tmp_path: Path, capsys: Capture) -> None:
        found = told(capsys, "predict", model, tmp_path / "flowers.csv", "--out", tmp_path / "p.csv")
        assert found == {"target": "kind", "rows": 120, "out": str(tmp_path / "p.csv")}
        assert (tmp_path / "p.csv").read_text().split()[:3] == ["kind", "rose", "lily"]

    def test_unknown_text_is_no_category(self, tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / "a.csv")
        out = trained(data, "kind", "--drop", "id,price", "--held-out", "0")
        (tmp_path / "b.csv").write_text("length,colour,wild\n,green,true\n6,black,FALSE\n6,red,0\n")
        capsys.readouterr()
        assert main(["predict", str(out), str(tmp_path / "b.csv"), "--json"]) == 0
        captured = capsys.readouterr()
        X, _ = by_hand(data)
        wild = np.unique(X[:, 5])
        rows = np.zeros((3, 6))
        model = TableModel.load(out)
        rows[1:, 0] = (6 - model.columns[0].mean) / model.columns[0].scale  # type: ignore[union-attr]
        rows[:, 5] = wild[[1, 0, 0]]
        rows[2, 3] = 1.0
        expected = model.network.predict_proba(rows)
        assert np.abs(np.array(json.loads(captured.out)["probabilities"]) - expected).max() < 1e-12
        notes = captured.err.splitlines()
        assert len(notes) == 2
        assert "1 empty cell in column 'length': its mean" in notes[0]
        assert "2 unknown cells in column 'colour', such as 'green'" in notes[1]


class TestTraining:
    def test_says_how_well_it_did(self, tmp_path: Path, capsys: Capture) -> None:
        trained(flowers(tmp_path / "a.csv"), "kind", "--epochs", "200")
        text = capsys.readouterr().out
        assert "120 samples of 2 columns; 'kind' is 2 classes" in text
        assert "weight  number, mean" in text
        assert "right on 24 of 24 held-out samples (100.0%); always the most frequent class: 12" in text

    def test_says_so_in_json(self, tmp_path: Path, capsys: Capture) -> None:
        data, out = garden(tmp_path / "a.csv"), tmp_path / "m"
        found = told(capsys, "train", data, "--target", "price", "--drop", "id", "--out", out, "--hidden", "8")
        assert found["task"] == "regress"
        assert found["rows"] == {"training": 160, "held_out": 40}
        assert found["layers"] == [8, 8, 1]  # length, four colours, wild, two kinds
        assert [column["kind"] for column in found["columns"]] == ["number", "text", "number", "text"]
        assert found["columns"][1]["categories"] == ["", "blue", "red", "white"]
        assert found["judged_on"] == "held-out"
        assert found["scores"]["mae"] < found["baseline"]["mae"]
        assert found["epochs"] == 200
        assert told(capsys, "info", out)["columns"] == found["columns"]

    @pytest.mark.parametrize(
        ("values", "task", "said"),
        [
            ("01", [], "is 2 classes"),
            ("0123", [], "is a number"),
            ("0123", ["--task", "classify"], "is 4 classes"),
            ("01", ["--task", "regress"], "is a number"),
            (["true", "false"], [], "is 2 classes"),
            (["True", "False"], ["--task", "regress"], "is a number"),
            (["NA", "SA"], [], "is 2 classes"),
        ],
    )
    def test_task(self, values: str, task: list[str], said: str, tmp_path: Path, capsys: Capture) -> None:
        data = tmp_path / "a.csv"
        data.write_text("x,y\n" + "".join(f"{i},{values[i % len(values)]}\n" for i in range(40)))
        out = trained(data, "y", *task)
        captured = capsys.readouterr()
        assert said in captured.out
        assert ("use --task classify" in captured.err) == (values == "0123" and not task)
        assert told(capsys, "evaluate", out, data)["rows"] == 40

    def test_labels_that_are_numbers(self, tmp_path: Path, capsys: Capture) -> None:
        data = tmp_path / "a.csv"
        data.write_text("x,y\n" + "".join(f"{i},{i % 2}.0\n" for i in range(40)))
        out = trained(data, "y")
        (tmp_path / "b.csv").write_text("y,x\n1,3\n0.0,4\n")
        assert set(told(capsys, "predict", out, tmp_path / "b.csv")["predictions"]) <= {"0", "1"}
        assert told(capsys, "evaluate", out, tmp_path / "b.csv")["rows"] == 2

    def test_few_samples_are_all_trained_on(self, tmp_path: Path, capsys: Capture) -> None:
        data = tmp_path / "a.csv"
        data.write_text("a;b;y\n0;0;no\n0;1;yes\n1;0;yes\n1;1;no\n")
        options = ["--delimiter", ";", "--hidden", "8", "--lr", "0.05", "--activation", "tanh", "--epochs", "200"]
        trained(data, "y", *options)
        assert "right on 4 of 4 training samples" in capsys.readouterr().out

    def test_patience_stops_and_keeps_the_best(self, tmp_path: Path, capsys: Capture) -> None:
        generator = np.random.default_rng(0)
        data, out = tmp_path / "a.csv", tmp_path / "m"
        rows = generator.normal(size=(60, 6))  # nothing to learn
        data.write_text("a,b,c,d,e,y\n" + "\n".join(",".join(map(str, row)) for row in rows))
        arguments = ["train", data, "--target", "y", "--out", out, "--lr", "0.01", "--epochs", "500"]
        patient = told(capsys, *arguments, "--patience", "5")
        assert patient["epochs"] < 100
        assert patient["scores"]["loss"] < told(capsys, *arguments)["scores"]["loss"]

    def test_optimizers_and_constant_columns(self, tmp_path: Path, capsys: Capture) -> None:
        data = tmp_path / "a.csv"
        data.write_text("x,same,word,y\n" + "".join(f"{i},7,always,{2 * i + 1}\n" for i in range(50)))
        out = trained(data, "y", "--hidden", "0", "--optimizer", "sgd", "--lr", "0.1", "--epochs", "200")
        assert told(capsys, "evaluate", out, data)["r2"] > 0.99

    def test_a_header_with_numbers(self, tmp_path: Path, capsys: Capture) -> None:
        data = tmp_path / "a.csv"
        data.write_text("2019,2020,land\n" + "".join(f"{i},{-i},{'ab'[i % 2]}\n" for i in range(40)))
        out = trained(data, "land")
        (tmp_path / "b.csv").write_text("2020,2019\n-3,3\n")
        assert told(capsys, "predict", out, tmp_path / "b.csv")["rows"] == 1
        assert [column["name"] for column in told(capsys, "info", out)["columns"]] == ["2019", "2020"]


class TestOtherCommands:
    def test_gradcheck_of_a_model(self, tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / "a.csv")
        out = trained(data, "kind", "--drop", "id,price", "--hidden", "4", "--activation", "tanh")
        for given in ([], [data]):
            found = told(capsys, "gradcheck", out, *given)
            assert found["ok"] is True
            assert found["rows"] == 8
            assert [tensor["name"] for tensor in found["tensors"]] == ["0.weight", "0.bias", "1.weight", "1.bias"]

    def test_gradcheck_of_a_recurrent_model_from_python(self, tmp_path: Path, capsys: Capture) -> None:
        dr.Network([dr.GRU(3), dr.Dense(2)], input_shape=(None, 2)).save(tmp_path / "m")
        assert told(capsys, "gradcheck", tmp_path / "m", "--rows", "2")["dtype"] == "float32"
        assert "gru" in str(told(capsys, "info", tmp_path / "m")["spec"])

    @pytest.mark.parametrize("loss", ["mse", "cross_entropy", "binary_cross_entropy", "hinge", "poisson", "huber"])
    def test_gradcheck_of_layers(self, loss: str, capsys: Capture) -> None:
        assert main(["gradcheck", "--layers", "3-4-2", "--activation", "gelu", "--loss", loss]) == 0
        assert "The gradients hold" in capsys.readouterr().out

    def test_gradient_flow(self, tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / "a.csv")
        out = trained(data, "price", "--drop", "id", "--activation", "tanh", "--hidden", "8,8")
        capsys.readouterr()
        assert main(["gradient-flow", str(out), str(data)]) == 0
        assert "healthy" in capsys.readouterr().out
        found = told(capsys, "gradient-flow", out, data, "--lr", "0.1")
        assert found["lr"] == 0.1
        assert len(found["layers"]) == 3
        # A target in other units is no other gradient: it was standardized before.
        assert all(1e-6 < layer["gradient"] < 1 for layer in found["layers"])


class TestExplain:
    def test_the_well_known_example(self, capsys: Capture) -> None:
        found = told(capsys, "explain")
        weights = np.array(found["updated"]["1.weight"]).T.round(8)
        assert weights.tolist() == [[0.35891648, 0.40866619], [0.51130127, 0.56137012]]
        assert main(["explain"]) == 0
        assert "0.298371" in capsys.readouterr().out
        assert main(["explain", "--latex"]) == 0
        assert "\\" in capsys.readouterr().out

    def test_a_row_of_a_table(self, tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / "a.csv")
        out = trained(data, "kind", "--drop", "id,price", "--hidden", "2")
        found = told(capsys, "explain", out, data, "--row", "3", "--lr", "0.2")
        model = TableModel.load(out)
        X, y, _ = model.encode_with_target(model.open(str(data)))
        value, gradients = model.network.loss_and_gradients(X[2:3], y[2:3], loss="cross_entropy")
        assert found["loss"][-1]["value"] == pytest.approx(value, rel=1e-12)
        moved = np.array(found["updated"]["1.bias"])
        assert np.allclose(moved, model.network.parameters["1.bias"] - 0.2 * gradients["1.bias"], atol=1e-15)

    def test_a_model_that_is_too_large_to_read(self, tmp_path: Path, capsys: Capture) -> None:
        data = garden(tmp_path / "a.csv")
        out = trained(data, "kind", "--drop", "id,price", "--hidden", "8", "--epochs", "1")
        capsys.readouterr()
        assert main(["explain", str(out), str(data), "--most-numbers", "10"]) == 1
        assert "--most-numbers 74" in capsys.readouterr().err


def test_a_first_line_of_numbers_is_told_about(tmp_path: Path, capsys: Capture) -> None:
    data = tmp_path / "years.csv"
    data.write_text("2019,2020,2021\n" + "".join(f"{i},{2 * i},{3 * i}\n" for i in range(20)))
    trained(data, "-1", "--epochs", "1")
    assert f"note: the first line of {data} has numbers: it is a sample" in capsys.readouterr().err


def test_gaps_in_the_only_column(tmp_path: Path, capsys: Capture) -> None:
    data, new = tmp_path / "a.csv", tmp_path / "new.csv"
    data.write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(20)))
    out = trained(data, "y", "--epochs", "1")
    new.write_text('x\n1\n""\n\n3\n')  # as pandas writes a gap; a blank line is no row
    capsys.readouterr()
    assert main(["predict", str(out), str(new)]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 4
    assert "1 empty cell in column 'x'" in printed.err
