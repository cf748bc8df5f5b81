"""Stops that also rest at the venue (EXT-2): placed, moved as they ratchet, recreated, taken back, adopted.

The exit watch closes at the exact level; what rests at the venue is the line behind it for the time in which
nothing of ours runs. ``venue_stops_work`` compares what should rest with what our books say does, and asks
the venue where they differ; it may run at any time, on any number of machines:

    touched    the venue made it an order: that order, of the same client id, comes into our books and is
               booked like any other, with the trigger that it is
    wanted     a position without its stop gets one; where the level or the size moved, the new one is placed
               first and the old one taken back once it rests. Both are reduce-only, so they sell once
    not wanted the position is closed or the owner wants no stops there: it is taken back

A row is committed before anything is sent, nothing is sent inside a transaction, and a missing answer leaves
the row as it is until the venue has been asked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from accounts.models import LiveAccount
from core.clock import Clock
from core.decimals import plain
from core.errors import RetryLater, UnknownOutcome
from core.types import OrderSide
from engine.venue_stop_adopting import stop_ref, touched_adopt
from execution.client_ids import client_order_id_new
from execution.desks import ON_PAPER, PAPER, account_name, desk_of, desks_of
from execution.orders import REQUEST_VALID
from execution.venues import venue_get
from execution.venues.base import CancelAnswer, Refused, StopRequest, StopStatus, StopVenue
from positions.domain.venue_stops import StopAtVenue, stop_kind, stop_moves, stop_wanted
from positions.exits import state_of
from positions.models import ExitGuard, Position, VenueStop

logger = logging.getLogger(__name__)
UNHEARD_FOR: Final = timedelta(seconds=10)  # a placing without an answer; above ``REQUEST_VALID``
AGAIN_AFTER: Final = timedelta(seconds=5)  # a refused or lost stop is placed again
AT_ONCE: Final = 200
Status = VenueStop.Status


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A position and the stop that should rest for it."""

    guard: ExitGuard
    stop: StopAtVenue

    @property
    def position(self) -> Position:
        return self.guard.position


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose stops are looked after: one portfolio's at its venue, or those of all that trade on paper."""

    venue: StopVenue
    portfolio_id: int | None

    @property
    def stops(self) -> QuerySet[VenueStop]:
        stops = VenueStop.objects.filter(venue=self.venue.name)
        return stops if self.portfolio_id is None else stops.filter(portfolio_id=self.portfolio_id)

    @property
    def guards(self) -> QuerySet[ExitGuard]:
        if self.portfolio_id is not None:
            return ExitGuard.objects.filter(position__portfolio_id=self.portfolio_id)
        return ExitGuard.objects.exclude(position__portfolio__live__state__in=LiveAccount.AT_VENUE)


def venue_stops_work(*, now: datetime, clock: Clock | None = None, portfolio_id: int | None = None) -> None:
    """Bring what rests at the venue in line with what should; call it outside a transaction.

    :param clock: tells when each stop is sent, since ``now`` may be old by then
    :param portfolio_id: one that trades at a venue; None: all that trade on paper
    """
    name = PAPER if portfolio_id is None else desk_of(portfolio_id=portfolio_id).venue
    venue = venue_get(name=name, clock=clock)
    if not isinstance(venue, StopVenue):
        return
    place = _Place(venue, portfolio_id)
    try:
        _standing_compare(place=place, now=now)
        wanted = {one.position.pk: one for one in _wanted(place)}
        _leave(place=place, wanted=wanted)
        _take_back(place=place, now=now)
        for one in _to_place(wanted=wanted, now=now):
            _place(one=one, venue=venue, now=clock.now() if clock else now)
    except RetryLater as error:
        logger.warning("stops at %s have to wait: %s", venue.name, error)


# ---------------------------------------------------------------- what became of those that stand
def _standing_compare(*, place: _Place, now: datetime) -> None:
    """Ask about every stop that should rest and is not listed."""
    venue = place.venue
    standing = list(
        place.stops.filter(status__in=VenueStop.STANDING).select_related("position").order_by("pk")
    )
    accounts = sorted({account_name(portfolio_id=stop.portfolio_id) for stop in standing})
    armed = {ref.client_order_id for ref in venue.stops_armed(accounts=accounts)} if accounts else set()
    for stop in standing:
        if stop.client_order_id in armed:
            _rest(stop)
        elif stop.status != Status.PLACING or stop.created_at <= now - UNHEARD_FOR:
            _settle(stop=stop, venue=venue, now=now)


def _settle(*, stop: VenueStop, venue: StopVenue, now: datetime) -> None:
    """Keep what the venue says of a stop that does not rest there."""
    try:
        status = venue.stop_fetch(stop=stop_ref(stop=stop))
        if status == StopStatus.TRIGGERED:
            touched_adopt(stop_id=stop.pk, venue=venue, now=now)
        elif status == StopStatus.REJECTED:
            _move(stop, to=Status.REFUSED, only_from=VenueStop.STANDING, why="Refused by the venue", at=now)
        elif status == StopStatus.CANCELLED:
            _move(stop, to=Status.CANCELLED, only_from=VenueStop.STANDING, why="Ended at the venue", at=now)
        elif status is None and stop.status != Status.LEAVING:
            # It may lie: so it is also taken back, which the next lines do.
            _move(stop, to=Status.LEAVING, only_from=VenueStop.GUARDING, why="The venue does not know it")
    except RetryLater as error:
        logger.warning("venue stop %s cannot be asked about: %s", stop.pk, error)


@transaction.atomic
def _rest(stop: VenueStop) -> None:
    """The venue has a new stop: the one that rested before it leaves now, and not sooner."""
    if stop.status != Status.PLACING or not VenueStop.objects.filter(pk=stop.pk, status=Status.PLACING):
        return
    VenueStop.objects.filter(position_id=stop.position_id, status=Status.RESTING).update(
        status=Status.LEAVING, reason=f"Moved to {plain(stop.trigger_price)}"
    )
    _move(stop, to=Status.RESTING, only_from=(Status.PLACING,))


def _move(
    stop: VenueStop, *, to: str, only_from: Iterable[str], why: str = "", at: datetime | None = None
) -> bool:
    """Move a stop's status if it still is where it was; tell whether this call did it."""
    values: dict[str, object] = {"status": to}
    if why:
        values["reason"] = why[:300]
    if at is not None:
        values["ended_at"] = at
    moved = VenueStop.objects.filter(pk=stop.pk, status__in=list(only_from)).update(**values)
    return bool(moved)


# ---------------------------------------------------------------- what should rest
def _wanted(place: _Place) -> list[_Wanted]:
    """Return the stops that should rest now, of every portfolio whose owner wants that."""
    guards = list(
        place.guards.filter(
            ended_at__isnull=True,
            run=F("world__run"),
            position__portfolio__exit_defaults__stops_at_venue=True,
        )
        .exclude(position__status=Position.Status.CLOSED)
        .select_related("instrument", "position__portfolio")
        .order_by("pk")
    )
    desks = desks_of(portfolio_ids={guard.position.portfolio_id for guard in guards})
    found = []
    for guard in guards:
        desk = desks.get(guard.position.portfolio_id, ON_PAPER)
        stop = stop_wanted(
            state=state_of(guard),
            quantity=guard.position.quantity,
            instrument=desk.spec(guard.instrument),
        )
        if stop is not None:
            found.append(_Wanted(guard=guard, stop=stop))
    return found


def _leave(*, place: _Place, wanted: Mapping[int, _Wanted]) -> None:
    """Let go of the stops of positions that should have none."""
    for stop in place.stops.filter(status__in=VenueStop.GUARDING).exclude(position_id__in=wanted):
        _move(stop, to=Status.LEAVING, only_from=VenueStop.GUARDING, why="Not wanted any more")


def _take_back(*, place: _Place, now: datetime) -> None:
    """Cancel the stops that leave. One that is not known may still arrive while its request is valid."""
    venue = place.venue
    for stop in place.stops.filter(status=Status.LEAVING).select_related("position").order_by("pk")[:AT_ONCE]:
        try:
            answer = venue.stop_cancel(stop=stop_ref(stop=stop), now=now)
        except (RetryLater, UnknownOutcome) as error:
            logger.warning("venue stop %s is not taken back yet: %s", stop.pk, error)
            continue
        if answer == CancelAnswer.CANCELLED:
            _move(stop, to=Status.CANCELLED, only_from=(Status.LEAVING,), at=now)
        elif answer == CancelAnswer.NOT_KNOWN:
            if stop.created_at <= now - UNHEARD_FOR:
                _move(stop, to=Status.GONE, only_from=(Status.LEAVING,), at=now)
        else:
            _settle(stop=stop, venue=venue, now=now)


def _to_place(*, wanted: Mapping[int, _Wanted], now: datetime) -> list[_Wanted]:
    """Return the positions whose stop is missing, or has moved, and was not refused just now."""
    here = VenueStop.objects.filter(position_id__in=wanted)
    failed = Q(status__in=(Status.REFUSED, Status.GONE, Status.LEAVING), created_at__gt=now - AGAIN_AFTER)
    waits = set(here.filter(failed | Q(status=Status.PLACING)).values_list("position_id", flat=True))
    rests = {stop.position_id: stop for stop in here.filter(status=Status.RESTING)}
    due = [
        one
        for position_id, one in wanted.items()
        if position_id not in waits and _differs(rests=rests.get(position_id), wanted=one.stop)
    ]
    return due[:AT_ONCE]


def _differs(*, rests: VenueStop | None, wanted: StopAtVenue) -> bool:
    if rests is None:
        return True
    now_there = StopAtVenue(OrderSide(rests.side), rests.quantity, rests.trigger_price)
    return stop_moves(rests=now_there, wanted=wanted)


def _place(*, one: _Wanted, venue: StopVenue, now: datetime) -> None:
    """Store a stop, send it, and keep the answer; once it rests, the one before it leaves."""
    stop = _store(one=one, venue_name=venue.name, now=now)
    if stop is None:
        return
    request = StopRequest(
        client_order_id=stop.client_order_id,
        account=account_name(portfolio_id=stop.portfolio_id),
        world=one.position.portfolio.world,
        instrument_code=one.position.instrument_id,
        policy=one.position.policy,
        side=stop.side,
        quantity=stop.quantity,
        trigger_price=stop.trigger_price,
        valid_until=now + REQUEST_VALID,
    )
    try:
        answer = venue.stop_place(request=request, now=now)
    except RetryLater as error:
        _move(stop, to=Status.REFUSED, only_from=VenueStop.STANDING, why=str(error), at=now)
        return
    except UnknownOutcome as error:
        logger.warning("venue stop %s: %s; the venue is asked", stop.pk, error)
        return
    if isinstance(answer, Refused):
        logger.warning("venue stop %s was refused: %s", stop.pk, answer.reason)
        _move(stop, to=Status.REFUSED, only_from=VenueStop.STANDING, why=answer.reason, at=now)
    else:
        _rest(stop)


def _store(*, one: _Wanted, venue_name: str, now: datetime) -> VenueStop | None:
    """Store the stop about to be sent; None where another process has just done so."""
    state = state_of(one.guard)
    try:
        with transaction.atomic():
            return VenueStop.objects.create(
                portfolio_id=one.position.portfolio_id,
                position=one.position,
                episode=one.guard.episode,
                kind=stop_kind(state=state),
                venue=venue_name,
                client_order_id=client_order_id_new(),
                side=one.stop.side,
                quantity=one.stop.quantity,
                trigger_price=one.stop.trigger_price,
                created_at=now,
            )
    except IntegrityError:
        return None
