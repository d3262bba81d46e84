"""No step of a fit allocates memory: a library loaded before the C library's counts every call of the allocator."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import deltarule as dr

COMPILER = next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang", "g++"))), None)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and the names of glibc's allocator are Linux's"),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler for the library that counts"),
]

# operator new ends in malloc or aligned_alloc.
COUNTER = r"""
#include <errno.h>
#include <stddef.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static long count;
static void one_more(void) { __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED); }
long deltarule_test_allocations(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }

void* malloc(size_t size) { one_more(); return __libc_malloc(size); }
void* calloc(size_t number, size_t size) { one_more(); return __libc_calloc(number, size); }
void* realloc(void* old, size_t size) { one_more(); return __libc_realloc(old, size); }
void* memalign(size_t to, size_t size) { one_more(); return __libc_memalign(to, size); }
void* aligned_alloc(size_t to, size_t size) { one_more(); return __libc_memalign(to, size); }
int posix_memalign(void** result, size_t to, size_t size) {
    one_more();
    *result = __libc_memalign(to, size);
    return *result ? 0 : ENOMEM;
}
"""

# Prints how many allocations each of five fits makes: of 10 steps three times, of 1000, of 10 again.
FIT = """
import ctypes, sys
import numpy as np
import deltarule as dr

allocations = ctypes.CDLL(None).deltarule_test_allocations
allocations.restype = ctypes.c_long
before = allocations()
kept = [bytearray(100_000) for _ in range(50)]
assert allocations() - before >= 50, "the counter does not count"

threads, options = int(sys.argv[1]), eval(sys.argv[2])
random = np.random.default_rng(0)
X = random.normal(size=(3000, 7)).astype(np.float32)
y = random.integers(0, 4, 3000).astype(np.int32)
if options.pop("weighted", False):
    options["sample_weight"] = np.ones(3000, np.float32)
hidden = dr.Dense(19, "gelu", l1=1e-4, l2=1e-3)
network = dr.Network([hidden, dr.Dropout(0.3), dr.Dense(4)], 7, dtype="float32")
fits = []
for steps in (10, 10, 10, 1000, 10):
    before = allocations()
    network.fit(X, y, loss="cross_entropy", epochs=1, batch_size=3000 // steps, n_threads=threads, **options)
    fits.append(allocations() - before)
print(*fits)
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allocations")
    source, library = folder / "counter.c", folder / "counter.so"
    source.write_text(COUNTER)
    assert COMPILER is not None
    subprocess.run([COMPILER, "-x", "c", "-O1", "-fno-builtin", "-shared", "-fPIC", source, "-o", library], check=True)
    return library


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "shuffle": False},
        {"optimizer": "adam", "clip_norm": 0.5, "clip_value": 0.1},
        {"optimizer": "nadam", "weighted": True},
        {"optimizer": "rprop", "validation_split": 0.25},
    ],
    ids=str,
)
def test_no_step_allocates(counter: Path, options: dict[str, object], threads: int) -> None:
    environment = {
        **os.environ,
        "LD_PRELOAD": str(counter),
        "PYTHONMALLOC": "malloc",  # Python's small objects would else come from its own arenas, uncounted
        "PYTHONPATH": os.pathsep.join([str(Path(dr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    result = subprocess.run(
        [sys.executable, "-c", FIT, str(threads), repr(options)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.stderr == ""
    _, _, few, many, few_again = map(int, result.stdout.split())
    assert few > 0
    # 990 steps more, on the same data; the few that may differ are Python's own.
    assert abs(many - min(few, few_again)) <= 5, result.stdout
