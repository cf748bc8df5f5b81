"""Build five-minute candles out of prices in the order of their time.

A candle covers from its opening to before the next one's: a price of exactly 12:05 opens the candle of 12:05.
Times are microseconds of world time since 1970, as ticks carry them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from markets.domain.candles import CANDLE_SPAN, Candle, candle_open_at
from markets.domain.moments import MICROSECOND, at_of, us_of
from markets.domain.prices import PriceSeries

SPAN_US: Final = CANDLE_SPAN // MICROSECOND


@dataclass(frozen=True, slots=True)
class CandleRecord:
    """A candle as it is kept.

    :param ticks: how many prices it was built from, or the venue's number of trades
    :param last_us: world time of the newest price in it; prices up to then are in it, once
    :param closed: every price of its interval is in it
    """

    candle: Candle
    ticks: int
    last_us: int
    closed: bool

    @property
    def ends_us(self) -> int:
        """Return the first moment that is no longer in it."""
        return us_of(self.candle.opened_at) + SPAN_US


def candle_opened(*, us: int, price: Decimal) -> CandleRecord:
    """Return the candle that a price begins."""
    opened_at = at_of(us - us % SPAN_US)
    candle = Candle(opened_at=opened_at, open=price, high=price, low=price, close=price, volume=None)
    return CandleRecord(candle=candle, ticks=1, last_us=us, closed=False)


def candle_moved(record: CandleRecord, *, us: int, price: Decimal) -> CandleRecord:
    """Return an open candle with one more price in it.

    :param us: later than the candle's newest price, before its end
    """
    candle = record.candle
    moved = replace(candle, high=max(candle.high, price), low=min(candle.low, price), close=price)
    return CandleRecord(candle=moved, ticks=record.ticks + 1, last_us=us, closed=False)


def candles_recorded(points: Iterable[tuple[int, Decimal]], *, until: datetime) -> tuple[CandleRecord, ...]:
    """Return the candles of recorded prices as they stand at ``until``: where none was recorded, none.

    :param points: (microseconds, price) by rising time, none later than ``until``
    """
    records: list[CandleRecord] = []
    for us, price in points:
        if records and us < records[-1].ends_us:
            records[-1] = candle_moved(records[-1], us=us, price=price)
        else:
            records.append(candle_opened(us=us, price=price))
    until_us = us_of(until)
    return tuple(replace(record, closed=record.ends_us <= until_us) for record in records)


def candles_of_line(series: PriceSeries, *, until: datetime, count: int) -> Sequence[Candle]:
    """Return the last ``count`` candles of the line that a replay's marks follow, up to ``until``.

    To look at, beside positions whose exits were decided on those marks. They are interpolated, so they know
    of the next recorded price: nothing may be decided on them. None before the first recorded price.
    """
    newest = candle_open_at(until)
    openings = [newest - CANDLE_SPAN * back for back in range(count - 1, -1, -1)]
    return [
        _line_candle(series, opened_at, min(until, opened_at + CANDLE_SPAN - MICROSECOND))
        for opened_at in openings
        if opened_at + CANDLE_SPAN > series.start_at
    ]


def _line_candle(series: PriceSeries, opened_at: datetime, last_at: datetime) -> Candle:
    first, last = series.price_at(opened_at), series.price_at(last_at)
    prices = [first, *(price for _, price in series.points_between(opened_at, last_at)), last]
    return Candle(opened_at=opened_at, open=first, high=max(prices), low=min(prices), close=last, volume=None)
