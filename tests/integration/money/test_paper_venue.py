"""The paper venue as a venue: latency, fresh marks, partial fills, reduce-only, holdings, expiry (EXE-5)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D

import pytest

from execution.domain.orders import market_limit
from execution.models import PaperHolding, PaperOrder
from execution.venues import venue_get
from execution.venues.base import Accepted, CancelAnswer, OrderRequest, Refused, VenueStatus
from execution.venues.paper import PaperVenue, paper_assumptions
from markets.models import Instrument
from tests.integration.money.desk import WORLD, Desk, desk_open
from tests.integration.money.venues import ref
from tests.replaying import StillClock

pytestmark = pytest.mark.django_db
VENUE = PaperVenue()


@pytest.fixture
def desk() -> Desk:
    opened = desk_open(policy="perp")
    opened.mark("100000")
    return opened


def request(desk: Desk, side: str, quantity: str, limit: str, **fields: object) -> OrderRequest:
    number = PaperOrder.objects.count() + 1
    values: dict[str, object] = {
        "client_order_id": f"0x{number:032x}",
        "account": f"portfolio:{desk.pk}",
        "world": WORLD,
        "instrument_code": "BTC",
        "policy": "perp",
        "side": side,
        "quantity": D(quantity),
        "limit_price": D(limit),
        "reduce_only": False,
        "valid_until": desk.now + timedelta(seconds=5),
        "expires_at": desk.now + timedelta(seconds=60),
    }
    return OrderRequest(**(values | fields))  # type: ignore[arg-type]


def send(desk: Desk, side: str, quantity: str, limit: str, **fields: object) -> str:
    asked = request(desk, side, quantity, limit, **fields)
    assert isinstance(VENUE.order_submit(request=asked, now=desk.now), Accepted)
    return asked.client_order_id


def tick(desk: Desk, price: str = "100000") -> list[str]:
    desk.later()
    desk.mark(price)
    return desk.match()


def held(desk: Desk) -> dict[str, D]:
    rows = PaperHolding.objects.filter(account=f"portfolio:{desk.pk}").exclude(quantity=0)
    return {row.instrument_code: row.quantity for row in rows}


def test_the_venue_is_found_by_name() -> None:
    """A venue this server does not have is an error, not a guess."""
    assert venue_get(name="paper").name == "paper"
    with pytest.raises(LookupError, match="no venue 'nasdaq'"):
        venue_get(name="nasdaq")


def test_an_order_meets_only_marks_that_came_after_it(desk: Desk) -> None:
    """EXE-5: 250 ms of latency cost what the price does meanwhile; the mark it was decided on is gone."""
    assert paper_assumptions().latency_ms == 250
    first = send(desk, "BUY", "0.01", "100200")
    desk.later(0.2)
    desk.mark("100050")
    desk.later(5)
    assert desk.match() == [], "that price was there before the order was"
    desk.mark("100100")
    assert desk.match() == [first]
    order = VENUE.order_fetch(order=ref(first))
    assert order is not None
    assert order.fills[0].price == D("100113")  # 100,100 + 1 bp to the touch, and slippage


def test_a_mark_of_the_very_moment_is_met(desk: Desk) -> None:
    """EXE-5: exactly 250 ms."""
    first = send(desk, "BUY", "0.01", "100100")
    desk.later(0.25)
    desk.mark("100000")
    assert desk.match() == [first]


def test_a_stale_mark_fills_nothing(desk: Desk) -> None:
    """MKT-1: a quote older than 15 s opens nothing."""
    first = send(desk, "BUY", "0.01", "100100")
    desk.later(1)
    desk.mark("100000")
    desk.later(15.001)
    assert desk.match() == []
    desk.mark("100000")
    assert desk.match() == [first]


def test_a_market_order_pays_the_touch_and_never_the_far_end_of_a_broken_book(desk: Desk) -> None:
    """EXE-4: its limit is 5 % away and only protects; beyond it nothing fills until the price is back."""
    limit = market_limit(side="BUY", mark=D("100000"), instrument=Instrument.objects.get(pk="BTC").spec())
    assert limit == D("105000")
    first = send(desk, "BUY", "0.01", str(limit))
    assert tick(desk, "106000") == []
    assert tick(desk, "100000") == [first]
    order = VENUE.order_fetch(order=ref(first))
    assert order is not None
    assert [fill.price for fill in order.fills] == [D("100013")]


def test_a_resting_order_fills_when_the_price_comes(desk: Desk) -> None:
    """EXE-4: limits rest; the price paid is the market's, not the limit."""
    first = send(desk, "BUY", "0.01", "99000")
    assert tick(desk) == []
    assert tick(desk, "98000") == [first]
    order = VENUE.order_fetch(order=ref(first))
    assert order is not None
    assert (order.status, order.filled_quantity) == (VenueStatus.FILLED, D("0.01"))
    assert order.fills[0].price == D("98012")
    assert order.fills[0].world_at == desk.now


def test_asked_by_client_id_it_answers_like_an_exchange(desk: Desk) -> None:
    """EXE-5, EXE-6: never heard of, open, partly filled, cancelled."""
    assert VENUE.order_fetch(order=ref("0xnone")) is None
    assert VENUE.order_cancel(order=ref("0xnone"), now=desk.now) == CancelAnswer.NOT_KNOWN
    first = send(desk, "BUY", "0.15", "100100")
    order = VENUE.order_fetch(order=ref(first))
    assert order is not None
    assert (order.status, order.fills) == (VenueStatus.OPEN, ())
    tick(desk)
    order = VENUE.order_fetch(order=ref(first))
    assert order is not None
    assert (order.status, order.filled_quantity, len(order.fills)) == (VenueStatus.OPEN, D("0.09999"), 1)
    assert VENUE.order_cancel(order=ref(first), now=desk.now) == CancelAnswer.CANCELLED
    assert VENUE.order_cancel(order=ref(first), now=desk.now) == CancelAnswer.ALREADY_ENDED
    assert tick(desk) == []
    order = VENUE.order_fetch(order=ref(first))
    assert order is not None
    assert (order.status, order.filled_quantity, order.reason) == (
        VenueStatus.CANCELLED,
        D("0.09999"),
        "Cancelled on request",
    )
    assert [
        fill.quantity
        for fill in VENUE.fills_since(account=f"portfolio:{desk.pk}", since=desk.now - timedelta(1))
    ] == [D("0.09999")]
    assert VENUE.fills_since(account="portfolio:0", since=desk.now - timedelta(1)) == []


def test_reduce_only_never_turns_the_position(desk: Desk) -> None:
    """EXE-5: two orders to close the same holding close it once; what is left over is ended."""
    send(desk, "BUY", "0.02", "100100")
    tick(desk)
    assert held(desk) == {"BTC": D("0.02")}
    first = send(desk, "SELL", "0.02", "99000", reduce_only=True)
    second = send(desk, "SELL", "0.02", "99000", reduce_only=True)
    assert tick(desk) == [first, second]
    assert held(desk) == {}
    ended = VENUE.order_fetch(order=ref(second))
    assert ended is not None
    assert (ended.status, ended.reason, ended.fills) == (VenueStatus.CANCELLED, "Nothing left to reduce", ())


def test_reduce_only_takes_what_is_there(desk: Desk) -> None:
    """EXE-5: an order larger than the holding reduces it to zero."""
    send(desk, "SELL", "0.02", "99900")
    tick(desk)
    assert held(desk) == {"BTC": D("-0.02")}
    order = send(desk, "BUY", "0.05", "101000", reduce_only=True)
    tick(desk)
    assert held(desk) == {}
    tick(desk)
    ended = VENUE.order_fetch(order=ref(order))
    assert ended is not None
    assert (ended.status, ended.filled_quantity) == (VenueStatus.CANCELLED, D("0.02"))


def test_refusals_are_remembered(desk: Desk) -> None:
    """EXE-5: asked again about a refused order, the venue still says no."""
    asked = request(desk, "SELL", "0.01", "99000", policy="spot")
    for _ in range(2):
        answer = VENUE.order_submit(request=asked, now=desk.now)
        assert isinstance(answer, Refused)
        assert answer.reason == "0.01 to sell and 0 held"
    unknown = request(desk, "BUY", "0.01", "100", instrument_code="NONE")
    assert VENUE.order_submit(request=unknown, now=desk.now) == Refused("there is no instrument NONE")


def test_a_request_that_was_held_up_is_not_taken(desk: Desk) -> None:
    """EXE-3: the venue refuses what reaches it after the request's time, so "not known" by then is final."""
    asked = request(desk, "BUY", "0.01", "100100")
    arriving = StillClock(desk.now + timedelta(seconds=7))
    answer = PaperVenue(clock=arriving).order_submit(request=asked, now=desk.now)
    assert answer == Refused("it arrived 2.0 s after it could be taken")
    assert VENUE.orders_open(account=asked.account) == []


def test_it_lists_what_works_on_an_account(desk: Desk) -> None:
    """EXE-6: by account, with what is filled; ended orders are left out."""
    ended, working = send(desk, "BUY", "0.01", "100100"), send(desk, "BUY", "0.15", "100100")
    VENUE.order_cancel(order=ref(ended), now=desk.now)
    tick(desk)
    (order,) = VENUE.orders_open(account=f"portfolio:{desk.pk}")
    assert (order.client_order_id, order.instrument_code, order.side) == (working, "BTC", "BUY")
    assert (order.quantity, order.filled_quantity) == (D("0.15"), D("0.09999"))
    assert VENUE.orders_open(account="portfolio:0") == []


def test_orders_of_other_worlds_are_left_alone(desk: Desk) -> None:
    """SPEC Worlds: marks of one world never fill orders of another."""
    send(desk, "BUY", "0.01", "100100", world="live")
    assert tick(desk) == []
    assert not PaperHolding.objects.exists()


def test_time_over_is_time_over(desk: Desk) -> None:
    """SPEC Entries: at its end an order is ended, not filled."""
    first = send(desk, "BUY", "0.01", "100100")
    desk.later(60)
    desk.mark("100000")
    assert desk.match() == [first]
    order = VENUE.order_fetch(order=ref(first))
    assert order is not None
    assert (order.status, order.fills) == (VenueStatus.EXPIRED, ())


def test_many_orders_are_matched_in_batches(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXE-5: more open orders than one batch holds."""
    monkeypatch.setattr("execution.venues.paper_matching.BATCH_SIZE", 3)
    sent = [send(desk, "BUY", "0.001", "100100") for _ in range(8)]
    assert tick(desk) == sent
    assert held(desk) == {"BTC": D("0.008")}
