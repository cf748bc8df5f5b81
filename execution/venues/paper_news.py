"""What the paper venue knows and our books do not: found by comparing, so that no crash can hide it."""

from __future__ import annotations

from typing import Final

from django.db import connection

NEWS_AT_ONCE: Final = 500
_NEWS_SQL: Final = """
    SELECT ours.id
    FROM execution_order AS ours
    JOIN execution_paperorder AS theirs USING (client_order_id)
    WHERE ours.status IN ('pending', 'submitted', 'partially_filled', 'unknown')
      AND (theirs.filled_quantity <> ours.filled_quantity OR theirs.status <> 'open')
    ORDER BY ours.id
    LIMIT %s
"""


def paper_news(*, limit: int = NEWS_AT_ONCE) -> list[int]:
    """Return ids of our open orders that the paper venue has filled further or ended, ascending."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWS_SQL, [limit])
        return [row[0] for row in cursor.fetchall()]
