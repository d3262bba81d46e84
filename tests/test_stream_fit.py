"""Training on a stream: the bits of training on the same rows in memory, whatever the source and however it is cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import deltarule as dr
from deltarule.streams import stream

Array = npt.NDArray[Any]

X = np.random.default_rng(0).normal(size=(700, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def trained(data: Any, targets: Any = None, **settings: Any) -> tuple[dict[str, Array], dr.History]:
    network = dr.Network([dr.Dense(16, "tanh"), dr.Dropout(0.1), dr.Dense(2)], seed=3)
    given = () if targets is None else (targets,)
    history = network.fit(
        data, *given, **{"loss": "cross_entropy", "optimizer": dr.Adam(0.01), "epochs": 3, "batch_size": 32, **settings}
    )
    return network.parameters, history


def same(one: dict[str, Array], other: dict[str, Array]) -> bool:
    return all((one[name] == other[name]).all() for name in one)


def in_pieces(size: int) -> Any:
    def batches() -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(X), size):
            yield X[start : start + size], Y[start : start + size]

    return batches


@pytest.mark.parametrize("buffer", [1, 33, 100, 10**6])
@pytest.mark.parametrize("size", [1, 50, 700])
def test_the_bits_of_the_rows_in_memory(size: int, buffer: int) -> None:
    expected, history = trained(X, Y, shuffle=False)
    found, of_stream = trained(stream(in_pieces(size), buffer=buffer), shuffle=False)
    assert same(expected, found)
    assert of_stream["loss"] == pytest.approx(history["loss"])


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_source_makes_no_difference(tmp_path: Path, shuffle: bool) -> None:
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", Y)
    lines = "".join(f"{','.join(repr(float(x)) for x in row)},{y}\n" for row, y in zip(X, Y, strict=True))
    (tmp_path / "table.csv").write_text(lines)
    sources = [
        stream((X, Y), buffer=100),
        stream(in_pieces(13), buffer=100),
        stream((tmp_path / "X.npy", tmp_path / "y.npy"), buffer=100),
        stream(tmp_path / "table.csv", target=-1, classes=["0", "1"], header=False, buffer=100),
    ]
    first, *others = (trained(source, shuffle=shuffle)[0] for source in sources)
    assert all(same(first, other) for other in others)


def test_shuffled_rows_are_learned_from() -> None:
    order = np.argsort(Y, kind="stable")  # sorted by class
    _, history = trained(stream((X[order], Y[order]), buffer=700), epochs=40)
    assert history["loss"][-1] < 0.35


def test_other_seeds_and_epochs_see_other_orders() -> None:
    assert not same(trained(stream((X, Y), buffer=100))[0], trained(stream((X, Y), buffer=100), shuffle=False)[0])
    assert same(trained(stream((X, Y), buffer=100))[0], trained(stream((X, Y), buffer=100))[0])


def test_weights_of_samples() -> None:
    weights = np.linspace(0.1, 2, len(X))
    expected, _ = trained(X, Y, sample_weight=weights, shuffle=False)
    assert same(expected, trained(stream((X, Y, weights), buffer=90), shuffle=False)[0])


def test_sequences() -> None:
    sequences, targets = dr.datasets.adding_problem(200, n_steps=10)

    def fitted(*data: Any) -> dict[str, Array]:
        network = dr.Network([dr.GRU(8), dr.Dense(1)], seed=0)
        network.fit(*data, loss="mse", epochs=2, shuffle=False)
        return network.parameters

    assert same(fitted(sequences, targets), fitted(stream((sequences, targets), buffer=64)))


class TestErrors:
    @pytest.fixture(autouse=True)
    def _no_thread_is_left(self) -> Iterator[None]:
        before = threading.active_count()
        yield
        assert threading.active_count() == before

    def test_of_the_source_end_the_fit_with_their_words(self) -> None:
        def batches() -> Iterator[tuple[Array, Array]]:
            yield X, Y
            raise ConnectionError("the server is gone")

        with pytest.raises(ConnectionError, match="the server is gone"):
            trained(stream(batches, buffer=100))

    def test_of_later_batches_are_found_while_training(self) -> None:
        with pytest.raises(ValueError, match=r"batch 2 of the iterable: y\[5\] is nan"):
            trained(stream([(X, Y), (X, np.where(np.arange(700) == 5, np.nan, Y))], buffer=100))

    def test_targets_that_the_loss_does_not_take(self) -> None:
        with pytest.raises(ValueError, match="y"):
            trained(stream([(X, Y), (X, Y + 1)], buffer=100), shuffle=False)

    def test_an_iterator_for_more_than_one_epoch(self) -> None:
        with pytest.raises(ValueError, match="can be gone through only once; pass a function"):
            trained(stream(in_pieces(100)()))
        trained(stream(in_pieces(100)()), epochs=1)

    def test_a_callback_that_fails_leaves_nothing_behind(self) -> None:
        class Fails:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                raise RuntimeError("no more")

        with pytest.raises(RuntimeError, match="no more"):
            trained(stream(in_pieces(10), buffer=64), callbacks=[Fails()])


def test_chunks_whose_rows_do_not_count() -> None:
    weights = np.ones(len(X), np.float32)
    weights[:200] = 0
    expected, history = trained(X, Y, shuffle=False, sample_weight=weights)
    found, of_stream = trained(stream((X, Y, weights), buffer=64), shuffle=False)
    assert same(expected, found)
    assert of_stream["loss"] == pytest.approx(history["loss"])


def test_chunks_of_a_class_that_does_not_count() -> None:
    order = np.argsort(Y, kind="stable")
    classes = {0: 0.0, 1: 3.0}
    expected, _ = trained(X[order], Y[order], shuffle=False, class_weight=classes)
    found, _ = trained(stream((X[order], Y[order]), buffer=64), shuffle=False, class_weight=classes)
    assert same(expected, found)


def test_what_needs_no_data_to_be_refused_leaves_an_iterator_as_it_is() -> None:
    batches = in_pieces(50)()
    network = dr.Network([dr.Dense(2)])
    with pytest.raises(ValueError, match=r"metrics with a stream .* pass validation_data"):
        network.fit(stream(batches), loss="cross_entropy", metrics=["accuracy"])
    assert len(next(batches)[0]) == 50
