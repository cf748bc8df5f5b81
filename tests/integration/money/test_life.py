"""The life of a spot holding and of a perpetual, to the last decimal, on the paper venue."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from execution.models import Order
from execution.orders import order_submit
from positions.models import Position
from positions.services import order_sync
from tests.integration.money.desk import desk_open

pytestmark = pytest.mark.django_db


def test_paper_order_from_reservation_to_booked_position() -> None:
    """EXE-3, EXE-5, EXE-7: reserve, store, send, match, ask, book."""
    desk = desk_open(policy="perp")
    desk.mark("100000")
    order = desk.order("BUY", "0.01", "100100", margin_rate="0.5")
    assert desk.account.committed == order.committed > 0
    assert order_submit(order_id=order.pk, now=desk.now) == Order.Status.SUBMITTED
    assert desk.match() == []  # latency
    desk.later()
    desk.mark("100000")
    assert desk.match() == [order.client_order_id]
    news = order_sync(order_id=order.pk, now=desk.now)
    assert news.status == Order.Status.FILLED
    assert news.ended
    position = Position.objects.get()
    assert position.quantity == D("0.01")
    assert position.status == Position.Status.ACTIVE
    assert position.cost == D("0.01") * news.fills[0].price
    assert desk.account.committed == position.margin == position.cost / 2
    from positions.audit import books_audit


    assert books_audit() == []
