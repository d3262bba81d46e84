"""What is refused, and in which words; and that a network which refused something is, bit for bit, as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import deltarule as dr

Case = tuple[str, Callable[[dr.Network], Any], Any, str]

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(12, 2)).astype(np.float32)
LABELS = np.arange(12) % 2
NAN, INF = float("nan"), float("inf")
HUGE = 2**31 - 1
NO_MEMORY = (ValueError, MemoryError)


class Watcher:
    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Do nothing."""


def changed(array: Any, value: Any, row: int = 4, column: int = 1) -> Any:
    array = array.copy()
    array[row, column] = value
    return array


def fit(**arguments: Any) -> Callable[[dr.Network], Any]:
    return lambda network: network.fit(**{"X": X, "y": Y, "loss": "mse", **arguments})


def classify(**arguments: Any) -> Callable[[dr.Network], Any]:
    return fit(**{"y": LABELS, "loss": "cross_entropy", **arguments})


def call(method: str, *arguments: Any, **named: Any) -> Callable[[dr.Network], Any]:
    return lambda network: getattr(network, method)(*arguments, **named)


def make(function: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[[dr.Network], Any]:
    return lambda network: function(*arguments, **named)


def trainer(method: str, *arguments: Any) -> Callable[[dr.Network], Any]:
    return lambda network: getattr(dr.Trainer(network, loss="mse"), method)(*arguments)


def each(
    function: Callable[..., Callable[[dr.Network], Any]],
    argument: str,
    wrong_value: tuple[Any, ...],
    wrong_type: tuple[Any, ...] = (),
) -> Iterator[Case]:
    """One case for each value that this argument does not take."""
    for values, kind in ((wrong_value, ValueError), (wrong_type, TypeError)):
        for value in values:
            name = f"{argument}={value!r}"[:60]
            yield name, function(**{argument: value}), kind, rf"{argument}.*: expected"


def making(kind: Callable[..., Any], **fixed: Any) -> Callable[..., Callable[[dr.Network], Any]]:
    return lambda **arguments: make(kind, **fixed, **arguments)


def state(name: str, array: Any) -> dict[str, Any]:
    good = {"0.weight": np.ones((3, 4)), "0.bias": np.ones(4), "1.weight": np.ones((4, 2)), "1.bias": np.ones(2)}
    return {**good, name: array}


FEATURES: list[Case] = [
    ("one dimension", fit(X=X[:, 0]), ValueError, r"X has shape \(12,\): expected two dimensions.*reshape"),
    ("three dimensions", fit(X=X[None]), ValueError, r"X has shape \(1, 12, 3\): expected two dimensions"),
    ("a number", fit(X=3.0), ValueError, r"X has shape \(\): expected two dimensions"),
    ("no rows", fit(X=X[:0], y=Y[:0]), ValueError, r"X has shape \(0, 3\): it is empty"),
    ("no columns", fit(X=X[:, :0]), ValueError, r"X has shape \(12, 0\): it is empty"),
    ("an empty list", fit(X=[], y=[]), ValueError, r"X has shape \(0,\)"),
    ("nothing", fit(X=None), TypeError, r"X is None: expected an array"),
    ("ragged", fit(X=[[1.0, 2.0, 3.0], [1.0]]), ValueError, r"X is ragged"),
    ("objects", fit(X=np.full((12, 3), object())), TypeError, r"X has dtype object"),
    ("complex", fit(X=X + 1j), TypeError, r"X has dtype complex\d+: expected real numbers; .*\.real"),
    ("text", fit(X=np.full((12, 3), "a")), TypeError, r"X has dtype <U1: expected real numbers"),
    ("dates", fit(X=np.zeros((12, 3), "M8[s]")), TypeError, r"X has dtype datetime64"),
    ("records", fit(X=np.zeros((12, 3), [("a", "f4")])), TypeError, r"X has dtype \[\('a', '<f4'\)\]"),
    ("a string", fit(X="X.csv"), TypeError, r"X is of type str"),
    ("a generator", fit(X=(row for row in X)), TypeError, r"X is of type generator"),
    ("a dict", fit(X={"a": [1.0]}), TypeError, r"X is of type dict"),
    ("NaN", fit(X=changed(X, NAN)), ValueError, r"X\[4, 1\] is nan: every number must be finite; fill in or drop"),
    ("infinity", fit(X=changed(X, INF)), ValueError, r"X\[4, 1\] is inf"),
    ("minus infinity at the end", fit(X=changed(X, -INF, 11, 2)), ValueError, r"X\[11, 2\] is -inf"),
    ("too large", fit(X=changed(X.astype(float), 1e200)), ValueError, r"X\[4, 1\] is 1e\+200.*float64"),
    ("masked", fit(X=np.ma.masked_less(X, 0)), ValueError, r"X has \d+ masked entries"),
    ("CSC", fit(X=sp.csc_matrix(X)), TypeError, r"only CSR is taken; pass X\.tocsr"),
    ("COO", fit(X=sp.coo_matrix(X)), TypeError, r"only CSR is taken"),
    ("DOK", fit(X=sp.dok_matrix(X)), TypeError, r"only CSR is taken"),
    ("complex CSR", fit(X=sp.csr_matrix(X + 1j)), TypeError, r"complex"),
    ("NaN in CSR", fit(X=sp.csr_matrix(changed(X, NAN))), ValueError, r"X\[4, 1\] is nan"),
    ("predict: NaN", call("predict", changed(X, NAN)), ValueError, r"X\[4, 1\] is nan"),
    ("predict: no rows", call("predict", X[:0]), ValueError, r"X has shape \(0, 3\): it is empty"),
    ("predict: text", call("predict", [["a", "b", "c"]]), TypeError, r"X has dtype <U1"),
    ("predict: one sample", lambda network: network(X[0]), ValueError, r"X has shape \(3,\).*reshape\(1, -1\)"),
    ("predict_proba: no probabilities", call("predict_proba", X), ValueError, r"predict_proba needs .*use predict"),
    ("backward: nothing", call("backward", None), (TypeError, ValueError), r"grad_output is None|its number of inputs"),
]

# A network that does not know its number of inputs yet would take them from these.
COLUMNS: list[Case] = [
    ("fit", fit(X=X[:, :2]), ValueError, r"X has 2 features but the network takes 3: .*input_shape=2"),
    ("predict", call("predict", X[:, :2]), ValueError, r"X has 2 features but the network takes 3"),
    ("forward", call("forward", X[:, :2]), ValueError, r"X has 2 features but the network takes 3"),
    ("a CSR of 50 TB", fit(X=sp.csr_matrix((12, 2**40))), ValueError, r"X has \d+ features but the network takes 3"),
]

TARGETS: list[Case] = [
    ("lengths", fit(y=Y[:10]), ValueError, r"y has 10 rows but X has 12: each sample needs one target; check how"),
    ("columns", fit(y=Y[:, :1]), ValueError, r"y has 1 column but the last layer has 2 units"),
    ("one dimension", fit(y=Y[:, 0]), ValueError, r"y has shape \(12,\) but the last layer has 2 units"),
    ("three dimensions", fit(y=Y[:, :, None]), ValueError, r"y has shape \(12, 2, 1\)"),
    ("a number", fit(y=1.0), ValueError, r"y is a single number"),
    ("nothing", fit(y=None), TypeError, r"y is None"),
    ("NaN", fit(y=changed(Y, NAN)), ValueError, r"y\[4, 1\] is nan"),
    ("infinity", fit(y=changed(Y, INF)), ValueError, r"y\[4, 1\] is inf"),
    ("text", classify(y=np.where(LABELS, "cat", "dog")), TypeError, r"y has dtype <U3.*np\.unique"),
    ("objects", fit(y=np.full((12, 2), None)), TypeError, r"y has dtype object and holds None"),
    ("complex", fit(y=Y + 1j), TypeError, r"y has dtype complex"),
    ("label too large", classify(y=LABELS + 1), ValueError, r"y\[1\] is 2 but the last layer has 2 units.*0 to 1"),
    ("label below 0", classify(y=LABELS - 1), ValueError, r"y\[0\] is -1"),
    ("label of 64 bits", classify(y=np.full(12, 2**63, np.uint64)), ValueError, r"y\[0\] is 9223372036854775808"),
    ("label with a fraction", classify(y=LABELS + 0.5), ValueError, r"y\[0\] is 0\.5: class indices"),
    ("label NaN", classify(y=np.full(12, NAN)), ValueError, r"y\[0\] is nan"),
    ("rows that sum to 2", classify(y=np.ones((12, 2))), ValueError, r"y\[0\] sums to 2"),
    ("probability", fit(y=Y * 0 + 2, loss="binary_cross_entropy"), ValueError, r"y\[0, 0\] is 2\.0: .*in \[0, 1\]"),
    ("sign", fit(y=Y * 0 + 3, loss="hinge"), ValueError, r"y\[0, 0\] is 3\.0: hinge"),
    ("count", fit(y=Y * 0 - 1, loss="poisson"), ValueError, r"y\[0, 0\] is -1\.0: expected numbers not negative"),
    ("evaluate: lengths", call("evaluate", X, Y[:3], loss="mse"), ValueError, r"y has 3 rows but X has 12"),
    ("evaluate: no loss yet", call("evaluate", X, Y), ValueError, r"evaluate needs a loss"),
    ("gradients: lengths", call("loss_and_gradients", X, Y[:3], loss="mse"), ValueError, r"y has 3 rows but X has 12"),
    ("validation lengths", fit(validation_data=(X, Y[:3])), ValueError, r"validation_data\[1\] has 3 rows"),
    ("validation columns", fit(validation_data=(X[:, :2], Y)), ValueError, r"validation_data\[0\] has 2 features"),
    ("validation NaN", fit(validation_data=(changed(X, NAN), Y)), ValueError, r"validation_data\[0\]\[4, 1\] is nan"),
    ("validation without y", fit(validation_data=X), TypeError, r"validation_data is ndarray: expected a tuple"),
    ("validation of three", fit(validation_data=(X, Y, Y)), TypeError, r"validation_data.*expected a tuple"),
    ("validation twice", fit(validation_data=(X, Y), validation_split=0.5), ValueError, r"both given"),
    ("validation of no row", fit(validation_split=0.01), ValueError, r"validation_split=0\.01 of 12 samples leaves 12"),
    *each(fit, "validation_split", (1.0, -0.1, NAN), ("0.1", True)),
]

WEIGHTS: list[Case] = [
    ("length", fit(sample_weight=np.ones(11)), ValueError, r"sample_weight has 11 entries but X has 12 rows"),
    ("shape", fit(sample_weight=np.ones((12, 1))), ValueError, r"sample_weight has shape \(12, 1\).*ravel"),
    ("negative", fit(sample_weight=-np.ones(12)), ValueError, r"sample_weight\[0\] is -1\.0"),
    ("all zero", fit(sample_weight=np.zeros(12)), ValueError, r"sample_weight is 0 for every sample"),
    ("NaN", fit(sample_weight=np.full(12, NAN)), ValueError, r"sample_weight\[0\] is nan"),
    ("overflow", fit(sample_weight=np.full(12, 3e38)), ValueError, r"sample_weight sums to more than float32 holds"),
    ("text", fit(sample_weight=["1"] * 12), TypeError, r"sample_weight has dtype"),
    ("classes of a regression", fit(class_weight="balanced"), ValueError, r"class_weight needs one class label"),
    ("misspelt", classify(class_weight="balance"), ValueError, r"did you mean 'balanced'"),
    ("a list", classify(class_weight=[1, 2]), TypeError, r"class_weight is of type list"),
    ("unknown label", classify(class_weight={2: 1}), ValueError, r"the label 2: the classes are 0, 1"),
    ("negative class", classify(class_weight={0: -1}), ValueError, r"class_weight\[0\] is -1"),
    ("class NaN", classify(class_weight={0: NAN}), ValueError, r"class_weight\[0\] is nan"),
    ("class text", classify(class_weight={0: "1"}), TypeError, r"class_weight\[0\] is '1'"),
    ("all classes 0", classify(class_weight={0: 0, 1: 0}), ValueError, r"class_weight is 0 for every"),
]

ARGUMENTS: list[Case] = [
    ("unknown loss", fit(loss="mes"), ValueError, r"loss 'mes' is unknown: did you mean 'mse'"),
    ("loss of no kind", fit(loss=3), TypeError, r"loss=3 is int: expected a name"),
    ("loss None", fit(loss=None), TypeError, r"loss=None"),
    ("unknown optimizer", fit(optimizer="adm"), ValueError, r"optimizer 'adm' is unknown: did you mean 'adam'"),
    ("optimizer in capitals", fit(optimizer="Adam"), ValueError, r"did you mean 'adam'"),
    ("optimizer of no kind", fit(optimizer=0.1), TypeError, r"optimizer=0\.1 is float"),
    ("optimizer: another class", fit(optimizer=dict), TypeError, r"optimizer="),
    *each(fit, "epochs", (-1, 2**80), (1.0, True, "3", None)),
    *each(fit, "batch_size", (0, -1, 2**80), (2.0, True, None)),
    *each(fit, "clip_norm", (0.0, -1.0, NAN, INF), (True, "1")),
    *each(fit, "clip_value", (0.0, -1.0, NAN, INF), (True, "1")),
    *each(fit, "n_threads", (0, -1, 10**6), (1.5, True)),
    *each(fit, "shuffle", (), (1, None, "yes")),
    *each(fit, "verbose", (-1,), ("yes", None, 1.5)),
    ("predict: n_threads=0", call("predict", X, n_threads=0), ValueError, r"n_threads=0"),
    ("callbacks: no list", fit(callbacks=Watcher()), TypeError, r"callbacks is Watcher: expected a list"),
    ("callbacks: a string", fit(callbacks="early"), TypeError, r"callbacks is str"),
    ("callbacks: None inside", fit(callbacks=[None]), TypeError, r"callbacks holds None"),
    ("callbacks: a function", fit(callbacks=[print]), TypeError, r"callbacks holds <built-in function print>"),
    ("callbacks: a class", fit(callbacks=[Watcher]), TypeError, r"callbacks holds <class .*Watcher"),
    ("custom loss, weights", fit(loss=lambda a, y: (0.0, a), sample_weight=np.ones(12)), ValueError, r"does not reach"),
    ("custom loss, classes", fit(loss=lambda a, y: (0.0, a), class_weight={0: 2}), ValueError, r"does not reach"),
    ("metric", call("evaluate", X, Y, loss="mse", metrics=["acuracy"]), ValueError, r"did you mean 'accuracy'"),
    ("metrics as a string", call("evaluate", X, Y, loss="mse", metrics="accuracy"), TypeError, r"metrics.*expected"),
    ("metric: a number", call("evaluate", X, Y, loss="mse", metrics=[3]), TypeError, r"metric 3 is int"),
    ("trainer: loss", lambda network: dr.Trainer(network, loss="mes"), ValueError, r"did you mean 'mse'"),
    ("trainer: optimizer", lambda n: dr.Trainer(n, loss="mse", optimizer="sdg"), ValueError, r"did you mean 'sgd'"),
    ("trainer: no network", make(dr.Trainer, "network", loss="mse"), TypeError, r"network='network'.*expected"),
    ("trainer: clip_norm", lambda network: dr.Trainer(network, loss="mse", clip_norm=-1), ValueError, r"clip_norm=-1"),
    ("trainer: lengths", trainer("step", X, Y[:3]), ValueError, r"y has 3 rows but X has 12"),
    ("trainer: NaN", trainer("step", changed(X, NAN), Y), ValueError, r"X\[4, 1\] is nan"),
]

# Of a network that knows its inputs.
STATES: list[Case] = [
    ("no mapping", call("load_state_dict", [1]), TypeError, r"state is list"),
    ("missing", call("load_state_dict", {"0.bias": np.ones(4)}), ValueError, r"state lacks \['0\.weight'"),
    ("unknown", call("load_state_dict", state("9.weight", 1)), ValueError, r"\['9\.weight'\] that the network"),
    ("shape", call("load_state_dict", state("1.weight", np.ones((2, 4)))), ValueError, r"\(2, 4\): expected \(4, 2\)"),
    ("NaN", call("load_state_dict", state("1.bias", [1, NAN])), ValueError, r"state\['1\.bias'\].* is nan"),
    ("complex", call("load_state_dict", state("1.bias", [1j, 1])), TypeError, r"state\['1\.bias'\] has dtype complex"),
    ("objects", call("load_state_dict", state("1.bias", [None, 1])), TypeError, r"state\['1\.bias'\] has dtype object"),
    ("ragged", call("load_state_dict", state("0.weight", [[1.0], [1, 2]])), ValueError, r"state\['0\.weight'\]"),
    ("apply: some", trainer("apply", {"0.bias": np.ones(4)}), ValueError, r"gradients lacks \['0\.weight'"),
    ("apply: NaN", trainer("apply", state("1.bias", [NAN, 1])), ValueError, r"gradients\['1\.bias'\].* is nan"),
    ("apply: no mapping", trainer("apply", None), TypeError, r"gradients is NoneType"),
    ("backward first", call("backward", Y), ValueError, r"before forward"),
    ("gradients first", lambda network: network.gradients, ValueError, r"there are no gradients yet"),
]

ALL_OPTIMIZERS = (dr.SGD, dr.Adam, dr.AdamW, dr.NAdam, dr.RMSprop, dr.Adagrad, dr.Adadelta, dr.Rprop)
VALUES: list[Case] = [
    *each(making(dr.Dense), "units", (0, -1, 2**31, 10**30), (2.0, True, "3", None)),
    *each(making(dr.Dense, units=2), "l1", (-1.0, NAN), ("1",)),
    *each(making(dr.Dense, units=2), "l2", (-1e-9, INF), (True, None)),
    *each(making(dr.Dense, units=2), "use_bias", (), (1, None)),
    *each(making(dr.Dense, units=2), "name", ("", "a.b", "0"), (3,)),
    *((f"activation={a!r}", make(dr.Dense, 2, a), TypeError, "activation=.*expected a name") for a in (None, np.tanh)),
    ("init=3", make(dr.Dense, 2, init=3), TypeError, "init=3: expected a name"),
    *(case for kind in ALL_OPTIMIZERS for case in each(making(kind), "lr", (-1.0, NAN, INF), ("1", True, None))),
    *each(making(dr.SGD), "lr", (10**400,), (1j,)),
    *each(making(dr.SGD), "momentum", (-0.1, NAN)),
    *each(making(dr.SGD), "dampening", (NAN,)),
    *each(making(dr.SGD), "weight_decay", (-1.0, INF)),
    *each(making(dr.SGD), "nesterov", (), (1, None)),
    *each(making(dr.Adam), "betas", ((0.9, 1.0), (-0.1, 0.9), (NAN, 0.9)), ((0.9,), 0.9, ("a", 0.9))),
    *each(making(dr.Adam), "eps", (0.0, -1e-8, NAN)),
    *each(making(dr.Adam), "amsgrad", (), (None, 1)),
    *each(making(dr.RMSprop), "alpha", (1.0, -0.1)),
    *each(making(dr.RMSprop), "centered", (), ("yes",)),
    *each(making(dr.Adagrad), "lr_decay", (-1,)),
    *each(making(dr.Adagrad), "initial_accumulator_value", (-1,)),
    *each(making(dr.Adadelta), "rho", (1.0,)),
    *each(making(dr.NAdam), "momentum_decay", (-1,)),
    *each(making(dr.NAdam), "decoupled_weight_decay", (), (1,)),
    *each(making(dr.Rprop), "etas", ((1.2, 0.5), (0.5, NAN)), ((0.5,),)),
    *each(making(dr.Rprop), "step_sizes", ((1.0, 0.1), (0.0, 1.0), (1.0, INF)), (1.0,)),
    ("nesterov alone", make(dr.SGD, nesterov=True), ValueError, r"it needs momentum above 0"),
    ("nesterov, dampening", make(dr.SGD, momentum=0.9, dampening=0.1, nesterov=True), ValueError, r"dampening=0"),
    *each(making(dr.Huber), "delta", (0, -1, NAN), ("1", True)),
    *each(making(dr.Quantile), "q", (0, 1, NAN), (None,)),
    *each(making(dr.set_num_threads), "n", (0, -1, 10**9), ("2", True)),
]

LAYER = dr.Dense(2)
NETWORKS: list[Case] = [
    *each(making(dr.Network, layers=[LAYER]), "seed", (-1, 2**64), (1.0, None, True)),
    *each(making(dr.Network, layers=[LAYER]), "input_shape", (0, -3, 2**31, 10**30, (), (3, 4, 5)), (3.0, "3", True)),
    *each(making(dr.Network, layers=[LAYER]), "dtype", ("float16", "int32", "doubble", np.complex64, ">f4", object, 7)),
    ("activation", make(dr.Network, [dr.Dense(2, "rellu")]), ValueError, r"layer 0 .*'rellu'.*did you mean 'relu'"),
    ("init", make(dr.Network, [dr.Dense(2, init="he_unifrom")]), ValueError, r"init='he_unifrom'.*mean 'he_uniform'"),
    ("softmax inside", make(dr.Network, [dr.Dense(2, "softmax"), LAYER], input_shape=2), ValueError, r"softmax"),
    ("no layers", make(dr.Network, []), ValueError, r"layers=\[\]: a network needs at least one layer"),
    ("layers of numbers", make(dr.Network, [3]), TypeError, r"layers holds 3: expected layers"),
    ("layers None", make(dr.Network, None), TypeError, r"layers.*expected"),
    ("layers a number", make(dr.Network, 3), TypeError, r"layers.*expected"),
    ("one name twice", make(dr.Network, [dr.Dense(2, name="a")] * 2, input_shape=2), ValueError, r'named "a"'),
    ("overflow", make(dr.Network, [dr.Dense(HUGE)] * 2, input_shape=HUGE), NO_MEMORY, r"\d|memory|alloc"),
    ("2 PB", make(dr.Network, [dr.Dense(HUGE)], input_shape=2**18), NO_MEMORY, r"\d|memory|alloc"),
    ("summary without inputs", lambda network: dr.Network([LAYER]).summary(), ValueError, r"does not know its number"),
    ("state without inputs", lambda network: dr.Network([LAYER]).state_dict(), ValueError, r"give input_shape"),
    ("classes of sigmoids", lambda n: classify()(dr.Network([dr.Dense(2, "sigmoid")])), ValueError, "takes logits"),
    ("classes of one unit", lambda n: classify()(dr.Network([dr.Dense(1)])), ValueError, "'binary_cross_entropy'"),
]


def parametrized(**groups: list[Case]) -> list[Any]:
    return [pytest.param(*case[1:], id=f"{group}: {case[0]}") for group, cases in groups.items() for case in cases]


FOR_ANY_NETWORK = parametrized(X=FEATURES, y=TARGETS, weights=WEIGHTS, arguments=ARGUMENTS)
ALL = FOR_ANY_NETWORK + parametrized(columns=COLUMNS, state=STATES, value=VALUES, network=NETWORKS)


def network_of(input_shape: int | None) -> dr.Network:
    return dr.Network([dr.Dense(4, "tanh"), dr.Dense(2)], input_shape=input_shape, seed=3)


@pytest.mark.parametrize(("function", "kind", "message"), ALL)
def test_is_refused_and_nothing_has_changed(function: Callable[[dr.Network], Any], kind: Any, message: str) -> None:
    network = network_of(3)
    before = {name: array.tobytes() for name, array in network.state_dict().items()}
    with pytest.raises(kind, match=message) as caught:
        function(network)
    assert type(caught.value) in (ValueError, TypeError) or isinstance(caught.value, MemoryError)
    assert {name: array.tobytes() for name, array in network.state_dict().items()} == before
    assert network.epochs_trained == 0
    assert network.loss is None
    # It goes on as if nothing had been.
    untouched = network_of(3)
    untouched.fit(X, Y, loss="mse", epochs=2)
    network.fit(X, Y, loss="mse", epochs=2)
    assert network.predict(X).tobytes() == untouched.predict(X).tobytes()


@pytest.mark.parametrize(("function", "kind", "message"), FOR_ANY_NETWORK)
def test_does_not_settle_the_number_of_inputs(function: Callable[[dr.Network], Any], kind: Any, message: str) -> None:
    network = network_of(None)
    with pytest.raises(kind):
        function(network)
    assert network.input_shape is None
    network.fit(X[:, :2], Y, loss="mse")
    assert network.input_shape == 2


def test_a_sparse_matrix_too_large_for_memory() -> None:
    network = network_of(None)
    with pytest.raises(NO_MEMORY):
        network.predict(sp.csr_matrix((12, 2**40)))
    assert network.input_shape is None


@pytest.mark.parametrize("value", ["0", "-1", "two", "1e3", "99999"])
def test_number_of_threads_in_the_environment(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELTARULE_NUM_THREADS", value)
    with pytest.raises(ValueError, match=rf"DELTARULE_NUM_THREADS='{value}'.*expected a number from 1 to 1024"):
        network_of(3).fit(X, Y, loss="mse")
