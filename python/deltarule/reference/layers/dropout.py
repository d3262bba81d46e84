"""Dropout: numbers left out at random in training, by the masks of masks.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..activations import Array
from ..masks import dropout_mask


class Dropout:
    """A layer that drops numbers out in training: y = x m, where m is 0 with probability `rate`, else 1 / (1 - rate).

    The mean of m is 1, so a network that is not in training needs no such layer: y = x. On the way back
    dL/dx = dL/dy m, with the m of the way forward.

    Parameters
    ----------
    rate : float
        0 <= rate < 1.
    place : int, default 0
        The layer's number in the network: each has its own m.
    name : str, optional
        What the layer is called; None for its place in the network.

    Raises
    ------
    ValueError
        If the rate is out of range.

    Examples
    --------
    >>> layer = Dropout(0.75)
    >>> layer.forward([[1.0, 2.0]])
    array([[1., 2.]])
    >>> layer.forward([[1.0, 2.0]], mask=[[True, False]])
    array([[4., 0.]])
    >>> layer.backward([[1.0, 1.0]])
    array([[4., 0.]])

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
    """

    type: ClassVar[str] = "dropout"

    def __init__(self, rate: float, place: int = 0, *, name: str | None = None) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"rate={rate!r}: expected a number of at least 0 and below 1")
        self.rate, self.place, self.name = rate, place, name
        self.m: Array | None = None  # of the last way forward

    @classmethod
    def from_spec(cls, settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> Dropout:
        """Make the layer from its entry in a network's spec; it has no parameters."""
        return cls(settings["rate"], name=settings.get("name"))

    @property
    def parameters(self) -> dict[str, Array]:
        """Nothing here is learned."""
        return {}

    @property
    def gradients(self) -> dict[str, Array]:
        """Of no parameters."""
        return {}

    def forward(self, x: Any, *, mask: Any = None, key: int | None = None, rows: Any = None) -> Array:
        """Return y = x m, and keep m for the way back.

        Parameters
        ----------
        x : array-like, shape (n_samples, units) or (n_samples, n_steps, units)
        mask : array-like of bool, the shape of x, optional
            Who stays. None, without a key: all do, and m is 1, as outside of training.
        key : int, optional
            Of the training step, whose mask is drawn; see `deltarule.reference.masks`.
        rows : array-like of int, the shape of x without its last axis, optional
            Which row of that mask each row of x takes. None: they are counted as they come.

        Returns
        -------
        ndarray, the shape of x
        """
        x = np.asarray(x, dtype=np.float64)
        if mask is None and key is not None:
            numbers = np.arange(x[..., 0].size).reshape(x.shape[:-1]) if rows is None else np.asarray(rows)
            mask = dropout_mask(self.rate, key, self.place, int(numbers.max(initial=-1)) + 1, x.shape[-1])[numbers]
        self.m = np.ones_like(x) if mask is None else np.where(mask, 1 / (1 - self.rate), 0.0)
        return np.asarray(x * self.m)

    def backward(self, grad_output: Any) -> Array:
        """Return dL/dx = dL/dy m.

        Parameters
        ----------
        grad_output : array-like, the shape of the output
            dL/dy.

        Returns
        -------
        ndarray, the shape of x

        Raises
        ------
        RuntimeError
            If there was no way forward.
        """
        if self.m is None:
            raise RuntimeError("backward was called before forward: the way back needs m; call forward(x) first")
        return np.asarray(np.asarray(grad_output, dtype=np.float64) * self.m)

    def penalty(self) -> float:
        """Return 0: there are no weights."""
        return 0.0
