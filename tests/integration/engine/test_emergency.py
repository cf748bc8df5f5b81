"""RSK-3, BEY-8: one press closes, cancels and freezes; a second is harmless; a drill sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from accounts.models import AuditEntry, Portfolio
from allocation.breakers import trips_standing
from allocation.models import BreakerTrip, CapitalAccount, Follow
from core.errors import InputError
from engine import upkeep
from engine.breakers import breakers_evaluate
from engine.commands import command_accept, command_run, commands_due
from engine.copy_cycle import cycle_run
from engine.emergency import emergency_drill, emergency_stop, portfolio_resume, stopped_flatten
from engine.liquidation import portfolios_liquidate
from engine.models import Command, Decision
from engine.order_life import orders_work
from execution.models import Order, PaperOrder
from markets.models import Mark
from markets.recordings import ALPHA_ARENA
from positions.audit import books_audit
from positions.models import Position, Valuation
from positions.services import transfers_book
from tests.integration.engine.test_races import Deciding, aside, at_once, deciding
from tests.replaying import ReplayDriver

__all__ = ["deciding"]
pytestmark = pytest.mark.django_db(transaction=True)
GROK, QWEN, DEEPSEEK = "grok-4", "qwen3-max", "deepseek-chat-v3.1"
SHORT = {"by": "alice@example.com", "reason": "the news"}


@pytest.fixture
def arena() -> ReplayDriver:
    """The Alpha Arena 3 hours in: its traders hold something."""
    driver = ReplayDriver(ALPHA_ARENA).start()
    driver.forward(18)
    return driver


@pytest.fixture
def portfolio(arena: ReplayDriver) -> Iterator[Portfolio]:
    """Two traders copied, several positions held; in the end the books must be clean."""
    owner = get_user_model().objects.create_user(email="stop@example.com", password="correct horse battery")
    settings = {"policy": "perp", "risk_profile": "balanced"}
    opened = arena.portfolio(owner, name="stop", keys=(GROK, QWEN), **settings)
    for _ in range(3):
        arena.observe((GROK, QWEN))
        arena.settle()
        arena.forward(5)
    arena.keep()
    assert held(opened).count() >= 2
    yield opened
    assert books_audit() == []


def held(portfolio: Portfolio) -> Any:
    return Position.objects.filter(portfolio=portfolio).exclude(status="closed")


def working(portfolio: Portfolio) -> Any:
    return Order.objects.filter(portfolio=portfolio, status__in=Order.OPEN_STATUSES)


def stop(arena: ReplayDriver, portfolio: Portfolio) -> Any:
    return emergency_stop(portfolio_id=portfolio.pk, now=arena.wall_at, **SHORT)


def let_fill(arena: ReplayDriver, *, steps: int = 4) -> None:
    """What ``orders.work`` does, every half second, while the market goes on."""
    for _ in range(steps):
        arena.forward(0.5)
        orders_work(now=arena.wall_at)
        stopped_flatten(now=arena.wall_at)


def test_one_press_closes_everything_and_nothing_is_bought_back(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """RSK-3: cancelled, closed, frozen; EXE-8: resumed, what was closed stays closed."""
    quantities = {p.underlying: p.quantity for p in held(portfolio)}
    newest = Order.objects.latest("pk").pk
    answer = stop(arena, portfolio)
    assert (answer.pressed_before, answer.flat, answer.positions) == (False, False, len(quantities))
    closes = Order.objects.filter(portfolio=portfolio, pk__gt=newest)
    assert {o.underlying: (o.quantity if o.side == "SELL" else -o.quantity) for o in closes} == quantities
    assert all(o.reduce_only and o.market and o.status == "submitted" for o in closes)  # sent by itself
    let_fill(arena)
    assert not held(portfolio).exists()
    assert not working(portfolio).exists()
    assert Order.objects.filter(pk__gt=newest).count() == len(quantities)  # each sold once
    portfolio.refresh_from_db()
    assert (portfolio.status, portfolio.status_reason) == (
        "halted",
        "Stopped by alice@example.com: the news",
    )
    assert CapitalAccount.objects.get(pk=portfolio.pk).committed == 0

    arena.forward(60)
    arena.observe((GROK, QWEN))
    arena.settle()
    assert not held(portfolio).exists()  # frozen
    with pytest.raises(InputError, match="Say why"):
        portfolio_resume(portfolio_id=portfolio.pk, by="alice", reason="", now=arena.wall_at)
    resumed = portfolio_resume(portfolio_id=portfolio.pk, by="alice", reason="it is over", now=arena.wall_at)
    assert (resumed.lifted, resumed.standing) == (("emergency_stop",), ())
    portfolio.refresh_from_db()
    assert portfolio.status == "active"
    orders = Order.objects.count()
    arena.observe((GROK, QWEN))
    arena.settle()
    assert Order.objects.count() == orders
    assert not Follow.objects.filter(portfolio=portfolio, resumed_at__isnull=False).exists()


def test_a_second_press_is_harmless_and_says_so(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-3: pressed twice, and again once flat."""
    stop(arena, portfolio)
    orders = Order.objects.count()
    again = stop(arena, portfolio)
    assert again.pressed_before
    assert Order.objects.count() == orders
    assert "are still open; they are being closed" in again.text
    let_fill(arena)
    flat = stop(arena, portfolio)
    assert (flat.flat, flat.text) == (True, "Stopped before; nothing new is opened. Nothing is open.")
    assert BreakerTrip.objects.filter(portfolio=portfolio).count() == 1


def test_pressed_twice_at_once_each_position_is_sold_once(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-3: two connections, one lock."""
    positions = held(portfolio).count()
    newest = Order.objects.latest("pk").pk
    answers = at_once(lambda: stop(arena, portfolio), lambda: stop(arena, portfolio))
    assert sorted(answer.pressed_before for answer in answers) == [False, True]
    assert Order.objects.filter(pk__gt=newest).count() == positions
    let_fill(arena)
    assert not held(portfolio).exists()


def test_liquidation_and_stop_together_sell_once(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-3: both want everything closed; one of them closes each position."""
    daring = arena.portfolio(
        portfolio.owner, name="daring", keys=(GROK, DEEPSEEK), policy="perp", risk_profile="aggressive"
    )
    for _ in range(4):
        arena.forward(10)
        arena.observe((GROK, QWEN, DEEPSEEK))
        arena.settle()
    positions = held(daring).exclude(quantity=0).count()
    assert positions >= 2
    for mark in Mark.objects.all():  # everything falls to a twentieth within a tick
        mark.price /= 20
        mark.save(update_fields=["price"])
    newest = Order.objects.latest("pk").pk
    results = at_once(lambda: portfolios_liquidate(now=arena.wall_at), lambda: stop(arena, daring))
    assert not [result for result in results if isinstance(result, Exception)]
    assert Order.objects.filter(portfolio=daring, pk__gt=newest).count() == positions
    for _ in range(60):
        arena.wall_at += timedelta(seconds=1)
        Mark.objects.update(received_at=arena.wall_at)  # the market stays where it fell
        orders_work(now=arena.wall_at)
        stopped_flatten(now=arena.wall_at)
        if not held(daring).exists():
            break
    assert not held(daring).exists()
    kinds = {trip.kind for trip in trips_standing(portfolio_id=daring.pk)}
    assert "emergency_stop" in kinds


def test_a_cycle_that_had_decided_does_not_act(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """RSK-3: between gathering and acting the stop comes; the cycle's orders are never stored."""
    arena.forward(30)
    arena.observe((GROK, QWEN))
    newest = Order.objects.latest("pk").pk
    deciding.meanwhile.append(lambda: aside(lambda: stop(arena, portfolio)))
    cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    assert len(deciding.seen) == 2  # superseded once; the second saw the freeze
    assert deciding.seen[1].entries_blocked == "Stopped by alice@example.com: the news"
    made = Order.objects.filter(pk__gt=newest)
    assert set(made.values_list("purpose", flat=True)) == {"liquidation"}
    let_fill(arena)
    assert not held(portfolio).exists()


def test_orders_of_unknown_outcome_are_chased(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-3: one that did arrive is cancelled at the venue; the freeze holds until it is known."""
    source = Order.objects.filter(portfolio=portfolio, purpose="entry").latest("pk")
    lost = Order.objects.create(
        portfolio=portfolio, instrument=source.instrument, underlying=source.underlying, policy="perp",
        margin_rate=1, client_order_id="0x" + "ab" * 16, venue="paper", side="BUY", quantity=source.quantity,
        limit_price=source.limit_price / 2, purpose="entry", status="unknown", decision_mark=1,
        created_at=arena.wall_at, submit_claimed_at=arena.wall_at,
        expires_at=arena.wall_at + timedelta(seconds=60),
    )  # fmt: skip
    lost.slices.create(follow=Follow.objects.filter(portfolio=portfolio).first(), quantity=source.quantity)
    PaperOrder.objects.create(
        client_order_id=lost.client_order_id, account=f"portfolio:{portfolio.pk}", world=arena.world_name,
        instrument_code=lost.instrument_id, policy="perp", side="BUY", quantity=lost.quantity,
        limit_price=lost.limit_price, accepted_at=arena.wall_at, matchable_at=arena.wall_at,
        expires_at=lost.expires_at,
    )  # fmt: skip
    stop(arena, portfolio)
    lost.refresh_from_db()
    assert lost.status == "cancelled"
    let_fill(arena)
    assert not held(portfolio).exists()
    assert not working(portfolio).exists()


def test_a_close_that_expires_unfilled_is_followed_by_another(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """RSK-3: the sweep re-issues, at the newer price; a stale price is said."""
    arena.wall_at += timedelta(seconds=20)  # the market has gone quiet: no mark is fresh
    answer = stop(arena, portfolio)
    assert len(answer.left) == held(portfolio).count()
    assert "its price is " in answer.left[0]
    first = set(working(portfolio).values_list("pk", flat=True))
    arena.wall_at += timedelta(seconds=16)
    for _ in range(3):
        orders_work(now=arena.wall_at)
        stopped_flatten(now=arena.wall_at)
        arena.wall_at += timedelta(seconds=1)
    assert not set(Order.objects.filter(pk__in=first).values_list("status", flat=True)) - {"expired"}
    assert working(portfolio).exclude(pk__in=first).count() == len(first)
    let_fill(arena, steps=6)
    assert not held(portfolio).exists()


def test_a_bad_day_closes_everything_by_itself(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-2: emergency liquidation at a day's loss of 10 %."""
    unit = Valuation.objects.get(portfolio=portfolio).unit_value
    Valuation.objects.filter(portfolio=portfolio).update(day_start_unit_value=unit / D("0.9") + D("0.001"))
    breakers_evaluate(portfolio_ids=[portfolio.pk], now=arena.wall_at)
    assert [t.kind for t in trips_standing(portfolio_id=portfolio.pk)] == ["daily_loss", "emergency_loss"]
    assert stopped_flatten(now=arena.wall_at) == [portfolio.pk]
    let_fill(arena)
    assert not held(portfolio).exists()
    portfolio.refresh_from_db()
    assert portfolio.status == "halted"
    assert portfolio.status_reason.endswith("lost today; at 10 % everything is closed")
    assert upkeep.portfolios_value(now=arena.wall_at) >= 1


def test_two_evaluators_make_one_trip(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-2: a breaker trips once, whoever sees it first."""
    Valuation.objects.filter(portfolio=portfolio).update(peak_unit_value=2)
    done = at_once(
        *[lambda: breakers_evaluate(portfolio_ids=[portfolio.pk], now=arena.wall_at) for _ in range(4)]
    )
    assert sorted(len(changed) for changed in done) == [0, 0, 0, 1]
    assert BreakerTrip.objects.filter(portfolio=portfolio).count() == 1
    assert Decision.objects.filter(portfolio=portfolio, kind="breaker").count() == 1


def test_slices_that_net_to_nothing_are_settled(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-3, ADR 4: a flat position with two opposed slices is closed too, without an order."""
    one, other = Follow.objects.filter(portfolio=portfolio).order_by("pk").values_list("pk", flat=True)
    assert not held(portfolio).filter(underlying="DOGE").exists()
    transfers_book(
        portfolio=portfolio, instrument_code="DOGE", underlying="DOGE", pairs=[(one, other, D(100))],
        mark=Mark.objects.get(instrument_id="DOGE").price, margin_rate=D(1), run=1, now=arena.wall_at,
        world_at=arena.world_at,
    )  # fmt: skip
    stop(arena, portfolio)
    let_fill(arena)
    assert not held(portfolio).exists()
    assert not Order.objects.filter(portfolio=portfolio, purpose="liquidation", underlying="DOGE").exists()


def test_a_drill_changes_nothing_and_says_what_would_be_sent(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """BEY-8: measured without sending."""
    before = (
        list(Order.objects.order_by("pk").values()),
        CapitalAccount.objects.filter(pk=portfolio.pk).values().get(),
        list(portfolio.follows.values_list("legs__ignored_quantity", "legs__trader_quantity")),
    )
    answer = emergency_drill(portfolio_id=portfolio.pk, now=arena.wall_at)
    after = (
        list(Order.objects.order_by("pk").values()),
        CapitalAccount.objects.filter(pk=portfolio.pk).values().get(),
        list(portfolio.follows.values_list("legs__ignored_quantity", "legs__trader_quantity")),
    )
    assert after == before
    assert len(answer.closes) == held(portfolio).exclude(quantity=0).count()
    assert 0 < answer.seconds < 10
    assert answer.text.startswith("Ready in ")
    assert Decision.objects.filter(portfolio=portfolio, kind="drill").count() == 1
    assert not BreakerTrip.objects.filter(portfolio=portfolio).exists()


def test_resuming_waits_until_flat_or_for_an_explicit_word(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """RSK-3: only when flat, or by choice."""
    with pytest.raises(InputError, match="Nothing was stopped"):
        portfolio_resume(portfolio_id=portfolio.pk, by="a", reason="b", now=arena.wall_at)
    stop(arena, portfolio)
    with pytest.raises(InputError, match="are still open"):
        portfolio_resume(portfolio_id=portfolio.pk, by="a", reason="b", now=arena.wall_at)
    portfolio_resume(portfolio_id=portfolio.pk, by="a", reason="b", now=arena.wall_at, even_open=True)
    portfolio.refresh_from_db()
    assert portfolio.status == "active"
    let_fill(arena)
    arena.settle()
    assert not held(portfolio).exists()


# ---------------------------------------------------------------- commands
def ask(arena: ReplayDriver, portfolio: Portfolio, kind: str, key: str = "k", **data: Any) -> Command:
    return command_accept(
        portfolio=portfolio, kind=kind, data=data, key=key, asked_by=portfolio.owner, via="page",
        now=arena.wall_at,
    )  # fmt: skip


def test_the_command_freezes_when_accepted_and_ends_when_flat(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """VIEW-3, RSK-3: frozen before any worker looks; typed name; kept for audit; first in the queue."""
    with pytest.raises(InputError, match="Type the portfolio's name"):
        ask(arena, portfolio, "emergency_stop", confirm="Stop")
    assert not BreakerTrip.objects.filter(portfolio=portfolio).exists()
    earlier = ask(arena, portfolio, "drill", key="d")
    command = ask(arena, portfolio, "emergency_stop", confirm="stop", reason="the news")
    portfolio.refresh_from_db()
    assert (portfolio.status, portfolio.status_reason) == ("halted", "Stopped by stop@example.com: the news")
    assert commands_due(now=arena.wall_at) == [command.pk, earlier.pk]
    assert command_run(command_id=earlier.pk, now=arena.wall_at) == "done"
    assert command_run(command_id=command.pk, now=arena.wall_at) == "running"
    let_fill(arena)
    assert command_run(command_id=command.pk, now=arena.wall_at) == "done"
    command.refresh_from_db()
    assert command.answer == "Stopped before; nothing new is opened. Nothing is open."
    outcomes = AuditEntry.objects.filter(command_id=command.pk).order_by("id")
    assert list(outcomes.values_list("action", "outcome")) == [
        ("portfolio.emergency_stop", "accepted"),
        ("portfolio.emergency_stop", "done"),
    ]
    resume = ask(arena, portfolio, "resume", key="r", reason="over")
    assert command_run(command_id=resume.pk, now=arena.wall_at) == "done"
    portfolio.refresh_from_db()
    assert portfolio.status == "active"


def test_a_breaker_is_reset_by_command(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """VIEW-3, RSK-2: by a person with a reason; a foreign or an unknown trip is refused."""
    Valuation.objects.filter(portfolio=portfolio).update(peak_unit_value=2)
    breakers_evaluate(portfolio_ids=[portfolio.pk], now=arena.wall_at)
    (trip,) = trips_standing(portfolio_id=portfolio.pk)
    with pytest.raises(InputError, match="cannot be empty"):
        ask(arena, portfolio, "breaker_reset", trip_id=trip.pk, reason=" ")
    with pytest.raises(InputError, match="no trip"):
        ask(arena, portfolio, "breaker_reset", trip_id=trip.pk + 7, reason="seen")
    command = ask(arena, portfolio, "breaker_reset", trip_id=trip.pk, reason="seen")
    assert command_run(command_id=command.pk, now=arena.wall_at) == "done"
    command.refresh_from_db()
    assert command.answer == "Drawdown reset."
    trip.refresh_from_db()
    assert (trip.reset_by, trip.reset_reason) == ("stop@example.com", "seen")
