"""A strategy's own book: what a signal does to it, and that its money adds up (EXE-1, FOL-3)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decimals import ZERO
from core.instruments import Instrument
from tests.unit.signals.candles import DAY
from traders.domain.signals import Execution, Signal, SignalSide, signal_execute
from traders.domain.strategy_book import Book, BookLeg, BookNote, book_drop, book_step

D = Decimal
COIN = Instrument("COIN", "COIN", D(1), D("0.01"), price_places=4)
OTHER = Instrument("OTHER", "OTHER", D(1), D("0.00001"), price_places=4)
BUY, SELL, HOLD = (Signal(side, "because") for side in SignalSide)
SHARE = D("0.05")


def executed(side: str, *, held: str = "0", equity: str = "10000", cash: str = "10000") -> Execution:
    return signal_execute(
        side=SignalSide(side), instrument=COIN, held=D(held), equity=D(equity), cash=D(cash), price=D(100)
    )


@pytest.mark.parametrize(
    ("done", "quantity", "reason"),
    [
        (executed("BUY"), "5", "5 COIN bought at 100"),
        (executed("BUY", held="2"), "0", "skipped: 2 COIN are held already"),
        (executed("SELL", held="2"), "-2", "all 2 COIN sold at 100"),
        (executed("SELL"), "0", "skipped: no COIN is held that could be sold"),
        (executed("HOLD", held="2"), "0", "nothing to do"),
        (executed("BUY", cash="123.45"), "1.23", "1.23 COIN bought at 100"),
        (executed("BUY", equity="100"), "0", "skipped: $5.00 is below the smallest order of $10.00"),
        (executed("BUY", equity="-3"), "0", "skipped: $0.00 is below the smallest order of $10.00"),
    ],
)
def test_a_signal_is_carried_out_or_skipped(done: Execution, quantity: str, reason: str) -> None:
    """EXE-1, "Signals and targets": 5 % of 10,000 at 100 are 5; buy while flat, close while held."""
    assert done == Execution(D(quantity), reason)


def book(*instruments: Instrument) -> Book:
    return Book(legs={one.code: BookLeg(reached_at=DAY) for one in instruments})


def step(at: Book, signal: Signal, close: str, minutes: int) -> tuple[Book, BookNote]:
    moment = DAY + timedelta(minutes=minutes)
    return book_step(book=at, instrument=COIN, signal=signal, close=D(close), closed_at=moment, share=SHARE)


def test_a_life_of_a_book() -> None:
    """A worked example: 5 bought at 100, sold at 110: 50 won; then 5 % of 10,050 at 110 are 4.56."""
    flat, note = step(book(COIN), BUY, "100", 5)
    assert (note.execution.quantity, flat.cash, flat.equity) == (D(5), D(9500), D(10000))
    assert flat.legs["COIN"] == BookLeg(
        DAY + timedelta(minutes=5), D(100), D(5), D(100), DAY + timedelta(minutes=5)
    )
    held, note = step(flat, HOLD, "110", 10)
    assert (note.execution.quantity, held.cash, held.equity) == (ZERO, D(9500), D(10050))
    again, note = step(held, BUY, "110", 15)
    assert (note.execution.reason, again.cash) == ("skipped: 5 COIN are held already", D(9500))
    sold, note = step(again, SELL, "110", 20)
    assert (note.execution.quantity, sold.cash, sold.equity) == (D(-5), D(10050), D(10050))
    assert sold.legs["COIN"] == BookLeg(DAY + timedelta(minutes=20), D(110), D(0), None, None)
    back, note = step(sold, BUY, "110", 25)
    assert (note.execution.quantity, back.cash) == (D("4.56"), D(10050) - D("501.6"))


def test_a_candle_is_decided_once() -> None:
    """The same candle again, or an earlier one, is a fault and changes nothing."""
    after, _ = step(book(COIN), BUY, "100", 5)
    for minutes in (5, 0):
        with pytest.raises(ValueError, match="is decided already"):
            step(after, SELL, "100", minutes)
    assert after.legs["COIN"].quantity == D(5)


def test_an_instrument_taken_out_is_sold_at_its_last_close() -> None:
    """What is held of it becomes cash; one that is flat just goes."""
    held, _ = step(book(COIN, OTHER), BUY, "100", 5)
    held, _ = step(held, HOLD, "90", 10)
    at = DAY + timedelta(minutes=12)
    left, note = book_drop(book=held, code="COIN", at=at)
    assert (left.cash, list(left.legs), left.equity) == (D(9950), ["OTHER"], D(9950))
    assert note == BookNote(
        at,
        "COIN",
        Signal(SignalSide.SELL, "COIN was taken out of the file of strategies."),
        D(90),
        Execution(D(-5), "all 5 COIN sold at 90"),
    )
    empty, nothing = book_drop(book=left, code="OTHER", at=at)
    assert (empty, nothing) == (Book(D(9950), {}), None)


moves = st.lists(
    st.tuples(
        st.sampled_from([BUY, SELL, HOLD]),
        st.sampled_from([COIN, OTHER]),
        st.decimals("0.0001", "100000", places=4),
    ),
    max_size=60,
)


@given(moves=moves, share=st.decimals("0.001", "0.5", places=3))
def test_money_adds_up_whatever_is_said(
    moves: list[tuple[Signal, Instrument, Decimal]], share: Decimal
) -> None:
    """Cash is 10,000 less every fill to the last place and never below zero; nothing is ever sold short."""
    now, cash = book(COIN, OTHER), D(10000)
    held = {"COIN": ZERO, "OTHER": ZERO}
    for place, (signal, coin, close) in enumerate(moves, start=1):
        before = now.equity
        now, note = book_step(
            book=now,
            instrument=coin,
            signal=signal,
            close=close,
            closed_at=DAY + timedelta(minutes=place),
            share=share,
        )
        quantity = note.execution.quantity
        cash -= (quantity * close).quantize(D("0.00000001"))
        held[coin.code] += quantity
        assert now.cash == cash >= 0
        assert {code: leg.quantity for code, leg in now.legs.items()} == held
        assert all(leg.quantity >= 0 for leg in now.legs.values())
        assert quantity == coin.quantity(quantity)
        assert quantity == 0 or (signal is BUY) == (quantity > 0)
        assert signal is not HOLD or quantity == 0
        if quantity > 0:  # flat before, so the new close of this one changes no equity
            assert quantity * close <= share * before
