"""Archives of arrays, and ones that are not what they say."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltarule.datasets import load_npz

# The temporary folder is shared by all examples of a property; each overwrites the same file.
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def npy_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def npz_with(folder: Path, content: bytes, name: str = "X.npy", compression: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, content)
    return path


class Tripwire:
    """Its unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


class TestNpz:
    @in_one_folder
    @given(
        st.sampled_from(["f4", ">f8", "i8", "u1", "?", "c16", "U3"]).flatmap(
            lambda code: hnp.arrays(np.dtype(code), hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        st.booleans(),
        st.booleans(),
    )
    def test_round_trip(self, tmp_path: Path, array: np.ndarray, packed: bool, by_column: bool) -> None:
        path = tmp_path / "data.npz"
        array = np.asfortranarray(array) if by_column else array
        (np.savez_compressed if packed else np.savez)(path, array, second=np.arange(3))
        arrays = load_npz(path)
        assert list(arrays) == ["second", "arr_0"]
        assert arrays["arr_0"].dtype == array.dtype
        assert arrays["arr_0"].shape == array.shape
        assert arrays["arr_0"].tobytes() == array.tobytes()
        assert arrays["arr_0"].flags.writeable
        assert arrays["second"].tolist() == [0, 1, 2]

    def test_nothing_is_unpickled(self, tmp_path: Path) -> None:
        mark = tmp_path / "unpickled"
        np.savez(tmp_path / "bad.npz", X=np.array([Tripwire(mark)], object))
        with pytest.raises(ValueError, match=r"\['X'\] holds Python objects, which are never unpickled"):
            load_npz(tmp_path / "bad.npz")
        assert not mark.exists()

    @pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @pytest.mark.parametrize("shape", [(2**40,), (2**31, 2**31, 2**31), (-1, 4), (3,), (5,), (0, 2**62, 2**62)])
    def test_a_header_that_lies(self, tmp_path: Path, compression: int, shape: tuple[int, ...]) -> None:
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
        load_npz(npz_with(tmp_path, npy_bytes(np.eye(2))))  # what is imported on first use does not count below
        path = npz_with(tmp_path, file.getvalue() + bytes(32), compression=compression)
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"data\.npz\['X'\] says that its shape is"):
            load_npz(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 << 20

    def test_a_directory_that_lies(self, tmp_path: Path) -> None:
        # The size in the zip directory is changed to 2 GiB, and the header of the array agrees with it.
        file = io.BytesIO()
        n_items = (1 << 28) - 16
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (n_items,)})
        path = npz_with(tmp_path, file.getvalue() + bytes(64), compression=zipfile.ZIP_DEFLATED)
        content = path.read_bytes()
        real, claimed = len(file.getvalue()) + 64, len(file.getvalue()) + 8 * n_items
        at = content.index(b"PK\x01\x02") + 24
        assert struct.unpack_from("<I", content, at) == (real,)
        path.write_bytes(content[:at] + struct.pack("<I", claimed) + content[at + 4 :])
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"damaged: it says that \d+ bytes unpack from"):
            load_npz(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 << 20

    def test_refused(self, tmp_path: Path) -> None:
        def written(content: bytes) -> Path:
            path = tmp_path / "raw.npz"
            path.write_bytes(content)
            return path

        good = npz_with(tmp_path, npy_bytes(np.arange(100.0))).read_bytes()
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        with pytest.raises(ValueError, match=r"single \.npy array.*numpy\.load"):
            load_npz(written(npy_bytes(np.eye(2))))
        for content in (b"", b"PK\x03\x04", b"hello", good[:-30], good[: len(good) // 2], bytes(flipped)):
            with pytest.raises(ValueError, match=r"raw\.npz is not a readable \.npz archive"):
                load_npz(written(content))
        for content in (b"", b"text", b"\x93NUMPY\x09\x00junk", b"\x93NUMPY\x01\x00\x08\x00{'a': 1}"):
            with pytest.raises(ValueError, match=r"\['X'\] is not a NumPy array"):
                load_npz(npz_with(tmp_path, content))
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (0, 2**62, 2**62)})
        with pytest.raises(ValueError, match=r"which NumPy cannot make"):
            load_npz(npz_with(tmp_path, file.getvalue()))
        with pytest.raises(ValueError, match=r"\['notes.txt'\] is not a NumPy array"):
            load_npz(npz_with(tmp_path, b"text", "notes.txt"))
        with pytest.raises(ValueError, match=r"compression that NumPy does not write"):
            load_npz(npz_with(tmp_path, npy_bytes(np.eye(2)), compression=zipfile.ZIP_BZIP2))
        with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
            archive.writestr("X.npy", npy_bytes(np.eye(2)))
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("X.npy", npy_bytes(np.eye(3)))
        with pytest.raises(ValueError, match=r"\['X'\] is there twice"):
            load_npz(tmp_path / "twice.npz")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            load_npz(tmp_path / "nothing.npz")
