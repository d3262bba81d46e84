"""What an optimizer is: fixed settings, and an update of one parameter from its gradient and what it remembers.

The formulas are in optimizers.py; a class written there enters OPTIMIZERS by itself.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .activation import Array

OPTIMIZERS: dict[str, type[Optimizer]] = {}
State = dict[str, Any]


class Optimizer:
    """A rule that turns a gradient into the parameter's next value.

    The settings never change; what is remembered of one parameter array (the number of steps, running averages) is in
    its state, a dict which `start` makes and `update` changes.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule.reference import optimizers
    >>> rule = optimizers.SGD(lr=0.1, momentum=0.9)
    >>> w = np.array([1.0])
    >>> state = rule.start(w)
    >>> for _ in range(3):
    ...     w = rule.update(w, 2 * w, state)  # the gradient of w² is 2w
    ...     print(round(w.item(), 4), state["step"])
    0.8 1
    0.46 2
    0.062 3
    """

    name: ClassVar[str]
    averages: ClassVar[tuple[str, ...]] = ()  # the arrays a state holds, all zero at the start

    def __init_subclass__(cls) -> None:
        OPTIMIZERS[cls.name] = cls

    def start(self, parameter: Any) -> State:
        """Return the state of a parameter that has not been updated yet.

        Parameters
        ----------
        parameter : array-like
            The parameter; only its shape matters.

        Returns
        -------
        dict
            ``"step"``, 0, and the rule's running averages, zero.
        """
        return {"step": 0} | {key: np.zeros(np.shape(parameter)) for key in self.averages}

    def update(self, parameter: Any, gradient: Any, state: State) -> Array:
        """Return the parameter after one step; the state moves on with it.

        Parameters
        ----------
        parameter : array-like
            The parameter now; it is not changed.
        gradient : array-like
            dL/dparameter, of the same shape.
        state : dict
            From `start`; changed in place.

        Returns
        -------
        ndarray
            The new parameter, float64.

        Raises
        ------
        ValueError
            If parameter and gradient have different shapes.
        """
        p, g = np.asarray(parameter, dtype=np.float64), np.asarray(gradient, dtype=np.float64)
        if p.shape != g.shape:
            raise ValueError(
                f"gradient has shape {g.shape} but the parameter has shape {p.shape}: expected the same shape;"
                " check which gradient belongs to which parameter"
            )
        state["step"] += 1
        return self.step(p, g, state)

    def step(self, p: Array, g: Array, state: State) -> Array:
        """Return the new value of parameter p with gradient g: the rule's formula. ``state["step"]`` begins at 1."""
        raise NotImplementedError


def check(name: str, value: float, low: float = 0.0, high: float = math.inf) -> None:
    """Refuse a setting which is no number in [low, high) (in [low, high] where high is 1).

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is out of range or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is {value!r}, {type(value).__name__}: expected a number")
    if not (low <= value < high or value == high == 1):
        expected = f"from {low:g} to {high:g}" if high < math.inf else f">= {low:g} and finite"
        raise ValueError(f"{name} is {value!r}: expected a number {expected}; leave it out for the usual value")


def check_pair(name: str, pair: tuple[float, float]) -> None:
    """Refuse a setting which is no pair of numbers in [0, 1), as Adam's betas must be.

    Raises
    ------
    TypeError
        If it is no pair of numbers.
    ValueError
        If one of them is out of range.
    """
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"{name} is {pair!r}: expected a pair of numbers, such as (0.9, 0.999)")
    for value in pair:
        check(name, value)
        if value >= 1:
            raise ValueError(f"{name} is {pair!r}: expected numbers from 0 to below 1, such as (0.9, 0.999)")
