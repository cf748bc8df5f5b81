"""How long open positions had nobody watching their prices (BEY-6).

Times in which a shard had no watch are kept as they end (``engine.models.ExitGap``); the one that goes on
now is counted up to now. What was missed meanwhile was evaluated afterwards from the recorded prices: these
seconds say how late, not how much was lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    oldest = min(position.opened_at for position in positions)
    gaps = _gaps(since=oldest, now=now)
    found: list[Protection] = []
    for position in positions:
        until = position.closed_at or now
        shard = shard_of(code=position.instrument_id, shards=settings.EXIT_SHARDS)
        spans = ((max(a, position.opened_at), min(b, until)) for a, b in gaps[shard])
        seconds = sum(((b - a).total_seconds() for a, b in spans if b > a), 0.0)
        open_s = (until - position.opened_at).total_seconds()
        found.append(Protection(position.pk, round(seconds, 3), round(open_s, 3)))
    return found


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
