"""Learn to predict one column of a table from the others, and save what was learned.

  python -m deltarule train flowers.csv --target kind --out flowers.safetensors
  python -m deltarule train houses.parquet --target price --drop id,sold_on --out houses.safetensors
  python -m deltarule train houses.csv --target price --epochs 2000 --patience 30 --dropout 0.1 --out houses.safetensors

DATA is CSV (.tsv and --delimiter for others), Parquet (needs pyarrow), .npy (a matrix of numbers), or - for CSV on the
standard input. What the columns become is shown, and saved in the model, so that `predict` takes rows as they are:

  numbers           shifted and scaled to mean 0 and standard deviation 1; an empty cell, NA or NaN counts as the mean
  true and false    the same, as 1 and 0
  text              an input for each category, 1 where the cell is that one; an empty cell is a category of its own.
                    More than 100 categories are refused: leave out dates, names and ids with --drop

The target is text or numbers without gaps: text is classified, and so are numbers of two kinds, other numbers are
predicted as such (--task decides otherwise). A fifth of the rows is held out and never learned from; the result is
judged on it. With --patience these rows also say when to stop: then judge the model on others, with `evaluate`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from . import options

if TYPE_CHECKING:
    from ..history import History
    from ..network import Network
    from ..tables import Lesson, Table, TableModel

HELP = "learn to predict a column of a table"

__all__ = ["HELP", "add_arguments", "run"]

_FEW_KINDS = 20  # of whole numbers, which may have been meant as classes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files, the target, and the few numbers worth changing."""
    parser.add_argument("data", metavar="DATA", help="one sample a row; the first line of a CSV file may hold names")
    parser.add_argument(
        "--target", required=True, metavar="COLUMN", help="name or position of the column to predict; -1: last"
    )
    parser.add_argument(
        "--out", required=True, metavar="MODEL", help="where to save the model, by custom ….safetensors"
    )
    parser.add_argument("--task", choices=("classify", "regress"), help="default: by what the target holds")
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="COLUMN,…",
        help="columns to leave out, by name or position; may be given again",
    )
    parser.add_argument(
        "--delimiter", type=options.delimiter, help="between cells of text (default: a comma; a tab for .tsv)"
    )
    network = parser.add_argument_group("the network and its training")
    network.add_argument(
        "--hidden",
        type=options.sizes,
        default=(64, 64),
        metavar="UNITS,…",
        help="hidden layers (default: 64,64; 0: none, a linear model)",
    )
    network.add_argument(
        "--activation",
        type=options.known_name("activation"),
        default="relu",
        metavar="NAME",
        help="of the hidden layers (default: relu)",
    )
    network.add_argument(
        "--dropout", type=options.share, default=0.0, metavar="RATE", help="after each hidden layer (default: 0)"
    )
    network.add_argument(
        "--epochs", type=options.whole_from(1), default=200, metavar="N", help="passes over the data (default: 200)"
    )
    network.add_argument(
        "--patience",
        type=options.whole_from(1),
        metavar="N",
        help="stop after so many epochs that did not improve the loss of the held-out rows, and keep the best",
    )
    network.add_argument(
        "--batch-size", type=options.whole_from(1), default=32, metavar="N", help="samples in a step (default: 32)"
    )
    network.add_argument(
        "--optimizer",
        type=options.known_name("optimizer"),
        default="adam",
        metavar="NAME",
        help="adam, adamw, sgd and so on (default: adam)",
    )
    network.add_argument(
        "--lr", type=options.positive, metavar="RATE", help="learning rate (default: the optimizer's; of adam 0.001)"
    )
    network.add_argument(
        "--seed",
        type=options.whole_from(0),
        default=0,
        metavar="N",
        help="of weights, shuffling, dropout and held-out rows (default: 0)",
    )
    network.add_argument(
        "--held-out", type=options.share, default=0.2, metavar="SHARE", help="of the rows, in [0, 1) (default: 0.2)"
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read, train, judge, save, and say so."""
    from ..tables import TableModel, learn, open_table
    from ..tables.table import whole_number
    from .model_files import columns_of, tell_columns, tell_notes

    if arguments.patience and not arguments.held_out:
        arguments.wrong_usage("--patience watches the held-out rows, and --held-out 0 leaves none")
    options.require_folder(arguments.out, arguments.data)
    expected = [] if whole_number(arguments.target) is not None else [arguments.target]
    table = open_table(arguments.data, delimiter=arguments.delimiter, expected=expected)
    lesson = learn(
        table,
        arguments.target,
        task=arguments.task,
        drop=_names(table, arguments.drop),
        held_out=arguments.held_out,
        seed=arguments.seed,
    )
    if arguments.patience and not len(lesson.X_held_out):
        raise ValueError(f"{table.source} has {len(lesson.X)} rows, too few to hold some out: leave out --patience")
    n_rows = len(lesson.X) + len(lesson.X_held_out)
    what = f"{lesson.target.outputs} classes" if lesson.target.task == "classify" else "a number"
    print(f"{table.source}: {n_rows} samples of {len(lesson.columns)} columns; {lesson.target.name!r} is {what}")
    print("\n".join(tell_columns(lesson.columns, lesson.target)), flush=True)
    tell_notes("train", [*_without_names(table), *lesson.notes, *_meant_as_classes(arguments, lesson)])

    network, history = _train(arguments, lesson)
    model = TableModel(network, lesson.columns, lesson.target, len(table.names), table.named)
    judged_on, scores, baseline = _judge(model, lesson)
    print(_in_words(lesson, judged_on, scores, baseline))
    model.save(arguments.out)
    print(f"saved: {arguments.out}; next: python -m deltarule predict {arguments.out} NEW.csv")
    return {
        "model": arguments.out,
        **columns_of(lesson.columns, lesson.target),
        "rows": {"training": len(lesson.X), "held_out": len(lesson.X_held_out)},
        "layers": [lesson.X.shape[1], *arguments.hidden, lesson.target.outputs],
        "parameters": network.n_parameters,
        "epochs": history.epochs,
        "seconds": history["seconds"][-1],
        "training_loss": history["loss"][-1],
        "judged_on": judged_on,
        "scores": scores,
        "baseline": baseline,
    }


def _names(table: Table, texts: list[str]) -> list[str]:
    """Names between commas; a name that has a comma itself stands alone."""
    parts = [[text] if text in table.names else text.split(",") for text in texts]
    return [name.strip() for part in parts for name in part if name.strip()]


def _train(arguments: argparse.Namespace, lesson: Lesson) -> tuple[Network, History]:
    from ..layers import Dense, Dropout
    from ..network import Network
    from ..optimizers import OPTIMIZERS
    from .progress_line import ProgressLine

    layers: list[Any] = []
    for units in arguments.hidden:
        layers += [Dense(units, arguments.activation), *([Dropout(arguments.dropout)] if arguments.dropout else [])]
    layers.append(Dense(lesson.target.outputs))
    network = Network(layers, input_shape=lesson.X.shape[1], dtype="float64", seed=arguments.seed)
    given = {} if arguments.lr is None else {"lr": arguments.lr}
    callbacks: list[Any] = [ProgressLine(arguments.epochs)]
    if arguments.patience:
        from ..callbacks import EarlyStopping

        callbacks.append(EarlyStopping(patience=arguments.patience))
    history = network.fit(
        lesson.X,
        lesson.y,
        loss=lesson.target.loss,
        optimizer=OPTIMIZERS[arguments.optimizer](**given),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        validation_data=(lesson.X_held_out, lesson.y_held_out) if arguments.patience else None,
        callbacks=callbacks,
    )
    return network, history


def _judge(model: TableModel, lesson: Lesson) -> tuple[str, dict[str, float], dict[str, float]]:
    """Scores on the held-out rows, or else the training rows, and those of who always answers the same."""
    from ..tables.target import ClassTarget

    held_out = bool(len(lesson.X_held_out))
    X, y = (lesson.X_held_out, lesson.y_held_out) if held_out else (lesson.X, lesson.y)
    scores = model.evaluate(X, y)
    if isinstance(lesson.target, ClassTarget):
        baseline = {"accuracy": float((y == np.bincount(lesson.y).argmax()).mean())}
    else:
        baseline = {"mae": float(np.abs(y - lesson.y.mean()).mean()) * lesson.target.scale}
    return "held-out" if held_out else "training", scores, baseline


def _in_words(lesson: Lesson, judged_on: str, scores: dict[str, float], baseline: dict[str, float]) -> str:
    count = len(lesson.X_held_out) or len(lesson.X)
    if lesson.target.task == "classify":
        right, guess = round(scores["accuracy"] * count), round(baseline["accuracy"] * count)
        share = f"{scores['accuracy']:.1%}"
        return f"right on {right} of {count} {judged_on} samples ({share}); always the most frequent class: {guess}"
    return (
        f"off by {scores['mae']:.4g} on average on {count} {judged_on} samples; always the mean: off by "
        f"{baseline['mae']:.4g}"
    )


def _without_names(table: Table) -> list[str]:
    from ..tables.delimited_files import DelimitedTable

    if table.named or not isinstance(table, DelimitedTable):
        return []
    return [f"the first line of {table.source} has numbers: it is a sample, and the columns are without names"]


def _meant_as_classes(arguments: argparse.Namespace, lesson: Lesson) -> list[str]:
    if arguments.task or lesson.target.task == "classify":
        return []
    values = np.unique(lesson.target.decode(lesson.y))
    if len(values) > min(_FEW_KINDS, len(lesson.y) // 3) or not np.allclose(values, values.round(), rtol=1e-9):
        return []
    return [f"{lesson.target.name!r} has only {len(values)} values: if they are classes, use --task classify"]
