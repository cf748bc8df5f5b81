"""Indicators on real candles against TA-Lib itself and against a plain implementation (SIG-1, MKT-2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from math import isnan

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from markets.domain.candles import Candle
from markets.indicators import macd_series, rsi_series, vwap_series
from tests.unit.signals.candles import DAY, candles_of, random_candles, recorded
from tests.unit.signals.reference import macd_plain, rsi_plain, vwap_plain

CODES = ("BTC", "ETH")


def same(values: Sequence[float], others: Sequence[float]) -> bool:
    """Tell whether two series are equal to 1e-9 of their size, and unknown in the same places."""
    assert len(values) == len(others)
    return all(
        (isnan(one) and isnan(other)) or one == pytest.approx(other, rel=1e-9, abs=1e-9)
        for one, other in zip(values, others, strict=True)
    )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("period", [2, 14, 100])
def test_rsi_is_that_of_talib_and_of_wilder(code: str, period: int) -> None:
    """SIG-1: equal to 1e-9 on two days of real candles."""
    candles = recorded(code)
    closes = [float(candle.close) for candle in candles]
    values = rsi_series(candles=candles, period=period)
    assert sum(not isnan(value) for value in values) == len(candles) - period
    assert same(values, talib.RSI(np.array(closes), timeperiod=period))
    assert same(values, rsi_plain(closes, period))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("periods", [(12, 26, 9), (2, 3, 2), (5, 35, 5)])
def test_macd_is_that_of_talib_and_of_the_plain_averages(code: str, periods: tuple[int, int, int]) -> None:
    """SIG-1: line, signal and histogram equal to 1e-9 on two days of real candles."""
    fast, slow, signal = periods
    candles = recorded(code)
    closes = [float(candle.close) for candle in candles]
    macd = macd_series(candles=candles, fast=fast, slow=slow, signal=signal)
    ours = (macd.line, macd.signal, macd.histogram)
    assert sum(not isnan(value) for value in macd.signal) == len(candles) - slow - signal + 2
    theirs = talib.MACD(np.array(closes), fastperiod=fast, slowperiod=slow, signalperiod=signal)
    for mine, other, plain in zip(ours, theirs, macd_plain(closes, fast, slow, signal), strict=True):
        assert same(mine, other)
        assert same(mine, plain)


@pytest.mark.parametrize("code", CODES)
def test_vwap_is_anchored_at_the_utc_day(code: str) -> None:
    """SIG-1: unknown on the first day, which carries no volume; equal to the plain sum on the second."""
    candles = recorded(code)
    values = vwap_series(candles=candles)
    assert [isnan(value) for value in values] == [candle.opened_at < DAY for candle in candles]
    assert same(values, [vwap_plain(candles[: place + 1]) for place in range(len(candles))])
    first = candles[288]
    assert values[288] == pytest.approx(float(first.high + first.low + first.close) / 3, rel=1e-12)


def test_vwap_worked_by_hand() -> None:
    """(12 + 8 + 10) ÷ 3 = 10 for 1, (22 + 14 + 18) ÷ 3 = 18 for 3: together 16; the next day begins anew."""
    one, two, other_day = candles_of([10, 18, 18])
    day = [
        Candle(one.opened_at, one.open, *map(type(one.open), ("12", "8", "10")), type(one.open)(1)),
        Candle(two.opened_at, two.open, *map(type(two.open), ("22", "14", "18")), type(two.open)(3)),
        Candle(DAY + timedelta(days=1), *([other_day.close] * 4), type(one.open)(7)),
    ]
    assert vwap_series(candles=day) == [10.0, 16.0, 18.0]


def test_vwap_cannot_be_told_of_half_a_day_or_without_volume() -> None:
    """A day whose beginning is not there has no average; one unknown volume leaves the rest of it unknown."""
    late = candles_of([10, 11], start=DAY + timedelta(hours=3))
    assert all(isnan(value) for value in vwap_series(candles=late))
    assert all(isnan(value) for value in vwap_series(candles=candles_of([10, 11], volume="0")))
    day = candles_of([10, 11, 12])
    holed = [day[0], *candles_of([11], start=day[1].opened_at, volume=None), day[2]]
    assert [isnan(value) for value in vwap_series(candles=holed)] == [False, True, True]


@given(candles=random_candles, cut=st.integers(1, 120))
def test_the_future_changes_no_value(candles: list[Candle], cut: int) -> None:
    """SIG-1: no look-ahead. A series cut short is the beginning of the whole one."""
    known = candles[:cut]
    whole = macd_series(candles=candles, fast=3, slow=6, signal=4)
    part = macd_series(candles=known, fast=3, slow=6, signal=4)
    pairs = [
        (rsi_series(candles=known, period=5), rsi_series(candles=candles, period=5)),
        (vwap_series(candles=known), vwap_series(candles=candles)),
        (part.line, whole.line),
        (part.signal, whole.signal),
        (part.histogram, whole.histogram),
    ]
    for shorter, longer in pairs:
        assert [str(value) for value in shorter] == [str(value) for value in longer[: len(known)]]
