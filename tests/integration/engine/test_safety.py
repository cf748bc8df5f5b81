"""One portfolio's fault stays its own, a debt halts, an outage is told, an old read joins nobody."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Portfolio
from allocation.models import CapitalAccount, Follow, FollowLeg
from core.errors import BooksDiffer
from engine import order_life, upkeep
from engine.copy_cycle import cycle_run, world_is_flat
from engine.follows import follow_start
from engine.models import CycleState, Decision
from engine.portfolios import portfolio_open
from execution.models import Fill, Order
from tests.replaying import ReplayDriver
from traders.models import Trader

GROK, DEEPSEEK = "grok-4", "deepseek-chat-v3.1"


def test_an_order_that_cannot_be_booked_halts_its_portfolio_and_no_other(
    arena: ReplayDriver, alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYN-4 for orders: the others are booked in the same pass."""
    broken = arena.portfolio(alice, name="broken", keys=(GROK,), policy="perp")
    sound = arena.portfolio(bob, name="sound", keys=(GROK,), policy="perp")
    arena.forward(20)
    arena.observe((GROK,))
    arena.act()
    assert broken.pk < sound.pk
    real = order_life.order_sync

    def sync(*, order_id: int, now: Any) -> Any:
        if Order.objects.get(pk=order_id).portfolio_id == broken.pk:
            raise BooksDiffer("the venue sold more than is held")
        return real(order_id=order_id, now=now)

    monkeypatch.setattr(order_life, "order_sync", sync)
    arena.settle()
    broken.refresh_from_db()
    sound.refresh_from_db()
    assert (broken.status, broken.status_reason) == ("halted", "the venue sold more than is held")
    assert sound.status == "active"
    assert not Fill.objects.filter(order__portfolio=broken).exists()
    assert Fill.objects.filter(order__portfolio=sound).exists()


def test_fills_left_behind_by_a_crash_are_booked_by_the_next_pass(
    arena: ReplayDriver, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EXE-6: a worker that died between the venue's match and our booking loses nothing."""
    portfolio = arena.portfolio(alice, name="crash", keys=(GROK,), policy="perp")
    arena.forward(20)
    arena.observe((GROK,))
    arena.act()
    arena.forward(1)
    with monkeypatch.context() as dying:
        dying.setattr(order_life, "orders_ask", lambda **_: None)
        order_life.orders_work(now=arena.wall_at)
    assert not Fill.objects.filter(order__portfolio=portfolio).exists()
    order_life.orders_work(now=arena.wall_at)
    assert Fill.objects.filter(order__portfolio=portfolio).exists()
    assert arena.audit() == []


def test_a_debt_halts_whoever_made_it(arena: ReplayDriver, alice: Any) -> None:
    """Capital: a loss beyond free capital is booked as a deficit and HALTs the portfolio."""
    portfolio = arena.portfolio(alice, name="debt", keys=(GROK,))
    CapitalAccount.objects.filter(pk=portfolio.pk).update(free=0, deficit=Decimal("12.5"))
    upkeep.deficits_halt(now=arena.wall_at)
    upkeep.deficits_halt(now=arena.wall_at)
    portfolio.refresh_from_db()
    assert (portfolio.status, portfolio.status_reason) == ("halted", "Losses exceed free capital by $12.50")
    assert Decision.objects.filter(portfolio=portfolio, kind="halted").count() == 1


def test_books_that_differ_stop_the_cycle_and_not_the_world(arena: ReplayDriver, alice: Any) -> None:
    """OPS-2: a difference is an alert, never a silent fix; the replay goes on for everyone else."""
    portfolio = arena.portfolio(alice, name="torn", keys=(GROK,), policy="perp")
    arena.forward(20)
    arena.observe((GROK,))
    arena.settle()
    position = portfolio.positions.exclude(quantity=0).first()
    position.slices.update(quantity=0)
    assert not world_is_flat(world=arena.world_name)
    assert cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at) is None
    portfolio.refresh_from_db()
    assert portfolio.status == Portfolio.Status.HALTED
    assert "slices sum to 0" in CycleState.objects.get(portfolio=portfolio).error
    assert world_is_flat(world=arena.world_name)


def test_a_trader_lost_for_a_day_is_recommended_to_be_closed_once(arena: ReplayDriver, alice: Any) -> None:
    """Joining, pausing, leaving: after 24 h recommend closing."""
    portfolio = arena.portfolio(alice, name="lost", keys=(GROK, DEEPSEEK), policy="perp")
    arena.forward(20)
    arena.observe((GROK, DEEPSEEK))
    arena.settle()
    Trader.objects.filter(key=GROK).update(
        failing_since=arena.wall_at - timedelta(hours=25), last_error="HTTP 500", status="degraded"
    )
    assert upkeep.lost_traders_tell(now=arena.wall_at) == 1
    assert upkeep.lost_traders_tell(now=arena.wall_at + timedelta(minutes=10)) == 0
    note = Decision.objects.get(portfolio=portfolio, text="Consider closing what Grok 4 holds here")
    assert "HTTP 500" in note.reason


def test_a_read_older_than_the_follow_does_not_join(arena: ReplayDriver, alice: Any) -> None:
    """Joining: what is open is told apart by a read made since, so nothing old is taken for new."""
    early = arena.portfolio(alice, name="early", keys=(GROK,), policy="perp")
    arena.forward(20)
    arena.observe((GROK,))  # the shared trader was read now, and not again for a while
    late = portfolio_open(
        owner=alice,
        initial_cash=Decimal(10000),
        now=arena.wall_at + timedelta(minutes=5),
        name="late",
        policy="perp",
    )
    arena.forward(300)
    follow = follow_start(portfolio=late, kind="replay", key=GROK, now=arena.wall_at)
    arena.act()
    follow.refresh_from_db()
    assert not follow.joined
    assert not FollowLeg.objects.filter(follow=follow).exists()
    arena.observe((GROK,))
    arena.settle()
    follow.refresh_from_db()
    assert follow.joined
    assert FollowLeg.objects.filter(follow=follow).exclude(ignored_quantity=0).exists()
    assert not Order.objects.filter(portfolio=late).exists()
    assert Follow.objects.get(portfolio=early).joined
