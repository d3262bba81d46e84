"""scikit-learn's own callbacks, which it has from version 1.9 on: a task for the fit, and one for each epoch in it."""

from __future__ import annotations

from typing import Any

from .weights import Weights

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for the class that this version of scikit-learn does not have."""


__all__ = ["CallbackSupportMixin", "Epochs", "epochs_of"]


class Epochs:
    """Tells the callbacks of an estimator of the fit and of its epochs.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    X, y
        The training data as the user gave it.
    metadata : dict
        What else was given to fit, such as sample_weight.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, metadata: dict[str, Any]) -> None:
        self._estimator = estimator
        self._data = {"X": X, "y": y, "metadata": metadata}
        self._fit: Any = None
        self._epoch: Any = None

    def __enter__(self) -> Epochs:
        self._fit = self._estimator._init_callback_context(max_subtasks=self._estimator.max_iter)
        self._fit.call_on_fit_task_begin(estimator=self._estimator, **self._data)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._fit.call_on_fit_task_end(
                estimator=self._estimator, **self._data, reconstruction_attributes=self._fitted
            )

    def epoch_ends(self) -> bool:
        """Whether a callback asks for the end. An epoch is told of when it is over: the loop begins it without us."""
        epoch = self._fit.subcontext(task_name="epoch")
        epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)
        return bool(
            epoch.call_on_fit_task_end(estimator=self._estimator, **self._data, reconstruction_attributes=self._fitted)
        )

    def _fitted(self) -> dict[str, Weights]:
        """What makes a copy of the estimator one that was trained up to now, and no further."""
        return {"_weights": self._estimator._weights.copy()}


def epochs_of(estimator: Any, X: Any, y: Any, metadata: dict[str, Any]) -> Epochs | None:
    """For an estimator that has callbacks of its own or of a search around it; None for all others."""
    if not hasattr(estimator, "_init_callback_context"):
        return None
    if not (getattr(estimator, "_skl_callbacks", None) or hasattr(estimator, "_parent_callback_ctx")):
        return None
    return Epochs(estimator, X, y, metadata)
