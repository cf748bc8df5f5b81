"""Commands about positions and orders: close, enter, call back (EXT-1, VIEW-3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import Sum

from accounts.models import Portfolio
from core.decimals import ZERO, plain, to_price
from core.errors import InputError, NotFound
from core.instruments import is_code
from core.types import OrderSide
from engine.domain.command_data import (
    choice_read,
    decimal_read,
    fields_known,
    flag_read,
    id_read,
    shown,
    text_read,
)
from engine.domain.own_entry import EntryWish
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.models import Command
from engine.order_life import order_send, orders_ask, orders_call_back, signed_dollars
from engine.own_entries import entry_place
from engine.own_orders import legs_release, position_close
from execution.desks import desk_of
from execution.models import Order
from positions.models import Position, SliceEntry

ENTRY_LIFETIME_S: Final = 600
ENTRY_LIFETIMES_S: Final = (60, 86_400)
CLOSING_ORDERS: Final = 5  # one that expired or was refused is followed by another, so often
_OWN: Final = frozenset({Order.Origin.PERSON.value, Order.Origin.BREAKER.value, Order.Origin.EXIT.value})
_COPYING: Final = frozenset({Order.Origin.COPY.value, Order.Origin.SIGNAL.value})


# ---------------------------------------------------------------- close
def close_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the position's number, how many percent of it, and whether at any price."""
    fields_known(data, "position_id", "percent", "market")
    return {
        "position_id": id_read(data, "position_id"),
        "percent": plain(decimal_read(data, "percent", most=Decimal(100), places=4)),
        "market": flag_read(data, "market"),
    }


def close_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse a position that is not this portfolio's, or is closed already."""
    position = _position(portfolio, data)
    if position.status == Position.Status.CLOSED:
        raise InputError(f"The position in {position.underlying} is closed already.", field="position_id")


def close_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Place the closing order, follow it, and place another for what it left over."""
    orders = list(Order.objects.filter(command_id=command.pk).order_by("pk"))
    if any(order.status in Order.OPEN_STATUSES for order in orders):
        return _closing(orders)
    position = _position(portfolio, command.data)
    left = _left(position, orders)
    if orders and left <= 0:
        return _closed(orders)
    if len(orders) >= CLOSING_ORDERS:
        last = orders[-1]
        raise InputError(
            f"{CLOSING_ORDERS} orders did not close it; the last one: {last.get_status_display().lower()}, "
            f"{last.status_reason or 'no reason told'}. {plain(_filled(orders))} is closed."
        )
    closing = position_close(
        portfolio=portfolio,
        position_id=position.pk,
        fraction=Decimal(command.data["percent"]) / 100,
        quantity=left if orders else None,
        market=command.data["market"],
        command_id=command.pk,
        origin=Order.Origin.PERSON.value,
        now=now,
    )
    if closing.crossed:
        text = f"{position.underlying}: nothing is held in all; its traders' parts were settled among them."
        return CommandAnswer(done=True, text=text, result={"position_id": position.pk, "order_ids": []})
    if closing.order_id is None:
        text = f"Waiting for an order in {position.underlying} to end."
        return CommandAnswer(done=False, text=text, result={"waits_for": list(closing.waits_for)})
    order_send(order_id=closing.order_id, now=now)
    return _closing(list(Order.objects.filter(command_id=command.pk).order_by("pk")))


def _position(portfolio: Portfolio, data: Mapping[str, Any]) -> Position:
    position = Position.objects.filter(portfolio=portfolio, pk=data["position_id"]).first()
    if position is None:
        raise NotFound(f"This portfolio has no position {data['position_id']}.", field="position_id")
    return position


def _left(position: Position, orders: Sequence[Order]) -> Decimal:
    """Return what is still to be closed: what was asked for, less what went since, at most what is held.

    Where another order reduced the position meanwhile, that much of the wish is fulfilled too.
    """
    if not orders or position.status == Position.Status.CLOSED:
        return ZERO
    since = Order.objects.filter(
        portfolio_id=position.portfolio_id,
        underlying=position.underlying,
        reduce_only=True,
        pk__gte=orders[0].pk,
    )
    gone: Decimal = since.aggregate(gone=Sum("filled_quantity"))["gone"] or ZERO
    left = min(orders[0].quantity - gone, abs(position.quantity))
    whole = left == abs(position.quantity)
    desk = desk_of(portfolio_id=position.portfolio_id)
    return left if whole else desk.spec(position.instrument).quantity(left)


def _closing(orders: Sequence[Order]) -> CommandAnswer:
    order = orders[-1]
    verb = "Buying back" if order.side == "BUY" else "Selling"
    limit = "at market" if order.market else f"at {plain(order.limit_price)} or better"
    text = f"{verb} {plain(orders[0].quantity)} {order.instrument_id} {limit}."
    if filled := _filled(orders):
        text += f" {plain(filled)} is done."
    return CommandAnswer(done=False, text=text, result=_result(orders))


def _closed(orders: Sequence[Order]) -> CommandAnswer:
    """Say what was closed, at what price and with what result."""
    filled, code = _filled(orders), orders[0].instrument_id
    if filled == 0:
        text = f"Another order has closed as much of {code} meanwhile."
        return CommandAnswer(done=True, text=text, result=_result(orders))
    price = to_price(sum((order.filled_notional for order in orders), ZERO) / filled)
    entries = SliceEntry.objects.filter(fill__order__in=orders)
    realized: Decimal = entries.aggregate(realized=Sum("realized_pnl"))["realized"] or ZERO
    fees = sum((order.fees for order in orders), ZERO)
    net = realized - fees
    text = f"Closed {plain(filled)} {code} at {_shown(price)}: {signed_dollars(net)} after fees."
    return CommandAnswer(done=True, text=text, result=_result(orders) | {"net": plain(net)})


def _filled(orders: Sequence[Order]) -> Decimal:
    return sum((order.filled_quantity for order in orders), ZERO)


def _result(orders: Sequence[Order]) -> dict[str, Any]:
    return {"order_ids": [order.pk for order in orders], "filled": plain(_filled(orders))}


def _shown(price: Decimal) -> str:
    """Write a price with at most 8 significant digits."""
    return plain(Decimal(f"{price:.8g}"))


# ---------------------------------------------------------------- entry
def entry_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the instrument, the side, the quantity, the limit, and for how long."""
    fields_known(data, "instrument", "side", "quantity", "limit_price", "lifetime_s")
    code = text_read(data, "instrument", longest=48)
    if not is_code(code):
        raise InputError(
            f"{shown(code)} is no instrument; write it like BTC or xyz:TSLA.", field="instrument"
        )
    lifetime_s = int(decimal_read({"lifetime_s": ENTRY_LIFETIME_S} | dict(data), "lifetime_s", places=0))
    if not ENTRY_LIFETIMES_S[0] <= lifetime_s <= ENTRY_LIFETIMES_S[1]:
        low, high = ENTRY_LIFETIMES_S
        raise InputError(f"An entry lives {low} to {high} seconds, got {lifetime_s}.", field="lifetime_s")
    return {
        "instrument": code,
        "side": choice_read(data, "side", [side.value for side in OrderSide]),
        "quantity": plain(decimal_read(data, "quantity")),
        "limit_price": plain(decimal_read(data, "limit_price")),
        "lifetime_s": lifetime_s,
    }


def entry_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Place the order; it works for as long as was asked, the command is done with it."""
    data = command.data
    wish = EntryWish(
        code=data["instrument"],
        side=OrderSide(data["side"]),
        quantity=Decimal(data["quantity"]),
        limit_price=Decimal(data["limit_price"]),
    )
    order = entry_place(
        portfolio=portfolio, wish=wish, lifetime_s=data["lifetime_s"], command_id=command.pk, now=now
    )
    status = order_send(order_id=order.pk, now=now)
    if status == Order.Status.REJECTED:
        order.refresh_from_db()
        raise InputError(f"The venue refused the order: {order.status_reason}.")
    bound = "at up to" if order.side == OrderSide.BUY else "at no less than"
    text = f"Placed: {order.side.lower()} {plain(order.quantity)} {order.instrument_id} {bound} "
    text += f"{plain(order.limit_price)}, for {_duration(data['lifetime_s'])}."
    return CommandAnswer(done=True, text=text, result={"order_id": order.pk})


def _duration(seconds: int) -> str:
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


# ---------------------------------------------------------------- cancel
def cancel_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the order's number."""
    fields_known(data, "order_id")
    return {"order_id": id_read(data, "order_id")}


def cancel_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse an order that is not this portfolio's, or one that has to run."""
    order = _order(portfolio, data)
    if order.reduce_only and order.origin in _OWN:
        raise InputError(
            "This order closes a position for you and cannot be called back: the next one would close what "
            "it leaves.",
            field="order_id",
        )


def cancel_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Have the venue end the order, and let what it did not buy stay unbought."""
    order = _order(portfolio, command.data)
    if order.status in Order.OPEN_STATUSES:
        orders_call_back(order_ids=[order.pk], why="Called back by its owner", now=now)
        orders_ask(order_ids=[order.pk], now=now)
        order.refresh_from_db()
    result = {"order_id": order.pk, "status": order.status, "filled": plain(order.filled_quantity)}
    if order.status in Order.OPEN_STATUSES:
        text = "The venue was asked to cancel it; waiting for its answer."
        return CommandAnswer(done=False, text=text, result=result)
    if order.status == Order.Status.FILLED:
        raise InputError(f"It was filled before it could be cancelled: {_done(order)}.")
    asked_at = order.cancel_requested_at
    if asked_at is None or asked_at < command.accepted_at:
        raise InputError(f"There is nothing to cancel: the order is {order.get_status_display().lower()}.")
    if not order.reduce_only and order.origin in _COPYING:
        legs_release(portfolio_id=portfolio.pk, underlyings=[order.underlying], fraction=ZERO, now=now)
    text = f"Cancelled; {_done(order)} before." if order.filled_quantity else "Cancelled; nothing was filled."
    if order.reduce_only:
        text += " Its trader still reduces, so the next cycle places it anew."
    return CommandAnswer(done=True, text=text, result=result)


def _order(portfolio: Portfolio, data: Mapping[str, Any]) -> Order:
    order = Order.objects.filter(portfolio=portfolio, pk=data["order_id"]).first()
    if order is None:
        raise NotFound(f"This portfolio has no order {data['order_id']}.", field="order_id")
    return order


def _done(order: Order) -> str:
    verb = "bought" if order.side == "BUY" else "sold"
    price = to_price(order.filled_notional / order.filled_quantity)
    part = "" if order.filled_quantity >= order.quantity else f" of {plain(order.quantity)}"
    return f"{plain(order.filled_quantity)}{part} {order.instrument_id} {verb} at {_shown(price)}"


HANDLERS: Final = {
    Command.Kind.CLOSE.value: CommandHandler(
        action="position.close", check=close_check, refer=close_refer, run=close_run
    ),
    Command.Kind.ENTRY.value: CommandHandler(action="order.entry", check=entry_check, run=entry_run),
    Command.Kind.CANCEL.value: CommandHandler(
        action="order.cancel", check=cancel_check, refer=cancel_refer, run=cancel_run
    ),
}
