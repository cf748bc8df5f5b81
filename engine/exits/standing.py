"""Triggers that stand, until what they ask for is closed.

An order that expired, was refused or filled in part is followed by the next, at the price there is then. A
position that was closed by anything else leaves nothing to do. All of it is found again each second by what
the database says, so a worker may die anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q

from accounts.models import LiveAccount
from core.clock import Clock
from engine.exits.placing import Placed, part_left, still_held, triggers_place
from engine.models import ExitTrigger
from engine.order_life import one_order, order_send, orders_ask, orders_call_back
from engine.publishing import portfolios_changed
from engine.sending import submit_later
from execution.desks import PAPER, desk_of
from execution.models import Order

logger = logging.getLogger(__name__)
AT_ONCE: Final = 200
REFUSED_PAUSE_S: Final = 2
REFUSED_PAUSE_MOST_S: Final = 30


def triggers_work(
    *,
    now: datetime,
    clock: Clock | None = None,
    trigger_ids: Collection[int] = (),
    portfolio_id: int | None = None,
) -> None:
    """Go on with triggers that stand: see what their orders did, place the next, and send it.

    :param trigger_ids: these alone; none given is all that have something to be done
    :param portfolio_id: one that trades at a venue; None: all that trade on paper
    :param clock: tells when each order is sent, since ``now`` may be old by then
    """
    due = _due(trigger_ids, portfolio_id)
    for begin in range(0, len(due), AT_ONCE):
        part = due[begin : begin + AT_ONCE]
        idle = _settle(part, now)
        placed = _place(part, now)
        if called := [*idle, *placed.call_back]:
            orders_call_back(order_ids=called, why="Another exit closes the position", now=now)
            orders_ask(order_ids=called, now=now)
            placed.order_ids += _place(part, now).order_ids
        exits_submit(order_ids=placed.order_ids, now=now, clock=clock)


def _place(trigger_ids: Collection[int], now: datetime) -> Placed:
    """Place the orders of triggers together; where that fails one by one, so that a fault stays its own."""
    try:
        return triggers_place(trigger_ids=trigger_ids, now=now)
    except Exception:
        logger.exception("orders of %s triggers are placed one by one", len(trigger_ids))
    placed = Placed()
    for trigger_id in trigger_ids:
        try:
            one = triggers_place(trigger_ids=[trigger_id], now=now)
        except Exception:
            logger.exception("trigger %s has no order yet; it is tried again in a second", trigger_id)
            continue
        placed.order_ids += one.order_ids
        placed.call_back += one.call_back
    return placed


def exits_submit(*, order_ids: Collection[int], now: datetime, clock: Clock | None = None) -> None:
    """Send exit orders; one that was sent already is not sent twice, and one that fails stops no other.

    Those that leave this server are handed to the workers that do that, so that a slow venue is waited for by
    nobody else.
    """
    afar = set(Order.objects.filter(pk__in=order_ids).exclude(venue=PAPER).values_list("pk", flat=True))
    for order_id in sorted(afar):
        submit_later(order_id)
    for order_id in [one for one in order_ids if one not in afar]:
        with one_order(order_id=order_id, now=now):
            order_send(order_id=order_id, now=now, clock=clock)


def _due(trigger_ids: Collection[int], portfolio_id: int | None) -> list[int]:
    """Return the standing triggers that wait, whose order has ended, or whose position is not what it was."""
    standing = ExitTrigger.objects.filter(status__in=ExitTrigger.STANDING)
    if portfolio_id is None:
        standing = standing.exclude(portfolio__live__state__in=LiveAccount.AT_VENUE)
    else:
        standing = standing.filter(portfolio_id=portfolio_id)
    if trigger_ids:
        standing = standing.filter(pk__in=trigger_ids)
    else:
        ended = Q(order__isnull=False) & ~Q(order__status__in=Order.OPEN_STATUSES)
        gone = Q(position__guard__ended_at__isnull=False) | ~Q(position__guard__episode=F("episode"))
        standing = standing.filter(Q(status=ExitTrigger.Status.WAITING) | ended | gone)
    return list(standing.order_by("pk").values_list("pk", flat=True))


@transaction.atomic
def _settle(trigger_ids: Collection[int], now: datetime) -> list[int]:
    """Take in what the orders of these triggers did, and end those of which nothing is left.

    Returns the orders that still work though there is nothing left for them: call them back.
    """
    rows = (
        ExitTrigger.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("order", "position__instrument", "position__guard")
        .filter(pk__in=trigger_ids, status__in=ExitTrigger.STANDING)
        .order_by("pk")
    )
    ended: list[int] = []
    idle: list[int] = []
    for row in rows:
        order = row.order
        if order is not None and order.status in Order.OPEN_STATUSES:
            idle += [] if still_held(row) else [order.pk]
            continue
        if row.status == ExitTrigger.Status.WORKING and order is not None:
            _order_over(row, order, now)
        if not still_held(row) or (row.closed_quantity and _nothing_left(row)):
            row.status = ExitTrigger.Status.DONE if row.closed_quantity else ExitTrigger.Status.VOID
            row.text = row.text if row.closed_quantity else "Something else closed the position"
            row.ended_at = now
            ended.append(row.portfolio_id)
        row.save(update_fields=["status", "text", "closed_quantity", "retry_at", "ended_at"])
    portfolios_changed(portfolio_ids=sorted(set(ended)))
    return idle


def _nothing_left(row: ExitTrigger) -> bool:
    """Tell whether nothing of what a trigger closes is left that its venue can trade."""
    return part_left(row, desk=desk_of(portfolio_id=row.portfolio_id))[0] == 0


def _order_over(row: ExitTrigger, order: Order, now: datetime) -> None:
    """Count what an order closed; the trigger waits for the next one, longer where the venue refused."""
    row.closed_quantity += order.filled_quantity
    row.status = ExitTrigger.Status.WAITING
    if order.status == Order.Status.REJECTED:
        pause_s = min(REFUSED_PAUSE_S * 2 ** min(row.orders_placed - 1, 8), REFUSED_PAUSE_MOST_S)
        row.retry_at = now + timedelta(seconds=pause_s)
        row.text = f"The venue refused its order ({order.status_reason}); the next one in {pause_s} s"[:200]
        logger.warning("trigger %s: order %s was refused: %s", row.pk, order.pk, order.status_reason)
