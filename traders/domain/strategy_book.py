"""The book of a strategy: 10,000 of virtual money that its signals trade, candle by candle. Pure.

It buys and sells at the close of the candle that gave the signal, without fee or slippage: it says what the
strategy wants; what following it costs shows in the follower's own fills. Long only, no borrowing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from core.decimals import ZERO, plain, to_money
from core.instruments import Instrument
from traders.domain.signals import Execution, Signal, SignalSide, signal_execute

START_CASH: Final = Decimal(10000)  # quote currency


@dataclass(frozen=True, slots=True)
class BookLeg:
    """What the book has of one instrument.

    :param reached_at: world time up to which its candles are decided
    :param price: close of the last candle decided, None before the first
    :param quantity: units held, 0 or more; ``entry_price`` and ``opened_at`` are None while it is 0
    """

    reached_at: datetime
    price: Decimal | None = None
    quantity: Decimal = ZERO
    entry_price: Decimal | None = None
    opened_at: datetime | None = None

    @property
    def worth(self) -> Decimal:
        """Return quantity × price, quote currency."""
        return ZERO if self.price is None else self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Book:
    """Cash in quote currency, to 8 places and never below zero, and a leg per instrument code."""

    cash: Decimal = START_CASH
    legs: Mapping[str, BookLeg] = field(default_factory=dict)

    @property
    def equity(self) -> Decimal:
        """Return cash and what is held, at the last closes."""
        return self.cash + sum((leg.worth for leg in self.legs.values()), ZERO)


@dataclass(frozen=True, slots=True)
class BookNote:
    """A signal and what the book did with it, to be kept for people to read.

    :param at: world time at which the candle closed
    :param price: its close, None where there was no candle
    """

    at: datetime
    code: str
    signal: Signal
    price: Decimal | None
    execution: Execution


def book_step(
    *,
    book: Book,
    instrument: Instrument,
    signal: Signal,
    close: Decimal,
    closed_at: datetime,
    share: Decimal,
) -> tuple[Book, BookNote]:
    """Carry out the signal of one closed candle; the next candle of the instrument is a later one.

    :param share: fraction of equity that a BUY takes
    :raises ValueError: this candle, or a later one, is decided already
    """
    code = instrument.code
    leg = book.legs[code]
    if closed_at <= leg.reached_at:
        msg = f"the candle of {code} closed at {closed_at} is decided already, up to {leg.reached_at}"
        raise ValueError(msg)
    seen = replace(leg, price=close, reached_at=closed_at)
    marked = replace(book, legs={**book.legs, code: seen})
    done = signal_execute(
        side=signal.side,
        instrument=instrument,
        held=seen.quantity,
        equity=marked.equity,
        cash=book.cash,
        price=close,
        share=share,
    )
    note = BookNote(at=closed_at, code=code, signal=signal, price=close, execution=done)
    return _filled(marked, code, done.quantity, close, closed_at), note


def book_drop(*, book: Book, code: str, at: datetime) -> tuple[Book, BookNote | None]:
    """Take out an instrument that is traded no more: what is held of it is sold at its last close."""
    leg = book.legs[code]
    note = None
    if leg.quantity and leg.price is not None:
        reason = f"{code} was taken out of the file of strategies."
        done = Execution(-leg.quantity, f"all {plain(leg.quantity)} {code} sold at {plain(leg.price)}")
        note = BookNote(at, code, Signal(SignalSide.SELL, reason), leg.price, done)
        book = _filled(book, code, -leg.quantity, leg.price, at)
    return replace(book, legs={name: kept for name, kept in book.legs.items() if name != code}), note


def _filled(book: Book, code: str, quantity: Decimal, price: Decimal, at: datetime) -> Book:
    """Book a fill of a signed quantity; a sale is of all that is held."""
    if quantity == 0:
        return book
    bought = quantity > 0
    leg = replace(
        book.legs[code],
        quantity=book.legs[code].quantity + quantity,
        entry_price=price if bought else None,
        opened_at=at if bought else None,
    )
    return Book(cash=book.cash - to_money(quantity * price), legs={**book.legs, code: leg})
