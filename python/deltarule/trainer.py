"""A step at a time, for callers who write the loop themselves: reinforcement learning, curricula, research."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .data import range_of
from .errors import DivergenceError
from .losses import Loss, find_loss
from .names import require_number
from .network import Network
from .network.freezing import require_something_to_train
from .network.inputs import has_recurrent
from .network.preparing import check_output, optimizer_for_core, output_weights, prepare
from .network.recurrence import cut_of, require_workspace
from .optimizers import OPTIMIZERS, find_optimizer

if TYPE_CHECKING:
    from .losses import CustomLoss
    from .optimizers import Optimizer

__all__ = ["Trainer"]


class _LossOfBatch(threading.local):
    """A loss of the user's, with the y of the step under way. The core holds it, so it must not hold the trainer."""

    function: Any = None

    def __call__(self, output: Any, samples: Any) -> Any:
        return self.function(output, samples)


class Trainer:
    """Updates a network batch by batch; the optimizer's state lives as long as the trainer.

    Parameters
    ----------
    network : Network
    loss : str, Loss or callable
        As in `Network.fit`.
    optimizer : str or Optimizer, default="adam"
        A schedule of its learning rate goes on with each step, or with each call of `end_epoch`.
    clip_norm, clip_value : float, optional
    n_threads : int, optional
    bptt_steps, checkpoint_steps : int, optional
        As in `Network.fit`: of sequences.

    Examples
    --------
    >>> import deltarule as dr
    >>> X, y = dr.datasets.xor("float64")
    >>> network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(1, "sigmoid")], dtype="float64", seed=0)
    >>> trainer = dr.Trainer(network, loss="binary_cross_entropy", optimizer=dr.Adam(lr=0.1))
    >>> losses = [trainer.step(X, y) for _ in range(200)]
    >>> losses[-1] < 0.02
    True
    """

    def __init__(
        self,
        network: Network,
        loss: str | Loss | CustomLoss,
        optimizer: str | Optimizer | type[Optimizer] = "adam",
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
        bptt_steps: int | None = None,
        checkpoint_steps: int | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network={network!r}: expected a deltarule.Network")
        self.network = network
        self.loss = find_loss(loss)
        self.optimizer = find_optimizer(optimizer)
        if self.optimizer.name not in OPTIMIZERS:
            raise ValueError(f"optimizer={self.optimizer!r} has no steps of batches: train with Network.fit")
        schedule = self.optimizer.schedule
        self._lr = self.optimizer.first_lr  # of the last step
        self._schedule = None if schedule is None else schedule.begin()
        self._epoch = 0
        self._threads = network._threads(n_threads)
        self._clipping = (
            0.0 if clip_norm is None else require_number("clip_norm", clip_norm, above=0.0),
            0.0 if clip_value is None else require_number("clip_value", clip_value, above=0.0),
        )
        self._cut = (0, False)
        if bptt_steps is not None or checkpoint_steps is not None:
            if isinstance(checkpoint_steps, str):
                raise TypeError(f"checkpoint_steps={checkpoint_steps!r}: a Trainer needs a number: batches may differ")
            reads = isinstance(network.input_shape, tuple) or has_recurrent(network)
            own_loss = not isinstance(self.loss, Loss)
            self._cut = cut_of(network, 1 if reads else None, bptt_steps, checkpoint_steps, own_loss=own_loss)
        self._native: Any = None
        self._of_batch = _LossOfBatch()

    @property
    def steps(self) -> int:
        """How many calls have updated the network; with bptt_steps a call may hold several updates."""
        return 0 if self._native is None else int(self._native.steps)

    @property
    def lr(self) -> float:
        """The learning rate of the next step; after the end of a schedule that of the last one.

        A number that is set here takes the place of the schedule, for good.
        """
        schedule = copy.deepcopy(self._schedule)  # which may take notice of having been asked
        try:
            return self._lr if schedule is None else float(schedule.rates(self._epoch, self.steps, 1)[0])
        except ValueError:  # which the next step raises
            return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        rate = require_number("lr", lr, least=0.0)
        self._schedule = None
        self._lr = rate
        if self._native is not None:
            self._native.set_learning_rate(rate)

    def end_epoch(self, logs: Mapping[str, float] | None = None) -> None:
        """Say that an epoch is over: schedules that change from epoch to epoch go on.

        Parameters
        ----------
        logs : mapping of str to float, optional
            What the epoch came to, such as ``{"loss": 0.3, "val_loss": 0.4}``, for `ReduceLROnPlateau`.

        Raises
        ------
        ValueError
            logs lacks what the schedule monitors.

        Examples
        --------
        >>> import deltarule as dr
        >>> network = dr.Network([dr.Dense(1)], input_shape=1)
        >>> trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=dr.StepLR(0.1, step_size=1, gamma=0.5)))
        >>> for epoch in range(3):
        ...     print(f"epoch {epoch}: lr={trainer.lr}")
        ...     loss = trainer.step([[1.0], [2.0]], [3.0, 5.0])
        ...     trainer.end_epoch({"loss": loss})
        epoch 0: lr=0.1
        epoch 1: lr=0.05
        epoch 2: lr=0.025
        """
        if logs is not None and not isinstance(logs, Mapping):
            raise TypeError(f"logs is {type(logs).__name__}: expected a dict such as {{'loss': 0.3}}")
        if self._schedule is not None:
            self._schedule.see(logs or {})
        self._epoch += 1

    def _next_lr(self) -> float:
        return self._lr if self._schedule is None else float(self._schedule.rates(self._epoch, self.steps, 1)[0])

    def _follow_schedule(self) -> None:
        """Gives the optimizer the learning rate of the step that begins."""
        if self._schedule is None:
            return
        self._lr = self._next_lr()
        self._native.set_learning_rate(self._lr)

    def _start(self) -> None:
        if self._native is not None:
            return
        loss: Any = self._of_batch
        target_range = None
        if isinstance(self.loss, Loss):
            check_output(self.network, self.loss)
            loss, target_range = (self.loss.name, self.loss.parameter), range_of(self.loss.targets)
        name, numbers = optimizer_for_core(self.optimizer)
        spec = name, [self._next_lr(), *numbers[1:]]
        state, carry, _ = self.network._native.start_optimizer(spec)
        self._native = self.network._stepper(loss, spec, state, carry, self._clipping, target_range, self._cut)

    def step(self, X: Any, y: Any, *, sample_weight: Any = None, lengths: Any = None) -> float:
        """One update from one batch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like
            As in `Network.fit`.
        sample_weight : array-like of shape (n_samples,), optional
        lengths : array-like of int of shape (n_samples,), optional
            Of sequences.

        Returns
        -------
        float
            The loss of the batch before the update, penalties included.

        Raises
        ------
        DivergenceError
            The loss, or a weight after the update, is not finite; nothing was changed.
        ValueError
            Bad data, or a schedule that is over; nothing was changed.
        """
        network = self.network
        if sample_weight is None and lengths is None and self._native is not None:
            if self._schedule is not None:
                self._follow_schedule()
            small = self._native.step_small(X, y)  # most of a short step would be the checks below
            if small is not None:
                network.loss = self.loss
                return float(small)
        inputs = network._inputs(X, lengths)
        prepared = prepare(network, inputs.features, y, self.loss, sample_weight, lengths=inputs.lengths)
        network._build_for(inputs.features)
        require_workspace(network, inputs, self._cut)
        self._start()
        self._follow_schedule()
        self._of_batch.function = prepared.loss
        try:
            weights = output_weights(network, inputs, prepared.weights)
            outcome, value, layer = self._native.step(inputs.for_core(), prepared.targets, weights, *self._threads)
        finally:
            self._of_batch.function = None
        network.loss = prepared.found
        if outcome == "diverged":
            what = "a weight would not be finite" if math.isfinite(value) else f"the loss is {value}"
            raise self._divergence(what, layer)
        return float(value)

    def _divergence(self, what: str, layer: int) -> DivergenceError:
        place = f", first in layer {layer} ({self.network.layers[layer]!r})" if layer >= 0 else ""
        return DivergenceError(
            f"step {self.steps + 1} diverged: {what}{place}. The network is as it was before the step; try a smaller "
            f"learning rate (lr={self._lr:g} now) or clip_norm=1.0",
            epoch=0,
            step=self.steps,
            layer=layer,
        )

    def apply(self, gradients: Mapping[str, Any]) -> None:
        """One update from gradients of the caller's own, such as those of `Network.backward`.

        Parameters
        ----------
        gradients : mapping of str to array-like
            By the names and shapes of `Network.parameters`.

        Raises
        ------
        TypeError, ValueError
            Names or shapes are not those of the parameters, or numbers are not finite; nothing was changed.
        DivergenceError
            A weight would not be finite after the update; nothing was changed.

        Examples
        --------
        >>> import deltarule as dr
        >>> network = dr.Network([dr.Dense(1, init="zeros")], input_shape=1, dtype="float64")
        >>> trainer = dr.Trainer(network, loss="mse", optimizer=dr.SGD(lr=0.5))
        >>> trainer.apply({"0.weight": [[1.0]], "0.bias": [2.0]})
        >>> network.parameters["0.bias"]
        array([-1.])
        """
        network = self.network
        network._require_built()
        require_something_to_train(network)
        flat = network._flat_from(gradients, "gradients", trained=True)
        self._start()
        self._follow_schedule()
        if not self._native.apply(flat):
            raise self._divergence("a weight would not be finite", -1)
