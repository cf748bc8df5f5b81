"""Row locks of execution. A portfolio's capital row (``allocation.locks``) is locked before any of these."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import NotFound
from execution.models import Order


def order_lock(*, order_id: int) -> Order:
    """Lock and return an order with its instrument until the transaction ends.

    :raises NotFound: there is no such order
    """
    orders = Order.objects.select_for_update(of=("self",)).select_related("instrument", "portfolio")
    order = orders.filter(pk=order_id).first()
    if order is None:
        raise NotFound(f"There is no order {order_id}.")
    return order


def orders_lock(*, order_ids: Iterable[int]) -> list[Order]:
    """Lock and return orders, by ascending id."""
    orders = Order.objects.select_for_update(of=("self",)).select_related("instrument", "portfolio")
    return list(orders.filter(pk__in=list(order_ids)).order_by("pk"))
