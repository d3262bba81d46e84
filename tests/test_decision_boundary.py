"""plot_decision_boundary: the regions are what the model answers there, the points are those that were given."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import labelled, places_of, points, render

import deltarule as dr
from deltarule.drawing import plot_decision_boundary

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402

RANDOM = np.random.default_rng(3)
X = RANDOM.uniform(-2, 2, (80, 2))
RING = (np.square(X).sum(axis=1) < 2).astype(int)
THREE = np.digitize(X[:, 0], [-0.7, 0.7])


@pytest.fixture(autouse=True)
def _settings_are_as_they_were() -> Iterator[None]:
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    pyplot.close("all")


def trained(loss: str, y: Any, *last: Any, X: Any = X, **options: Any) -> dr.Network:
    network = dr.Network([dr.Dense(12, "tanh"), dr.Dense(*last)], seed=1)
    network.fit(X, y, loss=loss, optimizer=dr.Adam(0.03), epochs=30, **options)
    return network


def region(axes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Places and what is drawn there."""
    (image,) = axes.images
    return places_of(image), np.asarray(image.get_array()).ravel()


class TestTwoClasses:
    def test_region_is_the_probability(self) -> None:
        network = trained("binary_cross_entropy", RING, 1)
        axes: Any = plot_decision_boundary(network, X, RING, resolution=40)
        places, drawn = region(axes)
        assert len(places) == 1600
        np.testing.assert_allclose(drawn, network.predict_proba(places)[:, 0], atol=1e-6)
        assert axes.images[0].get_clim() == (0, 1)
        assert (places.min(axis=0) < X.min(axis=0)).all()
        assert (places.max(axis=0) > X.max(axis=0)).all()
        assert [bar.get_ylabel() for bar in axes.figure.axes[1:]] == ["probability of 1"]
        assert render(axes)

    def test_the_line_is_where_it_is_one_half(self) -> None:
        network = trained("binary_cross_entropy", RING, 1)
        axes: Any = plot_decision_boundary(network, X, RING)
        (contour,) = [each for each in axes.collections if hasattr(each, "levels")]
        assert list(contour.levels) == [0.5]
        on_it = np.concatenate([path.vertices for path in contour.get_paths()])
        np.testing.assert_allclose(network.predict_proba(on_it)[:, 0], 0.5, atol=0.02)

    def test_points_have_the_colour_of_their_class(self) -> None:
        axes: Any = plot_decision_boundary(trained("binary_cross_entropy", RING, 1), X, RING)
        found = labelled(axes)
        assert set(found) == {"class 0", "class 1"}
        for index in (0, 1):
            np.testing.assert_allclose(points(found[f"class {index}"]), X[index == RING], rtol=1e-6)
        colours = [to_hex(found[name].get_facecolors()[0]) for name in ("class 0", "class 1")]
        assert colours == ["#0072b2", "#d55e00"]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["class 0", "class 1"]
        ends = axes.images[0].get_cmap()([0.0, 1.0])
        assert ends[0, 2] > ends[0, 0], "blue for class 0"
        assert ends[1, 0] > ends[1, 2], "orange for class 1"

    def test_of_two_logits_too(self) -> None:
        network = trained("cross_entropy", RING, 2)
        places, drawn = region(plot_decision_boundary(network, X, RING, resolution=20))
        np.testing.assert_allclose(drawn, network.predict_proba(places)[:, 1], atol=1e-6)

    def test_a_sigmoid_that_learned_by_squares(self) -> None:
        network = trained("mse", RING[:, None], 1, "sigmoid")
        places, drawn = region(plot_decision_boundary(network, X, RING[:, None], resolution=20))
        np.testing.assert_allclose(drawn, network.predict(places)[:, 0], atol=1e-5)

    @pytest.mark.parametrize(("y", "first"), [(RING, "class 0"), (2 * RING - 1, "class -1")])
    def test_hinge_has_margins(self, y: Any, first: str) -> None:
        network = trained("hinge", y, 1)
        axes: Any = plot_decision_boundary(network, X, y, resolution=40)
        places, drawn = region(axes)
        np.testing.assert_allclose(drawn, network.predict(places)[:, 0], atol=1e-5)
        found = labelled(axes)
        assert list(found) == [first, "class 1"]
        assert len(points(found["class 1"])) == RING.sum()
        (contour,) = [each for each in axes.collections if hasattr(each, "levels")]
        assert set(contour.levels) <= {-1.0, 0.0, 1.0}
        assert 0.0 in contour.levels

    def test_one_class_everywhere_has_no_line(self) -> None:
        network = dr.Network([dr.Dense(1, init="zeros")], input_shape=2)
        network.fit(X, np.ones(80), loss="binary_cross_entropy", optimizer=dr.SGD(lr=0.0))
        network.load_state_dict({"0.weight": [[0.0], [0.0]], "0.bias": [3.0]})
        axes = plot_decision_boundary(network, X, np.ones(80))
        assert not [each for each in axes.collections if hasattr(each, "levels")]
        assert len(points(labelled(axes)["class 0"])) == 0
        assert render(axes)


class TestMoreClasses:
    @pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mse", "squared_hinge"])
    @pytest.mark.parametrize("one_hot", [False, True])
    def test_region_is_the_class(self, loss: str, one_hot: bool) -> None:
        rows = np.eye(3)[THREE]
        network = trained(loss, rows, 3)
        axes: Any = plot_decision_boundary(network, X, rows if one_hot else THREE, resolution=30)
        places, drawn = region(axes)
        assert np.mean(drawn == network.predict(places).argmax(axis=1)) > 0.99, "but for places on a boundary"
        found = labelled(axes)
        assert [len(points(found[f"class {index}"])) for index in range(3)] == np.bincount(THREE).tolist()
        shown = axes.images[0].cmap(axes.images[0].norm(np.arange(3)))
        for index in range(3):
            of_points = found[f"class {index}"].get_facecolors()[0, :3]
            np.testing.assert_allclose(shown[index, :3], of_points + (1 - of_points) * 0.55, atol=1e-6)
        assert len(axes.figure.axes) == 1, "no colour bar: the legend names the classes"

    def test_more_classes_than_colours(self) -> None:
        y = np.arange(80) % 15
        network = trained("cross_entropy", y, 15)
        axes: Any = plot_decision_boundary(network, X, y, resolution=20)
        colours = {to_hex(each.get_facecolors()[0]) for each in labelled(axes).values()}
        assert len(colours) == 15
        assert axes.get_legend() is None, "it would be longer than the picture"


class TestNumbers:
    def test_contours_hold_what_is_predicted(self) -> None:
        y = X @ [1.0, -2.0] + 0.5
        network = dr.Network([dr.Dense(1)], input_shape=2, dtype="float64")
        network.load_state_dict({"0.weight": [[1.0], [-2.0]], "0.bias": [0.5]})
        axes: Any = plot_decision_boundary(network, X, y, resolution=50)
        contour = axes.collections[0]
        levels = contour.levels
        probes = RANDOM.uniform(-1.8, 1.8, (200, 2))
        values = network.predict(probes)[:, 0]
        inside = [path.contains_points(probes) for path in contour.get_paths()]
        for low, high, found in zip(levels[:-1], levels[1:], inside, strict=True):
            clear = np.minimum(np.abs(values - low), np.abs(values - high)) > 1e-6
            np.testing.assert_array_equal(found[clear], ((low < values) & (values < high))[clear])
        assert levels[0] <= y.min()
        assert levels[-1] >= y.max()
        assert render(axes)

    def test_points_have_the_colour_of_their_number(self) -> None:
        y = np.sin(X[:, 0])
        axes: Any = plot_decision_boundary(trained("mse", y, 1), X, y)
        contour, scatter = axes.collections[:2]
        np.testing.assert_allclose(points(scatter), X)
        np.testing.assert_array_equal(scatter.get_array(), y)
        assert scatter.norm is contour.norm
        assert scatter.get_cmap() is contour.get_cmap()
        assert [bar.get_ylabel() for bar in axes.figure.axes[1:]] == ["output"]

    def test_of_one_number_only(self) -> None:
        network = dr.Network([dr.Dense(1, init="zeros")], input_shape=2)
        assert render(plot_decision_boundary(network, X, np.zeros(80)))


class TestOneFeature:
    def test_a_curve(self) -> None:
        x, y = X[:, :1], np.sin(X[:, :1])
        network = trained("mse", y, 1, X=x)
        axes: Any = plot_decision_boundary(network, x, y, resolution=100)
        place, curve = axes.lines[0].get_data()
        np.testing.assert_array_equal(curve, network.predict(place[:, None])[:, 0])
        np.testing.assert_allclose(points(axes.collections[0]), np.hstack([x, y]))
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("feature 0", "output")
        assert render(axes)

    def test_of_two_classes(self) -> None:
        x, y = X[:, :1], (X[:, 0] > 0).astype(int)
        network = trained("binary_cross_entropy", y, 1, X=x)
        axes: Any = plot_decision_boundary(network, x, y)
        place, curve = axes.lines[0].get_data()
        np.testing.assert_array_equal(curve, network.predict_proba(place[:, None])[:, 0])
        for index in (0, 1):
            expected = np.stack([x[y == index, 0], np.full((y == index).sum(), index)], axis=1)
            np.testing.assert_allclose(points(labelled(axes)[f"class {index}"]), expected)
        assert axes.get_ylabel() == "probability of 1"

    def test_of_three_classes(self) -> None:
        x = X[:, :1]
        network = trained("cross_entropy", THREE, 3, X=x)
        axes: Any = plot_decision_boundary(network, x, THREE)
        for index, line in enumerate(axes.lines):
            np.testing.assert_array_equal(line.get_ydata(), network.predict_proba(line.get_xdata()[:, None])[:, index])
            of_points = labelled(axes)[f"class {index}"]
            assert to_hex(line.get_color()) == to_hex(of_points.get_facecolors()[0])
            np.testing.assert_allclose(points(of_points)[:, 0], x[index == THREE, 0])
        assert axes.get_ylabel() == "probability"

    def test_of_hinge(self) -> None:
        x, y = X[:, :1], np.sign(X[:, 0])
        axes: Any = plot_decision_boundary(trained("hinge", y, 1, X=x), x, y)
        assert set(points(labelled(axes)["class -1"])[:, 1]) == {-1.0}
        assert set(points(labelled(axes)["class 1"])[:, 1]) == {1.0}


class TestMoreFeatures:
    WIDE = RANDOM.normal(3.0, 1.0, (60, 4))
    Y = (WIDE[:, 2] > 3).astype(int)

    def test_are_chosen_and_the_others_held(self) -> None:
        network = trained("binary_cross_entropy", self.Y, 1, X=self.WIDE)
        axes: Any = plot_decision_boundary(network, self.WIDE, self.Y, features=(2, 0), resolution=25)
        places, drawn = region(axes)
        full = np.tile(self.WIDE.mean(axis=0), (625, 1))
        full[:, 2], full[:, 0] = places.T
        np.testing.assert_allclose(drawn, network.predict_proba(full)[:, 0], atol=1e-6)
        np.testing.assert_allclose(points(labelled(axes)["class 1"]), self.WIDE[self.Y == 1][:, [2, 0]])
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("feature 2", "feature 0")

    def test_one_of_them(self) -> None:
        network = trained("mse", self.Y, 1, X=self.WIDE)
        axes: Any = plot_decision_boundary(network, self.WIDE, self.Y, features=2)
        place, curve = axes.lines[0].get_data()
        full = np.tile(self.WIDE.mean(axis=0), (len(place), 1))
        full[:, 2] = place
        np.testing.assert_allclose(curve, network.predict(full)[:, 0], atol=1e-6)
        assert axes.get_xlabel() == "feature 2"

    def test_must_be_chosen(self) -> None:
        network = trained("mse", self.Y, 1, X=self.WIDE)
        with pytest.raises(ValueError, match=r"X has 4 features and a picture two: .*features=\(0, 1\)"):
            plot_decision_boundary(network, self.WIDE, self.Y)
        for wrong in [(0, 4), (0, 0), (0, 1, 2), (), (-1, 0)]:
            with pytest.raises(ValueError, match="features"):
                plot_decision_boundary(network, self.WIDE, self.Y, features=wrong)  # type: ignore[arg-type]
        assert not pyplot.get_fignums(), "no empty figure is left behind"


class TestEstimators:
    def test_of_text_labels(self) -> None:
        pytest.importorskip("sklearn")
        from deltarule.sklearn import MLPClassifier

        y = np.array(["no", "yes"])[RING]
        model = MLPClassifier(random_state=0, max_iter=20, early_stopping=False, tol=0, n_iter_no_change=1000)
        with pytest.warns(match="Maximum iterations"):
            model.fit(X, y)
        axes: Any = plot_decision_boundary(model, X, y, resolution=30)
        places, drawn = region(axes)
        np.testing.assert_allclose(drawn, model.predict_proba(places)[:, 1], atol=1e-6)
        assert {name: len(points(each)) for name, each in labelled(axes).items()} == {
            "class no": (RING == 0).sum(),
            "class yes": RING.sum(),
        }
        with pytest.raises(ValueError, match="y has perhaps, which is none of the model's classes_"):
            plot_decision_boundary(model, X, np.where(RING, "yes", "perhaps"))

    def test_of_a_frame_and_more_classes(self) -> None:
        pandas, tree = pytest.importorskip("pandas"), pytest.importorskip("sklearn.tree")
        frame = pandas.DataFrame(X, columns=["height", "width"])
        model = tree.DecisionTreeClassifier(random_state=0).fit(frame, THREE * 10)
        axes: Any = plot_decision_boundary(model, frame, THREE * 10, resolution=30)  # no warning of missing names
        places, drawn = region(axes)
        np.testing.assert_array_equal(drawn * 10, model.predict(pandas.DataFrame(places, columns=frame.columns)))
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("height", "width")
        assert list(labelled(axes)) == ["class 0", "class 10", "class 20"]

    def test_without_probabilities(self) -> None:
        svm = pytest.importorskip("sklearn.svm")
        model = svm.LinearSVC(random_state=0).fit(X, RING)
        places, drawn = region(plot_decision_boundary(model, X, RING, resolution=30))
        np.testing.assert_array_equal(drawn, model.predict(places))
        one = svm.LinearSVC(random_state=0).fit(X[:, :1], RING)
        axes: Any = plot_decision_boundary(one, X[:, :1], RING)
        assert axes.get_ylabel() == "class"

    def test_of_numbers(self) -> None:
        linear = pytest.importorskip("sklearn.linear_model")
        model = linear.LinearRegression().fit(X[:, :1], X[:, 1])
        axes: Any = plot_decision_boundary(model, X[:, :1], X[:, 1])
        place, curve = axes.lines[0].get_data()
        np.testing.assert_array_equal(curve, model.predict(place[:, None]))


class TestData:
    @pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
    def test_of_any_size(self, scale: float) -> None:
        network = dr.Network([dr.Dense(2, "tanh"), dr.Dense(1)], input_shape=2, dtype="float64")
        assert render(plot_decision_boundary(network, X * scale, X[:, 0], resolution=20))

    @pytest.mark.parametrize("value", [0.0, 5.0, -1e20])
    def test_a_feature_that_does_not_vary(self, value: float) -> None:
        data = X.copy()
        data[:, 1] = value
        network = dr.Network([dr.Dense(1)], input_shape=2, dtype="float64")
        network.fit(X, RING, loss="binary_cross_entropy")
        axes = plot_decision_boundary(network, data, RING, resolution=11)
        low, high = axes.get_ylim()
        assert low < value < high
        assert render(axes)

    def test_one_point(self) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=2)
        axes = plot_decision_boundary(network, X[:1], [0.5], resolution=2)
        assert render(axes)

    def test_many_features_and_places_take_little_memory(self) -> None:
        import tracemalloc

        network = dr.Network([dr.Dense(1)], input_shape=500)
        wide = np.zeros((3, 500))
        tracemalloc.start()
        plot_decision_boundary(network, wide, [0, 1, 2], features=(0, 1), resolution=300)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 150e6, "all places at once would be 360 MB"

    def test_into_axes_of_the_callers(self) -> None:
        figure, (left, right) = pyplot.subplots(1, 2)
        network = trained("binary_cross_entropy", RING, 1)
        assert plot_decision_boundary(network, X, RING, ax=right) is right
        assert figure.axes == [left, right], "no colour bar takes room from the caller's figure"
        assert not left.images
        assert render(right)

    def test_lists(self) -> None:
        network = dr.Network([dr.Dense(1)], input_shape=2)
        assert plot_decision_boundary(network, [[0, 1], [1, 0]], [1, 2], resolution=5)


class TestMistakes:
    NETWORK = dr.Network([dr.Dense(1)], input_shape=2)
    PAIR = dr.Network([dr.Dense(2)], input_shape=2)

    def test_targets(self) -> None:
        with pytest.raises(ValueError, match="y has shape \\(79,\\) but X has 80 rows"):
            plot_decision_boundary(self.NETWORK, X, RING[1:])
        with pytest.raises(ValueError, match="the network has 1 output"):
            plot_decision_boundary(self.NETWORK, X, X)
        with pytest.raises(ValueError, match="there is no one picture"):
            plot_decision_boundary(self.PAIR, X, X)
        with pytest.raises(ValueError, match=r"y\[\d+\] is 2 but the network has 2 outputs: expected 0 to 1"):
            plot_decision_boundary(self.PAIR, X, THREE)
        with pytest.raises(TypeError, match="y has dtype <U1: expected numbers"):
            plot_decision_boundary(self.NETWORK, X, ["a"] * 80)
        assert not pyplot.get_fignums()

    def test_data(self) -> None:
        with pytest.raises(ValueError, match="X"):
            plot_decision_boundary(self.NETWORK, X[:, :1], RING)
        with pytest.raises(ValueError, match="X"):
            plot_decision_boundary(self.NETWORK, np.full((2, 2), np.nan), [0, 1])
        with pytest.raises(ValueError, match="reads sequences"):
            plot_decision_boundary(dr.Network([dr.GRU(2), dr.Dense(1)], input_shape=(None, 2)), X, RING)
        assert not pyplot.get_fignums()

    def test_models(self) -> None:
        with pytest.raises(TypeError, match=r"network is ndarray: expected a deltarule\.Network, or a model with"):
            plot_decision_boundary(X, X, RING)

    @pytest.mark.parametrize("resolution", [1, 0, 10**6])
    def test_resolution(self, resolution: int) -> None:
        with pytest.raises(ValueError, match="resolution="):
            plot_decision_boundary(self.NETWORK, X, RING, resolution=resolution)

    def test_axes(self) -> None:
        with pytest.raises(TypeError, match="ax is str"):
            plot_decision_boundary(self.NETWORK, X, RING, ax="left")

    def test_without_matplotlib(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ImportError, match=r'plot_decision_boundary needs matplotlib: pip install "deltarule\['):
            plot_decision_boundary(self.NETWORK, X, RING)


def test_the_example_runs_where_matplotlib_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (test,) = doctest.DocTestFinder().find(plot_decision_boundary, "example")
    for example in test.examples:
        example.options.clear()  # those that are left out where it is not
    assert doctest.DocTestRunner().run(test).failed == 0
    assert (tmp_path / "spirals.png").stat().st_size > 10_000


def test_names_with_dollars_are_no_mathematics() -> None:
    frame = pytest.importorskip("pandas").DataFrame({r"$\foo$": [0.0, 1.0, 2.0], "from $ to $": [0.0, 1.0, 0.0]})
    axes = plot_decision_boundary(dr.Network([dr.Dense(1)], input_shape=2), frame, [0.0, 1.0, 2.0])
    assert not matplotlib.cbook.is_math_text(axes.get_xlabel())
    assert render(axes)
