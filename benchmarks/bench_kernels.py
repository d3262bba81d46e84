"""Single kernels on each instruction set, by way of the functions that the tests use.

Those copy their arrays into the core's layout and back: large arrays make the call vanish, and the same call with the
identity, run in turn, says what the copies cost. Products are judged by the measured peak, optimizers by a plain copy.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core
from deltarule.bench.peak import Peak
from deltarule.network import vocabulary

SIZE = 2**16  # elements: in the second-level cache
WORDS = vocabulary()
ELEMENTWISE = [name for name in WORDS["activations"] if name not in ("identity", "softmax")]


@pytest.mark.parametrize("part", ["value", "slope"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def bench_activation(benchmark: Any, isa: str, name: str, part: str) -> None:
    z = np.random.default_rng(0).standard_normal(SIZE, np.float32)
    copies: list[float] = []

    def copy_first() -> None:
        start = time.perf_counter()
        _core.activation_float32("identity", z, False)
        copies.append(time.perf_counter() - start)

    benchmark.group = f"{name}, {part}"
    benchmark.pedantic(
        _core.activation_float32, args=(name, z, part == "slope"), setup=copy_first, rounds=50, warmup_rounds=3
    )
    benchmark.extra_info["ns an element"] = benchmark.stats.stats.median / SIZE * 1e9
    benchmark.extra_info["the copies alone"] = median(copies) / SIZE * 1e9


@pytest.mark.parametrize("name", WORDS["losses"])
def bench_loss(benchmark: Any, isa: str, name: str) -> None:
    random = np.random.default_rng(0)
    output = random.standard_normal((SIZE // 16, 16), np.float32)
    if name == "cross_entropy":
        target: Any = random.integers(0, 16, SIZE // 16).astype(np.int32)
    else:
        target = (random.random((SIZE // 16, 16)) < 0.5).astype(np.float32)
        target = 2 * target - 1 if "hinge" in name else target
    copies: list[float] = []

    def squares_first() -> None:
        start = time.perf_counter()
        _core.loss_float32("mse", 0.0, output, output)
        copies.append(time.perf_counter() - start)

    benchmark.group = f"loss {name}"
    benchmark.pedantic(
        _core.loss_float32, args=(name, 0.5, output, target), setup=squares_first, rounds=50, warmup_rounds=3
    )
    benchmark.extra_info["ns an element"] = benchmark.stats.stats.median / SIZE * 1e9
    benchmark.extra_info["mse"] = median(copies) / SIZE * 1e9


@pytest.mark.parametrize("size", [64, 256, 512, 1024])
@pytest.mark.parametrize("product", ["multiply", "multiply_transposed"])
def bench_product(benchmark: Any, isa: str, product: str, size: int, peak: Peak) -> None:
    left, right = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
    arguments = (left, right, None) if product == "multiply" else (left, right)
    benchmark.group = f"{product} {size}"
    benchmark.pedantic(
        getattr(_core, f"{product}_float32"), args=arguments, setup=peak.read, rounds=20, warmup_rounds=2
    )
    flops = 2 * size**3 / benchmark.stats.stats.median
    benchmark.extra_info["GFLOP/s, with the copies"] = flops / 1e9
    if peak.flops is not None:
        benchmark.extra_info["share of peak"] = flops / peak.flops


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 10])
def bench_few_columns(benchmark: Any, isa: str, columns: int, peak: Peak) -> None:
    """The last layer of most networks; up to four columns have a kernel of their own. The copy of `left` counts."""
    random = np.random.default_rng(0)
    left = random.standard_normal((1024, 256), np.float32)
    right, bias = random.standard_normal((256, columns), np.float32), random.standard_normal(columns, np.float32)
    kernel = _core.multiply_narrow_float32 if columns <= 4 else _core.multiply_float32
    benchmark.group = f"few columns, {columns}"
    benchmark.pedantic(kernel, args=(left, right, bias), setup=peak.read, rounds=50, warmup_rounds=2)
    benchmark.extra_info["ns an element of left"] = benchmark.stats.stats.median / left.size * 1e9


@pytest.mark.parametrize("name", WORDS["optimizers"])
def bench_optimizer(benchmark: Any, isa: str, name: str) -> None:
    network = dr.Network([dr.Dense(256)], input_shape=256)
    trainer = dr.Trainer(network, loss="mse", optimizer=name)
    trainer._start()
    gradients = network._native.allocate()
    gradients[:] = 1e-3
    other = np.empty_like(gradients)
    copies: list[float] = []

    def copy_first() -> None:
        start = time.perf_counter()
        np.copyto(other, gradients)
        copies.append(time.perf_counter() - start)

    benchmark.group = f"optimizer {name}"
    benchmark.pedantic(trainer._native.apply, args=(gradients,), setup=copy_first, rounds=50, warmup_rounds=3)
    benchmark.extra_info["ns a parameter, all checks included"] = (
        benchmark.stats.stats.median / network.n_parameters * 1e9
    )
    benchmark.extra_info["NumPy's copy"] = median(copies) / network.n_parameters * 1e9
