"""Stores live prices: marks every second, candles as they close, the prices of each full hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import redis
from django.conf import settings

from core.clock import Clock
from markets.candle_book import CandleBook, CodeRecord
from markets.candle_store import candles_newest, candles_write
from markets.domain.candles import CANDLE_SPAN
from markets.domain.moments import us_of
from markets.domain.returns import hour_of
from markets.feed_hooks import OnMarks
from markets.live_prices import LIVE_RUN, LivePrices
from markets.models import LIVE, CandleSource
from markets.selectors import world_get
from markets.services import marks_write, samples_write
from markets.tape import START, Tick, tape_since

OPEN_CANDLES_EVERY: Final = timedelta(seconds=5)
SAMPLE_AGE: Final = timedelta(seconds=15)  # an hour's price may be as old


class LiveStore:
    """Writes what :class:`LivePrices` holds to the database. What fails is due again at the next call."""

    def __init__(self, *, clock: Clock, prices: LivePrices, on_marks: OnMarks, tape: redis.Redis) -> None:
        """Store prices; ``tape`` reads what the feed before this one told."""
        self._clock = clock
        self._prices = prices
        self._on_marks = on_marks
        self._tape = tape
        self._candles_begun = False
        self._open_stored_at: datetime | None = None
        self._sampled_at: datetime | None = None  # the hour whose prices were kept last

    def marks(self) -> None:
        """Write the marks that moved, and what they are at a full hour."""
        due = self._prices.marks_due()
        if not due:
            return
        world = world_get(name=LIVE)
        for _, same in groupby(sorted(due.values(), key=_quoted), key=_quoted):
            ticks = list(same)
            marks_write(
                world=world,
                prices={tick.code: tick.price for tick in ticks},
                quoted_at=ticks[0].quoted_at,
                received_at=ticks[0].received_at,
            )
        self._prices.marked(due)
        self._sample()
        self._on_marks(world)

    def candles(self) -> None:
        """Write closed candles at once, and open ones every few seconds."""
        world, now = world_get(name=LIVE), self._clock.now()
        if not self._candles_begun:
            taped_since = now - timedelta(seconds=settings.TAPE_KEPT_SECONDS) - 2 * CANDLE_SPAN
            self._candles_begun = self._prices.candles_begin(
                records=candles_newest(world=world, since=taped_since), ticks=self._taped
            )
        with_open = self._open_stored_at is None or now - self._open_stored_at >= OPEN_CANDLES_EVERY

        def due(book: CandleBook) -> tuple[CodeRecord, ...]:
            book.time_reached(us_of(now))
            return (*book.closed(), *(book.moved() if with_open else ()))

        pairs = self._prices.candles(due)
        if pairs:
            candles_write(world=world, records=pairs, source=CandleSource.MARKS)
            self._prices.candles(lambda book: book.stored(pairs))
        if with_open:
            self._open_stored_at = now

    def _taped(self) -> Iterator[Tick]:
        """Yield the live world's ticks that are on the tape, those of each instrument in their order."""
        for shard in range(settings.EXIT_SHARDS):
            for entry in tape_since(client=self._tape, shard=shard, after=START):
                yield from (tick for tick in entry.ticks if (tick.world, tick.run) == (LIVE, LIVE_RUN))

    def _sample(self) -> None:
        now = self._clock.now()
        if self._sampled_at == hour_of(now):
            return
        heard = self._prices.prices_heard(since=now - SAMPLE_AGE)
        if heard and samples_write(world=world_get(name=LIVE), prices=heard, at=now):
            self._sampled_at = hour_of(now)


def _quoted(tick: Tick) -> tuple[int, int]:
    return tick.quoted_us, tick.received_us
