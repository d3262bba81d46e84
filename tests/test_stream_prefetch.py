"""The thread that reads ahead: what it gives, when it ends, and whose errors it brings."""

from __future__ import annotations

import decimal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from deltarule.streams import prefetched, stream
from deltarule.streams.prefetch import _PATIENCE


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def same(chunk: Any) -> Any:
    return chunk


@pytest.mark.parametrize("count", [0, 1, 2, 100])
@pytest.mark.parametrize(
    "delays", [(0.0, 0.0), (0.002, 0.0), (0.0, 0.002)], ids=["even", "slow source", "slow consumer"]
)
def test_gives_all_in_order(count: int, delays: tuple[float, float]) -> None:
    def source() -> Iterator[int]:
        for number in range(count):
            time.sleep(delays[0])
            yield number

    found = []
    with prefetched(source(), lambda number: number * 2) as ahead:
        for value in ahead:
            time.sleep(delays[1])
            found.append(value)
        assert next(ahead, None) is None
    assert found == [2 * number for number in range(count)]


def test_any_iterator_will_do() -> None:
    with prefetched(iter([1, None, 3]), same) as ahead:
        assert list(ahead) == [1, None, 3]


def test_one_ahead_and_not_two() -> None:
    made: list[int] = []
    converted = threading.Semaphore(0)

    def source() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    def convert(number: int) -> int:
        converted.release()
        return number

    with prefetched(source(), convert) as ahead:
        for taken in range(4):
            assert converted.acquire(timeout=10)
            time.sleep(0.02)  # it would go on if it were to
            assert made == list(range(taken + 1))
            assert next(ahead) == taken


def test_reading_overlaps_with_work() -> None:
    def source() -> Iterator[int]:
        for number in range(10):
            time.sleep(0.03)
            yield number

    start = time.perf_counter()
    with prefetched(source(), same) as ahead:
        for _ in ahead:
            time.sleep(0.03)
    assert time.perf_counter() - start < 0.03 * 20 * 0.85


def test_nothing_is_kept_of_what_was_taken() -> None:
    class Thing:
        pass

    things: list[weakref.ref[Thing]] = []

    def source() -> Iterator[Thing]:
        for _ in range(6):
            thing = [Thing()]
            things.append(weakref.ref(thing[0]))
            yield thing.pop()

    with prefetched(source(), same) as ahead:
        for value in ahead:
            del value
            time.sleep(0.01)
            assert sum(thing() is not None for thing in things) <= 1


def boom(*_: Any) -> Any:
    raise LookupError("no such row")


class TestErrors:
    @pytest.mark.parametrize("good", [0, 1, 3])
    def test_of_the_source_come_out_with_their_traceback(self, good: int) -> None:
        def source() -> Iterator[int]:
            yield from range(good)
            boom()

        found = []

        def read() -> None:
            with prefetched(source(), same) as ahead:
                for value in ahead:
                    found.append(value)

        with pytest.raises(LookupError, match="no such row") as caught:
            read()
        assert found == list(range(good))
        assert "boom" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]

    def test_of_the_conversion(self) -> None:
        closed = []

        def source() -> Iterator[int]:
            try:
                yield from range(5)
            finally:
                closed.append(True)

        with pytest.raises(LookupError), prefetched(source(), boom) as ahead:
            next(ahead)
        assert closed == [True]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
    def test_of_any_kind(self, error: type[BaseException]) -> None:
        def source() -> Iterator[int]:
            yield 1
            raise error

        with pytest.raises(error), prefetched(source(), same) as ahead:
            list(ahead)

    def test_after_one_there_is_nothing_more(self) -> None:
        with prefetched(iter([1, 2]), boom) as ahead:
            with pytest.raises(LookupError):
                next(ahead)
            assert next(ahead, None) is None

    def test_stop_iteration_is_no_end(self) -> None:
        def convert(_: int) -> int:
            raise StopIteration

        with pytest.raises(RuntimeError, match="could not be converted"), prefetched(iter([1]), convert) as ahead:
            list(ahead)

    def test_while_closing(self) -> None:
        def source() -> Iterator[int]:
            try:
                yield 1
            finally:
                boom()

        with pytest.raises(LookupError), prefetched(source(), same) as ahead:
            list(ahead)


class TestLeaving:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, None])
    @pytest.mark.parametrize("taken", [0, 1, 3])
    def test_early_closes_the_source(self, taken: int, error: type[BaseException] | None) -> None:
        closed = []

        def source() -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.append(threading.current_thread())

        def leave() -> None:
            with prefetched(source(), same) as ahead:
                for _ in range(taken):
                    next(ahead)
                if not taken:
                    time.sleep(0.05)  # a generator that was never begun has nothing to close
                if error is not None:
                    raise error

        if error is None:
            leave()
        else:
            with pytest.raises(error):
                leave()
        assert len(closed) == 1

    def test_does_not_wait_for_a_whole_chunk(self) -> None:
        begun, closed = threading.Event(), threading.Event()

        def slow() -> Iterator[Any]:
            try:
                while True:
                    begun.set()
                    time.sleep(0.01)
                    yield np.ones((1, 1)), [0]
            finally:
                closed.set()

        start = time.perf_counter()
        for shuffle in (False, True):
            begun.clear()
            rows = stream(slow, buffer=10**6).open(0, batch_size=1, shuffle=shuffle, seed=0)
            with prefetched(rows, same):
                assert begun.wait(10)
            assert closed.is_set()
        assert time.perf_counter() - start < _PATIENCE

    def test_a_source_that_hangs_does_not_hold_up_the_program(self) -> None:
        program = """
import time
from deltarule.streams import prefetch, stream
prefetch._PATIENCE = 0.2

def hangs():
    time.sleep(600)
    yield

try:
    with prefetch.prefetched(stream(hangs).open(0, batch_size=1, shuffle=False, seed=0), lambda chunk: chunk):
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("left")
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")


def test_a_real_ctrl_c_while_waiting() -> None:
    program = """
import _thread, threading, time
from deltarule.streams import prefetched

closed = []
def slow():
    try:
        while True:
            time.sleep(0.3)
            yield 1
            time.sleep(1)
    finally:
        closed.append(True)

threading.Timer(0.6, _thread.interrupt_main).start()
try:
    with prefetched(slow(), lambda chunk: chunk) as ahead:
        for _ in ahead:
            pass
except KeyboardInterrupt:
    print("left", closed, threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left [True] 1\n", "")


def test_settings_of_the_caller_hold_in_the_source() -> None:
    def source() -> Iterator[int]:
        yield decimal.getcontext().prec

    with decimal.localcontext(prec=7), prefetched(source(), same) as ahead:
        assert list(ahead) == [7]


def test_streams_through_the_thread() -> None:
    rows = stream((np.arange(1000.0).reshape(-1, 1), np.arange(1000)), buffer=64)
    convert: Callable[[Any], Any] = lambda chunk: chunk.y.astype(float)  # noqa: E731
    with prefetched(rows.open(0, batch_size=8, shuffle=True, seed=0), convert) as ahead:
        found = np.concatenate(list(ahead))
    assert sorted(found) == list(range(1000))
