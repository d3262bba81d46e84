"""sensitivity: each run is the fit it says, outcomes follow the rule, and the table, words and picture tell it."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
import pytest

import deltarule as dr
from deltarule.history import History
from deltarule.sensitivity_report import outcome_of
from deltarule.sensitivity_study import Sensitivity, sensitivity

XOR = dr.datasets.xor()
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5] + 1


def two_two_one() -> dr.Network:
    return dr.Network([dr.Dense(2, "tanh"), dr.Dense(1)], input_shape=2)


def bits(network: dr.Network) -> bytes:
    return b"".join(array.tobytes() for array in network.state_dict().values())


@pytest.fixture(scope="module")
def xor() -> Sensitivity:
    """Too small a rate, one that is right but depends on the start, one that breaks everything."""
    return sensitivity(
        two_two_one(),
        *XOR,
        loss="binary_cross_entropy",
        optimizer="sgd",
        lrs=[1.0, 0.01, 1e30],
        epochs=1000,
        validation_data=(XOR[0][:2], XOR[1][:2]),
        metrics=["accuracy"],
    )


class TestRuns:
    def test_are_what_fit_alone_gives(self) -> None:
        network = dr.Network([dr.Dense(4, "tanh"), dr.Dropout(0.2), dr.Dense(1)], input_shape=3, seed=77)
        report = sensitivity(
            network, X, Y, loss="mse", optimizer=dr.SGD(momentum=0.9), seeds=[3, 1], lrs=(0.1, 0.01), epochs=5,
            batch_size=7, sample_weight=np.arange(40) + 1.0, clip_norm=1.0,
        )  # fmt: skip
        assert [(run.lr, run.seed) for run in report.runs] == [(0.1, 3), (0.1, 1), (0.01, 3), (0.01, 1)]
        for run in report.runs:
            alone = dr.Network(network.layers, input_shape=3, seed=run.seed)
            seen = alone.fit(
                X, Y, loss="mse", optimizer=dr.SGD(run.lr, momentum=0.9), epochs=5, batch_size=7,
                sample_weight=np.arange(40) + 1.0, clip_norm=1.0,
            )  # fmt: skip
            assert bits(run.network) == bits(alone)
            assert run.history["loss"] == seen["loss"]
            assert run.loss == alone.evaluate(X, Y, sample_weight=np.arange(40) + 1.0)["loss"]
            assert run.epochs == 5
            assert run.val_loss is None

    def test_the_network_is_left_alone(self) -> None:
        network = two_two_one()
        before = bits(network)
        sensitivity(network, *XOR, loss="mse", seeds=2, lrs=[0.1], epochs=3)
        assert bits(network) == before
        assert network.epochs_trained == 0

    def test_of_a_spec_and_of_a_network_that_has_seen_no_data(self) -> None:
        options: dict[str, Any] = {"loss": "mse", "seeds": 2, "lrs": [0.1], "epochs": 3}
        built = sensitivity(two_two_one(), *XOR, **options)
        for other in (two_two_one().spec(), dr.Network(two_two_one().layers)):
            assert sensitivity(other, *XOR, **options).to_dict() == built.to_dict()

    def test_numbers_of_validation_and_metrics(self, xor: Sensitivity) -> None:
        for run in xor.runs:
            of_all = run.network.evaluate(*XOR, metrics=["accuracy"])
            of_part = run.network.evaluate(XOR[0][:2], XOR[1][:2], metrics=["accuracy"])
            assert (run.loss, run.metrics["accuracy"]) == (of_all["loss"], of_all["accuracy"])
            assert (run.val_loss, run.metrics["val_accuracy"]) == (of_part["loss"], of_part["accuracy"])
            assert run.history["val_loss"][-1] == run.val_loss
            assert set(run.metrics) == {"accuracy", "val_accuracy"}

    def test_start_is_the_median_of_the_untrained(self, xor: Sensitivity) -> None:
        losses = [
            dr.Network(two_two_one().layers, input_shape=2, seed=seed).evaluate(*XOR, loss="binary_cross_entropy")
            for seed in range(10)
        ]
        assert xor.start == np.median([found["loss"] for found in losses])

    def test_the_best(self, xor: Sensitivity) -> None:
        of_validation = {run.val_loss: run for run in xor.runs if run.val_loss is not None and not run.diverged}
        assert xor.best_run is of_validation[min(of_validation)]
        assert min(run.val_loss or 0.0 for run in xor.runs if run.diverged) < min(of_validation), "by chance"
        assert xor.best is xor.best_run.network
        assert xor.best_run.lr == 1.0
        plain = sensitivity(two_two_one(), *XOR, loss="mse", seeds=3, lrs=[0.1], epochs=20)
        assert plain.best_run.loss == min(run.loss for run in plain.runs)

    def test_a_metric_of_ones_own_never_sees_a_run_that_diverged(self) -> None:
        def strict(output: Any, y: Any) -> float:
            assert np.isfinite(output).all()
            return float(np.abs(output - y).max())

        report = sensitivity(
            dr.Network([dr.Dense(1)], input_shape=3), X * 1e6, Y, loss="mse", optimizer="sgd", seeds=2,
            lrs=[1e-14, 1.0], epochs=50, metrics=[strict],
        )  # fmt: skip
        assert [run.diverged for run in report.runs] == [False, False, True, True]
        assert [run.loss for run in report.runs[2:]] == [math.inf, math.inf]
        assert report.runs[0].metrics["strict"] > 0
        assert math.isnan(report.runs[3].metrics["strict"])

    @pytest.mark.parametrize("threads", [1, 2])
    def test_are_the_same_for_any_number_of_threads(self, threads: int) -> None:
        options: dict[str, Any] = {"loss": "mse", "seeds": 2, "lrs": [0.1], "epochs": 3}
        one = sensitivity(two_two_one(), *XOR, **options)
        assert sensitivity(two_two_one(), *XOR, n_threads=threads, **options).to_dict() == one.to_dict()


class TestOutcomes:
    def test_of_xor(self, xor: Sensitivity) -> None:
        """With 2-2-1 there is a local minimum where one of the four is wrong: a loss of ln(2)/2."""
        of = {lr: [run for run in xor.runs if run.lr == lr] for lr in xor.lrs}
        assert {run.outcome for run in of[0.01]} == {"slow"}
        assert {run.outcome for run in of[1e30]} == {"diverged"}
        outcomes = [run.outcome for run in of[1.0]]
        assert set(outcomes) == {"learned", "stuck"}
        for run in of[1.0]:
            if run.outcome == "stuck":
                assert run.loss == pytest.approx(math.log(2) / 2, abs=0.01)
            else:
                assert run.loss < 0.01
                assert run.metrics["accuracy"] == 1.0

    @staticmethod
    def of(loss: float, losses: list[float], start: float = 1.0, best: float = 0.0) -> str:
        return outcome_of(loss, History({"loss": losses}), start, start, best)

    def test_by_the_final_loss(self) -> None:
        falling = list(np.linspace(1, 0, 40))
        assert self.of(0.0, falling) == self.of(0.05, falling) == "learned"
        assert self.of(0.06, falling) == "slow"
        assert self.of(2.1, falling) == self.of(math.inf, falling) == self.of(math.nan, falling) == "diverged"

    def test_stuck_is_who_does_not_get_better(self) -> None:
        flat = list(0.3 + 0.7 * np.exp(-np.arange(40)))
        assert self.of(0.3, flat) == "stuck"
        assert self.of(0.99, list(1 - 0.0001 * np.arange(40))) == "slow", "however slow"
        assert self.of(1.0, [1.0] * 40) == "stuck"
        jumping = list(0.8 + 0.3 * np.random.default_rng(1).uniform(-1, 1, 40))
        assert self.of(0.8, jumping) == "stuck"

    def test_of_few_epochs_nobody_can_tell(self) -> None:
        assert self.of(0.5, [1.0, 0.5, 0.5]) == "slow"

    def test_where_no_run_is_better_than_none(self) -> None:
        assert self.of(1.0, [1.0] * 8, best=1.0) == "stuck"
        assert self.of(5.0, [1.0] * 8, best=1.0) == "stuck"

    def test_losses_below_zero(self) -> None:
        assert self.of(-4.0, [-1.0] * 8, start=0.0, best=-4.0) == "learned"
        assert self.of(-2.0, [-2.0] * 8, start=0.0, best=-4.0) == "stuck"

    def test_of_huge_losses(self) -> None:
        assert self.of(0.5, [1e308] * 4 + [1e308, 1e308, 0.5, 0.5]) in ("slow", "stuck")
        assert outcome_of(1.0, History({"loss": [1.0]}), math.inf, math.inf, 1.0) == "learned"


class TestReport:
    def test_table(self, xor: Sensitivity) -> None:
        lines = [line.split() for line in xor.table().splitlines()]
        assert lines[0] == ["lr", "best", "median", "worst", "spread", "learned", "slow", "stuck", "diverged"]
        losses = [run.loss for run in xor.runs if run.lr == 1.0]
        low, high = np.quantile(losses, (0.25, 0.75))
        counts = [str(sum(run.outcome == outcome for run in xor.runs[:10])) for outcome in lines[0][5:]]
        numbers = [f"{number:.3g}" for number in (min(losses), np.median(losses), max(losses))]
        assert lines[1] == ["1", *numbers, f"{high - low:.2g}", *counts]
        assert lines[3] == ["1e+30", "diverged", "diverged", "diverged", "0", "0", "0", "10"]
        assert str(xor) == repr(xor) == f"{xor.table()}\n{xor.verdict}"

    def test_verdict(self, xor: Sensitivity) -> None:
        learned = sum(run.outcome == "learned" for run in xor.runs)
        assert xor.verdict.splitlines() == [
            f"lr 1 trains {learned} of 10 starts: the start decides",
            "10 of 10 at lr 1e+30 diverge",
            f"{10 - learned} of 10 at lr 1 end in a local minimum or on a plateau",
            "10 of 10 at lr 0.01 are still on their way after 1000 epochs",
        ]

    def test_verdict_at_the_edge(self) -> None:
        report = sensitivity(
            dr.Network([dr.Dense(1)], input_shape=3), X, Y, loss="mse", seeds=2, lrs=[0.1, 1e-5], epochs=200
        )
        assert report.verdict.splitlines()[0] == "lr 0.1 trains all 2 starts"
        assert report.verdict.endswith("the best lr is the largest that was tried: try larger ones too")

    def test_verdict_where_nothing_learns(self) -> None:
        dead = dr.Network([dr.Dense(1, init="zeros")], input_shape=1)
        report = sensitivity(dead, [[1.0], [1.0]], [-1.0, 1.0], loss="mse", seeds=1, lrs=[0.5], epochs=4, batch_size=2)
        assert report.verdict.startswith("no run is better than the untrained network, whose loss is 1")

    def test_all_diverged(self) -> None:
        report = sensitivity(
            dr.Network([dr.Dense(1)], input_shape=3), X, Y, loss="mse", optimizer="sgd", seeds=3, lrs=[1e30], epochs=9
        )
        assert {run.outcome for run in report.runs} == {"diverged"}
        assert all(run.epochs < 9 for run in report.runs)
        assert "3 of 3 at lr 1e+30 diverge" in report.verdict
        assert np.isfinite(report.best.predict(X)).all(), "with the weights of the last good epoch"

    def test_frame(self, xor: Sensitivity) -> None:
        pandas = pytest.importorskip("pandas")
        frame = xor.to_frame()
        assert isinstance(frame, pandas.DataFrame)
        assert list(frame) == [
            "seed", "lr", "loss", "val_loss", "accuracy", "val_accuracy", "diverged", "outcome", "epochs",
        ]  # fmt: skip
        assert len(frame) == 30
        assert frame["diverged"].sum() == 10
        assert list(frame["loss"]) == [run.loss for run in xor.runs]
        assert (frame["epochs"] == 1000).all(), "cross-entropy is finite for weights of any size"

    def test_dict_goes_into_json(self, xor: Sensitivity) -> None:
        report = json.loads(json.dumps(xor.to_dict()))
        assert report["verdict"] == xor.verdict
        assert len(report["runs"]) == 30

    @pytest.mark.parametrize(("method", "module"), [("to_frame", "pandas"), ("plot", "matplotlib")])
    def test_without_the_library(
        self, method: str, module: str, xor: Sensitivity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=f"Sensitivity.{method} needs {module}: pip install"):
            getattr(xor, method)()


class TestArguments:
    @staticmethod
    def run(**changed: Any) -> Sensitivity:
        return sensitivity(two_two_one(), *XOR, **{"loss": "mse", "seeds": 1, "lrs": [0.1], "epochs": 1, **changed})

    def test_seeds_and_rates(self) -> None:
        assert [run.seed for run in self.run(seeds=3).runs] == [0, 1, 2]
        assert [run.seed for run in self.run(seeds=range(5, 7)).runs] == [5, 6]
        assert self.run(lrs=0.5).lrs == (0.5,)
        assert self.run(lrs=np.array([0.5, 0.25])).lrs == (0.5, 0.25)
        assert self.run(lrs=(rate for rate in (1, 2))).lrs == (1.0, 2.0)

    @pytest.mark.parametrize(
        ("changed", "kind", "message"),
        [
            ({"seeds": 0}, ValueError, "seeds=0"),
            ({"seeds": []}, ValueError, "seeds is empty"),
            ({"seeds": [1, 1]}, ValueError, "seeds has 1 twice"),
            ({"seeds": [-1]}, ValueError, "seeds=-1"),
            ({"seeds": "all"}, TypeError, "seeds='all'"),
            ({"seeds": 1.5}, TypeError, "seeds=1.5"),
            ({"lrs": []}, ValueError, "lrs is empty"),
            ({"lrs": [0.1, 0.0]}, ValueError, "lrs=0.0"),
            ({"lrs": [math.nan]}, ValueError, "lrs=nan"),
            ({"lrs": [0.1, 0.1]}, ValueError, "lrs has 0.1 twice"),
            ({"lrs": "0.1"}, TypeError, "lrs='0.1'"),
            ({"epochs": 0}, ValueError, "epochs=0"),
            ({"optimizer": "adm"}, ValueError, "did you mean 'adam'"),
            ({"loss": "msee"}, ValueError, "did you mean 'mse'"),
            ({"metrics": ["accurcy"]}, ValueError, "did you mean 'accuracy'"),
            ({"validation_data": XOR[0]}, TypeError, "validation_data is ndarray"),
            ({"batch_size": 0}, ValueError, "batch_size=0"),
        ],
    )
    def test_mistakes(self, changed: dict[str, Any], kind: type[Exception], message: str) -> None:
        with pytest.raises(kind, match=message):
            self.run(**changed)

    def test_networks(self) -> None:
        with pytest.raises(TypeError, match=r"network is ndarray: expected a deltarule\.Network or its spec"):
            sensitivity(XOR[0], two_two_one(), XOR[1], loss="mse")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="the spec is"):
            sensitivity({"layers": []}, *XOR, loss="mse")

    @pytest.mark.parametrize(
        "schedule",
        ["StepLR(0.5, step_size=2)", "OneCycleLR(0.5, total_steps=8)", "LinearWarmup(0.5, epochs=2)",
         "LinearWarmup(StepLR(0.5, step_size=2), epochs=2)"],
    )  # fmt: skip
    def test_the_rate_of_a_schedule_is_replaced(self, schedule: str) -> None:
        schedules = pytest.importorskip("deltarule.schedules")
        names = {name: getattr(schedules, name) for name in schedules.__all__}
        optimizer = dr.SGD(lr=eval(schedule, names), momentum=0.5)
        report = self.run(optimizer=optimizer, lrs=[0.25], epochs=8)
        alone = dr.Network(two_two_one().layers, input_shape=2, seed=0)
        alone.fit(
            *XOR, loss="mse", optimizer=dr.SGD(lr=eval(schedule.replace("0.5", "0.25"), names), momentum=0.5), epochs=8
        )
        assert bits(report.runs[0].network) == bits(alone)


class TestPlot:
    @pytest.fixture(autouse=True)
    def _figures_are_closed(self) -> Any:
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot

        before = dict(matplotlib.rcParams)
        yield
        assert dict(matplotlib.rcParams) == before
        pyplot.close("all")

    def test_a_point_for_each_run(self, xor: Sensitivity) -> None:
        from drawn import labelled, points, render

        axes: Any = xor.plot()
        found = labelled(axes)
        assert set(found) == {"learned", "slow", "stuck", "diverged"}
        for outcome, scatter in found.items():
            runs = [run for run in xor.runs if run.outcome == outcome]
            places = points(scatter)
            assert len(places) == len(runs)
            factors = places[:, 0] / [run.lr for run in runs]
            assert ((factors > 1 / 10) & (factors < 10)).all(), "nearer to its own rate than to another"
            if outcome == "diverged":
                assert scatter.get_offset_transform() == axes.get_xaxis_transform()
                assert (places[:, 1] == 0.97).all(), "at the upper edge"
            else:
                np.testing.assert_array_equal(places[:, 1], [run.loss for run in runs])
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "loss after 1000 epochs")
        assert [text.get_text() for text in axes.get_xticklabels()] == ["0.01", "1", "1e+30"]
        low, high = axes.get_xlim()
        assert low < 0.01 < 1e30 < high
        assert render(axes)

    def test_lines(self, xor: Sensitivity) -> None:
        axes: Any = xor.plot()
        lines = {line.get_label(): line for line in axes.lines}
        assert set(lines) == {"untrained", "median"}
        assert set(lines["untrained"].get_ydata()) == {xor.start}
        place, median = lines["median"].get_data()
        assert list(place) == [0.01, 1.0, 1e30]
        expected = [np.median([run.loss for run in xor.runs if run.lr == lr]) for lr in (0.01, 1.0)]
        np.testing.assert_array_equal(median, [*expected, math.nan])

    def test_points_of_one_rate_stand_side_by_side(self, xor: Sensitivity) -> None:
        from drawn import labelled, points

        places = points(labelled(xor.plot())["slow"])[:, 0]
        assert (np.diff(places) > 0).all()
        assert np.exp(np.log(places).mean()) == pytest.approx(0.01)

    def test_into_axes_of_the_callers(self, xor: Sensitivity) -> None:
        from matplotlib import pyplot

        figure, (left, right) = pyplot.subplots(1, 2)
        assert xor.plot(left) is left
        assert not right.collections
        assert pyplot.get_fignums() == [figure.number]
        with pytest.raises(TypeError, match="ax is Figure"):
            xor.plot(figure)

    @pytest.mark.parametrize(("lrs", "seeds"), [([1e30], 1), ([0.1], 1), ([0.1], 4), ([10**-k for k in range(14)], 1)])
    def test_of_any_size(self, lrs: list[float], seeds: int) -> None:
        from drawn import render

        report = sensitivity(
            dr.Network([dr.Dense(1)], input_shape=3), X, Y, loss="mse", optimizer="sgd", seeds=seeds, lrs=lrs, epochs=2
        )
        assert render(report.plot())
