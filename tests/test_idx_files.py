"""IDX files, and headers that claim what is not there."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltarule.datasets import load_idx

# The temporary folder is shared by all examples of a property; each overwrites the same file.
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


IDX_CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array: np.ndarray) -> bytes:
    code = IDX_CODES[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def read_idx(folder: Path, content: bytes) -> np.ndarray:
    path = folder / "data.idx"
    path.write_bytes(content)
    return load_idx(path)


class TestIdx:
    @in_one_folder
    @given(
        st.sampled_from(sorted(IDX_CODES)).flatmap(
            lambda code: hnp.arrays(np.dtype(code), hnp.array_shapes(max_dims=5, max_side=4))
        ),
        st.booleans(),
    )
    def test_round_trip(self, tmp_path: Path, array: np.ndarray, packed: bool) -> None:
        content = idx_bytes(array)
        result = read_idx(tmp_path, gzip.compress(content) if packed else content)
        assert result.dtype == array.dtype
        assert result.dtype.isnative
        assert result.shape == array.shape
        assert result.tobytes() == array.tobytes()
        assert result.flags.writeable

    @in_one_folder
    @given(st.integers(0, 40), st.booleans())
    def test_cut_off_or_too_long(self, tmp_path: Path, length: int, packed: bool) -> None:
        content = idx_bytes(np.arange(12, dtype=np.int16).reshape(3, 4))
        changed = (content + b"\0\1\2\3\4")[:length] if length < len(content) else content + b"\0" * (length - 35)
        with pytest.raises(ValueError, match=r"data\.idx"):
            read_idx(tmp_path, gzip.compress(changed) if packed else changed)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"not an IDX file: it begins with the bytes \(none\)"),
            (b"\x89PNG\r\n", r"not an IDX file: it begins with the bytes 89 50 4e 47"),
            (b"\0\0\x0a\1\0\0\0\1\0", r"not an IDX file"),
            (b"\0\0\x08\0\1", r"0 dimensions"),
            (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", r"255 dimensions"),
            (b"\0\0\x08\2\0\0\0\1", r"ends within its header"),
            (b"\0\0\x08\2\0\0\0\0\0\0\0\5", r"holds no data: its shape is \(0, 5\)"),
            (b"\0\0\x0e\3" + b"\xff" * 12, r"takes \d{30} bytes, but it has 16"),
            (b"\0\0\x08\2\0\x10\0\0\0\x10\0\0" + b"\0" * 8, r"takes 1099511627788 bytes, but it has 20"),
            (b"\0\0\x08\1\0\0\0\3\1\2", r"takes 11 bytes, but it has 10"),
            (b"\0\0\x08\1\0\0\0\3\1\2\3\4", r"takes 11 bytes, but it has 12"),
        ],
    )
    @pytest.mark.parametrize("packed", [False, True])
    def test_refused(self, tmp_path: Path, content: bytes, message: str, packed: bool) -> None:
        if packed:
            message = "says that its shape is" if "takes" in message else message
            content = gzip.compress(content)
        tracemalloc.start()
        with pytest.raises(ValueError, match=message):
            read_idx(tmp_path, content)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 << 20

    def test_a_packed_file_that_claims_a_little_too_much(self, tmp_path: Path) -> None:
        content = b"\0\0\x08\1" + struct.pack(">I", 2000) + b"\7" * 1000
        with pytest.raises(ValueError, match=r"takes 2008 bytes, but it has 1008"):
            read_idx(tmp_path, gzip.compress(content))

    def test_damaged_gzip(self, tmp_path: Path) -> None:
        good = gzip.compress(idx_bytes(np.arange(2000, dtype=np.int32)))
        flipped = bytearray(good)
        flipped[-6] ^= 1  # in the checksum
        garbled = bytearray(good)
        garbled[len(good) // 2] ^= 0xFF
        for bad in (good[:-12], good[:30], bytes(flipped), bytes(garbled), b"\x1f\x8b"):
            with pytest.raises(ValueError, match=r"damaged"):
                read_idx(tmp_path, bad)

    @in_one_folder
    @given(st.binary(max_size=60))
    def test_any_bytes(self, tmp_path: Path, tail: bytes) -> None:
        for content in (tail, b"\0\0\x08" + tail, b"\x1f\x8b" + tail):
            problem = None
            try:
                assert read_idx(tmp_path, content).size > 0
            except ValueError as error:
                problem = error
            assert problem is None or "data.idx" in str(problem)
