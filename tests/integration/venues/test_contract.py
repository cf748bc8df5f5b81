"""What the order services rely on, asked of every venue alike: paper, and the loopback exchanges."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest

from core.errors import RetryLater, UnknownOutcome
from execution.client_ids import is_ours
from execution.venues.base import Accepted, CancelAnswer, Refused, StopStatus, VenueStatus
from tests.integration.venues.stands import ACCOUNT, Stand, ref

pytestmark = pytest.mark.django_db


def open_ids(stand: Stand) -> list[str]:
    return [order.client_order_id for order in stand.venue.orders_open(account=ACCOUNT)]


def armed_ids(stand: Stand) -> list[str]:
    return [stop.client_order_id for stop in stand.venue.stops_armed(accounts=[ACCOUNT])]


# ---------------------------------------------------------------- sending
def test_an_order_rests_until_its_price_comes(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request(limit="49000")
    answer = stand.submit(request)
    assert isinstance(answer, Accepted)
    report = stand.fetch(request)
    assert (report.status, report.filled_quantity, report.fills) == (VenueStatus.OPEN, D(0), ())
    assert (report.client_order_id, report.venue_order_id) == (request.client_order_id, answer.venue_order_id)
    (listed,) = stand.venue.orders_open(account=ACCOUNT)
    assert (listed.client_order_id, listed.instrument_code, listed.side) == (
        request.client_order_id,
        "BTC",
        "BUY",
    )
    assert (listed.quantity, listed.filled_quantity) == (D("0.01"), D(0))
    assert is_ours(listed.client_order_id)
    assert stand.venue.fills_since(account=ACCOUNT, since=stand.now - timedelta(minutes=1)) == []


def test_sending_twice_makes_one_order(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request(limit="49000")
    first = stand.submit(request)
    assert stand.submit(request) == first
    assert stand.taken(request.client_order_id) == 1


def test_sending_again_after_the_end_makes_no_second_order(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request(limit="50500")
    first = stand.submit(request)
    stand.price("50000")
    assert stand.fetch(request).status == VenueStatus.FILLED
    assert stand.submit(request) == first
    assert stand.taken(request.client_order_id) == 1
    assert stand.fetch(request).filled_quantity == D("0.01")


def test_below_the_minimum_is_refused_and_stays_so(stand: Stand) -> None:
    stand.price("50000")
    quantity = "0.0001" if stand.policy == "spot" or stand.minimum == 10 else "0.001"
    request = stand.request(quantity=quantity, limit="40000")
    answer = stand.submit(request)
    assert isinstance(answer, Refused)
    assert f"below the minimum of {stand.minimum}" in answer.reason
    stand.price("1000000")
    assert stand.submit(request) == answer
    assert stand.taken(request.client_order_id) == 0


@pytest.mark.parametrize(("quantity", "limit"), [("0.0000001", "50000"), ("0.01", "50000.123")])
def test_finer_than_the_steps_is_refused(stand: Stand, quantity: str, limit: str) -> None:
    request = stand.request(quantity=quantity, limit=limit)
    assert isinstance(stand.submit(request), Refused)
    assert stand.taken(request.client_order_id) == 0


def test_too_late_is_refused(stand: Stand) -> None:
    request = stand.request(valid_until=stand.now - timedelta(seconds=1))
    answer = stand.submit(request)
    assert isinstance(answer, Refused)
    assert stand.taken(request.client_order_id) == 0


# ---------------------------------------------------------------- fills
def test_partial_fills_then_the_rest(stand: Stand) -> None:
    stand.price("60000")
    request = stand.request(quantity="0.4", limit="50050")
    stand.submit(request)
    stand.price("50000", depth="0.1")
    first = stand.fetch(request)
    assert first.status == VenueStatus.OPEN
    assert D(0) < first.filled_quantity < D("0.4")
    assert sum(fill.quantity for fill in first.fills) == first.filled_quantity
    (listed,) = stand.venue.orders_open(account=ACCOUNT)
    assert (listed.quantity, listed.filled_quantity) == (D("0.4"), first.filled_quantity)
    stand.price("49990")
    stand.price("49990")
    last = stand.fetch(request)
    assert (last.status, last.filled_quantity) == (VenueStatus.FILLED, D("0.4"))
    assert last.fills[: len(first.fills)] == first.fills
    assert len({fill.venue_fill_id for fill in last.fills}) == len(last.fills) >= 2
    assert all(fill.price <= D(50050) and fill.fee > 0 for fill in last.fills)
    since = stand.now - timedelta(minutes=1)
    assert stand.venue.fills_since(account=ACCOUNT, since=since) == list(last.fills)
    assert open_ids(stand) == []


def test_fills_before_a_time_are_not_told(stand: Stand) -> None:
    stand.price("50000")
    early = stand.request(limit="50500")
    stand.submit(early)
    stand.price("50000")
    stand.fetch(early)
    stand.pass_time(120)
    since = stand.now - timedelta(seconds=30)
    late = stand.request(limit="50500")
    stand.submit(late)
    stand.price("50000")
    told = stand.venue.fills_since(account=ACCOUNT, since=since)
    assert [fill.client_order_id for fill in told] == [late.client_order_id]
    everything = stand.venue.fills_since(account=ACCOUNT, since=since - timedelta(minutes=5))
    assert [fill.client_order_id for fill in everything] == [early.client_order_id, late.client_order_id]


# ---------------------------------------------------------------- cancelling
def test_cancelling_ends_what_is_left(stand: Stand) -> None:
    stand.price("60000")
    request = stand.request(quantity="0.4", limit="50050")
    stand.submit(request)
    stand.price("50000", depth="0.1")
    assert stand.cancel(request) == CancelAnswer.CANCELLED
    report = stand.fetch(request)
    assert report.status == VenueStatus.CANCELLED
    assert D(0) < report.filled_quantity == sum(fill.quantity for fill in report.fills) < D("0.4")
    assert stand.cancel(request) == CancelAnswer.ALREADY_ENDED
    stand.price("49000")
    assert stand.fetch(request).filled_quantity == report.filled_quantity


def test_a_fill_that_was_faster_than_the_cancel_stands(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request(limit="50500")
    stand.submit(request)
    stand.price("50000")
    assert stand.cancel(request) == CancelAnswer.ALREADY_ENDED
    report = stand.fetch(request)
    assert (report.status, report.filled_quantity) == (VenueStatus.FILLED, D("0.01"))


def test_what_was_never_sent_is_not_known(stand: Stand) -> None:
    request = stand.request()
    assert stand.fetch(request) is None
    assert stand.cancel(request) == CancelAnswer.NOT_KNOWN
    assert stand.venue.stop_fetch(stop=ref(request)) is None
    assert stand.venue.stop_cancel(stop=ref(request), now=stand.now) == CancelAnswer.NOT_KNOWN


# ---------------------------------------------------------------- a bad line
def test_an_answer_that_is_lost_leaves_the_order(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request(limit="49000")
    stand.lose_answer()
    with pytest.raises(UnknownOutcome):
        stand.submit(request)
    assert stand.fetch(request).status == VenueStatus.OPEN
    assert isinstance(stand.submit(request), Accepted)
    assert stand.taken(request.client_order_id) == 1
    assert open_ids(stand) == [request.client_order_id]


def test_a_lost_answer_of_an_order_that_filled(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request(limit="50500")
    stand.lose_answer()
    with pytest.raises(UnknownOutcome):
        stand.submit(request)
    stand.price("50000")
    since = stand.now - timedelta(minutes=1)
    assert [fill.quantity for fill in stand.venue.fills_since(account=ACCOUNT, since=since)] == [D("0.01")]
    assert isinstance(stand.submit(request), Accepted)
    assert stand.taken(request.client_order_id) == 1


def test_a_request_that_is_lost_may_be_sent_again_later(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request(limit="49000")
    stand.lose_request()
    with pytest.raises(UnknownOutcome):
        stand.submit(request)
    if not stand.sure_at_once:  # the venue does not know it, and it may still be on its way
        with pytest.raises(RetryLater, match="may still arrive"):
            stand.fetch(request)
        with pytest.raises(RetryLater, match="may still arrive"):
            stand.cancel(request)
        with pytest.raises(RetryLater, match="may still arrive"):
            stand.submit(request)
    stand.pass_time(9)
    assert stand.fetch(request) is None
    assert stand.cancel(request) == CancelAnswer.NOT_KNOWN
    again = replace(request, valid_until=stand.now + timedelta(seconds=5))
    assert isinstance(stand.submit(again), Accepted)
    assert stand.taken(request.client_order_id) == 1


def test_a_venue_that_is_busy_did_nothing(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request(limit="49000")
    stand.busy()
    with pytest.raises(RetryLater):
        stand.submit(request)
    assert stand.taken(request.client_order_id) == 0
    stand.pass_time(1)
    again = replace(request, valid_until=stand.now + timedelta(seconds=5))
    assert isinstance(stand.submit(again), Accepted)
    assert stand.taken(request.client_order_id) == 1


# ---------------------------------------------------------------- reducing
def test_reduce_only_takes_off_no_more_than_is_held(stand: Stand) -> None:
    stand.hold("0.02")
    if stand.policy == "spot":
        request = stand.request("SELL", "0.05", "49500")
        assert isinstance(stand.submit(request), Refused)
        assert stand.taken(request.client_order_id) == 0
        return
    request = stand.request("SELL", "0.05", "49500", reduce_only=True)
    assert isinstance(stand.submit(request), Accepted)
    stand.price("50000")
    stand.price("50001")
    report = stand.fetch(request)
    assert report.filled_quantity == D("0.02")
    assert report.status in {VenueStatus.CANCELLED, VenueStatus.EXPIRED}


def test_nothing_to_reduce_is_refused(stand: Stand) -> None:
    stand.price("50000")
    request = stand.request("SELL", "0.01", "49500", reduce_only=True)
    assert isinstance(stand.submit(request), Refused)
    assert stand.taken(request.client_order_id) == 0


# ---------------------------------------------------------------- stops
def test_a_stop_rests_and_is_taken_back(stand: Stand) -> None:
    stand.hold("0.02")
    stop = stand.stop(quantity="0.01")
    answer = stand.venue.stop_place(request=stop, now=stand.now)
    assert isinstance(answer, Accepted)
    assert stand.venue.stop_place(request=stop, now=stand.now) == answer
    assert stand.taken(stop.client_order_id) == 1
    assert stand.venue.stop_fetch(stop=ref(stop)) == StopStatus.ARMED
    assert armed_ids(stand) == [stop.client_order_id]
    assert open_ids(stand) == []
    assert stand.fetch(stop) is None
    assert stand.venue.stop_cancel(stop=ref(stop), now=stand.now) == CancelAnswer.CANCELLED
    assert stand.venue.stop_fetch(stop=ref(stop)) == StopStatus.CANCELLED
    assert stand.venue.stop_cancel(stop=ref(stop), now=stand.now) == CancelAnswer.ALREADY_ENDED
    stand.price("44000")
    assert stand.venue.stop_fetch(stop=ref(stop)) == StopStatus.CANCELLED
    assert armed_ids(stand) == []


def test_a_touched_stop_is_an_order_under_its_id(stand: Stand) -> None:
    stand.hold("0.02")
    stop = stand.stop(quantity="0.01")
    stand.venue.stop_place(request=stop, now=stand.now)
    stand.price("45001")
    assert stand.venue.stop_fetch(stop=ref(stop)) == StopStatus.ARMED
    stand.price("44900")
    assert stand.venue.stop_fetch(stop=ref(stop)) == StopStatus.TRIGGERED
    report = stand.fetch(stop)
    assert (report.status, report.filled_quantity) == (VenueStatus.FILLED, D("0.01"))
    assert {fill.client_order_id for fill in report.fills} == {stop.client_order_id}
    assert stand.venue.stop_cancel(stop=ref(stop), now=stand.now) == CancelAnswer.ALREADY_ENDED
    assert armed_ids(stand) == []
    since = stand.now - timedelta(minutes=1)
    told = stand.venue.fills_since(account=ACCOUNT, since=since)
    assert [fill.quantity for fill in told if fill.client_order_id == stop.client_order_id] == [D("0.01")]


def test_a_stop_whose_answer_was_lost_rests_once(stand: Stand) -> None:
    stand.hold("0.02")
    stop = stand.stop(quantity="0.01")
    stand.lose_answer()
    with pytest.raises(UnknownOutcome):
        stand.venue.stop_place(request=stop, now=stand.now)
    assert stand.venue.stop_fetch(stop=ref(stop)) == StopStatus.ARMED
    assert isinstance(stand.venue.stop_place(request=stop, now=stand.now), Accepted)
    assert armed_ids(stand) == [stop.client_order_id]
    assert stand.taken(stop.client_order_id) == 1
