"""How faithful a copied fill is: our price against the trader's own, in parts that sum to the whole (BEY-2).

Everything is in basis points of the trader's own price; positive is worse for us, whichever side we are on.
With s = 1 where we bought and -1 where we sold:

    delay      s (mark we decided on - trader's own price) ÷ own price    what the price did until we decided
    execution  s (our fill's price - mark we decided on) ÷ own price      spread and slippage
    fee        our fee ÷ (quantity x own price)
    whole      the sum of the three

The trader's own price stands for the mark at which it acted: its trade is the one record of that moment, so
its own spread lies in our delay. What was not copied at all is a measure of its own, in basis points of the
wish (``unsized_bps``), since a part that was never bought has no price.

Source of the parts: Perold (1988), The Implementation Shortfall, Journal of Portfolio Management 14(3).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Final

from core.decimals import ONE, ZERO

BPS_OF_ONE: Final = Decimal(10000)
BPS_STEP: Final = Decimal("0.0001")
MOST_BPS: Final = Decimal(99_999_999)  # what is stored; beyond it a price is no price


class PriceKind(StrEnum):
    """Where a trader's own price is from, the surest first."""

    FILL = "fill"  # its own trades are known
    ENTRY = "entry"  # it opened the position: its reported entry price
    ADDED = "added"  # it enlarged the position: what moved its average entry that far
    SEEN = "seen"  # it reduced: the mark when that was first read
    JOINED = "joined"  # its entry, from before it was followed: coming late is no delay of ours
    NOBODY = "nobody"  # no trade of this trader's: the mark we decided on


MEASURED: Final = (PriceKind.FILL, PriceKind.ENTRY, PriceKind.ADDED, PriceKind.SEEN)


@dataclass(frozen=True, slots=True)
class TraderAct:
    """What a trader did that we copy.

    :param price: its own, per unit of our instrument, > 0
    :param from_at: world time before which it did not act; None where not known
    :param until_at: world time by which it had acted; None where not known
    """

    price: Decimal
    kind: PriceKind
    from_at: datetime | None = None
    until_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FillParts:
    """One fill against the trader's own price, in basis points to 4 places; positive is worse for us."""

    delay_bps: Decimal
    execution_bps: Decimal
    fee_bps: Decimal

    @property
    def whole_bps(self) -> Decimal:
        """The sum of the parts."""
        return self.delay_bps + self.execution_bps + self.fee_bps


def fill_measure(
    *,
    side_up: bool,
    own_price: Decimal,
    decision_mark: Decimal,
    price: Decimal,
    quantity: Decimal,
    fee: Decimal,
) -> FillParts:
    """Measure one fill, or a trader's part of it.

    Bought 2 at 101.5 for a fee of 0.203, decided at 101, where the trader had paid 100: delay 100 bps,
    execution 50 bps, fee 10.15 bps.

    :param side_up: we bought
    :param own_price: the trader's own, per unit of our instrument, > 0
    :param quantity: unsigned, > 0; ``fee`` quote currency, positive is paid
    """
    sign = ONE if side_up else -ONE
    return FillParts(
        delay_bps=_bps(sign * (decision_mark - own_price), own_price),
        execution_bps=_bps(sign * (price - decision_mark), own_price),
        fee_bps=_bps(fee, quantity * own_price),
    )


def unsized_bps(*, wished: Decimal, sent: Decimal) -> Decimal | None:
    """Return how much of a wished change was not copied, in basis points of it; None where none was wished.

    Rounding, limits, caps, room and the netting with others are in it. Negative where a remainder too small
    for an order of its own went along.

    :param wished: signed change that the trader's scaled target asks of our slice
    :param sent: signed change that orders and internal transfers make
    """
    if wished == 0 or wished * sent < 0:
        return None
    return _bps(wished - sent, wished)


def _bps(amount: Decimal, whole: Decimal) -> Decimal:
    value = (amount / whole * BPS_OF_ONE).quantize(BPS_STEP, rounding=ROUND_HALF_EVEN)
    return max(-MOST_BPS, min(MOST_BPS, value)) + ZERO
