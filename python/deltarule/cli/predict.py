"""Predict the target for each row of a table, with a model that `train` has saved.

  python -m deltarule predict flowers.safetensors new.csv
  python -m deltarule predict flowers.safetensors new.csv --proba --out predictions.csv
  cat new.csv | python -m deltarule predict flowers.safetensors - --json

Rows are taken as they are, with text and gaps: what the columns become is in the model. Columns are found by their
names, in any order; others, the target's among them, are left out. Without names they are taken as they stand. A text
that training has not seen is none of its categories, an empty cell in a column of numbers is the mean, and a note on
stderr says so. The answer is a table with one line for each row: the prediction, and with --proba the probability of
each class. --json gives {"target", "predictions": [...], "classes", "probabilities": [[...]]}, the last two of classes.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from typing import Any

from . import options

HELP = "predict with a model that `train` has saved"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files."""
    parser.add_argument("model", metavar="MODEL", help="what `train --out` has written")
    parser.add_argument(
        "data", metavar="DATA", help="CSV, Parquet or .npy with the columns that the model takes; -: CSV on stdin"
    )
    parser.add_argument("--out", metavar="FILE.csv", help="where to write the predictions (default: to the terminal)")
    parser.add_argument("--proba", action="store_true", help="also the probability of each class")
    parser.add_argument(
        "--delimiter", type=options.delimiter, help="between cells of text (default: a comma; a tab for .tsv)"
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read the model and the data, predict, write."""
    from ..network.files import write_whole
    from ..tables import TableModel
    from ..tables.target import ClassTarget
    from .model_files import printable, tell_notes

    if arguments.out is not None:
        options.require_folder(arguments.out, arguments.data, arguments.model)
    model = TableModel.load(arguments.model)
    target = model.target
    if arguments.proba and not isinstance(target, ClassTarget):
        raise ValueError(
            f"{arguments.model} predicts {target.name!r}, a number without probabilities: leave out --proba"
        )
    X, notes = model.encode(model.open(arguments.data, arguments.delimiter))
    tell_notes("predict", notes)
    result: dict[str, Any] = {"target": target.name, "rows": len(X)}
    if isinstance(target, ClassTarget):
        probabilities = model.probabilities(X)
        answers: list[Any] = target.decode(probabilities)
        of_classes = {"classes": target.labels, "probabilities": probabilities}
        head = [target.name, *(f"probability_{label}" for label in target.labels if arguments.proba)]
        rows: Any = (
            [answer, *(f"{p:.6g}" for p in row)] if arguments.proba else [answer]
            for answer, row in zip(answers, probabilities, strict=True)
        )
    else:
        answers, of_classes = model.answers(X), {}
        head, rows = [target.name], ([f"{value:.9g}"] for value in answers)
    if arguments.out is None:
        if not arguments.json:
            if sys.stdout.isatty():
                head, rows = [printable(name) for name in head], (list(map(printable, row)) for row in rows)
            _write(sys.stdout, head, rows, arguments.delimiter)
        return {**result, "predictions": answers, **of_classes}
    text = io.StringIO()
    _write(text, head, rows, arguments.delimiter)
    write_whole(arguments.out, text.getvalue().encode())
    print(f"{arguments.out}: {len(X)} predictions of {target.name!r}")
    return {**result, "out": arguments.out}


def _write(file: Any, head: list[str], rows: Any, delimiter: str | None) -> None:
    writer = csv.writer(file, delimiter=delimiter or ",", lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
