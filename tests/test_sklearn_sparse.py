"""Sparse X: as it would be dense, also where a dense copy would not fit into memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn_side_by_side import KINDS, assert_same_fit, assert_same_structure, fit_both, our, quietly, table

DIGITS, LABELS = (array[:400] for array in table("digits", standardized=False))
SMALL: dict[str, Any] = {"hidden_layer_sizes": (9,), "max_iter": 20, "random_state": 0}
FORMATS = {
    "csr_array": sp.csr_array,
    "csr_matrix": sp.csr_matrix,
    "csc_array": sp.csc_array,
    "csc_matrix": sp.csc_matrix,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
class TestAsDense:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_predictions(self, kind: str, form: str, dtype: str) -> None:
        X = DIGITS.astype(dtype)
        fitted = quietly(our(kind, **SMALL).fit, X, LABELS)
        method = "predict_proba" if kind == "MLPClassifier" else "predict"
        dense, sparse = (getattr(fitted, method)(given) for given in (X, FORMATS[form](X)))
        assert sparse.dtype == dense.dtype
        np.testing.assert_allclose(
            sparse, dense, rtol=1e-12 if dtype == "float64" else 1e-4, atol=1e-7 * (X.dtype == "f")
        )

    @pytest.mark.parametrize("settings", [{}, {"solver": "sgd", "batch_size": 33}, {"early_stopping": True}], ids=str)
    def test_fit(self, kind: str, form: str, settings: dict[str, Any]) -> None:
        X = FORMATS[form](DIGITS)
        pair = fit_both(kind, X, LABELS, **{**SMALL, "learning_rate_init": 1e-4, **settings})
        assert_same_fit(pair, X, LABELS)
        dense = quietly(our(kind, **{**SMALL, "learning_rate_init": 1e-4, **settings}).fit, DIGITS, LABELS)
        np.testing.assert_allclose(pair.ours.loss_curve_, dense.loss_curve_, rtol=1e-9)

    def test_partial_fit_takes_either(self, kind: str, form: str) -> None:
        classes = {"classes": range(10)} if kind == "MLPClassifier" else {}
        mixed, dense = (our(kind, **SMALL) for _ in range(2))
        for start in range(0, 400, 50):
            rows = slice(start, start + 50)
            given = FORMATS[form](DIGITS[rows]) if start % 100 else DIGITS[rows]
            mixed.partial_fit(given, LABELS[rows], **classes)
            dense.partial_fit(DIGITS[rows], LABELS[rows], **classes)
        np.testing.assert_allclose(mixed.loss_curve_, dense.loss_curve_, rtol=1e-9)

    def test_lbfgs(self, kind: str, form: str) -> None:
        settings: dict[str, Any] = {"solver": "lbfgs", "hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0}
        pair = fit_both(kind, FORMATS[form](DIGITS / 16), LABELS, **settings)
        assert_same_structure(pair)
        assert pair.ours.loss_ == pytest.approx(pair.theirs.loss_, rel=1e-6)


def shapes() -> dict[str, Any]:
    """Sparse tables with something odd about them."""
    plain = sp.csr_array(DIGITS)
    unsorted = plain.copy()
    for row in range(400):
        first, last = unsorted.indptr[row : row + 2]
        unsorted.indices[first:last] = unsorted.indices[first:last][::-1].copy()
        unsorted.data[first:last] = unsorted.data[first:last][::-1].copy()
    unsorted.has_sorted_indices = False
    wide = plain.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    zeros = plain.copy()
    zeros.data[::3] = 0
    twice = sp.csr_array((np.ones(800), (np.repeat(np.arange(400), 2), np.zeros(800, int))), shape=(400, 64))
    doubled = sp.csr_array((np.ones(800), np.zeros(800, np.int32), 2 * np.arange(401, dtype=np.int32)), shape=(400, 64))
    empty = sp.csr_array((400, 64))
    counts = sp.csr_array(DIGITS.astype(np.uint8))
    return {
        "unsorted": unsorted,
        "64-bit indices": wide,
        "stored zeros": zeros,
        "summed": twice,
        "not yet summed": doubled,
        "nothing in it": empty,
        "integers": counts,
        "coordinates": sp.coo_array(DIGITS),
        "lists of lists": sp.lil_array(DIGITS),
    }


@pytest.mark.parametrize("form", shapes())
def test_odd_forms(form: str) -> None:
    X = shapes()[form]
    pair = fit_both("MLPClassifier", X, LABELS, **{**SMALL, "learning_rate_init": 1e-4})
    assert_same_fit(pair, X, LABELS)
    dense = quietly(our("MLPClassifier", **{**SMALL, "learning_rate_init": 1e-4}).fit, X.toarray(), LABELS)
    np.testing.assert_allclose(pair.ours.loss_curve_, dense.loss_curve_, rtol=1e-9)


PROGRAM = """
import json, resource, sys, time, warnings
import numpy as np
import scipy.sparse as sp
import sklearn.neural_network
from deltarule.sklearn import MLPClassifier, MLPRegressor

warnings.simplefilter("ignore")
unit = 1 if sys.platform == "darwin" else 1024
generator = np.random.default_rng(0)
n, features, stored = 20_000, 200_000, 5
columns = generator.integers(0, features, n * stored)
X = sp.csr_array((generator.normal(size=n * stored), columns, np.arange(0, n * stored + 1, stored)), (n, features))
y = (X @ generator.normal(size=features) > 0).astype(int)
settings = dict(hidden_layer_sizes=(1,), batch_size=1000, max_iter=2, random_state=0, learning_rate_init=0.01)
rows = []
for kind, given in ((MLPClassifier, X), (MLPRegressor, X.tocsc())):
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = kind(**settings).fit(given, y)
    predicted = model.predict(given)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    seconds = time.perf_counter() - start
    theirs = getattr(sklearn.neural_network, kind.__name__)(**settings)
    theirs.fit(given, y)
    far = np.abs(np.array(model.loss_curve_) / theirs.loss_curve_ - 1).max()
    wrong = np.abs(predicted - theirs.predict(given)).max()
    rows.append([grown, seconds, far, np.abs(model.coefs_[0] - theirs.coefs_[0]).max(), float(wrong)])
print(json.dumps(rows))
"""


def test_a_table_that_would_not_fit() -> None:
    """20,000 × 200,000: dense it has 32 GB, a batch of it 1.6 GB, and what is stored of it a megabyte."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=120)
    for grown, seconds, *differences in json.loads(done.stdout):
        assert max(differences) < 1e-6  # of losses, weights, predictions
        assert grown < 500e6
        assert seconds < 5
