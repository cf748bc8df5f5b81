"""Keeping what closes a position: a trigger per hit, many at once, each position's only once (EXT-4).

What is stored here is durable before any order is thought of. A hit counts only where the guard is still the
one that was hit (same episode, same version); where it is not, the position has to be looked at anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Count

from engine.exits.placing import Placed, triggers_place
from engine.exits.watched import Hit
from engine.models import ExitTrigger
from positions.domain.exits import ExitKind
from positions.models import ExitGuard

_HITS: Final = """
WITH hit AS (
    SELECT v.* FROM unnest(
        %(position)s::bigint[], %(episode)s::int[], %(version)s::int[], %(kind)s::text[],
        %(fraction)s::numeric[], %(price)s::numeric[], %(level)s::numeric[], %(seen_at)s::timestamptz[],
        %(world_at)s::timestamptz[], %(place)s::text[], %(steps_done)s::int[]
    ) AS v (position_id, episode, version, kind, fraction, price, level, seen_at, world_at, place, steps_done)
    JOIN positions_exitguard AS guard ON guard.position_id = v.position_id AND guard.episode = v.episode
        AND guard.version = v.version AND guard.ended_at IS NULL
)
"""
# A stop takes the place of a take profit that stands; the price it waits for has gone away.
_OVERTAKE: Final = (
    _HITS
    + """
UPDATE engine_exittrigger AS standing SET status = 'void', ended_at = %(now)s,
    text = 'Its stop was reached before it was done'
FROM hit WHERE standing.position_id = hit.position_id AND standing.status IN ('waiting', 'working')
    AND standing.kind = 'take_profit' AND hit.kind <> 'take_profit'
"""
)
# Further steps join the take profit that stands: of what is left after the first, the second takes its part.
_JOIN: Final = (
    _HITS
    + """
UPDATE engine_exittrigger AS standing SET
    fraction = 1 - (1 - standing.fraction) * (1 - hit.fraction),
    keeps = CASE WHEN hit.fraction < 1 THEN standing.keeps * (1 - hit.fraction) END,
    price = hit.price, level = hit.level, seen_at = hit.seen_at, world_at = hit.world_at, place = hit.place
FROM hit WHERE standing.position_id = hit.position_id AND standing.status IN ('waiting', 'working')
    AND standing.kind = 'take_profit' AND hit.kind = 'take_profit' AND standing.fraction < 1
RETURNING standing.id, standing.position_id
"""
)
_INSERT: Final = (
    _HITS
    + """
INSERT INTO engine_exittrigger (position_id, portfolio_id, episode, kind, fraction, price, level, seen_at,
    world_at, place, found_by, status, orders_placed, closed_quantity, text, created_at)
SELECT hit.position_id, position.portfolio_id, hit.episode, hit.kind, hit.fraction, hit.price, hit.level,
    hit.seen_at, hit.world_at, hit.place, %(found_by)s, 'waiting', 0, 0, '', %(now)s
FROM hit JOIN positions_position AS position ON position.id = hit.position_id
ORDER BY hit.position_id
ON CONFLICT (position_id) WHERE status IN ('waiting', 'working') DO NOTHING
RETURNING id, position_id
"""
)
_STEPS: Final = """
UPDATE positions_exitguard AS guard SET steps_done = GREATEST(guard.steps_done, v.steps_done)
FROM unnest(%(position)s::bigint[], %(steps_done)s::int[]) AS v (position_id, steps_done)
WHERE guard.position_id = v.position_id AND v.position_id = ANY(%(taken)s)
"""


@dataclass(slots=True)
class Stored:
    """What became of hits.

    :param new: triggers that were stored
    :param placed: the orders of those that close all of their position
    :param parts: triggers that close a part, or that joined one: ``triggers_place`` has to be called for them
    :param again: positions whose guard has changed since it was read: look at them anew
    """

    new: list[int] = field(default_factory=list)
    placed: Placed = field(default_factory=Placed)
    parts: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)


@transaction.atomic
def hits_store(
    *,
    hits: Sequence[Hit],
    found_by: str,
    now: datetime,
    fence: Callable[[], None] | None = None,
    place: bool = True,
) -> Stored:
    """Store a trigger per hit, and the orders of those that close a position, in one transaction.

    A position that is being closed already keeps the trigger it has. Two hits of one position count in order.

    :param fence: called first inside the transaction; raises where the caller may not store any more
    :param place: also store the orders; without, ``triggers_place`` has to be called for all that is new
    """
    if fence is not None:
        fence()
    stored = Stored()
    left = list(hits)
    while left:
        wave: dict[int, Hit] = {}
        later: list[Hit] = []
        for hit in left:
            if hit.row.position_id in wave:
                later.append(hit)
            else:
                wave[hit.row.position_id] = hit
        _wave_store(wave, found_by=found_by, now=now, stored=stored)
        left = later
    whole = [pk for pk in stored.new if pk not in set(stored.parts)] if place else []
    stored.placed = triggers_place(trigger_ids=whole, now=now)
    return stored


def _wave_store(wave: dict[int, Hit], *, found_by: str, now: datetime, stored: Stored) -> None:
    """Store one hit per position."""
    hits = [wave[pk] for pk in sorted(wave)]
    values: dict[str, Any] = _columns(hits) | {"now": now, "found_by": found_by}
    profits = [hit.row.position_id for hit in hits if hit.found.kind is ExitKind.TAKE_PROFIT]
    joined: list[tuple[int, int]] = []
    with connection.cursor() as cursor:
        if len(profits) < len(hits):
            cursor.execute(_OVERTAKE, values)
        if profits:
            cursor.execute(_JOIN, values)
            joined = cursor.fetchall()
        cursor.execute(_INSERT, values)
        new = cursor.fetchall()
        taken = [position_id for _, position_id in (*new, *joined)]
        if profits and taken:
            cursor.execute(_STEPS, {**values, "taken": [pk for pk in taken if pk in set(profits)]})
    stored.new += [pk for pk, _ in new]
    stored.parts += [pk for pk, _ in joined]
    stored.parts += [pk for pk, position_id in new if wave[position_id].found.fraction < 1]
    missing = sorted(set(wave) - set(taken))
    if missing:
        stored.again += _changed({pk: wave[pk] for pk in missing})


def _columns(hits: Sequence[Hit]) -> dict[str, Any]:
    return {
        "position": [hit.row.position_id for hit in hits],
        "episode": [hit.row.episode for hit in hits],
        "version": [hit.row.version for hit in hits],
        "kind": [hit.found.kind.value for hit in hits],
        "fraction": [hit.found.fraction for hit in hits],
        "price": [hit.found.price for hit in hits],
        "level": [hit.found.level for hit in hits],
        "seen_at": [hit.tick.received_at for hit in hits],
        "world_at": [hit.tick.quoted_at for hit in hits],
        "place": [hit.place for hit in hits],
        "steps_done": [hit.steps_done for hit in hits],
    }


def _changed(hits: dict[int, Hit]) -> list[int]:
    """Return the positions that are guarded, and not by the guard that was hit."""
    guards = ExitGuard.objects.filter(pk__in=list(hits), ended_at__isnull=True)
    return [
        pk
        for pk, episode, version in guards.values_list("pk", "episode", "version")
        if (episode, version) != (hits[pk].row.episode, hits[pk].row.version)
    ]


def triggers_count() -> list[tuple[str, str, int]]:
    """Return how many triggers there were of each kind, by who found them."""
    rows = ExitTrigger.objects.order_by("kind", "found_by").values("kind", "found_by")
    return [(row["kind"], row["found_by"], row["count"]) for row in rows.annotate(count=Count("pk"))]
