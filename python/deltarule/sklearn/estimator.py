"""What MLPClassifier and MLPRegressor have in common: the fit from data to weights, and the answers.

They are subclasses of scikit-learn's classes of the same names, so that whoever asks `isinstance(model, MLPClassifier)`
gets the answer they hope for, and private methods that tools reach for exist. All that trains or predicts is here.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ..layers import Dense, Dropout
from ..network import Network
from ..network.structure import Array, all_finite
from . import conversion
from .checkpoint import random_state_of
from .early_stopping import predictions
from .lbfgs import fit_lbfgs
from .parameters import (
    hidden_activations,
    hidden_sizes,
    is_stochastic,
    layers_of,
    optimizer_of,
    output_activation_for_core,
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

    # ---- what was learned

    @property
    def coefs_(self) -> list[Any]:
        """The weight matrix of each layer, of shape (inputs, units); alive: predictions use what it holds."""
        return self._learned().coefs

    @coefs_.setter
    def coefs_(self, arrays: list[Any]) -> None:
        self._set_weights().coefs = arrays

    @property
    def intercepts_(self) -> list[Any]:
        """The bias of each layer, of shape (units,); alive: predictions use what it holds."""
        return self._learned().intercepts

    @intercepts_.setter
    def intercepts_(self, arrays: list[Any]) -> None:
        self._set_weights().intercepts = arrays

    def _learned(self) -> Weights:
        weights: Weights | None = self.__dict__.get("_weights")
        if weights is None:
            raise AttributeError(f"{type(self).__name__} has no coefs_ and intercepts_ yet: call fit first")
        return weights

    def _set_weights(self) -> Weights:
        weights: Weights = self.__dict__.setdefault("_weights", Weights())
        return weights

    def _network(self) -> Network:
        """The network with what coefs_ and intercepts_ hold now."""
        weights = self._learned()
        network = weights.network
        if network is None:
            sizes = [np.shape(coef)[1] for coef in weights.coefs]
            network = weights.adopt(layers_of(self, sizes[:-1], sizes[-1]))
        return network

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
        self._check_combinations(incremental, checkpoint)
        first_pass = "_weights" not in self.__dict__ or (not self.warm_start and not incremental)
        given = {"sample_weight": sample_weight} if sample_weight is not None else {}
        protocol = epochs_of(self, X, y, given)
        X, y = self._validate(X, y, incremental, reset=first_pass)
        if not is_stochastic(self):
            X = X.astype(np.float64, copy=False)  # SciPy's vectors are, and the weights with them
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        samples = Samples(X, self._targets(y, X.dtype), self._weights_of(y, sample_weight, X.dtype))
        self.n_outputs_ = self._n_outputs(samples.y)
        validation = self._validation(validation_data, X)

        self._random_state = check_random_state(self.random_state)
        if checkpoint is not None and resume:
            before = random_state_of(checkpoint)
            if before is not None:
                self._random_state.set_state(before)
        first_state = None if checkpoint is None else self._random_state.get_state(legacy=False)

        network = self._start(sizes, X) if first_pass else self._go_on(X.dtype)
        if is_stochastic(self):
            self._fit_stochastically(
                network, samples, validation, incremental, protocol, checkpoint, first_state, resume
            )
        else:
            with protocol or nullcontext():
                fit_lbfgs(self, network, samples, protocol)
        self._weights.moved()
        if not all_finite(network._flat):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _check_combinations(self, incremental: bool, checkpoint: Any) -> None:
        if not is_stochastic(self):
            asked = {"optimizer": self.optimizer, "clip_norm": self.clip_norm}
            if np.any(np.asarray(self.dropout) != 0):
                asked["dropout"] = self.dropout
            for name, value in asked.items():
                if value is not None:
                    raise ValueError(f"{name}={value!r} needs solver='adam' or 'sgd', not 'lbfgs'")
            if checkpoint is not None:
                raise ValueError("checkpoint needs solver='adam' or 'sgd', not 'lbfgs'")
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")

    def _start(self, sizes: list[int], X: Any) -> Network:
        """New weights, and all that is told of a training as it is before the first epoch."""
        self.n_iter_ = self.t_ = 0
        units = [X.shape[1], *sizes, self.n_outputs_]
        self.n_layers_ = len(units)
        self.out_activation_ = self._out_activation()
        layers = layers_of(self, sizes, self.n_outputs_)
        activations = hidden_activations(self, max(len(sizes), 1))
        coefs, intercepts = [], []
        for number, (inputs, outputs) in enumerate(pairwise(units)):
            # Glorot and Bengio's bound; the last layer takes the factor of the one before, as scikit-learn has it.
            factor = 2.0 if activations[min(number, len(activations) - 1)] == "sigmoid" else 6.0
            bound = np.sqrt(factor / (inputs + outputs))
            coefs.append(self._random_state.uniform(-bound, bound, (inputs, outputs)))
            intercepts.append(self._random_state.uniform(-bound, bound, outputs))
        drops = any(isinstance(layer, Dropout) for layer in layers)
        seed = int(self._random_state.randint(2**31)) if drops else 0
        # lbfgs works in double precision whatever the data: SciPy's vectors are.
        dtype = X.dtype if is_stochastic(self) else np.float64
        network = network_of(layers, coefs, intercepts, dtype, seed)
        self._weights = Weights(network)
        if is_stochastic(self):
            self.loss_curve_: list[float] = []
            self.val_loss_curve_: list[float] | None = None
            self._no_improvement_count = 0
            stops = bool(self.early_stopping)
            self.validation_scores_: list[float] | None = [] if stops else None
            self.best_validation_score_: float | None = -np.inf if stops else None
            self.best_loss_: float | None = None if stops else np.inf
        return network

    def _go_on(self, dtype: Any) -> Network:
        """The network with the weights that there are, and the parameters of now."""
        network = self._network()
        sizes = [layer.units for layer in network.layers if isinstance(layer, Dense)]
        layers = tuple(layers_of(self, sizes[:-1], sizes[-1]))
        dtype = dtype if is_stochastic(self) else np.dtype(np.float64)
        if network.layers != layers or network.dtype != dtype:
            arrays = [np.array(array) for array in network.state_dict().values()]
            seed, epochs = network.seed, network.epochs_trained
            network = network_of(layers, arrays[0::2], arrays[1::2], dtype, seed)
            network.epochs_trained = epochs
            self._weights.follow(network)
            self.__dict__.pop("_optimizer", None)
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
        optimizer = optimizer_of(self)
        if not incremental or "_optimizer" not in self.__dict__:
            self._optimizer = Solver(optimizer, network)
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
        weights = [] if samples.sample_weight is None else [samples.sample_weight]
        parts = train_test_split(
            samples.X,
            samples.y,
            *weights,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        of_parts = parts[4:6] if weights else [None, None]
        return Samples(parts[0], parts[2], of_parts[0]), Samples(parts[1], parts[3], of_parts[1])

    def _score_of(self, network: Network, held_out: Samples) -> Any:
        """A function that scores the network as it is when it is called."""
        if self.scoring is None:
            activation = output_activation_for_core(self.out_activation_)
            threads = network._threads(self.n_threads)
            return lambda: self._own_score(predictions(network, held_out.X, activation, threads), held_out)
        scorer = check_scoring(self, scoring=self.scoring)
        labels = self._labels_of(held_out.y)
        weights = {} if held_out.sample_weight is None else {"sample_weight": held_out.sample_weight}

        def score() -> float:
            self._weights.moved()
            return float(scorer(self, held_out.X, labels, **weights))

        return score

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
        return Samples(held_X, self._targets(held_y, X.dtype), None)

    def _dtypes(self) -> Any:
        """What X may be, or is to be."""
        return (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)

    # ---- answers

    def _ready(self, X: Any) -> Array | None:
        """The outputs for a few rows that the core can see to be right, without further checks; None for others."""
        weights: Weights | None = self.__dict__.get("_weights")
        if weights is None or "feature_names_in_" in self.__dict__:
            return None
        network = weights.network
        if network is None or network._native is None:
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
        network = self._network()
        of_answer = np.result_type(X.dtype, network.dtype)
        dtype = np.dtype(np.float32 if of_answer == np.float32 else np.float64)
        network = self._weights.in_dtype(dtype)
        activation = output_activation_for_core(self.out_activation_)
        threads = network._threads(self.n_threads)
        return predictions(network, X.astype(dtype, copy=False), activation, threads).astype(of_answer, copy=False)

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
        check_is_fitted(self, "loss_curve_")
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plot_loss_curve needs matplotlib: pip install 'deltarule[plot]'") from error
        axes: Axes = plt.gca() if ax is None else ax
        for values, label in (
            (self.loss_curve_, "training loss"),
            (self.val_loss_curve_, "validation loss"),
            (self.validation_scores_, "validation score"),
        ):
            if values:
                axes.plot(range(1, len(values) + 1), values, label=label)
        axes.set_xlabel("epoch")
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
