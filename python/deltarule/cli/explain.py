"""One step of backpropagation with every number of it: forward, loss, deltas, gradients, updated weights.

  python -m deltarule explain                                            the well-known 2-2-2 example
  python -m deltarule explain --lr 0.1 --latex > step.tex                the same, for a lecture
  python -m deltarule train flowers.csv --target kind --hidden 3 --out flowers.safetensors
  python -m deltarule explain flowers.safetensors flowers.csv --row 7    a model of `train` and a row of a table

In the order of the chain rule, so that one can follow with pencil and paper. The 2-2-2 example has two inputs, two
sigmoid units, two sigmoid outputs, the loss ½Σ(target - output)² (of two outputs the mean squared error) and the
learning rate 0.5; the weights of its second layer become 0.35891648, 0.40866619, 0.51130127 and 0.56137012.
"""

from __future__ import annotations

import argparse
from typing import Any

from . import options

HELP = "every number of one step of backpropagation"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model with a row of data, or nothing."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="what `train --out` has written")
    parser.add_argument("data", nargs="?", metavar="DATA", help="CSV, Parquet or .npy, with the target")
    parser.add_argument(
        "--row", type=options.whole_from(1), default=1, metavar="N", help="which row, counted from 1 (default: 1)"
    )
    parser.add_argument(
        "--lr", type=options.positive, metavar="RATE", help="of gradient descent (default: 0.5, of a MODEL 0.1)"
    )
    parser.add_argument(
        "--most-numbers",
        type=options.whole_from(1),
        default=2000,
        metavar="N",
        help="refuse networks with more parameters than one wants to read (default: 2000)",
    )
    parser.add_argument("--latex", action="store_true", help="print LaTeX instead")
    parser.add_argument("--delimiter", type=options.delimiter, help="between cells of text")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Explain the step, and print it."""
    from ..explain import explain_step

    if arguments.model is not None and arguments.data is None:
        arguments.wrong_usage("give DATA, a table with the row to explain, after MODEL")
    network, x, y, loss = _example() if arguments.model is None else _row(arguments)
    if network.n_parameters > arguments.most_numbers:
        raise ValueError(
            f"the network has {network.n_parameters} parameters: train a smaller one, such as --hidden 3, or use "
            f"--most-numbers {network.n_parameters}"
        )
    lr = arguments.lr or (0.5 if arguments.model is None else 0.1)
    explanation = explain_step(network, x, y, loss=loss, lr=lr, most_numbers=arguments.most_numbers)
    print(explanation.to_latex() if arguments.latex else explanation)
    found: dict[str, Any] = explanation.to_dict()
    return found


def _example() -> tuple[Any, Any, Any, Any]:
    """The network of two inputs, two hidden units and two outputs that is computed by hand in many a tutorial."""
    from ..layers import Dense
    from ..network import Network

    network = Network([Dense(2, "sigmoid"), Dense(2, "sigmoid")], input_shape=2, dtype="float64")
    network.load_state_dict(
        {
            "0.weight": [[0.15, 0.25], [0.20, 0.30]],
            "0.bias": [0.35, 0.35],
            "1.weight": [[0.40, 0.50], [0.45, 0.55]],
            "1.bias": [0.60, 0.60],
        }
    )
    return network, [0.05, 0.10], [0.01, 0.99], "mse"


def _row(arguments: argparse.Namespace) -> tuple[Any, Any, Any, Any]:
    from ..tables import TableModel
    from .model_files import tell_notes

    model = TableModel.load(arguments.model)
    X, y, notes = model.encode_with_target(model.open(arguments.data, arguments.delimiter))
    tell_notes("explain", notes)
    if arguments.row > len(X):
        raise ValueError(f"--row {arguments.row}: {arguments.data} has {len(X)} rows, counted from 1")
    return model.network, X[arguments.row - 1], y[arguments.row - 1], model.target.loss
