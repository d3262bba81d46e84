"""The command line refuses: bad data with code 1, wrong usage with code 2, each in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from example_tables import flowers, plane

import deltarule as dr
from deltarule.cli import COMMANDS, main


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
        message = refused(capsys, "train", str(data), "--target", "kind", "--out", "m")
        assert "line 122" in message
        assert "'long' in column 'length'" in message

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"a,y\n", "has a header but no data"),
            (b"a,y\n1,2\n1\n", "has 1 cells"),
            (b"a,y\n1,\xff\n", "not utf-8"),
            (b"a,y\n" + b"1,x\n" * 5, "in every line"),
            (b"a,y\n1,x\n2,nan\n", "line 3"),
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
        assert "200 different values in 200 lines" in message

    def test_divergence_writes_no_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = str(plane(tmp_path / "a.csv")), tmp_path / "m"
        assert "diverged" in refused(capsys, "train", data, "--target", "price", "--lr", "1e300", "--out", str(out))
        assert not out.exists()

    def test_nowhere_to_save(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data, out = str(flowers(tmp_path / "a.csv")), str(tmp_path / "no" / "folder")
        message = refused(capsys, "train", data, "--target", "kind", "--epochs", "1", "--out", out)
        assert "there is no folder" in message

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
        assert "sample 2 is not finite" in refused(capsys, "predict", str(model), str(data))

    def test_no_model(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "m.safetensors"
        path.write_bytes(b"not a model at all")
        assert "no readable safetensors file" in refused(capsys, "predict", str(path), "a.csv")
        assert "there is no file" in refused(capsys, "predict", str(tmp_path / "none"), "a.csv")

    def test_a_model_that_was_made_in_python(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "m.safetensors"
        dr.Network([dr.Dense(1)], input_shape=2).save(path)
        assert "does not say which columns it takes" in refused(capsys, "predict", str(path), "a.csv")

    @pytest.mark.parametrize(
        "damage",
        [
            {"task": "guess"},
            {"features": 3},
            {"features": ["length"]},
            {"classes": []},
            {"classes": ["a", "b", "c"]},
            {"classes": [1, 2]},
            {"target": None},
            {"target_position": "2"},
        ],
    )
    def test_damaged_columns(
        self, damage: dict[str, object], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from deltarule.network import files

        found = json.loads(files.read_metadata(model)["deltarule_table"])
        path = tmp_path / "damaged"
        files.save(dr.Network.load(model), path, {"deltarule_table": json.dumps(found | damage)})
        capsys.readouterr()
        message = refused(capsys, "predict", str(path), str(tmp_path / "flowers.csv"))
        assert "damaged" in message or "contradicts itself" in message


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["trian"], "did you mean 'train'?"),
            (["quite-something-else"], "choose one of demo, train, predict, info"),
            (["train", "a.csv"], "required: --target, --out"),
            (["demo", "digits"], "invalid choice: 'digits'"),
            (["demo", "--seed", "x"], "--seed"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--lr", "0"], "'0': expected a number above 0"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--lr", "nan"], "'nan': expected a number above 0"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--epochs", "0"], "at least 1"),
            (["train", "a.csv", "--target", "y", "--out", "m", "--batch-size", "1.5"], "at least 1"),
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

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_teaches(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert len(capsys.readouterr().out.splitlines()) > 4

    def test_as_a_program(self, tmp_path: Path) -> None:
        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "deltarule", *arguments],
                capture_output=True,
                text=True,
                timeout=60,
                cwd=tmp_path,
            )

        assert run("--version").stdout.strip() == f"deltarule {dr.__version__}"
        info = run("info")
        assert info.returncode == 0
        assert dr.__version__ in info.stdout
        assert dr.isa() in info.stdout or "DELTARULE_ISA" in os.environ
        failed = run("predict", "nothing", "nowhere")
        assert failed.returncode == 1
        assert failed.stderr.count("\n") == 1
        assert "Traceback" not in failed.stderr
        assert run("trian").returncode == 2

    def test_an_isa_that_is_not_there(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "deltarule", "demo", "xor"],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={**os.environ, "DELTARULE_ISA": "avx3"},
        )
        assert done.returncode == 1, done.stderr
        last = done.stderr.splitlines()[-1]
        assert "avx3" in last
        assert dr.isas()[-1] in last

    def test_a_reader_that_has_seen_enough(self, tmp_path: Path) -> None:
        data = tmp_path / "a.csv"
        data.write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(20000)))
        out = tmp_path / "m"
        assert main(["train", str(data), "--target", "y", "--out", str(out), "--epochs", "1", "--hidden", "0"]) == 0
        program = subprocess.Popen(
            [sys.executable, "-m", "deltarule", "predict", str(out), str(data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
        program.stderr.close()
        assert program.wait(60) == 0
