"""Schedules of the learning rate: their arguments, their course through a training, and in a `Trainer`."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.optimizers import OPTIMIZERS
from deltarule.schedule import ScheduleRun

SCHEDULES = [
    dr.StepLR(0.1, 3),
    dr.MultiStepLR(0.1, [2, 5], gamma=0.5),
    dr.ExponentialLR(0.1, 0.9),
    dr.CosineAnnealingLR(0.1, 20),
    dr.CosineAnnealingLR(0.1, total_steps=30, eta_min=0.01),
    dr.OneCycleLR(1.0, 100, three_phase=True),
    dr.ReduceLROnPlateau(0.1, "loss", patience=1),
    dr.LinearWarmup(0.1, steps=7),
    dr.LinearWarmup(0.1, epochs=4),
    dr.LinearWarmup(dr.StepLR(0.1, 3), steps=7),
    dr.LinearWarmup(dr.ReduceLROnPlateau(0.1, "loss", patience=0), epochs=2),
    dr.LinearWarmup(dr.OneCycleLR(1.0, 90), epochs=2),
]
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=[str(schedule)[:60] for schedule in SCHEDULES])


def course(run: ScheduleRun, epochs: range, per_epoch: int) -> list[float]:
    """The rates of all steps, with a loss that gets no better."""
    rates: list[float] = []
    for epoch in epochs:
        rates.extend(np.broadcast_to(run.rates(epoch, epoch * per_epoch, per_epoch), per_epoch))
        run.see({"loss": 1.0})
    return rates


@each_schedule
class TestEachSchedule:
    def test_is_a_value(self, schedule: dr.Schedule) -> None:
        again = dataclasses.replace(schedule)
        assert again == schedule
        assert hash(again) == hash(schedule)
        assert again is not schedule
        assert pickle.loads(pickle.dumps(schedule)) == schedule
        assert copy.deepcopy(schedule) == schedule
        assert eval(repr(schedule), dict(vars(dr))) == schedule
        field = dataclasses.fields(schedule)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(schedule, field, 1.0)
        assert schedule != dataclasses.replace(schedule, **{field: 0.123})

    def test_stands_in_an_optimizer(self, schedule: dr.Schedule) -> None:
        for optimizer in (dr.Adam(lr=schedule), dr.SGD(schedule, momentum=0.9)):
            assert optimizer.lr is schedule
            assert optimizer.schedule is schedule
            assert optimizer.hyperparameters()["lr"] == schedule.first_lr
            assert schedule.first_lr == pytest.approx(schedule.begin(5, 6).rates(0, 0, 1)[0], rel=1e-15)
            assert type(optimizer.hyperparameters()["lr"]) is float
            assert optimizer == dataclasses.replace(optimizer)
            assert hash(optimizer) == hash(dataclasses.replace(optimizer))
            assert pickle.loads(pickle.dumps(optimizer)) == optimizer
            assert eval(repr(optimizer), dict(vars(dr))) == optimizer
            assert optimizer != dataclasses.replace(optimizer, lr=0.5)

    def test_gives_one_rate_for_all_steps_or_one_for_each(self, schedule: dr.Schedule) -> None:
        run = schedule.begin(10, 5)
        for epoch, count in itertools.product(range(10), (5, 3, 1)):
            rates = run.rates(epoch, 5 * epoch, count)
            assert rates.dtype == np.float64
            assert rates.shape in ((1,), (count,))
            assert np.isfinite(rates).all()
            assert (rates >= 0).all()

    def test_steps_can_be_asked_for_in_any_pieces(self, schedule: dr.Schedule) -> None:
        whole = course(schedule.begin(8, 9), range(8), 9)
        for epochs, steps in ((8, 9), (8, None), (None, None)):  # it need not know how long an epoch is
            run, pieces = schedule.begin(epochs, steps), []
            for epoch in range(8):
                for first, count in ((0, 1), (1, 4), (5, 1), (6, 3)):
                    pieces.extend(np.broadcast_to(run.rates(epoch, 9 * epoch + first, count), count))
                run.see({"loss": 1.0})
            assert pieces == whole

    def test_rates_is_the_course_of_a_whole_training(self, schedule: dr.Schedule) -> None:
        rates = schedule.rates(6, 9)
        assert rates.shape == (54,)
        if "ReduceLROnPlateau" not in repr(schedule):  # which knows no loss here
            assert list(rates) == course(schedule.begin(6, 9), range(6), 9)
        assert schedule.rates(0, 9).shape == (0,)

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("epochs", range(8))
    def test_goes_on_from_its_state(self, schedule: dr.Schedule, epochs: int, known: bool) -> None:
        length = (8, 9) if known else (None, None)
        first, second = schedule.begin(*length), schedule.begin(*length)
        before = course(first, range(epochs), 9)
        state = first.state()
        second.restore(json.loads(json.dumps(state, allow_nan=False)))
        assert second.state() == state
        after = course(first, range(epochs, 8), 9)
        assert course(second, range(epochs, 8), 9) == after
        assert before + after == course(schedule.begin(8, 9), range(8), 9)

    def test_refuses_the_state_of_another(self, schedule: dr.Schedule) -> None:
        run = schedule.begin(8, 9)
        with pytest.raises(ValueError, match=r"the state of the schedule has \['other'\]: expected"):
            run.restore({"other": 1})
        for name in run.state():
            wrong_values: list[Any] = ["x", [1], math.nan, *([-1.0] if not name.endswith("best") else [])]
            for wrong in wrong_values:
                with pytest.raises((TypeError, ValueError), match=name.removeprefix("then.")):
                    run.restore({**run.state(), name: wrong})

    def test_a_training_of_its_own_begins_anew(self, schedule: dr.Schedule) -> None:
        first = course(schedule.begin(6, 9), range(6), 9)
        assert course(schedule.begin(6, 9), range(6), 9) == first

    def test_lengths_are_checked(self, schedule: dr.Schedule) -> None:
        with pytest.raises(ValueError, match="epochs=-1: expected an integer of at least 0"):
            schedule.begin(-1, 3)
        with pytest.raises(TypeError, match=r"steps_per_epoch=2.5: expected an integer"):
            schedule.begin(1, 2.5)  # type: ignore[arg-type]


class TestArguments:
    @pytest.mark.parametrize("lr", [0, 0.0, 1, np.float32(0.5), np.int64(2)])
    def test_numbers_become_floats(self, lr: Any) -> None:
        for schedule in (dr.ExponentialLR(lr, 1), dr.LinearWarmup(lr, np.int32(4))):
            assert type(schedule.lr) is float
            assert schedule.lr == lr
        assert type(dr.StepLR(lr, np.int64(3)).step_size) is int
        assert dr.MultiStepLR(lr, np.array([3, 7])).milestones == (3, 7)
        assert hash(dr.MultiStepLR(lr, [3, 7]))

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: dr.StepLR(-0.1, 3), ValueError, "lr=-0.1: expected a finite number of at least 0"),
            (lambda: dr.StepLR(math.nan, 3), ValueError, "lr=nan: expected a finite number"),
            (lambda: dr.StepLR("0.1", 3), TypeError, "lr='0.1': expected a number, got str"),
            (lambda: dr.StepLR(0.1, 0), ValueError, "step_size=0: expected an integer of at least 1"),
            (lambda: dr.StepLR(0.1, 2.0), TypeError, "step_size=2.0: expected an integer, got float"),
            (lambda: dr.StepLR(0.1, 3, gamma=-1), ValueError, "gamma=-1: expected a finite number of at least 0"),
            (lambda: dr.MultiStepLR(0.1, 30), TypeError, "milestones=30: expected a list of epochs"),
            (lambda: dr.MultiStepLR(0.1, "30"), TypeError, "milestones='30': expected a list of epochs"),
            (lambda: dr.MultiStepLR(0.1, [30, 20]), ValueError, "each epoch to be later than the one before"),
            (lambda: dr.MultiStepLR(0.1, [3, 3]), ValueError, "each epoch to be later than the one before"),
            (lambda: dr.MultiStepLR(0.1, [0, 3]), ValueError, r"milestones\[0\]=0: expected an integer of at least 1"),
            (lambda: dr.MultiStepLR(0.1, [1, 2.5]), TypeError, r"milestones\[1\]=2.5: expected an integer"),
            (lambda: dr.ExponentialLR(0.1, math.inf), ValueError, "gamma=inf: expected a finite number"),
            (lambda: dr.CosineAnnealingLR(0.1, 0), ValueError, "total_epochs=0: expected an integer of at least 1"),
            (lambda: dr.CosineAnnealingLR(0.1, 5, total_steps=9), ValueError, "are both given: choose one"),
            (lambda: dr.CosineAnnealingLR(0.1, eta_min=-1), ValueError, "eta_min=-1: expected"),
            (lambda: dr.OneCycleLR(-1), ValueError, "max_lr=-1: expected"),
            (lambda: dr.OneCycleLR(1, 0), ValueError, "total_steps=0: expected an integer of at least 1"),
            (lambda: dr.OneCycleLR(1, pct_start=1.5), ValueError, "pct_start=1.5: .* at least 0 and of at most 1"),
            (lambda: dr.OneCycleLR(1, anneal_strategy="cosine"), ValueError, "'cosine': expected 'cos' or 'linear'"),
            (lambda: dr.OneCycleLR(1, div_factor=0), ValueError, "div_factor=0: expected a finite number above 0"),
            (lambda: dr.OneCycleLR(1, three_phase=1), TypeError, "three_phase=1: expected True or False"),
            (lambda: dr.LinearWarmup(0.1), ValueError, "steps=None and epochs=None: give one of them"),
            (lambda: dr.LinearWarmup(0.1, 5, epochs=5), ValueError, "steps=5 and epochs=5: give one of them"),
            (lambda: dr.LinearWarmup(0.1, 0), ValueError, "steps=0: expected an integer of at least 1"),
            (
                lambda: dr.LinearWarmup(0.1, 5, start_factor=0),
                ValueError,
                "start_factor=0: .* above 0 and of at most 1",
            ),
            (lambda: dr.LinearWarmup("cosine", 5), TypeError, "schedule='cosine': expected a number, got str"),
            (lambda: dr.LinearWarmup(-0.1, 5), ValueError, "schedule=-0.1: expected"),
            (lambda: dr.ReduceLROnPlateau(0.1, factor=1.0), ValueError, "factor=1.0: expected .* below 1"),
            (lambda: dr.ReduceLROnPlateau(0.1, mode="lower"), ValueError, "mode='lower': expected 'min' or 'max'"),
            (lambda: dr.ReduceLROnPlateau(0.1, threshold_mode=""), ValueError, "threshold_mode='': expected 'rel'"),
            (lambda: dr.ReduceLROnPlateau(0.1, "val_auc"), ValueError, "'val_auc', of which more is .* mode='max'"),
            (lambda: dr.ReduceLROnPlateau(0.1, mode="max"), ValueError, "'val_loss', of which less is .* mode='min'"),
            (lambda: dr.ReduceLROnPlateau(0.1, patience=-1), ValueError, "patience=-1: expected an integer"),
            (lambda: dr.ReduceLROnPlateau(0.1, monitor=3), TypeError, "monitor=3: expected the name of a number"),
            (lambda: dr.Adam(lr=dr.StepLR), TypeError, "lr=StepLR is the class: expected an object"),
            (lambda: dr.Adam(lr="cosine"), TypeError, "lr='cosine': expected a number, got str"),
        ],
    )
    def test_are_checked_when_it_is_made(self, make: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            make()

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_every_optimizer_takes_a_schedule(self, name: str) -> None:
        optimizer = OPTIMIZERS[name](lr=dr.StepLR(0.1, 3))
        assert optimizer.first_lr == 0.1
        assert optimizer.hyperparameters() == {**OPTIMIZERS[name]().hyperparameters(), "lr": 0.1}
        assert OPTIMIZERS[name](lr=0.1).schedule is None


class TestLengths:
    def test_what_needs_a_length_takes_that_of_the_training(self) -> None:
        assert dr.CosineAnnealingLR(1.0).rates(10)[5] == pytest.approx(0.5)
        assert dr.OneCycleLR(1.0).rates(5, 20)[-1] == pytest.approx(1 / 25e4)

    def test_what_needs_a_length_says_so(self) -> None:
        with pytest.raises(ValueError, match="how many epochs there will be is not known; give total_epochs or"):
            dr.CosineAnnealingLR(0.1).begin(None, 5)
        for length in ((None, None), (3, None), (None, 5)):
            with pytest.raises(ValueError, match="how many steps there will be is not known; give total_steps"):
                dr.OneCycleLR(0.1).begin(*length)
        with pytest.raises(ValueError, match="how many epochs"):
            dr.LinearWarmup(dr.CosineAnnealingLR(0.1), steps=5).begin(10, None)
        assert dr.LinearWarmup(dr.CosineAnnealingLR(0.1), epochs=5).begin(10, None)

    def test_a_cycle_that_is_shorter_than_the_training(self) -> None:
        schedule = dr.OneCycleLR(0.1, total_steps=30)
        with pytest.raises(ValueError, match=r"in a training of 31 steps: it ends after 30; give total_steps=31, or"):
            schedule.begin(31, 1)
        assert len(schedule.rates(6, 5)) == 30
        run = schedule.begin(None, None)
        assert run.rates(0, 25, 5).shape == (5,)
        with pytest.raises(ValueError, match=r"step 31 of OneCycleLR.*: it ends after 30 steps"):
            run.rates(0, 28, 3)

    def test_warmups_leave_the_rest_to_what_follows(self) -> None:
        steps = dr.LinearWarmup(dr.OneCycleLR(1.0), steps=10).rates(6, 5)
        np.testing.assert_array_equal(steps[10:], dr.OneCycleLR(1.0, 20).rates(1, 20))
        epochs = dr.LinearWarmup(dr.OneCycleLR(1.0), epochs=2).rates(6, 5)
        np.testing.assert_array_equal(epochs[10:], dr.OneCycleLR(1.0, 20).rates(1, 20))
        cosine = dr.LinearWarmup(dr.CosineAnnealingLR(1.0), steps=12).rates(6, 5)
        np.testing.assert_array_equal(cosine[12:], dr.CosineAnnealingLR(1.0, 4).rates(4, 5)[2:])

    def test_a_warmup_may_be_longer_than_the_training(self) -> None:
        for then in (0.5, dr.CosineAnnealingLR(0.5), dr.OneCycleLR(12.5)):
            np.testing.assert_allclose(
                dr.LinearWarmup(then, steps=100).rates(2, 10), 0.5 * (1 / 3 + 2 / 3 * np.arange(20) / 100)
            )
            assert dr.LinearWarmup(then, epochs=100).rates(2, 10)[-1] == pytest.approx(0.5 * (1 / 3 + 2 / 3 / 100))

    def test_rates_that_are_too_large_for_a_float_are_infinite(self) -> None:
        assert dr.ExponentialLR(1.0, 10.0).rates(400)[-1] == math.inf
        assert dr.StepLR(1.0, 1, 0.1).rates(400)[-1] == 0.0


class TestPlateau:
    def test_without_validation_it_looks_at_the_loss(self) -> None:
        run = dr.ReduceLROnPlateau(1.0, patience=0).begin()
        for logs in ({"loss": 1.0}, {"loss": 2.0}, {"loss": 9.0, "val_loss": 0.5}):
            run.see(logs)
        assert run.rates(3, 3, 1) == 0.1

    def test_names_what_is_missing(self) -> None:
        run = dr.ReduceLROnPlateau(1.0, "val_accuracy", mode="max").begin()
        with pytest.raises(
            ValueError, match=r"monitor='val_accuracy', and the epoch has no such number: it has loss, lr"
        ):
            run.see({"loss": 1.0, "lr": 0.1})
        with pytest.raises(ValueError, match="it has none"):
            dr.ReduceLROnPlateau(1.0).begin().see({})

    def test_after_a_warmup_it_sees_what_comes_then(self) -> None:
        run = dr.LinearWarmup(dr.ReduceLROnPlateau(1.0, patience=0), steps=10).begin()
        for epoch in range(4):  # the warmup is over at the end of the second: that is its best
            run.rates(epoch, 5 * epoch, 5)
            run.see({"loss": [0.0, 1.0, 0.5, 0.7][epoch]})
        assert run.rates(4, 20, 5) == 0.1


def network() -> dr.Network:
    return dr.Network([dr.Dense(5, "tanh"), dr.Dense(1)], input_shape=2, dtype="float64", seed=1)


X = np.random.default_rng(0).normal(size=(12, 2))
Y = X[:, :1] * X[:, 1:]


class TestTrainer:
    @each_schedule
    @pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "adagrad", "nadam"])
    def test_steps_have_the_rates_of_the_schedule(self, schedule: dr.Schedule, name: str) -> None:
        scheduled, by_hand = network(), network()
        first = dr.Trainer(scheduled, loss="mse", optimizer=OPTIMIZERS[name](lr=schedule))
        second = dr.Trainer(by_hand, loss="mse", optimizer=name)
        rates = iter(course(schedule.begin(), range(5), 6))
        for _epoch in range(5):
            for _ in range(6):
                second.lr = rate = next(rates)
                assert first.lr == second.lr == rate
                assert first.step(X, Y) == second.step(X, Y)
            first.end_epoch({"loss": 1.0})
        for one, other in zip(scheduled.parameters.values(), by_hand.parameters.values(), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_updates_from_gradients_of_one_s_own_are_steps(self) -> None:
        net = dr.Network([dr.Dense(1, init="zeros", use_bias=False)], input_shape=1, dtype="float64")
        trainer = dr.Trainer(net, loss="mse", optimizer=dr.SGD(dr.LinearWarmup(1.0, 4, start_factor=0.25)))
        for _ in range(5):
            trainer.apply({"0.weight": [[1.0]]})
        assert net.parameters["0.weight"].item() == -(0.25 + 0.4375 + 0.625 + 0.8125 + 1.0)

    def test_a_rate_that_is_set(self) -> None:
        trainer = dr.Trainer(network(), loss="mse", optimizer=dr.SGD(0.1))
        assert trainer.lr == 0.1
        trainer.lr = 0.0
        before = trainer.network.parameters
        trainer.step(X, Y)
        assert trainer.lr == 0.0
        for name, array in trainer.network.parameters.items():
            np.testing.assert_array_equal(array, before[name])
        for wrong, error in ((-1, ValueError), (math.inf, ValueError), ("x", TypeError), (dr.StepLR(1, 1), TypeError)):
            with pytest.raises(error, match="lr="):
                trainer.lr = wrong  # type: ignore[assignment]
        assert trainer.lr == 0.0
        assert trainer.optimizer == dr.SGD(0.1)

    def test_a_rate_that_is_set_takes_the_place_of_the_schedule(self) -> None:
        trainer = dr.Trainer(network(), loss="mse", optimizer=dr.SGD(dr.ExponentialLR(0.1, 0.5)))
        trainer.step(X, Y)
        trainer.end_epoch()
        assert trainer.lr == 0.05
        trainer.lr = 0.3
        trainer.end_epoch()
        trainer.step(X, Y)
        assert trainer.lr == 0.3

    def test_a_rate_set_before_the_first_step_is_rprop_s_first_step_size(self) -> None:
        by_setting, by_argument = network(), network()
        trainer = dr.Trainer(by_setting, loss="mse", optimizer=dr.Rprop())
        trainer.lr = 0.2
        trainer.step(X, Y)
        dr.Trainer(by_argument, loss="mse", optimizer=dr.Rprop(lr=0.2)).step(X, Y)
        assert repr(by_setting.parameters) == repr(by_argument.parameters)

    def test_a_step_that_fails_does_not_count(self) -> None:
        trainer = dr.Trainer(network(), loss="mse", optimizer=dr.SGD(dr.LinearWarmup(0.1, 100)))
        trainer.step(X, Y)
        rate = trainer.lr
        with pytest.raises(dr.DivergenceError, match=rf"learning rate \(lr={rate:g} now\)"):
            trainer.step(X, Y * 1e300)
        with pytest.raises(ValueError, match="X"):
            trainer.step(X[:, :1], Y)
        assert trainer.lr == rate

    def test_a_schedule_that_is_over(self) -> None:
        trainer = dr.Trainer(network(), loss="mse", optimizer=dr.SGD(dr.OneCycleLR(0.1, 3)))
        for _ in range(3):
            trainer.step(X, Y)
        assert trainer.lr == pytest.approx(0.1 / 25e4)
        before = repr(trainer.network.parameters)
        with pytest.raises(ValueError, match=r"step 4 of OneCycleLR.*: it ends after 3 steps"):
            trainer.step(X, Y)
        with pytest.raises(ValueError, match="step 4"):
            trainer.apply(trainer.network.parameters)
        assert repr(trainer.network.parameters) == before
        assert trainer.steps == 3

    def test_a_schedule_that_needs_a_length(self) -> None:
        with pytest.raises(ValueError, match="give total_epochs or total_steps"):
            dr.Trainer(network(), loss="mse", optimizer=dr.SGD(dr.CosineAnnealingLR(0.1)))

    def test_end_epoch_checks_its_logs(self) -> None:
        trainer = dr.Trainer(network(), loss="mse", optimizer=dr.SGD(dr.ReduceLROnPlateau(0.1, patience=0)))
        with pytest.raises(TypeError, match=r"logs is list: expected a dict such as"):
            trainer.end_epoch([0.1])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no such number: it has none"):
            trainer.end_epoch()
        for loss in (1.0, 2.0):
            trainer.end_epoch({"val_loss": loss})
        assert trainer.lr == pytest.approx(0.01)

    def test_a_rate_that_is_infinite_is_a_divergence(self) -> None:
        trainer = dr.Trainer(network(), loss="mse", optimizer=dr.SGD(dr.ExponentialLR(1.0, 1e300)))
        for _ in range(3):
            trainer.end_epoch()
        before = repr(trainer.network.parameters)
        with warnings.catch_warnings(), pytest.raises(dr.DivergenceError, match=r"lr=inf now"):
            trainer.step(X, Y)
        assert repr(trainer.network.parameters) == before
