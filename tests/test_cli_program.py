"""The command line as a program: exit codes, pipes that close, Ctrl-C, and what goes to which stream."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from example_tables import garden

import deltarule as dr
from deltarule.cli import main

PROGRAM = [sys.executable, "-m", "deltarule"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, cwd=folder)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    data = tmp_path / "a.csv"
    data.write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(20000)))
    return data


class TestProgram:
    def test_exit_codes(self, tmp_path: Path) -> None:
        assert run(tmp_path, "--version").stdout.strip() == f"deltarule {dr.__version__}"
        info = run(tmp_path, "info")
        assert info.returncode == 0
        assert dr.__version__ in info.stdout
        assert dr.isa() in info.stdout or "DELTARULE_ISA" in os.environ
        failed = run(tmp_path, "predict", "nothing", "nowhere")
        assert failed.returncode == 1
        assert failed.stderr.count("\n") == 1
        assert "Traceback" not in failed.stderr
        assert run(tmp_path, "trian").returncode == 2

    def test_from_a_table_to_predictions(self, tmp_path: Path) -> None:
        garden(tmp_path / "a.csv")
        options = ["--target", "kind", "--drop", "id,price", "--epochs", "20", "--out", "m", "--json"]
        trained = run(tmp_path, "train", "a.csv", *options)
        assert trained.returncode == 0, trained.stderr
        assert trained.stdout.count("\n") == 1
        assert json.loads(trained.stdout)["epochs"] == 20
        assert "epoch 20 of 20" in trained.stderr
        assert "note: 4 empty cells in column 'length'" in trained.stderr
        predicted = run(tmp_path, "predict", "m", "a.csv")
        assert predicted.stdout.splitlines()[0] == "kind"
        assert len(predicted.stdout.splitlines()) == 201
        evaluated = run(tmp_path, "evaluate", "m", "a.csv", "--json")
        assert json.loads(evaluated.stdout)["rows"] == 200

    @pytest.mark.parametrize("data", ["-", "/dev/stdin"])
    def test_a_table_from_a_pipe(self, data: str, tmp_path: Path) -> None:
        done = subprocess.run(
            [*PROGRAM, "train", data, "--target", "y", "--out", "m", "--epochs", "1", "--json"],
            input="x,word,y\n" + "1,a,2\n2,b,3\n3,a,5\n" * 10,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["rows"] == {"training": 24, "held_out": 6}

    def test_a_check_that_does_not_hold(self, tmp_path: Path) -> None:
        # A slip in one of the two programs for the chain rule: the sign of a slope.
        program = """
import sys
from deltarule.reference.sigmoids import Tanh
slope = Tanh.slope
Tanh.slope = staticmethod(lambda z: -slope(z))
from deltarule.cli import main
raise SystemExit(main(sys.argv[1:]))
"""
        arguments = ["gradcheck", "--layers", "4-8-1", "--json"]
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert json.loads(done.stdout)["ok"] is False
        assert done.stderr.startswith("deltarule gradcheck: ")
        assert "fails" in done.stderr
        assert done.stderr.count("\n") == 1

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


class TestEndings:
    def test_a_reader_that_has_seen_enough(self, numbers: Path) -> None:
        out = numbers.parent / "m"
        arguments = ["--target", "y", "--out", str(out), "--epochs", "1", "--hidden", "0"]
        assert main(["train", str(numbers), *arguments]) == 0
        for options in ([], ["--json"]):
            program = subprocess.Popen(
                [*PROGRAM, "predict", str(out), str(numbers), *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            assert program.stdout is not None
            assert program.stderr is not None
            program.stdout.read(100)
            program.stdout.close()
            assert program.stderr.read() == b""
            program.stderr.close()
            assert program.wait(60) == 0

    def test_help_into_a_closed_pipe(self) -> None:
        done = subprocess.run(
            f"{sys.executable} -m deltarule train --help | true; echo ${{PIPESTATUS[0]}}",
            shell=True,
            executable="/bin/bash",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        assert done.stdout == "0\n"

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_control_c(self, options: list[str], numbers: Path) -> None:
        out = numbers.parent / "m"
        program = subprocess.Popen(
            [*PROGRAM, "train", "-", "--target", "y", "--epochs", "1000000", "--out", str(out), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdin is not None
        program.stdin.write(numbers.read_text())  # more than a pipe holds: when it is done, the program reads
        program.stdin.flush()
        program.stdin.close()
        program.stdin = None
        time.sleep(1)
        program.send_signal(signal.SIGINT)
        output, errors = program.communicate(timeout=60)
        assert program.returncode == 130
        assert "saved" not in output
        assert output == "" or not options
        assert errors.splitlines()[-1] == "deltarule train: stopped"
        assert "Traceback" not in errors
        assert not out.exists()


class TestStreams:
    def run(self, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHONIO"))}
        return subprocess.run(
            [*PROGRAM, *arguments], capture_output=True, timeout=60, cwd=folder, env={**kept, **environment}
        )

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
    @pytest.mark.parametrize("arguments", [["explain"], ["explain", "--help"], ["train", "--help"]])
    def test_letters_that_an_encoding_does_not_know(self, encoding: str, arguments: list[str], tmp_path: Path) -> None:
        done = self.run(tmp_path, *arguments, PYTHONIOENCODING=encoding)
        assert done.returncode == 0
        assert done.stderr == b""
        assert done.stdout.decode(encoding)

    def test_a_file_gets_utf_8(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, "explain", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        assert "Σ_i" in done.stdout.decode("utf-8")

    def test_json_is_json_in_every_encoding(self, tmp_path: Path) -> None:
        data = tmp_path / "a.csv"
        data.write_text("größe,色\n" + "1,å😀\n2,b\n" * 10, encoding="utf-8")
        done = self.run(
            tmp_path, "train", "a.csv", "--target", "色", "--epochs", "1", "--out", "m", "--json",
            PYTHONIOENCODING="ascii",
        )  # fmt: skip
        assert json.loads(done.stdout)["target"]["labels"] == ["b", "å😀"]

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
    @pytest.mark.parametrize("arguments", ["info", "info --json", "explain"])
    def test_a_full_disk(self, arguments: str) -> None:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [*PROGRAM, *arguments.split()], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
            )
        assert done.returncode == 1
        assert done.stderr == f"deltarule {arguments.split()[0]}: No space left on device\n"

    @pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes streams")
    def test_closed_streams(self) -> None:
        command = f"{sys.executable} -m deltarule explain >&-; echo $?"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == ("0\n", "")
