"""Orders that close whole positions because they must be closed: liquidation and emergency stop.

They are marketable and reduce-only; no copy cycle calls them back. Call with the portfolio's capital row
held and release the legs of what is closed (``engine.legs``), else it is bought back.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from core.types import OrderSide, Policy
from execution.domain.orders import OrderDraft, SliceDraft, market_limit
from execution.models import Order
from execution.orders import order_create
from positions.domain.netting import exit_slices
from positions.models import Position


def positions_held(*, portfolio_id: int) -> list[Position]:
    """Return the open positions with instrument and slices, by underlying."""
    rows = Position.objects.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED)
    return list(rows.select_related("instrument").prefetch_related("slices").order_by("underlying"))


def close_order_store(
    *,
    position: Position,
    mark: Decimal,
    why: str,
    run: int,
    lifetime_s: int,
    now: datetime,
    origin: str = Order.Origin.BREAKER,
) -> Order:
    """Store the order that closes all of a position, slices included; who calls has it sent.

    :param mark: the last price; the order reaches 5 % beyond it
    """
    side = OrderSide.BUY if position.quantity < 0 else OrderSide.SELL
    slices = {part.follow_id: part.quantity for part in position.slices.all() if part.quantity}
    draft = OrderDraft(
        instrument_code=position.instrument_id,
        underlying=position.underlying,
        policy=Policy(position.policy),
        side=side,
        quantity=abs(position.quantity),
        limit_price=market_limit(side=side, mark=mark, instrument=position.instrument.spec()),
        reduce_only=True,
        purpose=Order.Purpose.LIQUIDATION,
        slices=[
            SliceDraft(part.follow_id, part.quantity)
            for part in exit_slices(slices=slices, quantity=-position.quantity)
        ],
        decision_mark=mark,
        margin_rate=position.margin_rate,
        reason=why,
        lifetime_s=lifetime_s,
        origin=origin,
        market=True,
    )
    return order_create(
        portfolio_id=position.portfolio_id, draft=draft, reservation_id=None, run=run, now=now
    )
