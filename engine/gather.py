"""Gathering: read everything that one copy decision depends on, and nothing else.

The capital account's version is read first. Whatever is booked after that makes the later claim of
that version fail, so a decision is never carried out on books that have moved on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings

from accounts.models import Portfolio
from allocation.correlations import correlations_recent
from allocation.domain.books import BasisLeg, TraderBook, book_at_marks
from allocation.domain.copied import JoinMode, ignored_on_join, ignored_on_resume
from allocation.domain.limits import gross_cap
from allocation.follows import follows_current
from allocation.models import BlockedUnderlying, BreakerTrip, CapitalAccount, Follow, FollowLeg
from allocation.own_limits import limits_of
from core.clock import WorldTime
from core.decimals import BPS, ONE, ZERO, dollars
from core.instruments import Instrument
from core.types import ConflictRule, OrderSide, Policy
from engine.barring import underlyings_barred
from engine.domain.copy_types import (
    CopyInputs,
    FollowInput,
    FollowState,
    Holding,
    LegMemory,
    Market,
    WorkingOrder,
)
from engine.evidence import added_prices, past_read, pulses_read
from engine.models import CycleState
from engine.trading_mode import mode_limits
from execution.models import Order
from execution.orders import entries_bar
from execution.venues.paper import paper_assumptions
from markets.models import World
from markets.selectors import MarkData, instruments_for, marks_for
from positions.approvals import approval_known, approvals_fresh, approvals_newest
from positions.models import ConflictOverride, Position
from positions.valuation import portfolio_equity
from traders.models import Trader, TraderSnapshot
from traders.payloads import positions_load

READ_AGE: Final = timedelta(seconds=10)
OWN_ORIGINS: Final = frozenset({Order.Origin.PERSON, Order.Origin.BREAKER, Order.Origin.EXIT})
UNREADABLE: Final = frozenset({Trader.Status.DEGRADED, Trader.Status.STALE, Trader.Status.PAUSED})


@dataclass(frozen=True, slots=True)
class Gathered:
    """The inputs of one decision, and what acting on it needs besides.

    :param version: of the capital account; acting claims exactly this one
    :param positions: the open position per underlying
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

    @property
    def world_at(self) -> datetime:
        """World time of this decision."""
        return self.clock.at(self.now)


def cycle_gather(*, cycle: CycleState, world: World, now: datetime) -> Gathered:
    """Read the inputs of one copy decision of a portfolio that lives in ``world``, inside one snapshot."""
    portfolio = cycle.portfolio
    account = CapitalAccount.objects.get(portfolio=portfolio)
    marks = marks_for(world=world.name, now=now)
    instruments = instruments_for(world=world.name)
    positions = _open_positions(portfolio)
    follows = follows_current(portfolio_id=portfolio.pk)
    legs = {(leg.follow_id, leg.underlying): leg for leg in FollowLeg.objects.filter(follow__in=follows)}
    basis = TraderSnapshot.objects.in_bulk(
        {
            snapshot_id
            for follow in follows
            for snapshot_id in (follow.trader.basis_snapshot_id, follow.decided_basis_id)
            if snapshot_id
        }
    )
    clock = world.clock()
    stopped = _stopped(portfolio)
    views = [_follow_view(follow, legs, basis, marks, clock, follow.pk in stopped) for follow in follows]
    limits = mode_limits(portfolio=portfolio, limits=limits_of(portfolio=portfolio))
    policy = Policy(portfolio.policy)
    tradable = _markets(instruments, marks, positions)
    holdings = _holdings(positions, _open_orders(portfolio))
    approvals = approvals_newest(portfolio=portfolio, run=world.run)
    inputs = CopyInputs(
        policy=policy,
        rule=ConflictRule(portfolio.conflict_rule),
        limits=limits,
        equity=portfolio_equity(portfolio=portfolio),
        free_capital=account.free,
        follows=tuple(view.follow_input for view in views),
        holdings=holdings,
        markets=tradable,
        overrides={
            o.underlying: ConflictRule(o.rule) for o in ConflictOverride.objects.filter(portfolio=portfolio)
        },
        auto_rebalance=portfolio.auto_rebalance,
        drift_threshold=settings.DRIFT_THRESHOLD_PCT / 100,
        max_chase=settings.MAX_CHASE_PCT / 100,
        margin_rate=margin_rate_for(portfolio=portfolio),
        fee_rate=paper_assumptions().fee_bps(policy) * BPS,
        correlations=correlations_recent(world=world, codes=_codes(views, holdings, tradable), now=now),
        blocked=frozenset(
            BlockedUnderlying.objects.filter(portfolio=portfolio).values_list("underlying", flat=True)
        ),
        barred=underlyings_barred(portfolio=portfolio, positions=positions, now=now),
        entries_blocked=_entries_blocked(portfolio, account, now),
        forced=_forced(cycle, positions, views) | approvals_fresh(rows=approvals, since=cycle.ran_at),
        approves_conflicts=portfolio.approves_conflicts,
        approvals={u: approval_known(row=row, now=now) for u, row in approvals.items()},
        dry_run=portfolio.dry_run,
        world_ended=clock.ended(now),
        pulses=pulses_read(world=world, markets=tradable, underlyings=_followed(views), now=now),
        past=past_read(portfolio_id=portfolio.pk, follows=follows),
    )
    return Gathered(
        portfolio=portfolio,
        version=account.version,
        world=world,
        clock=clock,
        now=now,
        inputs=inputs,
        cycle=cycle,
        positions=positions,
        follows={follow.pk: follow for follow in follows},
        joins={view.follow_input.follow_id: view.joining for view in views if view.joining is not None},
        legs=legs,
    )


def margin_rate_for(*, portfolio: Portfolio) -> Decimal:
    """Return the capital a position needs per unit of notional: 1, or 1 ÷ leverage under the perp policy.

    The leverage is the profile's gross cap, at least 1.
    """
    if portfolio.policy == Policy.SPOT:
        return ONE
    cap = gross_cap(limits=limits_of(portfolio=portfolio), policy=Policy(portfolio.policy))
    return ONE / max(ONE, cap)


@dataclass(frozen=True, slots=True)
class _FollowView:
    follow_input: FollowInput
    joining: Mapping[str, Decimal] | None  # None: joined before


def _follow_view(
    follow: Follow,
    legs: Mapping[tuple[int, str], FollowLeg],
    snapshots: Mapping[int, TraderSnapshot],
    marks: Mapping[str, MarkData],
    clock: WorldTime,
    stopped: bool,
) -> _FollowView:
    own = {underlying: leg for (follow_id, underlying), leg in legs.items() if follow_id == follow.pk}
    ignored = {underlying: leg.ignored_quantity for underlying, leg in own.items() if leg.ignored_quantity}
    memory = {
        underlying: LegMemory(leg.trader_quantity, leg.target_notional, leg.target_quantity)
        for underlying, leg in own.items()
        if leg.trader_quantity or leg.target_notional or leg.target_quantity
    }
    snapshot = snapshots.get(follow.trader.basis_snapshot_id or 0)
    if snapshot is not None and snapshot.run != clock.run:
        snapshot = None  # read in the run before; nothing is known of this one yet
    book, then = _book(snapshot, marks), _snapshot_before(follow, snapshot, snapshots)
    before = _book(then, marks)
    joining = _joining(follow, snapshot, book, ignored, memory, marks, clock)
    return _FollowView(
        FollowInput(
            follow_id=follow.pk,
            trader_id=follow.trader_id,
            name=follow.trader.name,
            place=follow.place,
            state=FollowState.STOPPED if stopped else _state(follow, joining),
            book=book,
            ignored={**ignored, **joining} if joining is not None else ignored,
            memory=memory,
            share=follow.custom_weight,
            added=added_prices(book=book, before=before, legs=own),
            reopened=book.reopened_since(before=before, read_at=then.world_at)
            if book and before and then
            else frozenset(),
            basis_id=snapshot.pk if snapshot else None,
            decided_basis_id=follow.decided_basis_id,
        ),
        joining,
    )


def _state(follow: Follow, joining: Mapping[str, Decimal] | None) -> FollowState:
    """Return how a follow takes part.

    An active one whose trader cannot be read is LOST. So is one that waits for its first read; one that
    waits for a read after resuming stays PAUSED until then.
    """
    if follow.status != Follow.Status.ACTIVE:
        return FollowState(follow.status)
    if follow.trader.status in UNREADABLE:
        return FollowState.LOST
    if joining is None and not follow.joined:
        return FollowState.LOST
    if joining is None and follow.resumed_at is not None:
        return FollowState.PAUSED
    return FollowState.ACTIVE


def _book(snapshot: TraderSnapshot | None, marks: Mapping[str, MarkData]) -> TraderBook | None:
    if snapshot is None:
        return None
    prices = {code: mark.price for code, mark in marks.items()}
    return book_at_marks(
        equity=snapshot.equity, legs=basis_legs(snapshot=snapshot, prices=prices), marks=prices
    )


def _snapshot_before(
    follow: Follow, snapshot: TraderSnapshot | None, snapshots: Mapping[int, TraderSnapshot]
) -> TraderSnapshot | None:
    """Return the basis that the last cycle decided on; None where it is today's, or not known any more."""
    if snapshot is None or follow.decided_basis_id in (None, snapshot.pk):
        return None
    before = snapshots.get(follow.decided_basis_id or 0)
    return before if before is not None and before.run == snapshot.run else None


def basis_legs(*, snapshot: TraderSnapshot, prices: Mapping[str, Decimal]) -> list[BasisLeg]:
    """Return a snapshot's positions for the deciding code; a source that names no mark is valued at ours."""
    return [
        BasisLeg(
            code=position.code,
            quantity=position.quantity,
            mark_price=position.mark_price or prices.get(position.code, position.entry_price),
            entry_price=position.entry_price,
            opened_at=position.opened_at,
            first_seen_at=_moment(snapshot.first_seen.get(position.code)),
        )
        for position in positions_load(snapshot.positions)
    ]


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _joining(
    follow: Follow,
    snapshot: TraderSnapshot | None,
    book: TraderBook | None,
    ignored: Mapping[str, Decimal],
    memory: Mapping[str, LegMemory],
    marks: Mapping[str, MarkData],
    clock: WorldTime,
) -> Mapping[str, Decimal] | None:
    """Return what is left uncopied where the follow joins or resumes now; None where it neither does.

    What a trader reports as opened after the follow began is new, however late it is first read.
    """
    if snapshot is None or book is None or not _read_since_begun(follow):
        return None
    if follow.resumed_at is not None and follow.joined:
        copied = {underlying: leg.trader_quantity for underlying, leg in memory.items()}
        return ignored_on_resume(book=book, ignored=ignored, copied=copied)
    if follow.joined:
        return None
    prices = {code: mark.price for code, mark in marks.items()}
    began_at = clock.at(follow.resumed_at or follow.created_at)
    before = [
        leg
        for leg in basis_legs(snapshot=snapshot, prices=prices)
        if leg.opened_at is None or leg.opened_at <= began_at
    ]
    open_before = book_at_marks(equity=snapshot.equity, legs=before, marks=prices)
    return ignored_on_join(book=open_before, mode=JoinMode(follow.join_mode))


def _read_since_begun(follow: Follow) -> bool:
    """Tell whether an active follow's trader was read since it began or resumed, or within 10 s before."""
    begun_at = follow.resumed_at or follow.created_at
    synced_at = follow.trader.synced_at
    readable = follow.status == Follow.Status.ACTIVE and follow.trader.status not in UNREADABLE
    return readable and synced_at is not None and synced_at >= begun_at - READ_AGE


def _stopped(portfolio: Portfolio) -> set[int]:
    """Return the follows whose copy stop-loss stands."""
    standing = BreakerTrip.objects.filter(
        portfolio=portfolio, kind=BreakerTrip.Kind.COPY_STOP, reset_at__isnull=True
    )
    paused = standing.filter(follow__status=Follow.Status.PAUSED)
    return set(paused.values_list("follow_id", flat=True))


def _open_positions(portfolio: Portfolio) -> dict[str, Position]:
    rows = (
        Position.objects.filter(portfolio=portfolio)
        .exclude(status=Position.Status.CLOSED)
        .prefetch_related("slices")
    )
    return {position.underlying: position for position in rows}


def _open_orders(portfolio: Portfolio) -> dict[str, tuple[WorkingOrder, ...]]:
    result: dict[str, tuple[WorkingOrder, ...]] = {}
    for order in Order.objects.filter(portfolio=portfolio, status__in=Order.OPEN_STATUSES).order_by("id"):
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


def _markets(
    instruments: Mapping[str, Instrument], marks: Mapping[str, MarkData], positions: Mapping[str, Position]
) -> dict[str, Market]:
    """Return the portfolio's instrument per underlying: the one held, else the plainest that has a mark."""
    held = {position.instrument_id for position in positions.values()}
    result: dict[str, Market] = {}
    for code in sorted(
        instruments, key=lambda code: (code not in held, instruments[code].multiplier != 1, len(code), code)
    ):
        spec = instruments[code]
        if code in marks and spec.underlying not in result:
            mark = marks[code]
            result[spec.underlying] = Market(instrument=spec, mark=mark.price, stale=mark.stale)
    return result


def _codes(
    views: Iterable[_FollowView], holdings: Mapping[str, Holding], markets: Mapping[str, Market]
) -> dict[str, str]:
    """Return the instrument of every underlying that is held or that a trader holds."""
    books = [view.follow_input.book for view in views if view.follow_input.book]
    asked = set(holdings).union(*(book.legs for book in books))
    return {underlying: markets[underlying].instrument.code for underlying in asked if underlying in markets}


def _entries_blocked(portfolio: Portfolio, account: CapitalAccount, now: datetime) -> str:
    if account.deficit > 0:
        return f"a deficit of {dollars(account.deficit)} has to be paid in first"
    if portfolio.status != Portfolio.Status.ACTIVE:
        return portfolio.status_reason or f"the portfolio is {portfolio.get_status_display().lower()}"
    return entries_bar(portfolio_id=portfolio.pk, now=now)


def _forced(
    cycle: CycleState, positions: Mapping[str, Position], views: Iterable[_FollowView]
) -> frozenset[str]:
    """Return the underlyings to place anew though no trader moved."""
    return _followed(views).union(positions) if cycle.forced_all else frozenset()


def _followed(views: Iterable[_FollowView]) -> frozenset[str]:
    """Return the underlyings that any trader has open."""
    books = [view.follow_input.book for view in views if view.follow_input.book]
    return frozenset().union(*(book.legs for book in books))
