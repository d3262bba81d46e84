"""Schedules of the learning rate in `Network.fit`: the steps of a loop of one's own, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import deltarule as dr

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(50, 3))
Y = np.stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])], axis=1)
EPOCHS, BATCH = 7, 16
STEPS = 4  # of an epoch, the last one smaller

SCHEDULES = [
    dr.StepLR(0.1, 2),
    dr.MultiStepLR(0.1, [1, 4], gamma=0.5),
    dr.ExponentialLR(0.1, 0.8),
    dr.CosineAnnealingLR(0.1),
    dr.CosineAnnealingLR(0.1, total_steps=20),
    dr.OneCycleLR(0.5),
    dr.OneCycleLR(0.5, 100, three_phase=True),
    dr.LinearWarmup(0.1, steps=6),
    dr.LinearWarmup(dr.CosineAnnealingLR(0.1), epochs=2),
    dr.LinearWarmup(dr.StepLR(0.1, 1), steps=6),
    dr.LinearWarmup(dr.OneCycleLR(0.5), steps=6),
]


def new(dtype: str = "float64") -> dr.Network:
    return dr.Network([dr.Dense(9, "tanh", l2=1e-3), dr.Dense(2)], input_shape=3, dtype=dtype, seed=2)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [dr.SGD, dr.Adam, dr.NAdam, dr.RMSprop])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=[str(schedule)[:60] for schedule in SCHEDULES])
def test_the_same_bits_as_steps_with_these_rates(schedule: dr.Schedule, optimizer: Any, dtype: str) -> None:
    fitted, stepped = new(dtype), new(dtype)
    history = fitted.fit(
        X, Y, loss="mse", optimizer=optimizer(lr=schedule), epochs=EPOCHS, batch_size=BATCH, shuffle=False
    )
    trainer = dr.Trainer(stepped, loss="mse", optimizer=optimizer())
    rates = schedule.rates(EPOCHS, STEPS)
    for number, rate in enumerate(rates):
        trainer.lr = rate
        first = number % STEPS * BATCH
        trainer.step(X[first : first + BATCH], Y[first : first + BATCH])
    assert bits(fitted) == bits(stepped)
    assert history["lr"] == list(rates[STEPS - 1 :: STEPS])


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_matter(threads: int) -> None:
    one, many = new(), new()
    for network, n_threads in ((one, 1), (many, threads)):
        network.fit(X, Y, loss="mse", optimizer=dr.Adam(dr.OneCycleLR(0.1)), epochs=9, n_threads=n_threads)
    assert bits(one) == bits(many)


def test_each_fit_begins_the_schedule_anew() -> None:
    network = new()
    for _ in range(2):
        history = network.fit(X, Y, loss="mse", optimizer=dr.SGD(dr.ExponentialLR(0.1, 0.5)), epochs=3)
        assert history["lr"] == [0.1, 0.05, 0.025]


def test_no_epochs() -> None:
    for schedule in SCHEDULES:
        assert new().fit(X, Y, loss="mse", optimizer=dr.SGD(schedule), epochs=0).epochs == 0


class TestPlateau:
    def test_lowers_the_rate_by_the_validation_loss(self) -> None:
        schedule = dr.ReduceLROnPlateau(0.05, factor=0.5, patience=1)
        history = new().fit(
            X, Y, loss="mse", optimizer=dr.SGD(schedule), epochs=40, batch_size=BATCH, validation_data=(X[:5], -Y[:5])
        )
        course = schedule.begin()
        for epoch, val_loss in enumerate(history["val_loss"]):
            assert history["lr"][epoch] == course.rates(epoch, 0, 1)
            course.see({"val_loss": val_loss})
        assert history["lr"][-1] < 0.05

    def test_without_validation_by_the_loss(self) -> None:
        schedule = dr.ReduceLROnPlateau(1e-12, factor=0.5, patience=0, eps=0.0)  # nothing moves by so little
        history = new().fit(X, Y, loss="mse", optimizer=dr.SGD(schedule), epochs=4, shuffle=False)
        assert history["lr"] == [1e-12, 1e-12, 5e-13, 2.5e-13]

    def test_a_metric_that_is_not_measured(self) -> None:
        network = new()
        schedule = dr.ReduceLROnPlateau(0.1, "val_r2", mode="max")
        with pytest.raises(ValueError, match="monitor='val_r2', and the epoch has no such number: it has loss"):
            network.fit(X, Y, loss="mse", optimizer=dr.SGD(schedule), epochs=2)
        network.fit(X, Y, loss="mse", optimizer=dr.SGD(schedule), epochs=2, validation_split=0.2, metrics=["r2"])

    def test_a_metric(self) -> None:
        schedule = dr.ReduceLROnPlateau(0.1, "r2", mode="max", patience=0, threshold=10.0, threshold_mode="abs")
        history = new().fit(X, Y, loss="mse", optimizer=dr.SGD(schedule), epochs=3, metrics=["r2"])
        assert history["lr"] == [0.1, 0.1, pytest.approx(0.01)]


class TestErrors:
    def test_a_cycle_that_is_too_short(self) -> None:
        network = new()
        before = bits(network)
        with pytest.raises(ValueError, match="in a training of 28 steps: it ends after 20; give total_steps=28"):
            network.fit(X, Y, loss="mse", optimizer=dr.SGD(dr.OneCycleLR(0.1, 20)), epochs=EPOCHS, batch_size=BATCH)
        assert bits(network) == before

    def test_a_divergence_says_the_rate(self) -> None:
        network = new()
        with pytest.raises(dr.DivergenceError, match=r"learning rate \(lr=[0-9.e+]+ now\)"):
            network.fit(X, Y, loss="mse", optimizer=dr.SGD(dr.ExponentialLR(10.0, 3.0)), epochs=400)
        with pytest.raises(dr.DivergenceError, match="learning rate"):
            network.fit(X, Y, loss="mse", optimizer=dr.SGD(dr.ExponentialLR(1e-3, 1e200)), epochs=4)


def test_asking_a_trainer_for_its_rate_changes_nothing() -> None:
    rates = []
    for asks in (False, True):
        warmup = dr.LinearWarmup(dr.ReduceLROnPlateau(0.1, "loss", patience=0, factor=0.5), 4)
        trainer = dr.Trainer(new(), loss="mse", optimizer=dr.SGD(warmup))
        for steps in (3, 1, 1, 1):
            for _ in range(steps):
                trainer.step(X, Y)
            if asks:
                assert trainer.lr > 0
            trainer.end_epoch({"loss": 1.0})
        rates.append(trainer.lr)
    assert rates[0] == rates[1]


def test_the_first_step_size_of_rprop_is_the_rate_of_the_first_step() -> None:
    cycle = dr.OneCycleLR(0.1, 3)
    of_fit, of_trainer = new(), new()
    of_fit.fit(X, Y, loss="mse", optimizer=dr.Rprop(lr=cycle), epochs=3, batch_size=len(X), shuffle=False)
    trainer = dr.Trainer(of_trainer, loss="mse", optimizer=dr.Rprop(lr=cycle))
    for _ in range(3):
        trainer.step(X, Y)
    assert bits(of_fit) == bits(of_trainer)


def test_a_divergence_names_the_rate_of_its_step() -> None:
    with pytest.raises(dr.DivergenceError) as raised:
        new().fit(X, Y, loss="mse", optimizer=dr.SGD(dr.ExponentialLR(1e-3, 1e30)), epochs=9, batch_size=BATCH)
    assert raised.value.epoch > 0
    assert f"(lr={1e-3 * 1e30**raised.value.epoch:g} now)" in str(raised.value)
