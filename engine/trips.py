"""Tripping a breaker from where its cause is seen: the trip, the decision that tells of it, the pages."""

from __future__ import annotations

import logging
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts.models import Portfolio
from allocation.breakers import breaker_trip
from allocation.models import BreakerTrip
from core.ids import fingerprint
from engine.alerting import trip_tell
from engine.decisions import DecisionNote, decision_store
from engine.publishing import portfolio_changed
from engine.wake import cycles_wake

logger = logging.getLogger(__name__)
Kind = BreakerTrip.Kind


@transaction.atomic
def portfolio_trip(
    *,
    portfolio_id: int,
    kind: str,
    why: str,
    now: datetime,
    follow_id: int | None = None,
    value: Decimal | None = None,
    threshold: Decimal | None = None,
) -> BreakerTrip | None:
    """Trip a breaker of a portfolio; None where it stands already. Exits go on.

    The copy cycle is asked to run: it calls back what is working to open. Not where the books differ, since
    it can decide nothing on those.
    """
    trip = breaker_trip(
        portfolio_id=portfolio_id,
        kind=kind,
        reason=why,
        now=now,
        follow_id=follow_id,
        value=value,
        threshold=threshold,
    )
    if trip is None:
        return None
    logger.warning("portfolio %s: %s tripped: %s", portfolio_id, trip.get_kind_display().lower(), why)
    halts = trip.effect == BreakerTrip.Effect.HALTED
    note = DecisionNote(
        kind="halted" if halts else "breaker",
        text="Portfolio halted" if halts else f"{trip.get_kind_display()} tripped",
        reason=why,
        follow_ids=[follow_id] if follow_id else [],
        data={"breaker": trip.kind, "trip_id": trip.pk},
        fingerprint=fingerprint("trip", trip.pk),
    )
    trip_tell(trip=trip, at=now)
    decision_store(portfolio=Portfolio.objects.get(pk=portfolio_id), note=note, now=now)
    if kind != Kind.BOOKS:
        cycles_wake(portfolio_ids=[portfolio_id], now=now, why=f"{trip.get_kind_display().lower()} tripped")
    portfolio_changed(portfolio_id=portfolio_id)
    return trip
