"""Orders with filters and details, closed positions, the ledger (VIEW-4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from allocation.models import CapitalAccount
from engine.models import CycleState
from engine.trade_history import OrderFilter, closed_read, order_read, orders_read
from execution.models import Order
from execution.orders import order_submit
from positions.booking import fill_book
from positions.models import Valuation
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db
Opened = Callable[[Any], Client]


@pytest.fixture
def desk(alice: User) -> Desk:
    """Alice's desk with a bought and sold BTC, a working ETH, and capital behind it."""
    opened = desk_open()
    CycleState.objects.create(portfolio=opened.portfolio, next_at=opened.now)
    Valuation.objects.create(portfolio=opened.portfolio, equity=Decimal(10000))
    opened.mark("100000")
    opened.mark("4000", "ETH")
    bought = opened.order("BUY", "0.01", "100000")
    order_submit(order_id=bought.pk, now=opened.now)
    fill_book(order_id=bought.pk, fill=opened.fill(bought, "0.01", "100000", "0.45"), now=opened.later())
    sold = opened.order("SELL", "0.01", "101000", reduce_only=True)
    order_submit(order_id=sold.pk, now=opened.now)
    opened.later(7200)
    fill_book(order_id=sold.pk, fill=opened.fill(sold, "0.01", "101000", "0.46"), now=opened.now)
    opened.order("BUY", "0.1", "4000", code="ETH", slices={opened.follows[1].pk: "0.1"})
    return opened


def text_of(client: Client, name: str, *numbers: int, **query: str) -> str:
    """The page as text."""
    answer = client.get(reverse(f"dashboard:{name}", args=numbers), query)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    ("wanted", "codes"),
    [
        (OrderFilter(), ["ETH", "BTC", "BTC"]),
        (OrderFilter(state="open"), ["ETH"]),
        (OrderFilter(state="filled"), ["BTC", "BTC"]),
        (OrderFilter(underlying="BTC", side="SELL"), ["BTC"]),
        (OrderFilter(follow_id=0), []),
        (OrderFilter(origin="person"), []),
    ],
)
def test_filters_choose_orders(desk: Desk, wanted: OrderFilter, codes: list[str]) -> None:
    """VIEW-4: newest first; the count of each state does not depend on the chosen one."""
    found = orders_read(portfolio=desk.portfolio, wanted=wanted, page=1)
    assert [order.instrument_id for order in found.page.object_list] == codes
    if wanted == OrderFilter(state="open"):
        assert [(state.key, state.count) for state in found.states][:3] == [
            ("", 3),
            ("open", 1),
            ("filled", 2),
        ]


def test_filters_by_trader_and_day(desk: Desk) -> None:
    """VIEW-4: a trader's orders are those with a part for it; days are UTC and both included."""
    second = OrderFilter(follow_id=desk.follows[1].pk)
    found = orders_read(portfolio=desk.portfolio, wanted=second, page=1)
    assert [order.instrument_id for order in found.page.object_list] == ["ETH"]
    day = Order.objects.latest("id").created_at.date()
    for wanted, count in [
        (OrderFilter(since=day, until=day), 3),
        (OrderFilter(since=day + timedelta(days=1)), 0),
        (OrderFilter(until=day - timedelta(days=1)), 0),
    ]:
        assert orders_read(portfolio=desk.portfolio, wanted=wanted, page=1).page.paginator.count == count


def test_an_odd_filter_is_said_and_filters_nothing(desk: Desk, alice: User, client_of: Opened) -> None:
    """VIEW-4: a made-up address still shows a page."""
    shown = text_of(client_of(alice), "orders", desk.pk, underlying="NOPE", since="yesterday", page="x")
    assert "Select a valid choice" in shown
    assert "Enter a valid date" in shown
    assert shown.count('id="order-link-') == 3


def test_lists_cost_the_same_whatever_their_length(desk: Desk) -> None:
    """VIEW-4: ten more orders are not ten more queries."""

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            found = orders_read(portfolio=desk.portfolio, wanted=OrderFilter(), page=1)
            assert [
                part.follow.trader.name for order in found.page.object_list for part in order.slices.all()
            ]
        return len(queries)

    before = cost()
    for _ in range(10):
        desk.order("BUY", "0.001", "4000", code="ETH")
    assert cost() == before


def test_an_order_tells_its_story(desk: Desk, alice: User, client_of: Opened) -> None:
    """EXE-3, VIEW-4: every change of state, every fill with price and fee, for whom."""
    order = Order.objects.filter(portfolio=desk.portfolio).earliest("id")
    story = order_read(portfolio=desk.portfolio, order_id=order.pk)
    assert story.average_price == Decimal(100000)
    assert not story.is_open
    shown = text_of(client_of(alice), "order", desk.pk, order.pk)
    for words in ["Buy 0.01", "100,000.0", "0.4500", "T1", "Filled", "What happened", "desk-1"]:
        assert words in shown
    assert 'data-ask="cancel"' not in shown
    working = Order.objects.latest("id")
    assert 'data-ask="cancel"' in text_of(client_of(alice), "order", desk.pk, working.pk)


def test_an_order_of_another_portfolio_is_not_found(desk: Desk, bob: User, client_of: Opened) -> None:
    """SEC-1: the number of an order opens nothing in a portfolio it does not belong to."""
    other = desk_open(name="Other")
    type(other.portfolio).objects.filter(pk=other.pk).update(owner=bob)
    order = Order.objects.filter(portfolio=desk.portfolio).earliest("id")
    answer = client_of(bob).get(reverse("dashboard:order", args=[other.pk, order.pk]))
    assert answer.status_code == 404


def test_closed_positions_show_what_they_brought(desk: Desk, alice: User, client_of: Opened) -> None:
    """VIEW-4: bought at 100,000, sold at 101,000, 0.91 of fees, 0.02525 of funding paid."""
    found = closed_read(portfolio=desk.portfolio, page=1)
    (row,) = found.rows
    assert (row.bought_price, row.sold_price, row.quantity) == (100000, 101000, Decimal("0.01"))
    assert row.net_pnl == found.net_pnl == Decimal("9.06475")
    assert (found.count, found.won) == (1, 1)
    shown = text_of(client_of(alice), "closed", desk.pk)
    assert "+9.06" in shown
    assert "2 h 00 min" in shown


def test_the_ledger_lists_every_booking(desk: Desk, alice: User, client_of: Opened) -> None:
    """ALL-5: deposit, two fees, one result."""
    shown = text_of(client_of(alice), "ledger", desk.pk)
    for words in ["Deposit", "+10,000.0000", "Fee", "\u22120.4500", "Realized P&amp;L", "+10.0000"]:
        assert words in shown
    assert CapitalAccount.objects.get(pk=desk.pk).cash == Decimal("10009.06475")
