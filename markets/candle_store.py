"""Writing five-minute candles: one statement for all of a flush."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import F, Q

from markets.candle_book import CodeRecord
from markets.domain.candle_building import CandleRecord
from markets.domain.moments import at_of, us_of
from markets.models import LIVE, Candle, CandleSource, World

PRUNED_AT_ONCE: Final = 20_000

# A closed candle is left alone, but the venue's own takes the place of one from marks.
_WRITE: Final = """
INSERT INTO markets_candle AS kept (world_id, run, source, instrument_id, opened_at, open, high, low, close,
                                    volume, ticks, last_at, closed)
SELECT %(world)s, %(run)s, %(source)s, *
FROM unnest(%(codes)s::text[], %(opened)s::timestamptz[], %(open)s::numeric[], %(high)s::numeric[],
            %(low)s::numeric[], %(close)s::numeric[], %(volume)s::numeric[], %(ticks)s::int[],
            %(last)s::timestamptz[], %(closed)s::bool[])
ON CONFLICT (world_id, instrument_id, run, opened_at) DO UPDATE
SET source = excluded.source, open = excluded.open, high = excluded.high, low = excluded.low,
    close = excluded.close, volume = excluded.volume, ticks = excluded.ticks, last_at = excluded.last_at,
    closed = excluded.closed
WHERE NOT kept.closed OR (excluded.source = 'venue' AND kept.source <> 'venue')
"""


def candles_write(*, world: World, records: Sequence[CodeRecord], source: CandleSource) -> int:
    """Store candles of the world's present run; return how many were new or changed.

    Rows go in by code and time, so that two writers never wait for each other crosswise.

    :param records: every code must be a known instrument; none twice for one interval
    """
    if not records:
        return 0
    rows = sorted(records, key=lambda pair: (pair[0], pair[1].candle.opened_at))
    candles = [record.candle for _, record in rows]
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            {
                "world": world.name,
                "run": world.run,
                "source": source.value,
                "codes": [code for code, _ in rows],
                "opened": [candle.opened_at for candle in candles],
                "open": [candle.open for candle in candles],
                "high": [candle.high for candle in candles],
                "low": [candle.low for candle in candles],
                "close": [candle.close for candle in candles],
                "volume": [candle.volume for candle in candles],
                "ticks": [record.ticks for _, record in rows],
                "last": [at_of(record.last_us) for _, record in rows],
                "closed": [record.closed for _, record in rows],
            },
        )
        return cursor.rowcount


def candles_newest(*, world: World, since: datetime) -> dict[str, CandleRecord]:
    """Return the newest candle of each instrument in the world's present run, to build on from there.

    Open ones of any age, and closed ones that opened at ``since`` or later.
    """
    rows = (
        Candle.objects.filter(world=world, run=world.run)
        .filter(Q(closed=False) | Q(opened_at__gte=since))
        .order_by("instrument_id", "-opened_at")
        .distinct("instrument_id")
    )
    return {
        row.instrument_id: CandleRecord(
            candle=row.data(), ticks=row.ticks, last_us=us_of(row.last_at), closed=row.closed
        )
        for row in rows
    }


def candles_prune(*, now: datetime) -> int:
    """Delete live candles past ``CANDLE_RETENTION_DAYS`` and those of replays' earlier runs; return how many.

    A replay's time is the recorded one, so its candles have no age: nobody reads those of a run that is over.
    """
    oldest_at = now - timedelta(days=settings.CANDLE_RETENTION_DAYS)
    aged = Candle.objects.filter(world=LIVE, opened_at__lt=oldest_at)
    over = Candle.objects.exclude(world=LIVE).filter(run__lt=F("world__run"))
    gone = 0
    for rows in (aged, over):
        while True:
            batch = list(rows.values_list("pk", flat=True)[:PRUNED_AT_ONCE])
            gone += Candle.objects.filter(pk__in=batch).delete()[0]
            if len(batch) < PRUNED_AT_ONCE:
                break
    return gone
