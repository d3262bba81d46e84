"""Model files that were damaged or forged are refused, cheaply."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import deltarule as dr

DTYPES = ["float32", "float64"]
RANDOM = np.random.default_rng(9)
X = RANDOM.normal(size=(30, 3))
LABELS = (X[:, 0] > 0).astype(int)


def trained(dtype: str = "float32") -> dr.Network:
    middle = dr.Dense(3, "tanh", use_bias=False, init="orthogonal")
    layers = [dr.Dense(4, "swish", name="hidden", l2=0.01), middle, dr.Dense(2)]
    network = dr.Network(layers, input_shape=3, dtype=dtype, seed=2**64 - 1)
    network.fit(X, LABELS, loss="cross_entropy", epochs=3)
    return network


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


def assert_equal(network: dr.Network, other: dr.Network) -> None:
    assert other.spec() == network.spec()
    assert list(other.state_dict()) == list(network.state_dict())
    assert bits(other) == bits(network)
    assert other.loss == network.loss
    assert other.epochs_trained == network.epochs_trained
    assert other.predict(X).tobytes() == network.predict(X).tobytes()
    # And they go on alike: the shuffles too.
    one, two = copy.deepcopy(network), copy.deepcopy(other)
    one.fit(X, LABELS, loss="cross_entropy", epochs=2, batch_size=8)
    two.fit(X, LABELS, loss="cross_entropy", epochs=2, batch_size=8)
    assert bits(one) == bits(two)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    trained().save(path)
    return path


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model") as caught:
        dr.Network.load(path)
    assert type(caught.value) is ValueError
    assert len(str(caught.value)) < 3000
    return str(caught.value)


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header and the numbers of a safetensors file."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def whole(header: dict[str, Any] | bytes, numbers: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


class TestDamage:
    def test_cut_short_at_any_byte(self, saved: Path) -> None:
        content = saved.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        for size in [*range(header + 2), *range(header + 2, len(content), 13), len(content) - 1]:
            refused(saved, content[:size])

    def test_too_long(self, saved: Path) -> None:
        refused(saved, saved.read_bytes() + b"\0")

    def test_random_bytes(self, saved: Path) -> None:
        random = np.random.default_rng(0)
        for size in (0, 1, 7, 8, 9, 100, 10_000):
            for _ in range(20):
                refused(saved, random.bytes(size))

    def test_a_changed_byte_of_the_header_never_does_more_than_be_refused(self, saved: Path) -> None:
        """Some changes are another valid model (l2 of 0.02); none may crash, hang or come as another error."""
        content = bytearray(saved.read_bytes())
        header = 8 + int.from_bytes(content[:8], "little")
        random = np.random.default_rng(1)
        loaded = 0
        for place in range(header):
            changed = bytearray(content)
            bytes_ = [0, *b' "09\\}', 255, int(random.integers(256))]
            changed[place] = random.choice([byte for byte in bytes_ if byte != content[place]])
            saved.write_bytes(changed)
            try:
                network = dr.Network.load(saved)
            except ValueError:
                continue
            else:
                loaded += 1
                assert np.isfinite(network.predict(X[:, :3])).all()
        assert loaded < header / 4

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_numbers_that_are_not_finite(self, value: float, saved: Path) -> None:
        header, numbers = parts(saved)
        array = np.frombuffer(numbers, np.float32).copy()
        array[-1] = value
        assert "not finite; the file is damaged" in refused(saved, whole(header, array.tobytes()))

    def test_a_plain_safetensors_file(self, saved: Path) -> None:
        save_file({"0.weight": np.ones((3, 2), np.float32)}, saved)
        assert "no model of deltarule" in refused(saved, saved.read_bytes())


def description_of(header: dict[str, Any]) -> Any:
    return json.loads(header["__metadata__"]["deltarule"])


def forged(path: Path, change: Any) -> str:
    """Refuse the file with its description changed."""
    header, numbers = parts(path)
    description = description_of(header)
    description = change(description) or description
    text = description if isinstance(description, str) else json.dumps(description)
    header["__metadata__"]["deltarule"] = text
    return refused(path, whole(header, numbers))


def put(value: Any, *keys: Any) -> Any:
    def change(description: Any) -> None:
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = value

    return change


LAYER = ("spec", "layers", 0)
ODD: list[Any] = [None, "x", -1, 0, 1.5, True, [], {}, [[]], 2**31, 10**12, 10**400, float("nan"), float("inf")]
PLACES: list[tuple[Any, ...]] = [
    *(("version",), ("spec",), ("loss",), ("loss", "name"), ("epochs_trained",)),
    *(("spec", "layers"), LAYER, ("spec", "layers", 2), ("spec", "input_shape"), ("spec", "input_shape", 0)),
    *(("spec", "dtype"), ("spec", "seed")),
    *((*LAYER, key) for key in ("type", "units", "activation", "use_bias", "init", "l1", "l2", "name")),
]
# What says something else than the file did, but nothing wrong.
HARMLESS: dict[str, list[Any]] = {
    "version": [True],
    "loss": [None],
    "epochs_trained": [0, 2**31, 10**12],
    "seed": [0, 2**31, 10**12],
    "use_bias": [True],
    "l1": [0, 1.5, 2**31, 10**12],
    "l2": [0, 1.5, 2**31, 10**12],
}
FORGERIES = [
    pytest.param(keys, value, id=f"{'.'.join(map(str, keys))}={value!r:.12}")
    for keys in PLACES
    for value in ODD
    if not any(type(value) is type(known) and value == known for known in HARMLESS.get(keys[-1], []))
]


class TestForgery:
    @pytest.mark.parametrize(("keys", "value"), FORGERIES)
    def test_values(self, keys: Any, value: Any, saved: Path) -> None:
        assert "cannot be loaded" in forged(saved, put(value, *keys))

    @pytest.mark.parametrize("keys", [("new",), ("spec", "new"), (*LAYER, "new"), ("loss", "new")])
    def test_unknown_keys(self, keys: Any, saved: Path) -> None:
        forged(saved, put(1, *keys))

    @pytest.mark.parametrize(
        "keys", [("version",), ("spec",), ("loss",), ("epochs_trained",), ("spec", "seed"), (*LAYER, "l1")]
    )
    def test_missing_keys(self, keys: Any, saved: Path) -> None:
        def remove(description: Any) -> None:
            for key in keys[:-1]:
                description = description[key]
            del description[keys[-1]]

        forged(saved, remove)

    def test_a_file_of_the_next_version(self, saved: Path) -> None:
        assert "another version of deltarule" in forged(saved, put(2, "version"))

    @pytest.mark.parametrize(
        "text",
        [
            *("", "{", "[]", "null", "1", '"x"', "NaN", "[" * 100_000, '{"a":' * 100_000, "1" * 100_000),
            *("{}" * 10, "\\ud800", '{"version": 1e999}'),
        ],
        ids=lambda text: text[:8],
    )
    def test_descriptions_that_are_none(self, text: str, saved: Path) -> None:
        forged(saved, lambda description: text or " ")

    def test_arrays_that_are_not_those_of_the_spec(self, saved: Path) -> None:
        header, numbers = parts(saved)
        metadata = dict(header["__metadata__"])
        good = load_file(saved)
        for change in (
            {"2.bias": None},
            {"extra": np.zeros(1, np.float32)},
            {"2.bias": np.zeros(3, np.float32)},
            {"2.bias": np.zeros((1, 2), np.float32)},
            {"2.bias": np.zeros(2, np.float64)},
            {"2.bias": np.zeros(2, np.float16)},
            {"2.bias": np.zeros(2, np.int32)},
            {"hidden.weight": np.zeros((4, 3), np.float32)},
            {"2.bias": None, "2.Bias": np.zeros(2, np.float32)},
        ):
            arrays = {name: array for name, array in {**good, **change}.items() if array is not None}
            save_file(arrays, saved, metadata=metadata)
            message = refused(saved, saved.read_bytes())
            assert "its arrays are not those of its spec" in message
        saved.write_bytes(whole(header, numbers))
        dr.Network.load(saved)

    def test_a_header_of_huge_shapes(self, saved: Path) -> None:
        header, numbers = parts(saved)
        for shape in ([10**6, 10**6], [2**62, 4], [2**64, 1], [-1, 4], [2**32, 2**32]):
            changed = copy.deepcopy(header)
            changed["hidden.weight"]["shape"] = shape
            refused(saved, whole(changed, numbers))
        for offsets in ([0, 2**60], [2**60, 2**61], [-8, 8], [8, 0], [2**64 - 8, 2**64]):
            changed = copy.deepcopy(header)
            changed["hidden.weight"]["data_offsets"] = offsets
            refused(saved, whole(changed, numbers))

    @pytest.mark.parametrize("size", [2**63, 2**64 - 1, 2**40, 100_000_001])
    def test_a_header_that_claims_to_be_huge(self, size: int, saved: Path) -> None:
        refused(saved, size.to_bytes(8, "little") + saved.read_bytes()[8:])

    @pytest.mark.parametrize("what", ["units", "inputs", "layers", "units and header"])
    def test_nothing_is_allocated_from_its_numbers(self, what: str, saved: Path) -> None:
        """With half a gigabyte of address space to spare, a spec of 10**12 units is refused, not tried."""
        header, numbers = parts(saved)
        description = description_of(header)
        if what == "inputs":
            description["spec"]["input_shape"] = [2**31 - 1]
        elif what == "layers":
            description["spec"]["layers"] *= 10_000
        else:
            description["spec"]["layers"][0]["units"] = 10**12 if what == "units" else 2**31 - 1
        if "header" in what:
            header["hidden.weight"]["shape"] = [3, 2**31 - 1]
        header["__metadata__"]["deltarule"] = json.dumps(description)
        saved.write_bytes(whole(header, numbers))
        code = (
            "import resource, sys, deltarule as dr, deltarule.network.files, safetensors.numpy\n"
            "pages = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (pages + 2**29, pages + 2**29))\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try:\n    dr.Network.load(sys.argv[1])\n"
            "except ValueError as error:\n"
            "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 'refused', error)\n"
        )
        result = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True, timeout=60)
        assert "refused" in result.stdout, result.stderr
        assert "MemoryError" not in result.stdout
        assert int(result.stdout.split()[0]) < (100_000 if what == "layers" else 20_000)  # kilobytes
