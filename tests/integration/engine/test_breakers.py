"""RSK-2, RSK-4: breakers trip on what is stored, bar entries and never exits, are lifted by rule."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F

from accounts.models import Portfolio
from allocation.breakers import breaker_trip, trips_standing
from allocation.models import BreakerTrip, Follow, FollowLeg, PortfolioLimits
from core.errors import InputError, NotFound
from engine import upkeep
from engine.breakers import breakers_evaluate
from engine.follows import follow_pause, follow_remove, follow_resume
from engine.models import Decision
from engine.portfolios import cash_deposit, cash_withdraw, portfolio_settings_save
from engine.resets import trip_reset
from engine.selectors import portfolio_view
from engine.trading_mode import mode_bound
from engine.trips import Kind, portfolio_trip
from engine.wake import cycles_wake
from execution.models import Order
from markets.models import Mark
from positions.models import Position, PositionSlice, Valuation
from positions.selectors import follows_realized, follows_unrealized
from tests.replaying import ReplayDriver

GROK, DEEPSEEK = "grok-4", "deepseek-chat-v3.1"


@pytest.fixture
def portfolio(arena: ReplayDriver, alice: Any) -> Portfolio:
    """Two traders copied, something held, valued."""
    opened = arena.portfolio(
        alice, name="breakers", keys=(GROK, DEEPSEEK), policy="perp", risk_profile="balanced"
    )
    for _ in range(3):
        arena.forward(10)
        arena.observe((GROK, DEEPSEEK))
        arena.settle()
    arena.keep()
    assert Position.objects.filter(portfolio=opened).exclude(quantity=0).count() >= 2
    return opened


def lost(portfolio: Portfolio, fraction: str, *, since: str = "day_start_unit_value") -> None:
    """Pretend the portfolio lost a fraction since the day's start, or since its peak."""
    now = Valuation.objects.get(portfolio=portfolio).unit_value
    then = (now / (1 - Decimal(fraction))).quantize(Decimal("1e-12")) + Decimal("1e-9")
    Valuation.objects.filter(portfolio=portfolio).update(**{since: then})


def standing(portfolio: Portfolio) -> list[str]:
    return [trip.kind for trip in trips_standing(portfolio_id=portfolio.pk)]


def status(portfolio: Portfolio) -> tuple[str, str]:
    portfolio.refresh_from_db()
    return portfolio.status, portfolio.status_reason


def evaluate(portfolio: Portfolio, arena: ReplayDriver) -> list[int]:
    return breakers_evaluate(portfolio_ids=[portfolio.pk], now=arena.wall_at)


def test_a_days_loss_bars_entries_until_the_day_is_over(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-2: daily loss 5 %; logged, shown, and lifted at the UTC day roll of the world."""
    lost(portfolio, "0.0499")
    assert evaluate(portfolio, arena) == []
    lost(portfolio, "0.05")
    assert evaluate(portfolio, arena) == [portfolio.pk]
    assert evaluate(portfolio, arena) == []  # it stands; nothing is told twice
    assert status(portfolio) == ("reducing", "5 % lost today; the limit is 5 %")
    assert Decision.objects.filter(portfolio=portfolio, kind="breaker").count() == 1
    record = portfolio_view(portfolio=portfolio)["breakers"]
    assert [(trip["kind"], trip["resets"]) for trip in record["trips"]] == [("daily_loss", "day")]
    gauge = record["gauges"][0]
    assert (gauge["kind"], gauge["use_pct"], gauge["stands"]) == ("daily_loss", "100.00", True)

    arena.forward(144)  # a day of the world
    arena.keep()
    assert status(portfolio) == ("active", "")
    trip = BreakerTrip.objects.get(portfolio=portfolio)
    assert (trip.reset_by, trip.reset_reason) == ("day roll", "A new day of its world began")


def test_money_put_in_or_taken_out_trips_nothing(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """Breakers: equity adjusted for deposits and withdrawals; per fund unit, so flows do not count."""
    cash_deposit(portfolio=portfolio, amount=Decimal(90_000), key="in", now=arena.wall_at)
    cash_withdraw(portfolio=portfolio, amount=Decimal(93_000), key="out", now=arena.wall_at)
    arena.keep()
    assert standing(portfolio) == []
    day = portfolio_view(portfolio=portfolio)["breakers"]["gauges"][0]
    assert Decimal(day["value"]) < 1


def test_drawdown_is_lifted_by_a_person_who_says_why(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-2: 20 % from the high-water mark; its reset re-bases the mark and needs a reason."""
    lost(portfolio, "0.20", since="peak_unit_value")
    assert evaluate(portfolio, arena) == [portfolio.pk]
    (trip,) = trips_standing(portfolio_id=portfolio.pk)
    assert (trip.kind, trip.value, trip.threshold) == ("drawdown", trip.value, Decimal("0.2"))
    arena.forward(144)
    arena.keep()
    assert standing(portfolio) == ["drawdown"]  # no day ends it
    reset = {
        "portfolio_id": portfolio.pk,
        "trip_id": trip.pk,
        "by": "alice@example.com",
        "now": arena.wall_at,
    }
    with pytest.raises(InputError, match="Say why"):
        trip_reset(**reset, reason="  ")
    with pytest.raises(NotFound):
        trip_reset(**(reset | {"trip_id": trip.pk + 99}), reason="I looked")
    assert standing(portfolio) == ["drawdown"]
    answer = trip_reset(**reset, reason="I looked")
    assert (answer.lifted, answer.standing, answer.text) == (("drawdown",), (), "Drawdown reset.")
    valuation = Valuation.objects.get(portfolio=portfolio)
    assert valuation.peak_unit_value == valuation.unit_value
    assert status(portfolio) == ("active", "")
    again = trip_reset(**reset, reason="I looked")
    assert (again.lifted, again.text) == ((), "It was reset before; nothing changed.")


def test_a_cause_that_still_holds_trips_again_and_the_answer_says_so(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """RSK-2: resetting the day's loss on the same day changes nothing but the record."""
    lost(portfolio, "0.07")
    evaluate(portfolio, arena)
    (trip,) = trips_standing(portfolio_id=portfolio.pk)
    answer = trip_reset(
        portfolio_id=portfolio.pk, trip_id=trip.pk, by="alice", reason="too careful", now=arena.wall_at
    )
    assert answer.text == "Daily loss reset. Daily loss tripped again at once: its cause still holds."
    assert status(portfolio)[0] == "reducing"
    assert BreakerTrip.objects.filter(portfolio=portfolio).count() == 2


def closed_make(portfolio: Portfolio, arena: ReplayDriver, *, pnl: str, fees: str = "0") -> None:
    arena.wall_at += timedelta(seconds=1)
    Position.objects.create(
        portfolio=portfolio,
        instrument_id="BTC",
        underlying="BTC",
        policy="perp",
        status="closed",
        realized_pnl=Decimal(pnl),
        fees=Decimal(fees),
        run=1,
        opened_world_at=arena.world_at,
        closed_at=arena.wall_at,
        closed_world_at=arena.world_at,
    )


def test_five_losses_in_a_row_count_fees_and_begin_anew_after_a_reset(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """RSK-2: net P&L < 0 including fees and funding, since the last reset."""
    Position.objects.filter(portfolio=portfolio, status="closed").update(run=99)
    for _ in range(4):
        closed_make(portfolio, arena, pnl="-1")
    closed_make(portfolio, arena, pnl="0.10", fees="0.10")  # even: the streak is over
    for _ in range(4):
        closed_make(portfolio, arena, pnl="1", fees="1.01")
    assert evaluate(portfolio, arena) == []
    closed_make(portfolio, arena, pnl="-1")
    assert evaluate(portfolio, arena) == [portfolio.pk]
    (trip,) = trips_standing(portfolio_id=portfolio.pk)
    assert (trip.kind, trip.value, trip.reason) == (
        "losses_in_a_row",
        5,
        "5 losing positions in a row; the limit is 5",
    )
    arena.wall_at += timedelta(seconds=1)
    trip_reset(portfolio_id=portfolio.pk, trip_id=trip.pk, by="alice", reason="seen", now=arena.wall_at)
    for _ in range(4):
        closed_make(portfolio, arena, pnl="-1")
    assert evaluate(portfolio, arena) == []
    closed_make(portfolio, arena, pnl="-1")
    assert evaluate(portfolio, arena) == [portfolio.pk]


def test_a_portfolios_own_thresholds_count(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-1, RSK-2: a row of its own replaces the server's thresholds."""
    PortfolioLimits.objects.create(
        portfolio=portfolio, max_position="0.25", max_asset_weight="0.25", max_positions=20,
        max_correlated="0.6", max_gross=1, max_open_orders=20, daily_loss="0.02", drawdown="0.5",
        losses_in_a_row=9, emergency_loss="0.5", copy_stop="0.9",
    )  # fmt: skip
    lost(portfolio, "0.02")
    assert evaluate(portfolio, arena) == [portfolio.pk]
    assert status(portfolio) == ("reducing", "2 % lost today; the limit is 2 %")


def test_exits_pass_with_every_breaker_tripped(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-2: breakers block new entries, never exits: a trader that left everything is followed out."""
    for kind in (Kind.DAILY_LOSS, Kind.DRAWDOWN, Kind.LOSSES_IN_A_ROW, Kind.BOOKS, Kind.VENUE, Kind.DEFICIT):
        portfolio_trip(portfolio_id=portfolio.pk, kind=kind, why=f"test of {kind}", now=arena.wall_at)
    assert status(portfolio) == ("halted", "test of books")
    newest = Order.objects.latest("pk").pk
    for follow in Follow.objects.filter(portfolio=portfolio):
        snapshot = follow.trader.latest_snapshot
        snapshot.positions = []
        snapshot.save(update_fields=["positions"])
        follow.trader.basis_snapshot = snapshot
        follow.trader.save(update_fields=["basis_snapshot"])
    cycles_wake(portfolio_ids=[portfolio.pk], now=arena.wall_at, why="test")
    arena.settle()
    after = Order.objects.filter(portfolio=portfolio, pk__gt=newest)
    assert after.exists()
    assert set(after.values_list("reduce_only", flat=True)) == {True}
    assert not Position.objects.filter(portfolio=portfolio).exclude(status="closed").exists()


def test_a_tripped_breaker_calls_back_what_was_working_to_open(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """RSK-2: nothing is opened any more, orders that work to open included."""
    order = Order.objects.filter(portfolio=portfolio, purpose="entry").latest("pk")
    trip = breaker_trip(portfolio_id=portfolio.pk, kind=Kind.DRAWDOWN, reason="first", now=arena.wall_at)
    assert trip is not None
    assert breaker_trip(portfolio_id=portfolio.pk, kind="drawdown", reason="2nd", now=arena.wall_at) is None
    assert order.status == "filled"
    arena.forward(200)
    arena.observe((GROK, DEEPSEEK))
    newest = Order.objects.latest("pk").pk
    arena.settle()
    opening = Order.objects.filter(portfolio=portfolio, pk__gt=newest, reduce_only=False)
    assert not opening.exists()


def test_a_trader_that_lost_its_share_is_paused_and_its_slices_closed_alone(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """Copy stop-loss: 20 % of its assigned capital lost → paused, slices closed, the others left alone."""
    grok = Follow.objects.get(portfolio=portfolio, trader__key=GROK)
    deepseek = Follow.objects.get(portfolio=portfolio, trader__key=DEEPSEEK)
    slices = PositionSlice.objects.filter(follow=grok).exclude(quantity=0)
    assert slices.exists()
    others = {s.pk: s.quantity for s in PositionSlice.objects.filter(follow=deepseek, quantity__gt=0)}
    equity = Valuation.objects.get(portfolio=portfolio).equity
    Follow.objects.filter(pk=grok.pk).update(stop_base=grok.weight * equity)  # it brought that once
    assert evaluate(portfolio, arena) == [portfolio.pk]
    assert evaluate(portfolio, arena) == []
    grok.refresh_from_db()
    assert (grok.status, grok.weight) == ("paused", 0)
    assert status(portfolio)[0] == "active"
    (trip,) = trips_standing(portfolio_id=portfolio.pk)
    assert (trip.kind, trip.effect, trip.follow_id) == ("copy_stop", "follow", grok.pk)
    with pytest.raises(InputError, match="copy stop-loss of Grok 4 stands"):
        follow_resume(follow=grok, now=arena.wall_at)
    reset = {"portfolio_id": portfolio.pk, "trip_id": trip.pk, "by": "alice", "reason": "again"}
    with pytest.raises(InputError, match="still being closed"):
        trip_reset(**reset, now=arena.wall_at)
    arena.settle()
    assert not PositionSlice.objects.filter(follow=grok).exclude(quantity=0).exists()
    now = {s.pk: s.quantity for s in PositionSlice.objects.filter(follow=deepseek)}
    # Short of BTC it stood against Grok's long: without that the short is exposure, which limits bound.
    assert all(abs(now[pk]) >= abs(quantity) for pk, quantity in others.items())
    assert arena.audit() == []

    answer = trip_reset(**reset, now=arena.wall_at)
    assert answer.text == "Copy stop-loss reset."
    grok.refresh_from_db()
    assert (grok.status, grok.weight) == ("active", Decimal("0.5"))
    realized = sum(s.realized_pnl - s.fees + s.funding for s in PositionSlice.objects.filter(follow=grok))
    assert grok.stop_base == realized
    arena.observe((GROK, DEEPSEEK))
    arena.settle()
    assert not PositionSlice.objects.filter(follow=grok).exclude(quantity=0).exists()  # nothing bought back
    assert not FollowLeg.objects.filter(follow=grok).exclude(trader_quantity=0).exists()


def test_a_trader_its_owner_paused_keeps_its_copy_stop(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """Copy stop-loss: of what a paused trader left, against the share it had; lifting it resumes nobody."""
    grok = Follow.objects.get(portfolio=portfolio, trader__key=GROK)
    share = grok.weight
    follow_pause(follow=grok, now=arena.wall_at)
    arena.settle()
    grok.refresh_from_db()
    assert (grok.weight, grok.paused_weight, share) == (0, Decimal("0.5"), Decimal("0.5"))
    assert PositionSlice.objects.filter(follow=grok).exclude(quantity=0).exists()
    equity = Valuation.objects.get(portfolio=portfolio).equity
    ids = [portfolio.pk]
    brought = follows_realized(portfolio_ids=ids)[portfolio.pk][grok.pk]
    brought += follows_unrealized(portfolio_ids=ids)[grok.pk]
    Follow.objects.filter(pk=grok.pk).update(stop_base=brought + Decimal("0.19") * share * equity)
    assert evaluate(portfolio, arena) == []
    base = brought + Decimal("0.21") * share * equity
    Follow.objects.filter(pk=grok.pk).update(stop_base=base)
    assert evaluate(portfolio, arena) == ids
    arena.settle()
    assert not PositionSlice.objects.filter(follow=grok).exclude(quantity=0).exists()
    assert evaluate(portfolio, arena) == []

    (trip,) = trips_standing(portfolio_id=portfolio.pk)
    reset = {"portfolio_id": portfolio.pk, "trip_id": trip.pk, "by": "alice", "reason": "seen"}
    assert trip_reset(**reset, now=arena.wall_at).text == "Copy stop-loss reset."
    grok.refresh_from_db()
    assert (grok.status, grok.weight, grok.paused_by_owner) == ("paused", 0, True)
    assert grok.stop_base == follows_realized(portfolio_ids=ids)[portfolio.pk][grok.pk] != base
    follow_resume(follow=grok, now=arena.wall_at)
    grok.refresh_from_db()
    assert (grok.status, grok.weight, grok.paused_weight) == ("active", Decimal("0.5"), 0)


def test_a_stop_ends_with_its_trader_and_says_so(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-2: what lifted a trip is named rightly."""
    grok = Follow.objects.get(portfolio=portfolio, trader__key=GROK)
    Follow.objects.filter(pk=grok.pk).update(stop_base=grok.weight * 10_000)
    assert evaluate(portfolio, arena) == [portfolio.pk]
    arena.settle()
    grok.refresh_from_db()
    follow_remove(follow=grok, keep_positions=False, now=arena.wall_at)
    arena.settle()
    assert evaluate(portfolio, arena) == [portfolio.pk]
    trip = BreakerTrip.objects.get(portfolio=portfolio)
    assert (trip.reset_by, trip.reset_reason) == (
        "leaving the trader",
        "Its trader is not followed any more",
    )


def test_single_holds_what_it_has_and_opens_nothing_more(arena: ReplayDriver, alice: Any) -> None:
    """RSK-4: at most one open position; nothing held is sold for it."""
    portfolio = arena.portfolio(
        alice, name="single", keys=(GROK, DEEPSEEK), policy="perp", risk_profile="balanced"
    )
    portfolio_settings_save(portfolio=portfolio, trading_mode="single", now=arena.wall_at)
    for _ in range(3):
        arena.forward(10)
        arena.observe((GROK, DEEPSEEK))
        arena.settle()
    held = Position.objects.filter(portfolio=portfolio).exclude(status="closed")
    assert held.count() == 1
    portfolio_settings_save(portfolio=portfolio, trading_mode="multi", now=arena.wall_at)
    arena.settle()
    several = held.count()
    assert several > 1
    portfolio_settings_save(portfolio=portfolio, trading_mode="single", now=arena.wall_at)
    arena.settle()
    assert held.count() == several


def test_hybrid_is_single_from_half_a_breaker_on(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-4: hybrid."""
    portfolio_settings_save(portfolio=portfolio, trading_mode="hybrid", now=arena.wall_at)
    Valuation.objects.filter(portfolio=portfolio).update(day_start_unit_value="0.5", peak_unit_value="0.5")
    assert mode_bound(portfolio=portfolio) == ""
    lost(portfolio, "0.025")
    assert mode_bound(portfolio=portfolio).startswith("the trading mode is hybrid and half a breaker is used")


def test_evaluating_many_costs_a_fixed_number_of_queries(
    arena: ReplayDriver, portfolio: Portfolio, bob: Any, django_assert_num_queries: Any
) -> None:
    """RSK-2: no query per portfolio while nothing changed."""
    ids = [portfolio.pk]
    breakers_evaluate(portfolio_ids=ids, now=arena.wall_at)
    with django_assert_num_queries(7):
        breakers_evaluate(portfolio_ids=ids, now=arena.wall_at)
    ids += [arena.portfolio(bob, name=f"more {n}", keys=(GROK,), policy="perp").pk for n in range(4)]
    upkeep.portfolios_value(now=arena.wall_at)
    with django_assert_num_queries(7):
        breakers_evaluate(portfolio_ids=ids, now=arena.wall_at)


def test_a_new_run_ends_the_trips_of_the_day(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """Breakers: a replay's new run begins day and peak anew."""
    lost(portfolio, "0.05")
    evaluate(portfolio, arena)
    portfolio_trip(portfolio_id=portfolio.pk, kind=Kind.DRAWDOWN, why="unseen", now=arena.wall_at)
    Valuation.objects.filter(portfolio=portfolio).update(run=2, day_start_unit_value=F("unit_value"))
    evaluate(portfolio, arena)
    assert standing(portfolio) == ["drawdown"]


def test_stale_numbers_of_another_day_trip_nothing(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-2: what is decided is read again with the account locked."""
    Mark.objects.update(received_at=arena.wall_at)
    lost(portfolio, "0.05")
    Valuation.objects.filter(portfolio=portfolio).update(at=None)
    assert evaluate(portfolio, arena) == []
