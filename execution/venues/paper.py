"""The paper venue: an exchange on our own tables that meets orders with the world's marks.

It is asked like any other venue (through ``paper_line``), and only it and its matching engine
(``paper_matching``) touch its tables.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction

from core.clock import Clock
from core.decimals import ZERO
from execution.desks import ON_PAPER, PAPER, account_desks
from execution.domain.paper import PaperAssumptions, accept_problem
from execution.models import PaperFill, PaperHolding, PaperOrder
from execution.venues.base import (
    Accepted,
    CancelAnswer,
    OpenOrder,
    OrderRef,
    OrderRequest,
    Refused,
    StopRequest,
    VenueFill,
    VenueOrder,
    VenueStatus,
)
from markets.models import Instrument


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

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare to use it.

        :param clock: tells when a request arrives; without one it arrives when it is sent
        """
        self._clock = clock

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        """Take an order or refuse it; a client id that is known already answers for the first order."""
        arrived_at = self._clock.now() if self._clock else now
        with transaction.atomic():
            return _order_keep(
                request=request,
                reason=request_refusal(
                    request=request,
                    price=request.limit_price,
                    reduce_only=request.reduce_only,
                    arrived_at=arrived_at,
                ),
                at=arrived_at,
            )

    def order_refuse(self, *, request: OrderRequest, now: datetime, why: str) -> Accepted | Refused:
        """Refuse an order that could be taken, for a drill; one that was taken before stays so."""
        return _order_keep(request=request, reason=why, at=now)

    def order_fetch(self, *, order: OrderRef) -> VenueOrder | None:
        """Return an order with its fills, None if it never arrived."""
        row = (
            PaperOrder.objects.filter(client_order_id=order.client_order_id).prefetch_related("fills").first()
        )
        if row is None:
            return None
        # The status is read before the fills: a fill made in between shows with the status open, and
        # the next question tells the rest.
        return VenueOrder(
            client_order_id=row.client_order_id,
            venue_order_id=str(row.pk),
            status=VenueStatus(row.status),
            filled_quantity=row.filled_quantity,
            reason=row.end_reason,
            fills=tuple(
                _venue_fill(fill, row.client_order_id) for fill in row.fills.all() if fill.told_at is None
            ),
        )

    def order_cancel(self, *, order: OrderRef, now: datetime) -> CancelAnswer:
        """End what is left of an order; fills made before stay."""
        rows = PaperOrder.objects.filter(client_order_id=order.client_order_id)
        ended = rows.filter(status=PaperOrder.Status.OPEN).update(
            status=PaperOrder.Status.CANCELLED, end_reason="Cancelled on request"
        )
        if ended:
            return CancelAnswer.CANCELLED
        return CancelAnswer.ALREADY_ENDED if rows.exists() else CancelAnswer.NOT_KNOWN

    def orders_open(self, *, account: str) -> list[OpenOrder]:
        """Return the orders that work on an account, oldest first."""
        orders = PaperOrder.objects.filter(account=account, status=PaperOrder.Status.OPEN)
        return [
            OpenOrder(
                client_order_id=order.client_order_id,
                venue_order_id=str(order.pk),
                instrument_code=order.instrument_code,
                side=order.side,
                quantity=order.quantity,
                filled_quantity=order.filled_quantity,
            )
            for order in orders.order_by("pk")
        ]

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        """Return an account's fills made at or after ``since``, oldest first."""
        fills = PaperFill.objects.filter(paper_order__account=account, at__gte=since, told_at__isnull=True)
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


def _order_keep(*, request: OrderRequest, reason: str, at: datetime) -> Accepted | Refused:
    """Store an order, refused where there is a reason; return what the first one of that id was answered."""
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
            "accepted_at": at,
            "matchable_at": at + timedelta(milliseconds=paper_assumptions().latency_ms),
            "expires_at": request.expires_at,
        },
    )
    if order.status == PaperOrder.Status.REJECTED:
        return Refused(reason=order.end_reason)
    return Accepted(venue_order_id=str(order.pk))


def request_refusal(
    *, request: OrderRequest | StopRequest, price: Decimal, reduce_only: bool, arrived_at: datetime
) -> str:
    """Return why the venue refuses an order or a stop, in words; empty when it takes it.

    :param price: the limit of an order, the price at which a stop fires
    """
    if arrived_at >= request.valid_until:
        late_s = (arrived_at - request.valid_until).total_seconds()
        return f"it arrived {late_s:.1f} s after it could be taken"
    instrument = Instrument.objects.filter(pk=request.instrument_code).first()
    if instrument is None:
        return f"there is no instrument {request.instrument_code}"
    desk = account_desks(accounts=[request.account]).get(request.account, ON_PAPER)
    if not reduce_only and desk.specs is not None and instrument.code not in desk.specs:
        return f"{desk.rules.venue if desk.rules else PAPER} does not trade {instrument.code} here"
    holding = PaperHolding.objects.filter(
        account=request.account, instrument_code=request.instrument_code
    ).first()
    return accept_problem(
        side=request.side,
        policy=request.policy,
        quantity=request.quantity,
        limit_price=price,
        reduce_only=reduce_only,
        held=holding.quantity if holding else ZERO,
        instrument=desk.spec(instrument),
    )
