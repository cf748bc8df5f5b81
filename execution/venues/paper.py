"""The paper venue: an exchange on our own tables that meets orders with the world's marks.

It is asked like any other venue, and only this file touches its tables. ``paper_match`` is its
matching engine: whoever brings new marks calls it.

Inside the venue an order's row is locked before the holding it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from core.clock import WorldTime
from core.decimals import ZERO
from core.types import Policy
from execution.domain.orders import signed
from execution.domain.paper import (
    PaperAssumptions,
    PaperMatch,
    accept_problem,
    paper_match_step,
    reducible_quantity,
)
from execution.models import PaperFill, PaperHolding, PaperOrder
from execution.venues.base import (
    Accepted,
    CancelAnswer,
    OrderRequest,
    Refused,
    VenueFill,
    VenueOrder,
    VenueStatus,
)
from markets.models import Instrument, Mark

BATCH_SIZE: Final = 500


def paper_assumptions() -> PaperAssumptions:
    """Return how this server's paper market behaves."""
    return PaperAssumptions(
        slippage_bps=settings.PAPER_SLIPPAGE_BPS,
        perp_fee_bps=settings.PAPER_FEE_BPS,
        spot_fee_bps=settings.PAPER_SPOT_FEE_BPS,
        latency_ms=settings.PAPER_LATENCY_MS,
    )


class PaperVenue:
    """The paper exchange as the order services see it."""

    name: Final = "paper"

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        """Take an order or refuse it; a client id that is known already answers for the first order."""
        with transaction.atomic():
            reason = _refusal(request)
            order, _ = PaperOrder.objects.get_or_create(
                client_order_id=request.client_order_id,
                defaults={
                    "account": request.account,
                    "world": request.world,
                    "instrument_code": request.instrument_code,
                    "policy": request.policy,
                    "side": request.side,
                    "quantity": request.quantity,
                    "limit_price": request.limit_price,
                    "reduce_only": request.reduce_only,
                    "status": PaperOrder.Status.REJECTED if reason else PaperOrder.Status.OPEN,
                    "end_reason": reason[:200],
                    "accepted_at": now,
                    "matchable_at": now + timedelta(milliseconds=paper_assumptions().latency_ms),
                    "expires_at": request.expires_at,
                },
            )
        if order.status == PaperOrder.Status.REJECTED:
            return Refused(reason=order.end_reason)
        return Accepted(venue_order_id=str(order.pk))

    def order_fetch(self, *, client_order_id: str) -> VenueOrder | None:
        """Return an order with its fills, None if it never arrived."""
        order = PaperOrder.objects.filter(client_order_id=client_order_id).prefetch_related("fills").first()
        if order is None:
            return None
        # The status is read before the fills: a fill made in between shows with the status open, and
        # the next question tells the rest.
        return VenueOrder(
            client_order_id=client_order_id,
            venue_order_id=str(order.pk),
            status=VenueStatus(order.status),
            filled_quantity=order.filled_quantity,
            reason=order.end_reason,
            fills=tuple(_venue_fill(fill, client_order_id) for fill in order.fills.all()),
        )

    def order_cancel(self, *, client_order_id: str, now: datetime) -> CancelAnswer:
        """End what is left of an order; fills made before stay."""
        ended = PaperOrder.objects.filter(
            client_order_id=client_order_id, status=PaperOrder.Status.OPEN
        ).update(status=PaperOrder.Status.CANCELLED, end_reason="Cancelled on request")
        if ended:
            return CancelAnswer.CANCELLED
        known = PaperOrder.objects.filter(client_order_id=client_order_id).exists()
        return CancelAnswer.ALREADY_ENDED if known else CancelAnswer.NOT_KNOWN

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        """Return an account's fills made at or after ``since``, oldest first."""
        fills = PaperFill.objects.filter(paper_order__account=account, at__gte=since)
        return [
            _venue_fill(fill, fill.paper_order.client_order_id)
            for fill in fills.select_related("paper_order").order_by("id")
        ]


def _venue_fill(fill: PaperFill, client_order_id: str) -> VenueFill:
    return VenueFill(
        client_order_id=client_order_id,
        venue_fill_id=str(fill.pk),
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        world_at=fill.world_at,
    )


def _refusal(request: OrderRequest) -> str:
    instrument = Instrument.objects.filter(pk=request.instrument_code).first()
    if instrument is None:
        return f"there is no instrument {request.instrument_code}"
    holding = PaperHolding.objects.filter(
        account=request.account, instrument_code=request.instrument_code
    ).first()
    return accept_problem(
        side=request.side,
        policy=request.policy,
        quantity=request.quantity,
        limit_price=request.limit_price,
        reduce_only=request.reduce_only,
        held=holding.quantity if holding else ZERO,
        instrument=instrument.spec(),
    )


@dataclass(frozen=True, slots=True)
class _Meeting:
    """An open order and the fresh mark it meets."""

    order: PaperOrder
    mark: Mark


def paper_match(*, world: str, now: datetime, clock: WorldTime) -> list[str]:
    """Meet the world's open paper orders with its newest marks, and end those that are over.

    An order meets each mark once, only while the mark is fresh, and only marks that arrived after its
    latency: a price that was there before the order could be is not to be had. Several
    processes may match at once: each takes orders that no other holds.

    :param clock: the world's time, which fills are stamped with
    :returns: client order ids of the orders that were filled or ended
    """
    touched: list[str] = []
    last_id = 0
    while True:
        with transaction.atomic():
            orders = _orders_due(world=world, now=now, after_id=last_id)
            touched += _orders_match(orders=orders, world=world, now=now, world_at=clock.at(now))
        if len(orders) < BATCH_SIZE:
            break
        last_id = orders[-1].pk
    return touched + _orders_expire(world=world, now=now)


def _orders_due(*, world: str, now: datetime, after_id: int) -> list[PaperOrder]:
    return list(
        PaperOrder.objects.select_for_update(skip_locked=True)
        .filter(
            world=world,
            status=PaperOrder.Status.OPEN,
            matchable_at__lte=now,
            expires_at__gt=now,
            pk__gt=after_id,
        )
        .order_by("pk")[:BATCH_SIZE]
    )


def _orders_match(
    *, orders: Sequence[PaperOrder], world: str, now: datetime, world_at: datetime
) -> list[str]:
    fresh_since = now - timedelta(seconds=settings.MARK_STALE_SECONDS)
    marks = {
        mark.instrument_id: mark
        for mark in Mark.objects.filter(
            world_id=world,
            instrument_id__in={order.instrument_code for order in orders},
            received_at__gte=fresh_since,
        ).select_related("instrument")
    }
    meetings = [
        _Meeting(order=order, mark=mark)
        for order in orders
        if (mark := marks.get(order.instrument_code)) is not None and _meets(order, mark)
    ]
    if not meetings:
        return []
    holdings = _holdings_lock(orders=[meeting.order for meeting in meetings])
    fills: list[PaperFill] = []
    touched: list[str] = []
    for meeting in meetings:
        holding = holdings[meeting.order.account, meeting.order.instrument_code]
        fill = _meet(meeting=meeting, holding=holding, now=now, world_at=world_at)
        if fill is not None:
            fills.append(fill)
        if fill is not None or meeting.order.status != PaperOrder.Status.OPEN:
            touched.append(meeting.order.client_order_id)
    PaperFill.objects.bulk_create(fills)
    PaperOrder.objects.bulk_update(
        [meeting.order for meeting in meetings],
        ["filled_quantity", "status", "end_reason", "match_steps", "mark_seen_at"],
    )
    PaperHolding.objects.bulk_update(holdings.values(), ["quantity"])
    return touched


def _meets(order: PaperOrder, mark: Mark) -> bool:
    """Tell whether a mark arrived after the order did, and after the last mark that it met."""
    if mark.received_at < order.matchable_at:
        return False
    return order.mark_seen_at is None or order.mark_seen_at < mark.received_at


def _holdings_lock(*, orders: Iterable[PaperOrder]) -> dict[tuple[str, str], PaperHolding]:
    """Lock the holdings these orders change, making those that are new, in one order of keys."""
    keys = sorted({(order.account, order.instrument_code) for order in orders})
    PaperHolding.objects.bulk_create(
        [PaperHolding(account=account, instrument_code=code) for account, code in keys], ignore_conflicts=True
    )
    wanted = Q()
    for account, code in keys:
        wanted |= Q(account=account, instrument_code=code)
    rows = PaperHolding.objects.select_for_update().filter(wanted).order_by("account", "instrument_code")
    return {(row.account, row.instrument_code): row for row in rows}


def _meet(*, meeting: _Meeting, holding: PaperHolding, now: datetime, world_at: datetime) -> PaperFill | None:
    """Fill an order at one mark as far as it goes; changes the rows in memory."""
    order, mark = meeting.order, meeting.mark
    order.match_steps += 1
    order.mark_seen_at = mark.received_at
    remaining = order.quantity - order.filled_quantity
    covered = order.reduce_only or (order.policy == Policy.SPOT and order.side == "SELL")
    if covered:
        remaining = min(remaining, reducible_quantity(side=order.side, held=holding.quantity))
        if remaining == 0:
            order.status = PaperOrder.Status.CANCELLED
            order.end_reason = "Nothing left to reduce"
            return None
    match = paper_match_step(
        side=order.side,
        policy=order.policy,
        remaining=remaining,
        limit_price=order.limit_price,
        mark=mark.price,
        instrument=mark.instrument.spec(),
        assumptions=paper_assumptions(),
    )
    return _fill(order=order, holding=holding, match=match, now=now, world_at=world_at) if match else None


def _fill(
    *, order: PaperOrder, holding: PaperHolding, match: PaperMatch, now: datetime, world_at: datetime
) -> PaperFill:
    order.filled_quantity += match.quantity
    if order.filled_quantity >= order.quantity:
        order.status = PaperOrder.Status.FILLED
    holding.quantity += signed(side=order.side, quantity=match.quantity)
    return PaperFill(
        paper_order=order,
        quantity=match.quantity,
        price=match.price,
        fee=match.fee,
        world_at=world_at,
        at=now,
    )


def _orders_expire(*, world: str, now: datetime) -> list[str]:
    """End the open orders whose time is over."""
    with transaction.atomic():
        due = list(
            PaperOrder.objects.select_for_update(skip_locked=True)
            .filter(world=world, status=PaperOrder.Status.OPEN, expires_at__lte=now)
            .order_by("pk")
            .values_list("pk", "client_order_id")
        )
        PaperOrder.objects.filter(pk__in=[pk for pk, _ in due]).update(
            status=PaperOrder.Status.EXPIRED, end_reason="Its time was over"
        )
    return [client_order_id for _, client_order_id in due]
