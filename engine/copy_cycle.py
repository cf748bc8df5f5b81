"""The copy cycle: gather, decide, act. A newcomer starts here.

    gather  read the portfolio's books, its traders, the marks            engine/gather.py
    decide  targets → conflicts → limits → placement; touches nothing     engine/domain/copy.py
    act     claim the version decided on, then book it all at once        engine/act.py

It runs when a followed trader changed, when something ended at the venue, when a person changed a
setting, and at least every minute. Whose turn it is says a row; messages only hint at it. Any number of
cycles of one portfolio may run at once: only the one whose books have not moved since it gathered gets to
act, the others come round again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import Portfolio
from accounts.reading import consistent_read
from allocation.capital import capital_version_raise
from allocation.locks import capital_lock
from allocation.models import Follow, FollowLeg
from core.clock import Clock
from core.errors import BooksDiffer, EnsembleError
from engine.act import CYCLE_EVERY, Acted, Superseded, plan_act
from engine.decisions import DecisionNote, decision_store
from engine.domain.copy import copy_plan
from engine.gather import Gathered, cycle_gather
from engine.models import CycleState
from engine.order_life import orders_call_back
from engine.rows import PortfolioRows, rows_read
from engine.trips import Kind, portfolio_trip
from engine.wake import ASK_AGAIN
from execution.models import Order
from markets.models import World
from positions.models import ConflictApproval, ConflictRecord, Position

logger = logging.getLogger(__name__)
ATTEMPTS: Final = 3
DUE_AT_ONCE: Final = 500
MANY_S: Final = 1.0  # then orders have a turn
TOGETHER: Final = 10  # portfolios whose rows are read at once
READ_FOR_S: Final = 2.0  # how long such rows are decided on
LATE_AFTER: Final = timedelta(seconds=10)  # past its minute: its messages do not get through


def cycle_run(*, portfolio_id: int, now: datetime, gathered: Gathered | None = None) -> Acted | None:
    """Run one copy cycle; None where there was nothing to run or the books kept moving.

    Orders it stores are sent, and orders it wants cancelled are cancelled, after its transaction.

    :param gathered: what was read a moment ago together with others'; it serves the first attempt
    """
    for _ in range(ATTEMPTS):
        try:
            acted = _attempt(portfolio_id=portfolio_id, now=now, gathered=gathered)
        except Superseded as news:
            logger.info("copy cycle starts over: %s", news)
            gathered = None
            continue
        except BooksDiffer as difference:
            _stop(portfolio_id=portfolio_id, difference=difference, now=now)
            return None
        if acted:
            orders_call_back(order_ids=acted.cancel_ids, why="Its target changed", now=now)
        return acted
    states = CycleState.objects.filter(portfolio_id=portfolio_id)
    states.filter(wanted_at__isnull=True).update(wanted_at=now, wanted_why="the books kept moving")
    states.update(asked_at=None)
    return None


def _stop(*, portfolio_id: int, difference: BooksDiffer, now: datetime) -> None:
    """Two records of the same thing differ: decide nothing on them, halt, and tell a person."""
    logger.error("copy cycle of portfolio %s stopped: %s", portfolio_id, difference)
    CycleState.objects.filter(portfolio_id=portfolio_id).update(
        error=str(difference)[:300], next_at=now + CYCLE_EVERY, wanted_at=None, asked_at=None
    )
    portfolio_trip(portfolio_id=portfolio_id, kind=Kind.BOOKS, why=str(difference), now=now)


def _attempt(*, portfolio_id: int, now: datetime, gathered: Gathered | None) -> Acted | None:
    """Gather, decide, act once.

    :raises Superseded: the books moved meanwhile; nothing was written
    """
    if gathered is not None:
        return plan_act(plan=copy_plan(inputs=gathered.inputs), gathered=gathered)
    with consistent_read():
        cycle = CycleState.objects.select_related("portfolio").filter(portfolio_id=portfolio_id).first()
        world = World.objects.filter(pk=cycle.portfolio.world).first() if cycle else None
        if cycle is not None and world is not None and cycle.run == world.run:
            gathered = cycle_gather(cycle=cycle, world=world, now=now)
    if cycle is None or world is None:
        CycleState.objects.filter(portfolio_id=portfolio_id).update(
            next_at=now + CYCLE_EVERY, wanted_at=None, asked_at=None
        )
        return None
    if gathered is None:
        _run_begin(portfolio=cycle.portfolio, world=world, now=now)
        raise Superseded(f"run {world.run} of {world.label} begins")
    plan = copy_plan(inputs=gathered.inputs)
    return plan_act(plan=plan, gathered=gathered)


@transaction.atomic
def _run_begin(*, portfolio: Portfolio, world: World, now: datetime) -> None:
    """Forget what was adopted in the replay's last run: its traders start over, and so does copying them.

    The feed starts a run only when every portfolio of the world is flat, so no position is left behind.
    """
    capital_lock(portfolio_id=portfolio.pk)
    begun = CycleState.objects.filter(portfolio=portfolio).exclude(run=world.run).update(run=world.run)
    if not begun:
        return
    capital_version_raise(portfolio_id=portfolio.pk)
    FollowLeg.objects.filter(follow__portfolio=portfolio).delete()
    Follow.objects.filter(portfolio=portfolio).update(decided_basis_id=None)
    ConflictRecord.objects.filter(portfolio=portfolio, ended_at__isnull=True).update(ended_at=now)
    waiting = ConflictApproval.objects.filter(portfolio=portfolio, status=ConflictApproval.Status.WAITING)
    waiting.update(status=ConflictApproval.Status.OVER, decided_at=now)
    if world.run > 1:
        note = DecisionNote(kind="run", text=f"Run {world.run} of {world.label} begins")
        decision_store(portfolio=portfolio, note=note, now=now)


# ---------------------------------------------------------------- whose turn it is
def cycle_turn(*, portfolio_id: int, now: datetime) -> None:
    """Run a portfolio's cycle if it is wanted or due, and with it the one that has waited longest in vain.

    A message for what has run already does nothing. Whoever is woken all the time never keeps those waiting
    who are not: each turn takes one of them along.
    """
    if _turn_take(portfolio_id=portfolio_id, now=now):
        cycle_run(portfolio_id=portfolio_id, now=now)
    for late_id in _asked(CycleState.objects.filter(next_at__lte=now - LATE_AFTER), now=now, limit=1):
        cycle_run(portfolio_id=late_id, now=now)


def cycles_waiting(*, now: datetime) -> int:
    """Return how many cycles are due, or were wanted a second ago, and nobody is asked for just now."""
    return _free(CycleState.objects.filter(_due(now)), now).count()


def cycles_due(*, now: datetime) -> list[int]:
    """Return the portfolios whose cycle is due, or was wanted a second ago and has not run, longest first.

    Each is handed out once in ``ASK_AGAIN``, however many ask, until it has run: a turn whose message is
    lost, or whose worker dies, comes again.
    """
    return _asked(CycleState.objects.filter(_due(now)), now=now, limit=DUE_AT_ONCE)


def _due(now: datetime) -> Q:
    return Q(next_at__lte=now) | Q(wanted_at__lte=now - timedelta(seconds=1))


def _free(states: QuerySet[CycleState], now: datetime) -> QuerySet[CycleState]:
    """Leave out those that a worker was asked for just now."""
    return states.filter(Q(asked_at__isnull=True) | Q(asked_at__lte=now - ASK_AGAIN))


def cycles_many(*, clock: Clock, seconds: float = MANY_S) -> int:
    """Run the cycles that are wanted or due, longest first, for a moment; return how many were run.

    Each is taken by one worker, and by another after ``ASK_AGAIN`` if that one died over it.
    """
    until_s, done = clock.monotonic_s() + seconds, 0
    while clock.monotonic_s() < until_s:
        at = clock.now()
        waiting = Q(next_at__lte=at) | Q(wanted_at__isnull=False)
        taken = _asked(CycleState.objects.filter(waiting), now=at, limit=TOGETHER)
        if not taken:
            break
        _together(portfolio_ids=taken, clock=clock)
        done += len(taken)
    return done


def _together(*, portfolio_ids: Sequence[int], clock: Clock) -> None:
    """Run some cycles whose rows are read at once; each decides, and acts or fails, by itself.

    What was read is used for a moment. Who comes later, or could not be read with the others, is read alone.
    """
    read_s, now = clock.monotonic_s(), clock.now()
    try:
        gathered = _gather_together(portfolio_ids=portfolio_ids, now=now)
    except Exception:
        logger.exception("portfolios %s could not be read together; each is read alone", list(portfolio_ids))
        gathered = {}
    for portfolio_id in portfolio_ids:
        fresh = clock.monotonic_s() - read_s <= READ_FOR_S
        one = gathered.get(portfolio_id) if fresh else None
        try:
            cycle_run(portfolio_id=portfolio_id, now=now if one else clock.now(), gathered=one)
        except Exception:
            logger.exception("the copy cycle of portfolio %s failed; it is asked for again", portfolio_id)


def _gather_together(*, portfolio_ids: Sequence[int], now: datetime) -> dict[int, Gathered]:
    """Return the inputs of those of these portfolios that can be decided on, as of one moment."""
    found: dict[int, Gathered] = {}
    with consistent_read():
        cycles = list(CycleState.objects.select_related("portfolio").filter(portfolio_id__in=portfolio_ids))
        worlds = World.objects.in_bulk({cycle.portfolio.world for cycle in cycles})
        for world in worlds.values():
            here = [cycle for cycle in cycles if (cycle.portfolio.world, cycle.run) == (world.pk, world.run)]
            rows = rows_read(portfolios=[cycle.portfolio for cycle in here], world=world, now=now)
            for cycle in here:
                if cycle.portfolio_id in rows:
                    found |= _gathered_of(cycle, world, rows[cycle.portfolio_id], now)
    return found


def _gathered_of(cycle: CycleState, world: World, rows: PortfolioRows, now: datetime) -> dict[int, Gathered]:
    """Return one portfolio's inputs, or nothing where they make no sense: its own cycle then says so."""
    try:
        return {cycle.portfolio_id: cycle_gather(cycle=cycle, world=world, now=now, rows=rows)}
    except (EnsembleError, ValueError) as error:
        logger.warning("portfolio %s cannot be read with others: %s", cycle.portfolio_id, error)
        return {}


def _turn_take(*, portfolio_id: int, now: datetime) -> bool:
    """Note that a worker is at it; False where it has run since it was asked for."""
    due = Q(next_at__lte=now) | Q(wanted_at__isnull=False)
    return bool(CycleState.objects.filter(due, portfolio_id=portfolio_id).update(asked_at=now))


@transaction.atomic
def _asked(states: QuerySet[CycleState], *, now: datetime, limit: int) -> list[int]:
    """Take note that workers are asked for these, but for those that some were asked for just now."""
    turn = _free(states, now).select_for_update(skip_locked=True).order_by("next_at", "pk")
    ids = list(turn.values_list("pk", flat=True)[:limit])
    CycleState.objects.filter(pk__in=ids).update(asked_at=now)
    return ids


def world_is_flat(*, world: str) -> bool:
    """Tell whether no portfolio of a world has anything open, so that a replay may start over.

    One whose books differ decides nothing until a person has looked; it does not hold up the others.
    """
    portfolios = Portfolio.objects.filter(world=world, cycle__error="")
    holding = Position.objects.filter(portfolio__in=portfolios).exclude(status=Position.Status.CLOSED)
    return not holding.exists() and not portfolios.filter(orders__status__in=Order.OPEN_STATUSES).exists()
