"""Reading five-minute candles.

Who decides takes :func:`candles_closed`: closed ones alone, each known at its time and the same ever after,
but that the venue's own takes the place of one from marks. Where nothing was recorded or quoted there is no
candle: look at ``opened_at`` before you count back. Who draws takes :func:`candles_shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import F, QuerySet

from markets.domain.candle_building import candles_of_line
from markets.domain.candles import CANDLE_SPAN, Candle
from markets.models import LIVE
from markets.models import Candle as CandleRow
from markets.recordings import recording_get
from markets.selectors import world_get


def candles_closed(
    *, world: str, code: str, before: datetime | None = None, limit: int = 500
) -> list[Candle]:
    """Return an instrument's newest closed candles in the world's present run, oldest first.

    :param before: only candles that were closed by this world time
    """
    rows = _of_run(world, code).filter(closed=True)
    if before is not None:
        rows = rows.filter(opened_at__lte=before - CANDLE_SPAN)
    return [row.data() for row in rows.order_by("-opened_at")[:limit]][::-1]


def candle_open(*, world: str, code: str) -> Candle | None:
    """Return the candle that is being built, to look at; None where no price has come in its time."""
    row = _of_run(world, code).filter(closed=False).order_by("-opened_at").first()
    return row.data() if row else None


def candles_shown(*, world: str, code: str, now: datetime, limit: int = 500) -> list[Candle]:
    """Return what to draw, oldest first, the open candle last.

    The live world's are the kept ones. A replay's are the recorded ones, or where only trades were recorded
    those of the line that its marks follow between two: interpolated, and to be labelled so
    (``World.price_note``).

    :param now: wall time
    :raises NotFound: the world was never started
    """
    if world == LIVE:
        opened = candle_open(world=world, code=code)
        closed = candles_closed(world=world, code=code, limit=limit)
        return [*closed, *([opened] if opened else [])]
    recording, world_at = recording_get(name=world), world_get(name=world).clock().at(now)
    if recording.candles:
        return recording.candles_closed(code=code, before=world_at, limit=limit)
    series = recording.prices.get(code)
    if series is None:
        return []
    shown: Sequence[Candle] = candles_of_line(series, until=world_at, count=limit)
    return list(shown)


def _of_run(world: str, code: str) -> QuerySet[CandleRow]:
    return CandleRow.objects.filter(world_id=world, instrument_id=code, run=F("world__run"))
