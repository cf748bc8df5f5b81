"""Orders when things go wrong: lost answers, races of cancel and fill, late and excessive fills (EXE-3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.db import transaction

from allocation.reservations import ReservationGone, capital_reserve
from core.errors import BooksDiffer, RetryLater
from core.types import OrderSide, Policy
from execution import orders as execution
from execution.domain.orders import OrderDraft, SliceDraft
from execution.models import Fill, Order, PaperOrder
from execution.orders import (
    order_create,
    order_ids_of,
    order_submit,
    orders_open,
    orders_to_ask,
    orders_to_submit,
)
from execution.venues.base import VenueOrder, VenueStatus
from execution.venues.paper import PaperVenue
from positions.audit import books_audit
from positions.booking import fill_book
from positions.models import Position
from positions.services import OrderNews, order_sync, report_book
from tests.integration.money.desk import Desk, desk_open
from tests.integration.money.venues import Moody

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    opened = desk_open(policy="perp")
    opened.mark("100000")
    return opened


def buy(desk: Desk, quantity: str = "0.01") -> Order:
    return desk.order("BUY", quantity, "100100")


def matched(desk: Desk, price: str = "100000") -> list[str]:
    desk.later()
    desk.mark(price)
    return desk.match()


def cancel(desk: Desk, order: Order, why: str = "") -> OrderNews:
    """Ask for the end of an order and then what came of it, as the engine does."""
    execution.order_cancel(order_id=order.pk, now=desk.now, why=why)
    return order_sync(order_id=order.pk, now=desk.now)


def status(order: Order) -> str:
    order.refresh_from_db()
    return order.status


def test_no_answer_is_unknown_and_keeps_the_capital(desk: Desk) -> None:
    """EXE-3: the order arrived, its answer did not; asked by client id it turns out to be working."""
    order = buy(desk)
    held = order.committed
    assert order_submit(order_id=order.pk, now=desk.now, venue=Moody(submit="lost")) == "unknown"
    assert desk.account.committed == held
    assert orders_to_ask(now=desk.now) == [order.pk]
    with pytest.raises(RetryLater):
        order_sync(order_id=order.pk, now=desk.later(3600), venue=Moody(deaf=True))
    assert status(order) == "unknown"
    assert desk.account.committed == held, "no answer never frees capital"
    assert order_sync(order_id=order.pk, now=desk.now).status == "submitted"
    assert desk.account.committed == held
    assert books_audit() == []


def test_an_order_that_never_arrived_is_held_until_it_could_not_fill_any_more(desk: Desk) -> None:
    """EXE-3: the venue says it never had it; its capital is held until its 60 s and 10 s more are over."""
    order = buy(desk)
    held = order.committed
    moody = Moody(submit="dropped")
    assert order_submit(order_id=order.pk, now=desk.now, venue=moody) == "unknown"
    assert order_sync(order_id=order.pk, now=desk.later(69)).status == "unknown"
    assert desk.account.committed == held
    news = order_sync(order_id=order.pk, now=desk.later(1))
    assert (news.status, news.ended, news.odd) == ("rejected", True, "")
    assert (desk.account.free, desk.account.committed) == (10000, 0)
    assert moody.sent == [order.client_order_id], "it is never sent again"
    order.refresh_from_db()
    assert order.status_reason == "It never reached the venue"
    assert books_audit() == []


def test_an_exit_that_never_arrived_is_soon_given_up(desk: Desk) -> None:
    """EXE-3: 10 s, so that it is placed anew: two that only reduce never take off more than is held."""
    entry = buy(desk)
    order_submit(order_id=entry.pk, now=desk.now)
    matched(desk)
    order_sync(order_id=entry.pk, now=desk.now)
    order = desk.order("SELL", "0.01", "99000", reduce_only=True)
    order_submit(order_id=order.pk, now=desk.now, venue=Moody(submit="dropped"))
    assert order_sync(order_id=order.pk, now=desk.later(9)).status == "unknown"
    assert order_sync(order_id=order.pk, now=desk.later(1)).status == "rejected"
    assert Position.objects.get().quantity == D("0.01")


def test_an_order_taken_for_lost_that_arrived_after_all(desk: Desk) -> None:
    """EXE-3: a venue that takes it too late all the same: its late fill is booked and it lives again."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now, venue=Moody(submit="dropped"))
    order_sync(order_id=order.pk, now=desk.later(70))
    request = execution.order_request(order=order)
    minute = desk.now + timedelta(seconds=60)
    PaperVenue().order_submit(request=replace(request, valid_until=minute, expires_at=minute), now=desk.now)
    assert matched(desk) == [order.client_order_id]
    news = order_sync(order_id=order.pk, now=desk.now)
    assert (news.status, len(news.fills)) == ("filled", 1)
    assert desk.account.committed == Position.objects.get().margin
    assert books_audit() == []


def test_a_busy_venue_gets_the_order_again(desk: Desk) -> None:
    """EXE-3: nothing happened, so the claim is given back."""
    order = buy(desk)
    assert order_submit(order_id=order.pk, now=desk.now, venue=Moody(submit="busy")) == "pending"
    assert orders_to_submit(now=desk.now) == [order.pk]
    order.refresh_from_db()
    assert order.status_reason == "the venue is busy"
    assert order_submit(order_id=order.pk, now=desk.now) == "submitted"


def test_a_claimed_order_is_not_sent_twice(desk: Desk) -> None:
    """EXE-3: whoever crashed after claiming may have sent it, so it is asked about, not sent again."""
    order = buy(desk)
    assert execution.order_claim_submit(order_id=order.pk, now=desk.now)
    moody = Moody()
    assert order_submit(order_id=order.pk, now=desk.now, venue=moody) == "pending"
    assert moody.sent == []
    assert orders_to_ask(now=desk.later(9)) == []
    assert orders_to_ask(now=desk.later(1)) == [order.pk]
    assert order_sync(order_id=order.pk, now=desk.now).status == "unknown"
    assert order_sync(order_id=order.pk, now=desk.later(60)).status == "rejected"
    assert desk.account.free == 10000


def test_sending_the_same_order_again_returns_the_first(desk: Desk) -> None:
    """EXE-3, EXE-5: the client order id makes a repeat harmless at the venue too."""
    order = buy(desk)
    request = execution.order_request(order=order)
    first = PaperVenue().order_submit(request=request, now=desk.now)
    assert PaperVenue().order_submit(request=request, now=desk.later()) == first
    assert PaperOrder.objects.count() == 1


def test_a_refused_order_returns_its_capital(desk: Desk) -> None:
    """EXE-5: the venue's reason is kept in its words."""
    order = desk.order("BUY", "0.000015", "100100", reserve="5")
    assert order_submit(order_id=order.pk, now=desk.now) == "rejected"
    order.refresh_from_db()
    assert order.status_reason == "quantity 0.000015000000 is not a multiple of the step 0.000010000000"
    assert (desk.account.free, order.committed) == (10000, 0)
    assert order_sync(order_id=order.pk, now=desk.now).status == "rejected"
    assert books_audit() == []


def test_an_order_never_sent_is_cancelled_here(desk: Desk) -> None:
    """EXE-3: nothing to ask a venue about."""
    order = buy(desk)
    news = cancel(desk, order, "Target changed")
    assert news.status == "cancelled"
    assert desk.account.free == 10000
    assert order_submit(order_id=order.pk, now=desk.now, venue=Moody()) == "cancelled"
    assert not PaperOrder.objects.exists()


def test_a_working_order_is_cancelled(desk: Desk) -> None:
    """EXE-3: what was filled stays, the rest of the capital returns, the position is no longer opening."""
    order = buy(desk, "0.09")
    order_submit(order_id=order.pk, now=desk.now)
    report = VenueOrder(
        order.client_order_id, "1", VenueStatus.OPEN, D(0), "", (desk.fill(order, "0.03", "100000"),)
    )
    assert report_book(order_id=order.pk, report=report, now=desk.now).status == "partially_filled"
    assert Position.objects.get().status == "opening"
    news = cancel(desk, order, "Target changed")
    assert (news.status, news.ended) == ("cancelled", True)
    assert Position.objects.get().status == "active"
    assert (desk.account.committed, desk.account.free) == (3000, 7000)
    assert cancel(desk, order).status == "cancelled", "a second cancel is harmless"


def test_a_fill_that_was_faster_than_the_cancel_is_booked(desk: Desk) -> None:
    """EXE-3: the cancel comes too late; the truth is asked for."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    assert matched(desk) == [order.client_order_id]
    news = cancel(desk, order)
    assert (news.status, len(news.fills)) == ("filled", 1)
    assert Position.objects.get().quantity == D("0.01")
    assert books_audit() == []


def test_a_cancel_whose_answer_is_lost_is_learned_by_asking(desk: Desk) -> None:
    """EXE-3: unknown is not failed."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    assert execution.order_cancel(order_id=order.pk, now=desk.now, venue=Moody(cancel="lost")) is None
    assert status(order) == "submitted"
    assert order.status_reason == "no answer in 5 s"
    assert desk.account.committed > 0
    assert order_sync(order_id=order.pk, now=desk.now).status == "cancelled"
    assert desk.account.free == 10000


def test_a_late_fill_after_the_cancel_is_booked(desk: Desk) -> None:
    """EXE-3: it happened. Without capital behind the order it comes out of what is free."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    cancel(desk, order)
    booked = fill_book(order_id=order.pk, fill=desk.fill(order, "0.004", "100000", "0.18"), now=desk.now)
    assert booked is not None
    assert booked.order_status == "cancelled"
    assert booked.deficit == 0
    order.refresh_from_db()
    assert (order.filled_quantity, order.committed) == (D("0.004"), 0)
    account = desk.account
    assert (account.free, account.committed) == (D("9599.82"), D("400"))
    rest = fill_book(order_id=order.pk, fill=desk.fill(order, "0.006", "100000", "0.27"), now=desk.now)
    assert rest is not None
    assert rest.order_status == "filled"
    assert [event.detail for event in order.events.all()][-2:] == ["Filled before it ended, told after", ""]


def test_more_filled_than_ordered_is_booked(desk: Desk) -> None:
    """EXE-3: what a venue reports is stored even when it is odd."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    fill_book(order_id=order.pk, fill=desk.fill(order, "0.01", "100000"), now=desk.now)
    again = fill_book(order_id=order.pk, fill=desk.fill(order, "0.002", "100000"), now=desk.now)
    assert again is not None
    assert again.order_status == "filled"
    assert Position.objects.get().quantity == D("0.012")
    assert order.events.last().detail == "More was filled than ordered"  # type: ignore[union-attr]
    kinds = {finding.kind for finding in books_audit()}
    assert kinds == {"paper_fill_was_made"}, "only the made-up venue differs"


def test_a_fill_without_capital_leaves_a_deficit(desk: Desk) -> None:
    """SPEC Capital: a fee beyond everything free is booked as a deficit, never refused."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    cancel(desk, order)
    capital_reserve(
        portfolio_id=desk.pk, amount=D(10000), source="t", instrument_code="BTC", now=desk.now, timeout_s=30
    )
    booked = fill_book(order_id=order.pk, fill=desk.fill(order, "0.01", "100000", "0.45"), now=desk.now)
    assert booked is not None
    assert booked.deficit == D("0.45")
    assert Position.objects.get().margin == 0, "margin takes what is there, here nothing"
    account = desk.account
    assert (account.free, account.deficit, account.cash - account.deficit) == (0, D("0.45"), D("9999.55"))


def test_the_same_fill_is_booked_once(desk: Desk) -> None:
    """EXE-3: a repeat changes nothing and says so."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    fill = desk.fill(order, "0.004", "100000", "0.18")
    assert fill_book(order_id=order.pk, fill=fill, now=desk.now) is not None
    before = (desk.account, Position.objects.values().get())
    assert fill_book(order_id=order.pk, fill=fill, now=desk.later()) is None
    assert Fill.objects.count() == 1
    assert (desk.account.version, Position.objects.values().get()) == (before[0].version, before[1])


def test_each_booking_raises_the_version_by_one(desk: Desk) -> None:
    """DESIGN 3: who decided on older books may not act on newer ones."""
    version = desk.account.version
    order = buy(desk)
    assert desk.account.version == version + 1
    order_submit(order_id=order.pk, now=desk.now)
    assert desk.account.version == version + 1, "sending books nothing"
    matched(desk)
    order_sync(order_id=order.pk, now=desk.now)
    assert desk.account.version == version + 2


def test_orders_live_sixty_seconds(desk: Desk) -> None:
    """SPEC Entries: alive 60 s; the paper venue ends them itself, and what it forgets we cancel."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    desk.later(60)
    assert desk.match() == [order.client_order_id]
    assert order_sync(order_id=order.pk, now=desk.now).status == "expired"
    assert desk.account.free == 10000
    second, third = buy(desk), buy(desk)
    order_submit(order_id=second.pk, now=desk.now)
    assert execution.orders_due_for_expiry(now=desk.later(59)) == []
    due = execution.orders_due_for_expiry(now=desk.later(1))
    assert due == [second.pk, third.pk]
    assert cancel(desk, second).status == cancel(desk, third).status == "expired"
    assert desk.account.free == 10000
    assert not Order.objects.filter(status__in=Order.OPEN_STATUSES).exists()
    assert books_audit() == []


def test_nothing_is_sent_inside_a_transaction(desk: Desk) -> None:
    """DESIGN 4: submit, cancel and sync refuse to be nested."""
    order = buy(desk)
    for call in (order_submit, execution.order_cancel, order_sync):
        with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
            call(order_id=order.pk, now=desk.now)  # type: ignore[operator]
    assert status(order) == "pending"


def test_a_lost_reservation_stores_no_order(desk: Desk) -> None:
    """CAP-1: an order without capital does not exist."""
    reservation = capital_reserve(
        portfolio_id=desk.pk, amount=D(100), source="t", instrument_code="BTC", now=desk.now, timeout_s=30
    )
    draft = OrderDraft(
        instrument_code="BTC", underlying="BTC", policy=Policy.PERP, side=OrderSide.BUY, quantity=D("0.001"),
        limit_price=D(100000), reduce_only=False, purpose="entry", slices=[SliceDraft(None, D("0.001"))],
        decision_mark=D(100000),
    )  # fmt: skip
    with pytest.raises(ReservationGone):
        order_create(
            portfolio_id=desk.pk, draft=draft, reservation_id=reservation.pk, run=1, now=desk.later(31)
        )
    with pytest.raises(ValueError, match="needs a reservation"):
        order_create(portfolio_id=desk.pk, draft=draft, reservation_id=None, run=1, now=desk.now)
    assert not Order.objects.exists()


def test_fills_the_venue_speaks_of_are_waited_for(desk: Desk) -> None:
    """EXE-3: an order is not ended before all the fills it is said to have are booked."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    fill = desk.fill(order, "0.004", "100000")
    early = VenueOrder(order.client_order_id, "1", VenueStatus.CANCELLED, D("0.004"), "", ())
    assert report_book(order_id=order.pk, report=early, now=desk.now).status == "submitted"
    full = VenueOrder(order.client_order_id, "1", VenueStatus.CANCELLED, D("0.004"), "Cancelled", (fill,))
    news = report_book(order_id=order.pk, report=full, now=desk.now)
    assert (news.status, len(news.fills)) == ("cancelled", 1)


def test_a_venue_that_forgets_a_known_order_frees_nothing(desk: Desk) -> None:
    """DESIGN 4: capital stays held until it cannot fill any more, and then a person is told."""
    order = buy(desk)
    order_submit(order_id=order.pk, now=desk.now)
    held = desk.account.committed
    assert report_book(order_id=order.pk, report=None, now=desk.later(10)).status == "unknown"
    news = report_book(order_id=order.pk, report=None, now=desk.later(349))
    assert (news.status, news.odd) == ("unknown", "")
    assert desk.account.committed == held
    news = report_book(order_id=order.pk, report=None, now=desk.later(1))
    assert news.status == "expired"
    told = f"paper took order {order.pk} (BUY 0.01 BTC) and forgot it; it may have filled what it never told"
    assert news.odd == told
    assert (desk.account.free, desk.account.committed) == (10000, 0)
    assert report_book(order_id=order.pk, report=None, now=desk.later(1)).odd == "", "told once"


def test_a_spot_sale_of_more_than_is_held_is_told_and_not_booked() -> None:
    """A spot account cannot be short: the books would be wrong, so nothing is booked and a person is told."""
    desk = desk_open(policy="spot")
    desk.mark("100000")
    order = desk.order("SELL", "0.01", "99000", reduce_only=True)
    with pytest.raises(BooksDiffer, match="only 0 is held"):
        fill_book(order_id=order.pk, fill=desk.fill(order, "0.01", "99000"), now=desk.now)
    assert not Fill.objects.exists()
    assert not Position.objects.exists()
    assert books_audit() == []


def test_lists_of_what_is_to_do(desk: Desk) -> None:
    """EXE-6: after a crash the database says what is unfinished."""
    pending, sent = buy(desk), buy(desk)
    order_submit(order_id=sent.pk, now=desk.now)
    assert orders_open() == [sent.pk]
    assert orders_open(portfolio_id=desk.pk, venue="paper") == [sent.pk]
    assert orders_open(venue="elsewhere") == []
    assert orders_to_submit(now=desk.now) == [pending.pk]
    assert order_ids_of(client_order_ids=[sent.client_order_id, "0xnone"]) == [sent.pk]
