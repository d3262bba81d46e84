"""Are the gradients right? Three answers side by side: the core's, the NumPy reference's, and central differences'.

Backpropagation in the core and in the reference are two programs for one chain rule; central differences know nothing
of it and only watch the loss. A layer, activation or loss added to both is checked without a change here.
Central differences: C. Bishop, "Pattern recognition and machine learning", 2006, section 5.3.3.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .layers import BatchNorm, Dropout
from .network import Network
from .twin import Array, Twin

if TYPE_CHECKING:
    from .losses import CustomLoss, Loss

__all__ = ["GradientCheck", "TensorCheck", "gradcheck"]

_REFERENCE_LIMITS = {"float32": 1e-5, "float64": 1e-12}
_DIFFERENCE_LIMIT = 1e-6
# Relative steps of the differences: the first suits a smooth loss of moderate size. A smaller one is less likely to
# cross a corner such as relu's at 0, a larger one suffers less from rounding.
_STEPS = (3e-5, 3e-4, 3e-6, 3e-3, 3e-7)
_LEAST = float(np.finfo(np.float64).smallest_normal)  # where all is zero, no error is relative to less
_MOST_ELEMENTS = 128  # of each tensor that are compared with differences, at two or more losses each


@dataclass(frozen=True)
class TensorCheck:
    """What was found for one parameter tensor; errors are relative to the greatest gradient in it.

    Attributes
    ----------
    name : str
        As in `Network.parameters`.
    reference_error : float
        The core against the reference, over all elements.
    difference_error : float
        The reference against central differences in float64.
    core_difference_error : float
        The core against the same differences.
    elements, compared : int
        How many numbers the tensor has, and how many of them were compared with differences.
    corners : int
        How many more were chosen for it but sit in a corner of the loss, where there is no derivative to compare with.
    training : bool
        Whether this is the gradient of a step of training, not that of the network as it predicts.
    """

    name: str
    reference_error: float
    difference_error: float
    core_difference_error: float
    elements: int
    compared: int
    corners: int
    training: bool = False

    @property
    def label(self) -> str:
        """The name, and in which form."""
        return f"{self.name} in training" if self.training else self.name


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """The result of `gradcheck`: true when every gradient holds; printed, a table with the verdict in words.

    Attributes
    ----------
    dtype : str
        The network's, "float32" or "float64".
    loss_error : float
        The core's loss against the reference's, relative; the greater one where two forms were checked.
    tensors : tuple of TensorCheck
        In the order of the network; where two forms were checked, first those of the network as it predicts.
    own_loss : bool
        Whether the loss is a function of the caller's.
    """

    dtype: str
    loss_error: float
    tensors: tuple[TensorCheck, ...]
    own_loss: bool = False

    @property
    def limits(self) -> dict[str, float]:
        """The greatest error that holds, by the names of the errors."""
        of_reference = _REFERENCE_LIMITS[self.dtype]
        return {
            "reference_error": of_reference,
            "difference_error": _DIFFERENCE_LIMIT,
            "core_difference_error": _DIFFERENCE_LIMIT + of_reference,
        }

    def _excess(self, tensor: TensorCheck) -> float:
        """The worst of the tensor's errors, in units of its limit."""
        return max(float(getattr(tensor, error)) / limit for error, limit in self.limits.items())

    @property
    def worst(self) -> TensorCheck:
        """The tensor with the greatest error in units of its limit."""
        return max(self.tensors, key=self._excess)

    @property
    def ok(self) -> bool:
        """Whether the loss and all gradients are within the limits."""
        return self.loss_error <= self.limits["reference_error"] and self._excess(self.worst) <= 1

    def __bool__(self) -> bool:
        return self.ok

    @property
    def verdict(self) -> str:
        """What the numbers mean, in words."""
        tensor, limits = self.worst, self.limits
        if self.ok:
            corners = sum(each.corners for each in self.tensors)
            skipped = f" Left out: {corners} in a corner of the loss, where there is no derivative." if corners else ""
            return f"The gradients hold: core, reference and central differences agree.{skipped}"
        if self._excess(tensor) <= 1:
            return (
                f"The loss fails: the core's is {self.loss_error:.1e} from the reference's (limit"
                f" {limits['reference_error']:.0e}), though the gradients agree."
            )
        core_differs = tensor.reference_error > limits["reference_error"]
        reference_differs = tensor.difference_error > limits["difference_error"]
        from_reference = f"{tensor.reference_error:.1e} from the reference (limit {limits['reference_error']:.0e})"
        from_differences = f"{tensor.difference_error:.1e} from central differences (limit {_DIFFERENCE_LIMIT:.0e})"
        if core_differs and reference_differs:
            why = f"the core is {from_reference}, and the reference {from_differences}."
        elif core_differs:
            why = f"the core is {from_reference}, which agrees with central differences: the core is wrong."
        else:
            why = f"core and reference agree, but are {from_differences}: {self._cause()}"
        return f"{tensor.label} fails: {why}"

    def _cause(self) -> str:
        if self.own_loss:
            return "check that the gradient which the loss returns is the derivative of its value."
        return "a way back is not the derivative of its way forward."

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts, lists, strings and numbers; errors of what is not finite are infinite."""
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "dtype": self.dtype,
            "loss_error": self.loss_error,
            "limits": self.limits,
            "tensors": [asdict(tensor) for tensor in self.tensors],
        }

    def _rows(self) -> list[list[str]]:
        """The table, its header first."""
        rows = [
            ["tensor", "core ~ reference", "reference ~ differences", "core ~ differences", "compared"],
            ["loss", f"{self.loss_error:.1e}", "", "", ""],
        ]
        for tensor in self.tensors:
            errors = [f"{getattr(tensor, error):.1e}" for error in self.limits]
            rows.append([tensor.label, *errors, f"{tensor.compared} of {tensor.elements}"])
        return [*rows, ["limit", *(f"{limit:.0e}" for limit in self.limits.values()), ""]]

    def _repr_html_(self) -> str:
        from .drawing.html_table import html_table

        header, *rows = self._rows()
        return html_table(header, rows, notes=[self.verdict])

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for first, *numbers in rows:
            cells = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
            lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
        return "\n".join([*lines, self.verdict])

    __repr__ = __str__


def gradcheck(
    network: Network,
    X: Any,
    y: Any,
    *,
    loss: str | Loss | CustomLoss,
    sample_weight: Any = None,
    lengths: Any = None,
    bptt_steps: int | None = None,
    training: bool | None = None,
) -> GradientCheck:
    r"""Compare the gradients of the core with the NumPy reference's and with central differences.

    Each tensor's error is :math:`\max|a - b| / \max|b|` over its elements. The differences, of the
    reference's loss, are

    .. math:: \frac{\partial L}{\partial p} \approx \frac{L(p + h) - L(p - h)}{2h}

    Parameters
    ----------
    network : Network
        Checked as it is: its parameters, its dtype, the instruction set it was made for. It is not changed.
    X : array-like of shape (n_samples, n_features), or (n_samples, n_steps, n_features) for sequences
        A few samples suffice, and a small batch keeps the differences fast; so do few steps.
    y : array-like
        What the loss takes.
    loss : str, Loss or callable
        As in `Network.fit`. A function ``loss(output, y) -> (value, gradient_of_output)`` is called with the core's
        output and, many times, with the reference's, which is float64; its gradient is compared with its value.
    sample_weight : array-like of shape (n_samples,), optional
        As in `Network.fit`.
    lengths : array-like of int of shape (n_samples,), optional
        As in `Network.fit`: how many steps each sequence has.
    bptt_steps : int, at least 1, optional
        Check the truncated gradient, summed over the chunks. The differences are then of the loss with the state that
        each chunk starts from held as it is.
    training : bool, optional
        Which form of the network: False, as it predicts; True, as the next step of its training would see it, with the
        masks that `Dropout` then has, held as they are, and with the batch's own statistics in `BatchNorm`. By default
        both where the network has such a layer.

    Returns
    -------
    GradientCheck
        True when the core is within 1e-12 (float64) or 1e-5 (float32) of the reference, and central differences
        within 1e-6.

    Raises
    ------
    TypeError
        `network` is no `Network`, or as in `Network.loss_and_gradients`.
    ValueError
        The loss or a gradient of the reference is not finite, or as in `Network.loss_and_gradients`.

    Notes
    -----
    The reference starts from what the core starts from: parameters, X, y and weights in the network's dtype.

    A gradient that has nearly cancelled, as in a trained network, is mostly rounding error in any program. How much,
    shows when it is computed again with every number moved by some units of rounding. An error is relative to the
    greatest gradient of the tensor, or to this change over the limit where that is more, as close to a minimum.

    Where a step crosses a corner, such as relu's at 0, other steps are tried; an element that sits in a corner has a
    derivative on each side and none to compare with, and is counted apart. Of larger tensors 128 elements, always the
    same, are compared with differences; all are compared with the reference.

    References
    ----------
    C. Bishop, "Pattern recognition and machine learning", 2006, section 5.3.3, equation 5.69.

    Examples
    --------
    >>> import deltarule as dr
    >>> X, y = dr.datasets.xor()
    >>> network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(1)], input_shape=2, dtype="float64")
    >>> check = gradcheck(network, X, y, loss="binary_cross_entropy")
    >>> bool(check)
    True
    >>> print(check.verdict)
    The gradients hold: core, reference and central differences agree.
    >>> [tensor.name for tensor in check.tensors]
    ['0.weight', '0.bias', '1.weight', '1.bias']

    The derivative of a loss of one's own, where a factor 2 was forgotten:

    >>> def squares(output, y):
    ...     return ((output - y) ** 2).mean(), (output - y) / y.size
    >>> gradcheck(network, X, y.reshape(4, 1), loss=squares).ok
    False
    """
    if not isinstance(network, Network):
        raise TypeError(
            f"network is {type(network).__name__}: expected a deltarule.Network; check the order of"
            " the arguments, gradcheck(network, X, y, loss=...)"
        )
    given = {"lengths": lengths, "bptt_steps": bptt_steps}
    options: dict[str, Any] = {argument: value for argument, value in given.items() if value is not None}
    if training is not None and not isinstance(training, bool):
        raise TypeError(f"training={training!r}: expected True, False or None")
    forms = [False] if training is None else [training]
    if training is None and any(isinstance(layer, (Dropout, BatchNorm)) for layer in network.layers):
        forms = [False, True]
    errors, tensors, own_loss = [], [], False
    with np.errstate(all="ignore"):  # what is not finite is looked for, and said
        for form in forms:
            core = network.loss_and_gradients(X, y, loss=loss, sample_weight=sample_weight, training=form, **options)
            twin = Twin(network, X, y, loss, sample_weight, training=form, **options)
            error, found = _check(network.dtype, core, twin, form)
            errors.append(error)
            tensors += found
            own_loss = twin.own_loss
    return GradientCheck(network.dtype.name, max(errors), tuple(tensors), own_loss)


def _check(
    dtype: np.dtype[Any], core: tuple[float, dict[str, NDArray[Any]]], twin: Twin, training: bool
) -> tuple[float, list[TensorCheck]]:
    """The error of the loss, and what was found for each tensor, in one form of the network."""
    core_loss, of_core = core
    value, gradients = twin.loss_and_gradients()
    if not (math.isfinite(value) and all(np.isfinite(gradient).all() for gradient in gradients.values())):
        raise ValueError(
            f"the loss of the reference is {value:g}, and it or a gradient is not finite: there is no derivative to"
            " check; make the parameters or X smaller, for instance with deltarule.Standardizer"
        )
    precision = np.finfo(dtype)
    loss_noise, noise = twin.rounding(float(precision.eps))
    difference_noise, _ = twin.rounding(float(np.finfo(np.float64).eps))
    limit, least = _REFERENCE_LIMITS[dtype.name], float(precision.smallest_normal)
    tensors = [
        _check_tensor(twin, name, of_core[name], gradients[name], max(noise[name] / limit, least), difference_noise)
        for name in gradients
    ]
    scale = max(abs(value), loss_noise / limit, least)
    return _finite(abs(core_loss - value) / scale), [replace(tensor, training=training) for tensor in tensors]


def _finite(error: float) -> float:
    """The error, infinite where the core's number is none."""
    return math.inf if math.isnan(error) else float(error)  # no np.float64, for to_dict


def _check_tensor(
    twin: Twin, name: str, core: NDArray[Any], gradient: Array, least_scale: float, loss_noise: float
) -> TensorCheck:
    """Compare one tensor; no error is relative to less than `least_scale`."""
    core = core.astype(np.float64)
    greatest = float(np.abs(gradient).max())
    scale, total = max(greatest, least_scale), gradient.size
    chosen = np.arange(total)
    if total > _MOST_ELEMENTS:
        chosen = np.sort(np.random.default_rng(0).choice(total, _MOST_ELEMENTS, replace=False))
    of_reference, of_core, corners = 0.0, 0.0, 0
    for number in chosen:
        place = np.unravel_index(number, gradient.shape)
        best, difference, allowed = math.inf, math.nan, greatest
        for h, candidate in twin.differences(name, place, _STEPS):
            # Rounding in the two losses, over 2h, is error that no gradient is to blame for.
            size = max(greatest, loss_noise / h / _DIFFERENCE_LIMIT, _LEAST)
            error = abs(candidate - gradient[place]) / size
            if error < best:
                best, difference, allowed = error, candidate, size
            if best <= _DIFFERENCE_LIMIT:
                break
        else:
            if twin.is_in_corner(name, place, loss_noise):
                corners += 1
                continue
        of_reference = max(of_reference, _finite(best))
        of_core = max(of_core, _finite(abs(core[place] - difference) / max(scale, allowed)))
    return TensorCheck(
        name,
        _finite(float(np.abs(core - gradient).max()) / scale),
        of_reference,
        of_core,
        total,
        len(chosen) - corners,
        corners,
    )
