"""What every venue can be asked, and the answers it may give.

Three things can come of a request: an answer (one of the dataclasses here), ``RetryLater`` (nothing
happened) or ``UnknownOutcome`` (something may have happened: ask by client id before acting again).
Nothing here is ever called inside a database transaction of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, runtime_checkable

from core.decimals import ZERO


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as it is sent; ``client_order_id`` makes sending it twice harmless.

    :param account: whose account at the venue, e.g. "portfolio:7"
    :param world: the market world whose prices it meets
    :param policy: "spot" or "perp", the market it belongs to
    :param valid_until: wall time after which the venue refuses to take it; so an order that the venue
        does not know by then never becomes one, and no request that was held up on its way surprises us
    :param expires_at: wall time at which the venue ends what is left, if it can
    :param market: take what is offered now and end the rest; ``limit_price`` protects where the venue lets it
    """

    client_order_id: str
    account: str
    world: str
    instrument_code: str
    policy: str
    side: str
    quantity: Decimal
    limit_price: Decimal
    reduce_only: bool
    valid_until: datetime
    expires_at: datetime
    market: bool = False


@dataclass(frozen=True, slots=True)
class OrderRef:
    """What an order or a stop is asked about by: most venues find one only on its account, in its market.

    :param venue_order_id: the venue's own id, where it has told us
    """

    client_order_id: str
    account: str
    instrument_code: str
    policy: str
    venue_order_id: str = ""


class VenueStatus(StrEnum):
    """How an order stands at a venue."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One execution: positive quantity, price and fee in quote currency (a negative fee is a rebate).

    :param fee_base_quantity: base units that the venue kept of what was bought, as its fee; their value at
        ``price`` is the ``fee``. What is held is ``quantity`` less these, and no fee was taken from the cash.
    :param fee_raw: the fee as the venue told it, "0.00007 BNB", where it was not in the quote currency
    """

    client_order_id: str
    venue_fill_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    world_at: datetime
    fee_base_quantity: Decimal = ZERO
    fee_raw: str = ""


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue knows it, with all its fills so far, oldest first."""

    client_order_id: str
    venue_order_id: str
    status: VenueStatus
    filled_quantity: Decimal
    reason: str
    fills: tuple[VenueFill, ...]


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that works on an account, as the venue lists it; who sent it, only its client id can tell.

    :param quantity: base units, positive, as it was ordered
    """

    client_order_id: str
    venue_order_id: str
    instrument_code: str
    side: str
    quantity: Decimal
    filled_quantity: Decimal

    def ref(self, *, account: str, policy: str) -> OrderRef:
        """Return what it is asked about by."""
        return OrderRef(
            client_order_id=self.client_order_id,
            account=account,
            instrument_code=self.instrument_code,
            policy=policy,
            venue_order_id=self.venue_order_id,
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue took the order (now, or when it was sent the first time)."""

    venue_order_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue said no, and why."""

    reason: str


class CancelAnswer(StrEnum):
    """What came of asking to cancel."""

    CANCELLED = "cancelled"
    ALREADY_ENDED = "already_ended"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A stop that rests at the venue: touched by a price, it becomes a marketable reduce-only order.

    That order bears the same ``client_order_id`` and is asked about like any other (``order_fetch``).

    :param side: of the order it becomes: "SELL" fires at ``trigger_price`` or below, "BUY" there or above
    :param valid_until: wall time after which the venue refuses to take it
    """

    client_order_id: str
    account: str
    world: str
    instrument_code: str
    policy: str
    side: str
    quantity: Decimal
    trigger_price: Decimal
    valid_until: datetime


class StopStatus(StrEnum):
    """How a stop stands at a venue."""

    ARMED = "armed"
    TRIGGERED = "triggered"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Venue(Protocol):
    """A place where orders are sent."""

    @property
    def name(self) -> str:
        """The name under which orders are kept."""
        ...

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        """Send an order; sending the same client id again returns the first order's answer.

        :raises RetryLater: nothing happened
        :raises UnknownOutcome: it may have been taken
        """
        ...

    def order_fetch(self, *, order: OrderRef) -> VenueOrder | None:
        """Return the order as the venue knows it, None if it never had it.

        :raises RetryLater: no usable answer
        """
        ...

    def order_cancel(self, *, order: OrderRef, now: datetime) -> CancelAnswer:
        """Ask to end what is left of an order.

        :raises RetryLater: nothing happened
        :raises UnknownOutcome: it may have been cancelled
        """
        ...

    def orders_open(self, *, account: str) -> list[OpenOrder]:
        """Return the orders that work on an account now, oldest first, whoever sent them.

        :raises RetryLater: no usable answer
        """
        ...

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        """Return an account's fills that the venue made at or after wall time ``since``, oldest first.

        :raises RetryLater: no usable answer
        """
        ...


@runtime_checkable
class StopVenue(Venue, Protocol):
    """A venue at which stops can rest, several per position, all of them reduce-only."""

    def stop_place(self, *, request: StopRequest, now: datetime) -> Accepted | Refused:
        """Send a stop; sending the same client id again returns the first one's answer.

        :raises RetryLater: nothing happened
        :raises UnknownOutcome: it may have been taken
        """
        ...

    def stop_fetch(self, *, stop: OrderRef) -> StopStatus | None:
        """Return how a stop stands, None if the venue does not know it.

        :raises RetryLater: no usable answer
        """
        ...

    def stop_cancel(self, *, stop: OrderRef, now: datetime) -> CancelAnswer:
        """Take a stop back. ``ALREADY_ENDED``: it was touched, or is gone; ``stop_fetch`` tells which.

        :raises RetryLater: nothing happened
        :raises UnknownOutcome: it may have been cancelled
        """
        ...

    def stops_armed(self, *, accounts: Sequence[str]) -> list[OrderRef]:
        """Return the stops that rest on these accounts now, whoever sent them.

        :raises RetryLater: no usable answer
        """
        ...
