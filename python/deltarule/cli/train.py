"""Learn to predict one column of a CSV file from the others, and save what was learned.

  python -m deltarule train flowers.csv --target kind --out flowers.safetensors
  python -m deltarule train houses.csv --target price --hidden 128,64 --epochs 500 --out houses.safetensors

All columns but the target must be numbers; their scales do not matter, each is standardized. The target is text or
numbers: text is classified, and so are numbers of two kinds, other numbers are predicted as such (--task decides
otherwise). A fifth of the lines is held out and never learned from; the result is judged on it.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

HELP = "learn to predict a column of a CSV file"

__all__ = ["HELP", "add_arguments", "run"]

_TOO_FEW_TO_HOLD_OUT = 10
_ENOUGH_OF_A_CLASS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files, the target, and the few numbers worth changing."""
    parser.add_argument("data", metavar="DATA.csv", help="one sample a line; the first line may hold names")
    parser.add_argument(
        "--target", required=True, metavar="COLUMN", help="name or position of the column to predict; -1: last"
    )
    parser.add_argument(
        "--out", required=True, metavar="MODEL", help="where to save the model, by custom ….safetensors"
    )
    parser.add_argument("--task", choices=("classify", "regress"), help="default: by what the target holds")
    parser.add_argument("--delimiter", default=",", help="between cells (default: a comma)")
    network = parser.add_argument_group("the network and its training")
    network.add_argument(
        "--hidden",
        type=_sizes,
        default=(64, 64),
        metavar="UNITS,…",
        help="hidden layers (default: 64,64; 0: none, a linear model)",
    )
    network.add_argument("--activation", default="relu", help="of the hidden layers (default: relu)")
    network.add_argument("--epochs", type=_whole_from(1), default=200, help="passes over the data (default: 200)")
    network.add_argument("--batch-size", type=_whole_from(1), default=32, help="samples in a step (default: 32)")
    network.add_argument("--lr", type=_positive, default=1e-3, help="learning rate of Adam (default: 0.001)")
    network.add_argument(
        "--seed", type=_whole_from(0), default=0, help="of weights, shuffling and held-out lines (default: 0)"
    )
    network.add_argument("--held-out", type=_share, default=0.2, metavar="SHARE", help="in [0, 1) (default: 0.2)")


def run(arguments: argparse.Namespace) -> None:
    """Read, train, judge, save, and say so."""
    from ..preprocessing import Standardizer, train_test_split
    from .table_model import TableModel, fold
    from .tables import read_training

    X, y, columns = read_training(arguments.data, arguments.target, arguments.delimiter, arguments.task)
    what = f"{len(columns.classes)} classes" if columns.classes else "a number"
    print(f"{arguments.data}: {len(X)} samples of {X.shape[1]} features; {columns.target!r} is {what}", flush=True)
    held_out = arguments.held_out if len(X) >= _TOO_FEW_TO_HOLD_OUT else 0.0
    X_train, X_test, y_train, y_test = X, X, y, y
    if held_out:
        # Every class on both sides, in the same proportion, where there are enough of each.
        labels = y if columns.classes and np.bincount(y).min() >= _ENOUGH_OF_A_CLASS else None
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=held_out, seed=arguments.seed, stratify=labels
        )

    inputs = Standardizer().fit(X_train)
    outputs = None if columns.classes else Standardizer().fit(y_train.reshape(-1, 1))
    target = y_train if outputs is None else outputs.transform(y_train.reshape(-1, 1))
    network = _train(arguments, inputs.transform(X_train), target, len(columns.classes))
    model = TableModel(fold(network, inputs, outputs), columns)
    judge = _judge_classes if columns.classes else _judge_numbers
    where = "held-out" if held_out else "training"
    print(judge(model.network.predict(X_test), y_test, y_train, where))
    model.save(arguments.out)
    print(f"saved: {arguments.out}; next: python -m deltarule predict {arguments.out} NEW.csv")


def _train(arguments: argparse.Namespace, X: Any, target: Any, n_classes: int) -> Any:
    from ..layers import Dense
    from ..network import Network
    from ..optimizers import Adam
    from .progress_line import ProgressLine

    hidden = [Dense(units, arguments.activation) for units in arguments.hidden]
    network = Network([*hidden, Dense(n_classes or 1)], input_shape=X.shape[1], dtype="float64", seed=arguments.seed)
    network.fit(
        X,
        target,
        loss="cross_entropy" if n_classes else "mse",
        optimizer=Adam(lr=arguments.lr),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        callbacks=[ProgressLine(arguments.epochs)],
    )
    return network


def _judge_classes(output: Any, y: Any, y_train: Any, where: str) -> str:
    right = int((output.argmax(axis=1) == y).sum())
    guess = int((y == np.bincount(y_train).argmax()).sum())
    share = f"{right / len(y):.1%}"
    return f"right on {right} of {len(y)} {where} samples ({share}); always the most frequent class: {guess}"


def _judge_numbers(output: Any, y: Any, y_train: Any, where: str) -> str:
    error = np.abs(output[:, 0] - y).mean()
    of_mean = np.abs(y - y_train.mean()).mean()
    return f"off by {error:.4g} on average on {len(y)} {where} samples; always the mean: off by {of_mean:.4g}"


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        sizes = (-1,)
    if sizes == (0,):
        return ()
    if not sizes or not all(0 < size < 2**31 for size in sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of layer sizes: expected for instance 64,64")
    return sizes


def _whole_from(least: int) -> Any:
    def whole(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) < 2**62:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least {least}")
        return int(text)

    return whole


def _positive(text: str) -> float:
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return number


def _share(text: str) -> float:
    number = _number(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number in [0, 1)")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
