"""Prices of other venues: heard over sockets that are cut, mute, garbled or refused, and polled (MKT-1)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal as D
from typing import Any

import pytest
import redis
from django.conf import settings

from core.clock import SYSTEM_CLOCK, utc_now
from core.types import Policy
from markets import venue_feed, venue_stream
from markets.domain.venue_listing import VenueSection
from markets.exchanges import exchange_listens
from markets.live_prices import LivePrices
from markets.live_store import LiveStore
from markets.models import LIVE, Instrument, Mark, MarketContext, PriceMarket
from markets.price_markets import codes_elsewhere, price_markets_release, sections_holding
from markets.selectors import instrument_codes
from markets.services import marks_write, world_ensure
from markets.tape import START, tape_since
from markets.tape_buffer import tape_buffer_make
from markets.venue_feed import VenueFeed
from tests.feeding import Above
from tests.loopback.running import PriceVenuesProcess
from tests.running import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
SPOT, PERP = VenueSection("binance", Policy.SPOT), VenueSection("binance", Policy.PERP)
FOO = {"FOOUSDT": {"bid": "1.2300", "ask": "1.2310", "last": "1.2000"}}
OLD_MS, FAR_MS = 1_600_000_000_000, 4_000_000_000_000  # a clock that is ahead: the quote is one of now


@pytest.fixture(scope="module")
def process() -> Iterator[PriceVenuesProcess]:
    """The loopback venues for all tests here; ccxt is loaded before any of them waits for something."""
    assert exchange_listens(venue="binance")
    process = PriceVenuesProcess()
    yield process
    process.stop()


@pytest.fixture
def venue(process: PriceVenuesProcess, settings: Any) -> PriceVenuesProcess:
    """Venues that tell prices; Hyperliquid is known to list five coins."""
    process.script(reset=True, prices={"spot": FOO})
    settings.EXCHANGE_GATEWAY = process.url
    world = world_ensure(name=LIVE, now=utc_now())
    prices = {"BTC": D(100_000), "ETH": D(4000), "SOL": D(150), "DOGE": D("0.2"), "kPEPE": D("0.01")}
    Instrument.objects.bulk_create(
        Instrument(code=code, underlying=code.removeprefix("k"), quantity_step="0.0001", price_places=6)
        for code in prices
    )
    marks_write(world=world, prices=prices, quoted_at=utc_now(), received_at=utc_now())
    return process


class Running:
    """The venues' part of the feed, with what stores its prices."""

    def __init__(self, above: Above, redis_client: redis.Redis) -> None:
        hooks = above.hooks()
        self.prices = LivePrices(clock=SYSTEM_CLOCK, tape=tape_buffer_make())
        self.feed = VenueFeed(clock=SYSTEM_CLOCK, hooks=hooks, prices=self.prices)
        self.store = LiveStore(
            clock=SYSTEM_CLOCK, prices=self.prices, on_marks=hooks.on_marks, tape=redis_client
        )

    def mark(self, code: str) -> D | None:
        """Store what was heard, as the live feed does each second, and return an instrument's mark."""
        self.prices.listen_for(codes=instrument_codes(), candled=())
        self.store.marks()
        return Mark.objects.filter(world=LIVE, instrument=code).values_list("price", flat=True).first()


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis) -> Iterator[Callable[..., Running]]:
    """Return a function that runs the venues' part of the feed in a thread, with quick turns."""
    for name, quick in (("TURN_S", 0.02), ("LOOK_S", 0.1), ("LIST_AGAIN_S", 0.1), ("POLL_S", 0.1)):
        monkeypatch.setattr(venue_feed, name, quick)
    monkeypatch.setattr(venue_feed, "SILENT_S", 3600.0)  # the loopback tells prices only when it is asked to
    monkeypatch.setattr(venue_stream, "LISTEN_S", 0.02)
    monkeypatch.setattr(venue_stream, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(venue_stream, "CHANGE_S", 0.05)
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def run(
        *sections: VenueSection, codes: tuple[str, ...] = ("FOO",), above: Above | None = None
    ) -> Running:
        around = above or Above()
        around.codes, around.sections = codes, sections or (SPOT,)
        started = Running(around, redis_client)
        thread = threading.Thread(target=started.feed.run, args=(stop,))
        thread.start()
        threads.append(thread)
        return started

    yield run
    stop.set()
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()


def listened(venue: PriceVenuesProcess, *, times: int = 1) -> None:
    """Wait until the venue's socket was subscribed to so often."""
    wait_until(lambda: len(venue.stats()["subscribed"]) >= times, what="the subscription")


def test_what_hyperliquid_lacks_is_listed_and_heard(
    venue: PriceVenuesProcess, running: Callable[..., Running], redis_client: redis.Redis
) -> None:
    """FOO and BAR become instruments by Binance's rules; only FOO, which is wanted, is listened to."""
    live = running()
    wait_until(lambda: live.mark("FOO") == D("1.2305"), what="the middle of FOO's book")
    listened(venue)
    assert venue.stats()["subscribed"] == [["FOOUSDT"]]
    rows = {row.pk: (row.venue, row.policy, row.symbol) for row in PriceMarket.objects.all()}
    assert rows == {
        "BAR": ("binance", "spot", "BAR/USDT"),
        "FOO": ("binance", "spot", "FOO/USDT"),
    }  # no EUR, no WBTC beside BTC, no SOL that Hyperliquid has
    foo = Instrument.objects.get(pk="FOO")
    assert (foo.quantity_step, foo.price_places, foo.min_notional, foo.max_leverage) == (D("0.1"), 4, 5, 1)
    assert foo.spec().price(D("1.23456"), up=False) == D("1.2345")
    venue.script(prices={"spot": {"FOOUSDT": {"bid": "1.2400", "ask": "1.2402"}}})
    wait_until(lambda: live.mark("FOO") == D("1.2401"))
    venue.script(prices={"spot": {"BARUSDT": {"bid": "5", "ask": "5", "last": "5"}}})
    told = [
        tick
        for shard in range(settings.EXIT_SHARDS)
        for entry in tape_since(client=redis_client, shard=shard, after=START)
        for tick in entry.ticks
        if tick.code == "FOO"
    ]
    assert told[-1].price == D("1.2401")
    assert told[-1].quoted_us % 1000 == 0  # the venue's own time of the quote, in milliseconds
    assert told[-1].quoted_us <= told[-1].received_us
    assert MarketContext.objects.get(pk="FOO").day_volume == D("123456.5")


def test_last_prices_of_perpetuals_and_of_thousands(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """USD-M tells no book with its ticker: a young last trade counts; kPEPE stays Hyperliquid's."""
    venue.script(
        prices={"perp": {"FUTUSDT": {"last": "7.001"}, "PAXGUSDT": {"last": "4000", "at_ms": OLD_MS}}}
    )
    live = running(PERP, codes=("FUT", "PAXG"))
    wait_until(lambda: live.mark("FUT") == D("7.001"))
    listened(venue)
    assert sorted(PriceMarket.objects.values_list("pk", flat=True)) == ["FUT", "PAXG"]
    assert live.mark("PAXG") is None  # quoted years ago
    assert sorted(venue.stats()["subscribed"][0]) == ["FUTUSDT", "PAXGUSDT"]
    wait_until(lambda: live.feed.states()[0].refused >= 1, what="the old quote is counted")


def test_kraken_speaks_other_words(venue: PriceVenuesProcess, running: Callable[..., Running]) -> None:
    """The same code listens to a venue whose frames, names and pings are its own."""
    venue.script(prices={"kraken": {"BAZUSD": {"bid": "3.1", "ask": "3.3", "last": "3.0"}}})
    live = running(VenueSection("kraken", Policy.SPOT), codes=("BAZ",))
    wait_until(lambda: live.mark("BAZ") == D("3.2"))
    listened(venue)
    venue.script(prices={"kraken": {"BAZUSD": {"bid": "3.3", "ask": "3.5"}}})
    wait_until(lambda: live.mark("BAZ") == D("3.4"))


def test_a_socket_that_is_cut_is_opened_again(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """Cut: connected again with a client of its own, and prices go on."""
    live = running()
    listened(venue)
    venue.script(cut=True)
    listened(venue, times=2)
    venue.script(prices={"spot": {"FOOUSDT": {"bid": "1.3", "ask": "1.3"}}})
    wait_until(lambda: live.mark("FOO") == D("1.3"))
    state = live.feed.states()[0]
    assert (state.socket_lost, venue.stats()["sockets_opened"], venue.stats()["sockets"]) == (1, 2, 1)


@pytest.mark.parametrize(("does", "why"), [("mute", ""), ("pong", "no prices for ")])
def test_a_socket_without_prices_is_left_and_polled_beside(
    venue: PriceVenuesProcess,
    running: Callable[..., Running],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    why: str,
) -> None:
    """Mute, or pongs alone: another connection; meanwhile requests bring each price."""
    settings.LIVE_SILENT_SECONDS = 1
    monkeypatch.setattr(venue_stream, "NO_PRICES_S", 60 if does == "mute" else 2)
    monkeypatch.setattr(venue_feed, "SILENT_S", 0.05)
    venue.script(socket_does=does)
    live = running()
    wait_until(lambda: live.mark("FOO") == D("1.2305"), what="a mark by poll")
    wait_until(lambda: venue.stats()["sockets_opened"] >= 2, what="another connection", timeout_s=20)
    venue.script(prices={"spot": {"FOOUSDT": {"bid": "1.5", "ask": "1.5"}}})
    wait_until(lambda: live.mark("FOO") == D("1.5"))
    assert venue.stats()["pings"] >= 1
    assert why in live.feed.states()[0].socket_why
    assert live.feed.states()[0].socket_lost >= 1


def test_garbage_is_counted_and_survived_until_there_is_too_much(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """Four unreadable frames cost nothing, five in a row the connection; prices go on either way."""
    live = running()
    listened(venue)
    garbage = ["<html>busy</html>", '{"e":"24hrTicker","s":', '{"e":"24hrTicker","s":7,"C":[]}', "[1,"]
    venue.script(text=garbage, prices={"spot": {"FOOUSDT": {"bid": "1.3", "ask": "1.3"}}})
    venue.script(prices={"spot": {"FOOUSDT": {"bid": "1.4", "ask": "1.4"}}})
    wait_until(lambda: live.mark("FOO") == D("1.4"))
    assert venue.stats()["sockets_opened"] == 1
    assert live.feed.states()[0].garbage >= 3
    venue.script(text=["<html>busy</html>"] * 5)
    listened(venue, times=2)
    assert "cannot be read" in live.feed.states()[0].socket_why


def test_wrong_prices_reach_neither_tape_nor_marks(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """Zero, no number, a crossed book, an old quote, ten times too much: no mark; the next good one is."""
    live = running()
    listened(venue)
    wrong: list[dict[str, Any]] = [
        {"bid": "0", "ask": "0", "last": "0"},
        {"bid": "x", "ask": "NaN", "last": "-3"},
        {"bid": "9", "ask": "8", "last": "0"},
        {"bid": "1.9", "ask": "1.9", "last": "1.9", "at_ms": OLD_MS},
    ]
    for fields in wrong:
        venue.script(prices={"spot": {"FOOUSDT": fields}})
    wait_until(lambda: live.feed.states()[0].refused + live.feed.states()[0].garbage == len(wrong))
    assert live.mark("FOO") == D("1.2305")
    venue.script(prices={"spot": {"FOOUSDT": {"bid": "12.3", "ask": "12.3", "at_ms": FAR_MS}}})
    wait_until(lambda: live.prices.counts.doubted == 1)
    assert live.mark("FOO") == D("1.2305")
    venue.script(prices={"spot": {"FOOUSDT": {"bid": "12.4", "ask": "12.4"}}})
    wait_until(lambda: live.mark("FOO") == D("12.4"))


@pytest.mark.parametrize("status", [429, 418])
def test_a_venue_that_wants_to_be_left_alone_is(
    venue: PriceVenuesProcess, running: Callable[..., Running], status: int
) -> None:
    """A refused handshake waits as long as it says; a refused request pauses the venue's shared budget."""
    venue.script(handshake={"status": status, "headers": {"Retry-After": "30"}})
    live = running()
    wait_until(lambda: live.mark("FOO") == D("1.2305"), what="a mark by the request that was let through")
    wait_until(lambda: live.feed.states()[0].socket_lost == 1)
    opened = venue.stats()["sockets_opened"]
    assert opened == 1
    body = '{"code":-1003,"msg":"Too many requests."}'
    venue.script(fault={"status": status, "headers": {"Retry-After": "30"}, "body": body})
    asked = venue.stats()["asked"]["spot 24hr"]
    stream = next(iter(live.feed._venues.values())).stream
    live.feed._venues[SPOT].all_s = float("-inf")
    wait_until(lambda: live.feed.states()[0].error, what="the refusal")
    wait_until(lambda: venue.stats()["asked"]["spot 24hr"] == asked + 1)
    live.feed._venues[SPOT].all_s = live.feed._venues[SPOT].poll_s = float("-inf")
    wait_until(lambda: "budget" in live.feed.states()[0].error or "wait" in live.feed.states()[0].error)
    assert venue.stats()["asked"]["spot 24hr"] == asked + 1  # nothing was sent into the pause
    assert venue.stats()["sockets_opened"] == 1
    assert stream.state.connected_at is None


def test_limits_of_connections_and_tickers_are_kept(
    venue: PriceVenuesProcess,
    running: Callable[..., Running],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One ticker fits on the socket, the other is polled; three connections in a minute, no more."""
    settings.VENUE_SUBSCRIPTIONS_MAX, settings.VENUE_CONNECTS_PER_MINUTE = 1, 3
    monkeypatch.setattr(venue_feed, "SILENT_S", 0.2)
    venue.script(quiet={"spot": {"BARUSDT": {"bid": "5", "ask": "5", "last": "5"}}})
    live = running(codes=("BAR", "FOO"))
    listened(venue)
    wait_until(lambda: live.mark("FOO") == D("1.2305") and live.mark("BAR") == 5)
    venue.script(quiet={"spot": {"FOOUSDT": {"bid": "1.6", "ask": "1.6"}}})
    wait_until(lambda: live.mark("FOO") == D("1.6"), what="a price by poll")
    assert venue.stats()["subscribed"] == [["BARUSDT"]]
    for times in (2, 3):
        venue.script(cut=True)
        listened(venue, times=times)
    stream = live.feed._venues[SPOT].stream
    assert stream.pause_s() > 20  # until the first of the three is a minute old
    assert venue.stats()["sockets_opened"] == 3


def test_without_streaming_everything_is_polled(
    venue: PriceVenuesProcess, running: Callable[..., Running], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIVE_STREAM off opens no socket; what changes is told by request."""
    settings.LIVE_STREAM = False
    monkeypatch.setattr(venue_feed, "SILENT_S", 0.05)
    live = running()
    wait_until(lambda: live.mark("FOO") == D("1.2305"))
    venue.script(quiet={"spot": {"FOOUSDT": {"bid": "1.7", "ask": "1.7"}}})
    wait_until(lambda: live.mark("FOO") == D("1.7"))
    assert venue.stats()["sockets_opened"] == 0


def test_more_that_is_wanted_makes_another_connection(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """A coin that is bought later is listened to as well, on a fresh client; the old one is closed."""
    venue.script(quiet={"spot": {"BARUSDT": {"bid": "5", "ask": "5", "last": "5"}}})
    above = Above()
    live = running(above=above)
    listened(venue)
    above.codes = ("FOO", "BAR")
    listened(venue, times=2)
    assert sorted(venue.stats()["subscribed"][1]) == ["BARUSDT", "FOOUSDT"]
    wait_until(lambda: venue.stats()["sockets"] == 1)
    assert live.feed.states()[0].socket_lost == 0
    above.sections = ()
    wait_until(lambda: venue.stats()["sockets"] == 0, what="a venue nobody uses is let go of")
    wait_until(lambda: live.feed.states() == ())


def test_a_coin_that_hyperliquid_lists_goes_back_to_it(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """One source for each price: Binance's FOO is no longer heard once Hyperliquid lists it."""
    live = running()
    wait_until(lambda: live.mark("FOO") == D("1.2305"))
    listened(venue)
    live.prices.tell({"FOO": D("1.9"), "BTC": D(100_001)})
    assert live.mark("BTC") == 100_001
    assert live.mark("FOO") == D(
        "1.2305"
    )  # Hyperliquid does not list it: its own price would be another coin's
    assert price_markets_release(codes=["FOO", "BTC"]) == 1
    live.prices.priced_elsewhere(codes_elsewhere())
    live.prices.tell({"FOO": D("1.25")})
    assert live.mark("FOO") == D("1.25")
    venue.script(prices={"spot": {"FOOUSDT": {"bid": "1.3", "ask": "1.3"}}})
    live.prices.tell({"BTC": D(100_002)})
    assert live.mark("BTC") == 100_002
    assert live.mark("FOO") == D("1.25")


def test_what_an_unused_venue_priced_is_free_for_another(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """Nobody asks Binance's spot markets any more: they let go of FOO, and list it again when used."""
    above = Above()
    live = running(above=above)
    wait_until(lambda: live.mark("FOO") == D("1.2305"))
    assert sections_holding(codes=["FOO", "BTC"]) == [SPOT]
    above.sections = (PERP,)
    wait_until(lambda: PriceMarket.objects.filter(pk="FUT", active=True).exists())
    assert not PriceMarket.objects.filter(pk__in=["FOO", "BAR"], active=True).exists()
    assert sections_holding(codes=["FOO"]) == []
    above.sections = (SPOT,)
    wait_until(lambda: PriceMarket.objects.filter(pk="FOO", active=True).exists())
    assert not PriceMarket.objects.filter(pk="FUT", active=True).exists()


def test_before_hyperliquid_has_told_a_price_nothing_is_listed(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """Nobody knows yet what it lists; afterwards the list is read."""
    marks = list(Mark.objects.values_list("instrument_id", "price"))
    Mark.objects.all().delete()
    live = running()
    wait_until(lambda: live.feed._venues)
    wait_until(lambda: live.feed._venues[SPOT].list_s > 0)
    assert venue.stats()["asked"] == {}
    now = utc_now()
    marks_write(world=world_ensure(name=LIVE, now=now), prices=dict(marks), quoted_at=now, received_at=now)
    wait_until(lambda: live.mark("FOO") == D("1.2305"))


def test_a_list_that_lost_its_half_is_not_believed(
    venue: PriceVenuesProcess, running: Callable[..., Running]
) -> None:
    """Two coins gone of two: the answer is refused, both stay, and it is asked again."""
    live = running()
    wait_until(lambda: live.mark("FOO") == D("1.2305"))
    venue.script(delist={"spot": ["FOOUSDT", "BARUSDT"]})
    live.feed._venues[SPOT].list_s = float("-inf")
    wait_until(lambda: "not believed" in live.feed.states()[0].error)
    assert PriceMarket.objects.filter(active=True).count() == 2
    venue.script(reset=True, prices={"spot": FOO}, delist={"spot": ["BARUSDT"]})
    wait_until(lambda: PriceMarket.objects.filter(active=True).count() == 1)
    assert PriceMarket.objects.get(active=False).pk == "BAR"
    assert Instrument.objects.filter(pk="BAR").exists()
