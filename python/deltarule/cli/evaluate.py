"""How good is a model, on rows whose target is known? Best on rows that training has never seen.

  python -m deltarule evaluate flowers.safetensors test.csv
  python -m deltarule evaluate flowers.safetensors test.csv --json

Rows are taken as by `predict`; the target must be there, without gaps. Of classes it prints

  loss        cross-entropy, the mean of -log(probability of the right class)
  accuracy    the share of rows that are right
  f1          2·TP / (2·TP + FP + FN) of each class, averaged
  auc         the chance that a row of a class gets a higher probability for it than another row, averaged

and of numbers

  loss        the mean squared error, in standard deviations of the target in training
  mae         the mean absolute error, in the units of the target
  r2          1 - squared error / variance: 1 is perfect, 0 no better than the mean of these rows
"""

from __future__ import annotations

import argparse
import math
from typing import Any

from . import options

HELP = "score a model on rows whose target is known"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files."""
    parser.add_argument("model", metavar="MODEL", help="what `train --out` has written")
    parser.add_argument("data", metavar="DATA", help="CSV, Parquet or .npy, with the target; -: CSV on stdin")
    parser.add_argument(
        "--delimiter", type=options.delimiter, help="between cells of text (default: a comma; a tab for .tsv)"
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Predict, compare, print a line for each score."""
    from ..tables import TableModel
    from .model_files import tell_notes

    model = TableModel.load(arguments.model)
    X, y, notes = model.encode_with_target(model.open(arguments.data, arguments.delimiter))
    tell_notes("evaluate", notes)
    scores = model.evaluate(X, y)
    print(f"{arguments.data}: {len(X)} rows, {model.target.name!r}")
    for name, value in scores.items():
        print(f"  {name:<9} {'-' if math.isnan(value) else f'{value:.6g}'}")
    return {"target": model.target.name, "rows": len(X), **scores}
