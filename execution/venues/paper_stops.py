"""Stops that rest at the paper venue: taken, taken back, and turned into orders by marks that touch them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery

from core.types import OrderSide
from execution.desks import ON_PAPER, account_desks
from execution.domain.orders import market_limit
from execution.models import PaperOrder, PaperStop
from execution.venues.base import Accepted, CancelAnswer, OrderRef, Refused, StopRequest, StopStatus
from execution.venues.paper import paper_assumptions, request_refusal
from markets.models import Instrument, Mark

LIFETIME: Final = timedelta(seconds=60)  # of the order that a touched stop becomes
BATCH_SIZE: Final = 500


def stop_place(*, request: StopRequest, now: datetime, why_not: str = "") -> Accepted | Refused:
    """Take a stop or refuse it; a client id that is known already answers for the first one.

    :param why_not: refuse it all the same, for a drill
    """
    with transaction.atomic():
        reason = why_not or request_refusal(
            request=request, price=request.trigger_price, reduce_only=True, arrived_at=now
        )
        stop, _ = PaperStop.objects.get_or_create(
            client_order_id=request.client_order_id,
            defaults={
                "account": request.account,
                "world": request.world,
                "instrument_code": request.instrument_code,
                "policy": request.policy,
                "side": request.side,
                "quantity": request.quantity,
                "trigger_price": request.trigger_price,
                "status": PaperStop.Status.REJECTED if reason else PaperStop.Status.ARMED,
                "end_reason": reason[:200],
                "accepted_at": now,
                "matchable_at": now + timedelta(milliseconds=paper_assumptions().latency_ms),
            },
        )
    if stop.status == PaperStop.Status.REJECTED:
        return Refused(reason=stop.end_reason)
    return Accepted(venue_order_id=f"stop-{stop.pk}")


def stop_fetch(*, stop: OrderRef) -> StopStatus | None:
    """Return how a stop stands, None if it never arrived."""
    row = PaperStop.objects.filter(account=stop.account, client_order_id=stop.client_order_id).first()
    return StopStatus(row.status) if row else None


def stop_cancel(*, stop: OrderRef) -> CancelAnswer:
    """Take a stop back; one that was touched already is an order, and stays."""
    here = PaperStop.objects.filter(account=stop.account, client_order_id=stop.client_order_id)
    ended = here.filter(status=PaperStop.Status.ARMED).update(
        status=PaperStop.Status.CANCELLED, end_reason="Cancelled on request"
    )
    if ended:
        return CancelAnswer.CANCELLED
    return CancelAnswer.ALREADY_ENDED if here.exists() else CancelAnswer.NOT_KNOWN


def stops_armed(*, accounts: Sequence[str]) -> list[OrderRef]:
    """Return the stops that rest on these accounts, oldest first."""
    armed = PaperStop.objects.filter(account__in=accounts, status=PaperStop.Status.ARMED)
    return [
        OrderRef(
            client_order_id=stop.client_order_id,
            account=stop.account,
            instrument_code=stop.instrument_code,
            policy=stop.policy,
            venue_order_id=f"stop-{stop.pk}",
        )
        for stop in armed.order_by("pk")
    ]


def stop_worlds() -> set[str]:
    """Return the worlds in which stops rest, whose marks must be looked at."""
    return set(PaperStop.objects.filter(status=PaperStop.Status.ARMED).values_list("world", flat=True))


def paper_stops_touch(*, world: str, now: datetime) -> list[str]:
    """Turn the stops that a fresh mark touches into marketable reduce-only orders; return their client ids.

    The order may meet the mark that touched the stop: it is at the venue already, so nothing delays it.
    """
    fresh_since = now - timedelta(seconds=settings.MARK_STALE_SECONDS)
    mark = Mark.objects.filter(
        world_id=world, instrument_id=OuterRef("instrument_code"), received_at__gte=fresh_since
    )
    touched = Q(side=OrderSide.SELL.value, seen_price__lte=F("trigger_price")) | Q(
        side=OrderSide.BUY.value, seen_price__gte=F("trigger_price")
    )
    with transaction.atomic():
        stops = list(
            PaperStop.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(world=world, status=PaperStop.Status.ARMED)
            .annotate(
                seen_price=Subquery(mark.values("price")[:1]),
                seen_at=Subquery(mark.values("received_at")[:1]),
            )
            .filter(touched, seen_at__gte=F("matchable_at"))
            .order_by("pk")[:BATCH_SIZE]
        )
        rows = Instrument.objects.in_bulk({stop.instrument_code for stop in stops})
        desks = account_desks(accounts={stop.account for stop in stops})
        PaperOrder.objects.bulk_create(
            PaperOrder(
                client_order_id=stop.client_order_id,
                account=stop.account,
                world=stop.world,
                instrument_code=stop.instrument_code,
                policy=stop.policy,
                side=stop.side,
                quantity=stop.quantity,
                limit_price=market_limit(
                    side=stop.side,
                    mark=stop.seen_price,
                    instrument=desks.get(stop.account, ON_PAPER).spec(rows[stop.instrument_code]),
                ),
                reduce_only=True,
                accepted_at=now,
                matchable_at=stop.seen_at,
                expires_at=now + LIFETIME,
            )
            for stop in stops
        )
        PaperStop.objects.filter(pk__in=[stop.pk for stop in stops]).update(
            status=PaperStop.Status.TRIGGERED, end_reason="Touched"
        )
    return [stop.client_order_id for stop in stops]
