"""Recurrent networks to the last bit: any number of threads, AVX2 or AVX-512, any padding, checkpoints or none, a
sequence at once or in parts, a sample alone or among others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_networks import INPUTS, KINDS, Array, Batch, batch, bits, make, states

import deltarule as dr
from deltarule import _core

pytestmark = pytest.mark.usefixtures("same_isa_after")

EQUAL = [name for name in _core.isas() if _core.has_same_bits(name)] or [_core.isa()]
THREADS = [1, 2, 3, 4]
DTYPES = ["float32", "float64"]
WEIGHT = np.random.default_rng(8).uniform(0.1, 2, 23)


@pytest.fixture
def same_isa_after() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.select_isa(before)


def trained(data: Batch, network: dr.Network, loss: str = "mse", X: Any = None, y: Any = None, **options: Any) -> bytes:
    """The bits of a fit: of the weights, and of the history of the loss. X and y may be other forms of the data's."""
    given = data.of_steps if X is None else {}
    options = {"optimizer": "adam", "epochs": 2, "batch_size": 9, "sample_weight": WEIGHT[: len(data.X)], **options}
    X, y = data.X if X is None else X, data.y if y is None else y
    history = network.fit(X, y, loss=loss, **given, **options)
    assert all(np.isfinite(array).all() for array in network.state_dict().values())
    return bits(network, history["loss"], history.get("val_loss", []))


def asked(data: Batch, network: dr.Network, n_steps: int, loss: str = "mse", **options: Any) -> dict[str, bytes]:
    """The bits of everything that a network answers; of sequences of outputs, the first steps."""
    given, weight = data.of_steps | options, WEIGHT[: len(data.X)]
    output, after = network.predict(data.X, return_state=True, **given)
    of_loss = {"loss": loss, "sample_weight": weight, **given}
    value, gradients = network.loss_and_gradients(data.X, data.y, **of_loss)
    if output.ndim == 3:
        assert not output[:, n_steps:].any()
    return {
        "output": bits(np.ascontiguousarray(output[:, :n_steps] if output.ndim == 3 else output)),
        "states": bits(after),
        "loss": bits(value),
        "gradients": bits(gradients),
        "evaluate": bits(network.evaluate(data.X, data.y, **of_loss)["loss"]),
    }


PATHS: list[dict[str, Any]] = [
    {},
    {"ragged": True, "clip_norm": 0.1},
    {"ragged": True, "by_step": True, "bidirectional": True, "clip_norm": 0.1},
    {"ragged": True, "by_step": True, "bptt_steps": 3, "mixed": True},
    {"ragged": True, "bptt_steps": 2, "clip_norm": 0.1},
    {"ragged": True, "by_step": True, "checkpoint_steps": 3, "mixed": True, "clip_norm": 0.1},
    {"checkpoint_steps": "auto", "validation_split": 0.3, "optimizer": "rmsprop"},
    {"bidirectional": True, "mixed": True, "ragged": True, "units": 33},
]


class TestThreadsAndInstructionSets:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("path", PATHS, ids=str)
    def test_of_a_fit(self, path: dict[str, Any], kind: str, dtype: str) -> None:
        options = {"units": 17, **path}
        form = {name: options.pop(name) for name in ("by_step", "ragged") if name in options}
        built = {name: options.pop(name) for name in ("bidirectional", "mixed", "units") if name in options}
        data = batch(23, 7, dtype=dtype, **form)
        found = set()
        for isa in EQUAL:
            _core.select_isa(isa)
            for n_threads in THREADS if isa == EQUAL[-1] else THREADS[:2]:
                network = make(kind, 2, by_step=data.by_step, dtype=dtype, **built)
                found.add(trained(data, network, n_threads=n_threads, **options))
        assert len(found) == 1

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("n_samples", [1, 2, 23])
    def test_of_answers(self, n_samples: int, kind: str, dtype: str) -> None:
        for by_step in (False, True):
            data, found = batch(n_samples, 6, ragged=n_samples > 1, by_step=by_step, dtype=dtype), []
            for isa in EQUAL:
                _core.select_isa(isa)
                network = make(kind, 2, by_step=by_step, bidirectional=by_step, units=17, dtype=dtype)
                found += [asked(data, network, 6, n_threads=n_threads) for n_threads in THREADS]
            assert all(one == found[0] for one in found)

    @pytest.mark.parametrize("isa", _core.isas())
    def test_threads_on_any_instruction_set(self, isa: str) -> None:
        """Without FMA the bits are others, but they too do not depend on the number of threads."""
        _core.select_isa(isa)
        data = batch(23, 7, ragged=True, dtype="float32")
        assert len({trained(data, make("lstm", 2, dtype="float32"), n_threads=n) for n in THREADS}) == 1

    def test_initialize(self) -> None:
        found = set()
        for isa in _core.isas():
            _core.select_isa(isa)
            layers = [dr.LSTM(17, recurrent_init="orthogonal", return_sequences=True), dr.GRU(5), dr.Dense(1)]
            found.add(bits(dr.Network(layers, input_shape=(None, 3), seed=5)))
        assert len(found) == 1

    def test_chunks_without_an_output_with_several_threads_come_to_an_end(self) -> None:
        """Thread by thread through pieces that are over at once: nobody may still be in the last one."""
        data, found = batch(8, 12, dtype="float32"), set()
        for n_threads in (1, 4, 2):
            network = make("gru", dtype="float32")
            found.add(trained(data, network, epochs=300, bptt_steps=1, n_threads=n_threads, optimizer=dr.Adam(lr=1e-4)))
        assert len(found) == 1


class TestPadding:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("by_step", [False, True])
    def test_changes_no_bit(self, by_step: bool, kind: str, dtype: str) -> None:
        loss = "cross_entropy" if by_step else "mse"
        for bidirectional in (False, True):
            options: dict[str, Any] = {"by_step": by_step, "dtype": dtype}
            data = batch(11, 6, ragged=True, loss=loss, **options)
            network = make(kind, 2, bidirectional=bidirectional, mixed=True, **options)
            cuts: list[dict[str, Any]] = [{}] if bidirectional else [{}, {"bptt_steps": 2}, {"checkpoint_steps": 2}]
            answers = asked(data, network, 6, loss)
            fits = [trained(data, make(kind, 2, mixed=True, **options), loss, **cut) for cut in cuts]
            for more, value in ((0, 0.0), (3, np.inf), (17, -1e30)):
                other = data.padded(more, value)
                assert asked(other, network, 6, loss) == answers
                again = [trained(other, make(kind, 2, mixed=True, **options), loss, **cut) for cut in cuts]
                assert again == fits

    @pytest.mark.parametrize("by_step", [False, True])
    def test_lists_of_arrays_are_arrays_with_lengths(self, by_step: bool) -> None:
        data = batch(9, 6, ragged=True, by_step=by_step)
        X, y = data.as_lists()
        network = make("lstm", 2, by_step=by_step)
        assert bits(network.predict(X)) == bits(network.predict(data.X, lengths=data.lengths))
        one = network.loss_and_gradients(X, y, loss="mse")
        other = network.loss_and_gradients(data.X, data.y, loss="mse", lengths=data.lengths)
        assert bits(*one) == bits(*other)
        assert network.evaluate(X, y, loss="mse") == network.evaluate(data.X, data.y, loss="mse", lengths=data.lengths)
        mixed: dict[str, Any] = {"by_step": by_step, "mixed": True}
        fits = {trained(data, make("lstm", 2, **mixed)), trained(data, make("lstm", 2, **mixed), X=X, y=y)}
        fits.add(trained(data, make("lstm", 2, **mixed), X=tuple(X), y=y))
        assert len(fits) == 1

    @pytest.mark.parametrize("bptt_steps", [None, 2])
    def test_lengths_that_are_all_the_whole(self, bptt_steps: int | None) -> None:
        for by_step in (False, True):
            data = batch(9, 6, by_step=by_step)
            options: dict[str, Any] = {"by_step": by_step, "mixed": True}
            plain = trained(data, make("gru", 2, **options), bptt_steps=bptt_steps)
            whole = Batch(data.X, data.y, np.full(9, 6))
            assert trained(whole, make("gru", 2, **options), bptt_steps=bptt_steps) == plain
            assert trained(data, make("gru", 2, **options), X=list(data.X), bptt_steps=bptt_steps) == plain

    @pytest.mark.parametrize("lengths", [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [2, 6, 2, 1, 6, 3], [4] * 6])
    def test_lengths_in_any_order(self, lengths: list[int]) -> None:
        """Each sample is what it is alone; whatever kind of integers say how long it is."""
        whole = batch(6, 6)
        network = make("lstm", 2, bidirectional=True)
        data = Batch(whole.X, whole.y, np.array(lengths)).padded(0, np.nan)
        output = network.predict(data.X, lengths=lengths)
        for sample, length in enumerate(lengths):
            assert bits(network.predict(whole.X[sample : sample + 1, :length])) == bits(output[sample : sample + 1])
        for kind in ("int8", "uint8", ">i4", "uint64"):
            assert bits(network.predict(data.X, lengths=np.array(lengths).astype(kind))) == bits(output)
        strided = np.repeat(np.array(lengths), 2)[::2]
        assert bits(network.predict(data.X, lengths=strided)) == bits(output)


class TestCheckpoints:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("by_step", [False, True])
    def test_change_no_bit(self, by_step: bool, kind: str, dtype: str) -> None:
        n_steps = 7
        for ragged in (False, True):
            data = batch(11, n_steps, by_step=by_step, ragged=ragged, dtype=dtype)
            options: dict[str, Any] = {"mixed": True, "l2": 0.1, "by_step": by_step, "dtype": dtype}
            network = make(kind, 2, **options)
            given = data.of_steps | {"sample_weight": WEIGHT[:11], "initial_state": states(network, 11)}
            gradients = bits(*network.loss_and_gradients(data.X, data.y, loss="mse", **given))
            fit = trained(data, make(kind, 2, **options), clip_norm=0.1)
            for k in (1, 2, 3, n_steps - 1, n_steps, n_steps + 5, "auto"):
                cut: dict[str, Any] = {"checkpoint_steps": k}
                found = network.loss_and_gradients(data.X, data.y, loss="mse", **given, **cut)
                assert bits(*found) == gradients, k
                assert trained(data, make(kind, 2, **options), clip_norm=0.1, **cut) == fit, k

    def test_of_a_trainer(self) -> None:
        data, found = batch(9, 8, ragged=True), set()
        for k in (None, 1, 3, 20):
            network = make("lstm", 2, mixed=True)
            trainer = dr.Trainer(network, loss="mse", optimizer="nadam", clip_norm=0.5, checkpoint_steps=k)
            losses = [trainer.step(data.X, data.y, lengths=data.lengths) for _ in range(3)]
            found.add(bits(network, losses))
        assert len(found) == 1

    @pytest.mark.parametrize("by_step", [False, True])
    def test_chunks_longer_than_the_sequence_are_none(self, by_step: bool) -> None:
        data = batch(9, 6, ragged=True, by_step=by_step)
        options: dict[str, Any] = {"by_step": by_step, "mixed": True}
        plain = trained(data, make("gru", 2, **options))
        for k in (6, 7, 1000, 2**31 - 1):
            assert trained(data, make("gru", 2, **options), bptt_steps=k) == plain
        assert trained(data, make("gru", 2, **options), bptt_steps=5) != plain
        trainers = set()
        for cut in ({}, {"bptt_steps": 6}, {"bptt_steps": 100}):
            network = make("gru", 2, **options)
            trainer = dr.Trainer(network, loss="mse", **cut)
            trainers.add(bits([trainer.step(data.X, data.y, lengths=data.lengths) for _ in range(2)], network))
        assert len(trainers) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
class TestParts:
    @pytest.mark.parametrize("units", [4, 33])
    def test_in_two_calls_and_step_by_step(self, kind: str, units: int, dtype: str) -> None:
        for by_step in (False, True):
            network = make(kind, 3, by_step=by_step, units=units, mixed=True, dtype=dtype)
            for n_samples in (1, 2, 19):
                X = batch(n_samples, 8, dtype=dtype).X
                output, after = network.predict(X, return_state=True)
                for cut in (1, 3, 7):
                    first, state = network.predict(X[:, :cut], return_state=True)
                    second, end = network.predict(X[:, cut:], initial_state=state, return_state=True)
                    together = np.concatenate([first, second], axis=1) if by_step else second
                    assert bits(together, end) == bits(output, after)
                stream = network.stream()
                for _ in range(2):
                    steps = [stream(X[:, step]) for step in range(8)]
                    assert bits(np.stack(steps, axis=1) if by_step else steps[-1]) == bits(output)
                    assert stream.state is not None
                    assert bits(stream.state) == bits(after)
                    stream.reset()
                    assert stream.state is None

    def test_a_stream_goes_on_from_a_state_that_was_kept(self, kind: str, dtype: str) -> None:
        network, X = make(kind, 2, dtype=dtype), batch(3, 6, dtype=dtype).X
        stream = network.stream()
        for step in range(3):
            stream(X[:, step])
        kept = stream.state
        there = [stream(X[:, step]) for step in range(3, 6)]
        stream.state = kept
        assert bits(*there) == bits(*[stream(X[:, step]) for step in range(3, 6)])

    def test_a_sample_alone_and_in_a_batch(self, kind: str, dtype: str) -> None:
        for by_step, bidirectional in ((False, False), (True, True), (True, False)):
            network = make(kind, 2, by_step=by_step, bidirectional=bidirectional, units=17, mixed=True, dtype=dtype)
            data = batch(35, 6, ragged=True, dtype=dtype)
            given = states(network, 35)
            options: dict[str, Any] = {"initial_state": given, "return_state": True}
            output, after = network.predict(data.X, lengths=data.lengths, **options)
            for sample in (0, 1, 15, 16, 17, 34):
                row, length = slice(sample, sample + 1), int(data.exists[sample].sum())
                own: dict[str, Array] = {name: array[row] for name, array in given.items()}
                alone, end = network.predict(data.X[row, :length], initial_state=own, return_state=True)
                expected = output[row, :length] if by_step else output[row]
                assert bits(np.ascontiguousarray(expected)) == bits(alone)
                assert bits(end) == bits({name: array[row] for name, array in after.items()})

    def test_other_forms_of_the_same_numbers(self, kind: str, dtype: str) -> None:
        X, y = batch(9, 6, dtype=dtype).X, batch(9, 6, dtype=dtype).y
        other = X.transpose(1, 0, 2).copy().transpose(1, 0, 2)  # time-major in memory
        forms = [X, other, X.astype(X.dtype.newbyteorder(">")), X.tolist(), list(X), np.asfortranarray(X)]
        forms += [np.repeat(X, 2, axis=1)[:, ::2], X.astype("longdouble")]
        read_only = X.copy()
        read_only.flags.writeable = False
        found = set()
        for given in [*forms, read_only]:
            network = make(kind, dtype=dtype)
            network.fit(given, y, loss="mse", batch_size=4)
            found.add(bits(network, network.predict(given)))
        assert len(found) == 1
        assert X.shape == (9, 6, INPUTS)
