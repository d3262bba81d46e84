"""OneCycleLR: the learning rate rises once and falls once, step by step."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from .names import require_number
from .schedule import PerStep, Schedule, ScheduleRun, Span

__all__ = ["OneCycleLR"]


@dataclass(frozen=True)
class OneCycleLR(Schedule):
    r"""Raises the rate to max_lr and then lets it fall far below its beginning; it changes from step to step.

    .. math::
        \text{max\_lr} / \text{div\_factor} \;\to\; \text{max\_lr} \;\to\;
        \text{max\_lr} / (\text{div\_factor} \cdot \text{final\_div\_factor})

    from a to b along half a cosine, :math:`b + \frac{a - b}{2} (1 + \cos \pi p)`, or a line, :math:`a + (b - a) p`,
    while p goes from 0 to 1. The first phase ends with step pct_start · total_steps - 1 (counted from 0; it may lie
    between two), the last one with step total_steps - 1.

    Parameters
    ----------
    max_lr : float
        The highest rate, at least 0.
    total_steps : int, optional
        At least 1. None: all steps of the training, the batches of an epoch times the epochs; that number must be
        known, so of a stream, and for a `Trainer`, give it.
    pct_start : float, default=0.3
        The share of the steps in which the rate rises, from 0 to 1.
    anneal_strategy : {"cos", "linear"}, default="cos"
    div_factor : float, default=25.0
        Above 0; the first rate is max_lr / div_factor.
    final_div_factor : float, default=1e4
        Above 0; the last rate is the first one divided by it.
    three_phase : bool, default=False
        Falls to the first rate as steeply as it rose, by step 2 · pct_start · total_steps - 2, and only then below it.

    Notes
    -----
    The rate alone has a cycle, as in torch with ``cycle_momentum=False``; torch by default lets the momentum fall
    while the rate rises. A step after the last one is a ValueError, as in torch (which allows one); where the length
    of the training is known it comes before the first step.

    References
    ----------
    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large learning rates",
    arXiv:1708.07120, section 2.

    Examples
    --------
    >>> OneCycleLR(1.0, pct_start=0.5, anneal_strategy="linear").rates(epochs=2, steps_per_epoch=4).round(2)
    array([0.04, 0.36, 0.68, 1.  , 0.75, 0.5 , 0.25, 0.  ])
    """

    max_lr: float
    total_steps: int | None = None
    _: KW_ONLY
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        self._check("max_lr", least=0.0)
        if self.total_steps is not None:
            self._check_integer("total_steps", least=1)
        object.__setattr__(self, "pct_start", require_number("pct_start", self.pct_start, least=0.0, most=1.0))
        self._check_choice("anneal_strategy", "cos", "linear")
        self._check("div_factor", "final_div_factor", above=0.0)
        if not isinstance(self.three_phase, bool):
            raise TypeError(f"three_phase={self.three_phase!r}: expected True or False")

    @property
    def lr(self) -> float:
        """The rate it begins with, max_lr / div_factor; torch's initial_lr."""
        return self.max_lr / self.div_factor

    def _over(self, span: Span) -> ScheduleRun:
        total = span.steps if self.total_steps is None else self.total_steps
        if total is None:
            raise ValueError(f"{self!r}: how many steps there will be is not known; give total_steps")
        if span.steps is not None and span.steps > total:
            raise ValueError(
                f"{self!r} in a training of {span.steps} steps: it ends after {total}; give total_steps={span.steps}, "
                "or leave total_steps out"
            )
        return PerStep(lambda step: self._rate(step, total))

    def _rate(self, step: int, total: int) -> float:
        if step >= total:
            raise ValueError(
                f"step {step + 1} of {self!r}: it ends after {total} steps; give a larger total_steps or train less"
            )
        lowest = self.lr / self.final_div_factor
        phases = [(self.pct_start * total - 1, self.max_lr), (total - 1, lowest)]
        if self.three_phase:
            phases.insert(1, (2 * self.pct_start * total - 2, self.lr))
        first, start = 0.0, self.lr
        for last, end in phases[:-1]:
            if step <= last:
                break
            first, start = last, end
        else:
            last, end = phases[-1]
        share = (step - first) / (last - first) if last > first else 1.0
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
