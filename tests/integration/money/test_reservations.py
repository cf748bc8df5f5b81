"""The queue of requests for capital (CAP-1, CAP-2): strict order, served the moment capital comes back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from allocation.breakers import breaker_reset, breaker_trip
from allocation.capital import Move, account_move
from allocation.models import Reservation, ReservationTally
from allocation.pruning import reservations_prune
from allocation.reservations import (
    WAITING_MAX,
    ReservationGone,
    capital_commit,
    capital_release,
    capital_request,
    reservations_expire,
)
from core.errors import InputError, NotFound
from execution.orders import order_status_change, reservations_unlink
from positions.audit import books_audit
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db
CRITICAL, HIGH, MEDIUM, LOW = Reservation.Priority.values


def ask(desk: Desk, amount: str, *, wait_s: int = 60, priority: int = MEDIUM, key: str = "") -> Reservation:
    return capital_request(
        portfolio_id=desk.pk,
        amount=D(amount),
        source="test",
        instrument_code="BTC",
        now=desk.now,
        timeout_s=30,
        priority=priority,
        wait_s=wait_s,
        client_key=key,
    )


def status(*reservations: Reservation) -> list[str]:
    for reservation in reservations:
        reservation.refresh_from_db()
    return [reservation.status for reservation in reservations]


def money(desk: Desk) -> tuple[D, D]:
    return desk.account.free, desk.account.reserved


def test_a_grant_is_one_statement() -> None:
    """CAP-2: claimed and stored together, so nothing can come between."""
    desk = desk_open()
    with CaptureQueriesContext(connection) as queries:
        granted = ask(desk, "100", wait_s=0)
    assert len(queries) == 1
    assert granted == Reservation.objects.get()
    assert (granted.status, granted.granted_at, granted.expires_at) == (
        "granted",
        desk.now,
        desk.now + timedelta(seconds=30),
    )


def test_released_capital_serves_who_waits_at_once() -> None:
    """CAP-1: waiting becomes granted in the transaction that brings capital back, with 30 s of its own."""
    desk = desk_open(cash="100")
    first, second = ask(desk, "100"), ask(desk, "60")
    assert status(first, second) == ["granted", "waiting"]
    assert second.wait_until == desk.now + timedelta(seconds=60)
    assert capital_release(reservation_id=first.pk, now=desk.later(5))
    assert status(first, second) == ["released", "granted"]
    assert (second.granted_at, second.expires_at) == (desk.now, desk.now + timedelta(seconds=30))
    assert money(desk) == (40, 60)
    assert books_audit() == []


def test_priority_goes_first_then_who_came_first() -> None:
    """CAP-1: Critical, High, Medium, Low; within one, first come."""
    desk = desk_open(cash="40")
    holder = ask(desk, "40")
    asked = []
    for priority in (LOW, MEDIUM, CRITICAL, HIGH, MEDIUM, CRITICAL):
        desk.later(1)
        asked.append(ask(desk, "10", priority=priority))
    low, medium, critical, high, medium_later, critical_later = asked
    capital_release(reservation_id=holder.pk, now=desk.later(1))
    assert status(critical, critical_later, high, medium) == ["granted"] * 4
    assert status(medium_later, low) == ["waiting"] * 2
    capital_release(reservation_id=high.pk, now=desk.now)
    assert status(medium_later, low) == ["granted", "waiting"]
    assert money(desk) == (0, 40)


def test_a_small_request_does_not_overtake_a_large_critical_one() -> None:
    """CAP-1: not by waiting, not by asking at once; the denial names who is before it."""
    desk = desk_open(cash="100")
    holder = ask(desk, "50")
    critical = ask(desk, "80", priority=CRITICAL)
    small = ask(desk, "10", priority=LOW)
    at_once = ask(desk, "10", priority=LOW, wait_s=0)
    assert status(critical, small, at_once) == ["waiting", "waiting", "denied"]
    assert at_once.reason == (
        "$10.00 needed, $50.00 free, for which others of the same or a higher priority wait"
    )
    assert money(desk) == (50, 50)
    capital_release(reservation_id=holder.pk, now=desk.later())
    assert status(critical, small) == ["granted", "granted"]
    assert money(desk) == (10, 90)


def test_a_higher_priority_need_not_wait_behind_a_lower_one() -> None:
    """CAP-1: a Critical request takes what a waiting Low one could not use."""
    desk = desk_open(cash="100")
    ask(desk, "50")
    low = ask(desk, "80", priority=LOW)
    assert ask(desk, "50", priority=CRITICAL, wait_s=0).status == "granted"
    assert status(low) == ["waiting"]


def test_nobody_waits_for_ever() -> None:
    """CAP-1: at wait_until the request is denied, and whoever stood behind it is served."""
    desk = desk_open(cash="100")
    ask(desk, "50")
    capital_commit(
        reservation_id=Reservation.objects.get().pk, portfolio_id=desk.pk, now=desk.now
    )  # for longer than 30 s
    critical = ask(desk, "80", priority=CRITICAL, wait_s=10)
    small = ask(desk, "40", priority=LOW, wait_s=20)
    reservations_expire(now=desk.later(9))
    assert status(critical, small) == ["waiting", "waiting"]
    reservations_expire(now=desk.later(1))
    assert status(critical, small) == ["denied", "granted"]
    assert critical.reason == "Waited until its time was over"
    assert critical.settled_at == desk.now


def test_nobody_is_granted_what_a_stop_forbids_to_use() -> None:
    """CAP-1, RSK-2: while nothing is opened the queue stands still; lifting the stop serves it at once."""
    desk = desk_open(cash="100")
    held = ask(desk, "100")
    first = ask(desk, "70")
    desk.later(1)
    second = ask(desk, "40")
    trip = breaker_trip(portfolio_id=desk.pk, kind="emergency_stop", reason="Stopped by Alice", now=desk.now)
    assert trip is not None
    assert capital_release(reservation_id=held.pk, now=desk.later(1))
    reservations_expire(now=desk.later(1))
    assert status(first, second) == ["waiting", "waiting"]
    assert money(desk) == (D(100), D(0))
    breaker_reset(portfolio_id=desk.pk, trip_id=trip.pk, by="Alice", reason="Looked", now=desk.later(1))
    assert status(first, second) == ["granted", "waiting"]
    assert money(desk) == (D(30), D(70))


def test_who_waited_through_a_stop_is_told_of_it() -> None:
    desk = desk_open(cash="100")
    ask(desk, "100")
    waiting = ask(desk, "70", wait_s=10)
    breaker_trip(portfolio_id=desk.pk, kind="drawdown", reason="20 % below the peak", now=desk.now)
    reservations_expire(now=desk.later(40))
    assert status(waiting) == ["denied"]
    assert waiting.reason == "Waited until its time was over; nothing is opened now: 20 % below the peak"


def test_a_request_whose_time_is_over_holds_nobody_up_before_the_sweep() -> None:
    """CAP-1: what nobody has swept yet is over all the same."""
    desk = desk_open(cash="100")
    ask(desk, "50")
    over = ask(desk, "80", priority=CRITICAL, wait_s=10)
    desk.later(10)
    assert ask(desk, "50", wait_s=0).status == "granted"
    assert status(over) == ["waiting"]


def test_expired_capital_serves_the_queue() -> None:
    """CAP-2: a crashed holder's capital comes back at expiry, and to whom it is owed."""
    desk = desk_open(cash="100")
    ask(desk, "100")
    waiting = ask(desk, "70")
    desk.later(29)
    assert reservations_expire(now=desk.now) == []
    assert len(reservations_expire(now=desk.later(1))) == 1
    assert status(waiting) == ["granted"]
    assert money(desk) == (30, 70)


def test_what_ran_out_is_there_for_the_next_even_before_the_sweep() -> None:
    """CAP-2: 30 s are 30 s, whether the sweep is late or not."""
    desk = desk_open(cash="100")
    dead = ask(desk, "100")
    desk.later(30)
    assert ask(desk, "100", wait_s=0).status == "granted"
    assert status(dead) == ["expired"]
    desk.later(30)
    assert ask(desk, "60", wait_s=5).status == "granted"
    assert money(desk) == (40, 60)
    assert books_audit() == []


def test_an_ended_order_serves_the_queue() -> None:
    """CAP-1: capital released on cancel or failure of an order goes to who waits."""
    desk = desk_open()
    order = desk.order("BUY", "0.1", "90000")
    waiting = ask(desk, "9000")
    assert status(waiting) == ["waiting"]
    with transaction.atomic():
        order_status_change(order=order, to="rejected", now=desk.later())
    assert status(waiting) == ["granted"]
    assert books_audit() == []


def test_income_serves_the_queue_once_the_deficit_is_paid() -> None:
    """CAP-1: a deposit or a profit counts, what the deficit takes does not."""
    desk = desk_open(cash="100")
    with transaction.atomic():
        account_move(portfolio_id=desk.pk, move=Move(free=D(-130), committed=D(20)), now=desk.now)
    waiting = ask(desk, "10")
    assert (desk.account.deficit, *status(waiting)) == (30, "waiting")
    with transaction.atomic():
        account_move(portfolio_id=desk.pk, move=Move(free=D(39)), now=desk.now)
    assert status(waiting) == ["waiting"]
    with transaction.atomic():
        account_move(portfolio_id=desk.pk, move=Move(free=D(1)), now=desk.now)
    assert status(waiting) == ["granted"]
    assert money(desk) == (0, 10)


def test_more_than_there_is_at_all_is_denied_at_once() -> None:
    """CAP-1: a request that no release could serve would only hold up the others."""
    desk = desk_open(cash="100")
    hopeless = ask(desk, "100.01", priority=CRITICAL)
    assert (hopeless.status, hopeless.reason) == ("denied", "$100.01 needed, the whole portfolio has $100.00")


def test_the_queue_has_an_end() -> None:
    """A limit on everything: a hundred wait, the next is told."""
    desk = desk_open(cash="100")
    ask(desk, "100")
    for _ in range(WAITING_MAX):
        assert ask(desk, "1").status == "waiting"
    assert ask(desk, "1").reason == f"{WAITING_MAX} requests wait already"


def test_leaving_the_queue_lets_the_next_one_through() -> None:
    """CAP-1: a request withdrawn while it waits is denied, never granted after."""
    desk = desk_open(cash="100")
    ask(desk, "50")
    large, small = ask(desk, "80"), ask(desk, "40")
    assert capital_release(reservation_id=large.pk, now=desk.later())
    assert not capital_release(reservation_id=large.pk, now=desk.now)
    assert status(large, small) == ["denied", "granted"]
    assert large.reason == "Withdrawn by who asked"


def test_the_same_key_is_the_same_request() -> None:
    """CAP-3: asking twice reserves once; the same key for something else is refused."""
    desk = desk_open(cash="100")
    first = ask(desk, "60", key="a")
    assert ask(desk, "60", key="a") == first
    assert ask(desk, "60", wait_s=0, key="a") == first
    assert money(desk) == (40, 60)
    with pytest.raises(InputError, match="The key a stands for 60 of BTC") as refused:
        ask(desk, "61", key="a")
    assert refused.value.field == "key"
    other = desk_open(cash="100", name="Other")
    assert ask(other, "60", key="a") != first, "a key counts per portfolio"
    denied = ask(desk, "90", wait_s=0, key="b")
    assert denied.status == "denied"
    capital_release(reservation_id=first.pk, now=desk.later())
    assert ask(desk, "90", wait_s=0, key="b") == denied, "a denial stands, too"
    assert money(desk) == (100, 0)


@pytest.mark.parametrize("wait_s", [-1, 301])
def test_waiting_has_bounds(wait_s: int) -> None:
    """CAP-1: five minutes at most."""
    desk = desk_open()
    with pytest.raises(InputError, match="0 to 300 seconds"):
        ask(desk, "1", wait_s=wait_s)


@pytest.mark.parametrize("wait_s", [0, 5])
def test_without_an_account_nothing_is_stored(wait_s: int) -> None:
    """CAP-1."""
    desk = desk_open()
    desk.account.delete()
    with pytest.raises(NotFound, match="has no capital account"):
        ask(desk, "1", wait_s=wait_s)
    assert not Reservation.objects.exists()


def test_a_request_that_waits_has_an_end_in_the_database() -> None:
    """STYLE 6: what we promise is a constraint."""
    waiting = ask(desk_open(cash="100"), "100")
    with pytest.raises(IntegrityError, match="reservation_wait_ends"), transaction.atomic():
        Reservation.objects.filter(pk=waiting.pk).update(status="waiting", wait_until=None)


def test_a_waiting_or_denied_request_cannot_be_used() -> None:
    """CAP-2."""
    desk = desk_open(cash="100")
    ask(desk, "100")
    for reservation in (ask(desk, "1"), ask(desk, "1", wait_s=0)):
        with pytest.raises(ReservationGone, match=f"is {reservation.status}"):
            capital_commit(reservation_id=reservation.pk, portfolio_id=desk.pk, now=desk.now)


def test_pruned_reservations_stay_counted() -> None:
    """CAP-4: old rows go, their number stays; what still runs, or an order points to, is left."""
    desk = desk_open()
    order = desk.order("BUY", "0.001", "90000")
    capital_release(reservation_id=ask(desk, "1").pk, now=desk.now)
    ask(desk, "999999", wait_s=0, priority=HIGH)
    running = ask(desk, "5")
    desk.later(100)
    capital_release(reservation_id=ask(desk, "2").pk, now=desk.now)
    cut = desk.now - timedelta(seconds=50)
    assert reservations_unlink(before=cut) == 1
    assert reservations_prune(before=cut, limit=2) == 2
    assert reservations_prune(before=cut, limit=2) == 1
    assert reservations_prune(before=cut, limit=2) == 0
    assert {(t.strategy, t.status, t.priority, t.count) for t in ReservationTally.objects.all()} == {
        ("test", "used", MEDIUM, 1),
        ("test", "released", MEDIUM, 1),
        ("test", "denied", HIGH, 1),
    }
    assert sorted(Reservation.objects.values_list("status", flat=True)) == ["granted", "released"]
    assert status(running) == ["granted"]
    assert reservations_prune(before=desk.later(), limit=100) == 1
    assert ReservationTally.objects.get(status="released").count == 2
    order.refresh_from_db()
    assert (order.reservation_id, order.committed > 0) == (None, True)


class QueueOrder(TestCase):
    """CAP-1, CAP-2: whatever is asked, released and expired, in any order."""

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("ask"), st.integers(1, 60), st.sampled_from([0, 1, 2, 3]), st.booleans()),
                st.tuples(st.just("release"), st.integers(0, 30), st.just(0), st.just(False)),
                st.tuples(st.just("later"), st.integers(1, 20), st.just(0), st.just(False)),
            ),
            min_size=5,
            max_size=30,
        )
    )
    def test_the_queue_is_strict_and_nothing_is_lost(self, steps: list[tuple[str, int, int, bool]]) -> None:
        """Free + reserved = 100 always; after each step the first of the queue is one that does not fit."""
        desk = desk_open(cash="100")
        asked: list[Reservation] = []
        for what, number, priority, waits in steps:
            desk.later(0.001)
            if what == "ask":
                asked.append(ask(desk, str(number), wait_s=40 if waits else 0, priority=priority))
            elif what == "release" and asked:
                capital_release(reservation_id=asked[number % len(asked)].pk, now=desk.now)
            elif what == "later":
                reservations_expire(now=desk.later(number))
            account = desk.account
            granted = Reservation.objects.filter(portfolio=desk.portfolio, status="granted")
            held = sum(reservation.amount for reservation in granted)
            assert (account.free + account.reserved, account.reserved) == (100, held)
            queue = Reservation.objects.filter(portfolio=desk.portfolio, status="waiting")
            first = queue.order_by("priority", "requested_at", "id").first()
            assert first is None or first.amount > account.free
