"""What a copy decision comes to: values for the caller to book, send and store, nothing done yet.

Quantities of slices and changes are signed (positive buys); quantities of orders and transfers are
positive. Everything is in units of the portfolio's instrument and in its quote currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from core.decimals import ZERO
from core.types import ConflictRule, OrderSide, PositionSide
from engine.domain.copy_types import LegMemory
from engine.domain.scoring import Priority
from positions.domain.conflicts import ConflictKind
from positions.domain.netting import FollowId, SliceDelta


class Purpose(StrEnum):
    """What an order does to its position."""

    ENTRY = "entry"
    SCALE_IN = "scale_in"
    REDUCE = "reduce"
    CLOSE = "close"

    @property
    def reduces(self) -> bool:
        """Tell whether the order can only make the position smaller."""
        return self in (Purpose.REDUCE, Purpose.CLOSE)


class DecisionKind(StrEnum):
    """What became of a trader's change (BEY-3)."""

    COPIED = "copied"
    MERGED = "merged"
    CAPPED = "capped"
    DELAYED = "delayed"
    REFUSED = "refused"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class LegTarget:
    """Where one slice should be.

    :param trader_quantity: copied part of the trader's quantity; None where the trader was not read
    :param wanted_notional: the trader's own scaled target, before conflict rule and limits
    :param quantity: the slice's target after both; ``held`` is the slice now
    """

    follow_id: FollowId
    underlying: str
    trader_quantity: Decimal | None
    wanted_notional: Decimal
    quantity: Decimal
    held: Decimal


@dataclass(frozen=True, slots=True)
class NetTarget:
    """Where one position should be: Σ of its slices' targets."""

    underlying: str
    code: str
    quantity: Decimal
    notional: Decimal
    held: Decimal
    capped_reason: str = ""


@dataclass(frozen=True, slots=True)
class TransferIntent:
    """One internal transfer: ``from_follow_id`` sells to ``to_follow_id`` at the mark, free of fees."""

    underlying: str
    code: str
    from_follow_id: FollowId
    to_follow_id: FollowId
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """One order to reserve capital for and to place.

    :param slices: signed changes per follow; Σ = ± quantity
    :param capital_needed: margin or cost at the limit, and the fee, rounded up; 0 where it only reduces
    :param score: rank among the entries, 0 to 1; None where it only reduces
    :param priority: whose capital is granted first
    """

    underlying: str
    code: str
    side: OrderSide
    quantity: Decimal
    limit_price: Decimal
    decision_mark: Decimal
    purpose: Purpose
    reduce_only: bool
    slices: tuple[SliceDelta, ...]
    capital_needed: Decimal
    reason: str
    score: Decimal | None = None
    priority: Priority = Priority.CRITICAL


@dataclass(frozen=True, slots=True)
class CancelIntent:
    """A working order that no longer fits its target."""

    order_id: int
    underlying: str
    reason: str


@dataclass(frozen=True, slots=True)
class MemoryUpdate:
    """What to remember of one leg from now on."""

    follow_id: int
    underlying: str
    memory: LegMemory


@dataclass(frozen=True, slots=True)
class IgnoredUpdate:
    """How much of the trader's quantity stays uncopied from now on; 0 is nothing."""

    follow_id: int
    underlying: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision with its reason.

    A plan holds at most one per underlying and kind. The same fingerprint as the newest stored
    decision of that underlying and kind means the same inputs: add no row.

    :param underlying: empty where it concerns traders as a whole
    :param before: the position's quantity now
    :param after: the quantity once what was decided has filled
    :param score: of the entry it decides on, with ``score_text`` as its explanation
    """

    kind: DecisionKind
    underlying: str
    follow_ids: tuple[int, ...]
    text: str
    reason: str
    fingerprint: str
    before: Decimal = ZERO
    after: Decimal = ZERO
    score: Decimal | None = None
    score_text: str = ""


@dataclass(frozen=True, slots=True)
class ConflictHolder:
    """What one trader wants in a conflict: our scaled, signed target, and whether it counted."""

    follow_id: int
    side: PositionSide
    quantity: Decimal
    notional: Decimal
    counted: bool
    opened_at: datetime | None


@dataclass(frozen=True, slots=True)
class ResolvedConflict:
    """How one conflict was resolved (CON-3); a known fingerprint means nothing to add.

    :param held_back: why the old target stands instead (CON-4); empty where the rule counts
    """

    underlying: str
    kind: ConflictKind
    rule: ConflictRule
    holders: tuple[ConflictHolder, ...]
    before_quantity: Decimal
    after_quantity: Decimal
    after_notional: Decimal
    mark_price: Decimal
    capped_reason: str
    fingerprint: str
    held_back: str = ""


@dataclass(frozen=True, slots=True)
class RulePreview:
    """What one rule would make of a conflict, limits included: signed quantities, and the target's value."""

    before: Decimal
    after: Decimal
    notional: Decimal
    capped: str


@dataclass(frozen=True, slots=True)
class ApprovalAsk:
    """A conflict to ask its owner about (CON-4); ``wishes`` is the fingerprint of who wants what."""

    underlying: str
    kind: ConflictKind
    wishes: str
    holders: tuple[ConflictHolder, ...]
    previews: Mapping[ConflictRule, RulePreview]


@dataclass(frozen=True, slots=True)
class Idle:
    """What was wanted of one underlying and is not there, and because of what; unsigned, quote currency.

    :param limit: a value of ``allocation.domain.limits.Limit`` or ``engine.domain.idle.Beyond``
    """

    limit: str
    underlying: str
    amount: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """All that follows from one set of inputs.

    :param weights: share per follow; follows that are paused or leaving have none
    :param orders: those that reduce first, then entries in rank order
    :param decided_bases: basis to store per follow as decided on
    :param conflicts: every conflict that stands now; what is not among them has ended
    :param asks: conflicts to ask about now
    :param approvals_over: underlyings whose waiting approval has nothing to wait for any more
    """

    weights: Mapping[int, Decimal]
    targets: tuple[LegTarget, ...]
    nets: tuple[NetTarget, ...]
    transfers: tuple[TransferIntent, ...]
    orders: tuple[OrderIntent, ...]
    cancels: tuple[CancelIntent, ...]
    memory: tuple[MemoryUpdate, ...]
    ignored: tuple[IgnoredUpdate, ...]
    decided_bases: Mapping[int, int]
    decisions: tuple[Decision, ...]
    conflicts: tuple[ResolvedConflict, ...]
    asks: tuple[ApprovalAsk, ...] = ()
    approvals_over: tuple[str, ...] = ()
    idle: tuple[Idle, ...] = ()
