"""From labels to what the core learns: class indices for many classes, columns of 0 and 1 for two or several labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.multiclass import type_of_target, unique_labels

from ..network.structure import Array

__all__ = ["binarizer_of", "checked_like", "targets_of", "weights_of_classes"]


def binarizer_of(y: Any) -> Any:
    """LabelBinarizer().fit(y); by itself where it is plain what that would find, at a fraction of the time."""
    binarizer = LabelBinarizer()
    if y.ndim != 1 or y.dtype.kind not in "biu":
        return binarizer.fit(y)
    binarizer.classes_ = np.unique(y)
    binarizer.y_type_ = "multiclass" if len(binarizer.classes_) > 2 else "binary"
    binarizer.sparse_input_ = False
    return binarizer


def targets_of(binarizer: Any, y: Any, dtype: Any) -> Array:
    """Class indices, or a column for each output."""
    classes = binarizer.classes_
    if binarizer.y_type_ == "multiclass":
        return np.asarray(np.searchsorted(classes, y), np.int32)
    if binarizer.y_type_ == "binary" and len(classes) == 2:
        return np.ascontiguousarray(y == classes[1], dtype).reshape(-1, 1)
    columns = binarizer.transform(y)
    return np.ascontiguousarray(columns.toarray() if issparse(columns) else columns, dtype)


def checked_like(binarizer: Any, y: Any) -> Any:
    """The y of validation_data, refused where its labels are not of the kind of those in training, or new."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if type_of_target(y).startswith("multilabel") != binarizer.y_type_.startswith("multilabel"):
        raise ValueError("the y of validation_data and that of the training must both be multilabel, or neither")
    unseen = np.setdiff1d(unique_labels(y), binarizer.classes_)
    if len(unseen):
        raise ValueError(f"validation_data has the classes {unseen}, but y has only {binarizer.classes_}")
    return y


def weights_of_classes(estimator: Any, y: Any, dtype: Any) -> Array:
    """The weight that class_weight gives to each sample."""
    asked = estimator.class_weight
    if isinstance(asked, list) and not estimator._label_binarizer.y_type_.startswith("multilabel"):
        raise InvalidParameterError(
            f"The 'class_weight' parameter of {type(estimator).__name__} must be one dict, or 'balanced', where "
            f"classes exclude each other. Got {asked!r} instead."
        )
    weights = np.asarray(compute_sample_weight(asked, y), dtype)
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.any()):
        raise ValueError(f"class_weight={asked!r}: expected finite weights of at least 0, and not all of them 0")
    return weights
