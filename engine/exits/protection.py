"""How long open positions had nobody watching their prices (BEY-6).

Times in which a shard had no watch are kept as they end (``engine.models.ExitGap``); the one that goes on
now is counted up to now. What was missed meanwhile was evaluated afterwards from the recorded prices: these
seconds say how late, not how much was lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import Q

from engine.exits.leases import Lease
from engine.models import ExitGap, ExitShard
from markets.tape import shard_of
from positions.models import Position

GAPS_KEPT: Final = timedelta(days=90)
NOTED_FROM_S: Final = 1.0  # a watch that renews its lease says so three times a second


@dataclass(frozen=True, slots=True)
class Protection:
    """Seconds without a watch of one position, from its opening to its end or to now."""

    position_id: int
    unprotected_s: float
    open_s: float


def gap_write(*, lease: Lease) -> None:
    """Keep that nobody watched a shard from its last holder's last sign until now."""
    if lease.watched_at is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO engine_exitgap (shard, from_at, until_at) SELECT %s, %s, clock_timestamp() "
            "WHERE clock_timestamp() > %s + %s * interval '1 second'",
            [lease.shard, lease.watched_at, lease.watched_at, NOTED_FROM_S],
        )


def gap_note(*, shards: Collection[int], seconds: float) -> None:
    """Keep that a watch which is alive did not look at its shards for so many seconds until now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO engine_exitgap (shard, from_at, until_at) "
            "SELECT number, clock_timestamp() - %s * interval '1 second', clock_timestamp() "
            "FROM unnest(%s::int[]) AS held (number)",
            [seconds, list(shards)],
        )


def positions_protection(*, positions: Collection[Position], now: datetime) -> list[Protection]:
    """Return the seconds without a watch of each of these positions, in their order."""
    if not positions:
        return []
    gaps = _gaps(since=min(position.opened_at for position in positions), now=now)
    found: list[Protection] = []
    for position in positions:
        until = position.closed_at or now
        shard = shard_of(code=position.instrument_id, shards=settings.EXIT_SHARDS)
        seconds = _seconds_within(gaps[shard], begin=position.opened_at, end=until)
        open_s = (until - position.opened_at).total_seconds()
        found.append(Protection(position.pk, round(seconds, 3), round(open_s, 3)))
    return found


def unprotected_quantiles(*, now: datetime) -> dict[float, float]:
    """Return below which seconds without a watch lie half, 99 % and all of the open positions (BEY-6).

    Only those that were open during a gap are read; the others are counted, with 0 seconds.
    """
    held = Position.objects.exclude(status=Position.Status.CLOSED)
    gaps = _gaps(since=now - GAPS_KEPT, now=now)
    count = held.count()
    newest = max((spans[-1][1] for spans in gaps.values()), default=None)
    affected = held.filter(opened_at__lt=newest) if newest else held.none()
    seconds = sorted(
        _seconds_within(gaps[shard_of(code=code, shards=settings.EXIT_SHARDS)], begin=opened_at, end=now)
        for code, opened_at in affected.values_list("instrument_id", "opened_at").iterator()
    )
    ordered = [0.0] * max(0, count - len(seconds)) + seconds
    return {share: _quantile(ordered, share) for share in (0.5, 0.99, 1.0)}


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value at or below which this share of an ordered sequence lies; 0 of an empty one."""
    return round(ordered[max(0, ceil(share * len(ordered)) - 1)], 3) if ordered else 0.0


def _seconds_within(spans: Iterable[tuple[datetime, datetime]], *, begin: datetime, end: datetime) -> float:
    """Return how many seconds of these spans lie between two moments."""
    cut = ((max(a, begin), min(b, end)) for a, b in spans)
    return sum(((b - a).total_seconds() for a, b in cut if b > a), 0.0)


def _gaps(*, since: datetime, now: datetime) -> dict[int, list[tuple[datetime, datetime]]]:
    """Return the gaps of each shard, the one that goes on now included; overlapping ones are joined."""
    rows: list[tuple[int, datetime, datetime]] = list(
        ExitGap.objects.filter(until_at__gt=since).values_list("shard", "from_at", "until_at")
    )
    dead = ExitShard.objects.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
    rows += [
        (n, at, now) for n, at in dead.values_list("number", "watched_at") if at is not None and at < now
    ]
    joined: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for shard, begin, end in sorted(rows):
        spans = joined[shard]
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((begin, end))
    return joined


def gaps_prune(*, now: datetime) -> int:
    """Forget gaps that ended more than 90 days ago; return how many."""
    return ExitGap.objects.filter(until_at__lt=now - GAPS_KEPT).delete()[0]
