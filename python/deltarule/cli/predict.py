"""Predict the target for each line of a CSV file, with a model that `train` has saved.

  python -m deltarule predict flowers.safetensors new.csv
  python -m deltarule predict flowers.safetensors new.csv --out predictions.csv

Columns are found by their names, in any order; others, the target's among them, are left out. Without a line of names
they are taken as they stand. The answer has one line for each sample: the prediction, and for classes also their
probabilities.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from typing import Any

import numpy as np

HELP = "predict with a model that `train` has saved"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files."""
    parser.add_argument("model", metavar="MODEL", help="what `train --out` has written")
    parser.add_argument("data", metavar="DATA.csv", help="one sample a line, with the columns that the model takes")
    parser.add_argument("--out", metavar="FILE.csv", help="where to write the predictions (default: to the terminal)")
    parser.add_argument("--delimiter", default=",", help="between cells (default: a comma)")


def run(arguments: argparse.Namespace) -> None:
    """Read the model and the data, predict, write."""
    from ..network.files import write_whole
    from .table_model import load
    from .tables import read_features

    model = load(arguments.model)
    X = read_features(arguments.data, model.columns, arguments.delimiter)
    text = _as_csv(model, X, arguments.delimiter)
    if arguments.out is None:
        sys.stdout.write(text)
        return
    write_whole(arguments.out, text.encode())
    print(f"{arguments.out}: {len(X)} predictions of {model.columns.target!r}")


def _as_csv(model: Any, X: Any, delimiter: str) -> str:
    columns = model.columns
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    with np.errstate(over="ignore"):
        answers = model.network.predict_proba(X) if columns.classes else model.network.predict(X)
    if not np.isfinite(answers).all():
        row = int(np.isfinite(answers).all(axis=1).argmin())
        raise ValueError(
            f"the prediction for sample {row + 1} is not finite: are its numbers far from those of training?"
        )
    if columns.classes:
        writer.writerow([columns.target, *(f"probability_{label}" for label in columns.classes)])
        for probabilities in answers:
            writer.writerow([columns.classes[int(probabilities.argmax())], *(f"{p:.6g}" for p in probabilities)])
    else:
        writer.writerow([columns.target])
        writer.writerows([f"{value:.9g}"] for value in answers[:, 0])
    return text.getvalue()
