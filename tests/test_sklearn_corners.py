"""Corners of the drop-in: what a second fit keeps, who shares what, odd weights, odd labels, files of strangers."""

from __future__ import annotations

import copy
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning
from sklearn_side_by_side import BESIDE_1_9, KINDS, assert_same_fit, both, our, quietly, table

import deltarule as dr
from deltarule.sklearn.lbfgs import _Objective
from deltarule.sklearn.samples import Samples

SMALL: dict[str, Any] = {"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 10}
X, Y = table("iris")


@BESIDE_1_9
class TestPartialFit:
    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_new_parameters_keep_the_optimizer(self, kind: str, solver: str) -> None:
        pair = both(kind, solver=solver, learning_rate="invscaling", **SMALL)
        for number in range(8):
            for one in pair:
                one.set_params(alpha=1e-3 * (1 + number), learning_rate_init=0.1, power_t=0.1)
                classes = {"classes": [0, 1, 2]} if kind == "MLPClassifier" else {}
                quietly(one.partial_fit, X, Y, **classes)
        assert_same_fit(pair, X, Y)

    @pytest.mark.parametrize("kind", KINDS)
    def test_weights_keep_their_dtype(self, kind: str) -> None:
        model = quietly(our(kind, **SMALL).fit, X.astype(np.float32), Y)
        steps = model._optimizer.carry[0]
        for dtype in (np.float64, np.float32):
            model.partial_fit(X.astype(dtype), Y)
        assert model.coefs_[0].dtype == np.float32
        assert model._optimizer.carry[0] == steps + 2

    def test_an_order_from_the_global_generator(self) -> None:
        before = np.random.get_state()  # noqa: NPY002 - what random_state=None means
        try:
            states = []
            for one in both("MLPRegressor", **{**SMALL, "random_state": None}):
                np.random.seed(4)  # noqa: NPY002
                for _ in range(3):
                    one.partial_fit(X, Y)
                states.append((one.loss_curve_, np.random.get_state()[2]))  # noqa: NPY002
        finally:
            np.random.set_state(before)  # noqa: NPY002
        np.testing.assert_allclose(states[0][0], states[1][0], rtol=1e-9)
        assert states[0][1] == states[1][1]


class TestLabels:
    @pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
    def test_sparse_labels(self, container: Any) -> None:
        labels = (np.random.default_rng(0).random((150, 4)) > 0.5).astype(int)
        dense = quietly(our("MLPClassifier", **SMALL).fit, X, labels)
        sparse = quietly(our("MLPClassifier", **SMALL).fit, X, container(labels))
        assert dense.loss_curve_ == sparse.loss_curve_
        predicted = sparse.predict(X)
        assert sp.issparse(predicted)
        np.testing.assert_array_equal(predicted.toarray(), dense.predict(X))

    @pytest.mark.parametrize(
        ("y", "held_out", "message"),
        [
            (Y * 2, Y * 2 - 1, "validation_data has the classes"),
            (Y, Y + 1, "validation_data has the classes"),
            (np.eye(3, dtype=int)[Y], Y, "multilabel"),
            (Y, np.eye(3, dtype=int)[Y], "multilabel"),
        ],
    )
    def test_validation_labels_are_checked(self, y: Any, held_out: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            quietly(our("MLPClassifier", **SMALL).fit, X, y, validation_data=(X, held_out))

    def test_a_column_of_validation_labels(self) -> None:
        one = quietly(our("MLPClassifier", **SMALL).fit, X, Y, validation_data=(X, Y))
        with pytest.warns(DataConversionWarning):
            other = quietly(our("MLPClassifier", **SMALL).fit, X, Y, validation_data=(X, Y.reshape(-1, 1)))
        assert one.val_loss_curve_ == other.val_loss_curve_

    @pytest.mark.parametrize("weights", [{0: np.nan, 1: 1, 2: 1}, {0: 0, 1: 0, 2: 0}, {0: -1, 1: 1, 2: 1}])
    def test_odd_class_weights(self, weights: Any) -> None:
        with pytest.raises(ValueError, match="class_weight"):
            our("MLPClassifier", class_weight=weights, **SMALL).fit(X, Y)

    def test_class_weights_of_several_labels(self) -> None:
        labels = np.eye(3, dtype=int)[Y]
        weights = [{0: 1.0, 1: 2.0}] * 3
        model = quietly(our("MLPClassifier", class_weight=weights, **SMALL).fit, X, labels)
        alike = quietly(our("MLPClassifier", **SMALL).fit, X, labels, np.full(150, 2.0))
        np.testing.assert_allclose(model.loss_curve_, alike.loss_curve_, rtol=1e-12)


class TestScoring:
    @pytest.mark.parametrize("scoring", ["neg_max_error", "r2", lambda model, X, y: model.score(X, y)])
    def test_with_weights_and_names(self, scoring: Any) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(X, columns=list("abcd"))
        model = our("MLPRegressor", early_stopping=True, scoring=scoring, **SMALL)
        quietly(model.fit, frame, Y, np.linspace(1, 2, 150))
        assert len(model.validation_scores_) == model.n_iter_

    def test_class_weights_are_for_training(self) -> None:
        settings = {**SMALL, "early_stopping": True, "max_iter": 2, "learning_rate_init": 1e-12}
        plain = quietly(our("MLPClassifier", **settings).fit, X, Y)
        weighted = quietly(our("MLPClassifier", class_weight={0: 100.0}, **settings).fit, X, Y)
        assert plain.validation_scores_ == weighted.validation_scores_
        assert plain.loss_ != weighted.loss_


class TestSharing:
    def test_a_copy_has_weights_of_its_own_once_they_are_set(self) -> None:
        model = quietly(our("MLPClassifier", **SMALL).fit, X, Y)
        other, before = copy.copy(model), model.predict_proba(X)
        other.coefs_ = [coef * 0 for coef in other.coefs_]
        np.testing.assert_array_equal(model.predict_proba(X), before)
        assert (other.predict_proba(X) != before).any()

    def test_a_callback_may_look_but_not_write(self) -> None:
        class Looks:
            def __init__(self) -> None:
                self.seen: list[float] = []

            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                self.seen.append(model.coefs_[0][0, 0])
                with pytest.raises(ValueError, match="read-only"):
                    model.coefs_[0][:] = 0
                with pytest.raises(RuntimeError, match="being trained"):
                    model.coefs_ = []

        looks = Looks()
        model = our("MLPClassifier", callbacks=[looks], **SMALL)
        quietly(model.fit, X, Y)
        assert len(set(looks.seen)) == 10
        assert looks.seen[-1] == model.coefs_[0][0, 0]
        model.coefs_[0][:] = 0  # afterwards they are one's own
        np.testing.assert_allclose(model.predict_proba(X), model.predict_proba(X * 0))

    def test_threads_wait_for_each_other(self) -> None:
        model = our("MLPClassifier", **SMALL)
        model.partial_fit(X, Y, classes=[0, 1, 2])
        failures: list[Exception] = []
        end = time.monotonic() + 1

        def work(call: Any) -> None:
            try:
                while time.monotonic() < end:
                    call()
            except Exception as failure:  # whatever it is
                failures.append(failure)

        calls = [lambda: model.predict(X), lambda: model.partial_fit(X, Y), lambda: model.predict(X[:1])]
        threads = [threading.Thread(target=work, args=(call,)) for call in calls * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    def test_another_activation(self) -> None:
        for one in both("MLPClassifier", **SMALL):
            quietly(one.fit, X, Y)
            one.set_params(activation="tanh")
        ours, theirs = both("MLPClassifier", **SMALL)
        for one in (ours, theirs):
            quietly(one.fit, X, Y)
            one.set_params(activation="tanh")
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
        np.testing.assert_allclose(ours.predict_proba(X[:1]), theirs.predict_proba(X[:1]), rtol=1e-9)

    def test_another_loss_needs_a_new_start(self) -> None:
        model = quietly(our("MLPRegressor", loss="poisson", warm_start=True, **SMALL).fit, X, Y)
        model.set_params(loss="squared_error")
        with pytest.raises(ValueError, match="warm_start=False"):
            model.fit(X, Y)


class TestCheckpoints:
    def fitted(self, path: Path, **changes: Any) -> Any:
        settings = {**SMALL, "max_iter": 4, **changes}
        fit = settings.pop("fit", {})
        return quietly(our("MLPClassifier", **settings).fit, X, Y, checkpoint=path, resume=True, **fit)

    def test_another_seed_is_another_training(self, tmp_path: Path) -> None:
        self.fitted(tmp_path / "a")
        with pytest.raises(ValueError, match="other data or parameters"):
            self.fitted(tmp_path / "a", random_state=1)

    def test_so_is_other_validation_data(self, tmp_path: Path) -> None:
        self.fitted(tmp_path / "a", fit={"validation_data": (X, Y)})
        with pytest.raises(ValueError, match="other data or parameters"):
            self.fitted(tmp_path / "a", fit={"validation_data": (X + 1, Y)})

    def test_broken_off_in_the_middle_of_an_epoch(self, tmp_path: Path) -> None:
        """What is in the file is an end of an epoch, never the middle of one."""
        X = np.random.default_rng(0).normal(size=(100_000, 20))
        y = (X[:, 0] > 0).astype(int)
        settings = {
            **SMALL,
            "hidden_layer_sizes": (64,),
            "max_iter": 50,
            "tol": 0,
            "batch_size": 4,
            "n_iter_no_change": 1000,
        }
        whole = quietly(our("MLPClassifier", **settings).fit, X, y)

        def interrupt(*arguments: Any) -> None:
            raise KeyboardInterrupt

        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 1.3)  # when there is a file already
            model = our("MLPClassifier", **settings)
            with pytest.warns(UserWarning, match="interrupted"):
                model.fit(X, y, checkpoint=tmp_path / "a")
            assert 0 < model.n_iter_ < 50
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        resumed = quietly(our("MLPClassifier", **settings).fit, X, y, checkpoint=tmp_path / "a", resume=True)
        assert resumed.loss_curve_ == whole.loss_curve_
        for ours, theirs in zip(resumed.coefs_, whole.coefs_, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64, np.random.Philox, np.random.SFC64])
    def test_every_generator(self, kind: Any, tmp_path: Path) -> None:
        whole = self.fitted(tmp_path / "b", random_state=np.random.RandomState(kind(3)), max_iter=9)
        self.fitted(tmp_path / "a", random_state=np.random.RandomState(kind(3)))
        resumed = self.fitted(tmp_path / "a", random_state=np.random.RandomState(kind(8)), max_iter=9)
        assert resumed.loss_curve_ == whole.loss_curve_

    def test_a_scorer_has_its_name(self, tmp_path: Path) -> None:
        for _ in range(2):

            def scorer(model: Any, X: Any, y: Any) -> float:
                return float(model.score(X, y))

            self.fitted(tmp_path / "a", early_stopping=True, scoring=scorer)

    @pytest.mark.parametrize("part", ["n_iter", "t", "loss", "generator", "seconds", "epochs_trained", "random_state"])
    @pytest.mark.parametrize("value", [None, "x", -1, 10**400, {}, [1]])
    def test_damage(self, part: str, value: Any, tmp_path: Path) -> None:
        import json

        from safetensors import safe_open
        from safetensors.numpy import save_file

        self.fitted(tmp_path / "a")
        with safe_open(tmp_path / "a", framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            numbers = json.loads(file.metadata()["deltarule.sklearn"])
        numbers[part] = value
        save_file(arrays, tmp_path / "a", metadata={"deltarule.sklearn": json.dumps(numbers)})
        if (part, value) in [("loss", -1), ("seconds", -1)]:
            return  # a loss may be that, and a clock too
        with pytest.raises(ValueError, match="damaged"):
            self.fitted(tmp_path / "a")


class TestLbfgs:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_objective_against_differences(self, kind: str) -> None:
        """With one output the value is what the gradient is of; several samples parts, weights and both penalties."""
        model = our(kind, solver="lbfgs", alpha=0.5, l1=0.2, activation="tanh", **SMALL)
        y = (Y > 0).astype(float)
        quietly(model.fit, X, y)
        weights = np.random.default_rng(0).uniform(0.5, 2, 150)
        objective = _Objective(model, model._network(), Samples(X, y.reshape(-1, 1), weights))
        start = objective.start() + 0.01
        _, gradient = objective(start)
        for place in range(0, len(start), 7):
            step = np.zeros_like(start)
            step[place] = 1e-6
            slope = (objective(start + step)[0] - objective(start - step)[0]) / 2e-6
            assert slope == pytest.approx(gradient[place], rel=1e-5, abs=1e-7)

    def test_callbacks_see_the_weights_of_now(self) -> None:
        seen = []

        class Looks:
            def on_fit_begin(self, network: dr.Network) -> None:
                self.network = network

            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                seen.append(float(self.network.predict(X)[0, 0]))

        quietly(our("MLPClassifier", solver="lbfgs", callbacks=[Looks()], **SMALL).fit, X, Y)
        assert len(set(seen)) == len(seen) == 10

    def test_an_interrupted_one_keeps_what_it_has(self) -> None:
        class Stops:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                if epoch == 5:
                    raise KeyboardInterrupt

        model = our("MLPClassifier", solver="lbfgs", callbacks=[Stops()], **SMALL)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y)
        assert model.score(X, Y) > 0.5

    def test_nothing_to_validate(self) -> None:
        with pytest.raises(ValueError, match="validation_data needs"):
            our("MLPClassifier", solver="lbfgs", **SMALL).fit(X, Y, validation_data=(X, Y))


class TestNumbers:
    @pytest.mark.parametrize("kind", KINDS)
    def test_losses_are_numpys(self, kind: str) -> None:
        model = quietly(our(kind, **SMALL).fit, X, Y)
        assert isinstance(model.loss_, np.float64)
        assert isinstance(model.best_loss_, np.float64)
        assert all(isinstance(loss, np.float64) for loss in model.loss_curve_)

    @pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
    def test_as_many_epochs_as_one_likes(self, learning_rate: str) -> None:
        settings = {**SMALL, "max_iter": 2**63, "solver": "sgd", "learning_rate": learning_rate, "tol": 1.0}
        assert our("MLPRegressor", **settings).fit(X, Y).n_iter_ < 30

    @pytest.mark.parametrize(
        ("coefs", "message"),
        [
            ([np.zeros((4, 6)), np.zeros(3)], r"expected a matrix"),
            (
                [np.zeros((4, 7)), np.zeros((6, 3))],
                r"coefs_\[1\] has shape \(6, 3\): expected \(7, 3\)|intercepts_\[0\]",
            ),
        ],
    )
    def test_coefs_that_do_not_fit(self, coefs: Any, message: str) -> None:
        model = quietly(our("MLPClassifier", **SMALL).fit, X, Y)
        model.coefs_ = coefs
        with pytest.raises(ValueError, match=message):
            model.predict(X)

    def test_a_network_without_a_hidden_layer(self) -> None:
        settings = {**SMALL, "hidden_layer_sizes": (), "activation": [], "dropout": []}
        assert len(quietly(our("MLPClassifier", **settings).fit, X, Y).coefs_) == 1
