"""What an order may become, what it takes to place one, and what capital must stand behind it.

Sides are BUY and SELL, quantities of orders are positive base units; a signed quantity is positive
for BUY and negative for SELL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from core.decimals import MONEY_STEP, ONE, ZERO
from core.instruments import Instrument
from core.types import OrderSide, Policy


class OrderStatus(StrEnum):
    """Statuses of an order; the values are those of ``execution.models.Order.Status``."""

    PENDING = "pending"
    SUBMITTED = "submitted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


MARKET_PROTECTION: Final = Decimal("0.05")

_S = OrderStatus
ENDED: Final = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED})
OPEN: Final = frozenset(set(_S) - ENDED)

TRANSITIONS: Final[Mapping[OrderStatus, frozenset[OrderStatus]]] = {
    # A fill may be booked before the answer to the submit is: then it goes straight to (partly) filled.
    # Cancelled and expired from here: it was never sent. Unknown: it was sent and nothing came back.
    _S.PENDING: frozenset(
        {
            _S.SUBMITTED,
            _S.PARTIALLY_FILLED,
            _S.FILLED,
            _S.CANCELLED,
            _S.REJECTED,
            _S.EXPIRED,
            _S.UNKNOWN,
        }
    ),
    # Rejected after acceptance: venues check some rules late. Unknown: the venue no longer knows it.
    _S.SUBMITTED: frozenset(
        {_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED, _S.UNKNOWN}
    ),
    _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.UNKNOWN}),
    # Once the venue answers, an unknown order is whatever the venue says. Never back to pending: it may be
    # resting there, and sending it again is the venue's to refuse by client id, not ours to try.
    _S.UNKNOWN: frozenset(
        {_S.SUBMITTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED}
    ),
    # A late fill: it happened before the cancel or the expiry took effect and reached us after.
    _S.CANCELLED: frozenset({_S.FILLED}),
    _S.EXPIRED: frozenset({_S.FILLED}),
    # We took it for one that never arrived, and it had arrived after all.
    _S.REJECTED: frozenset({_S.SUBMITTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.EXPIRED}),
    # More fills than ordered are booked, and change nothing about the status.
    _S.FILLED: frozenset(),
}


class ImpossibleTransition(ValueError):
    """A status change that the table does not have."""


def transition_check(*, before: str, after: str) -> OrderStatus:
    """Return the status after a change that the table allows.

    :raises ImpossibleTransition: the table has no such arrow
    """
    source, target = OrderStatus(before), OrderStatus(after)
    if target not in TRANSITIONS[source]:
        allowed = ", ".join(sorted(TRANSITIONS[source])) or "nothing"
        msg = f"an order that is {source} may become {allowed}, not {target}"
        raise ImpossibleTransition(msg)
    return target


def status_after_fill(*, status: str, quantity: Decimal, filled_quantity: Decimal) -> OrderStatus:
    """Return an order's status once ``filled_quantity`` of ``quantity`` is filled.

    A full fill wins over everything. A partial one makes a living order partly filled; an order that was
    cancelled or has expired stays so, one that we believed rejected lives.
    """
    if filled_quantity >= quantity:
        return OrderStatus.FILLED
    current = OrderStatus(status)
    if current in {OrderStatus.CANCELLED, OrderStatus.EXPIRED}:
        return current
    return OrderStatus.PARTIALLY_FILLED


@dataclass(frozen=True, slots=True)
class SliceDraft:
    """The signed part of an order that is wanted for one follow (None: for the owner)."""

    follow_id: int | None
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """An order about to be stored.

    :param quantity: base units, positive
    :param slices: signed quantities that sum to + quantity for BUY and − quantity for SELL
    :param margin_rate: 1 ÷ leverage for a perpetual, 1 for spot
    :param decision_mark: the mark at which it was decided
    :param lifetime_s: wall seconds after which what is left is cancelled and decided anew
    :param origin: who wanted it, one of ``execution.models.Order.Origin``
    :param market: take what is offered; ``limit_price`` is then its protection (``market_limit``)
    :param command_id: the command that asked for it
    :param score: rank of a candidate, 0 to 1
    """

    instrument_code: str
    underlying: str
    policy: Policy
    side: OrderSide
    quantity: Decimal
    limit_price: Decimal
    reduce_only: bool
    purpose: str
    slices: Sequence[SliceDraft]
    decision_mark: Decimal
    margin_rate: Decimal = ONE
    reason: str = ""
    lifetime_s: int = 60
    origin: str = "copy"
    market: bool = False
    command_id: UUID | None = None
    score: Decimal | None = None


def draft_problem(draft: OrderDraft) -> str:
    """Return what makes an order impossible, in words; empty when it can be stored."""
    numbers = (draft.quantity, draft.limit_price, draft.decision_mark, draft.margin_rate)
    if not all(number.is_finite() and number > 0 for number in numbers):
        return f"quantity, limit price, mark and margin rate must be above 0, got {numbers}"
    if draft.margin_rate > 1:
        return f"a margin rate is at most 1, got {draft.margin_rate}"
    if not draft.slices:
        return "an order must say for whom it is: it has no slices"
    follows = [part.follow_id for part in draft.slices]
    if len(set(follows)) != len(follows):
        return f"an order has one slice per follow, got {follows}"
    total = sum((part.quantity for part in draft.slices), ZERO)
    if total != signed(side=draft.side, quantity=draft.quantity):
        return f"the slices sum to {total}, the order is {draft.side} {draft.quantity}"
    if draft.policy == Policy.SPOT and draft.side == OrderSide.SELL and not draft.reduce_only:
        return "a spot sale can only reduce what is held"
    return ""


def signed(*, side: str, quantity: Decimal) -> Decimal:
    """Return a quantity with its side's sign: BUY positive, SELL negative."""
    return quantity if side == OrderSide.BUY else -quantity


def capital_needed(*, quantity: Decimal, price: Decimal, margin_rate: Decimal, fee_rate: Decimal) -> Decimal:
    """Return the capital to hold behind an entry: its worst cost or margin, and its worst fee.

    quantity × price × (margin rate + fee rate), rounded up to 8 decimals, and one such step
    more for each of cost and fee, since each fill rounds its own.

    :param price: the worst at which it may fill: its limit, or the mark where a sell may fill above its limit
    :param fee_rate: taker fee as a fraction of notional
    """
    needed = quantity * price * (margin_rate + fee_rate)
    return needed.quantize(MONEY_STEP, rounding=ROUND_UP) + 2 * MONEY_STEP


def market_limit(*, side: str, mark: Decimal, instrument: Instrument) -> Decimal:
    """Return the limit of an order that takes whatever is offered: the mark and 5 % beyond it.

    It fills at the touch like a market order, and never at the far end of an empty book.
    """
    buy = side == OrderSide.BUY
    return instrument.price(mark * (ONE + MARKET_PROTECTION if buy else ONE - MARKET_PROTECTION), up=buy)
