"""How much does a training depend on its start and its learning rate? The same network from many, all at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .many import train_many
from .names import require_integer, require_number
from .network import Network
from .optimizers import find_optimizer
from .sensitivity_report import OUTCOMES, Run, Sensitivity, outcome_of

if TYPE_CHECKING:
    from .losses import CustomLoss, Loss
    from .optimizers import Optimizer

__all__ = ["OUTCOMES", "Run", "Sensitivity", "sensitivity"]

_RATES = ("schedule", "max_lr", "lr")  # the argument of an optimizer or a schedule that is its rate, or has it


def sensitivity(
    network: Network | dict[str, Any],
    X: Any,
    y: Any,
    *,
    loss: str | Loss | CustomLoss,
    optimizer: str | Optimizer | type[Optimizer] = "adam",
    seeds: int | Iterable[int] = 10,
    lrs: float | Iterable[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    epochs: int = 100,
    batch_size: int = 32,
    shuffle: bool = True,
    validation_data: tuple[Any, Any] | None = None,
    sample_weight: Any = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    metrics: Sequence[str | Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]] = (),
    n_threads: int | None = None,
) -> Sensitivity:
    """Train the same network from many starts and with several learning rates, and tell how they ended.

    A seed decides the initial weights, the order of the samples and what drops out. A run that diverges is a result,
    not an error.

    Parameters
    ----------
    network : Network or dict
        What is trained; it is not changed, and its weights do not matter. A dict is what `Network.spec` gives.
    X, y, loss, epochs, batch_size, shuffle, validation_data, sample_weight, clip_norm, clip_value, n_threads
        As in `Network.fit`; of epochs there are 100 by default.
    optimizer : str or Optimizer, default="adam"
        Its learning rate is replaced; where that is a schedule, the rate that the schedule is made with.
    seeds : int or iterable of int, default=10
        The starts; a number n stands for 0 to n - 1.
    lrs : iterable of float, default=(0.0001, 0.001, 0.01, 0.1, 1.0)
        The learning rates, above 0.
    metrics : sequence of str or callable
        As in `Network.evaluate`, of each run when it is over.

    Returns
    -------
    Sensitivity
        With a ``verdict`` in words, ``table()``, ``to_frame()``, ``plot()``, and the ``best`` network.

    Raises
    ------
    TypeError, ValueError
        Bad arguments or data, before anything is trained.

    References
    ----------
    Why a start can be a bad one: M. Gori and A. Tesi, "On the problem of local minima in backpropagation", IEEE
    Transactions on Pattern Analysis and Machine Intelligence 14, 1992.

    Examples
    --------
    XOR with two hidden units: some starts end in a local minimum.

    >>> import deltarule as dr
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(2, "tanh"), dr.Dense(1)], input_shape=2)
    >>> report = sensitivity(
    ...     network, X, y, loss="binary_cross_entropy", optimizer="sgd", lrs=[0.01, 1.0, 100.0], epochs=1000
    ... )
    >>> print(report.verdict)
    lr 1 trains 4 of 10 starts: the start decides
    10 of 10 at lr 100 diverge
    6 of 10 at lr 1 end in a local minimum or on a plateau
    10 of 10 at lr 0.01 are still on their way after 1000 epochs
    >>> report.best.evaluate(X, y, metrics=["accuracy"])["accuracy"]
    1.0
    """
    spec = _spec_of(network)
    chosen = find_optimizer(optimizer)
    starts, rates = _seeds(seeds), _learning_rates(lrs)
    epochs = require_integer("epochs", epochs, least=1, most=2**62)
    if validation_data is not None and (not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2):
        raise TypeError(f"validation_data is {type(validation_data).__name__}: expected a tuple (X, y)")

    def measure(network: Network, wanted: Sequence[Any] = ()) -> dict[str, float]:
        """The loss and the metrics wanted, of the validation data as "val_<name>"."""
        with np.errstate(all="ignore"):  # what is not finite is looked for, and said
            found = network.evaluate(X, y, loss=loss, metrics=wanted, sample_weight=sample_weight, n_threads=n_threads)
            if validation_data is not None:
                held_out = network.evaluate(*validation_data, loss=loss, metrics=wanted, n_threads=n_threads)
                found |= {f"val_{name}": value for name, value in held_out.items()}
        return found

    untrained = {seed: measure(Network.from_spec({**spec, "seed": seed}), metrics) for seed in starts}
    finite = [numbers["loss"] for numbers in untrained.values() if math.isfinite(numbers["loss"])]
    start = float(np.median(finite)) if finite else math.inf

    places = [(lr, seed) for lr in rates for seed in starts]
    trained = train_many(
        [Network.from_spec({**spec, "seed": seed}) for _, seed in places],
        X,
        y,
        loss=loss,
        optimizer=[_with_lr(chosen, lr) for lr, _ in places],
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        validation_data=validation_data,
        sample_weight=sample_weight,
        clip_norm=clip_norm,
        clip_value=clip_value,
        n_threads=n_threads,
    )
    # A metric of the user's need not know what to do with numbers that are not finite
    lost = {name: math.inf if name in ("loss", "val_loss") else math.nan for name in untrained[starts[0]]}
    found = [
        dict(lost) if error is not None or not math.isfinite(measure(one)["loss"]) else measure(one, metrics)
        for one, error in zip(trained.networks, trained.errors, strict=True)
    ]
    best = min(numbers["loss"] for numbers in found)
    runs = []
    for (lr, seed), numbers, one, history in zip(places, found, trained.networks, trained.histories, strict=True):
        final, of_validation_data = numbers.pop("loss"), numbers.pop("val_loss", None)
        outcome = outcome_of(final, history, untrained[seed]["loss"], start, best)
        runs.append(Run(seed, lr, final, of_validation_data, numbers, outcome, history.epochs, history, one))
    return Sensitivity(tuple(runs), start, epochs)


def _spec_of(network: Network | dict[str, Any]) -> dict[str, Any]:
    if isinstance(network, Network):
        return network.spec()
    if not isinstance(network, dict):
        raise TypeError(
            f"network is {type(network).__name__}: expected a deltarule.Network or its spec(); check the order of the "
            "arguments, sensitivity(network, X, y, loss=...)"
        )
    Network.from_spec(network)  # says what is wrong with it
    return network


def _with_lr(rated: Any, lr: float) -> Any:
    """The optimizer or schedule with another learning rate."""
    known = [argument.name for argument in fields(rated)]
    name = next(name for name in _RATES if name in known)
    inner = getattr(rated, name)
    return replace(rated, **{name: _with_lr(inner, lr) if is_dataclass(inner) else lr})


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if isinstance(seeds, str) or (not hasattr(seeds, "__index__") and not isinstance(seeds, Iterable)):
        raise TypeError(f"seeds={seeds!r}: expected how many starts, such as 10, or the seeds themselves")
    if not isinstance(seeds, Iterable):
        return list(range(require_integer("seeds", seeds, least=1, most=10**6)))
    return _each("seeds", [require_integer("seeds", seed, least=0, most=2**64 - 1) for seed in seeds])


def _learning_rates(lrs: float | Iterable[float]) -> list[float]:
    if isinstance(lrs, str) or not isinstance(lrs, Iterable):
        lrs = [lrs]
    return _each("lrs", [require_number("lrs", lr, above=0.0) for lr in lrs])


def _each(argument: str, values: list[Any]) -> list[Any]:
    """The values, refused where there is none or one is there twice."""
    if not values:
        raise ValueError(f"{argument} is empty: expected at least one")
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise ValueError(f"{argument} has {twice[0]!r} twice: the same run would be made twice")
    return values
