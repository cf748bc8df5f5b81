"""How each followed trader takes part in a copy decision: its book, what was adopted of it, what joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from accounts.models import Portfolio
from allocation.domain.books import BasisLeg, TraderBook, book_at_marks
from allocation.domain.copied import JoinMode, ignored_on_join, ignored_on_resume
from allocation.follows import follows_current
from allocation.models import BreakerTrip, Follow, FollowLeg
from core.clock import WorldTime
from engine.domain.copy_types import FollowInput, FollowState, LegMemory
from engine.evidence import added_prices
from engine.style import withheld_read
from markets.selectors import MarkData
from traders.models import Trader, TraderSnapshot
from traders.payloads import positions_load

READ_AGE: Final = timedelta(seconds=10)
UNREADABLE: Final = frozenset({Trader.Status.DEGRADED, Trader.Status.STALE, Trader.Status.PAUSED})


@dataclass(frozen=True, slots=True)
class FollowView:
    """One follow as the decision sees it.

    :param joining: what it leaves uncopied, where it joins or resumes now; None where it joined before
    """

    follow_input: FollowInput
    joining: Mapping[str, Decimal] | None


@dataclass(frozen=True, slots=True)
class FollowsRead:
    """The follows of a portfolio, what was adopted of each, and how each takes part now."""

    follows: list[Follow]
    legs: Mapping[tuple[int, str], FollowLeg]
    views: tuple[FollowView, ...]


def follows_read(*, portfolio: Portfolio, marks: Mapping[str, MarkData], clock: WorldTime) -> FollowsRead:
    """Read what a portfolio follows, at these marks."""
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
    stopped, withheld = _stopped(portfolio), withheld_read(follows=follows)
    views = (_view(follow, legs, basis, marks, clock, follow.pk in stopped) for follow in follows)
    return FollowsRead(follows=follows, legs=legs, views=tuple(_withheld(view, withheld) for view in views))


def _withheld(view: FollowView, reasons: Mapping[int, str]) -> FollowView:
    why = reasons.get(view.follow_input.follow_id, "")
    return replace(view, follow_input=replace(view.follow_input, withheld=why)) if why else view


def _view(
    follow: Follow,
    legs: Mapping[tuple[int, str], FollowLeg],
    snapshots: Mapping[int, TraderSnapshot],
    marks: Mapping[str, MarkData],
    clock: WorldTime,
    stopped: bool,
) -> FollowView:
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
    return FollowView(
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
        equity=snapshot.equity, legs=_basis_legs(snapshot=snapshot, prices=prices), marks=prices
    )


def _snapshot_before(
    follow: Follow, snapshot: TraderSnapshot | None, snapshots: Mapping[int, TraderSnapshot]
) -> TraderSnapshot | None:
    """Return the basis that the last cycle decided on; None where it is today's, or not known any more."""
    if snapshot is None or follow.decided_basis_id in (None, snapshot.pk):
        return None
    before = snapshots.get(follow.decided_basis_id or 0)
    return before if before is not None and before.run == snapshot.run else None


def _basis_legs(*, snapshot: TraderSnapshot, prices: Mapping[str, Decimal]) -> list[BasisLeg]:
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
        for leg in _basis_legs(snapshot=snapshot, prices=prices)
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
