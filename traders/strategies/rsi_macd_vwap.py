"""RSI, MACD and VWAP: BUY or SELL when at least two of the three say so (SIG-1).

RSI votes against a move that has gone far (BUY at or below ``rsi_low``, SELL at or above ``rsi_high``), MACD
with the move (its line above or below its signal line), VWAP with the side of the day's average price that
the close is on. An indicator with too little data cannot tell, and the other two can still agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from markets.domain.candles import Candle
from markets.indicators import macd_least, macd_series, rsi_least, rsi_series, vwap_series
from traders.domain.signals import Signal, SignalSide
from traders.strategies.base import setting, strategy

NEEDED = 2  # of the three


@dataclass(frozen=True, slots=True)
class RsiMacdVwapSettings:
    """Periods in candles of five minutes; ``vwap_candles``: how many of the day before its average counts."""

    rsi_period: int = setting(14, least=2, most=100)
    rsi_low: float = setting(30.0, least=1, most=50)
    rsi_high: float = setting(70.0, least=50, most=99)
    macd_fast: int = setting(12, least=2, most=100)
    macd_slow: int = setting(26, least=3, most=150)
    macd_signal: int = setting(9, least=2, most=50)
    vwap_candles: int = setting(12, least=1, most=288)

    def __post_init__(self) -> None:
        """Refuse averages that make no MACD.

        :raises ValueError: the fast one is not the faster one
        """
        if self.macd_fast >= self.macd_slow:
            msg = f"macd_fast is {self.macd_fast}; it must be below macd_slow, which is {self.macd_slow}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class _Vote:
    """What one indicator says; ``side`` is None where it cannot tell."""

    side: SignalSide | None
    text: str
    readings: dict[str, float | None]


@strategy(name="rsi_macd_vwap", label="RSI, MACD and VWAP", settings=RsiMacdVwapSettings)
def decide(candles: Sequence[Candle], settings: RsiMacdVwapSettings) -> Signal:
    """Count the votes on the last candle."""
    votes = (_rsi(candles, settings), _macd(candles, settings), _vwap(candles, settings))
    texts = "; ".join(vote.text for vote in votes)
    readings = {name: value for vote in votes for name, value in vote.readings.items()}
    for side in (SignalSide.BUY, SignalSide.SELL):
        count = sum(vote.side is side for vote in votes)
        if count >= NEEDED:
            return Signal(side, f"{count} of 3 say {side}. {texts}.", readings)
    able = sum(vote.side is not None for vote in votes)
    why = "no two agree" if able >= NEEDED else f"only {able} of 3 can tell"
    return Signal(SignalSide.HOLD, f"{why[0].upper()}{why[1:]}. {texts}.", readings)


def _rsi(candles: Sequence[Candle], settings: RsiMacdVwapSettings) -> _Vote:
    least = rsi_least(period=settings.rsi_period)
    if len(candles) < least:
        return _Vote(None, f"RSI cannot tell: {len(candles)} of {least} candles", {"rsi": None})
    if len({candle.close for candle in candles}) == 1:  # TA-Lib says 0, as of a price that only fell
        return _Vote(None, "RSI cannot tell: the price has not moved", {"rsi": None})
    value = rsi_series(candles=candles, period=settings.rsi_period)[-1]
    low, high = settings.rsi_low, settings.rsi_high
    if value <= low:
        return _Vote(SignalSide.BUY, f"RSI {value:.1f} is at or below {low:g}: BUY", {"rsi": value})
    if value >= high:
        return _Vote(SignalSide.SELL, f"RSI {value:.1f} is at or above {high:g}: SELL", {"rsi": value})
    return _Vote(SignalSide.HOLD, f"RSI {value:.1f} lies between {low:g} and {high:g}", {"rsi": value})


def _macd(candles: Sequence[Candle], settings: RsiMacdVwapSettings) -> _Vote:
    least = macd_least(slow=settings.macd_slow, signal=settings.macd_signal)
    if len(candles) < least:
        text = f"MACD cannot tell: {len(candles)} of {least} candles"
        return _Vote(None, text, {"macd": None, "macd_signal": None})
    macd = macd_series(
        candles=candles, fast=settings.macd_fast, slow=settings.macd_slow, signal=settings.macd_signal
    )
    line, average = macd.line[-1], macd.signal[-1]
    side, where = _compare(line, average)
    text = f"MACD {line:.6g} is {where} its signal {average:.6g}{_says(side)}"
    return _Vote(side, text, {"macd": line, "macd_signal": average})


def _vwap(candles: Sequence[Candle], settings: RsiMacdVwapSettings) -> _Vote:
    if not candles:
        return _Vote(None, "VWAP cannot tell: no candle", {"vwap": None})
    today = [candle for candle in candles if candle.opened_at.date() == candles[-1].opened_at.date()]
    value = vwap_series(candles=candles)[-1]
    if any(candle.volume is None for candle in today):
        return _Vote(None, "VWAP cannot tell: the candles carry no volume", {"vwap": None})
    if isnan(value):
        return _Vote(None, "VWAP cannot tell: the day's first candles are missing", {"vwap": None})
    if len(today) < settings.vwap_candles:
        text = f"VWAP cannot tell: {len(today)} of {settings.vwap_candles} candles of the day"
        return _Vote(None, text, {"vwap": None})
    close = float(candles[-1].close)
    side, where = _compare(close, value)
    return _Vote(side, f"Price {close:.6g} is {where} VWAP {value:.6g}{_says(side)}", {"vwap": value})


def _compare(value: float, other: float) -> tuple[SignalSide, str]:
    if value > other:
        return SignalSide.BUY, "above"
    if value < other:
        return SignalSide.SELL, "below"
    return SignalSide.HOLD, "at"


def _says(side: SignalSide) -> str:
    return "" if side is SignalSide.HOLD else f": {side}"
