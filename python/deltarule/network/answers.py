"""What a network is asked: predictions, losses and metrics, streams, the memory of a fit, a summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ..layers import RNN, BatchNorm, Dense, Dropout, Layer, LayerNorm, Recurrent
from ..names import require_integer
from ..optimizers import find_optimizer
from . import preparing, recurrence
from .inputs import first_states, read_inputs
from .structure import Array, Structure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..losses import CustomLoss, Loss
    from ..optimizers import Optimizer

__all__ = ["Answers"]


class Answers(Structure):
    """A network without its training; see `Network`."""

    @overload
    def predict(
        self,
        X: Any,
        *,
        n_threads: int | None = None,
        lengths: Any = None,
        initial_state: dict[str, Any] | None = None,
        return_state: Literal[False] = False,
    ) -> Array: ...
    @overload
    def predict(
        self,
        X: Any,
        *,
        n_threads: int | None = None,
        lengths: Any = None,
        initial_state: dict[str, Any] | None = None,
        return_state: Literal[True],
    ) -> tuple[Array, dict[str, Array]]: ...
    def predict(
        self,
        X: Any,
        *,
        n_threads: int | None = None,
        lengths: Any = None,
        initial_state: dict[str, Any] | None = None,
        return_state: bool = False,
    ) -> Array | tuple[Array, dict[str, Array]]:
        """The network's output, after the last layer's activation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or of sequences (n_samples, n_steps, n_features)
        n_threads : int, optional
        lengths : array-like of int of shape (n_samples,), optional
            As in `fit`.
        initial_state : dict of str to array-like of shape (n_samples, units), optional
            What recurrent layers remember before the first step: "<layer>.hidden", of an LSTM also "<layer>.cell", of
            the reverse direction with the ending "_reverse". 0 where nothing is named.
        return_state : bool, default=False
            Also give what they remember after each sample's last step.

        Returns
        -------
        output : ndarray of shape (n_samples, n_outputs), or (n_samples, n_steps, n_outputs)
            Of the network's dtype; at every step where all recurrent layers return sequences, 0 at steps that do not
            exist. Logits, where the last layer is linear and the loss cross-entropy: see `predict_proba`.
        state : dict of str to ndarray of shape (n_samples, units)
            Where return_state asks for it.

        Examples
        --------
        >>> import deltarule as dr, numpy as np
        >>> network = dr.Network([dr.GRU(4), dr.Dense(1)], input_shape=(None, 2))
        >>> X = np.ones((3, 10, 2))
        >>> _, state = network.predict(X[:, :6], return_state=True)
        >>> np.array_equal(network.predict(X[:, 6:], initial_state=state), network.predict(X))
        True
        """
        plain = lengths is None and initial_state is None and not return_state
        if n_threads is None and plain and self._native is not None:
            small = self._native.predict_small(self._flat, X)  # most of a short answer would be the checks below
            if small is not None:
                return np.asarray(small)
        output, state = self._predict(X, "", n_threads, lengths, initial_state)
        return (output, state) if return_state else output

    __call__ = predict

    def _predict(
        self,
        X: Any,
        activation: str,
        n_threads: int | None,
        lengths: Any,
        initial_state: dict[str, Any] | None,
        *,
        any_steps: bool = False,
    ) -> tuple[Array, dict[str, Array]]:
        threads = self._threads(n_threads)
        inputs = read_inputs(self, X, lengths, any_steps=any_steps)
        self._build_for(inputs.features)
        states = first_states(self, initial_state, inputs.n_samples)
        return recurrence.predict(self, inputs, activation, states, threads)

    def predict_proba(self, X: Any, *, n_threads: int | None = None, lengths: Any = None) -> Array:
        """Probabilities: softmax of the output after training with cross_entropy, sigmoid with binary_cross_entropy.

        Parameters
        ----------
        X, n_threads, lengths
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), or (n_samples, n_steps, n_outputs)

        Raises
        ------
        ValueError
            The network was neither trained with one of these losses nor ends in softmax or sigmoid.
        """
        activation = preparing.probability_activation(self)
        return self._predict(X, activation, n_threads, lengths, None)[0]

    def stream(self) -> recurrence.Stream:
        """Follow a stream step by step, with a network of recurrent layers that remembers in between.

        Returns
        -------
        Stream
            To be called with one step at a time, of shape (n_samples, n_features).

        Raises
        ------
        ValueError
            The network has no recurrent layer, or a bidirectional one.

        Examples
        --------
        >>> import deltarule as dr, numpy as np
        >>> network = dr.Network([dr.RNN(4), dr.Dense(1)], input_shape=(None, 2))
        >>> stream = network.stream()
        >>> X = np.ones((1, 5, 2))
        >>> outputs = [stream(X[:, step]) for step in range(5)]
        >>> np.array_equal(outputs[-1], network.predict(X))
        True
        """
        return recurrence.Stream(self)

    def memory(
        self,
        batch_size: int = 32,
        n_steps: int = 1,
        *,
        optimizer: str | Optimizer | type[Optimizer] = "adam",
        bptt_steps: int | None = None,
        checkpoint_steps: int | str | None = None,
        ragged: bool = False,
        clip: bool = False,
    ) -> int:
        """How many bytes a `fit` needs beside its data: parameters, the optimizer's state, and all of one batch.

        Validation takes some more, which does not grow with the number of samples or steps.

        Parameters
        ----------
        batch_size : int, default=32
        n_steps : int, default=1
            Of sequences.
        optimizer, bptt_steps, checkpoint_steps
            As in `fit`.
        ragged : bool, default=False
            Whether there will be `lengths`.
        clip : bool, default=False
            Whether gradients will be clipped, which needs all of them at once.

        Returns
        -------
        int

        Examples
        --------
        >>> import deltarule as dr
        >>> network = dr.Network([dr.LSTM(64), dr.Dense(1)], input_shape=(None, 8))
        >>> whole, kept = network.memory(32, 1000), network.memory(32, 1000, checkpoint_steps="auto")
        >>> round(whole / kept)
        19
        """
        self._require_built()
        batch_size = require_integer("batch_size", batch_size, least=1, most=2**31 - 1)
        n_steps = require_integer("n_steps", n_steps, least=1, most=2**31 - 1)
        cut = recurrence.cut_of(
            self, n_steps if isinstance(self.input_shape, tuple) else None, bptt_steps, checkpoint_steps
        )
        return recurrence.bytes_of_fit(self, batch_size, n_steps, ragged, cut, clip, find_optimizer(optimizer))

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        loss: str | Loss | CustomLoss | None = None,
        metrics: Sequence[str | Callable[[Array, Array], float]] = (),
        sample_weight: Any = None,
        n_threads: int | None = None,
        lengths: Any = None,
    ) -> dict[str, float]:
        """The loss on X and y, and metrics.

        Parameters
        ----------
        X, y, sample_weight, n_threads, lengths
            As in `fit`.
        loss : str, Loss or callable, optional
            By default the loss of the last fit.
        metrics : sequence of str or callable
            - "accuracy": the share of right classes (the largest output), or of right labels where each output is one.
            - "top_5", "top_3", …: the share of samples whose class is among so many largest outputs.
            - "f1": 2·TP / (2·TP + FP + FN), of one output; of several the mean over classes or labels (macro).
            - "auc": the area under the ROC curve, ties counted half; of several the mean of each against the rest,
              without those that none or all of the samples have. NaN where none is left.
            - "mae", "mse", "r2": of numbers; r2 averaged over the outputs.
            - A function ``metric(output, y) -> float``, by its name. It gets the network's output (with
              binary_cross_entropy the probabilities) and the targets as the loss takes them: class indices, or a column
              for each output. One whose first argument is called ``y_true``, as those of `sklearn.metrics`, is given
              (y, output).

            Numbers are those of scikit-learn's defaults; sample weights do not count.

        Returns
        -------
        dict of str to float
            "loss" (penalties included) and each metric by its name.
        """
        from . import evaluating

        return evaluating.evaluate(
            self, X, y, loss=loss, metrics=metrics, sample_weight=sample_weight, n_threads=n_threads, lengths=lengths
        )

    def __repr__(self) -> str:
        layers = ", ".join(_short(layer) for layer in self.layers)
        return f"Network([{layers}], input_shape={self.input_shape}, dtype={self.dtype.name!r}, seed={self.seed})"

    def summary(self) -> None:
        """Print the layers with their shapes and numbers of parameters.

        Examples
        --------
        >>> import deltarule as dr
        >>> dr.Network([dr.Dense(3, "tanh"), dr.Dense(1)], input_shape=2).summary()
        layer  type   activation  output shape  parameters
        0      dense  tanh        (n, 3)                 9
        1      dense  identity    (n, 1)                 4
        13 parameters, float32, from 2 inputs
        """
        self._require_built()
        rows = [("layer", "type", "activation", "output shape", "parameters")]
        shape = self.input_shape
        units, steps = (shape[1], f"{shape[0] or 'steps'}, ") if isinstance(shape, tuple) else (shape, "")
        for number, (layer, count) in enumerate(zip(self.layers, self._sizes_of_layers(), strict=True)):
            if isinstance(layer, Recurrent):
                units, steps = layer.outputs, steps if layer.return_sequences else ""
            elif isinstance(layer, Dense):
                units = layer.units
            rows.append((layer.name or str(number), layer.type, _detail(layer), f"(n, {steps}{units})", str(count)))
        least = (6, 6, 11, 13, 10)
        widths = [max(most, *(len(row[column]) for row in rows)) for column, most in enumerate(least)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
            print(" ".join([*cells, row[-1].rjust(widths[-1])]))
        inputs = f"{shape[1]} inputs at each step" if isinstance(shape, tuple) else f"{shape} inputs"
        print(f"{self.n_parameters} parameters, {self.dtype.name}, from {inputs}")

    def _repr_html_(self) -> str:
        from ..drawing.html_table import network_html

        return network_html(self)

    def plot(self, ax: Any = None, *, max_units: int = 12) -> Axes:
        """Draw the network: units as circles in columns, weights as lines from column to column.

        Lines are blue for weights above 0 and orange below, thicker and darker the larger they are beside the largest
        of their layer; circles are filled by the bias in the same way. Of a cell with gates a line is the root mean
        square of the gates' weights, in grey. Arrows are recurrent connections, boxes layers without units.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        max_units : int, default=12
            Of wider layers only so many units are drawn, from both ends; at least 2.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            The network does not know its number of inputs yet.
        """
        from ..drawing.network_picture import plot_network

        self._require_built()
        return plot_network(self, ax, max_units)


def _short(layer: Layer) -> str:
    if isinstance(layer, Dense):
        return f"Dense({layer.units}, {layer.activation!r})"
    if isinstance(layer, Dropout):
        return f"Dropout({layer.rate})"
    if isinstance(layer, LayerNorm):
        return f"LayerNorm(eps={layer.eps:g})"
    if isinstance(layer, BatchNorm):
        return f"BatchNorm(momentum={layer.momentum:g}, eps={layer.eps:g})"
    parts = [str(layer.units), *([repr(layer.activation)] if isinstance(layer, RNN) else [])]
    parts += [f"{name}=True" for name in ("return_sequences", "bidirectional") if getattr(layer, name)]
    return f"{type(layer).__name__}({', '.join(parts)})"


def _detail(layer: Layer) -> str:
    if isinstance(layer, Dropout):
        return f"rate {layer.rate:g}"
    if isinstance(layer, (LayerNorm, BatchNorm)):
        return f"eps {layer.eps:g}"
    return str(getattr(layer, "activation", ""))
