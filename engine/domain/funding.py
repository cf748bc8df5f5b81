"""Fourth stage: which entries go now, the best ranked first: at most five at once, as far as capital reaches.

The reservation has the last word when an order is made; this keeps a plan from asking for more than
there is, and cuts the entry that only partly fits. Exits need no capital and no turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial

from core.decimals import ZERO
from engine.domain.copy_types import Market
from engine.domain.placement import Placement, Verdict, limit_price, sendable
from engine.domain.scoring import CandidateScore, rank_key
from execution.domain.orders import capital_needed


def entries_fund(
    *,
    placements: Mapping[str, Placement],
    scores: Mapping[str, CandidateScore],
    markets: Mapping[str, Market],
    turns: int,
    free_capital: Decimal,
    margin_rate: Decimal,
    fee_rate: Decimal,
) -> dict[str, Placement]:
    """Cut entries to what is free, in rank order; those beyond ``turns`` are queued.

    Σ needed never exceeds what is free.

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
        funded[underlying] = _fund(placements[underlying], markets[underlying], left, margin_rate, fee_rate)
        left -= funded[underlying].capital_needed
        turns -= funded[underlying].enters
    return funded


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
