"""Where nothing is opened just now: the owner is getting out of it, or the venue has just refused it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import F, OuterRef, Q, Subquery

from engine.handlers.base import PATIENCE
from engine.models import Command, ExitTrigger
from execution.models import Order
from markets.models import Mark
from positions.models import ExitGuard, Position, VenueStop

REFUSED_FOR: Final = timedelta(seconds=60)  # what was refused now would be refused again at once


@dataclass(frozen=True, slots=True)
class BarringRows:
    """What bars one portfolio, as it is stored.

    :param refused: underlyings in which the venue has just refused an entry
    :param closing: positions that the owner is closing
    :param called_back: underlyings whose opening orders the owner is calling back
    :param stops_left: underlyings at which the stop of a closed position still rests
    :param exiting: positions that an exit rule closes
    :param beyond: positions whose price is at their stop already
    """

    refused: Collection[str] = ()
    closing: Collection[int] = ()
    called_back: Collection[str] = ()
    stops_left: Collection[str] = ()
    exiting: Collection[int] = ()
    beyond: Collection[int] = ()


def barring_read(*, positions: Mapping[int, Mapping[str, Position]], now: datetime) -> dict[int, BarringRows]:
    """Return what bars these portfolios.

    :param positions: their open positions by portfolio and underlying, also of those that have none
    """
    held = {row.pk: portfolio_id for portfolio_id, own in positions.items() for row in own.values()}
    refused = _by_portfolio(
        Order.objects.filter(
            portfolio__in=positions,
            origin=Order.Origin.COPY,
            status=Order.Status.REJECTED,
            reduce_only=False,
            finished_at__gt=now - REFUSED_FOR,
        ).values_list("portfolio_id", "underlying")
    )
    closing, called_back = _asked_for(positions, now)
    stops_left = _by_portfolio(
        VenueStop.objects.filter(
            portfolio__in=positions,
            status__in=VenueStop.STANDING,
            position__status=Position.Status.CLOSED,
        ).values_list("portfolio_id", "position__underlying")
    )
    triggers = ExitTrigger.objects.filter(position_id__in=held, status__in=ExitTrigger.STANDING)
    exiting = _by_portfolio((held[pk], pk) for pk in triggers.values_list("position_id", flat=True))
    beyond = _by_portfolio((held[pk], pk) for pk in _beyond(held))
    return {
        pk: BarringRows(
            refused=refused[pk],
            closing=closing[pk],
            called_back=called_back[pk],
            stops_left=stops_left[pk],
            exiting=exiting[pk],
            beyond=beyond[pk],
        )
        for pk in positions
    }


def underlyings_barred(*, rows: BarringRows, positions: Mapping[str, Position]) -> dict[str, str]:
    """Return of which underlyings the copy cycle opens nothing now, and why.

    While a command is under way: a cycle would put a new order in the place of the one that a close has just
    called back. After the venue refused an entry: others have its turn, and it is tried again in a minute.
    """
    held = {position.pk: underlying for underlying, position in positions.items()}
    barred = dict.fromkeys(sorted(rows.refused), "the venue has just refused it")
    barred |= {u: "you are closing it" for u, position in positions.items() if position.pk in rows.closing}
    barred |= dict.fromkeys(sorted(rows.called_back), "you are calling its order back")
    exiting = {held[pk]: "an exit closes it" for pk in sorted(rows.exiting) if pk in held}
    for pk in sorted(rows.beyond):
        exiting.setdefault(held[pk], "its price is at its stop")
    barred |= exiting
    left = "the stop of the position before it still rests at the venue"
    return barred | dict.fromkeys(sorted(rows.stops_left), left)


def _asked_for(
    portfolio_ids: Collection[int], now: datetime
) -> tuple[dict[int, set[Any]], dict[int, set[Any]]]:
    """Return the positions that owners are closing, and the underlyings whose orders they call back."""
    asked = Command.objects.filter(
        portfolio__in=portfolio_ids,
        kind__in=(Command.Kind.CLOSE, Command.Kind.CANCEL),
        status__in=(Command.Status.ACCEPTED, Command.Status.RUNNING),
        accepted_at__gt=now - PATIENCE,
    ).values_list("portfolio_id", "data")
    pairs = list(asked)
    closing = _by_portfolio((pk, data.get("position_id")) for pk, data in pairs)
    cancelling = {data["order_id"]: pk for pk, data in pairs if "order_id" in data}
    opening = Order.objects.filter(portfolio__in=portfolio_ids, pk__in=cancelling, reduce_only=False)
    rows = opening.values_list("pk", "portfolio_id", "underlying")
    called_back = _by_portfolio((owner, code) for pk, owner, code in rows if cancelling[pk] == owner)
    return closing, called_back


def _beyond(held: Collection[int]) -> list[int]:
    """Return the positions whose price is at their stop: an exit rule is about to close them (EXT-3)."""
    marks = Mark.objects.filter(
        world_id=OuterRef("world_id"), instrument_id=OuterRef("instrument_id"), run=OuterRef("run")
    )
    guards = ExitGuard.objects.filter(pk__in=held, ended_at__isnull=True).annotate(
        mark=Subquery(marks.values("price")[:1])
    )
    beyond = Q(sign=1) & (Q(mark__lte=F("stop_price")) | Q(mark__lte=F("trail_price")))
    beyond |= Q(sign=-1) & (Q(mark__gte=F("stop_price")) | Q(mark__gte=F("trail_price")))
    return list(guards.filter(beyond).values_list("pk", flat=True))


def _by_portfolio(pairs: Iterable[tuple[int, Any]]) -> dict[int, set[Any]]:
    found: dict[int, set[Any]] = defaultdict(set)
    for portfolio_id, value in pairs:
        found[portfolio_id].add(value)
    return found
