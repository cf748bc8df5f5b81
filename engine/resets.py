"""Lifting trips by hand: what each kind sets anew, and whether its cause still holds (RSK-2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts.models import Portfolio
from allocation.breakers import breaker_reset, trips_standing
from allocation.domain.breakers import CLOSING
from allocation.locks import capital_lock
from allocation.models import BreakerTrip, Follow
from core.decimals import ZERO
from core.errors import InputError
from engine.breakers import breakers_evaluate, deficits_halt
from engine.decisions import DecisionNote, decision_store
from engine.follows import follow_resume
from engine.legs import legs_forget
from engine.publishing import portfolio_changed
from engine.trips import Kind
from engine.wake import cycles_wake
from execution.models import Order, OrderSlice
from positions.models import PositionSlice
from positions.selectors import follows_realized, follows_unrealized
from positions.valuation import peak_rebase

SOLD: tuple[str, ...] = (*CLOSING, Kind.MARGIN.value)  # trips that came with closing what was copied


@dataclass(frozen=True, slots=True)
class ResetAnswer:
    """What lifting came to.

    :param lifted: the kinds that were lifted now
    :param standing: the kinds that stand afterwards; one that was lifted stands again if its cause holds
    """

    lifted: tuple[str, ...]
    standing: tuple[str, ...]
    text: str


def trip_reset(*, portfolio_id: int, trip_id: int, by: str, reason: str, now: datetime) -> ResetAnswer:
    """Lift one trip. Lifting one that was lifted before changes nothing and says so.

    The drawdown's high-water mark and a trader's stop-loss begin anew at what they are now, losses in a row
    count from here, and what was closed or opened meanwhile is not copied. A breaker whose cause still
    holds trips again at once; the answer says so.

    :param by: who lifts it; ``reason`` says why it may go on
    :raises InputError: no reason, or what a stopped trader held is still being closed
    :raises NotFound: the portfolio has no such trip
    """
    with transaction.atomic():
        trip = breaker_reset(portfolio_id=portfolio_id, trip_id=trip_id, by=by, reason=reason, now=now)
        if trip is not None:
            trips_follow(portfolio_id=portfolio_id, trips=[trip], now=now)
    return reset_answer(portfolio_id=portfolio_id, lifted=[trip] if trip else [], now=now)


def trips_follow(*, portfolio_id: int, trips: list[BreakerTrip], now: datetime) -> None:
    """Do what goes with lifting trips, in the transaction that lifted them."""
    kinds = {trip.kind for trip in trips}
    if Kind.DRAWDOWN in kinds:
        peak_rebase(portfolio_id=portfolio_id, now=now)
    if kinds & set(SOLD):
        _copy_anew(portfolio_id=portfolio_id, now=now)
    portfolio = Portfolio.objects.get(pk=portfolio_id)
    for trip in trips:
        note = DecisionNote(
            kind="reset",
            text=f"{trip.get_kind_display()} reset by {trip.reset_by}",
            reason=trip.reset_reason,
            follow_ids=[trip.follow_id] if trip.follow_id else [],
            data={"breaker": trip.kind, "trip_id": trip.pk},
        )
        decision_store(portfolio=portfolio, note=note, now=now)
        if trip.kind == Kind.COPY_STOP and trip.follow is not None:
            _trader_resume(follow=trip.follow, now=now)
    cycles_wake(portfolio_ids=[portfolio_id], now=now, why="a breaker was reset", force_all=True)
    portfolio_changed(portfolio_id=portfolio_id)


def reset_answer(*, portfolio_id: int, lifted: list[BreakerTrip], now: datetime) -> ResetAnswer:
    """Measure anew after lifting, and say what came of it."""
    deficits_halt(now=now)
    breakers_evaluate(portfolio_ids=[portfolio_id], now=now)
    standing = trips_standing(portfolio_id=portfolio_id)
    names = {trip.kind: trip.get_kind_display() for trip in (*lifted, *standing)}
    again = [trip.kind for trip in lifted if trip.kind in {one.kind for one in standing}]
    others = [trip.kind for trip in standing if trip.kind not in again]
    if not lifted:
        parts = ["It was reset before; nothing changed."]
    else:
        parts = [f"{', '.join(names[trip.kind] for trip in lifted)} reset."]
    parts += [f"{names[kind]} tripped again at once: its cause still holds." for kind in again]
    if others:
        parts.append(f"Still standing: {', '.join(names[kind] for kind in others)}.")
    return ResetAnswer(
        lifted=tuple(trip.kind for trip in lifted),
        standing=tuple(trip.kind for trip in standing),
        text=" ".join(parts),
    )


def _copy_anew(*, portfolio_id: int, now: datetime) -> None:
    """Copy from here on: what traders hold now, opened or added while all was stopped, stays uncopied."""
    capital_lock(portfolio_id=portfolio_id)
    legs_forget(portfolio_id=portfolio_id, now=now)
    follows = Follow.objects.filter(portfolio_id=portfolio_id, status=Follow.Status.ACTIVE, joined=True)
    follows.update(resumed_at=now)


def _trader_resume(*, follow: Follow, now: datetime) -> None:
    """Count a trader's losses from here and copy it again; what it holds now stays uncopied.

    One that its owner had paused before it was stopped stays paused.
    """
    if follow.status != Follow.Status.PAUSED:
        return
    held = PositionSlice.objects.filter(follow=follow).exclude(quantity=ZERO).exists()
    working = OrderSlice.objects.filter(follow=follow, order__status__in=Order.OPEN_STATUSES).exists()
    if held or working:
        raise InputError(
            f"What was copied of {follow.trader.name} is still being closed. Reset it once that is done."
        )
    realized = follows_realized(portfolio_ids=[follow.portfolio_id])[follow.portfolio_id]
    unrealized = follows_unrealized(portfolio_ids=[follow.portfolio_id])
    follow.stop_base = realized.get(follow.pk, ZERO) + unrealized.get(follow.pk, ZERO)
    follow.save(update_fields=["stop_base"])
    if not follow.paused_by_owner:
        follow_resume(follow=follow, now=now)
