"""The tape on a Redis that is killed and comes back: nothing is lost, nothing told twice, order kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from markets.connections import redis_open_now
from markets.domain.moments import us_of
from markets.tape import (
    PREFIX,
    START,
    TapeReader,
    TapeWriter,
    Tick,
    tape_back,
    tape_newest,
    tape_reached,
    tape_since,
)
from markets.tape_buffer import TapeBuffer, ticks_thinned
from portfolio_site.config import embedded_redis_url
from portfolio_site.embedded import EmbeddedRedis
from portfolio_site.processes import Child

SHARDS = 4
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CODES = ("BTC", "ETH", "SOL", "DOGE", "kBONK", "xyz:TSLA")


class RedisProcess:
    """A Redis of this test's own, to be killed."""

    def __init__(self, var_dir: Path) -> None:
        self._redis = EmbeddedRedis(var_dir=var_dir)
        self.url = embedded_redis_url(var_dir=var_dir)
        self._child: Child | None = None

    def start(self) -> None:
        """Start it on what its file holds."""
        self._child = self._redis.start()

    def kill(self) -> None:
        """End it by force."""
        if self._child is not None:
            self._child.kill()
            self._child = None


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisProcess]:
    """A running Redis of this test's own."""
    process = RedisProcess(tmp_path)
    process.start()
    yield process
    process.kill()


def tick(place: int, *, code: str = "", price: str = "", run: int = 1) -> Tick:
    """Return the ``place``-th tick; world time rises by a millisecond."""
    us = us_of(NOW) + place * 1000
    return Tick(
        world="live",
        run=run,
        code=code or CODES[place % len(CODES)],
        price=Decimal(price or place + 1),
        quoted_us=us,
        received_us=us,
    )


def written(client: redis.Redis) -> list[Tick]:
    """Return everything on the tape, by shard."""
    return [
        read
        for shard in range(SHARDS)
        for entry in tape_since(client=client, shard=shard, after=START)
        for read in entry.ticks
    ]


def in_shards(ticks: Sequence[Tick]) -> dict[str, list[Tick]]:
    """Return the ticks of each instrument, in order."""
    return {code: [one for one in ticks if one.code == code] for code in CODES}


def test_a_killed_redis_costs_no_tick_and_doubles_none(own_redis: RedisProcess) -> None:
    """Ticks of a pause of Redis follow in order once it is back, beside what it knew before."""
    client = redis_open_now(url=own_redis.url)
    buffer = TapeBuffer(writer=TapeWriter(client=client, shards=SHARDS, kept_s=10**7))
    ticks = [tick(place) for place in range(600)]
    written_through = []
    for start in range(0, 600, 10):
        if start in (200, 400):
            own_redis.kill()
        if start in (300, 450):
            own_redis.start()
        written_through.append(
            buffer.append(ticks[start : start + 10], now=NOW + timedelta(milliseconds=start))
        )
    assert [done for done in written_through if not done] == [False] * 15
    assert buffer.waiting == 0
    assert in_shards(written(client)) == in_shards(ticks)
    client.close()


def test_a_redis_that_lost_its_last_second_is_told_again(own_redis: RedisProcess) -> None:
    """After a power cut the file may end a second early: what was told lately is compared and told again."""
    client = redis_open_now(url=own_redis.url)
    buffer = TapeBuffer(writer=TapeWriter(client=client, shards=SHARDS, kept_s=10**7))
    ticks = [tick(place) for place in range(120)]
    for start in range(0, 120, 12):
        buffer.append(ticks[start : start + 12], now=NOW)
    for shard in range(SHARDS):  # the last two flushes are gone
        for entry in list(tape_back(client=client, shard=shard))[:2]:
            client.xdel(f"{PREFIX}{shard}", entry.entry_id)
    assert len(written(client)) == 96
    own_redis.kill()
    assert not buffer.append([tick(120)], now=NOW)
    own_redis.start()
    assert buffer.append([tick(121)], now=NOW)
    assert in_shards(written(client)) == in_shards([*ticks, tick(120), tick(121)])
    client.close()


def test_an_answer_that_got_lost_doubles_nothing(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flush was written and nobody heard of it: it is found on the tape and not written again."""
    writer = TapeWriter(client=redis_client, shards=SHARDS, kept_s=10**7)
    buffer = TapeBuffer(writer=writer)
    real: Callable[..., None] = writer.append

    def unheard(ticks: Sequence[Tick], *, now: datetime) -> None:
        real(ticks, now=now)
        raise redis.TimeoutError("no answer")

    monkeypatch.setattr(writer, "append", unheard)
    assert not buffer.append([tick(0), tick(1)], now=NOW)
    assert buffer.waiting == 2
    monkeypatch.setattr(writer, "append", real)
    assert buffer.append([tick(2)], now=NOW)
    assert sorted(written(redis_client), key=lambda one: one.quoted_us) == [tick(0), tick(1), tick(2)]


def test_what_waits_is_bounded_and_keeps_first_extremes_and_last(redis_client: redis.Redis) -> None:
    """Beyond the bound the older half is thinned, counted, and every extreme is still there."""
    away = redis_open_now(url="unix:///nowhere/redis.sock")
    buffer = TapeBuffer(writer=TapeWriter(client=away, shards=SHARDS, kept_s=60), bound=100)
    prices = [10, 12, 9, 15, 3, 11, 40, 11, 8, 2, 12]
    for place in range(1100):
        assert not buffer.append([tick(place, code="BTC", price=str(prices[place // 100]))], now=NOW)
        assert buffer.waiting <= 101
    assert buffer.thinned == 1100 - buffer.waiting
    kept = buffer._waiting
    assert [one.quoted_us for one in kept] == sorted(one.quoted_us for one in kept)
    assert (kept[0], kept[-1]) == (
        tick(0, code="BTC", price="10"),
        tick(1099, code="BTC", price="12"),
    )
    assert {max(one.price for one in kept), min(one.price for one in kept)} == {Decimal(40), Decimal(2)}


@given(rows=st.lists(st.tuples(st.sampled_from(CODES[:3]), st.integers(1, 50)), max_size=80))
def test_thinning_keeps_what_crossing_a_price_takes(rows: list[tuple[str, int]]) -> None:
    """First, highest, lowest and last of each instrument stay, in order; at most four; again is the same."""
    ticks = [tick(place, code=code, price=str(price)) for place, (code, price) in enumerate(rows)]
    thinned = ticks_thinned(ticks)
    assert thinned == [one for one in ticks if one in thinned]
    assert ticks_thinned(thinned) == thinned
    for code in CODES[:3]:
        whole, kept = ([one for one in group if one.code == code] for group in (ticks, thinned))
        assert len(kept) <= 4
        if whole:
            assert (kept[0], kept[-1]) == (whole[0], whole[-1])
            for pick in (max, min):
                assert pick(one.price for one in kept) == pick(one.price for one in whole)


def test_old_entries_are_let_go(redis_client: redis.Redis) -> None:
    """The tape is kept by age: a later flush lets go of whole nodes that are older than asked for."""
    writer = TapeWriter(client=redis_client, shards=1, kept_s=60)
    seconds, _ = redis_client.time()
    present = datetime.fromtimestamp(int(seconds), tz=UTC)
    for place in range(300):
        writer.append([tick(place)], now=present)
    assert redis_client.xlen(f"{PREFIX}0") == 300
    writer.append([tick(300)], now=present + timedelta(hours=1))
    assert redis_client.xlen(f"{PREFIX}0") <= 101  # a node holds 100 entries


def test_the_tape_says_how_far_it_is(redis_client: redis.Redis) -> None:
    """World and run are told apart, and of each instrument the newest tick is found far back."""
    writer = TapeWriter(client=redis_client, shards=SHARDS, kept_s=10**7)
    assert tape_reached(client=redis_client, shards=SHARDS, world="live", run=1) is None
    writer.append([tick(0, code="SOL")], now=NOW)
    for place in range(1, 600):
        writer.append([tick(place, code="BTC")], now=NOW)
    writer.append([tick(600, code="BTC", run=2)], now=NOW)
    assert tape_reached(client=redis_client, shards=SHARDS, world="live", run=1) == tick(599).quoted_at
    assert tape_reached(client=redis_client, shards=SHARDS, world="live", run=2) == tick(600).quoted_at
    assert tape_reached(client=redis_client, shards=SHARDS, world="replay:none", run=1) is None
    keys = {("live", 1, "BTC"), ("live", 1, "SOL"), ("live", 1, "ETH")}
    assert tape_newest(client=redis_client, shards=SHARDS, keys=keys) == {
        ("live", 1, "BTC"): tick(599).quoted_us,
        ("live", 1, "SOL"): tick(0).quoted_us,
    }


def test_a_reader_goes_on_where_it_was_after_redis_was_killed(own_redis: RedisProcess) -> None:
    """Whoever remembers its places reads every tick once, over a kill of Redis in between."""
    client = redis_open_now(url=own_redis.url)
    buffer = TapeBuffer(writer=TapeWriter(client=client, shards=SHARDS, kept_s=10**7))
    reader = TapeReader(client=client)
    for shard in range(SHARDS):
        reader.follow(shard=shard, after=START)
    read: list[Tick] = []

    def drain() -> None:
        while entries := reader.read(block_ms=1):
            read.extend(one for entry in entries for one in entry.ticks)

    ticks = [tick(place) for place in range(90)]
    buffer.append(ticks[:30], now=NOW)
    drain()
    own_redis.kill()
    with pytest.raises(redis.ConnectionError):
        reader.read(block_ms=1)
    assert not buffer.append(ticks[30:60], now=NOW)
    own_redis.start()
    assert buffer.append(ticks[60:], now=NOW)
    drain()
    assert in_shards(read) == in_shards(ticks)
    client.close()
