"""The paper venue's matching engine: open orders meet the world's marks. Whoever brings new marks calls it.

An order's row is locked before the holding it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from core.clock import WorldTime
from core.decimals import BPS
from core.types import Policy
from execution.desks import ON_PAPER, Desk, account_desks
from execution.domain.orders import signed
from execution.domain.paper import PaperAssumptions, PaperMatch, paper_match_step, reducible_quantity
from execution.models import PaperFault, PaperFill, PaperHolding, PaperOrder
from execution.venues.paper import paper_assumptions
from execution.venues.paper_faults import Fault, fault_take, faults_stand
from execution.venues.paper_stops import paper_stops_touch
from markets.models import Mark

BATCH_SIZE: Final = 500
Kind = PaperFault.Kind


@dataclass(frozen=True, slots=True)
class _Meeting:
    """An open order and the fresh mark it meets, by the rules of its account's desk."""

    order: PaperOrder
    mark: Mark
    desk: Desk


def paper_match(*, world: str, now: datetime, clock: WorldTime) -> list[str]:
    """Meet the world's open paper orders with its newest marks, and end those that are over.

    An order meets each mark once, only while the mark is fresh, and only marks that arrived after its
    latency: a price that was there before the order could be is not to be had. Several
    processes may match at once: each takes orders that no other holds.

    Stops that a mark touches become orders first, and meet that same mark.

    :param clock: the world's time, which fills are stamped with
    :returns: client order ids of the orders that were filled or ended, and of the stops that were touched
    """
    touched = _late_fills_tell(world=world, now=now) + paper_stops_touch(world=world, now=now)
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
    desks = account_desks(accounts={order.account for order in orders})
    meetings = [
        _Meeting(order=order, mark=mark, desk=desks.get(order.account, ON_PAPER))
        for order in orders
        if (mark := marks.get(order.instrument_code)) is not None and _meets(order, mark)
    ]
    if not meetings:
        return []
    holdings = _holdings_lock(orders=[meeting.order for meeting in meetings])
    faulty = faults_stand(operation=PaperFault.Operation.MATCH)
    fills: list[PaperFill] = []
    touched: list[str] = []
    for meeting in meetings:
        holding = holdings[meeting.order.account, meeting.order.instrument_code]
        made = _meet(meeting=meeting, holding=holding, faulty=faulty, now=now, world_at=world_at)
        fills += made
        if made or meeting.order.status != PaperOrder.Status.OPEN:
            touched.append(meeting.order.client_order_id)
    PaperFill.objects.bulk_create(fills)
    PaperOrder.objects.bulk_update(
        [meeting.order for meeting in meetings if meeting.order.pk],
        ["filled_quantity", "untold_quantity", "status", "end_reason", "match_steps", "mark_seen_at"],
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


def _meet(
    *, meeting: _Meeting, holding: PaperHolding, faulty: bool, now: datetime, world_at: datetime
) -> list[PaperFill]:
    """Fill an order at one mark as far as it goes; changes the rows in memory.

    :param faulty: some account's executions are to go wrong, maybe this one's
    """
    order, mark = meeting.order, meeting.mark
    order.match_steps += 1
    order.mark_seen_at = mark.received_at
    remaining = order.quantity - order.filled_quantity - order.untold_quantity
    if _is_covered(order):
        remaining = min(remaining, reducible_quantity(side=order.side, held=holding.quantity))
        if remaining == 0 and not order.untold_quantity:
            order.status = PaperOrder.Status.CANCELLED
            order.end_reason = "Nothing left to reduce"
    match = paper_match_step(
        side=order.side,
        policy=order.policy,
        remaining=remaining,
        limit_price=order.limit_price,
        mark=mark.price,
        instrument=meeting.desk.spec(mark.instrument),
        assumptions=_assumptions(meeting.desk),
    )
    if match is None:
        return []
    fault = fault_take(operation=PaperFault.Operation.MATCH, account=order.account) if faulty else None
    return _execute(order=order, holding=holding, match=match, fault=fault, now=now, world_at=world_at)


def _assumptions(desk: Desk) -> PaperAssumptions:
    """Return how this server's paper market behaves, at the fees of the venue whose rules count."""
    usual = paper_assumptions()
    if desk.taker_fee is None:
        return usual
    return replace(usual, perp_fee_bps=desk.taker_fee / BPS, spot_fee_bps=desk.taker_fee / BPS)


def _is_covered(order: PaperOrder) -> bool:
    """Tell whether an order may only take off what is held."""
    return order.reduce_only or (order.policy == Policy.SPOT and order.side == "SELL")


def _execute(
    *,
    order: PaperOrder,
    holding: PaperHolding,
    match: PaperMatch,
    fault: Fault | None,
    now: datetime,
    world_at: datetime,
) -> list[PaperFill]:
    """Make the executions of one match: one, where nothing goes wrong."""
    kind = fault.kind if fault else ""
    if kind == Kind.UNAVAILABLE:
        return []
    if kind == Kind.REFUSE:
        order.status, order.end_reason = PaperOrder.Status.REJECTED, "Told to refuse it after all"
        return []
    if kind == Kind.FORGET and not order.filled_quantity:
        order.delete()  # leaves the row in memory without a key
        return []
    spot_sale = (
        order.policy == Policy.SPOT and order.side == "SELL"
    )  # a second one would sell what is not there
    times = 2 if kind == Kind.TWICE and not spot_sale else 1
    told_at = now + timedelta(seconds=fault.delay_s) if fault and kind == Kind.LATE else None
    for _ in range(times):
        holding.quantity += signed(side=order.side, quantity=match.quantity)
        if told_at is None:
            _fill_tell(order=order, quantity=match.quantity)
        else:
            order.untold_quantity += match.quantity
    return [
        PaperFill(
            paper_order=order,
            quantity=match.quantity,
            price=match.price,
            fee=match.fee,
            world_at=world_at,
            at=now,
            told_at=told_at,
        )
        for _ in range(times)
    ]


def _fill_tell(*, order: PaperOrder, quantity: Decimal) -> None:
    """Let an order show an execution."""
    order.filled_quantity += quantity
    if order.filled_quantity >= order.quantity:
        order.status = PaperOrder.Status.FILLED


def _late_fills_tell(*, world: str, now: datetime) -> list[str]:
    """Let orders show the executions that were held back until now, also those cancelled meanwhile."""
    due = PaperFill.objects.filter(told_at__lte=now, paper_order__world=world)
    order_ids = list(due.values_list("paper_order_id", flat=True))
    if not order_ids:
        return []
    with transaction.atomic():
        orders = PaperOrder.objects.select_for_update().filter(pk__in=order_ids).order_by("pk")
        by_id = {order.pk: order for order in orders}
        told = list(PaperFill.objects.filter(told_at__lte=now, paper_order_id__in=by_id))
        for fill in told:
            order = by_id[fill.paper_order_id]
            order.untold_quantity -= fill.quantity
            _fill_tell(order=order, quantity=fill.quantity)
        PaperFill.objects.filter(pk__in=[fill.pk for fill in told]).update(told_at=None)
        PaperOrder.objects.bulk_update(by_id.values(), ["filled_quantity", "untold_quantity", "status"])
    return [order.client_order_id for order in by_id.values()]


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
