"""Where nothing is opened just now: the owner is getting out of it, or the venue has just refused it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, OuterRef, Q, Subquery

from accounts.models import Portfolio
from engine.handlers.base import PATIENCE
from engine.models import Command, ExitTrigger
from execution.models import Order
from markets.models import Mark
from positions.models import ExitGuard, Position, VenueStop

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
    barred |= _exits_standing(positions)
    return barred | _stops_left(portfolio=portfolio)


def _stops_left(*, portfolio: Portfolio) -> dict[str, str]:
    """Return the underlyings at which the stop of a closed position still rests: it would close a new one."""
    left = VenueStop.objects.filter(
        portfolio=portfolio, status__in=VenueStop.STANDING, position__status=Position.Status.CLOSED
    ).values_list("position__underlying", flat=True)
    return dict.fromkeys(left, "the stop of the position before it still rests at the venue")


def _exits_standing(positions: Mapping[str, Position]) -> dict[str, str]:
    """Return what an exit rule closes, or is about to: its price is at the stop already (EXT-3)."""
    held = {position.pk: underlying for underlying, position in positions.items()}
    triggers = ExitTrigger.objects.filter(position_id__in=held, status__in=ExitTrigger.STANDING)
    barred = {held[pk]: "an exit closes it" for pk in triggers.values_list("position_id", flat=True)}
    marks = Mark.objects.filter(
        world_id=OuterRef("world_id"), instrument_id=OuterRef("instrument_id"), run=OuterRef("run")
    )
    guards = ExitGuard.objects.filter(pk__in=held, ended_at__isnull=True).annotate(
        mark=Subquery(marks.values("price")[:1])
    )
    beyond = Q(sign=1) & (Q(mark__lte=F("stop_price")) | Q(mark__lte=F("trail_price")))
    beyond |= Q(sign=-1) & (Q(mark__gte=F("stop_price")) | Q(mark__gte=F("trail_price")))
    for pk in guards.filter(beyond).values_list("pk", flat=True):
        barred.setdefault(held[pk], "its price is at its stop")
    return barred
