"""What an account at a venue needs now: orders sent, called back and asked about, exits, its settling.

    due     each second: which accounts have something to do; a message for each        ``accounts_due``
    turn    one account, claimed by one worker, under a budget of few requests          ``account_turn``

Open orders are read in one request per account, and only those of which the answer differs from our books
are asked about one by one. A venue that does not answer is given longer and longer pauses; nobody waits for
it but its own portfolios. What is sent at once (entries, exits) does not wait for a turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db import DatabaseError
from django.db.models import Exists, OuterRef, Q

from accounts.models import LiveAccount, LiveFinding
from allocation.domain.breakers import CLOSING
from allocation.models import BreakerTrip
from core.clock import Clock
from core.errors import EnsembleError, RetryLater
from engine.emergency import stopped_flatten
from engine.exits.standing import triggers_work
from engine.live.life import stopping_go_on
from engine.live.looking import account_look_keep
from engine.models import CycleState, ExitTrigger
from engine.order_life import one_order, order_send, orders_ask, orders_call_back
from engine.recovery import portfolio_reconcile
from engine.venue_stops import venue_stops_work
from execution.desks import account_name, desk_of
from execution.models import Order
from execution.orders import orders_due_for_expiry, orders_to_ask, orders_to_submit
from execution.venues import venue_get
from positions.models import Position, VenueStop

logger = logging.getLogger(__name__)
CLAIM_TIMEOUT: Final = timedelta(seconds=60)  # then whoever had it is taken for dead
BUSY: Final = timedelta(seconds=15)  # an order this young, or one being called back, is looked at often
POLL_BUSY: Final = timedelta(seconds=2)
POLL_CALM: Final = timedelta(seconds=10)
SETTLE_EVERY: Final = timedelta(seconds=30)
LOOK_EVERY: Final = timedelta(seconds=60)
LOOK_AGAIN: Final = timedelta(seconds=20)
PAUSE_S: Final = 2
PAUSE_MOST_S: Final = 60
AT_ONCE: Final = 500


def accounts_due(*, now: datetime) -> list[int]:
    """Return the portfolios whose account at a venue has something to do, longest untouched first."""
    orders = Order.objects.filter(portfolio=OuterRef("pk"), status__in=Order.OPEN_STATUSES)
    triggers = ExitTrigger.objects.filter(portfolio=OuterRef("pk"), status__in=ExitTrigger.STANDING)
    held = Position.objects.filter(portfolio=OuterRef("pk")).exclude(status=Position.Status.CLOSED)
    stops = VenueStop.objects.filter(portfolio=OuterRef("pk"), status__in=VenueStop.STANDING)
    trips = BreakerTrip.objects.filter(
        portfolio=OuterRef("pk"), kind__in=[kind.value for kind in CLOSING], reset_at__isnull=True
    )
    doubts = LiveFinding.objects.filter(
        account=OuterRef("pk"), settled_at__isnull=True, confirmed_at__isnull=True
    )
    something = (
        Exists(orders)
        | Exists(triggers)
        | Exists(stops)
        | (Exists(held) & (Exists(trips) | Q(portfolio__exit_defaults__stops_at_venue=True)))
        | Q(looked_at__isnull=True)
        | Q(looked_at__lte=now - LOOK_EVERY)
        | Exists(doubts) & Q(looked_at__lte=now - LOOK_AGAIN)
        | Q(state=LiveAccount.State.STOPPING)
    )
    due = LiveAccount.objects.filter(_free(now), something, state__in=LiveAccount.AT_VENUE)
    return list(due.order_by("claimed_at", "polled_at", "pk").values_list("pk", flat=True)[:AT_ONCE])


def account_turn(*, portfolio_id: int, now: datetime, clock: Clock | None = None) -> bool:
    """Do what one account needs now; False where another worker is at it or its venue has a pause.

    Must be called outside a transaction. A part that fails leaves the others to be done.

    :param clock: tells when each order is sent, since ``now`` may be old by then
    """
    mine = LiveAccount.objects.filter(_free(now), pk=portfolio_id, state__in=LiveAccount.AT_VENUE)
    if not mine.update(claimed_at=now):
        return False
    away = ""
    try:
        for name, part in _parts(portfolio_id, now, clock):
            try:
                part()
            except RetryLater as error:
                away = str(error)
                logger.warning("%s of portfolio %s has to wait: %s", name, portfolio_id, error)
                break  # each further question would wait for the same silence
            except (EnsembleError, DatabaseError):
                logger.exception("%s of portfolio %s failed; it is tried again", name, portfolio_id)
    finally:
        _release(portfolio_id=portfolio_id, claimed_at=now, away=away)
    return True


def _free(now: datetime) -> Q:
    unclaimed = Q(claimed_at__isnull=True) | Q(claimed_at__lte=now - CLAIM_TIMEOUT)
    return unclaimed & (Q(retry_at__isnull=True) | Q(retry_at__lte=now))


def _parts(portfolio_id: int, now: datetime, clock: Clock | None) -> list[tuple[str, Callable[[], object]]]:
    """Return the parts of a turn in order: what closes comes before what only looks."""
    return [
        ("sending", partial(_send, portfolio_id, now, clock)),
        ("closing", partial(stopped_flatten, now=now, clock=clock, portfolio_id=portfolio_id)),
        ("stopping", partial(stopping_go_on, portfolio_id=portfolio_id, now=now, clock=clock)),
        ("exits", partial(triggers_work, now=now, clock=clock, portfolio_id=portfolio_id)),
        ("asking", partial(orders_poll, portfolio_id=portfolio_id, now=now)),
        ("stops", partial(venue_stops_work, now=now, clock=clock, portfolio_id=portfolio_id)),
        ("settling", partial(_settle, portfolio_id, now)),
        ("looking", partial(_look, portfolio_id, now)),
    ]


def _release(*, portfolio_id: int, claimed_at: datetime, away: str) -> None:
    """Give the account back; where its venue did not answer, with a pause that doubles."""
    mine = LiveAccount.objects.filter(pk=portfolio_id, claimed_at=claimed_at)
    if not away:
        mine.update(claimed_at=None, retry_at=None, failures=0, error="")
        return
    row = mine.first()
    if row is not None:
        pause_s = min(PAUSE_S * 2 ** min(row.failures, 8), PAUSE_MOST_S)
        mine.update(
            claimed_at=None,
            failures=row.failures + 1,
            error=away[:300],
            retry_at=claimed_at + timedelta(seconds=pause_s),
        )


def _send(portfolio_id: int, now: datetime, clock: Clock | None) -> None:
    """Send what was stored and never sent, and call back what has had its time."""
    for order_id in orders_to_submit(now=now, portfolio_id=portfolio_id):
        with one_order(order_id=order_id, now=now):
            order_send(order_id=order_id, now=now, clock=clock)
    overdue = orders_due_for_expiry(now=now, portfolio_id=portfolio_id)
    fresh = Order.objects.filter(pk__in=overdue, cancel_requested_at__isnull=True)
    called = list(fresh.order_by("pk").values_list("pk", flat=True))
    orders_call_back(order_ids=called, why="Not filled in time", now=now)
    orders_ask(order_ids=called, now=now)


def orders_poll(*, portfolio_id: int, now: datetime) -> tuple[int, ...]:
    """Compare the open orders with the venue's list in one request, and ask about those that differ.

    Return which were asked about. Nothing is asked before its time, or while nothing is open.

    :raises RetryLater: the venue gave no usable answer
    """
    sent = Order.objects.filter(
        portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES, submit_claimed_at__isnull=False
    )
    orders = {order.client_order_id: order for order in sent.order_by("pk")}
    if not orders or not _poll_due(portfolio_id, list(orders.values()), now):
        return ()
    venue = venue_get(name=desk_of(portfolio_id=portfolio_id).venue)
    LiveAccount.objects.filter(pk=portfolio_id).update(polled_at=now)
    working = {
        one.client_order_id: one for one in venue.orders_open(account=account_name(portfolio_id=portfolio_id))
    }
    ask = set(orders_to_ask(now=now, portfolio_id=portfolio_id))
    for name, order in orders.items():
        there = working.get(name)
        if there is None or there.filled_quantity != order.filled_quantity:
            ask.add(order.pk)
    again = [one.pk for name, one in orders.items() if one.cancel_requested_at and name in working]
    orders_call_back(order_ids=again, why="Called back before", now=now)
    asked = tuple(sorted(ask.union(again)))
    orders_ask(order_ids=asked, now=now)
    return asked


def _poll_due(portfolio_id: int, orders: list[Order], now: datetime) -> bool:
    polled_at = LiveAccount.objects.values_list("polled_at", flat=True).get(pk=portfolio_id)
    busy = any(order.created_at > now - BUSY or order.cancel_requested_at is not None for order in orders)
    return polled_at is None or polled_at <= now - (POLL_BUSY if busy else POLL_CALM)


def _settle(portfolio_id: int, now: datetime) -> None:
    """Settle the account's orders and fills with our books each half minute (``engine.recovery``)."""
    done_at = CycleState.objects.values_list("reconciled_at", flat=True).get(pk=portfolio_id)
    if done_at is not None and done_at > now - SETTLE_EVERY:
        return
    found = portfolio_reconcile(portfolio_id=portfolio_id, now=now)
    if found.error:
        raise RetryLater(found.error)


def _look(portfolio_id: int, now: datetime) -> None:
    """Read what the account holds each minute, and again soon where a difference waits for a second look."""
    looked_at = LiveAccount.objects.values_list("looked_at", flat=True).get(pk=portfolio_id)
    doubt = LiveFinding.objects.filter(
        account_id=portfolio_id, settled_at__isnull=True, confirmed_at__isnull=True
    ).exists()
    every = LOOK_AGAIN if doubt else LOOK_EVERY
    if looked_at is None or looked_at <= now - every:
        account_look_keep(portfolio_id=portfolio_id, now=now)
