"""What notebooks show of networks, histories and reports: whole HTML, escaped, with the numbers of the printed form."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.history import History
from deltarule.sensitivity_study import sensitivity

NASTY = "<script>alert('x')</script>&\"quoted\""


class Page(HTMLParser):
    """Checks that every tag is closed, keeps the cells of the table and the paragraphs below it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.paragraphs: list[str] = []
        self.caption = ""
        self.feed(html)
        self.close()
        assert not self.open, "every tag is closed"
        assert self.tags <= {"table", "caption", "tr", "th", "td", "p", "pre"}, "nothing but a table and text"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        assert {name for name, _ in attributes} <= {"style"}, "nothing that could run or load"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag in ("p", "pre"):
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        where = self.open[-1]
        if where in ("td", "th"):
            self.rows[-1][-1] += data
        elif where in ("p", "pre"):
            self.paragraphs[-1] += data
        else:
            assert where == "caption"
            self.caption += data


def page(thing: Any) -> Page:
    found = Page(thing._repr_html_())
    widths = {len(row) for row in found.rows}
    assert len(widths) <= 1, "every row has as many cells"
    return found


class TestNetwork:
    def test_says_what_the_summary_says(self, capsys: pytest.CaptureFixture[str]) -> None:
        network = dr.Network(
            [
                dr.LSTM(4, bidirectional=True, return_sequences=True),
                dr.LayerNorm(),
                dr.GRU(3),
                dr.Dropout(0.25),
                dr.Dense(5, "relu", name="head"),
                dr.Dense(2),
            ],
            input_shape=(None, 3),
        )
        network.summary()
        printed = capsys.readouterr().out.splitlines()
        found = page(network)
        assert found.caption == printed[-1]
        for row, line in zip(found.rows, printed, strict=False):
            assert " ".join(" ".join(row).split()) == " ".join(line.split())
        assert len(found.rows) == len(printed) - 1

    def test_of_rows(self) -> None:
        found = page(dr.Network([dr.Dense(300, "tanh"), dr.Dense(1)], input_shape=784))
        assert found.rows[1] == ["0", "dense", "tanh", "(n, 300)", "235,500"]
        assert found.caption == "235,801 parameters, float32, from 784 inputs"

    def test_names_are_escaped(self) -> None:
        found = page(dr.Network([dr.Dense(1, name=NASTY)], input_shape=2))
        assert found.rows[1][0] == NASTY

    def test_without_an_input_shape(self) -> None:
        network = dr.Network([dr.Dense(1, "relu")])
        assert page(network).paragraphs == [repr(network)]


class TestHistory:
    HISTORY = History(
        {"loss": [2.0, 1.0, 0.5], "val_loss": [2.5, 1.25, 1.5], NASTY: [0.125, 0.25, 0.5], "lr": [0.1] * 3}
    )

    def test_first_best_and_last(self) -> None:
        found = page(self.HISTORY)
        assert found.rows == [
            ["", "epoch 1", "best (epoch 2)", "last (epoch 3)"],
            ["loss", "2", "1", "0.5"],
            ["val_loss", "2.5", "1.25", "1.5"],
            [NASTY, "0.125", "0.25", "0.5"],
            ["lr", "0.1", "0.1", "0.1"],
        ]
        assert found.paragraphs == ["The best epoch is the one with the lowest val_loss."]

    def test_repr_stays_short(self) -> None:
        assert repr(self.HISTORY) == "History(3 epochs: loss 2 -> 0.5, val_loss 2.5 -> 1.5)"

    def test_of_no_epoch(self) -> None:
        assert page(History({"loss": [], "lr": []})).rows[1][1] == "0"

    def test_nan_is_never_the_best(self) -> None:
        assert page(History({"loss": [float("nan"), 2.0, 3.0]})).rows[0][2] == "best (epoch 2)"
        assert page(History({"loss": [float("nan")] * 4})).rows[1][1] == "4"

    def test_draws_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert self.HISTORY._repr_html_()


class TestReports:
    X, Y = np.random.default_rng(0).normal(size=(8, 3)), np.ones((8, 1))

    def test_gradient_check(self) -> None:
        network = dr.Network([dr.Dense(3, "tanh", name=NASTY.replace(".", "")), dr.Dense(1)], input_shape=3)
        check = dr.gradcheck(network, self.X, self.Y, loss="mse")
        found = page(check)
        assert [row[0] for row in found.rows] == [
            "tensor",
            "loss",
            *(tensor.name for tensor in check.tensors),
            "limit",
        ]
        assert found.rows[2][1] == f"{check.tensors[0].reference_error:.1e}"
        assert found.paragraphs == [check.verdict]

    def test_gradient_flow(self) -> None:
        network = dr.Network([dr.RNN(3, name="<r>"), dr.Dropout(0.1), dr.Dense(1)], input_shape=(None, 3))
        flow = dr.gradient_flow(network, np.ones((2, 5, 3)), np.ones((2, 1)), loss="mse")
        found = page(flow)
        assert [row[:2] for row in found.rows[1:]] == [["<r>", "rnn"], ["2", "dense"]]
        assert found.rows[1][2] == f"{flow.layers[0].gradient:.1e}"
        assert found.rows[1][3] == f"{flow.layers[0].by_step[0][0]:.1e}"
        assert found.rows[2][3] == ""
        assert found.rows[1][6].count(", ") == 1, "a ratio for each of its two weights"
        assert found.paragraphs == flow.verdict.splitlines()

    def test_sensitivity(self) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=3)
        report = sensitivity(network, self.X, self.Y, loss="mse", seeds=2, lrs=(0.1, 0.01), epochs=2)
        found = page(report)
        assert [" ".join(row) for row in found.rows] == [" ".join(line.split()) for line in report.table().splitlines()]
        assert found.paragraphs == report.verdict.splitlines()
