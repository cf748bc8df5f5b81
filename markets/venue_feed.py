"""Live prices of what Hyperliquid does not list, from the venues that portfolios and followed traders use.

Two threads: one turns once a second, knows the database and says what is wanted; the other runs an event loop
with a stream for each kind of market of a venue, and carries out the requests. A venue that nobody uses is
neither listened to nor asked, and none of this is loaded.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection

from core.clock import Clock
from core.errors import EnsembleError, RateLimited
from markets.domain.context import ContextRecord
from markets.domain.moments import us_of
from markets.domain.venue_listing import VenueSection, coins_listed
from markets.domain.venue_quotes import price_told, quote_of
from markets.exchanges import exchange_listens
from markets.feed_hooks import FeedHooks, Stop, guarded
from markets.feed_state import VenueState
from markets.live_prices import LivePrices
from markets.models import LIVE
from markets.price_markets import (
    codes_elsewhere,
    price_markets_keep,
    price_markets_of,
    price_markets_retire,
    underlyings_taken,
)
from markets.services import contexts_write, world_ensure
from markets.venue_asking import VenueAsking
from markets.venue_rules import venue_quotes, venue_rules_hasten
from markets.venue_stream import VenueStream

log = structlog.get_logger(__name__)
TURN_S: Final = 1.0
LOOK_S: Final = 5.0  # between two looks at what is wanted
LIST_EVERY_S: Final = 6 * 3600.0
LIST_AGAIN_S: Final = 20.0  # after a list that failed
SILENT_S: Final = 6.0  # a socket that tells no price of an instrument this long is helped by a request
ALL_EVERY_S: Final = 300.0  # prices of what is listed and nobody holds: old ones, so that it can be wanted
POLL_S: Final = 5.0
POLL_SLOWEST_S: Final = 60.0
REQUEST_S: Final = 40.0  # a request with its wait for the budget is over long before


@dataclass(slots=True)
class _Venue:
    """What is known of one kind of market of a venue."""

    stream: VenueStream
    task: asyncio.Task[None] | None = None
    markets: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # of our instruments, by symbol
    codes: dict[str, str] = field(default_factory=dict)  # symbol → instrument
    wanted: dict[str, str] = field(default_factory=dict)  # of these, what is held or wanted
    list_s: float = float("-inf")  # when the next list is due
    all_s: float = float("-inf")
    poll_s: float = float("-inf")
    failures: int = 0
    error: str = ""


class VenueFeed:
    """Keeps a stream for each kind of market in use, and asks for what none tells."""

    def __init__(self, *, clock: Clock, hooks: FeedHooks, prices: LivePrices) -> None:
        """Tell quotes to ``prices``, once :meth:`run` runs."""
        self._clock = clock
        self._hooks = hooks
        self._prices = prices
        self._venues: dict[VenueSection, _Venue] = {}
        self._look_s = float("-inf")
        self._loop: _Loop | None = None
        self._asking: VenueAsking | None = None

    def states(self) -> tuple[VenueState, ...]:
        """Return how each venue does, to look at."""
        return tuple(
            VenueState(
                venue=str(section),
                wanted=len(venue.wanted),
                socket_since=venue.stream.state.connected_at,
                socket_heard_at=venue.stream.state.heard_at,
                socket_lost=venue.stream.state.lost,
                socket_why=venue.stream.state.why,
                garbage=venue.stream.state.garbage,
                refused=venue.stream.refused,
                error=venue.error,
            )
            for section, venue in sorted(self._venues.copy().items(), key=lambda item: str(item[0]))
        )

    def run(self, stop: Stop) -> None:
        """Go on until stopped; each failing step is logged and tried again."""
        try:
            while not stop.is_set():
                guarded("venue_feed_failed", self.turn)
                stop.wait(TURN_S)
        finally:
            self._end()
            connection.close()

    def turn(self) -> None:
        """Do once what is due."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            self._look()
        for section in list(self._venues):
            guarded("venue_turn_failed", partial(self._turn, section))

    # ---------------------------------------------------------------- what is wanted
    def _look(self) -> None:
        """See which venues are in use and what of theirs is wanted; let go of those that are not."""
        sections = tuple(self._hooks.live_sections()) if self._hooks.live_wanted() else ()
        for section in self._venues.keys() - set(sections):
            self._drop(section)
        if price_markets_retire(used=sections):
            for venue in self._venues.values():
                venue.list_s = float("-inf")  # it may price what another did
        if not sections:
            self._end()
            return
        world_ensure(name=LIVE, now=self._clock.now())
        codes = frozenset(self._hooks.live_codes())
        for section in sections:
            if section not in self._venues:
                self._begin(section)
            self._want(self._venues[section], section, codes)
        self._prices.priced_elsewhere(codes_elsewhere())

    def _want(self, venue: _Venue, section: VenueSection, codes: Collection[str]) -> None:
        venue.codes = {symbol: code for code, symbol in price_markets_of(section=section).items()}
        venue.wanted = {
            symbol: code for symbol, code in venue.codes.items() if code in codes and symbol in venue.markets
        }
        listens = settings.LIVE_STREAM and exchange_listens(venue=section.venue)
        venue.stream.want(venue.wanted if listens else {}, [venue.markets[name] for name in venue.wanted])

    def _begin(self, section: VenueSection) -> None:
        if self._loop is None:
            self._loop = _Loop()
            self._asking = self._loop.make(VenueAsking)
        stream = VenueStream(section=section, clock=self._clock, deliver=self._prices.tell_quotes)
        self._venues[section] = _Venue(stream=stream, task=self._loop.start(stream.run))

    def _drop(self, section: VenueSection) -> None:
        venue = self._venues.pop(section)
        if self._loop is not None and venue.task is not None:
            self._loop.cancel(venue.task)

    def _end(self) -> None:
        """Let go of every venue, and of the loop."""
        for section in list(self._venues):
            self._drop(section)
        if self._loop is not None:
            if self._asking is not None:
                self._loop.wait(self._asking.close(), timeout_s=REQUEST_S)
            self._loop.end()
            self._loop = self._asking = None

    # ---------------------------------------------------------------- asking
    def _turn(self, section: VenueSection) -> None:
        venue, now_s = self._venues[section], self._clock.monotonic_s()
        try:
            if now_s >= venue.list_s:
                venue.list_s = now_s + LIST_AGAIN_S
                if self._list(section, venue):
                    venue.list_s = now_s + LIST_EVERY_S
            if now_s >= venue.poll_s:
                venue.poll_s = now_s + TURN_S
                self._poll(section, venue)
            venue.failures, venue.error = 0, ""
        except EnsembleError as error:
            venue.failures += 1
            slowest = min(POLL_SLOWEST_S, POLL_S * 2.0 ** min(venue.failures, 10))
            venue.poll_s = now_s + random.uniform(POLL_S, slowest)  # noqa: S311 - jitter, no secret
            venue.error = str(error)[:200]
            pressed = isinstance(error, RateLimited)
            log.warning(
                "venue_unavailable", venue=str(section), error=venue.error, failures=venue.failures,
                rate_limited=pressed,
            )  # fmt: skip

    def _list(self, section: VenueSection, venue: _Venue) -> bool:
        """Read a venue's markets and make instruments of the coins that have no price from elsewhere.

        False while Hyperliquid has told no price yet, so that nobody knows what it lists.
        """
        taken = underlyings_taken(section=section)
        if taken is None:
            venue.list_s = self._clock.monotonic_s() + TURN_S
            return False
        markets = self._asked(lambda asking: asking.markets(section))
        quotes = venue_quotes(venue=section.venue)
        coins, problems = coins_listed(section=section, quotes=quotes, markets=markets, taken=taken)
        for problem in problems:
            log.warning("venue_market_unreadable", venue=str(section), problem=problem)
        new = price_markets_keep(section=section, coins=coins, now=self._clock.now())
        if new:
            log.info("venue_coins_listed", venue=str(section), new=len(new), all=len(coins))
            venue_rules_hasten(venue=section.venue)
        symbols = {coin.symbol for coin in coins}
        self._prices.priced_elsewhere(codes_elsewhere())
        venue.markets = {name: market for market in markets if (name := market["symbol"]) in symbols}
        venue.all_s = self._look_s = float("-inf")  # so that all of it has a price soon
        return True

    def _poll(self, section: VenueSection, venue: _Venue) -> None:
        """Ask for prices that no socket told lately; now and then for those that nobody holds."""
        now_s = self._clock.monotonic_s()
        if now_s >= venue.all_s:
            symbols = {name: code for name, code in venue.codes.items() if name in venue.markets}
            venue.all_s = now_s + (ALL_EVERY_S if symbols else TURN_S)
        else:
            symbols = {
                name: code
                for name, code in venue.wanted.items()
                if not venue.stream.fresh(code=code, within_s=SILENT_S)
            }
        if not symbols:
            return
        venue.poll_s = now_s + POLL_S
        markets = [venue.markets[name] for name in symbols]
        tickers = self._asked(lambda asking: asking.tickers(section, list(symbols), markets=markets))
        self._tell({symbols[name]: ticker for name, ticker in tickers.items()})

    def _tell(self, tickers: Mapping[str, Mapping[str, Any]]) -> None:
        now = self._clock.now()
        heard_us = us_of(now)
        oldest_us = heard_us - settings.MARK_STALE_SECONDS * 1_000_000
        quotes = {
            code: quote_of(ticker, heard_us=heard_us, oldest_us=oldest_us, answered=True)
            for code, ticker in tickers.items()
        }
        self._prices.tell_quotes({code: quote for code, quote in quotes.items() if quote is not None})
        volumes = {code: price_told(ticker.get("quoteVolume")) for code, ticker in tickers.items()}
        contexts_write(
            contexts=[
                ContextRecord(code, day_volume=volume, impact_spread=None)
                for code, volume in volumes.items()
                if volume is not None
            ],
            at=now,
        )

    def _asked(self, ask: Callable[[VenueAsking], Coroutine[Any, Any, Any]]) -> Any:
        if self._loop is None or self._asking is None:
            raise RuntimeError("the venues' loop does not run")
        return self._loop.wait(ask(self._asking), timeout_s=REQUEST_S)


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_said)
        self._thread = threading.Thread(target=self._loop.run_forever, name="venue-sockets")
        self._thread.start()

    def make(self, what: Callable[[], VenueAsking]) -> VenueAsking:
        """Make something in the loop."""

        async def made() -> VenueAsking:
            return what()

        asking: VenueAsking = self.wait(made(), timeout_s=REQUEST_S)
        return asking

    def start(self, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Let something run in the loop until it is cancelled."""

        async def started() -> asyncio.Task[None]:
            return asyncio.create_task(run())

        task: asyncio.Task[None] = self.wait(started(), timeout_s=REQUEST_S)
        return task

    def cancel(self, task: asyncio.Task[None]) -> None:
        """End something and wait until it has let go."""

        async def cancelled() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.wait(cancelled(), timeout_s=REQUEST_S)

    def wait(self, work: Coroutine[Any, Any, Any], *, timeout_s: float) -> Any:
        """Return what some work in the loop comes to; its errors are raised here."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def end(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _said(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what ccxt leaves behind when a socket ends, such as futures that nobody waits for any more."""
    log.info("venue_loop", message=context.get("message"), error=str(context.get("exception") or ""))
