"""Approval of conflicts: when one waits for its owner, and what may happen meanwhile (CON-4).

An approval is of *wishes*: who wants which side with what quantity. Prices and weights are left out, since
the market and the owner's own settings are not what is asked about. For the same wishes a person is asked
once; approved, the chosen rule counts for them; rejected or lapsed, the old target stands; and when they
change a new question is due.

While nobody has approved, a slice may only shrink, and only as far as under the rule that takes least off it:
what every rule would do is not the owner's to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from allocation.domain.limits import kept
from core.ids import fingerprint
from core.types import ConflictRule, PositionSide
from positions.domain.conflicts import ConflictKind


class ApprovalStatus(StrEnum):
    """How an approval stands; the values are those of ``positions.models.ConflictApproval.Status``."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    LAPSED = "lapsed"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Approval:
    """What was last asked about one underlying, and what came of it.

    :param wishes: fingerprint of the wishes it was asked about
    :param rule: chosen by the owner; None unless approved
    """

    wishes: str
    status: ApprovalStatus
    rule: ConflictRule | None = None


@dataclass(frozen=True, slots=True)
class WishOf:
    """One trader's wish as its owner is asked about it: ``quantity`` is the copied part of the trader's."""

    follow_id: int
    side: PositionSide
    quantity: Decimal


def wishes_fingerprint(*, underlying: str, kind: ConflictKind, wishes: Iterable[WishOf]) -> str:
    """Return what stands for these wishes, whatever the order they are given in."""
    ordered = sorted(wishes, key=lambda wish: wish.follow_id)
    parts = [part for wish in ordered for part in (wish.follow_id, wish.side, wish.quantity)]
    return fingerprint(underlying, kind, *parts)


def approval_standing(*, wishes: str, last: Approval | None) -> ApprovalStatus | None:
    """Return how these wishes stand with their owner; None: they have to be asked about now."""
    if last is None or last.wishes != wishes or last.status is ApprovalStatus.OVER:
        return None
    return last.status


def least_taken(*, held: Decimal, goals: Sequence[Decimal]) -> Decimal:
    """Return what stays of a slice under the rule that takes least off it; never more than is held.

    10 held; the rules want 12, 4 and 0: all 10 stay. They want 6, 4 and 0: 6 stay. 4 and −3: 4 stay.

    :param goals: the slice's goal under each rule, at least one
    """
    return max((kept(held=held, wanted=goal) for goal in goals), key=abs)
