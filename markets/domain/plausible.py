"""Is a quoted price to be believed? One that more than doubles or halves at once waits for a second one.

A venue's slip (a price of another coin, a misplaced point) is over with the next quote; a crash is still
there. So a jump is believed as soon as the next quote says about the same, and costs one quote's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

JUMP: Final = Decimal(2)  # times the last believed price, or its inverse
AGREES: Final = Decimal("1.2")  # the second quote lies within this factor of the first


@dataclass(frozen=True, slots=True)
class Believed:
    """What is known of one instrument's price.

    :param price: the last believed one, None before the first
    :param doubted: a jump that waits for a second quote
    """

    price: Decimal | None = None
    doubted: Decimal | None = None


def price_usable(price: Decimal) -> bool:
    """Tell whether a number can be a price at all: finite and above zero."""
    return price.is_finite() and price > 0


def price_weighed(known: Believed, price: Decimal) -> Believed:
    """Return what is known after one more usable quote; it is believed where ``doubted`` is None.

    >>> price_weighed(Believed(price=Decimal(100)), Decimal(1000))
    Believed(price=Decimal('100'), doubted=Decimal('1000'))
    >>> price_weighed(Believed(price=Decimal(100), doubted=Decimal(1000)), Decimal(990))
    Believed(price=Decimal('990'), doubted=None)
    """
    near = known.price is None or _within(price, known.price, JUMP)
    confirmed = known.doubted is not None and _within(price, known.doubted, AGREES)
    return Believed(price=price) if near or confirmed else Believed(price=known.price, doubted=price)


def _within(price: Decimal, other: Decimal, factor: Decimal) -> bool:
    return price <= other * factor and other <= price * factor
