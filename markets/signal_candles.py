"""The candles that signals may be taken from: closed, real, and known at their time.

A replay has them where minutes were recorded. Between a few recorded trades its prices are interpolated,
which looks ahead to the next trade: signals are refused there with the reason.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from markets.candles import candles_closed
from markets.domain.candles import Candle
from markets.models import LIVE
from markets.recordings import recording_get

SETTLES: Final = timedelta(seconds=60)  # so long a live candle may wait for the venue's own, with its volume


def signals_barred(*, world: str) -> str:
    """Return why no signal can be taken in a world, empty where one can.

    :raises NotFound: there is no such recording
    """
    if world == LIVE or recording_get(name=world).candles:
        return ""
    label = recording_get(name=world).label
    return f"The prices of {label} are interpolated between recorded trades: nothing to take signals from."


def signal_candles(*, world: str, code: str, before: datetime, limit: int) -> list[Candle]:
    """Return the newest candles of an instrument that are closed at world time ``before``, oldest first.

    A live candle without volume is left out in its first minute, and those after it: the venue's own, which
    has one, may still take its place.
    """
    if world != LIVE:
        return recording_get(name=world).candles_closed(code=code, before=before, limit=limit)
    candles = candles_closed(world=world, code=code, before=before, limit=limit)
    waiting = (
        place
        for place, candle in enumerate(candles)
        if candle.volume is None and candle.closed_at > before - SETTLES
    )
    return candles[: next(waiting, len(candles))]
