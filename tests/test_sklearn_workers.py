"""In worker processes: forked, of loky, of joblib's threads; one thread in each, and everywhere the same bits."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn_side_by_side import our, quietly, table

X, Y = table("digits")
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (256,), "max_iter": 4, "random_state": 0, "batch_size": 512}

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")


def fitted(**parameters: Any) -> Any:
    return quietly(our("MLPClassifier", **{**SETTINGS, **parameters}).fit, X, Y)


def bits(model: Any) -> bytes:
    return b"".join(array.tobytes() for array in (*model.coefs_, *model.intercepts_))


def four_epochs() -> bytes:
    """Without the warning that there were too few, which no two threads could switch off at once."""
    model = our("MLPClassifier", **SETTINGS)
    for _ in range(4):
        model.partial_fit(X, Y, classes=range(10))
    return bits(model)


def new_threads() -> tuple[int, int]:
    """How many more this process has after that; and who it is."""
    before = len(os.listdir("/proc/self/task"))
    four_epochs()
    return len(os.listdir("/proc/self/task")) - before, os.getpid()


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("more", [{}, {"dtype": "float32"}, {"dropout": 0.3}, {"solver": "lbfgs"}], ids=str)
def test_the_number_of_threads_changes_no_bit(more: dict[str, Any], n_threads: int) -> None:
    settings = {"hidden_layer_sizes": (64, 32), "max_iter": 3, **more}
    first, second = fitted(n_threads=n_threads, **settings), fitted(**settings)
    assert bits(first) == bits(second)
    assert first.loss_ == second.loss_
    assert first.predict_proba(X).tobytes() == second.predict_proba(X).tobytes()


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_joblib(backend: str) -> None:
    here = four_epochs()  # which starts threads, before it forks
    everywhere = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(four_epochs)() for _ in range(4))
    assert set(everywhere) == {here}


@needs_proc
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_no_more_threads_in_a_worker(backend: str) -> None:
    counted = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(new_threads)() for _ in range(4))
    assert [count for count, _ in counted] == [0] * 4
    assert os.getpid() not in {process for _, process in counted}


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_fitted_one_goes_on_in_a_child() -> None:
    """The threads of the parent are not there in a fork; a fit that waited for them would never end."""
    model = fitted(n_threads=2, warm_start=True)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def go_on() -> None:
        quietly(model.fit, X, Y)
        queue.put(model.predict_proba(X[:50]))

    child = context.Process(target=go_on)
    child.start()
    answer = queue.get(timeout=30)
    child.join(30)
    assert child.exitcode == 0
    quietly(model.fit, X, Y)
    np.testing.assert_array_equal(answer, model.predict_proba(X[:50]))


def test_many_threads_at_once() -> None:
    """Estimators of their own in threads of their own; and one that all predict with."""
    shared, expected = fitted(), four_epochs()
    wanted = shared.predict_proba(X)
    answers: list[bool] = []

    def work() -> None:
        answers.append(four_epochs() == expected)
        answers.append(np.array_equal(shared.predict_proba(X), wanted))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 8


def test_nothing_of_scikit_learn_is_imported_before() -> None:
    asked = "print('sklearn' in sys.modules)"
    program = f"import sys, deltarule; {asked}; import deltarule.sklearn; {asked}"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"]


def test_without_scikit_learn_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['sklearn'] = None\nimport deltarule.sklearn"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "deltarule[sklearn]" in done.stderr
    assert "Error" in done.stderr.splitlines()[-1]
