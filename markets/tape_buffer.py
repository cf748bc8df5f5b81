"""A tape writer that loses nothing while Redis is away: ticks wait in memory and follow in order.

After a failure nobody knows whether the last flush was written, and a Redis that lost its power has lost up
to its last second. So before anything is appended again, what is on the tape is compared with what was told:
of each instrument only ticks later than its newest one there are written. That takes ticks whose world time
rises for each (world, run, code), as ``Tick.key`` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import redis
import structlog
from django.conf import settings

from markets.connections import redis_open_now
from markets.tape import TapeWriter, Tick, TickKey, tape_newest, tape_reached

log = structlog.get_logger(__name__)
BUFFER_TICKS: Final = 200_000  # some 30 MB; at 500 ticks a second seven minutes, thinned ones last longer
CHUNK_TICKS: Final = 5_000  # of one append after a pause
TOLD_AGAIN: Final = timedelta(seconds=5)  # Redis syncs its file to the disk every second


class TapeBuffer:
    """Writes to the tape, or keeps for it what cannot be written now. Of one thread alone."""

    def __init__(self, *, writer: TapeWriter, bound: int = BUFFER_TICKS) -> None:
        """Keep at most ``bound`` ticks; beyond it the oldest are thinned."""
        self._writer = writer
        self._bound = bound
        self._waiting: list[Tick] = []
        self._told: deque[tuple[datetime, Sequence[Tick]]] = deque()
        self._doubtful = False
        self.thinned = 0

    @property
    def waiting(self) -> int:
        """How many ticks wait for Redis."""
        return len(self._waiting)

    def reached(self, *, world: str, run: int) -> datetime | None:
        """Return the world time up to which a run is on the tape; None where nothing of it is.

        :raises redis.RedisError: Redis is away
        """
        return tape_reached(client=self._writer.client, shards=self._writer.shards, world=world, run=run)

    def append(self, ticks: Sequence[Tick], *, now: datetime) -> bool:
        """Write ticks behind those that wait already; return whether everything is on the tape now."""
        self._waiting += ticks
        if len(self._waiting) > self._bound:
            self._thin()
        try:
            if self._doubtful:
                self._settle()
            while self._waiting:
                chunk = self._waiting[:CHUNK_TICKS]
                self._writer.append(chunk, now=now)
                del self._waiting[: len(chunk)]
                self._remember(chunk, now)
        except redis.RedisError as error:
            if not self._doubtful:
                log.warning("tape_away", error=str(error), waiting=self.waiting)
            self._doubtful = True
            return False
        return True

    def _settle(self) -> None:
        """Find out what is on the tape after a failure, and leave in the queue what is not."""
        told = [tick for _, ticks in self._told for tick in ticks]
        candidates = [*told, *self._waiting]
        newest = tape_newest(
            client=self._writer.client,
            shards=self._writer.shards,
            keys={tick.key for tick in candidates},
        )
        self._waiting = [tick for tick in candidates if tick.quoted_us > newest.get(tick.key, -1)]
        self._told.clear()
        self._doubtful = False
        log.warning("tape_back", waiting=self.waiting, thinned=self.thinned)

    def _remember(self, chunk: Sequence[Tick], now: datetime) -> None:
        self._told.append((now, chunk))
        while self._told[0][0] < now - TOLD_AGAIN:
            self._told.popleft()

    def _thin(self) -> None:
        """Thin the older half of what waits, so that thinning stays rare."""
        half = len(self._waiting) // 2
        kept = ticks_thinned(list(islice(self._waiting, half)))
        gone = half - len(kept)
        self.thinned += gone
        self._waiting[:half] = kept
        log.warning("tape_ticks_thinned", gone=gone, waiting=self.waiting)


def tape_buffer_make() -> TapeBuffer:
    """Return a writer to this site's tape."""
    writer = TapeWriter(
        client=redis_open_now(url=settings.REDIS_URL),
        shards=settings.EXIT_SHARDS,
        kept_s=settings.TAPE_KEPT_SECONDS,
    )
    return TapeBuffer(writer=writer)


def ticks_thinned(ticks: Sequence[Tick]) -> list[Tick]:
    """Return, in their order, the first, highest, lowest and last tick of each instrument.

    What crossed a price is still seen to cross it; of several extremes that are equal the first stays.
    """
    kept: dict[TickKey, tuple[int, int, int, int]] = {}
    for place, tick in enumerate(ticks):
        first, high, low, _ = kept.get(tick.key, (place, place, place, place))
        if tick.price > ticks[high].price:
            high = place
        if tick.price < ticks[low].price:
            low = place
        kept[tick.key] = (first, high, low, place)
    return [ticks[place] for place in sorted({place for places in kept.values() for place in places})]
