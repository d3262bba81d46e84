"""What is in a torch module, and in the layers that it becomes: names, transposed weights, stacks of equal layers.

Gates lie in the same order on both sides, i f g o and r z n, so a weight is transposed and nothing else. To add a kind
of module: how it is told by its tensors, in `layers_of` and `module_of`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Tensors", "layers_of", "module_of"]

Array = npt.NDArray[Any]
Tensors = dict[str, Array]

# Of a recurrent layer, in the order of both libraries.
_NAMES = tuple(
    leaf + suffix for suffix in ("", "_reverse") for leaf in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
)
_IN_TORCH = re.compile(r"((?:weight|bias)_(?:ih|hh))_l(\d+)(|_reverse)")


def layers_of(module: str, tensors: Tensors, names: Sequence[str]) -> list[Tensors]:
    """What each layer gets of a torch module.

    Parameters
    ----------
    module : str
        Its name, for messages.
    tensors : dict of str to ndarray
        All that it has, by torch's names: "weight_ih_l0", "weight".
    names : sequence of str
        The layers that it becomes.

    Returns
    -------
    list of dict of str to ndarray
        For each layer its tensors by this library's names, copied.

    Examples
    --------
    >>> layers_of("head", {"weight": np.array([[1.0, 2.0]])}, ["2"])
    [{'weight': array([[1.],
           [2.]])}]
    """
    where = f"module {module!r}"
    if not any(_IN_TORCH.fullmatch(leaf) for leaf in tensors):
        if len(names) > 1:
            raise ValueError(f"{where} is one layer, of {_listed(tensors)}, but modules gives it {names}: name one")
        return [_batch_norm_of(where, tensors) if "running_mean" in tensors else _plain(where, tensors)]
    layers: dict[int, Tensors] = {}
    for leaf, array in tensors.items():
        parts = _IN_TORCH.fullmatch(leaf)
        if parts is None:
            raise ValueError(
                f"{where} has {leaf!r}: expected an nn.RNN, nn.LSTM or nn.GRU, without proj_size, or a module of which "
                "there is a layer"
            )
        layers.setdefault(int(parts[2]), {})[parts[1] + parts[3]] = array
    if sorted(layers) != list(range(len(names))):
        raise ValueError(
            f"{where} has the layers {sorted(layers)} but modules gives it {len(names)} "
            f"name{'s' if len(names) > 1 else ''}, {names}: name one for each"
        )
    ordered = [_with_biases(layers[number]) for number in range(len(names))]
    _check_stack(where, {f"_l{number}": tensors for number, tensors in enumerate(ordered)}, axis=0)
    return [{leaf: _turned(array) for leaf, array in tensors.items()} for tensors in ordered]


def module_of(module: str, layers: Mapping[str, Tensors]) -> Tensors:
    """What a torch module gets of its layers.

    Parameters
    ----------
    module : str
        Its name, for messages.
    layers : mapping of str to dict
        The tensors of each layer by this library's names.

    Returns
    -------
    dict of str to ndarray
        By torch's names and in its order, copied.

    Examples
    --------
    >>> module_of("head", {"2": {"weight": np.array([[1.0], [2.0]])}})
    {'weight': array([[1., 2.]])}
    """
    where = f"modules[{module!r}]"
    plain = [name for name, tensors in layers.items() if "weight_ih" not in tensors]
    if plain:
        if len(layers) > 1:
            raise ValueError(
                f"{where} names {list(layers)} but layer {plain[0]!r} is not recurrent: only recurrent layers are "
                "stacked in one module"
            )
        name, tensors = plain[0], layers[plain[0]]
        if "running_mean" not in tensors:
            return _plain(f"layer {name!r}", tensors)
        # torch counts batches for momentum=None alone, but expects the count
        return {**_batch_norm_of(f"layer {name!r}", tensors), "num_batches_tracked": np.array(0, np.int64)}
    _check_stack(where, layers, axis=1)
    return {
        f"{leaf.removesuffix('_reverse')}_l{number}{'_reverse' if leaf.endswith('_reverse') else ''}": _turned(array)
        for number, tensors in enumerate(layers.values())
        for leaf, array in _sorted(tensors).items()
    }


def _plain(where: str, tensors: Tensors) -> Tensors:
    """A dense layer, whose weight is a matrix, or a LayerNorm, whose weight is a vector."""
    weight = tensors.get("weight")
    if weight is None or not set(tensors) <= {"weight", "bias"} or weight.ndim not in (1, 2):
        raise ValueError(
            f"{where} has {_listed(tensors)}: expected the weight (and bias) of a dense layer or a LayerNorm, with "
            "running_mean and running_var of a BatchNorm, or the tensors of a recurrent layer"
        )
    if "bias" in tensors and tensors["bias"].ndim != 1:
        raise ValueError(f"{where} has a bias of shape {tensors['bias'].shape}: expected one dimension")
    return {leaf: _turned(array) for leaf, array in tensors.items()}


def _batch_norm_of(where: str, tensors: Tensors) -> Tensors:
    """A BatchNorm, with a weight of 1 and a bias of 0 where the module was made without."""
    mean = tensors["running_mean"]
    complete = {"weight": np.ones_like(mean), "bias": np.zeros_like(mean), **tensors}
    complete.pop("num_batches_tracked", None)
    expected = ("weight", "bias", "running_mean", "running_var")
    if mean.ndim != 1 or sorted(complete) != sorted(expected) or any(a.shape != mean.shape for a in complete.values()):
        raise ValueError(f"{where} has {_listed(tensors)}: expected {', '.join(expected)}, each of shape (features,)")
    return {leaf: complete[leaf].copy() for leaf in expected}


def _with_biases(tensors: Tensors) -> Tensors:
    """In the order of this library, with biases of 0 where the module was made without."""
    complete = dict(tensors)
    for leaf, array in tensors.items():
        if leaf.startswith("weight"):
            complete.setdefault(leaf.replace("weight", "bias"), np.zeros(array.shape[:1], array.dtype))
    return _sorted(complete)


def _sorted(tensors: Tensors) -> Tensors:
    return {leaf: tensors[leaf] for leaf in _NAMES if leaf in tensors}


def _check_stack(where: str, layers: Mapping[str, Tensors], axis: int) -> None:
    """All layers have the tensors of one kind, width and number of directions; gates·units lie along this axis."""
    first: tuple[int, int, int] | None = None  # directions, units, gates·units
    for name, tensors in layers.items():
        directions = 2 if any(leaf.endswith("_reverse") for leaf in tensors) else 1
        expected = _NAMES[: 4 * directions]
        if sorted(tensors) != sorted(expected):
            raise ValueError(f"{where}: layer {name!r} has {_listed(tensors)}: expected {', '.join(expected)}")
        hidden = tensors["weight_hh"]
        units = hidden.shape[1 - axis] if hidden.ndim == 2 else 0
        width = hidden.shape[axis] if hidden.ndim == 2 else 0
        if units == 0 or width not in (units, 3 * units, 4 * units):
            turned = "(gates·units, units)" if axis == 0 else "(units, gates·units)"
            raise ValueError(
                f"{where}: weight_hh of layer {name!r} has shape {hidden.shape}: expected {turned} with 1, 3 or 4 gates"
            )
        inputs = tensors["weight_ih"].shape[1 - axis] if tensors["weight_ih"].ndim == 2 else 0
        if first is None:
            first = directions, units, width
        elif (directions, units, width) != first:
            raise ValueError(
                f"{where}: layer {name!r} has {directions} direction(s) of {units} units and {width // units} gate(s) "
                f"but the first has {first[0]} of {first[1]} and {first[2] // first[1]}: torch stacks equal layers "
                "only; give each a module of its own"
            )
        elif inputs != directions * units:
            raise ValueError(
                f"{where}: layer {name!r} takes {inputs} inputs but the one before gives {directions * units}: are the "
                "names in order?"
            )
        _check_shapes(f"{where}: layer {name!r}", tensors, inputs, units, width, axis)


def _check_shapes(where: str, tensors: Tensors, inputs: int, units: int, width: int, axis: int) -> None:
    for leaf, array in tensors.items():
        rows = inputs if "_ih" in leaf else units
        shape = (width,) if leaf.startswith("bias") else (width, rows) if axis == 0 else (rows, width)
        if array.shape != shape:
            raise ValueError(f"{where} has {leaf} of shape {array.shape}: expected {shape}")


def _turned(array: Array) -> Array:
    """A copy, transposed if it is a matrix."""
    return array.T.copy(order="C")


def _listed(tensors: Tensors) -> str:
    return ", ".join(f"{leaf} {array.shape}" for leaf, array in tensors.items())
