"""Every row once in an epoch, in chunks of whole batches, in an order that only seed, epoch and buffer decide."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule.streams import Chunk, prefetched, stream
from deltarule.streams.shuffle_buffer import order_of

Array = npt.NDArray[Any]


def numbered(sizes: Sequence[int]) -> Iterator[tuple[Array, Array, Array]]:
    """Batches of these sizes, whose rows say which they are: three times."""
    start = 0
    for size in sizes:
        numbers = np.arange(start, start + size, dtype=np.int64)
        yield np.stack([numbers, -numbers], axis=1), numbers * 3, numbers / 2
        start += size


def chunks_of(sizes: Sequence[int], batch_size: int, buffer: int, shuffle: bool, **how: int) -> list[Chunk]:
    opened = stream(numbered(sizes), buffer=buffer).open(
        how.get("epoch", 0), batch_size=batch_size, shuffle=shuffle, seed=how.get("seed", 0)
    )
    return list(opened)


def rows_of(chunks: list[Chunk]) -> list[int]:
    """The numbers of the rows in their order, which all three arrays agree on."""
    X = np.concatenate([chunk.X for chunk in chunks])
    np.testing.assert_array_equal(X[:, 0], -X[:, 1])
    np.testing.assert_array_equal(X[:, 0] * 3, np.concatenate([chunk.y for chunk in chunks]))
    weights = [chunk.sample_weight for chunk in chunks if chunk.sample_weight is not None]
    np.testing.assert_array_equal(X[:, 0] / 2, np.concatenate(weights))
    return [int(row) for row in X[:, 0]]


SIZES = st.lists(st.integers(0, 23), min_size=1, max_size=12).filter(any)


class TestEveryRowOnce:
    @given(SIZES, st.integers(1, 40), st.integers(1, 60), st.booleans())
    def test_in_chunks_of_whole_batches(self, sizes: list[int], batch_size: int, buffer: int, shuffle: bool) -> None:
        chunks = chunks_of(sizes, batch_size, buffer, shuffle)
        rows = rows_of(chunks)
        assert sorted(rows) == list(range(sum(sizes)))
        assert all(chunk.rows % batch_size == 0 for chunk in chunks[:-1])
        assert all(0 < chunk.rows <= max(buffer, batch_size) for chunk in chunks)
        if not shuffle:
            assert rows == list(range(sum(sizes)))

    @given(SIZES, st.integers(1, 40), st.integers(1, 60))
    def test_how_the_source_is_cut_makes_no_difference(self, sizes: list[int], batch_size: int, buffer: int) -> None:
        whole = chunks_of([sum(sizes)], batch_size, buffer, True)
        cut = chunks_of(sizes, batch_size, buffer, True)
        single = chunks_of([1] * sum(sizes), batch_size, buffer, True)
        arrays = next(numbered([sum(sizes)]))
        sliced = list(stream(arrays, buffer=buffer).open(0, batch_size=batch_size, shuffle=True, seed=0))
        for other in (cut, single, sliced):
            assert [chunk.y.tolist() for chunk in other] == [chunk.y.tolist() for chunk in whole]

    @given(SIZES, st.integers(1, 9), st.integers(1, 60))
    def test_batches_are_those_of_the_rows_in_memory(self, sizes: list[int], batch_size: int, buffer: int) -> None:
        chunks = chunks_of(sizes, batch_size, buffer, False)
        batches = [
            chunk.y[start : start + batch_size].tolist()
            for chunk in chunks
            for start in range(0, chunk.rows, batch_size)
        ]
        rows = [3 * row for row in range(sum(sizes))]
        assert batches == [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


class TestOrder:
    def test_is_the_same_on_any_machine(self) -> None:
        assert order_of(8, seed=7, epoch=3, refill=2).tolist() == [6, 5, 1, 3, 4, 2, 0, 7]
        assert order_of(1, seed=2**64 - 1, epoch=2**64 - 1, refill=10**6).tolist() == [0]
        assert order_of(0, seed=0, epoch=0, refill=0).tolist() == []

    def test_follows_from_seed_epoch_and_refill(self) -> None:
        ways = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**63, 0, 0)]
        assert len({tuple(order_of(50, *way)) for way in ways}) == len(ways)

    def test_epochs_differ_and_repeat(self) -> None:
        rows = stream((np.arange(500.0).reshape(-1, 1), np.arange(500)), buffer=100)

        def order(epoch: int, seed: int) -> list[int]:
            return [int(y) for chunk in rows.open(epoch, batch_size=8, shuffle=True, seed=seed) for y in chunk.y]

        assert order(0, 5) == order(0, 5)
        assert order(0, 5) != order(1, 5)
        assert order(0, 5) != order(0, 6)

    def test_every_place_is_as_likely(self) -> None:
        counts = np.zeros((6, 6))
        for seed in range(6000):
            counts[np.arange(6), order_of(6, seed, 0, 0)] += 1
        # 36 counts around 1000, of standard deviation 29
        assert np.abs(counts - 1000).max() < 5 * 29

    def test_rows_mix_beyond_one_buffer(self) -> None:
        rows = rows_of(chunks_of([1000], 10, 100, True))
        late = [place - row for place, row in enumerate(rows)]
        assert min(late) > -100  # no row comes before it is read
        assert max(late) > 100  # some wait for several refills
        assert np.corrcoef(rows[:50], range(50))[0, 1] < 0.5

    def test_a_buffer_of_everything_is_a_full_shuffle(self) -> None:
        rows = rows_of(chunks_of([7] * 100, 10, 10_000, True))
        assert np.abs(np.corrcoef(rows, range(700))[0, 1]) < 0.15


class TestTypes:
    def test_arrays_stay_as_the_source_has_them(self) -> None:
        batch = (np.ones((6, 2), np.uint8), np.zeros((6, 1), ">f4"))
        for shuffle in (False, True):
            for chunk in stream([batch, batch], buffer=4).open(0, batch_size=2, shuffle=shuffle, seed=0):
                assert (chunk.X.dtype, chunk.y.dtype) == (np.uint8, np.dtype(">f4"))
                assert chunk.sample_weight is None

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_whole_numbers_first_and_fractions_later(self, shuffle: bool) -> None:
        batches = [(np.array([[1], [2]]), [0, 1]), (np.array([[2.5], [3.5]]), [2, 3])]
        chunks = list(stream(batches, buffer=100).open(0, batch_size=1, shuffle=shuffle, seed=0))
        assert sorted(np.concatenate([chunk.X for chunk in chunks]).ravel()) == [1, 2, 2.5, 3.5]

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_sequences(self, shuffle: bool) -> None:
        X = np.arange(5 * 3 * 2.0).reshape(5, 3, 2)
        chunks = list(stream((X, X.sum(axis=2)), buffer=2).open(0, batch_size=2, shuffle=shuffle, seed=1))
        found = np.concatenate([chunk.X for chunk in chunks])
        np.testing.assert_array_equal(found[np.argsort(found[:, 0, 0])], X)
        for chunk in chunks:
            np.testing.assert_array_equal(chunk.X.sum(axis=2), chunk.y)

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_a_generator_may_fill_one_array_again_and_again(self, shuffle: bool) -> None:
        def batches() -> Iterator[tuple[Array, Array]]:
            X, y = np.empty((4, 1)), np.empty(4, np.int64)
            for part in range(10):
                y[:] = np.arange(4 * part, 4 * part + 4)
                X[:, 0] = y
                yield X, y

        chunks = list(stream(batches, buffer=4).open(0, batch_size=4, shuffle=shuffle, seed=0))
        assert sorted(int(y) for chunk in chunks for y in chunk.y) == list(range(40))


class TestMemory:
    ROWS, FEATURES, BUFFER = 40_000, 50, 4_000

    def batches(self) -> Iterator[tuple[Array, Array]]:
        for start in range(0, self.ROWS, 100):
            yield np.full((100, self.FEATURES), float(start)), np.full(100, start)

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_is_that_of_the_buffer(self, shuffle: bool) -> None:
        rows = stream(self.batches, buffer=self.BUFFER)
        of_buffer = self.BUFFER * (self.FEATURES + 1) * 8
        tracemalloc.start()
        seen = 0
        with prefetched(rows.open(0, batch_size=32, shuffle=shuffle, seed=0), lambda chunk: chunk) as chunks:
            for chunk in chunks:
                seen += chunk.rows
                del chunk
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == self.ROWS
        # The chunk under way, the one ahead, and the buffer where there is shuffling: of half its size then.
        assert peak < 2.3 * of_buffer

    def test_a_buffer_larger_than_the_source_takes_what_the_source_needs(self) -> None:
        X, y = np.ones((100, 10)), np.ones(100)
        tracemalloc.start()
        for shuffle in (False, True):
            for _ in stream((X, y), buffer=10**7).open(0, batch_size=10, shuffle=shuffle, seed=0):
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10**9

    def test_too_large_a_buffer_is_named(self) -> None:
        rows = stream(iter([(np.ones((1, 1000)), [0])]), buffer=2**60)
        with pytest.raises(MemoryError, match="choose a smaller buffer="):
            next(rows.open(0, batch_size=1, shuffle=True, seed=0))
