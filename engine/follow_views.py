"""How each followed trader takes part in a copy decision: its book, what was adopted of it, what joins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from allocation.domain.books import BasisLeg, TraderBook, book_at_marks
from allocation.domain.copied import JoinMode, ignored_on_join, ignored_on_resume
from allocation.models import Follow, FollowLeg
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


class SnapshotBooks:
    """Traders' snapshots, and their books at one set of marks: each worked out once, for all who follow."""

    def __init__(self, *, snapshots: Mapping[int, TraderSnapshot], marks: Mapping[str, MarkData]) -> None:
        """Know these snapshots by id; they and the marks stay as they are."""
        self._snapshots = snapshots
        self._prices = {code: mark.price for code, mark in marks.items()}
        self._legs: dict[int, list[BasisLeg]] = {}
        self._books: dict[int, TraderBook] = {}
        self._notes: dict[int, Any] = {}

    def get(self, snapshot_id: int | None) -> TraderSnapshot | None:
        """Return a snapshot that is known."""
        return self._snapshots.get(snapshot_id or 0)

    def notes(
        self, snapshot_ids: Collection[int], *, read: Callable[[Collection[int]], Mapping[int, Any]]
    ) -> Mapping[int, Any]:
        """Return what is noted beside these snapshots; ``read`` tells it once of each, None where nothing.

        It is for what never changes of a snapshot.
        """
        if missing := [pk for pk in snapshot_ids if pk not in self._notes]:
            told = read(missing)
            self._notes |= {pk: told.get(pk) for pk in missing}
        return self._notes

    def book(self, snapshot: TraderSnapshot | None) -> TraderBook | None:
        """Return what a snapshot comes to; None for none."""
        if snapshot is None:
            return None
        if snapshot.pk not in self._books:
            legs = self.legs(snapshot)
            self._books[snapshot.pk] = book_at_marks(equity=snapshot.equity, legs=legs, marks=self._prices)
        return self._books[snapshot.pk]

    def book_of(self, snapshot: TraderSnapshot, *, legs: Sequence[BasisLeg]) -> TraderBook:
        """Return what some of a snapshot's positions come to."""
        return book_at_marks(equity=snapshot.equity, legs=legs, marks=self._prices)

    def legs(self, snapshot: TraderSnapshot) -> list[BasisLeg]:
        """Return a snapshot's positions for the deciding code."""
        if snapshot.pk not in self._legs:
            self._legs[snapshot.pk] = _basis_legs(snapshot=snapshot, prices=self._prices)
        return self._legs[snapshot.pk]


def follows_view(
    *,
    follows: list[Follow],
    legs: Iterable[FollowLeg],
    books: SnapshotBooks,
    stopped: Collection[int],
    clock: WorldTime,
) -> FollowsRead:
    """Return how each follow of a portfolio takes part.

    :param stopped: those whose copy stop-loss stands
    """
    known = {(leg.follow_id, leg.underlying): leg for leg in legs}
    withheld = withheld_read(follows=follows)
    views = (_view(follow, known, books, clock, follow.pk in stopped) for follow in follows)
    return FollowsRead(follows=follows, legs=known, views=tuple(_withheld(view, withheld) for view in views))


def _withheld(view: FollowView, reasons: Mapping[int, str]) -> FollowView:
    why = reasons.get(view.follow_input.follow_id, "")
    return replace(view, follow_input=replace(view.follow_input, withheld=why)) if why else view


def _view(
    follow: Follow,
    legs: Mapping[tuple[int, str], FollowLeg],
    books: SnapshotBooks,
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
    snapshot = books.get(follow.trader.basis_snapshot_id)
    if snapshot is not None and snapshot.run != clock.run:
        snapshot = None  # read in the run before; nothing is known of this one yet
    then = _snapshot_before(follow, snapshot, books)
    book, before = books.book(snapshot), books.book(then)
    joining = _joining(follow, snapshot, books, ignored, memory, clock)
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


def _snapshot_before(
    follow: Follow, snapshot: TraderSnapshot | None, books: SnapshotBooks
) -> TraderSnapshot | None:
    """Return the basis that the last cycle decided on; None where it is today's, or not known any more."""
    if snapshot is None or follow.decided_basis_id in (None, snapshot.pk):
        return None
    before = books.get(follow.decided_basis_id)
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
    books: SnapshotBooks,
    ignored: Mapping[str, Decimal],
    memory: Mapping[str, LegMemory],
    clock: WorldTime,
) -> Mapping[str, Decimal] | None:
    """Return what is left uncopied where the follow joins or resumes now; None where it neither does.

    What a trader reports as opened after the follow began is new, however late it is first read.
    """
    book = books.book(snapshot)
    if snapshot is None or book is None or not _read_since_begun(follow):
        return None
    if follow.resumed_at is not None and follow.joined:
        copied = {underlying: leg.trader_quantity for underlying, leg in memory.items()}
        return ignored_on_resume(book=book, ignored=ignored, copied=copied)
    if follow.joined:
        return None
    began_at = clock.at(follow.resumed_at or follow.created_at)
    before = [leg for leg in books.legs(snapshot) if leg.opened_at is None or leg.opened_at <= began_at]
    open_before = books.book_of(snapshot, legs=before)
    return ignored_on_join(book=open_before, mode=JoinMode(follow.join_mode))


def _read_since_begun(follow: Follow) -> bool:
    """Tell whether an active follow's trader was read since it began or resumed, or within 10 s before."""
    begun_at = follow.resumed_at or follow.created_at
    synced_at = follow.trader.synced_at
    readable = follow.status == Follow.Status.ACTIVE and follow.trader.status not in UNREADABLE
    return readable and synced_at is not None and synced_at >= begun_at - READ_AGE
