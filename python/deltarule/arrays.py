"""Anything array-like as a NumPy array of real numbers, or an error that says what is wrong with it.

A new kind of container is one branch in `to_array`, recognised by the module of its class: pandas, polars, SciPy
and torch are never imported here. `first_not_finite` is the only place that searches for NaN and infinity.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

__all__ = ["converted", "first_not_finite", "is_ready", "require_finite", "to_array"]

# One call is fastest below this many entries; above it the search walks in chunks that stay in the cache.
_SMALL = 4096
_CHUNK = 1 << 18

ENCODE_TEXT = "encode the text as numbers, for instance with np.unique(column, return_inverse=True)[1]"

_NEXT_STEP = {
    "c": "take its .real part, or pass the real and imaginary parts as separate columns",
    "M": "turn dates into numbers, for instance days: (dates - dates.min()) / np.timedelta64(1, 'D')",
    "m": "turn durations into numbers, for instance days: durations / np.timedelta64(1, 'D')",
    "V": "turn the records into columns with numpy.lib.recfunctions.structured_to_unstructured",
}


def first_not_finite(array: npt.NDArray[Any]) -> int:
    """Flat position, in C order, of the first NaN or infinity of a float array; -1 when all entries are finite.

    Parameters
    ----------
    array : ndarray of float32 or float64, any shape
        C-contiguous, so that its flat view needs no copy.

    Returns
    -------
    int
        The position, or -1.

    Examples
    --------
    >>> import numpy as np
    >>> first_not_finite(np.array([[1.0, 2.0], [np.nan, 4.0]]))
    2
    """
    # A sum of squares is finite only if every entry is. The reverse is not true (1e200 squared overflows), so a sum
    # that is not finite decides nothing and the search below does.
    if array.size <= _SMALL and math.isfinite(np.vdot(array, array)):
        return -1
    flat = array.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        finite = np.isfinite(flat[start : start + _CHUNK])
        if not finite.all():
            return start + int(finite.argmin())
    return -1


def is_ready(value: Any, dtype: npt.DTypeLike) -> TypeGuard[npt.NDArray[Any]]:
    """Whether the core can read `value` as it is: an aligned, C-contiguous ndarray in the machine's byte order."""
    return type(value) is np.ndarray and value.dtype == dtype and value.flags.c_contiguous and value.flags.aligned


def converted(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """`array` itself where `is_ready`, else a new C-contiguous copy in `dtype`; too large a number becomes inf."""
    if is_ready(array, dtype):
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype, order="C", copy=True)


def require_finite(array: npt.NDArray[Any], source: Any, name: str) -> None:
    """Raise ValueError naming the first NaN or infinity of `array`, which was made from `source`."""
    flat = first_not_finite(array)
    if flat < 0:
        return
    original = to_array(source, name)
    place = [int(index) for index in np.unravel_index(flat, original.shape)]
    where = f"{name}{place}"
    if original.ndim == 2 and hasattr(source, "columns"):
        where += f" (column {list(source.columns)[place[1]]!r})"
    value = original.flat[flat]
    if np.isfinite(value):
        step = 'use dtype="float64"' if array.dtype.itemsize < 8 else "divide the numbers by a constant"
        raise ValueError(f"{where} is {value}, which is too large for {array.dtype}: {step}, or rescale the column")
    raise ValueError(f"{where} is {value}: every number must be finite; fill in or drop such rows first")


def to_array(
    value: Any, name: str, dtype: npt.DTypeLike | None = None, *, text_step: str = ENCODE_TEXT
) -> npt.NDArray[Any]:
    """The numbers in `value` as a plain ndarray of booleans, integers or floats, without a copy where possible.

    Parameters
    ----------
    value : array-like
        ndarray, memmap, list, pandas or polars frame or column, SciPy CSR, torch CPU tensor, or anything that NumPy
        can read.
    name : str
        What messages call it.
    dtype : dtype, optional
        What the caller converts to. Used only where an array has to be built anyway, for sparse matrices and for
        frames whose columns differ in type; by default such arrays get the type that holds all of their numbers.
    text_step : str
        The next step that is suggested for text.

    Returns
    -------
    ndarray
        Any number of dimensions; not checked for NaN.

    Raises
    ------
    TypeError
        Text, objects, dates, complex numbers, records; a sparse matrix that is not CSR; a tensor not on the CPU.
    ValueError
        A ragged list; an array with masked or missing entries.
    """
    if type(value) is np.ndarray:
        return _real(value, name, text_step)
    family = _family(value)
    if family == "pandas":
        return _from_pandas(value, name, dtype, text_step)
    if family == "polars":
        return _from_polars(value, name, dtype, text_step)
    if family == "scipy.sparse":
        return _from_scipy(value, name, dtype, text_step)
    if family == "torch":
        return _from_torch(value, name, text_step)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} has {value.mask.sum()} masked entries: fill them, for instance with {name}.filled(0)")
    if value is None or isinstance(value, (str, bytes, dict, set, frozenset)) or hasattr(value, "__next__"):
        raise TypeError(f"{name} is {_described(value)}: expected an array of numbers, such as a NumPy array")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} is ragged, its rows differ in length: expected rows of equal length") from None
    if array.ndim == 0 and array.dtype.kind == "O":
        raise TypeError(f"{name} is {_described(value)}: expected an array of numbers, such as a NumPy array")
    return _real(array, name, text_step)


def _described(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _family(value: Any) -> str:
    """The library that a class, or a class it inherits from, comes from."""
    for ancestor in type(value).__mro__:
        if ancestor.__module__.startswith("scipy.sparse"):
            return "scipy.sparse"
        root = ancestor.__module__.partition(".")[0]
        if root in ("pandas", "polars", "torch"):
            return root
    return ""


def _real(array: npt.NDArray[Any], name: str, text_step: str) -> npt.NDArray[Any]:
    """`array` if it holds real numbers, else TypeError."""
    kind = array.dtype.kind
    if kind in "biuf":
        return array
    if kind == "O":
        # The first entry that is no number tells what to do; objects that are all numbers only need the right dtype.
        number = (bool, int, float, np.number, np.bool_)
        odd = next((item for item in array.flat if not isinstance(item, number)), 0)
        found = f" and holds {odd!r}" if isinstance(odd, str) or odd is None else ""
        if isinstance(odd, str):
            step = text_step
        else:
            step = "fill in or drop it" if odd is None else f"convert it with {name}.astype(float)"
        raise TypeError(f"{name} has dtype object{found}: expected real numbers; {step}")
    step = _NEXT_STEP.get(kind, text_step)
    raise TypeError(f"{name} has dtype {array.dtype}: expected real numbers; {step}")


def _stacked(columns: list[npt.NDArray[Any]], n_rows: int, dtype: npt.DTypeLike | None) -> npt.NDArray[Any]:
    if dtype is None:
        dtype = np.result_type(*columns) if columns else np.float64
    table = np.empty((n_rows, len(columns)), dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for position, column in enumerate(columns):
            table[:, position] = column
    return table


def _from_pandas(value: Any, name: str, dtype: npt.DTypeLike | None, text_step: str) -> npt.NDArray[Any]:
    ndim = getattr(value, "ndim", None)
    if ndim == 1 and hasattr(value, "to_numpy"):
        return _pandas_column(value, name, text_step)
    if ndim != 2 or not hasattr(value, "iloc"):
        raise TypeError(f"{name} is {_described(value)}: expected a pandas DataFrame or Series")
    types = list(value.dtypes)
    if types and isinstance(types[0], np.dtype) and types[0].kind in "biuf" and len(set(types)) == 1:
        return np.asarray(value.to_numpy())
    labels = list(value.columns)
    columns = [
        _pandas_column(value.iloc[:, position], f"{name} column {label!r}", text_step)
        for position, label in enumerate(labels)
    ]
    return _stacked(columns, len(value), dtype)


def _pandas_column(column: Any, name: str, text_step: str) -> npt.NDArray[Any]:
    if column.dtype.kind not in "biuf":
        if isinstance(column.dtype, np.dtype):
            return _real(column.to_numpy(), name, text_step)
        step = _NEXT_STEP.get(column.dtype.kind, text_step)
        raise TypeError(f"{name} has dtype {column.dtype}: expected real numbers; {step}")
    if isinstance(column.dtype, np.dtype):
        return np.asarray(column.to_numpy())
    # Nullable columns would come out as objects; their missing values become NaN, which the callers refuse by place.
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _from_polars(value: Any, name: str, dtype: npt.DTypeLike | None, text_step: str) -> npt.NDArray[Any]:
    if hasattr(value, "collect"):
        raise TypeError(f"{name} is {_described(value)}: expected a polars DataFrame; pass {name}.collect()")
    if not hasattr(value, "to_numpy"):
        raise TypeError(f"{name} is {_described(value)}: expected a polars DataFrame or Series")
    if not hasattr(value, "get_columns"):
        return _polars_column(value, name, text_step)
    columns = [_polars_column(column, f"{name} column {column.name!r}", text_step) for column in value.get_columns()]
    return _stacked(columns, value.height, dtype)


def _polars_column(column: Any, name: str, text_step: str) -> npt.NDArray[Any]:
    if column.null_count() > 0:
        row = column.is_null().arg_max()
        raise ValueError(
            f"{name} has {column.null_count()} missing values, the first in row {row}: fill in or drop them"
        )
    array = _real(np.asarray(column.to_numpy()), name, text_step)
    if array.ndim != 1:
        raise TypeError(f"{name} has dtype {column.dtype}: expected one number in each row; give each its own column")
    return array


def _from_scipy(value: Any, name: str, dtype: npt.DTypeLike | None, text_step: str) -> npt.NDArray[Any]:
    if getattr(value, "format", None) != "csr":
        raise TypeError(f"{name} is {_described(value)}: of the sparse formats only CSR is taken; pass {name}.tocsr()")
    _real(value.data, name, text_step)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((value if dtype is None else value.astype(dtype)).toarray(order="C"))


def _from_torch(value: Any, name: str, text_step: str) -> npt.NDArray[Any]:
    if not hasattr(value, "detach"):
        raise TypeError(f"{name} is {_described(value)}: expected a tensor or an array")
    if value.device.type != "cpu":
        raise TypeError(f"{name} is a tensor on the device {value.device}: expected one on the CPU; pass {name}.cpu()")
    try:
        array = np.asarray(value.numpy(force=True))
    except (TypeError, RuntimeError):
        if value.is_sparse or not value.is_floating_point():
            raise TypeError(
                f"{name} is a {value.layout} tensor: expected a dense one; pass {name}.to_dense()"
            ) from None
        array = np.asarray(value.float().numpy(force=True))  # bfloat16 and its relatives fit into float32 exactly
    return _real(array, name, text_step)
