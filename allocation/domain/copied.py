"""Which part of a trader's position is copied, and which part is left to the trader.

A follow carries, per underlying, a signed ``ignored`` quantity of the trader's. It says "this much
was open before it concerned us": at joining (copy new trades only), while paused, or after our own
exit closed what the trader still holds (EXE-8). What is copied is the rest: quantity - ignored.

Ignored only ever shrinks by itself: once the trader has reduced below it, closed or flipped, that
part is gone and whatever comes after is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final

from allocation.domain.books import TraderBook, TraderLeg
from core.decimals import QUANTITY_STEP, ZERO, to_step

ENTRY_TOLERANCE: Final = Decimal("0.02")  # an open position is joined within 2 % of the trader's own entry


class JoinMode(StrEnum):
    """What a new follow does with the positions its trader has open."""

    NEW_ONLY = "new_only"
    INCLUDE_OPEN = "include_open"


def ignored_ratchet(*, ignored: Decimal, quantity: Decimal) -> Decimal:
    """Return what stays ignored now that the trader holds ``quantity`` (both signed, same units).

    10 ignored of 10, trader sells down to 6: 6 are ignored. It closes or flips: nothing is.
    """
    if ignored == 0 or quantity == 0 or (ignored > 0) != (quantity > 0):
        return ZERO
    return quantity if abs(quantity) < abs(ignored) else ignored


def copied_quantity(*, leg: TraderLeg | None, ignored: Decimal) -> Decimal:
    """Return the signed part of a leg that is copied; ``ignored`` must have been ratcheted before."""
    return ZERO if leg is None else leg.quantity - ignored


def copied_notional(*, leg: TraderLeg, ignored: Decimal) -> Decimal:
    """Return the notional of the copied part: the leg's own, in proportion to the quantity copied."""
    if ignored == 0:
        return leg.notional
    return leg.notional * (leg.quantity - ignored) / leg.quantity


def ignored_on_join(*, book: TraderBook, mode: JoinMode) -> dict[str, Decimal]:
    """Return what a new follow ignores of each underlying its trader has open.

    NEW_ONLY ignores all of it. INCLUDE_OPEN ignores only legs whose mark has moved more than 2 %
    from the trader's entry, up or down, and those whose entry is not known.
    """
    return {
        leg.underlying: leg.quantity
        for leg in book.legs.values()
        if mode is JoinMode.NEW_ONLY or not _near_entry(leg)
    }


def ignored_on_resume(
    *, book: TraderBook, ignored: Mapping[str, Decimal], copied: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Return what a resumed follow ignores: everything opened or added while it was paused.

    :param ignored: what was ignored up to now
    :param copied: the copied quantity last adopted for each underlying
        (while paused it only follows the trader downwards, so what exceeds it was added meanwhile)
    """
    result: dict[str, Decimal] = {}
    for underlying, leg in book.legs.items():
        old = ignored_ratchet(ignored=ignored.get(underlying, ZERO), quantity=leg.quantity)
        known = copied.get(underlying, ZERO)
        now = leg.quantity - old
        if now == 0 or (known > 0) != (now > 0) or known == 0:
            result[underlying] = leg.quantity
        else:
            result[underlying] = leg.quantity - known if abs(now) > abs(known) else old
    return {underlying: quantity for underlying, quantity in result.items() if quantity}


def copied_after_exit(
    *, copied: Decimal, wish: Decimal, remains: Decimal, others: Decimal, allowed: Decimal
) -> Decimal:
    """Return how much of a trader's quantity stays copied once our own exit left ``remains`` of its slice.

    It is as much as makes us want what is left, so that nothing of what we sold is bought again though
    the trader still holds it (EXE-8). Of 1 BTC that we would copy with 1,000 and, by a limit, hold 500 of,
    an exit of half leaves 250: 0.25 stays copied. Never more than before; 0 where the sides differ.

    Where the trader's legs are scaled down to its share, letting go of a part of one scales all of them up:
    x · allowed ÷ (others + x) = remains gives x = remains · others ÷ (allowed − remains).

    :param copied: the trader's quantity as adopted, signed
    :param wish: what ``copied`` is worth to us, before scaling, conflict rule and limits, signed
    :param remains: what the slice is worth after the exit, signed; all at current marks
    :param others: Σ|wish| of the trader's other legs, before scaling
    :param allowed: what all its legs together may be worth: share × gross cap
    """
    if wish == 0 or remains == 0 or (wish > 0) != (remains > 0):
        return ZERO
    left = abs(remains)
    if left >= allowed:
        return copied
    wanted = left if others + left <= allowed else left * others / (allowed - left)
    return copied if wanted >= abs(wish) else to_step(copied * wanted / abs(wish), QUANTITY_STEP)


def _near_entry(leg: TraderLeg) -> bool:
    """Tell whether the mark is within 2 % of the trader's entry."""
    if leg.entry_price is None or leg.entry_price <= 0:
        return False
    return abs(leg.notional / leg.quantity / leg.entry_price - 1) <= ENTRY_TOLERANCE
