"""News that come late: two workers are at one order, and the older answer is booked last (EXE-3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from execution.domain.orders import OrderStatus
from execution.models import Order, OrderEvent
from execution.orders import (
    order_cancel,
    order_status_change,
    order_submit,
    orders_to_ask,
    orders_to_submit,
)
from execution.venues.base import Accepted, OrderRequest, Refused, VenueOrder, VenueStatus
from execution.venues.paper import PaperVenue
from positions.audit import books_audit
from positions.services import order_sync, report_book
from tests.integration.money.desk import Desk, desk_open
from tests.integration.money.venues import ref

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


class Late:
    """A clock that is ahead of the batch it is used in by ``seconds``."""

    def __init__(self, desk: Desk, seconds: float) -> None:
        self.at = desk.now + timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return 0.0


class Overtaken(PaperVenue):
    """While an order is on its way to this venue, another worker looks after what is unanswered."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.looks_at = now
        self.asked: list[int] = []

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        self.asked = orders_to_ask(now=self.looks_at)
        for order_id in self.asked:
            order_sync(order_id=order_id, now=self.looks_at)
        return super().order_submit(request=request, now=now)


def test_a_claim_late_in_a_batch_is_not_taken_for_unanswered(desk: Desk) -> None:
    """EXE-3: the batch began 12 s ago, the order is being sent this moment: nobody gives it up for lost."""
    order = desk.order("BUY", "0.01", "100100")
    clock = Late(desk, 12)
    venue = Overtaken(clock.at)
    assert order_submit(order_id=order.pk, now=desk.now, venue=venue, clock=clock) == "submitted"
    assert venue.asked == []
    order.refresh_from_db()
    assert (order.submit_claimed_at, order.submitted_at) == (clock.at, clock.at)
    assert [event.to_status for event in order.events.all()] == ["pending", "submitted"]


def test_an_order_whose_time_ran_out_in_the_batch_is_not_sent(desk: Desk) -> None:
    """SPEC Entries: 60 s are over by the clock, not by the time at which the batch began."""
    order = desk.order("BUY", "0.01", "100100")
    assert orders_to_submit(now=desk.now) == [order.pk]
    assert order_submit(order_id=order.pk, now=desk.now, clock=Late(desk, 60)) == "pending"
    order.refresh_from_db()
    assert order.submit_claimed_at is None
    assert PaperVenue().order_fetch(order=ref(order.client_order_id)) is None


def test_an_order_long_on_its_way_is_not_given_up_for_lost(desk: Desk) -> None:
    """EXE-3: sent for so long that another worker asks, and the venue has not got it yet; then it accepts."""
    order = desk.order("BUY", "0.01", "100100")
    venue = Overtaken(desk.now + timedelta(seconds=10))
    assert order_submit(order_id=order.pk, now=desk.now, venue=venue) == "submitted"
    assert venue.asked == [order.pk]
    assert [event.to_status for event in order.events.all()] == ["pending", "unknown", "submitted"]
    desk.later()
    desk.mark("100000")
    assert desk.match() == [order.client_order_id]
    assert order_sync(order_id=order.pk, now=desk.now).status == "filled"
    assert books_audit() == []
