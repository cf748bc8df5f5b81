"""Candles to test with: the recorded ones, and random ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from markets.domain.candles import CANDLE_SPAN, Candle
from markets.recordings import COINBASE_2018, recording_get

DAY = datetime(2018, 4, 5, tzinfo=UTC)


def recorded(code: str) -> tuple[Candle, ...]:
    """Return two real days of five-minute candles, the first without volume."""
    return recording_get(name=COINBASE_2018).candles[code]


def candles_of(
    closes: Sequence[float | str], *, start: datetime = DAY, volume: str | None = "1"
) -> list[Candle]:
    """Return candles that open at the close before and reach no further than both."""
    values = [Decimal(str(close)) for close in closes]
    traded = None if volume is None else Decimal(volume)
    return [
        Candle(start + place * CANDLE_SPAN, first, max(first, last), min(first, last), last, traded)
        for place, (first, last) in enumerate(zip([values[0], *values], values, strict=False))
    ]


prices = st.decimals("1", "2", places=4).map(lambda value: value * 100)
random_candles = st.lists(prices, min_size=1, max_size=120).map(candles_of)
