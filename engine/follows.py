"""What a person does with traders: follow, pause, resume, leave, arrange (FOL-1).

Each function changes the follow, records the decision, wakes the copy cycle and the open pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts.models import Portfolio
from allocation import follows as follow_rows
from allocation.capital import capital_version_raise
from allocation.locks import capital_lock
from allocation.models import Follow, FollowLeg
from core.decimals import plain
from core.errors import InputError
from engine.decisions import DecisionNote, decision_store, world_time
from engine.publishing import portfolio_changed
from engine.wake import cycles_wake
from positions.services import slices_hand_over
from traders.locks import trader_lock
from traders.services import trader_find_or_create, trader_sync_resume, trader_wake


def follow_start(
    *,
    portfolio: Portfolio,
    kind: str,
    key: str,
    join_mode: str = Follow.JoinMode.NEW_ONLY,
    now: datetime,
) -> Follow:
    """Follow a trader, who is read at once; the copy cycle joins with the first good read.

    :param join_mode: "new_only" copies what the trader does from now on; "include_open" also what is
        open now at a price within 2 % of the trader's entry
    :raises InputError: malformed or unknown key, followed already, an eleventh trader, another world
    """
    if join_mode not in Follow.JoinMode.values:
        raise InputError(
            f"Joining must be one of {Follow.JoinMode.values}, got “{join_mode}”.", field="join_mode"
        )
    trader = trader_find_or_create(kind=kind, key=key, now=now, owner=portfolio.owner)
    with transaction.atomic():
        capital_lock(portfolio_id=portfolio.pk)
        trader_lock(trader_id=trader.pk)  # nobody abandons it meanwhile
        if not follow_rows.trader_is_followed(trader_id=trader.pk):
            # It was abandoned; what an operator paused stays so.
            trader_sync_resume(trader_ids=[trader.pk], now=now)
        follow = follow_rows.follow_create(portfolio=portfolio, trader=trader, join_mode=join_mode, now=now)
        _changed(
            follow=follow, text=f"Following {trader.name}", reason=follow.get_join_mode_display(), now=now
        )
    trader_wake(trader_ids=[trader.pk], now=now)
    return follow


def follow_pause(*, follow: Follow, now: datetime) -> Follow:
    """Pause a trader: no entries, reductions and exits continue; its share goes to the others.

    :raises InputError: the trader is being left
    """
    _refuse_leaving(follow)
    if follow.status != Follow.Status.PAUSED:
        with transaction.atomic():
            follow_rows.follow_pause(follow=follow, by_owner=True)
            _changed(
                follow=follow,
                text=f"Paused {follow.trader.name}",
                reason="No entries; reductions and exits continue",
                now=now,
            )
    return follow


def follow_resume(*, follow: Follow, now: datetime) -> Follow:
    """Resume a paused trader; what it opened or added meanwhile is not copied.

    :raises InputError: the trader is being left, or its copy stop-loss stands
    """
    _refuse_leaving(follow)
    _refuse_stopped(follow)
    if follow.status != Follow.Status.ACTIVE:
        with transaction.atomic():
            follow_rows.follow_resume(follow=follow, now=now)
            _changed(
                follow=follow,
                text=f"Resumed {follow.trader.name}",
                reason="What was opened meanwhile is not copied",
                now=now,
            )
    return follow


def follow_remove(*, follow: Follow, keep_positions: bool, now: datetime) -> Follow:
    """Stop following: close the trader's slices, or hand them to the owner, with whom they stay.

    A second call is harmless.
    """
    if follow.status == Follow.Status.REMOVED:
        return follow
    with transaction.atomic():
        follow_rows.follow_leave(follow=follow)
        if keep_positions:
            world_at, _ = world_time(world_name=follow.portfolio.world, now=now)
            slices_hand_over(follow=follow, now=now, world_at=world_at)
        FollowLeg.objects.filter(follow=follow).delete()
        reason = "Its positions stay as yours" if keep_positions else "Its positions are being closed"
        _changed(follow=follow, text=f"Leaving {follow.trader.name}", reason=reason, now=now)
    return follow


def follows_arrange(*, portfolio: Portfolio, follow_ids: Sequence[int], now: datetime) -> None:
    """Put the followed traders in a new order; the last one carries the weights' remainder.

    :raises InputError: the order does not name each followed trader once
    """
    with transaction.atomic():
        follow_rows.follows_arrange(portfolio=portfolio, follow_ids=follow_ids)
        capital_version_raise(portfolio_id=portfolio.pk)
        cycles_wake(portfolio_ids=[portfolio.pk], now=now, why="traders arranged")
        portfolio_changed(portfolio_id=portfolio.pk)


def weights_set(*, portfolio: Portfolio, weights: Mapping[int, Decimal] | None, now: datetime) -> Portfolio:
    """Give each active trader the percentage its owner chose, or split equally again (ALL-2).

    Every target is placed anew. Who pauses or leaves later gives its part to the others pro rata; who joins
    gets 1/N, for which the others give.

    :param weights: percent by follow id, each at least 1, to 0.01, summing to exactly 100; None is equal
    :raises InputError: they are not, or name other follows than the active ones
    """
    with transaction.atomic():
        if weights is None:
            follow_rows.weights_equalise(portfolio=portfolio)
        else:
            follow_rows.weights_choose(portfolio=portfolio, percents=weights)
        capital_version_raise(portfolio_id=portfolio.pk)
        shares = follow_rows.follows_current(portfolio_id=portfolio.pk)
        reason = ", ".join(f"{f.trader.name} {plain(f.weight * 100)} %" for f in shares if f.weight)
        text = "Capital split equally" if weights is None else "Capital split by your percentages"
        note = DecisionNote(kind="settings", text=text, reason=reason, follow_ids=[f.pk for f in shares])
        decision_store(portfolio=portfolio, note=note, now=now)
        cycles_wake(portfolio_ids=[portfolio.pk], now=now, why="weights changed", force_all=True)
        portfolio_changed(portfolio_id=portfolio.pk)
    return portfolio


def _refuse_leaving(follow: Follow) -> None:
    if follow.status in {Follow.Status.LEAVING, Follow.Status.REMOVED}:
        raise InputError(
            f"{follow.trader.name} is being left; it can be followed again once its positions are closed."
        )


def _refuse_stopped(follow: Follow) -> None:
    if follow.trips.filter(reset_at__isnull=True).exists():
        raise InputError(
            f"The copy stop-loss of {follow.trader.name} stands. "
            "Reset it with a reason, which resumes the trader."
        )


def _changed(*, follow: Follow, text: str, reason: str, now: datetime) -> None:
    """Record what the person did, outdate decisions in flight, and let cycle and pages look again."""
    portfolio = follow.portfolio
    capital_version_raise(portfolio_id=portfolio.pk)
    decision_store(
        portfolio=portfolio,
        note=DecisionNote(kind="follow", text=text, reason=reason, follow_ids=[follow.pk]),
        now=now,
    )
    cycles_wake(portfolio_ids=[portfolio.pk], now=now, why=text.lower(), force_all=True)
    portfolio_changed(portfolio_id=portfolio.pk)
