"""Orders that close whole positions because they must be closed: liquidation and emergency stop.

They are marketable and reduce-only; no copy cycle calls them back. Call with the portfolio's capital row
held and release the legs of what is closed (``engine.legs``), else it is bought back.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from accounts.models import LiveFinding
from core.types import Policy
from engine.domain.exit_draft import HeldPosition, exit_draft
from engine.domain.live_compare import part_ours
from execution.desks import Desk, desk_of
from execution.models import Order
from execution.orders import order_create
from positions.models import Position


def positions_held(*, portfolio_id: int) -> list[Position]:
    """Return the open positions with instrument and slices, by underlying."""
    rows = Position.objects.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED)
    return list(rows.select_related("instrument").prefetch_related("slices").order_by("underlying"))


def position_facts(*, position: Position, desk: Desk | None = None, whole: bool = False) -> HeldPosition:
    """Return what an exit has to know of a position, slices included.

    :param desk: where its portfolio trades, where the caller knows it already
    :param whole: whatever its venue shows of it
    """
    desk = desk or desk_of(portfolio_id=position.portfolio_id)
    return HeldPosition(
        there=_there(position) if desk.live and not whole else None,
        instrument=desk.spec(position.instrument),
        policy=Policy(position.policy),
        quantity=position.quantity,
        margin_rate=position.margin_rate,
        slices={part.follow_id: part.quantity for part in position.slices.all() if part.quantity},
    )


def _there(position: Position) -> Decimal | None:
    """Return how much of a position its venue shows, where two looks found less than our books; else None."""
    finding = LiveFinding.objects.filter(
        account_id=position.portfolio_id,
        kind=LiveFinding.Kind.MISSING,
        code=position.instrument_id,
        confirmed_at__isnull=False,
        settled_at__isnull=True,
    ).first()
    if finding is None:
        return None
    return abs(part_ours(held=position.quantity, seen=finding.seen))


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
    :raises NothingThere: the venue shows nothing of it any more
    """
    draft = exit_draft(
        held=position_facts(position=position),
        quantity=abs(position.quantity),
        mark=mark,
        market=True,
        purpose=Order.Purpose.LIQUIDATION,
        reason=why,
        lifetime_s=lifetime_s,
        origin=origin,
    )
    return order_create(
        portfolio_id=position.portfolio_id, draft=draft, reservation_id=None, run=run, now=now
    )
