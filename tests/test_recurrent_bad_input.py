"""What recurrent networks refuse, and in which words; a network that refused something is, bit for bit, as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_networks import bits

import deltarule as dr

Case = tuple[str, Callable[[dr.Network], Any], Any, str]

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(4, 6, 3))
Y = RANDOM.normal(size=(4, 2))
Y_BY_STEP = RANDOM.normal(size=(4, 6, 2))
LABELS = RANDOM.integers(0, 2, (4, 6))
NAN, INF = float("nan"), float("inf")


def last(layer: Any = None, input_shape: Any = (None, 3)) -> dr.Network:
    """One output for each sample."""
    return dr.Network([layer or dr.GRU(5), dr.Dense(2)], input_shape=input_shape, dtype="float64", seed=3)


def each(layer: Any = None, input_shape: Any = (None, 3)) -> dr.Network:
    """An output at every step."""
    return last(layer or dr.LSTM(5, return_sequences=True), input_shape)


def rows() -> dr.Network:
    return dr.Network([dr.Dense(4, "tanh"), dr.Dense(2)], input_shape=3, dtype="float64", seed=3)


def both_ways() -> dr.Network:
    return last(dr.GRU(5, bidirectional=True))


def fit(**arguments: Any) -> Callable[[dr.Network], Any]:
    return lambda network: network.fit(**{"X": X, "y": Y, "loss": "mse", **arguments})


def fit_each(**arguments: Any) -> Callable[[dr.Network], Any]:
    return fit(**{"y": Y_BY_STEP, **arguments})


def fit_rows(**arguments: Any) -> Callable[[dr.Network], Any]:
    return fit(**{"X": X[:, 0], **arguments})


def call(method: str, *arguments: Any, **named: Any) -> Callable[[dr.Network], Any]:
    return lambda network: getattr(network, method)(*arguments, **named)


def gradients(**arguments: Any) -> Callable[[dr.Network], Any]:
    return call("loss_and_gradients", X, Y, **{"loss": "mse", **arguments})


def state(value: Any, name: str = "0.hidden") -> Callable[[dr.Network], Any]:
    return call("predict", X, initial_state={name: value})


def trainer(*, X: Any = X, y: Any = Y, lengths: Any = None, **arguments: Any) -> Callable[[dr.Network], Any]:
    return lambda network: dr.Trainer(network, loss="mse", **arguments).step(X, y, lengths=lengths)


def changed(array: Any, value: Any, *place: int) -> Any:
    array = array.copy()
    array[place] = value
    return array


def own_loss(output: Any, y: Any) -> Any:
    return 0.0, 0 * output


LENGTHS: list[Case] = [
    ("0", fit(lengths=[6, 0, 1, 2]), ValueError, r"lengths\[1\] is 0: .*expected 1 to 6; .*leave the sample out"),
    ("negative", fit(lengths=[6, 1, -1, 2]), ValueError, r"lengths\[2\] is -1: .*expected 1 to 6"),
    ("too long", fit(lengths=[6, 1, 1, 7]), ValueError, r"lengths\[3\] is 7: X has 6 steps, expected 1 to 6"),
    ("huge", fit(lengths=np.full(4, 2**63, np.uint64)), ValueError, r"lengths\[0\] is 9223372036854775808"),
    ("too few", fit(lengths=[1, 2, 3]), ValueError, r"lengths has shape \(3,\): expected \(4,\)"),
    ("a column", fit(lengths=[[1]] * 4), ValueError, r"lengths has shape \(4, 1\): expected \(4,\)"),
    ("a number", fit(lengths=6), ValueError, r"lengths has shape \(\): expected \(4,\)"),
    ("ragged", fit(lengths=[[1, 2], [3]]), ValueError, r"lengths is ragged"),
    ("fractions", fit(lengths=[1.0, 2.0, 3.0, 4.0]), TypeError, r"lengths has dtype float64: expected whole numbers"),
    ("booleans", fit(lengths=[True] * 4), TypeError, r"lengths has dtype bool: expected whole numbers"),
    ("text", fit(lengths=["1"] * 4), TypeError, r"lengths has dtype <U1"),
    ("a string", fit(lengths="1234"), TypeError, r"lengths is of type str"),
    ("objects", fit(lengths=np.array([1, 2, 3, 4], object)), TypeError, r"lengths has dtype object"),
    ("a dict", fit(lengths={0: 1}), TypeError, r"lengths is of type dict"),
    ("predict", call("predict", X, lengths=[0] * 4), ValueError, r"lengths\[0\] is 0"),
    ("evaluate", call("evaluate", X, Y, loss="mse", lengths=[9] * 4), ValueError, r"lengths\[0\] is 9"),
    ("forward", call("forward", X, lengths=[9] * 4), ValueError, r"lengths\[0\] is 9"),
    ("gradients", gradients(lengths=[1, 2]), ValueError, r"lengths has shape \(2,\)"),
    ("trainer", trainer(lengths=[0, 1, 1, 1]), ValueError, r"lengths\[0\] is 0"),
    ("validation", fit(validation_data=(X, Y, [9, 1, 1, 1])), ValueError, r"is 9: .*6 steps, expected 1 to 6"),
]

FEATURES: list[Case] = [
    ("two dimensions", fit(X=X[0]), ValueError, r"X has shape \(6, 3\): .*takes sequences.*pass X\[None\]"),
    ("one dimension", fit(X=X[0, 0]), ValueError, r"X has shape \(3,\): .*\(n_samples, n_steps, n_features\)"),
    ("four dimensions", fit(X=X[None]), ValueError, r"X has shape \(1, 4, 6, 3\): .*takes sequences"),
    ("no steps", fit(X=X[:, :0]), ValueError, r"X has shape \(4, 0, 3\): expected at least one sample, one step"),
    ("no samples", fit(X=X[:0], y=Y[:0]), ValueError, r"X has shape \(0, 6, 3\): expected at least one sample"),
    ("NaN", fit(X=changed(X, NAN, 1, 2, 1)), ValueError, r"X\[1, 2, 1\] is nan: .*pass lengths="),
    ("infinity", fit(X=changed(X, -INF, 3, 5, 2)), ValueError, r"X\[3, 5, 2\] is -inf"),
    ("NaN before the end", fit(X=changed(X, NAN, 1, 2, 1), lengths=[6, 3, 1, 1]), ValueError, r"X\[1, 2, 1\] is nan"),
    ("text", fit(X=np.full((4, 6, 3), "a")), TypeError, r"X has dtype <U1"),
    ("complex", fit(X=X + 1j), TypeError, r"X has dtype complex"),
    ("nothing", fit(X=None), TypeError, r"X is None"),
    ("predict", call("predict", X[0]), ValueError, r"X has shape \(6, 3\): .*X\[None\]"),
    ("proba", call("predict_proba", X), ValueError, r"predict_proba needs"),
    ("backward first", call("backward", Y), ValueError, r"backward was called before forward"),
    ("list: features", fit(X=[X[0], X[1, :3, :2]]), ValueError, r"X\[1\] has shape \(3, 2\) but X\[0\] has \(6, 3\)"),
    ("list: no steps", fit(X=[X[0], X[1, :0]]), ValueError, r"X\[1\] has no steps: .*leave the sample out"),
    ("list: numbers", fit(X=[X[0], np.float64(3)]), ValueError, r"X\[1\] has shape \(\)"),
    ("list: NaN", fit(X=[X[0], np.full((2, 3), NAN)]), ValueError, r"X\[1, 0, 0\] is nan"),
    ("list: text", fit(X=[X[0], np.array([["a", "b", "c"]])]), TypeError, r"X\[1\] has dtype <U1"),
    ("list and lengths", fit(X=[X[0], X[1, :3]], lengths=[6, 3]), ValueError, r"lengths is given, but X is a list"),
    ("list: one too many", fit(X=[*X, X[0, :2]]), ValueError, r"y has 4 rows but X has 5"),
]

# A network that does not know its features yet would take them from these.
COLUMNS: list[Case] = [
    ("fit", fit(X=X[:, :, :2]), ValueError, r"X has 2 features at each step, the network takes 3"),
    ("predict", call("predict", X[:, :, :2]), ValueError, r"X has 2 features at each step, the network takes 3"),
    ("list", fit(X=[X[0, :, :2], X[1, :3, :2]]), ValueError, r"X has 2 features at each step"),
]

TARGETS: list[Case] = [
    ("too few", fit(y=Y[:3]), ValueError, r"y has 3 rows but X has 4"),
    ("of every step", fit(y=Y_BY_STEP), ValueError, r"y has shape \(4, 6, 2\)"),
    ("validation features", fit(validation_data=(X[:, :, :2], Y)), ValueError, r"validation_data\[0\] has 2 features"),
    ("validation rows", fit(validation_data=(X[0], Y)), ValueError, r"validation_data\[0\] has shape \(6, 3\)"),
    ("validation of four", fit(validation_data=(X, Y, [6] * 4, 1)), TypeError, r"\(X, y\) or \(X, y, lengths\)"),
    ("weights of steps", fit(sample_weight=np.ones((4, 6))), ValueError, r"sample_weight has shape \(4, 6\)"),
    ("weights", fit(sample_weight=np.ones(24)), ValueError, r"sample_weight has 24 entries but X has 4 rows"),
]

WANTED = r": the network gives an output at every step, so y needs the shape \(4, 6, 2\); .*return_sequences=False"
TARGETS_BY_STEP: list[Case] = [
    ("one a sample", fit_each(y=Y), ValueError, r"y has shape \(4, 2\)" + WANTED),
    ("one label a sample", fit_each(y=LABELS[:, 0], loss="cross_entropy"), ValueError, r"y has shape \(4,\): .*every"),
    ("steps", fit_each(y=Y_BY_STEP[:, :5]), ValueError, r"y has shape \(4, 5, 2\)" + WANTED),
    ("samples", fit_each(y=Y_BY_STEP[:3]), ValueError, r"y has shape \(3, 6, 2\)" + WANTED),
    ("four dimensions", fit_each(y=Y_BY_STEP[..., None]), ValueError, r"y has shape \(4, 6, 2, 1\)" + WANTED),
    (
        "columns",
        fit_each(y=Y_BY_STEP[:, :, :1]),
        ValueError,
        r"y.reshape\(-1, 1\) has 1 column but the last layer has 2 units",
    ),
    ("NaN", fit_each(y=changed(Y_BY_STEP, NAN, 1, 2, 1)), ValueError, r"y.reshape\(-1, 2\)\[.*\] is nan"),
    (
        "a label",
        fit_each(y=changed(LABELS, 2, 0, 0), loss="cross_entropy"),
        ValueError,
        r"y.ravel\(\)\[0\] is 2 but the last",
    ),
    ("nothing", fit_each(y=None), TypeError, r"y is None"),
    ("list", fit_each(y=[*Y_BY_STEP[:3], Y_BY_STEP[3, :2]]), ValueError, r"y is a list .*other numbers of steps"),
    ("evaluate", call("evaluate", X, Y, loss="mse"), ValueError, r"y has shape \(4, 2\)" + WANTED),
]


def pieces(kind: Callable[..., Callable[[dr.Network], Any]]) -> Iterator[Case]:
    """Numbers of steps that are none."""
    for argument in ("bptt_steps", "checkpoint_steps"):
        for value in (0, -1, 1.5, True, [2], "x"):
            error = ValueError if type(value) is int else (TypeError, ValueError) if value == "x" else TypeError
            yield f"{argument}={value!r}", kind(**{argument: value}), error, rf"{argument}={re.escape(repr(value))}: "


PIECES: list[Case] = [
    *(case for kind in (fit, gradients, trainer) for case in pieces(kind)),
    ("bptt auto", fit(bptt_steps="auto"), TypeError, r"bptt_steps='auto': expected an integer"),
    ("trainer auto", trainer(checkpoint_steps="auto"), (TypeError, ValueError), r"checkpoint_steps='auto'"),
    ("both", fit(bptt_steps=2, checkpoint_steps=3), ValueError, r"bptt_steps=2 and checkpoint_steps=3: choose one"),
    ("both: trainer", trainer(bptt_steps=2, checkpoint_steps=3), ValueError, r"choose one"),
    ("own loss", fit(loss=own_loss, bptt_steps=2), ValueError, r"bptt_steps=2 with a loss of your own: .*whole"),
    ("own loss, kept", fit(loss=own_loss, checkpoint_steps=2), ValueError, r"checkpoint_steps=2 with a loss of"),
    ("memory", call("memory", 4, 0), ValueError, r"n_steps=0: expected"),
    ("memory: no batch", call("memory", 0, 4), ValueError, r"batch_size=0: expected"),
    ("memory: both", call("memory", 4, 4, bptt_steps=2, checkpoint_steps=2), ValueError, r"choose one"),
]  # fmt: skip

WHY = r" with a bidirectional layer: its reverse direction begins at the end of the sequence"
BOTH_WAYS: list[Case] = [
    ("fit", fit(bptt_steps=2), ValueError, r"bptt_steps=2" + WHY),
    ("kept", fit(checkpoint_steps="auto"), ValueError, r"checkpoint_steps='auto'" + WHY),
    ("gradients", gradients(bptt_steps=2), ValueError, r"bptt_steps=2" + WHY),
    ("trainer", trainer(bptt_steps=2), ValueError, r"bptt_steps=2" + WHY),
    ("stream", lambda network: network.stream()(X[:, 0]), ValueError, r"bidirectional"),
]

ROWS: list[Case] = [
    ("bptt_steps", fit_rows(bptt_steps=2), ValueError, r"bptt_steps=2: the network reads no sequences"),
    ("checkpoint_steps", fit_rows(checkpoint_steps=2), ValueError, r"checkpoint_steps=2: the network reads no seq"),
    ("trainer", trainer(X=X[:, 0], bptt_steps=2), ValueError, r"bptt_steps=2: the network reads no sequences"),
    ("lengths", fit_rows(lengths=[1] * 4), ValueError, r"lengths is given, but the network reads no sequences"),
    ("sequences", fit_rows(X=X), ValueError, r"X has shape \(4, 6, 3\): expected two dimensions"),
    ("initial_state", call("predict", X[:, 0], initial_state={}), ValueError, r"no recurrent layer that could begin"),
    ("memory", call("memory", 4, 4, bptt_steps=2), ValueError, r"bptt_steps=2: the network reads no sequences"),
    ("validation", fit_rows(validation_data=(X[:, 0], Y, [1] * 4)), TypeError, r"expected a tuple \(X, y\)"),
]

STATES: list[Case] = [
    ("name", state(np.zeros((4, 5)), "0.cell"), ValueError, r"initial_state has '0\.cell'.*expected some of 0\.hidden"),
    ("no layer", state(np.zeros((4, 5)), "hidden"), ValueError, r"initial_state has 'hidden', which is unknown"),
    ("units", state(np.zeros((4, 4))), ValueError, r"initial_state\['0\.hidden'\] has shape \(4, 4\): expected \(4, 5"),
    ("samples", state(np.zeros((3, 5))), ValueError, r"has shape \(3, 5\): expected \(4, 5\), a row for each sample"),
    ("one for all", state(np.zeros(5)), ValueError, r"has shape \(5,\): expected \(4, 5\)"),
    ("nothing", state(None), (TypeError, ValueError), r"initial_state\['0\.hidden'\]"),
    ("NaN", state(np.full((4, 5), NAN)), ValueError, r"initial_state\['0\.hidden'\]\[0, 0\] is nan"),
    ("text", state(np.full((4, 5), "a")), TypeError, r"initial_state\['0\.hidden'\] has dtype <U1"),
    ("ragged", state([[1.0, 2.0], [1.0]]), ValueError, r"initial_state\['0\.hidden'\]"),
    ("no dict", call("predict", X, initial_state=[np.zeros((4, 5))]), TypeError, r"initial_state is list: expected a"),
    ("gradients", gradients(initial_state={"a": 1}), ValueError, r"initial_state has 'a'"),
    ("stream", lambda network: network.stream()(X[0, 0]), ValueError, r"x has shape \(3,\): expected one step"),
]

MAKERS = (dr.RNN, dr.LSTM, dr.GRU)


def values(argument: str, wrong_value: tuple[Any, ...], wrong_type: tuple[Any, ...] = ()) -> Iterator[Case]:
    for kind in MAKERS:
        for value in (*wrong_value, *wrong_type):
            arguments = {"units": 3, argument: value}
            error = ValueError if value in wrong_value else TypeError
            yield f"{kind.__name__} {argument}={value!r}", lambda _, k=kind, a=arguments: k(**a), error, f"{argument}="


def making(function: Callable[[], Any]) -> Callable[[dr.Network], Any]:
    return lambda _: function()


LAYERS: list[Case] = [
    *values("units", (0, -1, 2**31), (2.0, "3", None)),
    *values("return_sequences", (), (1, None, "yes")),
    *values("bidirectional", (), (1, None, "no")),
    *values("l1", (-1.0, INF), ("1",)),
    *values("l2", (-1e-9,), (None,)),
    *values("name", ("", "a.b", "0"), (3,)),
    *values("init", (), (3, None)),
    *values("recurrent_init", (), (3, None)),
    ("sigmoid", making(lambda: dr.RNN(3, "sigmoid")), ValueError, r"activation='sigmoid': .*'tanh' or 'relu'"),
    ("no name", making(lambda: dr.RNN(3, None)), TypeError, r"activation=None: .*'tanh' or 'relu'"),  # type: ignore[arg-type]
    ("forget NaN", making(lambda: dr.LSTM(3, forget_bias=NAN)), ValueError, r"forget_bias=nan: expected a finite"),
    ("forget -inf", making(lambda: dr.LSTM(3, forget_bias=-INF)), ValueError, r"forget_bias=-inf: expected a finite"),
    ("forget text", making(lambda: dr.LSTM(3, forget_bias="1")), TypeError, r"forget_bias='1': expected"),  # type: ignore[arg-type]
    ("forget True", making(lambda: dr.LSTM(3, forget_bias=True)), TypeError, r"forget_bias=True: expected"),
    ("init", making(lambda: last(dr.GRU(3, init="he_unifrom"))), ValueError, r"layer 0 has init=.*mean 'he_uniform'"),
    ("misspelt", making(lambda: last(dr.GRU(3, recurrent_init="orthogonl"))), ValueError, r"mean 'orthogonal'"),
]

NETWORKS: list[Case] = [
    ("last layer", making(lambda: dr.Network([dr.GRU(3)])), ValueError, r"GRU\(.*is the last layer: end in Dense"),
    ("int", making(lambda: last(input_shape=3)), ValueError, r"input_shape=3: .*\(n_steps, 3\), or \(None, 3\)"),
    ("tuple of one", making(lambda: last(input_shape=(3,))), ValueError, r"input_shape=\(3,\): .*\(None, 3\)"),
    ("no steps", making(lambda: last(input_shape=(0, 3))), ValueError, r"input_shape\[0\]=0: expected"),
    ("no features", making(lambda: last(input_shape=(None, 0))), ValueError, r"input_shape.*=0: expected"),
    ("features None", making(lambda: last(input_shape=(None, None))), TypeError, r"input_shape.*=None: expected"),
    ("fractions", making(lambda: last(input_shape=(1.5, 3))), TypeError, r"input_shape\[0\]=1\.5: expected"),
    ("three", making(lambda: last(input_shape=(3, 4, 5))), ValueError, r"input_shape=\(3, 4, 5\): expected"),
    (
        "recurrent above the last step alone",
        making(lambda: dr.Network([dr.GRU(3), dr.Dense(4), dr.LSTM(3), dr.Dense(1)], input_shape=(None, 2))),
        ValueError,
        r"layer 2 \(lstm\) reads sequences.*needs return_sequences=True",
    ),
    ("found with data", lambda _: fit()(dr.Network([dr.GRU(3), dr.GRU(3), dr.Dense(2)])), ValueError, r"layer 1"),
]  # fmt: skip


def parametrized(make: Callable[[], dr.Network], **groups: list[Case]) -> list[Any]:
    return [
        pytest.param(make, *case[1:], id=f"{group}: {case[0]}") for group, cases in groups.items() for case in cases
    ]


FOR_ANY_FEATURES = parametrized(last, lengths=LENGTHS, X=FEATURES, y=TARGETS) + parametrized(each, y=TARGETS_BY_STEP)
ALL = [
    *FOR_ANY_FEATURES,
    *parametrized(last, features=COLUMNS, pieces=PIECES, state=STATES, layer=LAYERS, network=NETWORKS),
    *parametrized(both_ways, both_ways=BOTH_WAYS),
    *parametrized(rows, rows=ROWS),
]  # fmt: skip


@pytest.mark.parametrize(("make", "function", "kind", "message"), ALL)
def test_is_refused_and_nothing_has_changed(
    make: Callable[[], dr.Network], function: Callable[[dr.Network], Any], kind: Any, message: str
) -> None:
    network, untouched = make(), make()
    with pytest.raises(kind, match=message) as caught:
        function(network)
    assert type(caught.value) in (ValueError, TypeError)
    assert bits(network) == bits(untouched)
    assert network.spec() == untouched.spec()
    assert network.epochs_trained == 0
    assert network.loss is None
    # It goes on as if nothing had been.
    features = X if isinstance(network.input_shape, tuple) else X[:, 0]
    targets = Y_BY_STEP if make is each else Y
    for one in (network, untouched):
        one.fit(features, targets, loss="mse", epochs=2)
    assert bits(network, network.predict(features)) == bits(untouched, untouched.predict(features))


@pytest.mark.parametrize(("make", "function", "kind", "message"), FOR_ANY_FEATURES)
def test_does_not_settle_the_number_of_features(
    make: Callable[..., dr.Network], function: Callable[[dr.Network], Any], kind: Any, message: str
) -> None:
    network = make(input_shape=None)
    with pytest.raises(kind):
        function(network)
    assert network.input_shape is None
    network.fit(X[:, :, :2], Y_BY_STEP if make is each else Y, loss="mse")
    assert network.input_shape == (None, 2)


def test_another_number_of_steps_than_the_network_was_made_for() -> None:
    network = last(input_shape=(6, 3))
    before = bits(network)
    for function in (fit(X=X[:, :5]), call("predict", X[:, :5]), trainer(X=X[:, :5])):
        with pytest.raises(ValueError, match=r"X has 5 steps, the network takes 6: .*input_shape=\(None, 3\)"):
            function(network)
    with pytest.raises(ValueError, match=r"validation_data\[0\] has 5 steps, the network takes 6"):
        network.fit(X, Y, loss="mse", validation_data=(X[:, :5], Y))
    assert bits(network) == before
    assert network.predict(X, lengths=[6, 1, 2, 3]).shape == (4, 2)
    assert network.predict([X[0, :5], X[1, :3]]).shape == (2, 2)  # none of them is too long


def test_one_feature_a_step_without_an_axis_for_it() -> None:
    for network in (last(input_shape=(None, 1)), last(input_shape=None)):
        with pytest.raises(
            ValueError, match=r"for one feature a step pass X\[:, :, None\]; for one sequence X\[None\]"
        ):
            network.predict(X[:, :, 0])


def test_the_gradient_of_another_shape() -> None:
    network = each()
    network.forward(X)
    for wrong in (Y_BY_STEP[:, :5], Y_BY_STEP[:3], Y_BY_STEP[:, :, :1], Y_BY_STEP.reshape(6, 4, 2), Y, Y[0]):
        with pytest.raises(ValueError, match=r"grad_output has shape"):
            network.backward(wrong)
    network.backward(Y_BY_STEP)


def test_targets_of_a_loss_of_ones_own_that_are_no_array() -> None:
    with pytest.raises(ValueError, match=r"^y "):
        each().fit([X[0], X[1, :3]], [Y_BY_STEP[0], Y_BY_STEP[1, :3]], loss=own_loss)
