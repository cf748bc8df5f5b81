"""Claiming due traders: one statement, so that two workers never sync the same one (SYN-1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import prefetch_related_objects

from traders.models import QuarantinedRead, Trader

# Rows another worker is claiming are passed over. `due_at` keeps the scheduled moment over retries.
_CLAIM = """
    WITH due AS (
        SELECT id FROM traders_trader
        WHERE next_sync_at <= %(now)s AND status <> 'paused'
          AND (claimed_until IS NULL OR claimed_until <= %(now)s)
          AND id %% %(shards)s = %(shard)s
        ORDER BY next_sync_at, id
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    )
    UPDATE traders_trader AS trader
    SET claimed_until = %(until)s, due_at = COALESCE(trader.due_at, trader.next_sync_at)
    FROM due WHERE trader.id = due.id
    RETURNING trader.*
"""


@dataclass(frozen=True, slots=True)
class ClaimedTrader:
    """A trader that this worker alone may sync until ``trader.claimed_until``, with its unconfirmed read."""

    trader: Trader
    quarantined: QuarantinedRead | None


def traders_claim(
    *, now: datetime, shard: int, shards: int, limit: int, claim_s: float
) -> list[ClaimedTrader]:
    """Claim at most ``limit`` due traders of a shard for ``claim_s`` seconds, the longest due first.

    A claim that is not given back lapses by itself: the trader of a worker that died is due again.
    """
    values = {
        "now": now,
        "until": now + timedelta(seconds=claim_s),
        "shard": shard,
        "shards": shards,
        "limit": limit,
    }
    with transaction.atomic():
        traders = list(Trader.objects.raw(_CLAIM, values))
    prefetch_related_objects(traders, "latest_snapshot")
    failing = [trader for trader in traders if trader.failing_since]  # a quarantined read counts as failing
    open_reads = QuarantinedRead.objects.filter(
        trader__in=failing, confirmed_at__isnull=True, dismissed_at__isnull=True
    )
    quarantined = {read.trader_id: read for read in open_reads} if failing else {}
    return [ClaimedTrader(trader=trader, quarantined=quarantined.get(trader.pk)) for trader in traders]
