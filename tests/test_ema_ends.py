"""How fits with `EMA` end, whatever ends them, and what is refused."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from reference_steps import Array, reference_steps, worst
from test_ema import ADAM, Averaged, Looks, X, Y, bits, new

import deltarule as dr
from deltarule import _core


class Stops:
    """A loss of one's own that is the mean square, until some step."""

    def __init__(self, step: int, what: Callable[[], float]) -> None:
        self.step, self.what, self.calls = step, what, 0

    def __call__(self, output: Array, y: Array) -> tuple[float, Array]:
        self.calls += 1
        difference = output - y
        value = self.what() if self.calls == self.step else float((difference**2).mean())
        return value, 2 * difference / difference.size


def raises(error: BaseException) -> Callable[[], float]:
    def function() -> float:
        raise error

    return function


class Ends:
    def __init__(self, epoch: int, error: BaseException | None = None) -> None:
        self.epoch, self.error = epoch, error

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        if epoch == self.epoch and self.error is not None:
            raise self.error
        return epoch == self.epoch


def average_after(steps: int, decay: float, batch_size: int = 16) -> dict[str, Array]:
    expected = Averaged(new(), decay)
    given = reference_steps(expected.twin, 4, X, Y, optimizer=ADAM, epochs=100, batch_size=batch_size)
    for number, _ in enumerate(given, 1):
        if number == steps:
            break
    return expected.average


class TestHowAFitEnds:
    OPTIONS: ClassVar[dict[str, Any]] = {"optimizer": ADAM, "epochs": 100, "batch_size": 16}  # four steps an epoch

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mine"), SystemExit(3)], ids=repr)
    @pytest.mark.parametrize("steps", [0, 1, 2, 6, 8])
    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_amid_an_epoch(self, n_threads: int, steps: int, error: BaseException) -> None:
        """With the average of the steps that there were; without any, with what was there."""
        network = new()
        with pytest.raises(type(error)):
            network.fit(
                X, Y, loss=Stops(steps + 1, raises(error)), callbacks=[dr.EMA(0.8)], n_threads=n_threads, **self.OPTIONS
            )
        expected = average_after(steps, 0.8) if steps else new().state_dict()
        assert worst(network.state_dict(), expected) <= (1e-12 if steps else 0)
        assert network.epochs_trained == steps // 4

    @pytest.mark.parametrize("error", [None, KeyboardInterrupt(), ValueError("mine")], ids=repr)
    def test_after_an_epoch(self, error: BaseException | None) -> None:
        network = new()
        given: dict[str, Any] = {"loss": "mse", "callbacks": [Ends(2, error), dr.EMA(0.8)], **self.OPTIONS}
        if error is None:
            network.fit(X, Y, **given)
        else:
            with pytest.raises(type(error)):
                network.fit(X, Y, **given)
        assert worst(network.state_dict(), average_after(12, 0.8)) <= 1e-12

    def test_after_a_signal(self) -> None:
        """Whenever it comes: some whole number of steps."""

        def interrupt(*arguments: Any) -> None:
            raise KeyboardInterrupt

        network = new()
        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                network.fit(X, Y, loss="mse", callbacks=[dr.EMA(0.8)], **{**self.OPTIONS, "epochs": 10**9})
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        stepped, average = new(), dict[str, Array]()
        trainer, errors = dr.Trainer(stepped, loss="mse", optimizer=ADAM), []
        for epoch in range(network.epochs_trained + 1):
            order = np.asarray(_core.shuffled(50, 4, epoch))
            for first in range(0, 50, 16):
                trainer.step(X[order[first : first + 16]], Y[order[first : first + 16]])
                for name, weight in stepped.parameters.items():
                    before = average.get(name, weight)
                    average[name] = before + (1 - 0.8) * (weight - before)
                if epoch >= network.epochs_trained - 1:
                    errors.append(worst(network.state_dict(), average))
        assert min(errors) <= 1e-12 < sorted(errors)[1]

    def test_at_a_time_limit(self) -> None:
        network, looks = new(), Looks()
        started = time.monotonic()
        history = network.fit(
            X, Y, loss="mse", callbacks=[dr.EMA(0.8), dr.TimeLimit(0.05), looks], **{**self.OPTIONS, "epochs": 10**9}
        )
        assert time.monotonic() - started < 5
        assert bits(network) == bits(looks.seen[-1]["copy"])
        assert history.epochs == len(looks.seen) == network.epochs_trained

    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_where_it_diverges_there_is_no_average(self, n_threads: int) -> None:
        for step, epochs in ((2, 0), (5, 1), (11, 2)):
            network, plain = new(), new()
            with pytest.raises(dr.DivergenceError) as caught:
                network.fit(
                    X, Y, loss=Stops(step, lambda: math.inf), callbacks=[dr.EMA(0.8)], n_threads=n_threads,
                    **self.OPTIONS,
                )  # fmt: skip
            assert caught.value.epoch == epochs
            plain.fit(X, Y, loss=Stops(0, lambda: 0.0), **{**self.OPTIONS, "epochs": epochs})
            assert bits(network) == bits(plain)

    def test_without_epochs_nothing_changes(self) -> None:
        network = new()
        network.fit(X, Y, loss="mse", epochs=0, callbacks=[dr.EMA()])
        assert bits(network) == bits(new())

    def test_the_callback_can_be_used_again(self) -> None:
        average, networks = dr.EMA(0.8), (new(), new())
        for network in networks:
            network.fit(X, Y, loss="mse", callbacks=[average], epochs=2)
        assert bits(networks[0]) == bits(networks[1])


class TestWhatIsRefused:
    @pytest.mark.parametrize("decay", [-0.1, 1, 1.5, math.nan, math.inf, "0.9", None, True])
    def test_decays(self, decay: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="decay="):
            dr.EMA(decay)

    def test_two_of_them(self) -> None:
        network = new()
        with pytest.raises(ValueError, match="callbacks holds 2 EMA: a fit keeps one average"):
            network.fit(X, Y, loss="mse", callbacks=[dr.EMA(), dr.EMA(0.5)])
        assert bits(network) == bits(new())

    def test_the_class_itself(self) -> None:
        with pytest.raises(TypeError, match="callbacks holds <class"):
            new().fit(X, Y, loss="mse", callbacks=[dr.EMA])

    def test_while_another_average_is_on_its_way(self) -> None:
        network, errors = new(), []

        class Again:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                try:
                    network.fit(X, Y, loss="mse", callbacks=[dr.EMA(0.5)])
                except RuntimeError as error:
                    errors.append(error)

        assert_as = new()
        network.fit(X, Y, loss="mse", epochs=2, callbacks=[Again(), dr.EMA(0.5)])
        assert_as.fit(X, Y, loss="mse", epochs=2, callbacks=[dr.EMA(0.5)])
        assert len(errors) == 2
        assert bits(network) == bits(assert_as)
