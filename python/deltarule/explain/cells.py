"""What there is to say of one step of a recurrent cell: its formulas forward and back, unit by unit.

To add one, write a class with a `name` as in deltarule.reference.cells, whose docstrings have the mathematics, and put
it into CELLS. x are the inputs, h the hidden state, w and b belong to x, u and d to h, gate by gate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from .. import reference
from ..reference.cells import State
from .batch import Array
from .expressions import Expression, Quantity, call, total
from .steps import Rule

__all__ = ["CELLS", "CellSteps", "Gate", "Moment"]


@dataclass(frozen=True)
class Gate:
    """The parameters of one gate, as quantities: w[i][j], u[k][j], b[j], d[j]."""

    w: list[list[Quantity]]
    u: list[list[Quantity]]
    b: list[Quantity]
    d: list[Quantity]


@dataclass
class Moment:
    """One sample at one step: its inputs, the state before, and all that is computed, by letter and unit."""

    x: list[Expression]
    h: list[Quantity]
    c: list[Quantity]
    is_first: bool
    found: dict[str, list[Quantity]] = field(default_factory=dict)

    def of_x(self, gate: Gate, unit: int) -> list[Expression]:
        """The inputs' part of a gate's sum."""
        return [*(x * weights[unit] for x, weights in zip(self.x, gate.w, strict=True)), gate.b[unit]]

    def of_h(self, gate: Gate, unit: int) -> list[Expression]:
        """That of the state before, which at the first step is 0."""
        products = () if self.is_first else (h * weights[unit] for h, weights in zip(self.h, gate.u, strict=True))
        return [*products, gate.d[unit]]

    def __getitem__(self, letter: str) -> list[Quantity]:
        return self.found[letter]


Lines = list[tuple[str, Expression]]


class CellSteps:
    """The formulas of a cell; letters are as in `rules`.

    Attributes
    ----------
    gates : tuple of str
        What sums and deltas of each gate are called after: "z" and "delta" with this ending.
    """

    name: ClassVar[str]
    gates: ClassVar[tuple[str, ...]]
    rules: ClassVar[tuple[Rule, ...]]
    rules_back: ClassVar[tuple[Rule, ...]]

    def values(self, cell: reference.cells.Cell, a: Array, b: Array, state: State) -> dict[str, Array]:
        """All numbers of the way forward, by letter; of shape (n_samples, units)."""
        raise NotImplementedError

    def forward(self, m: Moment, gates: dict[str, Gate], unit: int) -> Lines:
        """The equations of the way forward, in their order."""
        raise NotImplementedError

    def values_back(self, cell: reference.cells.Cell, found: dict[str, Array], grad: State) -> dict[str, Array]:
        """The numbers of the way back that `Cell.step_back` does not give, by letter."""
        return {}

    def backward(self, m: Moment, after: Moment | None, unit: int) -> Lines:
        """The equations of the way back after dL/dh, in their order; `after` is the step after."""
        raise NotImplementedError

    def of_h(self, m: Moment, gate: str, unit: int) -> Expression:
        """The delta that goes through u and d: dL/d(the hidden state's part of the sum)."""
        return m[f"delta{gate}"][unit]

    def passed(self, m: Moment, gates: dict[str, Gate], unit: int) -> list[Expression]:
        """What dL/dh of the step before has of this step."""
        return [weight * self.of_h(m, gate, j) for gate, of in gates.items() for j, weight in enumerate(of.u[unit])]


_SUM = "Σ_i x_i·w_ij + b_j + Σ_k h_k·u_kj + d_j"
_SUM_LATEX = r"\sum_i x_i \cdot w_{ij} + b_j + \sum_k h_k \cdot u_{kj} + d_j"


class RNN(CellSteps):
    """h = f(z)."""

    name = "rnn"
    gates = ("",)
    rules = (
        Rule(f"z_j = {_SUM}, with h of the step before", f"z_j = {_SUM_LATEX}"),
        Rule("h_j = f(z_j)", "h_j = f(z_j)"),
    )
    rules_back = (
        Rule("dL/dh_j: from the layer above and, by Σ_m u_jm·delta_m, from the step after"),
        Rule("delta_j = dL/dz_j = dL/dh_j·f'(z_j)", r"\delta_j = \frac{\partial L}{\partial h_j} \cdot f'(z_j)"),
    )

    def __init__(self, activation: str) -> None:
        self._is_relu = activation == "relu"

    def values(self, cell: reference.cells.Cell, a: Array, b: Array, state: State) -> dict[str, Array]:
        return {"z": a + b, "h": cell.activation.value(a + b)}

    def forward(self, m: Moment, gates: dict[str, Gate], unit: int) -> Lines:
        z = m["z"][unit]
        output = call("max", 0, z) if self._is_relu else call("tanh", z)
        return [("z", total([*m.of_x(gates[""], unit), *m.of_h(gates[""], unit)])), ("h", output)]

    def backward(self, m: Moment, after: Moment | None, unit: int) -> Lines:
        h, told = m["h"][unit], m["dL/dh"][unit]
        return [("delta", told * (call("sign", h) if self._is_relu else 1 - h**2))]


class LSTM(CellSteps):
    """c = f·c + i·g, h = o·tanh(c)."""

    name = "lstm"
    gates = ("i", "f", "g", "o")
    rules = (
        Rule(f"zi, zf, zg, zo: each gate's own {_SUM}, with h of the step before", f"z_j = {_SUM_LATEX}"),
        Rule("i, f, o = sigmoid of zi, zf, zo;  g = tanh(zg)", r"i, f, o = \sigma(z), \quad g = \tanh(z)"),
        Rule("c_j = f_j·c_j of the step before + i_j·g_j", r"c_j \leftarrow f_j \cdot c_j + i_j \cdot g_j"),
        Rule("h_j = o_j·tanh(c_j)", r"h_j = o_j \cdot \tanh c_j"),
    )
    rules_back = (
        Rule("dL/dh_j: from the layer above and, by Σ u·delta of every gate, from the step after"),
        Rule("dL/dc_j = dL/dh_j·o_j·(1 - tanh(c_j)²) + dL/dc_j·f_j of the step after"),
        Rule("delta of a gate = what it does to c or h, times its slope: i·(1 - i), f·(1 - f), 1 - g², o·(1 - o)"),
    )

    def values(self, cell: reference.cells.Cell, a: Array, b: Array, state: State) -> dict[str, Array]:
        sums = dict(zip(self.gates, np.split(a + b, 4, axis=1), strict=True))
        found = {f"z{gate}": z for gate, z in sums.items()}
        for gate, z in sums.items():
            found[gate] = (cell.activation if gate == "g" else cell.gate).value(z)
        found["c"] = found["f"] * state[1] + found["i"] * found["g"]
        found["h"] = found["o"] * cell.activation.value(found["c"])
        return found

    def forward(self, m: Moment, gates: dict[str, Gate], unit: int) -> Lines:
        lines: Lines = []
        for gate, of in gates.items():
            lines.append((f"z{gate}", total([*m.of_x(of, unit), *m.of_h(of, unit)])))
            lines.append((gate, call("tanh" if gate == "g" else "sigmoid", m[f"z{gate}"][unit])))
        i, f, g, o, c = (m[letter][unit] for letter in ("i", "f", "g", "o", "c"))
        new = i * g if m.is_first else f * m.c[unit] + i * g
        return [*lines, ("c", new), ("h", o * call("tanh", c))]

    def values_back(self, cell: reference.cells.Cell, found: dict[str, Array], grad: State) -> dict[str, Array]:
        return {"dL/dc": grad[1] + cell.activation.backward(found["c"], grad[0] * found["o"])}

    def backward(self, m: Moment, after: Moment | None, unit: int) -> Lines:
        i, f, g, o, c = (m[letter][unit] for letter in ("i", "f", "g", "o", "c"))
        of_h, of_c = m["dL/dh"][unit], m["dL/dc"][unit]
        told = of_h * o * (1 - call("tanh", c) ** 2)
        if after is not None:
            told = total([told, after["dL/dc"][unit] * after["f"][unit]])
        return [
            ("dL/dc", told),
            ("deltai", of_c * g * i * (1 - i)),
            ("deltaf", of_c * m.c[unit] * f * (1 - f)),
            ("deltag", of_c * i * (1 - g**2)),
            ("deltao", of_h * call("tanh", c) * o * (1 - o)),
        ]


class GRU(CellSteps):
    """h = (1 - z)·n + z·h."""

    name = "gru"
    gates = ("r", "z", "n")
    rules = (
        Rule(f"zr, zz: each gate's own {_SUM}, with h of the step before", f"z_j = {_SUM_LATEX}"),
        Rule("r, z = sigmoid of zr, zz", r"r, z = \sigma(z)"),
        Rule("q_j = Σ_k h_k·u_kj + d_j,  zn_j = Σ_i x_i·w_ij + b_j + r_j·q_j,  n_j = tanh(zn_j)"),
        Rule(
            "h_j = (1 - z_j)·n_j + z_j·h_j of the step before",
            r"h_j \leftarrow (1 - z_j) \cdot n_j + z_j \cdot h_j",
        ),
    )
    rules_back = (
        Rule("dL/dh_j: from the layer above and, by dL/dh_j·z_j and Σ u·delta of every gate, from the step after"),
        Rule("delta of a gate = what it does to h, times its slope: r·(1 - r), z·(1 - z), 1 - n²"),
        Rule("through u and d of n goes deltan_j·r_j, since r_j multiplies q_j"),
    )

    def values(self, cell: reference.cells.Cell, a: Array, b: Array, state: State) -> dict[str, Array]:
        (a_r, a_z, a_n), (b_r, b_z, q) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
        r, z = cell.gate.value(a_r + b_r), cell.gate.value(a_z + b_z)
        zn = a_n + r * q
        n = cell.activation.value(zn)
        return {
            "zr": a_r + b_r, "r": r, "zz": a_z + b_z, "z": z, "q": q, "zn": zn, "n": n,
            "h": (1 - z) * n + z * state[0],
        }  # fmt: skip

    def forward(self, m: Moment, gates: dict[str, Gate], unit: int) -> Lines:
        lines: Lines = []
        for gate in ("r", "z"):
            lines.append((f"z{gate}", total([*m.of_x(gates[gate], unit), *m.of_h(gates[gate], unit)])))
            lines.append((gate, call("sigmoid", m[f"z{gate}"][unit])))
        r, z, n, q = (m[letter][unit] for letter in ("r", "z", "n", "q"))
        return [
            *lines,
            ("q", total(m.of_h(gates["n"], unit))),
            ("zn", total([*m.of_x(gates["n"], unit), r * q])),
            ("n", call("tanh", m["zn"][unit])),
            ("h", (1 - z) * n if m.is_first else (1 - z) * n + z * m.h[unit]),
        ]

    def backward(self, m: Moment, after: Moment | None, unit: int) -> Lines:
        r, z, n, q = (m[letter][unit] for letter in ("r", "z", "n", "q"))
        told, delta_n = m["dL/dh"][unit], m["deltan"][unit]
        return [
            ("deltan", told * (1 - z) * (1 - n**2)),
            ("deltaz", told * (m.h[unit] - n) * z * (1 - z)),
            ("deltar", delta_n * q * r * (1 - r)),
        ]

    def of_h(self, m: Moment, gate: str, unit: int) -> Expression:
        delta = m[f"delta{gate}"][unit]
        return delta * m["r"][unit] if gate == "n" else delta

    def passed(self, m: Moment, gates: dict[str, Gate], unit: int) -> list[Expression]:
        return [m["dL/dh"][unit] * m["z"][unit], *super().passed(m, gates, unit)]


CELLS: dict[str, type[CellSteps]] = {cell.name: cell for cell in (RNN, LSTM, GRU)}
