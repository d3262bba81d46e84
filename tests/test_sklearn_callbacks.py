"""Watching and ending a fit: validation data, another score, callbacks, a plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import balanced_accuracy_score, get_scorer, log_loss, make_scorer
from sklearn_side_by_side import KINDS, our, quietly, table

X, Y = table("iris")
ROWS, HELD_OUT = np.arange(150) % 3 > 0, np.arange(150) % 3 == 0
SMALL: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 20, "random_state": 0, "learning_rate_init": 0.01}


def fit(kind: str = "MLPClassifier", validation: bool = True, y: Any = Y, **parameters: Any) -> Any:
    data = {"validation_data": (X[HELD_OUT], y[HELD_OUT])} if validation else {}
    return quietly(our(kind, **{**SMALL, **parameters}).fit, X[ROWS], y[ROWS], **data)


class TestValidationData:
    def test_losses_of_a_classifier(self) -> None:
        model = fit(alpha=0)
        assert len(model.val_loss_curve_) == len(model.loss_curve_) == 20
        expected = log_loss(Y[HELD_OUT], model.predict_proba(X[HELD_OUT]))
        assert model.val_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("loss", ["squared_error", "mae"])
    def test_losses_of_a_regressor(self, loss: str) -> None:
        model = fit("MLPRegressor", alpha=0, loss=loss)
        error = model.predict(X[HELD_OUT]) - Y[HELD_OUT]
        expected = np.mean(error**2) / 2 if loss == "squared_error" else np.abs(error).mean()
        assert model.val_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("kind", KINDS)
    def test_does_not_train(self, kind: str) -> None:
        watched, alone = fit(kind), fit(kind, validation=False)
        assert watched.loss_curve_ == alone.loss_curve_
        assert alone.val_loss_curve_ is None

    @pytest.mark.parametrize("kind", KINDS)
    def test_takes_the_place_of_the_fraction(self, kind: str) -> None:
        """All rows train, the best weights on these are kept, and the scores are those on these."""
        model = fit(kind, early_stopping=True, max_iter=60)
        assert model.t_ == model.n_iter_ * ROWS.sum()
        assert len(model.validation_scores_) == model.n_iter_ == len(model.val_loss_curve_)
        assert model.best_validation_score_ == max(model.validation_scores_)
        assert model.score(X[HELD_OUT], Y[HELD_OUT]) == pytest.approx(model.best_validation_score_, rel=1e-9)

    def test_labels_are_its_own(self) -> None:
        names = np.array(["setosa", "versicolor", "virginica"])[Y]
        assert fit(y=names).val_loss_curve_ == fit().val_loss_curve_

    def test_it_grows_with_a_warm_start(self) -> None:
        model = our("MLPClassifier", warm_start=True, **SMALL)
        for _ in range(2):
            quietly(model.fit, X[ROWS], Y[ROWS], validation_data=(X[HELD_OUT], Y[HELD_OUT]))
        assert len(model.val_loss_curve_) == len(model.loss_curve_) == 40

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            ((X[:9, :3], Y[:9]), ValueError),
            ((X[:9], Y[:8]), ValueError),
            ((X[:9], [7] * 9), ValueError),
            ((np.full((9, 4), np.nan), Y[:9]), ValueError),
            (X, (TypeError, ValueError)),
            (3, (TypeError, ValueError)),
        ],
        ids=["columns", "lengths", "labels", "NaN", "no pair", "a number"],
    )
    def test_refused(self, data: Any, error: Any) -> None:
        with pytest.raises(error):
            our("MLPClassifier", **SMALL).fit(X, Y, validation_data=data)


class TestScoring:
    @pytest.mark.parametrize(
        "scoring",
        ["neg_log_loss", "balanced_accuracy", "roc_auc_ovr", make_scorer(balanced_accuracy_score)],
        ids=lambda scoring: scoring if isinstance(scoring, str) else "a scorer",
    )
    def test_best_weights_by_another_score(self, scoring: Any) -> None:
        model = fit(early_stopping=True, scoring=scoring, max_iter=40)
        scorer = get_scorer(scoring)
        assert scorer(model, X[HELD_OUT], Y[HELD_OUT]) == pytest.approx(model.best_validation_score_, rel=1e-9)

    def test_a_function(self) -> None:
        seen = []

        def score(model: Any, rows: Any, y: Any) -> float:
            seen.append(len(rows))
            return -float(len(seen))

        model = fit("MLPRegressor", early_stopping=True, scoring=score, n_iter_no_change=4, max_iter=100)
        assert set(seen) == {int(HELD_OUT.sum())}
        assert model.validation_scores_ == [-float(count) for count in range(1, len(seen) + 1)]
        assert model.n_iter_ == 1 + 5  # none is better than the first
        first = fit("MLPRegressor", max_iter=1)
        np.testing.assert_array_equal(model.coefs_[0], first.coefs_[0])

    def test_of_the_split_off_fraction(self) -> None:
        by_default, by_name = (
            fit(validation=False, early_stopping=True, scoring=scoring) for scoring in (None, "accuracy")
        )
        assert by_default.validation_scores_ == by_name.validation_scores_


class Recorder:
    def __init__(self, calls: list[Any], name: str = "", stop_after: int | None = None) -> None:
        self.calls, self.name, self.stop_after = calls, name, stop_after

    def on_fit_begin(self, network: Any) -> None:
        self.calls.append((self.name, "begin"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        self.calls.append((self.name, epoch, logs))
        return epoch + 1 == self.stop_after

    def on_fit_end(self, network: Any) -> None:
        self.calls.append((self.name, "end"))


@pytest.mark.parametrize("kind", KINDS)
class TestCallbacks:
    def test_order(self, kind: str) -> None:
        calls: list[Any] = []
        model = fit(kind, callbacks=[Recorder(calls, "a"), Recorder(calls, "b")], max_iter=2)
        assert [call[:2] for call in calls[:2]] == [("a", "begin"), ("b", "begin")]
        assert [call[:2] for call in calls[2:-2]] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
        assert sorted(calls[-2:]) == [("a", "end"), ("b", "end")]
        assert [call[2]["loss"] for call in calls[2:-2:2]] == model.loss_curve_
        assert [call[2]["val_loss"] for call in calls[2:-2:2]] == model.val_loss_curve_

    def test_one_stops_it_for_all(self, kind: str) -> None:
        calls: list[Any] = []
        model = fit(kind, callbacks=[Recorder(calls, stop_after=3), Recorder(calls)])
        assert model.n_iter_ == 3
        np.testing.assert_array_equal(model.coefs_[0], fit(kind, max_iter=3).coefs_[0])
        assert len(calls) == 2 * (1 + 3 + 1)

    def test_they_change_nothing(self, kind: str) -> None:
        assert fit(kind, callbacks=[Recorder([])]).loss_curve_ == fit(kind, callbacks=None).loss_curve_

    def test_some_methods_are_enough(self, kind: str) -> None:
        class Ender:
            ended = 0

            def on_fit_end(self, network: Any) -> None:
                self.ended += 1

        callback = Ender()
        fit(kind, callbacks=[callback])
        assert callback.ended == 1

    def test_lbfgs_tells_of_iterations(self, kind: str) -> None:
        calls: list[Any] = []
        model = fit(kind, validation=False, solver="lbfgs", callbacks=[Recorder(calls, stop_after=4)])
        assert model.n_iter_ == 4
        assert len(calls) == 1 + 4 + 1


def test_plot() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    model = fit("MLPRegressor")
    axes = model.plot_loss_curve()
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), model.loss_curve_)
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), model.val_loss_curve_)
    assert axes.get_xlabel() == "epoch"
    assert axes.get_legend() is not None
    figure, own = pyplot.subplots()
    assert fit(validation=False).plot_loss_curve(ax=own) is own
    assert len(own.lines) == 1
    figure.savefig("/dev/null", format="png")
    pyplot.close("all")


def test_plot_of_what_is_not_fitted() -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(NotFittedError):
        our("MLPClassifier").plot_loss_curve()
