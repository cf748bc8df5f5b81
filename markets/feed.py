"""The feed: prices in; tape, marks and candles out. Moves replay worlds forward and reads live prices.

It knows no trader and no portfolio: what goes on above it, it learns through the functions given to it.
"""

from __future__ import annotations

import threading
from typing import Final

from django.db import connection

from core.clock import Clock
from markets.feed_hooks import FeedHooks, Stop, guarded
from markets.live_feed import LiveFeed
from markets.replay_feed import ReplayTicker
from markets.tape_buffer import tape_buffer_make

TICK_S: Final = 1.0


class Feed:
    """Runs until told to stop; live prices have a thread of their own, replays never wait for them."""

    def __init__(self, *, clock: Clock, hooks: FeedHooks) -> None:
        self._clock = clock
        self._hooks = hooks
        self._replays = ReplayTicker(clock=clock, hooks=hooks, tape=tape_buffer_make())

    def run(self, stop: Stop) -> None:
        """Move the worlds forward every second until ``stop`` is set.

        A database that is away is waited for: each failing second is logged and the next one tries again.
        """
        live_feed = LiveFeed(clock=self._clock, hooks=self._hooks, tape=tape_buffer_make())
        live = threading.Thread(target=live_feed.run, args=(stop,), name="live")
        live.start()
        try:
            while not stop.is_set():
                began_s = self._clock.monotonic_s()
                guarded("replay_tick_failed", self._replays.tick)
                stop.wait(max(0.0, TICK_S - (self._clock.monotonic_s() - began_s)))
        finally:
            live.join()
            connection.close()
