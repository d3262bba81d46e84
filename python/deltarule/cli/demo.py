"""Watch a network learn, in a few seconds and without any data of your own.

  python -m deltarule demo spirals --seed 1

  xor       four points that no single unit can tell apart; a 2-4-1 network can
  spirals   two interlocked spirals, drawn as the network sees them
  blobs     clouds of points of several classes, judged on points it has never seen
  adding    two numbers to be found in a long sequence and added, by a recurrent network

Without a name: all four, one after the other. --json gives for each {"learned", "epochs", "seconds", and "accuracy" or
"mse"}.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

HELP = "watch a network learn: xor, spirals, blobs, adding"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The name of the problem, and the seed."""
    parser.add_argument("problem", nargs="?", choices=tuple(_DEMOS), help="default: all four")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and the order of the data (default: 0)")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train on the problem, or on all of them."""
    found: dict[str, Any] = {}
    for name in [arguments.problem] if arguments.problem else _DEMOS:
        found[name] = _DEMOS[name](arguments.seed)
        print()
    if not arguments.problem:
        print(
            "Next: the README has it in 20 lines of Python; `python -m deltarule train --help` learns from a CSV file."
        )
    return found


def _fit(network: Any, X: Any, y: Any, *, loss: str, lr: float, epochs: int, batch_size: int) -> Any:
    from ..optimizers import Adam
    from .progress_line import ProgressLine

    return network.fit(
        X, y, loss=loss, optimizer=Adam(lr=lr), epochs=epochs, batch_size=batch_size, callbacks=[ProgressLine(epochs)]
    )


def _introduce(title: str, *lines: str) -> None:
    print(f"== {title}")
    for line in lines:
        print(line)
    print(flush=True)


def _xor(seed: int) -> dict[str, Any]:
    from .. import Dense, Network, datasets

    _introduce(
        "XOR",
        "The answer is 1 where exactly one of the two inputs is. No straight line separates the ones from the zeros,",
        "so one unit cannot learn it; four hidden tanh units in between can.",
    )
    X, y = datasets.xor()
    network = Network([Dense(4, "tanh"), Dense(1)], seed=seed)
    history = _fit(network, X, y, loss="binary_cross_entropy", lr=0.1, epochs=400, batch_size=4)
    probability = network.predict_proba(X)[:, 0]
    print()
    for inputs, wanted, found in zip(X.astype(int), y.astype(int)[:, 0], probability, strict=True):
        print(f"  {inputs[0]} xor {inputs[1]}  is {wanted}; the network: {found:.3f}")
    right = int(((probability > 0.5) == (y[:, 0] > 0.5)).sum())
    verdict = "it has learned XOR" if right == 4 else "not there yet; try another --seed"
    print(f"\n{right} of 4 right after {history.epochs} steps, {_seconds(history)}: {verdict}.")
    return _result(history, right == 4, accuracy=right / 4)


def _spirals(seed: int) -> dict[str, Any]:
    from .. import Dense, Network, datasets
    from .picture import picture

    _introduce(
        "Two spirals",
        "Each point lies on one of two spirals of three turns. The network sees nothing but two coordinates,",
        "and must find out which spiral they belong to.",
    )
    X, y = datasets.two_spirals(400)
    network = Network([Dense(64, "silu"), Dense(64, "silu"), Dense(1)], seed=seed)
    history = _fit(network, X, y, loss="binary_cross_entropy", lr=3e-3, epochs=1000, batch_size=32)
    accuracy = network.evaluate(X, y, metrics=["accuracy"])["accuracy"]
    print("\nWhat it answers in each place (# and .), with the points it was given (1 and 0):\n")
    print(picture(lambda points: network.predict_proba(points)[:, 0] > 0.5, X, y))
    right = f"{round(accuracy * len(y))} of {len(y)} points right"
    verdict = "it has unwound the spirals" if accuracy > 0.99 else "not there yet; try another --seed"
    print(f"\n{right} after {history.epochs} passes over them, {_seconds(history)}: {verdict}.")
    return _result(history, accuracy > 0.99, accuracy=accuracy)


def _blobs(seed: int) -> dict[str, Any]:
    from .. import Dense, Network, datasets, train_test_split

    _introduce(
        "Clouds of points",
        "2,000 points in ten dimensions, each from one of eight clouds that overlap a little. The network learns from",
        "three quarters of them and is judged on the rest, which it has never seen.",
    )
    X, y = datasets.blobs(2000, n_features=10, n_classes=8, seed=1, spread=0.6)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, seed=0)
    network = Network([Dense(32, "relu"), Dense(8)], seed=seed)
    history = _fit(network, X_train, y_train, loss="cross_entropy", lr=3e-3, epochs=40, batch_size=64)
    accuracy = network.evaluate(X_test, y_test, metrics=["accuracy"])["accuracy"]
    print(
        f"\n{round(accuracy * len(y_test))} of {len(y_test)} new points right, {_seconds(history)}; "
        f"guessing would get {len(y_test) // 8}."
    )
    return _result(history, accuracy > 0.9, accuracy=accuracy)


def _adding(seed: int) -> dict[str, Any]:
    from .. import GRU, Dense, Network, datasets

    steps = 40
    _introduce(
        "Adding along a sequence",
        f"{steps} random numbers, one after the other, two of them marked: the answer is the sum of these two. The",
        "network reads one at each step and has to remember it for up to 39 steps. Who always answers 1 errs by 0.17.",
    )
    X, y = datasets.adding_problem(2000, n_steps=steps, seed=0)
    X_test, y_test = datasets.adding_problem(500, n_steps=steps, seed=1)
    network = Network([GRU(32), Dense(1)], seed=seed)
    history = _fit(network, X, y, loss="mse", lr=1e-2, epochs=20, batch_size=32)
    error = network.evaluate(X_test, y_test)["loss"]
    print("\n  marked          sum    the network")
    for sequence, wanted, found in zip(X_test[:3], y_test[:3, 0], network.predict(X_test[:3])[:, 0], strict=True):
        one, other = sequence[sequence[:, 1] > 0, 0]
        print(f"  {one:.3f}  {other:.3f}  {wanted:.3f}  {found:.3f}")
    verdict = "it has learned to remember" if error < 0.01 else "not there yet; try another --seed"
    print(f"\nAn error of {error:.4f} on 500 new sequences, {_seconds(history)}: {verdict}.")
    return _result(history, error < 0.01, mse=error)


def _result(history: Any, learned: bool, **scores: float) -> dict[str, Any]:
    return {"learned": learned, "epochs": history.epochs, "seconds": history["seconds"][-1], **scores}


def _seconds(history: Any) -> str:
    seconds = history["seconds"][-1]
    return f"in {seconds:.1f} seconds" if seconds >= 1 else f"in {seconds * 1000:.0f} milliseconds"


_DEMOS: dict[str, Callable[[int], dict[str, Any]]] = {
    "xor": _xor,
    "spirals": _spirals,
    "blobs": _blobs,
    "adding": _adding,
}
