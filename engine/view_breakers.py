"""The section of a portfolio's view about its breakers: how much of each is used, and what stands."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from allocation.domain.breakers import (
    RULES,
    BreakerKind,
    Reading,
    Standing,
    breakers_read,
    copy_stop_read,
    one_place_only,
)
from allocation.models import BreakerTrip, Follow
from core.decimals import ONE, plain
from engine.view_context import ViewContext, iso, percent, unrealized_by_follow
from positions.selectors import FollowResult


def breakers_record(context: ViewContext) -> dict[str, Any]:
    """Return mode, the use of every breaker and of every trader's stop-loss, and the standing trips."""
    valuation = context.valuation
    readings = breakers_read(
        standing=Standing(
            unit_value=valuation.unit_value,
            day_start_unit_value=valuation.day_start_unit_value,
            peak_unit_value=valuation.peak_unit_value,
            losses_in_a_row=context.books.losses_in_a_row,
        ),
        thresholds=context.thresholds,
    )
    mode = context.portfolio.trading_mode
    standing = {trip.kind for trip in context.trips}
    return {
        "trading_mode": mode,
        "one_position": one_place_only(trading_mode=mode, readings=readings),
        "gauges": [_gauge(reading, standing=reading.kind in standing) for reading in readings],
        "copy_stops": _copy_stops(context),
        "trips": [_trip(trip) for trip in context.trips],
    }


def _gauge(reading: Reading, *, standing: bool) -> dict[str, Any]:
    rule = RULES[reading.kind]
    return {
        "kind": reading.kind.value,
        "label": BreakerTrip.Kind(reading.kind.value).label,
        **_measure(reading),
        "stands": standing,
        "effect": rule.effect.value,
        "resets": rule.resets.value,
        "text": reading.text,
    }


def _measure(reading: Reading) -> dict[str, str | None]:
    """Return value and threshold, in percent points or as counts, and the use in percent points."""
    counts = reading.kind is BreakerKind.LOSSES_IN_A_ROW
    return {
        "unit": "count" if counts else "percent",
        "value": plain(reading.value) if counts else percent(reading.value),
        "threshold": plain(reading.threshold) if counts else percent(reading.threshold),
        "use_pct": percent(min(reading.use, ONE)),
    }


def _copy_stops(context: ViewContext) -> list[dict[str, Any]]:
    unrealized = unrealized_by_follow(context)
    return [
        {"follow_id": follow.pk, **_measure(_copy_stop(context, follow, unrealized[follow.pk]))}
        for follow in context.current
        if follow.status == Follow.Status.ACTIVE
    ]


def _copy_stop(context: ViewContext, follow: Follow, unrealized: Decimal) -> Reading:
    totals = context.books.results.get(follow.pk, FollowResult())
    return copy_stop_read(
        result=totals.realized_net + unrealized,
        base=follow.stop_base,
        capital=follow.weight * context.valuation.equity,
        threshold=context.thresholds.copy_stop,
    )


def _trip(trip: BreakerTrip) -> dict[str, Any]:
    return {
        "id": trip.pk,
        "kind": trip.kind,
        "label": trip.get_kind_display(),
        "effect": trip.effect,
        "resets": trip.resets,
        "follow_id": trip.follow_id,
        "reason": trip.reason,
        "value": None if trip.value is None else plain(trip.value),
        "threshold": None if trip.threshold is None else plain(trip.threshold),
        "tripped_at": iso(trip.tripped_at),
        "world_at": iso(trip.world_at),
    }
