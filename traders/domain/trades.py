"""Trades that a trader is known to have made, and which of them a change of its position came from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from core.decimals import ZERO

COVERED: Final = Decimal("0.99")  # recorded sizes are rounded to steps; that much of a change must be found


@dataclass(frozen=True, slots=True)
class OwnTrade:
    """One trade of a trader's own.

    :param quantity: signed; positive bought
    :param price: quote currency per unit
    :param at: world time
    """

    at: datetime
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class OwnAct:
    """What a change of a trader's cost it on average, and from its first to its last trade."""

    price: Decimal
    from_at: datetime
    until_at: datetime


def trades_behind(*, trades: Sequence[OwnTrade], change: Decimal) -> OwnAct | None:
    """Return the newest trades on the side of ``change`` that make it up, as one; None where they do not.

    Of the oldest of them only what is missing counts. What lies on the other side is passed over.

    :param trades: by rising time
    :param change: signed change of the position, in the trades' units; never 0
    """
    missing, cost, until_at, from_at = abs(change), ZERO, None, None
    for trade in reversed(trades):
        if trade.quantity * change <= 0:
            continue
        part = min(missing, abs(trade.quantity))
        cost, missing = cost + part * trade.price, missing - part
        until_at, from_at = until_at or trade.at, trade.at
        if missing == 0:
            break
    found = abs(change) - missing
    if until_at is None or from_at is None or found < COVERED * abs(change):
        return None
    return OwnAct(price=cost / found, from_at=from_at, until_at=until_at)
