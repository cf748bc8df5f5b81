"""Split a portfolio's capital equally between the traders it follows.

Weights are Decimal fractions of 1 in steps of 0.0001; no clock, settings or table here.

Source: 1/N weighting, DeMiguel, Garlappi and Uppal (2009), Review of Financial Studies 22(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from core.decimals import ONE, to_step
from core.errors import InputError

WEIGHT_STEP: Final = Decimal("0.0001")
MAX_TRADERS: Final = 10


class UnableToAllocate(InputError):
    """There is no way to split the capital over these traders."""


@dataclass(frozen=True, slots=True)
class Weight:
    """The share of one trader, named by whatever id the caller split over."""

    trader_id: int
    weight: Decimal  # fraction of the portfolio's equity, 0 < weight <= 1


def equal_weights(*, trader_ids: Sequence[int]) -> tuple[Weight, ...]:
    """Return one weight per trader, in the given order, summing to exactly 1.

    What does not divide evenly goes to the last: three traders get 0.3333, 0.3333, 0.3334.

    :raises UnableToAllocate: no trader, more than ten, or one listed twice
    """
    count = len(trader_ids)
    if count == 0:
        msg = "There is nobody to split the capital over: follow a trader, or resume one."
        raise UnableToAllocate(msg)
    if count > MAX_TRADERS:
        msg = f"Capital can be split over at most {MAX_TRADERS} traders, got {count}: remove some first."
        raise UnableToAllocate(msg)
    if len(set(trader_ids)) != count:
        msg = f"A trader is listed twice in {list(trader_ids)}: list each once."
        raise UnableToAllocate(msg)
    share = to_step(ONE / count, WEIGHT_STEP)
    last = ONE - share * (count - 1)
    return tuple(
        Weight(trader_id=trader_id, weight=share if place < count else last)
        for place, trader_id in enumerate(trader_ids, start=1)
    )
