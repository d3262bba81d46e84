"""Which steps exist: sequences of different lengths in one array, cut into chunks, and the mean loss over their steps.

A step that does not exist has no part in anything, whatever number stands there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activations import Array
from .loss import Loss, shares

__all__ = ["Sequences", "as_targets", "mean_loss", "mean_loss_and_gradient"]

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Which (sample, step) of an array (n_samples, n_steps, …) exist; or of a chunk of its steps.

    Parameters
    ----------
    lengths : ndarray of int, shape (n_samples,)
        How many steps each sample has here: at least 1, but any number from 0 in a chunk.
    n_steps : int
        How many steps the array has here.
    order : ndarray of int, shape (n_samples,)
        The samples, those with the longest whole sequences first; of equal ones the first comes first.
    ends : ndarray of bool, shape (n_samples,)
        Which samples have the last step of their whole sequence here.
    first : int, default 0
        The number of the chunk's first step.

    Examples
    --------
    >>> import numpy as np
    >>> whole = Sequences.of(np.zeros((3, 4, 1)), lengths=[2, 4, 3])
    >>> whole.exists.astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 1, 1],
           [1, 1, 1, 0]])
    >>> [(chunk.first, chunk.lengths, chunk.ends) for chunk in whole.chunks(3)]
    [(0, array([2, 3, 3]), array([ True, False,  True])), (3, array([0, 1, 0]), array([False,  True, False]))]
    """

    lengths: Integers
    n_steps: int
    order: NDArray[np.intp]
    ends: Mask
    first: int = 0

    @classmethod
    def of(cls, X: Array, lengths: Any = None) -> Sequences:
        """Say which steps of X exist.

        Parameters
        ----------
        X : ndarray, shape (n_samples, n_steps, inputs)
        lengths : array-like of int, shape (n_samples,), optional
            From 1 to n_steps. None: all have n_steps.

        Returns
        -------
        Sequences

        Raises
        ------
        TypeError, ValueError
            If lengths are no whole numbers, not one for each sample, or out of range.
        """
        n_samples, n_steps = X.shape[:2]
        if n_steps == 0:
            raise ValueError(f"X has shape {X.shape}: expected at least one step")
        found = np.full(n_samples, n_steps) if lengths is None else np.asarray(lengths)
        if found.dtype.kind not in "iu" and found.size:
            raise TypeError(f"lengths has dtype {found.dtype}: expected integers, how many steps each sample has")
        if found.shape != (n_samples,):
            raise ValueError(
                f"lengths has shape {found.shape} but X has {n_samples} samples: pass one length for each sample"
            )
        wrong = np.flatnonzero((found < 1) | (found > n_steps))
        if wrong.size:
            raise ValueError(
                f"lengths[{wrong[0]}] is {found[wrong[0]]} but X has {n_steps} steps: expected whole numbers from 1 to"
                f" {n_steps}; leave out a sample that has no steps"
            )
        found = found.astype(np.int64)
        return cls(found, n_steps, np.argsort(-found, kind="stable"), np.ones(n_samples, dtype=bool))

    def chunks(self, bptt_steps: int) -> Iterator[Sequences]:
        """Cut into the steps [0, k), [k, 2k), … with k = `bptt_steps`, as far as there is a sample with such steps."""
        for first in range(0, int(self.lengths.max(initial=0)), bptt_steps):
            n_steps = min(bptt_steps, self.n_steps - first)
            lengths = np.clip(self.lengths - first, 0, n_steps)
            ends = (self.lengths > first) & (self.lengths <= first + n_steps)
            yield Sequences(lengths, n_steps, self.order, ends, first)

    def part(self, array: Array) -> Array:
        """Return the chunk's steps of an array (n_samples, n_steps, …)."""
        return array[:, self.first : self.first + self.n_steps]

    @property
    def exists(self) -> Mask:
        """Whether each sample has each step, (n_samples, n_steps)."""
        return np.asarray(np.arange(self.n_steps) < self.lengths[:, None])

    def counted(self, by_step: bool) -> Mask:
        """Which rows of the output the loss looks at: (n_samples, n_steps) by step, else (n_samples,)."""
        return self.exists if by_step else self.ends

    def mask_rows(self, by_step: bool) -> Integers:
        """Which row of a dropout mask each (sample, step) takes, or each sample where there is one row for each.

        Rows are counted as they lie packed, without those that do not exist: from the last step to the first, within a
        step the samples that are still going on, and these in `order`. So they are the same however much was padded.
        """
        if not by_step:
            places = np.zeros(len(self.order), dtype=np.int64)
            places[self.order] = np.arange(len(self.order))
            return places
        packed = self.exists[self.order].T[::-1]  # (n_steps, n_samples)
        numbers = (np.cumsum(packed) - 1).reshape(packed.shape)
        rows = np.zeros((len(self.order), self.n_steps), dtype=np.int64)
        rows[self.order] = np.where(packed, numbers, 0)[::-1].T
        return rows


def as_targets(y: Any, counted: Mask) -> NDArray[Any]:
    """Return y as an array, refusing targets that are not one for each sample, or for each of its steps.

    Parameters
    ----------
    y : array-like
    counted : ndarray of bool
        From `Sequences.counted`.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If the shape does not match.
    """
    targets: NDArray[Any] = np.asarray(y)
    if targets.shape[: counted.ndim] == counted.shape:
        return targets
    if counted.ndim == 1:
        raise ValueError(
            f"y has shape {targets.shape} but X has {len(counted)} samples: each sample needs one target; for targets"
            " of all steps every recurrent layer needs return_sequences=True"
        )
    n_samples, n_steps = counted.shape
    raise ValueError(
        f"y has shape {targets.shape} but X has {n_samples} samples of {n_steps} steps: each step needs a target, y of"
        f" shape ({n_samples}, {n_steps}, …); for one target for each sample the last recurrent layer needs"
        " return_sequences=False"
    )


def _rows(seen: Array, y: Any, sample_weight: Any, counted: Mask) -> tuple[Array, Any, Array | None]:
    """Return output, targets and weights as rows: one for each sample or (sample, step) that the loss looks at."""
    targets = as_targets(y, counted)[counted]
    if sample_weight is None:
        return seen[counted], targets, None
    weight = shares(sample_weight, len(counted)).reshape(-1, *[1] * (counted.ndim - 1))
    return seen[counted], targets, np.broadcast_to(weight, counted.shape)[counted]


def mean_loss(loss: Loss, seen: Array, y: Any, sample_weight: Any, counted: Mask | None) -> float:
    """Return the mean loss over what exists: with the weight w_n of sample n, Σ_n w_n Σ_t ℓ_nt / Σ_n w_n steps(n).

    Parameters
    ----------
    loss : Loss
    seen : ndarray, shape (n_samples, outputs) or (n_samples, n_steps, outputs)
        What the loss looks at: the output or, in the fused pairs, the logits.
    y : array-like
        The targets: (n_samples, …) or (n_samples, n_steps, …).
    sample_weight : array-like, shape (n_samples,), optional
    counted : ndarray of bool, optional
        From `Sequences.counted`; None when X holds no sequences.

    Returns
    -------
    float
        0 where all that exists has the weight 0.

    Raises
    ------
    ValueError
        If the shapes do not match.
    """
    if counted is None or not loss.by_step:
        return loss.value(seen, y, sample_weight)
    rows, targets, weights = _rows(seen, y, sample_weight, counted)
    return loss.value(rows, targets, weights) if weights is None or weights.any() else 0.0


def mean_loss_and_gradient(
    loss: Loss, seen: Array, y: Any, sample_weight: Any, counted: Mask | None
) -> tuple[float, Array]:
    """Return `mean_loss` and its derivative with respect to `seen`, which is 0 for what does not exist.

    Parameters
    ----------
    loss, seen, y, sample_weight, counted
        As in `mean_loss`.

    Returns
    -------
    float
        The mean loss.
    ndarray
        The shape of `seen`.

    Raises
    ------
    ValueError
        If the shapes do not match.
    """
    if counted is None:
        return loss.value_and_gradient(seen, y, sample_weight)
    gradient = np.zeros_like(seen)
    if not loss.by_step:
        value, slopes = loss.value_and_gradient(seen, y, sample_weight)
        gradient[counted] = slopes[counted]
        return value, gradient
    rows, targets, weights = _rows(seen, y, sample_weight, counted)
    if weights is not None and not weights.any():
        return 0.0, gradient
    value, gradient[counted] = loss.value_and_gradient(rows, targets, weights)
    return value, gradient
