"""The life of orders between our books and the venue: send, match, ask, book, expire.

``orders_work`` is both the normal second-by-second work and the recovery after a crash: it looks only
at what the database says is unfinished, so there is one path for both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from accounts.models import Portfolio
from core.errors import RetryLater
from engine.decisions import DecisionNote, decision_store
from engine.publishing import portfolios_changed
from engine.wake import cycles_wake
from execution.models import Order
from execution.orders import (
    order_cancel,
    order_ids_of,
    order_submit,
    orders_due_for_expiry,
    orders_open,
    orders_to_ask,
    orders_to_submit,
)
from execution.venues.paper import paper_match
from markets.models import World
from positions.services import OrderNews, order_sync

logger = logging.getLogger(__name__)


def order_send(*, order_id: int, now: datetime) -> str:
    """Send one stored order and return its status; sending it twice is harmless."""
    status = order_submit(order_id=order_id, now=now)
    portfolio_id = Order.objects.values_list("portfolio_id", flat=True).get(pk=order_id)
    if status in {Order.Status.REJECTED, Order.Status.UNKNOWN}:
        _note_ended(order_id=order_id, now=now)
        cycles_wake(portfolio_ids=[portfolio_id], now=now, why=f"order {status}")
    portfolios_changed(portfolio_ids=[portfolio_id])
    return status


def orders_work(*, now: datetime) -> None:
    """Do everything that open orders need now."""
    for order_id in orders_to_submit(now=now):
        order_send(order_id=order_id, now=now)
    for order_id in orders_due_for_expiry(now=now):
        order_cancel(order_id=order_id, now=now, why="Not filled in time")
    matched: list[str] = []
    for world in _worlds_with_open_orders():
        matched += paper_match(world=world.name, now=now, clock=world.clock())
    ask = {*order_ids_of(client_order_ids=matched), *orders_to_ask(now=now), *orders_due_for_expiry(now=now)}
    ask |= set(_cancelling())
    orders_ask(order_ids=sorted(ask), now=now)


def _worlds_with_open_orders() -> list[World]:
    names = Portfolio.objects.filter(orders__status__in=Order.OPEN_STATUSES).values_list("world", flat=True)
    return list(World.objects.filter(name__in=names.distinct()).order_by("name"))


def _cancelling() -> list[int]:
    return list(
        Order.objects.filter(status__in=Order.OPEN_STATUSES, cancel_requested_at__isnull=False).values_list(
            "pk", flat=True
        )
    )


def orders_ask(*, order_ids: Iterable[int], now: datetime) -> None:
    """Ask the venue about orders, book what is new, and wake the portfolios it concerns."""
    changed: set[int] = set()
    ended: set[int] = set()
    for order_id in order_ids:
        try:
            news = order_sync(order_id=order_id, now=now)
        except RetryLater as error:
            logger.warning("order %s could not be asked about: %s", order_id, error)
            continue
        if news.fills or news.status_changed:
            changed.add(news.portfolio_id)
            _note_fills(news=news, now=now)
        if news.ended:
            ended.add(news.portfolio_id)
    cycles_wake(portfolio_ids=ended, now=now, why="an order ended")
    portfolios_changed(portfolio_ids=sorted(changed))


def orders_recover(*, now: datetime) -> int:
    """Ask the venue about every order that may still change; called when a worker starts. Returns how many."""
    order_ids = orders_open()
    orders_ask(order_ids=order_ids, now=now)
    return len(order_ids)
