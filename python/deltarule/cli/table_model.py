"""A network together with the table it was trained on: names of columns, classes, and the raw scales of the columns.

Training sees standardized columns. Shift and scale are then folded into the first layer (and for regression the last),
so the saved network takes and gives raw numbers, and any program that loads it gets the same answers.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..layers import Dense
from ..network import Network, files
from ..preprocessing import Standardizer

__all__ = ["Columns", "TableModel", "fold", "load"]

_KEY = "deltarule_table"


@dataclass(frozen=True)
class Columns:
    """What the columns mean.

    Attributes
    ----------
    task : {"classify", "regress"}
    features : tuple of str
        In the order of the network's inputs.
    target : str
    target_position : int
        Where the target stood in the training file.
    classes : tuple of str
        In the order of the network's outputs; empty for regression.
    """

    task: str
    features: tuple[str, ...]
    target: str
    target_position: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class TableModel:
    """A network that takes raw columns, and what they mean."""

    network: Network
    columns: Columns

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, with the columns as metadata of the file."""
        files.save(self.network, path, {_KEY: json.dumps(asdict(self.columns))})


def fold(network: Network, inputs: Standardizer, outputs: Standardizer | None = None) -> Network:
    """The network that takes raw columns where `network` takes standardized ones, and gives raw numbers likewise.

    With x̂ = (x - μ) / σ the first layer's x̂ W + b is x W' + b' for

        W' = W / σ  (row by row),    b' = b - μ W',

    and a linear last layer's σ' (a W + b) + μ' is a (σ' W) + (σ' b + μ').

    Parameters
    ----------
    network : Network
        Its first and last layers have biases; its last is linear where `outputs` is given.
    inputs : Standardizer
        Of the features.
    outputs : Standardizer, optional
        Of the targets.

    Returns
    -------
    Network
        In float64, whatever `network` is: raw columns can need the digits.

    Raises
    ------
    ValueError
        A column spans numbers so small that its weights overflow.

    Examples
    --------
    >>> import deltarule as dr
    >>> X = [[1.0, 200.0], [3.0, 600.0]]
    >>> scaler = dr.Standardizer().fit(X)
    >>> network = dr.Network([dr.Dense(1)], input_shape=2, dtype="float64")
    >>> bool(abs(network.predict(scaler.transform(X)) - fold(network, scaler).predict(X)).max() < 1e-12)
    True
    """
    state = {name: array.astype(np.float64) for name, array in network.state_dict().items()}
    layers = [replace(layer, name=None) for layer in network.layers]
    dense = [number for number, layer in enumerate(layers) if isinstance(layer, Dense)]
    state = dict(zip((f"{i}.{part}" for i in dense for part in ("weight", "bias")), state.values(), strict=True))
    first, last = str(dense[0]), str(dense[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        state[f"{first}.weight"] = state[f"{first}.weight"] / inputs.scale_[:, None]
        state[f"{first}.bias"] = state[f"{first}.bias"] - inputs.mean_ @ state[f"{first}.weight"]
        if outputs is not None:
            state[f"{last}.weight"] = state[f"{last}.weight"] * outputs.scale_
            state[f"{last}.bias"] = state[f"{last}.bias"] * outputs.scale_ + outputs.mean_
    if not all(np.isfinite(array).all() for array in state.values()):
        raise ValueError("a column's numbers are too small or too large to be a network's inputs: rescale the column")
    folded = Network(layers, input_shape=network.input_shape, dtype="float64", seed=network.seed)
    folded.load_state_dict(state)
    folded.loss, folded.epochs_trained = network.loss, network.epochs_trained
    return folded


def load(path: str | os.PathLike[str]) -> TableModel:
    """Read what `TableModel.save` has written; ValueError where the file holds anything else."""
    text = files.read_metadata(path).get(_KEY)
    network = Network.load(path)
    if text is None:
        raise ValueError(
            f"{os.fspath(path)!r} does not say which columns it takes: it was not written by `deltarule train`; use "
            "deltarule.Network.load in Python"
        )
    columns = _read_columns(text)
    outputs = len(columns.classes) or 1
    if len(columns.features) != network.input_shape or network._last.units != outputs:
        raise ValueError(f"{os.fspath(path)!r} contradicts itself about its columns; train the model again")
    return TableModel(network, columns)


def _read_columns(text: str) -> Columns:
    try:
        found: dict[str, Any] = json.loads(text)
        columns = Columns(
            task=found["task"],
            features=tuple(found["features"]),
            target=found["target"],
            target_position=found["target_position"],
            classes=tuple(found["classes"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"the file's description of its columns is damaged ({type(error).__name__}): train again"
        ) from error
    words = (columns.task, columns.target, *columns.features, *columns.classes)
    if not all(isinstance(word, str) for word in words) or type(columns.target_position) is not int:
        raise ValueError("the file's description of its columns is damaged: train again")
    if columns.task not in ("classify", "regress") or (columns.task == "classify") != bool(columns.classes):
        raise ValueError("the file's description of its columns is damaged: train again")
    return columns
