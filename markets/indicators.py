"""Indicators over closed candles: RSI and MACD as TA-Lib works them out, VWAP of the UTC day.

Each returns one value per candle, oldest first, nan while there is too little to tell. A value depends on its
own candle and those before it, never on a later one. Floats: these are for signals, not for money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from math import nan

from markets.domain.candles import Candle


@dataclass(frozen=True, slots=True)
class Macd:
    """Three series in quote currency: fast EMA − slow EMA, the EMA of that, and their difference."""

    line: list[float]
    signal: list[float]
    histogram: list[float]


def rsi_least(*, period: int) -> int:
    """Return how many candles the first RSI takes."""
    return period + 1


def rsi_series(*, candles: Sequence[Candle], period: int) -> list[float]:
    """Return the relative strength index of the closes, 0 to 100.

    Source: J. Welles Wilder, "New Concepts in Technical Trading Systems" (1978), with his smoothing; TA-Lib
    ``RSI``. Without any move in the period TA-Lib says 0.

    :param period: candles, 2 or more
    """
    if len(candles) < rsi_least(period=period):
        return [nan] * len(candles)
    import numpy as np
    import talib

    closes = np.array([float(candle.close) for candle in candles])
    return [float(value) for value in talib.RSI(closes, timeperiod=period)]


def macd_least(*, slow: int, signal: int) -> int:
    """Return how many candles the first MACD with its signal line takes."""
    return slow + signal - 1


def macd_series(*, candles: Sequence[Candle], fast: int, slow: int, signal: int) -> Macd:
    """Return the moving average convergence/divergence of the closes.

    Source: Gerald Appel, "Technical Analysis: Power Tools for Active Investors" (2005); TA-Lib ``MACD``,
    whose averages begin as simple ones.

    :param fast: candles of the fast average, below ``slow``; ``signal``: candles of the signal line
    """
    if len(candles) < macd_least(slow=slow, signal=signal):
        unknown = [nan] * len(candles)
        return Macd(line=unknown, signal=list(unknown), histogram=list(unknown))
    import numpy as np
    import talib

    closes = np.array([float(candle.close) for candle in candles])
    line, average, histogram = talib.MACD(closes, fastperiod=fast, slowperiod=slow, signalperiod=signal)
    return Macd(line=line.tolist(), signal=average.tolist(), histogram=histogram.tolist())


def vwap_series(*, candles: Sequence[Candle]) -> list[float]:
    """Return the volume-weighted average price of the UTC day so far: Σ typical price × volume ÷ Σ volume.

    The typical price is (high + low + close) ÷ 3. nan where the day's first candles are not among those
    given, where a volume of the day is not known, and while nothing was traded.

    Source: Berkowitz, Logue and Noser (1988), Journal of Finance 43(1), for the measure; the typical price
    stands for a candle's trades, as charting programs do.
    """
    values: list[float] = []
    whole, traded, worth = False, 0.0, 0.0
    for place, candle in enumerate(candles):
        before = candles[place - 1] if place else None
        if before is None or before.opened_at.date() != candle.opened_at.date():
            whole = before is not None or candle.opened_at.time() == time.min
            traded, worth = 0.0, 0.0
        if candle.volume is None:
            whole = False
        else:
            volume = float(candle.volume)
            traded += volume
            worth += volume * float(candle.high + candle.low + candle.close) / 3
        values.append(worth / traded if whole and traded else nan)
    return values
