"""One followed trader: what it holds and what we copy of it, and each of its changes with its decision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.core.paginator import Page, Paginator

from accounts.models import Portfolio
from allocation.models import Follow, FollowLeg
from core.decimals import ZERO
from core.errors import NotFound
from core.instruments import underlying_of
from engine.changes import Coverage, change_coverage
from engine.models import AnsweredChange, Decision, FollowFidelity
from markets.models import World
from markets.selectors import marks_for
from positions.models import Position, PositionSlice
from traders.models import TraderSnapshot
from traders.payloads import positions_load
from traders.selectors import equity_series

CHANGES_PER_PAGE: Final = 25
CURVE_POINTS: Final = 160
CURVE_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class HeldPart:
    """What a trader holds of one underlying, and what we have of it; quantities signed, in its units.

    :param theirs, ours: notionals at the mark, in quote currency; None where nothing has a price
    :param ignored: part of the trader's quantity that is not copied
    :param sent: where our slice was last sent, after rule and limits
    """

    underlying: str
    quantity: Decimal
    entry_price: Decimal | None
    mark: Decimal | None
    theirs: Decimal | None
    slice_quantity: Decimal
    ours: Decimal | None
    ignored: Decimal
    sent: Decimal
    position_id: int | None


@dataclass(frozen=True, slots=True)
class ChangeStory:
    """One change with its decision, and what was decided on it afterwards, until the next change."""

    change: AnsweredChange
    followed_by: tuple[Decision, ...]

    @property
    def waited(self) -> timedelta:
        """From the read that showed the change to its first decision, wall time."""
        return self.change.decided_at - self.change.seen_at


@dataclass(frozen=True, slots=True)
class TraderStory:
    """One followed trader with everything that is known of copying it."""

    follow: Follow
    snapshot: TraderSnapshot | None
    held: tuple[HeldPart, ...]
    curve: tuple[tuple[datetime, Decimal], ...]
    fidelity: FollowFidelity | None
    page: Page[AnsweredChange]
    changes: tuple[ChangeStory, ...]
    coverage: Coverage


def trader_story(
    *, portfolio: Portfolio, follow_id: int, page: str | int | None, kind: str = "", now: datetime
) -> TraderStory:
    """Read one of the portfolio's follows, removed ones included.

    :param kind: only changes with this first decision; empty: all
    :raises NotFound: there is none of this number in this portfolio
    """
    rows = Follow.objects.select_related("trader__latest_snapshot", "portfolio")
    follow = rows.filter(portfolio=portfolio, pk=follow_id).first()
    if follow is None:
        raise NotFound(f"This portfolio follows nobody under the number {follow_id}.")
    chosen = _changes(follow=follow, page=page, kind=kind)
    snapshot = follow.trader.latest_snapshot
    return TraderStory(
        follow=follow,
        snapshot=snapshot,
        held=_held(follow, snapshot, now),
        curve=_curve(follow, snapshot),
        fidelity=FollowFidelity.objects.filter(follow=follow).first(),
        page=chosen,
        changes=_with_what_followed(follow, list(chosen.object_list)),
        coverage=change_coverage(now=now, portfolio_id=portfolio.pk, window=timedelta(days=CURVE_DAYS)),
    )


def _changes(*, follow: Follow, page: str | int | None, kind: str) -> Page[AnsweredChange]:
    rows = AnsweredChange.objects.filter(follow=follow).select_related("decision__order").order_by("-pk")
    if kind:
        rows = rows.filter(decision__kind=kind)
    return Paginator(rows, CHANGES_PER_PAGE).get_page(page)


def _with_what_followed(follow: Follow, changes: Sequence[AnsweredChange]) -> tuple[ChangeStory, ...]:
    """Add to each change the decisions of the same underlying between it and the next, in two queries."""
    if not changes:
        return ()
    underlyings = {change.underlying for change in changes}
    later = Decision.objects.filter(
        portfolio=follow.portfolio_id, follows=follow, underlying__in=underlyings,
        at__gte=min(change.decided_at for change in changes),
    )  # fmt: skip
    by_underlying: dict[str, list[Decision]] = defaultdict(list)
    for decision in later.select_related("order").order_by("pk"):
        by_underlying[decision.underlying].append(decision)
    ends = _ends(follow, underlyings, changes)
    return tuple(
        ChangeStory(change, tuple(_between(by_underlying[change.underlying], change, ends[change.pk])))
        for change in changes
    )


def _ends(
    follow: Follow, underlyings: Iterable[str], changes: Sequence[AnsweredChange]
) -> dict[int, datetime | None]:
    """Return when the next change of the same underlying was decided, by change; None: it is the last."""
    rows = AnsweredChange.objects.filter(
        follow=follow, underlying__in=underlyings, pk__gte=min(change.pk for change in changes)
    )
    following: dict[str, datetime] = {}
    ends: dict[int, datetime | None] = {}
    for pk, underlying, decided_at in rows.order_by("-pk").values_list("pk", "underlying", "decided_at"):
        ends[pk] = following.get(underlying)
        following[underlying] = decided_at
    return ends


def _between(
    decisions: Iterable[Decision], change: AnsweredChange, until: datetime | None
) -> Iterable[Decision]:
    for decision in decisions:
        later = decision.pk != change.decision_id and decision.at >= change.decided_at
        if later and (until is None or decision.at < until):
            yield decision


def _held(follow: Follow, snapshot: TraderSnapshot | None, now: datetime) -> tuple[HeldPart, ...]:
    """Return every underlying that the trader holds or that we hold for it, largest of theirs first."""
    world = World.objects.filter(pk=follow.portfolio.world).first()
    marks = {code: mark.price for code, mark in marks_for(world=world.name, now=now).items()} if world else {}
    theirs = _theirs(snapshot) if snapshot and (world is None or snapshot.run == world.run) else {}
    legs = {leg.underlying: leg for leg in FollowLeg.objects.filter(follow=follow)}
    slices = {
        part.position.underlying: part
        for part in PositionSlice.objects.filter(follow=follow)
        .exclude(position__status=Position.Status.CLOSED)
        .select_related("position__instrument")
    }
    parts = [
        _part(
            underlying, theirs.get(underlying, _NOTHING), legs.get(underlying), slices.get(underlying), marks
        )
        for underlying in sorted({*theirs, *(u for u, part in slices.items() if part.quantity)})
    ]
    return tuple(sorted(parts, key=lambda part: -abs(part.theirs or ZERO)))


@dataclass(frozen=True, slots=True)
class _Theirs:
    quantity: Decimal
    entry_price: Decimal | None
    mark: Decimal | None  # as its source told it


_NOTHING: Final = _Theirs(ZERO, None, None)


def _theirs(snapshot: TraderSnapshot) -> dict[str, _Theirs]:
    """Return what a snapshot holds by underlying; prices per unit of it, of its largest position."""
    found: dict[str, _Theirs] = {}
    for position in sorted(positions_load(snapshot.positions), key=lambda p: abs(p.quantity)):
        underlying, units = underlying_of(position.code)
        before = found.get(underlying, _NOTHING)
        mark = position.mark_price / units if position.mark_price is not None else before.mark
        found[underlying] = _Theirs(
            before.quantity + position.quantity * units, position.entry_price / units, mark
        )
    return found


def _part(
    underlying: str,
    theirs: _Theirs,
    leg: FollowLeg | None,
    part: PositionSlice | None,
    marks: Mapping[str, Decimal],
) -> HeldPart:
    mark = marks.get(underlying, theirs.mark)
    ours = None
    if part is not None:
        price = marks.get(part.position.instrument_id)
        ours = None if price is None else part.quantity * price
    return HeldPart(
        underlying=underlying,
        quantity=theirs.quantity,
        entry_price=theirs.entry_price,
        mark=mark,
        theirs=None if mark is None else theirs.quantity * mark,
        slice_quantity=part.quantity if part else ZERO,
        ours=ours,
        ignored=leg.ignored_quantity if leg else ZERO,
        sent=leg.target_quantity if leg else ZERO,
        position_id=part.position_id if part else None,
    )


def _curve(follow: Follow, snapshot: TraderSnapshot | None) -> tuple[tuple[datetime, Decimal], ...]:
    if snapshot is None:
        return ()
    since_at = snapshot.world_at - timedelta(days=CURVE_DAYS)
    runs = {follow.trader_id: snapshot.run}
    return tuple(equity_series(trader_runs=runs, since_at=since_at, points=CURVE_POINTS)[follow.trader_id])
