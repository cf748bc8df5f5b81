"""Two moving averages: BUY while the fast one is above the slow one, SELL while it is below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markets.domain.candles import Candle
from traders.domain.signals import Signal, SignalSide
from traders.strategies.base import setting, strategy


@dataclass(frozen=True, slots=True)
class AverageCrossSettings:
    """Periods in candles of five minutes."""

    fast: int = setting(12, least=1, most=100)
    slow: int = setting(48, least=2, most=250)


@strategy(name="average_cross", label="Two moving averages", settings=AverageCrossSettings)
def decide(candles: Sequence[Candle], settings: AverageCrossSettings) -> Signal:
    """Compare the averages of the last closes."""
    if len(candles) < settings.slow:
        return Signal(SignalSide.HOLD, f"Too little data: {len(candles)} of {settings.slow} candles.")
    closes = [float(candle.close) for candle in candles]
    fast = sum(closes[-settings.fast :]) / settings.fast
    slow = sum(closes[-settings.slow :]) / settings.slow
    if fast == slow:
        return Signal(SignalSide.HOLD, f"Both averages are {fast:.6g}.", {"fast": fast, "slow": slow})
    side = SignalSide.BUY if fast > slow else SignalSide.SELL
    where = "above" if fast > slow else "below"
    return Signal(side, f"Fast average {fast:.6g} is {where} slow {slow:.6g}.", {"fast": fast, "slow": slow})
