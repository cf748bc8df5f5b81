"""The feed: prices in, marks out. Moves replay worlds forward and polls live prices.

It knows no trader and no portfolio: what goes on above it, it learns through the functions given to it.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final, Protocol

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from core.clock import Clock
from core.errors import EnsembleError, RateLimited
from markets.domain.returns import hour_of
from markets.hyperliquid import (
    Contexts,
    InfoClient,
    Meta,
    contexts_from,
    instruments_from_meta,
    usable_mids,
)
from markets.models import LIVE, World
from markets.recordings import recording_get
from markets.selectors import instrument_codes, replay_worlds, world_get
from markets.services import (
    contexts_write,
    instruments_refresh,
    marks_write,
    samples_write,
    world_ensure,
    world_run_start,
)

log = structlog.get_logger(__name__)
TICK_S: Final = 1.0
REST_BEFORE_RESTART_S: Final = 10.0  # a finished replay stands still at least this long
LIVE_POLL_S: Final = 5.0
LIVE_POLL_SLOWEST_S: Final = 60.0
META_EVERY_S: Final = 3600.0
CONTEXTS_EVERY_S: Final = 300.0
LIVE_WAIT_S: Final = 4.0  # longest wait for room in the budget

OnMarks = Callable[[World], None]
OnTraderEvents = Callable[[str, Sequence[str]], None]
TraderEvents = Callable[[str, datetime, datetime], Sequence[str]]
MayRestart = Callable[[World], bool]


class Stop(Protocol):
    """What ends the feed; ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Tell whether to stop."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until stopped, at most ``timeout`` seconds; return whether stopped."""
        ...


@dataclass(frozen=True, slots=True)
class FeedHooks:
    """What the feed tells and asks the packages above it.

    :param on_marks: marks of a world were written
    :param trader_events: world name, after, until (world times) → keys of the traders with a recorded change
        in (after, until]
    :param on_trader_events: world name and those keys, once their moment has come
    :param may_restart: may this finished replay start again (nothing is held in it any more)?
    :param live_wanted: does anybody need live prices now?
    :param live_dexes: builders' dexes of which live prices are needed, beside the venue's own
    """

    on_marks: OnMarks
    trader_events: TraderEvents
    on_trader_events: OnTraderEvents
    may_restart: MayRestart
    live_wanted: Callable[[], bool]
    live_dexes: Callable[[], Collection[str]]


class Feed:
    """Runs until told to stop; live prices have a thread of their own, replays never wait for them."""

    def __init__(self, *, clock: Clock, hooks: FeedHooks) -> None:
        self._clock = clock
        self._hooks = hooks
        self._replays = ReplayTicker(clock=clock, hooks=hooks)

    def run(self, stop: Stop) -> None:
        """Move the worlds forward every second until ``stop`` is set.

        A database that is away is waited for: each failing second is logged and the next one tries again.
        """
        poller = LivePoller(clock=self._clock, hooks=self._hooks)
        live = threading.Thread(target=poller.run, args=(stop,), name="live")
        live.start()
        try:
            while not stop.is_set():
                began_s = self._clock.monotonic_s()
                guarded("replay_tick_failed", self._replays.tick)
                stop.wait(max(0.0, TICK_S - (self._clock.monotonic_s() - began_s)))
        finally:
            live.join()
            connection.close()


class ReplayTicker:
    """Moves every replay world to its time: marks, the traders' recorded changes, the next run."""

    def __init__(self, *, clock: Clock, hooks: FeedHooks) -> None:
        self._clock = clock
        self._hooks = hooks
        self._reached: dict[str, tuple[int, datetime]] = {}  # world → run and world time of the last tick
        self._ended_s: dict[str, float] = {}

    def tick(self) -> None:
        """Bring all replay worlds up to now; one that fails does not stop the others."""
        for world in replay_worlds():
            guarded("replay_world_failed", partial(self.world_tick, world=world, now=self._clock.now()))

    def world_tick(self, *, world: World, now: datetime) -> None:
        """Write a world's marks at its time, tell what changed since, and start its next run."""
        time = world.clock()
        if time.ended(now) and self._restart(world, now):
            time = world.clock()
        world_at = time.at(now)
        recording = recording_get(name=world.name)
        marks_write(world=world, prices=recording.prices_at(world_at), quoted_at=world_at, received_at=now)
        self._tell_changes(world, world_at)
        self._hooks.on_marks(world)

    def _tell_changes(self, world: World, world_at: datetime) -> None:
        """Tell of recorded changes since the last tick; what fails is told again at the next one."""
        run, reached_at = self._reached.get(world.name, (world.run, world_at))
        if run != world.run:
            reached_at = world.world_start_at
        keys = self._hooks.trader_events(world.name, reached_at, world_at)
        if keys:
            self._hooks.on_trader_events(world.name, keys)
        self._reached[world.name] = (world.run, world_at)

    def _restart(self, world: World, now: datetime) -> bool:
        """Start the next run of a finished replay, once it has stood still and everything in it is closed."""
        now_s = self._clock.monotonic_s()
        rested_s = now_s - self._ended_s.setdefault(world.name, now_s)
        if not world.loops or rested_s < REST_BEFORE_RESTART_S or not self._hooks.may_restart(world):
            return False
        del self._ended_s[world.name]
        world_run_start(world=world, now=now)
        log.info("replay_run_started", world=world.name, run=world.run)
        return True


class LivePoller:
    """Polls live prices while somebody needs them: one request for the venue, one more per builder's dex."""

    def __init__(self, *, clock: Clock, hooks: FeedHooks, client: InfoClient | None = None) -> None:
        self._clock = clock
        self._hooks = hooks
        self._client = client
        self._failures = 0
        self._meta_s: dict[str, float] = {}
        self._contexts_s = float("-inf")
        self._sampled_at: datetime | None = None  # the hour whose prices were kept last

    def run(self, stop: Stop) -> None:
        """Poll every 5 seconds until stopped; failures stretch the pause up to a minute, with jitter."""
        with asyncio.Runner() as runner:
            try:
                while not stop.is_set():
                    guarded("live_poll_failed", lambda: self.poll(runner))
                    stop.wait(self.pause_s())
            finally:
                if self._client is not None:
                    runner.run(self._client.close())
                connection.close()

    def pause_s(self) -> float:
        """Return the seconds until the next poll."""
        if not self._failures:
            return LIVE_POLL_S
        slowest = min(LIVE_POLL_SLOWEST_S, LIVE_POLL_S * 2.0 ** min(self._failures, 10))
        return random.uniform(LIVE_POLL_S, slowest)  # noqa: S311 - jitter, no secret

    def poll(self, runner: asyncio.Runner) -> None:
        """Fetch live prices once and write the marks of known instruments, if anybody needs them."""
        if not self._hooks.live_wanted():
            self._failures = 0
            return
        dexes = ("", *sorted(self._hooks.live_dexes()))
        world = world_ensure(name=LIVE, now=self._clock.now())
        try:
            for dex in dexes:
                self._instruments(runner, dex)
            mids: dict[str, Decimal] = {}
            for dex in dexes:
                mids |= runner.run(self._mids(dex))
        except EnsembleError as error:
            self._failures += 1
            pressed = isinstance(error, RateLimited)
            log.warning(
                "live_prices_unavailable", error=str(error), failures=self._failures, rate_limited=pressed
            )
            return
        self._failures = 0
        self._write(world, mids)
        self._contexts(runner, dexes)

    def _write(self, world: World, mids: Mapping[str, Decimal]) -> None:
        known = instrument_codes()
        now = self._clock.now()
        prices = {code: price for code, price in mids.items() if code in known}
        if prices:
            marks_write(world=world, prices=prices, quoted_at=now, received_at=now)
            if self._sampled_at != hour_of(now) and samples_write(world=world, prices=prices, at=now):
                self._sampled_at = hour_of(now)
            self._hooks.on_marks(world_get(name=world.name))

    def _instruments(self, runner: asyncio.Runner, dex: str) -> None:
        """Take over the venue's rules of a dex once an hour."""
        now_s = self._clock.monotonic_s()
        if now_s - self._meta_s.get(dex, float("-inf")) < META_EVERY_S:
            return
        meta = runner.run(self._meta(dex))
        note = f"Hyperliquid meta{f' of dex {dex}' if dex else ''}, {self._clock.now():%d %b %Y}"
        instruments_refresh(instruments=instruments_from_meta(meta, source_note=note))
        self._meta_s[dex] = now_s

    def _contexts(self, runner: asyncio.Runner, dexes: Iterable[str]) -> None:
        """Read every five minutes how much trades; prices never wait for it, and without it ranks say so."""
        now_s = self._clock.monotonic_s()
        if now_s - self._contexts_s < CONTEXTS_EVERY_S:
            return
        self._contexts_s = now_s
        try:
            for dex in dexes:
                answer = runner.run(self._context(dex))
                contexts_write(contexts=contexts_from(answer), at=self._clock.now())
        except EnsembleError as error:
            log.warning("live_contexts_unavailable", error=str(error))

    async def _context(self, dex: str) -> Contexts:
        request = _of_dex("metaAndAssetCtxs", dex)
        answer: Contexts = await self._info().ask(request, Contexts, max_wait_s=LIVE_WAIT_S)  # type: ignore[arg-type]
        return answer

    async def _meta(self, dex: str) -> Meta:
        return await self._info().ask(_of_dex("meta", dex), Meta, max_wait_s=LIVE_WAIT_S)

    async def _mids(self, dex: str) -> dict[str, Decimal]:
        mids = await self._info().ask(_of_dex("allMids", dex), dict[str, Decimal], max_wait_s=LIVE_WAIT_S)
        return usable_mids(mids)

    def _info(self) -> InfoClient:
        """Return the client, made inside the loop it belongs to."""
        if self._client is None:
            self._client = InfoClient()
        return self._client


def guarded(event: str, step: Callable[[], None]) -> None:
    """Run one step of an endless loop; a database that is away, or another fault, is logged and survived."""
    try:
        step()
    except (DatabaseError, InterfaceError) as error:
        log.warning(event, error=str(error))
        close_old_connections()
        connection.close()
    except Exception:
        log.exception(event)


def _of_dex(request: str, dex: str) -> dict[str, str]:
    return {"type": request, "dex": dex} if dex else {"type": request}
