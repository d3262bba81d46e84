"""Read .npz archives of NumPy arrays without trusting them: nothing is unpickled, no claim is believed unchecked.

Format: a zip archive of .npy files, see numpy.lib.format. Each header is compared with the size of its member, and
that with the size of the archive, before memory is allocated from it.
"""

from __future__ import annotations

import math
import os
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import zipfile

__all__ = ["load_npz"]

_DEFLATE_LIMIT = 1032  # deflate cannot expand its input more than this
_METHODS = (0, 8)  # stored, deflated: what numpy.savez and savez_compressed write
_READ_SIZE = 1 << 20


def load_npz(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of an .npz archive, as `numpy.savez` and `numpy.savez_compressed` write it.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        Not an .npz archive, damaged, or it holds Python objects, which are never unpickled: that would run code.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "data.npz"
    >>> np.savez(path, X=np.eye(2), y=np.array([0, 1]))
    >>> sorted(load_npz(path))
    ['X', 'y']
    """
    import zipfile  # here because it takes longer to import than the rest of the package's readers together
    import zlib

    name = os.fspath(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(6) == b"\x93NUMPY":
            raise ValueError(f"{name} is a single .npy array, not an .npz archive: read it with numpy.load")
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                return _arrays(archive, name, size)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"{name} is not a readable .npz archive: {error}") from None


def _arrays(archive: zipfile.ZipFile, name: str, size: int) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    if sum(member.compress_size for member in archive.infolist()) > size:
        raise ValueError(f"{name} is damaged: its members are larger than the archive")
    for member in archive.infolist():
        key = member.filename.removesuffix(".npy")
        where = f"{name}[{key!r}]"
        if key in arrays:
            raise ValueError(f"{where} is there twice: an array has one name")
        if member.compress_type not in _METHODS:
            raise ValueError(f"{where} has a compression that NumPy does not write: save it again with numpy.savez")
        if member.file_size > member.compress_size * _DEFLATE_LIMIT:
            raise ValueError(
                f"{where} is damaged: it says that {member.file_size} bytes unpack from {member.compress_size}"
            )
        with archive.open(member) as stream:
            arrays[key] = _array(stream, where, member.file_size)
    return arrays


def _array(stream: IO[bytes], where: str, size: int) -> npt.NDArray[Any]:
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, by_column, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"its format {version} is unknown")
    except (ValueError, SyntaxError, TypeError, RecursionError) as error:
        raise ValueError(f"{where} is not a NumPy array: {str(error).splitlines()[0]}") from None
    if dtype.hasobject:
        raise ValueError(
            f"{where} holds Python objects, which are never unpickled because that can run code: save it with a "
            "numeric dtype"
        )
    header = stream.tell()
    n_bytes = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or header + n_bytes != size:
        raise ValueError(
            f"{where} says that its shape is {shape} and its dtype {dtype}, which takes {header + n_bytes} bytes, but "
            f"it has {size}: it is damaged"
        )
    data = bytearray()
    while piece := stream.read(_READ_SIZE):  # to the end, where the checksum is compared
        data += piece
    if len(data) != n_bytes:
        raise ValueError(f"{where} has {len(data)} bytes of data, {n_bytes} were expected: it is damaged")
    if n_bytes == 0:
        try:
            return np.empty(shape, dtype)
        except ValueError:
            raise ValueError(f"{where} has the shape {shape}, which NumPy cannot make: it is damaged") from None
    flat = np.frombuffer(data, dtype)
    return flat.reshape(shape, order="F" if by_column else "C")
