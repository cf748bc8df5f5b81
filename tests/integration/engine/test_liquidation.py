"""Paper perpetuals are liquidated when equity falls below maintenance margin, and are not bought back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from accounts.models import Portfolio
from allocation.models import CapitalAccount, FollowLeg
from engine.liquidation import portfolios_liquidate
from engine.models import Decision
from engine.order_life import orders_work
from execution.models import Order
from markets.models import Mark
from positions.models import Position
from tests.replaying import ReplayDriver

GROK, DEEPSEEK = "grok-4", "deepseek-chat-v3.1"
ONE_SECOND = timedelta(seconds=1)


def test_a_crash_liquidates_halts_and_is_not_bought_back(arena: ReplayDriver, alice: Any) -> None:
    """Money in and out: paper perps keep maintenance margin and can be liquidated; EXE-8."""
    portfolio = arena.portfolio(
        alice, name="x2", keys=(GROK, DEEPSEEK), policy="perp", risk_profile="aggressive"
    )
    for _ in range(4):
        arena.forward(10)
        arena.observe((GROK, DEEPSEEK))
        arena.settle()
    held = Position.objects.filter(portfolio=portfolio, quantity__gt=0)
    assert held.count() >= 2
    gross = sum(position.cost for position in held)
    assert gross > 10000  # above one times equity, so a fall can ruin it

    for mark in Mark.objects.all():  # everything falls to a twentieth within a tick
        mark.price = mark.price / 20
        mark.save(update_fields=["price"])
    assert portfolios_liquidate(now=arena.wall_at) == [portfolio.pk]
    closes = Order.objects.filter(portfolio=portfolio, purpose=Order.Purpose.LIQUIDATION)
    assert closes.count() == held.count()
    assert portfolios_liquidate(now=arena.wall_at) == []  # its orders are at work already

    for _ in range(60):
        if (
            not Position.objects.filter(portfolio=portfolio)
            .exclude(status="closed")
            .exclude(quantity=0)
            .exists()
        ):
            break
        arena.wall_at += ONE_SECOND
        Mark.objects.update(received_at=arena.wall_at)  # the market stays where it fell
        orders_work(now=arena.wall_at)
    portfolio.refresh_from_db()
    assert portfolio.status == Portfolio.Status.HALTED
    assert (
        not Position.objects.filter(portfolio=portfolio).exclude(status="closed").exclude(quantity=0).exists()
    )
    assert Decision.objects.filter(portfolio=portfolio, kind="liquidation").count() == 1
    account = CapitalAccount.objects.get(portfolio=portfolio)
    assert account.deficit >= 0
    assert account.committed == 0
    assert all(
        leg.trader_quantity == 0 and leg.ignored_quantity
        for leg in FollowLeg.objects.filter(
            follow__portfolio=portfolio, underlying__in=closes.values("underlying")
        )
    )
    assert arena.audit() == []

    Portfolio.objects.filter(pk=portfolio.pk).update(status=Portfolio.Status.ACTIVE)
    orders = Order.objects.count()
    arena.forward(1)
    arena.settle()
    assert Order.objects.count() == orders
