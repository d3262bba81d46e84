# What the native module offers; `stubtest` compares this with the built module. Users call the deltarule package.
# To add a function: its binding in cpp/bindings/, its line here.
from collections.abc import Callable
from typing import Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from .network.loop import Task

_F32: TypeAlias = npt.NDArray[np.float32]
_F64: TypeAlias = npt.NDArray[np.float64]
_Labels: TypeAlias = npt.NDArray[np.int32]

# (name, parameter), and perhaps a convention (LossConvention in cpp/training/loss.hpp)
_NamedLoss: TypeAlias = tuple[str, float] | tuple[str, float, dict[str, float]]
# or a function of (output, sample numbers) -> (value, gradient of the output)
_Loss32: TypeAlias = _NamedLoss | Callable[[_F32, npt.NDArray[np.int64]], tuple[float, _F32]]
_Loss64: TypeAlias = _NamedLoss | Callable[[_F64, npt.NDArray[np.int64]], tuple[float, _F64]]
# (name, hyperparameters in the order of the vocabulary)
_Optimizer: TypeAlias = tuple[str, list[float]]
# (name, shape, number of the layer)
_Tensor: TypeAlias = tuple[str, tuple[int, ...], int]
# (indptr, indices, data, number of columns) of compressed sparse rows
_Sparse32: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], _F32, int]
_Sparse64: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], _F64, int]
# (sequences, lengths, states before the first step)
_Lengths: TypeAlias = npt.NDArray[np.int64]
_Inputs32: TypeAlias = _F32 | _Sparse32 | tuple[_F32, _Lengths | None, list[_F32 | None] | None]
_Inputs64: TypeAlias = _F64 | _Sparse64 | tuple[_F64, _Lengths | None, list[_F64 | None] | None]
# (steps of a piece or 0 for all, whether the gradient ends where one begins)
_Cut: TypeAlias = tuple[int, bool]
# (seed, epochs trained): what decides who drops out in the next step; None: the network as it predicts
_Training: TypeAlias = tuple[int, int] | None
# (squares of each direction and step, samples of each step, units, dead units)
_Flow: TypeAlias = tuple[list[list[float]], list[int], int, int]
# (how it ended, (epoch, step, layer, loss) of the end, loss, val_loss, lr, seconds, score of each epoch, the exception)
_FitResult: TypeAlias = tuple[
    Literal["finished", "stopped", "converged", "out_of_time", "interrupted", "diverged", "failed"],
    tuple[int, int, int, float],
    list[float],
    list[float],
    list[float],
    list[float],
    list[float],
    BaseException | None,
]
_Outcome: TypeAlias = tuple[Literal["updated", "diverged"], float, int]

class _Vocabulary(TypedDict):
    activations: list[str]
    losses: list[str]
    optimizers: dict[str, list[str]]
    layers: list[str]
    cells: list[str]
    initializers: list[str]

__version__: str

def isa() -> str: ...
def isas() -> list[str]: ...
def has_same_bits(isa: str) -> bool: ...
def select_isa(isa: str) -> None: ...
def vocabulary() -> _Vocabulary: ...
def all_finite(array: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> bool: ...
def philox(counter: list[int], seed: int) -> list[int]: ...
def shuffled(size: int, seed: int, epoch: int) -> npt.NDArray[np.int64]: ...
def activation_float32(name: str, z: _F32, slope: bool) -> _F32: ...
def activation_float64(name: str, z: _F64, slope: bool) -> _F64: ...
def loss_float32(name: str, parameter: float, output: _F32, target: _F32 | _Labels) -> tuple[_F32, _F32]: ...
def loss_float64(name: str, parameter: float, output: _F64, target: _F64 | _Labels) -> tuple[_F64, _F64]: ...
def multiply_float32(left: _F32, right: _F32, bias: _F32 | None) -> _F32: ...
def multiply_float64(left: _F64, right: _F64, bias: _F64 | None) -> _F64: ...
def multiply_narrow_float32(left: _F32, right: _F32, bias: _F32) -> _F32: ...
def multiply_narrow_float64(left: _F64, right: _F64, bias: _F64) -> _F64: ...
def peak_float32(repetitions: int) -> float: ...
def peak_float64(repetitions: int) -> float: ...
def multiply_transposed_float32(left: _F32, right: _F32) -> _F32: ...
def multiply_transposed_float64(left: _F64, right: _F64) -> _F64: ...

class NetworkFloat32:
    def __init__(self, spec: dict[str, object]) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def tensors(self) -> list[_Tensor]: ...
    @property
    def measured(self) -> list[str]: ...
    @property
    def states(self) -> list[tuple[str, int]]: ...
    @property
    def gives_sequences(self) -> bool: ...
    def allocate(self) -> _F32: ...
    def initialize(self, parameters: _F32, seed: int) -> None: ...
    def read(self, flat: _F32, index: int) -> _F32: ...
    def write(self, flat: _F32, index: int, matrix: _F32) -> None: ...
    def assign(self, parameters: _F32, values: _F32) -> None: ...
    def set_learning(self, learning: list[tuple[bool, float]]) -> None: ...
    def predict(
        self, parameters: _F32, inputs: _Inputs32, activation: str, n_threads: int, available_threads: int
    ) -> tuple[_F32, list[_F32]]: ...
    def predict_small(self, parameters: _F32, inputs: object, activation: str = "") -> _F32 | None: ...
    def evaluate(
        self,
        parameters: _F32,
        loss: _Loss32,
        inputs: _Inputs32,
        targets: _F32 | _Labels | None,
        sample_weight: _F32 | None,
        n_threads: int,
        available_threads: int,
    ) -> float: ...
    def loss_and_gradients(
        self,
        parameters: _F32,
        loss: _Loss32,
        inputs: _Inputs32,
        targets: _F32 | _Labels | None,
        sample_weight: _F32 | None,
        gradients: _F32,
        n_threads: int,
        available_threads: int,
        cut: _Cut = (0, False),
        training: _Training = None,
    ) -> float: ...
    def workspace_bytes(self, samples: int, steps: int, is_ragged: bool, cut: _Cut, clips: bool) -> int: ...
    def gradient_flow(
        self,
        parameters: _F32,
        loss: _Loss32,
        inputs: _Inputs32,
        targets: _F32 | _Labels | None,
        sample_weight: _F32 | None,
        gradients: _F32,
        n_threads: int,
        available_threads: int,
    ) -> tuple[float, list[_Flow]]: ...
    def forward(self, parameters: _F32, inputs: _Inputs32, training: _Training = None) -> _F32: ...
    def backward(self, grad_output: _F32, gradients: _F32) -> _F32: ...
    def start_optimizer(self, optimizer: _Optimizer) -> tuple[_F32, _F64, list[str]]: ...
    def optimizer_slots(self, optimizer: _Optimizer) -> int: ...
    def fit(self, task: Task) -> _FitResult: ...

class StepperFloat32:
    def __init__(
        self,
        network: NetworkFloat32,
        parameters: _F32,
        loss: _Loss32,
        optimizer: _Optimizer,
        state: _F32,
        carry: _F64,
        clip_norm: float,
        clip_value: float,
        target_range: tuple[float, float] | None,
        seed: int,
        epochs_trained: npt.NDArray[np.int64],
        cut: _Cut,
    ) -> None: ...
    def step_small(self, inputs: object, targets: object) -> float | None: ...
    def step(
        self,
        inputs: _Inputs32,
        targets: _F32 | _Labels | None,
        sample_weight: _F32 | None,
        n_threads: int,
        available_threads: int,
    ) -> _Outcome: ...
    @property
    def steps(self) -> int: ...
    def apply(self, gradients: _F32) -> bool: ...
    def set_learning_rate(self, lr: float) -> None: ...

class NetworkFloat64:
    def __init__(self, spec: dict[str, object]) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def tensors(self) -> list[_Tensor]: ...
    @property
    def measured(self) -> list[str]: ...
    @property
    def states(self) -> list[tuple[str, int]]: ...
    @property
    def gives_sequences(self) -> bool: ...
    def allocate(self) -> _F64: ...
    def initialize(self, parameters: _F64, seed: int) -> None: ...
    def read(self, flat: _F64, index: int) -> _F64: ...
    def write(self, flat: _F64, index: int, matrix: _F64) -> None: ...
    def assign(self, parameters: _F64, values: _F64) -> None: ...
    def set_learning(self, learning: list[tuple[bool, float]]) -> None: ...
    def predict(
        self, parameters: _F64, inputs: _Inputs64, activation: str, n_threads: int, available_threads: int
    ) -> tuple[_F64, list[_F64]]: ...
    def predict_small(self, parameters: _F64, inputs: object, activation: str = "") -> _F64 | None: ...
    def evaluate(
        self,
        parameters: _F64,
        loss: _Loss64,
        inputs: _Inputs64,
        targets: _F64 | _Labels | None,
        sample_weight: _F64 | None,
        n_threads: int,
        available_threads: int,
    ) -> float: ...
    def loss_and_gradients(
        self,
        parameters: _F64,
        loss: _Loss64,
        inputs: _Inputs64,
        targets: _F64 | _Labels | None,
        sample_weight: _F64 | None,
        gradients: _F64,
        n_threads: int,
        available_threads: int,
        cut: _Cut = (0, False),
        training: _Training = None,
    ) -> float: ...
    def workspace_bytes(self, samples: int, steps: int, is_ragged: bool, cut: _Cut, clips: bool) -> int: ...
    def gradient_flow(
        self,
        parameters: _F64,
        loss: _Loss64,
        inputs: _Inputs64,
        targets: _F64 | _Labels | None,
        sample_weight: _F64 | None,
        gradients: _F64,
        n_threads: int,
        available_threads: int,
    ) -> tuple[float, list[_Flow]]: ...
    def forward(self, parameters: _F64, inputs: _Inputs64, training: _Training = None) -> _F64: ...
    def backward(self, grad_output: _F64, gradients: _F64) -> _F64: ...
    def start_optimizer(self, optimizer: _Optimizer) -> tuple[_F64, _F64, list[str]]: ...
    def optimizer_slots(self, optimizer: _Optimizer) -> int: ...
    def fit(self, task: Task) -> _FitResult: ...

class StepperFloat64:
    def __init__(
        self,
        network: NetworkFloat64,
        parameters: _F64,
        loss: _Loss64,
        optimizer: _Optimizer,
        state: _F64,
        carry: _F64,
        clip_norm: float,
        clip_value: float,
        target_range: tuple[float, float] | None,
        seed: int,
        epochs_trained: npt.NDArray[np.int64],
        cut: _Cut,
    ) -> None: ...
    def step_small(self, inputs: object, targets: object) -> float | None: ...
    def step(
        self,
        inputs: _Inputs64,
        targets: _F64 | _Labels | None,
        sample_weight: _F64 | None,
        n_threads: int,
        available_threads: int,
    ) -> _Outcome: ...
    @property
    def steps(self) -> int: ...
    def apply(self, gradients: _F64) -> bool: ...
    def set_learning_rate(self, lr: float) -> None: ...

def fit_many(
    networks: list[NetworkFloat32 | NetworkFloat64],
    tasks: list[Task],
    n_threads: int,
    after_each: Callable[[int, _FitResult], None],
) -> None: ...
