"""Reading worlds, instruments and marks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings

from core.clock import WorldTime
from core.errors import NotFound
from core.instruments import Instrument as InstrumentSpec
from markets.models import LIVE, Instrument, Mark, MarketContext, World

CONTEXT_LIFETIME: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class MarkData:
    """The last price of one instrument in one world.

    :param price: quote currency per unit of the instrument, above zero
    :param quoted_at: world time of the quote
    :param received_at: wall time at which it reached us
    :param stale: no quote has arrived for more than ``MARK_STALE_SECONDS`` of wall time (MKT-1)
    """

    code: str
    underlying: str
    price: Decimal
    run: int
    quoted_at: datetime
    received_at: datetime
    stale: bool


def world_get(*, name: str) -> World:
    """Return a world by its name.

    :raises NotFound: it was never started
    """
    world = World.objects.filter(name=name).first()
    if world is None:
        raise NotFound(f"The market world {name} has not been started on this server.", field="world")
    return world


def world_clock(*, name: str) -> WorldTime:
    """Return how a world's time runs.

    :raises NotFound: it was never started
    """
    return world_get(name=name).clock()


def replay_worlds() -> list[World]:
    """Return the replay worlds that were started, by name."""
    return list(World.objects.exclude(name=LIVE).order_by("name"))


def marks_for(*, world: str, now: datetime) -> dict[str, MarkData]:
    """Return the last mark of every instrument of a world by code, told fresh or stale at ``now``."""
    stale_before = now - timedelta(seconds=settings.MARK_STALE_SECONDS)
    rows = Mark.objects.filter(world_id=world).values_list(
        "instrument_id", "instrument__underlying", "price", "run", "quoted_at", "received_at"
    )
    return {
        code: MarkData(
            code=code,
            underlying=underlying,
            price=price,
            run=run,
            quoted_at=quoted_at,
            received_at=received_at,
            stale=received_at < stale_before,
        )
        for code, underlying, price, run, quoted_at, received_at in rows
    }


def instruments_for(*, world: str) -> dict[str, InstrumentSpec]:
    """Return the instruments that have a mark in a world, by code."""
    return {row.code: row.spec() for row in Instrument.objects.filter(marks__world_id=world)}


def contexts_recent(*, codes: Iterable[str], now: datetime) -> dict[str, MarketContext]:
    """Return what was read of these instruments' live markets within the last 15 minutes, by code."""
    rows = MarketContext.objects.filter(instrument__in=list(codes), read_at__gt=now - CONTEXT_LIFETIME)
    return {row.instrument_id: row for row in rows}


def instrument_codes() -> frozenset[str]:
    """Return the codes of all instruments known here."""
    return frozenset(Instrument.objects.values_list("code", flat=True))


def instrument_names() -> frozenset[str]:
    """Return all codes known here and what lies beneath them: who holds PEPE is copied in kPEPE."""
    rows = Instrument.objects.values_list("code", "underlying")
    return frozenset(name for pair in rows for name in pair)
