"""Real connections at once: the last capital, one claim, one booking, one cancel (CAP-2, EXE-3)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal as D
from functools import partial
from threading import Barrier

import pytest
from django.conf import settings
from django.db import connections
from django.db.models import Count

from allocation.capital import Move, account_move
from allocation.models import Reservation
from allocation.reservations import (
    ReservationGone,
    capital_commit,
    capital_release,
    capital_request,
    reservations_expire,
)
from execution.models import Fill, PaperFill
from execution.orders import order_cancel, order_submit
from positions.audit import books_audit
from positions.booking import fill_book
from positions.models import Position, PositionSlice
from positions.services import order_sync
from positions.transfers import transfers_book
from tests.integration.money.desk import Desk, desk_open
from tests.integration.money.venues import Moody

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 25


def at_once(calls: Sequence[Callable[[], object]]) -> list[object]:
    """Run calls at the same moment, each on its own connection; an exception counts as the result."""
    start = Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        try:
            start.wait(timeout=20)
            return call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def request(desk: Desk, amount: str, *, wait_s: int = 0, key: str = "") -> Reservation:
    return capital_request(
        portfolio_id=desk.pk,
        amount=D(amount),
        source="race",
        instrument_code="BTC",
        now=desk.now,
        timeout_s=30,
        wait_s=wait_s,
        client_key=key,
    )


reserve = request


def test_two_connections_racing_for_the_last_capital_never_overdraw() -> None:
    """CAP-2: 60 is asked for twice where 100 is free; exactly one gets it, in every round."""
    desk = desk_open(cash="100")
    for _ in range(ROUNDS):
        got = at_once([lambda: reserve(desk, "60")] * 2)
        assert sorted(r.status for r in got) == ["denied", "granted"]  # type: ignore[attr-defined]
        account = desk.account
        assert (account.free, account.reserved) == (40, 60)
        for granted in Reservation.objects.filter(status="granted"):
            capital_release(reservation_id=granted.pk, now=desk.now)
    assert books_audit() == []


def test_eight_connections_take_what_there_is_and_no_more() -> None:
    """CAP-2: of eight wishes for 30, three fit into 100."""
    desk = desk_open(cash="100")
    for _ in range(5):
        got = at_once([lambda: reserve(desk, "30")] * 8)
        assert sorted(r.status for r in got) == ["denied"] * 5 + ["granted"] * 3  # type: ignore[attr-defined]
        assert desk.account.free == 10
        assert len(reservations_expire(now=desk.later(31))) == 3
    assert books_audit() == []


def test_processes_racing_for_capital_never_overdraw_and_lose_nothing() -> None:
    """CAP-2: four processes ask 50 times each where capital is there for 150 of the 200."""
    desk = desk_open(cash="1500")
    ask = [sys.executable, "-m", "tests.asking", str(desk.pk), "50", "10"]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "ENSEMBLE_TEST_DATABASE": settings.DATABASES["default"]["NAME"],
    }
    asking = [subprocess.Popen(ask, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate(timeout=120)[0].split() for process in asking]
    assert [process.returncode for process in asking] == [0] * 4
    assert [sum(int(count) for count in counts) for counts in told] == [50] * 4
    assert sum(int(granted) for granted, _ in told) == 150
    stored = Reservation.objects.order_by("status").values_list("status").annotate(count=Count("id"))
    assert dict(stored) == {"granted": 150, "denied": 50}
    assert (desk.account.free, desk.account.reserved) == (0, 1500)
    assert books_audit() == []


def test_nobody_begins_to_wait_just_as_capital_has_come_back() -> None:
    """CAP-1: a release and a request at the same moment; the request is granted, whoever was first."""
    desk = desk_open(cash="100")
    for _ in range(ROUNDS):
        held = reserve(desk, "100")
        _, asked = at_once(
            [
                lambda held=held: capital_release(reservation_id=held.pk, now=desk.now),
                lambda: request(desk, "70", wait_s=60),
            ]
        )
        assert isinstance(asked, Reservation)
        asked.refresh_from_db()
        assert asked.status == "granted"
        assert (desk.account.free, desk.account.reserved) == (30, 70)
        capital_release(reservation_id=asked.pk, now=desk.now)
    assert books_audit() == []


def test_one_key_at_once_is_one_request() -> None:
    """CAP-3: a client that repeats itself before it was answered gets one grant."""
    desk = desk_open(cash="100")
    for number in range(8):
        calls = [
            partial(request, desk, "10", wait_s=wait_s, key=f"key {number}") for wait_s in (0, 60, 0, 60)
        ]
        got = at_once(calls)
        assert not [result for result in got if isinstance(result, Exception)]
        assert len({reservation.pk for reservation in got}) == 1  # type: ignore[attr-defined]
        assert desk.account.reserved == 10 * (number + 1)


def test_expiry_and_use_of_one_grant_never_both_happen() -> None:
    """CAP-1: a sweep whose clock is ahead meets an order that uses the grant; the money moves once."""
    desk = desk_open(cash="100")
    for _ in range(ROUNDS):
        granted = reserve(desk, "60")
        ahead = granted.expires_at
        assert ahead is not None
        used, expired = at_once(
            [
                lambda grant=granted: capital_commit(
                    reservation_id=grant.pk, portfolio_id=desk.pk, now=desk.now
                ),
                lambda at=ahead: reservations_expire(now=at),
            ]
        )
        account = desk.account
        if isinstance(used, ReservationGone):
            assert expired == [granted.pk]
            assert (account.free, account.reserved, account.committed) == (100, 0, 0)
        else:
            assert (used, expired) == (60, [])
            assert (account.free, account.reserved, account.committed) == (40, 0, 60)
            account_move(portfolio_id=desk.pk, move=Move(free=D(60), committed=D(-60)), now=desk.now)
    assert books_audit() == []


def test_one_of_many_senders_sends() -> None:
    """EXE-3: a claim is one conditional UPDATE."""
    desk = desk_open()
    desk.mark("100000")
    for _ in range(8):
        order = desk.order("BUY", "0.001", "100100")
        venue = Moody()
        at_once(
            [lambda order=order, venue=venue: order_submit(order_id=order.pk, now=desk.now, venue=venue)] * 4
        )
        assert venue.sent == [order.client_order_id]


def test_one_fill_told_by_many_is_booked_once() -> None:
    """EXE-3: four workers heard of the same fill."""
    desk = desk_open()
    desk.mark("100000")
    for number in range(1, 9):
        order = desk.order("BUY", "0.001", "100100")
        fill = desk.fill(order, "0.001", "100000", "0.045")
        got = at_once(
            [lambda order=order, fill=fill: fill_book(order_id=order.pk, fill=fill, now=desk.now)] * 4
        )
        assert not [result for result in got if isinstance(result, Exception)]
        assert len([result for result in got if result is not None]) == 1
        assert Fill.objects.count() == number
    position = Position.objects.get()
    assert (position.quantity, position.fees) == (D("0.008"), D("0.36"))


def test_cancel_and_fill_at_once_agree_in_the_end() -> None:
    """EXE-3: whoever is faster at the venue, order, position and money say the same."""
    desk = desk_open()
    ends = set()
    for _ in range(ROUNDS):
        desk.mark("100000")
        order = desk.order("BUY", "0.001", "100100")
        order_submit(order_id=order.pk, now=desk.now)
        desk.later()
        desk.mark("100000")
        results = at_once(
            [
                desk.match,
                lambda order=order: order_cancel(order_id=order.pk, now=desk.now),
                lambda order=order: order_sync(order_id=order.pk, now=desk.now),
            ]
        )
        assert not [result for result in results if isinstance(result, Exception)]
        order_sync(order_id=order.pk, now=desk.now)
        order.refresh_from_db()
        ends.add(order.status)
        assert order.status in {"filled", "cancelled"}
        assert order.filled_quantity == (D("0.001") if order.status == "filled" else 0)
    held = sum((fill.quantity for fill in PaperFill.objects.all()), D(0))
    assert sum((position.quantity for position in Position.objects.all()), D(0)) == held
    assert books_audit() == []
    assert ends, "every round ended"


def test_bookings_of_one_portfolio_go_one_after_the_other() -> None:
    """DESIGN 3, 6: fills and transfers from many connections leave Σ slices = position."""
    desk = desk_open(cash="50000")
    desk.mark("100000")
    one, two = (follow.pk for follow in desk.follows)
    orders = [desk.order("BUY", "0.01", "100100", slices={one: "0.006", two: "0.004"}) for _ in range(6)]
    told = [(order.pk, desk.fill(order, "0.01", "100000", "0.45")) for order in orders]
    calls: list[Callable[[], object]] = [
        partial(fill_book, order_id=pk, fill=fill, now=desk.now) for pk, fill in told
    ]
    calls += [
        lambda: transfers_book(
            portfolio=desk.portfolio,
            instrument_code="BTC",
            underlying="BTC",
            pairs=[(one, two, D("0.001"))],
            mark=D(101000),
            margin_rate=D(1),
            run=1,
            now=desk.now,
            world_at=desk.now,
        )
    ] * 2
    results = at_once(calls)
    assert not [result for result in results if isinstance(result, Exception)]
    position = Position.objects.get()
    assert position.quantity == D("0.06")
    parts = {part.follow_id: part.quantity for part in PositionSlice.objects.all()}
    assert parts == {one: D("0.034"), two: D("0.026")}
    assert {finding.kind for finding in books_audit()} <= {"paper_fill_was_made"}
