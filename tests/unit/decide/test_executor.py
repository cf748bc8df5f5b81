"""The executor: every case of a signal and of a target, with the reason that a person reads (EXE-1)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.instruments import Instrument
from engine.domain.copy_types import Market
from engine.domain.executor import (
    Execution,
    Signal,
    SignalSide,
    Standing,
    Target,
    signal_execute,
    target_execute,
)
from engine.domain.plan_types import Purpose

D = Decimal
COIN = Market(Instrument("COIN", "COIN", D(1), D("0.01"), price_places=4), mark=D(100))


def standing(held: str = "0", *, barred: str = "", equity: str = "10000", stale: bool = False) -> Standing:
    market = Market(COIN.instrument, COIN.mark, stale=stale)
    return Standing(market=market, held=D(held), equity=D(equity), barred=barred)


def signal(side: str, at: Standing) -> Execution:
    return signal_execute(signal=Signal(SignalSide(side), "RSI"), standing=at)


@pytest.mark.parametrize(
    ("side", "at", "expected"),
    [
        ("BUY", standing(), (Purpose.ENTRY, "5", "RSI says BUY: 5 for $500.00 are ordered.")),
        ("BUY", standing("2"), (None, "0", "RSI says BUY: 2 COIN are held already.")),
        ("BUY", standing("-2"), (None, "0", "RSI says BUY: -2 COIN are held already.")),
        ("SELL", standing("2"), (Purpose.CLOSE, "-2", "RSI says SELL: all 2 COIN are sold.")),
        ("SELL", standing(), (None, "0", "RSI says SELL: no COIN is held that could be sold.")),
        ("SELL", standing("-1"), (None, "0", "RSI says SELL: no COIN is held that could be sold.")),
        (
            "BUY",
            standing(barred="the daily loss breaker tripped"),
            (None, "0", "RSI says BUY: nothing is opened, the daily loss breaker tripped."),
        ),
        (
            "SELL",
            standing("2", barred="the daily loss breaker tripped"),
            (Purpose.CLOSE, "-2", "RSI says SELL: all 2 COIN are sold."),
        ),
        (
            "BUY",
            standing(stale=True),
            (None, "0", "RSI says BUY: nothing is opened, the price of COIN is stale."),
        ),
        ("SELL", standing("2", stale=True), (Purpose.CLOSE, "-2", "RSI says SELL: all 2 COIN are sold.")),
        (
            "HOLD",
            standing("2"),
            (None, "0", "RSI says HOLD: COIN stays as it is; its exits are checked all the same."),
        ),
        (
            "BUY",
            standing(equity="100"),
            (None, "0", "RSI says BUY: the order would be below the venue's minimum of $10.00."),
        ),
        (
            "BUY",
            standing(equity="-3"),
            (None, "0", "RSI says BUY: the order would be below the venue's minimum of $10.00."),
        ),
    ],
)
def test_a_signal_is_carried_out_or_skipped(
    side: str, at: Standing, expected: tuple[Purpose | None, str, str]
) -> None:
    """EXE-1, "Signals and targets": 5 % of 10,000 at 100 are 5; exits pass whatever bars entries."""
    purpose, quantity, reason = expected
    assert signal(side, at) == Execution(purpose, D(quantity), reason)


@pytest.mark.parametrize(
    ("target", "at", "expected"),
    [
        ("5", standing(), Execution(Purpose.ENTRY, D(5), "Grok wants 5 COIN: 5 for $500.00 are ordered.")),
        (
            "5",
            standing("3"),
            Execution(Purpose.SCALE_IN, D(2), "Grok wants 5 COIN: 2 for $200.00 are ordered."),
        ),
        ("5", standing("5"), Execution(None, D(0), "Grok wants 5 COIN: that is what is held.")),
        ("2", standing("5"), Execution(Purpose.REDUCE, D(-3), "Grok wants 2 COIN: 3 of it are closed.")),
        ("0", standing("5"), Execution(Purpose.CLOSE, D(-5), "Grok wants 0 COIN: 5 of it are closed.")),
        (
            "-1",
            standing("5"),
            Execution(
                Purpose.CLOSE,
                D(-5),
                "Grok wants -1 COIN: 5 of it are closed first; the other side follows when flat.",
                flips=True,
            ),
        ),
        (
            "5",
            standing("3", barred="the portfolio is halted"),
            Execution(None, D(0), "Grok wants 5 COIN: nothing is opened, the portfolio is halted."),
        ),
        (
            "0",
            standing("5", barred="the portfolio is halted"),
            Execution(Purpose.CLOSE, D(-5), "Grok wants 0 COIN: 5 of it are closed."),
        ),
        (
            "4.95",
            standing("5"),
            Execution(
                None, D(0), "Grok wants 4.95 COIN: the order would be below the venue's minimum of $10.00."
            ),
        ),
        (
            "0",
            standing("0.05"),
            Execution(Purpose.CLOSE, D("-0.05"), "Grok wants 0 COIN: 0.05 of it are closed."),
        ),
    ],
)
def test_a_target_places_the_difference(target: str, at: Standing, expected: Execution) -> None:
    """EXE-1, "Signals and targets": scale in, reduce, close whole, and close before a flip."""
    assert target_execute(target=Target(D(target), "Grok"), standing=at) == expected
