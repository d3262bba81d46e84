"""Every name of the core has its twins in the reference and in the package, and they have theirs in the core."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

import deltarule as dr
from deltarule import _core, reference
from deltarule.layers import ALIASES, LAYERS, Dense
from deltarule.losses import LOSSES, find_loss
from deltarule.optimizers import OPTIMIZERS, find_optimizer
from deltarule.reference.fused import FUSED

WORDS = _core.vocabulary()


def assert_same_names(first: Iterable[str], second: Iterable[str]) -> None:
    """Compare as sets, after making sure that neither side names anything twice."""
    first, second = list(first), list(second)
    assert len(first) == len(set(first))
    assert len(second) == len(set(second))
    assert set(first) == set(second)


@pytest.mark.parametrize(
    ("kind", "twins"),
    [
        ("activations", reference.ACTIVATIONS),
        ("losses", reference.LOSSES),
        ("optimizers", reference.OPTIMIZERS),
        ("layers", reference.LAYERS),
    ],
)
def test_every_formula_has_its_twin_in_the_reference(kind: str, twins: dict[str, type]) -> None:
    assert_same_names(WORDS[kind], twins)


def test_every_initializer_has_its_twin_in_the_reference() -> None:
    # "auto" is no rule: it chooses one by the activation. "orthogonal" is no width, but turns a whole matrix.
    rules = [name for name in WORDS["initializers"] if name not in ("auto", "orthogonal")]
    assert_same_names(rules, reference.INITIALIZERS)
    assert callable(reference.initializers.orthogonal)


@pytest.mark.parametrize(("kind", "classes"), [("losses", LOSSES), ("optimizers", OPTIMIZERS), ("layers", LAYERS)])
def test_every_formula_has_its_dataclass(kind: str, classes: dict[str, type]) -> None:
    assert_same_names(WORDS[kind], classes)


@pytest.mark.parametrize("cls", [*LOSSES.values(), *OPTIMIZERS.values(), *LAYERS.values()])
def test_dataclasses_are_public_and_frozen(cls: type) -> None:
    assert getattr(dr, cls.__name__) is cls
    assert cls.__name__ in dr.__all__
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_take_the_same_parameters_as_in_the_reference(name: str) -> None:
    loss = find_loss(name)
    assert isinstance(loss, dr.losses.Loss)
    twin = reference.losses.get(loss.to_spec())
    fields = dataclasses.fields(twin) if dataclasses.is_dataclass(twin) else ()
    assert {field.name: getattr(twin, field.name) for field in fields} | {"name": name} == loss.to_spec()
    defaults = reference.losses.get(name)
    assert all(getattr(defaults, field.name) == getattr(twin, field.name) for field in fields)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
class TestOptimizers:
    """Hyperparameters have one name and one default everywhere."""

    def test_hyperparameters_are_the_core_s(self, name: str) -> None:
        optimizer = find_optimizer(name)
        assert optimizer.name == name
        numbers = optimizer.hyperparameters()
        assert_same_names(numbers, WORDS["optimizers"][name])
        assert all(type(number) is float for number in numbers.values())

    def test_fields_and_defaults_are_the_reference_s(self, name: str) -> None:
        own, twin = find_optimizer(name), reference.optimizers.get(name)
        assert dataclasses.asdict(own) == dataclasses.asdict(twin)  # type: ignore[call-overload]

    def test_learning_rate_is_the_core_s_first(self, name: str) -> None:
        assert WORDS["optimizers"][name][0] == "lr"


@pytest.mark.parametrize("name", WORDS["activations"])
def test_a_layer_takes_every_activation(name: str) -> None:
    network = dr.Network([Dense(2, name)], input_shape=2)
    assert network.predict([[0.5, -0.5]]).shape == (1, 2)


@pytest.mark.parametrize("name", WORDS["initializers"])
def test_a_layer_takes_every_initializer(name: str) -> None:
    assert dr.Network([Dense(2, init=name)], input_shape=2).state_dict()["0.weight"].shape == (2, 2)


def test_aliases_mean_something_that_exists() -> None:
    known = [*WORDS["activations"], *WORDS["initializers"]]
    assert all(target in known and alias not in known for alias, target in ALIASES.items())


def test_activations_have_the_same_aliases_in_the_reference() -> None:
    own = {alias: target for alias, target in ALIASES.items() if target in WORDS["activations"]}
    assert own == reference.activations.ALIASES


def test_fused_pairs_are_the_links_of_the_losses() -> None:
    links = {(loss.link, name) for name, loss in reference.LOSSES.items() if loss.link in ("softmax", "sigmoid")}
    assert links == FUSED


def test_every_loss_says_which_targets_it_takes() -> None:
    assert {loss.targets for loss in LOSSES.values()} <= set(dr.targets.KINDS)


def test_names_are_the_same_on_every_instruction_set() -> None:
    before = _core.isa()
    try:
        for isa in _core.isas():
            _core.select_isa(isa)
            assert _core.vocabulary() == WORDS
    finally:
        _core.select_isa(before)
