"""What looks at traders store: snapshots, quarantined reads and failures; several at once in one transaction.

Storing is idempotent (SYN-6): the same read twice leaves one snapshot, and a worker whose claim lapsed stores
nothing. Rows are locked in the order of their ids, as everybody does who changes several traders.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import connection, transaction

from traders.claims import ClaimedTrader
from traders.domain.quarantine import CONFIRM_AFTER_S, read_confirms, read_flaw, read_oddity
from traders.domain.reads import FailureKind, ReadFailure, ReadResult, TraderRead
from traders.domain.schedule import (
    RATE_LIMITS_TO_SLOW,
    backoff_s,
    is_stale,
    next_sync_at,
    rate_limits_after,
    slot_after,
    sync_interval_s,
)
from traders.models import QuarantinedRead, SyncAttempt, Trader, TraderSnapshot
from traders.payloads import positions_dump, read_dump, read_load, snapshot_read

Outcome = SyncAttempt.Outcome


class Stored(StrEnum):
    """What became of one look."""

    CHANGED = "changed"  # a snapshot in which a quantity changed
    SYNCED = "synced"
    CACHED = "cached"  # nothing newer than what we had
    FAILED = "failed"
    DEFERRED = "deferred"  # not asked: our budget had no room
    QUARANTINED = "quarantined"
    LOST = "lost"  # our claim had lapsed; someone else has it


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a claimed trader and what judging it needs; ``chance`` is a random number in [0, 1)."""

    claimed: ClaimedTrader
    result: ReadResult
    now: datetime
    authoritative: bool
    known_codes: AbstractSet[str] | None
    chance: float


@dataclass(frozen=True, slots=True)
class _TraderColumns:
    """The columns of a trader that a look may change."""

    status: str
    synced_at: datetime | None
    failing_since: datetime | None
    failures_in_row: int
    rate_limits_in_row: int
    last_error: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one look is going to store."""

    look: Look
    stored: Stored
    columns: _TraderColumns
    next_at: datetime
    outcome: SyncAttempt.Outcome
    detail: str = ""
    snapshot: TraderSnapshot | None = None
    quarantine: QuarantinedRead | None = None
    confirmed: bool = False  # what was quarantined before this look is confirmed by it, else dismissed

    @property
    def trader(self) -> Trader:
        """Return the trader looked at."""
        return self.look.claimed.trader


def looks_store(*, looks: Sequence[Look]) -> list[Stored]:
    """Store several looks in one transaction, give their claims back, and say what became of each."""
    plans = [_plan(look) for look in looks]
    with transaction.atomic():
        kept_ids = _claims_release(plans)
        kept = [plan for plan in plans if plan.trader.pk in kept_ids]
        _snapshots_store([plan for plan in kept if plan.snapshot is not None])
        _quarantines_store(kept)
        SyncAttempt.objects.bulk_create(_attempt(plan) for plan in kept)
    return [plan.stored if plan.trader.pk in kept_ids else Stored.LOST for plan in plans]


def _plan(look: Look) -> _Plan:
    read = look.result.read
    if read is None:
        failure = look.result.failure or ReadFailure(FailureKind.FAILED, "the source gave no answer")
        return _deferral(look, failure) if failure.kind is FailureKind.DEFERRED else _failure(look, failure)
    latest = look.claimed.trader.latest_snapshot
    previous = snapshot_read(latest) if latest else None
    flaw = read_flaw(read=read)
    oddity = flaw or read_oddity(
        previous=previous, read=read, known_codes=look.known_codes, authoritative=look.authoritative
    )
    if oddity is None:
        return _good(look, read, previous)
    quarantined = look.claimed.quarantined
    if quarantined and not flaw:
        waited_s = (look.result.asked_at - quarantined.at).total_seconds()
        if read_confirms(quarantined=read_load(quarantined.payload), read=read, seconds_between=waited_s):
            return _good(look, read, previous, confirmed=True)
    return _quarantined(look, read, oddity)


def _good(look: Look, read: TraderRead, previous: TraderRead | None, *, confirmed: bool = False) -> _Plan:
    trader = look.claimed.trader
    rate_limits = rate_limits_after(rate_limits=trader.rate_limits_in_row, limited=False)
    interval_s = sync_interval_s(interval_s=trader.sync_interval_s, rate_limits=rate_limits)
    stored, snapshot = Stored.CACHED, None
    if previous is None or (read.run, read.world_at) > (previous.run, previous.world_at):
        snapshot = _snapshot(trader, read, previous, received_at=look.now)
        stored = Stored.CHANGED if snapshot.quantities_changed else Stored.SYNCED
    return _Plan(
        look=look,
        stored=stored,
        columns=_TraderColumns(
            status=Trader.Status.ACTIVE,
            synced_at=max(filter(None, (trader.synced_at, look.result.asked_at))),
            failing_since=None,
            failures_in_row=0,
            rate_limits_in_row=rate_limits,
            last_error="",
            due_at=None,
        ),
        next_at=next_sync_at(trader_id=trader.pk, interval_s=interval_s, now=look.now),
        outcome=Outcome.CACHED if look.result.from_cache else Outcome.GOOD,
        snapshot=snapshot,
        confirmed=confirmed,
    )


def _snapshot(
    trader: Trader, read: TraderRead, previous: TraderRead | None, *, received_at: datetime
) -> TraderSnapshot:
    same_run = previous is not None and previous.run == read.run
    before = previous.quantities() if previous is not None and same_run else {}
    seen_before = trader.latest_snapshot.first_seen if same_run and trader.latest_snapshot else {}
    first_seen = {
        code: seen_before[code]
        if code in seen_before and before.get(code, 0) * quantity > 0
        else read.world_at.isoformat()
        for code, quantity in read.quantities().items()
    }
    return TraderSnapshot(
        trader=trader,
        run=read.run,
        world_at=read.world_at,
        received_at=received_at,
        equity=read.equity,
        positions=positions_dump(read.positions),
        notes=list(read.notes),
        origin=dict(read.origin),
        first_seen=first_seen,
        quantities_changed=previous is None or not same_run or _moved(previous, read),
    )


def _moved(previous: TraderRead, read: TraderRead) -> bool:
    """Tell whether a quantity changed, also where a position was closed and opened again just as large."""
    opened = {position.code: position.opened_at for position in previous.positions}
    reopened = (
        position.opened_at not in (None, opened.get(position.code))
        and opened.get(position.code) is not None
        and position.opened_at > previous.world_at
        for position in read.positions
    )
    return previous.quantities() != read.quantities() or any(reopened)


def _quarantined(look: Look, read: TraderRead, reason: str) -> _Plan:
    trader = look.claimed.trader
    return _Plan(
        look=look,
        stored=Stored.QUARANTINED,
        columns=_failing(look, f"Waiting for a second read: {reason}", failures=trader.failures_in_row),
        next_at=look.now + timedelta(seconds=CONFIRM_AFTER_S),
        outcome=Outcome.QUARANTINED,
        detail=reason,
        quarantine=QuarantinedRead(
            trader=trader, at=look.result.asked_at, reason=reason[:300], payload=read_dump(read)
        ),
    )


def _deferral(look: Look, failure: ReadFailure) -> _Plan:
    trader = look.claimed.trader
    wait_s = (failure.retry_after_s or 1.0) + 2.0 * look.chance
    return _Plan(
        look=look,
        stored=Stored.DEFERRED,
        columns=_TraderColumns(**{name: getattr(trader, name) for name in _TraderColumns.__slots__}),
        next_at=look.now + timedelta(seconds=wait_s),
        outcome=Outcome.RATE_LIMITED,
        detail=failure.reason,
    )


def _failure(look: Look, failure: ReadFailure) -> _Plan:
    trader = look.claimed.trader
    limited = failure.kind is FailureKind.RATE_LIMITED
    rate_limits = trader.rate_limits_in_row
    if limited:
        rate_limits = rate_limits_after(rate_limits=rate_limits, limited=True)
    failures = trader.failures_in_row + 1
    wait_s = backoff_s(failures=failures, chance=look.chance, retry_after_s=failure.retry_after_s)
    if limited and rate_limits >= RATE_LIMITS_TO_SLOW:  # no quick retries any more: the slower interval
        wait_s = max(wait_s, sync_interval_s(interval_s=trader.sync_interval_s, rate_limits=rate_limits))
    return _Plan(
        look=look,
        stored=Stored.FAILED,
        columns=_failing(look, failure.reason, failures=failures, rate_limits=rate_limits),
        next_at=look.now + timedelta(seconds=wait_s),
        outcome=Outcome.RATE_LIMITED if limited else Outcome.FAILED,
        detail=failure.reason,
    )


def _failing(look: Look, error: str, *, failures: int, rate_limits: int | None = None) -> _TraderColumns:
    trader, now = look.claimed.trader, look.now
    limits = trader.rate_limits_in_row if rate_limits is None else rate_limits
    interval_s = sync_interval_s(interval_s=trader.sync_interval_s, rate_limits=trader.rate_limits_in_row)
    stale = is_stale(synced_at=trader.synced_at, created_at=trader.created_at, interval_s=interval_s, now=now)
    return _TraderColumns(
        status=Trader.Status.STALE if stale else Trader.Status.DEGRADED,
        synced_at=trader.synced_at,
        failing_since=trader.failing_since or now,
        failures_in_row=failures,
        rate_limits_in_row=limits,
        last_error=error[:300],
        due_at=slot_after(due_at=trader.due_at or now, interval_s=interval_s, now=now),
    )


# A wake that came while the trader was read has moved next_sync_at; its earlier time is kept.
_RELEASE = """
    WITH plan AS (
        SELECT * FROM unnest(
            %(ids)s::bigint[], %(claims)s::timestamptz[],
            %(was_next)s::timestamptz[], %(next)s::timestamptz[],
            %(status)s::text[], %(synced_at)s::timestamptz[], %(failing_since)s::timestamptz[],
            %(failures_in_row)s::int[], %(rate_limits_in_row)s::int[], %(last_error)s::text[],
            %(due_at)s::timestamptz[]
        ) AS row(id, claim, was_next, next_at, status, synced_at, failing_since,
                 failures, limits, error, due_at)
    ), mine AS (
        SELECT trader.id FROM traders_trader AS trader JOIN plan USING (id)
        WHERE trader.claimed_until = plan.claim ORDER BY trader.id FOR UPDATE OF trader
    )
    UPDATE traders_trader AS trader SET
        claimed_until = NULL, status = plan.status, synced_at = plan.synced_at,
        failing_since = plan.failing_since, failures_in_row = plan.failures, rate_limits_in_row = plan.limits,
        last_error = plan.error, due_at = plan.due_at,
        next_sync_at = CASE WHEN trader.next_sync_at = plan.was_next THEN plan.next_at
                            ELSE least(trader.next_sync_at, plan.next_at) END
    FROM plan JOIN mine USING (id) WHERE trader.id = plan.id
    RETURNING trader.id
"""
_NEWEST = """
    UPDATE traders_trader AS trader SET
        latest_snapshot_id = made.snapshot_id,
        basis_snapshot_id = CASE WHEN made.changed THEN made.snapshot_id ELSE trader.basis_snapshot_id END,
        changed_at = CASE WHEN made.changed THEN made.at ELSE trader.changed_at END
    FROM unnest(%(ids)s::bigint[], %(snapshots)s::bigint[], %(changed)s::bool[], %(at)s::timestamptz[])
        AS made(id, snapshot_id, changed, at)
    WHERE trader.id = made.id
"""


def _claims_release(plans: Sequence[_Plan]) -> set[int]:
    """Write the traders' columns and give the claims back; return the ids of those that were still ours."""
    values: dict[str, Any] = {
        name: [getattr(plan.columns, name) for plan in plans] for name in _TraderColumns.__slots__
    }
    values |= {
        "ids": [plan.trader.pk for plan in plans],
        "claims": [plan.trader.claimed_until for plan in plans],
        "was_next": [plan.trader.next_sync_at for plan in plans],
        "next": [plan.next_at for plan in plans],
    }
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, values)
        return {row[0] for row in cursor.fetchall()}


def _snapshots_store(plans: Sequence[_Plan]) -> None:
    """Store the new snapshots and point their traders to them."""
    if not plans:
        return
    made = TraderSnapshot.objects.bulk_create(plan.snapshot for plan in plans if plan.snapshot)
    values: dict[str, Any] = {
        "ids": [snapshot.trader_id for snapshot in made],
        "snapshots": [snapshot.pk for snapshot in made],
        "changed": [snapshot.quantities_changed for snapshot in made],
        "at": [snapshot.received_at for snapshot in made],
    }
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, values)


def _quarantines_store(plans: Sequence[_Plan]) -> None:
    """End quarantined reads that were answered by another read, and store new ones."""
    for plan in plans:
        old = plan.look.claimed.quarantined
        if old is not None and plan.look.result.read is not None:
            ended = {"confirmed_at" if plan.confirmed else "dismissed_at": plan.look.now}
            QuarantinedRead.objects.filter(pk=old.pk).update(**ended)
        if plan.quarantine is not None:
            plan.quarantine.save(force_insert=True)


def _attempt(plan: _Plan) -> SyncAttempt:
    return SyncAttempt(
        trader=plan.trader,
        due_at=plan.trader.due_at or plan.look.now,
        finished_at=plan.look.now,
        outcome=plan.outcome,
        duration_ms=plan.look.result.duration_ms,
        detail=plan.detail[:300],
    )
