"""Reading several tables as they stood at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def consistent_read() -> Iterator[None]:
    """Let every query inside see the database as it stood at the first one, and write nothing.

    Without it a booking may commit between two queries, and a position would be read from before it and
    its slices from after. Inside an open transaction the isolation is that transaction's own.
    """
    alone = not connection.in_atomic_block
    with transaction.atomic():
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
