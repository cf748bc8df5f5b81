"""Who watches which shard: leases by the database's clock, shared evenly over the watchers that live.

Whoever holds a shard renews its lease every ``RENEW_S``; a watcher that dies, or hangs, loses it after
``TTL_S`` and another takes it within one renewal, so a dead watch is replaced in under two seconds. Every
taking raises the epoch: what a former holder still wants to store is refused in the very transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from engine.models import ExitShard

TTL_S: Final = 1.2
RENEW_S: Final = 0.3
WATCHER_FORGOTTEN_S: Final = 3600


class LeaseLost(Exception):
    """Another watcher holds the shard, or nobody: nothing was stored."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard that this watcher holds.

    :param place: where on its tape everything is evaluated and stored
    :param watched_at: the last sign of its watch before this one; None where there was none
    """

    shard: int
    epoch: int
    place: str
    watched_at: datetime | None


def shards_ensure() -> None:
    """Have a row for every shard of the settings."""
    rows = [ExitShard(number=number) for number in range(settings.EXIT_SHARDS)]
    ExitShard.objects.bulk_create(rows, ignore_conflicts=True)


def commit_unhurried() -> None:
    """Let this transaction's commit not wait for the disk, which may take longer than a price should.

    For what may be forgotten by a database that crashes: a lease then looks older than it was, and levels or
    a place that were written down are evaluated once more from the tape. Commits are kept in their order, so
    that a later one that does wait never stands without them.
    Source: PostgreSQL's documentation, "Asynchronous Commit".
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit TO off")


@transaction.atomic
def leases_renew(*, name: str, epochs: Mapping[int, int]) -> set[int]:
    """Say that a watcher lives and renew its leases; return the shards it still holds.

    One that has run out is renewed as well while nobody has taken the shard, which would have raised its
    epoch: on a busy machine a watch that is slow is better than none.

    :param epochs: the epoch under which each shard was taken
    """
    commit_unhurried()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO engine_exitwatcher (name, seen_at) VALUES (%s, clock_timestamp()) "
            "ON CONFLICT (name) DO UPDATE SET seen_at = EXCLUDED.seen_at",
            [name],
        )
        if not epochs:
            return set()
        cursor.execute(
            "UPDATE engine_exitshard AS shard "
            "SET lease_until = clock_timestamp() + %s * interval '1 second', watched_at = clock_timestamp() "
            "FROM unnest(%s::int[], %s::bigint[]) AS mine (number, epoch) "
            "WHERE shard.number = mine.number AND shard.epoch = mine.epoch AND shard.holder = %s "
            "RETURNING shard.number",
            [TTL_S, list(epochs), list(epochs.values()), name],
        )
        return {number for (number,) in cursor.fetchall()}


def shards_fair(*, name: str) -> int:
    """Return how many shards one watcher should hold at most, by the watchers that live."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM engine_exitwatcher "
            "WHERE name = %s OR seen_at > clock_timestamp() - %s * interval '1 second'",
            [name, TTL_S],
        )
        (living,) = cursor.fetchone()
    return -(-settings.EXIT_SHARDS // max(1, living))


def shard_take(*, name: str) -> Lease | None:
    """Take one shard that nobody holds; None where all are held."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE engine_exitshard AS shard SET holder = %s, epoch = shard.epoch + 1, "
            "lease_until = clock_timestamp() + %s * interval '1 second' "
            "FROM (SELECT number, watched_at FROM engine_exitshard WHERE number < %s "
            "AND (lease_until IS NULL OR lease_until <= clock_timestamp()) "
            "ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) AS free "
            "WHERE shard.number = free.number "
            "RETURNING shard.number, shard.epoch, shard.place, free.watched_at",
            [name, TTL_S, settings.EXIT_SHARDS],
        )
        row = cursor.fetchone()
    return None if row is None else Lease(*row)


def shards_release(*, name: str, epochs: Mapping[int, int]) -> None:
    """Give shards up, so that another may take them at once."""
    for shard, epoch in epochs.items():
        held = ExitShard.objects.filter(number=shard, holder=name, epoch=epoch)
        held.update(holder="", lease_until=None)


def watcher_forget(*, name: str) -> None:
    """Say that a watcher ends, and forget those that were not seen for an hour."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM engine_exitwatcher "
            "WHERE name = %s OR seen_at < clock_timestamp() - %s * interval '1 second'",
            [name, WATCHER_FORGOTTEN_S],
        )


def fence(*, name: str, epochs: Mapping[int, int]) -> None:
    """Hold the leases of these shards to the end of this transaction.

    :raises LeaseLost: one of them is not held any more; let the transaction fail
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE engine_exitshard AS shard SET watched_at = clock_timestamp() "
            "FROM unnest(%s::int[], %s::bigint[]) AS mine (number, epoch) "
            "WHERE shard.number = mine.number AND shard.epoch = mine.epoch AND shard.holder = %s",
            [list(epochs), list(epochs.values()), name],
        )
        if cursor.rowcount != len(epochs):
            raise LeaseLost(f"{name} does not hold all of the shards {sorted(epochs)} any more")


def shards_alive() -> set[int]:
    """Return the shards that somebody watches now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT number FROM engine_exitshard WHERE number < %s AND lease_until > clock_timestamp()",
            [settings.EXIT_SHARDS],
        )
        return {number for (number,) in cursor.fetchall()}


def shards_unwatched() -> list[int]:
    """Return the shards that nobody watches now, ascending."""
    alive: Iterable[int] = shards_alive()
    return sorted(set(range(settings.EXIT_SHARDS)) - set(alive))
