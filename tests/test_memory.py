"""How much memory a fit takes, as the system sees it and as a counting allocator does; and that it gives all back.

The yardstick is what backpropagation cannot do without: parameters, the optimizer's state, the activations of one
batch, its input among them, and the gradients of those that a layer has computed.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import deltarule as dr

COMPILER = next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang", "g++"))), None)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss and LD_PRELOAD are used as on Linux")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler for the library that counts")

# The interpreter's own, whatever the network: a history, pages of code run for the first time. The system counts pages
# in lots of 32 on each CPU, and may be that far behind.
SLACK_OF_SYSTEM = 512 * 1024
SLACK_OF_ALLOCATOR = 64 * 1024

# Counts the bytes that are in use now, and the most there were since the last reset.
COUNTER = r"""
#include <errno.h>
#include <malloc.h>
#include <stddef.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);
extern void __libc_free(void*);

static long live, peak;
static void add(long bytes) {
    const long now = __atomic_add_fetch(&live, bytes, __ATOMIC_RELAXED);
    long most = __atomic_load_n(&peak, __ATOMIC_RELAXED);
    while (now > most && !__atomic_compare_exchange_n(&peak, &most, now, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}
static void* added(void* memory) {
    if (memory) add((long)malloc_usable_size(memory));
    return memory;
}
long deltarule_test_live(void) { return __atomic_load_n(&live, __ATOMIC_RELAXED); }
long deltarule_test_peak(void) { return __atomic_load_n(&peak, __ATOMIC_RELAXED); }
void deltarule_test_reset(void) { __atomic_store_n(&peak, deltarule_test_live(), __ATOMIC_RELAXED); }

void* malloc(size_t size) { return added(__libc_malloc(size)); }
void* calloc(size_t number, size_t size) { return added(__libc_calloc(number, size)); }
void* memalign(size_t to, size_t size) { return added(__libc_memalign(to, size)); }
void* aligned_alloc(size_t to, size_t size) { return added(__libc_memalign(to, size)); }
int posix_memalign(void** result, size_t to, size_t size) {
    *result = added(__libc_memalign(to, size));
    return *result ? 0 : ENOMEM;
}
void* realloc(void* old, size_t size) {
    const long before = old ? (long)malloc_usable_size(old) : 0;
    void* const memory = __libc_realloc(old, size);
    if (memory || size == 0) add(-before);
    return added(memory);
}
void free(void* memory) {
    if (memory) add(-(long)malloc_usable_size(memory));
    __libc_free(memory);
}
"""

COMMON = """
import ctypes, gc, json, resource, sys
import numpy as np
import deltarule as dr

def in_process():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def counter(name):
    function = getattr(ctypes.CDLL(None), "deltarule_test_" + name)
    function.restype = ctypes.c_long
    return function

def problem(sizes, batch):
    random = np.random.default_rng(0)
    layers = [*(dr.Dense(units, "relu") for units in sizes[1:-1]), dr.Dense(sizes[-1])]
    X = random.random((batch, sizes[0]), dtype=np.float32)
    return dr.Network(layers, sizes[0]), X, random.random((batch, sizes[-1]), dtype=np.float32)

argument = json.loads(sys.argv[1])
"""

# Prints by how many bytes one step of a fit takes the process, or the allocator, beyond what was there before.
GROWTH = """
optimizer = dr.optimizers.OPTIMIZERS[argument["optimizer"]](**argument["settings"])
options = {"loss": "mse", "optimizer": optimizer, "n_threads": argument["n_threads"]}
small, X, y = problem([2, 2], 1)
small.fit(X, y, **options)
network, X, y = problem(argument["sizes"], argument["batch"])
if argument["counted"]:
    live, peak = counter("live"), counter("peak")
    before = live()
    held = np.ones(100_000)
    assert live() - before >= held.nbytes, "the counter does not count"
    del held
    counter("reset")()
    before = live()
    network.fit(X, y, batch_size=len(X), **options)
    print(peak() - before)
else:
    # The mark is the highest ever, that of the process which started this one included: up to it, nothing would show.
    # These also take the place of what was given back to the allocator but not to the system.
    held, start = [], in_process()
    while in_process() < start + 2**20:
        held.append(np.ones(2**14))
    before = in_process()
    network.fit(X, y, batch_size=len(X), **options)
    print(in_process() - before)
"""

CASES: dict[str, dict[str, Any]] = {
    "784-128-10": {"sizes": [784, 128, 10], "batch": 128, "optimizer": "adam", "settings": {}},
    "1024-1024-1024-10": {"sizes": [1024, 1024, 1024, 10], "batch": 1024, "optimizer": "adam", "settings": {}},
    "300-300-1": {"sizes": [300, 300, 1], "batch": 4096, "optimizer": "sgd", "settings": {"lr": 0.01, "momentum": 0.9}},
}
SLOTS = {"adam": 2, "sgd": 1}  # arrays of state


def python(code: str, argument: object, **environment: str) -> list[int]:
    """The numbers that a fresh process prints."""
    path = os.pathsep.join([str(Path(dr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", COMMON + code, json.dumps(argument)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.stderr == ""
    return [int(number) for number in result.stdout.split()]


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library that counts; with PYTHONMALLOC=malloc it counts Python's small objects too."""
    folder = tmp_path_factory.mktemp("memory")
    source, library = folder / "counter.c", folder / "counter.so"
    source.write_text(COUNTER)
    assert COMPILER is not None
    subprocess.run([COMPILER, "-x", "c", "-O1", "-fno-builtin", "-shared", "-fPIC", source, "-o", library], check=True)
    return str(library)


def allowed(case: dict[str, Any]) -> float:
    """1.2 times the yardstick, and the weights of the last finite epoch, which a fit that diverges goes back to."""
    sizes: list[int] = case["sizes"]
    itemsize, batch, slots = 4, int(case["batch"]), SLOTS[case["optimizer"]]
    parameters = itemsize * sum((inputs + 1) * units for inputs, units in itertools.pairwise(sizes))
    activations, gradients = (itemsize * batch * sum(widths) for widths in (sizes, sizes[1:]))
    return 1.2 * (parameters + slots * parameters + activations + gradients) + parameters


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_peak_of_the_process(name: str, n_threads: int) -> None:
    (growth,) = python(GROWTH, {**CASES[name], "n_threads": n_threads, "counted": False})
    assert 0 < growth <= allowed(CASES[name]) + SLACK_OF_SYSTEM


@needs_compiler
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_peak_of_the_allocator(name: str, n_threads: int, counting: str) -> None:
    argument = {**CASES[name], "n_threads": n_threads, "counted": True}
    (growth,) = python(GROWTH, argument, LD_PRELOAD=counting, PYTHONMALLOC="malloc")
    assert 0 < growth <= allowed(CASES[name]) + SLACK_OF_ALLOCATOR


# Prints the bytes in use, the number of Python's own objects, and the pages of the process, three times, after 300 fits
# each. The first fill the caches of Python and NumPy: that of attributes keeps some names, new ones in every fit.
FITS = """
def own_loss(output, y):
    return float(np.square(output - y).mean()), 2 * (output - y) / output.size

network, X, y = problem([50, 40, 2], 600)
options = {"loss": "mse", "epochs": 2, "batch_size": 64, **argument}
diverges = options.get("optimizer") == "diverges"
options["loss"] = own_loss if options["loss"] == "own" else options["loss"]
options["optimizer"] = dr.SGD(lr=1e30) if diverges else "adam"
live = counter("live")
for _ in range(3):
    for _ in range(300):
        try:
            network.fit(X, y, **options)
            assert not diverges
        except dr.DivergenceError:
            assert diverges
    gc.collect()
    with open("/proc/self/statm") as file:
        print(live(), sys.getallocatedblocks(), int(file.read().split()[1]))
"""


@needs_compiler
@pytest.mark.parametrize(
    "options",
    [
        {"n_threads": 1},
        {"n_threads": 2},
        {"clip_norm": 0.1, "validation_split": 0.25, "n_threads": 2},
        {"loss": "own"},
        {"optimizer": "diverges"},
    ],
    ids=str,
)
def test_300_fits_leave_nothing_behind(options: dict[str, Any], counting: str) -> None:
    numbers = python(FITS, options, LD_PRELOAD=counting)[3:]
    grown = [after - before for before, after in zip(numbers[:3], numbers[3:], strict=True)]
    # An array kept from each fit would be some 40 KB, a single object of Python's 300 of them.
    assert abs(grown[0]) <= 1024
    assert grown[1] < 150
    assert 4096 * grown[2] <= SLACK_OF_SYSTEM
