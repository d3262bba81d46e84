"""Do the core and the reference agree on the step? What is explained is the reference's, what is done the core's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import reference
from ..network import Network
from ..twin import Twin

__all__ = ["require_agreement"]

_LIMITS = {"float32": 1e-5, "float64": 1e-12}  # those of gradcheck
_UPDATE_ROUNDINGS = 64.0

Arrays = dict[str, NDArray[Any]]


def require_agreement(
    network: Network,
    twin: Twin,
    rules: Mapping[str, reference.optimizers.Optimizer | None],
    value: float,
    gradients: Arrays,
    updated: Arrays,
) -> None:
    """RuntimeError where loss, gradients or the update differ by more than rounding explains.

    rules: the optimizer of each parameter, None for one that is frozen.
    """
    limit, precision = _LIMITS[network.dtype.name], np.finfo(network.dtype)
    least = float(precision.smallest_normal)
    expected, of_reference = twin.loss_and_gradients()
    of_loss, noise = twin.rounding(float(precision.eps))
    if not abs(value - expected) <= limit * max(abs(expected), of_loss / limit, least):
        raise _disagreement("the loss", value, expected, network)
    for name, gradient in gradients.items():
        scale = max(float(np.abs(of_reference[name]).max()), noise[name] / limit, least)
        error = np.abs(gradient.astype(np.float64) - of_reference[name])
        if not (error <= limit * scale).all():
            place = np.unravel_index(int(error.argmax()), error.shape)
            raise _disagreement(f"dL/d {name}{_index(place)}", gradient[place], of_reference[name][place], network)
    for name, gradient in gradients.items():
        p, g = twin.network.parameters[name], gradient.astype(np.float64)
        rule = rules[name]
        new = p if rule is None else rule.update(p, g, rule.start(p))
        # Squares that are 0 or infinite in the core's precision: of such gradients no digit is promised.
        counts = (g == 0) | ((np.square(g) >= least / float(precision.eps)) & (np.square(g) <= float(precision.max)))
        error = np.abs(updated[name].astype(np.float64) - new)
        allowed = _UPDATE_ROUNDINGS * float(precision.eps) * (np.abs(p) + np.abs(new - p)) + least
        if not (error <= allowed)[counts].all():
            place = np.unravel_index(int(np.where(counts, error, 0.0).argmax()), error.shape)
            raise _disagreement(f"the update of {name}{_index(place)}", updated[name][place], new[place], network)


def _index(place: tuple[Any, ...]) -> str:
    return f"[{', '.join(str(int(number)) for number in place)}]"


def _disagreement(what: str, core: float, expected: float, network: Network) -> RuntimeError:
    return RuntimeError(
        f"{what} is {core!r} in the core and {expected!r} in the reference: they should agree, so one of them is wrong,"
        " and nothing can be explained. Please report it, with `python -m deltarule info`, network.spec(),"
        " network.state_dict(), x, y, loss and optimizer"
    )
