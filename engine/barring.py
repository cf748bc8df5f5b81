"""Where nothing is opened just now, since the owner is getting out of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from accounts.models import Portfolio
from engine.handlers.base import PATIENCE
from engine.models import Command
from execution.models import Order
from positions.models import Position, VenueStop


def underlyings_barred(
    *, portfolio: Portfolio, positions: Mapping[str, Position], now: datetime
) -> dict[str, str]:
    """Return of which underlyings the copy cycle opens nothing while a command is under way, and why.

    Without it a cycle would put a new order in the place of the one that a close has just called back.
    """
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
