"""What a strategy says, and what its own book does with it (EXE-1, "Signals and targets"). Pure.

A signal says BUY, SELL or HOLD and knows nothing of what is held. The book does: BUY while held and SELL
while not held are skipped. Signals go long only: a SELL closes what a BUY opened. Every answer has a reason
that a person can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from core.decimals import ZERO, dollars, plain
from core.instruments import Instrument

SIGNAL_SHARE: Final = Decimal("0.05")  # of equity, for one signal


class SignalSide(StrEnum):
    """What a strategy says of one instrument."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


@dataclass(frozen=True, slots=True)
class Signal:
    """What a strategy says on one closed candle, why, and what it read to say so.

    :param readings: numbers by name, None where one could not be told
    """

    side: SignalSide
    reason: str
    readings: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Execution:
    """What the book does with a signal.

    :param quantity: signed, in units of the instrument; 0 is a skip
    """

    quantity: Decimal
    reason: str


def signal_execute(
    *,
    side: SignalSide,
    instrument: Instrument,
    held: Decimal,
    equity: Decimal,
    cash: Decimal,
    price: Decimal,
    share: Decimal = SIGNAL_SHARE,
) -> Execution:
    """Decide on a signal: buy while flat, close while held, else skip.

    :param held: units held now, 0 or more
    :param equity: of the book, quote currency; ``cash``: what of it can be spent
    :param price: quote currency per unit, above zero
    :param share: fraction of equity that one signal sizes: 5 % of 10,000 at 100 are 5
    """
    code = instrument.code
    if side is SignalSide.HOLD:
        return Execution(ZERO, "nothing to do")
    if side is SignalSide.SELL:
        if held <= 0:
            return Execution(ZERO, f"skipped: no {code} is held that could be sold")
        return Execution(-held, f"all {plain(held)} {code} sold at {plain(price)}")
    if held:
        return Execution(ZERO, f"skipped: {plain(held)} {code} are held already")
    wanted = share * max(equity, ZERO)
    quantity = instrument.quantity(min(wanted, max(cash, ZERO)) / price)
    if quantity * price < instrument.min_notional or quantity == 0:
        least = dollars(instrument.min_notional)
        return Execution(ZERO, f"skipped: {dollars(quantity * price)} is below the smallest order of {least}")
    return Execution(quantity, f"{plain(quantity)} {code} bought at {plain(price)}")
