"""Live prices: one websocket for all of them, and polls where it is silent, while somebody needs them."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Final

from django.conf import settings
from django.db import connection

from core.clock import Clock
from markets.candle_repair import CandleRepair
from markets.connections import redis_open_now
from markets.feed_hooks import FeedHooks, Stop, guarded
from markets.feed_state import FeedState, feed_state_write
from markets.hyperliquid import InfoClient
from markets.hyperliquid_socket import MidsSocket
from markets.live_polling import LIVE_POLL_S, LivePoller
from markets.live_prices import LivePrices
from markets.live_store import LiveStore
from markets.models import LIVE
from markets.price_markets import codes_elsewhere
from markets.selectors import instrument_codes, marks_for
from markets.services import world_ensure
from markets.tape import tape_entries
from markets.tape_buffer import TapeBuffer
from markets.venue_feed import VenueFeed

TURN_S: Final = 1.0
DOUBT_POLL_S: Final = 1.0  # a jump heard by poll is not left waiting for long
STATE_EVERY_S: Final = 5.0


class LiveFeed:
    """Hears prices in one thread; in another stores them, polls, and back-fills candles. Venues besides."""

    def __init__(
        self, *, clock: Clock, hooks: FeedHooks, tape: TapeBuffer, client: InfoClient | None = None
    ) -> None:
        self.prices = LivePrices(clock=clock, tape=tape)
        self.socket = MidsSocket(clock=clock, deliver=self.prices.tell)
        self._clock = clock
        self._hooks = hooks
        self._poller = LivePoller(clock=clock, client=client)
        self._redis = redis_open_now(url=settings.REDIS_URL)
        self._store = LiveStore(clock=clock, prices=self.prices, on_marks=hooks.on_marks, tape=self._redis)
        self._repair = CandleRepair(clock=clock)
        self.venues = VenueFeed(clock=clock, hooks=hooks, prices=self.prices)
        self._candled: frozenset[str] = frozenset()
        self._elsewhere: frozenset[str] = frozenset()
        self._wanted = False
        self._seeded = False
        self._next_poll_s = self._next_state_s = float("-inf")

    def run(self, stop: Stop) -> None:
        """Go on until stopped; each failing step is logged and tried again."""
        socket = threading.Thread(target=self.socket.run, args=(stop,), name="live-socket")
        venues = threading.Thread(target=self.venues.run, args=(stop,), name="live-venues")
        with asyncio.Runner() as runner:
            socket.start()
            venues.start()
            try:
                while not stop.is_set():
                    self.turn(runner)
                    stop.wait(TURN_S)
            finally:
                socket.join()
                venues.join()
                runner.run(self._poller.client.close())
                self._redis.close()
                connection.close()

    def turn(self, runner: asyncio.Runner) -> None:
        """Do once what is due."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_poll_s:
            guarded("live_poll_failed", partial(self.poll, runner))
            self._next_poll_s = self._clock.monotonic_s() + self.pause_s()
        if self._wanted:
            guarded("live_marks_failed", self._store.marks)
            guarded("live_candles_failed", self._store.candles)
            guarded("candle_repair_failed", partial(self._repair_step, runner))
        if now_s >= self._next_state_s:
            guarded("feed_state_failed", self._state_tell)
            self._next_state_s = now_s + STATE_EVERY_S

    def pause_s(self) -> float:
        """Return the seconds until the next poll."""
        waits = self.prices.doubts and not self._poller.failing
        return DOUBT_POLL_S if waits else self._poller.pause_s()

    def poll(self, runner: asyncio.Runner) -> None:
        """See what is wanted, and ask for what no socket tells."""
        self._wanted = self._hooks.live_wanted()
        if not self._wanted:
            self.socket.want(None)
            self._poller.rest()
            return
        world_ensure(name=LIVE, now=self._clock.now())
        codes = frozenset(self._hooks.live_codes())
        dexes = {"", *map(_dex_of, codes)}
        self._listen(codes, dexes)
        self._poller.poll(
            runner,
            dexes=sorted(dexes),
            silent=lambda dex: not self.socket.fresh(dex=dex, within_s=LIVE_POLL_S),
            tell=self.prices.tell,
            on_rules=partial(self._listen, codes, dexes),
        )

    def _listen(self, codes: frozenset[str], dexes: set[str]) -> None:
        """Take prices of known instruments, build candles of those wanted, and listen to their dexes.

        A dex is listened to once its rules are known: before that, none of its prices could be taken.
        """
        if not self._seeded:
            marks = marks_for(world=LIVE, now=self._clock.now())
            self.prices.believe({code: mark.price for code, mark in marks.items()})
            self._seeded = True
        known, self._elsewhere = instrument_codes(), codes_elsewhere()
        self._candled = codes & known
        self.prices.listen_for(codes=known, candled=self._candled)
        self.prices.priced_elsewhere(self._elsewhere)
        heard = frozenset(dexes & set(map(_dex_of, known)))
        self.socket.want(heard if heard and settings.LIVE_STREAM else None)

    def _repair_step(self, runner: asyncio.Runner) -> None:
        codes = self._candled - self._elsewhere
        if codes:
            world = world_ensure(name=LIVE, now=self._clock.now())
            self._repair.step(world=world, codes=codes, client=self._poller.client, runner=runner)

    def _state_tell(self) -> None:
        socket, counts = self.socket.state, self.prices.counts
        state = FeedState(
            at=self._clock.now(),
            wanted=self._wanted,
            socket_since=socket.connected_at,
            socket_heard_at=socket.heard_at,
            socket_lost=socket.lost,
            socket_why=socket.why,
            garbage=socket.garbage,
            told=counts.told,
            refused=counts.refused,
            doubted=counts.doubted,
            waiting=self.prices.waiting,
            thinned=self.prices.thinned,
            tape_entries=tape_entries(client=self._redis, shards=settings.EXIT_SHARDS),
            venues=self.venues.states(),
        )
        feed_state_write(client=self._redis, state=state)


def _dex_of(code: str) -> str:
    """Return the builder's dex of an instrument, "" for the venue's own."""
    dex, colon, _ = code.partition(":")
    return dex if colon else ""
