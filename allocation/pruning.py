"""Pruning of ended reservations, whose number is kept (CAP-4)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import connection

# What is due is chosen once: inside the DELETE a plan may choose again for each row, and go past the limit.
_PRUNE_SQL: Final = """
WITH due AS MATERIALIZED (
    SELECT id FROM allocation_reservation
    WHERE requested_at < %(before)s AND status NOT IN ('waiting', 'granted')
    ORDER BY requested_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), pruned AS (
    DELETE FROM allocation_reservation AS old USING due WHERE old.id = due.id
    RETURNING old.source, old.status, old.priority, old.requested_at
), counted AS (
    INSERT INTO allocation_reservationtally AS tally (strategy, status, priority, count)
    SELECT source, status, priority, count(*) FROM pruned
    GROUP BY source, status, priority ORDER BY min(requested_at)
    ON CONFLICT (strategy, status, priority) DO UPDATE SET count = tally.count + EXCLUDED.count
)
SELECT count(*) FROM pruned
"""


def reservations_prune(*, before: datetime, limit: int) -> int:
    """Delete ended reservations asked for before a time, and keep their number in the tally; one statement.

    No order may point to them any more (``execution.orders.reservations_unlink``).

    :returns: how many; fewer than ``limit`` when nothing is left
    """
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE_SQL, {"before": before, "limit": limit})
        return int(cursor.fetchone()[0])
