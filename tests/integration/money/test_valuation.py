"""Equity, unit value, peak, day start and the equity curve (VIEW-1)."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from allocation.cash import cash_deposit
from markets.models import World
from positions.booking import fill_book
from positions.models import EquityPoint, Valuation
from positions.valuation import Unpriced, books_at_marks, portfolio_equity, valuations_update
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    """10,000 in cash, 0.05 BTC bought at 100,000 with 1:1 margin, no fee."""
    opened = desk_open(policy="perp")
    opened.mark("100000")
    order = opened.order("BUY", "0.05", "100000")
    fill_book(order_id=order.pk, fill=opened.fill(order, "0.05", "100000"), now=opened.now)
    return opened


def value(desk: Desk, price: str, *, filled: bool = False) -> Valuation:
    desk.mark(price)
    assert valuations_update(portfolio_ids=[desk.pk], now=desk.now, filled=filled) == []
    return Valuation.objects.get(pk=desk.pk)


def test_equity_unit_value_and_peak(desk: Desk) -> None:
    """The high-water mark stays when equity falls."""
    first = value(desk, "110000")
    assert (first.equity, first.unit_value, first.peak_equity) == (D(10500), D("1.05"), D(10500))
    desk.later(60)
    second = value(desk, "90000")
    assert (second.equity, second.unit_value) == (D(9500), D("0.95"))
    assert (second.peak_equity, second.peak_unit_value, second.peak_at) == (D(10500), D("1.05"), first.at)


def test_a_deposit_moves_neither_result_nor_drawdown(desk: Desk) -> None:
    """SPEC Money in and out: unit value stays; the peak is told in today's units."""
    value(desk, "110000")
    desk.later(60)
    before = value(desk, "100000")
    assert portfolio_equity(portfolio=desk.portfolio) == 10000
    cash_deposit(
        portfolio=desk.portfolio, amount=D(10000), equity=D(10000), key="a", now=desk.now, world_at=desk.now
    )
    after = value(desk, "100000")
    assert after.equity == 20000
    assert after.unit_value == before.unit_value == 1
    assert after.peak_equity == D(21000)
    assert after.day_start_unit_value == before.day_start_unit_value


def test_spot_holdings_count_at_mark_and_a_deficit_against() -> None:
    """Equity = cash − deficit + quantity × mark."""
    desk = desk_open(policy="spot")
    desk.mark("100000")
    order = desk.order("BUY", "0.01", "100000")
    fill_book(order_id=order.pk, fill=desk.fill(order, "0.01", "100000", "0.7"), now=desk.now)
    desk.mark("120000")
    assert portfolio_equity(portfolio=desk.portfolio) == D("10199.3")
    (books,) = books_at_marks(portfolio_ids=[desk.pk])
    assert (books.worth.gross, books.worth.net, books.worth.unrealized) == (D(1200), D(1200), D(200))


def test_gross_and_net_exposure(desk: Desk) -> None:
    """Shorts count in gross and against net."""
    desk.mark("4000", "ETH")
    order = desk.order("SELL", "0.5", "4000", code="ETH")
    fill_book(order_id=order.pk, fill=desk.fill(order, "0.5", "4000"), now=desk.now)
    (books,) = books_at_marks(portfolio_ids=[desk.pk])
    assert (books.worth.gross, books.worth.net) == (D(7000), D(3000))


def test_the_day_begins_at_midnight_of_the_world(desk: Desk) -> None:
    """SPEC Breakers: day = UTC of world time."""
    first = value(desk, "101000")
    desk.later(11 * 3600)
    same = value(desk, "102000")
    assert (same.day_start_at, same.day_start_equity) == (first.at, D(10050))
    desk.later(3600)
    new = value(desk, "103000")
    assert (new.day_start_at, new.day_start_equity, new.day_start_unit_value) == (
        desk.now,
        D(10150),
        D("1.015"),
    )


def test_a_new_run_begins_anew(desk: Desk) -> None:
    """SPEC Worlds: each loop of a replay is a new run, with its own curve, day and peak."""
    value(desk, "110000")
    desk.later(60)
    World.objects.update(run=2)
    row = value(desk, "90000")
    assert (row.run, row.peak_equity, row.day_start_equity) == (2, D(9500), D(9500))
    assert list(EquityPoint.objects.order_by("id").values_list("run", "equity")) == [(1, 10500), (2, 9500)]


def test_a_point_every_ten_seconds_or_at_a_fill(desk: Desk) -> None:
    """At most one point per 10 s of wall time, one per fill, never two at one moment."""
    for _ in range(25):
        value(desk, "100000")
        desk.later()
    assert EquityPoint.objects.count() == 3
    value(desk, "100000", filled=True)
    value(desk, "100000", filled=True)
    assert EquityPoint.objects.count() == 4


def test_without_a_mark_nothing_is_guessed(desk: Desk) -> None:
    """The portfolio is named and keeps its last valuation; others are valued."""
    other = desk_open(name="Other")
    before = value(desk, "110000")
    order = desk.order("BUY", "0.1", "4000", code="ETH")
    fill_book(order_id=order.pk, fill=desk.fill(order, "0.1", "4000"), now=desk.now)
    with pytest.raises(Unpriced, match="ETH without a mark"):
        portfolio_equity(portfolio=desk.portfolio)
    assert valuations_update(portfolio_ids=[desk.pk, other.pk], now=desk.later()) == [desk.pk]
    assert Valuation.objects.get(pk=desk.pk).at == before.at
    assert Valuation.objects.get(pk=other.pk).equity == 10000


def test_valuing_many_takes_as_many_queries_as_one(desk: Desk) -> None:
    """Set-based: portfolios add rows, not queries."""
    others = [desk_open(name=f"P{n}").pk for n in range(5)]
    with CaptureQueriesContext(connection) as for_one:
        valuations_update(portfolio_ids=[desk.pk], now=desk.now)
    with CaptureQueriesContext(connection) as for_six:
        valuations_update(portfolio_ids=[desk.pk, *others], now=desk.later())
    assert Valuation.objects.count() == 6
    assert len(for_six) == len(for_one)
    locks = [query["sql"] for query in for_six.captured_queries if "FOR UPDATE" in query["sql"]]
    assert len(locks) == 1, "valuations of one portfolio follow each other"
