"""Tables for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def flowers(path: Path, n: int = 120, header: bool = True) -> Path:
    """Two kinds of flowers, told apart by columns of very different scales."""
    generator = np.random.default_rng(0)
    lines = ["length,weight,kind"] if header else []
    for i in range(n):
        kind = ("rose", "lily")[i % 2]
        length, weight = generator.normal((0.001, 5e6) if kind == "rose" else (0.003, 4e6), (0.0003, 1e5))
        lines.append(f"{length:.17g},{weight:.17g},{kind}")
    path.write_text("\n".join(lines) + "\n")
    return path


def plane(path: Path, n: int = 200) -> Path:
    """A number that depends on two columns linearly."""
    generator = np.random.default_rng(1)
    X = generator.normal((2000.0, -3.0), (5.0, 0.1), (n, 2))
    y = 1e6 + 250.0 * X[:, 0] - 1e4 * X[:, 1]
    rows = ["year,depth,price", *(f"{a:.17g},{b:.17g},{c:.17g}" for (a, b), c in zip(X, y, strict=True))]
    path.write_text("\n".join(rows) + "\n")
    return path


def garden(path: Path, n: int = 200, delimiter: str = ",") -> Path:
    """Numbers with gaps, text with gaps, truth values, an id, and two targets: kind and price."""
    generator = np.random.default_rng(2)
    lines = [delimiter.join(["id", "length", "colour", "wild", "kind", "price"])]
    for i in range(n):
        length, colour = generator.normal(5.0, 2.0), ("red", "white", "blue", "")[generator.integers(4)]
        wild = bool(generator.integers(2))
        kind = "lily" if (length > 5) != (colour == "red") else "rose"
        price = 3 * length + (10 if colour == "blue" else 0) - (2 if wild else 0)
        shown = "" if i % 50 == 7 else f"{length:.17g}"
        lines.append(delimiter.join([f"f{i}", shown, colour, str(wild), kind, f"{price:.17g}"]))
    path.write_text("\n".join(lines) + "\n")
    return path
