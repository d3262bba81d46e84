"""How the gradient flows back through a network: whether it reaches the first layer and the first step.

The core records it while it goes backward. Why it vanishes or explodes: S. Hochreiter, diploma thesis, TU Munich 1991;
Y. Bengio, P. Simard and P. Frasconi, IEEE Transactions on Neural Networks 5, 1994.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .names import require_number
from .network import Network
from .network.preparing import output_weights, prepare

if TYPE_CHECKING:
    from .losses import CustomLoss, Loss

__all__ = ["GradientFlow", "LayerFlow", "gradient_flow"]

_LARGE = 1e3  # a change of the gradient by this factor is worth a word
_NEXT_STEP = {
    "vanishing": "relu or LayerNorm between the layers, another init, fewer layers",
    "exploding": "clip_norm=1.0, a smaller learning rate, another init",
    "vanishing in time": "LSTM(forget_bias=1.0) or GRU, recurrent_init='orthogonal', shorter sequences",
    "exploding in time": "clip_norm=1.0, recurrent_init='orthogonal', bptt_steps",
}


@dataclass(frozen=True)
class LayerFlow:
    """What was found in one layer that has units.

    Attributes
    ----------
    layer : str
        Its name, or its number.
    type : str
        "dense", "rnn", "lstm" or "gru".
    gradient : float
        Root mean square, over samples, steps and units, of dL/dz of a dense and dL/dh of a recurrent layer.
    by_step : tuple of tuple of float
        The same at each step, from the first to the last, for each direction; empty for a layer on rows.
    dead_units, units : int
        Units that gave 0 for every sample and step, and all of them.
    weights : dict of str to tuple of float
        For each weight matrix its norm, that of its gradient, and lr · gradient / weight: how much of it one step of
        SGD changes; about 1e-3 is usual.
    """

    layer: str
    type: str
    gradient: float
    by_step: tuple[tuple[float, ...], ...]
    dead_units: int
    units: int
    weights: dict[str, tuple[float, float, float]]


@dataclass(frozen=True, repr=False)
class GradientFlow:
    """The result of `gradient_flow`; printed, a table with the verdict in words.

    Attributes
    ----------
    loss : float
        Of the data that it was asked for.
    lr : float
        The learning rate that the last column of the weights supposes.
    layers : tuple of LayerFlow
        From the first to the last.
    """

    loss: float
    lr: float
    layers: tuple[LayerFlow, ...]

    @property
    def findings(self) -> tuple[tuple[str, str], ...]:
        """What is wrong: pairs of a kind (vanishing, exploding, the same in time, dead, not finite) and a sentence."""
        found: list[tuple[str, str]] = []
        if not all(math.isfinite(layer.gradient) for layer in self.layers):
            first = next(layer for layer in reversed(self.layers) if not math.isfinite(layer.gradient))
            return (("not finite", f"the gradient is not finite from layer {first.layer} on"),)
        if len(self.layers) > 1:
            top, bottom = self.layers[-1], self.layers[0]
            change = _change(top.gradient, bottom.gradient)
            if change:
                found.append((change[0], f"{change[1]} from layer {top.layer} to layer {bottom.layer}"))
        for layer in self.layers:
            for direction, steps in enumerate(layer.by_step):
                begin, end = (1, len(steps)) if direction else (len(steps), 1)
                change = _change(steps[begin - 1], steps[end - 1])
                if change:
                    where = f"layer {layer.layer} from step {begin} to step {end}"
                    found.append((f"{change[0]} in time", f"{change[1]} in {where}"))
            if layer.dead_units and layer is not self.layers[-1]:
                found.append(
                    (
                        "dead",
                        f"{layer.dead_units} of {layer.units} units of layer {layer.layer} give 0 for every sample",
                    )
                )
        return tuple(found)

    @property
    def verdict(self) -> str:
        """What the numbers mean, in words, and what one can do."""
        found = self.findings
        if not found:
            return "healthy: the gradient changes less than 1000-fold from end to end, and no unit is dead"
        lines = [f"{kind}: {sentence}" for kind, sentence in found]
        advice = [_NEXT_STEP[kind] for kind in dict(found) if kind in _NEXT_STEP]
        return "\n".join(lines + [f"try: {'; '.join(advice)}" for _ in advice[:1]])

    def table(self) -> str:
        """All numbers, a line for each layer and one for each of its weights."""
        lines = [f"{'layer':<8} {'type':<6} {'gradient':>9} {'first step':>10} {'last step':>10} {'dead':>9}"]
        for layer in self.layers:
            steps = layer.by_step[0] if layer.by_step else ()
            first, last = (f"{steps[0]:.1e}", f"{steps[-1]:.1e}") if steps else ("", "")
            dead = f"{layer.dead_units} of {layer.units}"
            lines.append(f"{layer.layer:<8} {layer.type:<6} {layer.gradient:>9.1e} {first:>10} {last:>10} {dead:>9}")
            for name, (weight, gradient, ratio) in layer.weights.items():
                lines.append(f"  {name:<20} weight {weight:.1e}  gradient {gradient:.1e}  update/weight {ratio:.1e}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All numbers and the verdict as a plain dict."""
        return {**asdict(self), "verdict": self.verdict}

    def __str__(self) -> str:
        return f"{self.table()}\n{self.verdict}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from .drawing.html_table import html_table

        header = ["layer", "type", "gradient", "first step", "last step", "dead", "update/weight"]
        rows = []
        for layer in self.layers:
            steps = layer.by_step[0] if layer.by_step else ()
            ends = [f"{steps[0]:.1e}", f"{steps[-1]:.1e}"] if steps else ["", ""]
            ratios = ", ".join(f"{ratio:.1e}" for _, _, ratio in layer.weights.values())
            dead = f"{layer.dead_units} of {layer.units}"
            rows.append([layer.layer, layer.type, f"{layer.gradient:.1e}", *ends, dead, ratios])
        return html_table(header, rows, notes=self.verdict.splitlines(), text_columns=2)

    def plot(self) -> Any:
        """Draw the gradient of each layer, and of each step.

        Where a gradient is 0, which has no place on a logarithmic axis, there is no bar and no line.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from .drawing.flow_plot import plot_flow

        return plot_flow(self)


def _change(before: float, after: float) -> tuple[str, str] | None:
    """Whether a gradient vanishes or explodes on its way, and how much."""
    if before == 0 or (after > 0 and 1 / _LARGE < after / before < _LARGE):
        return None
    if after == 0:
        return "vanishing", "nothing of the gradient arrives,"
    power = math.log10(after / before)
    word = "shrinks" if power < 0 else "grows"
    return ("vanishing" if power < 0 else "exploding"), f"the gradient {word} 10^{abs(power):.0f}-fold"


def gradient_flow(
    network: Network,
    X: Any,
    y: Any,
    *,
    loss: str | Loss | CustomLoss | None = None,
    sample_weight: Any = None,
    lengths: Any = None,
    lr: float = 1e-3,
    n_threads: int | None = None,
) -> GradientFlow:
    """How large the gradient of the loss is in each layer and, in recurrent layers, at each step.

    Goes forward and backward once, as `Network.loss_and_gradients` does, without dropout and without an update. The
    numbers are root mean squares, so that layers of different width and batches of different size can be compared.

    Parameters
    ----------
    network : Network
    X, y, sample_weight, lengths
        As in `Network.fit`.
    loss : str, Loss or callable, optional
        By default the loss of the last fit.
    lr : float, default=1e-3
        The learning rate that the ratio of update to weight supposes, as SGD would use it; above 0.
    n_threads : int, optional

    Returns
    -------
    GradientFlow
        With a ``verdict`` in words, ``table()``, ``to_dict()`` and ``plot()``.

    Raises
    ------
    TypeError, ValueError
        As `Network.loss_and_gradients`.

    Examples
    --------
    A simple recurrent network whose weights are small forgets: what happened 40 steps ago has no influence.

    >>> import deltarule as dr, numpy as np
    >>> network = dr.Network([dr.RNN(8, recurrent_init="normal"), dr.Dense(1)], input_shape=(None, 1), seed=0)
    >>> X = np.random.default_rng(0).normal(size=(16, 40, 1))
    >>> flow = dr.gradient_flow(network, X, X[:, 0], loss="mse")
    >>> dict(flow.findings)["vanishing in time"].endswith("in layer 0 from step 40 to step 1")
    True
    """
    rate = require_number("lr", lr, above=0.0)
    chosen = network.loss if loss is None else loss
    if chosen is None:
        raise ValueError("gradient_flow needs a loss: the network was not trained yet; pass loss=, such as loss='mse'")
    threads = network._threads(n_threads)
    inputs = network._inputs(X, lengths)
    prepared = prepare(network, inputs.features, y, chosen, sample_weight, lengths=inputs.lengths)
    network._build_for(inputs.features)
    flat = network._native.allocate()
    weights = output_weights(network, inputs, prepared.weights)
    value, flows = network._native.gradient_flow(
        network._flat, prepared.loss, inputs.for_core(), prepared.targets, weights, flat, *threads
    )
    gradients, parameters = network._read_trained(flat), network.state_dict()
    layers = []
    for number, (layer, (squares, samples, units, dead_units)) in enumerate(zip(network.layers, flows, strict=True)):
        if not squares:
            continue
        name = layer.name or str(number)
        of_layer = [key for key in parameters if key.startswith(f"{name}.") and parameters[key].ndim == 2]
        by_step = tuple(
            tuple(math.sqrt(square / (count * units)) for square, count in zip(steps, samples, strict=True))
            for steps in squares
        )
        total = sum(sum(steps) for steps in squares) / (len(squares) * sum(samples) * units)
        layers.append(
            LayerFlow(
                name,
                layer.type,
                math.sqrt(total) if math.isfinite(total) else math.nan,
                by_step if inputs.are_sequences and (len(squares) > 1 or len(samples) > 1) else (),
                dead_units,
                units,
                {key: _sizes(parameters[key], gradients[key], rate) for key in of_layer},
            )
        )
    return GradientFlow(value, rate, tuple(layers))


def _sizes(weight: Any, gradient: Any, lr: float) -> tuple[float, float, float]:
    of_weight, of_gradient = (float(np.linalg.norm(array.astype(np.float64))) for array in (weight, gradient))
    return of_weight, of_gradient, lr * of_gradient / of_weight if of_weight > 0 else math.inf if of_gradient else 0.0
