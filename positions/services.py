"""What becomes of orders at their venue, brought into the books: the doors the engine uses.

Asking a venue happens outside any transaction; each fill is then booked in one of its own, and last the
order's end. Every function may be called again at any time: what is booked is booked once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction

from allocation.locks import capital_lock
from core.decimals import ZERO, plain
from execution.domain.orders import ENDED, OrderStatus
from execution.locks import order_lock
from execution.models import Fill, Order
from execution.orders import CLAIM_TIMEOUT, order_ref, order_status_change
from execution.venues import venue_get
from execution.venues.base import Venue, VenueOrder, VenueStatus
from positions.booking import FillBooked, fill_book
from positions.domain.status import status_after_order
from positions.held import held_lock
from positions.transfers import slices_hand_over, transfers_book

FORGOTTEN_FOR: Final = timedelta(minutes=5)
FORGOTTEN: Final = "The venue took this order and forgot it; its time is over"
NEVER_ARRIVED: Final = "It never reached the venue"

__all__ = [
    "OrderNews",
    "order_sync",
    "report_book",
    "slices_hand_over",
    "transfers_book",
]


@dataclass(frozen=True, slots=True)
class OrderNews:
    """What asking the venue about one order changed.

    :param status: of the order afterwards
    :param status_changed: whether that differs from before
    :param fills: booked now
    :param odd: what the venue reported that cannot be right, in words; no entries until a person has looked
    """

    order_id: int
    portfolio_id: int
    status: str
    status_changed: bool
    fills: tuple[FillBooked, ...] = ()
    odd: str = ""

    @property
    def ended(self) -> bool:
        """Whether the order came to its end now."""
        return self.status_changed and self.status in ENDED

    @property
    def deficit(self) -> Decimal:
        """The account's deficit after the last fill; above zero the portfolio must be halted."""
        return self.fills[-1].deficit if self.fills else ZERO


def order_sync(*, order_id: int, now: datetime, venue: Venue | None = None) -> OrderNews:
    """Ask the venue by client id what became of an order, and book it.

    Must be called outside a transaction.

    :raises RuntimeError: called inside a transaction
    :raises RetryLater: the venue gave no usable answer; nothing changed
    """
    with transaction.atomic(durable=True):
        order = Order.objects.get(pk=order_id)
    if order.status == OrderStatus.PENDING and order.submit_claimed_at is None:
        return OrderNews(
            order_id=order_id, portfolio_id=order.portfolio_id, status=order.status, status_changed=False
        )
    report = (venue or venue_get(name=order.venue)).order_fetch(order=order_ref(order=order))
    return report_book(order_id=order_id, report=report, now=now)


def report_book(*, order_id: int, report: VenueOrder | None, now: datetime) -> OrderNews:
    """Book what a venue reported about an order: its fills first, then how it stands.

    :param report: None where the venue does not know the order
    """
    before = Order.objects.get(pk=order_id)
    fills: list[FillBooked] = []
    if report is not None:
        known = set(Fill.objects.filter(order_id=order_id).values_list("venue_fill_id", flat=True))
        for fill in report.fills:
            if fill.venue_fill_id not in known:
                booked = fill_book(order_id=order_id, fill=fill, now=now)
                fills += [booked] if booked else []
    order = _standing_keep(order_id=order_id, report=report, now=now)
    return OrderNews(
        order_id=order_id,
        portfolio_id=before.portfolio_id,
        status=order.status,
        status_changed=order.status != before.status,
        fills=tuple(fills),
        odd=_odd(before=before, after=order),
    )


def _odd(*, before: Order, after: Order) -> str:
    """Return in words what a report told of an order that cannot be right; empty where nothing did."""
    name = f"order {after.pk} ({after.side} {plain(after.quantity)} {after.instrument_id})"
    if after.filled_quantity > max(after.quantity, before.filled_quantity):
        return f"{after.venue} filled {plain(after.filled_quantity)} of {name}"
    if after.status != before.status and after.status_reason == FORGOTTEN:
        return f"{after.venue} took {name} and forgot it; it may have filled what it never told"
    return ""


@transaction.atomic
def _standing_keep(*, order_id: int, report: VenueOrder | None, now: datetime) -> Order:
    """Bring our status in line with the venue's, once all fills it speaks of are booked."""
    portfolio_id = Order.objects.values_list("portfolio_id", flat=True).get(pk=order_id)
    capital_lock(portfolio_id=portfolio_id)
    order = order_lock(order_id=order_id)
    if report is not None and not order.venue_order_id:
        order.venue_order_id = report.venue_order_id
        order.save(update_fields=["venue_order_id"])
    target, detail = _standing(order=order, report=report, now=now)
    if target is not None and target != order.status:
        order_status_change(order=order, to=target, now=now, detail=detail)
        if order.status not in Order.OPEN_STATUSES:
            _position_settle(order=order, now=now)
    return order


def _standing(*, order: Order, report: VenueOrder | None, now: datetime) -> tuple[OrderStatus | None, str]:
    """Return the status an order should take after a report, None to leave it, with the reason."""
    if report is None:
        return _standing_unheard(order=order, now=now)
    if order.status == OrderStatus.FILLED or report.filled_quantity > order.filled_quantity:
        return None, ""  # all is booked, or a fill is still to come and will be told by the next answer
    if order.status in {OrderStatus.CANCELLED, OrderStatus.EXPIRED}:
        return None, ""  # final; an answer that says otherwise was given before the order ended
    if report.status == VenueStatus.OPEN:
        return (OrderStatus.PARTIALLY_FILLED if order.filled_quantity else OrderStatus.SUBMITTED), ""
    if order.status == OrderStatus.REJECTED:
        return None, ""
    if report.status == VenueStatus.REJECTED and not order.filled_quantity:
        return OrderStatus.REJECTED, report.reason
    if report.status == VenueStatus.EXPIRED:
        return OrderStatus.EXPIRED, report.reason
    if report.status == VenueStatus.FILLED:
        return None, ""
    over = order.cancel_requested_at is not None and order.cancel_requested_at >= order.expires_at
    return (OrderStatus.EXPIRED if over else OrderStatus.CANCELLED), report.reason


def _standing_unheard(*, order: Order, now: datetime) -> tuple[OrderStatus | None, str]:
    """The venue does not know the order: it is UNKNOWN, its capital held, while it might still fill."""
    claimed_at = order.submit_claimed_at
    if order.status not in Order.OPEN_STATUSES or claimed_at is None:
        return None, ""
    heard_of = bool(order.venue_order_id or order.filled_quantity)
    if now >= _given_up_at(order=order, claimed_at=claimed_at, heard_of=heard_of):
        return (OrderStatus.EXPIRED, FORGOTTEN) if heard_of else (OrderStatus.REJECTED, NEVER_ARRIVED)
    if heard_of:
        return OrderStatus.UNKNOWN, "The venue knew this order and does not know it now"
    if now - claimed_at >= CLAIM_TIMEOUT:
        return OrderStatus.UNKNOWN, "The venue does not know it; held until its time would be over there"
    return None, ""


def _given_up_at(*, order: Order, claimed_at: datetime, heard_of: bool) -> datetime:
    """Return from when on an order that the venue does not know counts as ended.

    One that opens might be there all the same, and fill, until its own time is over: so long its capital is
    held. Two that only reduce never take off more than is held, so a lost exit is soon placed anew. Where the
    venue had taken it, fills that it never told may still turn up for a while.
    """
    if order.reduce_only:
        return (order.expires_at if heard_of else claimed_at) + CLAIM_TIMEOUT
    return order.expires_at + (FORGOTTEN_FOR if heard_of else CLAIM_TIMEOUT)


def _position_settle(*, order: Order, now: datetime) -> None:
    """Take a position out of OPENING or CLOSING when the order behind that ended short of its quantity."""
    held = held_lock(portfolio_id=order.portfolio_id, underlying=order.underlying)
    if held is None:
        return
    after = status_after_order(status=held.position.status)
    if after != held.position.status:
        held.status_set(status=after, now=now, world_at=held.position.opened_world_at)
        held.save()
