"""The optimizers as formulas to be written out: their first step, from the state that they start from.

To add one, write a function by its name in deltarule.reference.optimizers, whose docstrings have the mathematics, and
put it into UPDATES; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .expressions import Expression, Quantity, call

__all__ = ["UPDATES", "Notes", "Settings"]

Settings = Mapping[str, Quantity]  # hyperparameters as `Optimizer.hyperparameters` names them


class Notes:
    """What is worked out on the way to the new parameter: a letter and a formula each, in their order."""

    def __init__(self, p: Quantity) -> None:
        self._p = p
        self.taken: list[tuple[Quantity, Expression]] = []

    def __call__(self, letter: str, expression: Expression) -> Quantity:
        """Note it down, and return it under its letter."""
        quantity = Quantity(letter, number=expression.value, layer=self._p.layer)
        self.taken.append((quantity, expression))
        return quantity


Rule = Callable[[Notes, Quantity, Quantity, Settings], Expression]


def _decayed(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Quantity:
    """The gradient, with weight_decay·p in it where there is any."""
    return note("g", g + s["weight_decay"] * p) if s["weight_decay"].value else g


def _sgd(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Expression:
    g = _decayed(note, p, g, s)
    if s["lr_in_velocity"].value:
        v = note("v", s["lr"] * g)
        return p - (v + s["momentum"] * v if s["nesterov"].value else v)
    # The first velocity is the gradient itself, whatever momentum and dampening are.
    return p - s["lr"] * (g + s["momentum"] * g if s["nesterov"].value else g)


def _rmsprop(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Expression:
    g = _decayed(note, p, g, s)
    square: Expression = note("s", (1 - s["alpha"]) * g**2)
    if s["centered"].value:
        square = square - note("m", (1 - s["alpha"]) * g) ** 2
    return p - s["lr"] * g / (call("sqrt", square) + s["eps"])


def _adagrad(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Expression:
    g = _decayed(note, p, g, s)
    start = s["initial_accumulator_value"]
    square = note("s", start + g**2 if start.value else g**2)
    return p - s["lr"] * g / (call("sqrt", square) + s["eps"])


def _adadelta(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Expression:
    g = _decayed(note, p, g, s)
    square = note("s", (1 - s["rho"]) * g**2)
    step = note("step", call("sqrt", s["eps"]) / call("sqrt", square + s["eps"]) * g)
    return p - s["lr"] * step


def _adam_step(note: Notes, p: Expression, g: Quantity, s: Settings) -> Expression:
    m = note("mhat", (1 - s["beta1"]) * g / (1 - s["beta1"]))
    if s["eps_hat"].value:
        v = note("v", (1 - s["beta2"]) * g**2)
        return p - s["lr"] * m * call("sqrt", 1 - s["beta2"]) / (call("sqrt", v) + s["eps"])
    v = note("vhat", (1 - s["beta2"]) * g**2 / (1 - s["beta2"]))
    return p - s["lr"] * m / (call("sqrt", v) + s["eps"])


def _adam(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Expression:
    return _adam_step(note, p, _decayed(note, p, g, s), s)


def _adamw(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Expression:
    return _adam_step(note, (1 - s["lr"] * s["weight_decay"]) * p if s["weight_decay"].value else p, g, s)


def _nadam(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Expression:
    start: Expression = p
    if s["decoupled_weight_decay"].value and s["weight_decay"].value:
        start = (1 - s["lr"] * s["weight_decay"]) * p
    elif s["weight_decay"].value:
        g = _decayed(note, p, g, s)
    beta1, decay = s["beta1"].value, s["momentum_decay"].value
    now = Quantity("mu1", number=beta1 * (1 - 0.5 * 0.96**decay))
    then = Quantity("mu2", number=beta1 * (1 - 0.5 * 0.96 ** (2 * decay)))
    m = note("m", (1 - s["beta1"]) * g)
    v = note("vhat", (1 - s["beta2"]) * g**2 / (1 - s["beta2"]))
    ahead = note("ahead", g + then * m / (1 - now * then))
    return start - s["lr"] * ahead / (call("sqrt", v) + s["eps"])


def _rprop(note: Notes, p: Quantity, g: Quantity, s: Settings) -> Expression:
    size = min(max(s["lr"].value, s["step_size_min"].value), s["step_size_max"].value)
    return p - Quantity("size", number=size) * call("sign", g)


UPDATES: dict[str, Rule] = {
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "adam": _adam,
    "adamw": _adamw,
    "nadam": _nadam,
    "rprop": _rprop,
}
