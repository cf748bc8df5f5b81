"""What the watch reads of guards: whole shards when it takes one over, and single ones that changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson
from django.db.models import BigIntegerField, Count, F, Func, QuerySet, Sum, TextField
from django.db.models.functions import Cast

from core.decimals import ONE
from engine.exits.watched import Tally, Watched
from engine.models import ExitTrigger
from markets.models import Instrument
from markets.tape import shard_of
from positions.domain.exits import ExitPlan, ExitState
from positions.exits import plan_of
from positions.models import ExitGuard

_MOMENT: Final = "(EXTRACT(EPOCH FROM %(expressions)s) * 1000000)::bigint"  # exact: EXTRACT gives NUMERIC
# Tens of thousands of rows are read at a take-over: each value comes in the form in which it is used.
_AS_READ: Final = {
    "since_us": Func("since", template=_MOMENT, output_field=BigIntegerField()),
    "levels_us": Func("levels_from", template=_MOMENT, output_field=BigIntegerField()),
    "steps": Cast("take_profit", TextField()),
}
_READ: Final = (
    "position_id", "position__portfolio_id", "world_id", "run", "instrument_id", "episode", "version", "sign",
    "entry_price", "opened_world_at", "peak_price", "stop_price", "trail_price", "steps_done", "since_us",
    "levels_us", "place", "place_version", "stop_loss_pct", "trail_from_pct", "trail_by_pct",
    "time_stop_days", "steps",
)  # fmt: skip


def shard_codes(*, shard: int, shards: int) -> list[str]:
    """Return the instruments of one shard."""
    codes = Instrument.objects.order_by("pk").values_list("pk", flat=True)
    return [code for code in codes if shard_of(code=code, shards=shards) == shard]


def guards_of(*, codes: Collection[str]) -> Iterator[Watched]:
    """Yield what is to be watched of these instruments."""
    return _watched(_guarded().filter(instrument_id__in=codes))


def guards_get(*, position_ids: Collection[int]) -> Iterator[Watched]:
    """Yield what is to be watched of these positions: nothing of one that is flat or being closed."""
    return _watched(_guarded().filter(pk__in=position_ids))


def versions_of(*, codes: Collection[str]) -> dict[int, int]:
    """Return the version of every guard of these instruments that is to be watched, by position."""
    return dict(_guarded().filter(instrument_id__in=codes).values_list("pk", "version"))


def guards_tally(*, codes: Collection[str]) -> Tally:
    """Return the tally of the guards of these instruments that are to be watched."""
    pk, version = F("pk"), F("version")
    sums = (
        _guarded()
        .filter(instrument_id__in=codes)
        .aggregate(count=Count("pk"), positions=Sum(pk), versions=Sum(version), both=Sum(pk * version))
    )
    return Tally(*(int(sums[name] or 0) for name in ("count", "positions", "versions", "both")))


def versions_since(*, changed_at: datetime) -> list[tuple[int, int, str, bool]]:
    """Return position, version, instrument and whether it ended, of guards changed since a wall time."""
    rows = ExitGuard.objects.filter(changed_at__gt=changed_at)
    found = rows.values_list("pk", "version", "instrument_id", "ended_at")
    return [(pk, version, code, ended_at is not None) for pk, version, code, ended_at in found]


def _guarded() -> QuerySet[ExitGuard]:
    """Guards that may still trigger: not those whose position a standing trigger closes for good.

    A take profit that stands is waiting for its price, and the stop below it goes on guarding.
    """
    closing = ExitTrigger.objects.filter(
        position__guard__episode=F("episode"), fraction=ONE, status__in=ExitTrigger.STANDING
    ).exclude(kind=ExitTrigger.Kind.TAKE_PROFIT)
    # NOT IN, not NOT EXISTS: looked up in a hash, whatever the planner believes of how many triggers stand.
    return ExitGuard.objects.filter(ended_at__isnull=True).exclude(pk__in=closing.values("position_id"))


def _watched(guards: QuerySet[ExitGuard]) -> Iterator[Watched]:
    found = guards.annotate(**_AS_READ).order_by("pk")
    rows: Iterable[tuple[Any, ...]] = found.values_list(*_READ).iterator(chunk_size=5000)
    for row in rows:
        (
            position_id, portfolio_id, world, run, code, episode, version, sign, entry, opened_at, peak, stop,
            trail, steps_done, since_us, levels_us, place, place_version, *rules,
        ) = row  # fmt: skip
        yield Watched(
            position_id=position_id,
            portfolio_id=portfolio_id,
            key=(world, run, code),
            episode=episode,
            version=version,
            state=ExitState(
                plan=_plan(*rules),
                sign=sign,
                entry_price=entry,
                opened_at=opened_at,
                peak_price=peak,
                stop_price=stop,
                trail_price=trail,
                steps_done=steps_done,
            ),
            since_us=since_us,
            levels_us=levels_us,
            place=place if place_version == version else "",
            trail_place=place,
        )


@lru_cache(maxsize=10_000)
def _plan(
    stop_loss: Decimal, trail_from: Decimal, trail_by: Decimal, time_stop_days: Decimal, take_profit: str
) -> ExitPlan:
    """Return the plan of written rules; most positions share a few of them."""
    rules = ExitGuard(
        stop_loss_pct=stop_loss,
        trail_from_pct=trail_from,
        trail_by_pct=trail_by,
        time_stop_days=time_stop_days,
        take_profit=orjson.loads(take_profit),
    )
    return plan_of(rules)
