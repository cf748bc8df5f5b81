"""Which legs would chase a price that has run away from their trader's own entry (EXE-4).

Only what a trader opened or added and what has not been carried out yet is guarded: a position that is
held may grow by a new weight or a rebalance at any price. Every leg is judged by itself, anew in every
decision, so what was skipped is copied if the price comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from allocation.domain.chase import price_run
from allocation.domain.limits import kept
from engine.domain.copy_types import Market
from engine.domain.legs import NO_MEMORY, Leg
from positions.domain.netting import FollowId


def legs_chased(
    *, legs: Sequence[Leg], goals: Mapping[FollowId, Decimal], market: Market, max_chase: Decimal
) -> dict[FollowId, Decimal]:
    """Return how far the price has run past the entry of each leg's trader, for those it ran too far past.

    :param goals: where each slice should go, in units of the market's instrument
    :param max_chase: fraction of the entry that is still followed
    """
    price = market.mark / market.instrument.multiplier
    runs = {
        leg.follow_id: price_run(price=price, entry=leg.entry_price, long=goals[leg.follow_id] > 0)
        for leg in legs
        if leg.votes and _trader_opens(leg, goals[leg.follow_id], market)
    }
    return {follow_id: run for follow_id, run in runs.items() if run > max_chase}


def _trader_opens(leg: Leg, goal: Decimal, market: Market) -> bool:
    """Tell whether a slice is to grow because its trader opened or added, now or in a change unfinished."""
    base = kept(held=leg.held, wanted=goal)
    if goal == base:
        return False
    if base == 0:
        return True
    memory = leg.memory or NO_MEMORY
    missing = (abs(memory.target_quantity) - abs(leg.held)) * market.mark
    if missing >= market.instrument.min_notional:
        return True
    return leg.trader_quantity is not None and abs(leg.trader_quantity) > abs(memory.trader_quantity)
