"""Split a portfolio's capital between the traders it follows: equally, or by shares its owner chose.

Weights are Decimal fractions of 1 in steps of 0.0001 and always sum to 1; no clock, settings or table here.

Shares are chosen over the active traders. Who pauses or leaves gives its part to the others pro rata,
and gets it back on resuming. Who joins gets 1/N, for which the others give pro rata.

Source: 1/N weighting, DeMiguel, Garlappi and Uppal (2009), Review of Financial Studies 22(5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from core.decimals import ONE, ZERO, plain, to_step
from core.errors import InputError

WEIGHT_STEP: Final = Decimal("0.0001")
WEIGHT_LEAST: Final = Decimal("0.01")
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
    count = _checked(trader_ids)
    share = to_step(ONE / count, WEIGHT_STEP)
    last = ONE - share * (count - 1)
    return tuple(
        Weight(trader_id=trader_id, weight=share if place < count else last)
        for place, trader_id in enumerate(trader_ids, start=1)
    )


def chosen_weights(*, shares: Sequence[tuple[int, Decimal | None]]) -> tuple[Weight, ...]:
    """Return one weight per trader, in the given order, in proportion to the shares; they sum to exactly 1.

    None is a trader nobody chose a share for: it gets 1/N. Nobody gets less than 1 %; what that and the
    rounding take comes from the largest, and what is left over goes to the last. Chosen shares that sum
    to 1 are the weights.

    :param shares: above 0
    :raises UnableToAllocate: no trader, more than ten, or one listed twice
    """
    count = _checked([trader_id for trader_id, _ in shares])
    known = [share for _, share in shares if share is not None]
    if not known:
        return equal_weights(trader_ids=[trader_id for trader_id, _ in shares])
    usual = sum(known, ZERO) / len(known)
    sizes = [usual if share is None else share for _, share in shares]
    whole = sum(sizes, ZERO)
    weights = [max(WEIGHT_LEAST, to_step(size / whole, WEIGHT_STEP)) for size in sizes]
    over = sum(weights, ZERO) - ONE
    if over > 0:
        weights[max(range(count), key=lambda place: (weights[place], -place))] -= over
    else:
        weights[-1] -= over
    return tuple(
        Weight(trader_id=trader_id, weight=weight)
        for (trader_id, _), weight in zip(shares, weights, strict=True)
    )


def shares_checked(*, percents: Mapping[int, Decimal], trader_ids: Sequence[int]) -> dict[int, Decimal]:
    """Return the shares somebody chose, as fractions by trader; 60 % is 0.6.

    :param percents: one for each of ``trader_ids``, at least 1, to 0.01, summing to exactly 100
    :raises UnableToAllocate: they are not
    """
    _checked(trader_ids)
    if set(percents) != set(trader_ids):
        msg = f"Give each active trader its percentage: {sorted(trader_ids)}, got {sorted(percents)}."
        raise UnableToAllocate(msg, field="weights")
    for trader_id, percent in percents.items():
        share = percent / 100
        if not percent.is_finite() or share < WEIGHT_LEAST or share != to_step(share, WEIGHT_STEP):
            msg = (
                f"Each trader has at least 1 %, in steps of 0.01 %; number {trader_id} was given {percent} %."
            )
            raise UnableToAllocate(msg, field="weights")
    total = sum(percents.values(), ZERO)
    if total != 100:
        msg = f"The percentages must sum to exactly 100, they sum to {plain(total)}."
        raise UnableToAllocate(msg, field="weights")
    return {trader_id: percents[trader_id] / 100 for trader_id in trader_ids}


def _checked(trader_ids: Sequence[int]) -> int:
    """Return how many traders there are.

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
    return count
