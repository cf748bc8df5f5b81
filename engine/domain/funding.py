"""Fourth stage: which entries go now, the best ranked first: at most five at once, as far as there is room
beside what is held (``engine.domain.room``) and as far as capital reaches.

The reservation has the last word when an order is made; this keeps a plan from asking for more than
there is, and cuts the entry that only partly fits. Exits need no capital, no room and no turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial

from allocation.domain.limits import Capped, Denied
from core.decimals import ZERO
from engine.domain.copy_types import Market
from engine.domain.placement import Placement, Verdict, limit_price, sendable
from engine.domain.room import Room
from engine.domain.scoring import CandidateScore, rank_key
from execution.domain.orders import capital_needed


def entries_fund(
    *,
    placements: Mapping[str, Placement],
    scores: Mapping[str, CandidateScore],
    markets: Mapping[str, Market],
    turns: int,
    room: Room,
    free_capital: Decimal,
    margin_rate: Decimal,
    fee_rate: Decimal,
) -> dict[str, Placement]:
    """Cut entries to room and capital, in rank order; those beyond ``turns`` are queued.

    Σ needed never exceeds what is free, and what is held and ordered never exceeds a limit by an entry.

    :param scores: of every entry; ties go to the larger notional, then by name
    :param turns: how many more entries may be placed at once
    :param margin_rate: capital per unit of notional; ``fee_rate`` comes on top
    :returns: all placements, those of entries with ``capital_needed`` set
    """
    entries = sorted(
        (underlying for underlying, placement in placements.items() if placement.enters),
        key=lambda u: rank_key(
            score=scores[u].score, notional=placements[u].quantity * markets[u].mark, underlying=u
        ),
    )
    funded = dict(placements)
    left = free_capital
    for underlying in entries:
        if turns <= 0:
            funded[underlying] = replace(placements[underlying], verdict=Verdict.QUEUED, quantity=ZERO)
            continue
        market = markets[underlying]
        fitting = _fit(
            placements[underlying],
            market,
            room.left_for(underlying=underlying, quantity=placements[underlying].quantity, market=market),
        )
        funded[underlying] = (
            _fund(fitting, market, left, margin_rate, fee_rate) if fitting.enters else fitting
        )
        room.take(underlying=underlying, quantity=funded[underlying].quantity, market=market)
        left -= funded[underlying].capital_needed
        turns -= funded[underlying].enters
    return funded


def _fit(placement: Placement, market: Market, bound: Capped | Denied | None) -> Placement:
    """Cut one entry to what a limit leaves; below the venue's minimum it waits.

    A rest that would be too small for an order of its own is not waited for.
    """
    if bound is None or placement.purpose is None:
        return placement
    size = market.instrument.quantity(abs(bound.to) / market.mark)
    quantity = size.copy_sign(placement.quantity)
    if size == 0 or not sendable(quantity=quantity, purpose=placement.purpose, market=market):
        return replace(placement, verdict=Verdict.UNFUNDED, quantity=ZERO, bound=bound)
    if abs(placement.quantity - quantity) * market.mark < market.instrument.min_notional:
        return replace(placement, quantity=quantity, wanted=quantity)
    return replace(placement, quantity=quantity, bound=bound)


def _fund(
    placement: Placement, market: Market, free: Decimal, margin_rate: Decimal, fee_rate: Decimal
) -> Placement:
    """Cut one entry to ``free``; below the venue's minimum it is not sent."""
    if placement.purpose is None:
        return placement
    up = placement.quantity > 0
    price = max(market.mark, limit_price(side_up=up, purpose=placement.purpose, market=market))
    needed = partial(capital_needed, price=price, margin_rate=margin_rate, fee_rate=fee_rate)
    size = abs(placement.quantity)
    if needed(quantity=size) > free:
        size = market.instrument.quantity(max(free, ZERO) / (price * (margin_rate + fee_rate)))
        if needed(quantity=size) > free:
            size = max(ZERO, size - market.instrument.quantity_step)
        if size == 0 or not sendable(
            quantity=size.copy_sign(placement.quantity), purpose=placement.purpose, market=market
        ):
            return replace(placement, verdict=Verdict.UNFUNDED, quantity=ZERO)
    return replace(
        placement, quantity=size.copy_sign(placement.quantity), capital_needed=needed(quantity=size)
    )
