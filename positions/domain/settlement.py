"""What a booked fill does to a portfolio's money.

All amounts are quote currency to 8 places. ``free`` is the change of free capital before a deficit
is settled; the ledger entries of a fill sum to free + committed, since those two are its cash.

Spot: a purchase pays its cost and fee out of the capital committed behind the order, then out of what
is free; the cost is deployed. A sale brings its proceeds less the fee; its share of the cost is
no longer deployed.

Perpetuals: only realized P&L and fees are cash. Margin moves from behind the order to behind the
position when it grows and back to free when it shrinks; both are committed capital. Where a fill at a
better price needs more margin than was committed, the rest comes out of free capital as far as that
reaches: only a loss or a fee can leave a deficit, setting margin aside never does.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.decimals import ZERO, part_of
from positions.domain.booking import Book, Booked, notional_of


@dataclass(frozen=True, slots=True)
class Settlement:
    """The changes that one fill makes.

    :param order_committed: capital that stays behind the order
    :param margin: margin behind the position afterwards
    :param cash: signed ledger amounts as (kind, amount)
    """

    order_committed: Decimal
    margin: Decimal
    free: Decimal
    committed: Decimal
    deployed: Decimal
    cash: tuple[tuple[str, Decimal], ...]


def spot_settle(
    *, order_committed: Decimal, before: Book, after: Booked, notional: Decimal, fee: Decimal
) -> Settlement:
    """Settle a spot fill.

    :param notional: signed: positive was paid, negative was received
    """
    outflow = notional + fee
    used = min(order_committed, max(outflow, ZERO))
    kind = "purchase" if notional > 0 else "sale"
    return Settlement(
        order_committed=order_committed - used,
        margin=ZERO,
        free=used - outflow,
        committed=-used,
        deployed=after.cost - before.cost,
        cash=((kind, -notional), ("fee", -fee)),
    )


def perp_settle(
    *,
    order_committed: Decimal,
    before: Book,
    after: Booked,
    margin: Decimal,
    notional: Decimal,
    fee: Decimal,
    margin_rate: Decimal,
    free: Decimal,
) -> Settlement:
    """Settle a perpetual fill.

    :param margin: behind the position before the fill
    :param margin_rate: margin per cost of what this fill opens, 0 < rate <= 1
    :param free: free capital before the fill, >= 0
    """
    wanted = _margin_after(
        before=before, after=after, margin=margin, notional=notional, margin_rate=margin_rate
    )
    within_reach = max(ZERO, order_committed + free + after.realized - fee)
    added = min(wanted - margin, within_reach)
    margin_after = margin + added
    needed = added + fee - after.realized
    used = min(order_committed, max(needed, ZERO))
    return Settlement(
        order_committed=order_committed - used,
        margin=margin_after,
        free=used - needed,
        committed=added - used,
        deployed=ZERO,
        cash=(("realized", after.realized), ("fee", -fee)),
    )


def _margin_after(
    *, before: Book, after: Booked, margin: Decimal, notional: Decimal, margin_rate: Decimal
) -> Decimal:
    """Return the margin after a fill: more for what was opened, pro rata less for what was closed."""
    if after.quantity == 0:
        return ZERO
    if before.quantity == 0 or (before.quantity > 0) != (after.quantity > 0):
        return notional_of(quantity=abs(after.cost), price=margin_rate)
    if abs(after.quantity) > abs(before.quantity):
        return margin + notional_of(quantity=abs(notional), price=margin_rate)
    return part_of(amount=margin, part=after.quantity, whole=before.quantity)
