"""The order's life under every fault the paper venue can be told to have: exact ends (EXE-3, EXE-6)."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from execution import orders as execution
from execution.domain.orders import OrderStatus
from execution.models import Fill, Order, PaperFault, PaperFill, PaperHolding, PaperOrder
from execution.orders import order_submit, orders_to_submit
from execution.venues.base import CancelAnswer
from execution.venues.paper import PaperVenue
from execution.venues.paper_faults import MEANINGFUL, fault_take, fault_tell
from execution.venues.paper_line import PaperLine
from positions.audit import books_audit
from positions.models import Position, PositionSlice
from positions.services import OrderNews, order_sync
from tests.integration.money.desk import Desk, desk_open
from tests.integration.money.venues import ref

pytestmark = pytest.mark.django_db
Operation, Kind = PaperFault.Operation, PaperFault.Kind


@pytest.fixture
def desk() -> Desk:
    opened = desk_open(policy="perp")
    opened.mark("100000")
    return opened


def buy(desk: Desk, quantity: str = "0.01", **kwargs: object) -> Order:
    return desk.order("BUY", quantity, "100100", **kwargs)  # type: ignore[arg-type]


def sent(desk: Desk, quantity: str = "0.01", **kwargs: object) -> Order:
    order = buy(desk, quantity, **kwargs)
    order_submit(order_id=order.pk, now=desk.now)
    return order


def ask(desk: Desk, order: Order) -> OrderNews:
    return order_sync(order_id=order.pk, now=desk.now)


def matched(desk: Desk, price: str = "100000") -> list[str]:
    desk.later()
    desk.mark(price)
    return desk.match()


def trail(order: Order) -> list[str]:
    return [event.to_status for event in order.events.all()]


# ---------------------------------------------------------------- the table of faults
def test_a_fault_counts_down_and_lets_pass_what_comes_before(desk: Desk) -> None:
    """EXE-6: two calls unharmed, two that fail, then none; another account's faults are its own."""
    mine = f"portfolio:{desk.pk}"
    fault_tell(operation="submit", kind="unavailable", account=mine, times=2, skip=2)
    assert fault_take(operation="submit", account="portfolio:0") is None
    assert fault_take(operation="fetch", account=mine) is None
    taken = [fault_take(operation="submit", account=mine) for _ in range(5)]
    assert [fault.kind if fault else "" for fault in taken] == ["", "", "unavailable", "unavailable", ""]
    assert PaperFault.objects.values_list("skip", "remaining").get() == (0, 0)


def test_a_fault_that_means_nothing_is_refused() -> None:
    """EXE-6: a venue cannot refuse to be asked, nor fill a cancel twice."""
    with pytest.raises(ValueError, match="fetch cannot refuse; it can forget, late, repeat, unavailable"):
        fault_tell(operation="fetch", kind="refuse")
    assert set(MEANINGFUL) == set(Operation.values)
    assert set().union(*MEANINGFUL.values()) == set(Kind.values)


# ---------------------------------------------------------------- submit
def test_taken_without_an_answer(desk: Desk) -> None:
    """EXE-3: UNKNOWN, capital held, then working as the venue says; never sent again."""
    fault_tell(operation="submit", kind="timeout_after")
    order = sent(desk)
    order.refresh_from_db()
    assert (order.status, order.status_reason) == ("unknown", "No answer in 5 s")
    assert orders_to_submit(now=desk.now) == []
    assert ask(desk, order).status == "submitted"
    matched(desk)
    assert ask(desk, order).status == "filled"
    assert trail(order) == ["pending", "unknown", "submitted", "filled"]
    assert PaperOrder.objects.count() == 1
    assert books_audit() == []


def test_filled_before_we_heard_that_it_was_taken(desk: Desk) -> None:
    """EXE-3: no answer and a fill within the second: the fill is booked straight from UNKNOWN."""
    fault_tell(operation="submit", kind="timeout_after")
    order = sent(desk)
    matched(desk)
    assert ask(desk, order).status == "filled"
    assert trail(order) == ["pending", "unknown", "filled"]
    assert Position.objects.get().quantity == D("0.01")


def test_lost_on_the_way(desk: Desk) -> None:
    """EXE-3: nothing there; held while the venue could have taken it, then given back."""
    fault_tell(operation="submit", kind="timeout_before")
    order = sent(desk)
    assert not PaperOrder.objects.exists()
    desk.later(69)
    assert ask(desk, order).status == "unknown"
    assert desk.account.committed == order.committed
    desk.later(1)
    assert ask(desk, order).status == "rejected"
    assert trail(order) == ["pending", "unknown", "rejected"]
    assert desk.account.free == 10000


def test_answered_after_it_was_asked_about(desk: Desk) -> None:
    """EXE-3: the answer comes 12 s late; meanwhile another worker asked, and a fill was booked."""
    order = buy(desk)

    def meanwhile(seconds: float) -> None:
        assert seconds == 12
        desk.later(seconds)
        desk.mark("100000")
        assert desk.match() == [order.client_order_id]
        assert execution.orders_to_ask(now=desk.now) == [order.pk]
        assert ask(desk, order).status == "filled"

    fault_tell(operation="submit", kind="late", delay_s=12)
    assert order_submit(order_id=order.pk, now=desk.now, venue=PaperLine(wait=meanwhile)) == "filled"
    assert trail(order) == ["pending", "filled"]
    assert Fill.objects.count() == 1
    assert books_audit() == []


def test_taken_and_never_heard_of_again(desk: Desk) -> None:
    """EXE-3: UNKNOWN until 5 min after its end, then ended and told as odd; nothing is freed before."""
    fault_tell(operation="submit", kind="forget")
    order = sent(desk)
    order.refresh_from_db()
    assert (order.status, order.venue_order_id) == ("submitted", "forgotten")
    assert ask(desk, order).status == "unknown"
    desk.later(359)
    assert ask(desk, order).status == "unknown"
    assert desk.account.committed == order.committed
    desk.later(1)
    news = ask(desk, order)
    assert (news.status, "forgot it" in news.odd) == ("expired", True)
    assert trail(order) == ["pending", "submitted", "unknown", "expired"]
    assert desk.account.free == 10000


def test_refused_and_remembered(desk: Desk) -> None:
    """EXE-3: rejected, capital back, and the venue says so when asked."""
    fault_tell(operation="submit", kind="refuse")
    order = sent(desk)
    assert ask(desk, order).status == "rejected"
    order.refresh_from_db()
    assert order.status_reason == "Told to refuse it"
    assert desk.account.free == 10000


def test_a_venue_that_is_away_gets_it_later(desk: Desk) -> None:
    """EXE-3: nothing happened, so it stays pending and is sent again."""
    fault_tell(operation="submit", kind="unavailable", times=2)
    order = sent(desk)
    for _ in range(2):
        assert orders_to_submit(now=desk.later()) == [order.pk]
        order_submit(order_id=order.pk, now=desk.now)
    assert trail(order) == ["pending", "submitted"]


# ---------------------------------------------------------------- fetch
def test_fills_told_twice_are_booked_once(desk: Desk) -> None:
    """EXE-3: the same fill id again changes nothing."""
    order = sent(desk)
    matched(desk)
    fault_tell(operation="fetch", kind="repeat", times=2)
    assert len(ask(desk, order).fills) == 1
    assert ask(desk, order).fills == ()
    assert Position.objects.get().quantity == D("0.01")
    assert books_audit() == []


def test_a_moment_of_forgetting_frees_nothing(desk: Desk) -> None:
    """EXE-3: once not known, then known again: UNKNOWN in between, and it fills as if nothing had been."""
    order = sent(desk)
    fault_tell(operation="fetch", kind="forget")
    assert ask(desk, order).status == "unknown"
    assert desk.account.committed == order.committed
    matched(desk)
    assert ask(desk, order).status == "filled"
    assert trail(order) == ["pending", "submitted", "unknown", "filled"]
    assert books_audit() == []


def test_an_answer_older_than_what_we_know_takes_nothing_back(desk: Desk) -> None:
    """EXE-3: read before the fill, told after it: the order stays filled."""
    order = sent(desk)

    def meanwhile(seconds: float) -> None:
        matched(desk)
        assert ask(desk, order).status == "filled"

    fault_tell(operation="fetch", kind="late", delay_s=3)
    news = order_sync(order_id=order.pk, now=desk.now, venue=PaperLine(wait=meanwhile))
    assert news.status == "filled"
    assert trail(order) == ["pending", "submitted", "filled"]
    assert books_audit() == []


# ---------------------------------------------------------------- cancel
@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after", "late", "unavailable", "forget"])
def test_a_cancel_that_went_wrong_is_asked_again(desk: Desk, kind: str) -> None:
    """EXE-3: whatever came of the first, the order's end is what the venue says it is."""
    order = sent(desk)
    fault_tell(operation="cancel", kind=kind, delay_s=0)
    first = execution.order_cancel(order_id=order.pk, now=desk.now)
    done = kind in {"timeout_after", "late"}
    answers = {"late": CancelAnswer.CANCELLED, "forget": CancelAnswer.NOT_KNOWN}
    assert first == answers.get(kind)
    assert ask(desk, order).status == ("cancelled" if done else "submitted")
    assert desk.account.free == 10000 if done else desk.account.free < 10000
    execution.order_cancel(order_id=order.pk, now=desk.now)
    assert ask(desk, order).status == "cancelled"
    assert trail(order) == ["pending", "submitted", "cancelled"]
    assert desk.account.free == 10000


def test_cancel_and_fill_race(desk: Desk) -> None:
    """EXE-3: partly filled when the cancel lands: that part stays, the rest of the capital returns."""
    order = sent(desk, "0.15", margin_rate="0.5")
    matched(desk)  # 0.09999 is all one mark shows
    assert execution.order_cancel(order_id=order.pk, now=desk.now) == CancelAnswer.CANCELLED
    news = ask(desk, order)
    assert (news.status, [fill.quantity for fill in news.fills]) == ("cancelled", [D("0.09999")])
    assert trail(order) == ["pending", "submitted", "partially_filled", "cancelled"]
    position = Position.objects.get()
    assert (position.status, position.quantity) == ("active", D("0.09999"))
    fill = Fill.objects.get()
    assert desk.account.committed == position.margin == (fill.quantity * fill.price / 2).quantize(D("1e-8"))
    assert books_audit() == []


# ---------------------------------------------------------------- match
def test_filled_twice_is_booked_as_told(desk: Desk) -> None:
    """EXE-3: an overfill: position, slices, capital and the venue's holding agree, and it is told as odd."""
    order = sent(desk, margin_rate="0.5", slices={f.pk: "0.005" for f in desk.follows})
    fault_tell(operation="match", kind="twice")
    matched(desk)
    news = ask(desk, order)
    assert (news.status, [fill.quantity for fill in news.fills]) == ("filled", [D("0.01")] * 2)
    assert news.odd == f"paper filled 0.02 of order {order.pk} (BUY 0.01 BTC)"
    position = Position.objects.get()
    assert (position.quantity, position.status) == (D("0.02"), "active")
    assert [part.quantity for part in PositionSlice.objects.order_by("pk")] == [D("0.01")] * 2
    assert PaperHolding.objects.get().quantity == D("0.02")
    assert desk.account.committed == position.margin == position.cost / 2
    assert ask(desk, order).odd == "", "told once"
    assert books_audit() == []


def test_an_exit_filled_twice_turns_the_position(desk: Desk) -> None:
    """EXE-7: through zero: the long is realized, the rest is a short at the price of its fill."""
    entry = sent(desk)
    matched(desk)
    ask(desk, entry)
    bought = Fill.objects.get()
    closing = desk.order("SELL", "0.01", "95000", reduce_only=True)
    order_submit(order_id=closing.pk, now=desk.now)
    fault_tell(operation="match", kind="twice")
    matched(desk, "101000")
    news = ask(desk, closing)
    assert (news.status, bool(news.odd)) == ("filled", True)
    closed, turned = Position.objects.order_by("pk")
    sold = Fill.objects.filter(order=closing).first()
    assert sold is not None
    assert (closed.status, closed.quantity) == ("closed", 0)
    assert closed.realized_pnl == ((sold.price - bought.price) * D("0.01")).quantize(D("1e-8"))
    assert (turned.quantity, turned.cost / turned.quantity) == (D("-0.01"), sold.price)
    assert PaperHolding.objects.get().quantity == D("-0.01")
    assert books_audit() == []


def test_a_fill_told_after_the_cancel(desk: Desk) -> None:
    """EXE-3: executed, cancelled before it was told, then told: CANCELLED becomes FILLED, paid from free."""
    order = sent(desk)
    fault_tell(operation="match", kind="late", delay_s=20)
    assert matched(desk) == [order.client_order_id]
    assert ask(desk, order).fills == ()
    assert execution.order_cancel(order_id=order.pk, now=desk.now) == CancelAnswer.CANCELLED
    assert ask(desk, order).status == "cancelled"
    assert desk.account.free == 10000
    assert PaperHolding.objects.get().quantity == D("0.01"), "the venue knows better"
    assert books_audit(settled_before=desk.now) == []
    desk.later(20)
    assert desk.match() == [order.client_order_id]
    news = ask(desk, order)
    assert (news.status, len(news.fills)) == ("filled", 1)
    assert trail(order) == ["pending", "submitted", "cancelled", "filled"]
    assert Position.objects.get().quantity == D("0.01")
    assert books_audit() == []


def test_an_execution_held_back_is_not_made_again(desk: Desk) -> None:
    """EXE-3: while it is not told yet the order meets no further mark."""
    order = sent(desk)
    fault_tell(operation="match", kind="late", delay_s=20)
    matched(desk)
    assert matched(desk) == []
    assert PaperFill.objects.count() == 1
    desk.later(20)
    desk.match()
    assert ask(desk, order).status == "filled"
    assert PaperFill.objects.count() == 1


def test_rejected_after_it_was_accepted(desk: Desk) -> None:
    """EXE-3: venues check some rules late: SUBMITTED becomes REJECTED and the capital returns."""
    order = sent(desk)
    fault_tell(operation="match", kind="refuse")
    matched(desk)
    assert ask(desk, order).status == "rejected"
    assert trail(order) == ["pending", "submitted", "rejected"]
    assert desk.account.free == 10000
    assert not Position.objects.exists()
    assert books_audit() == []


def test_an_order_the_venue_lost(desk: Desk) -> None:
    """EXE-3: accepted, then gone: UNKNOWN, held, and nothing fills."""
    order = sent(desk)
    fault_tell(operation="match", kind="forget")
    matched(desk)
    assert not PaperOrder.objects.exists()
    assert ask(desk, order).status == "unknown"
    assert execution.order_cancel(order_id=order.pk, now=desk.now) == CancelAnswer.NOT_KNOWN
    assert ask(desk, order).status == "unknown"
    assert desk.account.committed == order.committed


def test_a_mark_missed_is_met_by_the_next(desk: Desk) -> None:
    """EXE-5: no matching for one mark."""
    order = sent(desk)
    fault_tell(operation="match", kind="unavailable")
    assert matched(desk) == []
    assert matched(desk) == [order.client_order_id]
    assert ask(desk, order).status == "filled"


def test_a_spot_sale_is_never_made_twice() -> None:
    """EXE-5: even a faulty venue cannot sell what is not there."""
    desk = desk_open(policy="spot")
    entry = sent(desk)
    matched(desk)
    ask(desk, entry)
    closing = desk.order("SELL", "0.01", "95000", reduce_only=True)
    order_submit(order_id=closing.pk, now=desk.now)
    fault_tell(operation="match", kind="twice")
    matched(desk)
    assert ask(desk, closing).status == OrderStatus.FILLED
    assert PaperHolding.objects.get().quantity == 0
    assert books_audit() == []


def test_the_venue_without_faults_costs_one_statement_more(
    desk: Desk, django_assert_num_queries: object
) -> None:
    """EXE-5: what only drills need is one look at an empty table."""
    order = sent(desk)
    with django_assert_num_queries(2):  # type: ignore[operator]
        PaperVenue().order_fetch(order=ref(order.client_order_id))
    with django_assert_num_queries(3):  # type: ignore[operator]
        PaperLine().order_fetch(order=ref(order.client_order_id))
