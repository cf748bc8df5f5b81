"""The chase guard: how far the price has run past a trader's own entry (EXE-4).

A trader reports one average entry per position. What it paid for a part it added follows from how far the
add moved that average: (quantity · entry − quantity before · entry before) ÷ (quantity − quantity before).
Where it also reduced between two reads this is an estimate; where it reports no entry nothing is known,
and nothing is guarded. Prices are per unit of the underlying; quantities are signed.
"""

from __future__ import annotations

from decimal import Decimal

from allocation.domain.books import TraderLeg
from core.decimals import ONE, ZERO, to_price


def price_added(*, before: TraderLeg | None, after: TraderLeg, known: Decimal | None) -> Decimal | None:
    """Return the price of what a trader last added to a position; None where it opened it and added nothing.

    10 at 100, then 15 at 110: the 5 cost (1,650 − 1,000) ÷ 5 = 130.

    :param before: the position when it was last decided on; None where there was none
    :param known: the price of an earlier add
    """
    if before is None or before.quantity * after.quantity < 0:
        return None
    more = after.quantity - before.quantity
    if abs(after.quantity) <= abs(before.quantity):
        return known
    if before.entry_price is None or after.entry_price is None:
        return None
    price = (after.quantity * after.entry_price - before.quantity * before.entry_price) / more
    return to_price(price if price > 0 else after.entry_price)


def price_run(*, price: Decimal, entry: Decimal | None, long: bool) -> Decimal:
    """Return how far the price has run past an entry, as a fraction of it; negative where it came back.

    Past is up for a long and down for a short. 0 where the entry is not known.
    """
    if entry is None or entry <= 0:
        return ZERO
    run = price / entry - ONE
    return run if long else -run
