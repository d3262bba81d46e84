"""Ours beside scikit-learn's: the same parameters on the same data, and what must then be the same."""

from __future__ import annotations

import warnings
from copy import deepcopy
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import sklearn
import sklearn.neural_network as scikit_learn
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale
from threadpoolctl import ThreadpoolController

import deltarule.sklearn as deltarule_sklearn

KINDS = ["MLPClassifier", "MLPRegressor"]
CLASSIFICATION = ["iris", "digits", "wine", "breast_cancer"]
TABLES = [*CLASSIFICATION, "diabetes"]

SAME = 1e-6  # relative: what is promised of losses in float64 over the first hundred epochs
EPOCHS = 100
LEAST = -700.0  # logarithms below are those of denormal numbers, which may count as 0

_BLAS = ThreadpoolController()

BESIDE_1_9 = pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9),
    reason="ours is that of scikit-learn 1.9 whatever is installed; this one's own differs",
)


class Both(NamedTuple):
    ours: Any
    theirs: Any


@cache
def table(name: str, standardized: bool = True) -> tuple[Any, Any]:
    """One of scikit-learn's tables; nobody may write into it."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if standardized:
        X, y = scale(X), scale(y) if name == "diabetes" else y
    for array in (X, y):
        array.setflags(write=False)
    return X, y


def kind_for(name: str) -> str:
    return "MLPRegressor" if name == "diabetes" else "MLPClassifier"


def our(kind: str, **parameters: Any) -> Any:
    return getattr(deltarule_sklearn, kind)(**parameters)


def their(kind: str, **parameters: Any) -> Any:
    return getattr(scikit_learn, kind)(**parameters)


def both(kind: str, **parameters: Any) -> Both:
    """Not fitted; each has its own copy of the parameters: a RandomState goes on in one without the other."""
    return Both(our(kind, **deepcopy(parameters)), their(kind, **deepcopy(parameters)))


def quietly(function: Any, *arguments: Any, **named: Any) -> Any:
    """Call without the warning that there were too few epochs; scikit-learn's small products on one thread."""
    with warnings.catch_warnings(), _BLAS.limit(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return function(*arguments, **named)


def fit_both(kind: str, X: Any, y: Any, sample_weight: Any = None, **parameters: Any) -> Both:
    pair = both(kind, **parameters)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    for one in pair:
        assert quietly(one.fit, X, y, **weights) is one
    return pair


def learned(fitted: Any) -> set[str]:
    """Names of what it shows of that, as attributes or as properties."""
    names = {name for name in dir(fitted) if name.endswith("_") and not name.startswith("_")}
    return {name for name in names if hasattr(fitted, name)}


def assert_equal_attribute(pair: Both, name: str) -> None:
    ours, theirs = (getattr(one, name) for one in pair)
    assert type(ours) is type(theirs), name
    np.testing.assert_array_equal(ours, theirs, strict=True, err_msg=name)


def assert_same_structure(pair: Both) -> None:
    """What does not depend on rounding."""
    ours, theirs = pair
    assert learned(theirs) <= learned(ours) <= learned(theirs) | {"val_loss_curve_"}
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "classes_", "feature_names_in_"):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        if hasattr(theirs, name):
            assert_equal_attribute(pair, name)
    for name in ("coefs_", "intercepts_"):
        arrays = [getattr(one, name) for one in pair]
        assert [type(each) for each in arrays] == [list, list]
        assert [each.shape for each in arrays[0]] == [each.shape for each in arrays[1]]
        assert [each.dtype for each in arrays[0]] == [each.dtype for each in arrays[1]]


def assert_same_curves(pair: Both, rtol: float = SAME, epochs: int = EPOCHS) -> None:
    """Losses epoch by epoch, and when it ended."""
    ours, theirs = pair
    assert abs(ours.n_iter_ - theirs.n_iter_) <= 0.01 * theirs.n_iter_
    assert type(ours.loss_curve_) is list
    np.testing.assert_allclose(ours.loss_curve_[:epochs], theirs.loss_curve_[:epochs], rtol=rtol)
    if ours.n_iter_ == theirs.n_iter_:
        assert_equal_attribute(pair, "t_")


def assert_same_scores(pair: Both, rtol: float = SAME) -> None:
    """Validation scores and the best of everything: for runs that were compared to their end."""
    ours, theirs = pair
    for name in ("loss_", "best_loss_", "validation_scores_", "best_validation_score_"):
        expected, found = getattr(theirs, name), getattr(ours, name)
        if expected is None:
            assert found is None, name
        else:
            assert isinstance(found, (type(expected), float)), name
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12, err_msg=name)


def assert_same_predictions(pair: Both, X: Any, y: Any, rtol: float = SAME) -> None:
    """All that can be asked of the two, in the same types."""
    ours, theirs = pair
    for name in ("predict_proba", "predict_log_proba", "predict"):
        if not hasattr(theirs, name):
            continue
        with np.errstate(divide="ignore"):  # the logarithm of a probability that is 0, or less than 1e-308
            found, expected = getattr(ours, name)(X), getattr(theirs, name)(X)
        if name == "predict_log_proba":
            found, expected = np.maximum(found, expected.dtype.type(LEAST)), np.maximum(expected, LEAST)
        assert found.dtype == expected.dtype, name
        assert found.shape == expected.shape, name
        if name == "predict" and hasattr(theirs, "classes_"):
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=rtol, abs=rtol)


def assert_same_fit(pair: Both, X: Any, y: Any, rtol: float = SAME) -> None:
    """Everything, of a run that is not longer than `EPOCHS`."""
    assert_same_structure(pair)
    assert_same_curves(pair, rtol)
    assert_same_scores(pair, rtol)
    assert_same_predictions(pair, X, y, rtol)


def first_weights(pair: Both) -> list[tuple[Any, Any]]:
    """Arrays in pairs, after fits whose steps are too small to change a bit."""
    ours, theirs = ([*one.coefs_, *one.intercepts_] for one in pair)
    return list(zip(ours, theirs, strict=True))
