"""What the risk page says about exits: whether they are watched, and what comes up (BEY-6, EXT-1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings

from core.decimals import ZERO
from core.types import PositionSide
from engine.exits.leases import shards_unwatched
from engine.exits.protection import positions_protection
from engine.models import ExitShard
from engine.view_context import ViewContext
from markets.tape import shard_of
from positions.exits import state_of
from positions.models import ExitGuard, Position

COMING_SHOWN: Final = 3
HUNDRED: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class Near:
    """A stop and how far the price is from it, in percent of the price."""

    position: Position
    side: str
    name: str
    level: Decimal
    away_pct: Decimal

    @property
    def close(self) -> bool:
        """Whether less than 1 % is left."""
        return self.away_pct < 1


@dataclass(frozen=True, slots=True)
class Ending:
    """A time stop and how much world time is left of it."""

    position: Position
    side: str
    at: datetime
    left: timedelta


@dataclass(frozen=True, slots=True)
class ExitWatch:
    """How well a portfolio's open positions are watched, and what comes up.

    :param guarded: open positions with a guard; ``bare`` are those that no rule could ever close at a loss
    :param unwatched: underlyings whose prices nobody watches now
    :param sign_age_s: seconds since the watch last gave a sign, for the position for which that is longest
        ago; None before the first
    :param price_age_s: seconds since the last price arrived, for the position for which that is longest ago
    :param unprotected_s: seconds without a watch, of the open position with most of them
    """

    guarded: int
    bare: tuple[str, ...]
    unwatched: tuple[str, ...]
    sign_age_s: float | None
    price_age_s: float | None
    unprotected_s: float
    nearest: tuple[Near, ...]
    endings: tuple[Ending, ...]


def exit_watch_read(*, context: ViewContext) -> ExitWatch:
    """Return it for the portfolio of a reading, as of that reading."""
    held = [(p, guard) for p in context.books.positions if (guard := _guard(context, p)) is not None]
    shards = {
        position.pk: shard_of(code=position.instrument_id, shards=settings.EXIT_SHARDS)
        for position, _ in held
    }
    looked = dict(ExitShard.objects.filter(pk__in=set(shards.values())).values_list("number", "watched_at"))
    alone = set(shards_unwatched())
    seen = [looked.get(shard) for shard in shards.values()]
    prices = [mark.received_at for p, _ in held if (mark := context.marks.get(p.instrument_id)) is not None]
    protection = positions_protection(positions=[position for position, _ in held], now=context.now)
    return ExitWatch(
        guarded=len(held),
        bare=tuple(p.underlying for p, guard in held if state_of(guard).protective_price is None),
        unwatched=tuple(sorted(p.underlying for p, _ in held if shards[p.pk] in alone)),
        sign_age_s=_age_s(context.now, [at for at in seen if at is not None]),
        price_age_s=_age_s(context.now, prices),
        unprotected_s=max((found.unprotected_s for found in protection), default=0.0),
        nearest=_nearest(context, held),
        endings=_endings(context, held),
    )


def _age_s(now: datetime, times: list[datetime]) -> float | None:
    return max(0.0, (now - min(times)).total_seconds()) if times else None


def _guard(context: ViewContext, position: Position) -> ExitGuard | None:
    guard = context.guards.get(position.pk)
    return guard if guard is not None and guard.ended_at is None else None


def _side(guard: ExitGuard) -> str:
    return (PositionSide.SHORT if guard.sign < 0 else PositionSide.LONG).value


def _nearest(context: ViewContext, held: list[tuple[Position, ExitGuard]]) -> tuple[Near, ...]:
    found = []
    for position, guard in held:
        level, price = state_of(guard).protective_price, context.mark_price(position.instrument_id)
        if level is None or not price:
            continue
        name = "Trailing stop" if level == guard.trail_price else "Stop loss"
        away = max(ZERO, (price - level) * guard.sign / price * HUNDRED)
        found.append(Near(position, _side(guard), name, level, away))
    return tuple(sorted(found, key=lambda near: (near.away_pct, near.position.pk))[:COMING_SHOWN])


def _endings(context: ViewContext, held: list[tuple[Position, ExitGuard]]) -> tuple[Ending, ...]:
    found = [
        Ending(position, _side(guard), at, max(timedelta(0), at - context.world_at))
        for position, guard in held
        if (at := state_of(guard).time_stop_at) is not None
    ]
    return tuple(sorted(found, key=lambda ending: (ending.at, ending.position.pk))[:COMING_SHOWN])
