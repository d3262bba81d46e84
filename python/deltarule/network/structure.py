"""What a network is and what it keeps: layers, dtype, seed, parameters, its spec and its files.

Here the native core is imported, and nowhere else. The core holds the formulas and the layout of the parameters; the
memory of the parameters is an array of Python's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .. import _core
from ..data import as_matrix
from ..layers import Dense, Layer, layer_from_spec
from ..losses import CustomLoss, Loss
from ..names import require_integer
from ..threads import available_threads, resolve_threads
from .checking import checked_dtype, checked_layers, checked_shape, require_variances
from .inputs import Inputs, read_inputs

__all__ = ["WORDS", "Array", "Structure", "all_finite", "fit_many", "isa", "isas", "peak_float32", "vocabulary"]

Array = npt.NDArray[Any]

vocabulary = _core.vocabulary
WORDS = vocabulary()  # asked once: it is the same for every instruction set
all_finite = _core.all_finite
peak_float32 = _core.peak_float32
fit_many = _core.fit_many


def isa() -> str:
    """Name the instruction set that networks made from now on use: the best of `isas`, or what DELTARULE_ISA names.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        DELTARULE_ISA in the environment names a set that this machine does not have.

    Examples
    --------
    >>> isa() in isas()
    True
    """
    return _core.isa()


def isas() -> list[str]:
    """Name the instruction sets that this build has and this CPU can run, the best one last.

    Returns
    -------
    list of str
        From "baseline", "avx2" and "avx512".

    Examples
    --------
    >>> isas()[0]
    'baseline'
    """
    return _core.isas()


_BUILDING = threading.Lock()  # two threads may bring the first data of one network

_NATIVE: dict[str, Any] = {"float32": _core.NetworkFloat32, "float64": _core.NetworkFloat64}
_STEPPER: dict[str, Any] = {"float32": _core.StepperFloat32, "float64": _core.StepperFloat64}


class Structure:
    """Layers and their parameters; `Network` adds training and answers."""

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: int | tuple[int | None, ...] | None = None,
        dtype: npt.DTypeLike = "float32",
        seed: int = 0,
    ) -> None:
        self.layers = checked_layers(layers, WORDS)
        self.dtype = checked_dtype(dtype, _NATIVE)
        self.seed = require_integer("seed", seed, least=0, most=2**64 - 1)
        self.loss: Loss | CustomLoss | None = None  # of the last fit
        self._epochs = np.zeros(1, np.int64)  # the core counts in it
        self._gradients: Array | None = None
        self._pass: Inputs | None = None  # of the last forward
        self._native: Any = None
        self._shape: int | tuple[int | None, int] | None = None
        self._flat: Any = None
        if input_shape is not None:
            self._build(checked_shape(self.layers, input_shape))

    def _build(self, shape: int | tuple[int | None, int], *, initialize: bool = True) -> None:
        inputs = shape if isinstance(shape, int) else shape[1]
        layers = [layer.to_spec() for layer in self.layers]
        native = _NATIVE[self.dtype.name]({"inputs": inputs, "sequences": isinstance(shape, tuple), "layers": layers})
        try:
            flat = native.allocate()
        except MemoryError:
            raise MemoryError(
                f"the network has {native.size:,} parameters, {native.size * self.dtype.itemsize / 2**30:,.1f} GiB of "
                f"{self.dtype.name}: there is no memory for them; use fewer units"
            ) from None
        if initialize:
            native.initialize(flat, self.seed)
        self._native, self._flat, self._shape = native, flat, shape

    def _features(self, X: Any, name: str = "X") -> Array:
        """X as an array that has been checked."""
        return read_inputs(self, X, None, name).features

    def _inputs(self, X: Any, lengths: Any = None, name: str = "X") -> Inputs:
        """X, and the lengths of sequences."""
        return read_inputs(self, X, lengths, name)

    def _build_for(self, features: Array) -> None:
        """A network without an input shape takes its own from the first data that has passed every check."""
        with _BUILDING:
            if self._native is None:
                columns = int(features.shape[-1])
                self._build(columns if features.ndim == 2 else (None, columns))

    def _unbuild(self) -> None:
        """As if no data had come: they were refused."""
        self._native = self._flat = self._shape = None

    def _require_built(self) -> None:
        if self._native is None:
            raise ValueError(
                "the network does not know its number of inputs yet: give input_shape to Network, or call fit or "
                "predict first"
            )

    @property
    def _last(self) -> Dense:
        last = self.layers[-1]
        assert isinstance(last, Dense)  # checked when the network was made
        return last

    @property
    def input_shape(self) -> int | tuple[int | None, int] | None:
        """Number of features, of sequences (n_steps or None for any, n_features); None until it is known."""
        return self._shape

    @property
    def epochs_trained(self) -> int:
        """How many epochs the network has been through, in all fits."""
        return int(self._epochs[0])

    @epochs_trained.setter
    def epochs_trained(self, count: int) -> None:
        self._epochs[0] = count

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies of all parameters by name, read-only; change them with `load_state_dict`.

        All that has a gradient: `state_dict` without the running statistics of `BatchNorm`.
        """
        self._require_built()
        arrays = self._read_trained(self._flat)
        for array in arrays.values():
            array.flags.writeable = False
        return arrays

    @property
    def n_parameters(self) -> int:
        """How many numbers the network has learned or will learn."""
        self._require_built()
        return sum(self._sizes_of_layers())

    def _sizes_of_layers(self) -> list[int]:
        """How many parameters each layer has."""
        sizes, measured = [0] * len(self.layers), self._native.measured
        for name, shape, layer in self._native.tensors:
            sizes[layer] += 0 if name in measured else int(np.prod(shape))
        return sizes

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters, and of the running statistics of `BatchNorm`.

        Returns
        -------
        dict of str to ndarray
            "0.weight", "0.bias", …: the layer's number, or its name where it has one. Weights of shape (inputs, units),
            or (units,) of `LayerNorm` and `BatchNorm`; biases, "running_mean" and "running_var" (units,).
        """
        self._require_built()
        return self._read(self._flat)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters and running statistics; either every one of them changes or, on an error, none.

        Parameters
        ----------
        state : mapping of str to array-like
            Exactly the names and shapes of `state_dict`.

        Raises
        ------
        TypeError, ValueError
            Missing or unknown names, another shape, numbers that are not finite, a "running_var" below 0.
        """
        self._require_built()
        flat = self._flat_from(state, "state")
        self._native.assign(self._flat, flat)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file: its parameters, and its spec as JSON metadata.

        The file is complete or absent: it is written beside its place, flushed to the disk and renamed.

        Parameters
        ----------
        path : str or path
            By custom "….safetensors".
        """
        from . import files

        files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a network that `save` has written.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            The file is damaged, is no model of deltarule, or contradicts itself. It is checked before memory is taken.
        """
        from . import files

        return files.load(cls, path)

    def spec(self) -> dict[str, Any]:
        """What the network is, as a plain dict that JSON can hold."""
        return {
            "layers": [layer.to_spec() for layer in self.layers],
            "input_shape": [self._shape] if isinstance(self._shape, int) else self._shape and list(self._shape),
            "dtype": self.dtype.name,
            "seed": self.seed,
        }

    @classmethod
    def from_spec(cls, spec: Any, *, initialize: bool = True) -> Self:
        """A new network from `spec`; ValueError where the dict says anything else than `spec` does.

        Without `initialize` its weights are 0, for those who set them right after.
        """
        if not isinstance(spec, dict) or set(spec) != {"layers", "input_shape", "dtype", "seed"}:
            raise ValueError(f"the spec is {str(spec)[:200]}: expected a dict of layers, input_shape, dtype and seed")
        layers, shape = spec["layers"], spec["input_shape"]
        if not isinstance(layers, list) or not (shape is None or (isinstance(shape, list) and len(shape) in (1, 2))):
            raise ValueError(
                "the spec has layers that are no list, or an input_shape other than [n_features] or "
                "[n_steps, n_features]"
            )
        network = cls([layer_from_spec(layer) for layer in layers], None, spec["dtype"], spec["seed"])
        if shape is not None:
            network._build(checked_shape(network.layers, shape), initialize=initialize)
        return network

    def __getstate__(self) -> dict[str, Any]:
        state = {
            "spec": self.spec(),
            "loss": self.loss if isinstance(self.loss, Loss) else None,  # a function may not survive the journey
            "epochs_trained": self.epochs_trained,
        }
        return state if self._native is None else {**state, "parameters": self.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self).from_spec(state["spec"], initialize=False).__dict__)
        self.loss = state["loss"]
        self.epochs_trained = state["epochs_trained"]
        if "parameters" in state:
            self.load_state_dict(state["parameters"])

    def _read(self, flat: Array) -> dict[str, Array]:
        return {name: self._native.read(flat, index) for index, (name, _, _) in enumerate(self._native.tensors)}

    def _read_trained(self, flat: Array) -> dict[str, Array]:
        """Of parameters or gradients: without what is measured and not trained."""
        measured = self._native.measured
        return {name: array for name, array in self._read(flat).items() if name not in measured}

    def _flat_from(self, state: Mapping[str, Any], argument: str, *, trained: bool = False) -> Array:
        """Named arrays, all checked, in the core's layout; trained: only of what has a gradient."""
        if not isinstance(state, Mapping):
            raise TypeError(
                f"{argument} is {type(state).__name__}: expected a dict of arrays by the names of the parameters"
            )
        measured = self._native.measured
        names = [name for name, _, _ in self._native.tensors if not (trained and name in measured)]
        missing, unknown = [name for name in names if name not in state], [name for name in state if name not in names]
        if missing or unknown:
            raise ValueError(
                f"{argument} lacks {missing or 'nothing'} and has {unknown or 'nothing'} that the network does not know"
                f": expected exactly {names}"
            )
        flat: Array = self._native.allocate()
        for index, (name, shape, _) in enumerate(self._native.tensors):
            if name not in names:
                continue
            try:
                array = np.asarray(state[name])
            except ValueError:
                raise ValueError(f"{argument}[{name!r}] is ragged: expected an array of shape {shape}") from None
            if array.shape != shape:
                raise ValueError(f"{argument}[{name!r}] has shape {array.shape}: expected {shape}")
            matrix = as_matrix(
                array.reshape(1, -1) if array.ndim == 1 else array, self.dtype, name=f"{argument}[{name!r}]"
            )
            if name in measured and name.endswith("running_var"):
                require_variances(f"{argument}[{name!r}]", matrix[0])
            self._native.write(flat, index, matrix.reshape(shape))
        return flat

    def _threads(self, n_threads: int | None) -> tuple[int, int]:
        return resolve_threads(n_threads), available_threads()

    def _stepper(
        self,
        loss: Any,
        optimizer: Any,
        state: Any,
        carry: Any,
        clipping: tuple[float, float],
        target_range: Any,
        cut: Any,
    ) -> Any:
        return _STEPPER[self.dtype.name](
            self._native,
            self._flat,
            loss,
            optimizer,
            state,
            carry,
            *clipping,
            target_range,
            self.seed,
            self._epochs,
            cut,
        )
