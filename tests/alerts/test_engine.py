"""OPS-1: what happens in a portfolio is told to its owner, from where it happens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import Portfolio, User
from alerts.models import Alert
from allocation.models import BreakerTrip, Follow
from core.clock import utc_now
from engine.alerting import books_tell, conflicts_tell, order_rejected_tell, standing_watch
from engine.decisions import DecisionNote, decision_store
from engine.trips import portfolio_trip
from execution.models import Order, OrderEvent
from positions.models import ConflictApproval
from tests.api.making import follow_make, order_make, portfolio_make, trader_make
from traders.models import Trader

pytestmark = pytest.mark.django_db


@pytest.fixture
def follow(alice: User) -> Follow:
    return follow_make(portfolio=portfolio_make(owner=alice), trader=trader_make())


@pytest.fixture
def portfolio(follow: Follow) -> Portfolio:
    return follow.portfolio


def told() -> list[tuple[str, str]]:
    return list(Alert.objects.order_by("pk").values_list("kind", "title"))


@pytest.mark.parametrize(
    ("kind", "alert", "title"),
    [
        (BreakerTrip.Kind.DRAWDOWN, "breaker", "Drawdown: no entries"),
        (BreakerTrip.Kind.EMERGENCY_STOP, "emergency", "Emergency stop: halted"),
        (BreakerTrip.Kind.MARGIN, "emergency", "Maintenance margin: halted"),
        (BreakerTrip.Kind.BOOKS, "books", "Books differ: halted"),
        (BreakerTrip.Kind.VENUE, "live", "Venue reports something odd: halted"),
    ],
)
def test_a_trip_is_told_once(portfolio: Portfolio, alice: User, kind: str, alert: str, title: str) -> None:
    """Whatever trips, in one place; a second trip of what stands already is none."""
    for _ in range(2):
        portfolio_trip(portfolio_id=portfolio.pk, kind=kind, why="It fell 20 %.", now=utc_now())
    row = Alert.objects.get()
    assert (row.kind, row.owner, row.portfolio, row.body) == (
        alert,
        alice,
        portfolio,
        "It fell 20 %. Exits go on.",
    )
    assert row.title == title


def test_a_refused_order_is_told(follow: Follow) -> None:
    """With the venue's own reason."""
    order = order_make(portfolio=follow.portfolio, follow=follow)
    order.status_reason = "insufficient margin"
    order_rejected_tell(order=order, at=utc_now())
    row = Alert.objects.get()
    assert (row.kind, row.body) == ("order", "insufficient margin")
    assert row.title.endswith(f"{order.instrument_id}: refused by the venue")


def test_an_order_without_an_answer_is_told_after_a_minute_and_once(follow: Follow) -> None:
    """And that the venue answered in the end."""
    now = utc_now()
    order = order_make(portfolio=follow.portfolio, follow=follow)
    OrderEvent.objects.filter(order=order).delete()
    OrderEvent.objects.create(order=order, at=now, from_status="submitted", to_status="unknown")
    Order.objects.filter(pk=order.pk).update(status="unknown", finished_at=None, filled_quantity=0)
    standing_watch(now=now + timedelta(seconds=59))
    assert told() == []
    for seconds in (60, 70, 4000):
        standing_watch(now=now + timedelta(seconds=seconds))
    assert [kind for kind, _ in told()] == ["unknown_order"]
    Order.objects.filter(pk=order.pk).update(status="cancelled", committed=0)
    for seconds in (4010, 4020):
        standing_watch(now=now + timedelta(seconds=seconds))
    assert told()[1:] == [("unknown_order", "BTC: the venue answered")]
    assert Alert.objects.last() is not None
    assert Alert.objects.first().body == "The order is cancelled now."  # type: ignore[union-attr]


def test_a_trader_that_cannot_be_read_is_told_after_five_minutes(follow: Follow) -> None:
    """To those who follow it, once; and once when it is read again."""
    now = utc_now()
    trader = follow.trader
    Trader.objects.filter(pk=trader.pk).update(status="degraded", failing_since=now, last_error="timeout")
    standing_watch(now=now + timedelta(minutes=4))
    assert told() == []
    for minutes in (5, 6, 500):
        standing_watch(now=now + timedelta(minutes=minutes))
    assert told() == [("trader", f"{trader.name} cannot be read")]
    assert "timeout. What is held of it stays, nothing is opened." in Alert.objects.get().body
    Trader.objects.filter(pk=trader.pk).update(status="active", failing_since=None)
    for minutes in (501, 502):
        standing_watch(now=now + timedelta(minutes=minutes))
    assert told()[1:] == [("trader", f"{trader.name} is read again")]


def test_pausing_a_source_ends_the_alert_without_a_word(follow: Follow) -> None:
    """Nobody is told that it is read again while it is not."""
    now = utc_now()
    traders = Trader.objects.filter(pk=follow.trader_id)
    traders.update(status="stale", failing_since=now - timedelta(hours=1))
    standing_watch(now=now)
    traders.update(status="paused", failing_since=None)
    standing_watch(now=now + timedelta(minutes=1))
    assert [kind for kind, _ in told()] == ["trader"]
    assert not Alert.objects.get().open


def test_a_waiting_conflict_and_a_reached_limit_are_told(follow: Follow) -> None:
    """Decisions that were carried out are not."""
    now = utc_now()
    portfolio = follow.portfolio
    approval = ConflictApproval(portfolio=portfolio, underlying="BTC", lapses_at=now + timedelta(minutes=15))
    conflicts_tell(approvals=[approval], at=now)
    for kind in ("capped", "copied", "held"):
        note = DecisionNote(kind=kind, text=f"{kind} BTC", reason="at most 25 % in one asset")
        decision_store(portfolio=portfolio, note=note, now=now)
    assert told() == [("conflict", "BTC: your traders disagree"), ("limit", "capped BTC")]


def test_the_audit_of_the_books_is_told_to_operators(alice: User) -> None:
    """Nobody where the books agree."""
    root = User.objects.create_superuser("root@example.com", "a long enough password")
    books_tell(findings=[], at=utc_now())
    books_tell(findings=["cash differs", "a slice differs"], at=utc_now())
    assert [(one.owner, one.title, one.body) for one in Alert.objects.all()] == [
        (root, "The books audit found 2 differences", "cash differs")
    ]
