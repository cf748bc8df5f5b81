"""Holdings that come into the paper venue from outside: as executions without fee, at what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from core.decimals import ZERO
from execution.desks import account_name
from execution.domain.orders import OrderStatus, signed
from execution.models import Order, PaperFill, PaperHolding, PaperOrder
from execution.orders import order_status_change
from execution.venues.base import VenueFill


@transaction.atomic
def paper_adopt(
    *, order: Order, fills: Sequence[tuple[Decimal, Decimal]], now: datetime, world_at: datetime
) -> list[VenueFill]:
    """Let the paper venue have executed an order that was just stored; return its fills, to be booked.

    The caller holds the capital row; nobody else has seen the order, which belongs to the same transaction.

    :param fills: (quantity, price), positive; they sum to the order's quantity
    """
    account = account_name(portfolio_id=order.portfolio_id)
    paper = PaperOrder.objects.create(
        client_order_id=order.client_order_id,
        account=account,
        world=order.portfolio.world,
        instrument_code=order.instrument_id,
        policy=order.policy,
        side=order.side,
        quantity=order.quantity,
        limit_price=order.limit_price,
        status=PaperOrder.Status.FILLED,
        filled_quantity=order.quantity,
        accepted_at=now,
        matchable_at=now,
        expires_at=order.expires_at,
    )
    holding, _ = PaperHolding.objects.get_or_create(account=account, instrument_code=order.instrument_id)
    holding.quantity += signed(side=order.side, quantity=order.quantity)
    holding.save(update_fields=["quantity"])
    order.submit_claimed_at = order.submitted_at = now
    order.venue_order_id = str(paper.pk)
    order.save(update_fields=["submit_claimed_at", "submitted_at", "venue_order_id"])
    order_status_change(order=order, to=OrderStatus.SUBMITTED, now=now)
    made = PaperFill.objects.bulk_create(
        PaperFill(paper_order=paper, quantity=quantity, price=price, fee=ZERO, world_at=world_at, at=now)
        for quantity, price in fills
    )
    return [
        VenueFill(
            client_order_id=order.client_order_id,
            venue_fill_id=str(fill.pk),
            quantity=fill.quantity,
            price=fill.price,
            fee=ZERO,
            world_at=world_at,
        )
        for fill in made
    ]
