"""What a replay leaves on the tape and in the candles, with feeds that die anywhere: MKT-1, MKT-2, EXT-3."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
import redis
from django.conf import settings
from django.db import DatabaseError, IntegrityError

from markets import replay_feed
from markets.candle_store import candles_prune, candles_write
from markets.candles import candle_open, candles_closed, candles_shown
from markets.domain.candle_building import candles_recorded
from markets.domain.moments import us_of
from markets.models import Candle, CandleSource, Mark, World
from markets.recordings import ALPHA_ARENA, HYPERLIQUID_WALLETS, recording_get
from markets.replay_feed import ReplayTicker
from markets.selectors import world_get
from markets.services import world_ensure
from markets.tape import START, Tick, tape_since
from markets.tape_buffer import tape_buffer_make
from tests.feeding import Above, HandClock

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def above() -> Above:
    """The packages above."""
    return Above()


@pytest.fixture
def clock() -> HandClock:
    """A clock moved by hand."""
    return HandClock(NOW)


def ticker(clock: HandClock, above: Above) -> ReplayTicker:
    """Return a feed that has just been started."""
    return ReplayTicker(clock=clock, hooks=above.hooks(), tape=tape_buffer_make())


def taped(client: redis.Redis) -> list[Tick]:
    """Return all ticks on the tape, those of each instrument in their order."""
    return [
        tick
        for shard in range(settings.EXIT_SHARDS)
        for entry in tape_since(client=client, shard=shard, after=START)
        for tick in entry.ticks
    ]


@pytest.mark.parametrize("seed", range(3))
def test_every_recorded_price_is_told_once_in_order_by_feeds_that_die(
    clock: HandClock, above: Above, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Killed at random around the tape, the marks and the candles, the record on the tape is whole."""
    chance = random.Random(seed)
    world_ensure(name=HYPERLIQUID_WALLETS, now=clock.now(), speed=Decimal(600))
    recording = recording_get(name=HYPERLIQUID_WALLETS)
    real = {name: getattr(replay_feed, name) for name in ("marks_write", "candles_write")}

    def killed(name: str) -> None:
        def step(**arguments: object) -> object:
            if chance.random() < 0.15:
                raise DatabaseError("killed before")
            answer = real[name](**arguments)
            if chance.random() < 0.15:
                raise DatabaseError("killed after")
            return answer

        monkeypatch.setattr(replay_feed, name, step)

    for name in real:
        killed(name)
    feed = ticker(clock, above)
    for _ in range(250):
        clock.move(chance.choice((1, 1, 1, 3, 9)) * chance.random())
        feed.tick()
        if chance.random() < 0.2:
            feed = ticker(clock, above)
    for name, function in real.items():
        monkeypatch.setattr(replay_feed, name, function)
    ticker(clock, above).tick()
    world = world_get(name=HYPERLIQUID_WALLETS)
    world_at = world.clock().at(clock.now())
    by_code: dict[str, list[Tick]] = defaultdict(list)
    for tick in taped(redis_client):
        by_code[tick.code].append(tick)
    assert set(by_code) == set(recording.prices)
    for code, series in recording.prices.items():
        ticks = by_code[code]
        assert all(before.quoted_us < tick.quoted_us for before, tick in pairwise(ticks))
        assert all(tick.price == series.price_at(tick.quoted_at) for tick in ticks)
        told = {(tick.quoted_us, tick.price) for tick in ticks}
        points = series.points_between(recording.start_at, world_at)
        assert set(points) <= told
        kept = Candle.objects.filter(instrument=code).order_by("opened_at")
        assert [(row.data(), row.ticks, row.closed) for row in kept] == [
            (record.candle, record.ticks, record.closed)
            for record in candles_recorded(points, until=world_at)
        ]
    assert Mark.objects.filter(quoted_at=world_at).count() == len(recording.prices)


def test_a_tick_tells_the_record_and_then_the_present(
    clock: HandClock, above: Above, redis_client: redis.Redis
) -> None:
    """At 600 times a second is ten minutes: what was recorded in them comes first, each at its own time."""
    world_ensure(name=ALPHA_ARENA, now=clock.now(), speed=Decimal(600))
    feed = ticker(clock, above)
    clock.move(1)
    feed.tick()
    world_at = recording_get(name=ALPHA_ARENA).start_at + timedelta(minutes=10)
    points = (
        recording_get(name=ALPHA_ARENA)
        .prices["BTC"]
        .points_between(world_at - timedelta(minutes=10), world_at)
    )
    btc = [tick for tick in taped(redis_client) if tick.code == "BTC"]
    assert len(points) == 1
    assert [(tick.quoted_us, tick.price) for tick in btc] == [*points, (us_of(world_at), btc[-1].price)]
    assert btc[-1].price == Mark.objects.get(instrument="BTC").price
    assert {(tick.world, tick.run, tick.received_at) for tick in btc} == {(ALPHA_ARENA, 1, clock.now())}


def test_what_waits_while_redis_is_away_is_told_again_by_the_next_feed(
    clock: HandClock, above: Above, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prices that died in a feed's memory are recorded: the next one reads from the tape how far it is."""
    world_ensure(name=ALPHA_ARENA, now=clock.now(), speed=Decimal(600))
    feed = ticker(clock, above)
    clock.move(1)
    feed.tick()
    monkeypatch.setattr(feed._tape, "append", lambda *_, **__: False)
    for _ in range(10):
        clock.move(1)
        feed.tick()
    ticker(clock, above).tick()
    recording = recording_get(name=ALPHA_ARENA)
    world_at = recording.start_at + timedelta(minutes=110)
    told = {(tick.code, tick.quoted_us) for tick in taped(redis_client)}
    for code, series in recording.prices.items():
        assert {(code, us) for us, _ in series.points_between(recording.start_at, world_at)} <= told


def test_without_a_tape_the_marks_say_how_far_it_was(
    clock: HandClock, above: Above, redis_client: redis.Redis
) -> None:
    """A Redis that was emptied: the record goes on from the marks, not from the beginning."""
    world_ensure(name=ALPHA_ARENA, now=clock.now(), speed=Decimal(600))
    clock.move(600)
    ticker(clock, above).tick()
    redis_client.flushdb()
    clock.move(1)
    ticker(clock, above).tick()
    assert min(tick.quoted_at for tick in taped(redis_client)) > recording_get(
        name=ALPHA_ARENA
    ).start_at + timedelta(hours=100)


def test_while_redis_is_away_at_the_start_nothing_moves(clock: HandClock, above: Above) -> None:
    """Nobody knows what was told, so no mark is written: prices go stale and open nothing meanwhile."""
    world = world_ensure(name=ALPHA_ARENA, now=clock.now(), speed=Decimal(600))
    feed = ticker(clock, above)

    def away(**_: object) -> datetime:
        raise redis.ConnectionError("away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed._tape, "reached", away)
        clock.move(1)
        feed.tick()
    assert Mark.objects.values_list("quoted_at", flat=True).distinct().get() == world.world_start_at
    feed.tick()
    assert Mark.objects.values_list("quoted_at", flat=True).distinct().get() > world.world_start_at


def test_a_new_run_begins_its_record_anew(clock: HandClock, above: Above, redis_client: redis.Redis) -> None:
    """Ticks and candles of two runs are told apart, and readers see the present run alone."""
    world_ensure(name=ALPHA_ARENA, now=clock.now(), speed=Decimal(600))
    feed = ticker(clock, above)
    above.restart = True
    clock.move(3600)
    feed.tick()
    first = candles_closed(world=ALPHA_ARENA, code="BTC", limit=1000)
    assert len(first) == Candle.objects.filter(instrument="BTC").count() == 56
    clock.move(10)
    feed.tick()
    assert world_get(name=ALPHA_ARENA).run == 2
    assert candles_closed(world=ALPHA_ARENA, code="BTC") == []
    clock.move(60)
    feed.tick()
    second = candles_closed(world=ALPHA_ARENA, code="BTC")
    assert second
    assert second == first[: len(second)]
    runs = defaultdict(set)
    for tick in taped(redis_client):
        runs[tick.run].add(tick.quoted_us)
    assert max(runs[2]) < max(runs[1])
    over = Candle.objects.filter(run=1).count()
    assert candles_prune(now=clock.now()) == over > 300
    assert set(Candle.objects.values_list("run", flat=True)) == {2}


def test_candles_are_read_closed_or_open_and_never_before_their_time(clock: HandClock, above: Above) -> None:
    """MKT-2: closed ones up to a moment, the open one apart, and to draw the line that marks follow."""
    world_ensure(name=HYPERLIQUID_WALLETS, now=clock.now(), speed=Decimal(600))
    recording = recording_get(name=HYPERLIQUID_WALLETS)
    series = recording.prices["kBONK"]
    feed = ticker(clock, above)
    clock.move((series.start_at - recording.start_at).total_seconds() / 600 + 2)
    feed.tick()
    world_at = world_get(name=HYPERLIQUID_WALLETS).clock().at(clock.now())
    *closed, last = candles_recorded(series.points_between(recording.start_at, world_at), until=world_at)
    assert not last.closed
    assert closed
    assert candle_open(world=HYPERLIQUID_WALLETS, code="kBONK") == last.candle
    read = candles_closed(world=HYPERLIQUID_WALLETS, code="kBONK")
    assert read == [record.candle for record in closed]
    first = read[0]
    before = candles_closed(world=HYPERLIQUID_WALLETS, code="kBONK", before=first.closed_at)
    assert before == [first]
    early = first.closed_at - timedelta(microseconds=1)
    assert candles_closed(world=HYPERLIQUID_WALLETS, code="kBONK", before=early) == []
    assert candles_closed(world=HYPERLIQUID_WALLETS, code="kBONK", limit=1) == [read[-1]]
    shown = candles_shown(world=HYPERLIQUID_WALLETS, code="kBONK", now=clock.now(), limit=3)
    assert shown[-1].close == Mark.objects.get(instrument="kBONK").price
    assert candles_shown(world=HYPERLIQUID_WALLETS, code="NONE", now=clock.now()) == []


def btc_candle(clock: HandClock, *, close: str, closed: bool) -> tuple[World, list]:
    """Return a world and one candle's record of its first five minutes."""
    world = world_ensure(name=ALPHA_ARENA, now=clock.now())
    points = [(us_of(world.world_start_at), Decimal(100)), (us_of(world.world_start_at) + 5, Decimal(close))]
    until = world.world_start_at + timedelta(minutes=5 if closed else 1)
    return world, [("BTC", record) for record in candles_recorded(points, until=until)]


def test_a_closed_candle_gives_way_to_the_venues_own_alone(clock: HandClock) -> None:
    """MKT-2: open ones move; closed ones stand against marks, and the venue's stands against everything."""
    world, records = btc_candle(clock, close="101", closed=False)
    assert candles_write(world=world, records=records, source=CandleSource.MARKS) == 1
    _, records = btc_candle(clock, close="102", closed=True)
    assert candles_write(world=world, records=records, source=CandleSource.MARKS) == 1
    _, other = btc_candle(clock, close="103", closed=True)
    assert candles_write(world=world, records=other, source=CandleSource.MARKS) == 0
    assert Candle.objects.get().close == 102
    assert candles_write(world=world, records=other, source=CandleSource.VENUE) == 1
    assert candles_write(world=world, records=records, source=CandleSource.VENUE) == 0
    assert candles_write(world=world, records=records, source=CandleSource.MARKS) == 0
    row = Candle.objects.get()
    assert (row.close, row.source, row.closed) == (103, "venue", True)


@pytest.mark.parametrize(
    "wrong",
    [{"low": 200}, {"high": 50}, {"low": 0}, {"volume": -1}, {"opened_at": NOW + timedelta(minutes=1)}],
)
def test_a_candle_that_cannot_be_is_refused_by_the_database(clock: HandClock, wrong: dict) -> None:
    """The table itself keeps low ≤ open, close ≤ high, above zero, at five minutes."""
    world, _ = btc_candle(clock, close="101", closed=False)
    sound = {"opened_at": NOW, "open": 100, "high": 110, "low": 90, "close": 105, "volume": 1}
    columns = {"world": world, "instrument_id": "BTC", "ticks": 1, "last_at": NOW, "source": "marks"}
    Candle.objects.create(**columns, **sound)
    Candle.objects.all().delete()
    with pytest.raises(IntegrityError):
        Candle.objects.create(**columns, **(sound | wrong))


def test_live_candles_are_kept_ninety_days(clock: HandClock) -> None:
    """MKT-2: older ones go, newer ones stay, and a replay's have no age."""
    world, records = btc_candle(clock, close="101", closed=True)  # of October 2025
    candles_write(world=world, records=records, source=CandleSource.RECORDED)
    live = world_ensure(name="live", now=clock.now())
    for days in (89, 91):
        at = NOW - timedelta(days=days)
        candles_write(
            world=live,
            records=[("BTC", record) for record in candles_recorded([(us_of(at), Decimal(5))], until=NOW)],
            source=CandleSource.MARKS,
        )
    assert candles_prune(now=NOW) == 1
    assert list(Candle.objects.order_by("opened_at").values_list("world", "opened_at")) == [
        (ALPHA_ARENA, world.world_start_at),
        ("live", NOW - timedelta(days=89)),
    ]
