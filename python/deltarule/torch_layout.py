"""Weights from and to PyTorch: its names, its stacks of layers, its (units, inputs); torch itself is not imported.

Here names are taken apart and put together; torch_modules.py knows what is in a module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import to_array
from .names import did_you_mean
from .torch_modules import Array, Tensors, layers_of, module_of

__all__ = ["from_torch_state_dict", "to_torch_state_dict"]

_EXAMPLE = "such as {'lstm': ['0', '1'], 'head': '2'}"


def from_torch_state_dict(
    state: Mapping[str, Any], modules: Mapping[str, str | int | Sequence[str | int]]
) -> dict[str, Array]:
    """The weights of a torch module under the names and in the shapes that `Network.load_state_dict` takes.

    torch keeps weights as (units, inputs), here they are (inputs, units); a stack of recurrent layers is one module
    there and one layer after the other here. Formulas and the order of gates are the same.

    Parameters
    ----------
    state : mapping of str to tensor or array
        What ``module.state_dict()`` gives; NumPy arrays under the same names will do.
    modules : mapping of str to (sequence of) layer names
        For each submodule, by its name in `state`, the layer or layers that it becomes: a name, or a number where
        the layer has none. ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` take as many as they have ``num_layers``;
        ``nn.Linear``, ``nn.LayerNorm`` and ``nn.BatchNorm1d`` take one. The name of a module that is
        not part of another one is "".

    Returns
    -------
    dict of str to ndarray
        New C-contiguous arrays, of the dtype that they had.

    Raises
    ------
    TypeError, ValueError
        `state` and `modules` do not name the same modules, a tensor has an unexpected name or shape, or the module is
        of a kind that has no counterpart here, such as an LSTM with ``proj_size``.

    See Also
    --------
    to_torch_state_dict : the way back.

    Notes
    -----
    A recurrent module made with ``bias=False`` gives biases of 0, which are trained here as any other, and so do weight
    and bias of a ``BatchNorm1d`` made with ``affine=False``. Its ``num_batches_tracked`` is left out, and 0 on the way
    back: torch needs it for ``momentum=None`` alone. What torch keeps besides weights is not in its state:
    ``bidirectional``, ``nonlinearity``, ``eps`` and ``momentum`` are for the network's layers to repeat, and the
    dropout between stacked layers is a `Dropout` of its own here.

    Examples
    --------
    A module with ``self.lstm = nn.LSTM(3, 5, num_layers=2, batch_first=True)`` and ``self.head = nn.Linear(5, 1)``
    goes into a network of two recurrent layers and a dense one by
    ``network.load_state_dict(dr.from_torch_state_dict(module.state_dict(), {"lstm": [0, 1], "head": 2}))``.

    >>> import numpy as np
    >>> state = {"head.weight": np.array([[1.0, 2.0, 3.0]]), "head.bias": np.array([4.0])}
    >>> from_torch_state_dict(state, {"head": "out"})
    {'out.weight': array([[1.],
           [2.],
           [3.]]), 'out.bias': array([4.])}
    """
    chosen = _chosen(modules)
    found = _by_owner(state, "module", list(chosen))
    result: Tensors = {}
    for module, names in chosen.items():
        for name, tensors in zip(names, layers_of(module, found[module], names), strict=True):
            result |= {f"{name}.{leaf}": array for leaf, array in tensors.items()}
    return result


def to_torch_state_dict(
    state: Mapping[str, Any], modules: Mapping[str, str | int | Sequence[str | int]]
) -> dict[str, Array]:
    """The weights of a network under the names and in the shapes of a torch module's ``state_dict``.

    Parameters
    ----------
    state : mapping of str to array
        What `Network.state_dict` gives.
    modules : mapping of str to (sequence of) layer names
        As for `from_torch_state_dict`: for each submodule of the torch module the layer or layers that go into it.
        The recurrent layers of one module must be of one kind and width, all bidirectional or none.

    Returns
    -------
    dict of str to ndarray
        New C-contiguous arrays, of the dtype that they had.

    Raises
    ------
    TypeError, ValueError
        `state` and `modules` do not name the same layers, or the layers do not fit into such a module.

    Examples
    --------
    ``module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})`` takes what this
    gives.

    >>> import numpy as np
    >>> state = {"0.weight_ih": np.zeros((3, 20)), "0.weight_hh": np.zeros((5, 20)),
    ...          "0.bias_ih": np.zeros(20), "0.bias_hh": np.zeros(20)}
    >>> {name: array.shape for name, array in to_torch_state_dict(state, {"lstm": 0}).items()}
    {'lstm.weight_ih_l0': (20, 3), 'lstm.weight_hh_l0': (20, 5), 'lstm.bias_ih_l0': (20,), 'lstm.bias_hh_l0': (20,)}
    """
    chosen = _chosen(modules)
    found = _by_owner(state, "layer", [name for names in chosen.values() for name in names])
    result: Tensors = {}
    for module, names in chosen.items():
        tensors = module_of(module, {name: found[name] for name in names})
        result |= {f"{module}.{leaf}" if module else leaf: array for leaf, array in tensors.items()}
    return result


def _chosen(modules: Any) -> dict[str, list[str]]:
    """Names of layers by the name of their module."""
    if not isinstance(modules, Mapping):
        raise TypeError(
            f"modules is {modules!r}: expected a dict from the names of torch modules to those of layers, {_EXAMPLE}"
        )
    chosen: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for module, layers in modules.items():
        if not isinstance(module, str):
            raise TypeError(f"modules has the key {module!r}: expected the name of a torch module, {_EXAMPLE}")
        alone = isinstance(layers, (str, bytes)) or not isinstance(layers, Sequence)
        chosen[module] = [_layer_name(module, layer) for layer in ([layers] if alone else layers)]
        if not chosen[module]:
            raise ValueError(f"modules[{module!r}] is empty: name the layers that it becomes, {_EXAMPLE}")
        for name in chosen[module]:
            if name in owner:
                raise ValueError(
                    f"layer {name!r} is in modules[{owner[name]!r}] and in modules[{module!r}]: it can stand for one "
                    "layer of torch only"
                )
            owner[name] = module
    return chosen


def _layer_name(module: str, layer: Any) -> str:
    if isinstance(layer, bool) or not isinstance(layer, (str, int, np.integer)):
        raise TypeError(f"modules[{module!r}] has {layer!r}: expected the name of a layer or its number, {_EXAMPLE}")
    name = str(layer)
    if not name or "." in name:
        raise ValueError(f"modules[{module!r}] has {layer!r}: the name of a layer is not empty and has no dots")
    if not isinstance(layer, str) and layer < 0:
        raise ValueError(f"modules[{module!r}] has {layer!r}: layers are numbered from 0 on")
    return name


def _by_owner(state: Any, kind: str, wanted: Sequence[str]) -> dict[str, Tensors]:
    """The arrays of each module or layer, by the last part of their names; exactly those that are wanted."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state is {type(state).__name__}: expected a dict of arrays by name, from a state_dict()")
    found: dict[str, Tensors] = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise TypeError(f"state has the key {name!r}: expected the name of a tensor")
        owner, _, leaf = name.rpartition(".")
        found.setdefault(owner, {})[leaf] = to_array(value, f"state[{name!r}]")
    named = [owner for owner in found if owner]
    for owner in wanted:
        if owner not in found:
            known = did_you_mean(owner, named) if named else "its tensors have no owner in their names: expected ''"
            raise ValueError(f"modules names the {kind} {owner!r}, which state does not have: {known}")
    left = [owner for owner in found if owner not in wanted]
    if left:
        raise ValueError(
            f"state has {', '.join(f'{owner}.{leaf}' if owner else leaf for owner in left for leaf in found[owner])}: "
            f"name the {kind}{'s' if len(left) > 1 else ''} {', '.join(map(repr, left))} in modules, or take them out "
            "of state"
        )
    return found
