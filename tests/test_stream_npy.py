"""Arrays in .npy files: pairs, shards, folders; files that lie, that are damaged, that change."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltarule.streams import Chunk, Stream, stream

Array = npt.NDArray[Any]

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def saved(folder: Path, **arrays: Array) -> list[str]:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [str(folder / f"{name}.npy") for name in arrays]


def all_of(rows: Stream, buffer_shuffle: bool = False, batch_size: int = 4) -> Chunk:
    chunks = list(rows.open(0, batch_size=batch_size, shuffle=buffer_shuffle, seed=0))
    weights = [chunk.sample_weight for chunk in chunks if chunk.sample_weight is not None]
    return Chunk(
        np.concatenate([chunk.X for chunk in chunks]),
        np.concatenate([chunk.y for chunk in chunks]),
        np.concatenate(weights) if weights else None,
    )


class TestFiles:
    @pytest.mark.parametrize("dtype", ["<f8", ">f4", "i2", "u1", "?", "f2"])
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("inner", [(3,), (1,), (2, 3)])
    def test_a_pair(self, tmp_path: Path, dtype: str, order: Any, inner: tuple[int, ...]) -> None:
        X = np.asarray(np.arange(11 * np.prod(inner)).reshape(11, *inner), dtype, order=order)
        y = np.asarray(np.arange(22).reshape(11, 2), order=order)
        rows = stream(tuple(saved(tmp_path, X=X, y=y)), buffer=4)
        assert rows.n_samples == 11
        found = all_of(rows)
        np.testing.assert_array_equal(found.X, X)
        np.testing.assert_array_equal(found.y, y)
        assert found.X.dtype == X.dtype.newbyteorder("=") or found.X.dtype == X.dtype

    def test_a_triple(self, tmp_path: Path) -> None:
        X, y, w = np.eye(5), np.arange(5), np.linspace(0, 1, 5)
        found = all_of(stream(tuple(map(Path, saved(tmp_path, X=X, y=y, w=w))), buffer=2))
        assert found.sample_weight is not None
        np.testing.assert_array_equal(found.sample_weight, w)

    @pytest.mark.parametrize("target", range(-3, 3))
    def test_the_target_among_the_columns(self, tmp_path: Path, target: int) -> None:
        table = np.arange(21).reshape(7, 3)
        (path,) = saved(tmp_path, table=table)
        found = all_of(stream(path, target=target, buffer=4))
        np.testing.assert_array_equal(found.y, table[:, target])
        assert stream(path, target=np.int64(target)).fingerprint() == stream(path, target=target).fingerprint()  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.X, np.delete(table, target, axis=1))

    @pytest.mark.parametrize("target", ["label", 1, -2])
    def test_records(self, tmp_path: Path, target: str | int) -> None:
        records = np.zeros(6, [("a", "f4"), ("label", "i8"), ("b", "u1")])
        records["a"], records["label"], records["b"] = np.arange(6) / 2, np.arange(6), np.arange(6)[::-1]
        (path,) = saved(tmp_path, records=records)
        found = all_of(stream(path, target=target, buffer=3))
        assert (found.X.dtype, found.y.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(found.X, np.stack([records["a"], records["b"]], axis=1))
        np.testing.assert_array_equal(found.y, records["label"])

    def test_shards_in_their_order(self, tmp_path: Path) -> None:
        parts = [np.arange(start, start + size).reshape(-1, 1) for start, size in [(0, 5), (5, 0), (5, 1), (6, 7)]]
        paths = [tuple(saved(tmp_path, **{f"X{i}": part, f"y{i}": part[:, 0]})) for i, part in enumerate(parts)]
        rows = stream(paths, buffer=4)
        assert rows.n_samples == 13
        assert repr(rows) == "Stream(8 .npy files, 13 samples, buffer=4)"
        for shuffle in (False, True):
            found = all_of(rows, shuffle)
            assert (found.X[:, 0] == found.y).all()
            assert sorted(found.y) == list(range(13))

    def test_a_folder(self, tmp_path: Path) -> None:
        for part in range(3):
            np.save(tmp_path / f"part-{part}.npy", np.arange(4).reshape(2, 2) + 4 * part)
        (tmp_path / ".hidden").write_text("x")
        (tmp_path / "_SUCCESS").write_text("")
        rows = stream(tmp_path, target=-1)
        assert all_of(rows).X.ravel().tolist() == [0, 2, 4, 6, 8, 10]
        assert rows.fingerprint() == stream(str(tmp_path), target=-1).fingerprint()

    def test_memory_is_that_of_the_buffer(self, tmp_path: Path) -> None:
        paths = saved(tmp_path, X=np.ones((50_000, 40)), y=np.ones(50_000), F=np.asfortranarray(np.ones((50_000, 40))))
        for name, shuffle in [(0, False), (0, True), (2, False), (2, True)]:
            rows = stream((paths[name], paths[1]), buffer=2_000)
            tracemalloc.start()
            for chunk in rows.open(0, batch_size=50, shuffle=shuffle, seed=0):
                del chunk
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 2 * 2_000 * 41 * 8

    def test_files_are_closed(self, tmp_path: Path) -> None:
        rows = stream(tuple(saved(tmp_path, X=np.eye(9), y=np.arange(9))), buffer=2)
        n_open = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        for shuffle in (False, True):
            chunks = rows.open(0, batch_size=1, shuffle=shuffle, seed=0)
            next(chunks)
            chunks.close()
        if n_open:
            assert len(os.listdir("/proc/self/fd")) == n_open

    def test_fingerprint_knows_names_sizes_and_times(self, tmp_path: Path) -> None:
        paths = saved(tmp_path, X=np.eye(9), y=np.arange(9), z=np.arange(9))
        rows = stream((paths[0], paths[1]))
        prints = {rows.fingerprint(), rows.fingerprint(), stream((paths[0], paths[2])).fingerprint()}
        os.utime(paths[1], ns=(1, 1))
        prints.add(rows.fingerprint())
        assert len(prints) == 3


class TestErrors:
    @pytest.mark.parametrize(
        ("array", "options", "message"),
        [
            (np.eye(3), {}, r"target is not given, and y is missing: pass the position .* target=-1 .* as a pair"),
            (np.eye(3), {"target": "y"}, r"target is 'y', but the columns of .*a.npy have no names: pass the position"),
            (np.eye(3), {"target": 3}, r"target is 3 but .*a.npy has 3 columns: expected -3 to 2"),
            (np.ones((3, 1)), {"target": 0}, r"no column beside the target"),
            (np.ones((3, 2, 2)), {"target": 0}, r"has shape \(3, 2, 2\): expected rows of columns, .* as a pair"),
            (np.ones(3), {"target": 0}, r"has shape \(3,\): expected rows of columns"),
            (np.ones((0, 2)), {"target": 0}, r"a.npy has no rows"),
            (np.float64(1), {"target": 0}, r"holds a single number: expected rows"),
            (np.array([["a"]]), {"target": 0}, r"has dtype <U1: expected real numbers"),
            (
                np.ones(2, [("a", "f4", (2,)), ("b", "f4")]),
                {"target": "b"},
                r"expected real numbers, or records of them",
            ),
            (np.ones(2, [("aa", "f4"), ("b", "f4")]), {"target": "a"}, r"no such column: did you mean 'aa'"),
            (np.ones(2, [("b", "f4")]), {"target": "b"}, r"no column beside the target"),
            (np.eye(3), {"target": 0, "classes": ["a", "b"]}, r"classes is .* but .npy has no use for it"),
        ],
    )
    def test_no_table(self, tmp_path: Path, array: Array, options: dict[str, Any], message: str) -> None:
        (path,) = saved(tmp_path, a=array)
        with pytest.raises(ValueError, match=message):
            stream(path, **options)

    def test_target_of_the_wrong_type(self, tmp_path: Path) -> None:
        (path,) = saved(tmp_path, a=np.eye(3))
        for target in (True, 1.0):
            with pytest.raises(TypeError, match="expected the name or the position"):
                stream(path, target=target)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("first", "second", "message"),
        [
            ((5, 3), (4,), r"X.npy and .*y.npy: X has 5 rows but y has 4"),
            ((5,), (5,), r"X.npy and .*y.npy: X has shape \(5,\)"),
            ((5, 2, 2, 2), (5,), r"X has shape \(5, 2, 2, 2\)"),
        ],
    )
    def test_no_pair(self, tmp_path: Path, first: tuple[int, ...], second: tuple[int, ...], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            stream(tuple(saved(tmp_path, X=np.ones(first), y=np.ones(second))))

    def test_a_target_for_a_pair(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"target is 0, but y has a file of its own, .*y.npy: leave target out"):
            stream(tuple(saved(tmp_path, X=np.eye(2), y=np.arange(2))), target=0)

    def test_shards_that_do_not_fit_together(self, tmp_path: Path) -> None:
        a, b, c = saved(tmp_path, a=np.ones((2, 3)), b=np.ones((2, 4)), c=np.ones(2))
        with pytest.raises(ValueError, match=r"b.npy: X has 3 columns but that of .*a.npy has 2"):
            stream([a, b], target=0)
        with pytest.raises(ValueError, match="tuples of different lengths"):
            stream([(a, c), (a, c, c)])
        with pytest.raises(ValueError, match="expected the paths of X and y"):
            stream([(a, c), (a, 3)])

    def test_not_finite(self, tmp_path: Path) -> None:
        X = np.ones((100, 2))
        X[77, 1] = np.nan
        paths = saved(tmp_path, X=X, y=np.ones(100))
        with pytest.raises(ValueError, match=r"X.npy\[77, 1\] is nan"):
            all_of(stream(tuple(paths), buffer=10))
        records = np.ones(9, [("a", "f4"), ("b", "f4")])
        records["a"][5] = np.inf
        (path,) = saved(tmp_path, records=records)
        with pytest.raises(ValueError, match=r"records.npy\['a'\]\[5\] is inf"):
            all_of(stream(path, target="b", buffer=2))


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode()


class TestHostile:
    def test_python_objects_are_refused(self, tmp_path: Path) -> None:
        (path,) = saved(tmp_path, a=np.array([["a", 1]], object))
        with pytest.raises(ValueError, match="Python objects, which are never unpickled"):
            stream(path, target=0)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is not a NumPy array"),
            (b"PK\x03\x04 something else", "is not a NumPy array"),
            (header("{'descr': '<f8', 'fortran_order': False, 'shape': (10, 2)}"), r"takes \d+ bytes, but it has \d+"),
            (
                header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2)}"),
                "is damaged or was cut off",
            ),
            (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2)}") + bytes(16), "is damaged"),
            (header("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2)}") + bytes(17), "is damaged"),
            (header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2)}") + bytes(16), "never unpickled"),
            (header("{'descr': [], 'fortran_order': False, 'shape': (9,)}"), "has 0 columns"),
            (header("__import__('os').system('true')"), "is not a NumPy array"),
            (header("(" * 500), "is not a NumPy array"),
            (header("{'descr': '<f8'}", b"\x09\x00"), "is not a NumPy array"),
            (header("{'descr': '<f8'}", b"\x03\x00") + bytes(9), r"its format \(3, 0\) is unknown"),
        ],
    )
    @pytest.mark.filterwarnings("ignore")  # NumPy's own, of headers that Python 2 wrote
    def test_headers(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "a.npy"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            stream(path, target=0)

    @in_one_folder
    @given(st.binary(max_size=120), st.integers(0, 140))
    @pytest.mark.filterwarnings("ignore")
    def test_any_bytes_give_rows_or_a_value_error(self, tmp_path: Path, noise: bytes, place: int) -> None:
        whole = io.BytesIO()
        np.save(whole, np.arange(6.0).reshape(3, 2))
        content = bytearray(whole.getvalue())
        content[place : place + len(noise)] = noise
        path = tmp_path / "noise.npy"
        path.write_bytes(content)
        problem = None
        try:
            assert all_of(stream(path, target=0)).X.ndim == 2
        except ValueError as error:
            problem = error
        assert problem is None or "noise.npy" in str(problem)

    def test_a_file_that_is_cut_off_meanwhile(self, tmp_path: Path) -> None:
        paths = saved(tmp_path, X=np.ones((1000, 200)), y=np.ones(1000))
        chunks = stream(tuple(paths), buffer=100).open(0, batch_size=10, shuffle=False, seed=0)
        next(chunks)
        os.truncate(paths[0], 200_000)
        with pytest.raises(ValueError, match=r"X.npy became shorter while it was read"):
            list(chunks)

    def test_a_file_that_was_replaced(self, tmp_path: Path) -> None:
        paths = saved(tmp_path, X=np.ones((10, 2)), y=np.ones(10))
        rows = stream(tuple(paths))
        saved(tmp_path, X=np.ones((9, 2)))
        with pytest.raises(ValueError, match=r"X.npy has changed since the stream was made: make it anew"):
            all_of(rows)


class TestPaths:
    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("train.npi", FileNotFoundError, r"there is no file '.*train.npi': did you mean '.*train.npy'\?"),
            ("xyz/a.npy", FileNotFoundError, r"the folder '.*xyz' does not exist either"),
            ("*.npy", FileNotFoundError, r"pass sorted\(glob.glob\(...\)\)"),
            ("zzz", FileNotFoundError, r"check the path"),
            ("data.csv.gz", ValueError, r"data.csv.gz is packed: unpack it first"),
            ("data.npz", ValueError, r"is an archive: save its arrays with np.save"),
            ("data.xlsx", ValueError, r"ends with '.xlsx', which is unknown: expected .npy, .csv, .parquet"),
            ("inner", ValueError, r"the folder .*inner is empty"),
            (".", ValueError, r"holds the folder 'inner': expected files only"),
        ],
    )
    def test_that_lead_nowhere(self, tmp_path: Path, name: str, error: type[Exception], message: str) -> None:
        for other in ("train.npy", "data.csv.gz", "data.npz", "data.xlsx"):
            (tmp_path / other).write_bytes(b"")
        (tmp_path / "inner").mkdir()
        with pytest.raises(error, match=message):
            stream(tmp_path / name, target=0)

    def test_files_of_several_kinds(self, tmp_path: Path) -> None:
        (path,) = saved(tmp_path, a=np.eye(2))
        (tmp_path / "b.csv").write_text("1,2\n")
        with pytest.raises(ValueError, match=r"a.npy is a .npy file but .*b.csv is .csv: expected files of one kind"):
            stream(tmp_path, target=0)
        with pytest.raises(ValueError, match="expected files of one kind"):
            stream((path, tmp_path / "b.csv"))
        with pytest.raises(ValueError, match=r"tuple of .csv files: only .npy files come in pairs"):
            stream((tmp_path / "b.csv", tmp_path / "b.csv"))
        with pytest.raises(ValueError, match="a list holds files, a folder is passed alone"):
            stream([path, tmp_path], target=0)
