"""Gathering: everything that one copy decision depends on, and nothing else, out of rows of one moment.

The capital account's version is among them. Whatever is booked after that makes the later claim of that
version fail, so a decision is never carried out on books that have moved on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.conf import settings

from accounts.models import Portfolio
from allocation.correlations import correlations_recent
from allocation.domain.limits import Limits, gross_cap
from allocation.models import Follow, FollowLeg
from allocation.own_limits import limits_of
from core.clock import WorldTime
from core.decimals import BPS, ONE, ZERO, dollars
from core.types import ConflictRule, OrderSide, Policy
from engine.barring import underlyings_barred
from engine.domain.copy_types import (
    CopyInputs,
    FollowInput,
    Holding,
    Market,
    WorkingOrder,
)
from engine.domain.own_entry import market_find
from engine.evidence import past_read, pulses_read
from engine.follow_views import FollowsRead, FollowView, SnapshotBooks, follows_view
from engine.live.bars import foreign_barred, live_bar
from engine.models import CycleState
from engine.rows import PortfolioRows, markets_plain, rows_read
from engine.trading_mode import mode_limits
from execution.desks import Desk
from execution.models import Order
from execution.orders import unheard_bar
from execution.venues.paper import paper_assumptions
from markets.models import World
from positions.approvals import approval_known, approvals_fresh
from positions.models import ConflictRecord, Position
from positions.valuation import equity_of

OWN_ORIGINS: Final = frozenset({Order.Origin.PERSON, Order.Origin.BREAKER, Order.Origin.EXIT})


@dataclass(frozen=True, slots=True)
class Gathered:
    """The inputs of one decision, and what acting on it needs besides.

    :param version: of the capital account; acting claims exactly this one
    :param positions: the open position per underlying
    :param conflicts: the records of those that stand; only cycles write them, each behind its claim
    :param books: the traders' snapshots
    :param joins: what each follow that joins or resumes in this cycle leaves uncopied, by underlying
    """

    portfolio: Portfolio
    version: int
    world: World
    clock: WorldTime
    now: datetime
    inputs: CopyInputs
    cycle: CycleState
    positions: Mapping[str, Position]
    follows: Mapping[int, Follow]
    joins: Mapping[int, Mapping[str, Decimal]]
    legs: Mapping[tuple[int, str], FollowLeg]
    conflicts: Sequence[ConflictRecord]
    books: SnapshotBooks

    @property
    def world_at(self) -> datetime:
        """World time of this decision."""
        return self.clock.at(self.now)


def cycle_gather(
    *,
    cycle: CycleState,
    world: World,
    now: datetime,
    besides: str = "",
    candidate: FollowInput | None = None,
    rows: PortfolioRows | None = None,
) -> Gathered:
    """Return the inputs of one copy decision of a portfolio that lives in ``world``, inside one snapshot.

    :param besides: an instrument whose correlations are wanted though nobody holds it
    :param candidate: a follow that is not one yet and takes part all the same: to foresee, never to act on
    :param rows: the portfolio's, where they were read together with others'; else they are read now
    """
    portfolio, clock = cycle.portfolio, world.clock()
    if rows is None:
        rows = rows_read(portfolios=[portfolio], world=world, now=now)[portfolio.pk]
    read = follows_view(
        follows=rows.follows, legs=rows.legs, books=rows.world.books, stopped=rows.stopped, clock=clock
    )
    if candidate is not None:
        read = replace(read, views=(*read.views, FollowView(candidate, joining=None)))
    return Gathered(
        portfolio=portfolio,
        version=rows.account.version,
        world=world,
        clock=clock,
        now=now,
        inputs=_inputs(cycle, world, rows, read, besides, now),
        cycle=cycle,
        positions=rows.positions,
        follows={follow.pk: follow for follow in read.follows},
        joins={view.follow_input.follow_id: view.joining for view in read.views if view.joining is not None},
        legs=read.legs,
        conflicts=rows.conflicts,
        books=rows.world.books,
    )


def _inputs(
    cycle: CycleState,
    world: World,
    rows: PortfolioRows,
    read: FollowsRead,
    besides: str,
    now: datetime,
) -> CopyInputs:
    portfolio, views, desk = cycle.portfolio, read.views, rows.desk
    policy, limits = Policy(portfolio.policy), limits_of(portfolio=portfolio)
    tradable = _markets(rows)
    holdings = _holdings(rows.positions, _open_orders(rows.orders))
    return CopyInputs(
        policy=policy,
        rule=ConflictRule(portfolio.conflict_rule),
        limits=mode_limits(portfolio=portfolio, limits=limits),
        equity=equity_of(books=rows.worth),
        free_capital=rows.account.free,
        follows=tuple(view.follow_input for view in views),
        holdings=holdings,
        markets=tradable,
        overrides=rows.overrides,
        auto_rebalance=portfolio.auto_rebalance,
        drift_threshold=settings.DRIFT_THRESHOLD_PCT / 100,
        max_chase=settings.MAX_CHASE_PCT / 100,
        margin_rate=margin_rate_of(policy=policy, limits=limits),
        fee_rate=fee_rate_of(desk=desk, policy=policy),
        correlations=correlations_recent(
            world=world, codes=_codes(views, holdings, tradable, besides), now=now
        ),
        blocked=rows.blocked,
        barred=underlyings_barred(rows=rows.bars, positions=rows.positions)
        | foreign_barred(portfolio_id=portfolio.pk, desk=desk),
        entries_blocked=_entries_blocked(portfolio, rows),
        forced=_forced(cycle, rows.positions, views)
        | approvals_fresh(rows=rows.approvals, since=cycle.ran_at),
        approves_conflicts=portfolio.approves_conflicts,
        approvals={u: approval_known(row=row, now=now) for u, row in rows.approvals.items()},
        dry_run=portfolio.dry_run,
        world_ended=world.clock().ended(now),
        pulses=pulses_read(
            world=world,
            markets=tradable,
            underlyings=_followed(views),
            contexts=rows.world.contexts,
            now=now,
        ),
        past=past_read(portfolio_id=portfolio.pk, follows=read.follows) if rows.has_past else {},
    )


def margin_rate_of(*, policy: Policy, limits: Limits) -> Decimal:
    """Return the capital a position needs per unit of notional: 1, or 1 ÷ leverage under the perp policy.

    The leverage is the profile's gross cap, at least 1.
    """
    if policy is Policy.SPOT:
        return ONE
    return ONE / max(ONE, gross_cap(limits=limits, policy=policy))


def fee_rate_of(*, desk: Desk, policy: Policy) -> Decimal:
    """Return the fee to hold capital for, a fraction of notional: the desk's highest, or paper's."""
    return paper_assumptions().fee_bps(policy) * BPS if desk.taker_fee is None else desk.taker_fee


def _open_orders(orders: Iterable[Order]) -> dict[str, tuple[WorkingOrder, ...]]:
    result: dict[str, tuple[WorkingOrder, ...]] = {}
    for order in orders:
        remaining = order.quantity - order.filled_quantity
        own = order.origin in OWN_ORIGINS
        working = WorkingOrder(
            order_id=order.pk,
            side=OrderSide(order.side),
            remaining=max(remaining, ZERO),
            forced_close=order.purpose == Order.Purpose.LIQUIDATION or (own and order.reduce_only),
            for_owner=own and not order.reduce_only,
        )
        result[order.underlying] = (*result.get(order.underlying, ()), working)
    return result


def _holdings(
    positions: Mapping[str, Position], orders: Mapping[str, tuple[WorkingOrder, ...]]
) -> dict[str, Holding]:
    return {
        underlying: _holding(underlying, positions.get(underlying), orders.get(underlying, ()))
        for underlying in {*positions, *orders}
    }


def _holding(underlying: str, position: Position | None, working: tuple[WorkingOrder, ...]) -> Holding:
    if position is None:
        return Holding(underlying=underlying, quantity=ZERO, working=working)
    return Holding(
        underlying=underlying,
        quantity=position.quantity,
        average_entry=position.cost / position.quantity if position.quantity else ZERO,
        slices={part.follow_id: part.quantity for part in position.slices.all() if part.quantity},
        working=working,
    )


def _markets(rows: PortfolioRows) -> dict[str, Market]:
    """Return the portfolio's instrument per underlying: the one held, else the plainest that has a mark.

    What it holds stays in although its venue does not list it any more.
    """
    desk, marks = rows.desk, rows.world.marks
    tradable = desk.of_marked(rows.world.instruments)
    plain = rows.world.plain
    if desk.specs is not None:
        plain = markets_plain(instruments=tradable, marks=marks)
    result = dict(plain)
    for position in rows.positions.values():
        code = position.instrument_id
        if code in marks:
            spec = tradable.get(code) or desk.spec(position.instrument)
            result[spec.underlying] = Market(spec, marks[code].price, stale=marks[code].stale)
    return result


def _codes(
    views: Iterable[FollowView], holdings: Mapping[str, Holding], markets: Mapping[str, Market], besides: str
) -> dict[str, str]:
    """Return the instrument of every underlying that is held, that a trader holds, or wanted besides."""
    books = [view.follow_input.book for view in views if view.follow_input.book]
    wanted = market_find(code=besides, markets=markets) if besides else None
    asked = set(holdings).union(*(book.legs for book in books))
    if wanted is not None:
        asked.add(wanted.instrument.underlying)
    return {underlying: markets[underlying].instrument.code for underlying in asked if underlying in markets}


def _entries_blocked(portfolio: Portfolio, rows: PortfolioRows) -> str:
    if rows.account.deficit > 0:
        return f"a deficit of {dollars(rows.account.deficit)} has to be paid in first"
    if portfolio.status != Portfolio.Status.ACTIVE:
        return portfolio.status_reason or f"the portfolio is {portfolio.get_status_display().lower()}"
    return live_bar(portfolio_id=portfolio.pk, desk=rows.desk) or unheard_bar(order=rows.unheard)


def _forced(
    cycle: CycleState, positions: Mapping[str, Position], views: Iterable[FollowView]
) -> frozenset[str]:
    """Return the underlyings to place anew though no trader moved."""
    return _followed(views).union(positions) if cycle.forced_all else frozenset()


def _followed(views: Iterable[FollowView]) -> frozenset[str]:
    """Return the underlyings that any trader has open."""
    books = [view.follow_input.book for view in views if view.follow_input.book]
    return frozenset().union(*(book.legs for book in books))
