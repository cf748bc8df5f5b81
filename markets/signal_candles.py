"""The candles that signals may be taken from: closed, real, and known at their time.

A replay has them where minutes were recorded. Between a few recorded trades its prices are interpolated,
which looks ahead to the next trade: signals are refused there with the reason.
"""

from __future__ import annotations

from datetime import datetime

from markets.domain.candles import Candle
from markets.models import LIVE
from markets.recordings import recording_get


def signals_barred(*, world: str) -> str:
    """Return why no signal can be taken in a world, empty where one can.

    :raises NotFound: there is no such recording
    """
    if world == LIVE or recording_get(name=world).candles:
        return ""
    label = recording_get(name=world).label
    return f"The prices of {label} are interpolated between recorded trades: nothing to take signals from."


def signal_candles(*, world: str, code: str, before: datetime, limit: int) -> list[Candle]:
    """Return the newest candles of an instrument that are closed at world time ``before``, oldest first."""
    return recording_get(name=world).candles_closed(code=code, before=before, limit=limit)
