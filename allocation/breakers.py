"""Trips of breakers as they are kept, and the status of a portfolio that follows from them (RSK-2).

At most one trip stands per kind (and follow); ``Portfolio.status`` and ``status_reason`` are the strictest
effect of the standing trips and are written nowhere else than here. Every trip and every reset raises the
account's version, so a copy cycle that was decided before it does not act.

What is measured, and what a reset sets anew, needs positions: see ``engine.breakers``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.models import Portfolio
from allocation.capital import capital_version_raise
from allocation.domain.breakers import RULES, BreakerKind, BreakerThresholds, Effect, strictest
from allocation.locks import capital_lock
from allocation.models import BreakerTrip, PortfolioLimits
from allocation.reservations import reservations_serve
from core.errors import InputError, NotFound
from markets.models import World

DAY_ROLL = "day roll"
TRADER_LEFT = "leaving the trader"
_STATUS = {Effect.HALTED: Portfolio.Status.HALTED, Effect.REDUCING: Portfolio.Status.REDUCING}
_FIELDS = ("daily_loss", "drawdown", "losses_in_a_row", "emergency_loss", "copy_stop")


def thresholds_default() -> BreakerThresholds:
    """Return the server's thresholds."""
    return BreakerThresholds(
        daily_loss=settings.MAX_DAILY_LOSS_PCT / 100,
        drawdown=settings.MAX_DRAWDOWN_PCT / 100,
        losses_in_a_row=settings.MAX_CONSECUTIVE_LOSSES,
        emergency_loss=settings.EMERGENCY_LOSS_PCT / 100,
        copy_stop=settings.COPY_STOP_PCT / 100,
    )


def thresholds_of(*, portfolio: Portfolio) -> BreakerThresholds:
    """Return where a portfolio's breakers trip: its own thresholds, else the server's."""
    return thresholds_by_portfolio(portfolio_ids=[portfolio.pk])[portfolio.pk]


def thresholds_by_portfolio(*, portfolio_ids: Iterable[int]) -> dict[int, BreakerThresholds]:
    """Return the same for several portfolios, in one query."""
    ids = list(portfolio_ids)
    default = thresholds_default()
    own = PortfolioLimits.objects.filter(pk__in=ids).values("portfolio_id", *_FIELDS)
    known = {row.pop("portfolio_id"): BreakerThresholds(**row) for row in own}
    return {portfolio_id: known.get(portfolio_id, default) for portfolio_id in ids}


def trips_standing(*, portfolio_id: int) -> list[BreakerTrip]:
    """Return the trips that stand, the oldest first."""
    standing = BreakerTrip.objects.filter(portfolio_id=portfolio_id, reset_at__isnull=True)
    return list(standing.select_related("follow__trader").order_by("pk"))


@transaction.atomic
def breaker_trip(
    *,
    portfolio_id: int,
    kind: str,
    reason: str,
    now: datetime,
    follow_id: int | None = None,
    value: Decimal | None = None,
    threshold: Decimal | None = None,
) -> BreakerTrip | None:
    """Trip a breaker; None where it stands already, which changes nothing.

    :param reason: what happened, in words for the owner
    :param follow_id: of whom, for the kind that concerns one trader
    :param value: what was measured, against ``threshold``
    """
    capital_lock(portfolio_id=portfolio_id)
    whose = Q(follow__isnull=True) if follow_id is None else Q(follow_id=follow_id)
    known = BreakerTrip.objects.filter(whose, portfolio_id=portfolio_id, kind=kind, reset_at__isnull=True)
    if known.exists():
        return None
    rule = RULES[BreakerKind(kind)]
    trip = BreakerTrip.objects.create(
        portfolio_id=portfolio_id,
        kind=kind,
        follow_id=follow_id,
        effect=rule.effect.value,
        resets=rule.resets.value,
        reason=reason[:240],
        value=value,
        threshold=threshold,
        tripped_at=now,
        **_world_moment(portfolio_id=portfolio_id, now=now),
    )
    _status_follow(portfolio_id=portfolio_id)
    return trip


@transaction.atomic
def breaker_reset(
    *, portfolio_id: int, trip_id: int, by: str, reason: str, now: datetime
) -> BreakerTrip | None:
    """Lift a standing trip; None where it was lifted before, which changes nothing.

    :param by: the person who lifts it, or ``DAY_ROLL`` or ``TRADER_LEFT``
    :param reason: why it may go on; a person must name one
    :raises InputError: no reason was given
    :raises NotFound: the portfolio has no such trip
    """
    if not reason.strip():
        raise InputError("Say why it may go on: a reset is kept with its reason.", field="reason")
    capital_lock(portfolio_id=portfolio_id)
    trip = BreakerTrip.objects.filter(portfolio_id=portfolio_id, pk=trip_id).first()
    if trip is None:
        raise NotFound(f"This portfolio has no trip {trip_id}.", field="trip_id")
    if trip.reset_at is not None:
        return None
    trip.reset_at, trip.reset_by, trip.reset_reason = now, by[:254], reason.strip()[:240]
    trip.reset_world_at = _world_moment(portfolio_id=portfolio_id, now=now)["world_at"]
    trip.save(update_fields=["reset_at", "reset_by", "reset_reason", "reset_world_at"])
    _status_follow(portfolio_id=portfolio_id)
    reservations_serve(portfolio_id=portfolio_id, now=now)  # who waited while nothing was opened
    return trip


def _status_follow(*, portfolio_id: int) -> None:
    """Set the portfolio's status to the strictest effect that stands, with the reason of the oldest such."""
    capital_version_raise(portfolio_id=portfolio_id)
    standing = trips_standing(portfolio_id=portfolio_id)
    effect = strictest(effects=(trip.effect for trip in standing))
    reason = next((trip.reason for trip in standing if trip.effect == effect), "")
    status = _STATUS[effect] if effect else Portfolio.Status.ACTIVE
    Portfolio.objects.filter(pk=portfolio_id).update(status=status, status_reason=reason)


def _world_moment(*, portfolio_id: int, now: datetime) -> dict[str, Any]:
    """Return the time and run of a portfolio's world; wall time and run 1 before it has one."""
    name = Portfolio.objects.values_list("world", flat=True).get(pk=portfolio_id)
    world = World.objects.filter(pk=name).first() if name else None
    return {"world_at": world.clock().at(now), "run": world.run} if world else {"world_at": now, "run": 1}
