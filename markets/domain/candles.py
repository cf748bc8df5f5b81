"""Five-minute candles: what a price did between two moments of the world, five minutes apart.

Everything that decides on candles gets closed ones only: a candle is closed when the world has reached its
``closed_at``, and from then on it never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Final

CANDLE_SPAN: Final = timedelta(minutes=5)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bar:
    """What a price did in a short span from ``opened_at`` on.

    :param opened_at: world time, UTC
    :param open: first price, quote currency per unit; ``high``, ``low`` and ``close`` likewise, above zero
    :param volume: units traded, None where nobody recorded it (marks and quotes carry none)
    """

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None


@dataclass(frozen=True, slots=True)
class Candle(Bar):
    """One five-minute candle: ``opened_at`` is a multiple of five minutes; it ends before ``closed_at``."""

    @property
    def closed_at(self) -> datetime:
        """Return the world time at which the candle is closed."""
        return self.opened_at + CANDLE_SPAN


def candle_open_at(at: datetime) -> datetime:
    """Return the opening time of the candle that the moment ``at`` lies in."""
    return at - (at - _EPOCH) % CANDLE_SPAN


def candles_aggregate(*, bars: Iterable[Bar]) -> list[Candle]:
    """Return five-minute candles made of shorter bars, by rising time.

    A candle's volume is known only if that of every bar in it is. Five minutes without a bar give no candle.

    :param bars: by rising time; each lies within one span of five minutes
    """
    return [
        _joined(opened_at, list(group))
        for opened_at, group in groupby(bars, lambda bar: candle_open_at(bar.opened_at))
    ]


def candles_unbroken(*, candles: Sequence[Candle], longest_hole: timedelta) -> Sequence[Candle]:
    """Return the newest candles back to the first hole between two that is longer than ``longest_hole``."""
    for place in range(len(candles) - 1, 0, -1):
        if candles[place].opened_at - candles[place - 1].closed_at > longest_hole:
            return candles[place:]
    return candles


def _joined(opened_at: datetime, bars: Sequence[Bar]) -> Candle:
    volumes = [bar.volume for bar in bars if bar.volume is not None]
    return Candle(
        opened_at=opened_at,
        open=bars[0].open,
        high=max(bar.high for bar in bars),
        low=min(bar.low for bar in bars),
        close=bars[-1].close,
        volume=sum(volumes, Decimal(0)) if len(volumes) == len(bars) else None,
    )
