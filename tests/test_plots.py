"""Pictures of a history and of a network: what stands where, in which colour, and what is not touched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from drawn import points, render

import deltarule as dr
from deltarule.history import History

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.collections import LineCollection, PathCollection  # noqa: E402
from matplotlib.colors import to_hex, to_rgba  # noqa: E402
from matplotlib.patches import FancyArrowPatch, Rectangle  # noqa: E402

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#7f7f7f"


@pytest.fixture(autouse=True)
def _settings_are_as_they_were() -> Iterator[None]:
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    pyplot.close("all")


def history(**columns: list[float]) -> History:
    return History({**columns, "lr": [0.1] * len(columns["loss"]), "seconds": [0.0] * len(columns["loss"])})


def rings(axes: Any) -> list[tuple[float, float]]:
    return [tuple(points(each)[0]) for each in axes.collections]


class TestHistory:
    def test_losses_and_the_best_epoch(self) -> None:
        axes: Any = history(loss=[3.0, 2.0, 1.0, 0.9], val_loss=[3.5, 2.5, 2.0, 2.25]).plot()
        assert [list(line.get_ydata()) for line in axes.lines] == [[3.0, 2.0, 1.0, 0.9], [3.5, 2.5, 2.0, 2.25]]
        assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2, 3, 4]] * 2
        assert [to_hex(line.get_color()) for line in axes.lines] == [BLUE, ORANGE]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]
        assert rings(axes) == [(3, 1.0), (3, 2.0)], "both losses where that of the validation data is lowest"
        assert [text.get_text() for text in axes.texts] == ["epoch 3: 2"]
        assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("epoch", "loss", "linear")
        assert len(axes.figure.axes) == 1
        assert render(axes)

    def test_without_validation_the_loss_decides(self) -> None:
        axes: Any = history(loss=[3.0, 1.0, 2.0]).plot()
        assert rings(axes) == [(2, 1.0)]
        assert [text.get_text() for text in axes.texts] == ["epoch 2: 1"]

    def test_metrics_have_panels_of_their_own(self) -> None:
        seen = history(
            loss=[2.0, 1.0], val_loss=[2.0, 1.5], accuracy=[0.5, 0.75], val_accuracy=[0.25, 0.5], val_auc=[0.6, 0.7]
        )
        axes: Any = seen.plot()
        panels = axes.figure.axes
        assert panels[0] is axes is pyplot.gca()
        assert [panel.get_ylabel() for panel in panels] == ["loss", "accuracy", "auc"]
        assert [[list(line.get_ydata()) for line in panel.lines] for panel in panels[1:]] == [
            [[0.5, 0.75], [0.25, 0.5]],
            [[0.6, 0.7]],
        ]
        assert to_hex(panels[2].lines[0].get_color()) == ORANGE, "validation has one colour everywhere"
        assert rings(panels[1]) == [(2, 0.75), (2, 0.5)]
        assert render(axes)

    def test_many_metrics_go_into_rows(self) -> None:
        columns = {f"metric_{number}": [1.0, 2.0] for number in range(6)}
        panels = history(loss=[2.0, 1.0], **columns).plot().figure.axes
        assert len(panels) == 7
        assert len({round(panel.get_position().y0, 3) for panel in panels}) == 3

    def test_into_axes_of_the_callers(self) -> None:
        figure, (left, right) = pyplot.subplots(1, 2)
        seen = history(loss=[2.0, 1.0], accuracy=[0.5, 0.75])
        assert seen.plot(right) is right
        assert [list(line.get_ydata()) for line in right.lines] == [[2.0, 1.0]], "the losses only"
        assert not left.lines
        assert figure.axes == [left, right]
        assert pyplot.get_fignums() == [figure.number]

    @pytest.mark.parametrize(
        ("loss", "scale"),
        [
            ([3.0, 0.05], "log"),
            ([3.0, 0.2], "linear"),
            ([3.0, 0.0], "linear"),
            ([-3.0, 100.0], "linear"),
            ([3.0, float("nan"), 0.05], "log"),
            ([3.0, float("inf")], "linear"),
        ],
    )
    def test_scale(self, loss: list[float], scale: str) -> None:
        axes = history(loss=loss).plot()
        assert axes.get_yscale() == scale
        assert render(axes)

    @pytest.mark.parametrize("loss", [[], [1.0], [float("nan")] * 2])
    def test_hardly_any_epoch(self, loss: list[float]) -> None:
        axes: Any = history(loss=loss, val_loss=loss, accuracy=loss).plot()
        assert [list(line.get_xdata()) for line in axes.lines] == [list(range(1, len(loss) + 1))] * 2
        assert len(axes.collections) == (2 if len(loss) == 1 else 0)
        assert render(axes)

    def test_of_a_fit(self) -> None:
        X, y = dr.datasets.blobs(60)
        network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(3)])
        seen = network.fit(X, y, loss="cross_entropy", epochs=5, validation_split=0.25)
        axes: Any = seen.plot()
        assert rings(axes)[1][1] == min(seen["val_loss"])

    def test_something_else_than_axes(self) -> None:
        _, axes = pyplot.subplots(1, 2)
        seen = history(loss=[1.0])
        with pytest.raises(TypeError, match=r"ax is ndarray: expected one Axes of matplotlib; pass one of them"):
            seen.plot(axes)
        with pytest.raises(TypeError, match=r"ax is Figure: .*figure.add_subplot\(\)"):
            seen.plot(pyplot.gcf())


def network(*layers: Any, inputs: Any = 2, **state: Any) -> dr.Network:
    made = dr.Network(list(layers), input_shape=inputs, dtype="float64")
    made.load_state_dict({**made.state_dict(), **{name.replace("_", ".", 1): value for name, value in state.items()}})
    return made


def circles(axes: Any) -> list[np.ndarray]:
    """The units of each column, without the dots that stand for those left out."""
    scatters = [each for each in axes.collections if isinstance(each, PathCollection)]
    return [points(each) for each in scatters if len(each.get_edgecolors()) and each.get_sizes()[0] > 3]


def lines(axes: Any) -> list[LineCollection]:
    return [each for each in axes.collections if isinstance(each, LineCollection)]


def of_type(axes: Any, kind: type) -> list[Any]:
    return [patch for patch in axes.patches if isinstance(patch, kind)]


class TestNetwork:
    def test_two_three_one(self) -> None:
        axes: Any = network(dr.Dense(3, "tanh"), dr.Dense(1)).plot()
        columns = circles(axes)
        assert [len(column) for column in columns] == [2, 3, 1]
        assert [column[0, 0] for column in columns] == [0, 1, 2]
        assert columns[1][:, 1].tolist() == [1, 0, -1], "the first unit is on top"
        assert [len(each.get_segments()) for each in lines(axes)] == [6, 3]
        assert [text.get_text() for text in axes.texts] == ["input\n2", "dense\n3 tanh", "dense\n1"]
        assert not axes.axison
        assert render(axes)

    def test_lines_are_weights(self) -> None:
        weight = np.array([[2.0, -1.0], [0.5, 0.0], [0.0, -4.0]])
        axes: Any = network(dr.Dense(2), inputs=3, **{"0_weight": weight}).plot()
        (found,), (inputs, units) = lines(axes), circles(axes)
        seen = np.full((3, 2), np.nan)
        widths = np.empty((3, 2))
        previous = 0.0
        for (start, end), colour, width in zip(
            found.get_segments(), found.get_colors(), found.get_linewidths(), strict=True
        ):
            place = (np.abs(inputs[:, 1] - start[1]).argmin(), np.abs(units[:, 1] - end[1]).argmin())
            assert (inputs[place[0]] == start).all()
            assert (units[place[1]] == end).all()
            if weight[place]:
                assert to_hex(colour[:3]) == (BLUE if weight[place] > 0 else ORANGE)
            seen[place], widths[place] = colour[3], width
            assert abs(weight[place]) >= previous, "the large ones are drawn last, on top"
            previous = abs(weight[place])
        assert not np.isnan(seen).any(), "a line for each weight"
        order = np.argsort(np.abs(weight), axis=None)
        assert (np.diff(widths.ravel()[order]) >= 0).all()
        assert (np.diff(seen.ravel()[order]) >= 0).all()
        assert seen.max() == 1.0
        assert widths[0, 0] < widths[2, 1]

    def test_circles_are_biases(self) -> None:
        axes: Any = network(dr.Dense(3), inputs=1, **{"0_weight": [[0.5, 0.5, 0.5]], "0_bias": [1.0, -1.0, 0.0]}).plot()
        colours = [each.get_facecolors() for each in axes.collections if isinstance(each, PathCollection)]
        assert (colours[0] == 1).all(), "inputs have none"
        first, second, third = colours[1]
        blue, orange = np.array(to_rgba(BLUE)), np.array(to_rgba(ORANGE))
        np.testing.assert_allclose(first, 0.8 * blue + 0.2, atol=1e-12)
        np.testing.assert_allclose(second, 0.8 * orange + 0.2, atol=1e-12)
        assert (third == 1).all()

    def test_of_wide_layers_both_ends_are_drawn(self) -> None:
        wide = dr.Network([dr.Dense(128, "relu"), dr.Dense(10)], input_shape=784, seed=3)
        axes: Any = wide.plot(max_units=5)
        assert [len(column) for column in circles(axes)] == [5, 5, 5]
        assert [len(each.get_segments()) for each in lines(axes)] == [25, 25]
        dots = [each for each in axes.collections if isinstance(each, PathCollection) and each.get_sizes()[0] == 3]
        assert [len(points(each)) for each in dots] == [3, 3, 3]
        weight = wide.parameters["0.weight"][np.ix_([0, 1, 2, 782, 783], [0, 1, 2, 126, 127])]
        heights = [column[:, 1].tolist() for column in circles(axes)]
        for (start, end), colour in zip(lines(axes)[0].get_segments(), lines(axes)[0].get_colors(), strict=True):
            value = weight[heights[0].index(start[1]), heights[1].index(end[1])]
            assert to_hex(colour[:3]) == (BLUE if value > 0 else ORANGE)
        for each, column in zip(dots, circles(axes), strict=True):
            assert column[2, 1] > points(each)[:, 1].max() > points(each)[:, 1].min() > column[3, 1]
        assert [text.get_text() for text in axes.texts] == ["input\n784", "dense\n128 relu", "dense\n10"]

    def test_of_as_many_units_all_are_drawn(self) -> None:
        axes: Any = network(dr.Dense(5), inputs=6).plot(max_units=5)
        assert [len(column) for column in circles(axes)] == [5, 5]
        assert len(axes.collections) == 1 + 2 + 1, "lines, two columns, the dots of the first"

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_recurrent(self, bidirectional: bool) -> None:
        made = network(dr.LSTM(2, bidirectional=bidirectional), dr.Dense(1), inputs=(None, 3))
        axes: Any = made.plot()
        assert len(of_type(axes, FancyArrowPatch)) == 1 + bidirectional
        assert [len(column) for column in circles(axes)] == [3, 4 if bidirectional else 2, 1]
        gates = made.parameters["0.weight_ih"].reshape(3, 4, 2)
        strength = np.sqrt((gates**2).mean(axis=1))
        if bidirectional:
            reverse = made.parameters["0.weight_ih_reverse"].reshape(3, 4, 2)
            strength = np.concatenate([strength, np.sqrt((reverse**2).mean(axis=1))], axis=1)
        assert {to_hex(colour[:3]) for colour in lines(axes)[0].get_colors()} == {GREY}
        expected = np.sort(0.3 + 2.2 * (strength / strength.max()).ravel() ** 1.5)
        np.testing.assert_allclose(lines(axes)[0].get_linewidths(), expected, rtol=1e-12)
        words = [text.get_text() for text in axes.texts]
        assert words == ["input\n3 at each step", "lstm\n2 × 2" if bidirectional else "lstm\n2", "dense\n1"]
        assert "weights of all gates" in [text.get_text() for text in axes.get_legend().get_texts()]
        assert render(axes)

    def test_a_simple_recurrent_layer_has_signs_and_biases(self) -> None:
        axes: Any = network(
            dr.RNN(2), dr.Dense(1), inputs=(None, 1), **{"0_weight_ih": [[1.0, -1.0]], "0_bias_ih": [1.0, 0.0]}
        ).plot()
        assert {to_hex(colour[:3]) for colour in lines(axes)[0].get_colors()} == {BLUE, ORANGE}
        assert "weights of all gates" not in [text.get_text() for text in axes.get_legend().get_texts()]

    def test_layers_without_units_are_boxes(self) -> None:
        made = network(dr.LayerNorm(), dr.Dense(3), dr.LayerNorm(name="even"), dr.Dropout(0.25), dr.Dense(1))
        axes: Any = made.plot()
        boxes, columns = of_type(axes, Rectangle), circles(axes)
        assert len(columns) == 3
        middles = [box.get_x() + box.get_width() / 2 for box in boxes]
        assert columns[0][0, 0] < middles[0] < columns[1][0, 0] < middles[1] < middles[2] < columns[2][0, 0]
        words = {text.get_text() for text in axes.texts}
        assert {"layer norm", "even", "dropout 0.25"} < words
        assert render(axes)

    @pytest.mark.parametrize(
        "layers", [[dr.Dense(1, init="zeros", use_bias=False)], [dr.Dense(2)] * 60, [dr.Dense(1000), dr.Dense(1)]]
    )
    def test_of_any_size(self, layers: list[Any]) -> None:
        axes = dr.Network(layers, input_shape=1).plot()
        assert (axes.figure.get_size_inches() <= 40).all()
        assert render(axes)

    def test_names_are_shown_as_they_are(self) -> None:
        axes: Any = network(dr.Dense(1, name="head <1>")).plot()
        assert [text.get_text() for text in axes.texts] == ["input\n2", "head <1>\n1"]

    def test_into_axes_of_the_callers(self) -> None:
        figure, (left, right) = pyplot.subplots(1, 2)
        assert network(dr.Dense(1)).plot(left) is left
        assert not right.collections
        assert pyplot.get_fignums() == [figure.number]
        assert render(left)

    def test_changes_nothing(self) -> None:
        made = network(dr.Dense(3), dr.Dense(1))
        before = {name: array.tobytes() for name, array in made.state_dict().items()}
        made.plot()
        assert {name: array.tobytes() for name, array in made.state_dict().items()} == before

    def test_mistakes(self) -> None:
        with pytest.raises(ValueError, match="does not know its number of inputs"):
            dr.Network([dr.Dense(1)]).plot()
        with pytest.raises(ValueError, match="max_units=1"):
            network(dr.Dense(1)).plot(max_units=1)
        with pytest.raises(TypeError, match="max_units='all'"):
            network(dr.Dense(1)).plot(max_units="all")  # type: ignore[arg-type]


@pytest.mark.parametrize("draw", ["History.plot", "Network.plot"])
def test_without_matplotlib(draw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    thing: Any = history(loss=[1.0]) if draw.startswith("History") else network(dr.Dense(1))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=rf'{draw} needs matplotlib: pip install "deltarule\[plot\]"'):
        thing.plot()


def test_names_with_dollars_are_no_mathematics() -> None:
    name = r"from $ to $\foo$"
    axes: Any = network(dr.Dense(2, name=name), dr.LayerNorm(name=name + "2"), dr.Dense(1)).plot()
    assert render(axes)
    losses: Any = History({"loss": [1.0], name: [0.5], "lr": [0.1], "seconds": [0.0]}).plot()
    assert render(losses)
    label = losses.figure.axes[1].yaxis.label
    assert label._parse_math is True
    assert matplotlib.cbook.is_math_text(label.get_text()) is False


def test_the_legend_of_a_small_network_is_inside_of_the_picture() -> None:
    axes: Any = network(dr.Dense(1), inputs=1).plot()
    render(axes)
    box = axes.get_legend().get_window_extent()
    assert 0 <= box.x0 < box.x1 <= axes.figure.bbox.x1
