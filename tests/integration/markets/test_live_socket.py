"""Live prices over a socket that is slow, cut, silent, garbled or wrong, and polls beside it: MKT-1."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import redis
from django.conf import settings
from django.db import DatabaseError

from core.clock import SYSTEM_CLOCK, utc_now
from markets import hyperliquid_socket, live_feed
from markets.feed_hooks import guarded
from markets.feed_state import FeedState, feed_state_read
from markets.hyperliquid_socket import MidsSocket, mids_from
from markets.live_feed import LiveFeed
from markets.models import Mark
from markets.selectors import marks_for
from markets.tape import START, Tick, tape_since
from markets.tape_buffer import tape_buffer_make
from tests.feeding import Above, HandClock
from tests.loopback.running import HyperliquidProcess
from tests.running import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
META = json.dumps(
    {"universe": [{"name": code, "szDecimals": 4, "maxLeverage": 25} for code in ("BTC", "ETH")]}
)


@pytest.fixture
def venue(hyperliquid: HyperliquidProcess) -> HyperliquidProcess:
    """A venue with two coins and one builder's dex."""
    hyperliquid.script(
        answers={
            "meta||": META,
            "allMids||": '{"BTC":"100000","ETH":"4000"}',
            "meta||xyz": '{"universe":[{"name":"xyz:TSLA","szDecimals":3,"maxLeverage":10}]}',
            "allMids||xyz": '{"xyz:TSLA":"412.5"}',
            "candleSnapshot||": "[]",
            "metaAndAssetCtxs||": '[{"universe":[]},[]]',
            "metaAndAssetCtxs||xyz": '[{"universe":[]},[]]',
        }
    )
    return hyperliquid


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Above], LiveFeed]]:
    """Return a function that runs the live feed in a thread, with turns that follow quickly.

    The venue tells prices only when it is asked to, so what a socket told stays fresh for a minute here.
    """
    monkeypatch.setattr(live_feed, "LIVE_POLL_S", 60.0)
    monkeypatch.setattr(live_feed, "TURN_S", 0.02)
    monkeypatch.setattr(live_feed, "STATE_EVERY_S", 0.05)
    monkeypatch.setattr(hyperliquid_socket, "LISTEN_S", 0.05)
    monkeypatch.setattr(hyperliquid_socket, "FIRST_PAUSE_S", 0.05)
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def run(above: Above) -> LiveFeed:
        live = LiveFeed(clock=SYSTEM_CLOCK, hooks=above.hooks(), tape=tape_buffer_make())
        thread = threading.Thread(target=live.run, args=(stop,))
        thread.start()
        threads.append(thread)
        return live

    yield run
    stop.set()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()


def listened(venue: HyperliquidProcess, *, subscriptions: int = 1) -> None:
    """Wait until the venue's socket has been subscribed to; a mark alone may have come by poll before."""
    wait_until(lambda: len(venue.stats()["subscribed"]) == subscriptions, what="the subscription")


def mids(**prices: Any) -> str:
    """Return an ``allMids`` message."""
    return json.dumps({"channel": "allMids", "data": {"mids": prices}})


def marked(code: str) -> Decimal | None:
    """Return an instrument's mark."""
    return Mark.objects.filter(world="live", instrument=code).values_list("price", flat=True).first()


def taped(client: redis.Redis, code: str) -> list[Tick]:
    """Return an instrument's ticks on the tape."""
    entries = [
        entry
        for shard in range(settings.EXIT_SHARDS)
        for entry in tape_since(client=client, shard=shard, after=START)
    ]
    return [tick for entry in entries for tick in entry.ticks if tick.code == code]


def test_prices_come_over_one_socket_and_are_not_polled(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed], redis_client: redis.Redis
) -> None:
    """One subscription for the venue and one per dex; a message is on the tape and a mark at once."""
    above = Above(codes=("BTC", "xyz:TSLA"))
    running(above)
    wait_until(lambda: marked("BTC") == 100_000 and marked("xyz:TSLA") == Decimal("412.5"))
    asked = wait_until(lambda: venue.stats()["asked"].get("candleSnapshot") and venue.stats()["asked"])
    listened(venue, subscriptions=2)
    venue.script(tell=[mids(BTC="100100.5", ETH="4000", UNKNOWN="1")])
    wait_until(lambda: marked("BTC") == Decimal("100100.5"))
    stats = venue.stats()
    assert (sorted(stats["subscribed"]), stats["sockets_opened"]) == (["", "xyz"], 1)
    assert isinstance(asked, dict)
    assert stats["asked"].get("allMids", 0) <= 2  # the first poll may come before the socket
    assert taped(redis_client, "BTC")[-1].price == Decimal("100100.5")
    assert taped(redis_client, "UNKNOWN") == []
    above.wanted = False  # seen within the next poll
    wait_until(lambda: venue.stats()["sockets"] == 0, what="the socket nobody needs is closed")


@pytest.mark.parametrize("end", ["cut", "half"])
def test_a_socket_that_is_cut_is_opened_again(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed], redis_client: redis.Redis, end: str
) -> None:
    """Cut between messages or inside one: connected again, and prices go on."""
    running(Above())
    wait_until(lambda: marked("BTC") == 100_000)
    listened(venue)
    venue.script(**{end: True})
    wait_until(lambda: venue.stats()["sockets_opened"] == 2 and venue.stats()["sockets"] == 1)
    listened(venue, subscriptions=2)
    venue.script(tell=[mids(BTC="100200")])
    wait_until(lambda: marked("BTC") == 100_200)

    def told() -> FeedState | None:
        state = feed_state_read(client=redis_client)
        return state if state and state.socket_lost == 1 and state.socket_since else None

    state = wait_until(told)
    assert isinstance(state, FeedState)
    assert "Connection" in state.socket_why
    assert (state.refused, state.waiting, state.thinned) == (0, 0, 0)


def test_a_silent_socket_is_pinged_and_left(
    venue: HyperliquidProcess,
    running: Callable[[Above], LiveFeed],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No message, no pong: another connection. Meanwhile the poll brings prices."""
    settings.LIVE_SILENT_SECONDS = 1
    monkeypatch.setattr(hyperliquid_socket, "PONG_WAIT_S", 0.3)
    venue.script(socket_does="mute")
    running(Above())
    wait_until(lambda: marked("BTC") == 100_000, what="a mark by poll")
    wait_until(lambda: venue.stats()["sockets_opened"] >= 2)
    assert venue.stats()["pings"] >= 1


def test_a_socket_that_answers_but_tells_no_prices_is_left(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed], settings: Any
) -> None:
    """Pongs alone are no prices."""
    settings.LIVE_SILENT_SECONDS = 1
    venue.script(socket_does="pong")
    live = running(Above())
    wait_until(lambda: venue.stats()["sockets_opened"] >= 2)
    assert venue.stats()["pings"] >= 1
    assert live.socket.state.why.startswith("SocketLost: no prices for ")


def test_garbage_is_counted_and_survived_until_there_is_too_much(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed]
) -> None:
    """Four unreadable messages cost nothing, five in a row the connection; prices go on either way."""
    live = running(Above())
    wait_until(lambda: marked("BTC") == 100_000)
    listened(venue)
    garbage = ["<html>", '{"channel":"allMids","data":{"mids":', '{"data":1}', "[]"]
    venue.script(tell=[*garbage, mids(BTC="100300")])
    wait_until(lambda: marked("BTC") == 100_300)
    assert (live.socket.state.garbage, venue.stats()["sockets_opened"]) == (4, 1)
    venue.script(tell=[*garbage, "null"])
    wait_until(lambda: venue.stats()["sockets_opened"] == 2)
    wait_until(lambda: marked("BTC") == 100_000)  # what the venue says first on a new connection


def test_wrong_prices_reach_neither_tape_nor_marks(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed], redis_client: redis.Redis
) -> None:
    """Zero, negative, no number, ten times too much: refused; a jump that is said twice is believed."""
    live = running(Above())
    wait_until(lambda: marked("BTC") == 100_000 and marked("ETH") == 4000)
    listened(venue)
    wrong = [
        mids(BTC=price, ETH=f"{4001 + place}") for place, price in enumerate(["0", "-5", "NaN", "x", "inf"])
    ]
    venue.script(tell=[*wrong, mids(BTC="1000000", ETH="4006"), mids(BTC="100001", ETH="4007")])
    wait_until(lambda: marked("ETH") == 4007)
    assert marked("BTC") == 100_001
    venue.script(tell=[mids(BTC="10000"), mids(BTC="9900", ETH="4008")])
    wait_until(lambda: marked("ETH") == 4008)
    assert marked("BTC") == 9900
    told = [tick.price for tick in taped(redis_client, "BTC")]
    assert set(told) == {Decimal(100_000), Decimal(100_001), Decimal(9900)}
    assert (live.prices.counts.refused, live.prices.counts.doubted) == (5, 2)
    btc = taped(redis_client, "BTC")
    assert all(one.quoted_us < other.quoted_us for one, other in pairwise(btc))


def test_where_no_socket_opens_prices_are_polled_and_connections_are_few(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed], settings: Any
) -> None:
    """Refused again and again: no more connections a minute than allowed, and marks by poll."""
    settings.HYPERLIQUID_CONNECTS_PER_MINUTE = 3
    venue.script(socket_does="refuse")
    live = running(Above())
    wait_until(lambda: marked("BTC") == 100_000)
    wait_until(lambda: venue.stats()["sockets_opened"] == 3)
    pause_s = live.socket.pause_s()
    assert 20 < pause_s <= 60  # until the first of the three is a minute old
    assert live.socket.state.connected_at is None
    assert "503" in live.socket.state.why
    assert not marks_for(world="live", now=utc_now())["BTC"].stale


def test_pauses_grow_and_are_scattered() -> None:
    """After each failure about twice as long, half of it by chance, never above 30 s."""
    clock = HandClock(datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    socket = MidsSocket(clock=clock, deliver=lambda _: None)
    for failures, longest in ((1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (40, 30.0)):
        socket._failures = failures
        pauses = [socket.pause_s() for _ in range(200)]
        assert longest / 2 <= min(pauses) < longest * 0.6
        assert longest * 0.9 < max(pauses) <= longest


def test_subscriptions_keep_the_limit(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed], settings: Any
) -> None:
    """The venue's own come first; the dex that finds no room is polled."""
    settings.HYPERLIQUID_SUBSCRIPTIONS_MAX = 1
    running(Above(codes=("xyz:TSLA",)))
    wait_until(lambda: marked("xyz:TSLA") == Decimal("412.5") and marked("BTC") == 100_000)
    listened(venue)
    assert venue.stats()["subscribed"] == [""]


def test_without_streaming_everything_is_polled(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed], settings: Any
) -> None:
    """LIVE_STREAM off opens no socket."""
    settings.LIVE_STREAM = False
    running(Above())
    wait_until(lambda: marked("BTC") == 100_000)
    assert venue.stats()["sockets_opened"] == 0


def test_a_fault_of_ours_ends_no_thread(
    venue: HyperliquidProcess, running: Callable[[Above], LiveFeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What raises while a price is taken is logged, and the next connection goes on."""
    faults = iter([RuntimeError("ours")])
    real = MidsSocket._take

    def faulty(self: MidsSocket, *arguments: Any) -> None:
        for fault in faults:
            raise fault
        real(self, *arguments)

    monkeypatch.setattr(MidsSocket, "_take", faulty)
    running(Above())
    wait_until(lambda: venue.stats()["sockets_opened"] == 2 and marked("BTC") == 100_000)


def test_messages_as_the_venue_writes_them() -> None:
    """Documented forms: prices, prices of a dex, pong, confirmation, refusal; and what is none of them."""
    assert mids_from('{"channel":"allMids","data":{"mids":{"BTC":"1.5","ETH":"?"}}}') is not None
    dex, prices = mids_from('{"channel":"allMids","data":{"dex":"flx","mids":{"flx:TSLA":"436.075"}}}') or (
        "",
        {},
    )
    assert (dex, prices) == ("flx", {"flx:TSLA": Decimal("436.075")})
    for other in (
        '{"channel":"pong"}',
        '{"channel":"subscriptionResponse","data":{}}',
        '{"channel":"error","data":"x"}',
    ):
        assert mids_from(other) is None
    for wrong in ("", "7", '{"channel":"allMids","data":{"mids":{"BTC":1.5}}}', '{"channel":"allMids"}'):
        with pytest.raises(msgspec.DecodeError):
            mids_from(wrong)


@pytest.mark.parametrize("fault", [redis.ConnectionError("away"), DatabaseError("away"), KeyError("ours")])
def test_a_step_that_fails_ends_no_loop(fault: Exception) -> None:
    """The steps of the feed go on after Redis, the database, or a fault of ours."""
    steps = []

    def step() -> None:
        steps.append(1)
        raise fault

    for _ in range(2):
        guarded("a_step_failed", step)
    assert steps == [1, 1]
