"""Where nothing is opened just now: the owner is getting out of it, or the venue has just refused it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from accounts.models import Portfolio
from engine.handlers.base import PATIENCE
from engine.models import Command
from execution.models import Order
from positions.models import Position, VenueStop

REFUSED_FOR: Final = timedelta(seconds=60)  # what was refused now would be refused again at once


def underlyings_barred(
    *, portfolio: Portfolio, positions: Mapping[str, Position], now: datetime
) -> dict[str, str]:
    """Return of which underlyings the copy cycle opens nothing now, and why.

    While a command is under way: a cycle would put a new order in the place of the one that a close has just
    called back. After the venue refused an entry: others have its turn, and it is tried again in a minute.
    """
    refused = Order.objects.filter(
        portfolio=portfolio,
        origin=Order.Origin.COPY,
        status=Order.Status.REJECTED,
        reduce_only=False,
        finished_at__gt=now - REFUSED_FOR,
    )
    barred = dict.fromkeys(refused.values_list("underlying", flat=True), "the venue has just refused it")
    return barred | _getting_out(portfolio=portfolio, positions=positions, now=now)


def _getting_out(*, portfolio: Portfolio, positions: Mapping[str, Position], now: datetime) -> dict[str, str]:
    asked = Command.objects.filter(
        portfolio=portfolio,
        kind__in=(Command.Kind.CLOSE, Command.Kind.CANCEL),
        status__in=(Command.Status.ACCEPTED, Command.Status.RUNNING),
        accepted_at__gt=now - PATIENCE,
    ).values_list("data", flat=True)
    closing = {data.get("position_id") for data in asked}
    barred = {u: "you are closing it" for u, position in positions.items() if position.pk in closing}
    cancelling = {data["order_id"] for data in asked if "order_id" in data}
    if cancelling:
        opening = Order.objects.filter(portfolio=portfolio, pk__in=cancelling, reduce_only=False)
        called_back = opening.values_list("underlying", flat=True)
        barred |= dict.fromkeys(called_back, "you are calling its order back")
    return barred | _stops_left(portfolio=portfolio)


def _stops_left(*, portfolio: Portfolio) -> dict[str, str]:
    """Return the underlyings at which the stop of a closed position still rests: it would close a new one."""
    left = VenueStop.objects.filter(
        portfolio=portfolio, status__in=VenueStop.STANDING, position__status=Position.Status.CLOSED
    ).values_list("position__underlying", flat=True)
    return dict.fromkeys(left, "the stop of the position before it still rests at the venue")
