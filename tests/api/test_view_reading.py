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
from engine.selectors import portfolio_reading, portfolio_repriced, portfolio_view, view_build
from markets.models import Mark
from positions.models import Valuation
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
    """VIEW-2: at new prices a repriced reading says what a whole one says, for three queries."""
    reading = portfolio_reading(portfolio=full)
    Mark.objects.filter(instrument_id="BTC").update(price=108_000)
    Valuation.objects.filter(portfolio=full).update(equity=10_004)
    with CaptureQueriesContext(connection) as queries:
        repriced = view_build(context=portfolio_repriced(reading=reading))
    assert len(queries) == 3
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
