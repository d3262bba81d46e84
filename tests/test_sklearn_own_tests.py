"""scikit-learn's own tests of its two classes, as they are installed, on ours.

Every test of the installed `test_mlp.py` is collected here under its own name, with its own parameters and fixtures.
One that reaches into what is private there stands in `PRIVATE` with the reason, and nowhere else.
"""

from __future__ import annotations

import inspect
import os
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType
from unittest import mock

import pytest
import sklearn

import deltarule.sklearn as deltarule_sklearn

# Name of a test there: what of scikit-learn's inside it asks for.
PRIVATE: dict[str, str] = {
    "test_gradient": "calls _loss_grad_lbfgs, which needs what its own L-BFGS prepares; see test_sklearn_corners.py",
}

pytestmark = [  # what the runs of scikit-learn's own test suite let pass
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:A column-vector y was passed:sklearn.exceptions.DataConversionWarning"),
]


def _loaded() -> ModuleType:
    """Their module once more under another name, with our classes where it imports theirs."""
    folder = find_spec("sklearn.neural_network.tests")
    there = find_spec("sklearn.neural_network.tests.test_mlp") if folder else None
    if there is None or there.origin is None:
        pytest.skip("this scikit-learn is installed without its tests", allow_module_level=True)
    spec = spec_from_file_location("test_mlp_of_scikit_learn", there.origin)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    ours = {name: getattr(deltarule_sklearn, name) for name in ("MLPClassifier", "MLPRegressor")}
    with mock.patch.multiple("sklearn.neural_network", **ours):
        spec.loader.exec_module(module)
    return module


_MODULE = _loaded()
_TESTS = {name: value for name, value in vars(_MODULE).items() if name.startswith("test_") and callable(value)}
globals().update({name: test for name, test in _TESTS.items() if name not in PRIVATE})


@pytest.fixture
def global_random_seed() -> int:
    """Theirs comes from the environment too, and is 42 without."""
    seed = os.environ.get("SKLEARN_TESTS_GLOBAL_RANDOM_SEED", "42")
    return int(seed) if seed.isdigit() else 42


def test_it_is_ours_that_is_tested() -> None:
    assert _MODULE.MLPClassifier is deltarule_sklearn.MLPClassifier
    assert _MODULE.MLPRegressor is deltarule_sklearn.MLPRegressor
    assert len(_TESTS) >= 30, f"scikit-learn {sklearn.__version__} has {sorted(_TESTS)}"
    assert sklearn.neural_network.MLPClassifier is not deltarule_sklearn.MLPClassifier


def test_the_list_of_exceptions_is_true() -> None:
    assert set(PRIVATE) <= set(_TESTS), "renamed or dropped there: look again"
    for name, reason in PRIVATE.items():
        private = [word.strip("`.,()") for word in reason.split() if word.strip("`.,()").startswith("_")]
        assert private, f"{name}: say which private name it asks for"
        source = inspect.getsource(_TESTS[name])
        assert all(word in source for word in private), f"{name} does not ask for {private} any more: run it"
