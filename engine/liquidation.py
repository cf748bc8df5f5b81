"""Liquidation of paper perpetuals: when equity falls below maintenance margin, all of them are closed."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import F

from accounts.models import Portfolio
from allocation.locks import capital_lock
from allocation.models import FollowLeg
from core.decimals import ZERO, dollars
from core.types import OrderSide, Policy
from engine.decisions import DecisionNote, decision_store
from engine.order_life import portfolio_halt
from engine.sending import submit_later
from execution.domain.orders import OrderDraft, SliceDraft
from execution.models import Order
from execution.orders import order_cancel, order_create
from markets.models import World
from positions.domain.margin import LiquidationPlan, PerpHolding
from positions.domain.netting import exit_slices
from positions.models import Position
from positions.valuation import Unpriced, liquidation_check

PROTECTION: Final = Decimal("0.05")  # a liquidation fills at the touch; its limit is only this far away
LIFETIME_S: Final = 60


def portfolios_liquidate(*, now: datetime) -> list[int]:
    """Close the perpetuals of every portfolio below its maintenance margin; return their ids."""
    open_perps = Position.objects.filter(policy=Policy.PERP).exclude(status=Position.Status.CLOSED)
    candidates = (
        open_perps.exclude(quantity=0).order_by("portfolio_id").values_list("portfolio_id", flat=True)
    )
    return [portfolio_id for portfolio_id in candidates.distinct() if _liquidate(portfolio_id, now)]


def _liquidate(portfolio_id: int, now: datetime) -> bool:
    try:
        plan = liquidation_check(portfolio_id=portfolio_id)
    except Unpriced:
        return False  # without a mark nobody can say; the position shows as stale
    if not plan.needed:
        return False
    for order_id in _other_orders(portfolio_id):
        order_cancel(order_id=order_id, now=now, why="The portfolio is being liquidated")
    return _close_all(portfolio_id=portfolio_id, plan=plan, now=now)


def _other_orders(portfolio_id: int) -> list[int]:
    working = Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES)
    return list(
        working.exclude(purpose=Order.Purpose.LIQUIDATION).order_by("pk").values_list("pk", flat=True)
    )


@transaction.atomic
def _close_all(*, portfolio_id: int, plan: LiquidationPlan, now: datetime) -> bool:
    """Store a closing order for each perpetual that has no order working; halt the portfolio, once."""
    capital_lock(portfolio_id=portfolio_id)
    busy = set(
        Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES).values_list(
            "underlying", flat=True
        )
    )
    closes = [close for close in plan.closes if close.underlying not in busy]
    if not closes:
        return False
    portfolio = Portfolio.objects.get(pk=portfolio_id)
    why = f"Equity {dollars(plan.equity)} fell below the maintenance margin of {dollars(plan.maintenance)}"
    for close in closes:
        order = _order_store(portfolio=portfolio, close=close, why=why, now=now)
        transaction.on_commit(partial(submit_later, order.pk))
    _legs_forget(portfolio=portfolio, underlyings=[close.underlying for close in closes], now=now)
    names = ", ".join(close.code for close in closes)
    note = DecisionNote(kind="liquidation", text=f"Liquidating {names}"[:200], reason=why)
    decision_store(portfolio=portfolio, note=note, now=now)
    portfolio_halt(portfolio_id=portfolio_id, why=why, now=now)
    return True


def _legs_forget(*, portfolio: Portfolio, underlyings: list[str], now: datetime) -> None:
    """Leave what the traders still hold uncopied from now on, so that nothing is bought back (EXE-8)."""
    FollowLeg.objects.filter(follow__portfolio=portfolio, underlying__in=underlyings).update(
        ignored_quantity=F("ignored_quantity") + F("trader_quantity"),
        trader_quantity=ZERO,
        target_notional=ZERO,
        target_quantity=ZERO,
        updated_at=now,
    )


def _order_store(*, portfolio: Portfolio, close: PerpHolding, why: str, now: datetime) -> Order:
    position = Position.objects.exclude(status=Position.Status.CLOSED).get(
        portfolio=portfolio, underlying=close.underlying
    )
    buy = close.quantity < 0
    limit = close.mark * (1 + PROTECTION if buy else 1 - PROTECTION)
    slices = {part.follow_id: part.quantity for part in position.slices.all() if part.quantity}
    draft = OrderDraft(
        instrument_code=close.code,
        underlying=close.underlying,
        policy=Policy.PERP,
        side=OrderSide.BUY if buy else OrderSide.SELL,
        quantity=abs(close.quantity),
        limit_price=position.instrument.spec().price(limit, up=buy),
        reduce_only=True,
        purpose=Order.Purpose.LIQUIDATION,
        slices=[
            SliceDraft(part.follow_id, part.quantity)
            for part in exit_slices(slices=slices, quantity=-close.quantity)
        ],
        decision_mark=close.mark,
        margin_rate=position.margin_rate,
        reason=why,
        lifetime_s=LIFETIME_S,
    )
    run = World.objects.values_list("run", flat=True).get(pk=portfolio.world)
    return order_create(portfolio_id=portfolio.pk, draft=draft, reservation_id=None, run=run, now=now)
