"""What one look at a trader stores: a snapshot, a quarantine or a failure, in one short transaction.

Storing is idempotent (SYN-6): the same read twice leaves one snapshot, and a worker whose claim lapsed
stores nothing.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Least

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
class JudgeContext:
    """What judging a read needs beside it; ``chance`` is a random number in [0, 1)."""

    now: datetime
    authoritative: bool
    known_codes: AbstractSet[str] | None
    chance: float


class _ClaimLost(Exception):
    """Another worker has claimed the trader since; nothing may be stored."""


def result_store(*, claimed: ClaimedTrader, result: ReadResult, context: JudgeContext) -> Stored:
    """Store the outcome of one look at a claimed trader and give the claim back."""
    try:
        with transaction.atomic():
            if result.read is None:
                failure = result.failure or ReadFailure(FailureKind.FAILED, "the source gave no answer")
                return _failure_store(claimed, result, failure, context)
            return _read_judge(claimed, result, result.read, context)
    except _ClaimLost:
        return Stored.LOST


def _read_judge(
    claimed: ClaimedTrader, result: ReadResult, read: TraderRead, context: JudgeContext
) -> Stored:
    trader, quarantined = claimed.trader, claimed.quarantined
    latest = trader.latest_snapshot
    previous = snapshot_read(latest) if latest else None
    flaw = read_flaw(read=read)
    oddity = flaw or read_oddity(
        previous=previous, read=read, known_codes=context.known_codes, authoritative=context.authoritative
    )
    if oddity is None:
        _quarantine_end(quarantined, dismissed_at=context.now)
        return _snapshot_store(claimed, result, read, previous, context)
    if quarantined and not flaw:
        waited_s = (result.asked_at - quarantined.at).total_seconds()
        if read_confirms(quarantined=read_load(quarantined.payload), read=read, seconds_between=waited_s):
            _quarantine_end(quarantined, confirmed_at=context.now)
            return _snapshot_store(claimed, result, read, previous, context)
    return _quarantine_store(claimed, result, read, oddity, context)


def _snapshot_store(
    claimed: ClaimedTrader,
    result: ReadResult,
    read: TraderRead,
    previous: TraderRead | None,
    context: JudgeContext,
) -> Stored:
    trader = claimed.trader
    rate_limits = rate_limits_after(rate_limits=trader.rate_limits_in_row, limited=False)
    interval_s = sync_interval_s(interval_s=trader.sync_interval_s, rate_limits=rate_limits)
    columns: dict[str, Any] = {
        "status": Trader.Status.ACTIVE,
        "synced_at": max(filter(None, (trader.synced_at, result.asked_at))),
        "failing_since": None,
        "failures_in_row": 0,
        "rate_limits_in_row": rate_limits,
        "last_error": "",
        "due_at": None,
    }
    stored = Stored.CACHED
    if previous is None or (read.run, read.world_at) > (previous.run, previous.world_at):
        snapshot = _snapshot_create(trader, read, previous, received_at=context.now)
        columns["latest_snapshot"] = snapshot
        stored = Stored.SYNCED
        if snapshot.quantities_changed:
            columns |= {"basis_snapshot": snapshot, "changed_at": context.now}
            stored = Stored.CHANGED
    next_at = next_sync_at(trader_id=trader.pk, interval_s=interval_s, now=context.now)
    _claim_release(trader, columns, next_at=next_at)
    outcome = SyncAttempt.Outcome.CACHED if result.from_cache else SyncAttempt.Outcome.GOOD
    _attempt_store(trader, result, outcome, context)
    return stored


def _snapshot_create(
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
    return TraderSnapshot.objects.create(
        trader=trader,
        run=read.run,
        world_at=read.world_at,
        received_at=received_at,
        equity=read.equity,
        positions=positions_dump(read.positions),
        first_seen=first_seen,
        quantities_changed=not same_run or before != read.quantities(),
    )


def _quarantine_store(
    claimed: ClaimedTrader, result: ReadResult, read: TraderRead, reason: str, context: JudgeContext
) -> Stored:
    trader = claimed.trader
    _quarantine_end(claimed.quarantined, dismissed_at=context.now)
    QuarantinedRead.objects.create(
        trader=trader, at=result.asked_at, reason=reason[:300], payload=read_dump(read)
    )
    columns = _failing_columns(trader, f"Waiting for a second read: {reason}", context)
    _claim_release(trader, columns, next_at=context.now + timedelta(seconds=CONFIRM_AFTER_S))
    _attempt_store(trader, result, SyncAttempt.Outcome.QUARANTINED, context, detail=reason)
    return Stored.QUARANTINED


def _quarantine_end(quarantined: QuarantinedRead | None, **ended: datetime) -> None:
    if quarantined is not None:
        QuarantinedRead.objects.filter(pk=quarantined.pk).update(**ended)


def _failure_store(
    claimed: ClaimedTrader, result: ReadResult, failure: ReadFailure, context: JudgeContext
) -> Stored:
    trader = claimed.trader
    if failure.kind is FailureKind.DEFERRED:
        wait_s = (failure.retry_after_s or 1.0) + 2.0 * context.chance
        _claim_release(trader, {}, next_at=context.now + timedelta(seconds=wait_s))
        _attempt_store(trader, result, SyncAttempt.Outcome.RATE_LIMITED, context, detail=failure.reason)
        return Stored.DEFERRED
    limited = failure.kind is FailureKind.RATE_LIMITED
    rate_limits = (
        rate_limits_after(rate_limits=trader.rate_limits_in_row, limited=True)
        if limited
        else (trader.rate_limits_in_row)
    )
    columns = _failing_columns(trader, failure.reason, context)
    columns |= {"failures_in_row": trader.failures_in_row + 1, "rate_limits_in_row": rate_limits}
    wait_s = backoff_s(
        failures=trader.failures_in_row + 1, chance=context.chance, retry_after_s=failure.retry_after_s
    )
    next_at = context.now + timedelta(seconds=wait_s)
    if limited and rate_limits >= RATE_LIMITS_TO_SLOW:  # no quick retries any more: the slower interval
        slow_s = sync_interval_s(interval_s=trader.sync_interval_s, rate_limits=rate_limits)
        next_at = context.now + timedelta(seconds=max(wait_s, slow_s))
    _claim_release(trader, columns, next_at=next_at)
    outcome = SyncAttempt.Outcome.RATE_LIMITED if limited else SyncAttempt.Outcome.FAILED
    _attempt_store(trader, result, outcome, context, detail=failure.reason)
    return Stored.FAILED


def _failing_columns(trader: Trader, error: str, context: JudgeContext) -> dict[str, Any]:
    interval_s = sync_interval_s(interval_s=trader.sync_interval_s, rate_limits=trader.rate_limits_in_row)
    stale = is_stale(
        synced_at=trader.synced_at, created_at=trader.created_at, interval_s=interval_s, now=context.now
    )
    due_at = trader.due_at or context.now
    return {
        "status": Trader.Status.STALE if stale else Trader.Status.DEGRADED,
        "failing_since": trader.failing_since or context.now,
        "last_error": error[:300],
        "due_at": slot_after(due_at=due_at, interval_s=interval_s, now=context.now),
    }


def _claim_release(trader: Trader, columns: dict[str, Any], *, next_at: datetime) -> None:
    """Write a trader's columns and give its claim back; a wake that came meanwhile keeps its earlier time."""
    next_column = Case(
        When(next_sync_at=trader.next_sync_at, then=Value(next_at)),
        default=Least(F("next_sync_at"), Value(next_at)),
    )
    mine = Trader.objects.filter(pk=trader.pk, claimed_until=trader.claimed_until)
    if not mine.update(claimed_until=None, next_sync_at=next_column, **columns):
        raise _ClaimLost


def _attempt_store(
    trader: Trader, result: ReadResult, outcome: SyncAttempt.Outcome, context: JudgeContext, detail: str = ""
) -> None:
    SyncAttempt.objects.create(
        trader=trader,
        due_at=trader.due_at or context.now,
        finished_at=context.now,
        outcome=outcome,
        duration_ms=result.duration_ms,
        detail=detail[:300],
    )
