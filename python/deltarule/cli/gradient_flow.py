"""How large is the gradient in each layer of a model? Says in words if it vanishes, explodes, or units are dead.

  python -m deltarule gradient-flow flowers.safetensors flowers.csv
  python -m deltarule gradient-flow flowers.safetensors flowers.csv --lr 0.01 --json

Goes forward and backward once with all rows of the table, as `train` does in a step, and prints for each layer the root
mean square of dL/dz, for each weight matrix its norm, that of its gradient, and how much of it one step of SGD with the
learning rate changes; about 1e-3 is usual. A verdict follows, and what one can do.
"""

from __future__ import annotations

import argparse
from typing import Any

from . import options

HELP = "where gradients vanish or explode in a model"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files, and the learning rate."""
    parser.add_argument("model", metavar="MODEL", help="what `train --out` has written")
    parser.add_argument("data", metavar="DATA", help="CSV, Parquet or .npy, with the target; -: CSV on stdin")
    parser.add_argument(
        "--lr",
        type=options.positive,
        default=1e-3,
        metavar="RATE",
        help="of the step that is supposed (default: 0.001)",
    )
    parser.add_argument("--delimiter", type=options.delimiter, help="between cells of text")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, and print the table with the verdict."""
    from ..flow import gradient_flow
    from ..tables import TableModel
    from .model_files import tell_notes

    model = TableModel.load(arguments.model)
    X, y, notes = model.encode_with_target(model.open(arguments.data, arguments.delimiter))
    tell_notes("gradient-flow", notes)
    flow = gradient_flow(model.network, X, y, loss=model.target.loss, lr=arguments.lr)
    print(flow)
    return {**flow.to_dict(), "rows": len(X)}
