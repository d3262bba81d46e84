"""gradcheck of recurrent networks: every cell, stacked, both ways, mixed with other layers, ragged and truncated.

The core beside the reference, and both beside central differences.
"""

from __future__ import annotations

from typing import Any

import pytest
from recurrent_networks import KINDS, Array, Batch, batch, make

import deltarule as dr


def checked_by_differences(network: dr.Network, data: Batch, loss: str = "mse", **options: Any) -> None:
    if data.lengths is not None:
        data = data.padded(0, 1e3)
    result = dr.gradcheck(network, data.X, data.y, loss=loss, **data.of_steps, **options)
    assert result, str(result)
    assert all(tensor.compared > 0 for tensor in result.tensors)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_at_any_depth(kind: str, depth: int, bidirectional: bool) -> None:
    for by_step, ragged in ((False, True), (True, depth < 3)):
        network = make(kind, depth, units=2, by_step=by_step, bidirectional=bidirectional)
        checked_by_differences(network, batch(3, 3, by_step=by_step, ragged=ragged))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_truncated(kind: str, depth: int) -> None:
    for by_step, ragged, bptt_steps in ((False, True, 1), (True, True, 2), (depth == 2, False, 3)):
        network = make(kind, depth, units=2, by_step=by_step)
        checked_by_differences(network, batch(3, 4, by_step=by_step, ragged=ragged), bptt_steps=bptt_steps)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_mixed_with_dense_dropout_and_layer_norm(kind: str, bidirectional: bool) -> None:
    options: dict[str, Any] = {"by_step": bidirectional, "bidirectional": bidirectional}
    network = make(kind, 2, units=3, mixed=True, l2=0.1, seed=4, **options)
    data = batch(3, 3, by_step=bidirectional, ragged=True, loss="cross_entropy")
    weight = [1.0, 0.5, 2.0]
    checked_by_differences(network, data, "cross_entropy", sample_weight=weight)
    if not bidirectional:
        checked_by_differences(network, data, "cross_entropy", sample_weight=weight, bptt_steps=2)


@pytest.mark.parametrize("kind", KINDS)
def test_float32(kind: str) -> None:
    for depth, bidirectional, bptt_steps in ((3, False, None), (1, True, None), (2, False, 2)):
        network = make(kind, depth, units=2, by_step=True, bidirectional=bidirectional, dtype="float32")
        data = batch(3, 3, by_step=True, ragged=True, dtype="float32")
        checked_by_differences(network, data, bptt_steps=bptt_steps)


@pytest.mark.parametrize("by_step", [False, True])
def test_of_what_a_fit_would_take(by_step: bool) -> None:
    """NaN behind the ends, and lists of arrays."""
    network, data = make(by_step=by_step), batch(ragged=True, by_step=by_step)
    assert dr.gradcheck(network, data.X, data.y, loss="mse", lengths=data.lengths)
    X, y = data.as_lists()
    assert dr.gradcheck(network, X, y, loss="mse")


def test_an_error_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = make("lstm", 2), batch(ragged=True).padded(0, 0.0)
    right = network.loss_and_gradients

    def wrong(*arguments: Any, **settings: Any) -> tuple[float, dict[str, Array]]:
        value, gradients = right(*arguments, **settings)
        gradients["1.weight_hh"][0, 3] *= 1.001
        return value, gradients

    monkeypatch.setattr(network, "loss_and_gradients", wrong)
    result = dr.gradcheck(network, data.X, data.y, loss="mse", lengths=data.lengths)
    assert not result
    assert result.worst.name == "1.weight_hh"
