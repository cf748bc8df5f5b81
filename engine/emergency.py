"""Emergency stop: freeze, cancel every order, close every position, stay frozen (RSK-3); its drill (BEY-8).

    freeze    one transaction: the trip that bars all entries, and a closing order per position stored
    send      the caller sends them itself; no worker is needed
    cancel    every other order is called back, those of unknown outcome too
    finish    ``stopped_flatten``, every second: what was filled meanwhile, expired or refused is closed again

A closing order is marketable and reduce-only. One closing order works per position, whoever stored it:
liquidation, stop and the owner's own exit take the same lock, so a position is sold once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import LiveAccount, Portfolio
from allocation.breakers import breaker_reset
from allocation.domain.breakers import CLOSING
from allocation.locks import capital_lock
from allocation.models import BreakerTrip
from core.clock import SYSTEM_CLOCK, Clock
from core.decimals import ONE, plain
from core.errors import EnsembleError, InputError
from engine.closing import close_order_store, positions_held
from engine.decisions import DecisionNote, decision_store, world_time
from engine.domain.exit_draft import NothingThere
from engine.legs import legs_forget
from engine.order_life import one_order, order_send, orders_ask, orders_call_back
from engine.own_orders import position_close
from engine.publishing import portfolio_changed
from engine.resets import SOLD, ResetAnswer, reset_answer, trips_follow
from engine.trips import Kind, portfolio_trip
from execution.models import Order
from markets.selectors import MarkData, marks_for
from positions.models import Position

logger = logging.getLogger(__name__)
LIFETIME_S: Final = 15  # a closing order that has not filled by then is followed by one at the newer price
RETRY: Final = timedelta(seconds=5)  # after the last closing order of a position before it is tried again
EXIT_PATIENCE: Final = timedelta(seconds=10)  # how long an exit that was working already is waited for


@dataclass(frozen=True, slots=True)
class StopAnswer:
    """How far a stop is.

    :param pressed_before: a stop stood already; this one changed nothing but went on with it
    :param positions: how many are still open; ``orders`` how many still work
    :param left: what cannot be closed now, and why
    """

    pressed_before: bool
    positions: int
    orders: int
    left: tuple[str, ...] = ()

    @property
    def flat(self) -> bool:
        """Whether nothing is open any more."""
        return self.positions == 0 and self.orders == 0

    @property
    def text(self) -> str:
        """Say how far it is, for a person."""
        head = "Stopped before; nothing new is opened." if self.pressed_before else "Stopped and frozen."
        if self.flat:
            return f"{head} Nothing is open."
        rest = f"{_count(self.positions, 'position')} and {_count(self.orders, 'order')} are still open"
        return " ".join([head, f"{rest}; they are being closed.", *self.left])


@dataclass(frozen=True, slots=True)
class DrillAnswer:
    """What an emergency stop would do now.

    :param seconds: to read, decide and build everything; the venue's time comes on top
    :param closes: side, quantity and code of each closing order
    """

    seconds: float
    closes: tuple[str, ...]
    cancels: int
    left: tuple[str, ...]

    @property
    def text(self) -> str:
        """Say it for a person."""
        done = f"{_count(len(self.closes), 'position')} would be closed and {_count(self.cancels, 'order')}"
        return " ".join([f"Ready in {self.seconds:.3f} s: {done} cancelled. Nothing was sent.", *self.left])


@dataclass(frozen=True, slots=True)
class _Closes:
    order_ids: tuple[int, ...]
    netted: tuple[int, ...]  # positions whose slices net to nothing: settled without an order
    left: tuple[str, ...]


def emergency_freeze(*, portfolio_id: int, by: str, reason: str, now: datetime) -> bool:
    """Bar everything that opens, at once and until a person resumes; False where it was barred so before."""
    why = f"Stopped by {by}" + (f": {reason}" if reason else "")
    return portfolio_trip(portfolio_id=portfolio_id, kind=Kind.EMERGENCY_STOP, why=why, now=now) is not None


def emergency_stop(
    *, portfolio_id: int, by: str, reason: str, now: datetime, clock: Clock | None = None
) -> StopAnswer:
    """Freeze a portfolio, cancel all its orders and close all its positions; go on with it if called again.

    Must be called outside a transaction. What this call does not finish, the sweep does.

    :param by: who wants it; ``reason`` may be empty
    :param clock: as in ``execution.orders.order_submit``
    :raises NotFound: there is no such portfolio
    """
    with transaction.atomic():
        capital_lock(portfolio_id=portfolio_id)
        first = emergency_freeze(portfolio_id=portfolio_id, by=by, reason=reason, now=now)
        closes = _closes_store(portfolio_id=portfolio_id, why=_why(portfolio_id), now=now)
    _orders_send(closes.order_ids, now=now, clock=clock)
    orders_ask(order_ids=_sent(portfolio_id), now=now)  # what is filled already is booked without a worker
    later = portfolio_flatten(
        portfolio_id=portfolio_id, why=_why(portfolio_id), now=clock.now() if clock else now, clock=clock
    )
    left = tuple(dict.fromkeys((*closes.left, *later)))
    return _stop_answer(portfolio_id=portfolio_id, pressed_before=not first, left=left)


def _sent(portfolio_id: int) -> list[int]:
    """Return the working orders that the venue may have news of, closing ones alone."""
    working = Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES)
    closing = working.filter(purpose=Order.Purpose.LIQUIDATION, submitted_at__isnull=False)
    return list(closing.order_by("pk").values_list("pk", flat=True))


def stopped_flatten(
    *, now: datetime, clock: Clock | None = None, portfolio_id: int | None = None
) -> list[int]:
    """Go on closing every portfolio that a breaker closes and that is not flat; return their ids.

    A fault of one is its own.

    :param portfolio_id: one alone, wherever it trades; None: all that trade on paper
    """
    trips = BreakerTrip.objects.filter(
        portfolio=OuterRef("pk"), kind__in=[kind.value for kind in CLOSING], reset_at__isnull=True
    )
    held = Position.objects.filter(portfolio=OuterRef("pk")).exclude(status=Position.Status.CLOSED)
    working = Order.objects.filter(portfolio=OuterRef("pk"), status__in=Order.OPEN_STATUSES)
    stopped = Portfolio.objects.filter(Exists(trips), Exists(held) | Exists(working)).order_by("pk")
    if portfolio_id is None:
        stopped = stopped.exclude(live__state__in=LiveAccount.AT_VENUE)
    else:
        stopped = stopped.filter(pk=portfolio_id)
    ids = list(stopped.values_list("pk", flat=True))
    for one_id in ids:
        try:
            portfolio_flatten(portfolio_id=one_id, why=_why(one_id), now=now, clock=clock)
        except (EnsembleError, DatabaseError):
            logger.exception("closing portfolio %s goes on in a second", one_id)
    return ids


def portfolio_flatten(
    *, portfolio_id: int, why: str, now: datetime, clock: Clock | None = None
) -> tuple[str, ...]:
    """Call back what works beside the closing orders, and store and send those that are missing.

    Call it again until nothing is open; what cannot be closed now is returned, in words. Whoever calls has
    seen to it that nothing is opened meanwhile. Must be called outside a transaction.
    """
    called = list(_to_call_back(portfolio_id, now).order_by("pk").values_list("pk", flat=True))
    orders_call_back(order_ids=called, why=why, now=now)
    orders_ask(order_ids=called, now=now)
    with transaction.atomic():
        capital_lock(portfolio_id=portfolio_id)
        closes = _closes_store(portfolio_id=portfolio_id, why=why, now=now)
    _orders_send(closes.order_ids, now=now, clock=clock)
    for position_id in closes.netted:
        _netted_settle(portfolio_id=portfolio_id, position_id=position_id, now=now)
    return closes.left


def _to_call_back(portfolio_id: int, now: datetime) -> QuerySet[Order]:
    """Return the working orders that open, or that reduce and have had their time."""
    working = Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES)
    late = Q(created_at__lte=now - EXIT_PATIENCE)
    return working.exclude(purpose=Order.Purpose.LIQUIDATION).filter(Q(reduce_only=False) | late)


def _why(portfolio_id: int) -> str:
    """Return the reason of the oldest standing trip that closes everything."""
    trips = BreakerTrip.objects.filter(portfolio_id=portfolio_id, reset_at__isnull=True)
    trip = trips.filter(kind__in=[kind.value for kind in CLOSING]).order_by("pk").first()
    return trip.reason if trip else "Emergency stop"


def _closes_store(*, portfolio_id: int, why: str, now: datetime) -> _Closes:
    """Store a closing order per position that has none, and let all legs go. The capital row is held."""
    portfolio = Portfolio.objects.get(pk=portfolio_id)
    marks = marks_for(world=portfolio.world, now=now) if portfolio.world else {}
    _, run = world_time(world_name=portfolio.world, now=now)
    busy = _exits_working(portfolio_id, now)
    stored: list[Order] = []
    netted: list[int] = []
    left: list[str] = []
    for position in positions_held(portfolio_id=portfolio_id):
        mark = marks.get(position.instrument_id)
        if position.quantity == 0:
            netted.append(position.pk)
        elif mark is None:
            left.append(f"{position.instrument_id} has no price here, so it cannot be closed.")
        elif position.underlying not in busy:
            reason = why + _age(mark, now)
            try:
                order = close_order_store(
                    position=position, mark=mark.price, why=reason, run=run, lifetime_s=LIFETIME_S, now=now
                )
            except NothingThere as nothing:
                left.append(f"{position.instrument_id}: {nothing}.")
                continue
            stored.append(order)
            left += [f"{position.instrument_id}:{_age(mark, now)[1:]}."] if mark.stale else []
    if stored:
        _told(portfolio=portfolio, stored=stored, why=why, now=now)
    legs_forget(portfolio_id=portfolio_id, now=now)
    return _Closes(tuple(order.pk for order in stored), tuple(netted), tuple(left))


def _age(mark: MarkData, now: datetime) -> str:
    """Say that a price is stale; empty where it is not."""
    if not mark.stale:
        return ""
    return f"; its price is {int((now - mark.received_at).total_seconds())} s old, closed at 5 % beyond it"


def _exits_working(portfolio_id: int, now: datetime) -> set[str]:
    """Return the underlyings with an exit at work, or one that ended unfilled too lately to try again."""
    exits = Order.objects.filter(portfolio_id=portfolio_id, reduce_only=True)
    lately = Q(
        purpose=Order.Purpose.LIQUIDATION,
        status__in=(Order.Status.REJECTED, Order.Status.CANCELLED),
        created_at__gt=now - RETRY,
    )
    return set(exits.filter(Q(status__in=Order.OPEN_STATUSES) | lately).values_list("underlying", flat=True))


def _told(*, portfolio: Portfolio, stored: Iterable[Order], why: str, now: datetime) -> None:
    """Record that everything is being closed."""
    names = ", ".join(order.instrument_id for order in stored)
    note = DecisionNote(kind="liquidation", text=f"Closing {names}", reason=why)
    decision_store(portfolio=portfolio, note=note, now=now)
    portfolio_changed(portfolio_id=portfolio.pk)


def _orders_send(order_ids: Iterable[int], *, now: datetime, clock: Clock | None) -> None:
    """Send the closing orders from here; one that a worker took first is not sent twice."""
    for order_id in order_ids:
        with one_order(order_id=order_id, now=now):
            order_send(order_id=order_id, now=now, clock=clock)


def _netted_settle(*, portfolio_id: int, position_id: int, now: datetime) -> None:
    """Settle slices that net to nothing among each other, where no order works on them any more."""
    try:
        position_close(
            portfolio=Portfolio.objects.get(pk=portfolio_id),
            position_id=position_id,
            fraction=ONE,
            market=True,
            command_id=None,
            origin=Order.Origin.BREAKER,
            now=now,
        )
    except InputError as error:
        logger.info("position %s is not settled: %s", position_id, error)


def _stop_answer(*, portfolio_id: int, pressed_before: bool, left: tuple[str, ...]) -> StopAnswer:
    held = Position.objects.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED)
    working = Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES)
    return StopAnswer(
        pressed_before=pressed_before, positions=held.count(), orders=working.count(), left=left
    )


def portfolio_resume(
    *, portfolio_id: int, by: str, reason: str, now: datetime, even_open: bool = False
) -> ResetAnswer:
    """Lift the trips that closed everything, and copy from here on: what was closed is not bought again.

    :param even_open: also while something is still open, which the next cycles go on closing
    :raises InputError: no reason, nothing was stopped, or something is open and ``even_open`` was not said
    """
    with transaction.atomic():
        capital_lock(portfolio_id=portfolio_id)
        standing = BreakerTrip.objects.filter(portfolio_id=portfolio_id, kind__in=SOLD, reset_at__isnull=True)
        trips = list(standing.order_by("pk"))
        if not trips:
            raise InputError("Nothing was stopped here. Breakers that bar entries are reset one by one.")
        open_now = _stop_answer(portfolio_id=portfolio_id, pressed_before=True, left=())
        if not open_now.flat and not even_open:
            raise InputError(
                f"{_count(open_now.positions, 'position')} and {_count(open_now.orders, 'order')} are still "
                "open. Wait until everything is closed, or resume all the same."
            )
        lifted = [
            breaker_reset(portfolio_id=portfolio_id, trip_id=trip.pk, by=by, reason=reason, now=now)
            for trip in trips
        ]
        done = [trip for trip in lifted if trip is not None]
        trips_follow(portfolio_id=portfolio_id, trips=done, now=now)
    return reset_answer(portfolio_id=portfolio_id, lifted=done, now=now)


def emergency_drill(*, portfolio_id: int, now: datetime, clock: Clock = SYSTEM_CLOCK) -> DrillAnswer:
    """Do all that an emergency stop does before it sends, take it back, and tell how long it took.

    :raises NotFound: there is no such portfolio
    """
    begun_s = clock.monotonic_s()
    with transaction.atomic():
        capital_lock(portfolio_id=portfolio_id)
        closes = _closes_store(portfolio_id=portfolio_id, why="Emergency-stop drill", now=now)
        stored = Order.objects.filter(pk__in=closes.order_ids).order_by("pk")
        lines = tuple(f"{order.side} {plain(order.quantity)} {order.instrument_id}" for order in stored)
        working = Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES)
        cancels = working.exclude(pk__in=closes.order_ids).count()
        seconds = clock.monotonic_s() - begun_s
        transaction.set_rollback(True)
    answer = DrillAnswer(seconds=seconds, closes=lines, cancels=cancels, left=closes.left)
    note = DecisionNote(kind="drill", text="Emergency-stop drill", reason=answer.text, data=_drilled(answer))
    decision_store(portfolio=Portfolio.objects.get(pk=portfolio_id), note=note, now=now)
    portfolio_changed(portfolio_id=portfolio_id)
    return answer


def _drilled(answer: DrillAnswer) -> dict[str, Any]:
    return {
        "seconds": str(Decimal(answer.seconds).quantize(Decimal("0.001"))),
        "closes": list(answer.closes),
        "cancels": answer.cancels,
    }


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
