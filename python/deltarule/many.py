"""Many small networks trained at once, one to a thread: sweeps, ensembles, populations.

What becomes of a network does not depend on the others, nor on who trains it: the same bits as by `Network.fit`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .errors import DivergenceError
from .history import History
from .lbfgs import LBFGS
from .metrics import find_metrics, higher_is_better
from .names import require_integer, require_number
from .network import Network
from .network.course import Course
from .network.fit_data import ArrayData
from .network.fitting import divergence, measurement, task_of
from .network.freezing import require_something_to_train
from .network.loop import Result, Task, get_ready
from .network.structure import fit_many
from .optimizers import find_optimizer
from .threads import available_threads, resolve_threads

if TYPE_CHECKING:
    from pandas import DataFrame

    from .losses import CustomLoss, Loss
    from .optimizers import Optimizer

__all__ = ["Trained", "train_many"]


class Trained(Sequence[Network]):
    """What `train_many` has made: the networks, in the order in which they were given.

    Attributes
    ----------
    networks : list of Network
    histories : list of History
        Of each of them.
    errors : list of Exception or None
        A network that diverged has its `DivergenceError` here, and the weights of its last finite epoch.
    """

    def __init__(self, networks: list[Network], histories: list[History], errors: list[Exception | None]) -> None:
        self.networks, self.histories, self.errors = networks, histories, errors

    @overload
    def __getitem__(self, index: int) -> Network: ...
    @overload
    def __getitem__(self, index: slice) -> list[Network]: ...
    def __getitem__(self, index: int | slice) -> Network | list[Network]:
        return self.networks[index]

    def __len__(self) -> int:
        return len(self.networks)

    def final(self, column: str) -> npt.NDArray[np.float64]:
        """The last number of a column of each history; NaN of a network without, or which failed.

        Parameters
        ----------
        column : str
            Such as "loss" or "val_loss".

        Returns
        -------
        ndarray of shape (n_networks,)
        """
        known = {name for history in self.histories for name in history}
        if column not in known:
            raise ValueError(f"the histories have no column {column!r}: they have {', '.join(sorted(known))}")
        return np.array(
            [
                history[column][-1] if error is None and history.get(column) else math.nan
                for history, error in zip(self.histories, self.errors, strict=True)
            ]
        )

    def best(self, monitor: str | None = None) -> Network:
        """The network that ended best.

        Parameters
        ----------
        monitor : str, optional
            A column of the histories; by default "val_loss", or "loss" where nothing was held out. Of accuracy, auc,
            f1, r2 and top_k the most is best, else the least.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            There is no such column, or no network with a finite number there, or none at all.
        """
        if not self.networks:
            raise ValueError("no network was trained: there is no best one")
        column = monitor or ("val_loss" if any("val_loss" in history for history in self.histories) else "loss")
        values = self.final(column) * (-1 if higher_is_better(column) else 1)
        if not np.isfinite(values).any():
            raise ValueError(f"no network has a finite {column}: see errors")
        return self.networks[int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))]

    def to_frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each network: the last numbers of its history, its epochs and its error.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("Trained.to_frame needs pandas: pip install pandas") from error
        columns = list(dict.fromkeys(name for history in self.histories for name in history))
        frame: dict[str, Any] = {name: self.final(name) for name in columns}
        frame["epochs"] = [history.epochs for history in self.histories]
        frame["error"] = [None if error is None else str(error) for error in self.errors]
        return pandas.DataFrame(frame)

    def __repr__(self) -> str:
        failed = sum(error is not None for error in self.errors)
        losses = self.final("loss") if any(history.epochs for history in self.histories) else np.empty(0)
        losses = losses[np.isfinite(losses)]
        spread = f", loss {losses.min():.4g} to {losses.max():.4g}" if losses.size else ""
        return f"Trained({len(self)} networks{spread}{f', {failed} failed' if failed else ''})"


def train_many(
    networks: Sequence[Network | dict[str, Any]],
    X: Any,
    y: Any,
    *,
    loss: str | Loss | CustomLoss,
    optimizer: str | Optimizer | type[Optimizer] | Sequence[str | Optimizer | type[Optimizer]] = "adam",
    epochs: int | Sequence[int] = 1,
    batch_size: int | Sequence[int] = 32,
    shuffle: bool = True,
    validation_data: tuple[Any, ...] | None = None,
    validation_split: float = 0.0,
    sample_weight: Any = None,
    class_weight: Mapping[Any, float] | str | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    metrics: Sequence[str | Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]] = (),
    n_threads: int | None = None,
    verbose: int = 0,
) -> Trained:
    """Train many networks on the same data, each by one thread, as many at a time as there are threads.

    Each may have a seed, a shape, an optimizer, epochs and a batch size of its own, and ends with the same bits as if
    `Network.fit` had trained it alone, whatever the number of threads.

    Parameters
    ----------
    networks : sequence of Network or dict
        Trained in place; a dict is a spec, as `Network.spec` gives it, of which a network is made.
    X, y, loss, shuffle, validation_data, validation_split, sample_weight, class_weight, clip_norm, clip_value, metrics
        As in `Network.fit`, for all of them.
    optimizer, epochs, batch_size
        As in `Network.fit`, or a list with one for each network.
    n_threads : int, optional
        How many networks at a time; None: one for each CPU that is available.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    Trained

    Raises
    ------
    TypeError, ValueError
        Bad arguments or data; no network has changed.
    RuntimeError
        One of the networks is being trained already; no network has changed.
    KeyboardInterrupt
        Ctrl-C; networks keep the weights of their last whole step.
    Exception
        What a loss or a metric of your own raised: after all other networks were trained to their end, while its own
        kept the weights of its last whole step.

    Notes
    -----
    A network that diverges is no error here: the others go on, and it is found in `Trained.errors`. Its weights are
    those of its last finite epoch. `LBFGS` and a `deltarule.stream` are for `Network.fit`.

    Examples
    --------
    >>> import deltarule as dr
    >>> X, y = dr.datasets.two_spirals(seed=0)
    >>> networks = [dr.Network([dr.Dense(units, "tanh"), dr.Dense(1)], seed=seed)
    ...             for units in (4, 16) for seed in range(3)]
    >>> trained = dr.train_many(networks, X, y, loss="binary_cross_entropy", epochs=20, validation_split=0.2)
    >>> len(trained), trained.best() in networks
    (6, True)
    """
    from .streams import Stream

    every = _networks(networks)
    count = len(every)
    chosen = [find_optimizer(one) for one in _each("optimizer", optimizer, count)]
    counts = [require_integer("epochs", one, least=0, most=2**62) for one in _each("epochs", epochs, count)]
    sizes = [require_integer("batch_size", one, least=1) for one in _each("batch_size", batch_size, count)]
    if not isinstance(shuffle, (bool, np.bool_)):
        raise TypeError(f"shuffle={shuffle!r}: expected True or False")
    clip = [
        0.0 if value is None else require_number(name, value, above=0.0)
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value))
    ]
    for one in chosen:
        if isinstance(one, LBFGS):
            raise ValueError(f"optimizer={one!r} is SciPy's loop, one network at a time: use Network.fit for it")
    found_metrics = find_metrics(metrics)
    threads = resolve_threads(n_threads) or available_threads()
    shows = require_integer("verbose", int(verbose) if isinstance(verbose, bool) else verbose, least=0) > 0
    if isinstance(X, Stream):
        raise TypeError("X is a stream, which is read by one fit at a time: give arrays, or train with Network.fit")

    seen: dict[Any, ArrayData] = {}
    data_of = []
    for place, network in enumerate(every):
        key = _what_data_depends_on(network)
        try:
            require_something_to_train(network)
            if key not in seen:
                seen[key] = ArrayData(
                    network, X, y, loss=loss, sample_weight=sample_weight, class_weight=class_weight, lengths=None,
                    validation_data=validation_data, validation_split=validation_split,
                )  # fmt: skip
        except (TypeError, ValueError) as refusal:
            refusal.add_note(f"This is about networks[{place}].")
            raise
        data_of.append(seen[key])
    schedules = [
        None if one.schedule is None else one.schedule.begin(n_epochs, -(-len(data.training.inputs.features) // rows))
        for one, data, n_epochs, rows in zip(chosen, data_of, counts, sizes, strict=True)
    ]
    for network, data in zip(every, data_of, strict=True):
        network._build_for(data.training.inputs.features)
        network._native.require_free("train_many was called")
    measures = [measurement(network, data, found_metrics, (1, 1)) for network, data in zip(every, data_of, strict=True)]

    histories: list[History] = [History({"loss": [], "lr": [], "seconds": []}) for _ in every]
    errors: list[Exception | None] = [None] * count
    under_way: dict[int, tuple[Course, Callable[[], None]]] = {}

    def make(number: int) -> tuple[Any, Task]:
        network, data = every[number], data_of[number]
        task, _ = task_of(
            network, data, chosen[number], epochs=counts[number], batch_size=sizes[number], shuffle=bool(shuffle),
            clip_norm=clip[0], clip_value=clip[1], threads=(1, 1),
        )  # fmt: skip
        course = Course(counts[number], [], schedule=schedules[number], measure=measures[number])
        if course.is_eventful:
            task.after_epoch = course.after_epoch
        if course.schedule is not None:
            task.rates = course.rates
        under_way[number] = course, get_ready(network, data.training.prepared.found, task)
        return network._native, task

    def after_each(number: int, parts: Any) -> None:
        course, settle = under_way.pop(number)
        settle()
        result = Result(*parts)
        histories[number] = History(course.history(result, data_of[number].validation is not None))
        if isinstance(result.raised, Exception):
            errors[number] = result.raised
        elif result.raised is not None:  # Ctrl-C while a metric was measured: all are to end
            raise result.raised
        elif result.end == "diverged":
            lr = course.rate_of(result.where[1], chosen[number].first_lr)
            errors[number] = divergence(every[number], result.where, counts[number], lr, histories[number])
        bar.update()

    with _progress(count, shows) as bar:
        fit_many(count, make, threads, after_each)
    for error in errors:
        if error is not None and not isinstance(error, DivergenceError):
            raise error
    return Trained(every, histories, errors)


def _networks(networks: Any) -> list[Network]:
    if isinstance(networks, (Network, dict, str)) or not isinstance(networks, Sequence):
        raise TypeError(
            f"networks is {type(networks).__name__}: expected a list of networks, such as "
            "[dr.Network(layers, seed=seed) for seed in range(10)]"
        )
    every = []
    for place, one in enumerate(networks):
        if not isinstance(one, (Network, dict)):
            raise TypeError(f"networks[{place}] is {type(one).__name__}: expected a deltarule.Network or a spec")
        every.append(one if isinstance(one, Network) else Network.from_spec(one))
    places: dict[int, int] = {}
    for place, network in enumerate(every):
        before = places.setdefault(id(network), place)
        if before != place:
            raise ValueError(
                f"networks[{place}] is networks[{before}]: a network can be trained only once at a time; give a copy, "
                "copy.deepcopy(network)"
            )
    return every


def _each(argument: str, value: Any, count: int) -> list[Any]:
    """One for each network."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{argument} has {len(value)} elements but there are {count} networks: give one for each, or one"
        )
    return list(value)


def _what_data_depends_on(network: Network) -> tuple[Any, ...]:
    """Networks that agree in this take the same arrays."""
    last = network._last
    sequences = tuple(getattr(layer, "return_sequences", None) for layer in network.layers)  # None: not recurrent
    return network.dtype, network.input_shape, sequences, last.units, last.activation_name


def _progress(count: int, shows: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=count, unit="network", dynamic_ncols=True, disable=not shows)
