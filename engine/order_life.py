"""The life of orders between our books and the venue: send, match, ask, book, expire.

``orders_work`` is both the normal second-by-second work and the recovery after a crash: it looks only
at what the database says is unfinished, so there is one path for both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal

from accounts.models import Portfolio
from core.clock import Clock
from core.decimals import dollars, plain
from core.errors import BooksDiffer, RetryLater
from engine.alerting import order_rejected_tell
from engine.breakers import breakers_evaluate
from engine.decisions import DecisionNote, decision_store
from engine.publishing import portfolios_changed
from engine.trips import Kind, portfolio_trip
from engine.wake import cycles_wake
from execution.desks import PAPER
from execution.models import Order
from execution.orders import (
    order_cancel,
    order_submit,
    orders_due_for_expiry,
    orders_to_ask,
    orders_to_submit,
)
from execution.venues.paper_matching import paper_match
from execution.venues.paper_news import paper_news
from execution.venues.paper_stops import stop_worlds
from markets.models import World
from positions.booking import FillBooked
from positions.models import Position
from positions.services import OrderNews, order_sync

logger = logging.getLogger(__name__)
TROUBLE = frozenset(
    {Order.Status.CANCELLED, Order.Status.EXPIRED, Order.Status.REJECTED, Order.Status.UNKNOWN}
)


def order_send(*, order_id: int, now: datetime, clock: Clock | None = None) -> str:
    """Send one stored order and return its status; sending it twice is harmless.

    When an entry is refused another has its turn at once; it is not tried again itself for a minute
    (``engine.barring``). A refused exit wakes nobody: it would be refused again at once.

    :param clock: as in ``execution.orders.order_submit``
    """
    status = order_submit(order_id=order_id, now=now, clock=clock)
    if status in {Order.Status.REJECTED, Order.Status.UNKNOWN}:
        _trouble_note(order_id=order_id, now=now)
    portfolio_id, reduces = Order.objects.values_list("portfolio_id", "reduce_only").get(pk=order_id)
    if status == Order.Status.REJECTED and not reduces:
        cycles_wake(portfolio_ids=[portfolio_id], now=now, why="an order was refused")
    portfolios_changed(portfolio_ids=[portfolio_id])
    return status


def orders_work(*, now: datetime, clock: Clock | None = None) -> None:
    """Do everything that open orders on paper need now; those at a venue are ``engine.live.turn``'s.

    :param clock: tells when each order is sent, since ``now`` may be old by then
    """
    for order_id in orders_to_submit(now=now, venue=PAPER):
        with one_order(order_id=order_id, now=now):
            order_send(order_id=order_id, now=now, clock=clock)
    overdue = orders_due_for_expiry(now=now, venue=PAPER)
    orders_call_back(order_ids=overdue, why="Not filled in time", now=now)
    for world in _worlds_to_match():
        paper_match(world=world.name, now=now, clock=world.clock())
    ask = {*paper_news(), *orders_to_ask(now=now, venue=PAPER), *overdue, *_cancelling()}
    orders_ask(order_ids=sorted(ask), now=now)


@contextmanager
def one_order(*, order_id: int, now: datetime) -> Iterator[None]:
    """Let a fault of one order stay its own: if books differ its portfolio is halted; the others go on."""
    try:
        yield
    except RetryLater as error:
        logger.warning("order %s has to wait: %s", order_id, error)
    except BooksDiffer as difference:
        logger.exception("order %s cannot be booked", order_id)
        portfolio_id = Order.objects.values_list("portfolio_id", flat=True).get(pk=order_id)
        portfolio_trip(portfolio_id=portfolio_id, kind=Kind.BOOKS, why=str(difference), now=now)
    except Exception:
        logger.exception("work on order %s failed; it is tried again in a second", order_id)


def orders_call_back(*, order_ids: Iterable[int], why: str, now: datetime) -> None:
    """Ask for orders to be ended. One that was never sent ends here; the others once the venue says so."""
    for order_id in order_ids:
        with one_order(order_id=order_id, now=now):
            if order_cancel(order_id=order_id, now=now, why=why) is None:
                continue
            order = Order.objects.get(pk=order_id)
            if order.status not in Order.OPEN_STATUSES:
                _trouble_note(order_id=order_id, now=now)
                cycles_wake(portfolio_ids=[order.portfolio_id], now=now, why="an order ended unsent")


def _worlds_to_match() -> list[World]:
    names = Portfolio.objects.filter(orders__venue=PAPER, orders__status__in=Order.OPEN_STATUSES).values_list(
        "world", flat=True
    )
    return list(World.objects.filter(name__in={*names.distinct(), *stop_worlds()}).order_by("name"))


def _cancelling() -> list[int]:
    asked = Order.objects.filter(
        venue=PAPER, status__in=Order.OPEN_STATUSES, cancel_requested_at__isnull=False
    )
    return list(asked.values_list("pk", flat=True))


def orders_ask(*, order_ids: Iterable[int], now: datetime) -> None:
    """Ask the venue about orders, book what is new, and wake the portfolios it concerns."""
    changed: set[int] = set()
    ended: set[int] = set()
    closed: set[int] = set()
    try:
        for order_id in order_ids:
            with one_order(order_id=order_id, now=now):
                news = order_sync(order_id=order_id, now=now)
                if news.fills or news.status_changed:
                    changed.add(news.portfolio_id)
                if news.ended:
                    ended.add(news.portfolio_id)
                if any(fill.position_status == Position.Status.CLOSED for fill in news.fills):
                    closed.add(news.portfolio_id)
                _news_note(news=news, now=now)
    finally:
        cycles_wake(portfolio_ids=ended, now=now, why="an order ended")
        if closed:
            breakers_evaluate(portfolio_ids=closed, now=now)  # a loss may have been one too many in a row
        portfolios_changed(portfolio_ids=sorted(changed))


def _news_note(*, news: OrderNews, now: datetime) -> None:
    """Record what came of an order: its fills, an end without one, a deficit (which halts the portfolio)."""
    order = Order.objects.select_related("portfolio").prefetch_related("slices").get(pk=news.order_id)
    for fill in news.fills:
        decision_store(portfolio=order.portfolio, note=_fill_note(order=order, fill=fill), now=now)
    if news.status_changed and news.status in TROUBLE:
        _trouble_note(order_id=order.pk, now=now)
    if news.odd:
        venue_doubt(portfolio_id=order.portfolio_id, why=news.odd, now=now)
    if news.deficit > 0:
        portfolio_trip(
            portfolio_id=order.portfolio_id,
            kind=Kind.DEFICIT,
            why=f"Losses exceed free capital by {dollars(news.deficit)}",
            now=now,
        )


def venue_doubt(*, portfolio_id: int, why: str, now: datetime) -> None:
    """The venue reported what cannot be: it is booked as told, and no entries until a person has looked."""
    logger.error("portfolio %s: %s", portfolio_id, why)
    portfolio_trip(portfolio_id=portfolio_id, kind=Kind.VENUE, why=why, now=now)


def signed_dollars(amount: Decimal) -> str:
    """Write a result for a person: "+$1,234.50"."""
    return f"{'+' if amount > 0 else ''}{dollars(amount)}"


def _fill_note(*, order: Order, fill: FillBooked) -> DecisionNote:
    verb = "Bought" if order.side == "BUY" else "Sold"
    part = "" if fill.quantity == order.quantity else f" of {plain(order.quantity)}"
    return DecisionNote(
        kind="fill",
        underlying=order.underlying,
        text=f"{verb} {plain(fill.quantity)}{part} {order.instrument_id} at {plain(fill.price)}",
        reason=f"Fee ${fill.fee:,.4f}"
        + (f", realized {signed_dollars(fill.realized)}" if fill.realized else ""),
        follow_ids=_follow_ids(order),
        data={"price": plain(fill.price), "fee": plain(fill.fee), "realized": plain(fill.realized)},
        order=order,
    )


def _trouble_note(*, order_id: int, now: datetime) -> None:
    """Record an order that ended without filling, or of which nothing is known."""
    order = Order.objects.select_related("portfolio").prefetch_related("slices").get(pk=order_id)
    left = order.quantity - order.filled_quantity
    note = DecisionNote(
        kind="order",
        underlying=order.underlying,
        text=f"{order.side.title()} {plain(left)} {order.instrument_id} {order.get_status_display().lower()}",
        reason=order.status_reason,
        follow_ids=_follow_ids(order),
        order=order,
    )
    decision_store(portfolio=order.portfolio, note=note, now=now)
    if order.status == Order.Status.REJECTED:
        order_rejected_tell(order=order, at=now)


def _follow_ids(order: Order) -> list[int]:
    return [part.follow_id for part in order.slices.all() if part.follow_id is not None]
