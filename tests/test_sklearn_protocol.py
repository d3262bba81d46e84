"""scikit-learn's own callbacks (from 1.9 on): one task for the fit, one in it for each epoch, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_side_by_side import KINDS, our, quietly, table

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")

X, Y = table("iris")
SMALL: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0, "learning_rate_init": 0.01}


class Recorder:
    """Follows the protocol; `stop_after` epochs it asks for the end."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.scores: list[float] = []
        self.given: dict[str, Any] = {}
        self.stop_after = stop_after

    def setup(self, estimator: Any, context: Any) -> None:
        self.calls.append(("setup", context.task_name, context.task_id))

    def teardown(self, estimator: Any, context: Any) -> None:
        self.calls.append(("teardown", context.task_name, context.task_id))

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.calls.append(("begin", self.level(context), context.task_id))

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> bool:
        self.calls.append(("end", self.level(context), context.task_id))
        self.given = {"X": X, "y": y, "metadata": metadata}
        self.scores.append(fitted_estimator.score(X, y))
        return self.level(context) == "epoch" and context.task_id + 1 == self.stop_after

    @staticmethod
    def level(context: Any) -> str:
        return "fit" if context.parent is None else "epoch"


class Propagated(Recorder):
    """Is handed on from a pipeline or a search to what is inside."""

    max_propagation_depth = None

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:  # type: ignore[override]
        self.calls.append((type(estimator).__name__, context.task_name, context.task_id))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", KINDS)
class TestTasks:
    def test_order(self, kind: str, solver: str) -> None:
        recorder = Recorder()
        quietly(our(kind, solver=solver, **SMALL).set_callbacks(recorder).fit, X, Y)
        kinds = [call[0] for call in recorder.calls]
        assert kinds == ["setup", "begin", *["begin", "end"] * 8, "end", "teardown"]
        assert [call[2] for call in recorder.calls if call[:2] == ("end", "epoch")] == list(range(8))

    def test_stop(self, kind: str, solver: str) -> None:
        stopped = quietly(our(kind, solver=solver, **SMALL).set_callbacks(Recorder(stop_after=3)).fit, X, Y)
        assert stopped.n_iter_ == 3
        shorter = quietly(our(kind, solver=solver, **{**SMALL, "max_iter": 3}).fit, X, Y)
        np.testing.assert_allclose(stopped.predict(X), shorter.predict(X), rtol=1e-12)

    def test_the_fitted_estimator_is_that_of_the_epoch(self, kind: str, solver: str) -> None:
        recorder = Recorder()
        model = quietly(our(kind, solver=solver, **SMALL).set_callbacks(recorder).fit, X, Y)
        early = quietly(our(kind, solver=solver, **{**SMALL, "max_iter": 2}).fit, X, Y)
        assert recorder.scores[1] == pytest.approx(early.score(X, Y), rel=1e-9)
        assert recorder.scores[-1] == recorder.scores[-2] == model.score(X, Y)
        assert recorder.given["X"].shape == X.shape
        assert len(recorder.given["y"]) == len(Y)

    def test_they_change_nothing(self, kind: str, solver: str) -> None:
        watched = quietly(our(kind, solver=solver, **SMALL).set_callbacks(Recorder()).fit, X, Y)
        alone = quietly(our(kind, solver=solver, **SMALL).fit, X, Y)
        np.testing.assert_array_equal(watched.predict(X), alone.predict(X))


@pytest.mark.parametrize("kind", KINDS)
class TestFits:
    def test_torn_down_when_it_fails(self, kind: str) -> None:
        class Failing(Recorder):
            def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
                if context.parent is not None:
                    raise ZeroDivisionError

        recorder = Failing()
        model = our(kind, **SMALL).set_callbacks(recorder)
        with pytest.raises(ZeroDivisionError):
            model.fit(X, Y)
        assert [call[0] for call in recorder.calls] == ["setup", "teardown"]

    def test_weights_are_handed_on(self, kind: str) -> None:
        recorder, weights = Recorder(), np.linspace(0.5, 1, 150)
        quietly(our(kind, **SMALL).set_callbacks(recorder).fit, X, Y, weights)
        np.testing.assert_array_equal(recorder.given["metadata"]["sample_weight"], weights)

    def test_beside_callbacks_of_the_core(self, kind: str) -> None:
        epochs = []

        class Core:
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                epochs.append(epoch)

        recorder = Recorder(stop_after=5)
        quietly(our(kind, callbacks=[Core()], **SMALL).set_callbacks(recorder).fit, X, Y)
        assert epochs == list(range(5))

    def test_a_second_fit_without(self, kind: str) -> None:
        recorder = Recorder()
        model = quietly(our(kind, **SMALL).set_callbacks(recorder).fit, X, Y)
        before = len(recorder.calls)
        quietly(model.set_callbacks().fit, X, Y)
        assert len(recorder.calls) == before

    def test_from_a_pipeline(self, kind: str) -> None:
        recorder = Propagated()
        pipeline = Pipeline([("scale", StandardScaler()), ("mlp", our(kind, **SMALL))]).set_callbacks(recorder)
        quietly(pipeline.fit, X, Y)
        assert sum(name == kind for name, *_ in recorder.calls) == 8 + 1
        assert not hasattr(pipeline["mlp"], "_parent_callback_ctx")

    def test_from_a_search(self, kind: str) -> None:
        recorder = Propagated()
        search = GridSearchCV(our(kind, **SMALL), {"alpha": [0.1, 1.0]}, cv=2).set_callbacks(recorder)
        quietly(search.fit, X, Y)
        assert sum(name == kind for name, *_ in recorder.calls) == (2 * 2 + 1) * (8 + 1)


class TestScoringMonitor:
    def test_a_score_for_each_epoch(self) -> None:
        monitor = callback.ScoringMonitor(scoring="accuracy")
        model = quietly(our("MLPClassifier", **SMALL).set_callbacks(monitor).fit, X, Y)
        epochs = [row for row in monitor.get_logs().data if len(row["task_id_path"]) == 2]
        assert [row["task_id"] for row in epochs] == list(range(8))
        assert epochs[-1]["accuracy"] == model.score(X, Y)

    def test_several_scores_and_runs(self) -> None:
        monitor = callback.ScoringMonitor(scoring=["r2", "neg_mean_absolute_error"])
        model = our("MLPRegressor", early_stopping=True, **SMALL).set_callbacks(monitor)
        for _ in range(2):
            quietly(model.fit, X, Y)
        logs = monitor.get_logs(select="all")
        assert len(logs) == 2
        assert logs[0].estimator_name == "MLPRegressor"
        assert {"r2", "neg_mean_absolute_error"} <= set(logs[1].data[0])


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich", reason="scikit-learn's progress bar needs rich")
    quietly(our("MLPClassifier", **SMALL).set_callbacks(callback.ProgressBar()).fit, X, Y)
    assert "MLPClassifier" in capsys.readouterr().out
