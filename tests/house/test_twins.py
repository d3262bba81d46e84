"""Every formula stands twice, in the core and in the reference, under one name; and users can reach it."""

from __future__ import annotations

import inspect

import pytest

from deltarule import _core, losses, optimizers, reference

WORDS = _core.vocabulary()


@pytest.mark.parametrize(
    ("kind", "twins"),
    [
        ("activations", reference.ACTIVATIONS),
        ("losses", reference.LOSSES),
        ("optimizers", reference.OPTIMIZERS),
        ("initializers", reference.INITIALIZERS),
        ("layers", reference.LAYERS),
    ],
)
def test_core_and_reference_know_the_same_names(kind: str, twins: dict[str, object]) -> None:
    in_core = list(WORDS[kind])
    assert len(set(in_core)) == len(in_core)
    # "auto" is a choice among the rules, and orthogonal matrices are a function of others: neither is a row.
    functions = {"orthogonal"} if kind == "initializers" and callable(reference.initializers.orthogonal) else set()
    assert set(in_core) - {"auto"} == (set(twins) | functions) - {"auto"}


def test_core_and_reference_know_the_same_cells() -> None:
    """One of the reference takes its activation as an argument, the core has a cell for each."""
    assert {name.partition("_")[0] for name in WORDS["cells"]} == set(reference.CELLS)


def test_users_reach_every_loss() -> None:
    assert set(losses.LOSSES) == set(WORDS["losses"])


def test_users_reach_every_optimizer() -> None:
    assert {name: sorted(hyperparameters) for name, hyperparameters in WORDS["optimizers"].items()} == {
        name: sorted(optimizer(**_required(optimizer)).hyperparameters())
        for name, optimizer in optimizers.OPTIMIZERS.items()
    }


def _required(optimizer: type) -> dict[str, float]:
    parameters = inspect.signature(optimizer).parameters.values()
    return {parameter.name: 0.1 for parameter in parameters if parameter.default is inspect.Parameter.empty}
