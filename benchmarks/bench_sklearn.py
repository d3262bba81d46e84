"""The drop-in beside scikit-learn: the same call on the same data, once with its threads and once with one of BLAS.

`python benchmarks/bench_sklearn.py [--cases iris,…] [--rounds 7] [--markdown FILE]` prints one table of ratios, against
the better of its two; `pytest benchmarks/bench_sklearn.py` measures the same. To add a case: a row in CASES.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import sklearn.neural_network as scikit_learn
from sklearn import datasets
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

import deltarule.sklearn as deltarule_sklearn
from deltarule.bench.machine import Bystanders, describe_machine
from deltarule.bench.table import aligned
from deltarule.threads import available_threads

ROUNDS = 7
PEERS = ("scikit-learn", "scikit-learn, 1 thread")
Call = Callable[[], Any]

_BLAS = ThreadpoolController()  # the search for libraries, once


@cache
def data(name: str) -> tuple[Any, Any]:
    """Real tables, standardized, and made ones of the sizes that are met."""
    if name in ("iris", "digits"):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return StandardScaler().fit_transform(X), y
    generator = np.random.default_rng(0)
    if name == "tabular":
        X = generator.normal(size=(65_536, 28))
        return X, (X[:, :14] * X[:, 14:]).sum(axis=1) > 0
    y = generator.integers(0, 10, 10_000)  # images: a blurred prototype for each class, with noise
    prototypes = generator.uniform(size=(10, 784))
    return np.clip(prototypes[y] + generator.normal(scale=0.5, size=(10_000, 784)), 0, 1), y


def fit(name: str, hidden: tuple[int, ...], epochs: int, dtype: str, fits: int = 1) -> Callable[[Any], Call]:
    """`epochs` epochs, whatever the losses, with everything else as it is by default; perhaps several fits in a row."""

    def make(module: Any) -> Call:
        X, y = data(name)
        X = X.astype(dtype)
        model = module.MLPClassifier(hidden, max_iter=epochs, tol=0, n_iter_no_change=np.inf, random_state=0)
        return lambda: [model.fit(X, y).loss_ for _ in range(fits)][-1]

    return make


def grid_search(module: Any) -> Call:
    """Twenty settings, three folds, one process: many fits of a few milliseconds."""
    X, y = data("iris")
    settings = {"alpha": np.logspace(-5, -1, 5), "hidden_layer_sizes": [(10,), (20,)], "activation": ["relu", "tanh"]}
    model = module.MLPClassifier(max_iter=200, tol=0, n_iter_no_change=np.inf, random_state=0)
    search = GridSearchCV(model, settings, cv=3, refit=False)
    return lambda: search.fit(X, y).cv_results_["mean_test_score"].mean()


def predict_one_row(dtype: str) -> Callable[[Any], Call]:
    """As a service does that is asked for one sample at a time."""

    def make(module: Any) -> Call:
        X, y = data("digits")
        X = X.astype(dtype)
        model, row = module.MLPClassifier((100,), max_iter=2, random_state=0).fit(X, y), X[:1]

        def many() -> int:
            for _ in range(100):
                label = model.predict(row)
            return int(label[0])

        return many

    return make


@dataclass(frozen=True)
class Case:
    """What is called: `make(module)` gives the call, whose answer both must agree on; `calls` of it are in one."""

    make: Callable[[Any], Call]
    aim: float
    agree: float = 1e-6
    calls: int = 1


CASES = {
    "iris, float32": Case(fit("iris", (100,), 200, "float32", 5), 50, agree=1e-3, calls=5),
    "iris, float64": Case(fit("iris", (100,), 200, "float64", 5), 50, calls=5),
    "digits, float32": Case(fit("digits", (100,), 100, "float32"), 9, agree=1e-3),
    "digits, float64": Case(fit("digits", (100,), 100, "float64"), 6),
    "tabular, float32": Case(fit("tabular", (64, 64), 5, "float32"), 9, agree=1e-2),
    "tabular, float64": Case(fit("tabular", (64, 64), 5, "float64"), 6),
    "images, float32": Case(fit("images", (128,), 10, "float32"), 4, agree=1e-2),
    "images, float64": Case(fit("images", (128,), 10, "float64"), 2.5),
    "grid search": Case(grid_search, 10, agree=1e-3),
    "predict, float32": Case(predict_one_row("float32"), 20, calls=100),
    "predict, float64": Case(predict_one_row("float64"), 20, calls=100),
}
ABOUT = {
    "iris": "150 rows, 4-100-3, 200 epochs, five fits in a row",
    "digits": "1,797 rows, 64-100-10, 100 epochs",
    "tabular": "65,536 rows, 28-64-64-1, 5 epochs",
    "images": "10,000 rows, 784-128-10, 10 epochs",
    "grid search": "20 settings of iris, 3 folds, 200 epochs each",
    "predict": "one row, 64-100-10",
}


@contextmanager
def quiet(one_thread: bool = False) -> Iterator[None]:
    """No word of convergence, since nobody is to converge; BLAS on one thread or as it is."""
    with warnings.catch_warnings(), _BLAS.limit(limits=1) if one_thread else nullcontext():
        warnings.simplefilter("ignore")
        yield


@dataclass
class Pair:
    """A case on both sides, warm: first ours, then one of theirs, so that a busy moment hits both."""

    case: Case
    ours: Call = field(init=False)
    theirs: Call = field(init=False)
    answers: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        with quiet():
            self.ours, self.theirs = (self.case.make(module) for module in (deltarule_sklearn, scikit_learn))
            self.answers = (self.ours(), self.theirs())
        mine, other = self.answers
        if abs(mine - other) > self.case.agree * abs(other):
            raise AssertionError(f"not the same work: ours ended at {mine}, scikit-learn at {other}")

    def time(self, peer: str) -> float:
        """Seconds of one call."""
        with quiet(one_thread=peer == PEERS[1]):
            time.sleep(0.2)  # BLAS's threads spin on for a while after their last product
            call = self.ours if peer == "deltarule" else self.theirs
            call()  # code, data and cores are warm, as they are amid other work of the same kind
            start = time.perf_counter()
            call()
            return (time.perf_counter() - start) / self.case.calls


def measured(name: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of every run, by who ran."""
    pair = Pair(CASES[name])
    seconds: dict[str, list[float]] = {"deltarule": [], **{peer: [] for peer in peers()}}
    for _ in range(rounds):
        for peer in peers():
            seconds["deltarule"].append(pair.time("deltarule"))
            seconds[peer].append(pair.time(peer))
    return seconds


def peers() -> tuple[str, ...]:
    """Where there is one core, both of its forms are the same."""
    return PEERS if available_threads() > 1 else PEERS[:1]


@pytest.mark.parametrize("peer", peers())
@pytest.mark.parametrize("name", CASES)
def bench_drop_in(benchmark: Any, name: str, peer: str) -> None:
    pair, own = Pair(CASES[name]), []
    benchmark.group = f"{name}: {ABOUT[name.split(',')[0]]}"

    def ours_first() -> None:
        own.append(pair.time("deltarule"))

    with quiet(one_thread=peer == PEERS[1]):
        benchmark.pedantic(pair.theirs, setup=ours_first, rounds=ROUNDS, warmup_rounds=1)
    others = benchmark.stats.stats.median / CASES[name].calls
    benchmark.extra_info.update({"ms": others * 1e3, "ours": median(own) * 1e3, "ratio": others / median(own)})


def rows_of(results: dict[str, dict[str, list[float]]]) -> list[tuple[str, ...]]:
    """A table with one line for each case; the ratio is that of the medians, against the better peer."""
    rows = [("case", "ours, ms", *(f"{peer}, ms" for peer in peers()), "ratio", "aim")]
    for name, seconds in results.items():
        middle = {who: median(times) * 1e3 for who, times in seconds.items()}
        best = min(middle[peer] for peer in peers())
        numbers = (f"{middle[who]:.3g}" for who in ("deltarule", *peers()))
        rows.append((name, *numbers, f"{best / middle['deltarule']:.1f}×", f"{CASES[name].aim:g}×"))
    return rows


def page(rows: list[tuple[str, ...]], about: dict[str, str], rounds: int) -> str:
    """The same in Markdown, with what was measured, where and how."""
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    lines = ["# Beside scikit-learn", "", "Written by `python benchmarks/bench_sklearn.py --markdown FILE`.", ""]
    lines += [f"- {name}: {value}" for name, value in about.items()]
    lines += [f"- rounds: {rounds}, ours and scikit-learn in turn; milliseconds are medians of one call", ""]
    lines += ["The ratio is the time of the better of its two forms over ours; both end at the same loss.", ""]
    lines += [head, "|---|" + "---:|" * (len(rows[0]) - 1), *body, ""]
    return "\n".join([*lines, *(f"- {name}: {text}" for name, text in ABOUT.items()), ""])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(ABOUT), help=f"of {', '.join(ABOUT)} (default: all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each pair (default: 7)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as a page")
    arguments = parser.parse_args()
    wanted = [name.strip() for name in arguments.cases.split(",")]
    if unknown := set(wanted) - set(ABOUT):
        parser.error(f"there is no case {', '.join(unknown)}: choose of {', '.join(ABOUT)}")
    bystanders, results = Bystanders(), {}
    for name in CASES:
        if name.split(",")[0] in wanted:
            results[name] = measured(name, max(1, arguments.rounds))
            print(aligned(rows_of(results))[-1], flush=True)
    about, share = describe_machine(["scikit-learn", "scipy", "threadpoolctl"]), bystanders.share()
    about["other processes"] = "unknown" if share is None else f"took {share:.0%} of all cores meanwhile"
    print("\n".join(["", *(f"{name}: {value}" for name, value in about.items()), "", *aligned(rows_of(results))]))
    if arguments.markdown is not None:
        arguments.markdown.write_text(page(rows_of(results), about, arguments.rounds), encoding="utf-8")


if __name__ == "__main__":
    main()
