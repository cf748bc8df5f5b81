"""Fourth stage: which entries the free capital reaches for, largest first.

The reservation has the last word when an order is made; this keeps a plan from asking for more than
there is, and cuts the entry that only partly fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial

from core.decimals import ZERO
from engine.domain.copy_types import Market
from engine.domain.placement import Placement, Verdict, limit_price, sendable
from execution.domain.orders import capital_needed


def entries_fund(
    *,
    placements: Mapping[str, Placement],
    markets: Mapping[str, Market],
    free_capital: Decimal,
    margin_rate: Decimal,
    fee_rate: Decimal,
) -> dict[str, Placement]:
    """Cut entries to what is free: largest notional first, ties by name. Σ needed never exceeds it.

    :param margin_rate: capital per unit of notional; ``fee_rate`` comes on top
    :returns: all placements, those of entries with ``capital_needed`` set
    """
    entries = sorted(
        (u for u, p in placements.items() if p.quantity and p.purpose is not None and not p.purpose.reduces),
        key=lambda u: (-abs(placements[u].quantity) * markets[u].mark, u),
    )
    funded = dict(placements)
    left = free_capital
    for underlying in entries:
        funded[underlying] = _fund(placements[underlying], markets[underlying], left, margin_rate, fee_rate)
        left -= funded[underlying].capital_needed
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
