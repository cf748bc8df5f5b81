"""Row locks of execution. A portfolio's capital row (``allocation.locks``) is locked before any of these."""

from __future__ import annotations

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
