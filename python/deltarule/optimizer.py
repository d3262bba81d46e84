"""What all optimizers have in common: frozen values, checked when they are made, handed to the core as numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from .names import require_number
from .schedule import Schedule

__all__ = ["LEAST_EPS", "Optimizer"]

# Below the smallest normal float32 it would vanish, and 0/0 follow where a gradient is exactly zero.
LEAST_EPS = 1e-37


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of the core; the learning rate, a number or a schedule, comes first.

    Attributes
    ----------
    name : str
        As in ``fit(optimizer=name)``.
    """

    name: ClassVar[str]

    lr: float | Schedule = 1e-2

    def __post_init__(self) -> None:
        if isinstance(self.lr, type) and issubclass(self.lr, Schedule):
            raise TypeError(
                f"lr={self.lr.__name__} is the class: expected an object, such as StepLR(0.1, step_size=30)"
            )
        if self.schedule is None:
            self._check("lr", least=0.0)

    @property
    def schedule(self) -> Schedule | None:
        """The learning rate where it is a schedule; None where it is a number."""
        return self.lr if isinstance(self.lr, Schedule) else None

    @property
    def first_lr(self) -> float:
        """The learning rate of the first step; of a schedule whose first rate depends on the training, its base."""
        return self.lr.first_lr if isinstance(self.lr, Schedule) else self.lr

    def _check(
        self, *arguments: str, least: float = -float("inf"), above: float = -float("inf"), below: float = float("inf")
    ) -> None:
        for argument in arguments:
            value = require_number(argument, getattr(self, argument), least=least, above=above, below=below)
            object.__setattr__(self, argument, value)

    def _check_flag(self, argument: str) -> None:
        if not isinstance(getattr(self, argument), bool):
            raise TypeError(f"{argument}={getattr(self, argument)!r}: expected True or False")

    def _check_pair(self, argument: str) -> tuple[float, float]:
        value = getattr(self, argument)
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise TypeError(f"{argument}={value!r}: expected a pair of numbers")
        pair = (require_number(f"{argument}[0]", value[0]), require_number(f"{argument}[1]", value[1]))
        object.__setattr__(self, argument, pair)
        return pair

    def _check_betas(self) -> None:
        for position, beta in enumerate(self._check_pair("betas")):
            require_number(f"betas[{position}]", beta, least=0.0, below=1.0)

    def hyperparameters(self) -> dict[str, float]:
        """Every hyperparameter as a number, by the name that the core knows it by; "lr" is `first_lr`.

        Examples
        --------
        >>> from deltarule import RMSprop
        >>> RMSprop(lr=0.1, centered=True).hyperparameters()
        {'lr': 0.1, 'alpha': 0.99, 'eps': 1e-08, 'weight_decay': 0.0, 'momentum': 0.0, 'centered': 1.0}
        """
        numbers: dict[str, float] = {}
        for field in fields(self):
            value = self.first_lr if field.name == "lr" else getattr(self, field.name)
            if isinstance(value, tuple):
                numbers.update(zip(_PAIRS[field.name], value, strict=True))
            else:
                numbers[field.name] = float(value)
        return numbers


_PAIRS = {
    "betas": ("beta1", "beta2"),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("step_size_min", "step_size_max"),
}
