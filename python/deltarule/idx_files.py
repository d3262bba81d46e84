"""Read IDX files, the format of MNIST: a short header, then numbers in big-endian order.

Format: two zero bytes, a byte for the number type (`_DTYPES`), a byte for the number of dimensions, each dimension
as a 32-bit integer, the data. From Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import math
import os
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

__all__ = ["load_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_DIMENSIONS = 32

# Deflate cannot expand its input more than this, so a compressed file bounds what it may claim to hold.
_DEFLATE_LIMIT = 1032
_READ_SIZE = 1 << 20


def load_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an IDX file such as MNIST's, plain or compressed with gzip.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    ndarray
        In the shape and number type of the file, in the byte order of the machine. MNIST images come as uint8 of
        shape (n, 28, 28): `images.reshape(len(images), -1) / 255` makes features of them.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        Not an IDX file, or its size is not what its header says. The header is compared with the size of the file
        before memory is allocated.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.idx"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    >>> load_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    import gzip  # here because few programs read packed files, and it is slow to import
    import zlib

    name = os.fspath(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return _read(file, name, size, exact=True)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(cast(BinaryIO, unpacked), name, size * _DEFLATE_LIMIT, exact=False)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{name} is a damaged gzip file ({error}): download or copy it again") from None


def _read(file: BinaryIO, name: str, size: int, exact: bool) -> npt.NDArray[Any]:
    """Header and data; `size` is that of the file if `exact`, else the most it can hold."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _DTYPES:
        raise ValueError(f"{name} is not an IDX file: it begins with the bytes {start.hex(' ') or '(none)'}")
    n_dimensions = start[3]
    if not 1 <= n_dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"{name} says that it has {n_dimensions} dimensions: expected 1 to {_MOST_DIMENSIONS}")
    sizes = file.read(4 * n_dimensions)
    if len(sizes) < 4 * n_dimensions:
        raise ValueError(f"{name} ends within its header: it was cut off; download or copy it again")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    if 0 in shape:
        raise ValueError(f"{name} holds no data: its shape is {shape}")
    dtype = np.dtype(_DTYPES[start[2]])
    n_bytes = math.prod(shape) * dtype.itemsize
    header = 4 + len(sizes)
    if exact and header + n_bytes != size:
        _wrong_size(name, shape, header + n_bytes, f"has {size}")
    if header + n_bytes > size:
        _wrong_size(name, shape, header + n_bytes, f"can hold at most {size}")
    data = bytearray()
    # In pieces, so that memory grows with what was read and not with what the header says.
    while len(data) < n_bytes and (piece := file.read(min(_READ_SIZE, n_bytes - len(data)))):
        data += piece
    if len(data) < n_bytes:
        _wrong_size(name, shape, header + n_bytes, f"has {header + len(data)}")
    if file.read(1):
        _wrong_size(name, shape, header + n_bytes, "has more")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _wrong_size(name: str, shape: tuple[int, ...], expected: int, found: str) -> None:
    raise ValueError(
        f"{name} says that its shape is {shape}, which takes {expected} bytes, but it {found}: it is damaged or was "
        "cut off; download or copy it again"
    )
