"""Explanations written out: as text whose lines can be typed into Python, as LaTeX, HTML and a dict for JSON."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from explained_networks import CASES, OPTIMIZERS

import deltarule as dr
from deltarule.explain import StepExplanation, explain_step
from deltarule.explain.expressions import FUNCTIONS, Quantity, call
from deltarule.explain.latex import LaTeX
from deltarule.explain.text import Text, full_name, wrapped

PYTHON = {**FUNCTIONS, "inf": math.inf}


def explained(name: str, **settings: Any) -> StepExplanation:
    case = CASES[name]
    return explain_step(case.network(), case.X, case.y, loss=case.loss, **case.settings, **settings)


def typed_in(formula: str) -> float:
    """What Python makes of a line as it is printed."""
    formula = formula.partition(", as ")[0].replace("·", " * ").replace("²", "**2").replace("³", "**3")
    formula = formula.replace("Φ", "Phi").replace("φ", "phi")
    formula = re.sub(r"\|([^|]*)\|", r"abs(\1)", formula)
    return float(eval(formula, {"__builtins__": {}}, PYTHON))


@pytest.mark.parametrize("name", CASES)
class TestEveryCase:
    def test_lines_can_be_typed_into_python(self, name: str) -> None:
        explanation, checked = explained(name, optimizer="adam"), 0
        numbers = Text(17)
        for section in explanation.sections:
            for group in section.groups:
                for equation in group.equations:
                    if equation.expression != equation.symbol:
                        printed = typed_in(numbers.numbers(equation.expression))
                        assert printed == pytest.approx(equation.symbol.value, rel=1e-5, abs=1e-13), equation
                        checked += 1
        assert checked > 10

    def test_json_gives_back_what_it_was_given(self, name: str) -> None:
        found = explained(name).to_dict()
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_html_is_well_formed(self, name: str) -> None:
        page = ElementTree.fromstring(f"<div>{explained(name)._repr_html_().replace('<br>', '<br/>')}</div>")
        lines = [line for section in explained(name).sections for group in section.groups for line in group.equations]
        rows = page.findall(".//tr")
        assert sum(len(row.findall("td")) == 4 for row in rows) == len(lines)
        assert all(len(row) in (1, 4) for row in rows)

    def test_latex_is_balanced(self, name: str) -> None:
        require_balanced(explained(name, optimizer="adam").to_latex())

    def test_no_line_is_much_wider_than_a_page(self, name: str) -> None:
        assert max(map(len, str(explained(name)).splitlines())) <= 170


def require_balanced(latex: str) -> None:
    """Braces, brackets, environments; one & in each row; no exponent on an exponent; nothing that needs a font."""
    assert latex.isascii()
    plain = re.sub(r"\\[{}&]", "", latex)
    open_environments: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(.*?)\}", plain):
        if kind == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert not open_environments
    for block in re.findall(r"\\begin\{align\*\}(.*?)\\end\{align\*\}", plain, re.DOTALL):
        for row in block.split(r"\\"):
            assert row.count("&") == 1, row
            assert len(re.findall(r"\\left\W", row)) == len(re.findall(r"\\right\W", row)), row
            assert row.count("{") == row.count("}")
    while (folded := re.sub(r"\{[^{}]*\}", "@", plain)) != plain:
        plain = folded
        assert not re.search(r"\^@(_@)?\^", plain), "an exponent on an exponent"
    assert not set("{}") & set(plain)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_latex_of_optimizers_is_balanced(optimizer: Any) -> None:
    require_balanced(explained("penalties", optimizer=optimizer).to_latex())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
@pytest.mark.parametrize("name", ["mse", "layer norm", "penalties", "cross_entropy", "stacked", "huber"])
def test_latex_compiles(name: str, tmp_path: Path) -> None:
    (tmp_path / "step.tex").write_text(explained(name, optimizer="adam").to_latex(document=True))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "step.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


class TestText:
    @pytest.mark.parametrize(
        ("digits", "line"),
        [(2, "z_1 = 0.05·0.15 + 0.1·0.2 + 0.35 = 0.38"), (17, "= 0.37750000000000000")],
    )
    def test_digits(self, digits: int, line: str) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=2, dtype="float64")
        network.load_state_dict({"0.weight": [[0.15], [0.2]], "0.bias": [0.35]})
        table = explain_step(network, [0.05, 0.1], [0.0], loss="mse").table(digits)
        assert line.rstrip("0") in table

    @pytest.mark.parametrize(
        ("digits", "error"), [(0, ValueError), (18, ValueError), (2.5, TypeError), ("6", TypeError)]
    )
    def test_digits_that_are_none(self, digits: Any, error: type[Exception]) -> None:
        explanation = explained("one sample")
        for write in (explanation.table, explanation.to_latex):
            with pytest.raises(error, match="digits="):
                write(digits)

    def test_equals_signs_stand_below_each_other(self) -> None:
        for block in explained("mse").table().split("\n\n"):
            lines = [line for line in block.splitlines() if re.search(r"^    .*(z|a|delta)_\d =", line)]
            assert len({line.index(" = ") for line in lines}) <= 1
            assert len({line.rindex(" = ") for line in lines if line.count(" = ") > 1}) <= 1

    def test_brackets_and_signs(self) -> None:
        x, w, b = (Quantity(letter, "1", value) for letter, value in (("x", -0.5), ("w", -2.0), ("b", -1.0)))
        text = Text(6)
        assert text.numbers(x * w + b) == "(-0.5)·(-2) - 1"
        assert text.symbols(x * w + b) == "x_1·w_1 + b_1"
        assert text.numbers(x - w * b) == "-0.5 - (-2)·(-1)"
        assert text.numbers((x + w) * b) == "(-0.5 + -2)·(-1)".replace("+ -", "- ")
        assert text.numbers(1 / (1 + call("exp", -x))) == "1 / (1 + exp(0.5))"
        assert text.numbers(x**2) == "(-0.5)²"
        assert text.numbers(x / (w * b)) == "-0.5 / ((-2)·(-1))"
        assert text.symbols(x.gradient() ** 2) == "(dL/dx_1)²"
        assert text.number(-0.0) == "0"

    def test_long_sums_are_broken_outside_of_brackets(self) -> None:
        assert wrapped("1·2 + (3 - 4)·5 - 6", 9) == ["1·2", "+ (3 - 4)·5", "- 6"]
        assert wrapped("1·2 + 3", 40) == ["1·2 + 3"]

    def test_two_digits_in_an_index(self) -> None:
        network = dr.Network([dr.Dense(11), dr.Dense(1)], input_shape=1)
        assert "w_1,11" in str(explain_step(network, [1.0], [1.0], loss="mse"))


class TestLaTeX:
    def test_names_say_where(self) -> None:
        quantity = Quantity("a", "1", 1e-7, layer=2, sample=3, step=4)
        latex = LaTeX(6)
        assert latex.symbol(quantity) == r"a^{[2](3)\langle 4\rangle}_{1}"
        assert latex.numbers(quantity * quantity) == r"\left(1 \cdot 10^{-7}\right) \cdot \left(1 \cdot 10^{-7}\right)"

    def test_a_document_has_its_equations_inside(self) -> None:
        explanation = explained("one sample")
        document = explanation.to_latex(document=True)
        assert document.startswith(r"\documentclass")
        assert document.endswith(r"\end{document}")
        assert explanation.to_latex() in document


class TestDict:
    def test_a_line_says_all_of_itself(self) -> None:
        lines = explained("mse").to_dict()["forward"]
        line = next(line for line in lines if (line["of"], line["sample"]) == ("layer 2, unit 2", 3))
        assert line["symbol"] == "z_2"
        assert (line["layer"], line["unit"], line["step"]) == (2, 2, None)
        assert line["formula"] == "a_1·w_12 + a_2·w_22 + b_2"
        assert list(line["numbers"]) == ["a_1[1](3)", "w_12[2]", "a_2[1](3)", "w_22[2]", "b_2[2]"]
        a, w, b, v, c = line["numbers"].values()
        assert line["value"] == pytest.approx(a * w + b * v + c, rel=1e-14)

    @pytest.mark.parametrize("name", CASES)
    def test_no_two_numbers_of_a_line_share_a_name(self, name: str) -> None:
        for section in explained(name).sections:
            for group in section.groups:
                for equation in group.equations:
                    names: dict[str, float] = {}
                    for quantity in equation.expression.quantities:
                        assert names.setdefault(full_name(quantity), quantity.value) == quantity.value

    def test_parameters_and_updates_are_by_the_names_of_the_state(self) -> None:
        explanation = explained("layer norm")
        found = explanation.to_dict()
        assert list(found["updated"]) == list(CASES["layer norm"].network().state_dict())
        for line in found["update"]:
            if line["symbol"].startswith(("w", "b")):
                array: Any = found["updated"][line["parameter"]]
                for place in line["index"]:
                    array = array[place]
                assert array == line["value"]

    def test_a_data_frame_takes_it(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(explained("mse").to_dict()["backward"])
        assert set(frame["layer"]) == {1, 2}
