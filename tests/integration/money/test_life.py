"""The life of a spot holding and of a perpetual on the paper venue, to the last decimal."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from allocation.models import LedgerEntry
from execution.models import Fill, Order
from execution.orders import order_submit
from positions.audit import books_audit
from positions.models import Position
from positions.services import OrderNews, order_sync
from positions.valuation import portfolio_equity
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db


def trade(desk: Desk, order: Order, mark: str) -> OrderNews:
    """Send an order, let its latency pass, match it at a mark and book what came of it."""
    assert order_submit(order_id=order.pk, now=desk.now) == Order.Status.SUBMITTED
    desk.later()
    desk.mark(mark)
    assert desk.match() == [order.client_order_id]
    return order_sync(order_id=order.pk, now=desk.now)


def ledger(desk: Desk) -> list[tuple[str, D]]:
    """Return the ledger after the initial deposit."""
    rows = LedgerEntry.objects.filter(portfolio=desk.portfolio).order_by("id")
    return [(row.kind, row.amount) for row in rows][1:]


def test_life_of_a_perpetual() -> None:
    """EXE-3, EXE-5, EXE-7: reserve, store, send, match, book; margin and fees to the last decimal."""
    desk = desk_open(policy="perp")
    desk.mark("100000")
    entry = desk.order("BUY", "0.01", "100100", margin_rate="0.5")
    assert entry.committed == D("500.95045002")
    assert (desk.account.free, desk.account.committed) == (D("9499.04954998"), D("500.95045002"))
    news = trade(desk, entry, "100000")
    assert (news.status, news.ended, len(news.fills)) == ("filled", True, 1)
    position = Position.objects.get()
    assert (position.quantity, position.cost, position.margin) == (D("0.01"), D("1000.13"), D("500.065"))
    assert (position.status, position.fees) == ("active", D("0.4500585"))
    account = desk.account
    assert (account.free, account.committed) == (D("9499.4849415"), D("500.065"))
    assert account.cash == D("9999.5499415")
    assert portfolio_equity(portfolio=desk.portfolio) == D(
        "9999.4199415"
    )  # a mark of 100,000, 0.13 below cost

    news = trade(desk, desk.order("SELL", "0.01", "104000", reduce_only=True), "105000")
    assert news.fills[0].price == D("104987")
    assert news.fills[0].realized == D("49.74")
    position.refresh_from_db()
    assert (position.status, position.quantity, position.cost, position.margin) == ("closed", 0, 0, 0)
    assert (position.realized_pnl, position.fees) == (D("49.74"), D("0.9225"))
    assert ledger(desk) == [("fee", D("-0.4500585")), ("realized", D("49.74")), ("fee", D("-0.4724415"))]
    account = desk.account
    assert (account.free, account.committed, account.cash) == (D("10048.8175"), 0, D("10048.8175"))
    assert portfolio_equity(portfolio=desk.portfolio) == D("10048.8175")
    assert books_audit() == []


def test_life_of_a_spot_holding() -> None:
    """EXE-5, EXE-7: bought, half sold with a gain, the rest with a loss; every cent is in the ledger."""
    desk = desk_open(policy="spot")
    desk.mark("100000")
    trade(desk, desk.order("BUY", "0.01", "100100"), "100000")
    account = desk.account
    assert (account.deployed, account.committed, account.cash) == (D("1000.13"), 0, D("8999.169909"))
    assert portfolio_equity(portfolio=desk.portfolio) == D("9999.169909")

    trade(desk, desk.order("SELL", "0.005", "104000", reduce_only=True, purpose="reduce"), "105000")
    position = Position.objects.get()
    assert (position.status, position.quantity) == ("partial_exit", D("0.005"))
    assert (position.cost, position.realized_pnl) == (D("500.065"), D("24.875"))
    assert desk.account.deployed == D("500.065")

    trade(desk, desk.order("SELL", "0.005", "89000", reduce_only=True), "90000")
    position.refresh_from_db()
    assert (position.status, position.realized_pnl) == ("closed", D("-25.24"))
    assert ledger(desk) == [
        ("purchase", D("-1000.13")),
        ("fee", D("-0.700091")),
        ("sale", D("524.94")),
        ("fee", D("-0.367458")),
        ("sale", D("449.95")),
        ("fee", D("-0.314965")),
    ]
    account = desk.account
    assert (account.cash, account.free, account.deployed) == (D("9973.377486"), D("9973.377486"), 0)
    assert books_audit() == []


def test_a_large_order_fills_mark_by_mark() -> None:
    """EXE-3: partial fills are real; slices end at exactly what they ordered, however the pieces fall."""
    desk = desk_open(policy="perp", cash="50000")
    desk.mark("100000")
    first, second = (follow.pk for follow in desk.follows)
    order = desk.order("BUY", "0.2", "100100", slices={first: "0.13333", second: "0.06667"})
    order_submit(order_id=order.pk, now=desk.now)
    statuses = []
    for _ in range(3):
        desk.later()
        desk.mark("100000")
        desk.match()
        assert desk.match() == [], "one mark fills once"
        statuses.append(order_sync(order_id=order.pk, now=desk.now).status)
        position = Position.objects.get()
        assert sum(part.quantity for part in position.slices.all()) == position.quantity
        assert books_audit() == []
    assert statuses == ["partially_filled", "partially_filled", "filled"]
    assert [fill.quantity for fill in Fill.objects.order_by("id")] == [
        D("0.09999"),
        D("0.09999"),
        D("0.00002"),
    ]
    assert {part.follow_id: part.quantity for part in position.slices.all()} == {
        first: D("0.13333"),
        second: D("0.06667"),
    }
    assert position.status == "active"
    order.refresh_from_db()
    assert order.committed == 0
    assert [(e.from_status, e.to_status) for e in order.events.all()] == [
        ("", "pending"),
        ("pending", "submitted"),
        ("submitted", "partially_filled"),
        ("partially_filled", "filled"),
    ]
