"""The command line: what it shows, with the demos and the progress line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from deltarule.cli import COMMANDS, main
from deltarule.cli.json_output import as_json
from deltarule.cli.picture import picture
from deltarule.cli.progress_line import ProgressLine


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

    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["demo", "xor", "--json"]) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["xor"] | {"seconds": 0} == {
            "learned": True,
            "epochs": 400,
            "seconds": 0,
            "accuracy": 1.0,
        }
        assert "epoch 400 of 400" in captured.err

    def test_needs_only_the_hard_dependencies(self) -> None:
        extras = ["matplotlib", "pandas", "polars", "scipy", "sklearn", "torch"]
        block = f"import sys; sys.modules.update(dict.fromkeys({extras}));"
        run = "from deltarule.__main__ import main; raise SystemExit(main(['demo', 'xor']))"
        done = subprocess.run([sys.executable, "-c", block + run], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "it has learned XOR" in done.stdout


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


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_teaches(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        text = capsys.readouterr().out
        assert f"python -m deltarule {command}" in text.partition("\n\n")[2], "an example below the usage"
        assert "--json" in text
        assert "Exit codes: 0" in text
        assert max(map(len, text.splitlines())) <= 120

    def test_names_all_commands_and_exit_codes(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--help"])
        text = capsys.readouterr().out
        for command in COMMANDS:
            assert f"\n    {command}" in text
        for code in ("0 good", "1 bad data", "2 wrong usage", "130 stopped"):
            assert code in text

    def test_imports_nothing_heavy(self) -> None:
        program = """
import sys
from deltarule.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"tqdm", "safetensors", "pyarrow", "pandas", "scipy", "matplotlib", "torch", "sklearn"}
late = {"deltarule.tables", "deltarule.gradient_check", "deltarule.reference", "deltarule.bench", "deltarule.explain"}
print("late:", *((heavy | late) & set(sys.modules)))
"""
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == "late:"


class TestJson:
    def test_is_plain(self) -> None:
        given = {"a": np.array([[1.0, np.inf]]), "b": (np.float32(0.5), float("nan")), "c": np.bool_(True), 3: None}
        assert json.loads(as_json(given)) == {"a": [[1.0, None]], "b": [0.5, None], "c": True, "3": None}

    def test_numbers_are_not_rounded(self) -> None:
        assert json.loads(as_json({"third": 1 / 3})) == {"third": 1 / 3}

    def test_info(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["info", "--json"]) == 0
        captured = capsys.readouterr()
        found = json.loads(captured.out)
        assert captured.out.count("\n") == 1
        assert found["instruction_set"] in found["instruction_sets"]
        assert found["threads"] >= 1

    def test_bench(self, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["bench", "--cells", "xor", "--peers", "none", "--rounds", "1", "--seconds", "0.001", "--json"]
        assert main(command) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["cells"]["xor"]["ours"]["median_us"] > 0
        assert "100%" in captured.err
