"""The choice among instruction sets: what is there, what the environment asks for, and what a wrong name says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import deltarule as dr
from deltarule import _core

pytestmark = pytest.mark.usefixtures("same_isa_after")


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


def python(code: str, wanted: str | None) -> subprocess.CompletedProcess[str]:
    """Run Python with DELTARULE_ISA as wanted, or without it."""
    environment = {name: value for name, value in os.environ.items() if name != "DELTARULE_ISA"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(dr.__file__).parents[1]), environment.get("PYTHONPATH", "")])
    if wanted is not None:
        environment["DELTARULE_ISA"] = wanted
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_sets_of_this_machine() -> None:
    names = dr.isas()
    assert names
    assert names[0] == "baseline"
    assert len(set(names)) == len(names)
    assert dr.isa() in names


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the CPU's own list is read from /proc/cpuinfo")
def test_a_set_is_there_where_the_cpu_has_it() -> None:
    flags = set(re.sub(r"[:\s]+", " ", Path("/proc/cpuinfo").read_text()).split(" "))
    if "sse4_2" not in flags:
        assert dr.isas() == ["baseline"]
        return
    assert ("avx2" in dr.isas()) == ({"avx2", "fma"} <= flags)
    assert ("avx512" in dr.isas()) == ({"avx512f", "avx512vl", "avx512dq", "avx512bw", "fma"} <= flags)


@pytest.mark.parametrize("wanted", [None, ""])
def test_the_best_is_taken_unless_asked(wanted: str | None) -> None:
    result = python("import deltarule; print(deltarule.isa())", wanted)
    assert result.stderr == ""
    assert result.stdout.strip() == dr.isas()[-1]


TRAIN = """
import hashlib, deltarule as dr
X, y = dr.datasets.xor("float32")
network = dr.Network([dr.Dense(9, "gelu"), dr.Dense(1)], seed=1)
network.fit(X, y, loss="binary_cross_entropy", optimizer="adam", epochs=30, batch_size=3)
print(dr.isa(), hashlib.sha256(b"".join(array.tobytes() for array in network.state_dict().values())).hexdigest())
"""


def test_the_environment_chooses_and_the_bits_stay() -> None:
    digests = {}
    for isa in dr.isas():
        result = python(TRAIN, isa)
        assert result.stderr == ""
        chosen, digests[isa] = result.stdout.split()
        assert chosen == isa
    assert len({digest for isa, digest in digests.items() if _core.has_same_bits(isa)}) <= 1


WRONG = """
import deltarule as dr
for use in (dr.isa, lambda: dr.Network([dr.Dense(1)], 3)):
    try:
        use()
    except ValueError as error:
        print(error)
print(*dr.isas())
"""


@pytest.mark.parametrize("wanted", ["avx1024", "AVX2", " baseline", "é", "x" * 10_000])
def test_a_wrong_name_is_an_error_at_first_use_and_not_at_import(wanted: str) -> None:
    result = python(WRONG, wanted)
    assert result.stderr == ""
    *messages, names = result.stdout.splitlines()
    assert names.split() == dr.isas()
    assert len(messages) == 2
    for message in messages:
        assert f'instruction set "{wanted}" is not available' in message
        assert ", ".join(dr.isas()) in message
        assert "unset DELTARULE_ISA" in message


def test_wrong_names_within_the_process() -> None:
    before = _core.isa()
    for use in (_core.select_isa, _core.has_same_bits):
        with pytest.raises(ValueError, match=r'instruction set "neon9" is not available: this machine has baseline'):
            use("neon9")
    assert _core.isa() == before


@pytest.mark.parametrize("isa", _core.isas())
def test_a_set_can_be_selected(isa: str) -> None:
    _core.select_isa(isa)
    assert _core.isa() == dr.isa() == isa


def test_every_set_knows_the_same_words() -> None:
    words = []
    for isa in _core.isas():
        _core.select_isa(isa)
        words.append(_core.vocabulary())
    assert all(word == words[0] for word in words)


def test_a_network_stays_with_the_set_it_was_made_on() -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(40, 20)), random.normal(size=(40, 3))
    weights = {}
    for made in _core.isas():
        for used in _core.isas():
            _core.select_isa(made)
            network = dr.Network([dr.Dense(30, "tanh"), dr.Dense(3)], 20)
            _core.select_isa(used)
            network.fit(X, y, loss="log_cosh", optimizer="adam", epochs=20)
            weights[made, used] = network.predict(X).tobytes()
    for (made, _), result in weights.items():
        assert result == weights[made, made]
    if not all(map(_core.has_same_bits, _core.isas())):  # then the test would have seen a change
        assert len(set(weights.values())) > 1
