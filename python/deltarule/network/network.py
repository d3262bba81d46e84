"""The network as a user trains it. It converts and explains; the core refuses what is not as it expects."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import as_matrix
from . import fitting, preparing, recurrence
from .answers import Answers
from .freezing import change_layers
from .inputs import first_states, gives_sequences
from .structure import Array

if TYPE_CHECKING:
    from ..history import History
    from ..losses import CustomLoss, Loss
    from ..optimizers import Optimizer

__all__ = ["Network"]


class Network(Answers):
    """A network, feed-forward or recurrent, trained by backpropagation in one native loop.

    Parameters
    ----------
    layers : sequence of layers
        At least one, the last one dense; see `Dense`, `Dropout`, `LayerNorm`, `BatchNorm`, `RNN`,
        `LSTM` and `GRU`.
    input_shape : int or tuple, optional
        Number of features; of sequences (n_steps, n_features), or (None, n_features) for any number of steps. None:
        taken from X when the network first sees data.
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
        y: Any = None,
        *,
        loss: str | Loss | CustomLoss,
        optimizer: str | Optimizer | type[Optimizer] = "adam",
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        class_weight: Mapping[Any, float] | str | None = None,
        callbacks: Sequence[Any] = (),
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
        verbose: int = 0,
        lengths: Any = None,
        bptt_steps: int | None = None,
        checkpoint_steps: int | str | None = None,
        metrics: Sequence[str | Callable[[Array, Array], float]] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | str = 1,
        resume: bool = False,
    ) -> History:
        """Train on X and y; the weights go on from where they are, the optimizer starts afresh.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or of sequences (n_samples, n_steps, n_features)
            Converted once, never modified, and not copied when C-contiguous in the network's dtype. Or a
            `deltarule.stream`, for data that does not fit into memory, which brings its own y and weights.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            What the loss takes: numbers, class indices, probabilities, labels. Of a network that gives an output at
            every step (n_samples, n_steps) or (n_samples, n_steps, n_outputs).
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
            The loss on it is in the history as "val_loss". Of sequences also (X, y, lengths).
        validation_split : float, default=0.0
            In its place, this share of X and y, taken from their end before any shuffling; in [0, 1).
        sample_weight : array-like of shape (n_samples,), optional
            At least 0. The loss of a batch is Σwℓ/Σw.
        class_weight : dict or "balanced", optional
            Weight of each label, or n_samples / (n_classes · count); multiplies sample_weight.
        callbacks : sequence of objects
            Such as `EarlyStopping`, `Checkpoint`, `TimeLimit` or `EMA`; or any object with some of
            ``on_fit_begin(network)``, ``on_epoch_end(epoch, logs)`` and ``on_fit_end(network)``. Returning True from
            on_epoch_end stops the fit. With ``state_dict()`` and ``load_state_dict(state)``, of scalars and arrays, it
            is resumed, too.
        clip_norm, clip_value : float, optional
            Bounds the global norm of the gradients, or each of their elements (value first when both are given).
        n_threads : int, optional
            None: decided from the work there is in a step; one in a worker process of joblib or multiprocessing, and
            while another fit runs. The results are the same bits for any number.
        verbose : int, default=0
            1 shows a progress bar.
        lengths : array-like of int of shape (n_samples,), optional
            How many steps of each sample of X there are; what stands behind them changes nothing. In its place X may be
            a list of arrays.
        bptt_steps : int, optional
            Truncated backpropagation through time: sequences are gone through in chunks of so many steps. The state
            flows on from chunk to chunk, the gradient ends there, and each chunk in which there is an output makes an
            update of its own. Not with bidirectional layers.
        checkpoint_steps : int or "auto", optional
            Keep the states of every k-th step only, and compute the others again on the way back: the same
            gradients, bit for bit, from less memory and a third more work. "auto" is the root of the number of steps.
        metrics : sequence of str or callable, optional
            Measured after each epoch as by `evaluate`, with the weights that it has ended with: on X under their names,
            and on the validation data as "val_<name>"; of a stream only those.
        checkpoint : str or path, optional
            A file with all that the fit needs to go on: weights, the optimizer's state, its place in the data, the
            history, what the callbacks remember. It is written beside its place, flushed to the disk and renamed: a
            crash, a kill or a full disk leaves the last good one.
        checkpoint_every : int or str, default=1
            Epochs between two of them; or for instance "500 steps", within epochs, too.
        resume : bool, default=False
            Go on from the checkpoint, where there is one, whatever the network's weights are now; where there is none
            yet, begin with them. The fit ends with the same bits as if it had never been interrupted. Another network,
            other data or settings are refused (a loss of your own is known by its name only). epochs may grow, and so
            may a callback's patience; n_threads, verbose and checkpoint_every may be any.

        Returns
        -------
        History
            "loss", "val_loss", metrics, "lr" and "seconds" of each epoch.

        Raises
        ------
        TypeError, ValueError
            Bad arguments or data; the network is as it was.
        DivergenceError
            A loss or weight was not finite; the network has the weights from the end of the last finite epoch.
        RuntimeError
            The network is being trained already.
        OSError
            The checkpoint could not be written; the last one is as it was.
        KeyboardInterrupt
            Ctrl-C; the network keeps the weights of the last whole step.
        """
        given = fitting.Arguments(
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
            lengths=lengths,
            bptt_steps=bptt_steps,
            checkpoint_steps=checkpoint_steps,
            metrics=metrics,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
        )
        return fitting.fit(self, X, y, given)

    def freeze(self, *layers: int | str) -> None:
        """Leave the tensors of some layers as they are in the trainings to come; the others learn around them.

        Parameters
        ----------
        *layers : int or str
            Numbers or names; none: all of them. `layer.trainable` tells which are frozen, and is saved with the model.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            There is no such layer, or it has nothing that could learn; the network is being trained.

        Notes
        -----
        A frozen layer takes part in the passes, and its penalties in the loss, but it has no update, no weight decay,
        and no part in the norm that clip_norm bounds. `loss_and_gradients` gives its gradients all the same.

        Examples
        --------
        >>> import deltarule as dr
        >>> network = dr.Network([dr.Dense(8, "tanh", name="features"), dr.Dense(1, name="head")], input_shape=2)
        >>> network.freeze("features")
        >>> before = network.parameters["features.weight"]
        >>> history = network.fit(*dr.datasets.xor(), loss="binary_cross_entropy", epochs=10)
        >>> bool((network.parameters["features.weight"] == before).all())
        True
        """
        change_layers(self, layers, trainable=False)

    def unfreeze(self, *layers: int | str) -> None:
        """Let frozen layers learn again; a `Trainer` that lives on counts its steps as before, a new one anew.

        Parameters
        ----------
        *layers : int or str
            As in `freeze`.
        """
        change_layers(self, layers, trainable=True)

    def set_lr_factor(self, factor: float, *layers: int | str) -> None:
        """Multiply the learning rate of some layers, in the trainings to come.

        Parameters
        ----------
        factor : float
            At least 0; 1 is how layers begin.
        *layers : int or str
            As in `freeze`.

        Examples
        --------
        >>> import deltarule as dr
        >>> network = dr.Network([dr.Dense(8, "tanh"), dr.Dense(1)])
        >>> network.set_lr_factor(0.1, 0)
        >>> [layer.lr_factor for layer in network.layers]
        [0.1, 1.0]
        """
        change_layers(self, layers, lr_factor=factor)

    def loss_and_gradients(
        self,
        X: Any,
        y: Any,
        *,
        loss: str | Loss | CustomLoss,
        sample_weight: Any = None,
        n_threads: int | None = None,
        lengths: Any = None,
        initial_state: dict[str, Any] | None = None,
        bptt_steps: int | None = None,
        checkpoint_steps: int | str | None = None,
        training: bool = False,
    ) -> tuple[float, dict[str, Array]]:
        """The loss of X and y taken as one batch, and its gradient for each parameter; nothing is changed.

        Parameters
        ----------
        X, y, loss, sample_weight, n_threads, lengths, checkpoint_steps
            As in `fit`.
        initial_state : dict of str to array-like, optional
            As in `predict`.
        bptt_steps : int, optional
            The sum of the gradients of all chunks, with the same parameters in each.
        training : bool, default=False
            False: of the network as it predicts, without dropout and with the running statistics of `BatchNorm`. True:
            as the first step of its next epoch of training would see X and y, with the masks of `Dropout` that this
            step has, and the mean and variance that X has in `BatchNorm`.

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
        threads, as_training = self._threads(n_threads), self._training(training)
        inputs = self._inputs(X, lengths)
        prepared = preparing.prepare(self, inputs.features, y, loss, sample_weight, lengths=inputs.lengths)
        n_steps = inputs.features.shape[1] if inputs.are_sequences else None
        own_loss = callable(prepared.loss)
        cut = recurrence.cut_of(self, n_steps, bptt_steps, checkpoint_steps, own_loss=own_loss)
        self._build_for(inputs.features)
        recurrence.require_workspace(self, inputs, cut)
        states = first_states(self, initial_state, inputs.n_samples)
        gradients = self._native.allocate()
        value = self._native.loss_and_gradients(
            self._flat,
            prepared.loss,
            inputs.for_core(states),
            prepared.targets,
            preparing.output_weights(self, inputs, prepared.weights),
            gradients,
            *threads,
            cut,
            as_training,
        )
        return value, self._read_trained(gradients)

    def _training(self, training: bool) -> tuple[int, int] | None:
        """What decides the masks of the next step, where they are asked for."""
        if not isinstance(training, (bool, np.bool_)):
            raise TypeError(f"training={training!r}: expected True or False")
        return (self.seed, self.epochs_trained) if training else None

    def forward(self, X: Any, *, lengths: Any = None, training: bool = False) -> Array:
        """The output for X, as `predict`, and keeps what `backward` needs; for callers with a loss of their own.

        Parameters
        ----------
        X, lengths
            As in `fit`.
        training : bool, default=False
            As in `loss_and_gradients`; `backward` follows.

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
        as_training = self._training(training)
        inputs = self._inputs(X, lengths)
        self._build_for(inputs.features)
        recurrence.require_workspace(self, inputs)
        output = np.asarray(self._native.forward(self._flat, inputs.for_core(), as_training))
        self._pass = inputs
        return output.reshape(*inputs.features.shape[:2], -1) if gives_sequences(self, inputs) else output

    def backward(self, grad_output: Any) -> Array:
        """From dL/d(output) of the last `forward`: returns dL/dX, and leaves dL/dparameter in `gradients`.

        Parameters
        ----------
        grad_output : array-like of the shape of the output
            The gradient of the caller's loss; a mean over the batch is the caller's to take. That of steps which do not
            exist is not looked at.

        Raises
        ------
        ValueError
            There was no forward before (of sequences, since the last backward), or the shape is another than its
            output's.
        """
        self._require_built()
        if self._native.gives_sequences:
            grad_output = self._of_steps(np.asarray(grad_output))
        gradient = as_matrix(grad_output, self.dtype, name="grad_output")
        flat = self._native.allocate()
        grad_input = self._native.backward(gradient, flat)
        self._gradients = flat
        return np.asarray(grad_input).reshape(grad_input.shape if self._pass is None else self._pass.features.shape)

    def _of_steps(self, gradient: Array) -> Array:
        """The gradient of the output of all steps as rows, and 0 for steps that do not exist."""
        if self._pass is None:
            return gradient  # the core says that there was no forward
        expected = (*self._pass.features.shape[:2], self._last.units)
        if gradient.shape != expected:
            raise ValueError(
                f"grad_output has shape {gradient.shape}: expected that of the output of forward, {expected}"
            )
        if self._pass.lengths is not None:
            gradient = np.where(self._pass.exists[:, :, None], gradient, 0)
        return gradient.reshape(-1, gradient.shape[2])

    @property
    def gradients(self) -> dict[str, Array]:
        """dL/dparameter of the last `backward`, by the names of `parameters`."""
        if self._gradients is None:
            raise ValueError("there are no gradients yet: call forward(X), then backward(grad_output)")
        return self._read_trained(self._gradients)
