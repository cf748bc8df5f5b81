"""The live world's prices between those who hear them and those who store them.

Whoever hears prices, the socket's thread or the poll, tells them here: they are weighed, go onto the tape at
once, and into the candles. The feed's own thread stores marks and candles out of here in its own time, so a
database that is slow or away holds up no exit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import Final, TypeVar

import structlog

from core.clock import Clock
from markets.candle_book import CandleBook
from markets.domain.candle_building import CandleRecord
from markets.domain.moments import us_of
from markets.domain.plausible import Believed, price_usable, price_weighed
from markets.domain.venue_quotes import VenueQuote
from markets.models import LIVE
from markets.tape import Tick
from markets.tape_buffer import TapeBuffer

T = TypeVar("T")
log = structlog.get_logger(__name__)
LIVE_RUN: Final = 1
SAID_AGAIN: Final = timedelta(seconds=4)  # a price that stands still is told as often: it is still quoted


@dataclass(slots=True)
class LiveCounts:
    """What became of what was heard, since the start.

    :param refused: quotes that are no price: zero, negative, not a number
    :param doubted: jumps that waited for a second quote
    """

    told: int = 0
    refused: int = 0
    doubted: int = 0


class LivePrices:
    """The last live prices, safe to be told and read by several threads."""

    def __init__(self, *, clock: Clock, tape: TapeBuffer) -> None:
        """Begin with no instrument known: :meth:`listen_for` says which count."""
        self._clock = clock
        self._tape = tape
        self._lock = Lock()
        self._known: frozenset[str] = frozenset()
        self._candled: frozenset[str] = frozenset()
        self._elsewhere: frozenset[str] = frozenset()
        self._believed: dict[str, Believed] = {}
        self._told: dict[str, Tick] = {}
        self._heard_at: dict[str, datetime] = {}
        self._unmarked: dict[str, Tick] = {}
        self._book: CandleBook | None = None
        self._last_us = 0
        self.counts = LiveCounts()

    @property
    def waiting(self) -> int:
        """How many ticks wait for Redis."""
        return self._tape.waiting

    @property
    def thinned(self) -> int:
        """How many ticks were given up while Redis was away."""
        return self._tape.thinned

    @property
    def doubts(self) -> bool:
        """Does a jump wait for its second quote?"""
        with self._lock:
            return any(known.doubted is not None for known in self._believed.values())

    def listen_for(self, *, codes: Collection[str], candled: Collection[str]) -> None:
        """Say which instruments are known here, and of which candles are built."""
        with self._lock:
            self._known, self._candled = frozenset(codes), frozenset(candled)

    def priced_elsewhere(self, codes: Collection[str]) -> None:
        """Say which instruments other venues price: of these Hyperliquid's word does not count."""
        with self._lock:
            self._elsewhere = frozenset(codes)

    def believe(self, prices: Mapping[str, Decimal]) -> None:
        """Take stored prices as the ones that the first quotes are weighed against."""
        with self._lock:
            for code, price in prices.items():
                self._believed.setdefault(code, Believed(price=price))

    def tell(self, prices: Mapping[str, Decimal]) -> None:
        """Take Hyperliquid's prices just heard: onto the tape with those that are new, or not told for 4 s.

        World time is the moment of hearing, and rises with every call, whatever the machine's clock does.
        """
        with self._lock:
            now, heard_us = self._heard()
            codes = sorted((self._known - self._elsewhere) & prices.keys())
            self._take(((code, VenueQuote(prices[code], heard_us)) for code in codes), now)

    def tell_quotes(self, quotes: Mapping[str, VenueQuote]) -> None:
        """Take what another venue quoted of the instruments priced there, each with the time of its quote.

        A quote that is older than the newest one of its instrument is left out: an answer to a request may
        come behind what the socket told meanwhile.
        """
        with self._lock:
            now, heard_us = self._heard()
            newer = (
                (code, VenueQuote(quotes[code].price, min(quotes[code].quoted_us, heard_us)))
                for code in sorted(self._elsewhere & quotes.keys())
                if (before := self._told.get(code)) is None or quotes[code].quoted_us > before.quoted_us
            )
            self._take(newer, now)

    def _heard(self) -> tuple[datetime, int]:
        """Return the moment of hearing, and its world time, which rises with every call."""
        now = self._clock.now()
        self._last_us = max(us_of(now), self._last_us + 1)
        return now, self._last_us

    def _take(self, quotes: Iterable[tuple[str, VenueQuote]], now: datetime) -> None:
        ticks = [
            Tick(
                world=LIVE,
                run=LIVE_RUN,
                code=code,
                price=quote.price,
                quoted_us=quote.quoted_us,
                received_us=us_of(now),
            )
            for code, quote in quotes
            if self._weighed(code, quote.price) is not None and self._worth(code, quote.price, now)
        ]
        if not ticks:
            return
        self._tape.append(ticks, now=now)
        self.counts.told += len(ticks)
        for tick in ticks:
            self._told[tick.code] = self._unmarked[tick.code] = tick
            if self._book is not None and tick.code in self._candled:
                self._book.add(code=tick.code, us=tick.quoted_us, price=tick.price)

    def marks_due(self) -> dict[str, Tick]:
        """Return the newest tick of each instrument that has had one since it was marked."""
        with self._lock:
            return dict(self._unmarked)

    def marked(self, ticks: Mapping[str, Tick]) -> None:
        """Forget what was stored as marks; what moved meanwhile stays due."""
        with self._lock:
            for code, tick in ticks.items():
                if self._unmarked.get(code) == tick:
                    del self._unmarked[code]

    def prices_heard(self, *, since: datetime) -> dict[str, Decimal]:
        """Return the believed prices that were quoted at ``since`` or later."""
        with self._lock:
            return {
                code: self._told[code].price
                for code, heard_at in self._heard_at.items()
                if heard_at >= since and code in self._told
            }

    def candles_begin(
        self, *, records: Mapping[str, CandleRecord], ticks: Callable[[], Iterable[Tick]]
    ) -> bool:
        """Go on with stored candles and what is on the tape since; return False while ticks wait for Redis.

        :param ticks: reads the live world's ticks on the tape, while nothing new is told
        """
        with self._lock:
            if self._tape.waiting:
                return False
            book = CandleBook()
            book.resume(records=records)
            for tick in ticks():
                if tick.code in self._candled:
                    book.add(code=tick.code, us=tick.quoted_us, price=tick.price)
            self._book = book
            return True

    def candles(self, use: Callable[[CandleBook], T]) -> T | None:
        """Let ``use`` read or change the candles while nothing is told; None before they have begun."""
        with self._lock:
            return None if self._book is None else use(self._book)

    def _weighed(self, code: str, price: Decimal) -> Decimal | None:
        """Return a price that is believed, and count one that is not."""
        if not price_usable(price):
            self.counts.refused += 1
            return None
        before = self._believed.get(code, Believed())
        known = self._believed[code] = price_weighed(before, price)
        if known.doubted is not None:
            self.counts.doubted += 1
            log.warning("price_doubted", code=code, price=str(price), last=str(before.price))
            return None
        return price

    def _worth(self, code: str, price: Decimal, now: datetime) -> bool:
        self._heard_at[code] = now
        before = self._told.get(code)
        return before is None or before.price != price or now - before.received_at >= SAID_AGAIN
