"""Where a stop should rest at a venue, and when one that rests is moved.

What rests is the second line behind the exit watch, which closes at the exact level: so the price is rounded
to the venue's digits away from the market, never to fire before the watch would, and it follows a trailing
stop in steps of 0.1 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from core.decimals import ZERO
from core.instruments import Instrument
from core.types import OrderSide
from positions.domain.exits import ExitKind, ExitState

MOVE_STEP: Final = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class StopAtVenue:
    """A stop as a venue takes it: reduce-only, for ``quantity`` base units, positive."""

    side: OrderSide
    quantity: Decimal
    trigger_price: Decimal


def stop_wanted(*, state: ExitState, quantity: Decimal, instrument: Instrument) -> StopAtVenue | None:
    """Return the stop that should rest for a position; None where no level stands or it is too small.

    :param quantity: signed, of the position
    """
    level = state.protective_price
    size = instrument.quantity(abs(quantity))
    if level is None or size == ZERO or quantity * state.sign <= 0:
        return None
    price = instrument.price(level, up=state.sign < 0)
    if price <= 0:
        return None
    side = OrderSide.SELL if state.sign > 0 else OrderSide.BUY
    return StopAtVenue(side=side, quantity=size, trigger_price=price)


def stop_kind(*, state: ExitState) -> ExitKind:
    """Return which rule's level the stop is."""
    trails = state.trail_price is not None and state.protective_price == state.trail_price
    return ExitKind.TRAILING if trails else ExitKind.STOP_LOSS


def stop_moves(*, rests: StopAtVenue, wanted: StopAtVenue) -> bool:
    """Tell whether a stop that rests is to be replaced by the one that is wanted now.

    One that would fire too early is, whatever the distance; one that lags behind only from 0.1 % on.
    """
    if (rests.side, rests.quantity) != (wanted.side, wanted.quantity):
        return True
    sign = 1 if wanted.side is OrderSide.SELL else -1
    behind = (wanted.trigger_price - rests.trigger_price) * sign
    return behind < 0 or behind >= rests.trigger_price * MOVE_STEP
