"""The sync: look at every due trader of a shard at once, and store what is seen as it arrives.

Reads run side by side; while slow ones are under way, traders that become due meanwhile are taken too, so a
failing trader never holds up another (SYN-1, SYN-4). The Celery task around it is in ``engine``.
"""

from __future__ import annotations

import random
from asyncio import Task
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection

from core.clock import SYSTEM_CLOCK, Clock, WorldTime
from core.errors import NotFound
from core.types import TraderKind
from markets.selectors import instrument_names, world_clock
from traders.cache import reads_cache, reads_cached
from traders.claims import ClaimedTrader, traders_claim
from traders.domain.reads import FailureKind, ReadFailure, ReadResult
from traders.models import Trader
from traders.reading import ReadLoop, read_loop
from traders.sources.base import GroupedSource, TraderSource
from traders.storing import Look, Stored, looks_store

log = structlog.get_logger(__name__)
IN_FLIGHT_MAX = 64  # traders being read at once by one call
CLAIM_EVERY_S = 0.25
SENDING_S = 0.03  # within this all requests of a claim are on their way
CLAIM_MARGIN_S = 30.0  # a claim outlives the call's deadline by this much
PRUNE_BATCH = 5000
ATTEMPTS_KEPT_DAYS = 2

OnChanged = Callable[[list[int]], None]


@dataclass(slots=True)
class SyncOutcome:
    """Ids of the traders that were looked at, by what became of it; changed ones are synced ones too."""

    changed_trader_ids: list[int] = field(default_factory=list)
    synced_ids: list[int] = field(default_factory=list)
    cached_ids: list[int] = field(default_factory=list)
    failed_ids: list[int] = field(default_factory=list)
    deferred_ids: list[int] = field(default_factory=list)
    quarantined_ids: list[int] = field(default_factory=list)
    lost_ids: list[int] = field(default_factory=list)

    def add(self, trader_id: int, stored: Stored) -> None:
        """Count one trader."""
        places = {
            Stored.CHANGED: (self.synced_ids, self.changed_trader_ids),
            Stored.SYNCED: (self.synced_ids,),
            Stored.CACHED: (self.cached_ids,),
            Stored.FAILED: (self.failed_ids,),
            Stored.DEFERRED: (self.deferred_ids,),
            Stored.QUARANTINED: (self.quarantined_ids,),
            Stored.LOST: (self.lost_ids,),
        }
        for place in places[stored]:
            place.append(trader_id)


def sync_due(
    *,
    now: datetime,
    shard: int = 0,
    shards: int = 1,
    deadline_s: float = 20.0,
    on_changed: OnChanged | None = None,
    clock: Clock = SYSTEM_CLOCK,
    chance: Callable[[], float] = random.random,
) -> SyncOutcome:
    """Sync every trader of a shard that is due, and those that become due in the first half of
    ``deadline_s``.

    :param now: wall time at the call; later moments are counted from it with ``clock.monotonic_s``
    :param deadline_s: reads still under way by then are cancelled and count as failed
    :param on_changed: called with the ids of traders whose quantities changed, as soon as that is stored
    :param chance: random numbers in [0, 1) for the jitter
    """
    return _SyncRun(now, shard, shards, deadline_s, on_changed, clock, chance).run()


class _SyncRun:
    """One call of :func:`sync_due`: what is under way, and the outcome so far."""

    def __init__(
        self,
        now: datetime,
        shard: int,
        shards: int,
        deadline_s: float,
        on_changed: OnChanged | None,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._started_at, self._deadline_s = now, deadline_s
        self._shard, self._shards = shard, shards
        self._on_changed, self._clock, self._chance = on_changed, clock, chance
        self._started_s = clock.monotonic_s()
        self._claimed_s = float("-inf")
        self._loop: ReadLoop = read_loop()
        self._under_way: dict[Task[list[ReadResult]], list[ClaimedTrader]] = {}
        self._in_flight = 0
        self._more_due = False  # the last claim left some for want of room
        self._worlds: dict[str, WorldTime | None] = {}
        self._codes: frozenset[str] | None = None
        self._outcome = SyncOutcome()

    def run(self) -> SyncOutcome:
        try:
            while True:
                self._claim()
                if not self._under_way:
                    return self._outcome
                self._judging_prepare()
                remaining_s = self._deadline_s - self._elapsed_s()
                if remaining_s <= 0:
                    return self._outcome
                self._collect(self._loop.finished(timeout_s=min(CLAIM_EVERY_S, remaining_s)))
        finally:
            self._give_up()

    def _elapsed_s(self) -> float:
        return self._clock.monotonic_s() - self._started_s

    def _now(self) -> datetime:
        return self._started_at + timedelta(seconds=self._elapsed_s())

    def _claim(self) -> None:
        elapsed_s = self._elapsed_s()
        room = IN_FLIGHT_MAX - self._in_flight
        much_room = self._more_due and room > IN_FLIGHT_MAX // 2
        due = much_room or elapsed_s - self._claimed_s >= CLAIM_EVERY_S
        if not due or room <= 0 or (elapsed_s >= self._deadline_s / 2 and self._claimed_s >= 0):
            return
        self._claimed_s = elapsed_s
        claim_s = self._deadline_s - elapsed_s + CLAIM_MARGIN_S
        claims = traders_claim(
            now=self._now(), shard=self._shard, shards=self._shards, limit=room, claim_s=claim_s
        )
        self._more_due = len(claims) == room
        groups: dict[tuple[TraderKind, str], list[ClaimedTrader]] = defaultdict(list)
        for claimed in claims:
            groups[TraderKind(claimed.trader.kind), claimed.trader.world].append(claimed)
        for (kind, world), members in groups.items():
            self._start(kind, world, members)

    def _start(self, kind: TraderKind, world: str, members: Sequence[ClaimedTrader]) -> None:
        source = self._source_ready(kind)
        now, clock = self._now(), self._world(world)
        if clock is None:
            failure = ReadFailure(FailureKind.FAILED, f"the market world {world} is not running")
            results = [ReadResult(key=member.trader.key, asked_at=now, failure=failure) for member in members]
            self._store(members, results)
            return
        waiting = list(members)
        if source.networked:
            keys = [member.trader.key for member in members]
            cached = reads_cached(kind=kind, keys=keys, now=now)
            known = [member for member in members if member.trader.key in cached]
            self._store(known, [cached[member.trader.key] for member in known])
            waiting = [member for member in members if member.trader.key not in cached]
        max_wait_s = self._deadline_s - self._elapsed_s()
        for batch in _batches(source, waiting):
            keys = [member.trader.key for member in batch]
            task = self._loop.start(kind, keys, clock=clock, now=now, max_wait_s=max_wait_s)
            self._under_way[task] = batch
            self._in_flight += len(batch)

    def _source_ready(self, kind: TraderKind) -> TraderSource:
        """Return the source of a kind; the seconds it takes to make it are not the traders' fault."""
        before_s = self._elapsed_s()
        source = self._loop.source(kind)
        self._deadline_s += self._elapsed_s() - before_s
        return source

    def _world(self, name: str) -> WorldTime | None:
        if name not in self._worlds:
            try:
                self._worlds[name] = world_clock(name=name)
            except NotFound:
                self._worlds[name] = None
        return self._worlds[name]

    def _collect(self, tasks: Iterable[Task[list[ReadResult]]]) -> None:
        """Store what these reads brought, together."""
        members: list[ClaimedTrader] = []
        results: list[ReadResult] = []
        for task in tasks:
            batch = self._under_way.pop(task)
            self._in_flight -= len(batch)
            members += batch
            results += self._results(task, batch)
        self._store(members, results)

    def _results(self, task: Task[list[ReadResult]], batch: Sequence[ClaimedTrader]) -> list[ReadResult]:
        """Return what a read brought; a fault in the source is these traders' failure, not everybody's."""
        error = task.exception()
        if error is None:
            return task.result()
        keys = [claimed.trader.key for claimed in batch]
        log.error("trader_source_fault", keys=keys, exc_info=error)
        failure = ReadFailure(FailureKind.FAILED, f"fault in the source: {type(error).__name__}: {error}")
        return [ReadResult(key=key, asked_at=self._now(), failure=failure) for key in keys]

    def _store(self, members: Sequence[ClaimedTrader], results: Sequence[ReadResult]) -> None:
        if not members:
            return
        looks = [self._look(claimed, result) for claimed, result in zip(members, results, strict=True)]
        changed, fresh = [], []
        for look, stored in zip(looks, looks_store(looks=looks), strict=True):
            trader = look.claimed.trader
            self._outcome.add(trader.pk, stored)
            if stored in {Stored.SYNCED, Stored.CHANGED} and self._source(trader).networked:
                fresh.append((trader.kind, look.result))
            if stored is Stored.CHANGED:
                changed.append(trader.pk)
        reads_cache(results=fresh)
        if changed and self._on_changed:
            self._on_changed(changed)

    def _look(self, claimed: ClaimedTrader, result: ReadResult) -> Look:
        authoritative = self._source(claimed.trader).authoritative
        return Look(
            claimed=claimed,
            result=result,
            now=self._now(),
            authoritative=authoritative,
            known_codes=None if authoritative else self._known_codes(),
            chance=self._chance(),
        )

    def _source(self, trader: Trader) -> TraderSource:
        return self._loop.source(TraderKind(trader.kind))

    def _known_codes(self) -> frozenset[str]:
        if self._codes is None:
            self._codes = instrument_names()
        return self._codes

    def _judging_prepare(self) -> None:
        """Look up what judging needs while the first answers are on their way."""
        if self._codes is None and any(self._source(m.trader).networked for m in self._members()):
            self._collect(self._loop.finished(timeout_s=SENDING_S))
            self._known_codes()

    def _members(self) -> list[ClaimedTrader]:
        return [member for batch in self._under_way.values() for member in batch]

    def _give_up(self) -> None:
        """Cancel what did not end in time; it counts as failed and is tried again after a pause."""
        self._loop.abandon()
        self._collect([task for task in self._under_way if task.done() and not task.cancelled()])
        failure = ReadFailure(FailureKind.FAILED, f"no answer within {self._deadline_s:.1f} s")
        members, now = self._members(), self._now()
        self._store(members, [ReadResult(key=m.trader.key, asked_at=now, failure=failure) for m in members])
        self._under_way.clear()


def _batches(source: TraderSource, members: Sequence[ClaimedTrader]) -> Iterator[list[ClaimedTrader]]:
    """Yield what goes into one read: at most ``max_batch`` traders, and of one place."""
    places: dict[str, list[ClaimedTrader]] = defaultdict(list)
    for member in members:
        name = source.group(member.trader.key) if isinstance(source, GroupedSource) else ""
        places[name].append(member)
    for place in places.values():
        for begin in range(0, len(place), source.max_batch):
            yield place[begin : begin + source.max_batch]


def sync_prune(*, now: datetime, batch: int = PRUNE_BATCH) -> dict[str, int]:
    """Delete snapshots and strategies' signals older than ``SNAPSHOT_RETENTION_DAYS`` and attempts older than
    2 days, in batches (SYN-6).

    A trader's newest and its basis snapshot stay however old they are. Returns the number of rows deleted
    by table.
    """
    snapshots_before = now - timedelta(days=settings.SNAPSHOT_RETENTION_DAYS)
    attempts_before = now - timedelta(days=ATTEMPTS_KEPT_DAYS)
    return {
        "snapshots": _delete_in_batches(_PRUNE_SNAPSHOTS, snapshots_before, batch),
        "attempts": _delete_in_batches(_PRUNE_ATTEMPTS, attempts_before, batch),
        "signals": _delete_in_batches(_PRUNE_SIGNALS, snapshots_before, batch),
        "quarantined_reads": _delete_in_batches(_PRUNE_QUARANTINED, snapshots_before, batch),
    }


_PRUNE_SNAPSHOTS = """
    DELETE FROM traders_tradersnapshot WHERE id IN (
        SELECT old.id FROM traders_tradersnapshot AS old WHERE old.received_at < %s AND NOT EXISTS (
            SELECT 1 FROM traders_trader
            WHERE id = old.trader_id AND old.id IN (latest_snapshot_id, basis_snapshot_id)
        ) LIMIT %s)
"""
_PRUNE_ATTEMPTS = """
    DELETE FROM traders_syncattempt WHERE id IN (
        SELECT id FROM traders_syncattempt WHERE finished_at < %s LIMIT %s)
"""
_PRUNE_SIGNALS = """
    DELETE FROM traders_strategysignal WHERE id IN (
        SELECT id FROM traders_strategysignal WHERE received_at < %s LIMIT %s)
"""
_PRUNE_QUARANTINED = """
    DELETE FROM traders_quarantinedread WHERE id IN (
        SELECT id FROM traders_quarantinedread
        WHERE at < %s AND (confirmed_at IS NOT NULL OR dismissed_at IS NOT NULL) LIMIT %s)
"""


def _delete_in_batches(sql: str, before: datetime, batch: int) -> int:
    deleted = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(sql, [before, batch])
            count = cursor.rowcount
        deleted += count
        if count < batch:
            return deleted
