"""The network: what a user trains and asks. It converts and explains; the core refuses what is not as it expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import as_matrix
from ..layers import Dense, Dropout, Layer
from . import fitting, preparing
from .structure import Array, Structure

if TYPE_CHECKING:
    from ..history import History
    from ..losses import CustomLoss, Loss
    from ..optimizers import Optimizer

__all__ = ["Network"]


class Network(Structure):
    """A feed-forward network, trained by backpropagation in one native loop.

    Parameters
    ----------
    layers : sequence of layers
        At least one, the last one dense; see `Dense`, `Dropout` and `LayerNorm`.
    input_shape : int or tuple of one int, optional
        Number of features. None: taken from X when the network first sees data.
    dtype : {"float32", "float64"}, default="float32"
        Of weights and arithmetic.
    seed : int, default=0
        Decides the initial weights, every shuffle and what drops out, on every machine alike; 0 <= seed < 2**64.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value, an unknown activation or initializer, a network too large to address.

    Examples
    --------
    >>> import deltarule as dr
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(1)], seed=0)
    >>> history = network.fit(X, y, loss="binary_cross_entropy", optimizer=dr.Adam(lr=0.1), epochs=300, batch_size=4)
    >>> (network.predict_proba(X) > 0.5).astype(int).ravel()
    array([0, 1, 1, 0])
    """

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        loss: str | Loss | CustomLoss,
        optimizer: str | Optimizer | type[Optimizer] = "adam",
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        validation_data: tuple[Any, Any] | None = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        class_weight: Mapping[Any, float] | str | None = None,
        callbacks: Sequence[Any] = (),
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> History:
        """Train on X and y; the weights go on from where they are, the optimizer starts afresh.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Converted once, never modified, and not copied when C-contiguous in the network's dtype.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            What the loss takes: numbers, class indices, probabilities, labels.
        loss : str, Loss or callable
            mse, mae, huber, log_cosh, poisson, quantile, cross_entropy, binary_cross_entropy, hinge, squared_hinge; an
            object such as ``Huber(delta=2.0)``; or a function ``loss(output, y) -> (value, gradient_of_output)`` on
            NumPy arrays, called once for each batch.
        optimizer : str or Optimizer, default="adam"
            A name, or an object such as ``SGD(lr=0.1, momentum=0.9)``.
        epochs : int, default=1
            Passes over the data.
        batch_size : int, default=32
            Samples in a step; the last batch of an epoch may be smaller.
        shuffle : bool, default=True
            A new order for each epoch, from the network's seed.
        validation_data : tuple of (X, y), optional
            The loss on it is in the history as "val_loss".
        validation_split : float, default=0.0
            In its place, this share of X and y, taken from their end before any shuffling; in [0, 1).
        sample_weight : array-like of shape (n_samples,), optional
            At least 0. The loss of a batch is Σwℓ/Σw.
        class_weight : dict or "balanced", optional
            Weight of each label, or n_samples / (n_classes · count); multiplies sample_weight.
        callbacks : sequence of objects
            Each with some of ``on_fit_begin(network)``, ``on_epoch_end(epoch, logs)`` and ``on_fit_end(network)``.
            Returning True from on_epoch_end stops the fit.
        clip_norm, clip_value : float, optional
            Bounds the global norm of the gradients, or each of their elements (value first when both are given).
        n_threads : int, optional
            None: decided from the work there is in a step; one in a worker process of joblib or multiprocessing, and
            while another fit runs. The results are the same bits for any number.
        verbose : int, default=0
            1 shows a progress bar.

        Returns
        -------
        History
            "loss", "val_loss", "lr" and "seconds" of each epoch.

        Raises
        ------
        TypeError, ValueError
            Bad arguments or data; the network is as it was.
        DivergenceError
            A loss or weight was not finite; the network has the weights from the end of the last finite epoch.
        RuntimeError
            The network is being trained already.
        KeyboardInterrupt
            Ctrl-C; the network keeps the weights of the last whole step.
        """
        return fitting.fit(
            self,
            X,
            y,
            loss=loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation_data=validation_data,
            validation_split=validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            callbacks=callbacks,
            clip_norm=clip_norm,
            clip_value=clip_value,
            n_threads=n_threads,
            verbose=verbose,
        )

    def loss_and_gradients(
        self, X: Any, y: Any, *, loss: str | Loss | CustomLoss, sample_weight: Any = None, n_threads: int | None = None
    ) -> tuple[float, dict[str, Array]]:
        """The loss of X and y taken as one batch, and its gradient for each parameter; without dropout.

        Parameters
        ----------
        X, y, loss, sample_weight, n_threads
            As in `fit`.

        Returns
        -------
        value : float
            The (weighted) mean loss, penalties included.
        gradients : dict of str to ndarray
            By the names of `parameters`; of the mean, not the sum, over the batch. NaN where the loss is not finite.

        Examples
        --------
        >>> import deltarule as dr
        >>> network = dr.Network([dr.Dense(1, init="zeros")], input_shape=1, dtype="float64")
        >>> network.loss_and_gradients([[1.0], [2.0]], [3.0, 6.0], loss="mse")
        (22.5, {'0.weight': array([[-15.]]), '0.bias': array([-9.])})
        """
        threads = self._threads(n_threads)
        features = self._features(X)
        prepared = preparing.prepare(self, features, y, loss, sample_weight)
        self._build_for(features)
        gradients = self._native.allocate()
        value = self._native.loss_and_gradients(
            self._flat,
            prepared.loss,
            features,
            prepared.targets,
            prepared.weights,
            gradients,
            *threads,
        )
        return value, self._read(gradients)

    def forward(self, X: Any) -> Array:
        """The output for X, as `predict`, and keeps what `backward` needs; for callers with a loss of their own.

        Without dropout, as all but the steps of a training.

        Examples
        --------
        >>> import deltarule as dr, numpy as np
        >>> network = dr.Network([dr.Dense(2)], input_shape=3)
        >>> output = network.forward(np.ones((5, 3)))
        >>> network.backward(2 * output / output.size).shape  # of the mean of output**2
        (5, 3)
        >>> sorted(network.gradients)
        ['0.bias', '0.weight']
        """
        features = self._features(X)
        self._build_for(features)
        return np.asarray(self._native.forward(self._flat, features))

    def backward(self, grad_output: Any) -> Array:
        """From dL/d(output) of the last `forward`: returns dL/dX, and leaves dL/dparameter in `gradients`.

        Parameters
        ----------
        grad_output : array-like of shape (n_samples, n_outputs)
            The gradient of the caller's loss; a mean over the batch is the caller's to take.

        Raises
        ------
        ValueError
            There was no forward before, or the shape is another than its output's.
        """
        self._require_built()
        gradient = as_matrix(grad_output, self.dtype, name="grad_output")
        flat = self._native.allocate()
        grad_input = self._native.backward(gradient, flat)
        self._gradients = flat
        return np.asarray(grad_input)

    @property
    def gradients(self) -> dict[str, Array]:
        """dL/dparameter of the last `backward`, by the names of `parameters`."""
        if self._gradients is None:
            raise ValueError("there are no gradients yet: call forward(X), then backward(grad_output)")
        return self._read(self._gradients)

    def predict(self, X: Any, *, n_threads: int | None = None) -> Array:
        """The network's output, after the last layer's activation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_threads : int, optional

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Of the network's dtype. Logits, where the last layer is linear and the loss cross-entropy: see
            `predict_proba`.
        """
        if n_threads is None and self._native is not None:
            small = self._native.predict_small(self._flat, X)  # most of a short answer would be the checks below
            if small is not None:
                return np.asarray(small)
        threads = self._threads(n_threads)
        features = self._features(X)
        self._build_for(features)
        return np.asarray(self._native.predict(self._flat, features, "", *threads))

    __call__ = predict

    def predict_proba(self, X: Any, *, n_threads: int | None = None) -> Array:
        """Probabilities: softmax of the output after training with cross_entropy, sigmoid with binary_cross_entropy.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_threads : int, optional

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)

        Raises
        ------
        ValueError
            The network was neither trained with one of these losses nor ends in softmax or sigmoid.
        """
        activation = preparing.probability_activation(self)
        threads = self._threads(n_threads)
        features = self._features(X)
        self._build_for(features)
        return np.asarray(self._native.predict(self._flat, features, activation, *threads))

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        loss: str | Loss | CustomLoss | None = None,
        metrics: Sequence[str | Callable[[Array, Array], float]] = (),
        sample_weight: Any = None,
        n_threads: int | None = None,
    ) -> dict[str, float]:
        """The loss on X and y, and metrics.

        Parameters
        ----------
        X, y, sample_weight, n_threads
            As in `fit`.
        loss : str, Loss or callable, optional
            By default the loss of the last fit.
        metrics : sequence of str or callable
            "accuracy", "mae", "mse", "r2", or functions ``metric(output, y) -> float``.

        Returns
        -------
        dict of str to float
            "loss" (penalties included) and each metric by its name.
        """
        return fitting.evaluate(
            self, X, y, loss=loss, metrics=metrics, sample_weight=sample_weight, n_threads=n_threads
        )

    def __repr__(self) -> str:
        def brief(layer: Layer) -> str:
            if isinstance(layer, Dense):
                return f"Dense({layer.units}, {layer.activation!r})"
            return f"Dropout({layer.rate})" if isinstance(layer, Dropout) else f"LayerNorm(eps={layer.eps:g})"

        layers = ", ".join(map(brief, self.layers))
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
        kinds = max(6, *(len(layer.type) for layer in self.layers))
        print(f"{'layer':<6} {'type':<{kinds}} {'activation':<11} {'output shape':<13} parameters")
        units = self.input_shape
        for number, layer in enumerate(self.layers):
            count = sum(int(np.prod(shape)) for _, shape, of in self._native.tensors if of == number)
            if isinstance(layer, Dense):
                units, detail = layer.units, layer.activation
            else:
                detail = f"rate {layer.rate:g}" if isinstance(layer, Dropout) else f"eps {layer.eps:g}"
            print(f"{layer.name or number!s:<6} {layer.type:<{kinds}} {detail:<11} {f'(n, {units})':<13} {count:>10}")
        print(f"{self.n_parameters} parameters, {self.dtype.name}, from {self.input_shape} inputs")
