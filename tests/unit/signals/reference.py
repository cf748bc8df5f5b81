"""The indicators once more, in the plainest way, to compare with; and the strategy's rule over a series."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import nan

from markets.domain.candles import Candle


def rsi_plain(closes: Sequence[float], period: int) -> list[float]:
    """Wilder's RSI: a mean of the first moves, then each new one counts 1 ÷ period."""
    values = [nan] * len(closes)
    moves = [after - before for before, after in pairwise(closes)]
    if len(moves) < period:
        return values
    gain = sum(max(move, 0.0) for move in moves[:period]) / period
    loss = sum(max(-move, 0.0) for move in moves[:period]) / period
    for place in range(period, len(closes)):
        if place > period:
            move = moves[place - 1]
            gain = (gain * (period - 1) + max(move, 0.0)) / period
            loss = (loss * (period - 1) + max(-move, 0.0)) / period
        values[place] = 100 * gain / (gain + loss) if gain + loss else 0.0
    return values


def ema_plain(values: Sequence[float], period: int, start: int) -> list[float]:
    """An exponential average that begins as the simple one of the ``period`` values up to ``start``."""
    averages = [nan] * len(values)
    average = sum(values[start - period + 1 : start + 1]) / period
    averages[start] = average
    for place in range(start + 1, len(values)):
        average += (values[place] - average) * 2 / (period + 1)
        averages[place] = average
    return averages


def macd_plain(
    closes: Sequence[float], fast: int, slow: int, signal: int
) -> tuple[list[float], list[float], list[float]]:
    """MACD, its signal line, and their difference; all are known from the first signal on."""
    unknown = [nan] * len(closes)
    first = slow + signal - 2
    if len(closes) <= first:
        return unknown, unknown, unknown
    quick, slack = ema_plain(closes, fast, slow - 1), ema_plain(closes, slow, slow - 1)
    line = [one - other for one, other in zip(quick, slack, strict=True)]
    average = ema_plain(line, signal, first)
    line[:first] = [nan] * first
    return line, average, [one - other for one, other in zip(line, average, strict=True)]


def vwap_plain(candles: Sequence[Candle]) -> float:
    """The average price of the last candle's day, from the day's beginning; nan where it cannot be told."""
    day = [candle for candle in candles if candle.opened_at.date() == candles[-1].opened_at.date()]
    begins = day[0] is not candles[0] or day[0].opened_at.hour == day[0].opened_at.minute == 0
    volumes = [candle.volume for candle in day if candle.volume is not None]
    if not begins or len(volumes) < len(day) or not sum(volumes):
        return nan
    worth = sum((c.high + c.low + c.close) / 3 * v for c, v in zip(day, volumes, strict=True))
    return float(worth / sum(volumes))


def said_plain(candles: Sequence[Candle]) -> list[str]:
    """RSI 14 (30, 70), MACD 12 26 9, VWAP from the day's 12th candle on; over the last 300 candles each."""
    said = []
    for end in range(1, len(candles) + 1):
        window = candles[max(0, end - 300) : end]
        closes = [float(candle.close) for candle in window]
        votes = []
        strength = rsi_plain(closes, 14)[-1]
        votes += ["BUY"] if strength <= 30 else ["SELL"] if strength >= 70 else []
        line, average, _ = macd_plain(closes, 12, 26, 9)
        votes += ["BUY"] if line[-1] > average[-1] else ["SELL"] if line[-1] < average[-1] else []
        today = sum(candle.opened_at.date() == window[-1].opened_at.date() for candle in window)
        mean = vwap_plain(window) if today >= 12 else nan
        votes += ["BUY"] if closes[-1] > mean else ["SELL"] if closes[-1] < mean else []
        said.append(next((side for side in ("BUY", "SELL") if votes.count(side) >= 2), "HOLD"))
    return said
