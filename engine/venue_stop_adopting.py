"""Stops at the venue that a price has touched: their orders come into our books, and what triggered them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.db import transaction

from allocation.locks import capital_lock
from core.decimals import ONE, plain
from core.errors import UnknownOutcome
from engine.closing import position_facts
from engine.decisions import DecisionNote, decision_store, world_time
from engine.domain.exit_draft import exit_draft
from engine.models import ExitTrigger
from engine.order_life import orders_ask, orders_call_back
from engine.own_orders import legs_release
from engine.publishing import portfolio_changed
from execution.client_ids import is_ours
from execution.desks import PAPER, account_name
from execution.models import Order
from execution.orders import order_create
from execution.venues.base import OrderRef, StopVenue, Venue, VenueOrder, VenueStatus
from positions.locks import position_lock
from positions.models import Position, VenueStop

logger = logging.getLogger(__name__)
LIFETIME_S: Final = 60


def stop_ref(*, stop: VenueStop) -> OrderRef:
    """Return what a stop, or the order it has become, is asked about by."""
    return OrderRef(
        client_order_id=stop.client_order_id,
        account=account_name(portfolio_id=stop.portfolio_id),
        instrument_code=stop.position.instrument_id,
        policy=stop.position.policy,
    )


def touched_adopt(*, stop_id: int, venue: StopVenue, now: datetime) -> None:
    """Take over the order that a touched stop has become, book its fills, and call back what opens there.

    One that ended without a fill had nothing left to reduce. Where our books do not hold yet what it sold
    (a fill that opened it is still on its way) nothing happens, and the next call finds it. Must be called
    outside a transaction; calling it twice is harmless.

    :raises RetryLater: the venue gave no usable answer
    """
    stop = VenueStop.objects.select_related("position").get(pk=stop_id)
    report = venue.order_fetch(order=stop_ref(stop=stop))
    if report is None:
        return
    if report.status != VenueStatus.OPEN and not report.fills:
        VenueStop.objects.filter(pk=stop_id, status__in=VenueStop.STANDING).update(
            status=VenueStop.Status.CANCELLED, reason=report.reason or "Nothing left to reduce", ended_at=now
        )
        return
    order_id = _order_adopt(stop_id=stop_id, report=report, now=now)
    if order_id is None:
        return
    opening = Order.objects.filter(
        portfolio_id=stop.portfolio_id,
        underlying=stop.position.underlying,
        status__in=Order.OPEN_STATUSES,
        reduce_only=False,
    )
    called = list(opening.order_by("pk").values_list("pk", flat=True))
    orders_call_back(order_ids=called, why="A stop has closed the position", now=now)
    orders_ask(order_ids=[order_id, *called], now=now)


def named_adopt(
    *, portfolio_id: int, client_order_ids: Iterable[str], venue: StopVenue, now: datetime
) -> None:
    """Adopt those of these orders of the venue that stops of ours have become."""
    stops = VenueStop.objects.filter(
        portfolio_id=portfolio_id,
        client_order_id__in=list(client_order_ids),
        status__in=VenueStop.STANDING,
    )
    for stop_id in stops.order_by("pk").values_list("pk", flat=True):
        touched_adopt(stop_id=stop_id, venue=venue, now=now)


def stray_stops_end(*, portfolio_id: int, venue: Venue, now: datetime) -> None:
    """Take back what rests on a portfolio's account and is no stop that stands in our books.

    It closes nothing that is ours to keep: a stop of ours that ended here, or one that nobody knows.

    :raises RetryLater: the venue gave no usable answer
    """
    if not isinstance(venue, StopVenue):
        return
    account = account_name(portfolio_id=portfolio_id)
    armed = {ref.client_order_id: ref for ref in venue.stops_armed(accounts=[account])}
    ours = VenueStop.objects.filter(client_order_id__in=armed, status__in=VenueStop.STANDING)
    strays = set(armed) - set(ours.values_list("client_order_id", flat=True))
    if venue.name != PAPER:  # an account of somebody's own: their stops are theirs
        strays = {name for name in strays if is_ours(name)}
    for name in sorted(strays):
        try:
            answer = venue.stop_cancel(stop=armed[name], now=now)
        except UnknownOutcome as error:
            answer = None
            logger.warning("stop %s of portfolio %s is not taken back yet: %s", name, portfolio_id, error)
        logger.warning("stop %s of portfolio %s was not ours to keep: %s", name, portfolio_id, answer)


@transaction.atomic
def _order_adopt(*, stop_id: int, report: VenueOrder, now: datetime) -> int | None:
    """Store the order of a touched stop under its client id; None where it cannot be booked yet.

    Taking over twice gives the first one's order.
    """
    stop = VenueStop.objects.select_related("portfolio", "position").get(pk=stop_id)
    capital_lock(portfolio_id=stop.portfolio_id)
    stop.refresh_from_db(fields=["status", "order_id"])
    if stop.status not in VenueStop.STANDING:
        return stop.order_id
    position = position_lock(portfolio_id=stop.portfolio_id, underlying=stop.position.underlying)
    if position is None or not _covers(position=position, stop=stop, report=report):
        return None
    quantity = min(stop.quantity, abs(position.quantity))
    draft = exit_draft(
        held=position_facts(position=position, whole=True),
        quantity=quantity,
        mark=stop.trigger_price,
        market=True,
        purpose=Order.Purpose.CLOSE if quantity == abs(position.quantity) else Order.Purpose.REDUCE,
        reason=f"The stop at {plain(stop.trigger_price)} that rested at {stop.venue} was touched",
        lifetime_s=LIFETIME_S,
        origin=Order.Origin.EXIT,
    )
    world_at, run = world_time(world_name=stop.portfolio.world, now=now)
    order = order_create(
        portfolio_id=stop.portfolio_id,
        draft=draft,
        reservation_id=None,
        run=run,
        now=now,
        sent_as=stop.client_order_id,
    )
    VenueStop.objects.filter(pk=stop_id).update(
        status=VenueStop.Status.TRIGGERED, order=order, reason="Touched", ended_at=now
    )
    _trigger_store(stop=stop, position=position, order=order, now=now, world_at=world_at)
    legs_release(portfolio_id=stop.portfolio_id, underlyings=[position.underlying], fraction=ONE, now=now)
    note = DecisionNote(
        kind="exit",
        underlying=position.underlying,
        text=f"{ExitTrigger.Kind(stop.kind).label} of {position.underlying} at {stop.venue}: "
        f"{draft.side.lower()} {plain(quantity)}",
        reason=draft.reason,
        follow_ids=[part.follow_id for part in draft.slices if part.follow_id is not None],
        order=order,
    )
    decision_store(portfolio=stop.portfolio, note=note, now=now)
    portfolio_changed(portfolio_id=stop.portfolio_id)
    return order.pk


def _covers(*, position: Position, stop: VenueStop, report: VenueOrder) -> bool:
    """Tell whether our books hold, on the stop's side, at least what it has sold."""
    held = position.quantity if stop.side == "SELL" else -position.quantity
    return held > 0 and report.filled_quantity <= held


def _trigger_store(
    *, stop: VenueStop, position: Position, order: Order, now: datetime, world_at: datetime
) -> None:
    """Record the trigger, in the place of one that closes a part; one that closes all stands already."""
    standing = ExitTrigger.objects.select_for_update().filter(
        position=position, status__in=ExitTrigger.STANDING
    )
    before = standing.first()
    if before is not None and before.fraction == ONE:
        return
    if before is not None:
        before.status, before.ended_at = ExitTrigger.Status.VOID, now
        before.text = "A stop at the venue closes all of it"
        before.save(update_fields=["status", "ended_at", "text"])
    ExitTrigger.objects.create(
        position=position,
        portfolio_id=stop.portfolio_id,
        episode=stop.episode,
        kind=stop.kind,
        price=stop.trigger_price,
        level=stop.trigger_price,
        seen_at=now,
        world_at=world_at,
        found_by=ExitTrigger.FoundBy.VENUE,
        status=ExitTrigger.Status.WORKING,
        order=order,
        orders_placed=1,
        text=f"Touched at {stop.venue}",
        created_at=now,
    )
