"""The tick tape: every price the feed sees, in order, kept long enough to be read again after a crash.

One Redis stream per shard of instruments; the shard of an instrument is the same in every world. An entry
holds the ticks of one flush. Its id ("milliseconds-number", Redis's wall clock) is the place on the tape:
whoever remembers the id it has dealt with reads on from there and misses nothing, however often it dies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from zlib import crc32

import msgspec
import redis
from django.conf import settings

from markets.domain.moments import at_of, us_of

START: Final = "0-0"  # before everything
PREFIX: Final = "ensemble:tape:"
READ_AT_ONCE: Final = 512  # entries of one shard
TickKey = tuple[str, int, str]  # world, run, code
_FIELD: Final = b"t"


class Tick(msgspec.Struct, frozen=True, array_like=True):
    """One price of one instrument in one world.

    :param price: quote currency per unit, above zero
    :param quoted_us: world time of the quote, microseconds since 1970
    :param received_us: wall time at which it reached us
    """

    world: str
    run: int
    code: str
    price: Decimal
    quoted_us: int
    received_us: int

    @property
    def key(self) -> TickKey:
        """Whose price it is; of one key the world time on the tape only rises."""
        return self.world, self.run, self.code

    @property
    def quoted_at(self) -> datetime:
        """World time of the quote."""
        return at_of(self.quoted_us)

    @property
    def received_at(self) -> datetime:
        """Wall time at which it reached us."""
        return at_of(self.received_us)


@dataclass(frozen=True, slots=True)
class TapeEntry:
    """The ticks of one flush, in order, and their place on the tape of their shard."""

    shard: int
    entry_id: str
    ticks: tuple[Tick, ...]


def shard_of(*, code: str, shards: int) -> int:
    """Return the shard of an instrument, 0 ≤ shard < ``shards``."""
    return crc32(code.encode()) % shards


def place_of(entry_id: str) -> tuple[int, int]:
    """Return an entry's id as numbers, which compare as the tape runs."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


def place_at(at: datetime) -> str:
    """Return the id just before anything that was written at wall time ``at`` or later."""
    return f"{us_of(at) // 1000 - 1}-0"


class TapeWriter:
    """Writes ticks to the tape. One writer per world and instrument at a time, else order is lost."""

    def __init__(self, *, client: redis.Redis, shards: int, kept_s: int) -> None:
        """Write with ``client``; entries older than ``kept_s`` seconds are let go."""
        self._client = client
        self._shards = shards
        self._kept_ms = kept_s * 1000
        self._encode = msgspec.msgpack.Encoder().encode

    @property
    def client(self) -> redis.Redis:
        """The connection it writes with."""
        return self._client

    @property
    def shards(self) -> int:
        """Into how many shards it writes."""
        return self._shards

    def append(self, ticks: Sequence[Tick], *, now: datetime) -> None:
        """Write ticks in the order given, one entry per shard, in one round trip.

        :raises redis.RedisError: Redis is away; nothing or all was written
        """
        groups: dict[int, list[Tick]] = {}
        for tick in ticks:
            groups.setdefault(shard_of(code=tick.code, shards=self._shards), []).append(tick)
        oldest = max(0, us_of(now) // 1000 - self._kept_ms)
        pipeline = self._client.pipeline(transaction=True)
        for shard, group in groups.items():
            fields: dict[Any, Any] = {_FIELD: self._encode(group)}
            pipeline.xadd(f"{PREFIX}{shard}", fields, minid=str(oldest), approximate=True)
        if groups:
            pipeline.execute()


def writer_make(*, client: redis.Redis) -> TapeWriter:
    """Return a writer as the site is configured."""
    return TapeWriter(client=client, shards=settings.EXIT_SHARDS, kept_s=settings.TAPE_KEPT_SECONDS)


class TapeReader:
    """Reads several shards of the tape on from where each was left."""

    def __init__(self, *, client: redis.Redis) -> None:
        """Read with ``client``, whose socket time-out must be longer than any ``block_ms``."""
        self._client = client
        self._places: dict[int, str] = {}

    @property
    def places(self) -> Mapping[int, str]:
        """The id up to which each followed shard was read."""
        return self._places

    def follow(self, *, shard: int, after: str) -> None:
        """Read a shard from just after an id on."""
        self._places[shard] = after

    def leave(self, *, shard: int) -> None:
        """Read a shard no more."""
        self._places.pop(shard, None)

    def read(self, *, block_ms: int, count: int = READ_AT_ONCE) -> list[TapeEntry]:
        """Return what came since, oldest first within a shard; waits up to ``block_ms`` where nothing did.

        :raises redis.RedisError: Redis is away; nothing was skipped
        """
        if not self._places:
            return []
        streams: dict[Any, Any] = {f"{PREFIX}{shard}": place for shard, place in self._places.items()}
        answer: Any = self._client.xread(streams, count=count, block=block_ms)
        entries: list[TapeEntry] = []
        for key, rows in answer or []:
            shard = int(key.decode().removeprefix(PREFIX))
            entries += [_entry(shard, row) for row in rows]
            if rows:
                self._places[shard] = rows[-1][0].decode()
        return entries


def tape_end(*, client: redis.Redis, shard: int) -> str:
    """Return the id of a shard's newest entry; ``START`` where there is none."""
    rows: Any = client.xrevrange(f"{PREFIX}{shard}", count=1)
    return rows[0][0].decode() if rows else START


def tape_entries(*, client: redis.Redis, shards: int) -> int:
    """Return how many entries all shards hold.

    :raises redis.RedisError: Redis is away
    """
    with client.pipeline(transaction=False) as pipeline:
        for shard in range(shards):
            pipeline.xlen(f"{PREFIX}{shard}")
        return sum(pipeline.execute())


def tape_start(*, client: redis.Redis, shard: int) -> str:
    """Return the id of the oldest entry of a shard that is kept; ``START`` where there is none."""
    rows: Any = client.xrange(f"{PREFIX}{shard}", count=1)
    return rows[0][0].decode() if rows else START


def tape_since(
    *, client: redis.Redis, shard: int, after: str, until: str = "+", count: int = READ_AT_ONCE
) -> Iterator[TapeEntry]:
    """Yield a shard's entries after one id and up to another (inclusive), oldest first.

    :raises redis.RedisError: Redis is away
    """
    while True:
        rows: Any = client.xrange(f"{PREFIX}{shard}", min=f"({after}", max=until, count=count)
        for row in rows:
            yield _entry(shard, row)
        if len(rows) < count:
            return
        after = rows[-1][0].decode()


def tape_back(*, client: redis.Redis, shard: int, count: int = READ_AT_ONCE) -> Iterator[TapeEntry]:
    """Yield a shard's entries from the newest back to the oldest that is kept.

    :raises redis.RedisError: Redis is away
    """
    until = "+"
    while True:
        rows: Any = client.xrevrange(f"{PREFIX}{shard}", max=until, count=count)
        for row in rows:
            yield _entry(shard, row)
        if len(rows) < count:
            return
        until = f"({rows[-1][0].decode()}"


def tape_reached(*, client: redis.Redis, shards: int, world: str, run: int) -> datetime | None:
    """Return the world time up to which a run of a world is on the tape; None where nothing of it is.

    :raises redis.RedisError: Redis is away
    """
    newest = [
        next(
            (tick.quoted_us for tick in _ticks_back(client, shard) if (tick.world, tick.run) == (world, run)),
            0,
        )
        for shard in range(shards)
    ]
    return at_of(max(newest)) if any(newest) else None


def tape_newest(*, client: redis.Redis, shards: int, keys: Collection[TickKey]) -> dict[TickKey, int]:
    """Return the world time, in microseconds, of the newest tick of each (world, run, code) on the tape.

    :raises redis.RedisError: Redis is away
    """
    wanted: dict[int, set[TickKey]] = {}
    for key in keys:
        wanted.setdefault(shard_of(code=key[2], shards=shards), set()).add(key)
    newest: dict[TickKey, int] = {}
    for shard, missing in wanted.items():
        for tick in _ticks_back(client, shard):
            if tick.key in missing:
                newest[tick.key] = tick.quoted_us
                missing.remove(tick.key)
                if not missing:
                    break
    return newest


def _ticks_back(client: redis.Redis, shard: int) -> Iterator[Tick]:
    for entry in tape_back(client=client, shard=shard):
        yield from reversed(entry.ticks)


_decode_ticks = msgspec.msgpack.Decoder(tuple[Tick, ...]).decode


def _entry(shard: int, row: tuple[bytes, dict[bytes, bytes]]) -> TapeEntry:
    entry_id, fields = row
    return TapeEntry(shard=shard, entry_id=entry_id.decode(), ticks=_decode_ticks(fields[_FIELD]))
