"""Writing down how far the watch is: moved levels first, and only then the place on the tape.

A new holder reads guards as they are and the tape from the place, so the place may never be ahead of a
level that was moved by a price before it. A level may be ahead of the place: its guard says how far it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import connection

from engine.exits.watched import Watched

_LEVELS: Final = """
UPDATE positions_exitguard AS guard
SET peak_price = v.peak_price, trail_price = v.trail_price, place = v.place,
    place_version = v.version
FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::numeric[], %s::numeric[], %s::text[])
    AS v (position_id, episode, version, peak_price, trail_price, place)
WHERE guard.position_id = v.position_id AND guard.episode = v.episode AND guard.version = v.version
    AND guard.ended_at IS NULL
RETURNING guard.position_id
"""


@dataclass(frozen=True, slots=True)
class Level:
    """A guard's levels as the watch has them, and the place on the tape at which they stand."""

    row: Watched
    place: str


def levels_write(levels: Sequence[Level]) -> set[int]:
    """Write levels; return the positions whose guard is still the one that was watched.

    One that changed meanwhile keeps what the change made of it; the watch has to look at it anew.
    """
    if not levels:
        return set()
    states = [level.row.state for level in levels]
    with connection.cursor() as cursor:
        cursor.execute(
            _LEVELS,
            [
                [level.row.position_id for level in levels],
                [level.row.episode for level in levels],
                [level.row.version for level in levels],
                [state.peak_price for state in states],
                [state.trail_price for state in states],
                [level.place for level in levels],
            ],
        )
        return {position_id for (position_id,) in cursor.fetchall()}


def places_write(places: Mapping[int, str]) -> None:
    """Write up to where the tape of shards is dealt with; call it behind the fence."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE engine_exitshard AS shard SET place = v.place "
            "FROM unnest(%s::int[], %s::text[]) AS v (number, place) WHERE shard.number = v.number",
            [list(places), list(places.values())],
        )
