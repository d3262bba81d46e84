"""The classifier: labels to targets and probabilities to labels."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.neural_network import MLPClassifier as _MLPClassifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from ..network.structure import Array
from .early_stopping import accuracy
from .estimator import Perceptron
from .labels import binarizer_of, checked_like, targets_of, weights_of_classes
from .parameters import CONSTRAINTS
from .samples import Samples

__all__ = ["MLPClassifier"]


class MLPClassifier(Perceptron, _MLPClassifier):
    """scikit-learn's multi-layer perceptron classifier, trained by the core.

    Minimizes the log-loss of softmax outputs, or of one logistic output for two classes and one for each label.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str or list of str, default="relu"
        identity, logistic, tanh, relu as in scikit-learn, or any other elementwise activation of the core: elu, gelu,
        silu, softplus, …; a list has one for each hidden layer.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        lbfgs is SciPy's L-BFGS-B over the core's loss and gradient of all samples, in float64.
    alpha : float, default=0.0001
        The loss of a batch of weight W has alpha/(2W) Σ coef² added; at least 0.
    batch_size : int or "auto", default="auto"
        "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        For sgd. invscaling: learning_rate_init / (t_ + 1)^power_t after each epoch, t_ counting samples. adaptive:
        divided by 5 whenever training would stop, until 1e-6.
    learning_rate_init : float, default=0.001
        Above 0.
    power_t : float, default=0.5
    max_iter : int, default=200
        Epochs at most; iterations of lbfgs.
    shuffle : bool, default=True
        Each epoch shuffles the order of the one before, with random_state.
    random_state : int, RandomState or None, default=None
        The same numbers as scikit-learn draws from it, in the same order.
    tol : float, default=1e-4
        Training stops when n_iter_no_change + 1 epochs in a row were not better by tol; for lbfgs the gradient's bound.
    verbose : bool, default=False
        Prints a line for each iteration.
    warm_start : bool, default=False
        fit goes on from the weights of the last one.
    momentum : float, default=0.9
        For sgd, in [0, 1].
    nesterovs_momentum : bool, default=True
        For sgd with momentum.
    early_stopping : bool, default=False
        Holds validation_fraction of the data out (or takes validation_data of fit), stops by the score on it and keeps
        the weights of the best one.
    validation_fraction : float, default=0.1
        In [0, 1).
    beta_1, beta_2 : float, default=0.9, 0.999
        For adam, in [0, 1).
    epsilon : float, default=1e-8
        For adam, added before the bias correction.
    n_iter_no_change : int, default=10
        Or infinity.
    max_fun : int, default=15000
        Most evaluations of lbfgs.
    optimizer : str, Optimizer or None, default=None
        One of the core's in place of adam and sgd: "rmsprop" (with lr=learning_rate_init) or ``dr.AdamW(lr=1e-3)``.
    dropout : float or list of float, default=0.0
        Share of the units of each hidden layer that a training step leaves out, in [0, 1).
    l1 : float, default=0.0
        Like alpha, l1/W Σ|coef| is added to the loss.
    clip_norm : float or None, default=None
        Bounds the norm of all gradients of a step together.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weight of each label, or n_samples / (n_classes · count) in each call; multiplies sample_weight in training, not
        in the score of early stopping. A list has one dict for each of several labels.
    scoring : str, callable or None, default=None
        What early stopping looks at: a scorer of scikit-learn; None is the accuracy.
    callbacks : list or None, default=None
        Objects with some of on_fit_begin(network), on_epoch_end(epoch, logs) and on_fit_end(network), as in
        `Network.fit`; True from on_epoch_end stops. scikit-learn's own callbacks go to set_callbacks.
    dtype : {"float32", "float64"} or None, default=None
        Of weights and arithmetic; None: float32 where X is, else float64.
    n_threads : int or None, default=None
        None: by the work there is, and one in a worker of joblib. The results are the same bits for any number.
    time_limit : float or None, default=None
        Seconds after which no new epoch begins.

    Attributes
    ----------
    classes_ : ndarray
        The labels, in the order of the columns of predict_proba.
    coefs_, intercepts_ : list of ndarray
        Of each layer, of shape (inputs, units) and (units,). They are alive: predictions use what they hold.
    loss_, best_loss_ : float
        Of the last epoch, and the lowest (None with early_stopping).
    loss_curve_ : list of float
        One for each epoch.
    val_loss_curve_ : list of float or None
        The same on validation_data.
    validation_scores_, best_validation_score_ : list of float, float
        With early_stopping, else None.
    t_ : int
        Samples seen in training.
    n_iter_, n_layers_, n_outputs_, n_features_in_ : int
    out_activation_ : str
    feature_names_in_ : ndarray of str
        Where X had names.

    Notes
    -----
    With the same random_state, initial weights, shuffles, updates and stops are scikit-learn's; only the last bits of
    sums differ. The class is a subclass of scikit-learn's of the same name. New parameters come after its own.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> from deltarule.sklearn import MLPClassifier
    >>> X, y = make_classification(n_samples=100, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=1)
    >>> model = MLPClassifier(random_state=1, max_iter=300).fit(X_train, y_train)
    >>> float(model.score(X_test, y_test))
    0.88
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_MLPClassifier._parameter_constraints,
        **CONSTRAINTS,
        "class_weight": [None, dict, list, StrOptions({"balanced"})],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        optimizer: Any = None,
        dropout: Any = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        class_weight: Any = None,
        scoring: Any = None,
        callbacks: Any = None,
        dtype: Any = None,
        n_threads: int | None = None,
        time_limit: float | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.optimizer = optimizer
        self.dropout = dropout
        self.l1 = l1
        self.clip_norm = clip_norm
        self.class_weight = class_weight
        self.scoring = scoring
        self.callbacks = callbacks
        self.dtype = dtype
        self.n_threads = n_threads
        self.time_limit = time_limit
        self.loss = "log_loss"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: tuple[Any, Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on X and y.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels of any kind, or one column of 0 and 1 for each label.
        sample_weight : array-like of shape (n_samples,), optional
        validation_data : tuple of (X, y), optional
            Its loss after each epoch is in val_loss_curve_; early_stopping scores it and holds nothing out.
        checkpoint : path, optional
            A file that is kept up to date, at most once a second: the training survives being killed.
        resume : bool, default=False
            Goes on from the checkpoint, if there is one, and ends with the bits of a training that never stopped. Data
            and parameters must be the same; only max_iter, time_limit, n_threads, verbose, callbacks and a
            random_state that is no number may differ.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As scikit-learn raises them; a checkpoint of another training, or a damaged one; weights that are not finite
            in the end.
        """
        return self._fit(X, y, sample_weight, False, validation_data, checkpoint, resume)

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """One epoch over X and y; the optimizer goes on from call to call.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), optional
        classes : array-like, optional
            All labels there will ever be; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As `fit`; labels that are not among classes.
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """The label of each row, or its row of 0 and 1 for several labels.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        outputs = self._outputs(X)
        kind = self._label_binarizer.y_type_
        if kind == "multiclass":
            return np.asarray(self.classes_.take(outputs.argmax(axis=1)))
        if kind == "binary" and len(self.classes_) == 2:
            return np.asarray(self.classes_.take(outputs[:, 0] > 0.5))
        labels: Array = self._label_binarizer.inverse_transform(outputs[:, 0] if self.n_outputs_ == 1 else outputs)
        return labels

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, in the order of classes_.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        outputs = self._outputs(X)
        return outputs if self.n_outputs_ > 1 else np.hstack([1 - outputs, outputs])

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of predict_proba.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        probabilities = self.predict_proba(X)
        return np.asarray(np.log(probabilities, out=probabilities))

    def _out_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _validate(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        """X and y checked, classes_ found or compared with those that there are."""
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=self._dtypes(), reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = binarizer_of(y)
            self.classes_ = self._label_binarizer.classes_
            return X, y
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )
        return X, y

    def _checked_like_y(self, y: Any) -> Any:
        return checked_like(self._label_binarizer, y)

    def _weights_of_classes(self, y: Any, dtype: Any) -> Array | None:
        return None if self.class_weight is None else weights_of_classes(self, y, dtype)

    def _targets(self, y: Any, dtype: Any) -> Array:
        return targets_of(self._label_binarizer, y, dtype)

    def _n_outputs(self, targets: Array) -> int:
        return len(self.classes_) if targets.ndim == 1 else targets.shape[1]

    def _labels_of(self, targets: Array) -> Array:
        if targets.ndim == 1:
            return np.asarray(self.classes_.take(targets))
        return np.asarray(self._label_binarizer.inverse_transform(targets))

    def _own_score(self, outputs: Array, held_out: Samples) -> float:
        return accuracy(outputs, held_out) if len(self.classes_) > 1 else 1.0
