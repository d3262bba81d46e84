"""What MLPClassifier and MLPRegressor have in common: the fit from data to weights, and the answers.

They are subclasses of scikit-learn's classes of the same names, so that whoever asks `isinstance(model, MLPClassifier)`
gets the answer they hope for, and private methods that tools reach for exist. All that trains or predicts is here.
"""

from __future__ import annotations

import copy
import os
from contextlib import nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ..history import History
from ..layers import Dense, Dropout
from ..network import Network
from ..network.structure import Array, all_finite
from . import conversion
from .checkpoint import random_state_of
from .early_stopping import predictions, scorer_of
from .lbfgs import fit_lbfgs
from .parameters import (
    hidden_sizes,
    is_stochastic,
    layers_of,
    optimizer_of,
    output_activation_for_core,
    scaling_activations,
)
from .protocol import CallbackSupportMixin, epochs_of
from .samples import Samples
from .solver import Solver
from .stochastic import StochasticFit
from .weights import Weights, network_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Perceptron"]


class Perceptron(CallbackSupportMixin):
    """The training and the answers of both estimators."""

    _weights: Weights
    _optimizer: Solver

    # ---- what was learned

    @property
    def coefs_(self) -> list[Any]:
        """The weight matrix of each layer, of shape (inputs, units); alive: predictions use what it holds."""
        return self._learned().coefs

    @coefs_.setter
    def coefs_(self, arrays: list[Any]) -> None:
        self._weights = self.__dict__.get("_weights", Weights()).with_list("weight", arrays)

    @property
    def intercepts_(self) -> list[Any]:
        """The bias of each layer, of shape (units,); alive: predictions use what it holds."""
        return self._learned().intercepts

    @intercepts_.setter
    def intercepts_(self, arrays: list[Any]) -> None:
        self._weights = self.__dict__.get("_weights", Weights()).with_list("bias", arrays)

    def _learned(self) -> Weights:
        weights: Weights | None = self.__dict__.get("_weights")
        if weights is None:
            raise AttributeError(f"{type(self).__name__} has no coefs_ and intercepts_ yet: call fit first")
        return weights

    def _network(self) -> Network:
        """The network with what coefs_ and intercepts_ hold now."""
        weights = self._learned()
        network = weights.network
        if network is None:
            shapes = [np.shape(coef) for coef in weights.coefs]
            if any(len(shape) != 2 for shape in shapes):
                raise ValueError(
                    f"coefs_ has arrays of shapes {shapes}: expected a matrix (inputs, units) for each layer"
                )
            sizes = [shape[1] for shape in shapes]
            network = weights.adopt(layers_of(self, sizes[:-1], sizes[-1]))
        elif self._is_of_other_activation():
            network = self._renewed(network)
        self._activation_of_weights = copy.copy(self.activation)
        return network

    def _is_of_other_activation(self) -> bool:
        """Whether the activation was set anew since the weights were: predictions use it, as in scikit-learn."""
        return bool(self.__dict__.get("_activation_of_weights", self.activation) != self.activation)

    def _renewed(self, network: Network) -> Network:
        """The same weights in a network with the parameters of now."""
        sizes = [layer.units for layer in network.layers if isinstance(layer, Dense)]
        layers = tuple(layers_of(self, sizes[:-1], sizes[-1]))
        if network.layers == layers:
            return network
        arrays = list(network.state_dict().values())
        renewed = network_of(layers, arrays[0::2], arrays[1::2], network.dtype, network.seed)
        renewed.epochs_trained = network.epochs_trained
        self._weights.follow(renewed)
        return renewed

    # ---- training

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        incremental: bool = False,
        validation_data: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Self:
        sizes = hidden_sizes(self)
        if resume and checkpoint is None:
            raise ValueError("resume=True needs a checkpoint to go on from: pass checkpoint=path")
        self._check_combinations(incremental, checkpoint, validation_data)
        first_pass = "_weights" not in self.__dict__ or (not self.warm_start and not incremental)
        given = {"sample_weight": sample_weight} if sample_weight is not None else {}
        protocol = epochs_of(self, X, y, given)
        X, y = self._validate(X, y, incremental, reset=first_pass)
        given_dtype = X.dtype
        if not is_stochastic(self):
            X = X.astype(np.float64, copy=False)  # SciPy's vectors are, and the weights with them
        elif not first_pass:
            X = X.astype(self._network().dtype, copy=False)  # weights keep theirs
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        samples = Samples(X, self._targets(y, X.dtype), sample_weight, self._weights_of_classes(y, X.dtype))
        self.n_outputs_ = self._n_outputs(samples.y)
        validation = self._validation(validation_data, X)

        self._random_state = check_random_state(self.random_state)
        if checkpoint is not None and resume:
            before = random_state_of(checkpoint)
            if before is not None:
                self._random_state.set_state(before)
        first_state = None if checkpoint is None else self._random_state.get_state(legacy=False)

        network = self._start(sizes, X, given_dtype) if first_pass else self._go_on()
        with self._weights.training():
            if is_stochastic(self):
                self._fit_stochastically(
                    network, samples, validation, incremental, protocol, checkpoint, first_state, resume
                )
            else:
                with protocol or nullcontext():
                    fit_lbfgs(self, network, samples, protocol)
        if not all_finite(network._flat):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _check_combinations(self, incremental: bool, checkpoint: Any, validation_data: Any) -> None:
        if not is_stochastic(self):
            asked = {"optimizer": self.optimizer, "clip_norm": self.clip_norm}
            if np.any(np.asarray(self.dropout) != 0):
                asked["dropout"] = self.dropout
            for name, value in asked.items():
                if value is not None:
                    raise ValueError(f"{name}={value!r} needs solver='adam' or 'sgd', not 'lbfgs'")
            if checkpoint is not None:
                raise ValueError("checkpoint needs solver='adam' or 'sgd', not 'lbfgs'")
            if validation_data is not None:
                raise ValueError("validation_data needs solver='adam' or 'sgd', not 'lbfgs'")
        elif self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")

    def _start(self, sizes: list[int], X: Any, given_dtype: Any) -> Network:
        """New weights, and all that is told of a training as it is before the first epoch."""
        self.n_iter_ = self.t_ = 0
        units = [X.shape[1], *sizes, self.n_outputs_]
        self.n_layers_ = len(units)
        self.out_activation_ = self._out_activation()
        layers = layers_of(self, sizes, self.n_outputs_)
        activations = scaling_activations(self, len(sizes))
        coefs, intercepts = [], []
        for number, (inputs, outputs) in enumerate(pairwise(units)):
            # Glorot and Bengio's bound, a third of it for logistic units
            factor = 2.0 if activations[number] == "sigmoid" else 6.0
            bound = np.sqrt(factor / (inputs + outputs))
            coefs.append(self._random_state.uniform(-bound, bound, (inputs, outputs)).astype(given_dtype))
            intercepts.append(self._random_state.uniform(-bound, bound, outputs).astype(given_dtype))
        drops = any(isinstance(layer, Dropout) for layer in layers)
        seed = int(self._random_state.randint(2**31)) if drops else 0
        network = network_of(layers, coefs, intercepts, X.dtype, seed)
        self._weights = Weights(network)
        self._activation_of_weights = copy.copy(self.activation)
        if is_stochastic(self):
            self.loss_curve_: list[float] = []
            self.val_loss_curve_: list[float] | None = None
            self._no_improvement_count = 0
            stops = bool(self.early_stopping)
            self.validation_scores_: list[float] | None = [] if stops else None
            self.best_validation_score_: float | None = -np.inf if stops else None
            self.best_loss_: float | None = None if stops else np.inf
        return network

    def _go_on(self) -> Network:
        """The network with the weights that there are, and the parameters of now."""
        if self._out_activation() != self.out_activation_:
            raise ValueError(
                f"loss={self.loss!r} ends in another activation than the one the weights were trained with, "
                f"{self.out_activation_}: fit with warm_start=False"
            )
        network = self._renewed(self._network())
        if not is_stochastic(self) and network.dtype != np.float64:
            network = self._weights.in_dtype(np.dtype(np.float64))
            self._weights.follow(network)
        return network

    def _fit_stochastically(
        self,
        network: Network,
        samples: Samples,
        validation: Samples | None,
        incremental: bool,
        protocol: Any,
        checkpoint: Any,
        first_state: Any,
        resume: bool,
    ) -> None:
        if not incremental or "_optimizer" not in self.__dict__ or not self._optimizer.suits(network):
            schedule = self.learning_rate if self.solver == "sgd" and self.optimizer is None else "constant"
            self._optimizer = Solver(optimizer_of(self), network, schedule, float(self.power_t))
        if self.early_stopping and self.__dict__.get("validation_scores_") is None:
            self.validation_scores_, self.best_validation_score_ = [], -np.inf
        score = None
        if self.early_stopping:
            held_out = validation
            if held_out is None:
                samples, held_out = self._hold_out(samples)
            score = self._score_of(network, held_out)
        if self.__dict__.get("val_loss_curve_") is None:
            self.val_loss_curve_ = None if validation is None else []
        fit = StochasticFit(
            self, network, samples, score=score, validation=validation, incremental=incremental, protocol=protocol
        )
        if checkpoint is not None:
            fit.keep_in(checkpoint, first_state, resume)
        fit.run()

    def _hold_out(self, samples: Samples) -> tuple[Samples, Samples]:
        """What is trained on, and what early stopping looks at; stratified for two classes, as in scikit-learn."""
        stratify = samples.y > 0.5 if is_classifier(self) and self.n_outputs_ == 1 else None
        both = (samples.sample_weight, samples.of_class)
        parts = train_test_split(
            samples.X,
            samples.y,
            *(weights for weights in both if weights is not None),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        rest = iter(parts[4:])
        pairs = [(None, None) if weights is None else (next(rest), next(rest)) for weights in both]
        train, held_out = ([pair[side] for pair in pairs] for side in (0, 1))
        return Samples(parts[0], parts[2], *train), Samples(parts[1], parts[3], held_out[0])

    def _score_of(self, network: Network, held_out: Samples) -> Any:
        """A function that scores the network as it is when it is called."""
        if self.scoring is None:
            activation = output_activation_for_core(self.out_activation_)
            threads = network._threads(self.n_threads)
            return lambda: self._own_score(predictions(network, held_out.X, activation, threads), held_out)
        return scorer_of(self, self.scoring, held_out, self._labels_of(held_out.y))

    def _validation(self, data: Any, X: Any) -> Samples | None:
        """validation_data, checked as X and y are."""
        if data is None:
            return None
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise ValueError(f"validation_data must be a tuple (X, y). Got {type(data).__name__} instead.")
        held_X, held_y = validate_data(
            self,
            data[0],
            data[1],
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=not is_classifier(self),
            dtype=X.dtype,
            reset=False,
        )
        return Samples(held_X, self._targets(self._checked_like_y(held_y), X.dtype), None)

    def _dtypes(self) -> Any:
        """What X may be, or is to be."""
        return (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)

    # ---- answers

    def _ready(self, X: Any) -> Array | None:
        """The outputs for a few rows that the core can see to be right, without further checks; None for others."""
        weights: Weights | None = self.__dict__.get("_weights")
        if weights is None or "feature_names_in_" in self.__dict__ or self._is_of_other_activation():
            return None
        with weights.lock:
            network = weights.network
            if network is None:
                return None
            activation = output_activation_for_core(self.out_activation_)
            found: Array | None = network._native.predict_small(network._flat, X, activation)
            return found

    def _outputs(self, X: Any) -> Array:
        """The activations of the last layer, of shape (n_samples, n_outputs)."""
        ready = self._ready(X)
        if ready is not None:
            return ready
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        weights = self._learned()
        with weights.lock:  # whoever asks while another thread trains waits for it
            network = self._network()
            of_answer = np.result_type(X.dtype, network.dtype)
            dtype = np.dtype(np.float32 if of_answer == np.float32 else np.float64)
            network = weights.in_dtype(dtype)
            activation = output_activation_for_core(self.out_activation_)
            threads = network._threads(self.n_threads)
            outputs = predictions(network, X.astype(dtype, copy=False), activation, threads)
        return outputs.astype(of_answer, copy=False)

    def plot_loss_curve(self, ax: Any = None) -> Axes:
        """Draw loss_curve_, val_loss_curve_ and validation_scores_ over the epochs, as far as there are any.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default the current axes.

        Returns
        -------
        matplotlib Axes
        """
        check_is_fitted(self)
        if "loss_curve_" not in self.__dict__:
            raise ValueError("solver='lbfgs' keeps no loss_curve_: there is nothing to draw")
        columns = {"loss": self.loss_curve_, "val_loss": self.val_loss_curve_}
        axes = History({name: values for name, values in columns.items() if values is not None}).plot(ax)
        if self.validation_scores_:
            scores = self.validation_scores_
            axes.plot(range(1, len(scores) + 1), scores, label="validation score")
            axes.legend()
        return axes

    def to_sklearn(self) -> Any:
        """A fitted estimator of scikit-learn's own class with the same weights and, where it has them, parameters.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor

        Raises
        ------
        ValueError
            An activation or a loss that scikit-learn does not have.
        """
        return conversion.to_sklearn(self)

    @classmethod
    def from_sklearn(cls, model: Any, **parameters: Any) -> Self:
        """An estimator of this class with the weights and parameters of a fitted one of scikit-learn's.

        Parameters
        ----------
        model : sklearn.neural_network.MLPClassifier or MLPRegressor
            Fitted.
        **parameters
            Of this class, in addition to those of the model or in their place.
        """
        result: Self = conversion.from_sklearn(cls, model, parameters)
        return result
