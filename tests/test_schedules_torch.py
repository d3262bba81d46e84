"""Schedules beside torch's, rate by rate over whole trainings, stepped as torch's documentation does."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.optim import lr_scheduler

import deltarule as dr

EXACT = {"rtol": 1e-12, "atol": 0.0}
Make = Callable[[Any], Any]


def optimizer_of(lr: float) -> Any:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates_of(lr: float, make: Make, count: int) -> list[float]:
    """What the optimizer has at each of so many steps of the scheduler."""
    optimizer = optimizer_of(lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


PER_EPOCH: list[tuple[dr.Schedule, Make]] = [
    (dr.StepLR(0.1, 30), lambda o: lr_scheduler.StepLR(o, 30)),
    (dr.StepLR(0.1, 1, gamma=0.97), lambda o: lr_scheduler.StepLR(o, 1, gamma=0.97)),
    (dr.StepLR(0.1, 7, 0.5), lambda o: lr_scheduler.StepLR(o, 7, 0.5)),
    (dr.MultiStepLR(0.1, [30, 80]), lambda o: lr_scheduler.MultiStepLR(o, [30, 80])),
    (dr.MultiStepLR(0.1, (1, 2, 99), gamma=0.3), lambda o: lr_scheduler.MultiStepLR(o, (1, 2, 99), gamma=0.3)),
    (dr.ExponentialLR(0.1, 0.95), lambda o: lr_scheduler.ExponentialLR(o, 0.95)),
    (dr.ExponentialLR(1e-6, gamma=1.1), lambda o: lr_scheduler.ExponentialLR(o, gamma=1.1)),
    (dr.CosineAnnealingLR(0.1, 100), lambda o: lr_scheduler.CosineAnnealingLR(o, 100)),
    (dr.CosineAnnealingLR(0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, 120)),
    (dr.CosineAnnealingLR(0.1, 1), lambda o: lr_scheduler.CosineAnnealingLR(o, 1)),
    (dr.CosineAnnealingLR(0.1, 25, eta_min=0.02), lambda o: lr_scheduler.CosineAnnealingLR(o, 25, eta_min=0.02)),
    (dr.LinearWarmup(0.1, epochs=5), lambda o: lr_scheduler.LinearLR(o)),
    (dr.LinearWarmup(0.1, epochs=1, start_factor=1.0), lambda o: lr_scheduler.LinearLR(o, 1.0, total_iters=1)),
    (dr.LinearWarmup(0.1, epochs=40, start_factor=0.01), lambda o: lr_scheduler.LinearLR(o, 0.01, total_iters=40)),
]


@pytest.mark.parametrize(("schedule", "make"), PER_EPOCH, ids=[str(schedule) for schedule, _ in PER_EPOCH])
def test_per_epoch(schedule: dr.Schedule, make: Make) -> None:
    expected = rates_of(schedule.lr, make, 120)
    np.testing.assert_allclose(schedule.rates(epochs=120), expected, **EXACT)
    per_step = schedule.rates(epochs=120, steps_per_epoch=3).reshape(120, 3)
    np.testing.assert_array_equal(per_step, np.repeat(schedule.rates(120)[:, None], 3, axis=1))
    assert schedule.first_lr == pytest.approx(expected[0], rel=1e-12)


@pytest.mark.parametrize(("total", "count"), [(1000, 1000), (1000, 1001), (150, 400), (7, 50)])
@pytest.mark.parametrize("eta_min", [0.0, 1e-3])
def test_cosine_per_step(total: int, count: int, eta_min: float) -> None:
    schedule = dr.CosineAnnealingLR(0.1, total_steps=total, eta_min=eta_min)
    expected = rates_of(0.1, lambda o: lr_scheduler.CosineAnnealingLR(o, total, eta_min), count)
    # Where the rate is zero torch has the rounding of the rates before
    np.testing.assert_allclose(schedule.rates(1, count), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("total", [1, 2, 3, 10, 37, 1000])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pct_start": 0.0},
        {"pct_start": 0.25},
        {"pct_start": 0.9, "anneal_strategy": "linear"},
        {"div_factor": 4.0, "final_div_factor": 10.0},
        {"three_phase": True},
        {"three_phase": True, "pct_start": 0.45, "anneal_strategy": "linear", "div_factor": 2.0},
    ],
    ids=str,
)
def test_one_cycle(total: int, options: dict[str, Any]) -> None:
    def make(optimizer: Any) -> Any:
        return lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=total, cycle_momentum=False, **options)

    expected = rates_of(0.1, make, total)
    np.testing.assert_allclose(dr.OneCycleLR(0.3, total, **options).rates(1, total), expected, **EXACT)
    schedule = dr.OneCycleLR(0.3, **options)
    np.testing.assert_allclose(schedule.rates(total, 1), expected, **EXACT)
    assert schedule.lr == optimizer_lr(make)


def optimizer_lr(make: Make) -> float:
    optimizer = optimizer_of(0.1)
    make(optimizer)
    return float(optimizer.param_groups[0]["initial_lr"])


def test_one_cycle_where_torch_divides_by_zero() -> None:
    """A phase of no length is over at once."""
    with pytest.raises(ZeroDivisionError):
        lr_scheduler.OneCycleLR(optimizer_of(0.1), 0.3, total_steps=4, pct_start=0.25)
    np.testing.assert_allclose(dr.OneCycleLR(0.3, 4, pct_start=0.25).rates(1, 4)[0], 0.3)


WARMED: list[tuple[Any, Callable[[Any], Any]]] = [
    (dr.StepLR(0.1, 4), lambda o: lr_scheduler.StepLR(o, 4)),
    (dr.MultiStepLR(0.1, [3, 20], 0.5), lambda o: lr_scheduler.MultiStepLR(o, [3, 20], 0.5)),
    (dr.ExponentialLR(0.1, 0.9), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    (dr.CosineAnnealingLR(0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, 43)),
    (dr.CosineAnnealingLR(0.1, 12, eta_min=0.01), lambda o: lr_scheduler.CosineAnnealingLR(o, 12, 0.01)),
]


@pytest.mark.parametrize(("schedule", "make"), WARMED, ids=[str(schedule) for schedule, _ in WARMED])
def test_warmup_in_epochs_then_a_schedule(schedule: dr.Schedule, make: Make) -> None:
    def both(optimizer: Any) -> Any:
        warmup = lr_scheduler.LinearLR(optimizer, 0.2, total_iters=7)
        return lr_scheduler.SequentialLR(optimizer, [warmup, make(optimizer)], milestones=[7])

    warmed = dr.LinearWarmup(schedule, epochs=7, start_factor=0.2)
    np.testing.assert_allclose(warmed.rates(50), rates_of(0.1, both, 50), **EXACT)


@pytest.mark.parametrize("steps", [1, 10, 33])
@pytest.mark.parametrize("one_cycle", [False, True])
def test_warmup_in_steps_then_a_schedule_in_steps(steps: int, one_cycle: bool) -> None:
    def both(optimizer: Any) -> Any:
        if one_cycle:
            then = lr_scheduler.OneCycleLR(optimizer, 2.5, total_steps=60 - steps, cycle_momentum=False)
        else:
            then = lr_scheduler.CosineAnnealingLR(optimizer, 60 - steps)
        warmup = lr_scheduler.LinearLR(optimizer, total_iters=steps)
        return lr_scheduler.SequentialLR(optimizer, [warmup, then], milestones=[steps])

    then = dr.OneCycleLR(2.5) if one_cycle else dr.CosineAnnealingLR(0.1, total_steps=60 - steps)
    warmed = dr.LinearWarmup(then, steps)
    np.testing.assert_allclose(warmed.rates(5, 12), rates_of(0.1, both, 60), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("steps", "per_epoch"), [(10, 10), (10, 4), (3, 10), (20, 7)])
def test_warmup_in_steps_then_a_schedule_in_epochs(steps: int, per_epoch: int) -> None:
    """As a loop of torch's does it: LinearLR after each batch until it is over, the other from then on after epochs."""
    optimizer = optimizer_of(0.1)
    then = lr_scheduler.ExponentialLR(optimizer, 0.5)
    warmup = lr_scheduler.LinearLR(optimizer, total_iters=steps)
    expected: list[float] = []
    for _ in range(8):
        for _ in range(per_epoch):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if len(expected) <= steps:
                warmup.step()
        if len(expected) > steps:
            then.step()
    schedule = dr.LinearWarmup(dr.ExponentialLR(0.1, 0.5), steps)
    np.testing.assert_allclose(schedule.rates(8, per_epoch), expected, **EXACT)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 0},
        {"patience": 2, "factor": 0.5, "cooldown": 3},
        {"patience": 1, "factor": 0.9, "min_lr": 0.05, "threshold": 0.05},
        {"patience": 3, "factor": 0.0, "min_lr": 0.01},
        {"patience": 1, "factor": 0.2, "eps": 0.03, "threshold": 0.0},
    ],
    ids=str,
)
def test_plateau(seed: int, mode: Any, threshold_mode: Any, options: dict[str, Any]) -> None:
    random = np.random.default_rng(seed)
    metrics = np.cumsum(random.normal(0, 0.3, 80)) + np.linspace(3, -1, 80) + (seed == 5) * 1e300
    metrics[random.integers(0, 80, 4)] = [np.nan, np.inf, -np.inf, metrics[0]]
    metrics = metrics if seed % 2 else np.clip(metrics, -100, 100)
    options = {**options, "mode": mode, "threshold_mode": threshold_mode}
    optimizer = optimizer_of(0.1)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    run = dr.ReduceLROnPlateau(0.1, "number", **options).begin()
    for epoch, metric in enumerate(metrics):
        assert run.rates(epoch, epoch * 5, 5) == optimizer.param_groups[0]["lr"]
        scheduler.step(metric)
        run.see({"number": float(metric)})


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (dr.StepLR(0.1, 1), lr_scheduler.StepLR),
        (dr.MultiStepLR(0.1, [1]), lr_scheduler.MultiStepLR),
        (dr.ExponentialLR(0.1, 0.5), lr_scheduler.ExponentialLR),
        (dr.CosineAnnealingLR(0.1), lr_scheduler.CosineAnnealingLR),
        (dr.OneCycleLR(0.1), lr_scheduler.OneCycleLR),
        (dr.ReduceLROnPlateau(0.1), lr_scheduler.ReduceLROnPlateau),
        (dr.LinearWarmup(0.1, epochs=5), lr_scheduler.LinearLR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_defaults_are_torch_s(ours: Any, theirs: Any) -> None:
    parameters = inspect.signature(theirs).parameters
    shared = [field for field in dataclasses.fields(ours) if field.name in parameters]
    assert shared
    for field in shared:
        default = parameters[field.name].default
        assert default is inspect.Parameter.empty or getattr(type(ours), field.name, None) == default, field.name
