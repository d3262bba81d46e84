"""The benchmarks: cells as announced, peers that do the same work, tables that hold the numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deltarule.bench import CELLS, DENSE_CELLS, FAMILIES, CellResult, Peer, Problem, Timing, measure
from deltarule.bench.machine import Bystanders, describe_machine
from deltarule.bench.measure import calibrate, runs_in
from deltarule.bench.peers.deadline import deadline
from deltarule.bench.peers.numpy_by_hand import NumpyByHand
from deltarule.bench.peers.ours import Ours
from deltarule.bench.table import as_json, as_markdown, as_text
from deltarule.cli import main

DENSE_FAMILIES = [name for name, family in FAMILIES.items() if family.dense and name != "torch_compile"]

# In float32 after some dozens of steps; a unit near the edge of relu may go another way, but hardly changes the loss.
SAME_WORK = 2e-4


class TestCells:
    @pytest.mark.parametrize(
        ("name", "parameters", "batch", "optimizer"),
        [
            ("xor", 9 + 4, 4, "sgd"),
            ("tiny", 8 * 32 + 32 + 32 * 32 + 32 + 33, 32, "adam"),
            ("tabular", 28 * 64 + 64 + 64 * 64 + 64 + 65, 128, "adam"),
            ("digits", 64 * 100 + 100 + 1010, 200, "adam"),
            ("mnist_s", 784 * 128 + 128 + 1290, 128, "adam"),
            ("mnist_l", 784 * 300 + 300 + 30_000 + 100 + 1010, 32, "momentum"),
            ("mid", 2 * (256 * 256 + 256) + 2570, 256, "adam"),
            ("wide", 3 * (512 * 512 + 512) + 5130, 512, "adam"),
            ("big", 2 * (1024 * 1024 + 1024) + 10_250, 1024, "adam"),
        ],
    )
    def test_sizes(self, name: str, parameters: int, batch: int, optimizer: str) -> None:
        cell = CELLS[name]
        assert (cell.parameters, cell.batch, cell.optimizer) == (parameters, batch, optimizer)
        assert cell.samples % batch == 0

    def test_there_are_no_others(self) -> None:
        dense = ["xor", "tiny", "tabular", "digits", "mnist_s", "mnist_l", "mid", "wide", "big"]
        assert list(DENSE_CELLS) == dense
        assert list(CELLS) == [*dense, "rnn_s", "lstm_s", "lstm_m", "gru_m"]

    @pytest.mark.parametrize("name", ["xor", "tiny", "tabular", "digits", "mnist_l"])
    def test_data_and_network(self, name: str) -> None:
        problem = Problem(CELLS[name])
        cell = problem.cell
        assert problem.X.dtype == np.float32
        assert problem.X.shape == (cell.samples, cell.widths[0])
        assert problem.X.flags.c_contiguous
        assert len(problem.y) == cell.samples
        assert problem.network().n_parameters == cell.parameters
        assert np.array_equal(problem.X, Problem(cell).X)
        if cell.loss == "cross_entropy":
            assert set(problem.y) == set(range(cell.widths[-1]))

    def test_operations(self) -> None:
        """By counting: 2 for each multiply-add of the products that a step does."""
        assert CELLS["digits"].flops == 200 * (4 * 64 * 100 + 6 * 100 * 10)

    @pytest.mark.parametrize("name", ["xor", "tiny", "digits"])
    def test_the_judge_agrees_with_evaluate(self, name: str) -> None:
        problem = Problem(CELLS[name])
        expected = problem.network().evaluate(problem.X, problem.y, loss=problem.cell.loss)["loss"]
        assert problem.loss(problem.initial) == pytest.approx(expected, rel=1e-5)


def made(family: str, problem: Problem) -> list[Peer]:
    """All forms of a peer, or a skipped test."""
    missing = FAMILIES[family].missing()
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other libraries say at import is theirs
        return [make() for make in FAMILIES[family].forms(problem).values()]


class TestEqualWork:
    @pytest.mark.parametrize("name", ["xor", "tiny", "tabular", "digits", "mnist_l"])
    def test_numpy_takes_our_steps(self, name: str) -> None:
        problem = Problem(replace(CELLS[name], steps=min(CELLS[name].steps, 20)), shuffle=False)
        ours, by_hand = Ours(problem), NumpyByHand(problem)
        before = problem.loss(problem.initial)
        for peer in (ours, by_hand):
            peer.train(1)
        assert ours.loss() < before * 0.97
        assert by_hand.loss() == pytest.approx(ours.loss(), rel=1e-5)
        for (weight, bias), (other_weight, other_bias) in zip(ours.weights(), by_hand.weights(), strict=True):
            np.testing.assert_allclose(weight, other_weight, atol=2e-4)
            np.testing.assert_allclose(bias, other_bias, atol=2e-4)

    @pytest.mark.parametrize("family", [name for name in DENSE_FAMILIES if name != "numpy"])
    @pytest.mark.parametrize("name", ["xor", "tiny", "digits"])
    def test_every_peer_takes_our_steps(self, name: str, family: str) -> None:
        problem = Problem(replace(CELLS[name], steps=5), shuffle=False)
        ours = Ours(problem)
        ours.train(2)
        for peer in made(family, problem):
            peer.reset()
            peer.train(2)
            assert peer.loss() == pytest.approx(ours.loss(), rel=SAME_WORK)

    @pytest.mark.parametrize("family", DENSE_FAMILIES)
    def test_reset_goes_back_to_the_start(self, family: str) -> None:
        problem = Problem(replace(CELLS["tiny"], steps=5), shuffle=False)
        for peer in made(family, problem):
            peer.reset()
            peer.train(2)
            first = peer.loss()
            peer.train(3)
            assert peer.loss() < first
            peer.reset()
            assert peer.loss() == pytest.approx(problem.loss(problem.initial), rel=1e-6)
            peer.train(2)
            assert peer.loss() == pytest.approx(first, rel=1e-6)

    @pytest.mark.parametrize("family", DENSE_FAMILIES)
    def test_shuffled_training_learns_as_much(self, family: str) -> None:
        problem = Problem(replace(CELLS["tabular"], steps=8))
        ours = Ours(problem)
        ours.train(8)
        for peer in made(family, problem):
            peer.reset()
            peer.train(8)
            assert peer.loss() == pytest.approx(ours.loss(), rel=0.1)

    def test_initial_weights_are_not_touched(self) -> None:
        problem = Problem(CELLS["xor"])
        before = [weight.copy() for weight, _ in problem.initial]
        NumpyByHand(problem).train(1)
        assert all(np.array_equal(weight, kept) for (weight, _), kept in zip(problem.initial, before, strict=True))


def a_result(*, peak: float | None = 1e11) -> CellResult:
    """Invented: ours takes 2 µs a step, the best peer 6."""
    fixed = {1: Timing("deltarule, 1 thread", 1000, 0.5, [3e-3]), 2: Timing("deltarule, 2 threads", 1000, 0.5, [2e-3])}
    peers = [Timing("slow", 10, 0.52, [3e-4, 1e-4, 2e-4]), Timing("quick", 100, 0.51, [6e-4])]
    ours = Timing("deltarule", 1000, 0.5, [1e-3, 2e-3, 9e-3])
    return CellResult(CELLS["tiny"], ours, fixed, peers, {"broken": "ImportError: no"}, peak)


class TestMeasure:
    def test_rounds_and_reports(self) -> None:
        said: list[str] = []
        families = [FAMILIES["numpy"]]
        result = measure(CELLS["xor"], families, rounds=2, threads=(1,), seconds=1e-3, report=said.append)
        assert len(said) == runs_in([CELLS["xor"]], families, (1,), 2)
        assert {peer.name for peer in result.peers} >= {"NumPy"}
        assert all(len(timing.seconds) == 2 for timing in (*result.peers, *result.fixed.values()))
        assert len(result.ours.seconds) == 2 * (len(result.peers) + 1)
        assert result.best in result.peers
        assert result.best.loss == pytest.approx(result.ours.loss, rel=0.1)
        assert not result.failures

    def test_runs_are_long_enough(self) -> None:
        peer = NumpyByHand(Problem(replace(CELLS["xor"], steps=2)))
        epochs = calibrate(peer, 0.01)
        assert epochs > 10
        assert min(peer.run(epochs) for _ in range(3)) > 0.003

    def test_a_broken_peer_stops_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(self: NumpyByHand) -> None:
            raise RuntimeError("out of order\nand more")

        monkeypatch.setattr(NumpyByHand, "reset", broken)
        result = measure(CELLS["xor"], [FAMILIES["numpy"]], rounds=1, threads=(), seconds=1e-3)
        assert result.peers == []
        assert result.failures["NumPy"] == "RuntimeError: out of order"
        assert result.best is None

    def test_ratios(self) -> None:
        result = a_result()
        assert result.best is result.peers[1]
        assert result.ratio(result.peers[1]) == pytest.approx(3)
        assert result.ratio(result.peers[0]) == pytest.approx(10)
        assert result.speedup == pytest.approx(1.5)
        assert result.share_of_peak == pytest.approx(CELLS["tiny"].flops / 3e-6 / 1e11)
        assert a_result(peak=None).share_of_peak is None

    @pytest.mark.skipif(not Path("/proc/stat").exists(), reason="not Linux")
    def test_bystanders_are_others(self) -> None:
        """A child keeps a core busy; while it is not waited for, it is somebody else."""
        child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            bystanders = Bystanders()
            time.sleep(0.5)
            share = bystanders.share()
        finally:
            child.kill()
            child.wait()
        assert share is not None
        assert 0.3 / (os.cpu_count() or 1) < share <= 1

    def test_deadline(self) -> None:
        with pytest.raises(TimeoutError, match=r"waiting took more than 0\.05 seconds"), deadline(0.05, "waiting"):
            time.sleep(5)
        with deadline(0.05, "nothing"):
            pass
        time.sleep(0.1)  # it has been called off


MACHINE = describe_machine(["numpy"])
MISSING = {"torch": ["torch"]}


class TestTables:
    def test_text(self) -> None:
        text = as_text([a_result(), a_result(peak=None)], MACHINE, MISSING, 7)
        lines = [line.split() for line in text.splitlines() if line.startswith("tiny ")]
        share = f"{CELLS['tiny'].flops / 3e-6 / 1e11:.0%}"
        assert lines[0] == ["tiny", "2.00", "quick", "6.00", "3.00×", share, "1.50×", "0.5000", "0.5100"]
        assert lines[1][5] == "-"
        assert "torch is not installed: pip install torch" in text
        assert "broken could not take part: ImportError: no" in text

    def test_markdown(self) -> None:
        text = as_markdown([a_result()], MACHINE, MISSING, 7)
        assert f"- date: {MACHINE['date']}" in text
        assert "| slow | 20.0 | 10.0 | 10.0× | 10.0× | 0.5200 |" in text
        tables = [block for block in text.split("\n\n") if block.startswith("|")]
        assert len(tables) == 3
        for table in tables:
            assert len({line.count("|") for line in table.splitlines()}) == 1

    def test_json(self) -> None:
        cell = json.loads(json.dumps(as_json([a_result()], MACHINE, MISSING, 7)))["cells"]["tiny"]
        assert cell["ratio_to_best"] == pytest.approx(3)
        assert cell["peers"][0]["seconds_of_runs"] == [3e-4, 1e-4, 2e-4]


class TestCommand:
    def test_smoke(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        page, data = tmp_path / "RESULTS.md", tmp_path / "results.json"
        start = time.perf_counter()
        command = ["bench", "--cells", "xor", "--rounds", "1", "--peers", "numpy", "--seconds", "0.005"]
        assert main([*command, "--markdown", str(page), "--json", str(data)]) == 0
        assert time.perf_counter() - start < 10
        captured = capsys.readouterr()
        assert "NumPy" in captured.out
        assert "100%" in captured.err
        assert "### xor" in page.read_text(encoding="utf-8")
        assert json.loads(data.read_text())["cells"]["xor"]["ours"]["median_us"] > 0

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--cells", "tinny"], "did you mean 'tiny'?"),
            (["--peers", "torhc"], "did you mean 'torch'?"),
            (["--rounds", "0"], "from 1 to 1024"),
            (["--threads", "two"], "numbers of threads"),
            (["--seconds", "nan"], "above 0"),
        ],
    )
    def test_wrong_usage(self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            main(["bench", *arguments])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err

    def test_a_folder_that_is_not_there_is_noticed_before(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["bench", "--json", str(tmp_path / "nowhere" / "a.json")]) == 1
        assert "there is no folder" in capsys.readouterr().err

    def test_nothing_of_it_is_imported_before(self) -> None:
        program = "import sys, deltarule, deltarule.cli; print(any('bench' in name for name in sys.modules))"
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "False"

    def test_peers_are_imported_only_when_asked_for(self) -> None:
        program = """
import sys
from deltarule.cli import main
main(["bench", "--cells", "xor", "--rounds", "1", "--peers", "none", "--seconds", "0.001"])
print(*({"torch", "jax", "sklearn"} & set(sys.modules)), "imported")
"""
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1].strip() == "imported"
