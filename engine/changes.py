"""Every change of a followed trader gets a decision, in the transaction that decides (BEY-3).

The copy decision tells what became of what is copied. Here the changes between the last snapshot that was
answered and the one decided on are laid beside it, one row each; what the decision left alone, because it was
never copied or was over again, gets a decision that says so. ``change_coverage`` counts what has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import connection
from django.db.models import Q

from allocation.models import Follow
from engine.change_models import AnsweredChange
from engine.decisions import DecisionNote, decisions_store
from engine.domain import reasons
from engine.domain.copy_types import FollowInput
from engine.domain.plan_types import CopyPlan, DecisionKind
from engine.domain.trader_changes import Seen, SeenBook, TraderChange, changes_between, why_left_alone
from engine.gather import Gathered
from engine.models import Decision
from traders.models import TraderSnapshot
from traders.payloads import positions_load

PATIENCE: Final = timedelta(seconds=150)  # two cycles: a change this young may still wait for its decision
WINDOW: Final = timedelta(days=1)
_KINDS: Final = tuple(kind.value for kind in DecisionKind)
_Key = tuple[int, str]


def changes_answer(*, plan: CopyPlan, gathered: Gathered) -> None:
    """Store each change of a trader that this cycle has seen for the first time, with its decision.

    Belongs after the plan's own decisions, in the transaction that stores them.
    """
    news = [
        follow
        for follow in gathered.inputs.follows
        if follow.basis_id not in (None, gathered.follows[follow.follow_id].answered_basis_id)
    ]
    if not news:
        return
    books = _books_read(news, gathered)
    found = {follow.follow_id: changes_between(books=books[follow.follow_id]) for follow in news}
    told = {(follow_id, d.underlying) for d in plan.decisions for follow_id in d.follow_ids}
    keys = {(follow_id, change.underlying) for follow_id, changes in found.items() for change in changes}
    decisions = _decisions_of(keys & told, gathered)
    for follow in news:
        decisions |= _left_alone(follow, found[follow.follow_id], decisions, gathered)
    AnsweredChange.objects.bulk_create(
        (
            _row(change, follow_id, decisions[follow_id, change.underlying], gathered)
            for follow_id, changes in found.items()
            for change in changes
        ),
        ignore_conflicts=True,
    )
    for follow in news:
        Follow.objects.filter(pk=follow.follow_id).update(answered_basis_id=follow.basis_id)


def _books_read(news: Sequence[FollowInput], gathered: Gathered) -> dict[int, list[SeenBook]]:
    """Return, by follow, the last book that was answered (nothing, where none was) and every one since."""
    wanted = Q()
    for follow in news:
        row = gathered.follows[follow.follow_id]
        since = Q(received_at__gte=row.created_at) | Q(pk=follow.basis_id)
        if row.answered_basis_id is not None:
            since = Q(pk__gte=row.answered_basis_id)
        wanted |= since & Q(trader=follow.trader_id, pk__lte=follow.basis_id)
    rows = TraderSnapshot.objects.filter(wanted, run=gathered.world.run, quantities_changed=True)
    by_trader: dict[int, list[TraderSnapshot]] = defaultdict(list)
    for snapshot in rows.order_by("pk"):
        by_trader[snapshot.trader_id].append(snapshot)
    return {
        follow.follow_id: _books(gathered.follows[follow.follow_id], by_trader[follow.trader_id])
        for follow in news
    }


def _books(follow: Follow, rows: Sequence[TraderSnapshot]) -> list[SeenBook]:
    books = [_book(row) for row in rows]
    if books and books[0].snapshot_id == follow.answered_basis_id:
        return books
    at = books[0].world_at if books else follow.created_at
    return [SeenBook(snapshot_id=0, world_at=at, received_at=follow.created_at), *books]


def _book(row: TraderSnapshot) -> SeenBook:
    return SeenBook(
        snapshot_id=row.pk,
        world_at=row.world_at,
        received_at=row.received_at,
        positions=tuple(
            Seen(position.code, position.quantity, position.opened_at)
            for position in positions_load(row.positions)
        ),
    )


def _decisions_of(keys: AbstractSet[_Key], gathered: Gathered) -> dict[_Key, int]:
    """Return the decision on each trader and underlying that the plan speaks of.

    It was stored a moment ago (where capital was denied after it, the denial counts), or it was the same as
    the newest of its kind and was not stored again.
    """
    found: dict[_Key, int] = {}
    now = Decision.objects.filter(portfolio=gathered.portfolio, at=gathered.now, kind__in=_KINDS)
    links = now.filter(follows__isnull=False).order_by("pk")
    for pk, kind, underlying, follow_id in links.values_list("pk", "kind", "underlying", "follows"):
        key = (follow_id, underlying)
        if key in keys and (kind == DecisionKind.REFUSED or key not in found):
            found[key] = pk
    for follow_id, underlying in sorted(keys - found.keys()):
        known = Decision.objects.filter(
            portfolio=gathered.portfolio, underlying=underlying, kind__in=_KINDS, follows=follow_id
        )
        found[follow_id, underlying] = known.order_by("-pk").values_list("pk", flat=True)[0]
    return found


def _left_alone(
    follow: FollowInput, changes: Iterable[TraderChange], known: Mapping[_Key, int], gathered: Gathered
) -> dict[_Key, int]:
    """Store why the rest of a trader's changes left nothing to decide: one decision per reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for change in {change.underlying: change for change in changes}.values():
        if (follow.follow_id, change.underlying) not in known:
            why = why_left_alone(
                change=change,
                state=follow.state,
                ignored=follow.ignored,
                newest_id=follow.basis_id or 0,
                usable=follow.book is not None and follow.book.usable,
            )
            by_reason[why].append(change.underlying)
    stored = decisions_store(
        portfolio_id=gathered.portfolio.pk,
        notes=[
            DecisionNote(
                kind=DecisionKind.HELD,
                underlying=underlyings[0] if len(underlyings) == 1 else "",
                text=f"Left alone {reasons.join(underlyings)}: {follow.name}",
                reason=f"{follow.name} {why}",
                follow_ids=[follow.follow_id],
            )
            for why, underlyings in by_reason.items()
        ],
        now=gathered.now,
        world_at=gathered.world_at,
        run=gathered.world.run,
    )
    return {
        (follow.follow_id, underlying): decision.pk
        for decision, underlyings in zip(stored, by_reason.values(), strict=True)
        for underlying in underlyings
    }


def _row(change: TraderChange, follow_id: int, decision_id: int, gathered: Gathered) -> AnsweredChange:
    return AnsweredChange(
        follow_id=follow_id,
        decision_id=decision_id,
        snapshot_id=change.snapshot_id,
        underlying=change.underlying,
        change=change.change.value,
        before=change.before,
        after=change.after,
        run=gathered.world.run,
        world_at=change.world_at,
        seen_at=change.received_at,
        decided_at=gathered.now,
    )


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many reads of followed traders that changed something have their decisions, of how many."""

    answered: int
    changes: int

    @property
    def fraction(self) -> Decimal:
        """1 where every change has its decision, also where there was none."""
        return Decimal(self.answered) / self.changes if self.changes else Decimal(1)


_COVERAGE: Final = """
    SELECT count(*) FILTER (WHERE s.id <= follow.answered_basis_id AND EXISTS (
               SELECT 1 FROM engine_answeredchange AS answer
               WHERE answer.follow_id = follow.id AND answer.snapshot_id = s.id)),
           count(*)
    FROM allocation_follow AS follow
    JOIN traders_tradersnapshot AS s ON s.trader_id = follow.trader_id
    WHERE s.quantities_changed AND s.received_at >= greatest(follow.created_at, %(since)s)
      AND s.received_at < least(coalesce(follow.removed_at, 'infinity'), %(until)s)
      AND (%(portfolio_id)s::bigint IS NULL OR follow.portfolio_id = %(portfolio_id)s)
      AND NOT (s.positions = '[]'::jsonb AND NOT EXISTS (
          SELECT 1 FROM traders_tradersnapshot AS before
          WHERE before.trader_id = s.trader_id AND before.run = s.run AND before.id < s.id
            AND before.quantities_changed))
"""


def change_coverage(
    *,
    now: datetime,
    portfolio_id: int | None = None,
    window: timedelta = WINDOW,
    patience: timedelta = PATIENCE,
) -> Coverage:
    """Count the followed traders' reads with a change in them, and those whose changes were all decided.

    :param window: how far to look back from wall time ``now``
    :param patience: how long a change may wait for its decision before it counts
    """
    values = {"since": now - window, "until": now - patience, "portfolio_id": portfolio_id}
    with connection.cursor() as cursor:
        cursor.execute(_COVERAGE, values)
        answered, changes = cursor.fetchone()
    return Coverage(answered=answered, changes=changes)
