"""Moves every replay world to its time: prices onto the tape, marks, candles, traders' recorded changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final

import structlog
from django.db.models import Max, Min

from core.clock import Clock
from markets.candle_store import candles_write
from markets.domain.candle_building import CandleRecord, candles_recorded
from markets.domain.candles import CANDLE_SPAN, candle_open_at
from markets.domain.moments import MICROSECOND, us_of
from markets.feed_hooks import FeedHooks, guarded
from markets.models import Candle, CandleSource, Mark, World
from markets.recordings import Recording, recording_get
from markets.selectors import replay_worlds
from markets.services import marks_write, world_run_start
from markets.tape import Tick
from markets.tape_buffer import TapeBuffer

log = structlog.get_logger(__name__)
REST_BEFORE_RESTART_S: Final = 10.0  # a finished replay stands still at least this long
TOLD_AGAIN_S: Final = 2  # after a start, changes of the last ticks before it are told once more

_Reached = tuple[int, datetime]  # run, world time


class ReplayTicker:
    """Brings replay worlds up to now, tick by tick.

    Every recorded price in between goes onto the tape, in order, once: what was told is read from the tape
    after a start, so a feed that was killed goes on where it stopped.
    """

    def __init__(self, *, clock: Clock, hooks: FeedHooks, tape: TapeBuffer) -> None:
        self._clock = clock
        self._hooks = hooks
        self._tape = tape
        self._taped: dict[str, _Reached] = {}
        self._candled: dict[str, _Reached] = {}
        self._told: dict[str, _Reached] = {}
        self._ended_s: dict[str, float] = {}

    def tick(self) -> None:
        """Bring all replay worlds up to now; one that fails does not stop the others."""
        for world in replay_worlds():
            guarded("replay_world_failed", partial(self.world_tick, world=world, now=self._clock.now()))

    def world_tick(self, *, world: World, now: datetime) -> None:
        """Tell a world's prices and what changed since the last tick, and start its next run.

        Prices go onto the tape before they become marks: exits see them before an entry can be decided.
        """
        time = world.clock()
        if time.ended(now) and self._restart(world, now):
            time = world.clock()
        world_at = time.at(now)
        recording = recording_get(name=world.name)
        prices = recording.prices_at(world_at)
        told_from = self._tape_until(world, recording, prices, world_at, now)
        marks_write(world=world, prices=prices, quoted_at=world_at, received_at=now)
        self._candles_until(world, recording, world_at)
        self._tell_changes(world, told_from, world_at)
        self._hooks.on_marks(world)

    def _tape_until(
        self,
        world: World,
        recording: Recording,
        prices: dict[str, Decimal],
        world_at: datetime,
        now: datetime,
    ) -> datetime:
        """Write every price since the last tick onto the tape; return the world time of that last tick."""
        reached_at = self._reached(self._taped, world) or self._taped_before(world)
        if world_at > reached_at:
            ticks = ticks_between(
                world=world, recording=recording, prices=prices, after=reached_at, until=world_at, now=now
            )
            self._tape.append(ticks, now=now)
            self._taped[world.name] = (world.run, world_at)
        return reached_at

    def _taped_before(self, world: World) -> datetime:
        """Return the world time that the feed before this one had told.

        :raises redis.RedisError: Redis is away, so nobody can say
        """
        taped_at = self._tape.reached(world=world.name, run=world.run)
        if taped_at is None:  # nothing within the tape's length: the marks know
            marks = Mark.objects.filter(world=world, run=world.run)
            taped_at = marks.aggregate(newest=Max("quoted_at"))["newest"]
        return taped_at or world.world_start_at

    def _candles_until(self, world: World, recording: Recording, world_at: datetime) -> None:
        """Store the candles of what was recorded since they were stored last; again, where that failed."""
        reached_at = self._reached(self._candled, world) or _candled_before(world)
        after = max(candle_open_at(reached_at), world.world_start_at) - MICROSECOND
        records = recording_candles(recording=recording, after=after, until=world_at)
        candles_write(world=world, records=records, source=CandleSource.RECORDED)
        self._candled[world.name] = (world.run, world_at)

    def _tell_changes(self, world: World, reached_at: datetime, world_at: datetime) -> None:
        """Tell of recorded changes since the last tick; what fails is told again at the next one.

        After a start it begins a little earlier: a change told twice is read once more, one never told waits.
        """
        again = timedelta(seconds=TOLD_AGAIN_S * float(world.speed))
        told_at = self._reached(self._told, world) or max(world.world_start_at, reached_at - again)
        keys = self._hooks.trader_events(world.name, told_at, world_at)
        if keys:
            self._hooks.on_trader_events(world.name, keys)
        self._told[world.name] = (world.run, world_at)

    def _reached(self, places: dict[str, _Reached], world: World) -> datetime | None:
        """Return how far a run was brought: its start, if only the one before was; None if we just began."""
        run, reached_at = places.get(world.name, (world.run, None))
        return reached_at if run == world.run else world.world_start_at

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


def ticks_between(
    *,
    world: World,
    recording: Recording,
    prices: dict[str, Decimal],
    after: datetime,
    until: datetime,
    now: datetime,
) -> list[Tick]:
    """Return what was recorded later than ``after``, and the prices at ``until``, in the order of world time.

    :param prices: price of each instrument at ``until``
    """
    until_us, received_us = us_of(until), us_of(now)
    told: list[tuple[int, str, Decimal]] = []
    for code, price in prices.items():
        points = recording.prices[code].points_between(after, until)
        told += [(us, code, recorded) for us, recorded in points]
        if not points or points[-1][0] != until_us:
            told.append((until_us, code, price))
    return [
        Tick(world=world.name, run=world.run, code=code, price=price, quoted_us=us, received_us=received_us)
        for us, code, price in sorted(told, key=lambda row: row[:2])
    ]


def recording_candles(
    *, recording: Recording, after: datetime, until: datetime
) -> list[tuple[str, CandleRecord]]:
    """Return the candles that hold what was recorded later than ``after`` and up to ``until``.

    Where candles were recorded they are those, as they close; else they are made of the recorded prices.
    """
    if recording.candles:
        return [
            (code, CandleRecord(candle, ticks=4, last_us=us_of(candle.closed_at) - 1, closed=True))
            for code, candles in recording.candles.items()
            for candle in candles
            if after < candle.closed_at <= until
        ]
    return [
        (code, record)
        for code, series in recording.prices.items()
        for record in candles_recorded(series.points_between(after, until), until=until)
    ]


def _candled_before(world: World) -> datetime:
    """Return the world time from which candles may be missing or open."""
    rows = Candle.objects.filter(world=world, run=world.run)
    opened_at = rows.filter(closed=False).aggregate(oldest=Min("opened_at"))["oldest"]
    if opened_at is not None:
        return opened_at
    newest_at = rows.aggregate(newest=Max("opened_at"))["newest"]
    return world.world_start_at if newest_at is None else newest_at + CANDLE_SPAN
