"""Candles of the live world: from prices, rebuilt from the tape, the venue's own in their place: MKT-2."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
import redis

from markets.candle_repair import ASKED_EVERY_S, HISTORY, VenueCandle, records_from
from markets.candles import candle_open, candles_closed, candles_shown
from markets.domain.candle_building import candles_recorded
from markets.domain.moments import us_of
from markets.hyperliquid import Meta, MetaAsset, instruments_from_meta
from markets.live_feed import LiveFeed
from markets.models import Candle, PriceSample
from markets.services import instruments_ensure, world_ensure
from markets.tape_buffer import tape_buffer_make
from tests.feeding import Above, HandClock
from tests.loopback.hyperliquid import recorded
from tests.loopback.running import HyperliquidProcess

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
META = Meta(universe=tuple(MetaAsset(name=code, sz_decimals=4, max_leverage=25) for code in ("BTC", "ETH")))


@pytest.fixture
def clock() -> HandClock:
    """A clock moved by hand."""
    return HandClock(NOON)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The loop that asks the venue."""
    with asyncio.Runner() as running:
        yield running


def begun(clock: HandClock, *, codes: tuple[str, ...] = ("BTC",)) -> LiveFeed:
    """Return a live feed that has just been started and knows BTC and ETH; nothing runs by itself."""
    world_ensure(name="live", now=clock.now())
    instruments_ensure(instruments=instruments_from_meta(META, source_note="test"))
    live = LiveFeed(clock=clock, hooks=Above(codes=codes).hooks(), tape=tape_buffer_make())
    live._listen(frozenset(codes), {""})
    live._store.candles()
    return live


@pytest.mark.parametrize("seed", range(3))
def test_candles_of_a_feed_that_dies_are_what_the_tape_says(
    clock: HandClock, redis_client: redis.Redis, seed: int
) -> None:
    """Killed anywhere in a candle, with what was not stored: the next feed reads it from the tape."""
    chance = random.Random(seed)
    live = begun(clock)
    price = Decimal(100_000)
    for _ in range(400):
        clock.move(chance.choice((0.4, 1, 3, 10)))
        price += chance.randint(-50, 50)
        live.prices.tell({"BTC": price, "ETH": Decimal(4000)})
        if chance.random() < 0.3:
            live._store.candles()
        if chance.random() < 0.05:
            live = begun(clock)
    live._store._open_stored_at = None
    live._store.candles()
    tape = [tick for tick in live._store._taped() if tick.code == "BTC"]
    expected = candles_recorded([(tick.quoted_us, tick.price) for tick in tape], until=clock.now())
    kept = Candle.objects.filter(instrument="BTC").order_by("opened_at")
    assert len(expected) > 4
    assert [(row.data(), row.ticks, row.closed, row.source) for row in kept] == [
        (record.candle, record.ticks, record.closed, "marks") for record in expected
    ]
    assert not Candle.objects.filter(instrument="ETH").exists()  # nobody wanted it
    closed = candles_closed(world="live", code="BTC")
    opened = candle_open(world="live", code="BTC")
    assert candles_shown(world="live", code="BTC", now=clock.now()) == [*closed, opened]


def test_a_candle_closes_when_its_time_is_over_without_another_price(clock: HandClock) -> None:
    """The world's time closes it; nothing is closed early."""
    live = begun(clock)
    live.prices.tell({"BTC": Decimal(100)})
    clock.move(299)
    live._store.candles()
    assert candles_closed(world="live", code="BTC") == []
    clock.move(1)
    live._store.candles()
    assert [candle.close for candle in candles_closed(world="live", code="BTC")] == [100]
    assert candle_open(world="live", code="BTC") is None


def row(at: datetime, *, code: str = "BTC", interval: str = "5m", **changes: object) -> dict[str, object]:
    """Return one row of a ``candleSnapshot`` answer, as the venue writes it."""
    ms = us_of(at) // 1000
    sound = {"o": "100", "h": "110", "l": "90", "c": "105", "v": "12.5", "n": 42}
    return {"t": ms, "T": ms + 299_999, "s": code, "i": interval} | sound | changes


def test_the_venue_fills_gaps_brings_volume_and_has_the_last_word(
    clock: HandClock, hyperliquid: HyperliquidProcess, runner: asyncio.Runner
) -> None:
    """History first, then each closed candle once, with the weight the venue takes, paced."""
    live = begun(clock)
    live.prices.tell({"BTC": Decimal(101)})
    clock.move(300)
    live._store.candles()
    openings = [NOON + timedelta(minutes=5 * place) for place in (-3, -2, 0, 1)]  # 11:55 had no trade
    hyperliquid.script(answers={"candleSnapshot|btc|": json.dumps([row(at) for at in openings])})
    clock.move(2)
    live._repair_step(runner)  # 12:05:02: the candle of 12:00 may not be complete there
    assert set(Candle.objects.values_list("opened_at", "source")) == {
        (openings[0], "venue"),
        (openings[1], "venue"),
        (openings[2], "marks"),
    }
    clock.move(ASKED_EVERY_S)
    live._repair_step(runner)
    closed = candles_closed(world="live", code="BTC")
    assert [(candle.opened_at, candle.close, candle.volume) for candle in closed] == [
        (at, 105, Decimal("12.5")) for at in openings[:3]
    ]
    assert set(Candle.objects.values_list("source", "ticks", "closed")) == {("venue", 42, True)}
    live._repair_step(runner)
    clock.move(100)
    live._repair_step(runner)
    assert hyperliquid.stats()["asked"] == {"candleSnapshot": 2}  # each closed candle is asked about once
    runner.run(live._poller.client.close())


def test_one_instrument_is_asked_about_at_a_time_fresh_ones_first(
    clock: HandClock, hyperliquid: HyperliquidProcess, runner: asyncio.Runner
) -> None:
    """History of many instruments never delays a candle that has just closed."""
    live = begun(clock, codes=("BTC", "ETH"))
    hyperliquid.script(answers={"candleSnapshot|btc|": "[]", "candleSnapshot|eth|": "[]"})
    clock.move(10)
    world = world_ensure(name="live", now=clock.now())

    def step(*codes: str) -> str | None:
        return live._repair.step(world=world, codes=codes, client=live._poller.client, runner=runner)

    assert step("BTC") == "BTC"
    clock.move(300)
    assert step("BTC", "ETH") == "BTC"  # its newest candle before ETH's history
    assert step("BTC", "ETH") is None  # not so soon
    clock.move(ASKED_EVERY_S)
    assert step("BTC", "ETH") == "ETH"
    clock.move(ASKED_EVERY_S)
    assert step("BTC", "ETH") is None
    hyperliquid.script(rules=[{"type": "candleSnapshot", "do": "500"}])
    clock.move(300)
    assert step("BTC", "ETH") is None
    hyperliquid.script(rules=[])
    clock.move(ASKED_EVERY_S)
    assert step("BTC", "ETH") is None  # a venue that fails is left in peace for half a minute
    clock.move(30)
    assert step("BTC", "ETH") == "BTC"
    runner.run(live._poller.client.close())


def test_what_cannot_be_a_candle_is_left_out() -> None:
    """Wrong instrument, interval, grid, numbers, or not closed yet: none of it is stored."""
    after, until = NOON - timedelta(hours=1), NOON
    at = NOON - timedelta(minutes=30)
    wrong = [
        row(at, code="ETH"),
        row(at, interval="1h"),
        row(at + timedelta(seconds=1)),
        row(at, l="101"),
        row(at, h="99"),
        row(at, o="0"),
        row(at, c="NaN"),
        row(at, v="-1"),
        row(at, v="NaN"),
        row(at, n=-1),
        row(NOON),
        row(NOON - timedelta(minutes=4)),
        row(after - timedelta(minutes=5)),
    ]
    sound = row(NOON - timedelta(minutes=5))
    rows = msgspec.json.decode(json.dumps([*wrong, sound, sound]), type=tuple[VenueCandle, ...])
    kept = records_from(rows, code="BTC", after=after, until=until)
    assert [(code, record.candle.opened_at, record.ticks) for code, record in kept] == [
        ("BTC", NOON - timedelta(minutes=5), 42)
    ]


def test_the_recorded_answer_is_read() -> None:
    """The venue's own answer of July 2023, hourly: every field is where we look for it."""
    body = recorded("candleSnapshot__mainnet__00__hyperliquid-python-sdk")
    first, *rest = msgspec.json.decode(body, type=tuple[VenueCandle, ...])
    assert first == VenueCandle(
        opened_ms=1684699200000,
        last_ms=1684702799999,
        code="kPEPE",
        interval="1h",
        open=Decimal("0.001601"),
        high=Decimal("0.001616"),
        low=Decimal("0.001601"),
        close=Decimal("0.001604"),
        volume=Decimal("520665683.0"),
        trades=709,
    )
    assert len(rest) == 23
    assert HISTORY <= 5000  # as far back as the venue goes


def test_an_hours_price_is_kept_once(clock: HandClock) -> None:
    """Returns need the price at the full hour: the first marks after it, and no later ones."""
    live = begun(clock)
    for seconds, price in ((0, 100), (5, 101), (600, 102)):
        clock.move(seconds)
        live.prices.tell({"BTC": Decimal(price)})
        live._store.marks()
    assert list(PriceSample.objects.values_list("at", "price")) == [(NOON, 100)]
