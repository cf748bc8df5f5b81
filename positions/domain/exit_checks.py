"""Which exit rules make sense, and which are daring (EXT-2).

A field at fault is named as people write it: ``stop_loss_pct``, ``trail_from_pct``, ``trail_by_pct``,
``take_profit``, ``time_stop_days``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from core.decimals import ONE, ZERO, plain
from core.errors import InputError
from positions.domain.exits import ExitPlan, TakeProfitStep, step_price

STEPS_MAX: Final = 10
TIME_STOP_MAX: Final = timedelta(days=3650)
TIME_STOP_MIN: Final = timedelta(minutes=1)
GAIN_MAX: Final = Decimal(10)
DARING_STOP: Final = Decimal("0.25")
DARING_TRAIL: Final = Decimal("0.005")
DARING_TIME: Final = timedelta(days=60)
TRAIL_WHOLE: Final = (
    "A trailing stop needs both the gain it starts from and its distance; set both to 0 for none."
)


def plan_check(plan: ExitPlan) -> ExitPlan:
    """Return the plan if it makes sense for any position.

    :raises InputError: it does not; the message says which value and what is allowed
    """
    for name, value, most in (
        ("stop_loss_pct", plan.stop_loss, ONE),
        ("trail_by_pct", plan.trail_by, ONE),
        ("trail_from_pct", plan.trail_from, GAIN_MAX),
    ):
        if value is not None and not ZERO < value < most:
            raise InputError(f"It must be above 0 and below {_pct(most)} %, got {_pct(value)} %.", field=name)
    if (plan.trail_from is None) != (plan.trail_by is None):
        raise InputError(
            TRAIL_WHOLE,
            field="trail_by_pct" if plan.trail_by is None else "trail_from_pct",
        )
    if plan.time_stop is not None and not TIME_STOP_MIN <= plan.time_stop <= TIME_STOP_MAX:
        raise InputError("It must be between a minute (0.0007) and ten years (3650).", field="time_stop_days")
    _steps_check(plan.take_profit)
    return plan


def _steps_check(steps: tuple[TakeProfitStep, ...]) -> None:
    if len(steps) > STEPS_MAX:
        raise InputError(f"At most {STEPS_MAX} steps, got {len(steps)}.", field="take_profit")
    for step in steps:
        if not ZERO < step.fraction <= ONE:
            raise InputError(
                f"A step closes more than 0 and at most 100 %, got {_pct(step.fraction)} %.",
                field="take_profit",
            )
        if (step.gain is None) == (step.price is None):
            raise InputError("A step names either a gain or a price.", field="take_profit")
        level = step.gain if step.gain is not None else step.price
        if level is None or not level.is_finite() or level <= 0:
            raise InputError("A step's gain or price must be above 0.", field="take_profit")
        if step.gain is not None and step.gain > GAIN_MAX:
            raise InputError(f"A step's gain is at most {_pct(GAIN_MAX)} %.", field="take_profit")
    gains = [step.gain for step in steps if step.gain is not None]
    if any(later <= earlier for earlier, later in pairwise(gains)):
        raise InputError("Every step needs a higher gain than the one before it.", field="take_profit")
    if any(step.fraction == ONE for step in steps[:-1]):
        raise InputError("A step that closes everything must be the last one.", field="take_profit")


def steps_check_side(*, steps: Sequence[TakeProfitStep], entry: Decimal, sign: int) -> None:
    """See that a position's steps can be reached, one after the other.

    :param sign: 1 for a long, -1 for a short
    :raises InputError: a short's gain of 100 % or more, or a step that lies nearer than the one before it
    """
    levels = [step_price(step, entry=entry, sign=sign) for step in steps]
    if any(level <= 0 for level in levels):
        raise InputError("A short cannot gain 100 %: its price would be 0.", field="take_profit")
    for earlier, later in pairwise(levels):
        if (later - earlier) * sign <= 0:
            beyond = "above" if sign > 0 else "below"
            raise InputError(
                f"Every step lies {beyond} the one before it; {plain(later)} does not lie {beyond} "
                f"{plain(earlier)}.",
                field="take_profit",
            )


def plan_warnings(*, plan: ExitPlan, stands: bool = False) -> list[str]:
    """Return what to tell a person beside rules that are allowed and daring.

    :param stands: a stop guards the position already, whatever the plan says
    """
    found = []
    if plan.stop_loss is None and not stands:
        found.append("There is no stop loss: nothing closes it when it falls.")
    if plan.stop_loss is not None and plan.stop_loss > DARING_STOP:
        found.append(f"A stop {_pct(plan.stop_loss)} % away is daring: so much is lost before it closes.")
    if plan.trail_by is not None and plan.trail_by < DARING_TRAIL:
        found.append(f"A trailing stop {_pct(plan.trail_by)} % behind is daring: any small move hits it.")
    if plan.time_stop is not None and plan.time_stop > DARING_TIME:
        found.append(f"A time stop of {plan.time_stop.days} days is daring: it guards next to nothing.")
    return found


def _pct(fraction: Decimal) -> str:
    return plain(fraction * 100)
