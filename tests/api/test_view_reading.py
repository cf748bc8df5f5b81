"""VIEW-1: what a view costs to read, and that it can be read while Redis is away."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import Portfolio, User
from allocation.capital import capital_version_raise
from engine.models import ExitTrigger
from engine.selectors import portfolio_reading, portfolio_repriced, portfolio_view, view_build
from markets.models import Mark
from positions.models import ExitGuard, Position, Valuation
from tests.api.making import decision_make, everything_make, follow_make, order_make, trader_make


@pytest.fixture
def full(alice: User) -> Portfolio:
    return everything_make(owner=alice)


def test_reading_costs_the_same_for_more_of_everything(full: Portfolio) -> None:
    """VIEW-1: a constant number of queries, whatever the number of traders, orders and decisions."""
    portfolio_view(portfolio=full)
    with CaptureQueriesContext(connection) as few:
        portfolio_view(portfolio=full)
    for place in range(2, 9):
        follow = follow_make(portfolio=full, trader=trader_make(key=f"trader{place}"), place=place, weight=0)
        order = order_make(portfolio=full, follow=follow)
        for _ in range(4):
            decision_make(portfolio=full, follow=follow, order=order)
    portfolio_view(portfolio=full)
    with CaptureQueriesContext(connection) as many:
        view = portfolio_view(portfolio=full)
    assert len(many) == len(few)
    assert len(view["traders"]) == 8
    assert len(view["activity"]) == 29
    assert all(len(entry["follow_ids"]) == 1 for entry in view["activity"].values())


def test_repricing_reads_prices_and_worth_alone(full: Portfolio) -> None:
    """VIEW-2: at new prices a repriced reading says what a whole one says, for four queries."""
    reading = portfolio_reading(portfolio=full)
    Mark.objects.filter(instrument_id="BTC").update(price=108_000)
    Valuation.objects.filter(portfolio=full).update(equity=10_004)
    ExitGuard.objects.filter(position__portfolio=full).update(peak_price=121_000, trail_price=114_950)
    with CaptureQueriesContext(connection) as queries:
        repriced = view_build(context=portfolio_repriced(reading=reading))
    assert len(queries) == 4
    assert repriced == portfolio_view(portfolio=full)
    assert repriced != view_build(context=reading)


def test_books_are_read_again_when_something_was_booked(full: Portfolio) -> None:
    """VIEW-2: a reading on top of another equals a whole one; unbooked, it does not ask for the books."""
    reading = portfolio_reading(portfolio=full)
    decision_make(portfolio=full, text="Something was decided")
    with CaptureQueriesContext(connection) as queries:
        news = portfolio_reading(portfolio=full, last=reading)
    assert not [query for query in queries if "positions_position" in query["sql"]]
    assert view_build(context=news) == portfolio_view(portfolio=full) != view_build(context=reading)

    position = full.positions.get()
    position.realized_pnl = 7
    position.save()
    capital_version_raise(portfolio_id=full.pk)
    booked = portfolio_reading(portfolio=full, last=news)
    assert booked.books.positions[0].realized_pnl == 7
    assert view_build(context=booked) == portfolio_view(portfolio=full)


def test_a_view_can_be_read_while_redis_is_away(full: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    """ISSUE "Faults": what is kept in Redis only saves work."""
    expected = portfolio_view(portfolio=full)

    def away(*_: Any, **__: Any) -> None:
        raise RedisConnectionError("Redis is restarting")

    monkeypatch.setattr(cache, "get_many", away)
    monkeypatch.setattr(cache, "set_many", away)
    assert portfolio_view(portfolio=full) == expected


def test_each_position_tells_what_closes_it(full: Portfolio) -> None:
    """EXT-1, VIEW-1: levels, rules and the trigger that stands; null where nothing is held in all."""
    ExitGuard.objects.update(take_profit=[{"gain_pct": "10", "fraction_pct": "50"}], first_stop_price=98_440)
    position = Position.objects.get(portfolio=full)
    exits = portfolio_view(portfolio=full)["positions"][str(position.pk)]["exits"]
    assert exits == {
        "stop": "98440",
        "first_stop": "98440",
        "trail": None,
        "activation": "119840",
        "peak": "107000",
        "target": "117700",
        "steps": [{"price": "117700", "fraction_pct": "50", "done": False}],
        "time_stop_at": "2025-11-01T00:00:00.000Z",
        "opened_at": "2025-10-18T00:00:00.000Z",
        "own": False,
        "rules": {
            "stop_loss_pct": "8",
            "trail_from_pct": "12",
            "trail_by_pct": "5",
            "time_stop_days": "14",
            "take_profit": [{"gain_pct": "10", "fraction_pct": "50"}],
        },
        "trigger": {"kind": "stop_loss", "text": "Stop loss", "status": "waiting"},
    }
    ExitTrigger.objects.update(status="done")
    ExitGuard.objects.update(trail_price=114_950, peak_price=121_000, steps_done=1)
    exits = portfolio_view(portfolio=full)["positions"][str(position.pk)]["exits"]
    assert (exits["trigger"], exits["target"], exits["steps"][0]["done"]) == (None, None, True)
    assert (exits["activation"], exits["trail"], exits["peak"]) == (None, "114950", "121000")
    ExitGuard.objects.update(ended_at=position.opened_at)
    assert portfolio_view(portfolio=full)["positions"][str(position.pk)]["exits"] is None
