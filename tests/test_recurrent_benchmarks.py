"""The recurrent benchmarks: cells as announced, peers that do the same work, a peer in a process of its own."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from deltarule.bench import FAMILIES, RECURRENT_CELLS, Peer, RecurrentCell, RecurrentProblem, measure
from deltarule.bench.measure import runs_in
from deltarule.bench.peers.ours import Ours
from deltarule.bench.peers.own_process import OwnProcess
from deltarule.cli import main

RECURRENT_FAMILIES = [name for name, family in FAMILIES.items() if family.recurrent]
SAME_WORK = 2e-4  # in float32, after a dozen steps
NEARLY_THE_SAME = 2e-2  # with one bias instead of two


def small(name: str, **changes: Any) -> RecurrentProblem:
    """A cell with fewer and shorter sequences."""
    cell = replace(RECURRENT_CELLS[name], **{"steps": 3, "n_steps": 8, **changes})
    return RecurrentProblem(cell, shuffle=False)


class TestCells:
    @pytest.mark.parametrize(
        ("name", "kind", "n_steps", "parameters", "batch", "loss"),
        [
            ("rnn_s", "rnn", 32, 16 * 32 + 32 * 32 + 2 * 32 + 33, 32, "mse"),
            ("lstm_s", "lstm", 32, 4 * (16 * 32 + 32 * 32 + 2 * 32) + 33, 32, "mse"),
            ("lstm_m", "lstm", 128, 4 * (32 * 128 + 128 * 128 + 2 * 128) + 1290, 64, "cross_entropy"),
            ("gru_m", "gru", 128, 3 * (32 * 128 + 128 * 128 + 2 * 128) + 1290, 64, "cross_entropy"),
        ],
    )
    def test_sizes(self, name: str, kind: str, n_steps: int, parameters: int, batch: int, loss: str) -> None:
        cell = RECURRENT_CELLS[name]
        assert (cell.kind, cell.n_steps, cell.parameters) == (kind, n_steps, parameters)
        assert (cell.batch, cell.loss, cell.optimizer) == (batch, loss, "adam")
        assert sum(array.size for layer in cell.problem().initial for array in layer) == parameters

    def test_operations(self) -> None:
        """By counting the products of each step: forward, dW and, of states alone, dX; the first state is 0."""
        cell = RecurrentCell("counted", (5, 7, 2), "tanh", 3, "mse", "adam", 1, kind="lstm", n_steps=4)
        multiply_adds = 0
        for step in range(4):
            multiply_adds += 2 * (5 * 4 * 7)  # x W_ih, xᵀ dz
            if step > 0:
                multiply_adds += 3 * (7 * 4 * 7)  # h W_hh, hᵀ dz, dz W_hhᵀ
        multiply_adds += 3 * (7 * 2)
        assert cell.flops == 2 * 3 * multiply_adds

    @pytest.mark.parametrize("name", RECURRENT_CELLS)
    def test_data(self, name: str) -> None:
        problem = small(name)
        cell = problem.cell
        assert problem.X.dtype == np.float32
        assert problem.X.shape == (cell.samples, 8, cell.widths[0])
        assert problem.X.flags.c_contiguous
        assert np.array_equal(problem.X, small(name).X)
        if cell.loss == "cross_entropy":
            assert set(problem.y) <= set(range(10))
            assert problem.one_hot.shape == (cell.samples, 10)
        else:
            assert problem.y.shape == (cell.samples, 1)
        for one, two in zip(problem.initial, small(name).initial, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
            assert all(np.abs(array).max() <= cell.widths[1] ** -0.5 for array in one)

    @pytest.mark.parametrize("name", RECURRENT_CELLS)
    def test_the_judge_agrees_with_evaluate(self, name: str) -> None:
        problem = small(name)
        network = problem.network()
        assert network.n_parameters == problem.cell.parameters
        expected = network.evaluate(problem.X, problem.y, loss=problem.cell.loss)["loss"]
        assert problem.loss(problem.initial) == pytest.approx(expected, rel=1e-5)
        for layer, other in zip(problem.weights_of(network), problem.initial, strict=True):
            assert all(np.array_equal(one, two) for one, two in zip(layer, other, strict=True))


def made(family: str, problem: RecurrentProblem) -> list[tuple[str, Peer]]:
    """All forms of a peer, or a skipped test."""
    missing = FAMILIES[family].missing()
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other libraries say at import is theirs
        return [(name, make()) for name, make in FAMILIES[family].forms(problem).items()]


class TestEqualWork:
    @pytest.mark.parametrize("family", RECURRENT_FAMILIES)
    @pytest.mark.parametrize("name", ["rnn_s", "lstm_s", "gru_m", "lstm_m"])
    def test_every_peer_takes_our_steps(self, name: str, family: str) -> None:
        problem = small(name)
        before = problem.loss(problem.initial)
        ours = Ours(problem)
        ours.train(4)
        assert ours.loss() < before * 0.98
        for form, peer in made(family, problem):
            try:
                peer.reset()
                assert peer.loss() == pytest.approx(before, rel=1e-6), form
                peer.train(4)
                allowed = NEARLY_THE_SAME if family == "keras" else SAME_WORK
                assert peer.loss() == pytest.approx(ours.loss(), rel=allowed), form
                shapes = [[array.shape for array in layer] for layer in peer.weights()]
                assert shapes == [[array.shape for array in layer] for layer in problem.initial], form
                after = peer.loss()
                peer.reset()
                assert peer.loss() == pytest.approx(before, rel=1e-6), form
                assert peer.run(4) > 0
                assert peer.loss() == pytest.approx(after, rel=1e-6), form
            finally:
                peer.close()

    @pytest.mark.parametrize("family", RECURRENT_FAMILIES)
    def test_shuffled_training_learns_as_much(self, family: str) -> None:
        problem = replace(small("rnn_s", steps=8), shuffle=True)
        ours = Ours(problem)
        ours.train(8)
        for form, peer in made(family, problem):
            try:
                peer.reset()
                peer.train(8)
                assert peer.loss() == pytest.approx(ours.loss(), rel=0.1), form
            finally:
                peer.close()


class Counter(Peer):
    """Counts epochs, and says who it is."""

    def __init__(self, problem: RecurrentProblem) -> None:
        super().__init__(problem)
        self.epochs = 0

    def reset(self) -> None:
        self.epochs = 0

    def train(self, epochs: int) -> None:
        if epochs == 13:
            raise ArithmeticError("unlucky\nand more")
        if epochs == 14:
            os._exit(1)
        self.epochs += epochs

    def weights(self) -> Any:
        return [(np.array([self.epochs, os.getpid()]), np.array([os.environ.get("NPROC", "")]))]


class Refuses(Counter):
    """Cannot be made."""

    def __init__(self, problem: RecurrentProblem) -> None:
        raise ImportError("no such library")


class TestOwnProcess:
    @pytest.fixture
    def peer(self) -> Any:
        problem = small("rnn_s")
        peer = OwnProcess(problem, partial(Counter, problem), {"NPROC": "7"})
        yield peer
        peer.close()

    def test_hands_everything_on(self, peer: OwnProcess) -> None:
        before = os.environ.get("NPROC")
        peer.train(3)
        assert peer.run(2) >= 0
        (count, process), (variable,) = peer.weights()[0]
        assert count == 5
        assert process != os.getpid()
        assert variable == "7"
        assert os.environ.get("NPROC") == before
        peer.reset()
        assert peer.weights()[0][0][0] == 0

    def test_what_fails_there_is_told_here(self, peer: OwnProcess) -> None:
        with pytest.raises(RuntimeError, match=r"^ArithmeticError: unlucky$"):
            peer.train(13)

    def test_a_process_that_ends_is_noticed(self, peer: OwnProcess) -> None:
        with pytest.raises(RuntimeError, match="ended without an answer"):
            peer.train(14)

    def test_one_that_cannot_be_made(self) -> None:
        problem = small("rnn_s")
        with pytest.raises(RuntimeError, match="ImportError: no such library"):
            OwnProcess(problem, partial(Refuses, problem), {})

    def test_closing_twice(self, peer: OwnProcess) -> None:
        peer.close()
        peer.close()


class TestMeasure:
    def test_peers_are_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        closed: list[Peer] = []
        monkeypatch.setattr(Ours, "close", lambda self: closed.append(self))
        cell = small("rnn_s").cell
        said: list[str] = []
        result = measure(cell, [], rounds=1, threads=(), seconds=1e-3, report=said.append)
        assert len(closed) == 1
        assert len(said) == runs_in([cell], [], (), 1)
        assert result.ours.median > 0

    def test_other_families_have_no_form(self) -> None:
        for name, family in FAMILIES.items():
            assert bool(family.forms(small("lstm_s"))) == (name in RECURRENT_FAMILIES)

    def test_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["bench", "--cells", "rnn_s", "--peers", "none", "--rounds", "1", "--seconds", "0.001"]
        assert main(command) == 0
        assert "rnn_s" in capsys.readouterr().out
