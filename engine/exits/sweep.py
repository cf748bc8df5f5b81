"""The second line behind the watch: every guarded position against its mark, in SQL, every few seconds.

What the statement finds is decided by the same rules as everything else. Where a shard has no watch, the mark
counts at once. Where one lives, the position gets the second the watch may take, and is triggered only if it
still stands there untouched: that never happens while watches do their work, and is counted
(``found_by="sweep"``). Best prices and trailing stops are not moved from here: the tape does that, exactly,
when a watch is back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import connection

from engine.exits.guards import guards_get
from engine.exits.leases import shards_unwatched
from engine.exits.shard import MARK_PLACE
from engine.exits.triggers import hits_store
from engine.exits.watched import Hit, Watched, price_look
from engine.models import ExitTrigger
from engine.sending import exits_place_later, exits_submit_later
from markets.domain.moments import us_of
from markets.models import World
from markets.tape import Tick, shard_of
from positions.domain.exits import ExitKind

logger = logging.getLogger(__name__)
WATCH_MAY_TAKE_S: Final = 1
TIME_STOP_GRACE: Final = timedelta(seconds=5)  # wall time in which a tick may come that ends it first
AT_ONCE: Final = 2000

_TARGET: Final = """COALESCE(
    (guard.take_profit -> guard.steps_done::int ->> 'price')::numeric,
    guard.entry_price * (1 + guard.sign * (guard.take_profit -> guard.steps_done::int ->> 'gain_pct')::numeric
        / 100))"""
_REACHED: Final = f"""
SELECT guard.position_id, guard.version, mark.price, mark.quoted_at, mark.received_at, time.world_at
FROM positions_exitguard AS guard
JOIN unnest(%(worlds)s::text[], %(world_ats)s::timestamptz[]) AS time (name, world_at)
    ON time.name = guard.world_id
JOIN markets_mark AS mark ON mark.world_id = guard.world_id AND mark.instrument_id = guard.instrument_id
    AND mark.run = guard.run
WHERE guard.ended_at IS NULL AND (
    (mark.received_at > guard.levels_from AND (
        (mark.price - guard.stop_price) * guard.sign <= 0
        OR (mark.price - guard.trail_price) * guard.sign <= 0
        OR (mark.price - {_TARGET}) * guard.sign >= 0
    ))
    OR (guard.time_stop_days > 0
        AND guard.opened_world_at + guard.time_stop_days * interval '1 day' <= time.world_at)
) AND NOT EXISTS (
    SELECT 1 FROM engine_exittrigger AS trigger WHERE trigger.position_id = guard.position_id
        AND trigger.status IN ('waiting', 'working')
)
ORDER BY guard.position_id LIMIT {AT_ONCE}
"""  # noqa: S608 - put together from constants


def positions_sweep(*, now: datetime) -> list[list[Any]]:
    """Look at every guarded position; trigger where nobody watches, and return what has to be confirmed.

    :returns: arguments of ``positions_confirm``, to be called ``WATCH_MAY_TAKE_S`` later
    """
    unwatched = set(shards_unwatched())
    looked = _reached(now=now)
    alone = [(row, tick) for row, tick in looked if _shard(row) in unwatched]
    _trigger(alone, now=now)
    return [
        [row.position_id, row.version, str(tick.price), tick.quoted_us, tick.received_us]
        for row, tick in looked
        if _shard(row) not in unwatched and _hit(row, tick) is not None
    ]


def positions_confirm(*, doubtful: Sequence[Sequence[Any]], now: datetime) -> int:
    """Trigger what ``positions_sweep`` returned and nobody has touched since; return how many."""
    seen = {int(pk): (int(version), Decimal(price), *us) for pk, version, price, *us in doubtful}
    standing = ExitTrigger.objects.filter(position_id__in=seen, status__in=ExitTrigger.STANDING)
    busy = set(standing.values_list("position_id", flat=True))
    pairs: list[tuple[Watched, Tick]] = []
    for row in guards_get(position_ids=seen.keys() - busy):
        version, price, quoted_us, received_us = seen[row.position_id]
        if row.version == version:
            pairs.append((row, Tick(*row.key, price, quoted_us, received_us)))
    return _trigger(pairs, now=now)


def _shard(row: Watched) -> int:
    return shard_of(code=row.key[2], shards=settings.EXIT_SHARDS)


def _reached(*, now: datetime) -> list[tuple[Watched, Tick]]:
    """Return the positions that their mark, or the time, may close, with the mark as a price."""
    clocks = {world.name: world.clock() for world in World.objects.all()}
    at = [clock.at(now - TIME_STOP_GRACE) for clock in clocks.values()]
    values: dict[str, Any] = {"worlds": list(clocks), "world_ats": at}
    with connection.cursor() as cursor:
        cursor.execute(_REACHED, values)
        found = {row[0]: row for row in cursor.fetchall()}
    pairs: list[tuple[Watched, Tick]] = []
    for row in guards_get(position_ids=found):
        _, version, price, quoted_at, received_at, world_at = found[row.position_id]
        if row.version == version:
            quoted_us = us_of(max(quoted_at, world_at))
            pairs.append((row, Tick(*row.key, price, quoted_us, us_of(received_at))))
    return pairs


def _hit(row: Watched, tick: Tick) -> Hit | None:
    """Decide what a mark closes, whatever is known of its place on the tape.

    A mark from before the levels hits none of them; it only says what a time stop closes at.
    """
    row.place = row.trail_place = ""
    old = tick.received_us <= row.levels_us
    if old:
        tick = Tick(*tick.key, tick.price, tick.quoted_us, row.levels_us + 1)
    _, hit = price_look(row=row, state=row.state, tick=tick, place=MARK_PLACE)
    return None if hit is None or (old and hit.found.kind is not ExitKind.TIME_STOP) else hit


def _trigger(pairs: Sequence[tuple[Watched, Tick]], *, now: datetime) -> int:
    """Store what these marks close, and have it sent; return how many."""
    hits = [hit for row, tick in pairs if (hit := _hit(row, tick)) is not None]
    if not hits:
        return 0
    stored = hits_store(hits=hits, found_by=ExitTrigger.FoundBy.SWEEP, now=now)
    logger.warning("the sweep found %s positions at their levels that nobody had triggered", len(stored.new))
    exits_submit_later(stored.placed.order_ids)
    exits_place_later([pk for pk in stored.new if pk in stored.parts or not stored.placed.order_ids])
    return len(stored.new)
