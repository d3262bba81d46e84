"""A fit of the core, gone through step by step by the reference: the same orders, the same masks, other code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

import deltarule as dr
from deltarule import _core, reference
from deltarule.optimizers import Optimizer, find_optimizer
from deltarule.reference.masks import step_key

Array = NDArray[Any]


def of_reference(optimizer: str | Optimizer) -> dict[str, Any]:
    """The optimizer as the reference takes it."""
    found = find_optimizer(optimizer)
    return {"name": found.name, **asdict(found)}


def twin_of(network: dr.Network) -> reference.Network:
    return reference.Network.from_spec(network.spec(), network.state_dict())


def reference_steps(
    twin: reference.Network,
    seed: int,
    X: Array,
    y: Array,
    *,
    loss: str = "mse",
    optimizer: str | Optimizer = "adam",
    epochs: int = 1,
    batch_size: int = 32,
    first_epoch: int = 0,
    **options: Any,
) -> Iterator[tuple[int, float]]:
    """(epoch, loss of the batch) after each step; the twin has its new weights by then. Options are those of a step."""
    rule = of_reference(optimizer)
    for epoch in range(first_epoch, first_epoch + epochs):
        order = np.asarray(_core.shuffled(len(X), seed, epoch))
        for step, first in enumerate(range(0, len(X), batch_size)):
            batch = order[first : first + batch_size]
            own = {"lengths": options["lengths"][batch]} if "lengths" in options else {}
            key = step_key(seed, epoch, step)
            yield epoch, twin.step(X[batch], y[batch], loss, rule, **{"key": key, **options, **own})


def worst(actual: dict[str, Array], expected: dict[str, Array]) -> float:
    """The greatest error, relative to the greatest number of each array."""
    assert actual.keys() == expected.keys()
    return max(
        float(np.abs(actual[name] - array).max()) / (float(np.abs(array).max()) or 1.0)
        for name, array in expected.items()
    )
