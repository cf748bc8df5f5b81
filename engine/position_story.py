"""One position whole: its chart, what closes it, its orders, whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q

from accounts.models import Portfolio
from core.decimals import ZERO, plain
from core.errors import NotFound
from core.types import PositionSide
from engine.models import ExitTrigger
from execution.models import Fill, Order
from markets.candles import candles_closed, candles_shown
from markets.domain.candles import Candle
from markets.models import World
from positions.models import ExitGuard, Position, PositionSlice

ORDERS_SHOWN: Final = 50
CANDLES_SHOWN: Final = 1_000  # three and a half days


@dataclass(frozen=True, slots=True)
class PositionStory:
    """One position with everything that is known about it, open or closed.

    :param side: of what is held; of what was held first where it is closed
    :param guard: its exit rules and levels, the last ones where it is closed; None where it was never guarded
    :param triggers: every time a rule closed it or a part of it, newest first
    :param orders: the newest orders in its underlying while it was open
    """

    position: Position
    side: str
    guard: ExitGuard | None
    slices: tuple[PositionSlice, ...]
    triggers: tuple[ExitTrigger, ...]
    orders: tuple[Order, ...]

    @property
    def is_open(self) -> bool:
        """Whether anything of it is still to be closed."""
        return self.position.status != Position.Status.CLOSED

    @property
    def entry_price(self) -> Decimal | None:
        """The average entry: of what is held, or as the guard last knew it."""
        if self.position.quantity:
            return self.position.cost / self.position.quantity
        return self.guard.entry_price if self.guard else None

    @property
    def net_pnl(self) -> Decimal:
        """Realized P&L after fees and funding."""
        return self.position.realized_pnl - self.position.fees + self.position.funding


def position_read(*, portfolio: Portfolio, position_id: int) -> PositionStory:
    """Return one of the portfolio's positions.

    :raises NotFound: there is none of this number in this portfolio
    """
    position = _position(portfolio, position_id)
    guard = ExitGuard.objects.filter(position=position).first()
    fills = _fills(position)
    sign = position.quantity or (guard.sign if guard else _signed(fills[0]) if fills else ZERO)
    return PositionStory(
        position=position,
        side=(PositionSide.SHORT if sign < 0 else PositionSide.LONG).value,
        guard=guard,
        slices=tuple(position.slices.select_related("follow__trader").order_by("id")),
        triggers=tuple(ExitTrigger.objects.filter(position=position).select_related("order").order_by("-id")),
        orders=_orders(position),
    )


def _position(portfolio: Portfolio, position_id: int) -> Position:
    rows = Position.objects.select_related("instrument", "portfolio")
    position = rows.filter(portfolio=portfolio, pk=position_id).first()
    if position is None:
        raise NotFound(f"This portfolio has no position with the number {position_id}.")
    return position


def _orders(position: Position) -> tuple[Order, ...]:
    """Return what was ordered for it: whatever it booked, and what was placed while it was open."""
    placed = Q(created_at__gte=position.opened_at)
    if position.closed_at is not None:
        placed &= Q(created_at__lt=position.closed_at)
    booked = Q(fills__slice_entries__slice__position=position)
    rows = Order.objects.filter(portfolio_id=position.portfolio_id, underlying=position.underlying)
    return tuple(rows.filter(placed | booked).distinct().order_by("-id")[:ORDERS_SHOWN])


def _fills(position: Position) -> list[Fill]:
    rows = Fill.objects.filter(slice_entries__slice__position=position).select_related("order")
    return list(rows.distinct().order_by("id"))


def _signed(fill: Fill) -> Decimal:
    return fill.quantity if fill.order.side == "BUY" else -fill.quantity


def candles_read(
    *, portfolio: Portfolio, position_id: int, now: datetime, since: datetime | None = None
) -> dict[str, Any]:
    """Return what the chart of a position draws; prices as strings, times as Unix seconds of world time.

    ``candles`` are [opened, open, high, low, close], oldest first, the last one may still be open; ``fills``
    are {"at", "side", "quantity", "price"}.

    :param now: wall time
    :param since: only candles that opened at this world time or later
    :raises NotFound: the portfolio has no such position
    """
    position = _position(portfolio, position_id)
    world = World.objects.get(pk=portfolio.world)
    current = position.run == world.run
    candles = _candles(world=world.pk, code=position.instrument_id, now=now) if current else ()
    return {
        "run": world.run,
        "of_this_run": current,
        "note": world.price_note,
        "candles": [_row(candle) for candle in candles if since is None or candle.opened_at >= since],
        "fills": [_mark(fill) for fill in _fills(position)],
    }


def _candles(*, world: str, code: str, now: datetime) -> Sequence[Candle]:
    try:
        return candles_shown(world=world, code=code, now=now, limit=CANDLES_SHOWN)
    except NotFound:  # a recorded set that this server does not have any more: what was kept of it
        return candles_closed(world=world, code=code, limit=CANDLES_SHOWN)


def _row(candle: Candle) -> list[Any]:
    prices = (candle.open, candle.high, candle.low, candle.close)
    return [int(candle.opened_at.timestamp()), *map(plain, prices)]


def _mark(fill: Fill) -> dict[str, Any]:
    return {
        "at": int(fill.world_at.timestamp()),
        "side": fill.order.side,
        "quantity": plain(fill.quantity),
        "price": plain(fill.price),
    }
