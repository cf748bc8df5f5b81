"""The conflicts of a portfolio: the queue, and one instrument's conflict with what each rule makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from accounts.models import Portfolio
from allocation.models import Follow
from core.decimals import ZERO
from core.errors import NotFound
from core.types import ConflictRule, Policy
from positions.domain.conflicts import Resolution, Wish, conflicts_resolve
from positions.models import ConflictApproval, ConflictRecord, Position

SETTLED_SHOWN: Final = 10
HISTORY_SHOWN: Final = 20
DECLINED: Final = (ConflictApproval.Status.REJECTED, ConflictApproval.Status.LAPSED)


@dataclass(frozen=True, slots=True)
class Queue:
    """Conflicts that wait for their owner, stand by rule, were not approved, and are over, newest first."""

    waiting: tuple[ConflictApproval, ...]
    standing: tuple[ConflictRecord, ...]
    declined: tuple[ConflictRecord, ...]
    over: tuple[ConflictRecord, ...]

    @property
    def first(self) -> str:
        """The underlying to show when none was asked for; empty when there is none."""
        names = [row.underlying for row in self.waiting]
        names += [row.underlying for row in (*self.standing, *self.declined, *self.over)]
        return next(iter(names), "")


@dataclass(frozen=True, slots=True)
class Holder:
    """One trader's wish, in our size. ``quantity`` and ``notional`` are signed, long positive."""

    follow: Follow
    quantity: Decimal
    notional: Decimal
    opened_at: datetime | None
    counted: bool


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What one rule makes of the wishes: signed quantities before and after.

    :param capped: which limit cut it, empty where none did
    :param chosen: this rule counts for the instrument now
    :param counted: whether each holder's wish counts under it, in the order of the holders
    """

    rule: ConflictRule
    before: Decimal
    after: Decimal
    mark: Decimal
    capped: str
    chosen: bool
    counted: tuple[bool, ...]

    @property
    def change(self) -> Decimal:
        """What would be ordered, signed: positive buys."""
        return self.after - self.before

    @property
    def value(self) -> Decimal:
        """Value of the order at the mark."""
        return abs(self.change) * self.mark


@dataclass(frozen=True, slots=True)
class ConflictStory:
    """One instrument's conflict: who wants what, each rule's answer, what was decided, what was before.

    :param declined: the answer because of which the old position stays
    :param records: how its conflicts were resolved, newest first; ``approvals`` likewise
    :param limited: the outcomes count the limits in; without, they show the bare rules
    """

    underlying: str
    kind: str
    rule: str
    mark: Decimal
    capped: str
    standing: bool
    approval: ConflictApproval | None
    declined: ConflictApproval | None
    holders: tuple[Holder, ...]
    outcomes: tuple[RuleOutcome, ...]
    position: Position | None
    records: tuple[ConflictRecord, ...]
    approvals: tuple[ConflictApproval, ...]
    limited: bool


def waiting_count(*, portfolio: Portfolio) -> int:
    """Return how many conflicts wait for their owner."""
    return ConflictApproval.objects.filter(
        portfolio=portfolio, status=ConflictApproval.Status.WAITING
    ).count()


def queue_read(*, portfolio: Portfolio) -> Queue:
    """Return all conflicts worth a look, in four queries at most."""
    waiting = ConflictApproval.objects.filter(portfolio=portfolio, status=ConflictApproval.Status.WAITING)
    records = ConflictRecord.objects.filter(portfolio=portfolio)
    held = {row.underlying for row in waiting}
    standing = [row for row in records.filter(ended_at__isnull=True) if row.underlying not in held]
    declined = _declined(portfolio)
    over = records.filter(ended_at__isnull=False).order_by("-ended_at", "-id")[:SETTLED_SHOWN]
    return Queue(
        waiting=tuple(sorted(waiting, key=lambda row: row.lapses_at)),
        standing=tuple(row for row in standing if row.underlying not in declined),
        declined=tuple(row for row in standing if row.underlying in declined),
        over=tuple(over),
    )


def _declined(portfolio: Portfolio) -> dict[str, ConflictApproval]:
    """Return the newest answers that approved nothing, by underlying; none where no approval is asked for."""
    if not portfolio.approves_conflicts:
        return {}
    newest = ConflictApproval.objects.filter(portfolio=portfolio).order_by("underlying", "-pk")
    return {row.underlying: row for row in newest.distinct("underlying") if row.status in DECLINED}


def conflict_story(*, portfolio: Portfolio, underlying: str) -> ConflictStory:
    """Return the story of one instrument's conflicts; the newest when none stands.

    :raises NotFound: this portfolio never had one there
    """
    records = list(ConflictRecord.objects.filter(portfolio=portfolio, underlying=underlying)[:HISTORY_SHOWN])
    approvals = list(
        ConflictApproval.objects.filter(portfolio=portfolio, underlying=underlying)[:HISTORY_SHOWN]
    )
    if not records and not approvals:
        raise NotFound(f"This portfolio has had no conflict about {underlying}.")
    newest = records[0] if records else None
    standing = newest is not None and newest.ended_at is None
    approval = next((row for row in approvals if row.status == ConflictApproval.Status.WAITING), None)
    source = approval or newest or approvals[0]
    follows = {row.pk: row for row in Follow.objects.filter(portfolio=portfolio).select_related("trader")}
    holders = tuple(_holder(values, follows) for values in source.holders if values["follow_id"] in follows)
    open_ones = Position.objects.filter(portfolio=portfolio, underlying=underlying)
    position = open_ones.exclude(status=Position.Status.CLOSED).first()
    mark = newest.mark_price if newest else _mark_of(holders)
    rule = newest.rule if newest else portfolio.conflict_rule
    outcomes = _outcomes(
        portfolio=portfolio, holders=holders, mark=mark, rule=rule,
        before=position.quantity if position else ZERO,
        previews=approval.previews if approval else {},
    )  # fmt: skip
    return ConflictStory(
        underlying=underlying,
        kind=source.kind,
        rule=rule,
        mark=mark,
        capped=newest.capped_reason if newest else "",
        standing=standing,
        approval=approval,
        declined=_declined(portfolio).get(underlying) if standing else None,
        holders=holders,
        outcomes=outcomes,
        position=position,
        records=tuple(records),
        approvals=tuple(approvals),
        limited=approval is not None,
    )


def _holder(values: Mapping[str, Any], follows: Mapping[int, Follow]) -> Holder:
    opened = values.get("opened_at")
    return Holder(
        follow=follows[values["follow_id"]],
        quantity=Decimal(values["quantity"]),
        notional=Decimal(values["notional"]),
        opened_at=datetime.fromisoformat(opened) if opened else None,
        counted=values.get("counted", True),
    )


def _mark_of(holders: Sequence[Holder]) -> Decimal:
    """Return the mark at which the wishes were measured."""
    return next((abs(h.notional / h.quantity) for h in holders if h.quantity), ZERO)


def _outcomes(
    *,
    portfolio: Portfolio,
    holders: Sequence[Holder],
    mark: Decimal,
    rule: str,
    before: Decimal,
    previews: Mapping[str, Mapping[str, str]],
) -> tuple[RuleOutcome, ...]:
    """Return what each rule would do: as the approval's preview says, else by the bare rule."""
    outcomes = []
    for name in ConflictRule:
        bare = _resolved(holders, rule=name, policy=Policy(portfolio.policy))
        preview = previews.get(name.value)
        if preview is not None:
            start, after = Decimal(preview["before"]), Decimal(preview["after"])
        else:
            start, after = before, (bare.net / mark if bare is not None and mark else ZERO)
        outcomes.append(
            RuleOutcome(
                rule=name,
                before=start,
                after=after,
                mark=mark,
                capped=preview.get("capped", "") if preview is not None else "",
                chosen=name.value == rule,
                counted=tuple(bare is None or _counts(bare, holder) for holder in holders),
            )
        )
    return tuple(outcomes)


def _resolved(holders: Sequence[Holder], *, rule: ConflictRule, policy: Policy) -> Resolution | None:
    """Apply one rule to the wishes, without limits; None where nobody wishes anything."""
    wishes = [
        Wish(
            follow_id=holder.follow.pk,
            underlying="",
            notional=holder.notional,
            weight=holder.follow.weight,
            place=holder.follow.place,
            opened_at=holder.opened_at,
        )
        for holder in holders
    ]
    return conflicts_resolve(wishes=wishes, rule=rule, policy=policy).get("")


def _counts(resolution: Resolution, holder: Holder) -> bool:
    return resolution.winner is None or resolution.winner.follow_id == holder.follow.pk
