"""Reports of a venue that come late: two workers ask, and the older answer is booked last (EXE-3)."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from execution.domain.orders import OrderStatus
from execution.models import Order, OrderEvent
from execution.orders import order_cancel, order_status_change, order_submit
from execution.venues.base import VenueOrder, VenueStatus
from positions.audit import books_audit
from positions.services import order_sync, report_book
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    opened = desk_open(policy="perp")
    opened.mark("100000")
    return opened


def sent(desk: Desk) -> Order:
    order = desk.order("BUY", "0.01", "100100")
    assert order_submit(order_id=order.pk, now=desk.now) == "submitted"
    return order


def still_open(order: Order) -> VenueOrder:
    """What the venue said before the order ended."""
    return VenueOrder(order.client_order_id, "1", VenueStatus.OPEN, D(0), "", ())


def test_an_older_answer_does_not_reopen_a_cancelled_order(desk: Desk) -> None:
    """EXE-3: asked before the cancel, booked after it: the order stays cancelled, its capital free."""
    order = sent(desk)
    before = still_open(order)
    order_cancel(order_id=order.pk, now=desk.now)
    assert order_sync(order_id=order.pk, now=desk.now).status == "cancelled"
    events = OrderEvent.objects.filter(order=order).count()
    news = report_book(order_id=order.pk, report=before, now=desk.later())
    assert (news.status, news.status_changed, news.fills) == ("cancelled", False, ())
    assert OrderEvent.objects.filter(order=order).count() == events
    assert (desk.account.free, desk.account.committed) == (10000, 0)
    assert books_audit() == []


def test_an_older_answer_does_not_reopen_an_expired_order(desk: Desk) -> None:
    """EXE-3: also where a part of it had filled."""
    order = sent(desk)
    fill = desk.fill(order, "0.004", "100000")
    part = VenueOrder(order.client_order_id, "1", VenueStatus.OPEN, D("0.004"), "", (fill,))
    over = VenueOrder(
        order.client_order_id, "1", VenueStatus.EXPIRED, D("0.004"), "Its time was over", (fill,)
    )
    assert report_book(order_id=order.pk, report=over, now=desk.later(60)).status == "expired"
    news = report_book(order_id=order.pk, report=part, now=desk.later())
    assert (news.status, news.status_changed) == ("expired", False)
    assert desk.account.committed == 400


def test_an_order_taken_for_lost_lives_again_when_the_venue_has_it(desk: Desk) -> None:
    """EXE-3: rejected was our guess; open is what the venue says."""
    order = sent(desk)
    order.refresh_from_db()
    order_status_change(order=order, to=OrderStatus.REJECTED, now=desk.now)
    assert report_book(order_id=order.pk, report=still_open(order), now=desk.now).status == "submitted"
