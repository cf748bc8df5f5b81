"""Joining, pausing, resuming and leaving a trader, on recorded trades (FOL-1, ALL-1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Portfolio
from allocation.models import Follow, FollowLeg
from core.errors import InputError
from engine.follows import follow_pause, follow_remove, follow_resume, follow_start, follows_arrange
from engine.models import Decision
from engine.portfolios import portfolio_open
from execution.models import Order
from markets.models import Instrument
from positions.models import Position, PositionSlice
from tests.replaying import ReplayDriver
from traders.recordings import recorded_trader_get

D = Decimal
GROK, QWEN, DEEPSEEK, GEMINI = "grok-4", "qwen3-max", "deepseek-chat-v3.1", "gemini-2.5-pro"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def follow_of(portfolio: Portfolio, key: str) -> Follow:
    return Follow.objects.select_related("trader", "portfolio").get(portfolio=portfolio, trader__key=key)


def run_hours(driver: ReplayDriver, hours: float, *keys: str) -> None:
    """Let world time pass, read these traders, and give orders their seconds."""
    driver.forward(hours * 6)
    driver.observe(keys)
    driver.settle()


def quantities(portfolio: Portfolio, key: str) -> dict[str, Decimal]:
    """What is held for one trader, by underlying."""
    slices = PositionSlice.objects.filter(position__portfolio=portfolio, follow__trader__key=key).exclude(
        quantity=0
    )
    return {part.position.underlying: part.quantity for part in slices.select_related("position")}


def weights(portfolio: Portfolio) -> list[Decimal]:
    """The weights in the portfolio's order."""
    return list(Follow.objects.filter(portfolio=portfolio).order_by("place").values_list("weight", flat=True))


def recorded(driver: ReplayDriver, key: str) -> dict[str, Decimal]:
    """What the record says a trader holds now."""
    return {p.code: p.quantity for p in recorded_trader_get(key=key).state_at(driver.world_at).positions}


def test_weights_are_split_anew_at_every_change(arena: ReplayDriver, alice: Any) -> None:
    """ALL-1: three traders get 0.3333, 0.3333, 0.3334; a paused one gives its share to the others."""
    portfolio = arena.portfolio(alice, name="three", keys=(GROK, QWEN, DEEPSEEK))
    assert weights(portfolio) == [D("0.3333"), D("0.3333"), D("0.3334")]
    follow_pause(follow=follow_of(portfolio, QWEN), now=arena.wall_at)
    assert weights(portfolio) == [D("0.5"), D(0), D("0.5")]
    follow_resume(follow=follow_of(portfolio, QWEN), now=arena.wall_at)
    assert weights(portfolio) == [D("0.3333"), D("0.3333"), D("0.3334")]
    order = [follow_of(portfolio, key).pk for key in (DEEPSEEK, QWEN, GROK)]
    follows_arrange(portfolio=portfolio, follow_ids=order, now=arena.wall_at)
    assert [follow_of(portfolio, key).weight for key in (DEEPSEEK, QWEN, GROK)] == [
        D("0.3333"),
        D("0.3333"),
        D("0.3334"),
    ]


def test_new_only_leaves_alone_what_was_open_before(arena: ReplayDriver, alice: Any) -> None:
    """The default: positions open at joining are not copied, the next trade is."""
    arena.forward(150)  # 25 hours in, Grok has held its positions for a day
    portfolio = portfolio_open(
        owner=alice, initial_cash=D(10000), now=arena.wall_at, name="late", policy="perp"
    )
    follow_start(portfolio=portfolio, kind="replay", key=GROK, now=arena.wall_at)
    run_hours(arena, 0.1, GROK)
    held = recorded(arena, GROK)
    legs = FollowLeg.objects.filter(follow__portfolio=portfolio)
    assert held
    assert {leg.underlying: leg.ignored_quantity for leg in legs} == held
    assert not Order.objects.filter(portfolio=portfolio).exists()

    arena.forward(600)
    run_hours(arena, 1, GROK)
    now_held = recorded(arena, GROK)
    fresh = {code for code, quantity in now_held.items() if held.get(code) != quantity}
    assert fresh  # Grok did trade meanwhile
    assert set(quantities(portfolio, GROK)) <= fresh
    assert Order.objects.filter(portfolio=portfolio).exists()


def test_a_paused_trader_opens_nothing_and_still_closes(arena: ReplayDriver, alice: Any) -> None:
    """Pause: no entries, reductions and exits continue; resume copies nothing that was opened meanwhile."""
    portfolio = arena.portfolio(
        alice, name="pause", keys=(GROK, QWEN), policy="perp", risk_profile="aggressive"
    )
    run_hours(arena, 3, GROK, QWEN)
    before = quantities(portfolio, GROK)
    assert before
    follow_pause(follow=follow_of(portfolio, GROK), now=arena.wall_at)
    for _ in range(12):
        run_hours(arena, 12, GROK, QWEN)
        for code, quantity in quantities(portfolio, GROK).items():
            dust = Instrument.objects.get(pk=code).quantity_step  # a whole position is a multiple of it
            assert abs(quantity) < abs(before[code]) + dust
            assert (quantity > 0) == (before[code] > 0)
    held = recorded(arena, GROK)
    gone = {code for code in before if held.get(code, D(0)) * before[code] <= 0}
    assert gone  # six days on, Grok has closed or turned some of them
    assert not gone & set(quantities(portfolio, GROK))

    resumed_from = quantities(portfolio, GROK)
    follow_resume(follow=follow_of(portfolio, GROK), now=arena.wall_at)
    run_hours(arena, 0.1, GROK, QWEN)
    after = quantities(portfolio, GROK)
    assert set(after) <= set(resumed_from)
    assert arena.audit() == []


def test_leaving_closes_the_slices_and_ends_the_follow(arena: ReplayDriver, alice: Any) -> None:
    """Remove with close: its slices go, the others' stay, the row stays for history."""
    portfolio = arena.portfolio(
        alice, name="leave", keys=(GROK, DEEPSEEK), policy="perp", risk_profile="balanced"
    )
    run_hours(arena, 3, GROK, DEEPSEEK)
    assert quantities(portfolio, GROK)
    follow_remove(follow=follow_of(portfolio, GROK), keep_positions=False, now=arena.wall_at)
    assert follow_of(portfolio, GROK).status == Follow.Status.LEAVING
    run_hours(arena, 0.2)
    arena.settle()
    left = follow_of(portfolio, GROK)
    assert left.status == Follow.Status.REMOVED
    assert quantities(portfolio, GROK) == {}
    assert follow_of(portfolio, DEEPSEEK).weight == 1
    assert arena.audit() == []
    follow_remove(follow=left, keep_positions=False, now=arena.wall_at)  # pressed twice
    assert Decision.objects.filter(kind="follow", text="Leaving Grok 4").count() == 1
    assert left.trader.status == "paused"  # nobody follows it any more: it is read no longer
    again = follow_start(portfolio=portfolio, kind="replay", key=GROK, now=arena.wall_at)
    again.trader.refresh_from_db()
    assert again.trader.status == "active"


def test_leaving_may_keep_the_positions_as_ones_own(arena: ReplayDriver, alice: Any) -> None:
    """Remove with keep: the slices become the owner's at their cost, and stay."""
    portfolio = arena.portfolio(
        alice, name="keep", keys=(GROK, DEEPSEEK), policy="perp", risk_profile="balanced"
    )
    run_hours(arena, 3, GROK, DEEPSEEK)
    theirs = quantities(portfolio, GROK)
    follow_remove(follow=follow_of(portfolio, GROK), keep_positions=True, now=arena.wall_at)
    run_hours(arena, 24, DEEPSEEK)
    mine = {
        part.position.underlying: part.quantity
        for part in PositionSlice.objects.filter(position__portfolio=portfolio, follow=None).select_related(
            "position"
        )
    }
    assert mine == theirs
    assert follow_of(portfolio, GROK).status == Follow.Status.REMOVED
    assert arena.audit() == []


def test_an_eleventh_trader_is_refused(alice: Any) -> None:
    """FOL-1."""
    portfolio = portfolio_open(owner=alice, initial_cash=D(10000), now=NOW, name="many", policy="perp")
    for number in range(10):
        follow_start(portfolio=portfolio, kind="hyperliquid", key=f"0x{number:040x}", now=NOW)
    with pytest.raises(InputError, match="10 traders already"):
        follow_start(portfolio=portfolio, kind="hyperliquid", key=f"0x{10:040x}", now=NOW)
    assert weights(portfolio) == [D("0.1")] * 10
    assert sorted(Follow.objects.filter(portfolio=portfolio).values_list("hue", flat=True)) == list(
        range(1, 11)
    )


def test_two_worlds_do_not_mix(arena: ReplayDriver, alice: Any) -> None:
    """ "Worlds and time": the first follow fixes the world."""
    portfolio = arena.portfolio(alice, name="one world", keys=(GROK,))
    for kind, key in (("hyperliquid", f"0x{1:040x}"), ("replay", "acc9")):
        with pytest.raises(InputError, match="cannot be mixed"):
            follow_start(portfolio=portfolio, kind=kind, key=key, now=arena.wall_at)
    with pytest.raises(InputError, match="followed already"):
        follow_start(portfolio=portfolio, kind="replay", key=GROK, now=arena.wall_at)
    assert Follow.objects.filter(portfolio=portfolio).count() == 1


def test_a_cycle_with_nothing_new_does_nothing(arena: ReplayDriver, alice: Any) -> None:
    """CON-3: unchanged inputs add no row, and place no order."""
    arena.portfolio(alice, name="calm", keys=(GROK, QWEN, DEEPSEEK), policy="perp", risk_profile="balanced")
    run_hours(arena, 2, GROK, QWEN, DEEPSEEK)
    arena.settle(steps=8)
    before = (Order.objects.count(), Decision.objects.count())
    for _ in range(3):
        arena.wall_at += timedelta(minutes=1)
        arena.world.__class__.objects.update(anchored_at=arena.world.anchored_at + timedelta(minutes=1))
        arena.forward(0)
        arena.act()
    assert (Order.objects.count(), Decision.objects.count()) == before


def test_a_recording_that_is_over_closes_everything(arena: ReplayDriver, alice: Any) -> None:
    """ADR 1: at the end of the recording every target is 0, whatever the rule."""
    portfolio = arena.portfolio(alice, name="end", keys=(GROK, DEEPSEEK), policy="perp")
    run_hours(arena, 3, GROK, DEEPSEEK)
    assert Position.objects.filter(portfolio=portfolio).exclude(status="closed").exists()
    arena.forward(2000)
    assert arena.world.clock().ended(arena.wall_at)
    arena.settle(steps=8)
    assert not Position.objects.filter(portfolio=portfolio).exclude(status="closed").exists()
    assert arena.audit() == []
