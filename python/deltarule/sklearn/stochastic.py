"""Training by minibatches: one crossing into the native loop, with scikit-learn's orders, schedules and stops."""

from __future__ import annotations

import math
import os
import warnings
from contextlib import ExitStack
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..network import Network
from ..network.loop import Plateau, Result, Task, run
from ..network.structure import Array
from ..network.watchers import call, check_callbacks
from .checkpoint import Checkpoint
from .early_stopping import BestWeights
from .parameters import loss_for_core
from .protocol import Epochs
from .samples import Samples, Shuffler

__all__ = ["StochasticFit"]


class StochasticFit:
    """One call of fit or partial_fit with a stochastic solver.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Ready to predict; its attributes are brought up to date as the training goes on.
    network : Network
    train : Samples
    score : callable, optional
        The score that early stopping looks at after each epoch.
    validation : Samples, optional
        What val_loss_curve_ is of.
    incremental : bool
        One epoch of partial_fit.
    protocol : Epochs, optional
        Callbacks in the way of scikit-learn.
    """

    def __init__(
        self,
        estimator: Any,
        network: Network,
        train: Samples,
        *,
        score: Any = None,
        validation: Samples | None = None,
        incremental: bool = False,
        protocol: Epochs | None = None,
    ) -> None:
        self.estimator, self.network, self.train = estimator, network, train
        self.score, self.validation, self.incremental = score, validation, incremental
        estimator.n_iter_ = 0
        self.callbacks = check_callbacks(estimator.callbacks or [])
        self.protocol = protocol
        is_shared = not (isinstance(estimator.random_state, Integral) or incremental)
        self.shuffler = Shuffler(estimator._random_state, len(train), is_shared)
        self.resumed = False
        self.noted = 0  # epochs of this run that the estimator tells of
        self.last_score = math.nan
        self.checkpoint: Checkpoint | None = None
        self.best: BestWeights | None = None
        best = np.inf if estimator.best_loss_ is None else estimator.best_loss_
        if score is not None:
            best_score = estimator.__dict__.get("best_validation_score_")
            best_score = -np.inf if best_score is None else best_score
            self.best = BestWeights(network, best_score, is_first=estimator.t_ == 0)
            best = -best_score
        self.memory: Array = np.array([best, estimator._no_improvement_count, estimator._optimizer.rate], np.float64)
        self.seconds_before = 0.0

    def keep_in(self, path: str | os.PathLike[str], random_state: dict[str, Any], resume: bool) -> None:
        """Write checkpoints, and first go on from the one that is there, where that is wanted."""
        self.checkpoint = Checkpoint(path, self, random_state)
        if resume:
            self.resumed = self.checkpoint.restore()

    def run(self) -> None:
        """Train until the rule of early stopping, max_iter, the time or the user says stop."""
        task = self._task()
        with ExitStack() as endings:
            if self.protocol is not None:
                endings.enter_context(self.protocol)
            for callback in self.callbacks:
                call(callback, "on_fit_begin", self.network)
                # Whoever was told of the beginning is told of the end.
                endings.callback(call, callback, "on_fit_end", self.network)
            try:
                result = run(self.network, self._loss()[0], task)
                self._note(*(column[self.noted :] for column in (result.loss, result.val_loss, result.scores)))
            finally:
                self._settle(task)
            if result.raised is not None and not isinstance(result.raised, KeyboardInterrupt):
                raise result.raised
            if self.checkpoint is not None and result.raised is None:  # else it may be the middle of an epoch
                self.checkpoint.write()
            self._tell_of_the_end(result)
            if self.best is not None:
                self.best.restore()

    def _tell_of_the_end(self, result: Result) -> None:
        """Warn where the training was not over, as scikit-learn does."""
        estimator = self.estimator
        if result.raised is not None:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        elif result.end == "out_of_time":
            warnings.warn(
                f"Stochastic Optimizer: time_limit={estimator.time_limit} seconds were over after {estimator.n_iter_} "
                "iterations and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )
        elif result.end == "converged" and estimator.verbose:
            print(self._words_of_stopping() + self._words_of_ending())
        elif result.end == "finished" and not (self.incremental or self._is_over()):
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _loss(self) -> tuple[Any, tuple[Any, ...]]:
        return loss_for_core(self.estimator, self.estimator.n_outputs_, self.network.dtype)

    def _task(self) -> Task:
        estimator, solver = self.estimator, self.estimator._optimizer
        done = estimator.n_iter_
        epochs = 1 if self.incremental else max(estimator.max_iter - done, 0)
        if self._is_over():
            epochs = 0
        adaptive = solver.schedule == "adaptive"
        scaling = None
        if solver.schedule == "invscaling":
            scaling = (solver.optimizer.first_lr, solver.power, float(estimator.t_))
            if done:
                solver.rate = solver.rate_after(estimator.t_)
        order = None
        if estimator.shuffle:
            order = self.shuffler.once() if self.incremental else self.shuffler.for_core()
        _, loss = self._loss()
        validation = None
        if self.validation is not None:
            held_out = self.validation
            validation = (held_out.inputs(), held_out.y, None, loss)
        quiet = not (self.callbacks or self.protocol or estimator.verbose or self.checkpoint)
        return Task(
            loss=loss,
            optimizer=solver.spec(),
            state=solver.state,
            carry=solver.carry,
            inputs=self.train.inputs(),
            targets=self.train.y,
            sample_weight=self.train.weights(),
            epochs=min(epochs, 2**62),
            batch_size=self._batch_size(),
            shuffle=bool(estimator.shuffle),
            clip_norm=0.0 if estimator.clip_norm is None else float(estimator.clip_norm),
            validation=validation,
            threads=self.network._threads(estimator.n_threads),
            order=order,
            inverse_scaling=scaling,
            plateau=Plateau(
                float(estimator.tol),
                float(estimator.n_iter_no_change),
                5.0 if adaptive else 0.0,
                1e-6 if adaptive else 0.0,
                self.memory,
            ),
            seconds=math.inf if estimator.time_limit is None else float(estimator.time_limit) - self.seconds_before,
            stops_at_divergence=False,
            score=None if self.score is None else self._score_epoch,
            after_epoch=None if quiet else self._after_epoch,
        )

    def _is_over(self) -> bool:
        """Whether the checkpoint is of a training that had converged."""
        return self.resumed and float(self.memory[1]) > self.estimator.n_iter_no_change

    def _batch_size(self) -> int:
        asked, n_samples = self.estimator.batch_size, len(self.train)
        if asked == "auto":
            return min(200, n_samples)
        if asked > n_samples:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
            )
        return int(np.clip(asked, 1, n_samples))

    def _score_epoch(self) -> float:
        assert self.best is not None
        self.last_score = float(self.score())
        self.best.see(self.last_score)
        return self.last_score

    def _note(self, losses: list[float], val_losses: list[float], scores: list[float]) -> None:
        """What the estimator tells of the epochs that are over."""
        estimator, count = self.estimator, len(losses)
        self.noted += count
        estimator.n_iter_ += count
        estimator.t_ += count * len(self.train)
        estimator.loss_curve_.extend(map(np.float64, losses))
        if count:
            estimator.loss_ = estimator.loss_curve_[-1]
        if self.validation is not None:
            estimator.val_loss_curve_.extend(val_losses)
        if self.best is not None:
            estimator.validation_scores_.extend(scores)

    def _settle(self, task: Task) -> None:
        """Where the rule and the learning rate stand."""
        estimator = self.estimator
        if task.inverse_scaling is not None and estimator.n_iter_:
            self.memory[2] = estimator._optimizer.rate_after(estimator.t_)
        estimator._optimizer.rate = float(self.memory[2])
        estimator._no_improvement_count = int(self.memory[1])
        if self.best is not None:
            estimator.best_validation_score_ = self.best.score
        else:
            estimator.best_loss_ = np.float64(self.memory[0])
        if estimator.shuffle and not self.incremental:
            self.shuffler.finish()

    def _after_epoch(self, epoch: int, loss: float, validation_loss: float | None, rate: float, seconds: float) -> bool:
        self._note([loss], [] if validation_loss is None else [validation_loss], [self.last_score])
        logs = {"loss": loss, "lr": rate, "seconds": seconds}
        if validation_loss is not None:
            logs["val_loss"] = validation_loss
        if self.best is not None:
            logs["score"] = self.last_score
        if self.estimator.verbose:
            self._tell(logs, rate)
        if self.checkpoint is not None:
            self.checkpoint.write_now_and_then(self.seconds_before + seconds)
        number = self.estimator.n_iter_ - 1
        answers = [call(callback, "on_epoch_end", number, dict(logs)) for callback in self.callbacks]
        stop = any(isinstance(answer, (bool, np.bool_)) and bool(answer) for answer in answers)
        return (self.protocol is not None and self.protocol.epoch_ends()) or stop

    def _tell(self, logs: dict[str, float], rate: float) -> None:
        print(f"Iteration {self.estimator.n_iter_}, loss = {logs['loss']:.8f}")
        if "score" in logs:
            print(f"Validation score: {logs['score']:f}")
        if self.estimator._optimizer.schedule == "adaptive" and self.memory[2] < rate:
            print(f"{self._words_of_stopping()} Setting learning rate to {self.memory[2]:f}")

    def _words_of_stopping(self) -> str:
        what = "Validation score" if self.best is not None else "Training loss"
        tol, patience = self.estimator.tol, self.estimator.n_iter_no_change
        return f"{what} did not improve more than tol={tol:f} for {patience:d} consecutive epochs."

    def _words_of_ending(self) -> str:
        is_adaptive = self.estimator._optimizer.schedule == "adaptive"
        return " Learning rate too small. Stopping." if is_adaptive else " Stopping."
