"""The built-in strategies: 2 of 3, HOLD with the reason, no look-ahead; and how one is added (SIG-1)."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from markets.domain.candles import CANDLE_SPAN, Candle, candles_unbroken
from tests.unit.signals.candles import DAY, candles_of, random_candles, recorded
from tests.unit.signals.reference import said_plain
from traders.domain.signals import Signal, SignalSide
from traders.strategies.average_cross import AverageCrossSettings
from traders.strategies.base import WINDOW, settings_problems, strategy
from traders.strategies.catalog import strategies_all, strategy_get
from traders.strategies.rsi_macd_vwap import RsiMacdVwapSettings, decide

SMALL = RsiMacdVwapSettings(rsi_period=3, macd_fast=2, macd_slow=4, macd_signal=2, vwap_candles=2)
ROOT = Path(__file__).resolve().parents[3]


def windows(candles: tuple[Candle, ...] | list[Candle]) -> list[list[Candle]]:
    """Return what a strategy sees at each candle."""
    return [list(candles[max(0, end - WINDOW) : end]) for end in range(1, len(candles) + 1)]


@pytest.mark.parametrize("code", ["BTC", "ETH"])
def test_signals_over_real_days_are_those_of_the_plain_rule(code: str) -> None:
    """SIG-1: the whole series against a straightforward reference; every side occurs."""
    said = [decide(window, RsiMacdVwapSettings()).side.value for window in windows(recorded(code))]
    assert said == said_plain(recorded(code))
    assert {side: said.count(side) > 20 for side in ("BUY", "SELL", "HOLD")} == dict.fromkeys(
        ("BUY", "SELL", "HOLD"), True
    )


@given(candles=random_candles, cut=st.integers(1, 120))
def test_truncating_the_future_changes_no_signal(candles: list[Candle], cut: int) -> None:
    """SIG-1: what was said stays as it was said, whatever came later."""
    before = [decide(window, SMALL) for window in windows(candles[:cut])]
    assert before == [decide(window, SMALL) for window in windows(candles)][: len(before)]


def test_two_of_three_buy() -> None:
    """A rise: MACD and VWAP say BUY, RSI says it has gone far; two are enough, and each says its number."""
    signal = decide(candles_of([100, 100, 100, 101, 103, 106]), SMALL)
    assert signal.side is SignalSide.BUY
    assert signal.reason == (
        "2 of 3 say BUY. RSI 100.0 is at or above 70: SELL; MACD 1.51222 is above its signal 1.18593: BUY; "
        "Price 106 is above VWAP 101.333: BUY."
    )
    assert set(signal.readings) == {"rsi", "macd", "macd_signal", "vwap"}
    assert signal.readings["rsi"] == 100.0


def test_two_of_three_sell() -> None:
    """A fall: MACD and VWAP say SELL, RSI says it has gone far."""
    signal = decide(candles_of([106, 106, 106, 105, 103, 100]), SMALL)
    assert signal.side is SignalSide.SELL
    assert signal.reason.startswith("2 of 3 say SELL. RSI 0.0 is at or below 30: BUY; ")


def test_too_little_data_is_hold_with_the_reason() -> None:
    """SIG-1: which of the three cannot tell, and how much is missing."""
    signal = decide(candles_of([100]), SMALL)
    assert signal == Signal(
        SignalSide.HOLD,
        "Only 0 of 3 can tell. RSI cannot tell: 1 of 4 candles; MACD cannot tell: 1 of 5 candles; "
        "VWAP cannot tell: 1 of 2 candles of the day.",
        {"rsi": None, "macd": None, "macd_signal": None, "vwap": None},
    )
    assert decide([], SMALL).side is SignalSide.HOLD


def test_without_volume_the_other_two_can_agree() -> None:
    """SIG-1: VWAP cannot tell, and says why; RSI and MACD against each other are no two."""
    signal = decide(candles_of([100, 100, 100, 101, 103, 106], volume=None), SMALL)
    assert signal.side is SignalSide.HOLD
    assert signal.reason.startswith("No two agree. ")
    assert signal.reason.endswith("VWAP cannot tell: the candles carry no volume.")
    loose = RsiMacdVwapSettings(3, rsi_low=50, macd_fast=2, macd_slow=4, macd_signal=2)
    falling = candles_of([110, 108, 105, 103, 102, 101.5, 101.4], volume=None)
    both = decide(falling, loose)
    assert both.side is SignalSide.BUY
    assert both.reason.startswith("2 of 3 say BUY. RSI 0.0 is at or below 50: BUY; MACD ")


def test_a_flat_price_is_hold() -> None:
    """Nothing lies above or below anything; TA-Lib's RSI of no move at all is 0: no reason to buy."""
    signal = decide(candles_of([100] * 40), SMALL)
    assert signal.side is SignalSide.HOLD
    assert signal.reason == (
        "No two agree. RSI cannot tell: the price has not moved; MACD 0 is at its signal 0; "
        "Price 100 is at VWAP 100."
    )


def test_a_day_that_begins_in_the_middle_has_no_vwap() -> None:
    """SIG-1: an average of half a day would be another number."""
    signal = decide(candles_of([100] * 40, start=DAY + timedelta(hours=5)), SMALL)
    assert "VWAP cannot tell: the day's first candles are missing" in signal.reason


def test_candles_before_a_long_hole_are_not_looked_at() -> None:
    """An hour without candles is passed over, more than an hour begins anew."""
    early = candles_of([100, 101])
    near = candles_of([102], start=early[-1].closed_at + timedelta(hours=1))
    far = candles_of([102], start=early[-1].closed_at + timedelta(hours=1) + CANDLE_SPAN)
    hour = timedelta(hours=1)
    assert candles_unbroken(candles=[*early, *near], longest_hole=hour) == [*early, *near]
    assert candles_unbroken(candles=[*early, *far], longest_hole=hour) == far
    assert candles_unbroken(candles=[], longest_hole=hour) == []


def test_strategies_are_found_by_themselves() -> None:
    """SIG-1: a file in the package is enough; an unknown name is refused with those there are."""
    assert {"rsi_macd_vwap", "average_cross"} <= set(strategies_all())
    with pytest.raises(InputError, match=r"no strategy named “moon”\. Known strategies: average_cross, rsi"):
        strategy_get(name="moon")
    with pytest.raises(ValueError, match="two strategies named 'average_cross'"):
        strategy(name="average_cross", label="Again", settings=AverageCrossSettings)(decide)


def test_the_documented_example_is_the_strategy_that_runs() -> None:
    """DOC-1: docs/adding-a-strategy.md shows the file as it is, and it decides on real candles."""
    page = (ROOT / "docs/adding-a-strategy.md").read_text()
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert (ROOT / "traders/strategies/average_cross.py").read_text() in shown
    cross = strategy_get(name="average_cross")
    said = [cross.decide(window, cross.settings_class()).side for window in windows(recorded("BTC"))]
    assert said[:47] == [SignalSide.HOLD] * 47
    assert {*said[47:]} == {SignalSide.BUY, SignalSide.SELL}


def test_the_example_compares_two_averages() -> None:
    """(1 + 3) ÷ 2 = 2 lies above (1 + 1 + 3) ÷ 3."""
    cross = strategy_get(name="average_cross")
    signal = cross.decide(candles_of([1, 1, 3]), AverageCrossSettings(fast=2, slow=3))
    assert signal == Signal(
        SignalSide.BUY, "Fast average 2 is above slow 1.66667.", {"fast": 2.0, "slow": 5 / 3}
    )


def test_settings_are_checked_field_by_field() -> None:
    """SIG-1: what is wrong is named with its value and what is allowed."""
    found = strategy_get(name="rsi_macd_vwap")
    wrong = {"rsi_period": 1, "rsi_low": "low", "macd_fast": 2.5, "rsi_high": True, "speed": 3}
    names = "rsi_period, rsi_low, rsi_high, macd_fast, macd_slow, macd_signal, vwap_candles"
    assert settings_problems(strategy=found, values=wrong) == [
        f"speed is no setting of rsi_macd_vwap; its settings are {names}",
        "rsi_period is 1; it must be a whole number from 2 to 100",
        "rsi_low is 'low'; it must be a number from 1 to 50",
        "macd_fast is 2.5; it must be a whole number from 2 to 100",
        "rsi_high is True; it must be a number from 50 to 99",
    ]
    assert settings_problems(strategy=found, values={"macd_fast": 30}) == [
        "macd_fast is 30; it must be below macd_slow, which is 26"
    ]
    assert settings_problems(strategy=found, values={"rsi_low": 25, "rsi_period": 21}) == []
