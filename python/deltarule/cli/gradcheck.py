"""Are the gradients right? Backpropagation of the core beside the NumPy reference and central differences.

  python -m deltarule gradcheck --layers 4-8-1                      4 inputs, 8 hidden units, 1 output
  python -m deltarule gradcheck --layers 5-16-16-3 --activation gelu --loss cross_entropy --dtype float32
  python -m deltarule gradcheck flowers.safetensors                 a model of `train` or Network.save, on random rows
  python -m deltarule gradcheck flowers.safetensors flowers.csv     a model of `train`, on the first rows of a table

Prints for each tensor the greatest errors, relative to its greatest gradient, and below them their limits. The exit
code is 0 if all hold and 1 if one does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import options
from .json_output import DoesNotHoldError

if TYPE_CHECKING:
    from ..network import Network

HELP = "compare gradients with central differences"

__all__ = ["HELP", "add_arguments", "run"]

_STEPS = 5  # of random sequences


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model, or what a network is made of."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model file")
    parser.add_argument("data", nargs="?", metavar="DATA", help="a table with the target (default: random numbers)")
    parser.add_argument("--layers", type=_layers, metavar="N-…-N", help="in place of a model: a new dense network")
    parser.add_argument(
        "--activation",
        type=options.known_name("activation"),
        default="tanh",
        metavar="NAME",
        help="of its hidden layers (default: tanh)",
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="its own (default: float64)")
    parser.add_argument(
        "--loss", type=options.known_name("loss"), metavar="NAME", help="default: the model's own, else mse"
    )
    parser.add_argument(
        "--rows", type=options.whole_from(1), default=8, metavar="N", help="how many to check on (default: 8)"
    )
    parser.add_argument(
        "--seed", type=options.whole_from(0), default=0, metavar="N", help="of what is random (default: 0)"
    )
    parser.add_argument("--delimiter", type=options.delimiter, help="between cells of text")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Check, print the table, and fail where it does not hold."""
    from ..gradient_check import gradcheck

    if (arguments.model is None) == (arguments.layers is None):
        arguments.wrong_usage("give either a MODEL or --layers, such as --layers 4-8-1")
    network, X, y, loss = _subject(arguments)
    check = gradcheck(network, X, y, loss=loss)
    print(check)
    result = {**check.to_dict(), "loss": loss if isinstance(loss, str) else loss.to_spec(), "rows": len(X)}
    if not check:
        raise DoesNotHoldError(f"{check.verdict} Please report it, with `deltarule info`.", result)
    return result


def _subject(arguments: argparse.Namespace) -> tuple[Network, Any, Any, Any]:
    """What is checked, on what, and with which loss."""
    from ..layers import Dense
    from ..network import Network
    from .model_files import load_any, tell_notes

    if arguments.layers is not None:
        inputs, *hidden, outputs = arguments.layers
        layers = [*(Dense(units, arguments.activation) for units in hidden), Dense(outputs)]
        network = Network(layers, input_shape=inputs, dtype=arguments.dtype, seed=arguments.seed)
        return _on_random_numbers(network, arguments.loss or "mse", arguments)
    network, model = load_any(arguments.model)
    loss = arguments.loss or network.loss or "mse"
    if arguments.data is None:
        return _on_random_numbers(network, loss, arguments)
    if model is None:
        raise ValueError(
            f"{arguments.model!r} does not say which columns it takes: leave out {arguments.data!r} to check on random "
            "numbers, or use deltarule.gradcheck in Python"
        )
    X, y, notes = model.encode_with_target(model.open(arguments.data, arguments.delimiter))
    tell_notes("gradcheck", notes)
    return network, X[: arguments.rows], y[: arguments.rows], loss


def _on_random_numbers(network: Network, loss: Any, arguments: argparse.Namespace) -> tuple[Network, Any, Any, Any]:
    """Inputs and targets such as the network and the loss take."""
    from ..losses import Loss, find_loss

    generator = np.random.default_rng(arguments.seed)
    shape = network.input_shape
    assert shape is not None  # a file has one, and so have --layers
    row = (shape,) if isinstance(shape, int) else (shape[0] or _STEPS, shape[1])
    X = generator.normal(size=(arguments.rows, *row))
    output = network.predict(X).shape
    chosen = find_loss(loss)
    assert isinstance(chosen, Loss)
    kinds: dict[str, Callable[[], Any]] = {
        "classes": lambda: generator.integers(output[-1], size=output[:-1]),
        "probabilities": lambda: generator.uniform(size=output),
        "signs": lambda: generator.choice((-1.0, 1.0), size=output),
        "values": lambda: generator.normal(size=output),
        "counts": lambda: generator.poisson(2.0, size=output).astype(np.float64),
    }
    return network, X, kinds[chosen.targets](), loss


def _layers(text: str) -> tuple[int, ...]:
    parts = text.split("-")
    if len(parts) < 2 or not all(p.isascii() and p.isdecimal() and len(p) < 10 and int(p) > 0 for p in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers of units from inputs to outputs, such as 4-8-1")
    return tuple(map(int, parts))
