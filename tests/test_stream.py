"""What a stream reads from memory: arrays and batches; what it says of itself; what a user types wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from deltarule.streams import Chunk, Stream, hash_chunk, stream

Array = npt.NDArray[Any]

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


def batches() -> Iterator[tuple[Array, Array]]:
    for start in range(0, 10, 4):
        yield X[start : start + 4], Y[start : start + 4]


def read(rows: Stream, epoch: int = 0, batch_size: int = 3, shuffle: bool = False) -> list[Chunk]:
    return list(rows.open(epoch, batch_size=batch_size, shuffle=shuffle, seed=0))


def all_of(rows: Stream, epoch: int = 0) -> tuple[Array, Array]:
    chunks = read(rows, epoch)
    return np.concatenate([chunk.X for chunk in chunks]), np.concatenate([chunk.y for chunk in chunks])


class TestSources:
    @pytest.mark.parametrize(
        "source",
        [
            (X, Y),
            (X.tolist(), Y.tolist()),
            (np.asfortranarray(X), Y[::-1][::-1]),
            (pd.DataFrame(X, columns=["a", "b"]), pd.Series(Y, index=Y + 100)),
            (pl.DataFrame(X), pl.Series(Y)),
            (scipy.sparse.csr_matrix(X), Y),
            batches,
            list(batches()),
            [(X, Y.tolist())],
        ],
        ids=["arrays", "lists", "by column", "pandas", "polars", "sparse", "function", "list of batches", "one batch"],
    )
    def test_give_all_rows_in_each_epoch(self, source: Any) -> None:
        rows = stream(source, buffer=4)
        assert rows.can_restart
        for epoch in range(2):
            found = all_of(rows, epoch)
            np.testing.assert_array_equal(found[0], X)
            np.testing.assert_array_equal(found[1], Y)

    def test_arrays_are_not_copied_in_order(self) -> None:
        first = read(stream((X, Y), buffer=6))[0]
        assert first.X.shape == (6, 2)
        assert np.shares_memory(first.X, X)
        assert first.X.flags.c_contiguous

    def test_memory_maps(self, tmp_path: Any) -> None:
        np.save(tmp_path / "X.npy", X)
        mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
        np.testing.assert_array_equal(all_of(stream((mapped, Y), buffer=3))[0], X)

    def test_weights(self) -> None:
        weights = np.linspace(0, 1, 10)
        for source in [(X, Y, weights), [(X, Y, weights)]]:
            found = [chunk.sample_weight for chunk in read(stream(source, buffer=3))]
            np.testing.assert_array_equal(np.concatenate([part for part in found if part is not None]), weights)

    def test_whatever_can_be_gone_through_again(self) -> None:
        class Loader:
            def __iter__(self) -> Iterator[Any]:
                return ([X[row : row + 1], Y[row : row + 1]] for row in range(10))  # lists, as torch gives them

        rows = stream(Loader(), buffer=3)
        assert rows.can_restart
        for epoch in range(2):
            np.testing.assert_array_equal(all_of(rows, epoch)[1], Y)

    def test_an_iterator_lasts_for_one_epoch(self) -> None:
        rows = stream(batches())
        assert not rows.can_restart
        np.testing.assert_array_equal(all_of(rows)[1], Y)
        with pytest.raises(ValueError, match="can be only once: pass a function that returns a new"):
            rows.open(1, batch_size=1, shuffle=False, seed=0)

    def test_empty_batches_are_left_out(self) -> None:
        empty = (X[:0], Y[:0])
        np.testing.assert_array_equal(all_of(stream([empty, (X, Y), empty]))[1], Y)

    def test_leaving_early_closes_the_generator(self) -> None:
        closed = []

        def endless() -> Iterator[tuple[Array, Array]]:
            try:
                while True:
                    yield X, Y
            finally:
                closed.append(True)

        for shuffle in (False, True):
            chunks = stream(endless, buffer=4).open(0, batch_size=2, shuffle=shuffle, seed=0)
            next(chunks)
            chunks.close()
            assert next(chunks, None) is None
        assert closed == [True, True]


class TestFacts:
    def test_number_of_samples(self) -> None:
        assert stream((X, Y)).n_samples == 10
        assert stream(batches).n_samples is None

    def test_looks(self) -> None:
        assert repr(stream((X, Y))) == "Stream(the arrays, 10 samples, buffer=65536)"
        assert repr(stream(batches(), buffer=9)) == "Stream(the iterator, buffer=9)"

    def test_fingerprint(self) -> None:
        base = stream((X, Y)).fingerprint()
        assert base == stream((X + 1, Y - 1)).fingerprint()  # contents are for hash_chunk
        others = [
            stream((X[:9], Y[:9])),
            stream((X[:, :1], Y)),
            stream((X.astype(np.float32), Y)),
            stream((X, Y), buffer=9),
            stream((X, Y, Y)),
            stream(batches),
            stream(batches()),
        ]
        assert len({base, *(other.fingerprint() for other in others)}) == 8
        assert stream(batches).fingerprint() == stream(lambda: iter([])).fingerprint()

    def test_hash_sees_numbers_and_not_their_order_in_memory(self) -> None:
        def of(chunk: Chunk) -> str:
            hasher = hashlib.blake2b()
            hash_chunk(hasher, chunk)
            return hasher.hexdigest()

        base = of(Chunk(X, Y))
        assert base == of(Chunk(np.asfortranarray(X), np.repeat(Y, 2)[::2]))
        changed = X.copy()
        changed[9, 1] = np.nextafter(changed[9, 1], 0)
        others = [
            Chunk(changed, Y),
            Chunk(X, Y + 1),
            Chunk(X, Y, np.ones(10)),
            Chunk(X, Y.astype(np.int32)),
            Chunk(X.reshape(10, 1, 2), Y),
            Chunk(X[:9], Y[:9]),
        ]
        assert len({base, *(of(other) for other in others)}) == 7


def gives(*items: Any) -> Any:
    return lambda: iter(items)


class TestErrors:
    @pytest.mark.parametrize(
        ("source", "error", "message"),
        [
            (X, TypeError, r"source is of type ndarray, and y is missing: pass a tuple \(X, y\)"),
            (pd.DataFrame(X), TypeError, r"y is missing: pass a tuple \(X, y\)"),
            ([X, Y], TypeError, r"source is of type list, and y is missing: pass a tuple"),
            ([], TypeError, r"source is of type list"),
            (None, TypeError, r"source is None: expected an iterator"),
            (3, TypeError, r"source is of type int: expected an iterator"),
            ({"X": X}, TypeError, r"source is of type dict: expected"),
            (dict, TypeError, r"source is the class dict: expected an object"),
            ((X,), ValueError, r"source is a tuple of 1: expected \(X, y\)"),
            ((X, None), TypeError, r"y is None: expected an array with rows"),
            ((X, Y[:9]), ValueError, r"X has 10 rows but y has 9"),
            ((X, Y, Y[:3]), ValueError, r"X has 10 rows but sample_weight has 3"),
            ((X[:0], Y[:0]), ValueError, r"no rows: X is empty"),
            ((Y, Y), ValueError, r"X has shape \(1,\): .* X.reshape\(-1, 1\) makes"),
            ((X[:, :0], Y), ValueError, r"at least one feature"),
            ((X.astype(str), Y), TypeError, r"X has dtype <U\d+: expected real numbers"),
            ((X, Y.astype(complex)), TypeError, r"y has dtype complex128: expected real numbers"),
            ((X, np.array(["a"] * 10, object)), TypeError, r"y has dtype object and holds 'a'"),
        ],
    )
    def test_no_source(self, source: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            stream(source)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"buffer": 0}, ValueError, "buffer=0: expected an integer of at least 1"),
            ({"buffer": 1.5}, TypeError, "buffer=1.5: expected an integer"),
            ({"target": 0}, ValueError, "target is 0, but a tuple of arrays has no use for it: leave it out"),
            ({"classes": ["a", "b"]}, ValueError, "classes is .* has no use for it"),
            ({"delimiter": ";"}, ValueError, "delimiter is ';', but"),
        ],
    )
    def test_options(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            stream((X, Y), **options)

    @pytest.mark.parametrize(
        ("source", "error", "message"),
        [
            (gives((X, Y), X), TypeError, r"batch 2 of the function: it is ndarray: expected a tuple \(X, y\) or"),
            (gives(5), TypeError, r"batch 1 of the function: it is int: expected a tuple"),
            (gives((X,)), ValueError, r"batch 1 of the function: it is a tuple of 1: expected"),
            (gives((X, Y, Y, Y)), ValueError, r"it is a tuple of 4"),
            (gives((X, Y), (X, Y[:7])), ValueError, r"batch 2 of the function: X has 10 rows but y has 7"),
            (gives((X, None)), TypeError, r"batch 1 of the function: y is None"),
            (gives((X, Y, Y[:2])), ValueError, r"sample_weight has shape \(2,\): expected \(10,\)"),
            (gives((X, Y), (X[:, :1], Y)), ValueError, r"batch 2: X has 1 columns but that of batch 1 has 2"),
            (
                gives((X, Y), (X, Y[:, None])),
                ValueError,
                r"batch 2: y has 1 columns but that of batch 1 has shape \(rows,\)",
            ),
            (gives((X, Y), (X, Y, Y)), ValueError, r"batch 2 has a sample_weight but batch 1 has none"),
            (gives((X, Y, Y), (X, Y)), ValueError, r"batch 1 has a sample_weight but batch 2 has none"),
            (gives((Y, Y)), ValueError, r"batch 1 of the function: X has shape \(10,\)"),
            (
                gives((X[None, None], Y[:1])),
                ValueError,
                r"X has shape \(1, 1, 10, 2\): expected \(rows, n_features\), or",
            ),
            (
                gives((X, np.nan * Y)),
                ValueError,
                r"batch 1 of the function: y\[0\] is nan: every number must be finite",
            ),
            (gives((X, Y), (np.where(X == 7, np.inf, X), Y)), ValueError, r"batch 2 of the function: X\[3, 1\] is inf"),
            (
                gives(),
                ValueError,
                r"the function gave no rows: expected at least one batch; a function has to return a new",
            ),
            (gives((X[:0], Y[:0])), ValueError, r"the function gave no rows"),
            (lambda: (X, Y), TypeError, r"the function gave tuple: expected an iterator .* `yield X, y`"),
            (lambda: None, TypeError, r"the function gave NoneType"),
        ],
    )
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_batches(self, source: Any, error: type[Exception], message: str, shuffle: bool) -> None:
        with pytest.raises(error, match=message):
            read(stream(source, buffer=4), shuffle=shuffle)

    def test_a_generator_that_is_at_its_end_already(self) -> None:
        used = batches()
        list(used)
        rows = stream(lambda: used)
        with pytest.raises(ValueError, match="a function has to return a new iterator each time that it is called"):
            read(rows)

    def test_rows_are_counted_from_the_beginning(self) -> None:
        wrong = np.ones((1000, 2))
        wrong[777, 1] = np.nan
        with pytest.raises(ValueError, match=r"X\[777, 1\] is nan"):
            read(stream((wrong, wrong[:, 0]), buffer=100))

    def test_large_numbers_are_finite(self) -> None:
        large = np.full((10, 2), 1e308)
        np.testing.assert_array_equal(all_of(stream((large, Y)))[0], large)

    @pytest.mark.parametrize(
        ("changed", "error"),
        [
            ({"epoch": -1}, ValueError),
            ({"epoch": 0.5}, TypeError),
            ({"batch_size": 0}, ValueError),
            ({"seed": -1}, ValueError),
            ({"shuffle": "yes"}, TypeError),
        ],
    )
    def test_opening(self, changed: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error, match=next(iter(changed))):
            stream((X, Y)).open(**{"epoch": 0, "batch_size": 1, "shuffle": True, "seed": 0, **changed})
