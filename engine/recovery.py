"""Recovery: what our books say of a portfolio's orders, settled with its venue (EXE-6).

Start-up and crash are one path, walked at every start of a worker, every half minute where something is or
was open, and by ``manage.py reconcile``:

    look      read what works on the account at the venue, and its fills; then our books, which know every
              order before it is sent
    ask       every order of which the two may differ is asked about by client id, and booked
    settle    an order that works there though it ended here is cancelled; one that our books do not know
              at all is an orphan: kept, cancelled, told, and no entries until a person has looked

Nothing is sent here but cancels, so it may run at any time, any number of times, on any number of machines.
While an order's outcome is not known the portfolio opens nothing (``execution.orders.entries_bar``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import DatabaseError
from django.db.models import F, Q

from accounts.models import LiveAccount, Portfolio
from core.decimals import ZERO, plain
from core.errors import RetryLater, UnknownOutcome
from engine.models import CycleState
from engine.order_life import orders_ask, venue_doubt
from engine.venue_stop_adopting import named_adopt, stray_stops_end
from execution.client_ids import is_ours
from execution.desks import PAPER, account_name, venues_of
from execution.models import Fill, Order, VenueOrphan
from execution.orders import order_ref, orders_to_ask
from execution.venues import venue_get
from execution.venues.base import CancelAnswer, OpenOrder, StopVenue, Venue, VenueFill, VenueStatus
from positions.models import VenueStop

logger = logging.getLogger(__name__)
OVERLAP: Final = timedelta(minutes=10)  # a fill may be told this long after it was made
ENDED_LATELY: Final = timedelta(hours=1)
DUE_AFTER: Final = timedelta(seconds=25)  # beat comes every 30 s
AT_ONCE: Final = 200
Outcome = VenueOrphan.Outcome


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What settling one portfolio with its venue found.

    :param error: why the venue could not be asked; then nothing else is known
    :param asked: our orders of which books and venue might differ
    :param unsettled: our orders whose outcome is still not known
    :param missed_fills: fills of the venue that were not booked, and are now
    :param strays: our ended orders that still worked at the venue, and were cancelled there
    :param orphans: client ids at the venue that none of our orders has
    """

    portfolio_id: int
    error: str = ""
    asked: tuple[int, ...] = ()
    unsettled: tuple[int, ...] = ()
    missed_fills: int = 0
    strays: tuple[int, ...] = ()
    orphans: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was found and nothing is left open."""
        return not (self.error or self.unsettled or self.missed_fills or self.strays or self.orphans)


@dataclass(slots=True)
class _Look:
    """What the venue said, and our orders by client id, read after it."""

    working: dict[str, OpenOrder]
    fills: list[VenueFill]
    orders: dict[str, Order] = field(default_factory=dict)


def portfolio_reconcile(*, portfolio_id: int, now: datetime) -> Reconciled:
    """Settle a portfolio's orders with its venue and return what was found. Call it outside a transaction."""
    venue = venue_get(name=venues_of(portfolio_ids=[portfolio_id]).get(portfolio_id, PAPER))
    try:
        look = _look(portfolio_id=portfolio_id, venue=venue, now=now)
        stray_stops_end(portfolio_id=portfolio_id, venue=venue, now=now)
    except RetryLater as error:
        logger.warning("portfolio %s cannot be settled with %s: %s", portfolio_id, venue.name, error)
        return Reconciled(portfolio_id=portfolio_id, error=str(error))
    missed = _missed_fills(look)
    asked = _to_ask(portfolio_id=portfolio_id, look=look, missed=missed, now=now)
    orders_ask(order_ids=asked, now=now)
    strays = _strays_end(look=look, venue=venue, now=now)
    orphans = _orphans_keep(portfolio_id=portfolio_id, look=look, venue=venue, now=now)
    CycleState.objects.filter(portfolio_id=portfolio_id).update(reconciled_at=now)
    found = Reconciled(
        portfolio_id=portfolio_id,
        asked=tuple(asked),
        unsettled=tuple(orders_to_ask(now=now, portfolio_id=portfolio_id)),
        missed_fills=len(missed),
        strays=strays,
        orphans=orphans,
    )
    if found.missed_fills or found.strays:
        logger.warning("portfolio %s was settled with %s: %s", portfolio_id, venue.name, found)
    return found


def _look(*, portfolio_id: int, venue: Venue, now: datetime) -> _Look:
    """Read the venue first and our books after it, so that what is missing in them was never ours.

    What stops of ours have become meanwhile is taken into our books in between.

    :raises RetryLater: the venue gave no usable answer
    """
    account = account_name(portfolio_id=portfolio_id)
    since = _since(portfolio_id=portfolio_id)
    working = {order.client_order_id: order for order in venue.orders_open(account=account)}
    told = venue.fills_since(account=account, since=since)
    fills = {(fill.client_order_id, fill.venue_fill_id): fill for fill in told}
    if venue.name != PAPER:  # an account of somebody's own: what they do there is theirs
        working = {name: order for name, order in working.items() if is_ours(name)}
        fills = {key: fill for key, fill in fills.items() if is_ours(fill.client_order_id)}
    look = _Look(working=working, fills=list(fills.values()))
    named = {*working, *(fill.client_order_id for fill in look.fills)}
    if isinstance(venue, StopVenue):
        named_adopt(portfolio_id=portfolio_id, client_order_ids=named, venue=venue, now=now)
    ours = Order.objects.filter(portfolio_id=portfolio_id, venue=venue.name, client_order_id__in=named)
    look.orders = {order.client_order_id: order for order in ours}
    return look


def _since(*, portfolio_id: int) -> datetime:
    """Return from when on fills are compared: the last time it was done and some more, or all there are."""
    created_at, done_at = Portfolio.objects.values_list("created_at", "cycle__reconciled_at").get(
        pk=portfolio_id
    )
    return (done_at or created_at) - OVERLAP


def _missed_fills(look: _Look) -> list[VenueFill]:
    """Return the venue's fills of orders of ours that had ended here and that are not booked.

    Those of living orders are on their way: their orders are asked about all the time.
    """
    ended = {one.pk for one in look.orders.values() if one.status not in Order.OPEN_STATUSES}
    ids = {fill.venue_fill_id for fill in look.fills}
    booked = Fill.objects.filter(order_id__in=ended, venue_fill_id__in=ids)
    known = set(booked.values_list("order_id", "venue_fill_id"))
    return [
        fill
        for fill in look.fills
        if (order := look.orders.get(fill.client_order_id)) is not None
        and order.pk in ended
        and (order.pk, fill.venue_fill_id) not in known
    ]


def _to_ask(*, portfolio_id: int, look: _Look, missed: Iterable[VenueFill], now: datetime) -> list[int]:
    """Return our orders of which the venue may know more, or other, than we do, ascending."""
    open_here = Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES)
    ids = set(orders_to_ask(now=now, portfolio_id=portfolio_id))
    for order in open_here.filter(submit_claimed_at__isnull=False):
        there = look.working.get(order.client_order_id)
        if there is None or there.filled_quantity != order.filled_quantity:
            ids.add(order.pk)
    ids |= {look.orders[fill.client_order_id].pk for fill in missed}
    ids |= {
        order.pk
        for client_id, order in look.orders.items()
        if client_id in look.working and order.status not in Order.OPEN_STATUSES
    }
    return sorted(ids)


def _strays_end(*, look: _Look, venue: Venue, now: datetime) -> tuple[int, ...]:
    """Cancel what still works at the venue though it ended here, and was not revived by asking."""
    listed = [order.pk for client_id, order in look.orders.items() if client_id in look.working]
    ended = Order.objects.filter(pk__in=listed).exclude(status__in=Order.OPEN_STATUSES).order_by("pk")
    strays: list[int] = []
    for order in ended:
        try:
            there = venue.order_fetch(order=order_ref(order=order))
            if there is None or there.status != VenueStatus.OPEN:
                continue  # it ended after the list was made
            venue.order_cancel(order=order_ref(order=order), now=now)
        except (RetryLater, UnknownOutcome) as error:
            logger.warning("order %s still works at %s: %s", order.pk, venue.name, error)
        strays.append(order.pk)
    return tuple(strays)


def _orphans_keep(*, portfolio_id: int, look: _Look, venue: Venue, now: datetime) -> tuple[str, ...]:
    """Keep, cancel and tell of what the venue has under client ids that none of our orders bears."""
    filled: dict[str, Decimal] = {}
    for fill in look.fills:
        if fill.client_order_id not in look.orders:
            filled[fill.client_order_id] = filled.get(fill.client_order_id, ZERO) + fill.quantity
    working = {name: one for name, one in look.working.items() if name not in look.orders}
    for name in sorted({*working, *filled}):
        _orphan_keep(
            portfolio_id=portfolio_id,
            name=name,
            working=working.get(name),
            filled=filled.get(name, ZERO),
            venue=venue,
            now=now,
        )
    return tuple(sorted({*working, *filled}))


def _orphan_keep(
    *,
    portfolio_id: int,
    name: str,
    working: OpenOrder | None,
    filled: Decimal,
    venue: Venue,
    now: datetime,
) -> None:
    orphan, is_new = VenueOrphan.objects.get_or_create(
        venue=venue.name,
        client_order_id=name[:80],
        defaults={"portfolio_id": portfolio_id, "found_at": now, **_seen(working)},
    )
    outcome, detail = _orphan_end(portfolio_id=portfolio_id, working=working, venue=venue, now=now)
    orphan.filled_quantity = max(orphan.filled_quantity, filled, working.filled_quantity if working else ZERO)
    orphan.outcome, orphan.detail = outcome.value, detail[:300]
    orphan.settled_at = None if outcome == Outcome.FAILED else orphan.settled_at or now
    orphan.save(update_fields=["filled_quantity", "outcome", "detail", "settled_at"])
    if not is_new:
        return
    what = (
        f"{orphan.side} {plain(orphan.quantity)} {orphan.instrument_code}".strip() if working else "an order"
    )
    why = (
        f"{venue.name} has {what} ({name}) on this account, which none of our orders is; "
        f"it is {orphan.get_outcome_display().lower()}, {plain(orphan.filled_quantity)} of it filled"
    )
    logger.error("orphan of portfolio %s: %s", portfolio_id, why)
    venue_doubt(portfolio_id=portfolio_id, why=why, now=now)


def _seen(working: OpenOrder | None) -> Mapping[str, object]:
    if working is None:
        return {}
    return {
        "venue_order_id": working.venue_order_id,
        "instrument_code": working.instrument_code,
        "side": working.side,
        "quantity": working.quantity,
    }


def _orphan_end(
    *, portfolio_id: int, working: OpenOrder | None, venue: Venue, now: datetime
) -> tuple[VenueOrphan.Outcome, str]:
    """Cancel an orphan that works; return what became of it."""
    if working is None:
        return Outcome.ENDED, "Only its fills were found"
    policy = Portfolio.objects.values_list("policy", flat=True).get(pk=portfolio_id)
    order = working.ref(account=account_name(portfolio_id=portfolio_id), policy=policy)
    try:
        answer = venue.order_cancel(order=order, now=now)
    except (RetryLater, UnknownOutcome) as error:
        return Outcome.FAILED, f"{error}; it is tried again"
    return (Outcome.CANCELLED if answer == CancelAnswer.CANCELLED else Outcome.ENDED), ""


def portfolios_reconcile(*, now: datetime, begun_at: datetime | None = None) -> list[Reconciled]:
    """Settle the paper portfolios that are due, longest first, some hundred at once; return what was found.

    Due is who has, or lately had, something open and was not settled for half a minute. Those that trade at a
    venue are settled one by one (``engine.live.turn``): a venue that is away holds up nobody else.

    :param begun_at: due is instead everybody who was not settled since; for the start of a worker
    """
    due = Q(cycle__reconciled_at__isnull=True) | Q(cycle__reconciled_at__lte=begun_at or now - DUE_AFTER)
    portfolios = Portfolio.objects.exclude(world="").exclude(live__state__in=LiveAccount.AT_VENUE).filter(due)
    if begun_at is None:
        lately = Q(status__in=Order.OPEN_STATUSES) | Q(finished_at__gte=now - ENDED_LATELY)
        stops = Q(status__in=VenueStop.STANDING) | Q(ended_at__gte=now - ENDED_LATELY)
        portfolios = portfolios.filter(
            Q(pk__in=Order.objects.filter(lately).values("portfolio_id"))
            | Q(pk__in=VenueStop.objects.filter(stops).values("portfolio_id"))
        )
    turn = portfolios.order_by(F("cycle__reconciled_at").asc(nulls_first=True), "pk")
    return [
        found
        for portfolio_id in turn.values_list("pk", flat=True)[:AT_ONCE]
        if (found := _guarded(portfolio_id=portfolio_id, now=now)) is not None
    ]


def recovery_go_on(*, begun_at: datetime, now: datetime) -> bool:
    """Settle the next of those who were not settled since a worker started; True while there are more."""
    found = portfolios_reconcile(now=now, begun_at=begun_at)
    return len(found) == AT_ONCE and any(not one.error for one in found)


def _guarded(*, portfolio_id: int, now: datetime) -> Reconciled | None:
    """Settle one portfolio; its fault is its own."""
    try:
        return portfolio_reconcile(portfolio_id=portfolio_id, now=now)
    except DatabaseError:
        logger.exception("portfolio %s could not be settled; it is tried again", portfolio_id)
        return None
