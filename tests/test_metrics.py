"""Metrics: the numbers of scikit-learn, ties and absent classes included; what networks and users give them."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deltarule as dr
from deltarule.metrics import METRICS, find_metric, find_metrics, higher_is_better

Array = np.ndarray[Any, Any]


def measure(name: str, output: Any, targets: Any, kind: str) -> float:
    found, function = find_metric(name)
    assert found == name
    value = function(np.asarray(output), np.asarray(targets), kind)
    assert type(value) is float
    return value


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def same(ours: float, theirs: float) -> bool:
    return (math.isnan(ours) and math.isnan(theirs)) or abs(ours - theirs) <= 1e-12 * max(1.0, abs(theirs))


@st.composite
def classes(draw: st.DrawFn) -> tuple[Array, Array]:
    """Logits with many ties, and class indices; some classes may be absent."""
    seed, count = draw(st.integers(0, 2**32 - 1)), draw(st.integers(3, 6))
    rows = draw(st.integers(1, 60))
    random = np.random.default_rng(seed)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    logits = random.integers(-3, 4, (rows, count)).astype(dtype) if draw(st.booleans()) else None
    output = random.normal(size=(rows, count)).astype(dtype) if logits is None else logits
    return output, random.integers(0, draw(st.integers(1, count)), rows).astype(np.int32)


@st.composite
def labels(draw: st.DrawFn) -> tuple[Array, Array]:
    """Probabilities with ties, and 0 or 1 for each of some labels."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 60)), draw(st.sampled_from([1, 1, 3]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    output = (random.integers(0, 8, shape) / 8 if draw(st.booleans()) else random.random(shape)).astype(dtype)
    return output, (random.random(shape) < draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))).astype(dtype)


class TestAsScikitLearn:
    @settings(max_examples=150, deadline=None)
    @given(classes())
    def test_classes(self, data: tuple[Array, Array]) -> None:
        oracle = pytest.importorskip("sklearn.metrics")
        output, targets = data
        count, answer = output.shape[1], output.argmax(axis=1)
        assert same(measure("accuracy", output, targets, "classes"), oracle.accuracy_score(targets, answer))
        assert same(measure("f1", output, targets, "classes"), oracle.f1_score(targets, answer, average="macro"))
        assert measure("top_1", output, targets, "classes") == measure("accuracy", output, targets, "classes")
        # Of equal outputs scikit-learn takes the last one, we the first, as in accuracy.
        for k in range(1, count):
            theirs = oracle.top_k_accuracy_score(count - 1 - targets, output[:, ::-1], k=k, labels=range(count))
            assert same(measure(f"top_{k}", output, targets, "classes"), theirs)
        probabilities = softmax(output.astype(np.float64))
        areas = [
            oracle.roc_auc_score(targets == label, probabilities[:, label])
            for label in range(count)
            if 0 < (targets == label).sum() < len(targets)
        ]
        ours = measure("auc", output, targets, "classes")
        assert same(ours, np.mean(areas) if areas else math.nan)
        if len(areas) == count:
            assert same(ours, oracle.roc_auc_score(targets, probabilities, multi_class="ovr"))
            assert same(ours, measure("auc", probabilities, targets, "classes"))
        one_hot = np.eye(count, dtype=output.dtype)[targets]
        for name in ("accuracy", "f1", "auc", "top_2"):
            assert same(measure(name, output, one_hot, "classes"), measure(name, output, targets, "classes"))

    @settings(max_examples=150, deadline=None)
    @given(labels())
    def test_labels(self, data: tuple[Array, Array]) -> None:
        oracle = pytest.importorskip("sklearn.metrics")
        output, targets = data
        if targets.shape[1] > 1 and (targets.sum(axis=1) == 1).all():
            return  # these are classes
        answer = (output > 0.5).astype(int)
        average = "binary" if targets.shape[1] == 1 else "macro"
        theirs = oracle.f1_score(targets, answer, average=average, zero_division=0.0)
        defined = [column for column in range(targets.shape[1]) if 0 < targets[:, column].sum() < len(targets)]
        areas = [oracle.roc_auc_score(targets[:, column], output[:, column]) for column in defined]
        for kind in ("probabilities", "values"):
            assert same(measure("accuracy", output, targets, kind), np.mean(answer == targets))
            assert same(measure("f1", output, targets, kind), theirs)
            assert same(measure("auc", output, targets, kind), np.mean(areas) if areas else math.nan)
        if len(defined) == targets.shape[1]:
            assert same(measure("auc", output, targets, "probabilities"), oracle.roc_auc_score(targets, output))
        # Hinge losses: signs, and outputs on both sides of 0; halves and doubles change no order.
        for name in ("accuracy", "f1", "auc"):
            signs = measure(name, 2 * output - 1, 2 * targets - 1, "signs")
            assert same(signs, measure(name, output, targets, "probabilities"))

    @settings(max_examples=150, deadline=None)
    @given(
        st.integers(0, 2**32 - 1),
        st.integers(2, 50),
        st.sampled_from([1, 3]),
        st.sampled_from([0.0, 1.0, 1000.0]),
        st.booleans(),
    )
    def test_numbers(self, seed: int, rows: int, columns: int, offset: float, is_constant: bool) -> None:
        oracle = pytest.importorskip("sklearn.metrics")
        random = np.random.default_rng(seed)
        output = (random.normal(size=(rows, columns)) + offset).astype(np.float32)
        targets = (output + random.normal(size=(rows, columns))).astype(np.float32)
        if is_constant:
            targets[:, 0] = 0.5
        if seed % 3 == 0:
            output[:, 0] = targets[:, 0]
        y, z = targets.astype(np.float64), output.astype(np.float64)
        assert same(measure("mae", output, targets, "values"), oracle.mean_absolute_error(y, z))
        assert same(measure("mse", output, targets, "values"), oracle.mean_squared_error(y, z))
        assert measure("r2", output, targets, "values") == pytest.approx(oracle.r2_score(y, z), rel=1e-12)

    def test_on_the_answers_of_a_network(self) -> None:
        oracle = pytest.importorskip("sklearn.metrics")
        random = np.random.default_rng(0)
        X, y = random.normal(size=(300, 5)), random.integers(0, 4, 300)
        network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(4)], dtype="float64")
        network.fit(X, y, loss="cross_entropy", epochs=20)
        found = network.evaluate(X, y, metrics=["accuracy", "top_2", "auc", "f1"])
        probabilities, answer = network.predict_proba(X), network.predict(X).argmax(axis=1)
        assert list(found) == ["loss", "accuracy", "top_2", "auc", "f1"]
        assert found["top_2"] == oracle.top_k_accuracy_score(y, probabilities, k=2)
        assert found["auc"] == pytest.approx(oracle.roc_auc_score(y, probabilities, multi_class="ovr"), rel=1e-12)
        assert found["f1"] == pytest.approx(oracle.f1_score(y, answer, average="macro"), rel=1e-12)
        network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)])
        network.fit(X, y > 1, loss="binary_cross_entropy", epochs=20)
        found = network.evaluate(X, y > 1, metrics=["auc", "f1"])
        probability = network.predict_proba(X)
        assert found["auc"] == pytest.approx(oracle.roc_auc_score(y > 1, probability), rel=1e-12)
        assert found["f1"] == pytest.approx(oracle.f1_score(y > 1, probability > 0.5), rel=1e-12)


class TestByHand:
    """What needs no oracle."""

    def test_auc(self) -> None:
        targets = np.array([[1], [1], [0], [0]])
        assert measure("auc", [[0.9], [0.8], [0.2], [0.1]], targets, "probabilities") == 1.0
        assert measure("auc", [[0.1], [0.2], [0.8], [0.9]], targets, "probabilities") == 0.0
        assert measure("auc", [[0.5]] * 4, targets, "probabilities") == 0.5
        assert measure("auc", [[0.9], [0.3], [0.3], [0.1]], targets, "probabilities") == 3.5 / 4
        assert measure("auc", [[math.inf], [5e-324], [0.0], [-math.inf]], targets, "probabilities") == 1.0
        assert measure("auc", [[0.0], [-0.0], [0.0], [-0.0]], targets, "probabilities") == 0.5

    def test_auc_of_what_it_is_not_defined_for(self) -> None:
        """One class, one sample, or an output that is no number: NaN without a warning."""
        assert math.isnan(measure("auc", [[0.1], [0.2]], [[1.0], [1.0]], "probabilities"))
        assert math.isnan(measure("auc", [[0.1]], [[0.0]], "probabilities"))
        assert math.isnan(measure("auc", [[0.1, 0.3, 0.6]] * 4, [2, 2, 2, 2], "classes"))
        assert math.isnan(measure("auc", [[0.1], [math.nan]], [[1.0], [0.0]], "probabilities"))
        # Of three classes one is absent: the mean is over the others.
        assert measure("auc", [[2.0, 0, 0], [0, 2, 0]], [0, 1], "classes") == 1.0

    def test_auc_of_a_million(self) -> None:
        random = np.random.default_rng(0)
        targets = np.arange(1_000_000) % 2
        found = measure("auc", random.normal(size=(1_000_000, 1)) + targets[:, None], targets[:, None], "probabilities")
        assert found == pytest.approx(0.7602, abs=2e-3)  # Φ(1/√2)

    def test_f1_without_positives(self) -> None:
        zeros = np.zeros((3, 1))
        assert measure("f1", zeros, zeros, "probabilities") == 0.0
        assert measure("f1", zeros + 1, zeros + 1, "probabilities") == 1.0
        assert measure("f1", zeros + 1, zeros, "probabilities") == 0.0

    def test_an_output_of_nan_is_never_among_the_first(self) -> None:
        output = np.array([[math.nan, 1.0, 2.0, 3.0]])
        assert [measure("top_3", output, [label], "classes") for label in range(4)] == [0.0, 0.0, 1.0, 1.0]

    def test_r2_at_its_edges(self) -> None:
        assert measure("r2", [[1.0], [1.0]], [[1.0], [1.0]], "values") == 1.0
        assert measure("r2", [[1.0], [2.0]], [[1.0], [1.0]], "values") == 0.0
        assert math.isnan(measure("r2", [[1.0]], [[2.0]], "values"))
        assert measure("r2", [[0.1]] * 3, np.full((3, 1), 0.1), "values") == 1.0
        assert measure("r2", [[0.0], [0.0]], [[1e-200], [3e-200]], "values") == 1.0  # their squares are 0

    def test_float32_does_not_run_out_of_digits(self) -> None:
        output = np.zeros((1 << 20, 1), np.float32)
        targets = np.full((1 << 20, 1), np.float32(0.1))
        targets[::2] += np.float32(1000)
        exact = np.square(targets.astype(np.float64)).mean()
        assert measure("mse", output, targets, "values") == pytest.approx(exact, rel=1e-12)
        assert measure("mse", output + np.float32(3e38), output - np.float32(3e38), "values") == pytest.approx(3.6e77)


class TestWhatTheyTake:
    def test_xor_with_mse(self) -> None:
        X, y = dr.datasets.xor()
        network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1, "sigmoid")], seed=1)
        network.fit(X, y, loss="mse", optimizer=dr.Adam(0.05), epochs=500)
        assert network.evaluate(X, y, metrics=["accuracy", "f1", "auc"]) == pytest.approx(
            {"loss": 0.0, "accuracy": 1.0, "f1": 1.0, "auc": 1.0}, abs=0.05
        )

    @pytest.mark.parametrize("name", ["accuracy", "f1", "auc", "top_1"])
    def test_numbers_are_no_classes(self, name: str) -> None:
        for kind in ("values", "counts"):
            with pytest.raises(ValueError, match=f"{name} needs classes: these targets are numbers; use metrics="):
                measure(name, [[0.5, 1], [0.5, 0]], [[2.0, 1], [3, 4]], kind)

    def test_numbers_are_not_compared_with_classes(self) -> None:
        for name in ("mae", "mse", "r2"):
            with pytest.raises(ValueError, match="compare numbers; for class indices use"):
                measure(name, np.zeros((3, 2)), [0, 1, 1], "classes")

    def test_a_loss_of_the_users(self) -> None:
        """Its targets come as they are."""

        def loss(output: Array, y: Array) -> tuple[float, Array]:
            return 1.0, np.zeros_like(output)

        X = np.eye(3)
        network = dr.Network([dr.Dense(1, init="zeros")], input_shape=3)
        found = network.evaluate(X, [0, 1, 0], loss=loss, metrics=["accuracy", "mae", "r2", "auc"])
        assert found == {"loss": 1.0, "accuracy": 2 / 3, "mae": 1 / 3, "r2": pytest.approx(-0.5), "auc": 0.5}
        network = dr.Network([dr.Dense(2, init="zeros")], input_shape=3)
        assert network.evaluate(X, [0, 1, 0], loss=loss, metrics=["accuracy"])["accuracy"] == 2 / 3
        for y in ([0, 1, 2], [0, 1, -1], [0, 1, 0.5], ["a", "b", "c"], [0, 1, math.nan]):
            with pytest.raises(ValueError, match="f1 needs class indices from 0 to 1, or a column of targets for each"):
                network.evaluate(X, y, loss=loss, metrics=["f1"])
        with pytest.raises(
            ValueError, match=r"f1 needs targets of shape \(3, 2\) or class indices: these have \(3, 3\)"
        ):
            network.evaluate(X, X, loss=loss, metrics=["f1"])

    def test_top_k_of_too_few_or_of_labels(self) -> None:
        with pytest.raises(ValueError, match="top_3 of 3 outputs is always 1: choose a number below 3"):
            measure("top_3", np.zeros((2, 3)), [0, 1], "classes")
        with pytest.raises(ValueError, match=r"top_1 needs one output for each class"):
            measure("top_1", [[0.5]], [[1.0]], "probabilities")

    def test_what_a_function_gets_is_its_own(self) -> None:
        def vandal(output: Array, y: Array) -> float:
            output[:], y[:] = 7, 7
            return 0.0

        X, y = np.eye(4, dtype=np.float32), np.arange(4, dtype=np.int32)
        network = dr.Network([dr.Dense(4, init="zeros")], input_shape=4)
        found = network.evaluate(X, y, loss="cross_entropy", metrics=[vandal, "accuracy"])
        assert found["accuracy"] == 0.25
        assert list(y) == [0, 1, 2, 3]

    @pytest.mark.parametrize("answer", [np.zeros(2), "1", None, [1.0]])
    def test_a_function_that_returns_something_else(self, answer: Any) -> None:
        def own(output: Array, y: Array) -> Any:
            return answer

        with pytest.raises(TypeError, match=r"metric 'own' returned .*: expected one number"):
            find_metric(own)[1](np.zeros((2, 1)), np.zeros((2, 1)), "values")

    def test_functions_of_scikit_learn_are_given_the_targets_first(self) -> None:
        scores = pytest.importorskip("sklearn.metrics")
        random = np.random.default_rng(0)
        X, y = random.normal(size=(50, 3)), random.normal(size=50)
        network = dr.Network([dr.Dense(1)], seed=0)
        found = network.evaluate(X, y, loss="mse", metrics=["r2", scores.r2_score])
        assert found["r2_score"] == pytest.approx(found["r2"], rel=1e-5)

    def test_a_function_whose_arguments_have_no_names(self) -> None:
        assert find_metric(max)[1](np.array(1.0), np.array(0.5), "values") == 1.0  # type: ignore[arg-type]

    def test_functions_may_return_numbers_of_any_kind(self) -> None:
        for answer in (1, True, np.float32(1), np.array(1.0)):
            value = find_metric(lambda output, y, answer=answer: answer)[1](
                np.zeros((1, 1)), np.zeros((1, 1)), "values"
            )
            assert value == 1.0
            assert type(value) is float

    def test_nothing_is_said_on_the_way(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for name in METRICS:
                for rows in (1, 2):
                    measure(name, np.full((rows, 1), 1e38, np.float32), np.ones((rows, 1), np.float32), "values")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("acuracy", "metric 'acuracy' is unknown: did you mean 'accuracy'"),
            ("top5", "metric 'top5' is unknown: did you mean 'top_5'"),
            ("top_0", "is unknown: did you mean 'top_5'"),
            ("top_05", "is unknown"),
            ("top_-1", "is unknown"),
            ("top_k", "metric 'top_k' needs a number for k: write 'top_5'"),
            ("acc", "metric 'acc' is unknown: did you mean 'accuracy'"),
            ("roc_auc", "did you mean 'auc'"),
            ("", "choose one of accuracy, auc, f1, mae, mse, r2, top_5"),
            ("AUC", "did you mean 'auc'"),
        ],
    )
    def test_unknown(self, name: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            find_metric(name)

    @pytest.mark.parametrize("thing", [3, None, ["accuracy"]])
    def test_no_name_at_all(self, thing: Any) -> None:
        with pytest.raises(TypeError, match="expected a name; choose one of accuracy"):
            find_metric(thing)

    def test_lists(self) -> None:
        def own(output: Array, y: Array) -> float:
            return 1.0

        class Own:
            def __call__(self, output: Array, y: Array) -> float:
                return 2.0

        assert [name for name, _ in find_metrics(["f1", own, "top_3", Own()])] == ["f1", "own", "top_3", "Own"]
        assert find_metrics(()) == []
        with pytest.raises(TypeError, match=r"metrics='f1': expected a list"):
            find_metrics("f1")
        with pytest.raises(TypeError, match="expected a list"):
            find_metrics({"f1"})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="metrics has two that are called 'own'"):
            find_metrics([own, own])
        with pytest.raises(ValueError, match="metrics has two that are called 'f1'"):
            find_metrics(["f1", "f1"])
        own.__name__ = "val_f1"
        assert len(find_metrics([own])) == 1
        with pytest.raises(
            ValueError, match="a function called 'val_f1', as is 'f1' of the validation data: rename it"
        ):
            find_metrics([own, "f1"])
        for name in ("loss", "val_loss", "seconds", "lr", "epoch"):
            own.__name__ = name
            with pytest.raises(
                ValueError, match=f"a function called '{name}', which is something else here: rename it"
            ):
                find_metrics([own])

    def test_which_way_is_better(self) -> None:
        for name in ("accuracy", "top_5", "r2", "auc", "f1"):
            assert higher_is_better(name) is higher_is_better(f"val_{name}") is True
        for name in ("loss", "mae", "mse", "my_loss", "error"):
            assert higher_is_better(name) is higher_is_better(f"val_{name}") is False
        for name in ("", "lr", "mine", "val_", "top_k"):
            assert higher_is_better(name) is None
        assert set(METRICS) == {"accuracy", "auc", "f1", "mae", "mse", "r2"}
