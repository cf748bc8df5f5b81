"""Liquidation of paper perpetuals: when equity falls below maintenance margin, all of them are closed."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import Final

from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from accounts.models import Portfolio
from allocation.locks import capital_lock
from core.decimals import dollars
from core.errors import BooksDiffer
from core.types import Policy
from engine.closing import close_order_store, positions_held
from engine.decisions import DecisionNote, decision_store, world_time
from engine.legs import legs_forget
from engine.order_life import orders_call_back
from engine.sending import submit_later
from engine.trips import Kind, portfolio_trip
from execution.models import Order
from positions.domain.margin import LiquidationPlan
from positions.models import Position
from positions.valuation import Unpriced, books_at_marks, liquidation_check, liquidation_of

logger = logging.getLogger(__name__)
LIFETIME_S: Final = 60


def portfolios_liquidate(*, now: datetime) -> list[int]:
    """Close the perpetuals of every paper portfolio below its maintenance margin; return their ids.

    A live one is liquidated by its venue, by the venue's own rules.

    One without a mark for something it holds waits: nobody can say what it is worth.
    """
    open_perps = Position.objects.filter(policy=Policy.PERP, portfolio__mode=Portfolio.Mode.PAPER)
    open_perps = open_perps.exclude(status=Position.Status.CLOSED)
    candidates = open_perps.exclude(quantity=0).values_list("portfolio_id", flat=True).distinct()
    below = [
        books.portfolio_id
        for books in books_at_marks(portfolio_ids=candidates)
        if not books.unpriced and liquidation_of(books=books).needed
    ]
    return [portfolio_id for portfolio_id in below if _guarded(portfolio_id, now)]


def _guarded(portfolio_id: int, now: datetime) -> bool:
    """Liquidate one portfolio; its fault is its own."""
    try:
        return _liquidate(portfolio_id=portfolio_id, now=now)
    except (BooksDiffer, Unpriced, DatabaseError):
        logger.exception("liquidation of portfolio %s failed; it is tried again in seconds", portfolio_id)
        return False


def _liquidate(*, portfolio_id: int, now: datetime) -> bool:
    """Halt, call back what opens, and store a closing order for each perpetual that has no exit working."""
    with transaction.atomic():
        capital_lock(portfolio_id=portfolio_id)
        plan = liquidation_check(portfolio_id=portfolio_id)
        if not plan.needed:
            return False
        why = (
            f"Equity {dollars(plan.equity)} fell below the maintenance margin of {dollars(plan.maintenance)}"
        )
        portfolio_trip(portfolio_id=portfolio_id, kind=Kind.MARGIN, why=why, now=now)
        stored = _closes_store(portfolio_id=portfolio_id, plan=plan, why=why, now=now)
        opening = _working(portfolio_id).filter(reduce_only=False).order_by("pk")
        opening_ids = list(opening.values_list("pk", flat=True))
    orders_call_back(order_ids=opening_ids, why="The portfolio is being liquidated", now=now)
    return stored


def _working(portfolio_id: int) -> QuerySet[Order]:
    return Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES)


def _closes_store(*, portfolio_id: int, plan: LiquidationPlan, why: str, now: datetime) -> bool:
    """Store the closing orders that are missing; return whether there were any."""
    busy = set(_working(portfolio_id).values_list("underlying", flat=True))
    closes = [close for close in plan.closes if close.underlying not in busy]
    if not closes:
        return False
    portfolio = Portfolio.objects.get(pk=portfolio_id)
    _, run = world_time(world_name=portfolio.world, now=now)
    held = {position.underlying: position for position in positions_held(portfolio_id=portfolio_id)}
    for close in closes:
        order = close_order_store(
            position=held[close.underlying],
            mark=close.mark,
            why=why,
            run=run,
            lifetime_s=LIFETIME_S,
            now=now,
        )
        transaction.on_commit(partial(submit_later, order.pk))
    legs_forget(portfolio_id=portfolio_id, underlyings=[close.underlying for close in closes], now=now)
    names = ", ".join(close.code for close in closes)
    note = DecisionNote(kind="liquidation", text=f"Liquidating {names}"[:200], reason=why)
    decision_store(portfolio=portfolio, note=note, now=now)
    return True
