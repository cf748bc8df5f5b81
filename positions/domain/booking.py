"""Booking of fills, transfers and hand-overs, exact to the last decimal.

Signs: quantity, cost and notional are positive for long and for buying, negative for short and for
selling. A book is a quantity and its cost; the average entry price is cost ÷ quantity. Realized P&L is
before fees; gains are positive.

Everything follows from one identity: whatever is booked, Δrealized − Δcost = −notional. So summed
over its bookings realized − cost = −Σ notional, for a position as for each of its slices, and
realized + unrealized changes by nothing but the distance between price and mark.

A worked example, prices in dollars. Buy 2 at 100, then 1 at 130, then sell 1 at 140:

    buy  2 @ 100   quantity 2   cost 200
    buy  1 @ 130   quantity 3   cost 330   (average 110)
    sell 1 @ 140   quantity 2   cost 220   realized 140 − 110 = 30

Average-cost method as described in IAS 2, paragraph 27 (weighted average cost).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from core.decimals import EXACT, MONEY_STEP, QUANTITY_STEP, ZERO, part_of, split_pro_rata, to_step


@dataclass(frozen=True, slots=True)
class Book:
    """A signed quantity in base units and its signed cost in quote currency (8 places)."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Booked:
    """A book after something was booked into it, and the P&L that this realized."""

    quantity: Decimal
    cost: Decimal
    realized: Decimal

    @property
    def book(self) -> Book:
        """The book without what was realized."""
        return Book(quantity=self.quantity, cost=self.cost)


@dataclass(frozen=True, slots=True)
class Share:
    """One slice's part of a fill; ``index`` points into the order's slices."""

    index: int
    quantity: Decimal
    notional: Decimal
    fee: Decimal


def notional_of(*, quantity: Decimal, price: Decimal) -> Decimal:
    """Return quantity × price to 8 places, half to even, with the quantity's sign."""
    return EXACT.multiply(quantity, price).quantize(MONEY_STEP, context=EXACT)


def fill_apply(*, book: Book, quantity: Decimal, notional: Decimal) -> Booked:
    """Book a signed quantity for a signed notional into a book.

    Enlarging adds quantity and cost. Reducing takes out the proportional share of the cost, a full
    close all of it, and realizes the rest. Through zero: the old book is closed with its share of the
    notional, and the remainder opens the other side.

    :raises ValueError: quantity is zero
    """
    if quantity == 0:
        msg = "a booking needs a quantity"
        raise ValueError(msg)
    before, after = book.quantity, book.quantity + quantity
    if before == 0 or (before > 0) == (quantity > 0):
        return Booked(quantity=after, cost=book.cost + notional, realized=ZERO)
    if abs(quantity) <= abs(before):
        cost_share = part_of(amount=book.cost, part=-quantity, whole=before)
        return Booked(quantity=after, cost=book.cost - cost_share, realized=-notional - cost_share)
    closing = part_of(amount=notional, part=-before, whole=quantity)
    return Booked(quantity=after, cost=notional - closing, realized=-closing - book.cost)


def unrealized_pnl(*, quantity: Decimal, cost: Decimal, mark: Decimal) -> Decimal:
    """Return quantity × mark − cost to 8 places; gains are positive on both sides."""
    return notional_of(quantity=quantity, price=mark) - cost


def fill_shares(
    *,
    slices: Sequence[Decimal],
    filled_before: Decimal,
    quantity: Decimal,
    notional: Decimal,
    fee: Decimal,
) -> list[Share]:
    """Distribute one fill over an order's slices, pro rata to what each slice ordered.

    Shares are differences of the cumulative split, so that the fills of an order which is filled
    completely give each slice exactly what it ordered. Notional and fee follow the quantities;
    each of the three sums to the fill exactly.

    :param slices: signed ordered quantities; their sum has the sign of the order's side
    :param filled_before: signed quantity filled before this fill
    :param quantity: signed quantity of this fill
    :param notional: signed notional of this fill
    """
    before = split_pro_rata(filled_before, slices, step=QUANTITY_STEP)
    after = split_pro_rata(filled_before + quantity, slices, step=QUANTITY_STEP)
    quantities = [late - early for late, early in zip(after, before, strict=True)]
    notionals = split_pro_rata(notional, quantities, step=MONEY_STEP)
    fees = split_pro_rata(fee, quantities, step=MONEY_STEP)
    return [
        Share(index=index, quantity=part, notional=notionals[index], fee=fees[index])
        for index, part in enumerate(quantities)
        if part
    ]


def quantity_kept(
    *, quantity: Decimal, fee: Decimal, gross: Decimal, fees: Decimal, kept: Decimal, step: Decimal
) -> Decimal:
    """Return how much of a purchase enters the position where the venue keeps its fee in what was bought.

    Over all fills of the order, what was bought less the fees, rounded down to the venue's step: so what is
    held can be sold again. The rest of a step stays in the account and is not counted as ours.

    A worked example with a step of 0.001: 0.010 bought for a fee of 0.00001 keeps 0.009, and 0.010 more
    keeps 0.010, since 0.01998 are there in all.

    :param quantity: of this fill, ``fee`` of it kept by the venue; both base units, positive
    :param gross: filled before, ``fees`` kept of it by the venue, ``kept`` of it in the position
    :param step: the smallest difference between two order quantities there
    """
    there = to_step(gross + quantity - fees - fee, step) - kept
    # A fill of a single step leaves less than one: it is held as it is until the next fill completes it.
    return min(quantity, there) if there > 0 else quantity - fee


def shares_kept(*, shares: Sequence[Share], quantity: Decimal) -> list[Share]:
    """Return shares of which only ``quantity``, signed, enters the position; what they cost stays."""
    parts = split_pro_rata(quantity, [share.quantity for share in shares], step=QUANTITY_STEP)
    return [replace(share, quantity=part) for share, part in zip(shares, parts, strict=True)]
